/* run_collapse.c - the tree of aggregations above a map's branches: groups of `fan_in` neighbours,
 * then groups of those, until one is left. Not the map (run_map). Called by run_map.c.
 *
 * Which outputs meet in which group depends on their places alone, never on when they came. A group
 * begins when all its inputs are final; inputs that are missing (failed, skipped, not counted) are
 * left out, and a group without any gives nothing and makes no call. With `batch` the neighbours of
 * the first level are batches, and their items' outputs are the elements: `do` sees elements of one
 * kind at every level. */
#include "base/json.h"
#include "service/run/run_map.h"

#include <stdlib.h>

struct collapse_group {
    uint32_t open; /* inputs that are not final */
    bool done;
    struct run_frame *frame; /* until it is over */
    struct pl_value *output; /* done: NULL when it gives nothing */
};

struct collapse_level {
    size_t n; /* groups */
    struct collapse_group *groups;
};

static struct run_map *map_of(const struct run_node *node)
{
    return (struct run_map *)node->inner;
}

static size_t fan_in(const struct run_node *node)
{
    return node->def->config.map->fan_in;
}

/* Inputs of a level: the branches, or the groups below. */
static size_t inputs_of(const struct run_node *node, size_t level)
{
    return level == 0 ? map_of(node)->slots.n : map_of(node)->levels[level - 1].n;
}

static bool level_init(struct run_node *node, size_t level)
{
    size_t inputs = inputs_of(node, level), each = fan_in(node);
    struct collapse_level *made = &map_of(node)->levels[level];

    made->n = (inputs + each - 1) / each;
    made->groups = calloc(made->n + 1, sizeof(*made->groups));
    for (size_t i = 0; made->groups && i < made->n; i++)
        made->groups[i].open = (uint32_t)(inputs - i * each < each ? inputs - i * each : each);
    return made->groups != NULL;
}

bool run_collapse_init(struct run_node *node)
{
    struct run_map *map = map_of(node);
    size_t levels = 0;

    if (!fan_in(node) || map->slots.n == 0)
        return true;
    for (size_t n = map->slots.n; levels == 0 || n > 1; levels++)
        n = (n + fan_in(node) - 1) / fan_in(node);
    map->levels = calloc(levels, sizeof(*map->levels));
    if (!map->levels)
        return false;
    map->n_levels = levels;
    for (size_t i = 0; i < levels; i++)
        if (!level_init(node, i))
            return false;
    return true;
}

void run_collapse_finish(struct run_node *node)
{
    struct run_map *map = map_of(node);

    for (size_t i = 0; i < map->n_levels; i++) {
        struct collapse_level *level = &map->levels[i];

        for (size_t k = 0; level->groups && k < level->n; k++)
            pl_value_unref(&level->groups[k].output);
        free(level->groups);
    }
    free(map->levels);
}

/* ---- groups ---- */

/* What an input gives; NULL: nothing. */
static const struct pl_value *input_at(const struct run_node *node, size_t level, size_t index)
{
    struct join_branch branch;

    if (level > 0)
        return map_of(node)->levels[level - 1].groups[index].output;
    branch = run_slots_branch(run_slots_of(node), index);
    return branch.counted ? branch.output : NULL;
}

/* The inputs of a group that are there, as a list; *ret_count of them. NULL: no memory. */
static struct pl_value *group_items(const struct run_node *node, size_t level, size_t group,
                                    size_t *ret_count)
{
    size_t from = group * fan_in(node), to = from + fan_in(node);
    struct pl_value *value;
    struct pl_buf out;

    *ret_count = 0;
    pl_buf_init(&out, SIZE_MAX / 2);
    json_array_begin(&out);
    for (size_t i = from; i < to && i < inputs_of(node, level); i++) {
        const struct pl_value *input = input_at(node, level, i);

        if (!input)
            continue;
        if (level == 0 && node->def->config.map->batch) {
            run_map_add_outputs(&out, node, i, pl_value_text(input));
        } else {
            json_comma(&out);
            pl_buf_str(&out, pl_value_text(input));
        }
        ++*ret_count;
    }
    json_array_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

static void take_input(struct run_core *core, struct run_node *node, size_t level, size_t index);

/* It is final; NULL: it gives nothing. The next level's group may begin. */
static void group_done(struct run_core *core, struct run_node *node, size_t level, size_t index,
                       struct pl_value *output)
{
    struct collapse_group *group = &map_of(node)->levels[level].groups[index];

    group->done = true;
    group->output = output;
    take_input(core, node, level + 1, index);
}

static void group_begin(struct run_core *core, struct run_node *node, size_t level, size_t index)
{
    struct run_frame *frame;
    struct pl_value *items;
    size_t count;

    items = group_items(node, level, index, &count);
    if (!items) {
        core->out_of_memory = true;
        return;
    }
    if (count == 0) {
        pl_value_unref(&items);
        group_done(core, node, level, index, NULL);
        return;
    }
    frame =
        run_frame_create(core, node->def->bodies[1], node, (uint32_t)level, (uint32_t)index, items);
    if (!frame)
        return;
    run_collapse_place(frame);
    run_frame_begin(core, frame);
}

/* Does the map still want what its groups give? */
static bool is_wanted(const struct run_node *node)
{
    return node->state == NODE_JOINING ||
           (node->state == NODE_CLOSING && node->reason == CANCEL_NONE && node->failure == PL_OK);
}

/* Input `index` of `level` (0: a branch of the map) is final: its group may begin. */
static void take_input(struct run_core *core, struct run_node *node, size_t level, size_t index)
{
    struct run_map *map = map_of(node);
    struct collapse_group *group;

    if (level >= map->n_levels)
        return;
    group = &map->levels[level].groups[index / fan_in(node)];
    if (--group->open == 0 && is_wanted(node))
        group_begin(core, node, level, index / fan_in(node));
}

void run_collapse_branch(struct run_core *core, struct run_node *node, size_t index)
{
    struct run_slot *slot = run_slots_get(core, run_slots_of(node), index);

    if (!slot || slot->taken)
        return;
    slot->taken = true;
    take_input(core, node, 0, index);
}

static bool is_done(const struct run_node *node)
{
    const struct run_map *map = map_of(node);

    return map->n_levels == 0 || map->levels[map->n_levels - 1].groups[0].done;
}

bool run_collapse_goes_on(struct run_core *core, struct run_node *node)
{
    if (!is_done(node))
        run_collapse_no_more(core, node);
    if (is_done(node))
        return false;
    if (node->state != NODE_CLOSING)
        run_node_move(core, node, NODE_CLOSING);
    return true;
}

void run_collapse_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    if (step->state == NODE_SUCCEEDED || step->handled)
        group_done(core, node, frame->level, frame->number, pl_value_ref(step->output));
    else if (step->state == NODE_SKIPPED)
        group_done(core, node, frame->level, frame->number, NULL);
    else if (is_wanted(node))
        run_inside_fail(core, node, run_problem_of_branch(step), CANCEL_SIBLING_FAILED);
    if (node->state == NODE_CLOSING && node->def->join.drain && is_wanted(node) && is_done(node))
        run_kind_of(STEP_MAP)->closed(core, node); /* branches that are drained need not be over */
}

