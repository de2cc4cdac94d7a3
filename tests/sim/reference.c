/* reference.c - the second opinion on leaves, on_error, skips and the run's outcome, written from
 * the contract ("On any step") and the rules in service/run_core.h, not from the implementation.
 * Not the joins (ref_join.c). Called by step.c after a result and by world.c at the end of a run.
 */
#include "tests/sim/sim.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- looking back ---- */

size_t sim_find(const struct sim_run *run, enum sim_happening what, uint32_t index)
{
    for (size_t i = 0; i < run->n_history; i++)
        if (run->history[i].what == what && run->history[i].index == (int32_t)index)
            return i;
    return SIZE_MAX;
}

bool sim_user_cancelled(const struct sim_run *run, const struct step_def *def, bool above)
{
    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];

        if (entry->what != SIM_EVENT)
            continue;
        if (above && entry->event == RUN_EV_CANCEL)
            return true;
        for (const struct step_def *d = def;
             entry->event == RUN_EV_CANCEL_STEP && d && (d == def || above); d = d->parent)
            if (entry->index == (int32_t)d->index)
                return true;
    }
    return false;
}

enum pl_code sim_error_code(const struct pl_value *error)
{
    struct pl_str code;
    char text[64];

    if (!error || !json_get(pl_value_text(error), PL_STR("code"), &code) || code.len < 3 ||
        code.len - 2 >= sizeof(text))
        return PL_ERR_INTERNAL;
    memcpy(text, code.ptr + 1, code.len - 2);
    text[code.len - 2] = '\0';
    return pl_code_from_text(text);
}

/* ---- one result ---- */

struct bounds {
    double low, high;
};

/* How long the wait before the next attempt may be. */
static struct bounds wait_bounds(const struct sim_before *before, const struct run_node *node)
{
    const struct retry_policy *retry = &node->def->retry;
    unsigned nth = before->failures + (before->free ? 0 : 1);
    double backoff = fmin((double)retry->initial * pow(retry->multiplier, nth > 0 ? nth - 1 : 0),
                          (double)retry->max);
    struct bounds b = {.low = backoff * (1 - retry->jitter) - 1, .high = backoff + 1};

    b.low = fmax(b.low, 1);
    b.high = fmax(b.high, 1);
    if (before->free) {
        b.low = 1;
        b.high = (double)retry->max + 1;
    }
    if (before->retry_after >= 0) {
        double hint = (double)before->retry_after;

        b.low = fmax(b.low, hint);
        b.high = fmax(b.high, hint + fmin(hint / 10, 250) + 1);
    }
    return b;
}

static void judge_failed_attempt(struct sim_run *run, const struct sim_before *before,
                                 const struct run_node *node)
{
    const struct step_def *def = node->def;
    enum pl_retry_class class = pl_code_retry_class(before->code);
    bool listed = class != PL_RETRY_NEVER && (def->retry.on & (1u << class)) && !before->no_retry;
    bool tries_left = before->failures + 1 < def->retry.attempts;
    pl_ms deadline = def->deadline > 0 ? before->sent_at + def->deadline : 0;
    struct bounds wait = wait_bounds(before, node);
    bool must, may;

    if ((before->free || before->retry_after > 0) && deadline == 0)
        deadline = before->sent_at + PL_LIMIT_LANE_WAIT_MS;
    must = listed && (before->free || tries_left) &&
           (deadline == 0 || (double)run->now + wait.high < (double)deadline);
    may = (listed || (before->free && !before->no_retry)) && (before->free || tries_left) &&
          (deadline == 0 || (double)run->now + floor(wait.low) < (double)deadline);
    if (before->free && tries_left)
        may = true;
    if (node->state == NODE_BACKOFF || node->state == NODE_HELD) {
        double waits = (double)(node->wake_at - run->now);

        if (!may)
            sim_breach(run, "%s: is tried again after %s, %u failures before it", def->path.ptr,
                       pl_code_text(before->code), before->failures);
        else if (waits < floor(wait.low) || waits > ceil(wait.high))
            sim_breach(run, "%s: waits %.0f ms, should be %.0f to %.0f", def->path.ptr, waits,
                       wait.low, wait.high);
    } else if (must) {
        sim_breach(run, "%s: is %s after %s and has a try left (%u failures before)", def->path.ptr,
                   node_state_phase(node->state), pl_code_text(before->code), before->failures);
    }
}

