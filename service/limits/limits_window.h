/* limits_window.h - so much a minute: a sliding window that is never exceeded, and a pace that
 * keeps what it allows from being used up in a burst. Not who may go next (limits_queue) and not a
 * lock: a lane's. Called by limits.c.
 *
 * Two rules, both must allow it. The window: what was taken in the last minute and a little more
 * (RATE_SLOTS times RATE_SLOT_MS, so that requests that travel unequally fast do not crowd into one
 * minute of the server's) is at most the limit. The pace: a short burst at once, then one after the
 * other at the rate of the limit, so that nobody waits most of a minute because others used it up
 * in its first seconds. Why not a bucket alone: ADR 13. */
#ifndef PLAIT_SERVICE_LIMITS_LIMITS_WINDOW_H
#define PLAIT_SERVICE_LIMITS_LIMITS_WINDOW_H

#include "base/clock.h"
#include "base/compiler.h"

enum { RATE_SLOT_MS = 250, RATE_SLOTS = 244 }; /* 61 s: the last slot is not full yet */

struct rate_window {
    uint64_t limit;  /* a minute; 0: none */
    double interval; /* ms for each one */
    double free_at;  /* pace: when all that was taken would be done, one after the other */
    double burst;    /* pace: how far ahead of now that may be */
    uint64_t used;   /* the sum of the slots */
    int64_t slot;    /* the number of the newest one: time / RATE_SLOT_MS */
    uint64_t slots[RATE_SLOTS];
};

/* `share`: the part of a minute's limit that may go in a burst. */
void rate_window_init(struct rate_window *window, uint64_t limit, double share);
/* Does `cost` fit at `now`? More than the limit counts as the limit. False: *ret_when is the
 * earliest time it may, if nothing is taken before. */
bool rate_window_fits(struct rate_window *window, pl_ms now, uint64_t cost, pl_ms *ret_when);
void rate_window_take(struct rate_window *window, pl_ms now, uint64_t cost);
/* What was taken at `at` came to `cost` in place of `before`: both counts are set right, as far as
 * the window still knows of it. */
void rate_window_settle(struct rate_window *window, pl_ms at, pl_ms now, uint64_t before,
                        uint64_t cost);

#endif
