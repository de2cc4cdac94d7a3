/* test_engine.c - runs through the whole engine: outputs, many at once, wide ones, cancelling, what
 * is told when and what is read back. Not stopping and going on (test_engine_recovery) and not
 * disks that fail (tests/fault). Run by ctest. */
#include "tests/support/engine_probe.h"
#include "tests/support/raw_server.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TENANT PL_STR("default")

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 1);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

/* Runs `text` to its end; the result as run_probe_result gives it. */
static const char *result_of(const char *text, const char *input)
{
    struct workflow *workflow = test_workflow(text);
    struct run_probe run;
    const char *result;

    if (!probe.engine)
        engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, input);
    run_probe_wait(&run);
    ck_assert_uint_eq(run.ends, 1);
    ck_assert_uint_eq(run.records, 1);
    ck_assert(run.recorded_first);
    result = run_probe_result(&run);
    run_probe_finish(&run);
    workflow_unref(&workflow);
    return result;
}

/* ---- one run ---- */

static const char travel[] = "steps:\n"
                             "  sights: {llm: {model: 'sim/echo?text=A', prompt: x}}\n"
                             "  food: {llm: {model: 'sim/echo?text=B', prompt: x}}\n"
                             "  plan:\n"
                             "    llm:\n"
                             "      model: sim/echo\n"
                             "      prompt: ${ .steps.sights.output }${ .steps.food.output }${ "
                             ".input.to }\n";

START_TEST(a_run_gives_its_output_and_is_recorded_before_it_ends)
{
    ck_assert_str_eq(result_of(travel, "{\"to\":\"C\"}"), "succeeded \"[simulated] ABC\"");
}
END_TEST

