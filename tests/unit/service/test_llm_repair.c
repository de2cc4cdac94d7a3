/* test_llm_repair.c - an llm step that wants JSON, against a scripted server: asked again when the
 * answer does not fit, its usage, its time, cancelling; an agent's turn, a fallback's model and a
 * sample's seed as they are sent. Not the judging itself (test_llm_answer). Run by ctest. */
#include "base/json.h"
#include "service/llm/provider.h"
#include "service/pool.h"
#include "tests/support/raw_server.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD(type) "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\nConnection: close\r\n\r\n"
#define ANSWER(content)                                                                        \
    HEAD("application/json")                                                                   \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" content    \
    "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1," \
    "\"prompt_tokens_details\":{\"cached_tokens\":2}}}"
#define BAD  ANSWER("seven")
#define GOOD ANSWER("{\\\"n\\\":7}")
#define EVENT(delta) \
    "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"
#define STREAM(content) \
    HEAD("text/event-stream") EVENT("{\"content\":\"" content "\"}") "data: [DONE]\n\n"

enum { CONNECTIONS = 4, REQUEST = 8192 };

static struct pool *pool;
static struct providers *providers;
static struct workflow *workflow;
static struct raw_server *server;
static struct pl_arena *arena;
static struct llm_config *config;

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

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    providers = providers_create();
    arena = pl_arena_create(0);
    workflow = test_workflow("{\"name\":\"t\",\"steps\":{\"a\":{\"timeout\":\"20s\",\"llm\":{"
                             "\"model\":\"openai/m-1\",\"system\":\"be brief\",\"prompt\":\"how "
                             "many?\",\"seed\":40}}}}");
    config = workflow_find(workflow, PL_STR("a"))->config.llm;
    config->schema =
        use_of("{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":"
               "\"integer\"}}}");
    config->repair = 1;
    server = NULL;
}

static void tear_down(void)
{
    pool_destroy(&pool);
    providers_destroy(&providers);
    workflow_unref(&workflow);
    raw_server_stop(&server);
    pl_arena_destroy(&arena);
}

/* The i-th connection gets answers[i], later ones the last. NULL: nothing, until the peer goes. */
static void serve(const char *const *answers, size_t count)
{
    static struct raw_step steps[CONNECTIONS][3];
    static struct raw_script scripts[CONNECTIONS];
    char url[64];
    const struct provider_options options = {.name = "openai", .base_url = url};
    struct pl_err err;

    for (size_t i = 0; i < count; i++) {
        steps[i][0] = (struct raw_step){.action = RAW_READ};
        steps[i][1] = answers[i]
                          ? (struct raw_step){.action = RAW_SEND, .bytes = pl_str(answers[i])}
                          : (struct raw_step){.action = RAW_STALL};
        steps[i][2] = (struct raw_step){.action = RAW_CLOSE};
        scripts[i] = (struct raw_script){.steps = steps[i], .count = 3};
    }
    server = raw_server_start(scripts, count);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", raw_server_port(server));
    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
}

static void init(struct step_probe *probe, bool listen)
{
    step_probe_init(probe, pool_loop(pool, 0), providers, workflow, "a", listen);
}

