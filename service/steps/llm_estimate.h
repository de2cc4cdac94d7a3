/* llm_estimate.h - how many tokens a rendered model call may use, before it is sent. Not what it
 * did use (the provider's usage) and not what becomes of the figure (run_budget.h). Called by
 * steps/llm.c and by the estimate of a whole workflow.
 *
 * Text counts a token for four bytes. An image counts LLM_IMAGE_TOKENS; audio and files by the
 * bytes of their data. The answer counts max_tokens, else PL_DEFAULT_OUTPUT_TOKENS. */
#ifndef PLAIT_SERVICE_STEPS_LLM_ESTIMATE_H
#define PLAIT_SERVICE_STEPS_LLM_ESTIMATE_H

#include "service/llm/provider.h"
#include "service/workflow/workflow.h"

enum {
    LLM_BYTES_PER_TOKEN = 4,
    LLM_IMAGE_TOKENS = 1600,         /* about what the large providers count for a big one */
    LLM_AUDIO_BYTES_PER_TOKEN = 400, /* base64 of compressed speech: 32 tokens a second */
    LLM_FILE_BYTES_PER_TOKEN = 16,   /* base64 of a PDF */
};

/* Tokens of so much text; at least 1. */
int64_t llm_text_tokens(size_t bytes);
/* Tokens of a JSON list of messages in the OpenAI shape, media included. */
int64_t llm_messages_tokens(struct pl_str messages);
/* Tokens that the answer may have. */
int64_t llm_output_tokens(int64_t max_tokens);

/* Of one call and of all that an attempt may make: each repair is a call with the conversation so
 * far, and each may be sent again as often as `hedge` says. `price` NULL: unpriced. */
void llm_estimate_call(const struct llm_request *request, const struct llm_config *config,
                       const struct price *price, struct call_estimate *ret_estimate);
/* The same from figures: of one call, and of it and `repairs` more, each with as many hedges. */
struct budget llm_estimate_one(int64_t input, int64_t output, const struct price *price);
struct budget llm_estimate_all(int64_t input, int64_t output, unsigned repairs, unsigned hedges,
                               const struct price *price);

#endif
