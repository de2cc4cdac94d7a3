/* run_state.c - see run_state.h. */
#include "service/run/run_state.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_core_private.h"
#include "service/steps/reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One gathering. */
struct gatherer {
    struct pl_arena *arena;
    struct run_writes *writes;
    bool failed;
};

static void add(struct gatherer *g, struct pl_str value)
{
    struct run_writes *writes = g->writes;

    if (writes->n == writes->capacity) {
        size_t capacity = writes->capacity ? writes->capacity * 2 : 16;
        struct pl_str *grown = pl_arena_alloc_array(g->arena, capacity, sizeof(*grown));

        if (!grown) {
            g->failed = true;
            return;
        }
        if (writes->n)
            memcpy(grown, writes->values, writes->n * sizeof(*grown));
        writes->values = grown;
        writes->capacity = capacity;
    }
    writes->values[writes->n++] = value;
}

/* ---- everything inside a step that is over ---- */

static void add_frame(struct gatherer *g, const struct run_frame *frame);

/* Channels of two bodies may have one name. */
static bool writes_to(const struct step_def *def, const struct state_channel *channel)
{
    for (size_t i = 0; i < def->n_writes; i++)
        if (def->writes[i].channel == channel)
            return true;
    return false;
}

static void add_own(struct gatherer *g, const struct run_node *node)
{
    struct pl_str value;

    if (node->state == NODE_SUCCEEDED && node->writes && writes_to(node->def, g->writes->channel) &&
        json_get(pl_value_text(node->writes), g->writes->channel->name, &value))
        add(g, value);
}

static void add_left(struct gatherer *g, const struct run_left *left)
{
    for (size_t i = 0; i < left->n; i++)
        if (left->entries[i].channel == g->writes->channel)
            add(g, pl_value_text(left->entries[i].value));
}

/* An instance, live or gone. */
struct place {
    const struct step_body *body;
    uint32_t level, number;
};

static struct place place_of(const struct run_frame *frame)
{
    return (struct place){frame->body, frame->level, frame->number};
}

static struct place place_left(const struct run_left *left)
{
    return (struct place){left->body, left->level, left->number};
}

static uint32_t turn_of(struct place at)
{
    return at.body->role == BODY_TOOL ? at.level : at.number;
}

/* Does a group of collapse stand on it: an item, or a group below? */
static bool is_below(struct place at, struct place group)
{
    uint64_t each = group.body->owner->config.map->fan_in, inputs = 1;
    uint32_t levels = at.body->role == BODY_BRANCH ? group.level + 1 : group.level - at.level;

    if (at.body->role == BODY_COLLAPSE && at.level >= group.level)
        return false;
    for (uint32_t i = 0; i < levels && inputs <= UINT32_MAX; i++)
        inputs *= each;
    return at.number / inputs == group.number;
}

/* Was an instance over before another one of the same step could begin, because that waits for it?
 */
static bool is_before(struct place at, struct place reader)
{
    switch (reader.body->role) {
    case BODY_TURN:
    case BODY_TOOL:
        return turn_of(at) < turn_of(reader);
    case BODY_JUDGE:
    case BODY_SCORE:
        return at.body->role == BODY_BRANCH;
    case BODY_COLLAPSE:
        return is_below(at, reader);
    case BODY_ROOT:
    case BODY_BRANCH:
    case BODY_INLINE:
    case BODY_LISTING:
        break;
    }
    return false;
}

/* Frames that are gone have left what they wrote; the others are asked. Both in order. `reader`:
 * an instance, those that were before it only; NULL: all. */
static void add_frames(struct gatherer *g, const struct run_node *node,
                       const struct run_frame *reader)
{
    struct run_inner *inner = node->inner;
    const struct run_left *left = inner ? inner->left : NULL;
    struct run_frame **frames;
    size_t n = 0, at = 0;

    if (!inner)
        return;
    frames = run_frames_in_order(node, g->arena, &n);
    if (!frames) {
        g->failed = true;
        return;
    }
    while (left || at < n) {
        if (left && (at == n || run_left_is_before(left, frames[at]))) {
            if (!reader || is_before(place_left(left), place_of(reader)))
                add_left(g, left);
            left = left->next;
        } else {
            if (!reader || is_before(place_of(frames[at]), place_of(reader)))
                add_frame(g, frames[at]);
            at++;
        }
    }
}

/* A branch that its join did not count has written nothing. */
static bool is_left_out(const struct run_node *node)
{
    return run_node_is_branch(node) && !node->counted;
}

static void add_whole(struct gatherer *g, const struct run_node *node)
{
    const struct step_def *def = node->def;

    if (is_left_out(node))
        return;
    for (size_t i = 0; i < def->n_children; i++)
        add_whole(g, run_node_at(node->frame, def->children[i]));
    add_frames(g, node, NULL);
    if (def->handler)
        add_whole(g, run_node_at(node->frame, def->handler));
    add_own(g, node);
}

static void add_all(struct gatherer *g, const struct run_frame *frame)
{
    for (size_t i = 0; i < frame->body->n_top; i++)
        add_whole(g, run_node_at(frame, frame->body->top[i]));
}

