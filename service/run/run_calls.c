/* run_calls.c - the calls of a run: made on its home loop, run there or on another loop, brought
 * home. Not what a call does (steps/) and not what its result means (run_core). Called by
 * run_exec.c.
 *
 * Who may touch an exec_call: the home loop until it is started; then the loop it runs on, until
 * complete() has posted it home; then the home loop again. An abort for a call on another loop
 * travels as mail of its own, so the call is freed only when it is home and no abort is on its way.
 */
#include "base/log.h"
#include "service/events/bus.h"
#include "service/pool.h"
#include "service/run/run_agent.h"
#include "service/run/run_budget.h"
#include "service/run/run_eval.h"

#include "base/limits.h"

#include <assert.h>
#include <stdlib.h>

static struct exec_call *call_of(struct step_call *call)
{
    return pl_container_of(call, struct exec_call, call);
}

void run_calls_put(struct exec_call *call)
{
    struct run_exec *exec = call->exec;

    /* a leader that goes without an answer leaves it to the next */
    if (!call->home || call->aborting || call->beginning || reuse_leave(&call->reuse))
        return;
    lane_done(&call->call.ticket, loop_now(exec->home), NULL); /* it was never sent */
    run_replay_left(call);
    run_tape_left(call);
    if (call->call.ops->cleanup)
        call->call.ops->cleanup(&call->call);
    step_result_finish(&call->call.result);
    pl_arena_destroy(&call->call.arena);
    run_eval_destroy(call->eval);
    pl_buf_finish(&call->held);
    exec->calls--;
    pl_list_remove(&call->flying);
    free(call);
}

/* Nobody wants its result. */
void run_calls_discard(struct exec_call *call)
{
    call->home = true;
    call->node->exec = NULL;
    run_calls_put(call);
}

/* The call's result goes to the core as one event; the queue's owner puts the call afterwards. */
static void call_feed(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    struct run_event event = {
        .type = RUN_EV_RESULT,
        .now = loop_now(exec->home),
        .node = call->node,
        .result = &call->call.result,
    };

    run_tape_ended(call);
    if (call->held.len && call->told == 0 && !call->muted && call->call.result.err.code == PL_OK)
        run_notes_text(exec, call);
    call->home = true;
    call->node->exec = NULL;
    if (!run_exec_feed(exec, &event)) {
        run_calls_put(call);
        run_exec_no_memory(exec);
    }
}

void run_calls_answered(struct exec_call *call)
{
    call_feed(call);
}

static void call_feed_error(struct exec_call *call, enum pl_code code, const char *message)
{
    pl_err_set(&call->call.result.err, code, "%s", message);
    call_feed(call);
}

/* ---- coming home ---- */

static void call_came_home(struct exec_call *call)
{
    struct run_exec *exec = call->exec;

    exec->in_flight--;
    reuse_settle(&call->reuse, &call->call.result, loop_now(exec->home));
    if (call->call.stream)
        bus_text_end(exec->env->bus, exec->row.id, call->call.path);
    if (exec->dropped) {
        run_calls_discard(call);
    } else {
        pl_list_append(&exec->inbox, &call->link);
    }
    run_exec_wake(exec);
}

static void call_deliver_home(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    call_came_home(pl_container_of(mail, struct exec_call, mail));
}

/* Its ticket: another call may go, also before this one is home. */
static void call_gives_back(struct step_call *call)
{
    const struct store_usage *usage = &call->result.usage;
    const struct lane_use use = {.requests = usage->calls,
                                 .input_tokens = usage->input_tokens,
                                 .output_tokens = usage->output_tokens};

    lane_done(&call->ticket, loop_now(call->loop), usage->calls ? &use : NULL);
}

/* The loop the call runs on. */
static void call_complete(struct step_call *step_call)
{
    struct exec_call *call = call_of(step_call);
    struct loop *home = call->exec->home;

    assert(!call->finished);
    call->finished = true;
    call_gives_back(step_call);
    if (step_call->loop == home) {
        call_came_home(call);
        return;
    }
    call->mail.deliver = call_deliver_home;
    loop_release(step_call->loop);
    loop_post(home, &call->mail);
}

