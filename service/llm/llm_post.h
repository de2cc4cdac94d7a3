/* llm_post.h - the HTTP request that a model call is, around the body a provider wrote. Not the
 * body (openai.c, anthropic_request.c, gemini_request.c) and not sending it (llm_http.c). Called by
 * the `build` of HTTP providers. */
#ifndef PLAIT_SERVICE_LLM_LLM_POST_H
#define PLAIT_SERVICE_LLM_LLM_POST_H

#include "base/limits.h"
#include "service/llm/provider.h"

enum { LLM_POST_BYTES = PL_LIMIT_PROMPT_BYTES + (1 << 20) }; /* of a body; for pl_buf_init */

/* Fills the request with a copy of `body` in `arena`; `url` has a NUL behind and lives as long.
 * `stream`: an event stream is asked for. Errors: TOO_LARGE, NO_MEMORY. */
enum pl_code llm_post(const struct provider *provider, const struct llm_request *request,
                      struct pl_str url, bool stream, const struct pl_buf *body,
                      struct pl_arena *arena, struct http_request *ret_http,
                      struct pl_err *err) PL_MUST_CHECK;

#endif
