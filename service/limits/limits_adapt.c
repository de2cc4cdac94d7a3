/* limits_adapt.c - what a lane makes of a server's answers: pauses, the window of calls under way,
 * the circuit, the server's own count. Not who goes first (limits.c). Called by limits.c, and by
 * llm_lane.c on the loop of each call.
 *
 * Pause: a time. Nothing is sent before it.
 * Window: how many calls may be under way where the operator set no limit. A 429 halves it, once
 *   for all calls that went out before the last halving; each good answer adds one part of it, so
 *   that a window full of good answers adds one; at twice what it was when the trouble began, or
 *   after CALM_MS without a 429, there is none.
 * Circuit: open, it has a pause like any other, and after it one call at a time goes out to see. It
 *   opens when a server that has answered cannot be reached ("unreachable"), and when one fails
 *   STREAK_LEAST times in a row over STREAK_MS or more ("circuit_open"): a burst of failures is one
 *   failure, not a sick server. Nobody is made to wait long for a server that answers with errors:
 *   after PROBES_MOST failed probes calls fail at once, by the ordinary rules.
 *
 * Trouble has an end: after PL_LIMIT_LANE_WAIT_MS without a good answer nothing waits for the
 * server and nothing is free of charge; one out of reach counts as never reached. */
#include "base/limits.h"
#include "service/limits/limits_private.h"

#include <string.h>

enum {
    BACKOFF_FIRST = 250,
    BACKOFF_MOST = 15000,
    BACKOFF_STEPS = 7,
    STREAK_LEAST = 10,
    STREAK_MS = 2000,
    PROBES_MOST = 3,
    PROBE_FIRST = 1000, /* the first pause of an open circuit */
    CALM_MS = 300000,
    MINUTE_MS = 60000,
    QUOTA_SHORT = 10, /* less than a tenth is left */
};

bool lane_has_answered(const struct lane *lane)
{
    return atomic_load(&lane->answered);
}

/* ---- open? ---- */

/* Has it said nothing but no for so long that nobody waits for it? */
static bool is_given_up(const struct lane *lane, pl_ms now)
{
    return lane->trouble_at && now - lane->trouble_at >= PL_LIMIT_LANE_WAIT_MS;
}

bool lane_is_open_locked(struct lane *lane, pl_ms now, const char **ret_reason, pl_ms *ret_when)
{
    const uint64_t in_flight = atomic_load(&lane->in_flight);

    if (is_given_up(lane, now))
        return true;
    if (lane->until > now) {
        *ret_reason = lane->reason;
        *ret_when = lane->until;
        return false;
    }
    lane->until = 0;
    if (lane->circuit != CIRCUIT_CLOSED && lane->probing) {
        *ret_reason = lane->reason;
        return false;
    }
    if (lane->window > 0 && now - lane->cut_at >= CALM_MS)
        lane->window = 0;
    if (lane->window > 0 && in_flight >= (uint64_t)lane->window) {
        *ret_reason = "rate_limited";
        return false;
    }
    return true;
}

static bool fails_by_answers(const struct lane *lane)
{
    return lane->circuit == CIRCUIT_OPEN && strcmp(lane->reason, "circuit_open") == 0;
}

bool lane_is_closed_locked(const struct lane *lane, pl_ms now, bool has_other)
{
    if (!fails_by_answers(lane))
        return false;
    if (lane->until <= now && !lane->probing)
        return false; /* somebody must see whether it is back */
    return has_other || lane->failed_probes >= PROBES_MOST;
}

/* ---- pauses ---- */

static pl_ms backoff(struct lane *lane, pl_ms first)
{
    const pl_ms wait = first << lane->backoffs;

    if (lane->backoffs < BACKOFF_STEPS)
        lane->backoffs++;
    return wait < BACKOFF_MOST ? wait : BACKOFF_MOST;
}

static void pause_until(struct lane *lane, pl_ms until, const char *reason)
{
    if (until <= lane->until)
        return;
    lane->until = until;
    lane->reason = reason;
}

static void trouble(struct lane *lane, pl_ms now)
{
    if (!lane->trouble_at)
        lane->trouble_at = now;
}

/* ---- the window ---- */

static void cut_window(struct lane *lane, const struct lane_ticket *ticket, pl_ms now)
{
    double under_way = (double)atomic_load(&lane->in_flight);

    if (!lane->self_paced || (lane->window > 0 && ticket && ticket->at < lane->cut_at))
        return;
    if (lane->window == 0)
        lane->window_from = under_way;
    if (lane->window > 0 && lane->window < under_way)
        under_way = lane->window;
    lane->window = under_way / 2 > 1 ? under_way / 2 : 1;
    lane->cut_at = now;
}

static void grow_window(struct lane *lane)
{
    if (lane->window == 0)
        return;
    lane->window += 1 / lane->window;
    if (lane->window > 2 * lane->window_from + 1)
        lane->window = 0;
}

/* ---- the circuit ---- */

static void open_circuit(struct lane *lane, pl_ms now, pl_ms wait, const char *reason)
{
    lane->circuit = CIRCUIT_OPEN;
    lane->reason = reason;
    lane->until = 0;
    pause_until(lane, now + wait, reason);
}

static void close_circuit(struct lane *lane)
{
    if (lane->circuit == CIRCUIT_OPEN)
        lane->until = 0;
    lane->circuit = CIRCUIT_CLOSED;
    lane->failed_probes = 0;
}

