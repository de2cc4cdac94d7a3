/* test_clock.c - the time line, and times and durations as text. Run by ctest. */
#include "base/clock.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

START_TEST(the_real_clock_stands_where_the_wall_clock_does_and_never_goes_back)
{
    const struct pl_clock *clock = pl_clock_real();
    pl_ms last = pl_clock_now(clock);
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    ck_assert_int_lt(llabs(last - ((pl_ms)wall.tv_sec * 1000 + wall.tv_nsec / 1000000)), 2000);
    for (int i = 0; i < 10000; i++) {
        pl_ms now = pl_clock_now(clock);

        ck_assert_int_ge(now, last);
        last = now;
    }
}
END_TEST

START_TEST(the_real_clock_advances)
{
    const pl_ms start = pl_clock_now(pl_clock_real());
    const int64_t start_us = pl_monotonic_us();
    const struct timespec pause = {.tv_nsec = 20000000};

    nanosleep(&pause, NULL);
    ck_assert_int_ge(pl_clock_now(pl_clock_real()) - start, 19);
    ck_assert_int_ge(pl_monotonic_us() - start_us, 19999);
}
END_TEST

START_TEST(a_fake_clock_shows_what_it_is_set_to)
{
    struct pl_clock_fake fake;

    pl_clock_fake_init(&fake, 1000);
    ck_assert_int_eq(pl_clock_now(&fake.clock), 1000);
    fake.time += 234;
    ck_assert_int_eq(pl_clock_now(&fake.clock), 1234);
}
END_TEST

static const struct {
    pl_ms time;
    const char *text;
} times[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {1709164799999, "2024-02-28T23:59:59.999Z"},
    {1763651045123, "2025-11-20T15:04:05.123Z"},
    {4107542400000, "2100-03-01T00:00:00.000Z"},
    {-2203891200001, "1900-02-28T23:59:59.999Z"},
    {253402300799999, "9999-12-31T23:59:59.999Z"},
    {-62167219200000, "0000-01-01T00:00:00.000Z"},
};

START_TEST(times_are_written_and_read_back)
{
    char text[PL_TIME_TEXT];
    pl_ms time;

    ck_assert_str_eq(pl_time_format(times[_i].time, text), times[_i].text);
    ck_assert(pl_time_parse(pl_str(times[_i].text), &time));
    ck_assert_int_eq(time, times[_i].time);
}
END_TEST

START_TEST(every_day_of_four_centuries_agrees_with_gmtime)
{
    char text[PL_TIME_TEXT], expected[PL_TIME_TEXT];

    for (int64_t day = -36525 * 2; day < 36525 * 2; day += 7) {
        const time_t seconds = (time_t)(day * 86400 + 3723);
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        ck_assert_str_eq(pl_time_format((pl_ms)seconds * 1000, text), expected);
    }
}
END_TEST

