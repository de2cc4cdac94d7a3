/* reference.c - the second opinion on leaves, on_error and skips, written from
 * the contract ("On any step") and the rules in service/run/run_core.h, not from the
 * implementation. Not the joins (ref_join.c) nor the run's outcome (ref_outcome.c). Called by
 * step.c after a result and by world.c at the end of a run.
 */
#include "tests/sim/judge.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- looking back ---- */

size_t sim_find(const struct sim_run *run, enum sim_happening what, uint32_t id)
{
    for (size_t i = 0; i < run->n_history; i++)
        if (run->history[i].what == what && run->history[i].index == (int32_t)id)
            return i;
    return SIZE_MAX;
}

bool sim_user_cancelled(const struct sim_run *run, const struct sim_step *step, bool above)
{
    for (size_t i = 0; i < run->n_history; i++) {
        const struct sim_entry *entry = &run->history[i];

        if (entry->what != SIM_EVENT)
            continue;
        if (above && entry->event == RUN_EV_CANCEL)
            return true;
        for (const struct sim_step *s = step;
             entry->event == RUN_EV_CANCEL_STEP && s && (s == step || above); s = s->up)
            if (entry->index == (int32_t)s->id)
                return true;
    }
    return false;
}

enum pl_code sim_error_code(struct pl_str error)
{
    struct pl_str code;
    char text[64];

    if (!json_get(error, PL_STR("code"), &code) || code.len < 3 || code.len - 2 >= sizeof(text))
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

/* Must it go on with its next model? What no model would make better is left out. */
static bool has_other_model(const struct sim_run *run, const struct sim_before *before,
                            const struct run_node *node)
{
    const struct llm_config *llm = node->def->kind == STEP_LLM ? node->def->config.llm : NULL;

    if (!llm || before->fallback >= llm->n_fallback || before->code == PL_ERR_EXPRESSION_ERROR)
        return false;
    return !before->deadline_at || before->deadline_at > run->now;
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
    bool falls_back = node->fallback == before->fallback + 1 && node->state == NODE_CALLING;
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
            sim_breach(run, "%s: is tried again after %s, %u failures before it", node->path.ptr,
                       pl_code_text(before->code), before->failures);
        else if (waits < floor(wait.low) || waits > ceil(wait.high))
            sim_breach(run, "%s: waits %.0f ms, should be %.0f to %.0f", node->path.ptr, waits,
                       wait.low, wait.high);
    } else if (sim_of(run, node)->retry_noted == run->events &&
               (run_budget_matters(run->core) || node->state == NODE_CANCELLED)) {
        return; /* what it used took from another step, or let others begin, whose end stopped it */
    } else if (must) {
        sim_breach(run, "%s: is %s after %s and has a try left (%u failures before)",
                   node->path.ptr, node_state_phase(node->state), pl_code_text(before->code),
                   before->failures);
    } else if (!falls_back && has_other_model(run, before, node)) {
        sim_breach(run, "%s: is %s after %s and another model was not tried", node->path.ptr,
                   node_state_phase(node->state), pl_code_text(before->code));
    } else if (node->state == NODE_CALLING && !falls_back) {
        sim_breach(run, "%s: is called again at once", node->path.ptr);
    }
}

static bool accept_is_due(const struct run_node *node)
{
    const struct run_node *up = run_node_up(node);
    bool branch = !node->def->is_handler && up &&
                  (node->parent || step_kind_joins(up->def->kind)) &&
                  (node->parent || node->frame->body->role == BODY_BRANCH);

    return branch && up->def->join.accept && up->state == NODE_JOINING;
}

/* A batch of items wants a result for each. */
static bool is_refused(const struct run_node *node)
{
    const struct run_node *owner = node->parent ? NULL : node->frame->owner;

    if (!owner || owner->def->kind != STEP_MAP || node->frame->body->role != BODY_BRANCH ||
        !owner->def->config.map->batch)
        return false;
    return true;
}

static bool is_good_end(enum node_state state)
{
    return state == NODE_SUCCEEDED || state == NODE_ACCEPTING || state == NODE_FINISHING;
}

