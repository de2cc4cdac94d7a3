/* limits_window.c - see limits_window.h. Pure: time comes in, nothing is locked. */
#include "service/limits/limits_window.h"

#include <math.h>
#include <string.h>

enum { MINUTE_MS = 60000, BURST_LEAST = 3 };

void rate_window_init(struct rate_window *window, uint64_t limit, double share)
{
    double burst = (double)limit * share;

    *window = (struct rate_window){.limit = limit};
    if (!limit)
        return;
    if (burst < BURST_LEAST)
        burst = BURST_LEAST;
    window->interval = (double)MINUTE_MS / (double)limit;
    window->burst = (burst - 1) * window->interval;
}

/* Forgets what is older than the window. */
static void slide(struct rate_window *window, pl_ms now)
{
    const int64_t slot = now / RATE_SLOT_MS;

    if (slot - window->slot >= RATE_SLOTS) {
        memset(window->slots, 0, sizeof window->slots);
        window->used = 0;
        window->slot = slot;
    }
    while (window->slot < slot) {
        uint64_t *oldest = &window->slots[(size_t)(++window->slot % RATE_SLOTS)];

        window->used -= *oldest;
        *oldest = 0;
    }
}

/* When enough of it will have been forgotten for `cost` to fit. */
static pl_ms window_opens(const struct rate_window *window, uint64_t cost)
{
    uint64_t left = window->used;

    for (int64_t slot = window->slot - RATE_SLOTS + 1; slot <= window->slot; slot++) {
        if (slot >= 0)
            left -= window->slots[(size_t)(slot % RATE_SLOTS)];
        if (left + cost <= window->limit)
            return (slot + RATE_SLOTS) * RATE_SLOT_MS;
    }
    return (window->slot + RATE_SLOTS) * RATE_SLOT_MS;
}

static uint64_t at_most_all(const struct rate_window *window, uint64_t cost)
{
    return cost < window->limit ? cost : window->limit;
}

bool rate_window_fits(struct rate_window *window, pl_ms now, uint64_t cost, pl_ms *ret_when)
{
    pl_ms when = 0;

    if (!window->limit)
        return true;
    slide(window, now);
    cost = at_most_all(window, cost);
    if (window->free_at - window->burst > (double)now)
        when = (pl_ms)ceil(window->free_at - window->burst);
    if (window->used + cost > window->limit) {
        const pl_ms opens = window_opens(window, cost);

        when = opens > when ? opens : when;
    }
    if (when <= now)
        return true;
    *ret_when = when;
    return false;
}

void rate_window_take(struct rate_window *window, pl_ms now, uint64_t cost)
{
    if (!window->limit)
        return;
    slide(window, now);
    cost = at_most_all(window, cost);
    window->slots[(size_t)(window->slot % RATE_SLOTS)] += cost;
    window->used += cost;
    if (window->free_at < (double)now)
        window->free_at = (double)now;
    window->free_at += (double)cost * window->interval;
}

void rate_window_settle(struct rate_window *window, pl_ms at, pl_ms now, uint64_t before,
                        uint64_t cost)
{
    const int64_t slot = at / RATE_SLOT_MS;
    uint64_t *taken;

    if (!window->limit)
        return;
    slide(window, now);
    before = at_most_all(window, before);
    if (slot > window->slot || window->slot - slot >= RATE_SLOTS)
        return;
    taken = &window->slots[(size_t)(slot % RATE_SLOTS)];
    if (*taken < before) /* cannot be: it was put there */
        before = *taken;
    *taken = *taken - before + cost;
    window->used = window->used - before + cost;
    window->free_at += ((double)cost - (double)before) * window->interval;
}
