/* test_reduce.c - {from, with}: every word over lists and objects, mismatches by index, order and
 * equality as jq has them; and the step around it. Run by ctest. */
#include "base/json.h"
#include "service/steps/json_order.h"
#include "service/steps/reduce.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    enum reduce_with with;
    const char *from, *result; /* result: JSON, or "!" and the message */
} cases[] = {
    {REDUCE_VALUE, "{\"a\": [1, 2]}", "{\"a\":[1,2]}"},
    {REDUCE_APPEND, "[1, null, {\"a\": 1}]", "[1,null,{\"a\":1}]"},
    {REDUCE_APPEND, "{\"x\": 1, \"y\": [2]}", "[1,[2]]"},
    {REDUCE_APPEND, "[]", "[]"},
    {REDUCE_APPEND, "\"text\"", "!'from' gives neither a list nor an object to take elements from"},
    {REDUCE_APPEND, "null", "!'from' gives neither a list nor an object to take elements from"},
    {REDUCE_CONCAT, "[[1, 2], [], null, [[3]]]", "[1,2,[3]]"},
    {REDUCE_CONCAT, "{\"a\": [1], \"b\": [2]}", "[1,2]"},
    {REDUCE_CONCAT, "[]", "[]"},
    {REDUCE_CONCAT, "[[1], 2]", "!concat: element 1 is no list"},
    {REDUCE_MERGE, "[{\"a\": 1, \"b\": 2}, null, {\"b\": {\"c\": 3}, \"d\": 4}]",
     "{\"a\":1,\"b\":{\"c\":3},\"d\":4}"},
    {REDUCE_MERGE, "[{\"a\\u0062\": 1}, {\"ab\": 2}]", "{\"a\\u0062\":2}"},
    {REDUCE_MERGE, "[]", "{}"},
    {REDUCE_MERGE, "[{}, {}]", "{}"},
    {REDUCE_MERGE, "[{}, [1]]", "!merge: element 1 is no object"},
    {REDUCE_SUM, "[1, 2, 3]", "6"},
    {REDUCE_SUM, "[]", "0"},
    {REDUCE_SUM, "[null, 2]", "2"},
    {REDUCE_SUM, "[1, 0.5]", "1.5"},
    {REDUCE_SUM, "[0.1, 0.2]", "0.30000000000000004"},
    {REDUCE_SUM, "[9007199254740993, 1]", "9007199254740994"},
    {REDUCE_SUM, "[9223372036854775807, 1]", "9.223372036854776e+18"},
    {REDUCE_SUM, "{\"a\": 1, \"b\": -3}", "-2"},
    {REDUCE_SUM, "[1e308, 1e308, -1e308]", "!sum: the numbers are too large to be added"},
    {REDUCE_SUM, "[1e400, -1e400]", "!sum: the numbers are too large to be added"},
    {REDUCE_SUM, "[1, \"2\"]", "!sum: element 1 is no number"},
    {REDUCE_MIN, "[3, 1.0, 2]", "1.0"},
    {REDUCE_MAX, "[3, null, 10, 2]", "10"},
    {REDUCE_MAX, "[9007199254740992, 9007199254740993]", "9007199254740993"},
    {REDUCE_MIN, "[]", "null"},
    {REDUCE_MAX, "[null]", "null"},
    {REDUCE_MIN, "[1, true]", "!min: element 1 is no number"},
    {REDUCE_MAX, "[{}]", "!max: element 0 is no number"},
    {REDUCE_UNIQUE, "[1, 1.0, 2, \"1\", 1e0, null, null, {\"a\":1,\"b\":2}, {\"b\":2,\"a\":1.0}]",
     "[1,2,\"1\",null,{\"a\":1,\"b\":2}]"},
    {REDUCE_UNIQUE, "[\"\\u0061\", \"a\", [1,2], [2,1], [1,2]]", "[\"\\u0061\",[1,2],[2,1]]"},
    {REDUCE_UNIQUE, "[]", "[]"},
    {REDUCE_SORT, "[{}, [], \"a\", 1, true, false, null]", "[null,false,true,1,\"a\",[],{}]"},
    {REDUCE_SORT, "[10, 9, 1e1, -1, 0.5]", "[-1,0.5,9,10,1e1]"},
    {REDUCE_SORT,
     "[\"b\", \"\\u0061b\", \"a\", \"\", \"\xC3\xA9\", \"\xF0\x9F\x98\x80\", \"\xEF\xBF\xBD\"]",
     "[\"\",\"a\",\"\\u0061b\",\"b\",\"\xC3\xA9\",\"\xEF\xBF\xBD\",\"\xF0\x9F\x98\x80\"]"},
    {REDUCE_SORT, "[[1,2],[1],[1,1],[],[0,9]]", "[[],[0,9],[1],[1,1],[1,2]]"},
    {REDUCE_SORT, "[{\"b\":1},{\"a\":2},{\"a\":1,\"b\":0},{\"b\":0,\"a\":0},{\"a\":1}]",
     "[{\"a\":1},{\"a\":2},{\"b\":0,\"a\":0},{\"a\":1,\"b\":0},{\"b\":1}]"},
    {REDUCE_COUNT, "[1, null, 3]", "3"},
    {REDUCE_COUNT, "{\"a\": 1}", "1"},
    {REDUCE_COUNT, "[]", "0"},
};