void sim_judge_result(struct sim_run *run, const struct sim_before *before,
                      const struct run_node *node)
{
    enum node_state state = node->state;
    bool refused = before->code == PL_OK && !is_good_end(state) && is_refused(node);

    if (refused) {
        if (state != NODE_CANCELLED &&
            (!node->error || sim_error_code(pl_value_text(node->error)) != PL_ERR_INVALID_OUTPUT))
            sim_breach(run, "%s: its list was not taken and it is %s", node->path.ptr,
                       node_state_phase(state));
        sim_of(run, node)->mirror.refused = true;
    } else if (before->state == NODE_STOPPING) {
        if (before->code == PL_OK && !is_good_end(state))
            sim_breach(run, "%s: came back after its abort with a result and is %s", node->path.ptr,
                       node_state_phase(state));
        if (state == NODE_CALLING || state == NODE_BACKOFF || state == NODE_HELD)
            sim_breach(run, "%s: was aborted and is %s", node->path.ptr, node_state_phase(state));
    } else if (before->code == PL_OK) {
        if (!is_good_end(state))
            sim_breach(run, "%s: its call was good and it is %s", node->path.ptr,
                       node_state_phase(state));
        else if (state != NODE_ACCEPTING && accept_is_due(node))
            sim_breach(run, "%s: nobody looked whether its result is accepted", node->path.ptr);
    } else {
        judge_failed_attempt(run, before, node);
    }
}

/* ---- how a step ended ---- */

struct deps {
    bool any, bad, all_skipped;
};

static struct deps look_at_deps(const struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    struct deps deps = {.any = def->n_deps > 0, .all_skipped = def->n_deps > 0};

    for (size_t i = 0; i < def->n_deps; i++) {
        const struct sim_step *dep = sim_sibling(run, step, def->deps[i]);
        enum node_state state = dep ? dep->mirror.state : NODE_WAITING;

        if (!dep || state == NODE_CANCELLED || (state == NODE_FAILED && !sim_handled(dep)) ||
            (state == NODE_SKIPPED && dep->last &&
             pl_str_is(dep->last->row.reason, "dependency_failed")))
            deps.bad = true;
        if (state != NODE_SKIPPED)
            deps.all_skipped = false;
    }
    return deps;
}

/* Could something above it have stopped it before it came to its own end? */
static bool interrupted(const struct sim_run *run, const struct sim_step *step)
{
    size_t at = sim_find(run, SIM_FINAL, step->id);

    if (run_core_state(run->core) != RUN_SUCCEEDED || sim_user_cancelled(run, step, true))
        return true;
    for (const struct sim_step *up = step->up; up; up = up->up)
        if (sim_find(run, SIM_CLOSED, up->id) < at || sim_find(run, SIM_FINAL, up->id) < at)
            return true;
    return false;
}

static bool in_settled_body(const struct sim_step *step)
{
    return step->body->settled;
}

static void judge_skipped(struct sim_run *run, const struct sim_step *step, struct deps deps)
{
    const struct step_def *def = step->def;
    bool let_down = pl_str_is(step->last->row.reason, "dependency_failed");
    bool when_false = def->when && !sim_eval_fails(run, step, RUN_EVAL_WHEN, 0) &&
                      !sim_truth(run, step, RUN_EVAL_WHEN, 0);

    if (let_down && !in_settled_body(step))
        sim_breach(run, "%s: was skipped for a failure that had ended the run", step->path.ptr);
    if (!deps.bad && !(deps.all_skipped && !def->when) && !when_false)
        sim_breach(run, "%s: was skipped without a reason", step->path.ptr);
    if (step->last->row.attempts > 0)
        sim_breach(run, "%s: was skipped after %lld attempts", step->path.ptr,
                   (long long)step->last->row.attempts);
    if (!pl_str_is(sim_output(step), "null"))
        sim_breach(run, "%s: was skipped and has an output", step->path.ptr);
}

/* Was the part of `above` in which the step stands over, and not stopped, when `above` stopped what
 * is inside it? Then what goes on in there is left alone. */
static bool is_left_to_drain(const struct sim_run *run, const struct sim_step *step,
                             const struct sim_step *above)
{
    const struct sim_step *part = step;
    size_t over, closed = sim_find(run, SIM_CLOSED, above->id);

    if (!step_kind_joins(above->def->kind)) /* a body stops all of it, as a run does */
        return false;
    while (part->up != above)
        part = part->up;
    over = sim_find(run, SIM_FINAL, part->id);
    /* to the event that did it: what ended in it may have ended by it */
    while (closed != SIZE_MAX && closed > 0 && run->history[closed].what != SIM_EVENT)
        closed--;
    return part != step && over < closed && run->history[over].state != NODE_CANCELLED;
}

