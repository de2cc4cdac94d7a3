/* llm_delay.h - how long the text of an error says to wait. Not headers (llm_hints.h) and not the
 * waiting. Called by providers; pure. */
#ifndef PLAIT_SERVICE_LLM_LLM_DELAY_H
#define PLAIT_SERVICE_LLM_LLM_DELAY_H

#include "base/clock.h"
#include "base/str.h"

/* A duration at the start of the text, in ms, rounded up: "34.07s", "900ms", "1m30s", "6 seconds".
 * -1: none, or one of over a day. */
pl_ms llm_delay_read(struct pl_str text);

/* That behind "retry in", "retry after" or "try again in". -1: none. */
pl_ms llm_delay_of_message(struct pl_str message);

#endif
