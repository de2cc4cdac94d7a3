/* test_engine_service.c - the engine as the HTTP service uses it: one run a key, limits, waiting
 * for ends, lists, deleting, stored workflows, compiling once. Not events (test_event_stream). */
#include "service/engine.h"
#include "tests/support/engine_probe.h"
#include "tests/support/engine_signal.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT PL_STR("default")

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 2);
    probe.options.readers = 4;
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

static const char slow[] = "steps: {a: {llm: {model: 'sim/echo?latency=30s', prompt: x}}}\n";
static const char quick[] = "steps: {a: {reduce: 1}}\n";

/* ---- starting ---- */

static enum pl_code start_or_join(struct workflow *workflow, const char *key, const char *print,
                                  char id[PL_ID_TEXT], bool *joined)
{
    struct engine_run_request request = {
        .tenant = TENANT,
        .workflow = workflow,
        .key_route = PL_STR("POST /v1/runs"),
        .key = pl_str(key),
        .key_fingerprint = pl_str(print),
    };
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    do /* another is starting the run of this key */
        code = engine_start_or_join_run(probe.engine, &request, id, joined, &problems, NULL);
    while (code == PL_ERR_CONFLICT && sched_yield() == 0);
    pl_arena_destroy(&arena);
    return code;
}

struct starter {
    struct workflow *workflow;
    char id[PL_ID_TEXT];
    bool joined;
    enum pl_code code;
    pthread_barrier_t *gate;
};

static void *starter_main(void *arg)
{
    struct starter *starter = arg;

    pthread_barrier_wait(starter->gate);
    starter->code = start_or_join(starter->workflow, "key", "print", starter->id, &starter->joined);
    return NULL;
}

