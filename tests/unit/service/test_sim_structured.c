/* test_sim_structured.c - the simulated provider where JSON or tool calls are asked for: values
 * that fit, answers that do not on purpose, each tool once, votes by sample. Not its plain answers
 * (test_sim). Run by ctest. */
#include "base/json.h"
#include "service/llm/provider.h"
#include "service/pool.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define PERSON                                                                                     \
    "{\"type\":\"object\",\"required\":[\"name\",\"age\"],\"additionalProperties\":false,"         \
    "\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\",\"minimum\":18}" \
    "}}"

static struct pool *pool;
static struct providers *providers;
static struct pl_arena *arena;

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    providers = providers_create();
    arena = pl_arena_create(0);
}

static void tear_down(void)
{
    pool_destroy(&pool);
    providers_destroy(&providers);
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

/* What the next attempt is. */
struct ask {
    const char *options, *schema; /* schema NULL: none */
    unsigned repair, attempt;     /* attempt 0: the first */
    bool listen;
    const struct agent_config *agent;
    const char *messages; /* override; NULL: the prompt "hello" */
};

/* What came of it, good until the next. */
struct told {
    const char *result;
    char deltas[1024];
    struct store_usage usage;
};

static struct told ask(const struct ask *ask)
{
    char text[512];
    struct workflow *workflow;
    struct llm_config *config;
    struct step_probe probe;
    struct told told = {0};

    snprintf(text, sizeof(text),
             "{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":\"sim/echo%s\",\"prompt\":"
             "\"hello\"}}}}",
             ask->options);
    workflow = test_workflow(text);
    config = workflow_find(workflow, PL_STR("a"))->config.llm;
    if (ask->schema)
        config->schema = use_of(ask->schema);
    config->repair = ask->repair;
    step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", ask->listen);
    probe.call.attempt = ask->attempt ? ask->attempt : 1;
    probe.call.agent = ask->agent;
    if (ask->messages)
        probe.call.messages_override = pl_str(ask->messages);
    step_probe_run(&probe);
    told.result = step_probe_result(&probe);
    told.usage = probe.call.result.usage;
    snprintf(told.deltas, sizeof(told.deltas), "%s", test_text(&probe.deltas));
    step_probe_finish(&probe);
    workflow_unref(&workflow);
    return told;
}

static bool fits(const char *json, const char *schema)
{
    const struct schema_use use = use_of(schema);
    struct doc_problems problems;
    struct pl_str filled;

    doc_problems_init(&problems, arena);
    return json[0] != '!' &&
           schema_apply(use.schema, arena, pl_str(json), &filled, &problems) == PL_OK;
}

START_TEST(an_answer_fits_the_schema_and_is_always_the_same)
{
    static const char *const schemas[] = {PERSON, "{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}",
                                          "{\"type\":\"array\",\"minItems\":2,\"items\":" PERSON
                                          "}",
                                          "{\"type\":\"integer\",\"minimum\":7}", "true"};

    for (size_t i = 0; i < PL_ARRAY_LEN(schemas); i++) {
        const struct ask one = {.options = "", .schema = schemas[i]};
        struct told told = ask(&one);
        char first[1024];

        ck_assert_msg(fits(told.result, schemas[i]), "%s: %s", schemas[i], told.result);
        ck_assert_int_eq(told.usage.calls, 1);
        snprintf(first, sizeof(first), "%s", told.result);
        told = ask(&one);
        ck_assert_str_eq(told.result, first);
    }
}
END_TEST

START_TEST(strings_of_an_answer_repeat_the_prompt)
{
    const struct ask one = {.options = "", .schema = PERSON};
    const struct told told = ask(&one);

    ck_assert_msg(strstr(told.result, "\"name\":\"[simulated] hello\"") != NULL, "%s", told.result);
}
END_TEST

START_TEST(a_fixed_answer_is_json_or_a_string_of_it)
{
    const struct ask value = {.options = "?text=%7B%22name%22:%22A%22,%22age%22:20%7D",
                              .schema = PERSON};
    const struct ask word = {.options = "?text=yes",
                             .schema = "{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}"};
    const struct ask wrong = {.options = "?text=perhaps",
                              .schema = "{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}"};

    ck_assert_str_eq(ask(&value).result, "{\"name\":\"A\",\"age\":20}");
    ck_assert_str_eq(ask(&word).result, "\"yes\"");
    ck_assert_str_eq(ask(&wrong).result, "!invalid_output");
}
END_TEST

START_TEST(the_first_answers_are_bad_ones_if_asked_for)
{
    const struct ask repaired = {.options = "?bad_json=1", .schema = PERSON, .repair = 1};
    const struct ask failed = {.options = "?bad_json=2", .schema = PERSON, .repair = 1};
    const struct ask again = {
        .options = "?bad_json=2", .schema = PERSON, .repair = 1, .attempt = 2};
    const struct ask still = {
        .options = "?bad_json=4", .schema = PERSON, .repair = 1, .attempt = 2};
    const struct ask plain = {.options = "?bad_json=2"};
    struct told told = ask(&repaired);

    ck_assert_msg(fits(told.result, PERSON), "%s", told.result);
    ck_assert_int_eq(told.usage.calls, 2);
    ck_assert_int_gt(told.usage.input_tokens, 20);
    told = ask(&failed);
    ck_assert_str_eq(told.result, "!invalid_output");
    ck_assert_int_eq(told.usage.calls, 2);
    told = ask(&again);
    ck_assert_msg(fits(told.result, PERSON), "%s", told.result);
    ck_assert_int_eq(told.usage.calls, 1);
    ck_assert_str_eq(ask(&still).result, "!invalid_output");
    ck_assert_str_eq(ask(&plain).result, "\"[simulated] hello\"");
}
END_TEST

START_TEST(words_of_a_bad_answer_are_taken_back)
{
    const struct ask repaired = {
        .options = "?bad_json=1&latency=20ms", .schema = PERSON, .repair = 1, .listen = true};
    const struct told told = ask(&repaired);

    ck_assert_msg(fits(told.result, PERSON), "%s", told.result);
    ck_assert_msg(strstr(told.deltas, "hello^~{") != NULL, "%s", told.deltas);
}
END_TEST

START_TEST(a_schema_that_nothing_fits_is_said_to_be_one)
{
    const struct ask one = {.options = "", .schema = "{\"allOf\":[{\"const\":1},{\"const\":2}]}"};

    ck_assert_str_eq(ask(&one).result, "!unsupported");
}
END_TEST

/* ---- tools ---- */

static struct agent_tool tools[2];
static const struct agent_config agent = {.tools = tools, .n_tools = 2};

static void make_tools(void)
{
    tools[0] = (struct agent_tool){
        .id = PL_STR("search"),
        .parameters = use_of("{\"type\":\"object\",\"required\":[\"q\"],\"properties\":{\"q\":{"
                             "\"type\":\"string\"}}}")};
    tools[1] = (struct agent_tool){.id = PL_STR("clock")};
}

#define USER "{\"role\":\"user\",\"content\":\"go\"}"
#define RESULTS \
    "[" USER ",{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"x\"}]"

START_TEST(each_tool_is_called_once_and_then_the_answer_comes)
{
    const struct ask first = {
        .options = "?latency=5ms", .agent = &agent, .messages = "[" USER "]", .listen = true};
    const struct ask last = {.options = "", .agent = &agent, .messages = RESULTS};
    const struct ask fits_too = {
        .options = "", .agent = &agent, .messages = RESULTS, .schema = PERSON};
    const struct ask never = {
        .options = "?tools=0", .agent = &agent, .messages = "[" USER "]", .listen = true};
    struct told told;

    make_tools();
    told = ask(&first);
    ck_assert_str_eq(told.result,
                     "{\"content\":null,\"tool_calls\":[{\"id\":\"call_0\",\"name\":\"search\","
                     "\"arguments\":{\"q\":\"go\"}},{\"id\":\"call_1\",\"name\":\"clock\","
                     "\"arguments\":{}}]}");
    ck_assert_str_eq(told.deltas, "");
    told = ask(&last);
    ck_assert_str_eq(told.result, "{\"content\":\"[simulated] go\",\"tool_calls\":[]}");
    told = ask(&fits_too);
    ck_assert_msg(strstr(told.result, "{\"content\":{\"name\":\"[simulated] go\",") == told.result,
                  "%s", told.result);
    told = ask(&never);
    ck_assert_str_eq(told.result, "{\"content\":\"[simulated] go\",\"tool_calls\":[]}");
    ck_assert_str_eq(told.deltas, "[simulated] go^");
}
END_TEST

/* ---- samples ---- */

START_TEST(a_message_of_pictures_alone_is_fine)
{
    const struct ask one = {
        .options = "",
        .messages = "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
                    "\"url\":\"data:image/png;base64,AAAA\"}}]}]"};

    ck_assert_str_eq(ask(&one).result, "\"[simulated] \"");
}
END_TEST

START_TEST(votes_go_by_the_sample_whatever_the_path)
{
    static const char *const expected[] = {"\"a\"", "\"a\"", "\"a\"", "\"b\"",
                                           "\"b\"", "\"a\"", "\"a\""};
    struct workflow *workflow =
        test_workflow("{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":\"sim/echo?vote=a:3,"
                      "b:2\",\"prompt\":\"x\"}}}}");
    struct step_probe probe;

    for (int i = 0; i < (int)PL_ARRAY_LEN(expected); i++) {
        step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
        probe.call.path = PL_STR("verdict.9.draft.1");
        probe.call.sample = i;
        step_probe_run(&probe);
        ck_assert_str_eq(step_probe_result(&probe), expected[i]);
        step_probe_finish(&probe);
    }
    workflow_unref(&workflow);
}
END_TEST

/* The share of a hundred paths whose calls fail, as a string of marks. */
static void draw_failures(const char *seed, int sample, char marks[101])
{
    struct workflow *workflow =
        test_workflow("{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":\"sim/echo?fail_rate="
                      "0.5\",\"prompt\":\"x\"}}}}");
    char path[32];
    struct step_probe probe;

    workflow_find(workflow, PL_STR("a"))->config.llm->seed = pl_str(seed);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "a.%u.x", i);
        step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
        probe.call.path = pl_str(path);
        probe.call.sample = sample;
        step_probe_run(&probe);
        marks[i] = step_probe_result(&probe)[0] == '!' ? '!' : '.';
        step_probe_finish(&probe);
    }
    marks[100] = '\0';
    workflow_unref(&workflow);
}

