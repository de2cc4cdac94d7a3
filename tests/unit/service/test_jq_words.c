/* test_jq_words.c - which words of jq text are refused and which are only alike, and which brackets
 * do not close. Run by ctest. */
#include "service/expr/jq_words.h"

#include <check.h>
#include <stdlib.h>

static void refuses(const char *program, const char *word, size_t at)
{
    size_t found = SIZE_MAX;
    const char *got = jq_forbidden_word(pl_str(program), &found);

    ck_assert_msg(got != NULL, "%s is let through", program);
    ck_assert_str_eq(got, word);
    ck_assert_msg(found == at, "%s: found at %zu, not %zu", program, found, at);
}

static void allows(const char *program)
{
    struct pl_err err = {0};
    const char *got = jq_forbidden_word(pl_str(program), NULL);

    ck_assert_msg(got == NULL, "%s: %s is refused", program, got);
    ck_assert_msg(jq_words_check(pl_str(program), &err) == PL_OK, "%s: %s", program, err.message);
}

static void unsound(const char *program, const char *message)
{
    struct pl_err err = {0};

    ck_assert_msg(jq_words_check(pl_str(program), &err) == PL_ERR_EXPRESSION_ERROR,
                  "%s is taken for sound", program);
    ck_assert_str_eq(err.message, message);
}

START_TEST(words_that_read_the_world_are_refused)
{
    refuses("env", "env", 0);
    refuses(".a | env.PATH", "env", 5);
    refuses("$ENV.PATH", "$ENV", 1);
    refuses("$ ENV", "$ENV", 2);
    refuses("{$ENV}", "$ENV", 2);
    refuses("$__loc__", "$__loc__", 1);
    refuses("[inputs]", "inputs", 1);
    refuses("first(input)", "input", 6);
    refuses(". as $x | debug", "debug", 10);
    refuses("debug(\"x\")", "debug", 0);
    refuses("import \"a\" as b; 1", "import", 0);
    refuses("include \"a\"; 1", "include", 0);
    refuses("now|todate", "now", 0);
    refuses("def now: 1; now", "now", 4);
    refuses("try halt_error catch 1", "halt_error", 4);
    refuses("input_line_number", "input_line_number", 0);
    refuses("0|localtime", "localtime", 2);
    refuses("1 + stderr", "stderr", 4);
    refuses("$__i", "__", 1);
    refuses("..env", "env", 2);
    refuses(". env", "env", 2);
    refuses("1.env", "env", 2);
    refuses("{(env): 1}", "env", 2);
    refuses("{a: env}", "env", 4);
    refuses("{a: 1 | now}", "now", 8);
    refuses("{a: if 1 then 2, env else 3 end}", "env", 17);
    refuses("{a: [1, env]}", "env", 8);
    refuses("\"a\\(env)b\"", "env", 4);
    refuses("\"a\\(\"b\\(now)\")\"", "now", 8);
    refuses("@base64 \"\\(env)\"", "env", 11);
    refuses("1 # not here\n| env", "env", 15);
    refuses("\"\\\\\" | env", "env", 7);
    refuses("\"\\u\" | env", "env", 7);
}
END_TEST

START_TEST(fields_keys_variables_strings_and_comments_are_no_words)
{
    allows(".env");
    allows(".input.a | .now");
    allows(".steps.debug.output?.stderr");
    allows("$input.x + $steps.env.output");
    allows("$env");
    allows("{env: 1, now: 2, input, \"debug\": 3}");
    allows("{a: {input: .input}, halt: 1}");
    allows(". as {env: $x, now: [$y]} | $x");
    allows("{if: 1, end: 2}");
    allows("\"env \\\" now \\\\\"");
    allows("\"\\(.input | length) of input\"");
    allows("1 # env \" ( \n + 1");
    allows("environment, nowhere, _env");
    allows("@json \"x\\(.)\"");
    allows("[.[] | select(.a > 1.5e3)] | length");
    allows("if .a then 1 elif .b then {c: 2} else 3 end");
    allows("def f(x): x; f(.[1:-1])");
    allows("mktime, gmtime, todate, strftime(\"%Y\")");
    allows("");
}
END_TEST

START_TEST(text_that_leaves_its_brackets_is_unsound)
{
    unsound("1) | 2 | (3", "a `)` in it closes nothing");
    unsound("(1", "a `(` in it is not closed");
    unsound("[1}", "a `}` in it closes nothing");
    unsound("{a: 1", "a `{` in it is not closed");
    unsound("[1", "a `[` in it is not closed");
    unsound("\"abc", "a string in it is not closed");
    unsound("\"abc\\\"", "a string in it is not closed");
    unsound("\"a\\(1\"", "a string in it is not closed");
    unsound("\"a\\(1", "a `(` in it is not closed");
    unsound("1 end", "an `end` in it ends nothing");
    unsound("if 1 then 2", "an `if` in it has no `end`");
    unsound("(if 1 then 2) end", "a `)` in it closes nothing");
    unsound("1 # \\\n| 2", "a comment in it ends in a backslash");
    unsound("1 # \\", "a comment in it ends in a backslash");
    unsound("1 # \\\r\n", "a comment in it ends in a backslash");
    unsound("env", "`env` is not available in an expression");
}
END_TEST

START_TEST(a_nul_and_deep_nesting_are_unsound)
{
    struct pl_err err;
    char deep[802] = {0};

    ck_assert_int_eq(jq_words_check(pl_str_n("1\0 2", 4), &err), PL_ERR_EXPRESSION_ERROR);
    ck_assert_str_eq(err.message, "it holds a NUL");
    memset(deep, '[', 400);
    memset(deep + 400, ']', 400);
    unsound(deep, "it is nested too deeply");
    deep[150] = '\0';
    memset(deep + 75, ']', 75);
    allows(deep);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jq_words");
    TCase *tc = tcase_create("jq_words");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, words_that_read_the_world_are_refused);
    tcase_add_test(tc, fields_keys_variables_strings_and_comments_are_no_words);
    tcase_add_test(tc, text_that_leaves_its_brackets_is_unsound);
    tcase_add_test(tc, a_nul_and_deep_nesting_are_unsound);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
