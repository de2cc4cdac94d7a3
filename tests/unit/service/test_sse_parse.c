/* test_sse_parse.c - event streams: what counts as a line and an event, cut at every byte, and what
 * is too large. Run by ctest. */
#include "base/limits.h"
#include "service/llm/sse_parse.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

/* Events as text: name|id|data; a ~ before one that was not terminated. LF shows as /. */
static enum pl_code write_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    struct pl_buf *out = arg;

    (void)err;
    pl_buf_text(out, event->unterminated ? "~" : "");
    pl_buf_str(out, event->name);
    pl_buf_char(out, '|');
    pl_buf_str(out, event->id);
    pl_buf_char(out, '|');
    for (size_t i = 0; i < event->data.len; i++)
        pl_buf_char(out, event->data.ptr[i] == '\n' ? '/' : event->data.ptr[i]);
    pl_buf_char(out, ';');
    return PL_OK;
}

/* The stream in pieces that end at `cuts`. */
static void parse(struct pl_str stream, const size_t *cuts, size_t n_cuts, struct pl_buf *out)
{
    struct sse_parser parser;
    size_t start = 0;

    sse_init(&parser);
    pl_buf_reset(out);
    for (size_t i = 0; i <= n_cuts; i++) {
        const size_t end = i < n_cuts ? cuts[i] : stream.len;
        /* a copy of its own, so that reading past a piece shows */
        char *piece = malloc(end - start + 1);

        ck_assert_ptr_nonnull(piece);
        memcpy(piece, stream.ptr + start, end - start);
        ck_assert_int_eq(sse_feed(&parser, pl_str_n(piece, end - start), write_event, out, NULL),
                         PL_OK);
        free(piece);
        start = end;
    }
    ck_assert_int_eq(sse_end(&parser, write_event, out, NULL), PL_OK);
    sse_finish(&parser);
}

static const struct {
    const char *stream, *events;
} cases[] = {
    {"data: a\n\n", "||a;"},
    {"data: a\r\n\r\n", "||a;"},
    {"data: a\r\r", "||a;"},
    {"data: a\r\n\r\ndata: b\r\r\n", "||a;||b;"},
    {"data: a\n\rdata: b\r\n\n", "||a;||b;"},
    {"data:a\n\n", "||a;"},
    {"data:  a\n\n", "|| a;"},
    {"data\n\n", "||;"},
    {"data:\n\n", "||;"},
    {"data: a\ndata: b\ndata:\ndata: c\n\n", "||a/b//c;"},
    {"event: ping\ndata: {}\n\n", "ping||{};"},
    {"event: a\nevent: b\ndata: x\n\ndata: y\n\n", "b||x;||y;"},
    {"event: nothing\n\ndata: x\n\n", "||x;"},
    {"id: 7\ndata: x\n\ndata: y\n\n", "|7|x;|7|y;"},
    {"id: 7\ndata: x\n\nid\ndata: y\n\n", "|7|x;||y;"},
    {": a comment\n:\n: OPENROUTER PROCESSING\n\ndata: x\n\n", "||x;"},
    {"retry: 100\nfoo: bar\nfoo\n data: no\ndata: x\n\n", "||x;"},
    {"data: a:b: c\n\n", "||a:b: c;"},
    {"\n\n\r\n\rdata: x\n\n\n\n", "||x;"},
    {"\xEF\xBB\xBF"
     "data: x\n\n",
     "||x;"},
    {"\xEF\xBB\xBF\xEF\xBB\xBF"
     "data: x\n\ndata: y\n\n",
     "||y;"},
    {"data: \xEF\xBB\xBF\n\n", "||\xEF\xBB\xBF;"},
    {"\xEF\xBB"
     "data: x\n\ndata: y\n\n",
     "||y;"},
    {"data: \xE2\x82\xAC \xF0\x9F\x98\x80\n\n", "||\xE2\x82\xAC \xF0\x9F\x98\x80;"},
    {"data: x", "~||x;"},
    {"data: x\n", "~||x;"},
    {"data: x\r", "~||x;"},
    {"data: x\n\ndata: y\nid: 3", "||x;~|3|y;"},
    {"data: x\n\nevent: e", "||x;"},
    {"", ""},
    {"\xEF\xBB", ""},
};

