/* run_attempt.c - the attempts of a step: begin, result, retry, waiting for a lane, deadline,
 * crash. Not what a call does (steps/). Called by run_core.c, run_node.c and run_timers.c. */
#include "base/limits.h"
#include "base/map.h"
#include "service/run/run_core_private.h"

#include <math.h>

/* ---- beginning ---- */

/* `deadline` counts from the first attempt that was sent. */
static void set_sent(struct run_node *node, pl_ms sent_at)
{
    node->sent_at = sent_at;
    node->deadline_at = sent_at && node->def->deadline > 0 ? sent_at + node->def->deadline : 0;
}

void run_attempt_begin(struct run_core *core, struct run_node *node)
{
    bool first = node->started_at == 0;

    node->attempts++;
    if (!node->sent_at)
        set_sent(node, core->now);
    if (first)
        node->started_at = core->now;
    run_node_move(core, node, NODE_CALLING);
    if (first)
        run_core_note(core, "step.started", node);
    run_core_effect(core, RUN_FX_CALL, node, 0);
}

/* The attempt in flight is over; `counts`: it used up a try. */
static void attempt_over(struct run_node *node, bool counts)
{
    if (counts)
        node->tries++;
    else
        node->free_tries++;
}

/* ---- retry ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* What tells it from other steps of the run: at the top its number in the workflow, inside a body
 * its path. */
static uint64_t run_node_key(const struct run_node *node)
{
    if (!node->frame->owner)
        return node->def->index;
    return pl_hash_stable(PL_HASH_STABLE_BEGIN, node->path);
}

/* In [0, 1): the same for the same run, step and attempt. */
static double chance(const struct run_core *core, const struct run_node *node)
{
    uint64_t x = mix(core->seed + 0x9e3779b97f4a7c15u);

    x = mix(x ^ (run_node_key(node) + 0x9e3779b97f4a7c15u));
    x = mix(x ^ (node->attempts + 0x9e3779b97f4a7c15u));
    return (double)(x >> 11) * 0x1p-53;
}

static pl_ms backoff(const struct run_core *core, const struct run_node *node, bool free)
{
    const struct retry_policy *retry = &node->def->retry;
    unsigned n = free ? node->free_tries : node->tries;
    double wait = (double)retry->initial * pow(retry->multiplier, n > 1 ? n - 1 : 0);

    if (!(wait < (double)retry->max)) /* also when the power overflowed */
        wait = (double)retry->max;
    return (pl_ms)ceil(wait * (1 - retry->jitter * chance(core, node)));
}

static pl_ms retry_wait(const struct run_core *core, const struct run_node *node,
                        const struct step_result *result)
{
    pl_ms wait = backoff(core, node, result->free);
    pl_ms hint = result->retry_after;

    if (hint > 0) {
        double more = fmin((double)hint * 0.1, 250) * chance(core, node);

        hint += (pl_ms)more;
        if (hint > wait)
            wait = hint;
    }
    return wait > 0 ? wait : 1;
}

/* When a wait must be over: the deadline, or what a server may make a step without one wait. 0:
 * there is no limit. */
static pl_ms wait_limit(const struct run_node *node, bool by_server)
{
    if (node->deadline_at)
        return node->deadline_at;
    return by_server ? node->sent_at + PL_LIMIT_LANE_WAIT_MS : 0;
}

static bool may_retry(const struct run_node *node, const struct step_result *result)
{
    enum pl_retry_class class = pl_code_retry_class(result->err.code);

    if (class == PL_RETRY_NEVER || result->no_retry || !(node->def->retry.on & 1u << class))
        return false;
    return result->free || node->tries < node->def->retry.attempts;
}

/* Text that readers were sent belongs to an attempt that is void. */
static void note_again(struct run_core *core, struct run_node *node)
{
    if (node->def->kind == STEP_LLM)
        run_core_note(core, "step.reset", node);
    run_core_note(core, "step.retrying", node);
}

/* Would another model do better? Not where no call was made, nor when it is too late. */
static bool may_fall_back(const struct run_core *core, const struct run_node *node,
                          const struct step_result *result)
{
    if (node->def->kind != STEP_LLM || node->fallback >= node->def->config.llm->n_fallback)
        return false;
    if (node->deadline_at && node->deadline_at <= core->now)
        return false;
    switch ((int)result->err.code) {
    case PL_ERR_EXPRESSION_ERROR:
    case PL_ERR_EXPRESSION_LIMIT:
    case PL_ERR_INVALID_ARGUMENT:
    case PL_ERR_TOO_LARGE:
    case PL_ERR_NO_MEMORY:
    case PL_ERR_CANCELLED:
        return false;
    default:
        return true;
    }
}

