/* llm_digest.h - the one number of a model call: two calls with the same digest ask the same model
 * the same thing. Not the request as a provider writes it, which differs by whether somebody
 * listens. Called by steps/llm.c; any thread. */
#ifndef PLAIT_SERVICE_LLM_LLM_DIGEST_H
#define PLAIT_SERVICE_LLM_LLM_DIGEST_H

#include "service/llm/provider.h"

enum { LLM_DIGEST_BYTES = 32 };

/* A hash of where the call goes (kind, base URL, URL) and of everything of the request that makes
 * a difference to the answer: model, system, messages, schema, tools, temperature, max_tokens,
 * seed, stop, extra, and which sample of a vote it is. Not of who asks (identity), how often
 * (attempt, answer), how it is told (stream), how long it may take, nor of keys. */
void llm_digest(const struct provider *provider, const struct llm_request *request,
                unsigned char ret_digest[static LLM_DIGEST_BYTES]);

#endif