START_TEST(sixteen_who_send_one_key_at_once_make_one_run)
{
    enum { THREADS = 16 };
    struct workflow *workflow = test_workflow(_i ? quick : slow);
    struct starter starters[THREADS] = {0};
    pthread_t threads[THREADS];
    pthread_barrier_t gate;
    unsigned started = 0;
    struct pl_buf page;

    engine_probe_open(&probe);
    pthread_barrier_init(&gate, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        starters[i].workflow = workflow;
        starters[i].gate = &gate;
        ck_assert(pl_thread_start(&threads[i], "starter", starter_main, &starters[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(starters[i].code, PL_OK);
        ck_assert_str_eq(starters[i].id, starters[0].id);
        started += !starters[i].joined;
    }
    ck_assert_uint_eq(started, 1);
    pl_buf_init(&page, 1 << 20);
    ck_assert_int_eq(
        engine_write_runs(probe.engine, TENANT, &(struct store_run_filter){0}, 10, &page, NULL),
        PL_OK);
    ck_assert_ptr_nonnull(strstr(page.data, starters[0].id));
    ck_assert_ptr_nonnull(strstr(page.data, "\"has_more\":false,\"next\":null}"));
    ck_assert_ptr_eq(strstr(page.data, "\"object\""), strstr(page.data, "\"object\":\"run\""));
    pl_buf_finish(&page);
    pthread_barrier_destroy(&gate);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_key_gives_its_run_also_after_its_end_and_a_restart)
{
    struct workflow *workflow = test_workflow(quick);
    char first[PL_ID_TEXT], again[PL_ID_TEXT];
    bool joined;

    engine_probe_open(&probe);
    ck_assert_int_eq(start_or_join(workflow, "k", "print", first, &joined), PL_OK);
    ck_assert(!joined);
    engine_probe_wait_idle(&probe);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(start_or_join(workflow, "k", "print", again, &joined), PL_OK);
        ck_assert(joined);
        ck_assert_str_eq(again, first);
        ck_assert_int_eq(start_or_join(workflow, "k", "other", again, &joined), PL_ERR_KEY_REUSED);
        ck_assert(!joined);
        engine_probe_close(&probe, 0);
        engine_probe_open(&probe);
    }
    ck_assert_int_eq(start_or_join(workflow, "k2", "print", again, &joined), PL_OK);
    ck_assert(!joined);
    ck_assert_str_ne(again, first);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(without_a_workflow_a_key_is_joined_or_not_found)
{
    struct workflow *workflow = test_workflow(quick);
    char first[PL_ID_TEXT], again[PL_ID_TEXT];
    bool joined;

    engine_probe_open(&probe);
    ck_assert_int_eq(start_or_join(NULL, "k", "print", again, &joined), PL_ERR_NOT_FOUND);
    ck_assert(!joined);
    ck_assert_int_eq(start_or_join(workflow, "k", "print", first, &joined), PL_OK);
    ck_assert(!joined);
    ck_assert_int_eq(start_or_join(NULL, "k", "print", again, &joined), PL_OK);
    ck_assert(joined);
    ck_assert_str_eq(again, first);
    ck_assert_int_eq(start_or_join(NULL, "k", "other", again, &joined), PL_ERR_KEY_REUSED);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_start_that_is_refused_leaves_its_key_free)
{
    struct workflow *strict =
        test_workflow("input: {type: object, required: [a]}\nsteps: {a: {reduce: 1}}\n");
    struct workflow *workflow = test_workflow(quick);
    char id[PL_ID_TEXT];
    bool joined;

    engine_probe_open(&probe);
    ck_assert_int_eq(start_or_join(strict, "k", "print", id, &joined), PL_ERR_INVALID_INPUT);
    ck_assert_int_eq(start_or_join(workflow, "k", "other", id, &joined), PL_OK);
    ck_assert(!joined);
    workflow_unref(&strict);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(more_runs_than_allowed_are_refused_until_one_is_over)
{
    struct workflow *workflow = test_workflow(slow);
    char ids[2][PL_ID_TEXT], id[PL_ID_TEXT];
    bool joined;

    probe.options.max_runs = 2;
    engine_probe_open(&probe);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(start_or_join(workflow, "", "", ids[i], &joined), PL_OK);
    ck_assert_int_eq(start_or_join(workflow, "", "", id, &joined), PL_ERR_LIMIT_EXCEEDED);
    ck_assert_int_eq(start_or_join(workflow, "k", "p", id, &joined), PL_ERR_LIMIT_EXCEEDED);
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(ids[0]), (struct pl_str){0}, NULL),
                     PL_OK);
    while (engine_running(probe.engine) > 1)
        sched_yield();
    ck_assert_int_eq(start_or_join(workflow, "k", "p", id, &joined), PL_OK);
    ck_assert(!joined);
    workflow_unref(&workflow);
}
END_TEST

/* ---- the end of a run ---- */

START_TEST(who_watches_a_run_is_told_once_however_late_he_comes)
{
    struct workflow *workflow = test_workflow(quick);

    engine_probe_open(&probe);
    for (int round = 0; round < 200; round++) {
        struct engine_signal signal;
        char id[PL_ID_TEXT];
        bool joined;
        uint64_t token = 77;
        struct pl_err err = {.message = ""};
        enum pl_code code = PL_ERR_NOT_FOUND;

        engine_signal_init(&signal);
        ck_assert_int_eq(start_or_join(workflow, "", "", id, &joined), PL_OK);
        code = engine_watch_end(probe.engine, TENANT, pl_str(id), engine_signal_give, &signal,
                                &token, &err);
        ck_assert_msg(code == PL_OK, "%s", err.message);
        engine_signal_wait(&signal, 1);
        engine_unwatch_end(probe.engine, token);
        ck_assert_uint_eq(signal.count, 1);
        ck_assert_str_eq(engine_probe_field(&probe, id, "status"), "\"succeeded\"");
        engine_signal_finish(&signal);
    }
    workflow_unref(&workflow);
}
END_TEST

START_TEST(who_stops_watching_is_told_nothing_more)
{
    struct workflow *workflow = test_workflow(slow);
    struct engine_signal kept, gone;
    char id[PL_ID_TEXT];
    bool joined;
    uint64_t a = 0, b = 0;

    engine_signal_init(&kept);
    engine_signal_init(&gone);
    engine_probe_open(&probe);
    ck_assert_int_eq(start_or_join(workflow, "", "", id, &joined), PL_OK);
    ck_assert_int_eq(
        engine_watch_end(probe.engine, TENANT, pl_str(id), engine_signal_give, &kept, &a, NULL),
        PL_OK);
    ck_assert_int_eq(
        engine_watch_end(probe.engine, TENANT, pl_str(id), engine_signal_give, &gone, &b, NULL),
        PL_OK);
    ck_assert(a != 0 && b != 0 && a != b);
    engine_unwatch_end(probe.engine, b);
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(id), (struct pl_str){0}, NULL),
                     PL_OK);
    engine_signal_wait(&kept, 1);
    engine_unwatch_end(probe.engine, a);
    engine_unwatch_end(probe.engine, 0);
    ck_assert_uint_eq(kept.count, 1);
    ck_assert_uint_eq(gone.count, 0);
    ck_assert_int_eq(engine_watch_end(probe.engine, PL_STR("other"), pl_str(id), engine_signal_give,
                                      &gone, &b, NULL),
                     PL_ERR_NOT_FOUND);
    ck_assert_uint_eq(gone.count, 0);
    engine_signal_finish(&kept);
    engine_signal_finish(&gone);
    workflow_unref(&workflow);
}
END_TEST

/* ---- deleting ---- */

static enum pl_code delete_run(const char *tenant, const char *id)
{
    struct engine_signal signal;