/* ---- the server's own count ---- */

bool lane_quota_fits(struct lane_quota *quota, pl_ms now, double cost, pl_ms *ret_when)
{
    if (!quota->on)
        return true;
    if (now >= quota->until) {
        quota->on = false;
        return true;
    }
    if (now > quota->at) {
        quota->left += (double)(now - quota->at) * quota->per_ms;
        quota->at = now;
    }
    if (quota->left >= cost)
        return true;
    *ret_when = now + 1 + (pl_ms)((cost - quota->left) / quota->per_ms);
    if (*ret_when > quota->until)
        *ret_when = quota->until;
    return false;
}

void lane_quota_take(struct lane_quota *quota, double cost)
{
    if (quota->on)
        quota->left -= cost;
}

static bool is_short(const struct lane_quota_news *news)
{
    return news->limit > 0 && news->remaining >= 0 && news->reset > 0 &&
           news->remaining < news->limit / QUOTA_SHORT + 1;
}

/* Calls under way are not in what the server counts as left, so a count that is on already only
 * goes down by news. */
static void take_quota(struct lane_quota *quota, pl_ms now, const struct lane_quota_news *news)
{
    const pl_ms most = PL_LIMIT_LANE_WAIT_MS;

    if (!is_short(news)) {
        if (news->limit > 0)
            quota->on = false;
        return;
    }
    if (!quota->on || quota->left > (double)news->remaining)
        quota->left = (double)news->remaining;
    quota->on = true;
    quota->per_ms = (double)news->limit / MINUTE_MS;
    quota->at = now;
    quota->until = now + (news->reset < most ? news->reset : most);
}

/* ---- news ---- */

static bool heard_no(struct lane *lane, const struct lane_ticket *ticket, pl_ms now, pl_ms hint)
{
    atomic_store(&lane->answered, true);
    close_circuit(lane);
    lane->streak = 0;
    trouble(lane, now);
    if (is_given_up(lane, now))
        return false;
    cut_window(lane, ticket, now);
    /* a hint so far off that no step would wait is none; and one failure of a burst counts up */
    if (hint >= 0 && hint <= PL_LIMIT_LANE_WAIT_MS)
        pause_until(lane, now + hint, "rate_limited");
    else if (lane->until <= now)
        pause_until(lane, now + backoff(lane, BACKOFF_FIRST), "rate_limited");
    return true;
}

static bool out_of_reach(struct lane *lane, const struct lane_ticket *ticket, pl_ms now)
{
    if (!atomic_load(&lane->answered))
        return false;
    trouble(lane, now);
    if (is_given_up(lane, now)) {
        atomic_store(&lane->answered, false);
        close_circuit(lane);
        lane->trouble_at = 0;
        return false;
    }
    if (lane->until <= now || (ticket && ticket->probe))
        open_circuit(lane, now, backoff(lane, BACKOFF_FIRST), "unreachable");
    return true;
}

static void failed(struct lane *lane, const struct lane_ticket *ticket, pl_ms now, bool spoke)
{
    if (lane->streak++ == 0)
        lane->streak_at = now;
    if (spoke) {
        atomic_store(&lane->answered, true);
        if (lane->circuit == CIRCUIT_OPEN && !fails_by_answers(lane)) /* it can be reached */
            close_circuit(lane);
    }
    if (lane->circuit == CIRCUIT_OPEN) {
        if (!ticket || !ticket->probe)
            return;
        lane->failed_probes++;
        open_circuit(lane, now, backoff(lane, PROBE_FIRST), "circuit_open");
    } else if (lane->streak >= STREAK_LEAST && now - lane->streak_at >= STREAK_MS) {
        lane->backoffs = 0;
        open_circuit(lane, now, backoff(lane, PROBE_FIRST), "circuit_open");
    }
}

static void answered(struct lane *lane)
{
    atomic_store(&lane->answered, true);
    close_circuit(lane);
    grow_window(lane);
    lane->streak = lane->backoffs = 0;
    lane->trouble_at = 0;
}

static bool tell_locked(struct lane *lane, const struct lane_ticket *ticket, pl_ms now,
                        const struct lane_news *news)
{
    struct lane_gate *gate = ticket && ticket->gate ? ticket->gate : lane->gates;

    take_quota(&gate->requests, now, &news->requests);
    take_quota(&gate->tokens, now, &news->tokens);
    switch (news->what) {
    case LANE_LIMITED:
        return heard_no(lane, ticket, now, news->hint);
    case LANE_UNREACHABLE:
        return out_of_reach(lane, ticket, now);
    case LANE_FAILED:
        failed(lane, ticket, now, news->spoke);
        return false;
    case LANE_ANSWERED:
        answered(lane);
        return false;
    }
    return false;
}

bool lane_tell(struct lane *lane, const struct lane_ticket *ticket, pl_ms now,
               const struct lane_news *news)
{
    bool free;

    /* the usual case writes nothing, so that loops do not pass a cache line about */
    if (news->what == LANE_ANSWERED && atomic_load(&lane->answered) &&
        !atomic_load(&lane->troubled) && !is_short(&news->requests) && !is_short(&news->tokens))
        return false;
    pl_mutex_lock(&lane->lock);
    if (now < lane->now)
        now = lane->now;
    free = tell_locked(lane, ticket, now, news);
    lane_pump_locked(lane, now);
    pl_mutex_unlock(&lane->lock);
    return free;
}
