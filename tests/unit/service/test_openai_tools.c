/* test_openai_tools.c - tool calls and structured output at OpenAI-compatible servers: what a
 * request says, and answers with tool calls as several servers give them, whole and streamed, cut
 * at every byte. Not the judging of arguments (test_llm_answer). Run by ctest. */
#include "base/json.h"
#include "service/llm/openai.h"
#include "service/workflow/workflow.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"search\"}}]"

static const struct schema_use any_schema = {.json = {"{}", 2}};

/* ---- answers ---- */

struct answer {
    bool stream;
    const char *body;
    const char *result; /* the output, or the error's code */
    int64_t max_tokens;
    bool structured;
};

/* Reads the answer in the pieces that end at `cuts`. */
static void read_answer(const struct answer *answer, const size_t *cuts, size_t n_cuts,
                        struct pl_buf *out)
{
    const struct llm_request request = {.messages = PL_STR("[]"),
                                        .tools = PL_STR(TOOLS),
                                        .identity = PL_STR("agent.2"),
                                        .schema = answer->structured ? &any_schema : NULL,
                                        .stream = answer->stream,
                                        .max_tokens = answer->max_tokens,
                                        .max_output = 65536};
    const struct llm_sink sink = {0};
    struct openai_parser parser = {0};
    struct step_result result;
    const size_t len = strlen(answer->body);
    enum pl_code code = PL_OK;
    size_t start = 0;

    pl_buf_reset(out);
    step_result_init(&result);
    openai_ops.begin(&parser, &request, PL_STR(""));
    for (size_t i = 0; i <= n_cuts && code == PL_OK; i++) {
        const size_t end = i < n_cuts ? cuts[i] : len;
        char *piece = malloc(end - start + 1);

        ck_assert_ptr_nonnull(piece);
        memcpy(piece, answer->body + start, end - start);
        if (end > start)
            code = openai_ops.feed(&parser, pl_str_n(piece, end - start), &sink, &result.err);
        free(piece);
        start = end;
    }
    if (code == PL_OK)
        openai_ops.finish(&parser, &sink, &result);
    if (result.err.code == PL_OK)
        pl_buf_str(out, pl_value_text(result.output));
    else
        pl_buf_text(out, pl_code_text(result.err.code));
    openai_ops.cleanup(&parser);
    step_result_finish(&result);
}

#define WHOLE(message, finish) \
    "{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":\"" finish "\"}]}"
#define CHUNK(delta, finish) \
    "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define DELTA(calls) CHUNK("{\"tool_calls\":[" calls "]}", "null")
#define END          CHUNK("{}", "\"tool_calls\"") "data: [DONE]\n\n"
#define CALL(id, name, arguments) \
    "{\"id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"" arguments "\"}"
#define TURN(content, calls) "{\"content\":" content ",\"tool_calls\":[" calls "]}"