static bool accept_is_due(const struct sim_run *run, const struct run_node *node)
{
    const struct step_def *parent = node->def->parent;

    return parent && !node->def->is_handler && parent->join.accept &&
           run->nodes[parent->index]->state == NODE_JOINING;
}

void sim_judge_result(struct sim_run *run, const struct sim_before *before,
                      const struct run_node *node)
{
    enum node_state state = node->state;

    if (before->state == NODE_STOPPING) {
        if (before->code == PL_OK && state != NODE_SUCCEEDED && state != NODE_ACCEPTING)
            sim_breach(run, "%s: came back after its abort with a result and is %s",
                       node->def->path.ptr, node_state_phase(state));
        if (state == NODE_CALLING || state == NODE_BACKOFF || state == NODE_HELD)
            sim_breach(run, "%s: was aborted and is %s", node->def->path.ptr,
                       node_state_phase(state));
    } else if (before->code == PL_OK) {
        if (state != NODE_SUCCEEDED && state != NODE_ACCEPTING)
            sim_breach(run, "%s: its call was good and it is %s", node->def->path.ptr,
                       node_state_phase(state));
        else if (state == NODE_SUCCEEDED && accept_is_due(run, node))
            sim_breach(run, "%s: nobody looked whether its result is accepted",
                       node->def->path.ptr);
    } else {
        judge_failed_attempt(run, before, node);
    }
}

/* ---- how a step ended ---- */

struct deps {
    bool any, bad, all_skipped;
};

static struct deps look_at_deps(const struct sim_run *run, const struct step_def *def)
{
    struct deps deps = {.any = def->n_deps > 0, .all_skipped = def->n_deps > 0};

    for (size_t i = 0; i < def->n_deps; i++) {
        const struct run_node *dep = run->nodes[def->deps[i]->index];

        if (dep->state == NODE_CANCELLED || (dep->state == NODE_FAILED && !dep->handled) ||
            (dep->state == NODE_SKIPPED && dep->dependency_failed))
            deps.bad = true;
        if (dep->state != NODE_SKIPPED)
            deps.all_skipped = false;
    }
    return deps;
}

/* Could something above it have stopped it before it came to its own end? */
static bool interrupted(const struct sim_run *run, const struct run_node *node)
{
    size_t at = sim_find(run, SIM_FINAL, node->def->index);

    if (run_core_state(run->core) != RUN_SUCCEEDED || sim_user_cancelled(run, node->def, true))
        return true;
    for (const struct step_def *d = node->def->parent; d; d = d->parent)
        if (sim_find(run, SIM_CLOSED, d->index) < at || sim_find(run, SIM_FINAL, d->index) < at)
            return true;
    return false;
}

static bool never_opened(const struct sim_run *run, const struct step_def *def)
{
    const struct run_node *parent = def->parent ? run->nodes[def->parent->index] : NULL;

    if (!parent) /* the run was cancelled before it began */
        return run_core_state(run->core) == RUN_CANCELLED && sim_user_cancelled(run, def, true);

    return parent && (def->is_handler || parent->started_at == 0);
}

