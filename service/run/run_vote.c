/* run_vote.c - vote: the same task many times or by many, then a winner. Not who wins (run_tally)
 * nor the branches' results (run_slots). Called through the table of kinds.
 *
 * The join (settled unless said) says when the votes are in; then the vote concludes: at once by
 * its tally, or after a judge, or after each counted branch was scored. While a judge or scores run
 * the step is CLOSING. */
#include "service/run/run_vote.h"
#include "base/json.h"
#include "base/limits.h"

#include <stdlib.h>

struct run_vote {
    struct run_slots slots; /* first */
    size_t scoring;         /* score frames begun and not ended */
};

static const struct vote_config *config_of(const struct run_node *node)
{
    return node->def->config.vote;
}

static struct run_vote *vote_of(const struct run_node *node)
{
    return (struct run_vote *)node->inner;
}

static size_t branches_of(const struct run_node *node)
{
    return config_of(node)->n_among ? config_of(node)->n_among : config_of(node)->samples;
}

static const struct step_body *body_of(const struct run_node *node, size_t index)
{
    return node->def->bodies[config_of(node)->n_among ? index : 0];
}

static bool make_inner(struct run_node *node)
{
    struct run_vote *vote = calloc(1, sizeof(*vote));

    if (!vote)
        return false;
    pl_list_init(&vote->slots.inner.frames);
    node->inner = &vote->slots.inner;
    return run_slots_init(&vote->slots, branches_of(node));
}

static void begin(struct run_core *core, struct run_node *node)
{
    if (!make_inner(node)) {
        core->out_of_memory = true;
        return;
    }
    if (!run_branches_begin(core, node, branches_of(node)))
        return;
    for (size_t i = 0; i < branches_of(node) && !core->out_of_memory; i++) {
        run_slots_of(node)->begun++;
        run_slots_begin(core, node, body_of(node, i), i, NULL);
    }
}

/* ---- candidates ---- */

static void add_candidate(const struct run_node *node, size_t index, struct pl_buf *out)
{
    json_object_begin(out);
    json_key(out, "id");
    run_vote_write_id(node, index, out);
    json_add_raw(out, "output", pl_value_text(run_slots_branch(run_slots_of(node), index).output));
    json_object_end(out);
}

/* `index` < 0: all that count, as a list; else that one. NULL: no memory. */
static struct pl_value *candidates(const struct run_node *node, int index)
{
    const struct run_slots *slots = run_slots_of(node);
    struct pl_value *value;
    struct pl_buf out;

    pl_buf_init(&out, SIZE_MAX / 2);
    if (index >= 0) {
        add_candidate(node, (size_t)index, &out);
    } else {
        json_array_begin(&out);
        for (size_t i = 0; i < slots->n; i++) {
            if (!run_slots_votes(slots, i))
                continue;
            json_comma(&out);
            add_candidate(node, i, &out);
        }
        json_array_end(&out);
    }
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* ---- concluding ---- */

static void win(struct run_core *core, struct run_node *node, int winner)
{
    struct join_branch branch = run_slots_branch(run_slots_of(node), (size_t)winner);

    node->join->winner = winner;
    run_node_succeed(core, node, branch.output ? pl_value_ref(branch.output) : pl_value_null());
}

static void lose(struct run_core *core, struct run_node *node, enum pl_code code)
{
    const char *detail = "no answer has the votes it needs";

    if (code == PL_ERR_NO_MAJORITY)
        detail = "no answer has more than half of the votes that count";
    else if (code == PL_ERR_EXPRESSION_ERROR)
        detail = "the key or score of a branch is no number";
    run_node_fail_with(core, node, code, detail);
}

static void open_frame(struct run_core *core, struct run_node *node, int body, uint32_t number,
                       struct pl_value *value)
{
    struct run_frame *frame;

    if (!value) {
        core->out_of_memory = true;
        return;
    }
    if (node->state != NODE_CLOSING)
        run_node_move(core, node, NODE_CLOSING);
    frame = run_frame_create(core, node->def->bodies[body], node, 0, number, value);
    if (frame)
        run_frame_begin(core, frame);
}

static bool has_votes(const struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);

    for (size_t i = 0; i < slots->n; i++)
        if (run_slots_votes(slots, i))
            return true;
    return false;
}

static void ask_judge(struct run_core *core, struct run_node *node)
{
    if (!has_votes(node))
        lose(core, node, PL_ERR_NO_DECISION);
    else
        open_frame(core, node, config_of(node)->judge_body, 0, candidates(node, -1));
}

/* The elements of the lists that were voted for, each once, in their order. */
static void unite(struct run_core *core, struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_value *value = NULL;
    struct pl_buf out;

    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    if (arena) {
        run_union_write(slots, arena, &out);
        value = pl_arena_failed(arena) ? NULL : pl_value_take(&out);
    }
    run_branches_succeed(core, node, value, out.too_large);
    pl_buf_finish(&out);
    pl_arena_destroy(&arena);
}

