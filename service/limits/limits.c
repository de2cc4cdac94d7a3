/* limits.c - a lane: who may go in, the queue, tickets and what comes of them. Not the sliding
 * minute (limits_window), not whose turn it is (limits_queue) and not what the server says
 * (limits_adapt). Called by run_admit.c on the loops of runs, and by calls as they end.
 *
 * `in_flight` is counted without the lock, so that a lane without limits costs an atomic addition.
 * Everything else is counted only while the lane is gated: a ticket that was given before has no
 * gate and gives nothing back to one. */
#include "service/limits/limits_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_MEAN = 256, BYTES_A_TOKEN = 4 };
static const double MEAN_SHARE = 0.1; /* of the newest answer in the mean */
static const double RPM_BURST = 1.0 / 50, TPM_BURST = 1.0 / 6;

/* ---- making ---- */

static struct lane_gate *gate_create(struct pl_str model)
{
    struct lane_gate *gate = calloc(1, sizeof *gate + model.len + 1);

    if (!gate)
        return NULL;
    turn_queue_init(&gate->queue);
    gate->seats = &gate->own_seats;
    gate->rpm = &gate->own_rpm;
    gate->tpm = &gate->own_tpm;
    gate->mean_output = FIRST_MEAN;
    gate->model_len = model.len;
    if (model.len)
        memcpy(gate->model, model.ptr, model.len);
    return gate;
}

static void gate_destroy(struct lane_gate *gate)
{
    turn_queue_finish(&gate->queue);
    free(gate);
}

struct lane *lane_create(void)
{
    struct lane *lane = calloc(1, sizeof *lane);

    if (!lane)
        return NULL;
    lane->gates = lane->turn = gate_create((struct pl_str){0});
    if (!lane->gates) {
        free(lane);
        return NULL;
    }
    pl_mutex_init(&lane->lock);
    lane->self_paced = true;
    lane->reason = "";
    return lane;
}

void lane_destroy(struct lane **lane)
{
    if (!*lane)
        return;
    assert(!(*lane)->keeper.posted);
    for (struct lane_gate *gate = (*lane)->gates, *next; gate; gate = next) {
        next = gate->next;
        gate_destroy(gate);
    }
    pl_mutex_finish(&(*lane)->lock);
    free(*lane);
    *lane = NULL;
}

static void gate_set(struct lane_gate *gate, const struct lane_limits *limits)
{
    gate->own_seats.limit = limits->concurrency;
    rate_window_init(&gate->own_rpm, limits->rpm, RPM_BURST);
    rate_window_init(&gate->own_tpm, limits->tpm, TPM_BURST);
}

static void lane_is_configured(struct lane *lane)
{
    lane->configured = true;
    atomic_store(&lane->gated, true);
}

void lane_set_limits(struct lane *lane, const struct lane_limits *limits)
{
    gate_set(lane->gates, limits);
    if (limits->concurrency || limits->rpm)
        lane->self_paced = false;
    lane_is_configured(lane);
}

bool lane_set_model_limits(struct lane *lane, struct pl_str model, const struct lane_limits *limits)
{
    struct lane_gate *all = lane->gates, *gate = gate_create(model);

    if (!gate)
        return false;
    gate_set(gate, limits);
    if (!limits->concurrency)
        gate->seats = all->seats;
    if (!limits->rpm)
        gate->rpm = all->rpm;
    if (!limits->tpm)
        gate->tpm = all->tpm;
    gate->next = all->next;
    all->next = gate;
    lane_is_configured(lane);
    return true;
}

static struct lane_gate *gate_of(const struct lane *lane, struct pl_str model)
{
    for (struct lane_gate *gate = lane->gates->next; gate; gate = gate->next)
        if (pl_str_eq(pl_str_n(gate->model, gate->model_len), model))
            return gate;
    return lane->gates;
}

/* ---- may it go? ---- */

static uint64_t estimate(const struct lane_gate *gate, const struct lane_ask *ask)
{
    const uint64_t input = ask->input_bytes / BYTES_A_TOKEN + 1;

    return input + (ask->max_tokens > 0 ? (uint64_t)ask->max_tokens : (uint64_t)gate->mean_output);
}

/* False: *ret_reason, and *ret_when the earliest time it may, 0: when somebody comes out. */
static bool may_go(struct lane *lane, struct lane_gate *gate, uint64_t tokens, pl_ms now,
                   const char **ret_reason, pl_ms *ret_when)
{
    *ret_when = 0;
    if (!lane_is_open_locked(lane, now, ret_reason, ret_when))
        return false;
    if (gate->seats->limit && gate->seats->used >= gate->seats->limit) {
        *ret_reason = "concurrency";
        return false;
    }
    if (!rate_window_fits(gate->rpm, now, 1, ret_when)) {
        *ret_reason = "requests_per_minute";
        return false;
    }
    if (!rate_window_fits(gate->tpm, now, tokens, ret_when)) {
        *ret_reason = "tokens_per_minute";
        return false;
    }
    *ret_reason = "rate_limited";
    return lane_quota_fits(&gate->requests, now, 1, ret_when) &&
           lane_quota_fits(&gate->tokens, now, (double)tokens, ret_when);
}