/* May `above` have stopped what is inside it for this reason? */
static bool may_stop(const struct sim_step *above, enum cancel_reason reason)
{
    const struct step_def *def = above->def;
    enum join_kind kind = def->join.kind;
    bool joins = step_kind_joins(def->kind), drains = joins && def->join.drain;

    switch (reason) {
    case CANCEL_LOST_RACE:
        return joins && kind == JOIN_ANY && !drains;
    case CANCEL_QUORUM_MET: /* of what a map's `settled` or `all` still collapses as well */
        return joins && !drains && kind != JOIN_ANY;
    case CANCEL_DEADLINE:
        return def->join.deadline > 0 || def->deadline > 0 || sim_timeout(def) > 0;
    case CANCEL_OUTCOME_FIXED:
        return def->kind == STEP_VOTE && def->config.vote->stop_early;
    case CANCEL_SIBLING_FAILED:
    case CANCEL_BUDGET:
        return true;
    case CANCEL_RUN_FAILED:
    case CANCEL_USER:
    case CANCEL_NONE:
    case CANCEL__REASONS:
        break;
    }
    return false;
}

static bool may_be_reason(const struct sim_run *run, const struct sim_step *step,
                          enum pl_code run_code)
{
    enum run_state end = run_core_state(run->core);
    enum cancel_reason reason = step->mirror.reason;

    if (reason == CANCEL_USER)
        return sim_user_cancelled(run, step, true);
    if (reason == CANCEL_BUDGET && end == RUN_FAILED && run_code != PL_ERR_RUN_TIMEOUT)
        return run_budget_matters(run->core);
    if (reason == CANCEL_RUN_FAILED)
        return end == RUN_FAILED && run_code != PL_ERR_RUN_TIMEOUT;
    if (reason == CANCEL_DEADLINE && end == RUN_FAILED && run_code == PL_ERR_RUN_TIMEOUT)
        return true;
    for (const struct sim_step *up = step->up; up; up = up->up)
        if (!is_left_to_drain(run, step, up) && may_stop(up, reason))
            return true;
    return false;
}

static bool is_judged(const struct sim_step *step)
{
    return sim_is_branch(step) && step->up->def->join.accept;
}

/* Could an expression of it be evaluated that cannot be? */
static bool fails_to_evaluate(const struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    uint32_t turns = def->kind == STEP_REPEAT ? def->config.repeat->max : 1;

    if ((def->when && sim_eval_fails(run, step, RUN_EVAL_WHEN, 0)) ||
        (def->on_error == ON_ERROR_DEFAULT && sim_eval_fails(run, step, RUN_EVAL_DEFAULT, 0)) ||
        (is_judged(step) && sim_eval_fails(run, step, RUN_EVAL_ACCEPT, 0)) ||
        (def->n_writes && sim_eval_fails(run, step, RUN_EVAL_WRITES, 0)) ||
        (sim_is_branch(step) && step->up->def->kind == STEP_VOTE &&
         sim_eval_fails(run, step, RUN_EVAL_KEY, 0)))
        return true;
    if (step_kind_is_leaf(def->kind) || def->kind == STEP_PARALLEL)
        return false;
    if (sim_eval_fails(run, step, RUN_EVAL_BEGIN, 0) ||
        sim_eval_fails(run, step, RUN_EVAL_TIMEOUT, 0) || def->kind == STEP_VOTE)
        return true;
    for (uint32_t turn = 0; turn < turns; turn++)
        if (sim_eval_fails(run, step, RUN_EVAL_BODY, turn) ||
            sim_eval_fails(run, step, RUN_EVAL_UNTIL, turn))
            return true;
    return false;
}

/* What its kind can fail with. */
static bool may_be_code_of_kind(const struct sim_run *run, const struct sim_step *step,
                                enum pl_code code)
{
    const struct sim_step *turn;

