/* test_llm_answer.c - what an llm step makes of a model's answer: JSON in its text against the
 * schema, the message that asks again, an agent's turn and the arguments of its tools; and the
 * conversation an agent's turns add up to. Run by ctest. */
#include "base/json.h"
#include "service/steps/llm_answer.h"
#include "service/steps/llm_messages.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static struct pl_arena *arena;
static struct schema_use schema;

static void set_up(void)
{
    arena = pl_arena_create(0);
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static struct schema_use use_of(const char *json)
{
    struct doc_problems problems;
    struct doc_node *root = NULL;
    struct schema_use use = {.json = pl_str(json)};

    doc_problems_init(&problems, arena);
    ck_assert_int_eq(doc_parse(arena, pl_str(json), DOC_JSON, &root, &problems), PL_OK);
    use.schema = schema_compile(arena, root, &problems);
    ck_assert_ptr_nonnull(use.schema);
    return use;
}

/* The output, or "!code message | what the model is told". */
static const char *take(const struct llm_terms *terms, struct pl_str given)
{
    struct pl_value *output = pl_value_new(given);
    struct pl_str again[2] = {0};
    struct pl_err err = {0};
    const char *text;

    if (llm_answer_take(terms, arena, &output, again, &err) == PL_OK) {
        ck_assert_int_eq(json_check(pl_value_text(output), 64, NULL, &err), PL_OK);
        text = test_str(pl_value_text(output));
    } else {
        ck_assert(pl_str_eq(pl_value_text(output), given)); /* as it was */
        text = pl_arena_printf(arena, "!%s %s | %s", pl_code_text(err.code), err.message,
                               again[1].ptr);
    }
    pl_value_unref(&output);
    return text;
}

static const char *take_text(const char *text)
{
    const struct llm_terms terms = {.schema = &schema, .max_output = 4096};
    struct pl_buf token;
    const char *taken;

    pl_buf_init(&token, 65536);
    json_write_string(&token, pl_str(text));
    taken = take(&terms, pl_buf_view(&token));
    pl_buf_finish(&token);
    return taken;
}

#define PERSON                                                                                     \
    "{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\"}," \
    "\"age\":{\"type\":\"integer\"},\"tags\":{\"type\":\"array\",\"default\":[]}}}"

START_TEST(the_output_is_the_value_wherever_the_text_has_it)
{
    static const char *const texts[] = {
        "{\"name\":\"Ann\",\"tags\":[]}",
        " \n{\"name\": \"Ann\", \"tags\": []}\n",
        "```json\n{\"name\":\"Ann\",\"tags\":[]}\n```",
        "```\r\n{\"name\":\"Ann\",\r\n\"tags\":[]}\r\n```\r\n",
        "Here you are:\n\n```json\n{\"name\":\"Ann\",\"tags\":[]}\n```\nAnything else?",
        "{\"name\":\"Ann\"}",
    };

    schema = use_of(PERSON);
    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++)
        ck_assert_str_eq(take_text(texts[i]), "{\"name\":\"Ann\",\"tags\":[]}");
    ck_assert_str_eq(take_text("{\"name\":\"```\\n1\\n```\",\"age\":12345678901234567890}"),
                     "{\"name\":\"```\\n1\\n```\",\"age\":12345678901234567890,\"tags\":[]}");
}
END_TEST

START_TEST(a_text_that_is_no_whole_json_is_refused)
{
    static const char *const texts[] = {
        "",
        "Ann",
        "{\"name\":\"Ann\"",
        "{\"name\":\"Ann\"} {\"name\":\"Bob\"}",
        "{\"name\":\"Ann\",}",
        "{'name':'Ann'}",
        "{\"name\":\"Ann\",\"name\":\"Bob\"}",
        "```json\n{\"name\":\"Ann\"}",
        "```json\n{\"name\":\"Ann\"}\n```\nor\n```json\n{\"name\":\"Bob\"}\n```",
        "```",
        "{\"name\":\"\\ud800\"}",
    };

    schema = use_of(PERSON);
    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++) {
        const char *taken = take_text(texts[i]);

        ck_assert_msg(strstr(taken, "!invalid_output ") == taken, "%s: %s", texts[i], taken);
        ck_assert_msg(strstr(taken, "it is not valid JSON (") != NULL, "%s", taken);
        ck_assert_msg(strstr(taken, "fit this JSON Schema:\n" PERSON) != NULL, "%s", taken);
    }
}
END_TEST

START_TEST(each_thing_that_does_not_fit_is_told_with_its_place)
{
    const char *taken;

    schema = use_of(PERSON);
    taken = take_text("{\"age\":\"x\"}");
    ck_assert_msg(strstr(taken, "!invalid_output ") == taken, "%s", taken);
    ck_assert_msg(strstr(taken, "at /age: ") != NULL, "%s", taken);
    ck_assert_msg(strstr(taken, "name") != NULL, "%s", taken);
    ck_assert_msg(strstr(taken, "it begins: {\"age\":\"x\"}") != NULL, "%s", taken);
}
END_TEST