static const struct answer answers[] = {
    /* whole */
    {false,
     WHOLE("{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":"
           "\"c1\",\"type\":\"function\",\"function\":{\"name\":\"search\",\"arguments\":"
           "\"{\\\"q\\\": \\\"caf\\u00e9\\\"}\"}},{\"id\":\"c2\",\"type\":\"function\","
           "\"function\":{\"name\":\"read\",\"arguments\":\"\"}}]}",
           "tool_calls"),
     TURN("null",
          CALL("c1", "search", "{\\\"q\\\": \\\"caf\xc3\xa9\\\"}") "," CALL("c2", "read", "")),
     0, false},
    {false,
     WHOLE("{\"content\":\"let me look\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":"
           "\"search\",\"arguments\":{\"q\": 1}}}]}",
           "stop"),
     TURN("\"let me look\"", CALL("c1", "search", "{\\\"q\\\":1}")), 0, false},
    {false, WHOLE("{\"content\":\"the answer\"}", "stop"), TURN("\"the answer\"", ""), 0, false},
    {false, WHOLE("{\"content\":\"the answer\",\"tool_calls\":null}", "stop"),
     TURN("\"the answer\"", ""), 0, false},
    {false, WHOLE("{\"content\":\"the answer\",\"tool_calls\":[]}", "stop"),
     TURN("\"the answer\"", ""), 0, false},
    /* ids: none, the same twice */
    {false,
     WHOLE("{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"a\",\"arguments\":"
           "\"{}\"}},{\"id\":\"\",\"function\":{\"name\":\"b\"}},{\"id\":\"x\",\"function\":{"
           "\"name\":\"c\"}},{\"id\":\"x\",\"function\":{\"name\":\"d\"}},{\"id\":\"call_2_0\","
           "\"function\":{\"name\":\"e\"}}]}",
           "tool_calls"),
     TURN("null", CALL("call_2_0_", "a", "{}") "," CALL("call_2_1", "b", "") "," CALL(
                      "x", "c", "") "," CALL("call_2_3", "d", "") "," CALL("call_2_0", "e", "")),
     0, false},
    {false, WHOLE("{\"content\":\"\",\"tool_calls\":[{\"id\":\"x\",\"function\":{}}]}", "stop"),
     "bad_response", 0, false},
    {false, WHOLE("{\"content\":\"\",\"tool_calls\":[7]}", "tool_calls"), "empty_response", 0,
     false},
    {false, WHOLE("{\"content\":null,\"refusal\":\"no\"}", "stop"), "refused", 0, false},
    /* cut at a length: neither calls nor structured output are whole then, asked for or not */
    {false,
     WHOLE("{\"content\":\"\",\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"a\","
           "\"arguments\":\"{\\\"q\"}}]}",
           "length"),
     "output_truncated", 5, false},
    {false, WHOLE("{\"content\":\"{\\\"a\\\":\"}", "length"), "output_truncated", 5, true},
    {false, WHOLE("{\"content\":\"some tex\"}", "length"), TURN("\"some tex\"", ""), 5, false},
    {false, WHOLE("{\"content\":\"{}\"}", "content_filter"), "content_filtered", 0, true},
    /* streams: as OpenAI sends them, two calls by turns */
    {true,
     CHUNK("{\"role\":\"assistant\",\"content\":null}", "null")
         DELTA("{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":"
               "\"search\",\"arguments\":\"\"}}") DELTA("{\"index\":0,\"function\":{\"arguments\":"
                                                        "\"{\\\"q\\\":\"}}")
             DELTA("{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"read\",\"arguments\":"
                   "\"{\"}}") DELTA("{\"index\":0,\"function\":{\"arguments\":\"1}\"}},{\"index\":"
                                    "1,\"function\":{\"arguments\":\"}\"}}") END,
     TURN("null", CALL("c1", "search", "{\\\"q\\\":1}") "," CALL("c2", "read", "{}")), 0, false},
    /* id and name with every fragment */
    {true,
     DELTA("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"search\",\"arguments\":\"{\"}}")
         DELTA("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"search\",\"arguments\":"
               "\"}\"}}") END,
     TURN("null", CALL("c1", "search", "{}")), 0, false},
    /* the same index for each call */
    {true,
     DELTA("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"a\",\"arguments\":\"{}\"}}")
         DELTA("{\"index\":0,\"id\":\"c2\",\"function\":{\"name\":\"b\",\"arguments\":\"{\"}}")
             DELTA("{\"index\":0,\"function\":{\"arguments\":\"}\"}}") END,
     TURN("null", CALL("c1", "a", "{}") "," CALL("c2", "b", "{}")), 0, false},
    /* no index, no id */
    {true,
     CHUNK("{\"content\":\"so: \"}", "null")
         DELTA("{\"function\":{\"name\":\"a\",\"arguments\":\"{\"}}")
             DELTA("{\"function\":{\"arguments\":\"}\"}}")
                 DELTA("{\"index\":null,\"function\":{\"name\":\"b\",\"arguments\":\"{}\"}}") END,
     TURN("\"so: \"", CALL("call_2_0", "a", "{}") "," CALL("call_2_1", "b", "{}")), 0, false},
    {true, CHUNK("{\"content\":\"the answer\"}", "\"stop\"") "data: [DONE]\n\n",
     TURN("\"the answer\"", ""), 0, false},
    {true, DELTA("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"a\",\"arguments\":\"{\"}}"),
     "truncated_response", 0, false},
    {true,
     DELTA("{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"a\",\"arguments\":\"{\"}}")
         CHUNK("{}", "\"length\"") "data: [DONE]\n\n",
     "output_truncated", 0, false},
};

START_TEST(tool_calls_read_the_same_wherever_they_are_cut)
{
    const struct answer *answer = &answers[_i];
    const size_t len = strlen(answer->body);
    struct pl_buf out;
    size_t *every = malloc((len + 1) * sizeof(*every));

    ck_assert_ptr_nonnull(every);
    pl_buf_init(&out, 65536);
    read_answer(answer, NULL, 0, &out);
    ck_assert_str_eq(test_text(&out), answer->result);
    for (size_t cut = 0; cut <= len; cut++) {
        read_answer(answer, &cut, 1, &out);
        ck_assert_msg(strcmp(test_text(&out), answer->result) == 0, "cut at %zu: '%s'", cut,
                      test_text(&out));
        every[cut] = cut;
    }
    read_answer(answer, every, len, &out);
    ck_assert_str_eq(test_text(&out), answer->result);
    pl_buf_finish(&out);
    free(every);
}
END_TEST

