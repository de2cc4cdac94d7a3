/* test_bus.c - live events: bounded queues, gaps, joined deltas, wake-ups. */
#include "service/events/bus.h"

#include <check.h>
#include <stdlib.h>

static unsigned woken;

static void wake(void *arg)
{
    (void)arg;
    woken++;
}

static struct bus_event event_of(int64_t seq, const char *type, const char *path, const char *data)
{
    return (struct bus_event){
        .seq = seq, .type = pl_str(type), .path = pl_str(path), .data = pl_str(data), .attempt = 1};
}

START_TEST(events_arrive_in_order_and_only_for_the_watched_run)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, false, wake, NULL);
    struct bus_event got;
    bool gap;

    for (int64_t seq = 1; seq <= 3; seq++) {
        struct bus_event event = event_of(seq, "step.started", "a", "{}");

        bus_publish(bus, PL_STR("run_a"), &event);
        bus_publish(bus, PL_STR("run_b"), &event);
    }
    for (int64_t seq = 1; seq <= 3; seq++) {
        ck_assert(bus_take(reader, &got, &gap));
        ck_assert_int_eq(got.seq, seq);
        ck_assert(!gap);
    }
    ck_assert(!bus_take(reader, &got, &gap));
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(a_reader_is_woken_once_for_an_empty_queue)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, false, wake, NULL);
    struct bus_event event = event_of(1, "run.started", "", ""), got;
    bool gap;

    woken = 0;
    bus_publish(bus, PL_STR("run_a"), &event);
    bus_publish(bus, PL_STR("run_a"), &event);
    ck_assert_uint_eq(woken, 1);
    while (bus_take(reader, &got, &gap))
        ;
    bus_publish(bus, PL_STR("run_a"), &event);
    ck_assert_uint_eq(woken, 2);
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(a_full_queue_is_told_as_a_gap_once)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 2, false, wake, NULL);
    struct bus_event got;
    bool gap;

    for (int64_t seq = 1; seq <= 5; seq++) {
        struct bus_event event = event_of(seq, "step.started", "a", "");

        bus_publish(bus, PL_STR("run_a"), &event);
    }
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(gap);
    ck_assert_int_eq(got.seq, 1);
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(!gap);
    ck_assert(!bus_take(reader, &got, &gap));
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(deltas_of_one_step_that_nobody_took_become_one)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, true, wake, NULL);
    struct bus_event a1 = event_of(0, "step.delta", "a", "Hel"),
                     b = event_of(0, "step.delta", "b", "x");
    struct bus_event a2 = event_of(0, "step.delta", "a", "lo"), got;
    bool gap;

    bus_publish(bus, PL_STR("run_a"), &a1);
    bus_publish(bus, PL_STR("run_a"), &b);
    bus_publish(bus, PL_STR("run_a"), &a2);
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(pl_str_is(got.path, "a") && pl_str_is(got.data, "Hello"));
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(pl_str_is(got.path, "b") && pl_str_is(got.data, "x"));
    ck_assert(!bus_take(reader, &got, &gap));
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(a_delta_never_joins_one_from_before_a_durable_event_of_its_step)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, true, wake, NULL);
    struct bus_event first = event_of(0, "step.delta", "a", "old"),
                     reset = event_of(7, "step.reset", "a", "");
    struct bus_event second = event_of(0, "step.delta", "a", "new"), got;
    bool gap;

    bus_publish(bus, PL_STR("run_a"), &first);
    bus_publish(bus, PL_STR("run_a"), &reset);
    bus_publish(bus, PL_STR("run_a"), &second);
    ck_assert(bus_take(reader, &got, &gap) && pl_str_is(got.data, "old"));
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 7);
    ck_assert(bus_take(reader, &got, &gap) && pl_str_is(got.data, "new"));
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(text_that_was_taken_back_within_an_attempt_never_joins_what_follows)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, true, wake, NULL);
    struct bus_event first = event_of(0, "step.delta", "a", "not it"),
                     reset = event_of(0, "step.reset", "a", ""),
                     second = event_of(0, "step.delta", "a", "new"), got;
    struct bus_subscriber *late;
    bool gap;

    bus_publish(bus, PL_STR("run_a"), &first);
    bus_publish(bus, PL_STR("run_a"), &reset);
    bus_publish(bus, PL_STR("run_a"), &second);
    ck_assert(bus_take(reader, &got, &gap) && pl_str_is(got.data, "not it"));
    ck_assert(bus_take(reader, &got, &gap) && pl_str_is(got.type, "step.reset"));
    ck_assert(bus_take(reader, &got, &gap) && pl_str_is(got.data, "new"));
    late = bus_subscribe(bus, PL_STR("run_a"), 10, true, wake, NULL);
    bus_resync(late);
    ck_assert(bus_take(late, &got, &gap) && pl_str_is(got.data, "new"));
    bus_unsubscribe(&late);
    bus_unsubscribe(&reader);
    bus_destroy(&bus);
}
END_TEST

START_TEST(who_did_not_ask_for_deltas_gets_none)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, false, wake, NULL);
    struct bus_event delta = event_of(0, "step.delta", "a", "x"), got;
    bool gap;

    ck_assert(bus_watched(bus, PL_STR("run_a"), false));
    ck_assert(!bus_watched(bus, PL_STR("run_a"), true));
    ck_assert(!bus_watched(bus, PL_STR("run_b"), false));
    bus_publish(bus, PL_STR("run_a"), &delta);
    ck_assert(!bus_take(reader, &got, &gap));
    bus_unsubscribe(&reader);
    ck_assert(!bus_watched(bus, PL_STR("run_a"), false));
    bus_destroy(&bus);
}
END_TEST

START_TEST(an_output_is_shared_not_copied_and_released)
{
    struct bus *bus = bus_create();
    struct bus_subscriber *reader = bus_subscribe(bus, PL_STR("run_a"), 10, false, wake, NULL);
    struct bus_event event = event_of(1, "step.succeeded", "a", ""), got;
    bool gap;

    event.output = pl_value_string(PL_STR("answer"));
    bus_publish(bus, PL_STR("run_a"), &event);
    pl_value_unref(&event.output);
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(pl_str_is(pl_value_text(got.output), "\"answer\""));
    bus_unsubscribe(&reader); /* ASan's leak check sees whether it lets go */
    bus_destroy(&bus);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bus");
    TCase *tests = tcase_create("bus");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tests);
    tcase_add_test(tests, events_arrive_in_order_and_only_for_the_watched_run);
    tcase_add_test(tests, a_reader_is_woken_once_for_an_empty_queue);
    tcase_add_test(tests, a_full_queue_is_told_as_a_gap_once);
    tcase_add_test(tests, deltas_of_one_step_that_nobody_took_become_one);
    tcase_add_test(tests, a_delta_never_joins_one_from_before_a_durable_event_of_its_step);
    tcase_add_test(tests, text_that_was_taken_back_within_an_attempt_never_joins_what_follows);
    tcase_add_test(tests, who_did_not_ask_for_deltas_gets_none);
    tcase_add_test(tests, an_output_is_shared_not_copied_and_released);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
