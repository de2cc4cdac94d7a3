/* run_map.c - map: one branch an item, begun in order as `concurrency` allows, joined into a list.
 * Not the join (run_branches, run_join), the branches' results (run_slots) nor the tree above them
 * (run_collapse). Called through the table of kinds.
 *
 * An item costs a slot until it begins, a frame while it runs and a slot again afterwards, so what
 * a wide map holds is its results and what is under way. */
#include "service/run/run_map.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_warm.h"

#include <stdlib.h>

static const struct map_config *config_of(const struct run_node *node)
{
    return node->def->config.map;
}

static struct run_map *map_of(const struct run_node *node)
{
    return (struct run_map *)node->inner;
}

/* ---- items ---- */

/* Where each item stands in the list, so that none is looked for twice. */
static bool find_items(struct run_map *map, struct pl_str list)
{
    struct json_iter it;
    size_t n = 0;

    map->items = malloc((map->n_items + 1) * sizeof(*map->items));
    if (!map->items)
        return false;
    for (json_iter_init(&it, list); n < map->n_items && json_iter_next(&it);)
        map->items[n++] = it.value;
    return true;
}

static size_t per_branch(const struct run_node *node)
{
    return config_of(node)->batch ? config_of(node)->batch : 1;
}

/* How many items branch `index` has. */
static size_t items_of(const struct run_node *node, size_t index)
{
    size_t each = per_branch(node), from = index * each, n = map_of(node)->n_items;

    return n - from < each ? n - from : each;
}

/* What branch `index` sees: .item, or .items with `batch`. */
static struct pl_value *branch_value(const struct run_node *node, size_t index)
{
    const struct run_map *map = map_of(node);
    size_t from = index * per_branch(node);
    struct pl_str last;
    struct pl_value *value;
    struct pl_buf out;

    if (!config_of(node)->batch)
        return pl_value_new(map->items[from]);
    last = map->items[from + items_of(node, index) - 1];
    pl_buf_init(&out, SIZE_MAX / 2);
    pl_buf_char(&out, '[');
    pl_buf_str(
        &out, pl_str_n(map->items[from].ptr, (size_t)(last.ptr + last.len - map->items[from].ptr)));
    pl_buf_char(&out, ']');
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* ---- beginning ---- */

static void begin(struct run_core *core, struct run_node *node)
{
    run_node_move(core, node, NODE_PREPARING);
    run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_BEGIN);
}

/* What the list in node->memo says. False: no memory. */
static bool make_inner(struct run_node *node)
{
    struct pl_str list = pl_value_text(node->memo);
    struct run_map *map = calloc(1, sizeof(*map));
    size_t each = per_branch(node);

    if (!map)
        return false;
    pl_list_init(&map->slots.inner.frames);
    node->inner = &map->slots.inner;
    map->n_items = json_count(list);
    return run_slots_init(&map->slots, (map->n_items + each - 1) / each) && find_items(map, list) &&
           run_collapse_init(node);
}

static unsigned may_run(const struct run_node *node)
{
    return node->join->warming ? 1 : config_of(node)->concurrency;
}

/* Each map may have one item running whatever the others have: so all of them get on. */
static bool has_room(struct run_core *core, const struct run_node *node)
{
    const struct run_map *map = map_of(node);

    if (map->running == 0)
        return true;
    core->crowded |= core->n_live >= core->max_live;
    return map->running < may_run(node) && core->n_live < core->max_live;
}

/* Begins items until as many run as may. */
static void fill(struct run_core *core, struct run_node *node)
{
    struct run_map *map = map_of(node);
    struct run_slots *slots = &map->slots;

    while (node->state == NODE_JOINING && has_room(core, node) && slots->begun < slots->n &&
           !core->out_of_memory) {
        size_t index = slots->begun++;
        struct pl_value *value = branch_value(node, index);

        if (!value) {
            core->out_of_memory = true;
            return;
        }
        map->running++;
        run_slots_begin(core, node, node->def->bodies[0], index, value);
    }
}

