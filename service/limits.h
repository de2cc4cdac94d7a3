/* limits.h - lanes: the admission to one provider. Not the waiting itself (run_core holds a step
 * until the lane opens) and not base/limits.h, which are fixed numbers. Asked by llm steps before a
 * call, told by them after it. Any thread: fields are atomic.
 *
 * A 429, or a provider that has answered this process before and is now out of reach, pauses the
 * lane: nothing is sent until it opens, and no attempt is used up. */
#ifndef PLAIT_SERVICE_LIMITS_H
#define PLAIT_SERVICE_LIMITS_H

#include "base/clock.h"
#include "base/compiler.h"

struct lane;

struct lane *lane_create(void); /* NULL when out of memory */
void lane_destroy(struct lane **lane);

/* True when the lane is paused at `now`: *ret_until and a static reason word. */
bool lane_paused(const struct lane *lane, pl_ms now, pl_ms *ret_until, const char **ret_reason);
/* Pauses until `until` at least; `reason` is static text ("rate_limited", "unreachable"). */
void lane_pause(struct lane *lane, pl_ms until, const char *reason);
/* An answer of any kind arrived: the server is there. Ends a pause for "unreachable". */
void lane_answered(struct lane *lane);
/* Has it ever answered this process? */
bool lane_has_answered(const struct lane *lane);
/* How long to pause after the n-th failure in a row to reach it, or 429 without a hint: 250 ms
 * doubling to 15 s; counts up. */
pl_ms lane_backoff(struct lane *lane);

#endif
