/* test_engine_recovery.c - an engine that stops in the middle and another that goes on: what is
 * drained, what is dropped, what is never called twice. Not power cuts and kills (tests/fault,
 * tests/cli): here the process lives on. Run by ctest. */
#include "tests/support/engine_probe.h"
#include "tests/support/raw_server.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TENANT PL_STR("default")
#define ANSWER                                                                              \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"fine\"}," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}"
#define OK_ANSWER                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: " \
    "close\r\n\r\n" ANSWER

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 2);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

/* Scripts for servers: one answers, one never does. */
static const struct raw_step answer_steps[] = {
    {.action = RAW_READ},
    {.action = RAW_SEND, .bytes = PL_STR(OK_ANSWER)},
    {.action = RAW_CLOSE},
};
static const struct raw_script answering = {answer_steps, PL_ARRAY_LEN(answer_steps)};
static const struct raw_step stall_steps[] = {{.action = RAW_READ}, {.action = RAW_STALL}};
static const struct raw_script stalling = {stall_steps, PL_ARRAY_LEN(stall_steps)};
static const struct raw_step late_steps[] = {
    {.action = RAW_READ},
    {.action = RAW_PAUSE, .times = 100},
    {.action = RAW_SEND, .bytes = PL_STR(OK_ANSWER)},
    {.action = RAW_CLOSE},
};
static const struct raw_script late = {late_steps, PL_ARRAY_LEN(late_steps)};

static struct raw_server *serve(const char *provider, const struct raw_script *script)
{
    struct raw_server *server = raw_server_start(script, 1);

    engine_probe_add_openai(&probe, provider, raw_server_port(server));
    return server;
}

static const char *ended_as(const char *id)
{
    static char text[128];

    snprintf(text, sizeof(text), "%s %s", engine_probe_field(&probe, id, "status"),
             engine_probe_field(&probe, id, "output"));
    return text;
}

/* ---- stopping ---- */

START_TEST(a_dropped_run_is_told_as_interrupted_and_goes_on_in_the_next_engine)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {llm: {model: sim/echo, prompt: x}}\n"
                      "  b:\n"
                      "    needs: [a]\n"
                      "    llm: {model: 'sim/echo?latency=300ms', prompt: y}\n");
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    engine_probe_close(&probe, 0);
    ck_assert_uint_eq(run.ends, 1);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    ck_assert_int_eq(run.store_err.code, PL_OK);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
    ck_assert_str_eq(ended_as(run.id), "\"succeeded\" \"[simulated] y\"");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_drain_lets_calls_in_flight_finish_and_begins_no_other)
{
    struct raw_server *one = serve("openai", &late);
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {llm: {model: openai/m, prompt: x}}\n"
                      "  b: {llm: {model: sim/echo, prompt: '${ .steps.a.output }'}}\n");
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    ck_assert(raw_server_wait_requests(one, 1));
    engine_probe_close(&probe, 15000);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    probe.options.adopt = false;
    engine_probe_open(&probe);
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:a.status"), "\"succeeded\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:b.attempts"), "0");
    engine_probe_close(&probe, 0);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
    ck_assert_str_eq(ended_as(run.id), "\"succeeded\" \"[simulated] fine\"");
    ck_assert_uint_eq(raw_server_requests(one), 1);
    raw_server_stop(&one);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

static int64_t now_ms(void)
{
    return pl_monotonic_us() / 1000;
}

START_TEST(a_drain_does_not_wait_for_retries)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a:\n"
                      "    retry: {initial: 1h, max: 1h, jitter: 0}\n"
                      "    llm: {model: 'sim/echo?fail=500&times=1', prompt: x}\n");
    struct run_probe run;
    int64_t began;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    began = now_ms();
    engine_probe_close(&probe, 60000);
    ck_assert_int_lt(now_ms() - began, 30000);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

static void *stop_soon(void *arg)
{
    engine_stop_draining(arg);
    return NULL;
}

START_TEST(a_drain_is_ended_early_by_whoever_asks)
{
    struct raw_server *one = serve("openai", &stalling);
    struct workflow *workflow = test_workflow("steps: {a: {llm: {model: openai/m, prompt: x}}}\n");
    struct run_probe run, refused;
    struct pl_err err = {0};
    pthread_t thread;
    int64_t began = now_ms();

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    ck_assert(raw_server_wait_requests(one, 1));
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, probe.engine), 0);
    engine_drain(probe.engine, 60000);
    pthread_join(thread, NULL);
    ck_assert_int_lt(now_ms() - began, 30000);
    ck_assert_uint_eq(engine_running(probe.engine), 0);
    ck_assert_int_eq(run_probe_try(&refused, &probe, workflow, NULL, &err), PL_ERR_SHUTTING_DOWN);
    engine_probe_close(&probe, 0);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    raw_server_stop(&one);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