START_TEST(a_value_that_was_sent_wrapped_is_taken_out)
{
    schema = use_of("{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}");
    ck_assert_str_eq(take_text("{\"value\":\"yes\"}"), "\"yes\"");
    ck_assert_str_eq(take_text("\"no\""), "\"no\"");
    ck_assert_ptr_nonnull(strstr(take_text("{\"value\":\"perhaps\"}"), "!invalid_output"));
    ck_assert_ptr_nonnull(strstr(take_text("{\"value\":\"yes\",\"a\":1}"), "!invalid_output"));
    schema = use_of("{\"type\":\"object\"}");
    ck_assert_str_eq(take_text("{\"value\":{}}"), "{\"value\":{}}");
}
END_TEST

START_TEST(defaults_may_not_make_the_output_too_large)
{
    const struct llm_terms terms = {.schema = &schema, .max_output = 20};

    schema = use_of(PERSON);
    ck_assert_ptr_nonnull(strstr(take(&terms, PL_STR("\"{\\\"name\\\":\\\"Ann\\\"}\"")),
                                 "!too_large the output is larger than 20 bytes"));
}
END_TEST

/* ---- turns ---- */

#define CALL(name, arguments) "{\"id\":\"c\",\"name\":\"" name "\",\"arguments\":\"" arguments "\"}"
#define GOT(name, rest)       "{\"id\":\"c\",\"name\":\"" name "\"," rest "}"
#define TURN(content, calls)  "{\"content\":" content ",\"tool_calls\":[" calls "]}"

static const struct {
    const char *given, *taken;
} calls[] = {
    {CALL("find", "{\\\"q\\\":1, \\\"n\\\": 2}"), GOT("find", "\"arguments\":{\"q\":1, \"n\": 2}")},
    {CALL("find", "{\\\"q\\\":1}"), GOT("find", "\"arguments\":{\"q\":1,\"n\":3}")},
    {CALL("free", "{\\\"x\\\":[]}"), GOT("free", "\"arguments\":{\"x\":[]}")},
    {CALL("free", ""), GOT("free", "\"arguments\":{}")},
    {CALL("free", " null "), GOT("free", "\"arguments\":{}")},
    {CALL("free", "{\\\"x"),
     GOT("free",
         "\"arguments\":\"{\\\"x\",\"arguments_error\":\"the arguments are not valid JSON: ")},
    {CALL("free", "[1]"), GOT("free", "\"arguments\":\"[1]\",\"arguments_error\":\"the arguments "
                                      "are not a JSON object\"")},
    {CALL("find", "{\\\"q\\\":true}"),
     GOT("find", "\"arguments\":{\"q\":true},\"arguments_error\":\"at /q: ")},
    {CALL("gone", "{}"), GOT("gone", "\"arguments\":{},\"arguments_error\":\"there is no tool "
                                     "'gone' here\"")},
};

static struct agent_tool tools[2];
static const struct agent_config agent = {.tools = tools, .n_tools = 2};

static void make_tools(void)
{
    tools[0] = (struct agent_tool){
        .id = PL_STR("find"),
        .description = PL_STR("looks \"it\" up"),
        .parameters = use_of("{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"integer\"},"
                             "\"n\":{\"default\":3}}}")};
    tools[1] = (struct agent_tool){.id = PL_STR("free")};
}

START_TEST(arguments_become_an_object_or_say_why_not)
{
    const struct llm_terms terms = {.agent = &agent};
    const char *given, *want, *taken;

    make_tools();
    given = pl_arena_printf(arena, TURN("null", "%s"), calls[_i].given);
    taken = take(&terms, pl_str(given));
    want = pl_arena_printf(arena, TURN("null", "%s"), calls[_i].taken);
    if (strstr(want, ": }")) /* what follows is the validator's own word */
        ck_assert_msg(strncmp(taken, want, (size_t)(strstr(want, ": }") - want) + 2) == 0, "%s",
                      taken);
    else
        ck_assert_str_eq(taken, want);
}
END_TEST

START_TEST(a_turn_without_calls_is_the_answer_and_has_to_fit)
{
    const struct llm_terms free = {.agent = &agent};
    const struct llm_terms terms = {.agent = &agent, .schema = &schema};
    static const struct agent_config idle = {0};
    const struct llm_terms no_tools = {.agent = &idle};

    make_tools();
    schema = use_of(PERSON);
    ck_assert_str_eq(take(&free, PL_STR(TURN("\"done\"", ""))), TURN("\"done\"", ""));
    ck_assert_str_eq(take(&no_tools, PL_STR("\"done\"")), TURN("\"done\"", ""));
    ck_assert_str_eq(take(&terms, PL_STR(TURN("\"{\\\"name\\\":\\\"A\\\"}\"", ""))),
                     TURN("{\"name\":\"A\",\"tags\":[]}", ""));
    ck_assert_ptr_nonnull(strstr(take(&terms, PL_STR(TURN("\"done\"", ""))), "!invalid_output"));
    ck_assert_ptr_nonnull(strstr(take(&terms, PL_STR(TURN("null", ""))), "!invalid_output"));
    /* text beside calls is no answer */
    ck_assert_str_eq(take(&terms, PL_STR(TURN("\"wait\"", CALL("free", "{}")))),
                     TURN("\"wait\"", GOT("free", "\"arguments\":{}")));
}
END_TEST

