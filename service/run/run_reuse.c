/* run_reuse.c - calls of a run that need not be made, because an equal one's answer may be used:
 * asked for before they start, answered as if they had run. Not who has the answer (reuse.c) nor
 * what is equal (llm/llm_digest.c). Called by run_calls.c on the run's home loop. */
#include "service/run/run_exec_private.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_digest.h"
#include "service/run/run_budget.h"

/* ---- asking ---- */

/* The home loop: what the call waited to hear. */
static void told(struct reuse_ticket *ticket)
{
    struct exec_call *call = pl_container_of(ticket, struct exec_call, reuse);
    struct run_exec *exec = call->exec;

    if (call->home) { /* it did not wait any more */
        run_calls_put(call);
    } else {
        call->reusing = false;
        if (ticket->answered)
            pl_list_append(&exec->to_start, &call->link);
        else if (call->call.request)
            run_calls_go_on(exec, call);
        else
            run_calls_prepare(exec, call);
    }
    run_exec_wake(exec);
}

/* Its turn and what a budget has set aside are for one that is sent. False: memory is out. */
static bool give_back(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    const struct run_event event = {.type = RUN_EV_TICK, .now = loop_now(exec->home)};

    lane_done(&call->call.ticket, event.now, NULL);
    call->call.ticket = (struct lane_ticket){0};
    if (!run_budget_give_back(exec->core, call->node))
        return true;
    run_tape_tick(exec);
    return run_exec_feed(exec, &event);
}

bool run_reuse_takes(struct run_exec *exec, struct exec_call *call)
{
    unsigned char digest[LLM_DIGEST_BYTES];
    struct reuse_request request = {
        .tenant = exec->row.tenant,
        .digest = digest,
        .now = loop_now(exec->home),
    };

    if (!exec->env->reuse || !call->call.ops->reusable ||
        !call->call.ops->reusable(&call->call, digest, &request.ttl))
        return false;
    call->reuse.home = exec->home;
    call->reuse.told = told;
    switch (reuse_ask(exec->env->reuse, &call->reuse, &request)) {
    case REUSE_ANSWERED:
        pl_list_append(&exec->to_start, &call->link);
        return true;
    case REUSE_LOOKS:
        call->reusing = true;
        return true;
    case REUSE_FOLLOWS: /* perhaps for long, and with many others: without its request */
        call->reusing = true;
        if (!run_calls_unprepare(call) || !give_back(call))
            run_exec_no_memory(exec);
        return true;
    case REUSE_CALLS:
        break;
    }
    return false;
}

void run_reuse_stop(struct exec_call *call)
{
    call->reusing = false;
    (void)reuse_leave(&call->reuse); /* where mail is on its way, run_calls_put leaves it alive */
}

/* ---- answering ---- */

/* What was saved, and how the call went that was made. */
static void tell_facts(struct step_result *result, const struct store_cached *answer, pl_ms now)
{
    const struct store_usage *saved = &answer->usage;
    struct pl_str reason;
    struct pl_buf word;

    step_result_fact_bool(result, "cached", true);
    step_result_fact_int(result, "age_ms", now > answer->created_at ? now - answer->created_at : 0);
    step_result_fact_int(result, "saved_input_tokens", saved->input_tokens);
    step_result_fact_int(result, "saved_output_tokens", saved->output_tokens);
    if (saved->cost_usd > 0)
        step_result_fact_double(result, "saved_cost_usd", saved->cost_usd);
    if (!answer->call || !json_get(pl_value_text(answer->call), PL_STR("finish_reason"), &reason) ||
        json_type(reason) != JSON_STRING)
        return;
    pl_buf_init(&word, PL_LIMIT_NAME);
    json_decode_string(reason, &word);
    if (!pl_buf_failed(&word))
        step_result_fact(result, "finish_reason", pl_buf_view(&word));
    pl_buf_finish(&word);
}

/* The text of an answer as a model would have streamed it: of an agent's turn its content; JSON as
 * it stands. */
static void tell_text(struct exec_call *call, struct pl_str output)
{
    struct pl_buf text;

    if (call->call.agent && !json_get(output, PL_STR("content"), &output))
        return;
    if (json_type(output) == JSON_NULL)
        return;
    pl_buf_init(&text, PL_LIMIT_STEP_OUTPUT_BYTES);
    if (json_type(output) == JSON_STRING)
        json_decode_string(output, &text);
    else
        pl_buf_str(&text, output);
    if (!pl_buf_failed(&text) && pl_buf_view(&text).len)
        call->call.delta(&call->call, pl_buf_view(&text));
    pl_buf_finish(&text);
}

void run_reuse_start(struct exec_call *call)
{
    struct step_result *result = &call->call.result;
    const struct store_cached *answer = &call->reuse.answer;

    result->output = pl_value_ref(answer->output);
    tell_facts(result, answer, loop_now(call->call.loop));
    if (call->call.delta)
        tell_text(call, pl_value_text(answer->output));
    step_call_complete(&call->call);
}
