/* llm_post.c - see llm_post.h. */
#include "service/llm/llm_post.h"

enum pl_code llm_post(const struct provider *provider, const struct llm_request *request,
                      struct pl_str url, bool stream, const struct pl_buf *body,
                      struct pl_arena *arena, struct http_request *ret_http, struct pl_err *err)
{
    if (body->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the request is larger than %d bytes",
                          LLM_POST_BYTES);
    if (pl_buf_failed(body))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    *ret_http = (struct http_request){
        .method = PL_STR("POST"),
        .url = url,
        .headers = provider->headers,
        .n_headers = provider->n_headers,
        .body = pl_arena_str(arena, pl_buf_view(body)),
        .has_body = true,
        .stream = stream,
        .first_byte_timeout = provider->first_byte_timeout,
        .idle_timeout = provider->idle_timeout,
        .total_timeout = request->timeout,
        .max_body = stream ? PL_LIMIT_STREAM_BYTES : PL_LIMIT_RESPONSE_BYTES,
    };
    if (pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return PL_OK;
}