static void start(struct run_core *core, struct run_node *node)
{
    if (!make_inner(node)) {
        core->out_of_memory = true;
        return;
    }
    if (!run_branches_begin(core, node, run_slots_of(node)->n))
        return;
    (void)run_warm_begin(core, node);
    if (run_join_decide(node, false))
        run_branches_decided(core, node, NULL, false);
    else
        fill(core, node);
}

static void fail_too_many(struct run_core *core, struct run_node *node, size_t count)
{
    struct pl_err err;

    pl_err_set(&err, PL_ERR_TOO_LARGE,
               "`over` gives %zu items; the run's maps have %zu so far and may have %zu", count,
               core->n_branches, core->max_branches);
    run_node_fail_with(core, node, err.code, err.message);
}

static bool evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    struct pl_str list = pl_value_text(event->value);

    if (event->what != RUN_EVAL_BEGIN || node->state != NODE_PREPARING)
        return false;
    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
    } else if (json_type(list) != JSON_ARRAY) {
        run_node_fail_with(core, node, PL_ERR_EXPRESSION_ERROR,
                           json_type(list) == JSON_NULL
                               ? "`over` gives null, not a list; for none write ${ ... // [] }"
                               : "`over` gives something else than a list");
    } else if (core->n_branches + json_count(list) > core->max_branches) {
        fail_too_many(core, node, json_count(list));
    } else {
        core->n_branches += json_count(list);
        pl_value_unref(&node->memo);
        node->memo = event->value;
        event->value = NULL;
        start(core, node);
    }
    return true;
}

/* ---- ending ---- */

static void branch_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    map_of(node)->running--;
    run_branches_ended(core, node, step, frame->number);
    run_collapse_branch(core, node, frame->number);
    run_warm_over(core, node); /* the first one, where they wait for it */
    fill(core, node);
}

static void step_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    if (frame->body->role == BODY_BRANCH)
        branch_ended(core, frame, step);
    else
        run_collapse_ended(core, frame, step);
}

static void frame_over(struct run_core *core, struct run_frame *frame)
{
    if (frame->body->role == BODY_BRANCH)
        run_slots_frame_over(core, frame);
    else
        run_collapse_frame_over(frame);
    if (frame->owner->state == NODE_CLOSING)
        run_node_try_close(core, frame->owner);
}

static void stop(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    bool goes_on = node->join->satisfied && node->failure == PL_OK;

    run_slots_stop(core, node, reason);
    if (goes_on)
        run_collapse_no_more(core, node);
    else
        run_collapse_stop(core, node, reason);
}

static struct join_branch branch_at(const struct run_node *node, size_t index)
{
    return run_slots_branch(run_slots_of(node), index);
}

static bool is_spread(const struct run_node *node, size_t index, struct pl_str output)
{
    return json_type(output) == JSON_ARRAY && json_count(output) == items_of(node, index);
}

void run_map_add_outputs(struct pl_buf *out, const struct run_node *node, size_t index,
                         struct pl_str output)
{
    struct json_iter it;

    if (is_spread(node, index, output)) {
        for (json_iter_init(&it, output); json_iter_next(&it);) {
            json_comma(out);
            pl_buf_str(out, it.value);
        }
        return;
    }
    for (size_t i = 0; i < items_of(node, index); i++) {
        json_comma(out);
        pl_buf_str(out, output);
    }
}

/* One result for each item of a batch. */
static void add_batch(struct pl_buf *out, const struct run_node *node, size_t index)
{
    struct join_branch branch = branch_at(node, index);
    bool settled = node->def->join.kind == JOIN_SETTLED && branch.state == NODE_FAILED;

    if (branch.counted) {
        run_map_add_outputs(out, node, index, pl_value_text(branch.output));
        return;
    }
    for (size_t i = 0; i < items_of(node, index); i++) {
        json_comma(out);
        if (!settled) {
            pl_buf_text(out, "null");
            continue;
        }
        json_object_begin(out);
        json_add_raw(out, "error", pl_value_text(branch.error));
        json_object_end(out);
    }
}

static struct pl_value *batched_value(const struct run_node *node, bool *ret_too_large)
{
    struct pl_value *value;
    struct pl_buf out;

