/* llm_hints.h - when a provider that refuses calls for now wants to be asked again, by the headers
 * of its answer. Not the waiting (run_attempt.c) and not the lane (limits.h). Called by llm_http.c;
 * pure. */
#ifndef PLAIT_SERVICE_LLM_LLM_HINTS_H
#define PLAIT_SERVICE_LLM_LLM_HINTS_H

#include "base/clock.h"
#include "base/str.h"

/* Milliseconds from `now` on, -1: the headers do not say. In this order: retry-after-ms,
 * Retry-After in seconds or as a date; and where `limited` (the answer is a 429), the reset of the
 * limits that have nothing left, the latest of them, or where none says so, the earliest of all
 * resets: x-ratelimit-* and anthropic-ratelimit-*, as a duration ("6m0s"), a time or seconds. One
 * in the past is 0. `lines`: each header a line that ends in LF. */
pl_ms llm_hints_wait(struct pl_str lines, bool limited, pl_ms now);

#endif
