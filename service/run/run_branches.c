/* run_branches.c - joins carried out: branches counted as they end, losers stopped, the step ended.
 * What is the same for parallel, map and vote. Not the decision (run_join) and not where the
 * branches are (run_parallel, run_map, run_vote). Called by those and by run_core.c. */
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_slots.h"
#include "service/run/run_warm.h"

#include <stdlib.h>

void run_branches_count(struct node_join *join, const struct run_node *branch)
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

void run_branches_succeed(struct run_core *core, struct run_node *node, struct pl_value *value,
                          bool too_large)
{
    if (value)
        run_node_succeed(core, node, value);
    else if (too_large)
        run_node_fail_with(core, node, PL_ERR_TOO_LARGE,
                           "the outputs of its branches together are over the limit of a run's "
                           "output; reduce them before they are joined");
    else
        core->out_of_memory = true;
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
                   *detail ? branch->path.ptr : "", *detail ? ": " : "", detail);
    else if (branch && branch->state == NODE_CANCELLED)
        pl_err_set(text, join->code, "branch %.*s was cancelled by a user",
                   PL_STR_ARG(branch->path));
    else if (branch)
        pl_err_set(text, join->code, "branch %.*s failed: %s", PL_STR_ARG(branch->path), detail);
    else
        pl_err_set(text, join->code, "a branch was cancelled by a user before it began");
}

void run_branches_decided(struct run_core *core, struct run_node *node,
                          const struct run_node *branch, bool drain)
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
    if (node->inner)
        run_slots_dismiss(node);
    if (drain) {
        if (!node->inner) /* steps of a parallel are open, begun or not */
            run_warm_over(core, node);
        run_kind_of(node->def->kind)->closed(core, node);
        return;
    }
    if (run_node_is_open_inside(node))
        run_node_move(core, node, NODE_CLOSING);
    run_kind_of(node->def->kind)
        ->stop(core, node, run_budget_reason(node->error, run_join_reason(node)));
    if (!run_node_is_open_inside(node) && !run_node_is_final(node))
        run_kind_of(node->def->kind)->closed(core, node);
    else if (node->state == NODE_JOINING) /* what it wants of its branches began just now */
        run_node_move(core, node, NODE_CLOSING);
}

void run_branches_ended(struct run_core *core, struct run_node *node, struct run_node *branch,
                        size_t position)
{
    struct node_join *join = node->join;
    bool success = branch->state == NODE_SUCCEEDED || branch->handled;

    if (node->state == NODE_JOINING && success) {
        branch->counted = true;
        run_node_touch(core, branch);
    }
    run_branches_count(join, branch);
    if (node->state == NODE_JOINING) {
        if (!run_join_decide(node, false))
            return;
        if (join->satisfied && node->def->join.kind == JOIN_ANY)
            join->winner = (int)position;
        run_branches_decided(core, node, branch, node->def->join.drain);
        return;
    }
    run_node_touch(core, node); /* the report in its row counts this branch too */
}

/* ---- the beginning ---- */

bool run_branches_begin(struct run_core *core, struct run_node *node, size_t total)
{
    node->join = calloc(1, sizeof(*node->join));
    if (!node->join) {
        core->out_of_memory = true;
        return false;
    }
    node->join->total = (unsigned)total;
    node->join->winner = -1;
    run_inside_begin(core, node);
    return true;
}

void run_inside_begin(struct run_core *core, struct run_node *node)
{
    node->started_at = core->now;
    node->deadline_at = node->def->deadline > 0 ? core->now + node->def->deadline : 0;
    run_node_move(core, node, NODE_JOINING);
    run_core_note(core, "step.started", node);
}

/* ---- time ---- */

static void run_out(struct run_core *core, struct run_node *node, enum pl_code code, pl_ms after)
{
    struct pl_err text = {0};

    pl_err_set(&text, code, "%s not done %lld ms after it began",
               node->join ? "its branches were" : "it was", (long long)after);
    run_inside_fail(core, node,
                    run_problem_make(&(struct run_problem){.code = code, .detail = text.message}),
                    CANCEL_DEADLINE);
}

void run_inside_fail(struct run_core *core, struct run_node *node, struct pl_value *error,
                     enum cancel_reason reason)
{
    run_node_set_error(core, node, error);
    node->failure = run_problem_code(error);
    if (!run_node_is_open_inside(node)) {
        run_node_fail(core, node, pl_value_ref(error));
        return;
    }
    if (node->state != NODE_CLOSING) {
        run_node_move(core, node, NODE_CLOSING);
    } else { /* its join was satisfied, and what came behind it failed */
        run_node_touch(core, node);
        run_timers_update(core, node);
    }
    run_node_cancel_inside(core, node, run_budget_reason(error, reason));
}

void run_inside_timer(struct run_core *core, struct run_node *node)
{
    const struct step_def *def = node->def;
    pl_ms passed = run_timers_due(node) - node->started_at;

    if (node->state == NODE_JOINING && node->join && def->join.deadline == passed) {
        run_join_decide(node, true);
        run_branches_decided(core, node, NULL, def->join.drain);
    } else if (run_node_timeout(node) == passed) {
        run_out(core, node, PL_ERR_TIMEOUT, passed);
    } else {
        run_out(core, node, PL_ERR_DEADLINE, def->deadline);
    }
}