static void judge_skipped(struct sim_run *run, const struct run_node *node, struct deps deps)
{
    const struct step_def *def = node->def;
    bool when_false = def->when && !sim_eval_fails(run, def->index, RUN_EVAL_WHEN) &&
                      !sim_truth(run, def->index, RUN_EVAL_WHEN);

    if (node->dependency_failed && !run->workflow->root->settled)
        sim_breach(run, "%s: was skipped for a failure that had ended the run", def->path.ptr);
    if (!deps.bad && !(deps.all_skipped && !def->when) && !when_false)
        sim_breach(run, "%s: was skipped without a reason", def->path.ptr);
    if (node->attempts > 0)
        sim_breach(run, "%s: was skipped after %u attempts", def->path.ptr, node->attempts);
    if (node->output && !pl_str_is(pl_value_text(node->output), "null"))
        sim_breach(run, "%s: was skipped and has an output", def->path.ptr);
}

/* Was the part of `above` in which `def` stands over, and not stopped, when `above` stopped its
 * branches? Then what goes on in there is left alone. */
static bool is_left_to_drain(const struct sim_run *run, const struct step_def *def,
                             const struct step_def *above)
{
    const struct step_def *part = def;
    size_t over, closed = sim_find(run, SIM_CLOSED, above->index);

    while (part->parent != above)
        part = part->parent;
    over = sim_find(run, SIM_FINAL, part->index);
    /* to the event that did it: what ended in it may have ended by it */
    while (closed != SIZE_MAX && closed > 0 && run->history[closed].what != SIM_EVENT)
        closed--;
    return part != def && over < closed && run->history[over].state != NODE_CANCELLED;
}

static bool may_be_reason(const struct sim_run *run, const struct run_node *node,
                          enum pl_code run_code)
{
    enum run_state end = run_core_state(run->core);

    switch (node->reason) {
    case CANCEL_USER:
        return sim_user_cancelled(run, node->def, true);
    case CANCEL_RUN_FAILED:
        return end == RUN_FAILED && run_code != PL_ERR_RUN_TIMEOUT;
    case CANCEL_LOST_RACE:
    case CANCEL_QUORUM_MET:
    case CANCEL_SIBLING_FAILED:
    case CANCEL_DEADLINE:
    case CANCEL_OUTCOME_FIXED:
        break;
    case CANCEL_NONE:
    case CANCEL__REASONS:
        return false;
    }
    if (node->reason == CANCEL_DEADLINE && end == RUN_FAILED && run_code == PL_ERR_RUN_TIMEOUT)
        return true;
    for (const struct step_def *d = node->def->parent; d; d = d->parent) {
        bool any = d->join.kind == JOIN_ANY && !d->join.drain;
        bool quorum =
            (d->join.kind == JOIN_QUORUM || d->join.kind == JOIN_FRACTION) && !d->join.drain;

        if (is_left_to_drain(run, node->def, d))
            continue;
        if ((node->reason == CANCEL_LOST_RACE && any) ||
            (node->reason == CANCEL_QUORUM_MET && quorum) ||
            (node->reason == CANCEL_DEADLINE &&
             (d->join.deadline > 0 || d->deadline > 0 || d->timeout > 0)) ||
            node->reason == CANCEL_SIBLING_FAILED || node->reason == CANCEL_OUTCOME_FIXED)
            return true;
    }
    return false;
}

