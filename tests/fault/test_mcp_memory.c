/* test_mcp_memory.c - memory that runs out anywhere while an MCP server's answer is read, its tools
 * are put among an agent's, arguments are judged and results are told. Each piece of work says
 * no_memory or does it whole; nothing leaks. Run by ctest. */
#include "base/json.h"
#include "service/mcp/mcp_message.h"
#include "service/mcp/mcp_servers.h"
#include "service/run/run_agent_tools.h"
#include "service/steps/llm_answer.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/text.h"

#include <check.h>

#define LIST                                                                                      \
    "{\"tools\":[{\"name\":\"search\",\"description\":\"finds\",\"inputSchema\":{\"type\":"       \
    "\"object\","                                                                                 \
    "\"properties\":{\"q\":{\"type\":\"string\",\"x-mcp-header\":\"Q\"}},\"required\":[\"q\"]}}," \
    "{\"name\":\"a.b-2\",\"inputSchema\":{}}],\"nextCursor\":\"x\"}"
#define TOOLS                                                                            \
    "[{\"name\":\"search_2\",\"server\":0,\"tool\":\"search\",\"parameters\":{\"type\":" \
    "\"object\","                                                                        \
    "\"properties\":{\"q\":{\"type\":\"string\"}},\"required\":[\"q\"]}}]"

static struct agent_tool own[] = {{.id = PL_STR("search")}};
static struct agent_mcp of_agent[2];
static const struct agent_config agent = {.tools = own, .n_tools = 1, .mcp = of_agent, .n_mcp = 2};

/* Calls `work` with the first allocation failing, then the second, ... until none does. */
static void fail_each(enum pl_code (*work)(struct pl_buf *out, struct pl_err *err))
{
    struct pl_buf whole, out;
    struct pl_err err = {.message = ""};
    enum pl_code code;

    pl_buf_init(&whole, 1 << 20);
    pl_buf_init(&out, 1 << 20);
    ck_assert_msg(work(&whole, &err) == PL_OK, "%s", err.message);
    for (long at = 1;; at++) {
        pl_buf_finish(&out);
        scarce_refused = false;
        scarce_countdown = at;
        code = work(&out, &err);
        scarce_countdown = 0;
        ck_assert_msg(code == PL_OK || (scarce_refused && code == PL_ERR_NO_MEMORY),
                      "at %ld: %s %s", at, pl_code_text(code), err.message);
        if (code == PL_OK && !out.failed)
            ck_assert_str_eq(test_text(&out), test_text(&whole));
        if (!scarce_refused)
            break;
    }
    pl_buf_finish(&whole);
    pl_buf_finish(&out);
}

static enum pl_code keep(struct pl_buf *out, struct pl_value **value)
{
    enum pl_code code = *value ? PL_OK : PL_ERR_NO_MEMORY;

    pl_buf_str(out, *value ? pl_value_text(*value) : PL_STR(""));
    pl_value_unref(value);
    return code;
}

/* ---- answers of a server ---- */

static enum pl_code read_tools(struct pl_buf *out, struct pl_err *err)
{
    static const char body[] =
        "data: {\"method\":\"ping\",\"id\":9}\n\ndata: {\"id\":1,\"result\":" LIST "}\n\n";
    struct mcp_reply reply;
    struct pl_str cursor;
    unsigned n = 0;
    enum pl_code code;

    mcp_reply_init(&reply, 1, PL_STR("text/event-stream"), NULL, 1 << 20);
    code = mcp_reply_feed(&reply, pl_str(body), err);
    if (code == PL_OK)
        code = mcp_reply_end(&reply, err);
    json_array_begin(out);
    if (code == PL_OK)
        code = mcp_take_tools(reply.result, true, out, &n, &cursor, err);
    mcp_reply_finish(&reply);
    return code;
}

static enum pl_code read_result(struct pl_buf *out, struct pl_err *err)
{
    static const char body[] =
        "{\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}],"
        "\"structuredContent\":{\"n\":1},\"isError\":true}}";
    struct pl_value *value = NULL;
    struct mcp_reply reply;
    enum pl_code code;