START_TEST(tools_are_offered_in_the_shape_of_the_api)
{
    struct pl_buf out;

    make_tools();
    pl_buf_init(&out, 4096);
    llm_answer_write_tools(&agent, (struct pl_str){0}, &out);
    ck_assert_str_eq(
        test_text(&out),
        "[{\"type\":\"function\",\"function\":{\"name\":\"find\",\"description\":\"looks "
        "\\\"it\\\" up\",\"parameters\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":"
        "\"integer\"},\"n\":{\"default\":3}}}}},{\"type\":\"function\",\"function\":{\"name\":"
        "\"free\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]");
    pl_buf_finish(&out);
}
END_TEST

START_TEST(what_a_provider_wants_back_goes_through_byte_by_byte)
{
    static const char replay[] = ",\"replay\":{\"anthropic\":[{\"type\" : \"thinking\", "
                                 "\"thinking\":\"h\\u006dm\",\"signature\":\"a\\/b==\"}]}}";
    const struct llm_terms terms = {.agent = &agent};
    const char *given, *message;
    struct pl_buf out;

    make_tools();
    given = pl_arena_printf(arena, "{\"content\":null,\"tool_calls\":[%s]%s", CALL("free", "{}"),
                            replay);
    given = take(&terms, pl_str(given));
    ck_assert_msg(strlen(given) > sizeof(replay) &&
                      strcmp(given + strlen(given) - strlen(replay), replay) == 0,
                  "%s", given);
    pl_buf_init(&out, 4096);
    json_array_begin(&out);
    llm_messages_add_turn(&out, pl_str(given));
    message = test_text(&out);
    ck_assert_str_eq(message + strlen(message) - strlen(replay), replay);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(a_conversation_grows_by_turns_and_results)
{
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    llm_messages_reopen(&out, PL_STR("[{\"role\":\"user\",\"content\":\"hi\"} ] "));
    llm_messages_add_turn(
        &out, PL_STR(TURN("null", GOT("find", "\"arguments\":{\"q\": 1}") "," GOT(
                                      "free", "\"arguments\":\"{\\\"x\",\"arguments_error\":"
                                              "\"no\""))));
    llm_messages_add_tool(&out, PL_STR("\"c\""), PL_STR("{\"a\":\"b\"}"));
    llm_messages_add_tool(&out, PL_STR("\"d\""), PL_STR("\"te\\nxt\""));
    llm_messages_add_turn(&out, PL_STR(TURN("{\"name\":\"A\"}", "")));
    llm_messages_add_text(&out, "user", PL_STR("\"more\""));
    json_array_end(&out);
    ck_assert_str_eq(
        test_text(&out),
        "[{\"role\":\"user\",\"content\":\"hi\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":"
        "\"function\",\"function\":{\"name\":\"find\",\"arguments\":\"{\\\"q\\\": 1}\"}},{\"id\":"
        "\"c\",\"type\":\"function\",\"function\":{\"name\":\"free\",\"arguments\":\"{\\\"x\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"{\\\"a\\\":\\\"b\\\"}\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"d\",\"content\":\"te\\nxt\"},"
        "{\"role\":\"assistant\",\"content\":\"{\\\"name\\\":\\\"A\\\"}\"},"
        "{\"role\":\"user\",\"content\":\"\\\"more\\\"\"}]");
    pl_buf_finish(&out);
    pl_buf_init(&out, 4096);
    llm_messages_reopen(&out, PL_STR("[ ]"));
    llm_messages_add_text(&out, "user", PL_STR("x"));
    json_array_end(&out);
    ck_assert_str_eq(test_text(&out), "[{\"role\":\"user\",\"content\":\"x\"}]");
    pl_buf_finish(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_answer");
    TCase *tcase = tcase_create("llm_answer");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_output_is_the_value_wherever_the_text_has_it);
    tcase_add_test(tcase, a_text_that_is_no_whole_json_is_refused);
    tcase_add_test(tcase, each_thing_that_does_not_fit_is_told_with_its_place);
    tcase_add_test(tcase, a_value_that_was_sent_wrapped_is_taken_out);
    tcase_add_test(tcase, defaults_may_not_make_the_output_too_large);
    tcase_add_loop_test(tcase, arguments_become_an_object_or_say_why_not, 0,
                        (int)PL_ARRAY_LEN(calls));
    tcase_add_test(tcase, a_turn_without_calls_is_the_answer_and_has_to_fit);
    tcase_add_test(tcase, tools_are_offered_in_the_shape_of_the_api);
    tcase_add_test(tcase, what_a_provider_wants_back_goes_through_byte_by_byte);
    tcase_add_test(tcase, a_conversation_grows_by_turns_and_results);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
