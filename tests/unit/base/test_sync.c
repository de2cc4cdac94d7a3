/* test_sync.c - mutex, condition, thread. Run by ctest, also under the thread sanitizer. */
#include "base/sync.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct pl_mutex mutex;
static struct pl_cond cond;
static int counter; /* guarded by mutex */

static void setup(void)
{
    pl_mutex_init(&mutex);
    pl_cond_init(&cond);
    counter = 0;
}

static void teardown(void)
{
    pl_cond_finish(&cond);
    pl_mutex_finish(&mutex);
}

static void *look(void *arg)
{
    *(bool *)arg = pl_mutex_held(&mutex);
    return NULL;
}

START_TEST(a_mutex_knows_whether_this_thread_holds_it)
{
    bool held_elsewhere = true;
    pthread_t thread;

    ck_assert(!pl_mutex_held(&mutex));
    pl_mutex_lock(&mutex);
    ck_assert(pl_mutex_held(&mutex));
    ck_assert(pl_thread_start(&thread, "look", look, &held_elsewhere));
    pthread_join(thread, NULL);
    ck_assert(!held_elsewhere);
    pl_mutex_unlock(&mutex);
    ck_assert(!pl_mutex_held(&mutex));
}
END_TEST

static void *count_up(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        (void)pl_mutex_held(&mutex);
        pl_mutex_lock(&mutex);
        counter++;
        pl_mutex_unlock(&mutex);
    }
    return arg;
}

START_TEST(a_mutex_lets_one_in_at_a_time)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert(pl_thread_start(&threads[i], "count", count_up, NULL));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(counter, 40000);
}
END_TEST

static void *set_one(void *arg)
{
    pl_mutex_lock(&mutex);
    counter = 1;
    pl_cond_signal(&cond);
    while (counter != 2)
        pl_cond_wait(&cond, &mutex);
    pl_mutex_unlock(&mutex);
    return arg;
}

START_TEST(a_condition_wakes_and_the_mutex_is_held_again)
{
    pthread_t thread;

    pl_mutex_lock(&mutex);
    ck_assert(pl_thread_start(&thread, "set", set_one, NULL));
    while (counter != 1)
        ck_assert(pl_cond_wait_for(&cond, &mutex, 60000));
    ck_assert(pl_mutex_held(&mutex));
    counter = 2;
    pl_cond_broadcast(&cond);
    pl_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_wait_ends_at_its_time)
{
    const int64_t start = pl_monotonic_us();

    pl_mutex_lock(&mutex);
    while (pl_cond_wait_for(&cond, &mutex, 30))
        ck_assert_int_lt(pl_monotonic_us() - start,
                         10000000); /* woken for nothing: allowed, not for ever */
    ck_assert_int_ge(pl_monotonic_us() - start, 29000);
    ck_assert(pl_mutex_held(&mutex));
    ck_assert(!pl_cond_wait_for(&cond, &mutex, -5));
    pl_mutex_unlock(&mutex);
}
END_TEST

struct thread_facts {
    sigset_t blocked;
    char name[16];
};

static void *read_facts(void *arg)
{
    struct thread_facts *facts = arg;

    pl_mutex_lock(&mutex); /* free once the name has been given */
    pl_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, NULL, &facts->blocked);
    pthread_getname_np(pthread_self(), facts->name, sizeof(facts->name));
    return NULL;
}

START_TEST(a_thread_has_its_name_and_blocks_signals_but_its_maker_does_not)
{
    struct thread_facts facts = {.name = ""};
    pthread_t thread;
    sigset_t mine;

    pl_mutex_lock(&mutex);
    ck_assert(pl_thread_start(&thread, "writer", read_facts, &facts));
    pl_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    ck_assert_str_eq(facts.name, "writer");
    ck_assert_int_eq(sigismember(&facts.blocked, SIGTERM), 1);
    ck_assert_int_eq(sigismember(&facts.blocked, SIGUSR1), 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    ck_assert_int_eq(sigismember(&mine, SIGUSR1), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/sync");
    TCase *tcase = tcase_create("sync");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_mutex_knows_whether_this_thread_holds_it);
    tcase_add_test(tcase, a_mutex_lets_one_in_at_a_time);
    tcase_add_test(tcase, a_condition_wakes_and_the_mutex_is_held_again);
    tcase_add_test(tcase, a_wait_ends_at_its_time);
    tcase_add_test(tcase, a_thread_has_its_name_and_blocks_signals_but_its_maker_does_not);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