    mcp_reply_init(&reply, 1, PL_STR("application/json"), NULL, 1 << 20);
    code = mcp_reply_feed(&reply, pl_str(body), err);
    if (code == PL_OK)
        code = mcp_reply_end(&reply, err);
    if (code == PL_OK)
        code = mcp_take_result(reply.result, 1 << 20, &value, err);
    mcp_reply_finish(&reply);
    return code == PL_OK ? keep(out, &value) : code;
}

START_TEST(an_answer_is_read_whole_or_not_at_all)
{
    fail_each(read_tools);
    fail_each(read_result);
}
END_TEST

/* ---- an agent's tools ---- */

static enum pl_code merge(struct pl_buf *out, struct pl_err *err)
{
    struct agent_listing listings[2] = {
        {.done = true,
         .tools = pl_value_new(PL_STR("[{\"name\":\"search\",\"inputSchema\":{}},"
                                      "{\"name\":\"a.b\",\"inputSchema\":{}}]"))},
        {.done = true, .why = "It burns"}};
    struct pl_value *memo = NULL;
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (listings[0].tools)
        code = agent_tools_memo(
            &agent,
            PL_STR(
                "{\"messages\":[{\"role\":\"system\",\"content\":\"hi\"}],\"mcp\":[\"u\",\"v\"]}"),
            listings, &memo, err);
    pl_value_unref(&listings[0].tools);
    return code == PL_OK ? keep(out, &memo) : code;
}

static enum pl_code tell(struct pl_buf *out, struct pl_err *err)
{
    struct pl_value *told = agent_tools_answer(
        PL_STR("{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"}],"
               "\"isError\":true}"));

    (void)err;
    return keep(out, &told);
}

static enum pl_code request(struct pl_buf *out, struct pl_err *err)
{
    struct pl_value *value = agent_tools_call_request(
        PL_STR("{\"mcp\":[\"http://a/\"],\"tools\":" TOOLS "}"), 0, PL_STR("{\"q\":\"x\"}"));

    (void)err;
    return keep(out, &value);
}

START_TEST(tools_are_put_together_and_told_whole_or_not_at_all)
{
    fail_each(merge);
    fail_each(tell);
    fail_each(request);
}
END_TEST

/* ---- arguments ---- */

static enum pl_code judge(struct pl_buf *out, struct pl_err *err)
{
    const struct llm_terms terms = {.agent = &agent, .mcp_tools = PL_STR(TOOLS)};
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_value *output = pl_value_new(PL_STR(
        "{\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"name\":\"search_2\",\"arguments\":"
        "\"{\\\"q\\\":7}\"},{\"id\":\"2\",\"name\":\"gone\",\"arguments\":\"{}\"}]}"));
    enum pl_code code = PL_ERR_NO_MEMORY;
    struct pl_str again[2];

    if (arena && output)
        code = llm_answer_take(&terms, arena, &output, again, err);
    pl_arena_destroy(&arena);
    if (code == PL_OK)
        return keep(out, &output);
    pl_value_unref(&output);
    return code;
}

START_TEST(arguments_are_never_taken_unjudged)
{
    fail_each(judge);
}
END_TEST

/* ---- what is known of servers ---- */

START_TEST(what_cannot_be_kept_is_not_known)
{
    const struct mcp_session session = {PL_STR("id"), PL_STR("v")};
    struct mcp_servers *servers = mcp_servers_create();
    struct pl_arena *arena = pl_arena_create(0);
    struct mcp_session found;

    scarce_countdown = 1;
    mcp_servers_set_era(servers, PL_STR("u"), MCP_ERA_SESSION);
    scarce_countdown = 1;
    mcp_servers_set_session(servers, PL_STR("o"), PL_STR("u"), &session);
    scarce_countdown = 0;
    ck_assert_int_eq(mcp_servers_era(servers, PL_STR("u")), MCP_ERA_UNKNOWN);
    ck_assert(!mcp_servers_session(servers, PL_STR("o"), PL_STR("u"), arena, &found));
    pl_arena_destroy(&arena);
    mcp_servers_destroy(&servers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp_memory");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
    tcase_add_test(tests, an_answer_is_read_whole_or_not_at_all);
    tcase_add_test(tests, tools_are_put_together_and_told_whole_or_not_at_all);
    tcase_add_test(tests, arguments_are_never_taken_unjudged);
    tcase_add_test(tests, what_cannot_be_kept_is_not_known);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
