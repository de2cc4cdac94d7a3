/* gemini_answer.c - what the objects of a Gemini answer say (GenerateContentResponse; a stream is
 * many of them), and what they come to. Not how they come (gemini.c, gemini_stream.c) and not
 * errors (gemini_errors.c). Called by both.
 *
 * Parts add up. Thoughts (`thought: true`) are not part of the text. Where tools are offered, the
 * parts are also kept as the API wants to see them again: with their signatures, each on its own
 * part. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_usage.h"

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_string(struct pl_str json)
{
    return json.len && json_type(json) == JSON_STRING;
}

/* A text may be missing or null; of another type it would be lost without a word. */
static bool is_bad_text(struct pl_str json)
{
    return json.len && json_type(json) != JSON_STRING && json_type(json) != JSON_NULL;
}

static bool is_list(struct pl_str json)
{
    return json.len && json_type(json) == JSON_ARRAY;
}

/* ---- usage ---- */

static int64_t count(struct pl_str object, const char *key)
{
    int64_t number = 0;

    (void)llm_usage_count(object, key, &number);
    return number;
}

/* Each object of a stream counts everything so far: the last one stands. Thoughts are paid for as
 * output, but counted apart. */
static void take_usage(struct gemini_parser *parser, struct pl_str object)
{
    const struct pl_str usage = member(object, "usageMetadata");
    struct store_usage *sum = &parser->usage;

    if (!usage.len || json_type(usage) != JSON_OBJECT)
        return;
    parser->has_usage = true;
    sum->input_tokens = count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount");
    sum->cached_input_tokens = count(usage, "cachedContentTokenCount");
    sum->reasoning_tokens = count(usage, "thoughtsTokenCount");
    sum->output_tokens = count(usage, "candidatesTokenCount") + sum->reasoning_tokens;
}

/* ---- parts to send again ---- */

static void end_replayed_text(struct gemini_parser *parser)
{
    if (parser->replay_text)
        pl_buf_text(&parser->replay, "\"}");
    parser->replay_text = false;
}

static void replay_comma(struct pl_buf *out)
{
    if (out->len == 0)
        pl_buf_char(out, '[');
    else
        json_comma(out);
}

/* Texts without a signature, one after the other, are one: a stream has hundreds. */
static void replay_plain_text(struct gemini_parser *parser, struct pl_str token)
{
    if (token.len <= 2)
        return;
    if (!parser->replay_text) {
        replay_comma(&parser->replay);
        pl_buf_text(&parser->replay, "{\"text\":\"");
    }
    parser->replay_text = true;
    pl_buf_append(&parser->replay, token.ptr + 1, token.len - 2);
}

static void keep_for_replay(struct gemini_parser *parser, struct pl_str part)
{
    const bool is_signed = member(part, "thoughtSignature").len > 0;
    const struct pl_str call = member(part, "functionCall");

    if (!parser->request->tools.len)
        return;
    if (json_truthy(member(part, "thought")) && member(part, "thought").len && !is_signed)
        return; /* a summary for people */
    if (!is_signed && !call.len && is_string(member(part, "text"))) {
        replay_plain_text(parser, member(part, "text"));
        return;
    }
    end_replayed_text(parser);
    replay_comma(&parser->replay);
    json_write_compact(&parser->replay, part);
    parser->needs_replay |= is_signed || member(call, "id").len > 0;
}

/* ---- parts ---- */

/* A call comes whole. */
static void take_call(struct gemini_parser *parser, struct pl_str call)
{
    const struct pl_str name = member(call, "name"), id = member(call, "id");
    const struct pl_str args = member(call, "args");
    struct tool_call *made;

    if (!parser->request->tools.len)
        return;
    made = tool_calls_add(&parser->calls, -1, parser->text.max);
    if (!made)
        return;
    if (is_string(name))
        json_decode_string(name, &made->name);
    if (is_string(id))
        json_decode_string(id, &made->id);
    if (args.len && json_type(args) != JSON_NULL)
        json_write_compact(&made->arguments, args);
    else
        pl_buf_text(&made->arguments, "{}");
}

