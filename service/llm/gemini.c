/* gemini.c - Google's Gemini API: POST {base}/v1beta/models/{model}:generateContent, or
 * :streamGenerateContent, and the life of the parser that reads the answer. Not HTTP (llm_http.c),
 * not the body (gemini_request.c), not the reading (gemini_answer.c, gemini_stream.c). A row of
 * providers.c. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_post.h"
#include "service/llm/llm_usage.h"

enum { SHOWN = 120 };

/* ---- once ---- */

static bool ends_in(struct pl_str text, const char *end)
{
    const size_t len = strlen(end);

    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* A base URL may have its version in it, as those of proxies do. */
static bool has_version(struct pl_str base)
{
    return ends_in(base, "/v1beta") || ends_in(base, "/v1") || ends_in(base, "/v1alpha");
}

static enum pl_code gemini_configure(struct provider *provider, struct pl_arena *arena,
                                     struct pl_err *err)
{
    struct http_header *headers = provider->headers;

    provider->url = pl_str(pl_arena_printf(arena, "%.*s%s", PL_STR_ARG(provider->base_url),
                                           has_version(provider->base_url) ? "" : "/v1beta"));
    headers[0] = (struct http_header){PL_STR("content-type"), PL_STR("application/json")};
    headers[1] =
        (struct http_header){PL_STR("accept"), PL_STR("application/json, text/event-stream")};
    provider->n_headers = 2;
    if (provider->api_key.len) { /* not ?key=: URLs get into logs */
        headers[2] = (struct http_header){PL_STR("x-goog-api-key"), provider->api_key};
        provider->n_headers = 3;
        if (!http_header_ok(headers[2].name, headers[2].value))
            return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                              "the API key of '%.*s' has characters no header can hold; is there a "
                              "line break in it?",
                              PL_STR_ARG(provider->name));
    }
    if (pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return PL_OK;
}

/* The model's name is a part of the URL. */
static bool gemini_model_ok(const struct provider *provider, struct pl_str model,
                            struct pl_err *err)
{
    bool ok = model.len > 0 && !memmem(model.ptr, model.len, "..", 2);

    for (size_t i = 0; ok && i < model.len; i++) {
        const char c = model.ptr[i];

        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             memchr("-._/@", c, 5);
    }
    if (!ok)
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                   "'%.*s' can be no model of %.*s: a name has letters, digits and - . _ / @",
                   PL_STR_ARG(model), PL_STR_ARG(provider->name));
    return ok;
}

/* ---- the request ---- */

/* models/gemini-2.5-flash is the API's own name, and so is tunedModels/mine. */
static struct pl_str make_url(const struct provider *provider, const struct llm_request *request,
                              struct pl_arena *arena)
{
    const bool whole_name = pl_str_starts(request->model, PL_STR("models/")) ||
                            pl_str_starts(request->model, PL_STR("tunedModels/"));

    return pl_str(
        pl_arena_printf(arena, "%.*s/%s%.*s:%s", PL_STR_ARG(provider->url),
                        whole_name ? "" : "models/", PL_STR_ARG(request->model),
                        request->stream ? "streamGenerateContent?alt=sse" : "generateContent"));
}

static enum pl_code gemini_build(const struct provider *provider, const struct llm_request *request,
                                 struct pl_arena *arena, struct http_request *ret_http,
                                 struct pl_err *err)
{
    struct pl_buf body;
    enum pl_code code;

    if (!gemini_model_ok(provider, request->model, err))
        return PL_ERR_INVALID_ARGUMENT;
    pl_buf_init(&body, LLM_POST_BYTES);
    code = gemini_write_body(provider, request, arena, &body, err);
    if (code == PL_OK)
        code = llm_post(provider, request, make_url(provider, request, arena), request->stream,
                        &body, arena, ret_http, err);
    pl_buf_finish(&body);
    return code;
}

/* ---- the answer ---- */

static void gemini_begin(void *state, const struct llm_request *request, struct pl_str content_type)
{
    struct gemini_parser *parser = state;
    const size_t max = request->max_output ? request->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;

    parser->request = request;
    parser->type = answer_type_of(content_type);
    pl_buf_init(&parser->body, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->text, max);
    pl_buf_init(&parser->replay, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->word, GEMINI_WORD_MAX);
    pl_buf_init(&parser->message, GEMINI_WORD_MAX);
    pl_buf_init(&parser->id, GEMINI_WORD_MAX);
    sse_init(&parser->sse);
    step_result_init(&parser->failure);
    parser->usage.calls = 1;
}

static void decide_mode(struct gemini_parser *parser, bool last)
{
    parser->mode = answer_form_of(parser->type, pl_buf_view(&parser->body), &parser->blanks, last);
}

static enum pl_code gemini_feed(void *state, struct pl_str piece, const struct llm_sink *sink,
                                struct pl_err *err)
{
    struct gemini_parser *parser = state;
    struct pl_buf first;
    enum pl_code code;