static void conclude_by_tally(struct run_core *core, struct run_node *node)
{
    const struct vote_config *vote = config_of(node);
    struct pl_arena *arena = pl_arena_create(0);
    enum pl_code code = PL_ERR_NO_DECISION;
    bool tie = false;
    struct tally tally;
    int winner = -1;

    if (!arena || !run_tally_count(node, arena, &tally))
        core->out_of_memory = true;
    else if (vote->method == VOTE_MEDIAN)
        winner = run_tally_median(node, arena, &code);
    else
        winner = run_tally_winner(node, &tally, &tie, &code);
    pl_arena_destroy(&arena);
    if (core->out_of_memory)
        return;
    if (tie && vote->on_tie == VOTE_TIE_JUDGE)
        ask_judge(core, node);
    else if (winner < 0 || (tie && vote->on_tie == VOTE_TIE_FAIL))
        lose(core, node, winner < 0 ? code : PL_ERR_NO_DECISION);
    else
        win(core, node, winner);
}

static void conclude_best(struct run_core *core, struct run_node *node)
{
    enum pl_code code;
    int winner = run_tally_best(node, &code);

    if (winner < 0)
        lose(core, node, code);
    else
        win(core, node, winner);
}

static void begin_scores(struct run_core *core, struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);

    if (!has_votes(node)) {
        lose(core, node, PL_ERR_NO_DECISION);
        return;
    }
    for (size_t i = 0; i < slots->n && !core->out_of_memory; i++) {
        if (!run_slots_votes(slots, i))
            continue;
        vote_of(node)->scoring++;
        open_frame(core, node, config_of(node)->score_body, (uint32_t)i, candidates(node, (int)i));
    }
}

static void conclude(struct run_core *core, struct run_node *node)
{
    const struct vote_config *vote = config_of(node);

    if (vote->method == VOTE_JUDGE)
        ask_judge(core, node);
    else if (vote->method == VOTE_UNION)
        unite(core, node);
    else if (vote->method == VOTE_BEST_OF && vote->score_body >= 0)
        begin_scores(core, node);
    else if (vote->method == VOTE_BEST_OF)
        conclude_best(core, node);
    else
        conclude_by_tally(core, node);
}

/* ---- the judge's word ---- */

/* The counted branch whose id is `word`, -1: none. */
static int find_candidate(struct run_core *core, const struct run_node *node, struct pl_str word)
{
    const struct run_slots *slots = run_slots_of(node);
    int found = -1;

    for (size_t i = 0; i < slots->n && found < 0; i++) {
        struct pl_buf id;

        if (!run_slots_votes(slots, i))
            continue;
        pl_buf_init(&id, 2 * PL_LIMIT_NAME);
        run_vote_write_id(node, i, &id);
        core->out_of_memory |= pl_buf_failed(&id);
        if (json_equal(pl_buf_view(&id), word) || /* a number may be written as text */
            (json_type(word) == JSON_STRING &&
             pl_str_eq(pl_str_n(word.ptr + 1, word.len - 2), pl_buf_view(&id))))
            found = (int)i;
        pl_buf_finish(&id);
    }
    return found;
}

static void judge_ended(struct run_core *core, struct run_node *node, const struct run_node *step)
{
    struct pl_str word = pl_value_text(step->output);
    int winner;

    if (step->state != NODE_SUCCEEDED && !step->handled) {
        run_inside_fail(core, node, run_problem_of_branch(step), CANCEL_SIBLING_FAILED);
        return;
    }
    if (json_type(word) == JSON_OBJECT && !json_get(word, PL_STR("choice"), &word))
        word = PL_STR("null");
    winner = find_candidate(core, node, word);
    if (winner >= 0)
        win(core, node, winner);
    else if (!core->out_of_memory)
        run_node_fail_with(core, node, PL_ERR_NO_DECISION,
                           "the judge named none of the candidates; it must give the id of one, or "
                           "an object with it as `choice`");
}

/* The number a scoring step gave: itself, or its `score`. */
static void score_ended(struct run_core *core, struct run_frame *frame, const struct run_node *step)
{
    struct run_node *node = frame->owner;
    struct pl_str score = pl_value_text(step->output);
    struct run_slot *slot = run_slots_get(core, run_slots_of(node), frame->number);

    if (!slot)
        return;
    if (step->state != NODE_SUCCEEDED && !step->handled) {
        if (node->failure == PL_OK && node->reason == CANCEL_NONE)
            run_inside_fail(core, node, run_problem_of_branch(step), CANCEL_SIBLING_FAILED);
        return;
    }
    if (json_type(score) == JSON_OBJECT && !json_get(score, PL_STR("score"), &score))
        score = PL_STR("null");
    pl_value_unref(&slot->key);
    slot->key = pl_value_new(score);
    if (!slot->key)
        core->out_of_memory = true;
    else if (--vote_of(node)->scoring == 0 && node->failure == PL_OK && node->reason == CANCEL_NONE)
        conclude_best(core, node);
}

