/* test_llm_latency.c - what is learned of latencies, what counts as late, and the share of hedges.
 * Run by ctest. */
#include "service/llm/llm_latency.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct llm_latency *latency;

static void set_up(void)
{
    latency = llm_latency_create();
    ck_assert_ptr_nonnull(latency);
}

static void tear_down(void)
{
    llm_latency_destroy(&latency);
    ck_assert_ptr_null(latency);
}

static struct llm_sketch *sketch_of(const char *model)
{
    return llm_latency_of(latency, pl_str(model), false);
}

static void took(struct llm_sketch *sketch, pl_ms ms, unsigned times)
{
    while (times--) {
        llm_sketch_began(sketch);
        llm_sketch_took(sketch, ms);
    }
}

static pl_ms late(const struct llm_sketch *sketch)
{
    pl_ms ms = -1;

    return llm_sketch_late(sketch, &ms) ? ms : -1;
}

START_TEST(nothing_is_known_before_ten_answers)
{
    struct llm_sketch *sketch = sketch_of("m");

    ck_assert_int_eq(late(sketch), -1);
    took(sketch, 100, LLM_LATENCY_ENOUGH - 1);
    ck_assert_int_eq(late(sketch), -1);
    took(sketch, 100, 1);
    ck_assert_int_ge(late(sketch), 100);
    ck_assert_int_le(late(sketch), 106);
}
END_TEST

START_TEST(late_is_what_ninety_five_of_a_hundred_are_not)
{
    struct llm_sketch *sketch = sketch_of("m");

    for (unsigned i = 1; i <= 100; i++)
        took(sketch, 1000 + i * 10, 1);
    ck_assert_int_ge(late(sketch), 1950);
    ck_assert_int_le(late(sketch), 1950 * 107 / 100);
}
END_TEST

START_TEST(late_is_at_most_one_and_a_quarter_times_the_ninetieth)
{
    struct llm_sketch *sketch = sketch_of("m");

    took(sketch, 100, 93);
    took(sketch, 2000, 7);
    ck_assert_int_ge(late(sketch), 125);
    ck_assert_int_le(late(sketch), 134);
}
END_TEST

START_TEST(late_is_at_least_ten_milliseconds)
{
    struct llm_sketch *sketch = sketch_of("m");

    took(sketch, 0, 100);
    ck_assert_int_eq(late(sketch), LLM_LATENCY_LEAST_MS);
}
END_TEST

START_TEST(calls_under_way_count_as_slower_while_answers_are_few)
{
    struct llm_sketch *sketch = sketch_of("m");

    /* a map of 1000: the ten fastest say nothing of the others */
    for (unsigned i = 0; i < 1000; i++)
        llm_sketch_began(sketch);
    for (unsigned i = 0; i < 400; i++)
        llm_sketch_took(sketch, 10 + i);
    ck_assert_int_eq(late(sketch), -1);
    for (unsigned i = 400; i < 700; i++)
        llm_sketch_took(sketch, 10 + i);
    ck_assert_int_eq(late(sketch), -1);
    for (unsigned i = 700; i < 960; i++)
        llm_sketch_took(sketch, 10 + i);
    ck_assert_int_ge(late(sketch), 900);
    ck_assert_int_le(late(sketch), 1050);
}
END_TEST

START_TEST(calls_that_ended_otherwise_do_not_count)
{
    struct llm_sketch *sketch = sketch_of("m");

    took(sketch, 100, 10);
    for (unsigned i = 0; i < 1000; i++) {
        llm_sketch_began(sketch);
        llm_sketch_gone(sketch);
    }
    ck_assert_int_le(late(sketch), 106);
}
END_TEST

START_TEST(old_answers_fade)
{
    struct llm_sketch *sketch = sketch_of("m");

    took(sketch, 5000, 2000);
    took(sketch, 50, 20000);
    ck_assert_int_le(late(sketch), 55);
    took(sketch, 5000, 2000);
    ck_assert_int_ge(late(sketch), 5000);
}
END_TEST

START_TEST(a_long_tail_stays_known_while_answers_fade)
{
    struct llm_sketch *sketch = sketch_of("m");

    /* all of the tail in different buckets, so that each has one or two */
    for (unsigned i = 0; i < 20000; i++)
        took(sketch, i % 10 ? 1000 : 1100 + (pl_ms)(i / 10 * 7919 % 1800), 1);
    ck_assert_int_gt(late(sketch), 1300);
    ck_assert_int_lt(late(sketch), 2800);
}
END_TEST

START_TEST(models_and_ways_of_answering_are_kept_apart)
{
    struct llm_sketch *a = sketch_of("a");

    took(a, 100, 100);
    ck_assert_ptr_eq(sketch_of("a"), a);
    ck_assert_ptr_ne(sketch_of("b"), a);
    ck_assert_ptr_ne(llm_latency_of(latency, PL_STR("a"), true), a);
    ck_assert_int_eq(late(sketch_of("b")), -1);
}
END_TEST

