/* test_bus_late.c - readers that come late or are slow: texts so far, holes, gaps nobody queued.
 * Not the plain queue (test_bus). */
#include "service/events/bus.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define RUN PL_STR("run_a")

static struct bus *bus;
static unsigned woken;

static void wake(void *arg)
{
    (void)arg;
    woken++;
}

static void set_up(void)
{
    bus = bus_create();
    ck_assert_ptr_nonnull(bus);
    woken = 0;
}

static void tear_down(void)
{
    bus_destroy(&bus); /* ASan's leak check sees whether texts go with it */
}

static void tell(const char *path, int64_t attempt, size_t offset, const char *text)
{
    struct bus_event event = {.type = PL_STR("step.delta"),
                              .path = pl_str(path),
                              .attempt = attempt,
                              .offset = offset,
                              .data = pl_str(text)};

    bus_publish(bus, RUN, &event);
}

static void record(int64_t seq, const char *path)
{
    struct bus_event event = {.seq = seq, .type = PL_STR("step.started"), .path = pl_str(path)};

    bus_publish(bus, RUN, &event);
}

static struct bus_subscriber *reader_of(size_t max_queue)
{
    return bus_subscribe(bus, RUN, max_queue, true, wake, NULL);
}

static void expect_delta(struct bus_subscriber *reader, const char *path, const char *text,
                         bool snapshot)
{
    struct bus_event got;
    bool gap;

    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(!gap);
    ck_assert_int_eq(got.seq, 0);
    ck_assert_msg(pl_str_is(got.path, path) && pl_str_is(got.data, text), "%.*s: %.*s",
                  PL_STR_ARG(got.path), PL_STR_ARG(got.data));
    ck_assert_int_eq(got.snapshot, snapshot);
}

static void expect_nothing(struct bus_subscriber *reader)
{
    struct bus_event got;
    bool gap;

    ck_assert(!bus_take(reader, &got, &gap));
    ck_assert(!gap);
}

