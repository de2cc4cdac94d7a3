/* openai_answer.c - what the JSON objects of OpenAI-compatible servers say: whole answers, errors
 * in their several shapes, usage. Not requests and not events. Called by openai.c and
 * openai_stream.c. */
#include "service/llm/openai.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/llm/llm_delay.h"
#include "service/llm/llm_errors.h"
#include "service/llm/llm_usage.h"

enum { SHOWN = 120, WORD_MAX = 200, ERROR_TEXT_MAX = 64 << 10 };

/* ---- usage ---- */

static int64_t count_of(struct pl_str value)
{
    int64_t number = 0;

    (void)llm_usage_tokens(value, &number);
    return number;
}

static void read_details(struct pl_str input, struct pl_str output, struct store_usage *usage)
{
    struct json_wanted in[] = {{.key = PL_STR("cached_tokens")},
                               {.key = PL_STR("cache_write_tokens")}};
    struct json_wanted out[] = {{.key = PL_STR("reasoning_tokens")}};

    if (input.len) {
        json_pick(input, in, PL_ARRAY_LEN(in));
        usage->cached_input_tokens = count_of(in[0].value);
        usage->cache_write_input_tokens = count_of(in[1].value);
    }
    if (output.len) {
        json_pick(output, out, PL_ARRAY_LEN(out));
        usage->reasoning_tokens = count_of(out[0].value);
    }
}

void openai_read_usage(struct pl_str usage, struct pl_str x_groq, struct openai_parser *parser)
{
    enum { INPUT, OUTPUT, COST, INPUT_DETAILS, OUTPUT_DETAILS };
    struct json_wanted members[] = {
        [INPUT] = {.key = PL_STR("prompt_tokens")},
        [OUTPUT] = {.key = PL_STR("completion_tokens")},
        [COST] = {.key = PL_STR("cost")},
        [INPUT_DETAILS] = {.key = PL_STR("prompt_tokens_details")},
        [OUTPUT_DETAILS] = {.key = PL_STR("completion_tokens_details")},
    };

    /* Groq puts it elsewhere in the last event of a stream */
    if (json_type(usage) != JSON_OBJECT &&
        (!json_get(x_groq, PL_STR("usage"), &usage) || json_type(usage) != JSON_OBJECT))
        return;
    json_pick(usage, members, PL_ARRAY_LEN(members));
    parser->has_usage = true;
    parser->usage.input_tokens = count_of(members[INPUT].value);
    parser->usage.output_tokens = count_of(members[OUTPUT].value);
    /* OpenRouter says what it charged */
    (void)llm_usage_charge(members[COST].value, &parser->usage.cost_usd);
    read_details(members[INPUT_DETAILS].value, members[OUTPUT_DETAILS].value, &parser->usage);
}

/* ---- errors ---- */

static void take_word(struct pl_str object, const char *key, struct pl_buf *out)
{
    struct pl_str value;

    if (json_get(object, pl_str(key), &value) && json_type(value) == JSON_STRING)
        json_decode_string(value, out);
}

/* A code that is a number like a status (OpenRouter, vLLM), or a text with one (Azure); else 0. */
static int code_as_status(struct pl_str error)
{
    struct pl_str code;
    int64_t number;

    if (!json_get(error, PL_STR("code"), &code))
        return 0;
    if (json_type(code) == JSON_STRING && code.len == 5)
        code = pl_str_n(code.ptr + 1, 3);
    return json_type(code) == JSON_NUMBER && json_int(code, &number) && number >= 300 &&
                   number < 600
               ? (int)number
               : 0;
}

/* OpenRouter's metadata: what the provider behind it said; that an input was refused, for which it
 * has no word. */