/* What of an attempt's text may be told now that a piece has come: nothing before the batch with
 * its beginning is durable and published, then all that was held back with the piece. */
static struct pl_str call_may_tell(struct exec_call *call, struct pl_str piece)
{
    bool durable = atomic_load(&call->exec->durable) >= call->batch;

    if (call->muted || (durable && call->told > 0))
        return call->muted ? (struct pl_str){0} : piece;
    pl_buf_str(&call->held, piece);
    call->muted = pl_buf_failed(&call->held);
    return durable && !call->muted ? pl_buf_view(&call->held) : (struct pl_str){0};
}

/* Text as it arrives: straight to the readers, on the loop the call runs on. */
static void call_delta(struct step_call *step_call, struct pl_str text)
{
    struct exec_call *call = call_of(step_call);
    struct pl_str all = call_may_tell(call, text);
    struct bus_event event = {
        .at = loop_now(step_call->loop),
        .type = PL_STR("step.delta"),
        .path = step_call->path,
        .attempt = step_call->attempt,
        .data = all,
        .offset = call->told,
    };

    if (all.len == 0)
        return;
    call->told += all.len;
    bus_publish(call_of(step_call)->exec->env->bus, step_call->run_id, &event);
}

/* The same: what was told of the attempt is void, and it goes on. */
static void call_reset(struct step_call *step_call)
{
    struct exec_call *call = call_of(step_call);
    struct bus_event event = {
        .at = loop_now(step_call->loop),
        .type = PL_STR("step.reset"),
        .path = step_call->path,
        .attempt = step_call->attempt,
    };

    pl_buf_reset(&call->held);
    if (call->told == 0)
        return;
    call->told = 0;
    bus_publish(call->exec->env->bus, step_call->run_id, &event);
}

/* The home loop, before the result is looked at. */
static void call_deliver_began(struct loop *loop, struct loop_mail *mail)
{
    struct exec_call *call = pl_container_of(mail, struct exec_call, began_mail);
    struct run_exec *exec = call->exec;
    struct run_event event = {.type = RUN_EV_ANSWERING, .now = loop_now(loop), .node = call->node};

    call->beginning = false;
    if (call->home) { /* it was thrown away meanwhile */
        run_calls_put(call);
    } else if (!exec->dropped) {
        run_tape_began(call);
        if (!run_exec_feed(exec, &event))
            run_exec_no_memory(exec);
    }
    run_exec_wake(exec);
}

/* The loop it runs on. Never at once: what follows may stop the call, which is in the middle of
 * its answer. Mail of one sender comes in order: from another loop this comes before the call. */
static void call_began(struct step_call *step_call)
{
    struct exec_call *call = call_of(step_call);

    if (step_call->loop == call->exec->home)
        call->beginning = true;
    call->began_mail.deliver = call_deliver_began;
    loop_post(call->exec->home, &call->began_mail);
}

void run_calls_feed_inbox(struct run_exec *exec)
{
    for (struct pl_list *link; (link = pl_list_pop(&exec->inbox));) {
        struct exec_call *call = pl_container_of(link, struct exec_call, link);

        if (!run_replay_keeps(call))
            call_feed(call);
    }
}

/* ---- making ---- */

static struct exec_call *call_create(struct run_exec *exec, struct run_node *node)
{
    struct exec_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    call->call.arena = pl_arena_create(0);
    if (!call->call.arena) {
        free(call);
        return NULL;
    }
    call->exec = exec;
    call->node = node;
    pl_buf_init(&call->held, PL_LIMIT_STREAM_BYTES);
    call->call.ops = step_kind_ops(node->def->kind);
    call->call.env = &exec->env->steps;
    call->call.def = node->def;
    call->call.run_id = exec->row.id;
    call->call.path = node->path;
    call->call.attempt = node->attempts;
    call->call.stream = exec->deltas || bus_watched(exec->env->bus, exec->row.id, true);
    call->call.delta = call->call.stream ? call_delta : NULL;
    call->call.reset = call->call.stream ? call_reset : NULL;
    call->call.complete = call_complete;
    step_result_init(&call->call.result);
    node->exec = call;
    pl_list_append(&exec->flying, &call->flying);
    exec->calls++;
    return call;
}

