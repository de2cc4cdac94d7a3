/* schema_pattern.c - a pattern's automaton: built from its tree, and run over a text. All the
 * states a text may be in are followed at once, so no pattern makes it go back; what looks around
 * is run over the whole text first and then known for each position. Called by schema_compile.c
 * (to build) and schema.c (to match). */
#include "service/schema/schema_pattern.h"

#include "service/schema/schema_pattern_node.h"

#include <stdlib.h>

enum { EMIT_STEPS = 200000 }; /* nodes visited while an automaton is built */

/* ---- building ---- */

struct builder {
    struct schema_pattern *pattern;
    const char *why; /* set once it has failed */
    size_t steps;
    bool backwards;
};

static void emit(struct builder *builder, struct pattern_node *node);

/* The number of a new state. */
static uint16_t add_state(struct builder *builder, enum pattern_op op)
{
    struct schema_pattern *pattern = builder->pattern;

    if (pattern->n_states == PATTERN_STATES) {
        builder->why = "it is too large with its repetitions written out";
        return 0;
    }
    pattern->states[pattern->n_states] = (struct pattern_state){.op = op};
    return (uint16_t)pattern->n_states++;
}

static uint16_t here(const struct builder *builder)
{
    return (uint16_t)builder->pattern->n_states;
}

static void emit_sequence(struct builder *builder, struct pattern_node *node)
{
    struct pattern_node *child = builder->backwards ? node->last : node->first;

    for (; child && !builder->why; child = builder->backwards ? child->previous : child->next)
        emit(builder, child);
}

/* Jumps wait in a chain, by way of `to`, until it is known where to. */
static void land(struct builder *builder, uint16_t chain, bool other)
{
    struct pattern_state *states = builder->pattern->states;

    while (chain != UINT16_MAX && !builder->why) {
        uint16_t next = other ? states[chain].other : states[chain].to;

        if (other)
            states[chain].other = here(builder);
        else
            states[chain].to = here(builder);
        chain = next;
    }
}

static void emit_choice(struct builder *builder, struct pattern_node *node)
{
    struct pattern_state *states = builder->pattern->states;
    uint16_t chain = UINT16_MAX;

    for (struct pattern_node *child = node->first; child && !builder->why; child = child->next) {
        uint16_t split, jump;

        if (!child->next) {
            emit(builder, child);
            break;
        }
        split = add_state(builder, PATTERN_OP_SPLIT);
        states[split].to = here(builder);
        emit(builder, child);
        jump = add_state(builder, PATTERN_OP_JUMP);
        states[jump].to = chain;
        chain = jump;
        states[split].other = here(builder);
    }
    land(builder, chain, false);
}

static void emit_repeat(struct builder *builder, struct pattern_node *node)
{
    struct pattern_state *states = builder->pattern->states;
    uint16_t chain = UINT16_MAX, split;

    for (int i = 0; i < node->least && !builder->why; i++)
        emit(builder, node->first);
    if (node->most == PATTERN_ENDLESS) {
        split = add_state(builder, PATTERN_OP_SPLIT);
        states[split].to = here(builder);
        emit(builder, node->first);
        states[add_state(builder, PATTERN_OP_JUMP)].to = split;
        states[split].other = here(builder);
        return;
    }
    for (int i = node->least; i < node->most && !builder->why; i++) {
        split = add_state(builder, PATTERN_OP_SPLIT);
        states[split].to = here(builder);
        states[split].other = chain;
        chain = split;
        emit(builder, node->first);
    }
    land(builder, chain, true);
}

static void emit(struct builder *builder, struct pattern_node *node)
{
    static const enum pattern_op asserts[] = {
        [PATTERN_BEGIN] = PATTERN_OP_BEGIN,
        [PATTERN_END] = PATTERN_OP_END,
        [PATTERN_WORD] = PATTERN_OP_WORD,
        [PATTERN_NO_WORD] = PATTERN_OP_NO_WORD,
    };
    struct pattern_state *states = builder->pattern->states;
    uint16_t state;

    if (builder->steps++ == EMIT_STEPS) /* repetitions of nothing add no states */
        builder->why = "it is too large with its repetitions written out";
    if (builder->why)
        return;
    switch (node->kind) {
    case PATTERN_SET:
        state = add_state(builder, PATTERN_OP_SET);
        states[state].set = node->set;
        break;
    case PATTERN_SEQUENCE:
        emit_sequence(builder, node);
        break;
    case PATTERN_CHOICE:
        emit_choice(builder, node);
        break;
    case PATTERN_REPEAT_OF:
        emit_repeat(builder, node);
        break;
    case PATTERN_AHEAD:
    case PATTERN_BEHIND:
        state = add_state(builder, PATTERN_OP_LOOK);
        states[state].to = (uint16_t)node->look;
        states[state].negated = node->negated;
        break;
    case PATTERN_BEGIN:
    case PATTERN_END:
    case PATTERN_WORD:
    case PATTERN_NO_WORD:
        (void)add_state(builder, asserts[node->kind]);
        break;
    }
}