START_TEST(an_answer_with_too_many_calls_is_a_bad_one)
{
    struct answer answer = {.result = "bad_response"};
    struct pl_buf body, out;

    for (unsigned n = TOOL_CALLS_MAX; n <= TOOL_CALLS_MAX + 1; n++) {
        pl_buf_init(&body, 1 << 20);
        pl_buf_init(&out, 1 << 20);
        pl_buf_text(&body, "{\"choices\":[{\"message\":{\"tool_calls\":[");
        for (unsigned i = 0; i < n; i++)
            pl_buf_printf(&body, "%s{\"id\":\"%u\",\"function\":{\"name\":\"a\"}}", i ? "," : "",
                          i);
        pl_buf_text(&body, "]},\"finish_reason\":\"tool_calls\"}]}");
        answer.body = test_text(&body);
        read_answer(&answer, NULL, 0, &out);
        ck_assert_int_eq(strcmp(test_text(&out), "bad_response") == 0, n > TOOL_CALLS_MAX);
        pl_buf_finish(&body);
        pl_buf_finish(&out);
    }
}
END_TEST

START_TEST(arguments_over_the_limit_are_refused)
{
    char *words = test_repeat("0123456789abcdef", 4097);
    struct answer answer = {.result = ""};
    struct pl_buf body, out;

    pl_buf_init(&body, 1 << 20);
    pl_buf_init(&out, 1 << 20);
    pl_buf_printf(&body,
                  WHOLE("{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"a\","
                        "\"arguments\":\"%s\"}}]}",
                        "tool_calls"),
                  words);
    answer.body = test_text(&body);
    read_answer(&answer, NULL, 0, &out);
    ck_assert_str_eq(test_text(&out), "response_too_large");
    pl_buf_finish(&body);
    pl_buf_finish(&out);
    free(words);
}
END_TEST

/* ---- requests ---- */

static const char *build_body(const struct llm_request *request, enum pl_code *ret_code)
{
    static char body[8192];
    static const struct provider provider = {
        .ops = &openai_ops, .name = {"local", 5}, .base_url = {"http://127.0.0.1:1/v1", 21}};
    struct pl_arena *arena = pl_arena_create(0);
    struct http_request http = {0};
    struct pl_err err;

    *ret_code = openai_ops.build(&provider, request, arena, &http, &err);
    body[0] = '\0';
    if (*ret_code == PL_OK) {
        ck_assert_int_eq(json_check(http.body, 64, NULL, &err), PL_OK);
        ck_assert_uint_lt(http.body.len, sizeof(body));
        memcpy(body, http.body.ptr, http.body.len + 1);
    }
    pl_arena_destroy(&arena);
    return body;
}

START_TEST(a_request_offers_the_tools_and_extra_may_not)
{
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR("[]"),
                                  .tools = PL_STR(TOOLS),
                                  .tool_choice = PL_STR("\"required\""),
                                  .extra = PL_STR("{\"parallel_tool_calls\":false}")};
    enum pl_code code;

    ck_assert_str_eq(build_body(&request, &code),
                     "{\"model\":\"m\",\"messages\":[],\"tools\":" TOOLS
                     ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false}");
    request.extra = PL_STR("{\"tools\":[]}");
    build_body(&request, &code);
    ck_assert_int_eq(code, PL_ERR_INVALID_ARGUMENT);
    request.tools = (struct pl_str){0};
    request.tool_choice = (struct pl_str){0};
    ck_assert_str_eq(build_body(&request, &code), "{\"model\":\"m\",\"messages\":[],\"tools\":[]}");
}
END_TEST

#define OBJECT(properties, required)                                               \
    "{\"type\":\"object\",\"properties\":{" properties "},\"required\":[" required \
    "],\"additionalProperties\":false}"
#define STRING "{\"type\":\"string\"}"

