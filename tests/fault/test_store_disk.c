/* test_store_disk.c - a disk that is full, fails, or loses power, at every operation in turn.
 * Nothing that was acknowledged may be lost, and nothing may crash. */
#include "storage/store.h"

#include "tests/support/fault_vfs.h"
#include "tests/support/store_check.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 6, PATIENCE = 60000 };

struct world {
    struct store_fixture fixture;
    bool acked[BATCHES];
    int refused; /* batches that completed with an error */
    enum pl_code open_code, last_code;
};

static enum pl_code open_with_patience(struct world *world, pl_ms patience,
                                       struct store **ret_store)
{
    struct store_options options = {
        .url = world->fixture.url, .engine = true, .readers = 1, .retry_for = patience};

    return store_open(&options, ret_store, NULL);
}

/* Opens a new database, writes the batches one after the other, closes. What fails is noted. */
static void work(struct world *world, pl_ms patience, size_t bytes)
{
    struct store *store = NULL;

    world->open_code = open_with_patience(world, patience, &store);
    if (world->open_code != PL_OK)
        return;
    for (int n = 0; n < BATCHES; n++) {
        struct store_batch *batch = store_check_batch(n, bytes);

        world->last_code = store_submit_wait(store, &batch, NULL);
        world->acked[n] = world->last_code == PL_OK;
        world->refused += world->last_code != PL_OK;
    }
    store_close(&store);
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof(*world));
    store_fixture_init(&world->fixture, 0);
}

/* The disk works again: everything acknowledged is there, and writing goes on. */
static void end(struct world *world, long at)
{
    const char *wrong;

    fault_vfs_disarm();
    wrong = store_check(&world->fixture, world->acked, BATCHES);
    ck_assert_msg(!wrong, "fault at operation %ld: %s", at, wrong);
    work(world, 0, 100);
    ck_assert_int_eq(world->open_code, PL_OK);
    ck_assert(world->acked[BATCHES - 1]);
    wrong = store_check(&world->fixture, world->acked, BATCHES);
    ck_assert_msg(!wrong, "after a fault at operation %ld: %s", at, wrong);
    store_fixture_finish(&world->fixture);
}

static const struct {
    const char *name;
    int rc, error;
    enum pl_code code; /* how it shows */
} errors[] = {
    {"full", SQLITE_FULL, ENOSPC, PL_ERR_NO_SPACE},
    {"over quota", SQLITE_IOERR_WRITE, EDQUOT, PL_ERR_NO_SPACE},
    {"write error", SQLITE_IOERR_WRITE, EIO, PL_ERR_IO},
    {"sync error", SQLITE_IOERR_FSYNC, EIO, PL_ERR_IO},
};

/* Each operation is met by one error or two: to meet every operation with every error takes minutes
 * where the disk is slow. */
enum { STRIDE = 3 };

/* From the Nth operation on nothing works: what was acknowledged before stays, the rest is refused
 * with the reason. */
START_TEST(a_disk_that_fails_for_good_at_any_operation_loses_nothing)
{
    long at = 1 + _i;
    bool hit = true;

    for (; hit; at += STRIDE) {
        struct world world;
        struct fault_plan plan = {FAULT_ANY, at, 1000000, errors[_i].rc, errors[_i].error};

        begin(&world);
        fault_vfs_arm(&plan);
        work(&world, 0, 3000);
        hit = fault_vfs_failed() > 0;
        if (world.open_code != PL_OK)
            ck_assert_int_eq(world.open_code, errors[_i].code);
        if (world.refused > 0)
            ck_assert_int_eq(world.last_code, errors[_i].code);
        end(&world, at);
    }
    ck_assert_int_gt(at, 30); /* it was met at creation, at writing and at closing */
}
END_TEST

/* One operation fails, the next work again. */
START_TEST(one_failed_operation_loses_nothing)
{
    bool hit = true;

    for (long at = 1 + _i; hit; at += STRIDE) {
        struct world world;
        struct fault_plan plan = {FAULT_ANY, at, 1, errors[_i].rc, errors[_i].error};

        begin(&world);
        fault_vfs_arm(&plan);
        work(&world, 0, 3000);
        hit = fault_vfs_failed() > 0;
        end(&world, at);
    }
}
END_TEST

