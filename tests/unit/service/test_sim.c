/* test_sim.c - the simulated provider: its options, its answers, its failures, words over time. Run
 * by ctest. */
#include "service/llm/provider.h"
#include "service/llm/sim_options.h"
#include "service/pool.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct pool *pool;
static struct providers *providers;

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    providers = providers_create();
    ck_assert_ptr_nonnull(providers);
}

static void tear_down(void)
{
    pool_destroy(&pool);
    providers_destroy(&providers);
}

/* ---- options ---- */

static const char *const bad_options[][2] = {
    {"ecko", "sim has no model 'ecko'; it has one: sim/echo"},
    {"echo?latncy=1s", "sim has no option 'latncy'; did you mean 'latency'?"},
    {"echo?zzzzzzzz=1", "sim has no option 'zzzzzzzz'; it has latency, jitter"},
    {"echo?latency=soon", "'latency' is a duration such as 200ms or 2s, not 'soon'"},
    {"echo?latency", "'latency' is a duration such as 200ms or 2s, not ''"},
    {"echo?tokens=-1", "'tokens' is a whole number"},
    {"echo?tokens=1.5", "'tokens' is a whole number"},
    {"echo?tokens=99999999999", "'tokens' is a whole number"},
    {"echo?fail=200", "'fail' is a status from 400 to 599"},
    {"echo?fail=timeuot", "not 'timeuot'; did you mean 'timeout'?"},
    {"echo?fail=429&times=0", "'times' is at least 1"},
    {"echo?times=2", "'times' says nothing without 'fail'"},
    {"echo?retry_after=2s", "'retry_after' says nothing without 'fail'"},
    {"echo?slow=20", "'slow' and 'slow_rate' go together: slow_rate=0.05&slow=20"},
    {"echo?slow_rate=0.05", "'slow' and 'slow_rate' go together"},
    {"echo?slow=0&slow_rate=0.1", "'slow' is at least 1"},
    {"echo?slow=20&slow_rate=2", "'slow_rate' is a share from 0 to 1"},
    {"echo?fail_rate=2", "'fail_rate' is a share from 0 to 1"},
    {"echo?fail_rate=nan", "'fail_rate' is a share from 0 to 1"},
    {"echo?fail_rate=-0.1", "'fail_rate' is a share from 0 to 1"},
    {"echo?text=a%2", "'text' has a % that is not followed by two"},
    {"echo?text=%ff", "'text' is not UTF-8"},
    {"echo?text=%00", "'text' is not UTF-8"},
    {"echo?vote=", "'vote' is a list of up to"},
    {"echo?vote=a:0", "'vote' is a list of up to"},
    {"echo?vote=a:x", "'vote' is a whole number"},
    {"echo?vote=a,,b", "'vote' is a list of up to"},
    {"echo?text=a&vote=b", "'text' and 'vote' both fix the answer"},
    {"echo?tools=2", "'tools' is 0 (it calls no tool) or 1"},
    {"echo?bad_json=some", "'bad_json' is a whole number"},
    {"echo?tokens=1&tokens=2", "option 'tokens' is there twice"},
};

START_TEST(a_wrong_option_is_refused_with_what_to_do)
{
    char model[128];
    struct pl_err err;

    snprintf(model, sizeof(model), "sim/%s", bad_options[_i][0]);
    ck_assert(!providers_model_ok(providers, pl_str(model), &err));
    ck_assert_int_eq(err.code, PL_ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, bad_options[_i][1]) != NULL, "%s", err.message);
}
END_TEST

START_TEST(all_options_are_understood_together)
{
    struct sim_options options;
    struct pl_err err;

    ck_assert_int_eq(
        sim_options_parse(
            PL_STR("echo?latency=200ms&jitter=50ms&tokens=40&fail=429&times=2&fail_rate="
                   "0.25&retry_after=1.5s&vote=a:3,b,c%3A:2"),
            &options, &err),
        PL_OK);
    ck_assert_int_eq(options.latency, 200);
    ck_assert_int_eq(options.jitter, 50);
    ck_assert_int_eq(options.tokens, 40);
    ck_assert_int_eq(options.fail_status, 429);
    ck_assert_int_eq(options.times, 2);
    ck_assert(options.fail_rate > 0.24 && options.fail_rate < 0.26);
    ck_assert_int_eq(options.retry_after, 1500);
    ck_assert_uint_eq(options.n_votes, 3);
    ck_assert_uint_eq(options.total_votes, 6);
}
END_TEST

/* ---- answers ---- */

