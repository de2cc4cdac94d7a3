/* test_llm_memory.c - memory that runs out anywhere while a model is asked for JSON or for tool
 * calls and its answer is read and judged. Each piece of work says no_memory or does it whole;
 * nothing leaks. Run by ctest. */
#include "base/json.h"
#include "service/llm/gemini.h"
#include "service/llm/openai.h"
#include "service/steps/llm_answer.h"
#include "service/steps/llm_messages.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

#define PARAMETERS                                                                                 \
    "{\"type\":\"object\",\"required\":[\"q\"],\"properties\":{\"q\":{\"type\":\"string\"},\"n\":" \
    "{\"default\":3}}}"

static struct pl_arena *schemas;
static struct schema_use schema;
static struct agent_tool tool;
static const struct agent_config agent = {.tools = &tool, .n_tools = 1};

static void set_up(void)
{
    struct doc_problems problems;
    struct doc_node *root = NULL;

    scarce_countdown = 0;
    schemas = pl_arena_create(0);
    doc_problems_init(&problems, schemas);
    ck_assert_int_eq(doc_parse(schemas, PL_STR(PARAMETERS), DOC_JSON, &root, &problems), PL_OK);
    schema = (struct schema_use){.schema = schema_compile(schemas, root, &problems),
                                 .json = PL_STR(PARAMETERS)};
    ck_assert_ptr_nonnull(schema.schema);
    tool = (struct agent_tool){.id = PL_STR("search"), .parameters = schema};
}

static void tear_down(void)
{
    pl_arena_destroy(&schemas);
}

/* Calls `work` with the first allocation failing, then the second, ... until none does. `work`
 * gives the code of what it did and what it wrote, which is the same each time it is done at all.
 */
static void fail_each(enum pl_code (*work)(struct pl_buf *out, struct pl_err *err),
                      enum pl_code done)
{
    struct pl_buf whole, out;
    struct pl_err err = {.message = ""};
    enum pl_code code;

    pl_buf_init(&whole, 1 << 20);
    pl_buf_init(&out, 1 << 20);
    code = work(&whole, &err);
    ck_assert_msg(code == done, "%s", err.message);
    for (long at = 1;; at++) {
        pl_buf_finish(&out);
        scarce_refused = false;
        scarce_countdown = at;
        code = work(&out, &err);
        scarce_countdown = 0;
        ck_assert_msg(code == done || (scarce_refused && code == PL_ERR_NO_MEMORY), "at %ld: %s %s",
                      at, pl_code_text(code), err.message);
        if (code == done && !out.failed)
            ck_assert_str_eq(test_text(&out), test_text(&whole));
        if (!scarce_refused)
            break;
    }
    pl_buf_finish(&whole);
    pl_buf_finish(&out);
}

/* ---- judging ---- */

static enum pl_code judge(const struct llm_terms *terms, const char *given, struct pl_buf *out,
                          struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_value *output = pl_value_new(pl_str(given));
    struct pl_str again[2] = {0};
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (arena && output)
        code = llm_answer_take(terms, arena, &output, again, err);
    if (code == PL_OK)
        pl_buf_str(out, pl_value_text(output));
    else if (code == PL_ERR_INVALID_OUTPUT)
        pl_buf_str(out, again[1]);
    pl_value_unref(&output);
    pl_arena_destroy(&arena);
    return code;
}

static enum pl_code judge_value(struct pl_buf *out, struct pl_err *err)
{
    const struct llm_terms terms = {.schema = &schema};

    return judge(&terms, "\"```json\\n{\\\"q\\\":\\\"x\\\"}\\n```\"", out, err);
}

static enum pl_code judge_misfit(struct pl_buf *out, struct pl_err *err)
{
    const struct llm_terms terms = {.schema = &schema};

    return judge(&terms, "\"{\\\"q\\\":[1]}\"", out, err);
}

static enum pl_code judge_turn(struct pl_buf *out, struct pl_err *err)
{
    const struct llm_terms terms = {.schema = &schema, .agent = &agent};

    return judge(&terms,
                 "{\"content\":\"a\",\"tool_calls\":[{\"id\":\"1\",\"name\":\"search\","
                 "\"arguments\":\"{\\\"q\\\":\\\"x\\\"}\"},{\"id\":\"2\",\"name\":\"search\","
                 "\"arguments\":\"{\\\"q\\\":7}\"},{\"id\":\"3\",\"name\":\"se\\\\arch\","
                 "\"arguments\":\"{\"}]}",
                 out, err);
}

START_TEST(an_answer_is_judged_whole_or_not_at_all)
{
    fail_each(judge_value, PL_OK);
    fail_each(judge_misfit, PL_ERR_INVALID_OUTPUT);
    fail_each(judge_turn, PL_OK);
}
END_TEST

/* ---- reading ---- */

/* Room for any parser that takes no allocation of its own. */
static union {
    struct openai_parser openai;
    struct gemini_parser gemini;
} parser;

static enum pl_code read_answer(const struct provider_ops *ops, const char *body, bool stream,
                                struct pl_buf *out, struct pl_err *err)
{
    const struct llm_request request = {.messages = PL_STR("[]"),
                                        .tools = PL_STR("[{}]"),
                                        .identity = PL_STR("agent.1"),
                                        .stream = stream,
                                        .max_output = 65536};
    const struct llm_sink sink = {0};
    struct step_result result;
    enum pl_code code;