/* The disk is full for a few operations while batches are written: each is committed in the end. */
START_TEST(a_full_disk_is_waited_out_at_any_write)
{
    bool hit = true;

    for (long at = 1; hit; at += 3) {
        struct world world;
        struct store *store = NULL;
        struct store_waiter waiter;
        struct fault_plan plan = {FAULT_ANY, at, 2, SQLITE_FULL, ENOSPC};

        begin(&world);
        store_waiter_init(&waiter);
        ck_assert_int_eq(open_with_patience(&world, PATIENCE, &store), PL_OK);
        fault_vfs_arm(&plan);
        for (int n = 0; n < BATCHES; n++) {
            struct store_batch *batch = store_check_batch(n, 3000);

            store_submit(store, &batch, store_waiter_done, &waiter);
            world.acked[n] = true;
        }
        store_waiter_wait(&waiter, BATCHES);
        hit = fault_vfs_failed() > 0;
        ck_assert_uint_eq(waiter.failed, 0);
        ck_assert_int_eq(store_health(store, NULL), PL_OK);
        fault_vfs_disarm();
        store_close(&store);
        store_waiter_finish(&waiter);
        end(&world, at);
    }
}
END_TEST

START_TEST(reading_works_while_the_disk_is_full_and_writing_goes_on_when_it_is_not)
{
    struct world world;
    struct store *store = NULL;
    struct store_waiter waiter;
    struct store_batch *batch = store_check_batch(0, 3000);
    struct pl_arena *arena = pl_arena_create(0);
    struct fault_plan plan = {FAULT_ANY, 1, 1000000000, SQLITE_FULL, ENOSPC};
    struct pl_err err = {.message = ""};
    struct store_run run;

    begin(&world);
    store_waiter_init(&waiter);
    ck_assert_int_eq(open_with_patience(&world, PATIENCE, &store), PL_OK);
    ck_assert_int_eq(store_submit_wait(store, &batch, NULL), PL_OK);
    fault_vfs_arm(&plan);
    batch = store_check_batch(1, 3000);
    store_submit(store, &batch, store_waiter_done, &waiter);
    while (store_health(store, &err) == PL_OK)
        ;
    ck_assert_int_eq(store_health(store, &err), PL_ERR_NO_SPACE);
    ck_assert_msg(strstr(err.message, "full"), "%s", err.message);
    ck_assert_int_eq(store_get_run(store, arena, PL_STR("t"), PL_STR("run_1"), &run, &err), PL_OK);
    ck_assert_int_eq(run.last_seq, 1);
    fault_vfs_disarm();
    store_waiter_wait(&waiter, 1);
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert_int_eq(store_health(store, NULL), PL_OK);
    store_close(&store);
    world.acked[0] = world.acked[1] = true;
    pl_arena_destroy(&arena);
    store_waiter_finish(&waiter);
    end(&world, 0);
}
END_TEST

/* Enough to make the writer checkpoint by itself. */
static int fill_wal(struct world *world, struct store *store)
{
    int n = 0;

    for (; n < BATCHES; n++) {
        struct store_batch *batch = store_check_batch(n, 4 << 20);

        world->last_code = store_submit_wait(store, &batch, NULL);
        if (world->last_code != PL_OK)
            break;
        world->acked[n] = true;
    }
    return n;
}

START_TEST(a_checkpoint_that_finds_no_room_fails_no_batch)
{
    struct world world;
    struct store *store = NULL;
    struct fault_plan plan = {FAULT_MAIN_DB, 1, 1000000, SQLITE_FULL, ENOSPC};

    begin(&world);
    ck_assert_int_eq(open_with_patience(&world, 0, &store), PL_OK);
    fault_vfs_arm(&plan);
    ck_assert_int_eq(fill_wal(&world, store), BATCHES);
    ck_assert_int_gt(fault_vfs_failed(), 0);
    ck_assert_int_eq(store_health(store, NULL), PL_OK);
    store_close(&store);
    end(&world, 0);
}
END_TEST