/* Does no budget have room for it, or not yet? The core knows which, and what follows. */
static bool call_unaffordable(struct exec_call *call, struct run_event *ret_event)
{
    struct run_core *core = call->exec->core;
    struct call_estimate estimate = {0};
    enum run_grant grant;

    if (!run_budget_matters(core) || !call->call.ops->estimate)
        return false;
    call->call.ops->estimate(&call->call, &estimate);
    grant = run_budget_ask(core, call->node, &estimate);
    call->call.one_call = grant == RUN_GRANT_ONE;
    *ret_event = (struct run_event){.type = RUN_EV_DEFERRED,
                                    .now = loop_now(call->exec->home),
                                    .node = call->node,
                                    .reason = RUN_BUDGET_REASON};
    return grant == RUN_GRANT_NONE;
}

/* No budget will ever have room for it: a recording tells so. */
static bool call_is_refused(struct exec_call *call)
{
    bool refused = run_budget_refuses(call->exec->core, call->node, &call->call.result.err);

    if (refused)
        run_tape_ended(call);
    return refused;
}

/* Which sample of a vote it is part of; -1: of none. */
static int sample_of(const struct run_node *node)
{
    for (const struct run_frame *frame = node->frame; frame->owner; frame = frame->owner->frame)
        if (frame->owner->def->kind == STEP_VOTE && frame->body->role == BODY_BRANCH)
            return (int)frame->number;
    return -1;
}

/* What the run tells a model's call beside its templates. */
static void call_describe(struct exec_call *call)
{
    const struct run_node *node = call->node;
    const struct run_node *owner = node->parent ? NULL : node->frame->owner;

    call->call.sample = sample_of(node);
    call->call.began = run_core_is_warming(call->exec->core, node) && node->def->kind == STEP_LLM
                           ? call_began
                           : NULL;
    if (node->fallback)
        call->call.model = run_node_model(node);
    if (owner && owner->def->kind == STEP_AGENT && node->frame->body->role == BODY_TURN) {
        call->call.agent = owner->def->config.agent;
        call->call.messages_override = run_agent_messages(node);
        call->call.mcp_tools = run_agent_mcp_tools(node);
    }
    if (node->def->kind == STEP_MCP) {
        call->call.mcp_request = pl_value_text(node->frame->value);
        call->call.mcp_agent = owner->path;
    }
}

bool run_calls_unprepare(struct exec_call *call)
{
    if (call->call.ops->cleanup)
        call->call.ops->cleanup(&call->call);
    call->call.request = call->call.state = NULL;
    pl_arena_destroy(&call->call.arena);
    call->call.arena = pl_arena_create(0);
    return call->call.arena != NULL;
}

/* It is made anew when its step goes on; until then those who wait for its answer wait for it to
 * come back. `refused`:
 * it will not. */
static void call_hold(struct run_exec *exec, struct exec_call *call, const struct run_event *event,
                      bool refused)
{
    if (!exec->draining && !refused)
        reuse_pause(&call->reuse);
    run_tape_held(call);
    run_calls_discard(call);
    if (!run_exec_feed(exec, event))
        run_exec_no_memory(exec);
}

void run_calls_go_on(struct run_exec *exec, struct exec_call *call)
{
    struct run_event event;

    if (call_unaffordable(call, &event)) {
        call_hold(exec, call, &event, call_is_refused(call));
        return;
    }
    switch (run_admit_call(call, &event)) {
    case RUN_ADMIT_GO:
        pl_list_append(&exec->to_start, &call->link);
        break;
    case RUN_ADMIT_HELD:
        call_hold(exec, call, &event, false);
        break;
    case RUN_ADMIT_RESULT:
        call_feed(call);
        break;
    case RUN_ADMIT_NO_MEMORY:
        run_calls_discard(call);
        run_exec_no_memory(exec);
        break;
    }
}

