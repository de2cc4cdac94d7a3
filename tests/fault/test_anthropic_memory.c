/* test_anthropic_memory.c - memory that runs out anywhere while a request for Anthropic's API is
 * built and its answer is read. Each piece of work says no_memory or does it whole; nothing leaks.
 * Run by ctest from the root of the tree. */
#include "base/json.h"
#include "service/llm/anthropic.h"
#include "service/workflow/workflow.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

typedef enum pl_code (*work_fn)(const char *given, struct pl_buf *out, struct pl_err *err);

/* Calls `work` with the first allocation failing, then the second, ... until none does. */
static void fail_each(work_fn work, const char *given, enum pl_code done)
{
    struct pl_buf whole, out;
    struct pl_err err = {.message = ""};
    enum pl_code code;

    pl_buf_init(&whole, 1 << 20);
    pl_buf_init(&out, 1 << 20);
    code = work(given, &whole, &err);
    ck_assert_msg(code == done, "%s", err.message);
    for (long at = 1;; at++) {
        pl_buf_finish(&out);
        scarce_refused = false;
        scarce_countdown = at;
        code = work(given, &out, &err);
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

/* ---- answers ---- */

static struct anthropic_parser parser;

static enum pl_code read_answer(const char *body, struct pl_buf *out, struct pl_err *err)
{
    const struct llm_request request = {.messages = PL_STR("[]"),
                                        .tools = PL_STR("[{}]"),
                                        .identity = PL_STR("agent.1"),
                                        .stream = true,
                                        .max_output = 65536};
    const struct llm_sink sink = {0};
    struct step_result result;
    enum pl_code code;

    parser = (struct anthropic_parser){0};
    step_result_init(&result);
    anthropic_ops.begin(&parser, &request, PL_STR(""));
    code = anthropic_ops.feed(&parser, pl_str(body), &sink, err);
    if (code == PL_OK) {
        anthropic_ops.finish(&parser, &sink, &result);
        code = result.err.code;
        *err = result.err;
    }
    if (code == PL_OK)
        pl_buf_str(out, pl_value_text(result.output));
    anthropic_ops.cleanup(&parser);
    step_result_finish(&result);
    return code;
}

static void fail_each_of_file(const char *name, enum pl_code done)
{
    char *body = test_read_file(name, NULL);

    ck_assert_msg(body != NULL, "cannot read %s", name);
    fail_each(read_answer, body, done);
    free(body);
}

#define RECORDED "tests/unit/service/recorded/anthropic-"

START_TEST(an_answer_is_read_whole_or_not_at_all)
{
    fail_each_of_file(RECORDED "thinking.sse", PL_OK);
    fail_each_of_file(RECORDED "tools.sse", PL_OK);
    fail_each_of_file(RECORDED "message.json", PL_OK);
    fail_each_of_file(RECORDED "error-first.sse", PL_ERR_OVERLOADED);
    fail_each_of_file(RECORDED "refusal.sse", PL_ERR_REFUSED);
}
END_TEST

/* ---- requests ---- */

static enum pl_code build(const char *messages, struct pl_buf *out, struct pl_err *err)
{
    static const struct schema_use schema = {
        .json = PL_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\","
                       "\"minimum\":1,\"description\":\"d\"}}}")};
    const struct provider provider = {.ops = &anthropic_ops, .url = PL_STR("http://h/v1/messages")};
    const struct llm_request request = {
        .model = PL_STR("m"),
        .system = PL_STR("s"),
        .messages = pl_str(messages),
        .schema = &schema,
        .extra = PL_STR("{\"output_config\":{\"effort\":\"low\"}}"),
        .tools = PL_STR("[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]")};
    struct pl_arena *arena = pl_arena_create(0);
    struct http_request http = {0};
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (arena)
        code = anthropic_ops.build(&provider, &request, arena, &http, err);
    if (code == PL_OK)
        pl_buf_str(out, http.body);
    pl_arena_destroy(&arena);
    return code;
}

START_TEST(a_request_is_built_whole_or_not_at_all)
{
    fail_each(build,
              "[{\"role\":\"system\",\"content\":\"a\\tb\"},{\"role\":\"user\",\"content\":[{"
              "\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
              "\"data:image\\/png;base64,aGk=\"}},{\"type\":\"file\",\"file\":{\"file_data\":"
              "\"w6k=\",\"filename\":\"a.txt\"}}]},{\"role\":\"assistant\",\"content\":null,"
              "\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"q"
              "\\\":{\\\"a\\\":1}}\"}},{\"id\":\"d\",\"function\":{\"name\":\"f\",\"arguments\":"
              "\"no\"}}],\"replay\":{\"anthropic\":[{\"type\":\"thinking\"},{\"type\":\"tool_use\"}"
              ",{\"type\":\"tool_use\"}]}},{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":"
              "\"r\"},{\"role\":\"tool\",\"tool_call_id\":\"d\",\"content\":\"r\"}]",
              PL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("anthropic_memory");
    TCase *tcase = tcase_create("anthropic_memory");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, an_answer_is_read_whole_or_not_at_all);
    tcase_add_test(tcase, a_request_is_built_whole_or_not_at_all);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
