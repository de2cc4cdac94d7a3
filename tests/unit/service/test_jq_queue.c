/* test_jq_queue.c - whose turn it is for a jq worker. Workers are in test_jq_pool.c. Run by ctest.
 */
#include "service/expr/jq_queue.h"

#include "service/expr/jq_pool.h"

#include <check.h>
#include <stdlib.h>

static struct jq_queue queue;
static struct jq_job jobs[10];

static void setup(void)
{
    memset(jobs, 0, sizeof jobs);
    jq_queue_init(&queue, 2);
}

static struct jq_job *put(size_t i, uint64_t owner)
{
    jobs[i].queue = owner;
    jq_queue_put(&queue, &jobs[i], false);
    return &jobs[i];
}

START_TEST(runs_are_served_in_turn)
{
    put(0, 1);
    put(1, 1);
    put(2, 2);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[0]);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[2]);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[1]);
    ck_assert_ptr_null(jq_queue_take(&queue));
}
END_TEST

START_TEST(a_run_that_holds_what_it_may_waits_and_the_others_go_on)
{
    for (size_t i = 0; i < 4; i++)
        put(i, 1);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[0]);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[1]);
    ck_assert(!jq_queue_has_turn(&queue));
    jobs[4].queue = 2;
    ck_assert(jq_queue_pass(&queue, &jobs[4]));
    jobs[5].queue = 1;
    ck_assert(!jq_queue_pass(&queue, &jobs[5]));
    jq_queue_leave(&queue, &jobs[1]);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[2]);
    ck_assert(!jq_queue_has_turn(&queue));
}
END_TEST

START_TEST(runs_with_the_same_place_do_not_share_a_lane)
{
    put(0, 1);
    put(1, 1);
    put(2, 1 + JQ_LANES);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[0]);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[2]);
}
END_TEST

START_TEST(a_job_whose_worker_was_lost_is_next)
{
    put(0, 1);
    put(1, 2);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[0]);
    jq_queue_leave(&queue, &jobs[0]);
    jq_queue_put(&queue, &jobs[0], true);
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[0]);
}
END_TEST

START_TEST(what_a_run_has_waiting_is_withdrawn_and_no_more)
{
    put(0, 1);
    put(1, 1);
    put(2, 1 + JQ_LANES);
    ck_assert_ptr_eq(jq_queue_withdraw(&queue, 1), &jobs[0]);
    ck_assert_ptr_eq(jq_queue_withdraw(&queue, 1), &jobs[1]);
    ck_assert_ptr_null(jq_queue_withdraw(&queue, 1));
    ck_assert_ptr_eq(jq_queue_take(&queue), &jobs[2]);
}
END_TEST

START_TEST(draining_gives_those_too_that_must_wait)
{
    for (size_t i = 0; i < 4; i++)
        put(i, 1);
    ck_assert_ptr_nonnull(jq_queue_take(&queue));
    ck_assert_ptr_nonnull(jq_queue_take(&queue));
    ck_assert_ptr_eq(jq_queue_drain(&queue), &jobs[2]);
    ck_assert_ptr_eq(jq_queue_drain(&queue), &jobs[3]);
    ck_assert_ptr_null(jq_queue_drain(&queue));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jq_queue");
    TCase *tc = tcase_create("jq_queue");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, runs_are_served_in_turn);
    tcase_add_test(tc, a_run_that_holds_what_it_may_waits_and_the_others_go_on);
    tcase_add_test(tc, runs_with_the_same_place_do_not_share_a_lane);
    tcase_add_test(tc, a_job_whose_worker_was_lost_is_next);
    tcase_add_test(tc, what_a_run_has_waiting_is_withdrawn_and_no_more);
    tcase_add_test(tc, draining_gives_those_too_that_must_wait);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