static enum pl_code check_buf(const struct pl_buf *buf, const char *what, struct pl_err *err)
{
    if (!pl_buf_failed(buf))
        return PL_OK;
    if (!buf->too_large)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer's %s larger than %zu bytes", what,
                      buf->max);
}

static enum pl_code take_parts(struct gemini_parser *parser, struct pl_str parts,
                               const struct llm_sink *sink, struct pl_err *err)
{
    const size_t before = parser->text.len;
    struct json_iter it;
    enum pl_code code;

    for (json_iter_init(&it, parts); json_iter_next(&it);) {
        const struct pl_str text = member(it.value, "text"),
                            call = member(it.value, "functionCall"),
                            thought = member(it.value, "thought");

        if (json_type(it.value) != JSON_OBJECT)
            continue;
        if (is_bad_text(text))
            return pl_err_set(err, PL_ERR_BAD_RESPONSE,
                              "a part of the answer has a text that is no string");
        if (is_string(text) && !(thought.len && json_truthy(thought)))
            json_decode_string(text, &parser->text);
        if (call.len && json_type(call) == JSON_OBJECT)
            take_call(parser, call);
        keep_for_replay(parser, it.value);
    }
    code = check_buf(&parser->text, "text is", err);
    if (code == PL_OK)
        code = check_buf(&parser->replay, "parts are", err);
    if (code == PL_OK && parser->text.len > before && sink->delta)
        sink->delta(sink->arg, pl_str_n(parser->text.data + before, parser->text.len - before));
    return code;
}

/* ---- the end ---- */

static enum gemini_finish finish_of(struct pl_str word)
{
    static const struct {
        const char *word;
        enum gemini_finish finish;
    } words[] = {
        {"FINISH_REASON_UNSPECIFIED", GEMINI_FINISH_NONE},
        {"STOP", GEMINI_FINISH_STOP},
        {"MAX_TOKENS", GEMINI_FINISH_LENGTH},
        {"SAFETY", GEMINI_FINISH_FILTER},
        {"RECITATION", GEMINI_FINISH_FILTER},
        {"LANGUAGE", GEMINI_FINISH_FILTER},
        {"BLOCKLIST", GEMINI_FINISH_FILTER},
        {"PROHIBITED_CONTENT", GEMINI_FINISH_FILTER},
        {"SPII", GEMINI_FINISH_FILTER},
        {"MODEL_ARMOR", GEMINI_FINISH_FILTER},
        {"IMAGE_SAFETY", GEMINI_FINISH_FILTER},
        {"IMAGE_PROHIBITED_CONTENT", GEMINI_FINISH_FILTER},
        {"IMAGE_RECITATION", GEMINI_FINISH_FILTER},
        {"MALFORMED_FUNCTION_CALL", GEMINI_FINISH_BAD_CALL},
        {"UNEXPECTED_TOOL_CALL", GEMINI_FINISH_BAD_CALL},
        {"TOO_MANY_TOOL_CALLS", GEMINI_FINISH_BAD_CALL},
        {"MALFORMED_RESPONSE", GEMINI_FINISH_OTHER},
        {"IMAGE_OTHER", GEMINI_FINISH_OTHER},
        {"NO_IMAGE", GEMINI_FINISH_OTHER},
        {"OTHER", GEMINI_FINISH_OTHER},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++) {
        if (pl_str_is(word, words[i].word))
            return words[i].finish;
    }
    return GEMINI_FINISH_STOP;
}

static void take_text(struct pl_str object, const char *key, struct pl_buf *out)
{
    const struct pl_str token = member(object, key);

    if (!is_string(token) || token.len <= 2)
        return;
    pl_buf_reset(out);
    json_decode_string(token, out);
}

