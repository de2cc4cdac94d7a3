/* test_jq_alone.c - a program whose main does not know of jq workers: a pool says so and starts
 * nothing. A program of its own, because its main is what is tested. Run by ctest. */
#include "service/expr/jq_pool.h"

#include "tests/support/jq_probe.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_program_that_cannot_be_a_worker_is_told_and_not_started_again)
{
    const struct pl_str text = PL_STR("1 + 1");
    struct pl_err error, err = {.code = PL_OK};
    struct jq_probe probe;

    jq_probe_init(&probe, 1);
    ck_assert_str_eq(jq_probe_eval(&probe, "1", NULL),
                     "!internal: this program cannot be started as a jq worker");
    ck_assert(jq_probe_wait_children(0));
    jq_probe_finish(&probe);
    ck_assert_int_eq(jq_pool_check(NULL, &text, 1, &error, &err), PL_ERR_INTERNAL);
    ck_assert_str_eq(err.message, "this program cannot be started as a jq worker");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jq_alone");
    TCase *tc = tcase_create("jq_alone");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_program_that_cannot_be_a_worker_is_told_and_not_started_again);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
