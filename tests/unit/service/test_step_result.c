/* test_step_result.c - what an attempt says of its call becomes one JSON object. Run by ctest. */
#include "service/steps/step_result.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

START_TEST(facts_become_one_object_and_are_taken_once)
{
    struct step_result result;
    struct pl_value *call;

    step_result_init(&result);
    step_result_fact(&result, "finish_reason", PL_STR("stop"));
    step_result_fact(&result, "request_id", PL_STR("a\"b"));
    step_result_fact(&result, "left_out", PL_STR(""));
    step_result_fact_int(&result, "hedges", 2);
    step_result_fact_double(&result, "saved_cost_usd", 0.25);
    step_result_fact_bool(&result, "cached", true);
    call = step_result_take_facts(&result);
    ck_assert_str_eq(test_str(pl_value_text(call)),
                     "{\"finish_reason\":\"stop\",\"request_id\":\"a\\\"b\",\"hedges\":2,"
                     "\"saved_cost_usd\":0.25,\"cached\":true}");
    pl_value_unref(&call);
    ck_assert_ptr_null(step_result_take_facts(&result));
    step_result_finish(&result);
}
END_TEST

START_TEST(nothing_said_is_no_object)
{
    struct step_result result;

    step_result_init(&result);
    step_result_fact(&result, "request_id", PL_STR(""));
    ck_assert_ptr_null(step_result_take_facts(&result));
    step_result_finish(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_result");
    TCase *tcase = tcase_create("step_result");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, facts_become_one_object_and_are_taken_once);
    tcase_add_test(tcase, nothing_said_is_no_object);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