static void take_finish(struct gemini_parser *parser, struct pl_str candidate)
{
    const struct pl_str token = member(candidate, "finishReason");

    if (!is_string(token))
        return;
    take_text(candidate, "finishReason", &parser->word);
    take_text(candidate, "finishMessage", &parser->message);
    parser->finish = finish_of(pl_str_n(token.ptr + 1, token.len - 2));
}

/* Only the first candidate counts; one without an index is the first. */
static enum pl_code take_candidates(struct gemini_parser *parser, struct pl_str candidates,
                                    const struct llm_sink *sink, struct pl_err *err)
{
    struct json_iter it;

    for (json_iter_init(&it, candidates); json_iter_next(&it);) {
        const struct pl_str index = member(it.value, "index");
        const struct pl_str parts = member(member(it.value, "content"), "parts");
        enum pl_code code = PL_OK;

        if (index.len && json_type(index) == JSON_NUMBER && !pl_str_is(index, "0"))
            continue;
        if (is_list(parts))
            code = take_parts(parser, parts, sink, err);
        if (code != PL_OK)
            return code;
        take_finish(parser, it.value);
    }
    return PL_OK;
}

static void take_feedback(struct gemini_parser *parser, struct pl_str feedback)
{
    if (!is_string(member(feedback, "blockReason")) ||
        pl_str_is(member(feedback, "blockReason"), "\"BLOCK_REASON_UNSPECIFIED\""))
        return;
    parser->blocked = true;
    take_text(feedback, "blockReason", &parser->word);
    take_text(feedback, "blockReasonMessage", &parser->message);
}

enum pl_code gemini_take_object(struct gemini_parser *parser, struct pl_str object,
                                const struct llm_sink *sink, struct pl_err *err)
{
    const struct pl_str candidates = member(object, "candidates");
    enum pl_code code = PL_OK;

    if (gemini_read_error(object, 0, PL_ERR_STREAM_ERROR, &parser->failure)) {
        parser->failed = true;
        return PL_OK;
    }
    take_usage(parser, object);
    take_text(object, "responseId", &parser->id);
    take_feedback(parser, member(object, "promptFeedback"));
    if (is_list(candidates))
        code = take_candidates(parser, candidates, sink, err);
    parser->final_usage |=
        parser->finish != GEMINI_FINISH_NONE && member(object, "usageMetadata").len > 0;
    return code;
}

/* ---- the result ---- */

/* Did the step itself ask for an end at some length? */
static bool length_was_asked(const struct llm_request *request)
{
    return request->max_tokens > 0 ||
           (request->extra.len &&
            member(member(request->extra, "generationConfig"), "maxOutputTokens").len > 0);
}

/* The word and what the API said about it, behind `what`. */
static void stopped(const struct gemini_parser *parser, enum pl_code code, const char *what,
                    struct pl_err *err)
{
    const struct pl_str word = pl_buf_view(&parser->word), message = pl_buf_view(&parser->message);

    pl_err_set(err, code, "%s (%.*s)%s%.*s", what, PL_STR_ARG(word), message.len ? ": " : "",
               PL_STR_ARG(message));
}

static void cut_at_length(const struct gemini_parser *parser, bool empty, struct pl_err *err)
{
    if (empty)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the model used up its tokens before it said anything; raise max_tokens");
    else if (parser->request->schema || parser->calls.count)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at its length limit, so its JSON is not whole; raise "
                   "max_tokens");
    else
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at the model's length limit; set max_tokens to accept that");
}

