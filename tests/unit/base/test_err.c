/* test_err.c - the error table and messages. Run by ctest. */
#include "base/err.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_code_has_text_title_status_and_reads_back)
{
    for (int i = 0; i < PL_ERR__COUNT; i++) {
        const enum pl_code code = (enum pl_code)i;

        ck_assert_ptr_nonnull(pl_code_text(code));
        ck_assert_uint_gt(strlen(pl_code_title(code)), 0);
        ck_assert_int_ge(pl_code_http_status(code), 200);
        ck_assert_int_lt(pl_code_http_status(code), 600);
        ck_assert_int_eq(pl_code_from_text(pl_code_text(code)), code);
        ck_assert_uint_eq(strspn(pl_code_text(code), "abcdefghijklmnopqrstuvwxyz_"),
                          strlen(pl_code_text(code)));
    }
}
END_TEST

START_TEST(ok_is_zero_and_the_rows_are_not_shifted)
{
    ck_assert_int_eq(PL_OK, 0);
    ck_assert_str_eq(pl_code_text(PL_ERR_RATE_LIMITED), "rate_limited");
    ck_assert_int_eq(pl_code_http_status(PL_ERR_RATE_LIMITED), 429);
    ck_assert_int_eq(pl_code_retry_class(PL_ERR_RATE_LIMITED), PL_RETRY_RATE_LIMIT);
    ck_assert_int_eq(pl_code_retry_class(PL_ERR_INVALID_OUTPUT), PL_RETRY_SCHEMA);
    ck_assert_int_eq(pl_code_retry_class(PL_ERR_AUTH_FAILED), PL_RETRY_NEVER);
}
END_TEST

START_TEST(an_unknown_code_or_text_reads_as_internal)
{
    ck_assert_str_eq(pl_code_text((enum pl_code)9999), "internal");
    ck_assert_int_eq(pl_code_from_text("no_such_code"), PL_ERR_INTERNAL);
    ck_assert_int_eq(pl_code_from_text(NULL), PL_ERR_INTERNAL);
    ck_assert_str_eq(pl_retry_class_name((enum pl_retry_class)99), "never");
    ck_assert_str_eq(pl_retry_class_name(PL_RETRY_NETWORK), "network");
}
END_TEST

START_TEST(setting_returns_the_code_also_without_a_place_for_the_message)
{
    struct pl_err err;

    ck_assert_int_eq(pl_err_set(&err, PL_ERR_IO, "cannot open %s", "x"), PL_ERR_IO);
    ck_assert_str_eq(err.message, "cannot open x");
    ck_assert_int_eq(err.code, PL_ERR_IO);
    ck_assert_int_eq(pl_err_set(NULL, PL_ERR_IO, "nowhere"), PL_ERR_IO);
    ck_assert_int_eq(pl_err_prefix(NULL, "nowhere"), PL_ERR_INTERNAL);
}
END_TEST

START_TEST(prefixes_pile_up_in_front_and_keep_the_code)
{
    struct pl_err err;

    pl_err_set(&err, PL_ERR_IO, "no such file");
    ck_assert_int_eq(pl_err_prefix(&err, "file %d", 7), PL_ERR_IO);
    pl_err_prefix(&err, "check");
    ck_assert_str_eq(err.message, "check: file 7: no such file");
}
END_TEST

START_TEST(a_message_may_be_made_from_itself)
{
    struct pl_err err;

    pl_err_set(&err, PL_ERR_IO, "inner");
    pl_err_set(&err, PL_ERR_INTERNAL, "outer (%s)", err.message);
    ck_assert_str_eq(err.message, "outer (inner)");
}
END_TEST

START_TEST(a_long_message_is_cut_between_characters)
{
    char text[PL_ERR_MESSAGE_MAX * 2];
    struct pl_err err;

    for (size_t shift = 0; shift < 4; shift++) {
        size_t len;

        memset(text, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof(text); i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        pl_err_set(&err, PL_ERR_IO, "%s", text);
        len = strlen(err.message);
        ck_assert_uint_gt(len, PL_ERR_MESSAGE_MAX - 5);
        ck_assert_uint_eq((len - shift) % 3, 0);
        pl_err_prefix(&err, "p");
        len = strlen(err.message);
        ck_assert_uint_lt(len, PL_ERR_MESSAGE_MAX);
        ck_assert_uint_eq((len - shift - 3) % 3, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/err");
    TCase *tcase = tcase_create("err");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, every_code_has_text_title_status_and_reads_back);
    tcase_add_test(tcase, ok_is_zero_and_the_rows_are_not_shifted);
    tcase_add_test(tcase, an_unknown_code_or_text_reads_as_internal);
    tcase_add_test(tcase, setting_returns_the_code_also_without_a_place_for_the_message);
    tcase_add_test(tcase, prefixes_pile_up_in_front_and_keep_the_code);
    tcase_add_test(tcase, a_message_may_be_made_from_itself);
    tcase_add_test(tcase, a_long_message_is_cut_between_characters);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
