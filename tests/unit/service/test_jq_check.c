/* test_jq_check.c - which texts the workers find sound, what they say of the others, and that one
 * does not speak for another. Run by ctest. */
#include "service/expr/jq_pool.h"

#include "tests/support/jq_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXTS_MAX = 200 };

static struct pl_err errors[TEXTS_MAX], err;
static struct pl_str texts[TEXTS_MAX];

static void check(struct jq_pool *pool, size_t count)
{
    memset(errors, 0xff, sizeof errors);
    ck_assert_msg(jq_pool_check(pool, texts, count, errors, &err) == PL_OK, "%s", err.message);
}

/* One text in a pool of its own, from nothing to nothing. */
static void says(const char *text, const char *message)
{
    texts[0] = PL_STR("1");
    texts[1] = pl_str(text);
    texts[2] = PL_STR(".input | length");
    check(NULL, 3);
    ck_assert_int_eq(errors[0].code, PL_OK);
    ck_assert_msg(errors[1].code == (message ? PL_ERR_EXPRESSION_ERROR : PL_OK), "%s: %s", text,
                  errors[1].message);
    if (message)
        ck_assert_str_eq(errors[1].message, message);
    ck_assert_int_eq(errors[2].code, PL_OK);
}

START_TEST(sound_texts_pass)
{
    says(".input.a", NULL);
    says("$input.a + $steps.b.output + $state.c + $run.id", NULL);
    says("def f(x): x; f(1) # and a comment", NULL);
    says("1, 2", NULL); /* how many values it gives is seen when it runs */
    says("if . then 1 else {a: [1, \"\\(2)\"]} end", NULL);
    says("label $out | foreach .input[] as $x (0; . + $x; ., break $out)", NULL);
}
END_TEST

START_TEST(what_does_not_compile_is_said_in_one_short_sentence)
{
    says("1 +", "syntax error, unexpected end");
    says("", "syntax error, unexpected end");
    says("# nothing", "syntax error, unexpected end");
    says("def f: 1;", "syntax error, unexpected end");
    says("a b", "syntax error, unexpected name");
    says(".a && .b", "syntax error, unexpected character");
    says("nonesuch", "nonesuch/0 is not defined");
    says("$nonesuch", "$nonesuch is not defined");
    says("map(.a; .b)", "map/2 is not defined");
}
END_TEST

START_TEST(what_reads_the_world_or_leaves_its_brackets_is_refused)
{
    says("env.PATH", "`env` is not available in an expression");
    says("$ENV", "`$ENV` is not available in an expression");
    says("input", "`input` is not available in an expression");
    says("import \"a\" as a; 1", "`import` is not available in an expression");
    says("now", "`now` is not available in an expression");
    says("1) | env | (2", "`env` is not available in an expression");
    says("1) | 2 | (3", "a `)` in it closes nothing");
    says("1); def e: (2", "a `)` in it closes nothing");
    says("$__i", "`__` is not available in an expression");
    says("1 # \\", "a comment in it ends in a backslash");
    says("\"\\(1", "a `(` in it is not closed");
}
END_TEST

START_TEST(of_many_texts_each_gets_its_own_answer)
{
    static char many[TEXTS_MAX][40];
    struct jq_probe probe;

    jq_probe_init(&probe, 2);
    for (size_t i = 0; i < TEXTS_MAX; i++) {
        if (i == 5)
            snprintf(many[i], sizeof many[i], "%zu +", i);
        else if (i == 70)
            snprintf(many[i], sizeof many[i], "nonesuch%zu", i);
        else if (i == 71)
            snprintf(many[i], sizeof many[i], "%zu)", i);
        else
            snprintf(many[i], sizeof many[i], ".a[%zu]", i);
        texts[i] = pl_str(many[i]);
    }
    check(probe.pool, TEXTS_MAX);
    for (size_t i = 0; i < TEXTS_MAX; i++)
        if (i != 5 && i != 70 && i != 71)
            ck_assert_msg(errors[i].code == PL_OK, "%zu: %s", i, errors[i].message);
    ck_assert_str_eq(errors[5].message, "syntax error, unexpected end");
    ck_assert_str_eq(errors[70].message, "nonesuch70/0 is not defined");
    ck_assert_str_eq(errors[71].message, "a `)` in it closes nothing");
    jq_probe_finish(&probe);
}
END_TEST

/* A text that takes the compiler more than it may have: which of many it was is found out. */
START_TEST(a_text_that_kills_the_compiler_is_found_among_others)
{
    char *bomb = test_repeat("1,", 200001);
    struct jq_probe probe;

    jq_probe_init(&probe, 2);
    bomb[strlen(bomb) - 1] = '\0';
    for (size_t i = 0; i < 9; i++)
        texts[i] = PL_STR(".input");
    texts[4] = pl_str(bomb);
    check(probe.pool, 9);
    for (size_t i = 0; i < 9; i++)
        ck_assert_msg((errors[i].code == PL_OK) == (i != 4), "%zu: %s", i, errors[i].message);
    ck_assert_int_eq(errors[4].code, PL_ERR_EXPRESSION_LIMIT);
    ck_assert_msg(strncmp(errors[4].message, "compiling it takes more ", 24) == 0, "%s",
                  errors[4].message);
    ck_assert_str_eq(jq_probe_eval(&probe, "1", NULL), "1");
    jq_probe_finish(&probe);
    free(bomb);
}
END_TEST

START_TEST(no_texts_and_no_pool_leave_nothing_behind)
{
    ck_assert_int_eq(jq_pool_check(NULL, NULL, 0, NULL, &err), PL_OK);
    says("1", NULL);
    ck_assert(jq_probe_wait_children(0));
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tc;
    SRunner *runner;
    int failed;

    jq_worker_main_if_asked(argc, argv);
    suite = suite_create("jq_check");
    tc = tcase_create("jq_check");
    runner = srunner_create(suite);
    tcase_set_timeout(tc, 110);
    tcase_add_test(tc, sound_texts_pass);
    tcase_add_test(tc, what_does_not_compile_is_said_in_one_short_sentence);
    tcase_add_test(tc, what_reads_the_world_or_leaves_its_brackets_is_refused);
    tcase_add_test(tc, of_many_texts_each_gets_its_own_answer);
    tcase_add_test(tc, a_text_that_kills_the_compiler_is_found_among_others);
    tcase_add_test(tc, no_texts_and_no_pool_leave_nothing_behind);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
