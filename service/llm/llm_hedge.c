/* llm_hedge.c - sends a late call again and takes the first whole answer. Not the learning of what
 * is late (llm_latency.c). Called by steps/llm.c.
 *
 * Only a call that has not begun to answer is doubled: what begins goes on as a rule, and what
 * stalls later is the timeouts' and the retry's. */
#include "service/llm/llm_hedge.h"

#include "base/limits.h"

enum {
    LOOK_AGAIN_MS = 50, /* at least, while it may not be sent again, or "late" is not known yet */
    LOOK_AGAIN_MOST_MS = 1000,
};

/* Every call but the first, whose result is the step's. */
struct further_leg {
    struct llm_leg leg;
    struct step_result result;
};

/* ---- text ---- */

static void tell(struct llm_hedge *hedge, struct pl_str text)
{
    if (text.len)
        hedge->sink.delta(hedge->sink.arg, text);
}

/* The text of another is void; NULL: nobody has spoken. */
static void set_speaker(struct llm_hedge *hedge, struct llm_leg *leg)
{
    if (hedge->speaker == leg)
        return;
    if (hedge->speaker && hedge->sink.delta)
        hedge->reset(hedge);
    hedge->speaker = leg;
    /* text that was too much to keep is not told: the output has it */
    if (leg && !pl_buf_failed(&leg->heard))
        tell(hedge, pl_buf_view(&leg->heard));
}

static void on_delta(void *arg, struct pl_str text)
{
    struct llm_leg *leg = arg;
    struct llm_hedge *hedge = leg->hedge;

    if (!leg->spoke) {
        leg->spoke = true;
        llm_sketch_took(hedge->sketch, loop_now(leg->call.loop) - leg->began);
        loop_timer_clear(leg->call.loop, &hedge->late);
        if (!hedge->speaker)
            set_speaker(hedge, leg);
    }
    if (hedge->speaker == leg && !pl_buf_failed(&leg->heard))
        tell(hedge, text);
    else if (hedge->speaker != leg)
        pl_buf_str(&leg->heard, text);
}

/* ---- the end ---- */

/* The winner's result takes the place of the first call's; what the others used comes to it. */
static void gather(struct llm_hedge *hedge)
{
    struct step_result *result = hedge->first.call.result;
    struct store_usage usage = {0};

    for (unsigned i = 0; i < hedge->n_legs; i++)
        store_usage_add(&usage, &hedge->legs[i]->call.result->usage);
    if (hedge->ended != &hedge->first) {
        step_result_finish(result);
        *result = *hedge->ended->call.result;
        step_result_init(hedge->ended->call.result);
    }
    result->usage = usage;
}

static void end_when_over(struct llm_hedge *hedge)
{
    if (hedge->running || hedge->stopping)
        return;
    llm_hedges_over(hedge->first.call.provider->latency);
    gather(hedge);
    hedge->complete(hedge);
}

static void stop_all(struct llm_hedge *hedge)
{
    loop_timer_clear(hedge->first.call.loop, &hedge->late);
    hedge->stopping = true;
    for (unsigned i = 0; i < hedge->n_legs; i++)
        if (hedge->legs[i]->running)
            llm_call_abort(&hedge->legs[i]->call);
    hedge->stopping = false;
    end_when_over(hedge);
}

/* One that was given up is known to have taken longer than it did: left out, slow calls would be
 * forgotten just because they were doubled. */
static void learn(struct llm_leg *leg)
{
    const struct llm_hedge *hedge = leg->hedge;
    const enum pl_code code = leg->call.result->err.code;

    if (leg->spoke)
        return;
    if (code == PL_OK || code == PL_ERR_TIMEOUT || (code == PL_ERR_CANCELLED && hedge->won))
        llm_sketch_took(hedge->sketch, loop_now(leg->call.loop) - leg->began);
    else
        llm_sketch_gone(hedge->sketch);
}