/* True when the answer stands; else the error is set. */
static bool stands(const struct gemini_parser *parser, struct pl_err *err)
{
    const bool empty = parser->text.len == 0 && !parser->calls.count;

    switch (parser->finish) {
    case GEMINI_FINISH_FILTER:
        stopped(parser, PL_ERR_CONTENT_FILTERED, "the provider filtered the answer", err);
        return false;
    case GEMINI_FINISH_BAD_CALL:
        stopped(parser, PL_ERR_BAD_RESPONSE, "the model called a tool wrongly", err);
        return false;
    case GEMINI_FINISH_OTHER:
        stopped(parser, PL_ERR_PROVIDER_ERROR, "the model stopped without an answer", err);
        return false;
    case GEMINI_FINISH_LENGTH:
        if (empty || parser->request->schema || parser->calls.count ||
            !length_was_asked(parser->request)) {
            cut_at_length(parser, empty, err);
            return false;
        }
        break;
    case GEMINI_FINISH_NONE:
    case GEMINI_FINISH_STOP:
        break;
    }
    if (tool_calls_check(&parser->calls, err) != PL_OK)
        return false;
    if (empty)
        pl_err_set(err, PL_ERR_EMPTY_RESPONSE, "the answer has no text");
    return !empty;
}

/* The object of tool_calls_write. Where calls will be answered, with what the API wants back. */
static void write_turn(struct gemini_parser *parser, struct pl_buf *out)
{
    struct pl_buf content;

    pl_buf_init(&content, PL_LIMIT_STREAM_BYTES);
    if (parser->text.len)
        json_write_string(&content, pl_buf_view(&parser->text));
    tool_calls_write(&parser->calls, pl_buf_view(&content), parser->request->identity, out);
    if (parser->needs_replay && parser->calls.count) {
        end_replayed_text(parser);
        json_array_end(&parser->replay);
        tool_calls_add_replay(gemini_ops.kind, pl_buf_view(&parser->replay), out);
    }
    out->failed |= pl_buf_failed(&content) || pl_buf_failed(&parser->replay);
    pl_buf_finish(&content);
}

static void take_output(struct gemini_parser *parser, struct step_result *result)
{
    struct pl_buf turn;

    if (!parser->request->tools.len) {
        result->output = pl_value_string(pl_buf_view(&parser->text));
    } else {
        pl_buf_init(&turn, PL_LIMIT_STREAM_BYTES);
        write_turn(parser, &turn);
        result->output = pl_value_take(&turn);
        pl_buf_finish(&turn);
    }
    if (!result->output)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

static const char *finish_text(const struct gemini_parser *parser)
{
    switch (parser->finish) {
    case GEMINI_FINISH_STOP:
        return parser->calls.count ? "tool_calls" : "stop";
    case GEMINI_FINISH_LENGTH:
        return "length";
    case GEMINI_FINISH_FILTER:
        return "content_filter";
    case GEMINI_FINISH_BAD_CALL:
    case GEMINI_FINISH_OTHER:
        return "error";
    case GEMINI_FINISH_NONE:
        break;
    }
    return parser->blocked ? "content_filter" : "";
}

/* Hands the failure over; the parser's copy is the parser's to release. */
static void copy_failure(const struct gemini_parser *parser, struct step_result *result)
{
    result->err = parser->failure.err;
    result->upstream = pl_value_ref(parser->failure.upstream);
    result->no_retry = parser->failure.no_retry;
    result->retry_after = parser->failure.retry_after;
    result->upstream_status = parser->failure.upstream_status;
}

void gemini_finish_answer(struct gemini_parser *parser, bool whole, struct step_result *result)
{
    struct pl_err *err = &result->err;

    if (parser->failed)
        copy_failure(parser, result);
    else if (parser->blocked)
        stopped(parser, PL_ERR_CONTENT_FILTERED, "the provider blocked the prompt", err);
    else if (!whole && parser->finish == GEMINI_FINISH_NONE)
        pl_err_set(err, PL_ERR_TRUNCATED,
                   "the stream ended without a finishReason, after %zu bytes of text",
                   parser->text.len);
    else if (stands(parser, err))
        take_output(parser, result);
    step_result_fact(result, "finish_reason", pl_str(finish_text(parser)));
    step_result_fact(result, "response_id", pl_buf_view(&parser->id));
}
