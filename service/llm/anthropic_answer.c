/* anthropic_answer.c - what the JSON objects of Anthropic's answers say: errors, usage, why the
 * model stopped; whole answers; and whether an answer stands. Not requests, not content blocks
 * (anthropic_blocks.c) and not events (anthropic_stream.c). Called by anthropic.c and
 * anthropic_stream.c. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_usage.h"

enum { SHOWN = 120, WORD_MAX = 200, ERROR_TEXT_MAX = 64 << 10 };

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_string(struct pl_str json)
{
    return json.len && json_type(json) == JSON_STRING;
}

/* ---- errors ---- */

/* What the words that llm_errors.c leaves to the status stand for where there is none: in the
 * middle of an answer. */
static enum pl_code code_of_type(struct pl_str type)
{
    if (pl_str_is(type, "invalid_request_error"))
        return PL_ERR_BAD_REQUEST;
    return pl_str_is(type, "not_found_error") ? PL_ERR_MODEL_NOT_FOUND : PL_ERR_STREAM_ERROR;
}

static void take_word(struct pl_str object, const char *key, struct pl_buf *out)
{
    if (is_string(member(object, key)))
        json_decode_string(member(object, key), out);
}

/* {"type": "error", "error": {"type", "message"}, "request_id"}; gateways leave parts of it out. */
bool anthropic_read_error(struct pl_str object, int status, struct step_result *result)
{
    const struct pl_str error =
        json_type(object) == JSON_OBJECT ? member(object, "error") : (struct pl_str){0};
    struct llm_fault fault = {.status = status};
    struct pl_buf type, message;

    if (!(error.len && json_truthy(error)) && !pl_str_is(member(object, "type"), "\"error\""))
        return false;
    pl_buf_init(&type, WORD_MAX);
    pl_buf_init(&message, ERROR_TEXT_MAX);
    if (is_string(error))
        json_decode_string(error, &message);
    else if (error.len && json_type(error) == JSON_OBJECT) {
        take_word(error, "type", &type);
        take_word(error, "message", &message);
    }
    fault.type = pl_buf_view(&type);
    fault.message = pl_buf_view(&message);
    if (pl_buf_failed(&type) && !type.too_large)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an error was read");
    else
        llm_fault_result(&fault, status ? PL_ERR_PROVIDER_ERROR : code_of_type(fault.type), result);
    pl_buf_finish(&type);
    pl_buf_finish(&message);
    return true;
}

/* ---- usage ---- */

void anthropic_read_usage(struct pl_str object, struct anthropic_parser *parser)
{
    const struct pl_str usage = member(object, "usage");

    if (!usage.len || json_type(usage) != JSON_OBJECT)
        return;
    parser->has_usage = true;
    (void)llm_usage_count(usage, "input_tokens", &parser->fresh);
    (void)llm_usage_count(usage, "cache_read_input_tokens", &parser->cache_read);
    (void)llm_usage_count(usage, "cache_creation_input_tokens", &parser->cache_write);
    (void)llm_usage_count(usage, "output_tokens", &parser->output);
    (void)llm_usage_count(member(usage, "output_tokens_details"), "thinking_tokens",
                          &parser->thinking);
}

/* ---- why it stopped ---- */

void anthropic_read_stop(struct pl_str object, struct anthropic_parser *parser)
{
    static const struct {
        const char *word;
        enum anthropic_stop stop;
    } words[] = {
        {"\"max_tokens\"", ANTHROPIC_STOP_LENGTH},
        {"\"model_context_window_exceeded\"", ANTHROPIC_STOP_CONTEXT},
        {"\"tool_use\"", ANTHROPIC_STOP_TOOLS},
        {"\"pause_turn\"", ANTHROPIC_STOP_PAUSE},
        {"\"refusal\"", ANTHROPIC_STOP_REFUSAL},
    };
    const struct pl_str reason = member(object, "stop_reason");

    if (!is_string(reason))
        return;
    parser->stop = ANTHROPIC_STOP_END;
    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (pl_str_is(reason, words[i].word))
            parser->stop = words[i].stop;
    pl_buf_reset(&parser->category);
    if (member(object, "stop_details").len)
        take_word(member(object, "stop_details"), "category", &parser->category);
}

const char *anthropic_stop_text(enum anthropic_stop stop)
{
    static const char *const texts[] = {
        [ANTHROPIC_STOP_NONE] = "",
        [ANTHROPIC_STOP_END] = "stop",
        [ANTHROPIC_STOP_LENGTH] = "length",
        [ANTHROPIC_STOP_CONTEXT] = "length",
        [ANTHROPIC_STOP_TOOLS] = "tool_calls",
        [ANTHROPIC_STOP_PAUSE] = "length",
        [ANTHROPIC_STOP_REFUSAL] = "content_filter",
    };

    return texts[stop];
}

/* ---- the judgement ---- */

static void refused(const struct anthropic_parser *parser, struct step_result *result)
{
    const struct pl_str category = pl_buf_view(&parser->category),
                        text = pl_buf_view(&parser->text);
    const size_t shown = text.len ? pl_utf8_cut(text.ptr, text.len < SHOWN ? text.len : SHOWN) : 0;

    pl_err_set(&result->err, PL_ERR_REFUSED, "the model refused%s%.*s%s%s%.*s",
               category.len ? " (" : "", PL_STR_ARG(category), category.len ? ")" : "",
               shown ? ": " : "", (int)shown, shown ? text.ptr : "");
    if (text.len)
        result->upstream = pl_value_string(text);
}

