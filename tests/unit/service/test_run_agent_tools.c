/* test_run_agent_tools.c - the names MCP tools get, how many there may be, and what the model is
 * told. When they are asked for is in the scenarios agent_mcp_*. Run by ctest. */
#include "base/json.h"
#include "service/run/run_agent_tools.h"

#include <check.h>
#include <stdio.h>

static struct agent_tool own[] = {{.id = PL_STR("search")}};
static struct agent_mcp servers[2];
static struct agent_config config = {.tools = own, .n_tools = 1, .mcp = servers, .n_mcp = 1};

static const struct pl_str memo = PL_STR("{\"messages\":[],\"mcp\":[\"http://a/\"]}");

/* The memo of one server that lists these names, in the test's buffer. */
static enum pl_code merge(const char *const *names, size_t n, struct pl_buf *out,
                          struct pl_err *err)
{
    struct agent_listing listing = {.done = true};
    struct pl_value *made = NULL;
    enum pl_code code;
    struct pl_buf list;

    pl_buf_init(&list, 1 << 20);
    json_array_begin(&list);
    for (size_t i = 0; i < n; i++) {
        json_comma(&list);
        json_object_begin(&list);
        json_add_string(&list, "name", pl_str(names[i]));
        json_add_raw(&list, "inputSchema", PL_STR("{}"));
        json_object_end(&list);
    }
    json_array_end(&list);
    listing.tools = pl_value_take(&list);
    code = agent_tools_memo(&config, memo, &listing, &made, err);
    if (code == PL_OK)
        pl_buf_str(out, pl_value_text(made));
    pl_value_unref(&made);
    pl_value_unref(&listing.tools);
    pl_buf_finish(&list);
    return code;
}

START_TEST(names_fit_every_provider_and_are_there_once)
{
    static const char long_name[] =
        "a234567890123456789012345678901234567890123456789012345678901234567890";
    static const char *const names[] = {"search", "get.sum",  "get_sum", "look-2",  "7up",
                                        "größe",  "fly-high", long_name, long_name, "-"};
    static const char *const offered[] = {
        "search_2",
        "get_sum",
        "get_sum_2",
        "look_2",
        "_7up",
        "gr____e",
        "fly-high",
        "a234567890123456789012345678901234567890123456789012345678901234",
        "a2345678901234567890123456789012345678901234567890123456789012_2",
        "_-",
    };
    struct pl_str tools, tool, name;
    struct pl_err err;
    struct pl_buf out;
    uint32_t index;

    pl_buf_init(&out, 1 << 20);
    ck_assert_int_eq(merge(names, PL_ARRAY_LEN(names), &out, &err), PL_OK);
    ck_assert(json_get(pl_buf_view(&out), PL_STR("tools"), &tools));
    for (size_t i = 0; i < PL_ARRAY_LEN(offered); i++) {
        ck_assert(json_at(tools, (int64_t)i, &tool) && json_get(tool, PL_STR("name"), &name));
        ck_assert_msg(pl_str_eq(pl_str_n(name.ptr + 1, name.len - 2), pl_str(offered[i])),
                      "%s is offered as %.*s", names[i], PL_STR_ARG(name));
        ck_assert(agent_tools_find(tools, pl_str(offered[i]), &index) && index == i);
    }
    ck_assert(!agent_tools_find(tools, PL_STR("search"), &index));
    pl_buf_finish(&out);
}
END_TEST

START_TEST(more_tools_than_providers_take_are_refused)
{
    const char *names[AGENT_TOOLS_MAX];
    char texts[AGENT_TOOLS_MAX][8];
    struct pl_err err;
    struct pl_buf out;

    for (int i = 0; i < AGENT_TOOLS_MAX; i++) {
        snprintf(texts[i], sizeof(texts[i]), "t%d", i);
        names[i] = texts[i];
    }
    pl_buf_init(&out, 1 << 20);
    ck_assert_int_eq(merge(names, AGENT_TOOLS_MAX - 1, &out, &err), PL_OK);
    ck_assert_int_eq(merge(names, AGENT_TOOLS_MAX, &out, &err), PL_ERR_LIMIT_EXCEEDED);
    ck_assert_ptr_nonnull(strstr(err.message, "'tools'"));
    pl_buf_finish(&out);
}
END_TEST

START_TEST(a_server_that_failed_is_told_in_the_first_instructions)
{
    struct agent_listing listings[2] = {{.done = true, .why = "It burns"},
                                        {.done = true, .why = "It drowned"}};
    struct pl_value *made = NULL;
    struct pl_err err;

    config.n_mcp = 2;
    ck_assert_int_eq(
        agent_tools_memo(&config, PL_STR("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
                         listings, &made, &err),
        PL_OK);
    config.n_mcp = 1;
    ck_assert_str_eq(pl_value_text(made).ptr,
                     "{\"messages\":[{\"role\":\"system\",\"content\":\"The tools of an MCP server "
                     "cannot be used in this conversation: It burns\\nThe tools of an MCP server "
                     "cannot be used in this conversation: It drowned\"},{\"role\":\"user\","
                     "\"content\":\"hi\"}],\"mcp\":[],\"tools\":[]}");
    pl_value_unref(&made);
}
END_TEST

START_TEST(the_model_is_told_texts_and_what_else_there_is)
{
    static const char *const told[][2] = {
        {"{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}",
         "\"a\\nb\""},
        {"{\"content\":[{\"type\":\"audio\",\"mimeType\":\"audio/wav\",\"data\":\"AA==\"}]}",
         "\"[audio audio/wav]\""},
        {"{\"content\":[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\",\"text\":\"t\"}}]}",
         "\"t\""},
        {"{\"content\":[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\",\"blob\":\"AA==\"}}]}",
         "\"[resource a:b]\""},
        {"{\"content\":[],\"structuredContent\":{\"n\":1}}", "{\"n\":1}"},
        {"{\"content\":[{\"type\":\"text\",\"text\":\"no\"}],\"isError\":true}",
         "{\"error\":\"no\"}"},
        {"{\"content\":[]}", "\"\""},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(told); i++) {
        struct pl_value *value = agent_tools_answer(pl_str(told[i][0]));

        ck_assert_str_eq(pl_value_text(value).ptr, told[i][1]);
        pl_value_unref(&value);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_agent_tools");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
    tcase_add_test(tests, names_fit_every_provider_and_are_there_once);
    tcase_add_test(tests, more_tools_than_providers_take_are_refused);
    tcase_add_test(tests, a_server_that_failed_is_told_in_the_first_instructions);
    tcase_add_test(tests, the_model_is_told_texts_and_what_else_there_is);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
