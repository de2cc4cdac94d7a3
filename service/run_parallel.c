/* run_parallel.c - joins carried out: branches begun, counted as they end, losers stopped, the step
 * ended. Not the decision (run_join). Called by run_core.c, run_node.c and run_timers.c. */
#include "service/run_core_private.h"
#include "service/run_join.h"

#include <stdlib.h>

void run_parallel_count(struct node_join *join, const struct run_node *branch)
{
    if (branch->state == NODE_SUCCEEDED || branch->handled)
        join->succeeded++;
    else if (branch->state == NODE_FAILED)
        join->failed++;
    else if (branch->state == NODE_SKIPPED)
        join->skipped++;
    else
        join->cancelled++;
    join->counted += branch->counted;
}

/* ---- the end ---- */

static bool is_open_inside(const struct run_core *core, const struct run_node *node)
{
    const struct run_node *handler = run_node_of(core, node->def->handler);

    return node->open_children > 0 || (handler && handler->entered && !run_node_is_final(handler));
}

static struct pl_value *join_value(struct run_core *core, const struct run_node *node,
                                   bool *ret_too_large)
{
    const struct step_def *def = node->def;
    struct run_node **branches = malloc((def->n_children + 1) * sizeof(*branches));
    struct pl_value *value;

    if (!branches)
        return NULL;
    for (size_t i = 0; i < def->n_children; i++)
        branches[i] = run_node_of(core, def->children[i]);
    value = run_join_value(node, branches, ret_too_large);
    free(branches);
    return value;
}

static void close_satisfied(struct run_core *core, struct run_node *node)
{
    bool too_large = false;
    struct pl_value *value = join_value(core, node, &too_large);

    if (value)
        run_node_succeed(core, node, value);
    else if (too_large)
        run_node_fail_with(core, node, PL_ERR_TOO_LARGE,
                           "the outputs of its branches together are over the limit of a run's "
                           "output; reduce them before they are joined");
    else
        core->out_of_memory = true;
}

static void close_node(struct run_core *core, struct run_node *node)
{
    if (node->reason != CANCEL_NONE)
        run_node_move(core, node, NODE_CANCELLED);
    else if (node->join->satisfied)
        close_satisfied(core, node);
    else
        run_node_fail(core, node, pl_value_ref(node->error));
}

void run_parallel_try_close(struct run_core *core, struct run_node *node)
{
    if (!is_open_inside(core, node))
        close_node(core, node);
}

/* Stops the branches that are not over; what an inner join left to drain inside one that is over
 * goes on. */
static void stop_branches(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    for (size_t i = 0; i < node->def->n_children; i++) {
        struct run_node *branch = run_node_of(core, node->def->children[i]);

        if (!run_node_is_final(branch))
            run_node_cancel_range(core, branch->def->index, branch->end, reason);
    }
}

/* ---- the decision ---- */

static void describe(struct pl_err *text, const struct run_node *node,
                     const struct run_node *branch)
{
    const struct node_join *join = node->join;
    char detail[PL_ERR_MESSAGE_MAX] = "";

    if (branch && branch->error)
        run_problem_detail(branch->error, detail, sizeof(detail));
    if (join->code != PL_ERR_BRANCH_FAILED)
        pl_err_set(text, join->code,
                   "%u of %u branches succeeded, %u needed (%u failed, %u skipped, %u "
                   "cancelled)%s%s%s%s",
                   join->succeeded, join->total, run_join_needed(node), join->failed, join->skipped,
                   join->cancelled, *detail ? "; the last to fail, " : "",
                   *detail ? branch->def->path.ptr : "", *detail ? ": " : "", detail);
    else if (branch && branch->state == NODE_CANCELLED)
        pl_err_set(text, join->code, "branch %.*s was cancelled by a user",
                   PL_STR_ARG(branch->def->path));
    else if (branch)
        pl_err_set(text, join->code, "branch %.*s failed: %s", PL_STR_ARG(branch->def->path),
                   detail);
    else
        pl_err_set(text, join->code, "a branch was cancelled by a user before it began");
}