/* One attempt of a step "a" with this model and prompt. */
static void run_sim(struct step_probe *probe, struct workflow **workflow, const char *options,
                    const char *prompt, unsigned attempt, bool listen)
{
    char text[1024];

    snprintf(
        text, sizeof(text),
        "{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":\"sim/echo%s\",\"prompt\":\"%s\"}}}}",
        options, prompt);
    *workflow = test_workflow(text);
    step_probe_init(probe, pool_loop(pool, 0), providers, *workflow, "a", listen);
    probe->call.attempt = attempt;
    step_probe_run(probe);
}

static const char *answer_of(const char *options, const char *prompt, unsigned attempt)
{
    static char answer[4096];
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, options, prompt, attempt, false);
    snprintf(answer, sizeof(answer), "%s", step_probe_result(&probe));
    step_probe_finish(&probe);
    workflow_unref(&workflow);
    return answer;
}

START_TEST(the_answer_says_that_it_is_simulated_and_repeats_the_prompt)
{
    ck_assert_str_eq(answer_of("", "Hello  you\\nthere", 1), "\"[simulated] Hello  you\\nthere\"");
    ck_assert_str_eq(answer_of("?tokens=2", "Hello  you there", 1), "\"[simulated] Hello  you\"");
    ck_assert_str_eq(answer_of("?tokens=0", "Hello", 1), "\"[simulated] \"");
    ck_assert_str_eq(answer_of("?tokens=9", "Hello", 1), "\"[simulated] Hello\"");
    ck_assert_str_eq(answer_of("?text=No%2C%20thanks%21", "Hello", 1), "\"No, thanks!\"");
}
END_TEST

START_TEST(the_last_user_message_is_repeated)
{
    struct workflow *workflow = test_workflow(
        "name: t\n"
        "steps:\n"
        "  a:\n"
        "    llm:\n"
        "      model: sim/echo\n"
        "      system: be brief\n"
        "      messages:\n"
        "        - {role: user, content: first}\n"
        "        - {role: user, content: [{type: text, text: sec}, {type: text, text: ond}]}\n"
        "        - {role: assistant, content: third}\n");
    struct step_probe probe;

    step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "\"[simulated] second\"");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    ck_assert_int_eq(probe.call.result.usage.output_tokens, 2);
    ck_assert_int_gt(probe.call.result.usage.input_tokens, 10);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(failures_have_their_code_and_end_after_their_times)
{
    ck_assert_str_eq(answer_of("?fail=429&times=2", "x", 1), "!rate_limited");
    ck_assert_str_eq(answer_of("?fail=429&times=2", "x", 2), "!rate_limited");
    ck_assert_str_eq(answer_of("?fail=429&times=2", "x", 3), "\"[simulated] x\"");
    ck_assert_str_eq(answer_of("?fail=500", "x", 9), "!provider_error");
    ck_assert_str_eq(answer_of("?fail=503", "x", 1), "!overloaded");
    ck_assert_str_eq(answer_of("?fail=401", "x", 1), "!auth_failed");
    ck_assert_str_eq(answer_of("?fail=418", "x", 1), "!bad_request");
    ck_assert_str_eq(answer_of("?fail=timeout", "x", 1), "!timeout");
    ck_assert_str_eq(answer_of("?fail=refused", "x", 1), "!refused");
    ck_assert_str_eq(answer_of("?fail=unreachable", "x", 1), "!unreachable");
    ck_assert_str_eq(answer_of("?fail=truncated_response", "x", 1), "!truncated_response");
    ck_assert_str_eq(answer_of("?fail_rate=1", "x", 1), "\"[simulated] x\"");
    ck_assert_str_eq(answer_of("?fail_rate=0&fail=500", "x", 1), "\"[simulated] x\"");
}
END_TEST

START_TEST(a_429_is_free_and_brings_its_hint)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "?fail=429&retry_after=2s", "x", 1, false);
    ck_assert(probe.call.result.free);
    ck_assert_int_eq(probe.call.result.retry_after, 2000);
    ck_assert_int_eq(probe.call.result.upstream_status, 429);
    ck_assert(!probe.call.result.no_retry);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_share_of_the_calls_fails_and_always_the_same)
{
    unsigned failed = 0;

    for (int i = 0; i < 400; i++) {
        char prompt[16], first[64];

        snprintf(prompt, sizeof(prompt), "p%d", i);
        snprintf(first, sizeof(first), "%s", answer_of("?fail_rate=0.25", prompt, 1));
        failed += first[0] == '!';
        ck_assert_str_eq(answer_of("?fail_rate=0.25", prompt, 1), first);
    }
    ck_assert_uint_ge(failed, 70);
    ck_assert_uint_le(failed, 130);
}
END_TEST