static void add_frame(struct gatherer *g, const struct run_frame *frame)
{
    if (frame->body->writes)
        add_all(g, frame);
}

/* ---- what was before a step ---- */

/* Marks what `def` waits for, what that waits for, and so on; by slot. */
static void mark(const struct step_def *def, bool *before);

static void mark_inside(const struct step_def *def, bool *before)
{
    mark(def, before);
    for (size_t i = 0; i < def->n_children; i++)
        mark_inside(def->children[i], before);
}

static void mark(const struct step_def *def, bool *before)
{
    for (size_t i = 0; i < def->n_deps; i++) {
        const struct step_def *dep = def->deps[i];

        if (before[dep->slot])
            continue;
        before[dep->slot] = true;
        mark_inside(dep, before);
    }
}

/* The steps of the frame that were over before `node` could begin; by slot. NULL: no memory. */
static bool *find_before(struct gatherer *g, const struct run_node *node)
{
    const struct run_frame *frame = node->frame;
    bool *before = pl_arena_alloc_array(g->arena, frame->n_nodes + 1, sizeof(*before));

    g->failed |= !before;
    for (const struct step_def *def = node->def; before && def && def->body == frame->body;
         def = def->parent)
        mark(def, before);
    return before;
}

/* Who reads: a step of `frame`, or (NULL) what `frame` came to, once all of it is over. */
struct reader {
    const struct run_node *node;
    const struct run_frame *frame;
};

/* From the frame the channel belongs to, down to the reader. What came before the step around the
 * reader stands on both sides of it: the order is that of the document. */
static void add_ancestors(struct gatherer *g, const struct run_frame *frame,
                          const struct reader *reader)
{
    const struct run_frame *inner = NULL, *at = reader->frame;
    const struct run_node *node = reader->node;
    bool *before;

    for (; at != frame; at = node->frame) {
        inner = at;
        node = at->owner;
    }
    if (!node) {
        add_all(g, frame);
        return;
    }
    before = find_before(g, node);
    for (size_t i = 0; before && i < frame->n_nodes; i++) {
        if (before[i] && !run_node_at(frame, frame->body->steps[i])->def->is_handler)
            add_whole(g, &frame->nodes[i]);
        if (inner && i == node->def->slot) {
            add_frames(g, node, inner);
            add_ancestors(g, inner, reader);
        }
    }
}

/* ---- gathering ---- */

/* The frame whose state it is. */
static const struct run_frame *home_of(const struct run_frame *frame,
                                       const struct state_channel *channel)
{
    while (frame && frame->body != channel->body)
        frame = frame->owner ? frame->owner->frame : NULL;
    return frame;
}

bool run_state_gather(const struct run_core *core, const struct run_node *reader,
                      const struct run_frame *frame, const struct state_channel *channel,
                      struct pl_arena *arena, struct run_writes *ret_writes)
{
    struct gatherer g = {.arena = arena, .writes = ret_writes};
    const struct reader who = {reader, reader ? reader->frame : frame};
    const struct run_frame *home = home_of(who.frame, channel);

    (void)core;
    *ret_writes = (struct run_writes){.channel = channel};
    if (!home)
        return true;
    if (home->state && json_get(pl_value_text(home->state), channel->name, &ret_writes->left)) {
        ret_writes->has_left = true;
    } else if (channel->initial.ptr) {
        ret_writes->left = channel->initial;
        ret_writes->has_left = true;
    }
    add_ancestors(&g, home, &who);
    return !g.failed;
}

void run_core_set_state(struct run_core *core, struct pl_value *state)
{
    pl_value_unref(&core->root->state);
    core->root->state = pl_value_ref(state);
}

/* ---- folding ---- */

void run_state_write_document(const struct run_writes *writes, struct pl_buf *out)
{
    json_object_begin(out);
    json_add_raw(out, "left", writes->has_left ? writes->left : PL_STR("null"));
    json_add_bool(out, "has_left", writes->has_left);
    json_key(out, "writes");
    json_array_begin(out);
    for (size_t i = 0; i < writes->n; i++) {
        json_comma(out);
        pl_buf_str(out, writes->values[i]);
    }
    json_array_end(out);
    json_object_end(out);
}

static enum pl_code wrong(const struct run_writes *writes, struct pl_str value, const char *wants,
                          struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "state channel %.*s wants %s, not %.*s%s",
                      PL_STR_ARG(writes->channel->name), wants,
                      (int)(value.len < 60 ? value.len : 60), value.ptr,
                      value.len < 60 ? "" : "...");
}

/* One message or several, or a text that is the assistant's. */
static enum pl_code add_messages(const struct run_writes *writes, struct pl_str value,
                                 struct pl_buf *out, struct pl_err *err)
{
    struct json_iter it;