/* Is this a code the step can have failed with, before its on_error? */
static bool may_be_code(const struct sim_run *run, const struct run_node *node, enum pl_code code)
{
    const struct step_def *def = node->def;
    const struct sim_step *step = &run->steps[def->index];

    pl_ms from = def->kind == STEP_PARALLEL ? node->started_at : node->sent_at;

    if (code == PL_ERR_DEADLINE)
        return def->deadline > 0 && (from == 0 || node->ended_at >= from + def->deadline);
    if (code == PL_ERR_AMBIGUOUS)
        return run->crashes > 0 && step_kind_is_leaf(def->kind);
    if (code == PL_ERR_NOT_ACCEPTED)
        return def->parent && def->parent->join.accept &&
               !sim_truth(run, def->index, RUN_EVAL_ACCEPT);
    if (code == PL_ERR_EXPRESSION_ERROR) {
        if ((def->when && sim_eval_fails(run, def->index, RUN_EVAL_WHEN)) ||
            (def->on_error == ON_ERROR_DEFAULT &&
             sim_eval_fails(run, def->index, RUN_EVAL_DEFAULT)) ||
            (def->parent && def->parent->join.accept &&
             sim_eval_fails(run, def->index, RUN_EVAL_ACCEPT)))
            return true;
    }
    if (def->kind == STEP_PARALLEL)
        return code == PL_ERR_BRANCH_FAILED || code == PL_ERR_QUORUM_UNREACHABLE ||
               code == PL_ERR_JOIN_DEADLINE ||
               (code == PL_ERR_TIMEOUT && def->timeout > 0 &&
                node->ended_at >= from + def->timeout);
    return code == step->mirror.last_code;
}

static void judge_handled(struct sim_run *run, const struct run_node *node)
{
    const struct step_def *def = node->def;
    struct pl_str output = pl_value_text(node->output);
    char made[64];

    if (def->on_error == ON_ERROR_FAIL) {
        sim_breach(run, "%s: is handled by nothing", def->path.ptr);
    } else if (def->on_error == ON_ERROR_CONTINUE && !pl_str_is(output, "null")) {
        sim_breach(run, "%s: went on with %.*s", def->path.ptr, PL_STR_ARG(output));
    } else if (def->on_error == ON_ERROR_DEFAULT) {
        snprintf(made, sizeof(made), "{\"made\":%u,\"what\":%d}", def->index, RUN_EVAL_DEFAULT);
        if (!pl_str_is(output, made))
            sim_breach(run, "%s: its default is %.*s", def->path.ptr, PL_STR_ARG(output));
    } else if (def->on_error == ON_ERROR_STEP) {
        const struct run_node *handler = run->nodes[def->handler->index];

        if (handler->state != NODE_SUCCEEDED &&
            !(handler->state == NODE_FAILED && handler->handled))
            sim_breach(run, "%s: is handled and its handler is %s", def->path.ptr,
                       node_state_phase(handler->state));
        if (!pl_str_eq(output, pl_value_text(handler->output)))
            sim_breach(run, "%s: its output is not its handler's", def->path.ptr);
    }
}

static void judge_failed(struct sim_run *run, const struct run_node *node)
{
    const struct step_def *def = node->def;
    enum pl_code code = sim_error_code(node->error);
    const struct run_node *handler = def->handler ? run->nodes[def->handler->index] : NULL;
    bool by_handler = handler && !handler->silent && !node->handled;

    if (node->handled)
        judge_handled(run, node);
    if (!node->handled && def->on_error == ON_ERROR_CONTINUE && code != PL_ERR_NOT_ACCEPTED &&
        !(code == PL_ERR_EXPRESSION_ERROR && def->parent && def->parent->join.accept) &&
        !interrupted(run, node))
        sim_breach(run, "%s: failed with %s and on_error was not followed", def->path.ptr,
                   pl_code_text(code));
    if (by_handler && handler->state == NODE_FAILED && code == sim_error_code(handler->error))
        return;
    if (!may_be_code(run, node, code))
        sim_breach(run, "%s: cannot have failed with %.*s", def->path.ptr,
                   PL_STR_ARG(pl_value_text(node->error)));
}

static void judge_began(struct sim_run *run, const struct run_node *node, struct deps deps)
{
    const struct step_def *def = node->def;

    if (deps.bad)
        sim_breach(run, "%s: is %s though a step it needs failed", def->path.ptr,
                   node_state_phase(node->state));
    if (deps.all_skipped && !def->when)
        sim_breach(run, "%s: is %s though all it needs was skipped", def->path.ptr,
                   node_state_phase(node->state));
    if (def->when && !sim_eval_fails(run, def->index, RUN_EVAL_WHEN) &&
        !sim_truth(run, def->index, RUN_EVAL_WHEN))
        sim_breach(run, "%s: is %s though its when is false", def->path.ptr,
                   node_state_phase(node->state));
    if (def->when && sim_eval_fails(run, def->index, RUN_EVAL_WHEN) &&
        (node->attempts > 0 || node->state == NODE_SUCCEEDED))
        sim_breach(run, "%s: ran though its when could not be evaluated", def->path.ptr);
}

