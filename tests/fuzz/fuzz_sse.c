/* fuzz_sse.c - event streams of any bytes, whole and cut in two places: the same events must come
 * out. The first two bytes say where it is cut. */
#include "service/llm/sse_parse.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static enum pl_code write_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    struct pl_buf *out = arg;

    (void)err;
    pl_buf_printf(out, "%d:%zu:%zu:%zu:", event->unterminated, event->name.len, event->id.len,
                  event->data.len);
    pl_buf_str(out, event->name);
    pl_buf_str(out, event->id);
    pl_buf_str(out, event->data);
    return PL_OK;
}

static enum pl_code parse(struct pl_str stream, size_t a, size_t b, struct pl_buf *out)
{
    struct sse_parser parser;
    enum pl_code code;

    sse_init(&parser);
    code = sse_feed(&parser, pl_str_n(stream.ptr, a), write_event, out, NULL);
    if (code == PL_OK)
        code = sse_feed(&parser, pl_str_n(stream.ptr + a, b - a), write_event, out, NULL);
    if (code == PL_OK)
        code = sse_feed(&parser, pl_str_n(stream.ptr + b, stream.len - b), write_event, out, NULL);
    if (code == PL_OK)
        code = sse_end(&parser, write_event, out, NULL);
    sse_finish(&parser);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pl_buf whole, cut;
    struct pl_str stream;
    size_t a, b;

    if (size < 2 || size > 65536)
        return 0;
    stream = pl_str_n((const char *)data + 2, size - 2);
    a = stream.len ? data[0] % (stream.len + 1) : 0;
    b = a + (stream.len - a ? data[1] % (stream.len - a + 1) : 0);
    pl_buf_init(&whole, (size_t)64 << 20);
    pl_buf_init(&cut, (size_t)64 << 20);
    must(parse(stream, stream.len, stream.len, &whole) == PL_OK);
    must(parse(stream, a, b, &cut) == PL_OK);
    must(pl_str_eq(pl_buf_view(&whole), pl_buf_view(&cut)));
    pl_buf_finish(&whole);
    pl_buf_finish(&cut);
    return 0;
}