    if (parser->mode == ANSWER_STREAM)
        return gemini_stream_feed(parser, piece, sink, err);
    code = answer_keep(&parser->body, piece, err);
    if (code != PL_OK)
        return code;
    if (parser->mode == ANSWER_UNDECIDED)
        decide_mode(parser, false);
    if (parser->mode != ANSWER_STREAM)
        return PL_OK;
    first = parser->body; /* the buffer is for other things from here on */
    pl_buf_init(&parser->body, PL_LIMIT_STREAM_BYTES);
    code = gemini_stream_feed(parser, pl_buf_view(&first), sink, err);
    pl_buf_finish(&first);
    return code;
}

/* The last object of a stream is the one with the finishReason, which counts the tokens too; where
 * it does not, the count may still come. */
static bool gemini_ended(const void *state)
{
    const struct gemini_parser *parser = state;

    return parser->mode == ANSWER_STREAM &&
           (parser->failed || parser->blocked ||
            (parser->finish != GEMINI_FINISH_NONE && parser->final_usage));
}

/* What the server counted; where it did not say, an estimate that is better than nothing. */
static void gemini_usage(const void *state, struct store_usage *usage)
{
    const struct gemini_parser *parser = state;

    *usage = parser->usage;
    if (parser->has_usage || !parser->request)
        return;
    usage->input_tokens = llm_usage_guess_input(parser->request);
    usage->output_tokens =
        llm_usage_guess_output(parser->text.len + tool_calls_bytes(&parser->calls));
}

static void not_understood(struct pl_str body, const char *why, struct step_result *result)
{
    const size_t shown = pl_utf8_cut(body.ptr, body.len < SHOWN ? body.len : SHOWN);

    pl_err_set(&result->err, PL_ERR_BAD_RESPONSE, "%s; it begins: %.*s", why, (int)shown, body.ptr);
}

/* One object, or the list of objects that a stream is without alt=sse. */
static void read_whole(struct gemini_parser *parser, const struct llm_sink *sink,
                       struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&parser->body);
    const bool is_list = json_trim(body).len && json_trim(body).ptr[0] == '[';
    struct llm_sink whole = *sink;
    struct json_iter it;
    struct pl_str value;
    enum pl_code code;

    if (!parser->request->stream)
        whole.delta = NULL;
    code = json_check(body, PL_LIMIT_JSON_DEPTH, NULL, &result->err);
    if (code == PL_ERR_NO_MEMORY)
        return;
    if (code != PL_OK) {
        not_understood(body, "the answer is not valid JSON; check the base URL", result);
        return;
    }
    if (!is_list && !(json_get(body, PL_STR("candidates"), &value) ||
                      json_get(body, PL_STR("promptFeedback"), &value) ||
                      json_get(body, PL_STR("error"), &value))) {
        not_understood(body, "the answer has no candidates", result);
        return;
    }
    if (!is_list)
        code = gemini_take_object(parser, body, &whole, &result->err);
    else
        for (json_iter_init(&it, body); code == PL_OK && !parser->failed && json_iter_next(&it);)
            code = gemini_take_object(parser, it.value, &whole, &result->err);
    if (code == PL_OK)
        gemini_finish_answer(parser, !is_list, result);
}

static void gemini_finish(void *state, const struct llm_sink *sink, struct step_result *result)
{
    struct gemini_parser *parser = state;

    if (parser->mode == ANSWER_UNDECIDED)
        decide_mode(parser, true);
    if (parser->mode == ANSWER_WHOLE || parser->mode == ANSWER_OTHER) {
        read_whole(parser, sink, result);
    } else if (parser->mode == ANSWER_UNDECIDED && parser->type != ANSWER_TYPE_STREAM) {
        pl_err_set(&result->err, PL_ERR_EMPTY_RESPONSE, "the answer has no body");
    } else if (gemini_stream_end(parser, sink, &result->err) == PL_OK) {
        gemini_finish_answer(parser, false, result);
    }
    gemini_usage(parser, &result->usage);
}

static void gemini_cleanup(void *state)
{
    struct gemini_parser *parser = state;

    pl_buf_finish(&parser->body);
    pl_buf_finish(&parser->text);
    pl_buf_finish(&parser->replay);
    pl_buf_finish(&parser->word);
    pl_buf_finish(&parser->message);
    pl_buf_finish(&parser->id);
    tool_calls_finish(&parser->calls);
    sse_finish(&parser->sse);
    step_result_finish(&parser->failure);
}

static void gemini_error(int status, struct pl_str body, struct step_result *result)
{
    const struct llm_fault fault = {.status = status, .message = body};

    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK &&
        gemini_read_error(body, status, PL_ERR_PROVIDER_ERROR, result))
        return;
    llm_fault_result(&fault, PL_ERR_PROVIDER_ERROR, result);
}

const struct provider_ops gemini_ops = {
    .kind = "gemini",
    .parser_size = sizeof(struct gemini_parser),
    .configure = gemini_configure,
    .build = gemini_build,
    .begin = gemini_begin,
    .feed = gemini_feed,
    .ended = gemini_ended,
    .finish = gemini_finish,
    .usage = gemini_usage,
    .cleanup = gemini_cleanup,
    .error = gemini_error,
    .model_ok = gemini_model_ok,
};