static void judge_succeeded(struct sim_run *run, const struct run_node *node)
{
    const struct step_def *def = node->def;
    char start[64];

    if (node->counted && !node->def->is_handler && def->parent->join.accept &&
        (sim_eval_fails(run, def->index, RUN_EVAL_ACCEPT) ||
         !sim_truth(run, def->index, RUN_EVAL_ACCEPT)))
        sim_breach(run, "%s: is counted and was not accepted", def->path.ptr);
    if (!step_kind_is_leaf(def->kind))
        return;
    snprintf(start, sizeof(start), "{\"step\":%u,", def->index);
    if (node->attempts == 0)
        sim_breach(run, "%s: succeeded without an attempt", def->path.ptr);
    if (!pl_str_starts(pl_value_text(node->output), pl_str(start)))
        sim_breach(run, "%s: its output is %.*s", def->path.ptr,
                   PL_STR_ARG(pl_value_text(node->output)));
}

static void judge_step(struct sim_run *run, const struct run_node *node, enum pl_code run_code)
{
    struct deps deps = look_at_deps(run, node->def);

    if (!node_state_is_final(node->state))
        sim_breach(run, "%s: is %s at the run's end", node->def->path.ptr,
                   node_state_phase(node->state));
    if (node->silent) {
        if (!never_opened(run, node->def))
            sim_breach(run, "%s: ended in silence", node->def->path.ptr);
        return;
    }
    if (node->state == NODE_SKIPPED)
        judge_skipped(run, node, deps);
    if (node->state == NODE_CANCELLED && !may_be_reason(run, node, run_code))
        sim_breach(run, "%s: cannot have been cancelled as %s", node->def->path.ptr,
                   cancel_reason_text(node->reason));
    if (node->state == NODE_SUCCEEDED || node->state == NODE_FAILED)
        judge_began(run, node, deps);
    if (node->state == NODE_SUCCEEDED)
        judge_succeeded(run, node);
    if (node->state == NODE_FAILED)
        judge_failed(run, node);
    if (!run->broken && node->def->kind == STEP_PARALLEL)
        sim_judge_join(run, node->def->index);
}

/* ---- how the run ended ---- */

static bool is_top(const struct sim_run *run, int32_t index)
{
    return index >= 0 && !run->workflow->steps[index]->parent;
}

static bool counts_as_failed(const struct sim_entry *entry)
{
    return (entry->state == NODE_FAILED && !entry->handled) || entry->state == NODE_CANCELLED;
}

static bool error_names(const struct sim_run *run, const struct store_run *row, int32_t index)
{
    struct pl_str path;
    const struct step_def *def = run->workflow->steps[index];

    if (!row->error || !json_get(pl_value_text(row->error), PL_STR("step"), &path))
        return false;
    return path.len == def->path.len + 2 && memcmp(path.ptr + 1, def->path.ptr, def->path.len) == 0;
}

/* What fixed the outcome first: RUN_SUCCEEDED when nothing did. *ret_index: the step that failed,
 * -1: the clock. */
