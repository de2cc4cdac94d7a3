/* test_mcp_message.c - the words of the Model Context Protocol: requests as both eras want them,
 * what may go into headers, replies in pieces, results. Run by ctest. */
#include "base/json.h"
#include "service/mcp/mcp_message.h"

#include <check.h>

static struct pl_arena *arena;
static struct pl_buf out;

static void set_up(void)
{
    arena = pl_arena_create(0);
    pl_buf_init(&out, 1 << 20);
}

static void tear_down(void)
{
    pl_buf_finish(&out);
    pl_arena_destroy(&arena);
}

static void must_be(const char *text)
{
    ck_assert_str_eq(out.data, text);
    pl_buf_reset(&out);
}

/* ---- requests ---- */

START_TEST(a_request_of_the_newest_revision_says_which_it_is)
{
    struct pl_str meta, params, version;

    mcp_write_request(&out, "tools/list", 7, PL_STR("{\"cursor\":\"c\"}"), MCP_VERSION);
    ck_assert(json_get(pl_buf_view(&out), PL_STR("params"), &params));
    ck_assert(json_get(params, PL_STR("cursor"), &version) && pl_str_is(version, "\"c\""));
    ck_assert(json_get(params, PL_STR("_meta"), &meta));
    ck_assert(json_get(meta, PL_STR("io.modelcontextprotocol/protocolVersion"), &version));
    ck_assert(pl_str_is(version, "\"2026-07-28\""));
    ck_assert(json_get(meta, PL_STR("io.modelcontextprotocol/clientCapabilities"), &version));
}
END_TEST

START_TEST(a_request_of_an_older_one_has_nothing_added)
{
    mcp_write_request(&out, "tools/call", 2, PL_STR("{\"name\":\"a\",\"arguments\":{}}"), NULL);
    must_be("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"a\","
            "\"arguments\":{}}}");
    mcp_write_request(&out, "notifications/initialized", 0, PL_STR("{}"), NULL);
    must_be("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\"params\":{}}");
}
END_TEST

START_TEST(what_a_header_cannot_carry_goes_in_as_base64)
{
    static const char *const texts[][2] = {
        {"get.weather", "get.weather"},
        {"with space", "with space"},
        {"", ""},
        {"Zürich", "=?base64?WsO8cmljaA==?="},
        {" edge", "=?base64?IGVkZ2U=?="},
        {"line\nbreak", "=?base64?bGluZQpicmVhaw==?="},
        {"=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++) {
        mcp_write_header(&out, pl_str(texts[i][0]));
        ck_assert_str_eq(out.len ? out.data : "", texts[i][1]);
        pl_buf_reset(&out);
    }
}
END_TEST

START_TEST(marked_arguments_are_found_and_wrong_marks_are_noticed)
{
    static const char *const wrong[] = {
        "{\"properties\":{\"a\":{\"type\":\"array\",\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a b\"}}}",
        "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}}}",
        "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":7}}}",
        ("{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},"
         "\"b\":{\"type\":\"string\",\"x-mcp-header\":\"a\"}}}"),
    };
    struct mcp_param params[4];
    bool valid;

    ck_assert_uint_eq(
        mcp_params(PL_STR("{\"properties\":{\"a\\u0062\":{\"type\":\"boolean\",\"x-mcp-header\":"
                          "\"Flag\"},\"c\":{\"type\":\"string\"}}}"),
                   PL_STR("{\"ab\":true,\"c\":\"x\"}"), arena, params, 4, &valid),
        1);
    ck_assert(valid);
    ck_assert(pl_str_is(params[0].name, "Flag") && pl_str_is(params[0].value, "true"));
    for (size_t i = 0; i < PL_ARRAY_LEN(wrong); i++) {
        (void)mcp_params(pl_str(wrong[i]), PL_STR("{}"), arena, params, 4, &valid);
        ck_assert_msg(!valid, "%s", wrong[i]);
    }
}
END_TEST

/* ---- replies ---- */