START_TEST(votes_are_spread_in_their_ratio_by_sample)
{
    struct workflow *workflow =
        test_workflow("{\"name\":\"t\",\"steps\":{\"a\":{\"llm\":{\"model\":\"sim/"
                      "echo?vote=yes:3,no:2\",\"prompt\":\"x\"}}}}");
    static const char *const expected[] = {"\"yes\"", "\"yes\"", "\"yes\"",
                                           "\"no\"",  "\"no\"",  "\"yes\""};
    char path[32];

    for (size_t i = 0; i < PL_ARRAY_LEN(expected); i++) {
        struct step_probe probe;

        step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
        snprintf(path, sizeof(path), "verdict.%zu", i);
        probe.call.path = pl_str(path);
        step_probe_run(&probe);
        ck_assert_str_eq(step_probe_result(&probe), expected[i]);
        step_probe_finish(&probe);
    }
    workflow_unref(&workflow);
}
END_TEST

/* ---- time ---- */

/* The deltas as one text: on a busy machine several words come due at once and are told at once. */
static const char *all_told(struct step_probe *probe)
{
    char *to = probe->deltas.data;

    for (const char *from = to; from && *from; from++)
        if (*from != '^')
            *to++ = *from;
    if (to)
        *to = '\0';
    return to ? probe->deltas.data : "";
}

START_TEST(words_are_streamed_over_the_latency)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "?latency=120ms", "one two three", 1, true);
    ck_assert_str_eq(step_probe_result(&probe), "\"[simulated] one two three\"");
    ck_assert_str_eq(all_told(&probe), "[simulated] one two three");
    ck_assert_int_ge(probe.completed_us - probe.started_us, 118000);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(without_latency_the_text_is_one_delta)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "", "one two", 1, true);
    ck_assert_str_eq(test_text(&probe.deltas), "[simulated] one two^");
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_stream_that_fails_has_given_half_of_its_words)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "?latency=20ms&fail=stream_error", "one two three", 1, true);
    ck_assert_str_eq(step_probe_result(&probe), "!stream_error");
    ck_assert_str_eq(all_told(&probe), "[simulated] one");
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_slow_call_takes_so_many_times_as_long)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "?latency=30ms&slow_rate=1&slow=4", "x", 1, false);
    ck_assert_str_eq(step_probe_result(&probe), "\"[simulated] x\"");
    ck_assert_int_ge(probe.completed_us - probe.started_us, 119000);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(latency_and_jitter_are_kept)
{
    struct workflow *workflow;
    struct step_probe probe;

    run_sim(&probe, &workflow, "?latency=30ms&jitter=10ms", "x", 1, false);
    ck_assert_int_ge(probe.completed_us - probe.started_us, 29000);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

static struct workflow *hanging(const char *timeout)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"name\":\"t\",\"steps\":{\"a\":{\"timeout\":\"%s\",\"llm\":{\"model\":\"sim/"
             "echo?fail=hang\",\"prompt\":\"x\"}}}}",
             timeout);
    return test_workflow(text);
}

START_TEST(a_call_that_hangs_ends_with_the_timeout)
{
    struct workflow *workflow = hanging("30ms");
    struct step_probe probe;

    step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!timeout");
    ck_assert_int_ge(probe.completed_us - probe.started_us, 29000);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(an_aborted_call_completes_as_cancelled)
{
    struct workflow *workflow = hanging("10m");
    struct step_probe probe;

    step_probe_init(&probe, pool_loop(pool, 0), providers, workflow, "a", false);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    step_probe_finish(&probe);
    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim");
    TCase *tcase = tcase_create("sim");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_wrong_option_is_refused_with_what_to_do, 0,
                        (int)PL_ARRAY_LEN(bad_options));
    tcase_add_test(tcase, all_options_are_understood_together);
    tcase_add_test(tcase, the_answer_says_that_it_is_simulated_and_repeats_the_prompt);
    tcase_add_test(tcase, the_last_user_message_is_repeated);
    tcase_add_test(tcase, failures_have_their_code_and_end_after_their_times);
    tcase_add_test(tcase, a_429_is_free_and_brings_its_hint);
    tcase_add_test(tcase, a_share_of_the_calls_fails_and_always_the_same);
    tcase_add_test(tcase, votes_are_spread_in_their_ratio_by_sample);
    tcase_add_test(tcase, words_are_streamed_over_the_latency);
    tcase_add_test(tcase, without_latency_the_text_is_one_delta);
    tcase_add_test(tcase, a_stream_that_fails_has_given_half_of_its_words);
    tcase_add_test(tcase, a_slow_call_takes_so_many_times_as_long);
    tcase_add_test(tcase, latency_and_jitter_are_kept);
    tcase_add_test(tcase, a_call_that_hangs_ends_with_the_timeout);
    tcase_add_test(tcase, an_aborted_call_completes_as_cancelled);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