/* Builds what looks around, the inner before the outer. The tree is as deep as its groups. */
static void build_looks(struct builder *builder, struct pattern_node *node)
{
    struct schema_pattern *pattern = builder->pattern;

    for (struct pattern_node *child = node->first; child && !builder->why; child = child->next)
        build_looks(builder, child);
    if (node->kind != PATTERN_AHEAD && node->kind != PATTERN_BEHIND)
        return;
    node->look = (unsigned)pattern->n_looks;
    builder->backwards = node->kind == PATTERN_AHEAD;
    pattern->looks[pattern->n_looks++] =
        (struct pattern_look){.start = here(builder), .backwards = builder->backwards};
    emit(builder, node->first);
    (void)add_state(builder, PATTERN_OP_MATCH);
    builder->backwards = false;
}

const struct schema_pattern *schema_pattern_compile(struct pl_arena *arena, struct pl_str pattern,
                                                    const char **ret_why)
{
    struct pattern_node *tree = pattern_parse(arena, pattern, ret_why);
    struct schema_pattern *built = pl_arena_alloc(arena, sizeof(*built));
    struct builder builder = {.pattern = built};
    struct pattern_state *states = calloc(PATTERN_STATES, sizeof(*states));

    if (!tree || !built || !states) {
        if (!states) /* the arena carries it to the caller */
            (void)pl_arena_alloc_array(arena, SIZE_MAX, 2);
        free(states);
        return NULL;
    }
    built->tree = tree;
    built->states = states;
    build_looks(&builder, tree);
    built->start = here(&builder);
    emit(&builder, tree);
    (void)add_state(&builder, PATTERN_OP_MATCH);
    *ret_why = builder.why;
    built->states = pl_arena_alloc_array(arena, built->n_states, sizeof(*states));
    if (built->states)
        memcpy(built->states, states, built->n_states * sizeof(*states));
    free(states);
    return builder.why || !built->states ? NULL : built;
}

/* ---- matching ---- */

struct run {
    const struct schema_pattern *pattern;
    struct pl_str text;
    uint64_t work;
    uint16_t *now, *soon, *open; /* states: at this position, at the next, still to be followed */
    size_t n_now, n_soon;
    uint32_t *seen; /* by state: the position, counted, where it was last added */
    uint32_t position;
    unsigned char *bits; /* what looks around: a bit a byte of the text, one row after the other */
    size_t row;          /* bytes */
    bool matched;
};

