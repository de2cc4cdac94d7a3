/* test_limits.c - lanes: pauses, what ends them, how backoff grows, and many threads at once. Run
 * by ctest. */
#include "base/sync.h"
#include "service/limits.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct lane *lane;

static void set_up(void)
{
    lane = lane_create();
    ck_assert_ptr_nonnull(lane);
}

static void tear_down(void)
{
    lane_destroy(&lane);
    ck_assert_ptr_null(lane);
    lane_destroy(&lane);
}

static void assert_paused(pl_ms now, pl_ms until, const char *reason)
{
    pl_ms paused_until = -1;
    const char *why = NULL;

    ck_assert(lane_paused(lane, now, &paused_until, &why));
    ck_assert_int_eq(paused_until, until);
    ck_assert_str_eq(why, reason);
}

static bool paused(pl_ms now)
{
    pl_ms until;
    const char *reason;

    return lane_paused(lane, now, &until, &reason);
}

START_TEST(a_lane_is_open_at_first_and_has_not_answered)
{
    ck_assert(!paused(0));
    ck_assert(!paused(1000000));
    ck_assert(!lane_has_answered(lane));
}
END_TEST

START_TEST(a_pause_lasts_until_its_time_and_only_grows)
{
    lane_pause(lane, 5000, "rate_limited");
    assert_paused(1000, 5000, "rate_limited");
    assert_paused(4999, 5000, "rate_limited");
    ck_assert(!paused(5000));
    lane_pause(lane, 4000, "unreachable");
    assert_paused(1000, 5000, "rate_limited");
    lane_pause(lane, 6000, "unreachable");
    assert_paused(1000, 6000, "unreachable");
}
END_TEST

START_TEST(an_answer_ends_a_pause_for_unreachable_only)
{
    lane_pause(lane, 5000, "unreachable");
    lane_answered(lane);
    ck_assert(lane_has_answered(lane));
    ck_assert(!paused(1000));
    lane_pause(lane, 5000, "rate_limited");
    lane_answered(lane);
    assert_paused(1000, 5000, "rate_limited");
    ck_assert(lane_has_answered(lane));
}
END_TEST

START_TEST(backoff_doubles_to_its_most_and_starts_again_after_an_answer)
{
    static const pl_ms waits[] = {250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000, 15000};

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < PL_ARRAY_LEN(waits); i++)
            ck_assert_int_eq(lane_backoff(lane), waits[i]);
        lane_answered(lane);
    }
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_le(lane_backoff(lane), 15000);
}
END_TEST

static void *use_lane(void *arg)
{
    pl_ms step = *(const pl_ms *)arg, until;
    const char *reason;

    for (pl_ms now = 0; now < 20000; now++) {
        lane_pause(lane, now + step, step % 2 ? "rate_limited" : "unreachable");
        if (lane_paused(lane, now, &until, &reason) && until <= now)
            abort();
        if (now % 7 == 0)
            lane_answered(lane);
        if (lane_backoff(lane) > 15000)
            abort();
    }
    return NULL;
}

START_TEST(threads_may_use_a_lane_at_once)
{
    pthread_t threads[4];
    pl_ms steps[4] = {1, 2, 3, 4};

    for (unsigned i = 0; i < 4; i++)
        ck_assert(pl_thread_start(&threads[i], "lane", use_lane, &steps[i]));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!paused(20003));
    ck_assert(lane_has_answered(lane));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/limits");
    TCase *tcase = tcase_create("lanes");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_lane_is_open_at_first_and_has_not_answered);
    tcase_add_test(tcase, a_pause_lasts_until_its_time_and_only_grows);
    tcase_add_test(tcase, an_answer_ends_a_pause_for_unreachable_only);
    tcase_add_test(tcase, backoff_doubles_to_its_most_and_starts_again_after_an_answer);
    tcase_add_test(tcase, threads_may_use_a_lane_at_once);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