    switch (step->def->kind) {
    case STEP_PARALLEL:
    case STEP_MAP:
    case STEP_VOTE:
        if (code == PL_ERR_NO_MAJORITY || code == PL_ERR_NO_DECISION)
            return step->def->kind == STEP_VOTE;
        return code == PL_ERR_BRANCH_FAILED || code == PL_ERR_QUORUM_UNREACHABLE ||
               code == PL_ERR_JOIN_DEADLINE;
    case STEP_WORKFLOW:
        return code == PL_ERR_BRANCH_FAILED;
    case STEP_REPEAT:
        return code == PL_ERR_BRANCH_FAILED ||
               (code == PL_ERR_MAX_TURNS && step->def->config.repeat->fail_on_max);
    case STEP_HUMAN:
        return code == PL_ERR_REJECTED ||
               (code == PL_ERR_TIMEOUT && step->def->config.human->timeout > 0);
    case STEP_AGENT:
        for (unsigned i = 0; i < step->def->config.agent->max_turns; i++) {
            turn = sim_instance(run, step, step->def->bodies[0], 0, i);
            if (turn && turn->mirror.state == NODE_FAILED &&
                code == sim_error_code(sim_error(turn)))
                return true;
        }
        if (sim_code_of_listing(run, step, code))
            return true;
        return code == PL_ERR_MAX_TURNS || code == PL_ERR_BRANCH_FAILED;
    case STEP_SLEEP:
        return false;
    case STEP_LLM:
    case STEP_HTTP:
    case STEP_REDUCE:
    case STEP_MCP:
    case STEP__KINDS:
        break;
    }
    return code == step->mirror.last_code;
}

/* Is this a code the step can have failed with, before its on_error? */
static bool may_be_code(const struct sim_run *run, const struct sim_step *step, enum pl_code code)
{
    const struct step_def *def = step->def;
    const struct store_step *row = &step->last->row;
    bool leaf = step_kind_is_leaf(def->kind);
    pl_ms from = leaf ? row->sent_at : row->started_at;

    if (code == PL_ERR_DEADLINE)
        return def->deadline > 0 &&
               (from == 0 || row->ended_at >= from + def->deadline || def->kind == STEP_SLEEP);
    if (code == PL_ERR_BUDGET_EXCEEDED)
        return (def->kind == STEP_LLM || def->kind == STEP_AGENT) && sim_money_limits(run, step);
    if (code == PL_ERR_AMBIGUOUS)
        return run->crashes > 0 && leaf;
    if (code == PL_ERR_NOT_ACCEPTED)
        return is_judged(step) && !sim_truth(run, step, RUN_EVAL_ACCEPT, 0);
    if (code == PL_ERR_EXPRESSION_ERROR && fails_to_evaluate(run, step))
        return true;
    if (code == PL_ERR_INVALID_OUTPUT && sim_is_branch(step) && step->up->def->kind == STEP_MAP &&
        step->up->def->config.map->batch)
        return true;
    if (code == PL_ERR_TIMEOUT && (!leaf || def->kind == STEP_REDUCE) && sim_timeout(def) > 0 &&
        row->ended_at >= from + sim_timeout(def))
        return true;
    return may_be_code_of_kind(run, step, code);
}

static void judge_handled(struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    struct pl_str output = sim_output(step);
    struct pl_buf made;

    if (def->on_error == ON_ERROR_FAIL) {
        sim_breach(run, "%s: is handled by nothing", step->path.ptr);
    } else if (def->on_error == ON_ERROR_CONTINUE && !pl_str_is(output, "null")) {
        sim_breach(run, "%s: went on with %.*s", step->path.ptr, PL_STR_ARG(output));
    } else if (def->on_error == ON_ERROR_DEFAULT) {
        pl_buf_init(&made, 8192);
        sim_write_made(&made, step, RUN_EVAL_DEFAULT, 0);
        if (!pl_str_eq(output, pl_buf_view(&made)))
            sim_breach(run, "%s: its default is %.*s", step->path.ptr, PL_STR_ARG(output));
        pl_buf_finish(&made);
    } else if (def->on_error == ON_ERROR_STEP) {
        const struct sim_step *handler = sim_sibling(run, step, def->handler);

        if (!sim_is_good(handler))
            sim_breach(run, "%s: is handled and its handler is not good", step->path.ptr);
        else if (!pl_str_eq(output, sim_output(handler)))
            sim_breach(run, "%s: its output is not its handler's", step->path.ptr);
    }
}

static void judge_failed(struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    enum pl_code code = sim_error_code(sim_error(step));
    const struct sim_step *handler = sim_sibling(run, step, def->handler);

    if (sim_handled(step))
        judge_handled(run, step);
    if (!sim_handled(step) && def->on_error == ON_ERROR_CONTINUE && code != PL_ERR_NOT_ACCEPTED &&
        !(code == PL_ERR_EXPRESSION_ERROR && is_judged(step)) && !interrupted(run, step))
        sim_breach(run, "%s: failed with %s and on_error was not followed", step->path.ptr,
                   pl_code_text(code));
    if (handler && handler->last && !sim_handled(step) && handler->mirror.state == NODE_FAILED &&
        code == sim_error_code(sim_error(handler)))
        return;
    if (!may_be_code(run, step, code))
        sim_breach(run, "%s: cannot have failed with %.*s", step->path.ptr,
                   PL_STR_ARG(sim_error(step)));
}

