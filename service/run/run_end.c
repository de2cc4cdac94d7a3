/* run_end.c - how a run ends: what fixes its outcome, what it fails with, its output. Not the ends
 * of its steps (run_node). Called by run_core.c and run_timers.c. */
#include "service/run/run_core_private.h"

#include <assert.h>
#include <stdio.h>

static const char *ending_note(enum run_state state)
{
    if (state == RUN_SUCCEEDED)
        return "run.succeeded";
    return state == RUN_FAILED ? "run.failed" : "run.cancelled";
}

void run_end_move(struct run_core *core, enum run_state to)
{
    assert(run_state_allows(core->state, to));
    if (core->trace)
        core->trace(core->trace_arg, NULL, run_state_phase(core->state), run_state_phase(to));
    core->state = to;
    core->dirty = true;
    if (to != RUN_RUNNING)
        core->timeout_at = 0;
    if (!run_state_is_final(to))
        return;
    core->ended_at = core->now;
    run_core_note(core, ending_note(to), NULL);
}

/* `step`: the one it failed by, NULL: none. The error is taken. */
static void set_error(struct run_core *core, struct pl_value *error, const struct run_node *step)
{
    char detail[PL_ERR_MESSAGE_MAX];
    struct pl_err text = {0};

    if (!error)
        core->out_of_memory = true;
    pl_value_unref(&core->error);
    core->error = error;
    run_problem_detail(error, detail, sizeof(detail));
    if (step)
        pl_err_set(&text, PL_ERR_INTERNAL, "step %.*s failed: %s", PL_STR_ARG(step->path), detail);
    else
        pl_err_set(&text, PL_ERR_INTERNAL, "%s", detail);
    snprintf(core->reason, sizeof(core->reason), "%s", text.message);
}

/* The outcome is fixed: what still runs is stopped. */
static void end_run(struct run_core *core, enum cancel_reason reason)
{
    run_end_move(core, RUN_ENDING);
    run_frame_cancel(core, core->root, reason);
}

void run_end_timeout(struct run_core *core)
{
    struct pl_err text = {0};

    pl_err_set(&text, PL_ERR_RUN_TIMEOUT, "the run was not done %lld ms after it began",
               (long long)core->timeout);
    set_error(
        core,
        run_problem_make(&(struct run_problem){.code = PL_ERR_RUN_TIMEOUT, .detail = text.message}),
        NULL);
    end_run(core, CANCEL_DEADLINE);
}

/* Does the run fail by how this top-level step ended? */
static bool fails_run(const struct run_node *node)
{
    return (node->state == NODE_FAILED && !node->handled) ||
           (node->state == NODE_CANCELLED && node->reason == CANCEL_USER);
}

static struct pl_value *error_of_step(const struct run_node *node)
{
    struct pl_value *own = pl_value_ref(node->error), *error;

    if (!own)
        own = run_problem_make(&(struct run_problem){.code = PL_ERR_CANCELLED,
                                                     .detail = "it was cancelled by a user",
                                                     .attempts = node->attempts});
    error = own ? run_problem_of_run(own, node->path) : NULL;
    pl_value_unref(&own);
    return error;
}

void run_end_top_step(struct run_core *core, const struct run_node *node)
{
    if (core->state == RUN_RUNNING && !core->workflow->root->settled && fails_run(node)) {
        set_error(core, error_of_step(node), node);
        end_run(core, run_budget_reason(core->error, CANCEL_RUN_FAILED));
    }
}

/* Under `settled`: the failure that ended first. */
static const struct run_node *first_failure(const struct run_core *core)
{
    const struct run_node *first = NULL;

    for (size_t i = 0; i < core->workflow->root->n_top; i++) {
        const struct run_node *node = run_node_at(core->root, core->workflow->root->top[i]);

        if (fails_run(node) && (!first || node->ended_at < first->ended_at))
            first = node;
    }
    return first;
}

void run_end_all_over(struct run_core *core)
{
    const struct run_node *failure;

    if (core->state == RUN_ENDING) {
        run_end_move(core, core->error ? RUN_FAILED : RUN_CANCELLED);
        return;
    }
    failure = first_failure(core);
    if (failure) {
        set_error(core, error_of_step(failure), failure);
        run_end_move(core, RUN_FAILED);
        return;
    }
    run_end_move(core, RUN_OUTPUT);
    run_core_effect(core, RUN_FX_EVAL, NULL, RUN_EVAL_OUTPUT);
}

void run_end_cancel(struct run_core *core)
{
    const struct step_body *root = core->root->body;

    if (run_state_is_final(core->state) || core->state == RUN_ENDING)
        return;
    snprintf(core->reason, sizeof(core->reason), "cancelled by a user");
    if (core->state == RUN_RUNNING) {
        end_run(core, CANCEL_USER);
        return;
    }
    for (size_t i = 0; core->state == RUN_QUEUED && i < root->n_top; i++)
        run_node_cancel_by_user(core, run_node_at(core->root, root->top[i]));
    run_end_move(core, RUN_CANCELLED);
}

/* The run's output, or why there is none. */
bool run_end_evaluated(struct run_core *core, struct run_event *event)
{
    if (core->state != RUN_OUTPUT || event->what != RUN_EVAL_OUTPUT)
        return false;
    if (event->err.code == PL_OK) {
        core->output = event->value ? event->value : pl_value_null();
        event->value = NULL;
        pl_value_unref(&core->root->state_after);
        core->root->state_after = event->state;
        event->state = NULL;
        run_end_move(core, RUN_SUCCEEDED);
        return true;
    }
    set_error(core,
              run_problem_make(
                  &(struct run_problem){.code = event->err.code, .detail = event->err.message}),
              NULL);
    run_end_move(core, RUN_FAILED);
    return true;
}
