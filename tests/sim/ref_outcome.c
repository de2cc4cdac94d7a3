/* ref_outcome.c - the second opinion on how a run ended and what it used, written from the rules in
 * service/run/run_core.h, not from the implementation. Not the steps (reference.c). Called by
 * reference.c at the end of a run. */
#include "tests/sim/judge.h"

#include "base/json.h"

#include <stdlib.h>

static const struct sim_step *top_of(const struct sim_run *run, int32_t index)
{
    return index >= 0 && !run->steps[index]->up ? run->steps[index] : NULL;
}

static bool counts_as_failed(const struct sim_entry *entry)
{
    return (entry->state == NODE_FAILED && !entry->handled) || entry->state == NODE_CANCELLED;
}

static bool error_names(const struct store_run *row, const struct sim_step *step)
{
    struct pl_str path;

    if (!row->error || !json_get(pl_value_text(row->error), PL_STR("step"), &path))
        return false;
    return path.len == step->path.len + 2 &&
           memcmp(path.ptr + 1, step->path.ptr, step->path.len) == 0;
}

/* What fixed the outcome first: RUN_SUCCEEDED when nothing did. *ret_step: the step that failed,
 * NULL: the clock. */
static enum run_state outcome(const struct sim_run *run, const struct sim_step **ret_step,
                              bool *ret_clock)
{
    const struct sim_step *failed = NULL;
    pl_ms failed_at = 0;

    *ret_clock = false;
    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];
        const struct sim_step *top = entry->what == SIM_FINAL ? top_of(run, entry->index) : NULL;

        if (entry->what == SIM_EVENT && entry->event == RUN_EV_CANCEL &&
            entry->run_state != RUN_ENDING && !run_state_is_final(entry->run_state))
            return RUN_CANCELLED;
        if (entry->what == SIM_EVENT && entry->timeout_at > 0 && entry->run_state == RUN_RUNNING &&
            entry->now >= entry->timeout_at &&
            (entry->event == RUN_EV_TICK || entry->event == RUN_EV_RECOVER))
            *ret_clock = true;
        if (top && counts_as_failed(entry) &&
            (!failed || (entry->now == failed_at && top->def->slot < failed->def->slot))) {
            failed = top;
            failed_at = entry->now;
            *ret_step = failed;
            if (!run->workflow->root->settled)
                return RUN_FAILED;
        }
        if (i + 1 < run->n_history && run->history[i + 1].what != SIM_EVENT)
            continue;
        /* Of several times that came at once an earlier one may have ended the last step. */
        if (i + 1 < run->n_history && run->history[i + 1].run_state == RUN_OUTPUT)
            *ret_clock = false;
        if (*ret_clock && !failed)
            return RUN_FAILED;
    }
    return failed ? RUN_FAILED : RUN_SUCCEEDED;
}

static void judge_output(struct sim_run *run, const struct store_run *row)
{
    struct pl_buf made;

    pl_buf_init(&made, 256);
    sim_write_made(&made, NULL, RUN_EVAL_OUTPUT, 0);
    if (!pl_str_eq(pl_value_text(row->output), pl_buf_view(&made)))
        sim_breach(run, "the run's output is %.*s", PL_STR_ARG(pl_value_text(row->output)));
    pl_buf_finish(&made);
}

void sim_judge_outcome(struct sim_run *run, const struct store_run *row)
{
    const struct sim_step *step = NULL;
    bool clock;
    enum run_state is = run_core_state(run->core), should = outcome(run, &step, &clock);
    enum pl_code code = sim_error_code(pl_value_text(row->error));
    bool output_fails = sim_eval_fails(run, NULL, RUN_EVAL_OUTPUT, 0);

    if (should == RUN_SUCCEEDED && output_fails && is == RUN_FAILED &&
        code == PL_ERR_EXPRESSION_ERROR)
        return;
    if (is == RUN_FAILED && clock && code == PL_ERR_RUN_TIMEOUT)
        return;
    if (is != should) {
        sim_breach(run, "the run is %s and should be %s (%s)", run_state_phase(is),
                   run_state_phase(should), step ? step->path.ptr : "");
        return;
    }
    if (is == RUN_FAILED && step && !error_names(row, step))
        sim_breach(run, "the run's error is %.*s, should be that of %s",
                   PL_STR_ARG(pl_value_text(row->error)), step->path.ptr);
    if (is == RUN_SUCCEEDED)
        judge_output(run, row);
}

static void add_usage(struct store_usage *total, const struct store_usage *more)
{
    total->calls += more->calls;
    total->input_tokens += more->input_tokens;
    total->output_tokens += more->output_tokens;
}

static void compare_usage(struct sim_run *run, const char *whose, const struct store_usage *is,
                          const struct store_usage *should)
{
    if (is->calls != should->calls || is->input_tokens != should->input_tokens ||
        is->output_tokens != should->output_tokens)
        sim_breach(run, "%s: says %lld calls, %lld and %lld tokens; it was %lld, %lld, %lld", whose,
                   (long long)is->calls, (long long)is->input_tokens, (long long)is->output_tokens,
                   (long long)should->calls, (long long)should->input_tokens,
                   (long long)should->output_tokens);
}

/* What durable results have used, of each step and of the run. */
void sim_judge_usage(struct sim_run *run, const struct store_run *row)
{
    struct store_usage *used = sim_alloc(run->n + 1, sizeof(*used));

    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];

        if (entry->what != SIM_EVENT || entry->event != RUN_EV_RESULT)
            continue;
        for (const struct sim_step *step = run->steps[entry->index]; step; step = step->up)
            if (step->id == (uint32_t)entry->index || !step_kind_is_leaf(step->def->kind))
                add_usage(&used[step->id], &entry->usage);
        add_usage(&used[run->n], &entry->usage);
    }
    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i]->last)
            compare_usage(run, run->steps[i]->path.ptr, &run->steps[i]->last->row.usage, &used[i]);
    compare_usage(run, "the run", &row->usage, &used[run->n]);
    free(used);
}