    engine_signal_init(&signal);
    engine_delete_run(probe.engine, pl_str(tenant), pl_str(id), engine_signal_done, &signal);
    engine_signal_wait(&signal, 1);
    engine_signal_finish(&signal);
    return signal.code;
}

START_TEST(a_run_is_deleted_when_it_is_over_and_its_key_is_free_again)
{
    struct workflow *workflow = test_workflow(slow);
    char id[PL_ID_TEXT], other[PL_ID_TEXT];
    bool joined;
    struct pl_buf out;

    engine_probe_open(&probe);
    ck_assert_int_eq(start_or_join(workflow, "k", "p", id, &joined), PL_OK);
    ck_assert_int_eq(start_or_join(workflow, "k", "p", other, &joined), PL_OK);
    ck_assert(joined); /* it is recorded */
    ck_assert_int_eq(delete_run("default", id), PL_ERR_CONFLICT);
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(id), (struct pl_str){0}, NULL),
                     PL_OK);
    engine_probe_wait_idle(&probe);
    ck_assert_int_eq(delete_run("other", id), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(delete_run("default", id), PL_OK);
    ck_assert_int_eq(delete_run("default", id), PL_ERR_NOT_FOUND);
    pl_buf_init(&out, 1 << 20);
    ck_assert_int_eq(engine_write_run(probe.engine, TENANT, pl_str(id), true, &out, NULL),
                     PL_ERR_NOT_FOUND);
    pl_buf_finish(&out);
    ck_assert_int_eq(start_or_join(workflow, "k", "q", other, &joined), PL_OK);
    ck_assert(!joined);
    workflow_unref(&workflow);
}
END_TEST

/* ---- lists ---- */

START_TEST(runs_are_listed_in_pages_with_their_progress)
{
    enum { RUNS = 45 };
    struct workflow *workflow = test_workflow(quick);
    char ids[RUNS][PL_ID_TEXT], text[4000], next[64] = "";
    struct store_run_filter filter = {0};
    int expect = RUNS - 1;
    bool joined;
    struct pl_buf page;

    engine_probe_open(&probe);
    for (int i = 0; i < RUNS; i++)
        ck_assert_int_eq(start_or_join(workflow, "", "", ids[i], &joined), PL_OK);
    engine_probe_wait_idle(&probe);
    pl_buf_init(&page, 1 << 20);
    do {
        char after[64];

        snprintf(after, sizeof after, "%s", next);
        filter.after = pl_str(after);
        pl_buf_reset(&page);
        ck_assert_int_eq(engine_write_runs(probe.engine, TENANT, &filter, 22, &page, NULL), PL_OK);
        engine_probe_read_page(&page, "id", text, sizeof text, next);
        ck_assert_ptr_nonnull(strstr(page.data, "\"progress\":{\"total\":1,\"pending\":0,"));
        ck_assert_int_eq(strncmp(text, ids[expect], strlen(ids[expect])), 0);
        for (const char *at = page.data; (at = strstr(at, "\"object\":\"run\"")); at++)
            expect--;
    } while (next[0]);
    ck_assert_int_eq(expect, -1);
    pl_buf_reset(&page);
    ck_assert_int_eq(engine_write_runs(probe.engine, PL_STR("other"), &filter, 10, &page, NULL),
                     PL_OK);
    ck_assert_str_eq(page.data, "{\"data\":[],\"has_more\":false,\"next\":null}");
    pl_buf_finish(&page);
    workflow_unref(&workflow);
}
END_TEST

static const char wide[] = "steps:\n"
                           "  first: {llm: {model: 'sim/echo?latency=30s', prompt: x}}\n"
                           "  second:\n"
                           "    needs: [first]\n"
                           "    parallel:\n"
                           "      branches: {a: {reduce: 1}, b: {reduce: 2}, c: {reduce: 3}}\n"
                           "    on_error: {step: {reduce: 4}}\n"
                           "  quick: {reduce: 5}\n"
                           "  second_b: {needs: [first], reduce: 6}\n";

static const char *steps_of(const char *id, struct engine_step_filter filter, size_t limit,
                            const char *member, char next[64])
{
    static char text[4000];
    struct pl_buf page;

    pl_buf_init(&page, 1 << 20);
    ck_assert_int_eq(
        engine_write_steps(probe.engine, TENANT, pl_str(id), &filter, limit, &page, NULL), PL_OK);
    engine_probe_read_page(&page, member, text, sizeof text, next);
    pl_buf_finish(&page);
    return text;
}