START_TEST(what_is_read_of_a_run_is_what_was_told)
{
    struct workflow *workflow = test_workflow(travel);
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, "{\"to\":\"C\"}");
    run_probe_wait(&run);
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "status"), "\"succeeded\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "output"), "\"[simulated] ABC\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "error"), "null");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "input"), "{\"to\":\"C\"}");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "usage.calls"), "3");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "progress"),
                     "{\"total\":3,\"pending\":0,\"running\":0,\"waiting\":0,\"succeeded\":3,"
                     "\"failed\":0,\"skipped\":0,\"cancelled\":0}");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:plan.attempts"), "1");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:food.output"), "\"B\"");
    ck_assert_uint_eq(engine_running(probe.engine), 0);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(steps_that_nobody_needed_are_not_pending_once_a_run_is_over)
{
    struct workflow *workflow = test_workflow(
        "join: settled\n"
        "steps:\n"
        "  a:\n"
        "    llm: {model: sim/echo, prompt: x}\n"
        "    on_error: {step: {parallel: {branches: {h: {reduce: 1}, i: {reduce: 2}}}}}\n"
        "  gone:\n"
        "    when: ${ .input.no }\n"
        "    parallel: {branches: {b: {reduce: 1}, c: {reduce: 2}}}\n"
        "output: done\n");
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, "{}");
    run_probe_wait(&run);
    ck_assert_str_eq(run_probe_result(&run), "succeeded \"done\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "progress"),
                     "{\"total\":4,\"pending\":0,\"running\":0,\"waiting\":0,\"succeeded\":1,"
                     "\"failed\":0,\"skipped\":3,\"cancelled\":0}");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(an_input_that_does_not_fit_is_refused_and_leaves_nothing)
{
    struct workflow *workflow = test_workflow("input:\n"
                                              "  type: object\n"
                                              "  required: [to]\n"
                                              "  properties:\n"
                                              "    to: {type: string}\n"
                                              "    days: {type: integer, default: 3}\n"
                                              "steps: {a: {reduce: '${ .input }'}}\n");
    struct run_probe run;
    struct pl_err err = {0};

    engine_probe_open(&probe);
    ck_assert_int_eq(run_probe_try(&run, &probe, workflow, "{}", &err), PL_ERR_INVALID_INPUT);
    ck_assert_int_eq(run_probe_try(&run, &probe, workflow, "{\"to\":1}", &err),
                     PL_ERR_INVALID_INPUT);
    ck_assert_msg(strstr(err.message, "/to") != NULL, "%s", err.message);
    ck_assert_int_eq(run_probe_try(&run, &probe, workflow, "{\"to\":", &err), PL_ERR_INVALID_JSON);
    ck_assert_msg(strstr(err.message, "the input") != NULL, "%s", err.message);
    ck_assert_uint_eq(engine_running(probe.engine), 0);
    ck_assert_str_eq(engine_probe_show(&probe, run.id)[0] == '!' ? "none" : "one", "none");
    run_probe_start(&run, &probe, workflow, "{\"to\":\"x\"}");
    run_probe_wait(&run);
    ck_assert_str_eq(run_probe_result(&run), "succeeded {\"to\":\"x\",\"days\":3}");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

static const struct {
    const char *text, *input, *result;
} outcomes[] = {
    /* expressions that fail, in every place that has one */
    {"steps: {a: {llm: {model: sim/echo, prompt: '${ .input.n.m }'}}}\n", "{\"n\":1}",
     "failed expression_error"},
    {"steps: {a: {when: '${ .input.n.m }', reduce: 1}}\n", "{\"n\":1}", "failed expression_error"},
    {"steps: {a: {when: '${ .input.n.m }', reduce: 1, on_error: {default: 7}}}\n", "{\"n\":1}",
     "succeeded 7"},
    {"steps:\n"
     "  a:\n"
     "    join: {policy: any, accept: '${ .output.x }'}\n"
     "    parallel: {branches: {b: {reduce: [1]}, c: {reduce: {x: 2}}}}\n",
     NULL, "succeeded {\"x\":2}"},
    {"steps:\n"
     "  a:\n"
     "    join: {policy: any, accept: '${ .output.x }'}\n"
     "    parallel: {branches: {b: {reduce: [1]}}}\n",
     NULL, "failed quorum_unreachable"},
    {"steps: {a: {reduce: 1}}\noutput: '${ .input.n.m }'\n", "{\"n\":1}",
     "failed expression_error"},
    {"steps:\n"
     "  a:\n"
     "    llm: {model: 'sim/echo?fail=auth_failed', prompt: x}\n"
     "    on_error: {default: '${ .input.n.m }'}\n",
     "{\"n\":1}", "failed expression_error"},
    /* errors and their handlers */
    {"steps:\n"
     "  a:\n"
     "    llm: {model: 'sim/echo?fail=auth_failed', prompt: x}\n"
     "    on_error: {step: {reduce: '${ .error.code }'}}\n"
     "  b: {reduce: ['${ .steps.a.output }', '${ .steps.a.status }', '${ .steps.a.error.code "
     "}']}\n",
     NULL, "succeeded [\"auth_failed\",\"failed\",\"auth_failed\"]"},
    {"steps:\n"
     "  a:\n"
     "    llm: {model: 'sim/echo?fail=auth_failed', prompt: x}\n"
     "    on_error:\n"
     "      step:\n"
     "        parallel: {branches: {b: {reduce: '${ .error.code }'}}}\n",
     NULL, "succeeded {\"b\":\"auth_failed\"}"},
    {"steps:\n"
     "  a:\n"
     "    retry: {attempts: 3, initial: 1ms}\n"
     "    llm: {model: 'sim/echo?fail=500&times=2', prompt: x}\n",
     NULL, "succeeded \"[simulated] x\""},
    {"steps: {a: {llm: {model: 'sim/echo?fail=auth_failed', prompt: x}, on_error: continue}}\n",
     NULL, "succeeded null"},
    {"join: settled\n"
     "steps:\n"
     "  a: {llm: {model: 'sim/echo?fail=auth_failed', prompt: x}}\n"
     "  b: {reduce: 1}\n",
     NULL, "failed auth_failed"},
    /* the whole of a step */
    {"steps: {a: {reduce: {x: 1}}, b: {reduce: '${ .steps.a }'}}\n", NULL,
     "succeeded {\"output\":{\"x\":1},\"status\":\"succeeded\",\"error\":null,\"usage\":{\"calls\":"
     "0,\"input_tokens\":0,\"cached_input_tokens\":0,\"output_tokens\":0,\"cost_usd\":null},"
     "\"join\":null}"},
    {"steps: {a: {reduce: ['${ .thread }', '${ .run.attempt }', '${ .run.metadata }']}}\n", NULL,
     "succeeded [null,1,{}]"},
    /* outputs nobody wrote */
    {"steps: {a: {reduce: 1}, b: {reduce: 2}}\n", NULL, "succeeded {\"a\":1,\"b\":2}"},
    {"steps: {a: {when: '${ .input.no }', reduce: 1}}\n", "{}", "succeeded null"},
    {"output_schema: {type: string}\nsteps: {a: {reduce: 1}}\n", NULL, "failed invalid_output"},
    {"output_schema: {type: integer}\nsteps: {a: {reduce: 1}}\n", NULL, "succeeded 1"},
    {"timeout: 30ms\nsteps: {a: {llm: {model: 'sim/echo?latency=10s', prompt: x}}}\n", NULL,
     "failed run_timeout"},
};

START_TEST(runs_end_as_the_language_says)
{
    ck_assert_str_eq(result_of(outcomes[_i].text, outcomes[_i].input), outcomes[_i].result);
}
END_TEST

START_TEST(an_output_over_the_limit_fails_its_step)
{
    char *text = test_repeat("word ", 500);
    char input[4096];

    probe.options.max_step_output = 1024;
    engine_probe_open(&probe);
    snprintf(input, sizeof(input), "{\"t\":\"%s\"}", text);
    ck_assert_str_eq(
        result_of("steps: {a: {llm: {model: sim/echo, prompt: '${ .input.t }'}}}\n", input),
        "failed response_too_large");
    ck_assert_str_eq(result_of("steps: {a: {reduce: '${ .input.t }'}}\n", input),
                     "failed too_large");
    ck_assert_str_eq(result_of("steps:\n"
                               "  a:\n"
                               "    llm: {model: 'sim/echo?fail=auth_failed', prompt: x}\n"
                               "    on_error: {default: '${ .input.t }'}\n",
                               input),
                     "failed too_large");
    free(text);
}
END_TEST

/* ---- many and wide ---- */

enum { CLIENTS = 64, ROUNDS = 6 };

static const char small_run[] =
    "steps:\n"
    "  r:\n"
    "    parallel:\n"
    "      branches:\n"
    "        a: {llm: {model: 'sim/echo?text=a', prompt: x}}\n"
    "        b: {llm: {model: 'sim/echo?text=b&latency=1ms', prompt: x}}\n"
    "        c: {llm: {model: 'sim/echo?text=c&latency=2ms', prompt: x}}\n"
    "  s: {reduce: '${ .steps.r.output.a }${ .steps.r.output.b }${ .steps.r.output.c }'}\n";

static struct run_probe many[CLIENTS][ROUNDS];

static void *start_runs(void *arg)
{
    struct workflow *workflow = test_workflow(small_run);
    size_t first = *(const size_t *)arg;

    for (size_t client = first; client < CLIENTS; client += 4)
        for (size_t round = 0; round < ROUNDS; round++)
            run_probe_start(&many[client][round], &probe, workflow, NULL);
    workflow_unref(&workflow);
    return NULL;
}

START_TEST(hundreds_of_runs_at_once_end_each_with_its_own_output)
{
    static const unsigned loops[] = {1, 2, 4};
    static size_t firsts[] = {0, 1, 2, 3};
    pthread_t threads[4];

    probe.options.loops = loops[_i];
    engine_probe_open(&probe);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, start_runs, &firsts[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t client = 0; client < CLIENTS; client++)
        for (size_t round = 0; round < ROUNDS; round++) {
            struct run_probe *run = &many[client][round];

            run_probe_wait(run);
            ck_assert_str_eq(run_probe_result(run), "succeeded \"abc\"");
            run_probe_finish(run);
        }
    engine_probe_wait_idle(&probe);
    ck_assert_uint_eq(probe.ended, CLIENTS * ROUNDS);
    ck_assert_uint_eq(probe.recorded, CLIENTS * ROUNDS);
}
END_TEST

enum { WIDTH = 2000 };

static struct workflow *wide_workflow(const char *model, const char *join)
{
    struct workflow *workflow;
    struct pl_buf text;

    pl_buf_init(&text, 1 << 20);
    pl_buf_printf(&text,
                  "defaults: {model: '%s'}\nsteps:\n  w:\n    join: %s\n    parallel:\n"
                  "      branches:\n",
                  model, join);
    for (int i = 0; i < WIDTH; i++)
        pl_buf_printf(&text, "        b%d: {llm: {prompt: x}}\n", i);
    pl_buf_text(&text, "output: {counted: '${ .steps.w.join.counted }', cancelled: '${ "
                       ".steps.w.join.cancelled }'}\n");
    workflow = test_workflow(test_text(&text));
    pl_buf_finish(&text);
    return workflow;
}

START_TEST(a_wide_run_spreads_over_loops_and_joins_at_home)
{
    struct workflow *workflow = wide_workflow("sim/echo?latency=20ms&jitter=20ms", "all");
    struct run_probe run;

    probe.options.loops = 4;
    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait(&run);
    ck_assert_str_eq(run_probe_result(&run), "succeeded {\"counted\":2000,\"cancelled\":0}");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "usage.calls"), "2000");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(the_losers_of_a_wide_race_are_cut_off_on_every_loop)
{
    struct workflow *workflow = wide_workflow("sim/echo?latency=10ms&jitter=30s", "{quorum: 2}");
    struct run_probe run;

    probe.options.loops = 4;
    engine_probe_open(&probe);
    for (int i = 0; i < 3; i++) {
        run_probe_start(&run, &probe, workflow, NULL);
        run_probe_wait(&run);
        /* a few more may have answered in the same turn: they are kept, and not counted */
        ck_assert_ptr_nonnull(strstr(run_probe_result(&run), "succeeded {\"counted\":2,"));
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

/* ---- cancelling ---- */

static const char slow_pair[] = "steps:\n"
                                "  a: {llm: {model: 'sim/echo?latency=30s', prompt: x}}\n"
                                "  b: {llm: {model: 'sim/echo?text=b', prompt: x}}\n"
                                "  c:\n"
                                "    needs: [a]\n"
                                "    reduce: 1\n"
                                "output: 1\n";

static enum pl_code cancel(const struct run_probe *run, const char *path)
{
    struct pl_err err = {0};

    return engine_cancel(probe.engine, TENANT, pl_str(run->id), pl_str(path), &err);
}

START_TEST(a_run_cancelled_in_flight_ends_cancelled)
{
    struct workflow *workflow = test_workflow(slow_pair);
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    ck_assert_int_eq(cancel(&run, ""), PL_OK);
    run_probe_wait(&run);
    ck_assert_str_eq(run_probe_result(&run), "cancelled");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "status"), "\"cancelled\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:a.status"), "\"cancelled\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:a.reason"), "\"user\"");
    ck_assert_int_eq(cancel(&run, ""), PL_ERR_NOT_FOUND);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_run_cancelled_the_moment_it_is_started_ends_once)
{
    struct workflow *workflow = test_workflow(slow_pair);

    probe.options.loops = 2;
    engine_probe_open(&probe);
    for (int i = 0; i < 50; i++) {
        struct run_probe run;

        run_probe_start(&run, &probe, workflow, NULL);
        ck_assert_int_eq(cancel(&run, ""), PL_OK);
        (void)cancel(&run, "");
        run_probe_wait(&run);
        ck_assert_str_eq(run_probe_result(&run), "cancelled");
        ck_assert_uint_eq(run.ends, 1);
        ck_assert_uint_eq(run.records, 1);
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_step_cancelled_by_a_user_fails_the_run_that_needs_it)
{
    struct workflow *workflow = test_workflow(slow_pair);
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait_recorded(&run);
    ck_assert_int_eq(cancel(&run, "no_such_step"), PL_OK);
    ck_assert_int_eq(cancel(&run, "a"), PL_OK);
    run_probe_wait(&run);
    ck_assert_str_eq(run_probe_result(&run), "failed cancelled");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:b.status"), "\"succeeded\"");
    ck_assert_str_eq(engine_probe_field(&probe, run.id, "step:c.status"), "\"cancelled\"");
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_step_cancelled_before_its_run_began_never_begins)
{
    struct workflow *workflow = test_workflow("steps:\n"
                                              "  a:\n"
                                              "    join: settled\n"
                                              "    parallel:\n"
                                              "      branches:\n"
                                              "        x: {llm: {model: 'sim/echo?latency=30s', "
                                              "prompt: x}}\n"
                                              "        y: {reduce: 1}\n"
                                              "output: '${ .steps.a.join.cancelled }'\n");

    engine_probe_open(&probe);
    for (int i = 0; i < 20; i++) {
        struct run_probe run;

        run_probe_start(&run, &probe, workflow, NULL);
        ck_assert_int_eq(cancel(&run, "a.x"), PL_OK);
        run_probe_wait(&run);
        ck_assert_str_eq(run_probe_result(&run), "succeeded 1");
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

/* ---- events ---- */

struct watcher {
    struct bus_subscriber *subscriber;
    struct store *store; /* a second look at the same database */
    struct pl_mutex lock;
    struct pl_cond changed;
    bool rung; /* guarded by lock */
    int64_t last;
    unsigned deltas, events;
    bool over;
};

static void watcher_ring(void *arg)
{
    struct watcher *watcher = arg;

    pl_mutex_lock(&watcher->lock);
    watcher->rung = true;
    pl_cond_signal(&watcher->changed);
    pl_mutex_unlock(&watcher->lock);
}

static void watcher_sees_it_stored(struct watcher *watcher, const char *id, int64_t seq)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_event *events;
    size_t count = 0;
    struct pl_err err = {0};

    ck_assert_int_eq(store_list_events(watcher->store, arena, TENANT, pl_str(id), seq - 1, 1,
                                       &events, &count, &err),
                     PL_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(events[0].seq, seq);
    pl_arena_destroy(&arena);
}

static void watcher_take(struct watcher *watcher, const char *id)
{
    struct bus_event event;
    bool gap;

    while (bus_take(watcher->subscriber, &event, &gap)) {
        ck_assert(!gap);
        if (event.seq == 0) {
            watcher->deltas++;
            continue;
        }
        ck_assert_int_eq(event.seq, watcher->last + 1);
        watcher->last = event.seq;
        watcher->events++;
        watcher_sees_it_stored(watcher, id, event.seq);
        if (pl_str_starts(event.type, PL_STR("run.")) && !pl_str_is(event.type, "run.started"))
            watcher->over = true;
    }
}

static void watcher_follow(struct watcher *watcher, const char *id)
{
    while (!watcher->over) {
        pl_mutex_lock(&watcher->lock);
        while (!watcher->rung)
            pl_cond_wait(&watcher->changed, &watcher->lock);
        watcher->rung = false;
        pl_mutex_unlock(&watcher->lock);
        watcher_take(watcher, id);
    }
}

START_TEST(events_come_in_order_without_gaps_and_only_once_they_are_stored)
{
    struct workflow *workflow = test_workflow(small_run);
    struct watcher watcher = {0};
    struct engine_run_request request = {.tenant = TENANT, .workflow = workflow};
    struct doc_problems problems = {0};
    struct pl_err err = {0};
    char id[PL_ID_TEXT];

    probe.options.loops = 2;
    engine_probe_open(&probe);
    pl_mutex_init(&watcher.lock);
    pl_cond_init(&watcher.changed);
    watcher.store = store_fixture_open(&probe.fixture, false);
    request.id = pl_id_new("run", 1, id);
    watcher.subscriber =
        bus_subscribe(engine_bus(probe.engine), pl_str(id), 1000, true, watcher_ring, &watcher);
    ck_assert_int_eq(engine_start_run(probe.engine, &request, id, &problems, &err), PL_OK);
    watcher_follow(&watcher, id);
    /* run.started, 5 steps that start and succeed, run.succeeded */
    ck_assert_uint_eq(watcher.events, 12);
    bus_unsubscribe(&watcher.subscriber);
    store_close(&watcher.store);
    pl_cond_finish(&watcher.changed);
    pl_mutex_finish(&watcher.lock);
    workflow_unref(&workflow);
}
END_TEST

/* ---- looking for runs ---- */

START_TEST(a_run_that_is_not_there_is_not_found)
{
    struct workflow *workflow = NULL;
    struct pl_buf buf;
    struct pl_err err = {0};

    engine_probe_open(&probe);
    pl_buf_init(&buf, 1000);
    ck_assert_int_eq(engine_write_run(probe.engine, TENANT, PL_STR("run_x"), true, &buf, &err),
                     PL_ERR_NOT_FOUND);
    ck_assert_int_eq(engine_run_workflow(probe.engine, TENANT, PL_STR("run_x"), &workflow, &err),
                     PL_ERR_NOT_FOUND);
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, PL_STR("run_x"), PL_STR(""), &err),
                     PL_ERR_NOT_FOUND);
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(a_run_larger_than_the_readers_buffer_is_an_error_not_half_a_run)
{
    struct workflow *workflow = test_workflow(travel);
    struct run_probe run;
    struct pl_buf buf;
    struct pl_err err = {0};

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, "{\"to\":\"C\"}");
    run_probe_wait(&run);
    pl_buf_init(&buf, 300);
    ck_assert_int_eq(engine_write_run(probe.engine, TENANT, pl_str(run.id), true, &buf, &err),
                     PL_ERR_TOO_LARGE);
    pl_buf_finish(&buf);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(one_engine_runs_on_a_database)
{
    struct engine *second = NULL;
    struct pl_err err = {0};

    engine_probe_open(&probe);
    ck_assert_int_eq(engine_create(&probe.options, &second, &err), PL_ERR_STORE_LOCKED);
    ck_assert_ptr_null(second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tcase = tcase_create("engine");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_run_gives_its_output_and_is_recorded_before_it_ends);
    tcase_add_test(tcase, what_is_read_of_a_run_is_what_was_told);
    tcase_add_test(tcase, steps_that_nobody_needed_are_not_pending_once_a_run_is_over);
    tcase_add_test(tcase, an_input_that_does_not_fit_is_refused_and_leaves_nothing);
    tcase_add_loop_test(tcase, runs_end_as_the_language_says, 0, PL_ARRAY_LEN(outcomes));
    tcase_add_test(tcase, an_output_over_the_limit_fails_its_step);
    tcase_add_loop_test(tcase, hundreds_of_runs_at_once_end_each_with_its_own_output, 0, 3);
    tcase_add_test(tcase, a_wide_run_spreads_over_loops_and_joins_at_home);
    tcase_add_test(tcase, the_losers_of_a_wide_race_are_cut_off_on_every_loop);
    tcase_add_test(tcase, a_run_cancelled_in_flight_ends_cancelled);
    tcase_add_test(tcase, a_run_cancelled_the_moment_it_is_started_ends_once);
    tcase_add_test(tcase, a_step_cancelled_by_a_user_fails_the_run_that_needs_it);
    tcase_add_test(tcase, a_step_cancelled_before_its_run_began_never_begins);
    tcase_add_test(tcase, events_come_in_order_without_gaps_and_only_once_they_are_stored);
    tcase_add_test(tcase, a_run_that_is_not_there_is_not_found);
    tcase_add_test(tcase, a_run_larger_than_the_readers_buffer_is_an_error_not_half_a_run);
    tcase_add_test(tcase, one_engine_runs_on_a_database);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