static void judge_began(struct sim_run *run, const struct sim_step *step, struct deps deps)
{
    const struct step_def *def = step->def;
    const char *is = node_state_phase(step->mirror.state);

    if (deps.bad)
        sim_breach(run, "%s: is %s though a step it needs failed", step->path.ptr, is);
    if (deps.all_skipped && !def->when)
        sim_breach(run, "%s: is %s though all it needs was skipped", step->path.ptr, is);
    if (def->when && !sim_eval_fails(run, step, RUN_EVAL_WHEN, 0) &&
        !sim_truth(run, step, RUN_EVAL_WHEN, 0))
        sim_breach(run, "%s: is %s though its when is false", step->path.ptr, is);
    if (def->when && sim_eval_fails(run, step, RUN_EVAL_WHEN, 0) &&
        (step->last->row.attempts > 0 || step->mirror.state == NODE_SUCCEEDED))
        sim_breach(run, "%s: ran though its when could not be evaluated", step->path.ptr);
}

static void judge_succeeded(struct sim_run *run, const struct sim_step *step)
{
    if (sim_counted(step) && is_judged(step) &&
        (sim_eval_fails(run, step, RUN_EVAL_ACCEPT, 0) ||
         !sim_truth(run, step, RUN_EVAL_ACCEPT, 0)))
        sim_breach(run, "%s: is counted and was not accepted", step->path.ptr);
    if (!step_kind_is_leaf(step->def->kind))
        return;
    if (step->last->row.attempts == 0)
        sim_breach(run, "%s: succeeded without an attempt", step->path.ptr);
    if (sim_hash_text(sim_output(step)) != step->mirror.given)
        sim_breach(run, "%s: its output is not what its call gave: %.*s", step->path.ptr,
                   PL_STR_ARG(sim_output(step)));
}

static void judge_step(struct sim_run *run, const struct sim_step *step, enum pl_code run_code)
{
    struct deps deps;

    if (!step->last) /* it never began, or went with the process */
        return;
    deps = look_at_deps(run, step);
    if (!node_state_is_final(step->mirror.state))
        sim_breach(run, "%s: is %s at the run's end", step->path.ptr,
                   node_state_phase(step->mirror.state));
    if (step->mirror.state == NODE_SKIPPED)
        judge_skipped(run, step, deps);
    if (step->mirror.state == NODE_CANCELLED && !may_be_reason(run, step, run_code))
        sim_breach(run, "%s: cannot have been cancelled as %s", step->path.ptr,
                   cancel_reason_text(step->mirror.reason));
    if (step->mirror.state == NODE_SUCCEEDED || step->mirror.state == NODE_FAILED)
        judge_began(run, step, deps);
    if (step->mirror.state == NODE_SUCCEEDED)
        judge_succeeded(run, step);
    if (step->mirror.state == NODE_FAILED)
        judge_failed(run, step);
    if (!run->broken && step_kind_joins(step->def->kind))
        sim_judge_join(run, step);
    if (!run->broken)
        sim_judge_kind(run, step);
}

/* Of the steps that are still there: what ended untold must not have been wanted. */
static void judge_silent(struct sim_run *run)
{
    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes && !run->broken; i++) {
            const struct run_node *node = &frame->nodes[i];
            bool unopened = node->parent ? node->def->is_handler || node->parent->started_at == 0
                                         : run_core_state(run->core) == RUN_CANCELLED;

            if (!node_state_is_final(node->state))
                sim_breach(run, "%s: is %s at the run's end", node->path.ptr,
                           node_state_phase(node->state));
            else if (node->silent && !unopened)
                sim_breach(run, "%s: ended in silence", node->path.ptr);
        }
}

void sim_judge_run(struct sim_run *run)
{
    struct store_run row = {.created_at = run->created_at};

    if (run->broken)
        return;
    pl_arena_reset(run->arena);
    run_core_run_row(run->core, run->arena, &row);
    for (size_t i = 0; i < run->n && !run->broken; i++)
        judge_step(run, run->steps[i], sim_error_code(pl_value_text(row.error)));
    judge_silent(run);
    if (!run->broken)
        sim_judge_outcome(run, &row);
    if (!run->broken)
        sim_judge_usage(run, &row);
    if (!run->broken)
        sim_money_judge(run);
}