START_TEST(each_word_does_what_it_says)
{
    const struct pl_str from = pl_str(cases[_i].from);
    struct pl_err err = {0};
    struct pl_buf out;

    ck_assert_int_eq(json_check(from, 64, NULL, NULL), PL_OK);
    pl_buf_init(&out, 65536);
    if (cases[_i].result[0] == '!') {
        ck_assert_int_eq(reduce_write(cases[_i].with, from, &out, &err), PL_ERR_EXPRESSION_ERROR);
        ck_assert_str_eq(err.message, cases[_i].result + 1);
    } else {
        ck_assert_msg(reduce_write(cases[_i].with, from, &out, &err) == PL_OK, "%s", err.message);
        ck_assert_str_eq(test_text(&out), cases[_i].result);
        ck_assert_int_eq(json_check(pl_buf_view(&out), 64, NULL, NULL), PL_OK);
    }
    pl_buf_finish(&out);
}
END_TEST

START_TEST(sorting_keeps_the_order_of_equals)
{
    struct pl_err err;
    struct pl_buf out;

    pl_buf_init(&out, 65536);
    ck_assert_int_eq(reduce_write(REDUCE_SORT, PL_STR("[2,1.0,1,1e0,2.0]"), &out, &err), PL_OK);
    ck_assert_str_eq(test_text(&out), "[1.0,1,1e0,2,2.0]");
    pl_buf_finish(&out);
}
END_TEST

START_TEST(many_elements_take_no_quadratic_time)
{
    struct pl_buf from, out;
    struct pl_err err;

    pl_buf_init(&from, (size_t)64 << 20);
    pl_buf_init(&out, (size_t)64 << 20);
    json_array_begin(&from);
    for (int i = 0; i < 20000; i++) {
        json_comma(&from);
        pl_buf_printf(&from, "{\"name\":\"\\u0061%d\",\"n\":%d}", i % 10000, i % 10000);
    }
    json_array_end(&from);
    ck_assert_int_eq(reduce_write(REDUCE_UNIQUE, pl_buf_view(&from), &out, &err), PL_OK);
    ck_assert_uint_eq(json_count(pl_buf_view(&out)), 10000);
    pl_buf_reset(&out);
    ck_assert_int_eq(reduce_write(REDUCE_SORT, pl_buf_view(&from), &out, &err), PL_OK);
    ck_assert_uint_eq(json_count(pl_buf_view(&out)), 20000);
    pl_buf_finish(&from);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(what_does_not_fit_is_too_large)
{
    struct pl_err err;
    struct pl_buf out;

    pl_buf_init(&out, 8);
    ck_assert_int_eq(reduce_write(REDUCE_APPEND, PL_STR("[\"123456789\"]"), &out, &err),
                     PL_ERR_TOO_LARGE);
    pl_buf_finish(&out);
}
END_TEST

/* ---- the step; it completes within start, so no loop is needed ---- */

static unsigned completes;

static void on_complete(struct step_call *call)
{
    (void)call;
    completes++;
}

static const char *run_step(const char *yaml, const char *input)
{
    static char text[4096];
    struct workflow *workflow = test_workflow(yaml);
    struct step_probe probe;

    step_probe_init(&probe, NULL, NULL, workflow, "r", false);
    probe.input = input;
    probe.call.complete = on_complete;
    completes = 0;
    if (step_probe_prepare(&probe) == PL_OK) {
        probe.call.ops->start(&probe.call);
        ck_assert_uint_eq(completes, 1);
    }
    snprintf(text, sizeof(text), "%s", step_probe_result(&probe));
    step_probe_finish(&probe);
    workflow_unref(&workflow);
    return text;
}

START_TEST(a_step_computes_over_what_its_expression_gives)
{
    static const char yaml[] =
        "name: t\nsteps:\n  r: {reduce: {from: '${ .input.xs }', with: sum}}\n";

    ck_assert_str_eq(run_step(yaml, "{\"xs\":[1,2,3]}"), "6");
    ck_assert_str_eq(run_step(yaml, "{\"xs\":{\"a\":1,\"b\":2}}"), "3");
    ck_assert_str_eq(run_step(yaml, "{\"xs\":[\"a\"]}"), "!expression_error");
    ck_assert_str_eq(run_step(yaml, "{\"xs\":7}"), "!expression_error");
    ck_assert_str_eq(run_step(yaml, "{}"), "!expression_error");
    ck_assert_str_eq(run_step(yaml, "[]"), "!expression_error");
}
END_TEST

START_TEST(a_step_builds_the_value_it_is_given)
{
    static const char yaml[] =
        "name: t\nsteps:\n"
        "  r: {reduce: {all: '${ .input.xs }', text: 'n=${ .input.n }', one: 1}}\n";

    ck_assert_str_eq(run_step(yaml, "{\"xs\":[1],\"n\":5}"),
                     "{\"all\":[1],\"text\":\"n=5\",\"one\":1}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reduce");
    TCase *tcase = tcase_create("reduce");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_word_does_what_it_says, 0, (int)PL_ARRAY_LEN(cases));
    tcase_add_test(tcase, sorting_keeps_the_order_of_equals);
    tcase_add_test(tcase, many_elements_take_no_quadratic_time);
    tcase_add_test(tcase, what_does_not_fit_is_too_large);
    tcase_add_test(tcase, a_step_computes_over_what_its_expression_gives);
    tcase_add_test(tcase, a_step_builds_the_value_it_is_given);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