/* Goes on with the next model, which has all attempts of its own: those so far used up none. */
static void fall_back(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    run_node_set_error(core, node, error);
    node->free_tries += node->tries;
    node->tries = 0;
    node->fallback++;
    run_attempt_begin(core, node);
    note_again(core, node);
}

static void attempt_failed(struct run_core *core, struct run_node *node,
                           const struct step_result *result)
{
    struct pl_value *error = run_problem_make(&(struct run_problem){.code = result->err.code,
                                                                    .detail = result->err.message,
                                                                    .attempts = node->attempts,
                                                                    .result = result});
    pl_ms wake, limit;

    if (error && may_retry(node, result)) {
        wake = core->now + retry_wait(core, node, result);
        limit = wait_limit(node, result->free || result->retry_after > 0);
        if (limit == 0 || wake < limit) {
            run_node_set_error(core, node, error);
            node->wake_at = wake;
            run_node_move(core, node, NODE_BACKOFF);
            note_again(core, node);
            return;
        }
    }
    if (error && may_fall_back(core, node, result))
        fall_back(core, node, error);
    else
        run_node_fail(core, node, error);
}

/* ---- results ---- */

void run_attempt_add_usage(struct run_core *core, struct run_node *node,
                           const struct store_usage *usage)
{
    store_usage_add(&node->usage, usage);
    while ((node = run_node_up(node))) {
        if (step_kind_is_leaf(node->def->kind)) /* whose handler it is */
            continue;
        store_usage_add(&node->usage, usage);
        if (run_node_is_final(node)) /* what was left to drain goes on using */
            run_node_touch(core, node);
    }
}

static void check_size(struct step_result *result)
{
    size_t len = pl_value_text(result->output).len;

    if (result->err.code != PL_OK || len <= PL_LIMIT_STEP_OUTPUT_BYTES)
        return;
    pl_err_set(&result->err, PL_ERR_TOO_LARGE, "its output is %zu bytes; at most %d are kept", len,
               PL_LIMIT_STEP_OUTPUT_BYTES);
}

/* An aborted call is back, with or without what it was to bring. */
static void stopped(struct run_core *core, struct run_node *node, struct step_result *result)
{
    if (result && result->err.code == PL_OK) {
        run_node_succeed(core, node, result->output ? result->output : pl_value_null());
        result->output = NULL;
    } else if (node->reason == CANCEL_NONE) {
        run_node_fail(core, node, pl_value_ref(node->error));
    } else {
        run_node_move(core, node, NODE_CANCELLED);
    }
}

/* As it was recorded: a budget did not let the call be sent. */
static void refused(struct run_core *core, struct run_node *node, const struct step_result *result)
{
    node->attempts--;
    run_node_fail_with(core, node, PL_ERR_BUDGET_EXCEEDED, result->err.message);
}

bool run_attempt_result(struct run_core *core, struct run_node *node, struct step_result *result)
{
    if (node->state != NODE_CALLING && node->state != NODE_STOPPING)
        return false;
    pl_value_unref(&node->call);
    node->call = step_result_take_facts(result);
    core->budgets.results++;
    run_budget_release(core, node);
    run_budget_leave(core, node);
    run_attempt_add_usage(core, node, &result->usage);
    store_usage_add(&core->usage, &result->usage);
    core->dirty = true;
    check_size(result);
    if (node->state == NODE_STOPPING) {
        attempt_over(node, false);
        stopped(core, node, result);
        return true;
    }
    if (result->err.code == PL_ERR_BUDGET_EXCEEDED) {
        refused(core, node, result);
        return true;
    }
    attempt_over(node, !(result->free && result->err.code != PL_OK));
    if (result->err.code == PL_OK) {
        run_node_succeed(core, node, result->output ? result->output : pl_value_null());
        result->output = NULL;
    } else {
        attempt_failed(core, node, result);
    }
    return true;
}

/* ---- waiting for a lane ---- */

pl_ms run_attempt_patience(const struct run_node *node)
{
    return node->sent_at ? wait_limit(node, true) : 0;
}

