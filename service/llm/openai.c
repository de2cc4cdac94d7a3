/* openai.c - POST {base}/chat/completions: the request as JSON, and the life of the parser that
 * reads the answer, whichever of the two forms it comes in. Not HTTP (llm_http.c) and not the
 * reading itself (openai_answer.c, openai_stream.c). A row of providers.c. */
#include "service/llm/openai.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_parts.h"
#include "service/llm/llm_post.h"
#include "service/llm/llm_usage.h"
#include "service/llm/openai_dialect.h"

/* ---- the request ---- */

static bool is_set(const struct llm_request *request, const char *key)
{
    struct pl_str value;

    return request->extra.len && json_get(request->extra, pl_str(key), &value);
}

/* Adds a member unless `extra` has one of the same name: extra wins. */
static void add_raw(struct pl_buf *out, const struct llm_request *request, const char *key,
                    struct pl_str json)
{
    if (json.len && !is_set(request, key))
        json_add_raw(out, key, json);
}

/* Leaves out what another kind of provider wants back (llm_parts.h): servers refuse members they do
 * not know. */
static void write_message(struct pl_buf *out, struct pl_str message)
{
    struct json_iter it;

    json_comma(out);
    json_object_begin(out);
    for (json_iter_init(&it, message); json_iter_next(&it);) {
        if (pl_str_is(it.key, "\"" LLM_REPLAY_KEY "\""))
            continue;
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    json_object_end(out);
}

static bool has_replay(struct pl_str messages)
{
    static const struct pl_str key = {.ptr = "\"" LLM_REPLAY_KEY "\"",
                                      .len = sizeof(LLM_REPLAY_KEY) + 1};

    return messages.len && memmem(messages.ptr, messages.len, key.ptr, key.len);
}

static void write_messages_one_by_one(struct pl_buf *out, const struct llm_request *request)
{
    struct json_iter it;

    json_array_begin(out);
    if (request->system.ptr) {
        json_object_begin(out);
        json_add_string(out, "role", PL_STR("system"));
        json_add_string(out, "content", request->system);
        json_object_end(out);
    }
    for (json_iter_init(&it, request->messages); json_iter_next(&it);)
        write_message(out, it.value);
    json_array_end(out);
}

static void write_messages(struct pl_buf *out, const struct llm_request *request)
{
    json_key(out, "messages");
    if (has_replay(request->messages)) {
        write_messages_one_by_one(out, request);
        return;
    }
    if (!request->system.ptr) {
        pl_buf_str(out, request->messages);
        return;
    }
    json_array_begin(out);
    json_object_begin(out);
    json_add_string(out, "role", PL_STR("system"));
    json_add_string(out, "content", request->system);
    json_object_end(out);
    if (json_count(request->messages)) {
        /* the list's elements, without its own opening bracket */
        const char *open = memchr(request->messages.ptr, '[', request->messages.len);

        pl_buf_char(out, ',');
        pl_buf_append(out, open + 1,
                      request->messages.len - (size_t)(open + 1 - request->messages.ptr));
    } else {
        json_array_end(out);
    }
}

/* A name in `extra` is written as a token; names with escapes are never ours. */
static enum pl_code write_extra(struct pl_buf *out, const struct llm_request *request,
                                struct pl_err *err)
{
    static const char *const own[] = {"\"model\"", "\"messages\"", "\"stream\"", "\"tools\""};
    const size_t n_own = PL_ARRAY_LEN(own) - (request->tools.len ? 0 : 1);
    struct json_iter it;

    if (!request->extra.len)
        return PL_OK;
    for (json_iter_init(&it, request->extra); json_iter_next(&it);) {
        for (size_t i = 0; i < n_own; i++) {
            if (pl_str_is(it.key, own[i]))
                return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                                  "'extra' may not set %s; the step has its own", own[i]);
        }
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    return PL_OK;
}

static enum pl_code write_body(struct pl_buf *out, const struct provider *provider,
                               const struct llm_request *request, struct pl_err *err)
{
    enum pl_code code;

    json_object_begin(out);
    json_add_string(out, "model", request->model);
    write_messages(out, request);
    add_raw(out, request, "temperature", request->temperature);
    if (request->max_tokens > 0 && !is_set(request, "max_tokens") &&
        !is_set(request, "max_completion_tokens"))
        json_add_int(out, openai_dialect_limit(provider, request->model), request->max_tokens);
    add_raw(out, request, "seed", request->seed);
    add_raw(out, request, "stop", request->stop);
    add_raw(out, request, "tools", request->tools);
    add_raw(out, request, "tool_choice", request->tool_choice);
    if (request->schema && !is_set(request, "response_format"))
        openai_write_response_format(request->schema, out);
    if (request->stream) {
        json_add_bool(out, "stream", true);
        add_raw(out, request, "stream_options", PL_STR("{\"include_usage\":true}"));
    }
    code = write_extra(out, request, err);
    json_object_end(out);
    return code;
}

static enum pl_code openai_build(const struct provider *provider, const struct llm_request *request,
                                 struct pl_arena *arena, struct http_request *ret_http,
                                 struct pl_err *err)
{
    struct pl_buf body;
    enum pl_code code;

    if (!openai_dialect_model_ok(provider, request->model, err))
        return PL_ERR_INVALID_ARGUMENT;
    pl_buf_init(&body, LLM_POST_BYTES);
    code = write_body(&body, provider, request, err);
    if (code == PL_OK)
        code = llm_post(provider, request, openai_dialect_url(provider, request->model, arena),
                        request->stream, &body, arena, ret_http, err);
    pl_buf_finish(&body);
    return code;
}

/* ---- the answer ---- */

static void openai_begin(void *state, const struct llm_request *request, struct pl_str content_type)
{
    struct openai_parser *parser = state;
    const size_t max = request->max_output ? request->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;

    parser->request = request;
    parser->type = answer_type_of(content_type);
    pl_buf_init(&parser->body, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&parser->text, max);
    pl_buf_init(&parser->refusal, max);
    sse_init(&parser->sse);
    step_result_init(&parser->failure);
    parser->usage.calls = 1;
}

static void decide_mode(struct openai_parser *parser, bool last)
{
    parser->mode = answer_form_of(parser->type, pl_buf_view(&parser->body), &parser->blanks, last);
}

static enum pl_code openai_feed(void *state, struct pl_str piece, const struct llm_sink *sink,
                                struct pl_err *err)
{
    struct openai_parser *parser = state;
    enum pl_code code;

    if (parser->mode == ANSWER_STREAM)
        return openai_stream_feed(parser, piece, sink, err);
    code = answer_keep(&parser->body, piece, err);
    if (code != PL_OK || parser->mode != ANSWER_UNDECIDED)
        return code;
    decide_mode(parser, false);
    if (parser->mode != ANSWER_STREAM)
        return PL_OK;
    code = openai_stream_feed(parser, pl_buf_view(&parser->body), sink, err);
    pl_buf_finish(&parser->body);
    return code;
}

static bool openai_ended(const void *state)
{
    const struct openai_parser *parser = state;

    return parser->mode == ANSWER_STREAM && (parser->done || parser->failed);
}

/* What the server counted; where it did not say, an estimate that is better than nothing. */
static void openai_usage(const void *state, struct store_usage *usage)
{
    const struct openai_parser *parser = state;

    *usage = parser->usage;
    if (parser->has_usage || !parser->request)
        return;
    usage->input_tokens = llm_usage_guess_input(parser->request);
    usage->output_tokens =
        llm_usage_guess_output(parser->text.len + tool_calls_bytes(&parser->calls));
}

static void openai_finish(void *state, const struct llm_sink *sink, struct step_result *result)
{
    struct openai_parser *parser = state;
    struct llm_sink whole = *sink;

    if (!parser->request->stream)
        whole.delta = NULL;
    if (parser->mode == ANSWER_UNDECIDED)
        decide_mode(parser, true);
    if (parser->mode == ANSWER_STREAM ||
        (parser->mode == ANSWER_UNDECIDED && parser->type == ANSWER_TYPE_STREAM))
        openai_finish_stream(parser, sink, result);
    else
        openai_finish_whole(parser, &whole, result);
    openai_usage(parser, &result->usage);
    step_result_fact(result, "finish_reason", pl_str(openai_finish_text(parser->finish)));
}

static void openai_cleanup(void *state)
{
    struct openai_parser *parser = state;

    pl_buf_finish(&parser->body);
    pl_buf_finish(&parser->text);
    pl_buf_finish(&parser->refusal);
    tool_calls_finish(&parser->calls);
    sse_finish(&parser->sse);
    step_result_finish(&parser->failure);
}

static void openai_error(int status, struct pl_str body, struct step_result *result)
{
    struct llm_fault fault = {.status = status, .message = body};

    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK &&
        openai_read_error(body, status, PL_ERR_PROVIDER_ERROR, result))
        return;
    llm_fault_result(&fault, PL_ERR_PROVIDER_ERROR, result);
}

const struct provider_ops openai_ops = {
    .kind = "openai",
    .parser_size = sizeof(struct openai_parser),
    .configure = openai_dialect_configure,
    .build = openai_build,
    .begin = openai_begin,
    .feed = openai_feed,
    .ended = openai_ended,
    .finish = openai_finish,
    .usage = openai_usage,
    .cleanup = openai_cleanup,
    .error = openai_error,
    .model_ok = openai_dialect_model_ok,
};