void run_calls_prepare(struct run_exec *exec, struct exec_call *call)
{
    struct value_asker asker = {
        .exec = exec, .node = call->node, .frame = call->node->frame, .known = call->eval};
    struct expr_scope scope = run_values_scope(&asker);
    struct pl_err err = {0};
    enum pl_code code = call->call.ops->prepare(&call->call, &scope, &err);

    call->resolving = false;
    if (code == PL_OK && asker.err.code != PL_OK) {
        err = asker.err;
        code = err.code;
    }
    if (exec->dropped) { /* memory ran out under an expression */
        run_calls_discard(call);
    } else if (run_eval_is_pending(&asker)) {
        call->resolving = true;
        if (!run_calls_unprepare(call) || !run_eval_for_call(exec, call, &asker))
            run_exec_no_memory(exec);
    } else if (code != PL_OK) {
        call_feed_error(call, code, err.message);
    } else if (!run_tape_takes(exec, call) && !run_reuse_takes(exec, call)) {
        run_calls_go_on(exec, call);
    }
}

void run_calls_make(struct run_exec *exec, struct run_node *node)
{
    struct lane_ticket ticket = run_admit_take(node);
    struct exec_call *call = call_create(exec, node);

    if (!call) {
        lane_done(&ticket, loop_now(exec->home), NULL);
        run_exec_no_memory(exec);
        return;
    }
    call->call.ticket = ticket;
    call_describe(call);
    run_tape_makes(call);
    run_calls_prepare(exec, call);
}

void run_calls_fail(struct exec_call *call, const struct pl_err *err)
{
    call->resolving = false;
    call_feed_error(call, err->code, err->message);
}

/* ---- starting ---- */

/* The loop it runs on. */
static void call_begin(struct exec_call *call)
{
    if (call->promised)
        loop_promise_kept(call->call.loop);
    if (call->reuse.answered)
        run_reuse_start(call);
    else
        call->call.ops->start(&call->call);
}

static void call_deliver_start(struct loop *loop, struct loop_mail *mail)
{
    struct exec_call *call = pl_container_of(mail, struct exec_call, mail);

    loop_hold(loop);
    call_begin(call);
}

/* A run's calls stay on its own loop until many are in flight: small runs never change threads,
 * wide ones use all cores. Only calls that wait for something outside are worth sending. */
static bool call_spills(const struct exec_call *call)
{
    return call->call.ops->abort && !call->reuse.answered &&
           call->exec->in_flight >= PL_LIMIT_LOCAL_CALLS && pool_size(call->exec->env->pool) > 1;
}

static void call_start(struct exec_call *call)
{
    struct run_exec *exec = call->exec;

    call->call.loop = call_spills(call) ? pool_pick_spill(exec->env->pool) : exec->home;
    call->promised = call_spills(call);
    call->started = true;
    exec->in_flight++;
    if (call->call.loop == exec->home) {
        call_begin(call);
        return;
    }
    call->mail.deliver = call_deliver_start;
    loop_post(call->call.loop, &call->mail);
}

/* One that acts on the outside; and one that has all of its text at once: what is told before its
 * beginning is durable would be told to nobody. */
static bool call_waits_for_batch(const struct exec_call *call)
{
    if (call->reuse.answered)
        return call->call.stream;
    return step_waits_for_intent(call->node->def);
}

bool run_calls_hold_intents(struct run_exec *exec)
{
    /* what was rendered by jq comes after its intent: there may be nothing new to record */
    const uint64_t batch = exec->submitted + (exec->batch != NULL);
    struct pl_list *next;

    for (struct pl_list *link = exec->to_start.next; link != &exec->to_start; link = next) {
        struct exec_call *call = pl_container_of(link, struct exec_call, link);

        next = link->next;
        call->batch = batch;
        if (batch <= atomic_load(&exec->durable) || !call_waits_for_batch(call))
            continue;
        pl_list_remove(link);
        pl_list_append(&exec->waiting, link);
    }
    return !pl_list_empty(&exec->waiting);
}

