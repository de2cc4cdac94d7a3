/* sse_parse.c - cuts an event stream into lines and lines into events, as the HTML standard says;
 * an event without its empty line at the end is given out all the same, since some servers forget
 * it. Not the meaning of events. Called by the streaming providers. */
#include "service/llm/sse_parse.h"

#include "base/limits.h"

enum { PAST_BOM = 4 };

static const char bom[3] = {'\xEF', '\xBB', '\xBF'};

void sse_init(struct sse_parser *parser)
{
    *parser = (struct sse_parser){0};
    pl_buf_init(&parser->line, PL_LIMIT_SSE_LINE_BYTES);
    pl_buf_init(&parser->name, PL_LIMIT_SSE_LINE_BYTES);
    pl_buf_init(&parser->data, PL_LIMIT_RESPONSE_BYTES);
    pl_buf_init(&parser->id, PL_LIMIT_SSE_LINE_BYTES);
}

void sse_finish(struct sse_parser *parser)
{
    pl_buf_finish(&parser->line);
    pl_buf_finish(&parser->name);
    pl_buf_finish(&parser->data);
    pl_buf_finish(&parser->id);
}

static enum pl_code check_buf(const struct pl_buf *buf, struct pl_err *err)
{
    if (!pl_buf_failed(buf))
        return PL_OK;
    if (!buf->too_large)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an event stream was read");
    return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                      "a piece of the event stream is larger than %zu bytes", buf->max);
}

static enum pl_code dispatch(struct sse_parser *parser, bool unterminated, sse_event_fn event,
                             void *arg, struct pl_err *err)
{
    const struct sse_event out = {.name = pl_buf_view(&parser->name),
                                  .data = pl_buf_view(&parser->data),
                                  .id = pl_buf_view(&parser->id),
                                  .unterminated = unterminated};
    enum pl_code code = PL_OK;

    if (parser->has_data)
        code = event(arg, &out, err);
    parser->has_data = false;
    pl_buf_reset(&parser->name);
    pl_buf_reset(&parser->data);
    return code;
}

static enum pl_code take_field(struct sse_parser *parser, struct pl_str name, struct pl_str value,
                               struct pl_err *err)
{
    if (pl_str_is(name, "data")) {
        if (parser->has_data)
            pl_buf_char(&parser->data, '\n');
        parser->has_data = true;
        pl_buf_str(&parser->data, value);
        return check_buf(&parser->data, err);
    }
    if (pl_str_is(name, "event")) {
        pl_buf_reset(&parser->name);
        pl_buf_str(&parser->name, value);
        return check_buf(&parser->name, err);
    }
    if (pl_str_is(name, "id") && !(value.len && memchr(value.ptr, 0, value.len))) {
        pl_buf_reset(&parser->id);
        pl_buf_str(&parser->id, value);
        return check_buf(&parser->id, err);
    }
    return PL_OK;
}

static enum pl_code take_line(struct sse_parser *parser, struct pl_str line, sse_event_fn event,
                              void *arg, struct pl_err *err)
{
    const char *colon;
    struct pl_str name = line, value = {0};

    if (line.len == 0)
        return dispatch(parser, false, event, arg, err);
    colon = memchr(line.ptr, ':', line.len);
    if (colon == line.ptr)
        return PL_OK; /* a comment */
    if (colon) {
        name.len = (size_t)(colon - line.ptr);
        value = pl_str_n(colon + 1, line.len - name.len - 1);
        if (value.len && value.ptr[0] == ' ') {
            value.ptr++;
            value.len--;
        }
    }
    return take_field(parser, name, value, err);
}

/* Leaves out a byte order mark at the stream's start, whose bytes may come one by one. Bytes that
 * only looked like one go into the line. */
static void skip_bom(struct sse_parser *parser, struct pl_str *piece)
{
    while (parser->bom < PAST_BOM && piece->len) {
        if (parser->bom < sizeof(bom) && piece->ptr[0] == bom[parser->bom]) {
            parser->bom++;
            piece->ptr++;
            piece->len--;
            if (parser->bom == sizeof(bom))
                parser->bom = PAST_BOM;
            continue;
        }
        pl_buf_append(&parser->line, bom, parser->bom);
        parser->bom = PAST_BOM;
    }
}

/* The first CR or LF, NULL when there is none. */
static const char *line_end(struct pl_str text)
{
    const char *lf = memchr(text.ptr, '\n', text.len);
    const char *cr = memchr(text.ptr, '\r', lf ? (size_t)(lf - text.ptr) : text.len);

    return cr ? cr : lf;
}

enum pl_code sse_feed(struct sse_parser *parser, struct pl_str piece, sse_event_fn event, void *arg,
                      struct pl_err *err)
{
    enum pl_code code;

    skip_bom(parser, &piece);
    while (piece.len) {
        const char *end;
        struct pl_str line;

        if (parser->skip_lf && piece.ptr[0] == '\n') {
            parser->skip_lf = false;
            piece.ptr++;
            piece.len--;
            continue;
        }
        parser->skip_lf = false;
        end = line_end(piece);
        if (!end) {
            pl_buf_str(&parser->line, piece);
            return check_buf(&parser->line, err);
        }
        line = pl_str_n(piece.ptr, (size_t)(end - piece.ptr));
        if (parser->line.len) { /* its beginning came in an earlier piece */
            pl_buf_str(&parser->line, line);
            line = pl_buf_view(&parser->line);
        }
        code = check_buf(&parser->line, err);
        if (code == PL_OK && line.len > PL_LIMIT_SSE_LINE_BYTES)
            code = pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                              "a line of the event stream is larger than %d bytes",
                              PL_LIMIT_SSE_LINE_BYTES);
        if (code == PL_OK)
            code = take_line(parser, line, event, arg, err);
        if (code != PL_OK)
            return code;
        pl_buf_reset(&parser->line);
        parser->skip_lf = *end == '\r';
        piece = pl_str_n(end + 1, piece.len - (size_t)(end + 1 - piece.ptr));
    }
    return PL_OK;
}

enum pl_code sse_end(struct sse_parser *parser, sse_event_fn event, void *arg, struct pl_err *err)
{
    enum pl_code code;

    if (parser->bom < PAST_BOM)
        pl_buf_append(&parser->line, bom, parser->bom);
    parser->bom = PAST_BOM;
    code = check_buf(&parser->line, err);
    if (code == PL_OK && parser->line.len)
        code = take_line(parser, pl_buf_view(&parser->line), event, arg, err);
    if (code == PL_OK)
        code = dispatch(parser, true, event, arg, err);
    pl_buf_reset(&parser->line);
    return code;
}