START_TEST(who_comes_late_is_given_the_text_so_far_then_what_follows)
{
    struct bus_subscriber *reader;

    tell("a", 1, 0, "Hel");
    tell("b", 1, 0, "x");
    tell("a", 1, 3, "lo");
    bus_text_end(bus, RUN, PL_STR("b"));
    reader = reader_of(10);
    expect_nothing(reader);
    bus_resync(reader);
    expect_delta(reader, "a", "Hello", true);
    tell("a", 1, 5, "!");
    expect_delta(reader, "a", "!", false);
    bus_resync(reader);
    expect_delta(reader, "a", "Hello!", true);
    bus_text_end(bus, RUN, PL_STR("a"));
    bus_resync(reader);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(another_attempt_begins_its_text_anew)
{
    struct bus_subscriber *reader;

    tell("a", 1, 0, "void");
    tell("a", 2, 0, "new");
    reader = reader_of(10);
    bus_resync(reader);
    expect_delta(reader, "a", "new", true);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(a_text_with_a_piece_missing_is_not_shown)
{
    struct bus_subscriber *reader;

    tell("a", 1, 0, "one");
    tell("a", 1, 6, "three");
    reader = reader_of(10);
    bus_resync(reader);
    expect_nothing(reader);
    tell("a", 2, 0, "again");
    bus_resync(reader);
    expect_delta(reader, "a", "again", true);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(a_resync_exchanges_deltas_and_keeps_the_rest_in_order)
{
    struct bus_subscriber *reader = reader_of(10);
    struct bus_event got;
    bool gap;

    tell("gone", 1, 0, "old");
    bus_text_end(bus, RUN, PL_STR("gone"));
    record(4, "gone");
    tell("a", 1, 0, "he");
    record(5, "b");
    bus_resync(reader);
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 4);
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 5);
    expect_delta(reader, "a", "he", true);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(a_reader_that_lost_a_delta_is_given_the_text_again_not_a_hole)
{
    struct bus_subscriber *reader = reader_of(1);
    struct bus_event got;
    bool gap;

    bus_resync(reader);
    record(1, "a");
    tell("a", 1, 0, "lost ");
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 1);
    tell("a", 1, 5, "and ");
    tell("a", 1, 9, "found");
    expect_delta(reader, "a", "lost and found", true);
    tell("a", 1, 14, ".");
    expect_delta(reader, "a", ".", false);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(a_reader_with_a_hole_is_woken_by_the_next_delta)
{
    struct bus_subscriber *reader = reader_of(1);
    struct bus_event got;
    bool gap;

    bus_resync(reader);
    record(1, "a");
    ck_assert_uint_eq(woken, 1);
    tell("a", 1, 0, "lost ");
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 1);
    tell("a", 1, 5, "more"); /* its queue is empty: it may be asleep */
    ck_assert_uint_eq(woken, 2);
    expect_delta(reader, "a", "lost more", true);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(a_reader_that_never_reads_keeps_little_text)
{
    enum { PIECES = 1000, PIECE = 1000 };
    struct bus_subscriber *reader = reader_of(10);
    struct bus_event got;
    char piece[PIECE + 1];
    size_t given = 0;
    bool gap;

    memset(piece, 'x', PIECE);
    piece[PIECE] = '\0';
    bus_resync(reader);
    for (size_t i = 0; i < PIECES; i++)
        tell("a", 1, i * PIECE, piece);
    ck_assert(bus_take(reader, &got, &gap));
    given = got.data.len;
    ck_assert_uint_lt(given, 300 * 1024);
    ck_assert(!got.snapshot);
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(got.snapshot);
    ck_assert_uint_eq(got.data.len, (size_t)PIECES * PIECE);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(events_that_are_not_published_are_a_gap_that_wakes)
{
    struct bus_subscriber *reader = reader_of(10);
    struct bus_event got;
    bool gap;

    bus_lose(bus, PL_STR("run_b"));
    ck_assert_uint_eq(woken, 0);
    bus_lose(bus, RUN);
    bus_lose(bus, RUN);
    ck_assert_uint_eq(woken, 1);
    ck_assert(!bus_take(reader, &got, &gap));
    ck_assert(gap);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(only_the_newest_progress_waits_in_a_queue)
{
    struct bus_subscriber *reader = reader_of(10);
    struct bus_event progress = {.type = PL_STR("run.progress"), .data = PL_STR("{\"n\":1}")}, got;
    bool gap;

    bus_publish(bus, RUN, &progress);
    record(1, "a");
    progress.data = PL_STR("{\"n\":2}");
    progress.at = 7;
    bus_publish(bus, RUN, &progress);
    bus_resync(reader);
    ck_assert(bus_take(reader, &got, &gap));
    ck_assert(pl_str_is(got.data, "{\"n\":2}") && got.at == 7);
    ck_assert(bus_take(reader, &got, &gap) && got.seq == 1);
    expect_nothing(reader);
    bus_unsubscribe(&reader);
}
END_TEST

START_TEST(texts_of_wide_runs_are_each_found)
{
    enum { BRANCHES = 5000 };
    struct bus_subscriber *reader;
    struct bus_event got;
    unsigned seen = 0;
    bool gap;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BRANCHES; i++) {
            char path[16];

            snprintf(path, sizeof path, "p.b%d", i);
            tell(path, 1, (size_t)round, "x");
        }
    }
    for (int i = 0; i < BRANCHES; i += 2) {
        char path[16];

        snprintf(path, sizeof path, "p.b%d", i);
        bus_text_end(bus, RUN, pl_str(path));
    }
    reader = reader_of(10);
    bus_resync(reader);
    while (bus_take(reader, &got, &gap)) {
        ck_assert(got.snapshot && pl_str_is(got.data, "xx"));
        seen++;
    }
    ck_assert_uint_eq(seen, BRANCHES / 2);
    bus_unsubscribe(&reader);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        who_comes_late_is_given_the_text_so_far_then_what_follows,
        another_attempt_begins_its_text_anew,
        a_text_with_a_piece_missing_is_not_shown,
        a_resync_exchanges_deltas_and_keeps_the_rest_in_order,
        a_reader_that_lost_a_delta_is_given_the_text_again_not_a_hole,
        a_reader_with_a_hole_is_woken_by_the_next_delta,
        a_reader_that_never_reads_keeps_little_text,
        events_that_are_not_published_are_a_gap_that_wakes,
        only_the_newest_progress_waits_in_a_queue,
        texts_of_wide_runs_are_each_found,
    };
    Suite *suite = suite_create("bus_late");
    TCase *tcase = tcase_create("bus_late");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