/* Reads a body cut at every byte: the same must come of it. */
static enum pl_code read_body(const char *type, const char *body, struct pl_str *ret_result,
                              int64_t *ret_error)
{
    enum pl_code first = PL_OK;

    for (size_t cut = 0; cut <= strlen(body); cut++) {
        struct mcp_reply reply;
        struct pl_err err = {0};
        enum pl_code code;

        mcp_reply_init(&reply, 5, pl_str(type), NULL, 4096);
        code = mcp_reply_feed(&reply, pl_str_n(body, cut), &err);
        if (code == PL_OK)
            code = mcp_reply_feed(&reply, pl_str(body + cut), &err);
        if (code == PL_OK)
            code = mcp_reply_end(&reply, &err);
        if (cut == 0)
            first = code;
        ck_assert_msg(code == first, "cut at %zu: %s", cut, err.message);
        ck_assert(code != PL_OK || reply.found);
        *ret_result = pl_arena_str(arena, reply.result);
        *ret_error = reply.error;
        mcp_reply_finish(&reply);
    }
    return first;
}

START_TEST(the_response_is_found_in_a_stream_of_other_messages)
{
    struct pl_str result;
    int64_t error;

    ck_assert_int_eq(
        read_body("text/event-stream; charset=utf-8",
                  ": hello\n\nevent: message\ndata: {\"method\":\"ping\",\"id\":5}\n\n"
                  "data: {\"id\":4,\"result\":{\"old\":true}}\n\n"
                  "data: {\"method\":\"notifications/progress\",\"params\":{}}\n\n"
                  "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":5,\"result\":{\"n\":1}}\n\n",
                  &result, &error),
        PL_OK);
    ck_assert(pl_str_is(result, "{\"n\":1}"));
}
END_TEST

START_TEST(a_stream_without_the_response_was_cut)
{
    struct pl_str result;
    int64_t error;

    ck_assert_int_eq(
        read_body("text/event-stream", "data: {\"method\":\"ping\",\"id\":5}\n\n", &result, &error),
        PL_ERR_TRUNCATED);
    ck_assert_int_eq(
        read_body("text/event-stream", "data: {\"id\":5,\"result\":{\"n\":1}", &result, &error),
        PL_ERR_TRUNCATED);
    ck_assert_int_eq(read_body("text/event-stream", "data: {\"id\":5,\n\n", &result, &error),
                     PL_ERR_BAD_RESPONSE);
}
END_TEST