/* ---- branches ---- */

static void end_early(struct run_core *core, struct run_node *node)
{
    struct pl_arena *arena;
    bool fixed;

    if (node->state != NODE_JOINING || !config_of(node)->stop_early)
        return;
    arena = pl_arena_create(0);
    fixed = arena && run_tally_is_fixed(node, arena);
    pl_arena_destroy(&arena);
    if (!fixed)
        return;
    node->join->decided = node->join->satisfied = node->join->fixed = true;
    run_branches_decided(core, node, NULL, false);
}

static void step_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    switch (frame->body->role) {
    case BODY_BRANCH:
        run_branches_ended(core, node, step, frame->number);
        end_early(core, node);
        return;
    case BODY_JUDGE:
        if (node->failure == PL_OK && node->reason == CANCEL_NONE)
            judge_ended(core, node, step);
        return;
    case BODY_SCORE:
        score_ended(core, frame, step);
        return;
    case BODY_ROOT:
    case BODY_COLLAPSE:
    case BODY_TURN:
    case BODY_TOOL:
    case BODY_LISTING:
    case BODY_INLINE:
        return;
    }
}

static void frame_over(struct run_core *core, struct run_frame *frame)
{
    if (frame->body->role == BODY_BRANCH)
        run_slots_frame_over(core, frame);
    if (frame->owner->state == NODE_CLOSING)
        run_node_try_close(core, frame->owner);
}

/* The branches; and, when what came behind them has failed, the judge or the other scores. */
static void stop(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    struct pl_list *next;

    run_slots_stop(core, node, reason);
    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        next = link->next;
        if (frame->body->role != BODY_BRANCH && !frame->over)
            run_frame_cancel(core, frame, reason);
    }
}

static void closed(struct run_core *core, struct run_node *node)
{
    if (node->failure != PL_OK)
        run_node_fail(core, node, pl_value_ref(node->error));
    else
        conclude(core, node);
}

/* ---- loading ---- */

static enum pl_code load(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    (void)core;
    if (!node->join || make_inner(node))
        return PL_OK;
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static bool fits(struct run_core *core, const struct run_node *node, const struct step_body *body,
                 uint32_t level, uint32_t number, struct pl_value **ret_value)
{
    (void)core;
    (void)level;
    (void)ret_value;
    return body->role == BODY_JUDGE || number < branches_of(node);
}

/* What judges and scores look at follows from the branches. */
static void derive_values(struct run_core *core, struct run_node *node)
{
    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = link->next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);
        struct run_slot *slot;
        const struct run_node *step;
        struct pl_str score;

        if (frame->body->role == BODY_BRANCH)
            continue;
        frame->value = candidates(node, frame->body->role == BODY_JUDGE ? -1 : (int)frame->number);
        core->out_of_memory |= !frame->value;
        if (frame->body->role == BODY_JUDGE)
            continue;
        step = run_frame_step(frame);
        if (!run_node_is_final(step)) {
            vote_of(node)->scoring++;
            continue;
        }
        if (step->state != NODE_SUCCEEDED && !step->handled)
            continue;
        slot = run_slots_get(core, run_slots_of(node), frame->number);
        score = pl_value_text(step->output);
        if (json_type(score) == JSON_OBJECT && !json_get(score, PL_STR("score"), &score))
            score = PL_STR("null");
        if (!slot || slot->key)
            continue;
        slot->key = pl_value_new(score);
        core->out_of_memory |= !slot->key;
    }
}

static void placed(struct run_core *core, struct run_frame *frame)
{
    if (frame->body->role == BODY_BRANCH)
        run_slots_place(core, frame);
}

static struct run_frame *find(const struct run_node *node, const struct step_body *body,
                              uint32_t level, uint32_t number)
{
    (void)body;
    (void)level;
    return run_slots_frame(run_slots_of(node), number);
}

static enum pl_code derive(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    (void)err;
    if (!node->inner)
        return PL_OK;
    run_slots_derive(core, node);
    run_slots_of(node)->begun = run_slots_of(node)->n; /* all begin at once */
    derive_values(core, node);
    return core->out_of_memory ? pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory") : PL_OK;
}

static const char *check(const struct run_core *core, const struct run_node *node)
{
    (void)core;
    return node->inner ? run_slots_check(node) : NULL;
}

static void destroy(struct run_node *node)
{
    run_slots_finish(run_slots_of(node));
}

const struct run_kind run_kind_vote = {
    .begin = begin,
    .step_ended = step_ended,
    .frame_over = frame_over,
    .closed = closed,
    .stop = stop,
    .timer = run_inside_timer,
    .destroy = destroy,
    .fits = fits,
    .placed = placed,
    .find = find,
    .load = load,
    .derive = derive,
    .check = check,
};