    switch (json_type(value)) {
    case JSON_STRING:
        json_comma(out);
        json_object_begin(out);
        json_add_string(out, "role", PL_STR("assistant"));
        json_add_raw(out, "content", value);
        json_object_end(out);
        return PL_OK;
    case JSON_OBJECT:
        json_comma(out);
        pl_buf_str(out, value);
        return PL_OK;
    case JSON_ARRAY:
        for (json_iter_init(&it, value); json_iter_next(&it);) {
            json_comma(out);
            pl_buf_str(out, it.value);
        }
        return PL_OK;
    case JSON_NULL:
        return PL_OK;
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
        break;
    }
    return wrong(writes, value, "a text, a message or a list of messages", err);
}

static enum pl_code fold_messages(const struct run_writes *writes, struct pl_buf *out,
                                  struct pl_err *err)
{
    enum pl_code code = PL_OK;

    json_array_begin(out);
    if (writes->has_left)
        code = add_messages(writes, writes->left, out, err);
    for (size_t i = 0; code == PL_OK && i < writes->n; i++)
        code = add_messages(writes, writes->values[i], out, err);
    json_array_end(out);
    return code;
}

static enum pl_code fold_append(const struct run_writes *writes, struct pl_buf *out,
                                struct pl_err *err)
{
    struct json_iter it;

    if (writes->has_left && json_type(writes->left) != JSON_ARRAY)
        return wrong(writes, writes->left, "a list to append to", err);
    json_array_begin(out);
    if (writes->has_left)
        for (json_iter_init(&it, writes->left); json_iter_next(&it);) {
            json_comma(out);
            pl_buf_str(out, it.value);
        }
    for (size_t i = 0; i < writes->n; i++) {
        json_comma(out);
        pl_buf_str(out, writes->values[i]);
    }
    json_array_end(out);
    return PL_OK;
}

/* The left value and the writes as one list, which `reduce` then takes. */
static enum pl_code fold_as_reduce(const struct run_writes *writes, enum reduce_with with,
                                   struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code;
    struct pl_buf list;

    pl_buf_init(&list, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_array_begin(&list);
    if (writes->has_left) {
        json_comma(&list);
        pl_buf_str(&list, writes->left);
    }
    for (size_t i = 0; i < writes->n; i++) {
        json_comma(&list);
        pl_buf_str(&list, writes->values[i]);
    }
    json_array_end(&list);
    if (pl_buf_failed(&list))
        code = pl_err_set(err, PL_ERR_TOO_LARGE, "state channel %.*s is over the limit",
                          PL_STR_ARG(writes->channel->name));
    else
        code = reduce_write(with, pl_buf_view(&list), out, err);
    pl_buf_finish(&list);
    return code;
}

/* unique and sort: lists are put behind each other first. */
static enum pl_code fold_lists(const struct run_writes *writes, enum reduce_with with,
                               struct pl_buf *out, struct pl_err *err)
{
    struct pl_buf all;
    enum pl_code code;

    pl_buf_init(&all, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = fold_as_reduce(writes, REDUCE_CONCAT, &all, err);
    if (code == PL_OK && pl_buf_failed(&all))
        code = pl_err_set(err, PL_ERR_TOO_LARGE, "state channel %.*s is over the limit",
                          PL_STR_ARG(writes->channel->name));
    if (code == PL_OK)
        code = reduce_write(with, pl_buf_view(&all), out, err);
    pl_buf_finish(&all);
    return code;
}

static enum pl_code fold(const struct run_writes *writes, struct pl_buf *out, struct pl_err *err)
{
    switch (writes->channel->reducer) {
    case REDUCER_NONE:
    case REDUCER_LAST:
    case REDUCER_PROGRAM:
        break;
    case REDUCER_APPEND:
        return fold_append(writes, out, err);
    case REDUCER_CONCAT:
        return fold_as_reduce(writes, REDUCE_CONCAT, out, err);
    case REDUCER_MERGE:
        return fold_as_reduce(writes, REDUCE_MERGE, out, err);
    case REDUCER_SUM:
        return fold_as_reduce(writes, REDUCE_SUM, out, err);
    case REDUCER_MIN:
        return fold_as_reduce(writes, REDUCE_MIN, out, err);
    case REDUCER_MAX:
        return fold_as_reduce(writes, REDUCE_MAX, out, err);
    case REDUCER_UNIQUE:
        return fold_lists(writes, REDUCE_UNIQUE, out, err);
    case REDUCER_SORT:
        return fold_lists(writes, REDUCE_SORT, out, err);
    case REDUCER_MESSAGES:
        return fold_messages(writes, out, err);
    }
    if (writes->n)
        pl_buf_str(out, writes->values[writes->n - 1]);
    else
        pl_buf_str(out, writes->has_left ? writes->left : PL_STR("null"));
    return PL_OK;
}

enum pl_code run_state_fold(const struct run_writes *writes, struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = fold(writes, out, err);
    char why[PL_ERR_MESSAGE_MAX];

    if (code != PL_ERR_EXPRESSION_ERROR || !err || strncmp(err->message, "state channel", 13) == 0)
        return code;
    snprintf(why, sizeof(why), "%s", err->message);
    return pl_err_set(err, code, "state channel %.*s: %s", PL_STR_ARG(writes->channel->name), why);
}