START_TEST(times_out_of_range_are_held_at_its_ends)
{
    char text[PL_TIME_TEXT];

    ck_assert_str_eq(pl_time_format(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
    ck_assert_str_eq(pl_time_format(INT64_MIN, text), "0000-01-01T00:00:00.000Z");
}
END_TEST

static const struct {
    const char *text;
    pl_ms time; /* -1: refused */
} readings[] = {
    {"1970-01-01T00:00:01Z", 1000},
    {"1970-01-01t00:00:01z", 1000},
    {"1970-01-01 00:00:01Z", 1000},
    {"1970-01-01T00:00:00.1Z", 100},
    {"1970-01-01T00:00:00.123456789Z", 123},
    {"1970-01-01T01:30:00+01:30", 0},
    {"1969-12-31T23:00:00-01:00", 0},
    {"1970-01-01T00:00:60Z", 60000},
    {"2023-02-29T00:00:00Z", -1},
    {"1900-02-29T00:00:00Z", -1},
    {"2024-13-01T00:00:00Z", -1},
    {"2024-00-01T00:00:00Z", -1},
    {"2024-04-31T00:00:00Z", -1},
    {"2024-04-00T00:00:00Z", -1},
    {"1970-01-01T24:00:00Z", -1},
    {"1970-01-01T00:60:00Z", -1},
    {"1970-01-01T00:00:61Z", -1},
    {"1970-01-01T00:00:00", -1},
    {"1970-01-01T00:00:00.Z", -1},
    {"1970-01-01T00:00:00+0100", -1},
    {"1970-01-01T00:00:00+24:00", -1},
    {"1970-01-01T00:00:00Zx", -1},
    {"1970-01-01", -1},
    {"70-01-01T00:00:00Z", -1},
    {"", -1},
};

START_TEST(other_times_are_read_or_refused)
{
    pl_ms time = -2;
    const bool read = pl_time_parse(pl_str(readings[_i].text), &time);

    ck_assert_msg(read == (readings[_i].time != -1), "%s", readings[_i].text);
    ck_assert_int_eq(time, read ? readings[_i].time : -2);
}
END_TEST

static const struct {
    const char *text;
    pl_ms duration; /* -1: refused */
} durations[] = {
    {"250ms", 250},
    {"30s", 30000},
    {"5m", 300000},
    {"1h", 3600000},
    {"1h30m", 5400000},
    {"1h2m3s4ms", 3723004},
    {"1.5s", 1500},
    {"0.25h", 900000},
    {"90", 90000},
    {"1.5", 1500},
    {"0.0015", 1},
    {"0", 0},
    {"0s", 0},
    {"87600h", 315360000000},
    {"100000h", -1},
    {"99999999999999999999h", -1},
    {"99999999999999999999", -1},
    {"-1s", -1},
    {"+1s", -1},
    {"1 s", -1},
    {" 1s", -1},
    {"1s ", -1},
    {"", -1},
    {"s", -1},
    {".5s", -1},
    {"1.s", -1},
    {"1m1h", -1},
    {"1s1s", -1},
    {"1h30", -1},
    {"1d", -1},
    {"1S", -1},
    {"1e3", -1},
    {"never", -1},
};

START_TEST(durations_are_read_or_refused)
{
    pl_ms duration = -2;
    const bool read = pl_duration_parse(pl_str(durations[_i].text), &duration);

    ck_assert_msg(read == (durations[_i].duration != -1), "%s", durations[_i].text);
    ck_assert_int_eq(duration, read ? durations[_i].duration : -2);
}
END_TEST

START_TEST(durations_are_shown_for_people)
{
    char text[24];

    ck_assert_str_eq(pl_duration_format(0, text), "0 ms");
    ck_assert_str_eq(pl_duration_format(-5, text), "0 ms");
    ck_assert_str_eq(pl_duration_format(850, text), "850 ms");
    ck_assert_str_eq(pl_duration_format(12345, text), "12.3 s");
    ck_assert_str_eq(pl_duration_format(245000, text), "4m 05s");
    ck_assert_str_eq(pl_duration_format(7500000, text), "2h 05m");
    ck_assert_uint_lt(strlen(pl_duration_format(INT64_MAX, text)), 24);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/clock");
    TCase *tcase = tcase_create("clock");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, the_real_clock_stands_where_the_wall_clock_does_and_never_goes_back);
    tcase_add_test(tcase, the_real_clock_advances);
    tcase_add_test(tcase, a_fake_clock_shows_what_it_is_set_to);
    tcase_add_loop_test(tcase, times_are_written_and_read_back, 0, PL_ARRAY_LEN(times));
    tcase_add_test(tcase, every_day_of_four_centuries_agrees_with_gmtime);
    tcase_add_test(tcase, times_out_of_range_are_held_at_its_ends);
    tcase_add_loop_test(tcase, other_times_are_read_or_refused, 0, PL_ARRAY_LEN(readings));
    tcase_add_loop_test(tcase, durations_are_read_or_refused, 0, PL_ARRAY_LEN(durations));
    tcase_add_test(tcase, durations_are_shown_for_people);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
