/* anthropic_stream.c - the events of a streamed answer. A stream is whole when message_stop was
 * there; anything else is a cut one, however good its text looks. Not what blocks say
 * (anthropic_blocks.c) and not whole answers. Called by anthropic.c. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "base/utf8.h"

enum { SHOWN = 120 };

/* What the callback of the SSE parser needs. */
struct feeding {
    struct anthropic_parser *parser;
    const struct llm_sink *sink;
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static void message_start(struct pl_str event, struct anthropic_parser *parser)
{
    anthropic_read_usage(member(event, "message"), parser);
}

/* Its usage is a running total, and the last of them is the answer's. */
static void message_delta(struct pl_str event, struct anthropic_parser *parser)
{
    anthropic_read_stop(member(event, "delta"), parser);
    anthropic_read_usage(event, parser);
    parser->final_usage |= member(event, "usage").len > 0;
}

static void message_stop(struct pl_str event, struct anthropic_parser *parser)
{
    (void)event;
    anthropic_block_stop(parser);
    parser->done = true;
}

static void block_stop(struct pl_str event, struct anthropic_parser *parser)
{
    (void)event;
    anthropic_block_stop(parser);
}

/* Others, `ping` among them, mean nothing here: new ones may come at any time. */
static const struct {
    const char *type;
    void (*take)(struct pl_str event, struct anthropic_parser *parser);
} events[] = {
    {"\"message_start\"", message_start},
    {"\"content_block_start\"", anthropic_block_start},
    {"\"content_block_delta\"", anthropic_block_delta},
    {"\"content_block_stop\"", block_stop},
    {"\"message_delta\"", message_delta},
    {"\"message_stop\"", message_stop},
};

static void take_object(struct pl_str event, struct anthropic_parser *parser)
{
    const struct pl_str type = member(event, "type");

    for (size_t i = 0; i < PL_ARRAY_LEN(events); i++)
        if (pl_str_is(type, events[i].type))
            events[i].take(event, parser);
}

static void bad_event(struct anthropic_parser *parser, struct pl_str data, const char *why)
{
    const size_t shown = pl_utf8_cut(data.ptr, data.len < SHOWN ? data.len : SHOWN);

    parser->failed = true;
    pl_err_set(&parser->failure.err, PL_ERR_BAD_RESPONSE, "an event of the stream %s: %.*s", why,
               (int)shown, data.ptr);
}

static enum pl_code take_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    const struct feeding *feeding = arg;
    struct anthropic_parser *parser = feeding->parser;
    const struct pl_str data = json_trim(event->data);
    const size_t before = parser->text.len;
    enum pl_code code;

    if (parser->done || parser->failed || data.len == 0)
        return PL_OK;
    code = json_check(data, PL_LIMIT_JSON_DEPTH, NULL, NULL);
    if (code == PL_ERR_NO_MEMORY)
        return pl_err_set(err, code, "out of memory while an answer was read");
    if (code != PL_OK) {
        /* half an event at the end is a cut stream, not a bad one; [DONE] comes from gateways */
        if (!event->unterminated && !pl_str_is(data, "[DONE]"))
            bad_event(parser, data, "is not valid JSON");
        return PL_OK;
    }
    if (json_type(data) != JSON_OBJECT) {
        bad_event(parser, data, "is no JSON object");
        return PL_OK;
    }
    if (anthropic_read_error(data, 0, &parser->failure)) {
        parser->failed = true;
        return PL_OK;
    }
    take_object(data, parser);
    code = anthropic_blocks_check(parser, err);
    if (code == PL_OK && parser->text.len > before && feeding->sink->delta)
        feeding->sink->delta(feeding->sink->arg,
                             pl_str_n(parser->text.data + before, parser->text.len - before));
    return code;
}

enum pl_code anthropic_stream_feed(struct anthropic_parser *parser, struct pl_str piece,
                                   const struct llm_sink *sink, struct pl_err *err)
{
    struct feeding feeding = {.parser = parser, .sink = sink};

    return sse_feed(&parser->sse, piece, take_event, &feeding, err);
}

/* Hands the failure over; the parser keeps nothing. */
static void move_failure(struct anthropic_parser *parser, struct step_result *result)
{
    result->err = parser->failure.err;
    result->upstream = parser->failure.upstream;
    result->no_retry = parser->failure.no_retry;
    result->upstream_status = parser->failure.upstream_status;
    parser->failure.upstream = NULL;
}

void anthropic_finish_stream(struct anthropic_parser *parser, const struct llm_sink *sink,
                             struct step_result *result)
{
    struct feeding feeding = {.parser = parser, .sink = sink};

    if (!parser->done && !parser->failed &&
        sse_end(&parser->sse, take_event, &feeding, &result->err) != PL_OK)
        return;
    if (parser->failed)
        move_failure(parser, result);
    else if (!parser->done)
        pl_err_set(&result->err, PL_ERR_TRUNCATED,
                   "the stream ended without message_stop, after %zu bytes of text",
                   parser->text.len);
    else
        anthropic_take_answer(parser, result);
}
