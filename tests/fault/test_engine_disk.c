/* test_engine_disk.c - runs on a disk that fails: full for a while, full for good, broken, at every
 * operation in turn. Each run is told of its end once, with the reason when it could not be
 * recorded, and goes on when the disk is back. Not the store alone (test_store_disk). Run by
 * ctest. */
#include "base/log.h"
#include "tests/support/engine_probe.h"
#include "tests/support/fault_vfs.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct engine_probe probe;
static struct workflow *workflow;

static void set_up(void)
{
    log_configure(LOG_LEVEL_OFF, 2);
    fault_vfs_install();
    engine_probe_init(&probe, 2);
    probe.options.retry_writes_for = 250;
    workflow = test_workflow("steps:\n"
                             "  w:\n"
                             "    parallel:\n"
                             "      branches:\n"
                             "        a: {llm: {model: 'sim/echo?latency=1ms', prompt: x}}\n"
                             "        b: {llm: {model: 'sim/echo?latency=3ms', prompt: y}}\n"
                             "  c: {llm: {model: sim/echo, prompt: '${ .steps.w.output.a }'}}\n");
}

static void tear_down(void)
{
    fault_vfs_disarm();
    engine_probe_finish(&probe);
    workflow_unref(&workflow);
}

static void arm(long first, long count, int rc, int error)
{
    struct fault_plan plan = {
        .where = FAULT_ANY, .first = first, .count = count, .rc = rc, .error = error};

    fault_vfs_arm(&plan);
}

#define RESULT "succeeded \"[simulated] [simulated] x\""

START_TEST(a_disk_that_is_full_for_a_moment_costs_a_run_nothing)
{
    struct run_probe run;

    probe.options.retry_writes_for = 15000;
    engine_probe_open(&probe);
    arm(1, 3, SQLITE_FULL, ENOSPC);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait(&run);
    ck_assert_int_gt(fault_vfs_failed(), 0);
    ck_assert_str_eq(run_probe_result(&run), RESULT);
    ck_assert_int_eq(run.store_err.code, PL_OK);
    run_probe_finish(&run);
}
END_TEST

START_TEST(runs_on_a_disk_that_stays_full_are_told_so)
{
    static struct run_probe runs[20];
    struct run_probe refused;
    struct pl_err err = {0};
    size_t started = 0;

    engine_probe_open(&probe);
    arm(1, 1000000, SQLITE_FULL, ENOSPC);
    /* once the store has noticed, the engine takes no more */
    while (started < PL_ARRAY_LEN(runs) &&
           run_probe_try(&runs[started], &probe, workflow, NULL, &err) == PL_OK)
        started++;
    ck_assert_uint_gt(started, 0);
    for (size_t i = 0; i < started; i++) {
        run_probe_wait(&runs[i]);
        ck_assert_str_eq(run_probe_result(&runs[i]), "interrupted");
        ck_assert_int_eq(runs[i].store_err.code, PL_ERR_NO_SPACE);
        ck_assert_uint_eq(runs[i].records, 0);
    }
    ck_assert_int_eq(run_probe_try(&refused, &probe, workflow, NULL, &err), PL_ERR_NO_SPACE);
    engine_probe_wait_idle(&probe);
    for (size_t i = 0; i < started; i++) {
        ck_assert_uint_eq(runs[i].ends, 1);
        run_probe_finish(&runs[i]);
    }
}
END_TEST

START_TEST(an_engine_with_endless_patience_still_closes)
{
    struct run_probe run;
    int64_t began;

    probe.options.retry_writes_for = -1;
    engine_probe_open(&probe);
    arm(1, 1000000, SQLITE_FULL, ENOSPC);
    run_probe_start(&run, &probe, workflow, NULL);
    began = pl_monotonic_us();
    engine_probe_close(&probe, 50);
    ck_assert_int_lt(pl_monotonic_us() - began, 20000000);
    ck_assert_uint_eq(run.ends, 1);
    ck_assert_str_eq(run_probe_result(&run), "interrupted");
    ck_assert_int_eq(run.store_err.code, PL_ERR_NO_SPACE);
    run_probe_finish(&run);
}
END_TEST

/* What stands on the disk afterwards is a run that a new engine ends, or none at all. */
static void go_on_after(struct run_probe *run)
{
    engine_probe_close(&probe, 0);
    fault_vfs_disarm();
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
    if (engine_probe_show(&probe, run->id)[0] != '!') {
        ck_assert_str_eq(engine_probe_field(&probe, run->id, "status"), "\"succeeded\"");
        ck_assert_str_eq(engine_probe_field(&probe, run->id, "output"),
                         "\"[simulated] [simulated] x\"");
    } else {
        ck_assert_uint_eq(run->records, 0);
    }
    engine_probe_close(&probe, 0);
}

START_TEST(a_disk_that_breaks_at_any_operation_leaves_a_run_that_goes_on)
{
    bool clean = false;

    for (long at = 1; !clean; at++) {
        struct run_probe run;

        probe.options.adopt = false;
        engine_probe_open(&probe);
        arm(at, 1000000, SQLITE_IOERR_WRITE, EIO);
        run_probe_start(&run, &probe, workflow, NULL);
        run_probe_wait(&run);
        clean = fault_vfs_failed() == 0;
        if (run.store_err.code == PL_OK)
            ck_assert_str_eq(run_probe_result(&run), RESULT);
        else
            ck_assert_str_eq(run_probe_result(&run), "interrupted");
        ck_assert_uint_eq(run.ends, 1);
        go_on_after(&run);
        run_probe_finish(&run);
        ck_assert_int_lt(at, 500);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_disk");
    TCase *tcase = tcase_create("engine_disk");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_disk_that_is_full_for_a_moment_costs_a_run_nothing);
    tcase_add_test(tcase, runs_on_a_disk_that_stays_full_are_told_so);
    tcase_add_test(tcase, an_engine_with_endless_patience_still_closes);
    tcase_add_test(tcase, a_disk_that_breaks_at_any_operation_leaves_a_run_that_goes_on);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