/* The body of the i-th request. */
static const char *body_of(unsigned connection)
{
    static char request[REQUEST];
    const char *body;

    raw_server_request(server, connection, request, sizeof(request));
    body = strstr(request, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    return body + 4;
}

START_TEST(an_answer_that_fits_is_the_output_itself)
{
    static const char *const answers[] = {GOOD};
    struct step_probe probe;

    serve(answers, 1);
    init(&probe, false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "{\"n\":7}");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    ck_assert_ptr_nonnull(strstr(body_of(0), "\"response_format\":{\"type\":\"json_schema\""));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(an_answer_that_does_not_fit_is_asked_for_again_in_the_same_attempt)
{
    static const char *const answers[] = {BAD, GOOD};
    struct step_probe probe;
    const char *body;

    serve(answers, 2);
    init(&probe, false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "{\"n\":7}");
    ck_assert_uint_eq(probe.completes, 1);
    ck_assert_int_eq(probe.call.result.usage.calls, 2);
    ck_assert_int_eq(probe.call.result.usage.input_tokens, 6);
    ck_assert_int_eq(probe.call.result.usage.cached_input_tokens, 4);
    ck_assert_int_eq(probe.call.result.usage.output_tokens, 2);
    body = body_of(1);
    ck_assert_ptr_nonnull(strstr(
        body, "\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\","
              "\"content\":\"how many?\"},{\"role\":\"assistant\",\"content\":\"seven\"},{"
              "\"role\":\"user\",\"content\":\"That answer does not fit: it is not valid JSON"));
    ck_assert_ptr_nonnull(strstr(body, "\"response_format\":"));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(it_is_asked_for_again_as_often_as_the_step_says)
{
    static const char *const answers[] = {BAD, ANSWER("{\\\"n\\\":\\\"x\\\"}"), GOOD};
    struct step_probe probe;
    const char *body;

    serve(answers, 3);
    config->repair = 2;
    init(&probe, false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "{\"n\":7}");
    ck_assert_int_eq(probe.call.result.usage.calls, 3);
    body = body_of(2); /* it holds the whole conversation */
    ck_assert_ptr_nonnull(strstr(body, "\"content\":\"seven\""));
    ck_assert_ptr_nonnull(strstr(body, "at /n: "));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(an_answer_that_never_fits_fails_in_the_retry_class_schema)
{
    static const char *const answers[] = {BAD};
    struct step_probe probe;

    for (unsigned repair = 0; repair < 2; repair++) {
        serve(answers, 1);
        config->repair = repair;
        init(&probe, false);
        step_probe_run(&probe);
        ck_assert_str_eq(step_probe_result(&probe), "!invalid_output");
        ck_assert_int_eq(pl_code_retry_class(probe.call.result.err.code), PL_RETRY_SCHEMA);
        ck_assert(!probe.call.result.no_retry);
        ck_assert_int_eq(probe.call.result.usage.calls, repair + 1);
        ck_assert_ptr_nonnull(strstr(probe.call.result.err.message, "it begins: seven"));
        step_probe_finish(&probe);
        raw_server_stop(&server);
    }
}
END_TEST

START_TEST(a_call_that_fails_while_it_repairs_fails_the_attempt_with_all_usage)
{
    static const char *const answers[] = {BAD, "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n"};
    struct step_probe probe;

    serve(answers, 2);
    init(&probe, false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!provider_error");
    ck_assert_int_eq(probe.call.result.upstream_status, 500);
    ck_assert_int_eq(probe.call.result.usage.calls, 2);
    ck_assert_int_eq(probe.call.result.usage.input_tokens, 3);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(text_told_of_a_bad_answer_is_taken_back)
{
    static const char *const answers[] = {STREAM("seven"), STREAM("{\\\"n\\\":7}")};
    struct step_probe probe;

    serve(answers, 2);
    init(&probe, true);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "{\"n\":7}");
    ck_assert_str_eq(test_text(&probe.deltas), "seven^~{\"n\":7}^");
    step_probe_finish(&probe);
}
END_TEST

START_TEST(an_abort_while_it_is_asked_again_keeps_the_usage)
{
    static const char *const answers[] = {BAD, NULL};
    struct step_probe probe;

    serve(answers, 2);
    init(&probe, false);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    ck_assert(raw_server_wait_requests(server, 2));
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    ck_assert_int_eq(probe.call.result.usage.calls, 2);
    ck_assert_int_ge(probe.call.result.usage.input_tokens, 3);
    step_probe_finish(&probe);
}
END_TEST

/* A reset is told between the two calls: the abort comes right there. */
static void abort_at_reset(struct step_call *call)
{
    call->ops->abort(call);
}

START_TEST(an_abort_between_two_calls_sends_no_second_one)
{
    static const char *const answers[] = {STREAM("seven"), NULL};
    struct step_probe probe;

    serve(answers, 2);
    init(&probe, true);
    probe.call.reset = abort_at_reset;
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    ck_assert_uint_eq(raw_server_requests(server), 1);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_repair_has_only_what_is_left_of_the_attempts_time)
{
    static const struct raw_step late[] = {{.action = RAW_READ},
                                           {.action = RAW_PAUSE, .times = 700},
                                           {.action = RAW_SEND, .bytes = {BAD, sizeof(BAD) - 1}},
                                           {.action = RAW_CLOSE}};
    static const struct raw_step never[] = {{.action = RAW_READ}, {.action = RAW_STALL}};
    static const struct raw_script scripts[] = {{late, 4}, {never, 2}};
    struct step_def *def = (struct step_def *)(uintptr_t)workflow_find(workflow, PL_STR("a"));
    char url[64];
    const struct provider_options options = {.name = "openai", .base_url = url};
    struct step_probe probe;
    struct pl_err err;

    server = raw_server_start(scripts, 2);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", raw_server_port(server));
    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    def->timeout = 1500;
    init(&probe, false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!timeout");
    ck_assert_int_eq(probe.call.result.usage.calls, 2);
    /* the second call did not get the whole time again */
    ck_assert_int_lt(probe.completed_us - probe.started_us, 2100000);
    step_probe_finish(&probe);
}
END_TEST

/* ---- what the run hands over ---- */

#define TOOL_ANSWER                                                                             \
    HEAD("application/json")                                                                    \
    "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"     \
    "\"function\",\"function\":{\"name\":\"find\",\"arguments\":\"{\\\"q\\\":\\\"x\\\"}\"}}]}," \
    "\"finish_reason\":\"tool_calls\"}]}"

START_TEST(an_agents_turn_sends_its_conversation_and_its_tools)
{
    static const char *const answers[] = {TOOL_ANSWER, BAD, GOOD};
    struct agent_tool tool = {.id = PL_STR("find"), .description = PL_STR("looks up")};
    const struct agent_config agent = {.llm = config, .tools = &tool, .n_tools = 1};
    struct step_probe probe;

    serve(answers, 3);
    init(&probe, false);
    probe.call.agent = &agent;
    probe.call.messages_override = PL_STR("[{\"role\":\"user\",\"content\":\"go\"}]");
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe),
                     "{\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"name\":\"find\","
                     "\"arguments\":{\"q\":\"x\"}}]}");
    ck_assert_ptr_nonnull(
        strstr(body_of(0), "\"messages\":[{\"role\":\"user\",\"content\":\"go\"}]"));
    ck_assert_ptr_nonnull(strstr(body_of(0), "\"tools\":[{\"type\":\"function\",\"function\":{"
                                             "\"name\":\"find\",\"description\":\"looks up\""));
    step_probe_finish(&probe);
    /* the last turn has to fit the agent's schema; tools are offered while it is repaired */
    init(&probe, false);
    probe.call.agent = &agent;
    probe.call.messages_override = PL_STR("[{\"role\":\"user\",\"content\":\"go\"}]");
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "{\"content\":{\"n\":7},\"tool_calls\":[]}");
    ck_assert_int_eq(probe.call.result.usage.calls, 2);
    ck_assert_ptr_nonnull(strstr(body_of(2), "{\"role\":\"assistant\",\"content\":\"seven\"}"));
    ck_assert_ptr_nonnull(strstr(body_of(2), "\"tools\":["));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_fallback_is_another_model_of_the_same_step)
{
    static const char *const answers[] = {GOOD};
    struct step_probe probe;

    serve(answers, 1);
    init(&probe, false);
    probe.call.model = PL_STR("openai/m-2");
    step_probe_run(&probe);
    ck_assert_ptr_nonnull(strstr(body_of(0), "{\"model\":\"m-2\","));
    step_probe_finish(&probe);
    init(&probe, false);
    probe.call.model = PL_STR("nobody/m");
    ck_assert_int_eq(step_probe_prepare(&probe), PL_ERR_PROVIDER_UNKNOWN);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(each_sample_has_a_seed_of_its_own)
{
    static const char *const answers[] = {GOOD};
    static const struct {
        int sample;
        const char *seed, *sent;
    } samples[] = {{-1, "40", "\"seed\":40"},
                   {0, "40", "\"seed\":40"},
                   {3, "40", "\"seed\":43"},
                   {3, "-1", "\"seed\":2"},
                   {2, "9223372036854775807", "\"seed\":2"},
                   {2, "", NULL}};
    struct step_probe probe;

    for (size_t i = 0; i < PL_ARRAY_LEN(samples); i++) {
        serve(answers, 1);
        config->seed = pl_str(samples[i].seed);
        init(&probe, false);
        probe.call.sample = samples[i].sample;
        step_probe_run(&probe);
        if (samples[i].sent)
            ck_assert_msg(strstr(body_of(0), samples[i].sent) != NULL, "%s", body_of(0));
        else
            ck_assert_ptr_null(strstr(body_of(0), "\"seed\""));
        step_probe_finish(&probe);
        raw_server_stop(&server);
    }
}
END_TEST

START_TEST(parts_of_a_message_go_out_as_they_are)
{
#define PARTS                                                                             \
    "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"    \
    "\"data:image/png;base64,AAAA\",\"detail\":\"low\"}},{\"type\":\"input_audio\","      \
    "\"input_audio\":{\"data\":\"AA\",\"format\":\"wav\"}},{\"type\":\"file\",\"file\":{" \
    "\"file_id\":\"f\"}}]}]"
    static const char *const answers[] = {GOOD};
    struct workflow *parts = test_workflow("{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":"
                                           "\"openai/m\",\"messages\":" PARTS "}}}}");
    struct step_probe probe;

    serve(answers, 1);
    step_probe_init(&probe, pool_loop(pool, 0), providers, parts, "a", false);
    step_probe_run(&probe);
    ck_assert_ptr_nonnull(strstr(body_of(0), "\"messages\":" PARTS));
    step_probe_finish(&probe);
    workflow_unref(&parts);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_repair");
    TCase *tcase = tcase_create("llm_repair");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_answer_that_fits_is_the_output_itself);
    tcase_add_test(tcase, an_answer_that_does_not_fit_is_asked_for_again_in_the_same_attempt);
    tcase_add_test(tcase, it_is_asked_for_again_as_often_as_the_step_says);
    tcase_add_test(tcase, an_answer_that_never_fits_fails_in_the_retry_class_schema);
    tcase_add_test(tcase, a_call_that_fails_while_it_repairs_fails_the_attempt_with_all_usage);
    tcase_add_test(tcase, text_told_of_a_bad_answer_is_taken_back);
    tcase_add_test(tcase, an_abort_while_it_is_asked_again_keeps_the_usage);
    tcase_add_test(tcase, an_abort_between_two_calls_sends_no_second_one);
    tcase_add_test(tcase, a_repair_has_only_what_is_left_of_the_attempts_time);
    tcase_add_test(tcase, an_agents_turn_sends_its_conversation_and_its_tools);
    tcase_add_test(tcase, a_fallback_is_another_model_of_the_same_step);
    tcase_add_test(tcase, each_sample_has_a_seed_of_its_own);
    tcase_add_test(tcase, parts_of_a_message_go_out_as_they_are);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