static void let_in(struct lane *lane, struct lane_gate *gate, uint64_t tokens, pl_ms now,
                   struct lane_ticket *ret_ticket)
{
    *ret_ticket = (struct lane_ticket){.lane = lane, .gate = gate, .at = now, .tokens = tokens};
    if (lane->circuit != CIRCUIT_CLOSED && !lane->probing)
        ret_ticket->probe = lane->probing = true;
    atomic_fetch_add(&lane->in_flight, 1);
    gate->seats->used++;
    rate_window_take(gate->rpm, now, 1);
    rate_window_take(gate->tpm, now, tokens);
    lane_quota_take(&gate->requests, 1);
    lane_quota_take(&gate->tokens, (double)tokens);
}

/* Time as the lane sees it: loops read it once a turn, so one may come with an older reading. */
static pl_ms lane_time_locked(struct lane *lane, pl_ms now)
{
    if (now > lane->now)
        lane->now = now;
    return lane->now;
}

void lane_regate_locked(struct lane *lane)
{
    bool quota = false, calm;

    for (const struct lane_gate *gate = lane->gates; gate; gate = gate->next)
        quota = quota || gate->requests.on || gate->tokens.on;
    calm = !quota && lane->until == 0 && lane->window == 0 && lane->circuit == CIRCUIT_CLOSED &&
           atomic_load(&lane->waiting) == 0;
    atomic_store(&lane->gated, lane->configured || !calm);
    atomic_store(&lane->troubled, !calm || lane->streak || lane->backoffs || lane->trouble_at != 0);
}

/* ---- in ---- */

static enum lane_verdict try_locked(struct lane *lane, const struct lane_ask *ask, pl_ms now,
                                    struct lane_ticket *ret_ticket, const char **ret_reason)
{
    struct lane_gate *gate = gate_of(lane, ask->model);
    const uint64_t tokens = estimate(gate, ask);
    pl_ms when;

    if (lane_is_closed_locked(lane, now, ask->has_other))
        return LANE_CLOSED;
    if (gate->queue.count) { /* nobody overtakes; what holds the first up holds it up too */
        if (may_go(lane, gate, tokens, now, ret_reason, &when))
            *ret_reason = "concurrency";
        return LANE_WAIT;
    }
    if (!may_go(lane, gate, tokens, now, ret_reason, &when))
        return LANE_WAIT;
    let_in(lane, gate, tokens, now, ret_ticket);
    return LANE_GO;
}

enum lane_verdict lane_try(struct lane *lane, const struct lane_ask *ask, pl_ms now,
                           struct lane_ticket *ret_ticket, const char **ret_reason)
{
    enum lane_verdict verdict;

    if (!atomic_load(&lane->gated)) {
        atomic_fetch_add(&lane->in_flight, 1);
        *ret_ticket = (struct lane_ticket){.lane = lane, .at = now};
        return LANE_GO;
    }
    pl_mutex_lock(&lane->lock);
    verdict = try_locked(lane, ask, lane_time_locked(lane, now), ret_ticket, ret_reason);
    lane_regate_locked(lane);
    pl_mutex_unlock(&lane->lock);
    return verdict;
}

bool lane_wait(struct lane *lane, const struct lane_ask *ask, pl_ms now, struct loop *loop,
               struct lane_waiter *waiter)
{
    bool added;

    pl_mutex_lock(&lane->lock);
    waiter->gate = gate_of(lane, ask->model);
    waiter->tokens = estimate(waiter->gate, ask);
    added = turn_queue_add(&waiter->gate->queue, ask->tenant, ask->run, ask->again, &waiter->place);
    if (added) {
        atomic_fetch_add(&lane->waiting, 1);
        if (loop)
            lane_keep_locked(lane, loop);
        lane_pump_locked(lane, now);
    } else {
        waiter->gate = NULL;
    }
    pl_mutex_unlock(&lane->lock);
    return added;
}

bool lane_leave(struct lane *lane, struct lane_waiter *waiter, pl_ms now)
{
    bool queued;

    pl_mutex_lock(&lane->lock);
    queued = waiter->gate != NULL;
    if (queued) {
        turn_queue_remove(&waiter->gate->queue, &waiter->place);
        waiter->gate = NULL;
        atomic_fetch_sub(&lane->waiting, 1);
        lane_pump_locked(lane, now); /* it may have been the one that did not fit */
    }
    pl_mutex_unlock(&lane->lock);
    return queued;
}

/* ---- the queue moves ---- */

