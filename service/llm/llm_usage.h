/* llm_usage.h - one figure of what a server says a call used. Not which members have it: that is
 * the providers' matter (openai_answer.c, anthropic_answer.c, gemini_answer.c), which call this. */
#ifndef PLAIT_SERVICE_LLM_LLM_USAGE_H
#define PLAIT_SERVICE_LLM_LLM_USAGE_H

#include "base/json.h"
#include "service/llm/provider.h"

/* The number of tokens that a value says. False, with *ret_count as it was: it is empty, no whole
 * number, below 0, or so large that no call can have used it (10^11): sums of such figures over all
 * calls of a run would leave their type. Pure; any thread. */
bool llm_usage_tokens(struct pl_str value, int64_t *ret_count);
/* The same of a member of `object`. */
bool llm_usage_count(struct pl_str object, const char *key, int64_t *ret_count);
/* The same of an amount in US dollars: above 0, and at most a million. */
bool llm_usage_charge(struct pl_str value, double *ret_cost);

/* Where the server did not say, better than nothing: what was asked, and what came, in bytes. */
int64_t llm_usage_guess_input(const struct llm_request *request);
int64_t llm_usage_guess_output(size_t bytes);

#endif