static enum run_state outcome(const struct sim_run *run, pl_ms started_at, int32_t *ret_index,
                              bool *ret_clock)
{
    int32_t failed = -1;
    pl_ms failed_at = 0;

    *ret_clock = false;
    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];

        if (entry->what == SIM_EVENT && entry->event == RUN_EV_CANCEL &&
            entry->run_state != RUN_ENDING && !run_state_is_final(entry->run_state))
            return RUN_CANCELLED;
        if (entry->what == SIM_EVENT && run->workflow->timeout > 0 &&
            entry->run_state == RUN_RUNNING && entry->now >= started_at + run->workflow->timeout &&
            (entry->event == RUN_EV_TICK || entry->event == RUN_EV_RECOVER))
            *ret_clock = true;
        if (entry->what == SIM_FINAL && is_top(run, entry->index) && counts_as_failed(entry) &&
            (failed < 0 || (entry->now == failed_at && entry->index < failed))) {
            failed = entry->index;
            failed_at = entry->now;
            *ret_index = failed;
            if (!run->workflow->root->settled)
                return RUN_FAILED;
        }
        if (i + 1 < run->n_history && run->history[i + 1].what != SIM_EVENT)
            continue;
        /* Of several times that came at once an earlier one may have ended the last step. */
        if (i + 1 < run->n_history && run->history[i + 1].run_state == RUN_OUTPUT)
            *ret_clock = false;
        if (*ret_clock && failed < 0)
            return RUN_FAILED;
    }
    return failed >= 0 ? RUN_FAILED : RUN_SUCCEEDED;
}

static void judge_outcome(struct sim_run *run, const struct store_run *row)
{
    int32_t index = -1;
    bool clock;
    enum run_state is = run_core_state(run->core),
                   should = outcome(run, row->started_at, &index, &clock);
    enum pl_code code = sim_error_code(row->error);
    bool output_fails = sim_eval_fails(run, UINT32_MAX, RUN_EVAL_OUTPUT);

    if (should == RUN_SUCCEEDED && output_fails && is == RUN_FAILED &&
        code == PL_ERR_EXPRESSION_ERROR)
        return;
    if (is == RUN_FAILED && clock && code == PL_ERR_RUN_TIMEOUT)
        return;
    if (is != should) {
        sim_breach(run, "the run is %s and should be %s (%s)", run_state_phase(is),
                   run_state_phase(should),
                   index >= 0 ? run->workflow->steps[index]->path.ptr : "");
        return;
    }
    if (is == RUN_FAILED && index >= 0 && !error_names(run, row, index))
        sim_breach(run, "the run's error is %.*s, should be that of %s",
                   PL_STR_ARG(pl_value_text(row->error)), run->workflow->steps[index]->path.ptr);
    if (is == RUN_SUCCEEDED && !pl_str_is(pl_value_text(row->output), "{\"made\":-1,\"what\":3}"))
        sim_breach(run, "the run's output is %.*s", PL_STR_ARG(pl_value_text(row->output)));
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
static void judge_usage(struct sim_run *run, const struct store_run *row)
{
    struct store_usage *used = sim_alloc(run->n + 1, sizeof(*used));

    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];

        if (entry->what != SIM_EVENT || entry->event != RUN_EV_RESULT)
            continue;
        add_usage(&used[entry->index], &entry->usage);
        add_usage(&used[run->n], &entry->usage);
    }
    for (size_t i = 0; i < run->n; i++) {
        struct store_step step = {0};

        run_core_step_row(run->core, run->nodes[i], run->arena, &step);
        if (step_kind_is_leaf(run->workflow->steps[i]->kind))
            compare_usage(run, run->workflow->steps[i]->path.ptr, &step.usage, &used[i]);
    }
    compare_usage(run, "the run", &row->usage, &used[run->n]);
    free(used);
}

void sim_judge_run(struct sim_run *run)
{
    struct store_run row = {.created_at = run->created_at};

    if (run->broken)
        return;
    pl_arena_reset(run->arena);
    run_core_run_row(run->core, run->arena, &row);
    for (size_t i = 0; i < run->n && !run->broken; i++)
        judge_step(run, run->nodes[i], sim_error_code(row.error));
    if (!run->broken)
        judge_outcome(run, &row);
    if (!run->broken)
        judge_usage(run, &row);
}