static bool never_works(const struct step_result *result)
{
    return result->no_retry || pl_code_retry_class(result->err.code) == PL_RETRY_NEVER;
}

/* Who speaks on when the speaker has failed. */
static struct llm_leg *next_speaker(const struct llm_hedge *hedge)
{
    for (unsigned i = 0; i < hedge->n_legs; i++)
        if (hedge->legs[i]->running && hedge->legs[i]->spoke)
            return hedge->legs[i];
    return NULL;
}

static void on_complete(struct llm_call *call)
{
    struct llm_leg *leg = pl_container_of(call, struct llm_leg, call);
    struct llm_hedge *hedge = leg->hedge;

    /* what it used is told with the whole, under the ticket of the step */
    lane_done(&leg->ticket, loop_now(call->loop),
              &(struct lane_use){.requests = 1, .input_tokens = 1});
    leg->running = false;
    hedge->running--;
    learn(leg);
    if (hedge->won) {
        end_when_over(hedge);
        return;
    }
    hedge->ended = leg;
    if (call->result->err.code == PL_OK) {
        hedge->won = true;
        if (hedge->speaker)
            set_speaker(hedge, leg);
        if (!hedge->stopping) /* else all are being stopped already */
            stop_all(hedge);
        return;
    }
    hedge->hopeless |= never_works(call->result);
    if (hedge->running && hedge->speaker == leg && !hedge->aborted)
        set_speaker(hedge, next_speaker(hedge));
    if (!hedge->running)
        loop_timer_clear(call->loop, &hedge->late);
    end_when_over(hedge);
}

/* ---- sending ---- */

static void begin(struct llm_leg *leg)
{
    struct llm_hedge *hedge = leg->hedge;

    leg->began = loop_now(leg->call.loop);
    leg->running = true;
    hedge->running++;
    llm_sketch_began(hedge->sketch);
    llm_call_start(&leg->call);
}

/* How long the calls so far may be silent. False: not known yet. */
static bool patience(const struct llm_hedge *hedge, pl_ms *ret_ms)
{
    if (!hedge->policy->after)
        return llm_sketch_late(hedge->sketch, ret_ms);
    *ret_ms = hedge->policy->after;
    return true;
}

/* A lane that would make it wait has better things to do. */
static bool may_send(const struct llm_hedge *hedge, struct lane_ticket *ret_ticket)
{
    const struct llm_call *call = &hedge->first.call;
    const pl_ms now = loop_now(call->loop);
    struct lane_ask ask = {0};
    const char *reason;

    llm_call_ask(call, &ask);
    if (lane_try(call->provider->lane, &ask, now, ret_ticket, &reason) != LANE_GO)
        return false;
    if (llm_hedges_take(call->provider->latency))
        return true;
    lane_done(ret_ticket, now, NULL);
    return false;
}

/* What is left of the time all calls share. */
static pl_ms time_left(const struct llm_hedge *hedge)
{
    const struct llm_leg *first = &hedge->first;
    const pl_ms whole = first->call.request.timeout;

    return first->began + (whole ? whole : PL_LIMIT_ATTEMPT_MS) - loop_now(first->call.loop);
}

/* One more, not begun, with the ticket; NULL: out of memory, and the calls under way go on alone.
 */
static struct llm_leg *add_leg(struct llm_hedge *hedge, struct lane_ticket *ticket)
{
    const struct llm_call *first = &hedge->first.call;
    struct further_leg *further = pl_arena_alloc(first->arena, sizeof(*further));
    struct llm_leg *leg = further ? &further->leg : NULL;