START_TEST(json_bodies_hold_the_response_or_are_refused)
{
    struct pl_str result;
    int64_t error;

    ck_assert_int_eq(read_body("application/json",
                               "[{\"id\":1,\"result\":{}},{\"id\":5,\"result\":{\"n\":2}}]",
                               &result, &error),
                     PL_OK);
    ck_assert(pl_str_is(result, "{\"n\":2}"));
    ck_assert_int_eq(read_body("application/json",
                               "{\"id\":null,\"error\":{\"code\":-32000,\"message\":\"no\"}}",
                               &result, &error),
                     PL_OK);
    ck_assert_int_eq(error, -32000);
    ck_assert_int_eq(read_body("application/json", "{\"id\":6,\"result\":{}}", &result, &error),
                     PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(read_body("application/json", "{\"id\":5,\"result\":[]}", &result, &error),
                     PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(read_body("application/json", "<html>", &result, &error), PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(read_body("text/html", "", &result, &error), PL_ERR_BAD_RESPONSE);
}
END_TEST

START_TEST(an_answer_over_its_limit_is_refused)
{
    struct mcp_reply reply;
    struct pl_err err = {0};
    char body[8192];

    memset(body, ' ', sizeof(body));
    mcp_reply_init(&reply, 5, PL_STR("application/json"), NULL, 4096);
    ck_assert_int_eq(mcp_reply_feed(&reply, pl_str_n(body, sizeof(body)), &err),
                     PL_ERR_RESPONSE_TOO_LARGE);
    mcp_reply_finish(&reply);
}
END_TEST

/* ---- results ---- */

static enum pl_code take_result(const char *result, struct pl_err *err)
{
    struct pl_value *value = NULL;
    enum pl_code code = mcp_take_result(pl_str(result), 1000, &value, err);

    if (code == PL_OK)
        pl_buf_str(&out, pl_value_text(value));
    pl_value_unref(&value);
    return code;
}

START_TEST(results_keep_their_content_and_what_is_none_is_refused)
{
    struct pl_err err;

    ck_assert_int_eq(take_result("{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\"}],"
                                 "\"isError\":true,\"_meta\":{}}",
                                 &err),
                     PL_OK);
    must_be("{\"content\":[{\"type\":\"text\"}],\"isError\":true}");
    ck_assert_int_eq(take_result("{\"structuredContent\":7}", &err), PL_OK);
    must_be("{\"content\":[],\"structuredContent\":7}");
    ck_assert_int_eq(take_result("{\"resultType\":\"input_required\"}", &err), PL_ERR_UNSUPPORTED);
    ck_assert_int_eq(take_result("{}", &err), PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(take_result("{\"content\":{}}", &err), PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(take_result("{\"content\":[{}]}", &err), PL_ERR_BAD_RESPONSE);
}
END_TEST

static enum pl_code take_tools(const char *result, struct pl_str *ret_cursor, struct pl_err *err)
{
    unsigned n = 0;

    json_array_begin(&out);
    return mcp_take_tools(pl_str(result), true, &out, &n, ret_cursor, err);
}

START_TEST(tools_are_taken_page_by_page_without_those_with_wrong_marks)
{
    struct pl_err err;
    struct pl_str cursor;

    ck_assert_int_eq(
        take_tools("{\"tools\":[{\"name\":\"a\",\"title\":\"A\",\"inputSchema\":{ }},{\"name\":"
                   "\"b\",\"inputSchema\":{\"properties\":{\"x\":{\"x-mcp-header\":\"X\"}}}}],"
                   "\"nextCursor\":\"more\"}",
                   &cursor, &err),
        PL_OK);
    ck_assert(pl_str_is(cursor, "\"more\""));
    must_be("[{\"name\":\"a\",\"inputSchema\":{}}");
    ck_assert_int_eq(take_tools("{\"tools\":[{\"name\":\"\",\"inputSchema\":{}}]}", &cursor, &err),
                     PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(take_tools("{\"tools\":[{\"name\":\"a\"}]}", &cursor, &err),
                     PL_ERR_BAD_RESPONSE);
    ck_assert_int_eq(take_tools("{\"tools\":{}}", &cursor, &err), PL_ERR_BAD_RESPONSE);
}
END_TEST

START_TEST(an_error_may_say_that_older_revisions_are_spoken)
{
    ck_assert(mcp_supports_sessions(PL_STR("{\"supported\":[\"2024-11-05\",\"2025-06-18\"]}")));
    ck_assert(!mcp_supports_sessions(PL_STR("{\"supported\":[\"2027-01-01\"]}")));
    ck_assert(!mcp_supports_sessions(PL_STR("{}")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp_message");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_request_of_the_newest_revision_says_which_it_is);
    tcase_add_test(tests, a_request_of_an_older_one_has_nothing_added);
    tcase_add_test(tests, what_a_header_cannot_carry_goes_in_as_base64);
    tcase_add_test(tests, marked_arguments_are_found_and_wrong_marks_are_noticed);
    tcase_add_test(tests, the_response_is_found_in_a_stream_of_other_messages);
    tcase_add_test(tests, a_stream_without_the_response_was_cut);
    tcase_add_test(tests, json_bodies_hold_the_response_or_are_refused);
    tcase_add_test(tests, an_answer_over_its_limit_is_refused);
    tcase_add_test(tests, results_keep_their_content_and_what_is_none_is_refused);
    tcase_add_test(tests, tools_are_taken_page_by_page_without_those_with_wrong_marks);
    tcase_add_test(tests, an_error_may_say_that_older_revisions_are_spoken);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