    if (node->def->join.kind == JOIN_ANY && node->join->winner >= 0)
        return pl_value_ref(branch_at(node, (size_t)node->join->winner).output);
    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_array_begin(&out);
    for (size_t i = 0; i < run_slots_of(node)->n; i++)
        add_batch(&out, node, i);
    json_array_end(&out);
    *ret_too_large = out.too_large;
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

static void closed(struct run_core *core, struct run_node *node)
{
    bool too_large = false;
    struct pl_value *value;

    if (node->failure != PL_OK) { /* its join, its collapse or its time */
        run_node_fail(core, node, pl_value_ref(node->error));
        return;
    }
    if (run_collapse_goes_on(core, node))
        return;
    if (config_of(node)->fan_in)
        value = run_collapse_value(node);
    else if (config_of(node)->batch)
        value = batched_value(node, &too_large);
    else
        value = run_join_value(node, run_slots_of(node)->n, branch_at, true, &too_large);
    run_branches_succeed(core, node, value, too_large);
}

const char *run_map_refuses(const struct run_node *node, size_t index, struct pl_str output)
{
    if (!config_of(node)->batch || !node->inner)
        return NULL;
    if (is_spread(node, index, output))
        return NULL;
    return "a map with `batch` wants a list with one result for each of its items";
}

/* ---- loading ---- */

static enum pl_code load(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    if (!node->join)
        return PL_OK;
    if (!node->memo || json_type(pl_value_text(node->memo)) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_STORE_CORRUPT, "the row of step %.*s has lost its items",
                          PL_STR_ARG(node->path));
    if (!make_inner(node))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    core->n_branches += map_of(node)->n_items;
    return PL_OK;
}

static bool fits(struct run_core *core, const struct run_node *node, const struct step_body *body,
                 uint32_t level, uint32_t number, struct pl_value **ret_value)
{
    if (body->role == BODY_COLLAPSE)
        return run_collapse_fits(node, level, number);
    if (number >= run_slots_of(node)->n)
        return false;
    *ret_value = branch_value(node, number);
    core->out_of_memory |= !*ret_value;
    return true;
}

static void placed(struct run_core *core, struct run_frame *frame)
{
    if (frame->body->role == BODY_BRANCH)
        run_slots_place(core, frame);
    else
        run_collapse_place(frame);
}

static struct run_frame *find(const struct run_node *node, const struct step_body *body,
                              uint32_t level, uint32_t number)
{
    if (body->role == BODY_BRANCH)
        return run_slots_frame(run_slots_of(node), number);
    return run_collapse_frame(node, level, number);
}

static enum pl_code derive(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    if (!node->inner)
        return PL_OK;
    run_slots_derive(core, node);
    for (size_t i = 0; i < run_slots_of(node)->begun; i++)
        map_of(node)->running += !node_state_is_final(branch_at(node, i).state);
    run_collapse_derive(core, node);
    run_warm_load(core, node);
    return core->out_of_memory ? pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory") : PL_OK;
}

static const char *check(const struct run_core *core, const struct run_node *node)
{
    const struct run_map *map = map_of(node);
    size_t running = 0;

    if (!map)
        return NULL;
    for (size_t i = 0; i < map->slots.begun; i++)
        running += !node_state_is_final(branch_at(node, i).state);
    if (running != map->running)
        return "it counts the items under way wrongly";
    if (running > may_run(node))
        return "more items are under way than may be";
    /* one that waited for memory goes on when an item of its own ends */
    if (node->state == NODE_JOINING && map->slots.begun < map->slots.n &&
        running < (core->crowded ? 1 : may_run(node)))
        return "an item could begin and does not";
    return run_slots_check(node);
}

static void destroy(struct run_node *node)
{
    struct run_map *map = map_of(node);

    run_collapse_finish(node);
    run_slots_finish(&map->slots);
    free(map->items);
}

const struct run_kind run_kind_map = {
    .begin = begin,
    .evaluated = evaluated,
    .step_ended = step_ended,
    .frame_over = frame_over,
    .closed = closed,
    .stop = stop,
    .warmed = fill,
    .timer = run_inside_timer,
    .destroy = destroy,
    .fits = fits,
    .placed = placed,
    .find = find,
    .load = load,
    .derive = derive,
    .check = check,
};
