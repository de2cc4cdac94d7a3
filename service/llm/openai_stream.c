/* openai_stream.c - the events of a streamed answer. A stream is whole when [DONE] was there, or
 * when the choice has a finish_reason and the connection ended cleanly; anything else is a cut one,
 * however good its text looks. Not whole answers. Called by openai.c. */
#include "service/llm/openai.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

enum { SHOWN = 120 };

/* What the callback of the SSE parser needs. */
struct feeding {
    struct openai_parser *parser;
    const struct llm_sink *sink;
};

static enum pl_code check_text(const struct pl_buf *text, struct pl_err *err)
{
    if (!pl_buf_failed(text))
        return PL_OK;
    if (!text->too_large)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer's text is larger than %zu bytes",
                      text->max);
}

static enum pl_code take_delta(const struct feeding *feeding, struct pl_str delta,
                               struct pl_err *err)
{
    struct openai_parser *parser = feeding->parser;
    const size_t before = parser->text.len;
    struct pl_str value;
    enum pl_code code;

    if (json_get(delta, PL_STR("content"), &value)) {
        if (!openai_is_content(value))
            return pl_err_set(err, PL_ERR_BAD_RESPONSE,
                              "an event of the stream has a content that is no text");
        openai_read_content(value, &parser->text);
    }
    if (json_get(delta, PL_STR("refusal"), &value) && json_type(value) == JSON_STRING)
        json_decode_string(value, &parser->refusal);
    openai_read_calls(delta, true, parser);
    code = check_text(&parser->text, err);
    if (code == PL_OK)
        code = check_text(&parser->refusal, err);
    if (code == PL_OK && parser->text.len > before && feeding->sink->delta)
        feeding->sink->delta(feeding->sink->arg,
                             pl_str_n(parser->text.data + before, parser->text.len - before));
    return code;
}

/* Only the first choice counts; a choice without an index is the first. */
static enum pl_code take_choices(const struct feeding *feeding, struct pl_str choices,
                                 struct pl_err *err)
{
    enum { INDEX, DELTA, FINISH };
    struct json_iter it;
    struct pl_str finish;

    for (json_iter_init(&it, choices); json_iter_next(&it);) {
        struct json_wanted members[] = {[INDEX] = {.key = PL_STR("index")},
                                        [DELTA] = {.key = PL_STR("delta")},
                                        [FINISH] = {.key = PL_STR("finish_reason")}};
        enum pl_code code = PL_OK;

        json_pick(it.value, members, PL_ARRAY_LEN(members));
        if (members[INDEX].value.len && !pl_str_is(members[INDEX].value, "0") &&
            json_type(members[INDEX].value) == JSON_NUMBER)
            continue;
        if (members[DELTA].value.len)
            code = take_delta(feeding, members[DELTA].value, err);
        if (code != PL_OK)
            return code;
        finish = members[FINISH].value;
        if (finish.len && json_type(finish) == JSON_STRING) {
            feeding->parser->finish = openai_read_finish(finish);
            if (pl_str_is(finish, "\"error\"")) {
                feeding->parser->failed = true;
                if (!openai_read_error(it.value, 0, PL_ERR_STREAM_ERROR, &feeding->parser->failure))
                    pl_err_set(&feeding->parser->failure.err, PL_ERR_STREAM_ERROR,
                               "the stream ended with finish_reason error");
            }
        }
    }
    return PL_OK;
}

static void bad_event(struct openai_parser *parser, struct pl_str data, const char *why)
{
    const size_t shown = pl_utf8_cut(data.ptr, data.len < SHOWN ? data.len : SHOWN);

    parser->failed = true;
    pl_err_set(&parser->failure.err, PL_ERR_BAD_RESPONSE, "an event of the stream %s: %.*s", why,
               (int)shown, data.ptr);
}

static struct pl_str trim(struct pl_str text)
{
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\n'))
        text.len--;
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\n')) {
        text.ptr++;
        text.len--;
    }
    return text;
}

static enum pl_code take_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    const struct feeding *feeding = arg;
    struct openai_parser *parser = feeding->parser;
    const struct pl_str data = trim(event->data);
    enum { USAGE, X_GROQ, CHOICES };
    struct json_wanted members[] = {[USAGE] = {.key = PL_STR("usage")},
                                    [X_GROQ] = {.key = PL_STR("x_groq")},
                                    [CHOICES] = {.key = PL_STR("choices")}};
    struct pl_err why;

    if (parser->done || parser->failed || data.len == 0)
        return PL_OK;
    if (pl_str_is(data, "[DONE]")) {
        parser->done = true;
        return PL_OK;
    }
    if (json_check(data, PL_LIMIT_JSON_DEPTH, NULL, &why) != PL_OK) {
        /* half an event at the end is a cut stream, not a bad one */
        if (!event->unterminated)
            bad_event(parser, data, "is not valid JSON");
        return PL_OK;
    }
    if (openai_read_error(data, 0, PL_ERR_STREAM_ERROR, &parser->failure) ||
        (pl_str_is(event->name, "error") && json_type(data) == JSON_OBJECT)) {
        parser->failed = true;
        if (parser->failure.err.code == PL_OK)
            pl_err_set(&parser->failure.err, PL_ERR_STREAM_ERROR, "the stream reported an error");
        return PL_OK;
    }
    json_pick(data, members, PL_ARRAY_LEN(members));
    openai_read_usage(members[USAGE].value, members[X_GROQ].value, parser);
    if (json_type(data) != JSON_OBJECT)
        bad_event(parser, data, "is no JSON object");
    else if (members[CHOICES].value.len)
        return take_choices(feeding, members[CHOICES].value, err);
    return PL_OK;
}

enum pl_code openai_stream_feed(struct openai_parser *parser, struct pl_str piece,
                                const struct llm_sink *sink, struct pl_err *err)
{
    struct feeding feeding = {.parser = parser, .sink = sink};

    return sse_feed(&parser->sse, piece, take_event, &feeding, err);
}

/* Hands the failure over; the parser keeps nothing. */
static void move_failure(struct openai_parser *parser, struct step_result *result)
{
    result->err = parser->failure.err;
    result->upstream = parser->failure.upstream;
    result->no_retry = parser->failure.no_retry;
    result->retry_after = parser->failure.retry_after;
    result->upstream_status = parser->failure.upstream_status;
    parser->failure.upstream = NULL;
}

void openai_finish_stream(struct openai_parser *parser, const struct llm_sink *sink,
                          struct step_result *result)
{
    struct feeding feeding = {.parser = parser, .sink = sink};

    if (!parser->done && !parser->failed &&
        sse_end(&parser->sse, take_event, &feeding, &result->err) != PL_OK)
        return;
    if (parser->failed) {
        move_failure(parser, result);
    } else if (!parser->done && parser->finish == OPENAI_FINISH_NONE) {
        pl_err_set(&result->err, PL_ERR_TRUNCATED,
                   "the stream ended without its end marker, after %zu bytes of text",
                   parser->text.len);
    } else if (openai_answer_stands(parser, pl_buf_view(&parser->refusal), parser->text.len == 0,
                                    result)) {
        openai_take_text(parser, pl_buf_view(&parser->text), result);
    }
}