static void take_metadata(struct pl_str error, struct pl_buf *code, struct pl_buf *message)
{
    struct pl_str metadata, value;

    if (!json_get(error, PL_STR("metadata"), &metadata))
        return;
    if (!code->len && json_get(metadata, PL_STR("flagged_input"), &value))
        pl_buf_text(code, "content_filter");
    if (json_get(metadata, PL_STR("raw"), &value) && json_type(value) == JSON_STRING) {
        pl_buf_text(message, message->len ? ": " : "");
        json_decode_string(value, message);
    }
}

/* {"message", "type", "code"}: code is a word, or a number like a status. */
static void fault_of_object(struct pl_str error, int status, enum pl_code fallback,
                            struct step_result *result)
{
    struct pl_buf code, type, message;
    struct llm_fault fault = {.status = status};

    pl_buf_init(&code, WORD_MAX);
    pl_buf_init(&type, WORD_MAX);
    pl_buf_init(&message, ERROR_TEXT_MAX);
    if (!status)
        fault.status = code_as_status(error);
    take_word(error, "code", &code);
    take_word(error, "type", &type);
    if (json_type(error) == JSON_STRING)
        json_decode_string(error, &message);
    else
        take_word(error, "message", &message);
    take_metadata(error, &code, &message);
    fault.code = pl_buf_view(&code);
    fault.type = pl_buf_view(&type);
    fault.message = pl_buf_view(&message);
    llm_fault_result(&fault, fallback, result);
    if (result->err.code == PL_ERR_RATE_LIMITED) /* the headers, where they say it, win */
        result->retry_after = llm_delay_of_message(fault.message);
    pl_buf_finish(&code);
    pl_buf_finish(&type);
    pl_buf_finish(&message);
}

bool openai_read_error(struct pl_str object, int status, enum pl_code fallback,
                       struct step_result *result)
{
    struct json_wanted members[] = {{.key = PL_STR("error")}, {.key = PL_STR("object")}};
    struct pl_str first;

    if (json_type(object) == JSON_ARRAY && json_at(object, 0, &first))
        object = first; /* [{"error": ...}] */
    json_pick(object, members, PL_ARRAY_LEN(members));
    if (members[0].value.len && json_truthy(members[0].value)) {
        fault_of_object(members[0].value, status, fallback, result);
        return true;
    }
    /* vLLM of old: {"object": "error", "message", "type", "code"} */
    if (pl_str_is(members[1].value, "\"error\"")) {
        fault_of_object(object, status, fallback, result);
        return true;
    }
    return false;
}

/* ---- whole answers ---- */

enum openai_finish openai_read_finish(struct pl_str word)
{
    if (json_type(word) != JSON_STRING)
        return OPENAI_FINISH_NONE;
    if (pl_str_is(word, "\"length\"") || pl_str_is(word, "\"model_length\"")) /* Mistral */
        return OPENAI_FINISH_LENGTH;
    if (pl_str_is(word, "\"content_filter\""))
        return OPENAI_FINISH_FILTER;
    if (pl_str_is(word, "\"tool_calls\"") || pl_str_is(word, "\"function_call\""))
        return OPENAI_FINISH_TOOLS;
    return OPENAI_FINISH_STOP;
}

const char *openai_finish_text(enum openai_finish finish)
{
    static const char *const texts[] = {
        [OPENAI_FINISH_NONE] = "",
        [OPENAI_FINISH_STOP] = "stop",
        [OPENAI_FINISH_LENGTH] = "length",
        [OPENAI_FINISH_FILTER] = "content_filter",
        [OPENAI_FINISH_TOOLS] = "tool_calls",
    };

    return texts[finish];
}

bool openai_is_content(struct pl_str content)
{
    const enum json_type type = json_type(content);

    return type == JSON_STRING || type == JSON_ARRAY || type == JSON_NULL;
}

void openai_read_content(struct pl_str content, struct pl_buf *out)
{
    struct json_iter it;
    struct pl_str text;

    if (json_type(content) == JSON_STRING) {
        json_decode_string(content, out);
        return;
    }
    if (json_type(content) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        if (json_get(it.value, PL_STR("text"), &text) && json_type(text) == JSON_STRING)
            json_decode_string(text, out);
    }
}

