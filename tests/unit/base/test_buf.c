/* test_buf.c - the byte string with a cap. Run by ctest. */
#include "base/buf.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

START_TEST(appends_of_every_kind_follow_each_other)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 1000);
    ck_assert_ptr_null(buf.data);
    pl_buf_text(&buf, "a");
    pl_buf_char(&buf, 'b');
    pl_buf_str(&buf, PL_STR("cd"));
    pl_buf_str(&buf, (struct pl_str){0});
    pl_buf_append(&buf, "efg", 2);
    pl_buf_printf(&buf, "<%d>", 5);
    pl_buf_int(&buf, INT64_MIN);
    pl_buf_int(&buf, 0);
    pl_buf_int(&buf, INT64_MAX);
    ck_assert_str_eq(test_text(&buf), "abcdef<5>-922337203685477580809223372036854775807");
    ck_assert_uint_eq(buf.len, strlen(buf.data));
    ck_assert(!pl_buf_failed(&buf));
    pl_buf_finish(&buf);
    ck_assert_ptr_null(buf.data);
    pl_buf_text(&buf, "again");
    ck_assert_str_eq(test_text(&buf), "again");
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(the_cap_can_be_reached_but_not_passed)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 100);
    for (int i = 0; i < 100; i++)
        pl_buf_char(&buf, 'x');
    ck_assert(!pl_buf_failed(&buf));
    ck_assert_uint_eq(buf.len, 100);
    pl_buf_char(&buf, 'y');
    ck_assert(pl_buf_failed(&buf));
    ck_assert(buf.too_large);
    ck_assert_uint_eq(buf.len, 100);
    ck_assert_int_eq(buf.data[100], '\0');
    pl_buf_reset(&buf);
    ck_assert(!pl_buf_failed(&buf));
    ck_assert_uint_eq(buf.len, 0);
    pl_buf_text(&buf, "fine");
    ck_assert_str_eq(buf.data, "fine");
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(a_failure_stays_even_where_less_would_fit)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 10);
    pl_buf_text(&buf, "12345678901");
    ck_assert(pl_buf_failed(&buf));
    pl_buf_text(&buf, "1");
    ck_assert_uint_eq(buf.len, 0);
    ck_assert(!pl_buf_reserve(&buf, 1));
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(printf_that_does_not_fit_leaves_the_text_before_it)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 12);
    pl_buf_text(&buf, "0123456789");
    pl_buf_printf(&buf, "%s", "abcdef");
    ck_assert(buf.failed && buf.too_large);
    ck_assert_str_eq(buf.data, "0123456789");
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(a_reserve_that_overflows_fails)
{
    struct pl_buf buf;

    pl_buf_init(&buf, SIZE_MAX);
    pl_buf_text(&buf, "abc");
    ck_assert(!pl_buf_reserve(&buf, SIZE_MAX - 2));
    ck_assert(buf.too_large);
    pl_buf_reset(&buf);
    ck_assert(pl_buf_reserve(&buf, 100000));
    ck_assert_uint_gt(buf.capacity, 100000);
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(taking_hands_the_bytes_over_and_empties)
{
    struct pl_buf buf;
    size_t len;
    char *text;

    pl_buf_init(&buf, 100);
    text = pl_buf_take(&buf, &len);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(len, 0);
    free(text);
    pl_buf_text(&buf, "bytes");
    text = pl_buf_take(&buf, &len);
    ck_assert_str_eq(text, "bytes");
    ck_assert_uint_eq(len, 5);
    ck_assert_uint_eq(pl_buf_view(&buf).len, 0);
    free(text);
    for (int i = 0; i < 101; i++)
        pl_buf_char(&buf, 'x');
    ck_assert_ptr_null(pl_buf_take(&buf, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(buf.too_large);
    pl_buf_finish(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/buf");
    TCase *tcase = tcase_create("buf");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, appends_of_every_kind_follow_each_other);
    tcase_add_test(tcase, the_cap_can_be_reached_but_not_passed);
    tcase_add_test(tcase, a_failure_stays_even_where_less_would_fit);
    tcase_add_test(tcase, printf_that_does_not_fit_leaves_the_text_before_it);
    tcase_add_test(tcase, a_reserve_that_overflows_fails);
    tcase_add_test(tcase, taking_hands_the_bytes_over_and_empties);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