static void sleep_us(long us)
{
    struct timespec time = {.tv_nsec = us * 1000};

    nanosleep(&time, NULL);
}

START_TEST(a_run_dropped_at_any_moment_is_recorded_exactly_if_it_was_told_so)
{
    struct workflow *workflow = test_workflow(
        "steps: {a: {llm: {model: 'sim/echo?latency=5ms', prompt: x}}, b: {reduce: 1}}\n");

    for (int i = 0; i < 40; i++) {
        struct run_probe run;
        bool found;

        probe.options.adopt = false;
        engine_probe_open(&probe);
        run_probe_start(&run, &probe, workflow, NULL);
        sleep_us(i * 100);
        engine_probe_close(&probe, 0);
        ck_assert_uint_eq(run.ends, 1);
        engine_probe_open(&probe);
        found = engine_probe_show(&probe, run.id)[0] != '!';
        ck_assert_uint_eq(run.records, found ? 1 : 0);
        engine_probe_close(&probe, 0);
        probe.options.adopt = true;
        engine_probe_open(&probe);
        engine_probe_wait_idle(&probe);
        if (found)
            ck_assert_str_eq(ended_as(run.id), "\"succeeded\" {\"a\":\"[simulated] x\",\"b\":1}");
        engine_probe_close(&probe, 0);
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

/* The store is held, so that everything gathers behind the run's first commit. */
static sqlite3 *hold_store(void)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(probe.fixture.path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void *drop_runs(void *arg)
{
    engine_drain(arg, 0);
    return NULL;
}

START_TEST(what_was_answered_before_a_run_is_dropped_is_not_paid_for_again)
{
    struct raw_server *last = serve("openai", &stalling);
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {llm: {model: sim/echo, prompt: x}}\n"
                      "  b: {llm: {model: sim/echo, prompt: '${ .steps.a.output }'}}\n"
                      "  c: {llm: {model: openai/m, prompt: '${ .steps.b.output }'}}\n");
    struct run_probe run;
    pthread_t thread;
    sqlite3 *db;

    probe.options.retry_writes_for = 15000;
    engine_probe_open(&probe);
    db = hold_store();
    run_probe_start(&run, &probe, workflow, NULL);
    ck_assert(raw_server_wait_requests(last, 1));
    ck_assert_int_eq(pthread_create(&thread, NULL, drop_runs, probe.engine), 0);
    ck_assert_int_gt(raw_server_peer_closed(last, 0), 0);
    sqlite3_close(db);
    pthread_join(thread, NULL);
    engine_probe_close(&probe, 0);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    ck_assert_uint_eq(run.records, 1);
    engine_probe_open(&probe);
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:a.status"), "\"succeeded\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:b.status"), "\"succeeded\"");
    engine_probe_close(&probe, 0);
    raw_server_stop(&last);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_request_whose_intent_was_not_recorded_is_sent_after_the_drop)
{
    const struct raw_script once_slow[] = {stalling, answering};
    struct raw_server *models = raw_server_start(once_slow, 2),
                      *posts = raw_server_start(&answering, 1);
    struct workflow *workflow;
    char text[512];
    struct run_probe run;
    pthread_t thread;
    sqlite3 *db;

    snprintf(text, sizeof(text),
             "steps:\n"
             "  a: {llm: {model: sim/echo, prompt: x}}\n"
             "  b:\n"
             "    needs: [a]\n"
             "    http: {method: POST, url: 'http://127.0.0.1:%u/x', json: 1}\n"
             "  c: {needs: [a], llm: {model: openai/m, prompt: y}}\n"
             "output: '${ .steps.b.output.status }'\n",
             raw_server_port(posts));
    workflow = test_workflow(text);
    engine_probe_allow(&probe, raw_server_port(posts));
    engine_probe_add_openai(&probe, "openai", raw_server_port(models));
    probe.options.retry_writes_for = 15000;
    engine_probe_open(&probe);
    db = hold_store();
    run_probe_start(&run, &probe, workflow, NULL);
    ck_assert(raw_server_wait_requests(models, 1)); /* so b's intent has gathered */
    ck_assert_int_eq(pthread_create(&thread, NULL, drop_runs, probe.engine), 0);
    ck_assert_int_gt(raw_server_peer_closed(models, 0), 0);
    sqlite3_close(db);
    pthread_join(thread, NULL);
    engine_probe_close(&probe, 0);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
    ck_assert_str_eq(ended_as(run.id), "\"succeeded\" 200");
    ck_assert_uint_eq(raw_server_requests(posts), 1);
    raw_server_stop(&models);
    raw_server_stop(&posts);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

/* ---- going on ---- */

enum { BRANCHES = 16 };

static struct workflow *branches(void)
{
    struct workflow *workflow;
    struct pl_buf text;

    pl_buf_init(&text, 1 << 16);
    pl_buf_text(&text,
                "defaults: {model: openai/m}\nsteps:\n  w:\n    parallel:\n      branches:\n");
    for (int i = 0; i < BRANCHES; i++)
        pl_buf_printf(&text, "        b%d: {llm: {prompt: 'branch %d'}}\n", i, i);
    pl_buf_text(&text, "output: '${ .steps.w.join.counted }'\n");
    workflow = test_workflow(test_text(&text));
    pl_buf_finish(&text);
    return workflow;
}

static unsigned succeeded_branches(const char *id)
{
    unsigned count = 0;

    for (int i = 0; i < BRANCHES; i++) {
        char path[32];

        snprintf(path, sizeof(path), "step:w.b%d.status", i);
        count += strcmp(engine_probe_field(&probe, id, path), "\"succeeded\"") == 0;
    }
    return count;
}

/* Every phase has a server of its own, so that what an earlier phase had sent is not counted. */
START_TEST(what_is_recorded_as_succeeded_is_not_called_again)
{
    struct workflow *workflow = branches();
    struct run_probe run;
    unsigned done = 0;

    for (unsigned phase = 0; phase < 8; phase++) {
        struct raw_server *server = serve("openai", &answering);
        struct pl_err err = {0};

        engine_probe_open(&probe);
        if (phase == 0)
            run_probe_start(&run, &probe, workflow, NULL);
        else
            ck_assert_int_eq(run_probe_resume(&run, &probe, run.id, &err), PL_OK);
        if (phase == 7) {
            run_probe_wait(&run);
            ck_assert_str_eq(run_probe_result(&run), "succeeded 16");
            ck_assert_uint_eq(raw_server_requests(server), BRANCHES - done);
        } else {
            run_probe_wait_recorded(&run);
            (void)raw_server_wait_requests(server, phase ? phase % 3 : 2);
        }
        engine_probe_close(&probe, 0);
        engine_probe_open(&probe);
        done = succeeded_branches(run.id);
        if (run.ends && strcmp(run.status, "succeeded") == 0)
            phase = 8;
        engine_probe_close(&probe, 0);
        raw_server_stop(&server);
        run_probe_finish(&run);
    }
    ck_assert_uint_eq(done, BRANCHES);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(every_unfinished_run_of_the_store_is_adopted)
{
    struct workflow *workflow =
        test_workflow("steps: {a: {llm: {model: 'sim/echo?latency=200ms', prompt: x}}}\n");
    static struct run_probe runs[200];

    engine_probe_open(&probe);
    for (size_t i = 0; i < PL_ARRAY_LEN(runs); i++)
        run_probe_start(&runs[i], &probe, workflow, NULL);
    for (size_t i = 0; i < PL_ARRAY_LEN(runs); i++)
        run_probe_wait_recorded(&runs[i]);
    engine_probe_close(&probe, 0);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
    for (size_t i = 0; i < PL_ARRAY_LEN(runs); i++) {
        ck_assert_str_eq(ended_as(runs[i].id), "\"succeeded\" \"[simulated] x\"");
        run_probe_finish(&runs[i]);
    }
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_request_that_acts_is_never_sent_twice)
{
    struct raw_server *server = raw_server_start(&stalling, 1);
    char text[256];
    struct workflow *workflow;

    snprintf(text, sizeof(text),
             "steps: {a: {http: {method: POST, url: 'http://127.0.0.1:%u/x', json: 1}}}\n",
             raw_server_port(server));
    workflow = test_workflow(text);
    engine_probe_allow(&probe, raw_server_port(server));
    for (unsigned i = 0; i < 10; i++) {
        unsigned before = raw_server_requests(server);
        struct run_probe run;

        probe.options.adopt = false;
        engine_probe_open(&probe);
        run_probe_start(&run, &probe, workflow, NULL);
        run_probe_wait_recorded(&run);
        if (i % 2)
            ck_assert(raw_server_wait_requests(server, before + 1));
        engine_probe_close(&probe, 0);
        probe.options.adopt = true;
        engine_probe_open(&probe);
        engine_probe_wait_idle(&probe);
        ck_assert_str_eq(engine_probe_field(&probe, run.id, "error.code"), "\"ambiguous_attempt\"");
        /* one a run at the most; the server may count the last run's a little late */
        ck_assert_uint_le(raw_server_requests(server), i + 1);
        engine_probe_close(&probe, 0);
        run_probe_finish(&run);
    }
    raw_server_stop(&server);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(only_an_unfinished_run_that_is_not_going_on_can_be_resumed)
{
    struct workflow *workflow =
        test_workflow("steps: {a: {llm: {model: 'sim/echo?latency=100ms', prompt: x}}}\n");
    struct run_probe run, again;
    struct pl_err err = {0};

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    ck_assert_int_eq(run_probe_resume(&again, &probe, run.id, &err), PL_ERR_CONFLICT);
    ck_assert_msg(strstr(err.message, "going on") != NULL, "%s", err.message);
    run_probe_wait(&run);
    engine_probe_wait_idle(&probe);
    ck_assert_int_eq(run_probe_resume(&again, &probe, run.id, &err), PL_ERR_CONFLICT);
    ck_assert_msg(strstr(err.message, "is over") != NULL, "%s", err.message);
    ck_assert_int_eq(run_probe_resume(&again, &probe, "run_none", &err), PL_ERR_NOT_FOUND);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

struct resumer {
    struct run_probe run;
    const char *id;
    enum pl_code code;
};

static void *resume_run(void *arg)
{
    struct resumer *resumer = arg;
    struct pl_err err = {0};

    resumer->code = run_probe_resume(&resumer->run, &probe, resumer->id, &err);
    return NULL;
}

static int attempts_of(const char *id)
{
    return (int)strtol(engine_probe_field(&probe, id, "step:a.attempts"), NULL, 10);
}

/* The run waits for a retry that is due when it is resumed, so that it ends at once: whoever reads
 * its rows meanwhile must not go on from them afterwards. */
START_TEST(of_many_who_resume_a_run_at_once_one_does)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a:\n"
                      "    retry: {initial: 20ms, multiplier: 1, jitter: 0}\n"
                      "    llm: {model: 'sim/echo?fail=500&times=1', prompt: x}\n");

    for (int round = 0; round < 20; round++) {
        struct resumer resumers[4] = {0};
        pthread_t threads[4];
        struct run_probe run;
        unsigned won = 0, goes_on;
        int before;

        engine_probe_open(&probe);
        run_probe_start(&run, &probe, workflow, NULL);
        run_probe_wait_recorded(&run);
        engine_probe_close(&probe, 0);
        sleep_us(20000);
        engine_probe_open(&probe);
        goes_on = strcmp(run.status, "interrupted") == 0;
        before = attempts_of(run.id);
        for (size_t i = 0; i < 4; i++) {
            resumers[i].id = run.id;
            ck_assert_int_eq(pthread_create(&threads[i], NULL, resume_run, &resumers[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            won += resumers[i].code == PL_OK;
            ck_assert(resumers[i].code == PL_OK || resumers[i].code == PL_ERR_CONFLICT);
        }
        engine_probe_wait_idle(&probe);
        ck_assert_uint_eq(won, goes_on);
        ck_assert_int_eq(attempts_of(run.id), before + (int)goes_on);
        engine_probe_close(&probe, 0);
        for (size_t i = 0; i < 4; i++)
            run_probe_finish(&resumers[i].run);
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_recovery");
    TCase *tcase = tcase_create("engine_recovery");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_dropped_run_is_told_as_interrupted_and_goes_on_in_the_next_engine);
    tcase_add_test(tcase, a_drain_lets_calls_in_flight_finish_and_begins_no_other);
    tcase_add_test(tcase, a_drain_does_not_wait_for_retries);
    tcase_add_test(tcase, a_drain_is_ended_early_by_whoever_asks);
    tcase_add_test(tcase, a_run_dropped_at_any_moment_is_recorded_exactly_if_it_was_told_so);
    tcase_add_test(tcase, what_was_answered_before_a_run_is_dropped_is_not_paid_for_again);
    tcase_add_test(tcase, a_request_whose_intent_was_not_recorded_is_sent_after_the_drop);
    tcase_add_test(tcase, what_is_recorded_as_succeeded_is_not_called_again);
    tcase_add_test(tcase, every_unfinished_run_of_the_store_is_adopted);
    tcase_add_test(tcase, a_request_that_acts_is_never_sent_twice);
    tcase_add_test(tcase, only_an_unfinished_run_that_is_not_going_on_can_be_resumed);
    tcase_add_test(tcase, of_many_who_resume_a_run_at_once_one_does);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