/* Did the step itself ask for an end at some length? */
static bool length_was_asked(const struct llm_request *request)
{
    struct pl_str value;

    return request->max_tokens > 0 ||
           (request->extra.len &&
            (json_get(request->extra, PL_STR("max_tokens"), &value) ||
             json_get(request->extra, PL_STR("max_completion_tokens"), &value)));
}

bool openai_answer_stands(const struct openai_parser *parser, struct pl_str refusal, bool empty,
                          struct step_result *result)
{
    struct pl_err *err = &result->err;

    if (refusal.len) {
        size_t shown = pl_utf8_cut(refusal.ptr, refusal.len < SHOWN ? refusal.len : SHOWN);

        pl_err_set(err, PL_ERR_REFUSED, "the model refused: %.*s", (int)shown, refusal.ptr);
        result->upstream = pl_value_string(refusal);
    } else if (parser->finish == OPENAI_FINISH_FILTER) {
        pl_err_set(err, PL_ERR_CONTENT_FILTERED, "the provider filtered the answer");
    } else if (empty && !parser->calls.count && parser->finish == OPENAI_FINISH_LENGTH) {
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the model used up its tokens before it said anything; raise max_tokens");
    } else if (parser->finish == OPENAI_FINISH_LENGTH &&
               (parser->request->schema || parser->calls.count)) {
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at its length limit, so its JSON is not whole; raise "
                   "max_tokens");
    } else if (tool_calls_check(&parser->calls, err) != PL_OK) {
        return false;
    } else if (empty && !parser->calls.count) {
        pl_err_set(err, PL_ERR_EMPTY_RESPONSE, "the answer has no text%s",
                   parser->finish == OPENAI_FINISH_TOOLS ? ", it asks to call tools" : "");
    } else if (parser->finish == OPENAI_FINISH_LENGTH && !length_was_asked(parser->request)) {
        pl_err_set(err, PL_ERR_OUTPUT_TRUNCATED,
                   "the answer was cut at the model's length limit; set max_tokens to accept that");
    } else {
        return true;
    }
    return false;
}

static void bad_answer(const struct openai_parser *parser, const char *why,
                       struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&parser->body);
    size_t shown = body.len < SHOWN ? body.len : SHOWN;

    shown = pl_utf8_cut(body.ptr, shown);
    pl_err_set(&result->err, PL_ERR_BAD_RESPONSE, "%s; it begins: %.*s", why, (int)shown, body.ptr);
}

void openai_take_text(const struct openai_parser *parser, struct pl_str text,
                      struct step_result *result)
{
    struct pl_buf token, turn;