/* An answer that was cut where the tokens ended. */
static bool cut_stands(const struct anthropic_parser *parser, struct pl_err *err)
{
    const bool empty = !parser->text.len && !parser->calls.count;
    bool asked;
    const int64_t max = anthropic_max_tokens(parser->request, &asked);

    if (parser->stop == ANTHROPIC_STOP_CONTEXT)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut where the model's context window was full; shorten the "
                   "prompt");
    else if (empty)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the model used up its tokens before it said anything; raise max_tokens");
    else if (parser->request->schema || parser->calls.count)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at its length limit, so its JSON is not whole; raise "
                   "max_tokens");
    else if (!asked)
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at %lld tokens, which anthropic models get where the step "
                   "does not say; set max_tokens",
                   (long long)max);
    else
        return true;
    return false;
}

static bool answer_stands(const struct anthropic_parser *parser, struct step_result *result)
{
    struct pl_err *err = &result->err;

    if (parser->stop == ANTHROPIC_STOP_REFUSAL) {
        refused(parser, result);
        return false;
    }
    if (parser->stop == ANTHROPIC_STOP_PAUSE) {
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the model paused in the middle of its turn (pause_turn), because a tool on the "
                   "server's side runs long; such turns are not gone on with here");
        return false;
    }
    if (parser->stop == ANTHROPIC_STOP_LENGTH || parser->stop == ANTHROPIC_STOP_CONTEXT)
        if (!cut_stands(parser, err))
            return false;
    if (tool_calls_check(&parser->calls, err) != PL_OK)
        return false;
    if (!parser->text.len && !parser->calls.count) {
        pl_err_set(err, PL_ERR_EMPTY_RESPONSE, "the answer has no text%s",
                   parser->ignored_calls ? ", it asks to call tools" : "");
        return false;
    }
    return true;
}

static void write_turn(const struct anthropic_parser *parser, struct pl_buf *out)
{
    const struct pl_str text = pl_buf_view(&parser->text);
    struct pl_buf token, blocks;

    pl_buf_init(&token, 6 * (size_t)PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&blocks, PL_LIMIT_STREAM_BYTES + 1);
    if (text.len)
        json_write_string(&token, text);
    tool_calls_write(&parser->calls, pl_buf_view(&token), parser->request->identity, out);
    if (parser->calls.count && parser->needs_replay) {
        pl_buf_str(&blocks, pl_buf_view(&parser->replay));
        json_array_end(&blocks);
        tool_calls_add_replay(anthropic_ops.kind, pl_buf_view(&blocks), out);
    }
    out->failed |= pl_buf_failed(&token) || pl_buf_failed(&blocks);
    pl_buf_finish(&token);
    pl_buf_finish(&blocks);
}

void anthropic_take_answer(const struct anthropic_parser *parser, struct step_result *result)
{
    struct pl_buf turn;

    if (anthropic_blocks_check(parser, &result->err) != PL_OK || !answer_stands(parser, result))
        return;
    if (!parser->request->tools.len) {
        result->output = pl_value_string(pl_buf_view(&parser->text));
    } else {
        pl_buf_init(&turn, 8 * (size_t)PL_LIMIT_STREAM_BYTES);
        write_turn(parser, &turn);
        result->output = pl_value_take(&turn);
        pl_buf_finish(&turn);
    }
    if (!result->output)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

/* ---- whole answers ---- */

static void bad_answer(const struct anthropic_parser *parser, const char *why,
                       struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&parser->body);
    const size_t shown = pl_utf8_cut(body.ptr, body.len < SHOWN ? body.len : SHOWN);

    pl_err_set(&result->err, PL_ERR_BAD_RESPONSE, "%s; it begins: %.*s", why, (int)shown, body.ptr);
}

static void read_message(struct anthropic_parser *parser, struct pl_str message,
                         const struct llm_sink *sink, struct step_result *result)
{
    const struct pl_str content = member(message, "content");
    struct json_iter it;

    anthropic_read_stop(message, parser);
    if (!content.len || json_type(content) != JSON_ARRAY) {
        bad_answer(parser, "the answer has no content; check that the base URL is Anthropic's API",
                   result);
        return;
    }
    for (json_iter_init(&it, content); json_iter_next(&it);)
        anthropic_take_block(it.value, parser);
    if (sink->delta && parser->text.len && !pl_buf_failed(&parser->text))
        sink->delta(sink->arg, pl_buf_view(&parser->text));
    anthropic_take_answer(parser, result);
}

void anthropic_finish_whole(struct anthropic_parser *parser, const struct llm_sink *sink,
                            struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&parser->body);
    struct pl_err err;
    enum pl_code code;

    if (body.len == 0) {
        pl_err_set(&result->err, PL_ERR_EMPTY_RESPONSE, "the answer has no body");
        return;
    }
    if (parser->mode == ANSWER_OTHER) {
        bad_answer(parser, "the answer is not JSON; check the base URL", result);
        return;
    }
    code = json_check(body, PL_LIMIT_JSON_DEPTH, NULL, &err);
    if (code == PL_ERR_NO_MEMORY) {
        pl_err_set(&result->err, code, "out of memory while an answer was read");
        return;
    }
    if (code != PL_OK) {
        pl_err_prefix(&err, "the answer is not valid JSON");
        bad_answer(parser, err.message, result);
        return;
    }
    if (anthropic_read_error(body, 0, result))
        return;
    if (json_type(body) != JSON_OBJECT) {
        bad_answer(parser, "the answer is no JSON object", result);
        return;
    }
    anthropic_read_usage(body, parser);
    parser->final_usage = parser->has_usage;
    read_message(parser, body, sink, result);
}