START_TEST(steps_that_never_began_are_listed_as_what_they_are)
{
    struct workflow *workflow = test_workflow(wide);
    struct engine_step_filter all = {0};
    struct run_probe run;
    char next[64];

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    while (strcmp(engine_probe_field(&probe, run.id, "step:quick.status"), "\"succeeded\"") != 0)
        sched_yield();
    ck_assert_str_eq(steps_of(run.id, all, 100, "path", next),
                     "first quick second second.a second.b second.c second_b");
    ck_assert_str_eq(steps_of(run.id, all, 100, "kind", next),
                     "llm reduce parallel reduce reduce reduce reduce");
    ck_assert_str_eq(steps_of(run.id, all, 100, "status", next),
                     "running succeeded pending pending pending pending pending");
    ck_assert_str_eq(steps_of(run.id, (struct engine_step_filter){.prefix = PL_STR("second")}, 100,
                              "path", next),
                     "second second.a second.b second.c");
    ck_assert_str_eq(steps_of(run.id, (struct engine_step_filter){.prefix = PL_STR("second.b")}, 1,
                              "path", next),
                     "second.b");
    ck_assert_str_eq(next, "");
    ck_assert_str_eq(
        steps_of(run.id, (struct engine_step_filter){.status = PL_STR("pending")}, 3, "path", next),
        "second second.a second.b");
    ck_assert_str_eq(next, "second.b");
    ck_assert_str_eq(steps_of(run.id,
                              (struct engine_step_filter){.status = PL_STR("pending"),
                                                          .after = PL_STR("second.b")},
                              3, "path", next),
                     "second.c second_b");
    ck_assert_str_eq(next, "");

    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(run.id), (struct pl_str){0}, NULL),
                     PL_OK);
    run_probe_wait(&run);
    ck_assert_str_eq(steps_of(run.id, all, 100, "status", next),
                     "cancelled succeeded cancelled cancelled cancelled cancelled cancelled");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "progress"),
                     "{\"total\":7,\"pending\":0,\"running\":0,\"waiting\":0,\"succeeded\":1,"
                     "\"failed\":0,\"skipped\":0,\"cancelled\":6}");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(the_steps_of_a_wide_run_come_in_pages_without_gap_or_repetition)
{
    enum { BRANCHES = 700 };
    struct workflow *workflow;
    struct run_probe run;
    struct pl_buf text, seen;
    char next[64] = "";
    unsigned found = 0;

    pl_buf_init(&text, 1 << 20);
    pl_buf_init(&seen, 1 << 20);
    pl_buf_text(&text, "steps:\n  p:\n    parallel:\n      branches:\n");
    for (int i = 0; i < BRANCHES; i++)
        pl_buf_printf(&text, "        b%d: {reduce: %d}\n", i, i);
    workflow = test_workflow(text.data);
    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait(&run);
    do {
        char after[64];
        struct engine_step_filter filter = {.prefix = PL_STR("p")};

        snprintf(after, sizeof after, "%s", next);
        filter.after = pl_str(after);
        pl_buf_text(&seen, steps_of(run.id, filter, 97, "path", next));
        pl_buf_char(&seen, ' ');
    } while (next[0]);
    for (const char *at = seen.data; *at; at = strchr(at, ' ') + 1)
        found++;
    ck_assert_uint_eq(found, BRANCHES + 1);
    for (int i = 0; i < BRANCHES; i++) {
        char path[16];

        snprintf(path, sizeof path, " p.b%d ", i);
        ck_assert_ptr_nonnull(strstr(seen.data, path));
    }
    pl_buf_finish(&text);
    pl_buf_finish(&seen);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

/* ---- health ---- */

START_TEST(health_says_when_the_engine_takes_no_runs)
{
    struct pl_err err;

    engine_probe_open(&probe);
    ck_assert_int_eq(engine_health(probe.engine, &err), PL_OK);
    engine_drain(probe.engine, 0);
    ck_assert_int_eq(engine_health(probe.engine, &err), PL_ERR_SHUTTING_DOWN);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_key_gives_its_run_also_after_its_end_and_a_restart,
        without_a_workflow_a_key_is_joined_or_not_found,
        a_start_that_is_refused_leaves_its_key_free,
        more_runs_than_allowed_are_refused_until_one_is_over,
        who_watches_a_run_is_told_once_however_late_he_comes,
        who_stops_watching_is_told_nothing_more,
        a_run_is_deleted_when_it_is_over_and_its_key_is_free_again,
        runs_are_listed_in_pages_with_their_progress,
        steps_that_never_began_are_listed_as_what_they_are,
        the_steps_of_a_wide_run_come_in_pages_without_gap_or_repetition,
        health_says_when_the_engine_takes_no_runs,
    };
    Suite *suite = suite_create("engine_service");
    TCase *tcase = tcase_create("engine_service");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, sixteen_who_send_one_key_at_once_make_one_run, 0, 2);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