    if (!parser->request->tools.len) {
        result->output = pl_value_string(text);
    } else {
        pl_buf_init(&token, PL_LIMIT_STREAM_BYTES);
        pl_buf_init(&turn, PL_LIMIT_STREAM_BYTES);
        if (text.len)
            json_write_string(&token, text);
        tool_calls_write(&parser->calls, pl_buf_view(&token), parser->request->identity, &turn);
        if (!pl_buf_failed(&token))
            result->output = pl_value_take(&turn);
        pl_buf_finish(&token);
        pl_buf_finish(&turn);
    }
    if (!result->output)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

/* Takes the text of a message into the result. A string token is JSON already: it goes through as
 * it came. */
static void take_content(const struct openai_parser *parser, struct pl_str content,
                         const struct llm_sink *sink, struct step_result *result)
{
    const bool as_it_came = json_type(content) == JSON_STRING && !parser->request->tools.len;
    struct pl_buf text;

    pl_buf_init(&text, PL_LIMIT_STREAM_BYTES);
    if (!as_it_came || sink->delta)
        openai_read_content(content, &text);
    if (sink->delta && text.len && !pl_buf_failed(&text))
        sink->delta(sink->arg, pl_buf_view(&text));
    if (as_it_came)
        result->output = pl_value_new(content);
    else if (!pl_buf_failed(&text))
        openai_take_text(parser, pl_buf_view(&text), result);
    pl_buf_finish(&text);
    if (!result->output && result->err.code == PL_OK)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

static bool is_empty(struct pl_str content)
{
    struct pl_buf text;
    bool empty;

    if (json_type(content) == JSON_STRING)
        return content.len <= 2;
    pl_buf_init(&text, PL_LIMIT_STREAM_BYTES);
    openai_read_content(content, &text);
    empty = text.len == 0 && !pl_buf_failed(&text);
    pl_buf_finish(&text);
    return empty;
}

static void read_choice(struct openai_parser *parser, struct pl_str choice,
                        const struct llm_sink *sink, struct step_result *result)
{
    enum { FINISH, MESSAGE };
    struct json_wanted members[] = {
        [FINISH] = {.key = PL_STR("finish_reason")}, [MESSAGE] = {.key = PL_STR("message")}};
    struct pl_str content = PL_STR("null"), message;
    struct pl_buf refusal;

    json_pick(choice, members, PL_ARRAY_LEN(members));
    if (members[FINISH].value.len)
        parser->finish = openai_read_finish(members[FINISH].value);
    if (openai_read_error(choice, 0, PL_ERR_PROVIDER_ERROR, result))
        return;
    if (pl_str_is(members[FINISH].value, "\"error\"")) {
        pl_err_set(&result->err, PL_ERR_PROVIDER_ERROR,
                   "the answer ended with finish_reason error");
        return;
    }
    message = members[MESSAGE].value;
    if (json_type(message) != JSON_OBJECT) {
        bad_answer(parser, "the answer's first choice has no message", result);
        return;
    }
    (void)json_get(message, PL_STR("content"), &content);
    if (!openai_is_content(content)) {
        bad_answer(parser, "the answer has a content that is no text", result);
        return;
    }
    openai_read_calls(message, false, parser);
    pl_buf_init(&refusal, PL_LIMIT_RESPONSE_BYTES);
    take_word(message, "refusal", &refusal);
    if (content.len > parser->text.max)
        pl_err_set(&result->err, PL_ERR_RESPONSE_TOO_LARGE,
                   "the answer's text is larger than %zu bytes", parser->text.max);
    else if (openai_answer_stands(parser, pl_buf_view(&refusal), is_empty(content), result))
        take_content(parser, content, sink, result);
    pl_buf_finish(&refusal);
}

void openai_finish_whole(struct openai_parser *parser, const struct llm_sink *sink,
                         struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&parser->body);
    enum { USAGE, X_GROQ, CHOICES };
    struct json_wanted members[] = {[USAGE] = {.key = PL_STR("usage")},
                                    [X_GROQ] = {.key = PL_STR("x_groq")},
                                    [CHOICES] = {.key = PL_STR("choices")}};
    struct pl_str choice;
    struct pl_err err;

    if (body.len == 0) {
        pl_err_set(&result->err, PL_ERR_EMPTY_RESPONSE, "the answer has no body");
        return;
    }
    if (parser->mode == ANSWER_OTHER) {
        bad_answer(parser, "the answer is not JSON; check the base URL", result);
        return;
    }
    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, &err) != PL_OK) {
        pl_err_prefix(&err, "the answer is not valid JSON");
        bad_answer(parser, err.message, result);
        return;
    }
    json_pick(body, members, PL_ARRAY_LEN(members));
    openai_read_usage(members[USAGE].value, members[X_GROQ].value, parser);
    if (openai_read_error(body, 0, PL_ERR_STREAM_ERROR, result))
        return;
    if (json_type(members[CHOICES].value) != JSON_ARRAY ||
        !json_at(members[CHOICES].value, 0, &choice))
        bad_answer(parser, "the answer has no choices", result);
    else
        read_choice(parser, choice, sink, result);
}