    if (!leg) {
        lane_done(ticket, loop_now(first->loop), NULL);
        return NULL;
    }
    leg->hedge = hedge;
    leg->call = *first;
    leg->call.state = NULL;
    leg->call.request.timeout = time_left(hedge);
    leg->call.request.hedge = hedge->n_legs;
    leg->call.sink.arg = leg;
    step_result_init(&further->result);
    leg->call.result = &further->result;
    pl_buf_init(&leg->heard, PL_LIMIT_STREAM_BYTES);
    if (llm_call_prepare(&leg->call, NULL) != PL_OK) {
        llm_call_finish(&leg->call);
        lane_done(ticket, loop_now(first->loop), NULL);
        return NULL;
    }
    leg->ticket = *ticket;
    leg->call.ticket = &leg->ticket;
    hedge->legs[hedge->n_legs++] = leg;
    return leg;
}

static void look_again(struct llm_hedge *hedge, pl_ms at)
{
    if (hedge->n_legs <= hedge->policy->max)
        loop_timer_set(hedge->first.call.loop, &hedge->late, at);
}

/* Is it time? It may have become so only now that more is known. */
static void on_late(struct loop *loop, struct loop_timer *timer)
{
    struct llm_hedge *hedge = pl_container_of(timer, struct llm_hedge, late);
    const pl_ms now = loop_now(loop), silent = now - hedge->legs[hedge->n_legs - 1]->began;
    pl_ms wait = silent / 4, after;
    struct lane_ticket ticket = {0};
    struct llm_leg *leg;

    if (hedge->hopeless || time_left(hedge) <= 0)
        return;
    wait = wait < LOOK_AGAIN_MS ? LOOK_AGAIN_MS : wait;
    wait = wait > LOOK_AGAIN_MOST_MS ? LOOK_AGAIN_MOST_MS : wait;
    if (!patience(hedge, &after)) {
        look_again(hedge, now + wait);
    } else if (silent < after) {
        look_again(hedge, now + after - silent);
    } else if (!may_send(hedge, &ticket)) {
        look_again(hedge, now + wait);
    } else if ((leg = add_leg(hedge, &ticket))) {
        hedge->sent++;
        look_again(hedge, now + after);
        begin(leg);
    }
}

/* ---- life ---- */

enum pl_code llm_hedge_prepare(struct llm_hedge *hedge, struct pl_err *err)
{
    struct llm_leg *first = &hedge->first;
    struct llm_call *call = &first->call;

    first->hedge = hedge;
    first->spoke = false;
    first->ticket = (struct lane_ticket){0};
    pl_buf_init(&first->heard, PL_LIMIT_STREAM_BYTES);
    call->state = NULL;
    call->sink = (struct llm_sink){.arg = first, .delta = hedge->sink.delta ? on_delta : NULL};
    call->complete = on_complete;
    hedge->late = (struct loop_timer){.fire = on_late};
    hedge->legs[0] = first;
    hedge->n_legs = 1;
    hedge->sent = 0;
    hedge->speaker = hedge->ended = NULL;
    hedge->won = hedge->aborted = hedge->hopeless = false;
    hedge->sketch =
        llm_latency_of(call->provider->latency, call->request.model, call->request.stream);
    return llm_call_prepare(call, err);
}

void llm_hedge_start(struct llm_hedge *hedge)
{
    struct llm_call *call = &hedge->first.call;
    pl_ms after = LOOK_AGAIN_MS;

    llm_hedges_earn(call->provider->latency);
    if (hedge->policy->max) {
        (void)patience(hedge, &after);
        loop_timer_set(call->loop, &hedge->late, loop_now(call->loop) + after);
    }
    begin(&hedge->first);
}

void llm_hedge_abort(struct llm_hedge *hedge)
{
    hedge->aborted = true;
    stop_all(hedge);
}

void llm_hedge_finish(struct llm_hedge *hedge)
{
    for (unsigned i = 0; i < hedge->n_legs; i++) {
        struct llm_leg *leg = hedge->legs[i];

        llm_call_finish(&leg->call);
        pl_buf_finish(&leg->heard);
        if (leg != &hedge->first)
            step_result_finish(leg->call.result);
    }
    hedge->n_legs = 0;
}
