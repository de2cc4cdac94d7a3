/* gemini_stream.c - the events of a streamed Gemini answer. Each has one whole object; there is no
 * end mark but the finishReason of the candidate. An error may come in the middle as JSON lines
 * without `data:`, which an SSE parser would pass over. Not what the objects say
 * (gemini_answer.c). Called by gemini.c. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

enum { SHOWN = 120, BARE_MAX = 64 << 10 };

/* What the callback of the SSE parser needs. */
struct feeding {
    struct gemini_parser *parser;
    const struct llm_sink *sink;
};

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

static void fail(struct gemini_parser *parser, struct pl_str data, const char *why)
{
    const size_t shown = pl_utf8_cut(data.ptr, data.len < SHOWN ? data.len : SHOWN);

    parser->failed = true;
    pl_err_set(&parser->failure.err, PL_ERR_BAD_RESPONSE, "an event of the stream %s: %.*s", why,
               (int)shown, data.ptr);
}

static enum pl_code take_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    const struct feeding *feeding = arg;
    struct gemini_parser *parser = feeding->parser;
    struct pl_err why;
    enum pl_code code;

    if (parser->failed || event->data.len == 0 || pl_str_is(event->data, "[DONE]"))
        return PL_OK; /* proxies add the mark of another API */
    code = json_check(event->data, PL_LIMIT_JSON_DEPTH, NULL, &why);
    if (code == PL_ERR_NO_MEMORY)
        return no_memory(err);
    if (code != PL_OK) {
        /* half an event at the end is a cut stream, not a bad one */
        if (!event->unterminated)
            fail(parser, event->data, "is not valid JSON");
        return PL_OK;
    }
    if (json_type(event->data) == JSON_OBJECT || json_type(event->data) == JSON_ARRAY)
        return gemini_take_object(parser, event->data, feeding->sink, err);
    fail(parser, event->data, "is no JSON object");
    return PL_OK;
}

/* ---- lines without `data:` ---- */

/* The bytes of the piece before a line that begins with a bracket: such a line is no line of an
 * event stream. */
static size_t find_bare(struct gemini_parser *parser, struct pl_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        const char c = piece.ptr[i];

        if (!parser->inside_line && (c == '{' || c == '['))
            return i;
        parser->inside_line = c != '\n' && c != '\r';
    }
    return piece.len;
}

/* Follows one byte of JSON; true when it closes the bracket that was opened first. Brackets in
 * texts do not count. */
static bool closes(struct gemini_brackets *at, char c)
{
    if (at->escaped) {
        at->escaped = false;
    } else if (at->in_text) {
        at->escaped = c == '\\';
        at->in_text = c != '"';
    } else if (c == '"') {
        at->in_text = true;
    } else if (c == '{' || c == '[') {
        at->depth++;
    } else if (c == '}' || c == ']') {
        return --at->depth == 0;
    }
    return false;
}

/* Such JSON is an error, and nothing comes behind it. */
static enum pl_code take_bare(struct gemini_parser *parser, struct pl_str piece, struct pl_err *err)
{
    size_t len = 0;
    bool closed = false;
    struct pl_str text;
    struct pl_err why;

    if (parser->failed)
        return PL_OK;
    while (len < piece.len && parser->body.len + len <= BARE_MAX && !closed)
        closed = closes(&parser->brackets, piece.ptr[len++]);
    pl_buf_append(&parser->body, piece.ptr, len);
    if (pl_buf_failed(&parser->body))
        return no_memory(err);
    text = pl_buf_view(&parser->body);
    if (!closed && text.len <= BARE_MAX)
        return PL_OK; /* there is more to come */
    switch ((int)json_check(text, PL_LIMIT_JSON_DEPTH, NULL, &why)) {
    case PL_OK:
        parser->failed = gemini_read_error(text, 0, PL_ERR_STREAM_ERROR, &parser->failure);
        break;
    case PL_ERR_NO_MEMORY:
        return no_memory(err);
    default:
        break;
    }
    if (!parser->failed)
        fail(parser, text, "came without its field name");
    return PL_OK;
}

enum pl_code gemini_stream_feed(struct gemini_parser *parser, struct pl_str piece,
                                const struct llm_sink *sink, struct pl_err *err)
{
    struct feeding feeding = {.parser = parser, .sink = sink};
    size_t events;
    enum pl_code code;

    if (parser->bare)
        return take_bare(parser, piece, err);
    events = find_bare(parser, piece);
    code = sse_feed(&parser->sse, pl_str_n(piece.ptr, events), take_event, &feeding, err);
    if (code != PL_OK || events == piece.len)
        return code;
    parser->bare = true;
    code = sse_end(&parser->sse, take_event, &feeding, err);
    if (code == PL_OK)
        code = take_bare(parser, pl_str_n(piece.ptr + events, piece.len - events), err);
    return code;
}

enum pl_code gemini_stream_end(struct gemini_parser *parser, const struct llm_sink *sink,
                               struct pl_err *err)
{
    struct feeding feeding = {.parser = parser, .sink = sink};

    return parser->bare ? PL_OK : sse_end(&parser->sse, take_event, &feeding, err);
}
