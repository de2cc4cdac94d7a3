/* llm_http.h - carries the request of a provider that speaks HTTP over http_call: pieces into its
 * parser, the outcome into a step_result, 429 and dead connections into the lane. Not the wire
 * format (openai.c) and not HTTP (http_call.c). Called by llm_call_* for providers without a start
 * of their own. */
#ifndef PLAIT_SERVICE_LLM_LLM_HTTP_H
#define PLAIT_SERVICE_LLM_LLM_HTTP_H

#include "service/llm/llm_call.h"

/* As the llm_call functions of the same names. */
enum pl_code llm_http_prepare(struct llm_call *call, struct pl_err *err) PL_MUST_CHECK;
void llm_http_start(struct llm_call *call);
void llm_http_abort(struct llm_call *call);
void llm_http_finish(struct llm_call *call);

#endif