static const struct {
    const char *schema;
    const char *sent; /* NULL: the same */
    bool strict;
} schemas[] = {
    {OBJECT("\"a\":" STRING, "\"a\""), NULL, true},
    {OBJECT("\"a\":{\"type\":[\"string\",\"null\"]},\"b\":{\"anyOf\":[" STRING
            ",{\"type\":\"null\"}]}",
            "\"b\",\"a\""),
     NULL, true},
    {OBJECT(
         "\"a\":{\"type\":\"array\",\"minItems\":1,\"items\":" OBJECT("\"b\":" STRING, "\"b\"") "}",
         "\"a\""),
     NULL, true},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/a\"}},\"required\":[\"a\"],"
     "\"additionalProperties\":false,\"$defs\":{\"a\":" STRING "}}",
     NULL, true},
    {OBJECT("", ""), NULL, true},
    /* outside the subset */
    {OBJECT("\"a\":" STRING, ""), NULL, false},
    {"{\"type\":\"object\",\"properties\":{\"a\":" STRING "},\"required\":[\"a\"]}", NULL, false},
    {"{\"type\":\"object\"}", NULL, false},
    {OBJECT("\"a\":{\"type\":\"string\",\"maxLength\":3}", "\"a\""), NULL, false},
    {OBJECT("\"a\":{\"enum\":[\"x\"]}", "\"a\""), NULL, false},
    {OBJECT("\"a\":{\"type\":\"array\"}", "\"a\""), NULL, false},
    {OBJECT("\"a\":true", "\"a\""), NULL, false},
    {OBJECT("\"a\":" OBJECT("\"b\":" STRING, ""), "\"a\""), NULL, false},
    {OBJECT("\"a\":" OBJECT(
                "\"a\":" OBJECT("\"a\":" OBJECT("\"a\":" OBJECT("\"a\":" STRING, "\"a\""), "\"a\""),
                                "\"a\""),
                "\"a\""),
            "\"a\""),
     NULL, false},
    /* no object at the root */
    {"{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}",
     OBJECT("\"value\":{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}", "\"value\""), true},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/a\"},\"$defs\":{\"a\":" STRING "}}",
     "{\"type\":\"object\",\"properties\":{\"value\":{\"type\":\"array\",\"items\":{\"$ref\":"
     "\"#/$defs/"
     "a\"}}},\"required\":[\"value\"],\"additionalProperties\":false,\"$defs\":{\"a\":" STRING "}}",
     true},
    {"{\"enum\":[1,2]}", OBJECT("\"value\":{\"enum\":[1,2]}", "\"value\""), false},
    {"true", OBJECT("\"value\":{}", "\"value\""), false},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", NULL, false},
    {"{\"anyOf\":[" OBJECT("\"a\":" STRING, "\"a\"") "]}",
     OBJECT("\"value\":{\"anyOf\":[" OBJECT("\"a\":" STRING, "\"a\"") "]}", "\"value\""), true},
};

START_TEST(a_schema_goes_out_strict_where_it_may)
{
    const struct schema_use use = {.json = pl_str(schemas[_i].schema), .name = PL_STR("verdict")};
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[]"), .schema = &use};
    struct pl_buf want;
    enum pl_code code;

    pl_buf_init(&want, 8192);
    pl_buf_printf(&want,
                  "{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"json_schema\","
                  "\"json_schema\":{\"name\":\"verdict\",\"schema\":%s,\"strict\":%s}}}",
                  schemas[_i].sent ? schemas[_i].sent : schemas[_i].schema,
                  schemas[_i].strict ? "true" : "false");
    ck_assert_str_eq(build_body(&request, &code), test_text(&want));
    pl_buf_finish(&want);
}
END_TEST

START_TEST(a_large_schema_is_not_strict)
{
    struct schema_use use = {0};
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[]"), .schema = &use};
    struct pl_buf text;
    enum pl_code code;

    pl_buf_init(&text, 65536);
    pl_buf_text(&text, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (unsigned i = 0; i < 101; i++)
        pl_buf_printf(&text, "%s\"p%u\":{\"type\":\"null\"}", i ? "," : "", i);
    pl_buf_text(&text, "},\"required\":[");
    for (unsigned i = 0; i < 101; i++)
        pl_buf_printf(&text, "%s\"p%u\"", i ? "," : "", i);
    pl_buf_text(&text, "]}");
    use.json = pl_buf_view(&text);
    ck_assert_ptr_nonnull(strstr(build_body(&request, &code), "\"strict\":false"));
    ck_assert_ptr_nonnull(strstr(build_body(&request, &code), "\"name\":\"answer\""));
    pl_buf_finish(&text);
}
END_TEST

START_TEST(extra_may_ask_for_another_response_format)
{
    const struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR("[]"),
        .schema = &any_schema,
        .extra = PL_STR("{\"response_format\":{\"type\":\"json_object\"}}")};
    enum pl_code code;

    ck_assert_str_eq(
        build_body(&request, &code),
        "{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"json_object\"}}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("openai_tools");
    TCase *tcase = tcase_create("openai_tools");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, tool_calls_read_the_same_wherever_they_are_cut, 0,
                        (int)PL_ARRAY_LEN(answers));
    tcase_add_test(tcase, an_answer_with_too_many_calls_is_a_bad_one);
    tcase_add_test(tcase, arguments_over_the_limit_are_refused);
    tcase_add_test(tcase, a_request_offers_the_tools_and_extra_may_not);
    tcase_add_loop_test(tcase, a_schema_goes_out_strict_where_it_may, 0,
                        (int)PL_ARRAY_LEN(schemas));
    tcase_add_test(tcase, a_large_schema_is_not_strict);
    tcase_add_test(tcase, extra_may_ask_for_another_response_format);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