static void grant(struct lane *lane, struct lane_gate *gate, pl_ms now, bool closed)
{
    struct lane_waiter *waiter =
        pl_container_of(turn_queue_first(&gate->queue), struct lane_waiter, place);

    turn_queue_take(&gate->queue);
    atomic_fetch_sub(&lane->waiting, 1);
    waiter->gate = NULL;
    if (closed)
        waiter->ticket = (struct lane_ticket){.closed = true};
    else
        let_in(lane, gate, waiter->tokens, now, &waiter->ticket);
    waiter->granted(waiter);
}

/* Lets the first of a gate in, if it may go. */
static bool pump_gate(struct lane *lane, struct lane_gate *gate, pl_ms now, pl_ms *wake)
{
    struct turn_place *first = turn_queue_first(&gate->queue);
    const char *reason;
    pl_ms when;

    if (!first)
        return false;
    if (lane_is_closed_locked(lane, now, false)) {
        grant(lane, gate, now, true);
        return true;
    }
    if (may_go(lane, gate, pl_container_of(first, struct lane_waiter, place)->tokens, now, &reason,
               &when)) {
        grant(lane, gate, now, false);
        return true;
    }
    if (when && (*wake == 0 || when < *wake))
        *wake = when;
    return false;
}

void lane_pump_locked(struct lane *lane, pl_ms now)
{
    pl_ms wake = 0;
    bool moved = atomic_load(&lane->waiting) > 0;

    now = lane_time_locked(lane, now);
    while (moved) { /* a round gives each gate one turn, beginning where the last one ended */
        moved = false;
        wake = 0;
        for (struct lane_gate *gate = lane->turn; gate; gate = gate->next)
            moved = pump_gate(lane, gate, now, &wake) || moved;
        for (struct lane_gate *gate = lane->gates; gate != lane->turn; gate = gate->next)
            moved = pump_gate(lane, gate, now, &wake) || moved;
        lane->turn = lane->turn->next ? lane->turn->next : lane->gates;
    }
    lane->wake_at = atomic_load(&lane->waiting) ? wake : 0;
    lane_regate_locked(lane);
    lane_rewake_locked(lane);
}

pl_ms lane_pump(struct lane *lane, pl_ms now)
{
    pl_ms wake;

    pl_mutex_lock(&lane->lock);
    lane_pump_locked(lane, now);
    wake = lane->wake_at;
    pl_mutex_unlock(&lane->lock);
    return wake;
}

/* ---- out ---- */

static uint64_t not_below(int64_t number, int64_t least)
{
    return (uint64_t)(number > least ? number : least);
}

static void settle(struct lane_gate *gate, const struct lane_ticket *ticket, pl_ms now,
                   const struct lane_use *use)
{
    const uint64_t tokens = not_below(use->input_tokens, 0) + not_below(use->output_tokens, 0);

    /* one that was sent and told of no usage keeps what was reserved: the server may have counted
     */
    if (tokens)
        rate_window_settle(gate->tpm, ticket->at, now, ticket->tokens, tokens);
    if (use->requests == 1 && use->output_tokens > 0)
        gate->mean_output += MEAN_SHARE * ((double)use->output_tokens - gate->mean_output);
}

static void give_back(struct lane_gate *gate, const struct lane_ticket *ticket, pl_ms now)
{
    rate_window_settle(gate->rpm, ticket->at, now, 1, 0);
    rate_window_settle(gate->tpm, ticket->at, now, ticket->tokens, 0);
}

void lane_done(struct lane_ticket *ticket, pl_ms now, const struct lane_use *use)
{
    struct lane *lane = ticket->lane;
    struct lane_gate *gate = ticket->gate;

    if (!lane)
        return;
    atomic_fetch_sub(&lane->in_flight, 1);
    if (gate || atomic_load(&lane->gated)) {
        pl_mutex_lock(&lane->lock);
        now = lane_time_locked(lane, now);
        if (gate) {
            gate->seats->used--;
            if (use)
                settle(gate, ticket, now, use);
            else
                give_back(gate, ticket, now);
        }
        if (ticket->probe)
            lane->probing = false;
        lane_pump_locked(lane, now);
        pl_mutex_unlock(&lane->lock);
    }
    *ticket = (struct lane_ticket){0};
}

void lane_more(struct lane_ticket *ticket, pl_ms now)
{
    struct lane *lane = ticket->lane;

    if (!lane || !ticket->gate)
        return;
    pl_mutex_lock(&lane->lock);
    rate_window_take(ticket->gate->rpm, lane_time_locked(lane, now), 1);
    pl_mutex_unlock(&lane->lock);
}

/* ---- looking ---- */

void lane_get_stats(struct lane *lane, pl_ms now, struct lane_stats *ret_stats)
{
    pl_mutex_lock(&lane->lock);
    *ret_stats = (struct lane_stats){.in_flight = atomic_load(&lane->in_flight),
                                     .waiting = atomic_load(&lane->waiting),
                                     .window = (uint64_t)lane->window,
                                     .paused_until = lane->until > now ? lane->until : 0,
                                     .reason = lane->until > now ? lane->reason : ""};
    pl_mutex_unlock(&lane->lock);
}
