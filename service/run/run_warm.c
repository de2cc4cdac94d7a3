/* run_warm.c - `warm_up` of a map or parallel: the first branch goes alone until a model has begun
 * to answer it, then the rest follows and finds the prefix they share in the provider's cache. Not
 * the branches themselves (run_map, run_parallel). Called by those, by run_core.c and
 * run_node_move. */
#include "service/run/run_warm.h"
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_slots.h"

/* ---- does it apply ---- */

static bool body_calls(const struct step_body *body);

/* Is there a model's call in the step, whether it comes to it or not? */
static bool step_calls(const struct step_def *def)
{
    if (def->kind == STEP_LLM || def->kind == STEP_AGENT)
        return true;
    for (size_t i = 0; i < def->n_children; i++)
        if (step_calls(def->children[i]))
            return true;
    for (size_t i = 0; i < def->n_bodies; i++)
        if (body_calls(def->bodies[i]))
            return true;
    return false;
}

static bool body_calls(const struct step_body *body)
{
    for (size_t i = 0; i < body->n_top; i++)
        if (step_calls(body->top[i]))
            return true;
    return false;
}

/* There is somebody to wait for, somebody who waits, and both would go at once. */
static bool applies(const struct run_node *node)
{
    const struct step_def *def = node->def;

    if (!def->warm_up || node->join->total < 2)
        return false;
    if (def->kind == STEP_MAP)
        return def->config.map->concurrency > 1 && body_calls(def->bodies[0]);
    return step_calls(def->children[0]);
}

static void set_warming(struct run_core *core, struct run_node *node)
{
    node->join->warming = true;
    node->join->warm_number = ++core->warm_count;
    core->warming++;
}

bool run_warm_begin(struct run_core *core, struct run_node *node)
{
    if (applies(node))
        set_warming(core, node);
    return node->join->warming;
}

bool run_warm_holds(const struct run_node *node)
{
    const struct run_node *parent = node->def->is_handler ? NULL : node->parent;

    return parent && parent->join && parent->join->warming && parent->def->children[0] != node->def;
}

/* ---- the end of it ---- */

void run_warm_left(struct run_core *core, struct run_node *node)
{
    struct node_join *join = node->join;

    if (!join || !join->warming)
        return;
    core->warming--;
    join->warming = false;
    join->warmed = true;
    join->waited = core->now > node->started_at ? core->now - node->started_at : 0;
}

void run_warm_over(struct run_core *core, struct run_node *node)
{
    if (!node->join || !node->join->warming)
        return;
    run_warm_left(core, node);
    run_node_touch(core, node); /* how long they waited is in its row from now on */
    run_kind_of(node->def->kind)->warmed(core, node);
}

void run_warm_answering(struct run_core *core, struct run_node *node)
{
    for (; core->warming > 0 && node; node = run_node_up(node))
        run_warm_over(core, node);
}

bool run_core_is_warming(const struct run_core *core, const struct run_node *node)
{
    if (core->warming == 0)
        return false;
    for (; node; node = run_node_up(node))
        if (node->join && node->join->warming)
            return true;
    return false;
}

/* Those that warm already; not those that begin to because others were let go. */
static void let_go(struct run_core *core)
{
    const uint64_t last = core->warm_count;

    for (struct run_frame *frame = core->root; frame && core->warming;
         frame = run_frame_next(core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            if (frame->nodes[i].join && frame->nodes[i].join->warm_number <= last)
                run_warm_over(core, &frame->nodes[i]);
}

void run_warm_update(struct run_core *core)
{
    while (core->warming > 0 && core->busy == 0 && core->state == RUN_RUNNING &&
           !core->out_of_memory) {
        let_go(core);
        run_core_settle(core);
    }
}

/* ---- loading ---- */

void run_warm_load(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_JOINING && !node->join->warmed)
        (void)run_warm_begin(core, node);
}
