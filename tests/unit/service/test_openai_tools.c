/* test_openai_tools.c - tool calls and structured output at OpenAI-compatible servers: what a
 * request says, and answers with tool calls as several servers give them, whole and streamed, cut
 * at every byte. Not the judging of arguments (test_llm_answer). Run by ctest. */
#include "base/json.h"
#include "service/llm/openai.h"
#include "service/workflow/workflow.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"search\"}}]"

static const struct schema_use any_schema = {.json = {"{}", 2}};

/* ---- answers ---- */

struct answer {
    bool stream;
    const char *body;
    const char *result; /* "ok" and the output, or the error's code */
    int64_t max_tokens;
    bool structured;
};

static void probe_init(struct answer_probe *probe)
{
    answer_probe_init(probe, &openai_ops, "");
    probe->deaf = true;
    probe->request.tools = PL_STR(TOOLS);
    probe->request.identity = PL_STR("agent.2");
}

#define WHOLE(message, finish) \
    "{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":\"" finish "\"}]}"
#define CHUNK(delta, finish) \
    "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define DELTA(calls) CHUNK("{\"tool_calls\":[" calls "]}", "null")
#define END          CHUNK("{}", "\"tool_calls\"") "data: [DONE]\n\n"
#define CALL(id, name, arguments) \
    "{\"id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"" arguments "\"}"
#define TURN(content, calls) "ok {\"content\":" content ",\"tool_calls\":[" calls "]}"

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
    struct answer_probe probe;

    probe_init(&probe);
    probe.request.schema = answer->structured ? &any_schema : NULL;
    probe.request.stream = answer->stream;
    probe.request.max_tokens = answer->max_tokens;
    answer_probe_assert_cuts(&probe, answer->body, answer->result, NULL);
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(an_answer_with_too_many_calls_is_a_bad_one)
{
    struct answer_probe probe;
    struct pl_buf body;

    probe_init(&probe);
    for (unsigned n = TOOL_CALLS_MAX; n <= TOOL_CALLS_MAX + 1; n++) {
        pl_buf_init(&body, 1 << 20);
        pl_buf_text(&body, "{\"choices\":[{\"message\":{\"tool_calls\":[");
        for (unsigned i = 0; i < n; i++)
            pl_buf_printf(&body, "%s{\"id\":\"%u\",\"function\":{\"name\":\"a\"}}", i ? "," : "",
                          i);
        pl_buf_text(&body, "]},\"finish_reason\":\"tool_calls\"}]}");
        ck_assert_int_eq(strcmp(answer_probe_whole(&probe, body.data), "bad_response") == 0,
                         n > TOOL_CALLS_MAX);
        pl_buf_finish(&body);
    }
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(arguments_over_the_limit_are_refused)
{
    char *words = test_repeat("0123456789abcdef", 4097);
    struct answer_probe probe;
    struct pl_buf body;

    probe_init(&probe);
    pl_buf_init(&body, 1 << 20);
    pl_buf_printf(&body,
                  WHOLE("{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"a\","
                        "\"arguments\":\"%s\"}}]}",
                        "tool_calls"),
                  words);
    ck_assert_str_eq(answer_probe_whole(&probe, body.data), "response_too_large");
    answer_probe_finish(&probe);
    pl_buf_finish(&body);
    free(words);
}
END_TEST

/* ---- requests ---- */

static struct pl_arena *arena;

static void set_up(void)
{
    arena = pl_arena_create(0);
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static const char *build_body(const struct llm_request *request)
{
    struct provider provider = {
        .ops = &openai_ops, .name = PL_STR("local"), .base_url = PL_STR("http://127.0.0.1:1/v1")};

    return test_build_request(&provider, request, arena, NULL);
}

START_TEST(a_request_offers_the_tools_and_extra_may_not)
{
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR("[]"),
                                  .tools = PL_STR(TOOLS),
                                  .tool_choice = PL_STR("\"required\""),
                                  .extra = PL_STR("{\"parallel_tool_calls\":false}")};

    ck_assert_str_eq(build_body(&request),
                     "{\"model\":\"m\",\"messages\":[],\"tools\":" TOOLS
                     ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false}");
    request.extra = PL_STR("{\"tools\":[]}");
    ck_assert_ptr_nonnull(strstr(build_body(&request), "!invalid_argument "));
    request.tools = (struct pl_str){0};
    request.tool_choice = (struct pl_str){0};
    ck_assert_str_eq(build_body(&request), "{\"model\":\"m\",\"messages\":[],\"tools\":[]}");
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

    pl_buf_init(&want, 8192);
    pl_buf_printf(&want,
                  "{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"json_schema\","
                  "\"json_schema\":{\"name\":\"verdict\",\"schema\":%s,\"strict\":%s}}}",
                  schemas[_i].sent ? schemas[_i].sent : schemas[_i].schema,
                  schemas[_i].strict ? "true" : "false");
    ck_assert_str_eq(build_body(&request), test_text(&want));
    pl_buf_finish(&want);
}
END_TEST

START_TEST(a_large_schema_is_not_strict)
{
    struct schema_use use = {0};
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[]"), .schema = &use};
    struct pl_buf text;

    pl_buf_init(&text, 65536);
    pl_buf_text(&text, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (unsigned i = 0; i < 101; i++)
        pl_buf_printf(&text, "%s\"p%u\":{\"type\":\"null\"}", i ? "," : "", i);
    pl_buf_text(&text, "},\"required\":[");
    for (unsigned i = 0; i < 101; i++)
        pl_buf_printf(&text, "%s\"p%u\"", i ? "," : "", i);
    pl_buf_text(&text, "]}");
    use.json = pl_buf_view(&text);
    ck_assert_ptr_nonnull(strstr(build_body(&request), "\"strict\":false"));
    ck_assert_ptr_nonnull(strstr(build_body(&request), "\"name\":\"answer\""));
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

    ck_assert_str_eq(
        build_body(&request),
        "{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"json_object\"}}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("openai_tools");
    TCase *tcase = tcase_create("openai_tools");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
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