START_TEST(a_model_too_many_is_not_learned)
{
    char name[32];

    for (unsigned i = 0; i < LLM_LATENCY_MODELS; i++) {
        snprintf(name, sizeof(name), "model-%u", i);
        ck_assert_ptr_nonnull(sketch_of(name));
    }
    ck_assert_ptr_null(sketch_of("one more"));
    ck_assert_ptr_nonnull(sketch_of("model-7"));
    took(NULL, 100, 100);
    llm_sketch_gone(NULL);
    ck_assert_int_eq(late(NULL), -1);
    ck_assert_ptr_null(llm_latency_of(NULL, PL_STR("a"), false));
}
END_TEST

START_TEST(every_length_of_a_call_has_its_place)
{
    for (pl_ms ms = 1; ms < (pl_ms)1 << 40; ms = ms * 3 / 2 + 1) {
        char name[32];
        pl_ms found;

        snprintf(name, sizeof(name), "%lld", (long long)ms);
        took(sketch_of(name), ms, 20);
        found = late(sketch_of(name));
        if (ms >= LLM_LATENCY_LEAST_MS && ms < 1 << 21) {
            ck_assert_int_ge(found, ms);
            ck_assert_int_le(found, ms * 107 / 100);
        }
        ck_assert_int_gt(found, 0);
    }
    took(sketch_of("back"), -5, 20); /* a clock that was set back */
    ck_assert_int_eq(late(sketch_of("back")), LLM_LATENCY_LEAST_MS);
}
END_TEST

START_TEST(calls_that_begin_at_once_have_their_share_at_once)
{
    unsigned hedges = 0;

    for (unsigned i = 0; i < 1000; i++)
        llm_hedges_earn(latency);
    for (unsigned i = 0; i < 1000; i++)
        hedges += llm_hedges_take(latency);
    ck_assert_uint_eq(hedges, LLM_HEDGE_BURST + 100);
    for (unsigned i = 0; i < 1000; i++)
        llm_hedges_over(latency);
}
END_TEST

START_TEST(a_tenth_of_the_calls_may_be_hedged_and_ten_at_once)
{
    unsigned hedges = 0;

    for (unsigned i = 0; i < 100; i++)
        hedges += llm_hedges_take(latency);
    ck_assert_uint_eq(hedges, LLM_HEDGE_BURST);
    for (unsigned i = 0; i < 1000; i++) {
        llm_hedges_earn(latency);
        llm_hedges_over(latency);
        hedges += llm_hedges_take(latency);
    }
    ck_assert_uint_eq(hedges, LLM_HEDGE_BURST + 100);
    for (unsigned i = 0; i < 100000; i++) { /* what is not used is not heaped up */
        llm_hedges_earn(latency);
        llm_hedges_over(latency);
    }
    hedges = 0;
    for (unsigned i = 0; i < 100; i++)
        hedges += llm_hedges_take(latency);
    ck_assert_uint_eq(hedges, LLM_HEDGE_BURST);
    ck_assert(llm_hedges_take(NULL));
    llm_hedges_earn(NULL);
    llm_hedges_over(NULL);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 5000 };

static void *learn(void *arg)
{
    unsigned *hedges = arg;
    char name[32];

    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "model-%u", i % 50);
        took(sketch_of(name), 100, 1);
        (void)late(sketch_of(name));
        llm_hedges_earn(latency);
        llm_hedges_over(latency);
        *hedges += llm_hedges_take(latency);
    }
    return NULL;
}

START_TEST(threads_learn_together)
{
    pthread_t threads[THREADS];
    unsigned hedges[THREADS] = {0}, sum = 0;

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, learn, &hedges[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += hedges[i];
    }
    ck_assert_uint_le(sum, LLM_HEDGE_BURST + THREADS * ROUNDS / 10);
    ck_assert_uint_ge(sum, THREADS * ROUNDS / 10);
    ck_assert_int_ge(late(sketch_of("model-7")), 100);
    ck_assert_int_le(late(sketch_of("model-7")), 106);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_latency");
    TCase *tcase = tcase_create("llm_latency");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_is_known_before_ten_answers);
    tcase_add_test(tcase, late_is_what_ninety_five_of_a_hundred_are_not);
    tcase_add_test(tcase, late_is_at_most_one_and_a_quarter_times_the_ninetieth);
    tcase_add_test(tcase, late_is_at_least_ten_milliseconds);
    tcase_add_test(tcase, calls_under_way_count_as_slower_while_answers_are_few);
    tcase_add_test(tcase, calls_that_ended_otherwise_do_not_count);
    tcase_add_test(tcase, old_answers_fade);
    tcase_add_test(tcase, a_long_tail_stays_known_while_answers_fade);
    tcase_add_test(tcase, models_and_ways_of_answering_are_kept_apart);
    tcase_add_test(tcase, a_model_too_many_is_not_learned);
    tcase_add_test(tcase, every_length_of_a_call_has_its_place);
    tcase_add_test(tcase, calls_that_begin_at_once_have_their_share_at_once);
    tcase_add_test(tcase, a_tenth_of_the_calls_may_be_hedged_and_ten_at_once);
    tcase_add_test(tcase, threads_learn_together);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