START_TEST(a_checkpoint_that_cannot_write_ends_writing)
{
    struct world world;
    struct store *store = NULL;
    struct fault_plan plan = {FAULT_MAIN_DB, 1, 1, SQLITE_IOERR_WRITE, EIO};
    struct pl_err err = {.message = ""};

    begin(&world);
    ck_assert_int_eq(open_with_patience(&world, PATIENCE, &store), PL_OK);
    fault_vfs_arm(&plan);
    ck_assert_int_lt(fill_wal(&world, store), BATCHES);
    ck_assert_int_eq(world.last_code, PL_ERR_IO);
    ck_assert_int_eq(store_health(store, &err), PL_ERR_IO);
    ck_assert_msg(strstr(err.message, "checkpoint"), "%s", err.message);
    store_close(&store);
    end(&world, 0);
}
END_TEST

/* ---- power ---- */

struct power {
    struct world *world;
    int cut_after; /* acknowledgements */
};

static void acknowledged(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct power *power = arg;

    (void)err;
    if (code != PL_OK || power->cut_after < 0)
        return;
    power->world->acked[power->cut_after] = true;
    power->cut_after = -1;
    fault_vfs_cut_power();
}

/* The power goes in the moment a batch is acknowledged: before anything else is written. */
START_TEST(a_power_cut_right_after_an_acknowledgement_loses_nothing)
{
    for (int cut = 0; cut < BATCHES; cut++) {
        struct world world;
        struct store *store = NULL;
        struct power power = {&world, -1};

        begin(&world);
        fault_vfs_watch_power();
        ck_assert_int_eq(open_with_patience(&world, 0, &store), PL_OK);
        for (int n = 0; n <= cut; n++) {
            struct store_batch *batch = store_check_batch(n, 3000);

            if (n < cut) {
                ck_assert_int_eq(store_submit_wait(store, &batch, NULL), PL_OK);
                world.acked[n] = true;
                continue;
            }
            power.cut_after = n;
            store_submit(store, &batch, acknowledged, &power);
        }
        store_close(&store);
        ck_assert_int_eq(power.cut_after, -1);
        end(&world, cut);
    }
}
END_TEST

/* The power goes at the Nth operation, whatever it is: creating, writing, checkpointing or closing.
 */
START_TEST(a_power_cut_at_any_operation_loses_nothing)
{
    bool hit = true;

    for (long at = 1; hit; at++) {
        struct world world;
        struct fault_plan plan = {FAULT_ANY, at, 1000000, SQLITE_IOERR_WRITE, EIO};

        begin(&world);
        fault_vfs_watch_power();
        fault_vfs_arm(&plan);
        work(&world, 0, 3000);
        hit = fault_vfs_failed() > 0;
        fault_vfs_cut_power();
        end(&world, at);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store disk");
    TCase *tcase = tcase_create("store disk");
    SRunner *runner;
    int failed, kinds = (int)PL_ARRAY_LEN(errors);

    fault_vfs_install();
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, a_disk_that_fails_for_good_at_any_operation_loses_nothing, 0, kinds);
    tcase_add_loop_test(tcase, one_failed_operation_loses_nothing, 0, kinds);
    tcase_add_test(tcase, a_full_disk_is_waited_out_at_any_write);
    tcase_add_test(tcase, reading_works_while_the_disk_is_full_and_writing_goes_on_when_it_is_not);
    tcase_add_test(tcase, a_checkpoint_that_finds_no_room_fails_no_batch);
    tcase_add_test(tcase, a_checkpoint_that_cannot_write_ends_writing);
    tcase_add_test(tcase, a_power_cut_right_after_an_acknowledgement_loses_nothing);
    tcase_add_test(tcase, a_power_cut_at_any_operation_loses_nothing);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