START_TEST(a_stream_gives_its_events_wherever_it_is_cut)
{
    const struct pl_str stream = pl_str(cases[_i].stream);
    size_t every[256];
    struct pl_buf out;

    pl_buf_init(&out, 65536);
    parse(stream, NULL, 0, &out);
    ck_assert_str_eq(test_text(&out), cases[_i].events);
    for (size_t a = 0; a <= stream.len; a++) {
        parse(stream, &a, 1, &out);
        ck_assert_msg(strcmp(test_text(&out), cases[_i].events) == 0, "cut at %zu: %s", a,
                      test_text(&out));
        for (size_t b = a; b <= stream.len; b++) {
            parse(stream, (size_t[]){a, b}, 2, &out);
            ck_assert_msg(strcmp(test_text(&out), cases[_i].events) == 0, "cut at %zu, %zu: %s", a,
                          b, test_text(&out));
        }
    }
    for (size_t i = 0; i < stream.len; i++)
        every[i] = i;
    parse(stream, every, stream.len, &out);
    ck_assert_str_eq(test_text(&out), cases[_i].events);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(an_id_with_a_nul_is_ignored)
{
    static const char stream[] = "id: a\ndata: x\n\nid: b\0c\ndata: y\n\n";
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    parse(pl_str_n(stream, sizeof(stream) - 1), NULL, 0, &out);
    ck_assert_str_eq(test_text(&out), "|a|x;|a|y;");
    pl_buf_finish(&out);
}
END_TEST

/* Feeds `count` times the same piece; what it came to. */
static enum pl_code feed_many(const char *piece, size_t len, size_t count, struct pl_err *err)
{
    struct sse_parser parser;
    struct pl_buf out;
    enum pl_code code = PL_OK;

    sse_init(&parser);
    pl_buf_init(&out, 1024);
    for (size_t i = 0; i < count && code == PL_OK; i++)
        code = sse_feed(&parser, pl_str_n(piece, len), write_event, &out, err);
    pl_buf_finish(&out);
    sse_finish(&parser);
    return code;
}

START_TEST(a_line_over_the_limit_is_refused_in_one_piece_or_many)
{
    char *line = test_repeat("x", PL_LIMIT_SSE_LINE_BYTES + 2);
    struct pl_err err;

    ck_assert_int_eq(feed_many("xxxxxxxx", 8, PL_LIMIT_SSE_LINE_BYTES / 8, &err), PL_OK);
    ck_assert_int_eq(feed_many("xxxxxxxx", 8, PL_LIMIT_SSE_LINE_BYTES / 8 + 1, &err),
                     PL_ERR_RESPONSE_TOO_LARGE);
    line[PL_LIMIT_SSE_LINE_BYTES + 1] = '\n';
    ck_assert_int_eq(feed_many(line, PL_LIMIT_SSE_LINE_BYTES + 2, 1, &err),
                     PL_ERR_RESPONSE_TOO_LARGE);
    free(line);
}
END_TEST

START_TEST(an_event_of_many_lines_over_the_limit_is_refused)
{
    struct pl_err err;
    char *line = test_repeat("data: y", 10000);

    line[69999] = '\n';
    ck_assert_int_eq(feed_many(line, 70000, PL_LIMIT_RESPONSE_BYTES / 70000 + 2, &err),
                     PL_ERR_RESPONSE_TOO_LARGE);
    free(line);
}
END_TEST

static enum pl_code refuse_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    (void)event;
    ++*(unsigned *)arg;
    return pl_err_set(err, PL_ERR_STREAM_ERROR, "no more");
}

START_TEST(what_the_callback_returns_ends_the_feeding)
{
    struct sse_parser parser;
    unsigned calls = 0;
    struct pl_err err;

    sse_init(&parser);
    ck_assert_int_eq(
        sse_feed(&parser, PL_STR("data: a\n\ndata: b\n\n"), refuse_event, &calls, &err),
        PL_ERR_STREAM_ERROR);
    ck_assert_str_eq(err.message, "no more");
    ck_assert_uint_eq(calls, 1);
    sse_finish(&parser);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sse_parse");
    TCase *tcase = tcase_create("sse_parse");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, a_stream_gives_its_events_wherever_it_is_cut, 0,
                        (int)PL_ARRAY_LEN(cases));
    tcase_add_test(tcase, an_id_with_a_nul_is_ignored);
    tcase_add_test(tcase, a_line_over_the_limit_is_refused_in_one_piece_or_many);
    tcase_add_test(tcase, an_event_of_many_lines_over_the_limit_is_refused);
    tcase_add_test(tcase, what_the_callback_returns_ends_the_feeding);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
