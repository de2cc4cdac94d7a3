/* test_limits_window.c - so much a minute: never more in any minute, nearly all of it used, and no
 * long gaps. Run by ctest. */
#include "service/limits/limits_window.h"

#include <check.h>
#include <stdlib.h>

enum { MINUTE = 60000, MOST = 4096 };

static pl_ms taken[MOST];
static size_t n_taken;

/* Takes whatever fits, asking again when it is told to, until `end`. */
static void take_all(struct rate_window *window, pl_ms from, pl_ms end)
{
    pl_ms when;

    for (pl_ms now = from; now < end; now = when) {
        while (rate_window_fits(window, now, 1, &when)) {
            rate_window_take(window, now, 1);
            ck_assert_uint_lt(n_taken, MOST);
            taken[n_taken++] = now;
        }
        ck_assert_int_gt(when, now);
    }
}

static size_t fullest_minute(void)
{
    size_t most = 0;

    for (size_t first = 0, last = 0; first < n_taken; first++) {
        while (last < n_taken && taken[last] <= taken[first] + MINUTE)
            last++;
        if (last - first > most)
            most = last - first;
    }
    return most;
}

START_TEST(no_minute_has_more_and_five_have_nearly_all)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 60, 600};

    for (size_t i = 0; i < PL_ARRAY_LEN(limits); i++) {
        struct rate_window window;

        n_taken = 0;
        rate_window_init(&window, limits[i], 0.02);
        take_all(&window, 123457, 123457 + 5 * MINUTE);
        ck_assert_uint_le(fullest_minute(), limits[i]);
        if (limits[i] >= 60)
            ck_assert_uint_ge(n_taken * 100, 5 * limits[i] * 95);
        else
            ck_assert_uint_ge(n_taken, 4 * limits[i] + 1);
    }
}
END_TEST

START_TEST(what_is_allowed_is_spread_over_the_minute)
{
    struct rate_window window;

    n_taken = 0;
    rate_window_init(&window, 600, 0.02);
    take_all(&window, 1000000, 1000000 + 5 * MINUTE);
    for (size_t i = 1; i < n_taken; i++)
        ck_assert_int_le(taken[i] - taken[i - 1], 3000);
    ck_assert_int_eq(taken[11], taken[0]); /* the burst */
    ck_assert_int_gt(taken[12], taken[0]);
}
END_TEST

START_TEST(a_pause_does_not_save_up_more_than_a_minute)
{
    struct rate_window window;

    n_taken = 0;
    rate_window_init(&window, 60, 0.02);
    take_all(&window, 1000000, 1000000 + MINUTE);
    take_all(&window, 1000000 + 3600000, 1000000 + 3600000 + MINUTE);
    ck_assert_uint_le(fullest_minute(), 60);
}
END_TEST

START_TEST(without_a_limit_everything_fits)
{
    struct rate_window window;
    pl_ms when;

    rate_window_init(&window, 0, 0.02);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert(rate_window_fits(&window, 5, 1000000, &when));
        rate_window_take(&window, 5, 1000000);
    }
}
END_TEST

START_TEST(more_than_the_limit_goes_when_nothing_else_does)
{
    struct rate_window window;
    pl_ms when = 0;

    rate_window_init(&window, 1000, 1.0 / 6);
    ck_assert(rate_window_fits(&window, 1000000, 5000, &when));
    rate_window_take(&window, 1000000, 5000);
    ck_assert(!rate_window_fits(&window, 1000000, 1, &when));
    ck_assert_int_gt(when, 1000000);
    ck_assert_int_le(when, 1000000 + 62000);
    ck_assert(rate_window_fits(&window, 1000000 + 62000, 5000, &when));
}
END_TEST

START_TEST(what_was_reserved_and_not_used_is_there_again)
{
    struct rate_window window;
    pl_ms when;

    rate_window_init(&window, 1000, 1.0 / 6);
    rate_window_take(&window, 1000000, 1000);
    ck_assert(!rate_window_fits(&window, 1000100, 500, &when));
    rate_window_settle(&window, 1000000, 1000200, 1000, 100);
    ck_assert_uint_eq(window.used, 100);
    ck_assert(rate_window_fits(&window, 1000200, 500, &when));
    /* and what was used beyond that counts */
    rate_window_settle(&window, 1000000, 1000300, 100, 3000);
    ck_assert(!rate_window_fits(&window, 1000300, 1, &when));
    /* long ago: nothing is left to be set right */
    rate_window_settle(&window, 1000000, 1000000 + 2 * MINUTE, 1000, 0);
    ck_assert_uint_eq(window.used, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/limits_window");
    TCase *tcase = tcase_create("windows");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, no_minute_has_more_and_five_have_nearly_all);
    tcase_add_test(tcase, what_is_allowed_is_spread_over_the_minute);
    tcase_add_test(tcase, a_pause_does_not_save_up_more_than_a_minute);
    tcase_add_test(tcase, without_a_limit_everything_fits);
    tcase_add_test(tcase, more_than_the_limit_goes_when_nothing_else_does);
    tcase_add_test(tcase, what_was_reserved_and_not_used_is_there_again);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
