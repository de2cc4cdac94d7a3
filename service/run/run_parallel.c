/* run_parallel.c - the branches of a parallel: steps of its own frame, all begun at once. Not the
 * join (run_branches, run_join). Called by run_core.c and through the table of kinds. */
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_warm.h"

static struct join_branch branch_at(const struct run_node *node, size_t index)
{
    const struct run_node *branch = run_node_at(node->frame, node->def->children[index]);

    return (struct join_branch){
        .id = branch->def->id,
        .state = branch->state,
        .counted = branch->counted,
        .output = branch->output,
        .error = branch->error,
    };
}

static void closed(struct run_core *core, struct run_node *node)
{
    bool too_large = false;
    struct pl_value *value;

    if (!node->join->satisfied) {
        run_node_fail(core, node, pl_value_ref(node->error));
        return;
    }
    value = run_join_value(node, node->def->n_children, branch_at, false, &too_large);
    run_branches_succeed(core, node, value, too_large);
}

/* Stops the branches that are not over; what an inner join left to drain inside one that is over
 * goes on. */
static void stop(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    for (size_t i = 0; i < node->def->n_children; i++) {
        struct run_node *branch = run_node_at(node->frame, node->def->children[i]);

        if (!run_node_is_final(branch))
            run_node_cancel_range(core, node->frame, branch->def->slot, branch->end, reason);
    }
}

static size_t branch_position(const struct run_node *node, const struct run_node *branch)
{
    size_t low = 0, high = node->def->n_children;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (node->def->children[middle]->slot <= branch->def->slot)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void run_parallel_branch_ended(struct run_core *core, struct run_node *node,
                               struct run_node *branch)
{
    if (!node->join) /* a user cancelled it before the step began; counted when it does */
        return;
    node->open_children--;
    run_branches_ended(core, node, branch, branch_position(node, branch));
    if (branch->def == node->def->children[0])
        run_warm_over(core, node);
    if (node->state == NODE_CLOSING)
        run_node_try_close(core, node);
}

static void warmed(struct run_core *core, struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_children; i++)
        run_node_try(core, run_node_at(node->frame, node->def->children[i]));
}

static void begin(struct run_core *core, struct run_node *node)
{
    const struct step_def *def = node->def;

    if (!run_branches_begin(core, node, def->n_children))
        return;
    for (size_t i = 0; i < def->n_children; i++) {
        struct run_node *branch = run_node_at(node->frame, def->children[i]);

        run_node_enter(core, branch);
        if (run_node_is_final(branch))
            run_branches_count(node->join, branch);
        else
            node->open_children++;
    }
    if (run_join_decide(node, false)) {
        run_branches_decided(core, node, NULL, false); /* none has begun: nothing is drained */
        return;
    }
    if (!run_node_is_final(run_node_at(node->frame, def->children[0])))
        (void)run_warm_begin(core, node);
    warmed(core, node); /* those that are not held */
}

static enum pl_code derive(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    (void)err;
    for (size_t i = 0; node->join && i < node->def->n_children; i++) {
        const struct run_node *branch = run_node_at(node->frame, node->def->children[i]);

        if (run_node_is_final(branch))
            run_branches_count(node->join, branch);
        else
            node->open_children++;
    }
    if (node->join && node->def->n_children &&
        !run_node_is_final(run_node_at(node->frame, node->def->children[0])))
        run_warm_load(core, node);
    return PL_OK;
}

const struct run_kind run_kind_parallel = {
    .begin = begin,
    .closed = closed,
    .stop = stop,
    .warmed = warmed,
    .timer = run_inside_timer,
    .derive = derive,
};