START_TEST(chance_goes_by_the_seed)
{
    char none[101], one[101], two[101], again[101], sample[101];

    draw_failures("", -1, none);
    draw_failures("1", -1, one);
    draw_failures("2", -1, two);
    draw_failures("1", -1, again);
    draw_failures("1", 1, sample);
    ck_assert_str_eq(one, again);
    ck_assert_str_ne(one, two);
    ck_assert_str_ne(one, none);
    ck_assert_str_eq(sample, two); /* the sample is in the seed */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_structured");
    TCase *tcase = tcase_create("sim_structured");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_answer_fits_the_schema_and_is_always_the_same);
    tcase_add_test(tcase, strings_of_an_answer_repeat_the_prompt);
    tcase_add_test(tcase, a_fixed_answer_is_json_or_a_string_of_it);
    tcase_add_test(tcase, the_first_answers_are_bad_ones_if_asked_for);
    tcase_add_test(tcase, words_of_a_bad_answer_are_taken_back);
    tcase_add_test(tcase, a_schema_that_nothing_fits_is_said_to_be_one);
    tcase_add_test(tcase, each_tool_is_called_once_and_then_the_answer_comes);
    tcase_add_test(tcase, a_message_of_pictures_alone_is_fine);
    tcase_add_test(tcase, votes_go_by_the_sample_whatever_the_path);
    tcase_add_test(tcase, chance_goes_by_the_seed);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
