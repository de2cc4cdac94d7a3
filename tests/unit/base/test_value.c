/* test_value.c - shared JSON texts. Run by ctest, also under the thread sanitizer. */
#include "base/json.h"
#include "base/value.h"
#include "tests/support/text.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

START_TEST(a_value_holds_a_copy_with_a_nul_behind)
{
    char text[] = "[1,2]junk";
    struct pl_value *value = pl_value_new(pl_str_n(text, 5));

    text[1] = '9';
    ck_assert_str_eq(pl_value_text(value).ptr, "[1,2]");
    ck_assert_uint_eq(pl_value_text(value).len, 5);
    pl_value_unref(&value);
    ck_assert_ptr_null(value);
    pl_value_unref(&value);
}
END_TEST

START_TEST(a_value_lives_until_its_last_reference_goes)
{
    struct pl_value *first = pl_value_new(PL_STR("true")), *second = pl_value_ref(first);

    pl_value_unref(&first);
    ck_assert_str_eq(pl_value_text(second).ptr, "true");
    pl_value_unref(&second);
    ck_assert_ptr_null(pl_value_ref(NULL));
}
END_TEST

START_TEST(null_is_there_always)
{
    struct pl_value *null = pl_value_null(), *copy;

    for (int i = 0; i < 3; i++) {
        copy = pl_value_ref(null);
        pl_value_unref(&copy);
        copy = null;
        pl_value_unref(&copy);
    }
    ck_assert_str_eq(pl_value_text(null).ptr, "null");
    ck_assert_str_eq(pl_value_text(NULL).ptr, "null");
    ck_assert_uint_eq(pl_value_text(NULL).len, 4);
}
END_TEST

START_TEST(taking_a_buffer_empties_it_and_keeps_the_text)
{
    struct pl_value *value;
    struct pl_buf buf;
    const char *bytes;

    pl_buf_init(&buf, 100000);
    pl_buf_reserve(&buf, 50000);
    pl_buf_text(&buf, "{\"a\":1}");
    value = pl_value_take(&buf);
    ck_assert_str_eq(pl_value_text(value).ptr, "{\"a\":1}");
    ck_assert_uint_eq(buf.len, 0);
    pl_value_unref(&value);

    pl_buf_printf(&buf, "%0250d", 0); /* nearly all of what it has */
    bytes = buf.data;
    value = pl_value_take(&buf);
    ck_assert_ptr_eq(pl_value_text(value).ptr, bytes); /* not copied */
    pl_value_unref(&value);
}
END_TEST

START_TEST(a_failed_buffer_gives_no_value)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 3);
    pl_buf_text(&buf, "1234");
    ck_assert_ptr_null(pl_value_take(&buf));
    pl_buf_finish(&buf);
}
END_TEST

START_TEST(a_text_becomes_a_json_string)
{
    struct pl_value *value = pl_value_string(PL_STR("say \"hi\"\n"));

    ck_assert_str_eq(pl_value_text(value).ptr, "\"say \\\"hi\\\"\\n\"");
    ck_assert_int_eq(json_check(pl_value_text(value), 1, NULL, NULL), PL_OK);
    pl_value_unref(&value);
    value = pl_value_string((struct pl_str){0});
    ck_assert_str_eq(pl_value_text(value).ptr, "\"\"");
    pl_value_unref(&value);
}
END_TEST

static void *share(void *arg)
{
    struct pl_value *value = arg;

    for (int i = 0; i < 20000; i++) {
        struct pl_value *mine = pl_value_ref(value);

        if (pl_value_text(mine).len != 3)
            abort();
        pl_value_unref(&mine);
    }
    pl_value_unref(&value);
    return NULL;
}

START_TEST(threads_share_a_value_and_the_last_one_frees_it)
{
    struct pl_value *value = pl_value_new(PL_STR("\"x\""));
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, share, pl_value_ref(value)), 0);
    pl_value_unref(&value);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/value");
    TCase *tcase = tcase_create("value");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, a_value_holds_a_copy_with_a_nul_behind);
    tcase_add_test(tcase, a_value_lives_until_its_last_reference_goes);
    tcase_add_test(tcase, null_is_there_always);
    tcase_add_test(tcase, taking_a_buffer_empties_it_and_keeps_the_text);
    tcase_add_test(tcase, a_failed_buffer_gives_no_value);
    tcase_add_test(tcase, a_text_becomes_a_json_string);
    tcase_add_test(tcase, threads_share_a_value_and_the_last_one_frees_it);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
