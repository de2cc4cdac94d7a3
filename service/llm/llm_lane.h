/* llm_lane.h - tells the lane of a provider how a call over HTTP ended. Not what a lane makes of it
 * (limits.h). Called by llm_http.c. */
#ifndef PLAIT_SERVICE_LLM_LLM_LANE_H
#define PLAIT_SERVICE_LLM_LLM_LANE_H

#include "service/llm/llm_call.h"

struct http_call;
struct http_outcome;

/* The head of an answer is there: whoever waits to hear whether the server is back need not wait
 * for all of it. On the loop of the call. */
void llm_lane_hears(const struct llm_call *call, int status);
/* The call is over and its result made; sets result->free. On the loop of the call. */
void llm_lane_tell(struct llm_call *call, const struct http_call *http_call,
                   const struct http_outcome *outcome, struct step_result *result);
/* What the headers of an answer say of requests and tokens a minute: those of OpenAI and of servers
 * like it (durations), and Anthropic's (times). Zeroes where they say nothing. */
void llm_lane_read_quotas(struct pl_str (*header)(void *arg, const char *name), void *arg,
                          pl_ms now, struct lane_quota_news *ret_requests,
                          struct lane_quota_news *ret_tokens);

#endif