static bool is_word(const struct run *run, size_t at)
{
    char c = at < run->text.len ? run->text.ptr[at] : ' ';

    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

/* Whether a state that takes no character may be passed at an offset of the text. */
static bool holds(const struct run *run, const struct pattern_state *state, size_t at)
{
    bool border;

    if (state->op == PATTERN_OP_BEGIN)
        return at == 0;
    if (state->op == PATTERN_OP_END)
        return at == run->text.len;
    if (state->op == PATTERN_OP_LOOK)
        return (run->bits[state->to * run->row + at / 8] >> at % 8 & 1) != state->negated;
    border = (at > 0 && is_word(run, at - 1)) != is_word(run, at);
    return border == (state->op == PATTERN_OP_WORD);
}

/* Adds a state and all that can be reached from it without a character to `soon`. */
static void follow(struct run *run, uint16_t first, size_t at)
{
    const struct pattern_state *states = run->pattern->states;
    size_t n_open = 0;

    run->open[n_open++] = first;
    while (n_open > 0) {
        uint16_t number = run->open[--n_open];
        const struct pattern_state *state = &states[number];

        if (run->seen[number] == run->position)
            continue;
        run->seen[number] = run->position;
        run->work -= run->work > 0;
        switch (state->op) {
        case PATTERN_OP_SET:
            run->soon[run->n_soon++] = number;
            break;
        case PATTERN_OP_SPLIT:
            run->open[n_open++] = state->other;
            run->open[n_open++] = state->to;
            break;
        case PATTERN_OP_JUMP:
            run->open[n_open++] = state->to;
            break;
        case PATTERN_OP_MATCH:
            run->matched = true;
            break;
        case PATTERN_OP_BEGIN:
        case PATTERN_OP_END:
        case PATTERN_OP_WORD:
        case PATTERN_OP_NO_WORD:
        case PATTERN_OP_LOOK:
            if (holds(run, state, at))
                run->open[n_open++] = (uint16_t)(number + 1);
        }
    }
}

/* The character at `*at`, or before it; moves there. */
static uint32_t next_code(const struct run *run, bool backwards, size_t *at)
{
    const unsigned char *text = (const unsigned char *)run->text.ptr;
    size_t from = *at, to = *at + 1;
    uint32_t code;

    if (backwards) {
        for (from--; from > 0 && (text[from] & 0xC0) == 0x80;)
            from--;
        to = *at;
    } else {
        while (to < run->text.len && (text[to] & 0xC0) == 0x80)
            to++;
    }
    *at = backwards ? from : to;
    code = text[from] < 0xC0 ? text[from] : text[from] & (0x7Fu >> (to - from));
    for (size_t i = from + 1; i < to; i++)
        code = code << 6 | (text[i] & 0x3F);
    return code;
}

/* Follows the states over the whole text, a new start at each position. Without `bits` it ends at
 * the first match; else it sets the bit of each position where a match ends. */
static void scan(struct run *run, uint16_t start, bool backwards, unsigned char *bits)
{
    const struct pattern_state *states = run->pattern->states;
    const bool anchored = states[start].op == PATTERN_OP_BEGIN && !backwards;
    const size_t end = backwards ? 0 : run->text.len;
    size_t at = backwards ? run->text.len : 0;

    memset(run->seen, 0, run->pattern->n_states * sizeof(run->seen[0]));
    run->position = 1;
    run->n_soon = 0;
    for (run->matched = false;; run->position++) {
        uint16_t *swap = run->now;
        uint32_t code;

        follow(run, start, at);
        if (run->matched && bits)
            bits[at / 8] |= (unsigned char)(1u << at % 8);
        if (at == end || run->work == 0 || (run->matched && !bits) ||
            (anchored && run->n_soon == 0))
            return;
        run->matched = false;
        run->now = run->soon;
        run->n_now = run->n_soon;
        run->soon = swap;
        run->n_soon = 0;
        code = next_code(run, backwards, &at);
        run->work -= run->work > 0;
        run->position++; /* 0 is no position: texts are shorter than 2^31 */
        for (size_t i = 0; i < run->n_now; i++)
            if (pattern_set_has(states[run->now[i]].set, code))
                follow(run, (uint16_t)(run->now[i] + 1), at);
        run->position--;
    }
}

void schema_matcher_finish(struct schema_matcher *matcher)
{
    free(matcher->memory);
    *matcher = (struct schema_matcher){0};
}

static bool take_memory(struct schema_matcher *matcher, size_t size)
{
    void *memory;

    if (size <= matcher->size)
        return true;
    memory = malloc(size);
    if (!memory)
        return false;
    free(matcher->memory);
    *matcher = (struct schema_matcher){.memory = memory, .size = size};
    return true;
}

enum schema_match schema_pattern_match(const struct schema_pattern *pattern,
                                       struct schema_matcher *matcher, struct pl_str text,
                                       uint64_t *work)
{
    const size_t n = pattern->n_states;
    struct run run = {.pattern = pattern, .text = text, .work = *work, .row = text.len / 8 + 1};

    /* `open` holds at most two states for each that is added. */
    if (!take_memory(matcher, n * (sizeof(uint32_t) + 4 * sizeof(uint16_t)) + sizeof(uint16_t) +
                                  pattern->n_looks * run.row))
        return SCHEMA_MATCH_NO_MEMORY;
    run.seen = matcher->memory;
    run.now = (uint16_t *)(run.seen + n);
    run.soon = run.now + n;
    run.open = run.soon + n;
    run.bits = (unsigned char *)(run.open + 2 * n + 1);
    memset(run.bits, 0, pattern->n_looks * run.row);
    for (size_t i = 0; i < pattern->n_looks; i++)
        scan(&run, pattern->looks[i].start, pattern->looks[i].backwards, run.bits + i * run.row);
    scan(&run, pattern->start, false, NULL);
    *work = run.work;
    if (run.matched)
        return SCHEMA_MATCH;
    return run.work == 0 ? SCHEMA_MATCH_NO_WORK : SCHEMA_NO_MATCH;
}