void run_collapse_frame_over(const struct run_frame *frame)
{
    map_of(frame->owner)->levels[frame->level].groups[frame->number].frame = NULL;
}

void run_collapse_no_more(struct run_core *core, struct run_node *node)
{
    struct run_slots *slots = run_slots_of(node);

    for (size_t i = 0; map_of(node)->n_levels && i < slots->begun; i++)
        run_collapse_branch(core, node, i);
    for (size_t i = slots->begun; map_of(node)->n_levels && i < slots->n; i++)
        take_input(core, node, 0, i);
}

void run_collapse_stop(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    struct pl_list *next;

    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        next = link->next;
        if (frame->body->role == BODY_COLLAPSE && !run_node_is_final(run_frame_step(frame)))
            run_frame_cancel(core, frame, reason);
    }
}

struct pl_value *run_collapse_value(const struct run_node *node)
{
    const struct run_map *map = map_of(node);
    struct pl_value *output =
        map->n_levels ? map->levels[map->n_levels - 1].groups[0].output : NULL;

    return output ? pl_value_ref(output) : pl_value_null();
}

/* ---- loading ---- */

bool run_collapse_fits(const struct run_node *node, uint32_t level, uint32_t number)
{
    const struct run_map *map = map_of(node);

    return level < map->n_levels && number < map->levels[level].n;
}

void run_collapse_place(struct run_frame *frame)
{
    map_of(frame->owner)->levels[frame->level].groups[frame->number].frame = frame;
}

struct run_frame *run_collapse_frame(const struct run_node *node, uint32_t level, uint32_t number)
{
    if (!run_collapse_fits(node, level, number))
        return NULL;
    return map_of(node)->levels[level].groups[number].frame;
}

/* Frames say which groups were begun and what they gave; groups without a frame and without an open
 * input gave nothing. */
static void derive_group(struct run_core *core, struct run_frame *frame, struct run_node *node)
{
    struct run_map *map = map_of(node);
    struct collapse_group *group = &map->levels[frame->level].groups[frame->number];
    const struct run_node *step = run_frame_step(frame);
    size_t unused;

    if (!frame->value) /* its items are those its inputs gave: see group_items */
        frame->value = group_items(node, frame->level, frame->number, &unused);
    core->out_of_memory |= !frame->value;
    if (frame->over)
        group->frame = NULL;
    if (!run_node_is_final(step))
        return;
    group->done = true;
    if (step->state == NODE_SUCCEEDED || step->handled)
        group->output = pl_value_ref(step->output);
}

static bool input_is_final(const struct run_node *node, size_t level, size_t index)
{
    const struct run_slots *slots = run_slots_of(node);

    if (level > 0)
        return map_of(node)->levels[level - 1].groups[index].done;
    return (node->join->decided && node->join->satisfied) ||
           (index < slots->begun && node_state_is_final(run_slots_branch(slots, index).state));
}

static void derive_level(struct run_core *core, struct run_node *node, size_t level)
{
    struct run_map *map = map_of(node);
    struct run_slot *slot;

    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = link->next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        if (frame->body->role == BODY_COLLAPSE && frame->level == level)
            derive_group(core, frame, node);
    }
    for (size_t i = 0; i < inputs_of(node, level); i++) {
        if (!input_is_final(node, level, i))
            continue;
        map->levels[level].groups[i / fan_in(node)].open--;
        if (level > 0 || i >= map->slots.begun)
            continue;
        slot = run_slots_get(core, &map->slots, i);
        if (!slot)
            return;
        slot->taken = true;
    }
    for (size_t i = 0; i < map->levels[level].n; i++) {
        struct collapse_group *group = &map->levels[level].groups[i];
        struct pl_value *items;
        size_t count;

        if (group->open || group->done)
            continue;
        items = group_items(node, level, i, &count);
        core->out_of_memory |= !items;
        pl_value_unref(&items);
        group->done = count == 0;
    }
}

void run_collapse_derive(struct run_core *core, struct run_node *node)
{
    for (size_t i = 0; i < map_of(node)->n_levels; i++)
        derive_level(core, node, i);
}
