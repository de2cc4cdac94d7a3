/* test_workflow_memory.c - memory that runs out anywhere while a workflow of every kind and those
 * it calls by name are compiled, or one that is wrong. Each time it says no_memory or does it
 * whole; nothing leaks. Run by ctest. */
#include "service/workflow/workflow.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static const char *const every_kind =
    "schemas: {part: {type: string}}\n"
    "input: {properties: {city: {}}}\n"
    "state: {n: {reducer: \"${ .left + .right }\", default: 0}, best: {}}\n"
    "defaults: {model: sim/echo}\n"
    "steps:\n"
    "  m:\n"
    "    map:\n"
    "      over: [1, 2]\n"
    "      as: x\n"
    "      do: {workflow: {steps: {a: {reduce: \"${ .x }\", writes: {n: 1}}, b: {reduce: \"${ "
    ".steps.a.output | length }\"}}}}\n"
    "      collapse: {do: {reduce: \"${ .items }\"}}\n"
    "  v: {vote: {among: {a: {llm: {prompt: hi}}}, method: judge, judge: {reduce: a}}}\n"
    "  r: {repeat: {steps: {t: {reduce: 1}}, until: \"${ .turn > 2 }\"}}\n"
    "  w: {llm: {prompt: \"{{ x }} ${ .input.ctiy } ${ .steps.r.output.x.y }\"}}\n"
    "  g: {agent: {prompt: hi, schema: part, tools: {f: {do: {sleep: 1s}}}}}\n"
    "  h: {human: {ask: ok}, needs: [g], writes: {best: 1}}\n"
    "  c: {workflow: {name: child, input: {q: 1}}}\n"
    "  d: {workflow: {name: child@3}, on_error: {step: {reduce: \"${ .state.n }\"}}}\n";

static const char *const wrong = "state: {n: {}}\n"
                                 "steps:\n"
                                 "  a: {reduce: 1, writes: {n: 1}}\n"
                                 "  b: {reduce: 1, writes: {n: 1}}\n"
                                 "  c: {workflow: {name: broken}}\n"
                                 "  d: {reduce: \"${ .steps.z.output }\"}\n"
                                 "  e: {reduce: \"${ .steps.d.usage.x }\"}\n";

static bool find_workflow(void *arg, struct pl_str name, struct pl_arena *arena,
                          struct pl_str *ret_text, enum doc_format *ret_format,
                          int64_t *ret_version, struct pl_err *err)
{
    (void)arg;
    (void)arena;
    (void)err;
    *ret_format = DOC_AUTO;
    *ret_version = 3;
    if (pl_str_starts(name, PL_STR("child")))
        *ret_text = PL_STR("{steps: {x: {map: {over: [1], do: {workflow: {name: leaf}}}}}}");
    else if (pl_str_starts(name, PL_STR("leaf")))
        *ret_text = PL_STR("{steps: {x: {reduce: \"${ .input | length }\"}}}");
    else
        *ret_text = PL_STR("{steps: {x: {}}}");
    return true;
}

/* Compiles with each allocation failing in turn, until none does. */
static void fail_each(const char *text, enum pl_code expected)
{
    const struct workflow_env env = {.find_workflow = find_workflow, .advise = true};

    for (long n = 1;; n++) {
        struct pl_arena *arena = pl_arena_create(0);
        struct workflow *workflow = NULL;
        struct doc_problems problems;
        enum pl_code code;
        bool none;

        doc_problems_init(&problems, arena);
        scarce_countdown = n;
        code = workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems);
        none = scarce_countdown > 0;
        scarce_countdown = 0;
        ck_assert_msg(code == expected || code == PL_ERR_NO_MEMORY, "allocation %ld: %s", n,
                      pl_code_text(code));
        ck_assert((code == PL_OK) == (workflow != NULL));
        if (code == PL_ERR_INVALID_WORKFLOW)
            ck_assert_uint_eq(problems.total, 4);
        workflow_unref(&workflow);
        pl_arena_destroy(&arena);
        if (none) {
            ck_assert_int_eq(code, expected);
            ck_assert_int_gt(n, 20);
            return;
        }
    }
}

START_TEST(a_workflow_of_every_kind_is_compiled_whole_or_not)
{
    fail_each(every_kind, PL_OK);
}
END_TEST

START_TEST(a_wrong_workflow_is_told_everything_or_that_memory_is_out)
{
    fail_each(wrong, PL_ERR_INVALID_WORKFLOW);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fault/workflow_memory");
    TCase *tcase = tcase_create("memory");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_workflow_of_every_kind_is_compiled_whole_or_not);
    tcase_add_test(tcase, a_wrong_workflow_is_told_everything_or_that_memory_is_out);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
