/* test_workflow_models.c - which models and parameters of theirs are asked about when a workflow is
 * compiled. Run by ctest. */
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_model_is_asked_for_once)
{
    unsigned asked = 0;
    const struct workflow_env env = {.arg = &asked, .model_ok = test_model_ok};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    const char *text = "defaults: {model: sim/echo}\n"
                       "steps:\n"
                       "  a: {llm: {prompt: x}}\n"
                       "  b: {llm: {prompt: x, model: openai/x}}\n"
                       "  c: {llm: {prompt: x, model: openai/x}}\n"
                       "  d: {llm: {prompt: x}}\n";

    doc_problems_init(&problems, arena);
    ck_assert_int_eq(workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems), PL_OK);
    ck_assert_uint_eq(asked, 2);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
}
END_TEST

static bool takes_no_seed(void *arg, struct pl_str model, const char *parameter, struct pl_err *err)
{
    (void)arg;
    ck_assert_str_eq(parameter, "seed");
    if (!pl_str_starts(model, PL_STR("other/")))
        return true;
    pl_err_set(err, PL_ERR_BAD_REQUEST, "no seed for %.*s", PL_STR_ARG(model));
    return false;
}

START_TEST(a_parameter_a_model_does_not_take_is_a_problem_at_its_key)
{
    const struct workflow_env env = {.takes = takes_no_seed};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    const char *text = "defaults: {model: other/a}\n"
                       "steps:\n"
                       "  a: {llm: {prompt: x}}\n"
                       "  b: {llm: {prompt: x, seed: 1}}\n"
                       "  c: {llm: {prompt: x, model: one/c, seed: 1}}\n"
                       "  d: {llm: {prompt: x, model: one/d, seed: 1, fallback: [other/d]}}\n";

    doc_problems_init(&problems, arena);
    ck_assert_int_eq(workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems),
                     PL_ERR_INVALID_WORKFLOW);
    ck_assert_uint_eq(problems.count, 2);
    ck_assert_str_eq(problems.items[0].pointer, "/steps/b/llm/seed");
    ck_assert_str_eq(problems.items[0].message, "no seed for other/a");
    ck_assert_str_eq(problems.items[1].pointer, "/steps/d/llm/seed");
    ck_assert_str_eq(problems.items[1].message, "no seed for other/d");
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_default_model_nobody_uses_is_not_asked_for)
{
    struct workflow *workflow =
        test_workflow("defaults: {model: nowhere/x}\nsteps: {a: {reduce: 1}}\n");

    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("workflow models");
    TCase *tcase = tcase_create("workflow models");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, a_model_is_asked_for_once);
    tcase_add_test(tcase, a_parameter_a_model_does_not_take_is_a_problem_at_its_key);
    tcase_add_test(tcase, a_default_model_nobody_uses_is_not_asked_for);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