/* It was to be held until told, and is not: whoever keeps its place must know. */
static void give_up_place(struct run_core *core, struct run_node *node, pl_ms until,
                          const char *reason)
{
    if (!until && !run_budget_is_reason(reason)) /* whose queue is the core's own */
        run_core_effect(core, RUN_FX_LEAVE, node, 0);
}

/* Fails with what the last attempt said. */
static void fail_waiting(struct run_core *core, struct run_node *node)
{
    if (node->error)
        run_node_fail(core, node, pl_value_ref(node->error));
    else
        run_node_fail_with(core, node, PL_ERR_DEADLINE, "its deadline passed while it waited");
}

bool run_attempt_deferred(struct run_core *core, struct run_node *node, pl_ms until,
                          const char *reason)
{
    pl_ms limit;

    if (node->state != NODE_CALLING && node->state != NODE_STOPPING)
        return false;
    run_budget_release(core, node);
    node->attempts--; /* nothing was sent */
    if (node->attempts == 0)
        set_sent(node, 0);
    if (node->state == NODE_STOPPING) {
        give_up_place(core, node, until, reason);
        stopped(core, node, NULL);
        return true;
    }
    if (until && until <= core->now)
        until = core->now + 1;
    limit = run_attempt_patience(node);
    if (limit && (until ? until : core->now) >= limit) {
        give_up_place(core, node, until, reason);
        fail_waiting(core, node);
        return true;
    }
    node->wake_at = until;
    node->held_reason = reason ? reason : "paused";
    run_node_move(core, node, NODE_HELD);
    if (run_budget_is_reason(reason))
        run_budget_wait(core, node);
    return true;
}

void run_attempt_admitted(struct run_core *core, struct run_node *node)
{
    const pl_ms limit = run_attempt_patience(node);

    if (!run_node_is_held_until_told(node))
        return; /* it was cancelled, or gave up, while the word was on its way */
    if (limit && limit <= core->now)
        fail_waiting(core, node);
    else
        run_attempt_begin(core, node);
}

/* ---- timers and crashes ---- */

void run_attempt_abort(struct run_core *core, struct run_node *node)
{
    run_node_move(core, node, NODE_STOPPING);
    if (!node->lost)
        run_core_effect(core, RUN_FX_ABORT, node, 0);
}

pl_ms run_attempt_timeout_at(const struct run_node *node)
{
    if (node->def->kind != STEP_REDUCE || node->def->timeout == 0 || !node->sent_at)
        return 0;
    return node->sent_at + node->def->timeout;
}

static void abort_in_time(struct run_core *core, struct run_node *node)
{
    const pl_ms timeout_at = run_attempt_timeout_at(node);
    const bool deadline = !timeout_at || (node->deadline_at && node->deadline_at <= timeout_at);
    struct pl_err text = {0};

    pl_err_set(&text, deadline ? PL_ERR_DEADLINE : PL_ERR_TIMEOUT,
               "it was not done %lld ms after it %s",
               (long long)(deadline ? node->def->deadline : node->def->timeout),
               deadline ? "was first sent" : "began");
    run_node_set_error(core, node,
                       run_problem_make(&(struct run_problem){
                           .code = text.code, .detail = text.message, .attempts = node->attempts}));
    node->failure = text.code;
    run_attempt_abort(core, node);
}

void run_attempt_timer(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_CALLING)
        abort_in_time(core, node);
    else if ((node->deadline_at && node->deadline_at <= core->now) ||
             run_node_is_held_until_told(node)) /* which has no other timer */
        fail_waiting(core, node);
    else
        run_attempt_begin(core, node);
}

static void recover_calling(struct run_core *core, struct run_node *node)
{
    run_node_set_error(
        core, node,
        run_problem_make(&(struct run_problem){
            .code = PL_ERR_AMBIGUOUS,
            .detail = "it was in flight when the process died; whether the server did it is not "
                      "known",
            .attempts = node->attempts}));
    if (node->def->on_ambiguous == ON_AMBIGUOUS_FAIL) {
        run_node_fail(core, node, pl_value_ref(node->error));
        return;
    }
    run_attempt_begin(core, node);
    note_again(core, node);
}

void run_attempt_recover(struct run_core *core, struct run_node *node)
{
    attempt_over(node, false);
    if (node->state == NODE_STOPPING)
        stopped(core, node, NULL);
    else
        recover_calling(core, node);
}