bool run_calls_intent_gathers(const struct run_exec *exec)
{
    /* they wait in the order of their batches */
    return !pl_list_empty(&exec->waiting) &&
           pl_container_of(exec->waiting.prev, struct exec_call, link)->batch > exec->submitted;
}

void run_calls_start_all(struct run_exec *exec)
{
    for (struct pl_list *link; (link = pl_list_pop(&exec->to_start));)
        call_start(pl_container_of(link, struct exec_call, link));
}

void run_calls_release(struct run_exec *exec, uint64_t durable)
{
    for (struct pl_list *link = exec->waiting.next, *next; link != &exec->waiting; link = next) {
        struct exec_call *call = pl_container_of(link, struct exec_call, link);

        next = link->next;
        if (call->batch > durable)
            continue;
        pl_list_remove(link);
        call_start(call);
    }
}

/* ---- stopping ---- */

static void call_deliver_abort_back(struct loop *loop, struct loop_mail *mail)
{
    struct exec_call *call = pl_container_of(mail, struct exec_call, abort_mail);
    struct run_exec *exec = call->exec;

    (void)loop;
    call->aborting = false;
    run_calls_put(call);
    run_exec_wake(exec);
}

static void call_deliver_abort(struct loop *loop, struct loop_mail *mail)
{
    struct exec_call *call = pl_container_of(mail, struct exec_call, abort_mail);

    (void)loop;
    if (!call->finished)
        call->call.ops->abort(&call->call);
    call->abort_mail.deliver = call_deliver_abort_back;
    loop_post(call->exec->home, &call->abort_mail);
}

static void call_abort_started(struct exec_call *call)
{
    if (call->call.loop == call->exec->home) {
        if (!call->finished && call->call.ops->abort)
            call->call.ops->abort(&call->call);
    } else if (!call->aborting) {
        call->aborting = true;
        call->abort_mail.deliver = call_deliver_abort;
        loop_post(call->call.loop, &call->abort_mail);
    }
}

/* jq still works for it: what comes back is thrown away. */
static void call_stop_resolving(struct exec_call *call)
{
    run_eval_forget_call(call->eval);
    call->eval = NULL;
    call->resolving = false;
}

void run_calls_abort(struct run_exec *exec, struct run_node *node)
{
    struct exec_call *call = node->exec;

    (void)exec;
    if (!call)
        return; /* its result is in the queue already */
    if (call->started) {
        call_abort_started(call);
        return;
    }
    if (run_replay_stops(call))
        return;
    if (call->resolving)
        call_stop_resolving(call);
    else if (call->reusing)
        run_reuse_stop(call);
    else
        pl_list_remove(&call->link);
    call_feed_error(call, PL_ERR_CANCELLED, "it was cancelled before it was sent");
}

static void call_drop_list(struct pl_list *list)
{
    for (struct pl_list *link; (link = pl_list_pop(list));)
        run_calls_discard(pl_container_of(link, struct exec_call, link));
}

void run_calls_drop_all(struct run_exec *exec)
{
    call_drop_list(&exec->to_start);
    call_drop_list(&exec->waiting);
    call_drop_list(&exec->taped);
    call_drop_list(&exec->replay.kept);
    call_drop_list(&exec->inbox);
    for (struct pl_list *link = exec->flying.next, *next; link != &exec->flying; link = next) {
        struct exec_call *call = pl_container_of(link, struct exec_call, flying);

        next = link->next; /* one that completes at once is freed */
        if (call->resolving || call->reusing) {
            if (call->resolving)
                call_stop_resolving(call);
            else
                run_reuse_stop(call);
            run_calls_discard(call);
            continue;
        }
        if (call->started && !call->home)
            call_abort_started(call);
    }
}