    memset(&parser, 0, sizeof(parser));
    step_result_init(&result);
    ops->begin(&parser, &request, PL_STR(""));
    code = ops->feed(&parser, pl_str(body), &sink, err);
    if (code == PL_OK) {
        ops->finish(&parser, &sink, &result);
        code = result.err.code;
        *err = result.err;
    }
    if (code == PL_OK)
        pl_buf_str(out, pl_value_text(result.output));
    ops->cleanup(&parser);
    step_result_finish(&result);
    return code;
}

static enum pl_code read_whole(struct pl_buf *out, struct pl_err *err)
{
    return read_answer(
        &openai_ops,
        "{\"choices\":[{\"message\":{\"content\":\"a\\n\",\"tool_calls\":[{\"id\":\"1\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\"}},{\"function\":{\"name\":\"g\","
        "\"arguments\":{\"x\":1}}}]},\"finish_reason\":\"tool_calls\"}]}",
        false, out, err);
}

static enum pl_code read_stream(struct pl_buf *out, struct pl_err *err)
{
    return read_answer(
        &openai_ops,
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{"
        "\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{"
        "\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":"
        "\"}\"}},{\"index\":0,\"id\":\"2\",\"function\":{\"name\":\"g\"}}]}}]}\n\ndata: "
        "[DONE]\n\n",
        true, out, err);
}

#define GEMINI_CALLS                                                                             \
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\\n\"},{\"functionCall\":{\"id\":"   \
    "\"1\",\"name\":\"f\",\"args\":{\"x\":1}},\"thoughtSignature\":\"QQ==\"},{\"functionCall\":" \
    "{\"name\":\"g\"}}]},\"finishReason\":\"STOP\"}],\"responseId\":\"r\"}"

static enum pl_code read_gemini_whole(struct pl_buf *out, struct pl_err *err)
{
    return read_answer(&gemini_ops, GEMINI_CALLS, false, out, err);
}

static enum pl_code read_gemini_stream(struct pl_buf *out, struct pl_err *err)
{
    return read_answer(&gemini_ops, "data: " GEMINI_CALLS "\r\n\r\n", true, out, err);
}

static enum pl_code read_gemini_error(struct pl_buf *out, struct pl_err *err)
{
    return read_answer(&gemini_ops,
                       "data: " GEMINI_CALLS "\n\n{\n\"error\":{\"code\":503,\"message\":\"b\"}}",
                       true, out, err);
}

START_TEST(tool_calls_are_read_whole_or_not_at_all)
{
    fail_each(read_whole, PL_OK);
    fail_each(read_stream, PL_OK);
    fail_each(read_gemini_whole, PL_OK);
    fail_each(read_gemini_stream, PL_OK);
    fail_each(read_gemini_error, PL_ERR_OVERLOADED);
}
END_TEST

/* ---- asking ---- */

static enum pl_code build(const struct provider_ops *ops, struct pl_buf *out, struct pl_err *err)
{
    const struct provider provider = {.ops = ops, .url = PL_STR("http://127.0.0.1:1/v1")};
    struct pl_arena *arena = pl_arena_create(0);
    struct llm_request request = {.model = PL_STR("m"), .schema = &schema};
    struct http_request http = {0};
    struct pl_buf tools, messages;
    enum pl_code code = PL_ERR_NO_MEMORY;

    pl_buf_init(&tools, 65536);
    pl_buf_init(&messages, 65536);
    llm_answer_write_tools(&agent, (struct pl_str){0}, &tools);
    llm_messages_reopen(&messages, PL_STR("[]"));
    llm_messages_add_turn(&messages, PL_STR("{\"content\":{\"a\":1},\"tool_calls\":[{\"id\":\"1\","
                                            "\"name\":\"f\",\"arguments\":{\"x\":1}}],\"replay\":{"
                                            "\"gemini\":[{\"functionCall\":{\"id\":\"1\","
                                            "\"name\":\"f\"}}]}}"));
    llm_messages_add_tool(&messages, PL_STR("\"1\""), PL_STR("[1]"));
    json_array_end(&messages);
    request.tools = pl_buf_view(&tools);
    request.messages = pl_buf_view(&messages);
    if (arena && !pl_buf_failed(&tools) && !pl_buf_failed(&messages))
        code = ops->build(&provider, &request, arena, &http, err);
    if (code == PL_OK)
        pl_buf_str(out, http.body);
    pl_buf_finish(&tools);
    pl_buf_finish(&messages);
    pl_arena_destroy(&arena);
    return code;
}

static enum pl_code build_openai(struct pl_buf *out, struct pl_err *err)
{
    return build(&openai_ops, out, err);
}

static enum pl_code build_gemini(struct pl_buf *out, struct pl_err *err)
{
    return build(&gemini_ops, out, err);
}

START_TEST(a_request_is_built_whole_or_not_at_all)
{
    fail_each(build_openai, PL_OK);
    fail_each(build_gemini, PL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_memory");
    TCase *tcase = tcase_create("llm_memory");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_answer_is_judged_whole_or_not_at_all);
    tcase_add_test(tcase, tool_calls_are_read_whole_or_not_at_all);
    tcase_add_test(tcase, a_request_is_built_whole_or_not_at_all);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
