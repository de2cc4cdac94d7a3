/* test_store_memory.c - memory that runs out inside SQLite, at every allocation in turn: an error
 * with a name, no crash, no leak, nothing acknowledged that is not there. */
#include "storage/store.h"

#include "tests/support/store_check.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 3 };

static sqlite3_mem_methods real;
static atomic_long countdown; /* the allocation that fails; 0 and below: none */
static atomic_bool for_good;  /* all from there on fail */
static atomic_long refused;

static bool refuse(void)
{
    long now = atomic_fetch_sub(&countdown, 1);

    if (now != 1 && !(now < 1 && for_good))
        return false;
    atomic_fetch_add(&refused, 1);
    return true;
}

static void *failing_malloc(int size)
{
    return refuse() ? NULL : real.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
    return refuse() ? NULL : real.xRealloc(memory, size);
}

static void install(void)
{
    sqlite3_mem_methods failing;

    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real), SQLITE_OK);
    failing = real;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
    atomic_store(&countdown, LONG_MIN / 2);
    ck_assert_int_eq(sqlite3_initialize(), SQLITE_OK);
}

static void arm(long at, bool lasting)
{
    atomic_store(&refused, 0);
    atomic_store(&for_good, lasting);
    atomic_store(&countdown, at);
}

static void disarm(void)
{
    atomic_store(&for_good, false);
    atomic_store(&countdown, LONG_MIN / 2);
}

static void read_all(struct store *store)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step *steps = NULL;
    struct store_run run;
    size_t count = 0;
    enum pl_code code = store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR(""),
                                         100, &steps, &count, NULL);

    ck_assert_msg(code == PL_OK || code == PL_ERR_NO_MEMORY, "%s", pl_code_text(code));
    if (code == PL_OK)
        while (count > 0)
            store_step_finish(&steps[--count]);
    code = store_get_run(store, arena, PL_STR("t"), PL_STR("run_1"), &run, NULL);
    ck_assert_msg(code == PL_OK || code == PL_ERR_NO_MEMORY || code == PL_ERR_NOT_FOUND, "%s",
                  pl_code_text(code));
    if (code == PL_OK)
        store_run_finish(&run);
    pl_arena_destroy(&arena);
}

static void work(const struct store_fixture *fixture, bool *acked)
{
    struct store *store = NULL;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_fixture_try(fixture, true, &store, &err);

    ck_assert_msg(code == PL_OK || code == PL_ERR_NO_MEMORY, "%s: %s", pl_code_text(code),
                  err.message);
    if (code != PL_OK)
        return;
    for (int n = 0; n < BATCHES; n++) {
        struct store_batch *batch = store_check_batch(n, 2000);

        code = store_submit_wait(store, &batch, NULL);
        ck_assert_msg(code == PL_OK || code == PL_ERR_NO_MEMORY, "%s", pl_code_text(code));
        acked[n] = code == PL_OK;
    }
    read_all(store);
    store_close(&store);
}

/* Each `stride`-th allocation keeps the sanitizer builds quick; the offset makes the loops differ.
 */
static void loop(bool lasting, long offset, long stride)
{
    bool hit = true;

    install();
    for (long at = offset; hit; at += stride) {
        struct store_fixture fixture;
        bool acked[BATCHES] = {false};
        const char *wrong;

        store_fixture_init(&fixture, 0);
        arm(at, lasting);
        work(&fixture, acked);
        hit = atomic_load(&refused) > 0;
        disarm();
        wrong = store_check(&fixture, acked, BATCHES);
        ck_assert_msg(!wrong, "allocation %ld: %s", at, wrong);
        store_fixture_finish(&fixture);
    }
}

START_TEST(one_failed_allocation_is_an_error_and_nothing_worse)
{
    loop(false, 1, 23);
}
END_TEST

START_TEST(memory_that_is_gone_for_good_is_an_error_and_nothing_worse)
{
    loop(true, 3, 31);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store memory");
    TCase *tcase = tcase_create("store memory");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 200);
    tcase_add_test(tcase, one_failed_allocation_is_an_error_and_nothing_worse);
    tcase_add_test(tcase, memory_that_is_gone_for_good_is_an_error_and_nothing_worse);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
