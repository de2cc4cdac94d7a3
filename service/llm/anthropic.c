/* anthropic.c - the provider row of Anthropic's Messages API: URL and headers, the request as HTTP,
 * and the life of the parser that reads the answer, whichever of the two forms it comes in. Not
 * HTTP (llm_http.c), not the body (anthropic_request.c) and not the reading itself
 * (anthropic_answer.c, anthropic_stream.c). A row of providers.c. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_post.h"
#include "service/llm/llm_usage.h"

enum {
    CATEGORY_MAX = 100,
};

/* ---- once ---- */

/* The base URL may end in /v1, as those of other providers do. */
static const char *make_url(struct pl_str base, struct pl_arena *arena)
{
    const bool versioned = base.len > 3 && memcmp(base.ptr + base.len - 3, "/v1", 3) == 0;

    return pl_arena_printf(arena, "%.*s%s/messages", PL_STR_ARG(base), versioned ? "" : "/v1");
}

static enum pl_code anthropic_configure(struct provider *provider, struct pl_arena *arena,
                                        struct pl_err *err)
{
    struct http_header *headers = provider->headers;

    provider->url = pl_str(make_url(provider->base_url, arena));
    headers[0] = (struct http_header){PL_STR("content-type"), PL_STR("application/json")};
    headers[1] =
        (struct http_header){PL_STR("accept"), PL_STR("application/json, text/event-stream")};
    headers[2] = (struct http_header){PL_STR("anthropic-version"), PL_STR("2023-06-01")};
    provider->n_headers = 3;
    if (provider->api_key.len) {
        headers[3] = (struct http_header){PL_STR("x-api-key"), provider->api_key};
        provider->n_headers = 4;
        if (!http_header_ok(headers[3].name, headers[3].value))
            return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                              "the API key of '%.*s' has characters no header can hold; is there a "
                              "line break in it?",
                              PL_STR_ARG(provider->name));
    }
    if (pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return PL_OK;
}

/* ---- the request ---- */

static enum pl_code anthropic_build(const struct provider *provider,
                                    const struct llm_request *request, struct pl_arena *arena,
                                    struct http_request *ret_http, struct pl_err *err)
{
    const bool stream = anthropic_streams(request);
    struct pl_buf body;
    enum pl_code code;

    pl_buf_init(&body, LLM_POST_BYTES);
    code = anthropic_write_body(request, arena, &body, err);
    if (code == PL_OK)
        code = llm_post(provider, request, provider->url, stream, &body, arena, ret_http, err);
    pl_buf_finish(&body);
    return code;
}

/* ---- the answer ---- */

static void anthropic_begin(void *state, const struct llm_request *request,
                            struct pl_str content_type)
{
    struct anthropic_parser *parser = state;
    const size_t max = request->max_output ? request->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;

    parser->request = request;
    parser->type = answer_type_of(content_type);
    pl_buf_init(&parser->body, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->text, max);
    pl_buf_init(&parser->block.start, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->block.body, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->block.signature, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->replay, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->category, CATEGORY_MAX);
    sse_init(&parser->sse);
    step_result_init(&parser->failure);
}

static void decide_mode(struct anthropic_parser *parser, bool last)
{
    parser->mode = answer_form_of(parser->type, pl_buf_view(&parser->body), &parser->blanks, last);
}

static enum pl_code anthropic_feed(void *state, struct pl_str piece, const struct llm_sink *sink,
                                   struct pl_err *err)
{
    struct anthropic_parser *parser = state;
    enum pl_code code;

    if (parser->mode == ANSWER_STREAM)
        return anthropic_stream_feed(parser, piece, sink, err);
    code = answer_keep(&parser->body, piece, err);
    if (code != PL_OK || parser->mode != ANSWER_UNDECIDED)
        return code;
    decide_mode(parser, false);
    if (parser->mode != ANSWER_STREAM)
        return PL_OK;
    code = anthropic_stream_feed(parser, pl_buf_view(&parser->body), sink, err);
    pl_buf_finish(&parser->body);
    return code;
}

static bool anthropic_ended(const void *state)
{
    const struct anthropic_parser *parser = state;

    return parser->mode == ANSWER_STREAM && (parser->done || parser->failed);
}

/* What the API counted, input in the way of the others: all of it, of which so much from the cache.
 * Where it did not say, an estimate that is better than nothing. */
static void anthropic_usage(const void *state, struct store_usage *usage)
{
    const struct anthropic_parser *parser = state;
    const int64_t guess =
        llm_usage_guess_output(parser->text.len + tool_calls_bytes(&parser->calls));

    *usage = (struct store_usage){
        .calls = 1,
        .input_tokens = parser->fresh + parser->cache_read + parser->cache_write,
        .cached_input_tokens = parser->cache_read,
        .cache_write_input_tokens = parser->cache_write,
        .output_tokens = parser->output,
        .reasoning_tokens = parser->thinking,
    };
    /* a stream begins with a count of one or two */
    if (!parser->final_usage && guess > usage->output_tokens)
        usage->output_tokens = guess;
    if (!parser->has_usage && parser->request)
        usage->input_tokens = llm_usage_guess_input(parser->request);
}

static void anthropic_finish(void *state, const struct llm_sink *sink, struct step_result *result)
{
    struct anthropic_parser *parser = state;
    struct llm_sink whole = *sink;

    if (!parser->request->stream)
        whole.delta = NULL;
    if (parser->mode == ANSWER_UNDECIDED)
        decide_mode(parser, true);
    if (parser->mode == ANSWER_STREAM ||
        (parser->mode == ANSWER_UNDECIDED && parser->type == ANSWER_TYPE_STREAM))
        anthropic_finish_stream(parser, sink, result);
    else
        anthropic_finish_whole(parser, &whole, result);
    anthropic_usage(parser, &result->usage);
    step_result_fact(result, "finish_reason", pl_str(anthropic_stop_text(parser->stop)));
}

static void anthropic_cleanup(void *state)
{
    struct anthropic_parser *parser = state;

    pl_buf_finish(&parser->body);
    pl_buf_finish(&parser->text);
    pl_buf_finish(&parser->block.start);
    pl_buf_finish(&parser->block.body);
    pl_buf_finish(&parser->block.signature);
    pl_buf_finish(&parser->replay);
    pl_buf_finish(&parser->category);
    tool_calls_finish(&parser->calls);
    sse_finish(&parser->sse);
    step_result_finish(&parser->failure);
}

static void anthropic_error(int status, struct pl_str body, struct step_result *result)
{
    const struct llm_fault fault = {.status = status, .message = body};

    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK &&
        anthropic_read_error(body, status, result))
        return;
    llm_fault_result(&fault, PL_ERR_PROVIDER_ERROR, result);
}

static const char *const refused_parameters[] = {"seed", NULL};

const struct provider_ops anthropic_ops = {
    .kind = "anthropic",
    .parser_size = sizeof(struct anthropic_parser),
    .configure = anthropic_configure,
    .build = anthropic_build,
    .begin = anthropic_begin,
    .feed = anthropic_feed,
    .ended = anthropic_ended,
    .finish = anthropic_finish,
    .usage = anthropic_usage,
    .cleanup = anthropic_cleanup,
    .error = anthropic_error,
    .refuses = refused_parameters,
};