/* `branch` is the one whose end decided, NULL: none. `drain`: those still open may go on. */
static void decided(struct run_core *core, struct run_node *node, const struct run_node *branch,
                    bool drain)
{
    struct pl_err text = {0};

    if (branch && branch->state != NODE_FAILED && branch->state != NODE_CANCELLED)
        branch = NULL;
    if (!node->join->satisfied) {
        describe(&text, node, branch);
        run_node_set_error(core, node,
                           run_problem_make(&(struct run_problem){
                               .code = text.code, .detail = text.message, .branch = branch}));
        node->failure = text.code;
    }
    if (node->open_children == 0 || drain) {
        close_node(core, node);
        return;
    }
    run_node_move(core, node, NODE_CLOSING);
    stop_branches(core, node, run_join_reason(node));
}

static int branch_position(const struct run_node *node, const struct run_node *branch)
{
    size_t low = 0, high = node->def->n_children;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (node->def->children[middle]->index <= branch->def->index)
            low = middle;
        else
            high = middle;
    }
    return (int)low;
}

void run_parallel_branch_ended(struct run_core *core, struct run_node *node,
                               struct run_node *branch)
{
    struct node_join *join = node->join;
    bool success = branch->state == NODE_SUCCEEDED || branch->handled;

    if (!join) /* a user cancelled it before the step began; counted when it does */
        return;
    if (node->state == NODE_JOINING && success) {
        branch->counted = true;
        run_node_touch(core, branch);
    }
    run_parallel_count(join, branch);
    node->open_children--;
    if (node->state == NODE_JOINING) {
        if (!run_join_decide(node, false))
            return;
        if (join->satisfied && node->def->join.kind == JOIN_ANY)
            join->winner = branch_position(node, branch);
        decided(core, node, branch, node->def->join.drain);
        return;
    }
    run_node_touch(core, node); /* the report in its row counts this branch too */
    if (node->state == NODE_CLOSING)
        run_parallel_try_close(core, node);
}

/* ---- the beginning ---- */

void run_parallel_start(struct run_core *core, struct run_node *node)
{
    const struct step_def *def = node->def;

    node->join = calloc(1, sizeof(*node->join));
    if (!node->join) {
        core->out_of_memory = true;
        return;
    }
    node->join->total = (unsigned)def->n_children;
    node->join->winner = -1;
    node->started_at = core->now;
    node->deadline_at = def->deadline > 0 ? core->now + def->deadline : 0;
    run_node_move(core, node, NODE_JOINING);
    run_core_note(core, "step.started", node);
    for (size_t i = 0; i < def->n_children; i++) {
        struct run_node *branch = run_node_of(core, def->children[i]);

        run_node_enter(core, branch);
        if (run_node_is_final(branch))
            run_parallel_count(node->join, branch);
        else
            node->open_children++;
    }
    if (run_join_decide(node, false)) {
        decided(core, node, NULL, false); /* none has begun: there is nothing to drain */
        return;
    }
    for (size_t i = 0; i < def->n_children; i++)
        run_node_try(core, run_node_of(core, def->children[i]));
}

/* ---- time ---- */

static void run_out(struct run_core *core, struct run_node *node, enum pl_code code, pl_ms after)
{
    struct pl_err text = {0};

    pl_err_set(&text, code, "its branches were not done %lld ms after it began", (long long)after);
    run_node_set_error(
        core, node, run_problem_make(&(struct run_problem){.code = code, .detail = text.message}));
    node->failure = code;
    run_node_move(core, node, NODE_CLOSING);
    stop_branches(core, node, CANCEL_DEADLINE);
}

void run_parallel_timer(struct run_core *core, struct run_node *node)
{
    const struct step_def *def = node->def;
    pl_ms passed = run_timers_due(node) - node->started_at;

    if (def->join.deadline == passed) {
        run_join_decide(node, true);
        decided(core, node, NULL, def->join.drain);
    } else if (def->timeout == passed) {
        run_out(core, node, PL_ERR_TIMEOUT, def->timeout);
    } else {
        run_out(core, node, PL_ERR_DEADLINE, def->deadline);
    }
}
