/* test_event_shared.c - the last events of ended runs, kept for other readers. */
#include "service/events/event_shared.h"

#include "service/engine_private.h"
#include "service/events/bus.h"
#include "service/events/event_stream.h"
#include "tests/support/engine_probe.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct event_shared *shared;

static void set_up(void)
{
    shared = event_shared_create();
    ck_assert_ptr_nonnull(shared);
}

static void tear_down(void)
{
    event_shared_destroy(&shared);
    ck_assert_ptr_null(shared);
}

static void put(const char *run, const char *text)
{
    struct pl_value *value = pl_value_new(pl_str(text));

    event_shared_put(shared, pl_str(run), value);
    pl_value_unref(&value);
}

static bool has(const char *run, const char *text)
{
    struct pl_value *value = event_shared_get(shared, pl_str(run));
    bool is = value && pl_str_is(pl_value_text(value), text);

    pl_value_unref(&value);
    return is;
}

START_TEST(what_was_made_for_one_is_there_for_the_next_of_the_same_run)
{
    ck_assert_ptr_null(event_shared_get(shared, PL_STR("run_a")));
    put("run_a", "{\"a\":1}");
    put("run_ab", "{\"b\":1}");
    put("run_a", "{\"again\":1}");
    ck_assert(has("run_a", "{\"a\":1}"));
    ck_assert(has("run_ab", "{\"b\":1}"));
    ck_assert_ptr_null(event_shared_get(shared, PL_STR("run_b")));
}
END_TEST

START_TEST(the_oldest_goes_and_a_large_one_does_not_come)
{
    char run[32], *large = malloc((1 << 20) + 3);

    ck_assert_ptr_nonnull(large);
    memset(large, ' ', 1 << 20);
    memcpy(large + (1 << 20), "{}", 3);
    put("run_large", large);
    ck_assert_ptr_null(event_shared_get(shared, PL_STR("run_large")));
    free(large);
    for (int i = 0; i < 1000; i++) {
        snprintf(run, sizeof run, "run_%d", i);
        put(run, "{}");
    }
    ck_assert(!has("run_0", "{}"));
    ck_assert(has("run_999", "{}"));
}
END_TEST

START_TEST(who_holds_one_keeps_it_though_it_is_gone)
{
    struct pl_value *held;
    char run[32];

    put("run_held", "{\"held\":true}");
    held = event_shared_get(shared, PL_STR("run_held"));
    for (int i = 0; i < 1000; i++) {
        snprintf(run, sizeof run, "run_%d", i);
        put(run, "{}");
    }
    ck_assert(!has("run_held", "{\"held\":true}"));
    ck_assert(pl_str_is(pl_value_text(held), "{\"held\":true}"));
    pl_value_unref(&held);
}
END_TEST

static void never_woken(void *arg)
{
    (void)arg;
}

static void read_whole(struct engine *engine, const char *run, enum event_format format,
                       struct pl_buf *out)
{
    struct event_stream_options options = {
        .tenant = PL_STR("default"), .run = pl_str(run), .format = format, .wake = never_woken};
    struct event_stream *stream;
    enum event_stream_state state;
    struct pl_err err;

    ck_assert(event_stream_open(engine, &options, &stream, &err) == PL_OK);
    do
        state = event_stream_read(stream, 1 << 20, out, &err);
    while (state == EVENT_STREAM_MORE);
    ck_assert_int_eq(state, EVENT_STREAM_END);
    event_stream_close(&stream);
}

START_TEST(the_end_of_a_run_is_made_once_for_all_its_readers)
{
    static const enum event_format formats[] = {EVENT_NDJSON, EVENT_SSE};
    struct workflow *workflow = test_workflow("steps: {a: {reduce: 1}}");
    struct pl_value *made, *still;
    struct engine_probe probe;
    struct run_probe run;
    struct pl_buf text;

    engine_probe_init(&probe, 1);
    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait(&run);
    engine_probe_wait_idle(&probe);
    ck_assert_ptr_null(event_shared_get(bus_shared(probe.engine->bus), pl_str(run.id)));
    for (size_t i = 0; i < PL_ARRAY_LEN(formats); i++) {
        pl_buf_init(&text, 1 << 20);
        read_whole(probe.engine, run.id, formats[i], &text);
        made = event_shared_get(bus_shared(probe.engine->bus), pl_str(run.id));
        ck_assert_ptr_nonnull(made);
        ck_assert_ptr_nonnull(strstr(text.data, pl_value_text(made).ptr));
        ck_assert_ptr_nonnull(strstr(pl_value_text(made).ptr, "\"type\":\"run.succeeded\""));
        pl_buf_finish(&text);
        still = event_shared_get(bus_shared(probe.engine->bus), pl_str(run.id));
        ck_assert_ptr_eq(made, still);
        pl_value_unref(&made);
        pl_value_unref(&still);
    }
    run_probe_finish(&run);
    workflow_unref(&workflow);
    engine_probe_finish(&probe);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("event_shared");
    TCase *tests = tcase_create("event_shared");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_was_made_for_one_is_there_for_the_next_of_the_same_run);
    tcase_add_test(tests, the_oldest_goes_and_a_large_one_does_not_come);
    tcase_add_test(tests, who_holds_one_keeps_it_though_it_is_gone);
    tcase_add_test(tests, the_end_of_a_run_is_made_once_for_all_its_readers);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
