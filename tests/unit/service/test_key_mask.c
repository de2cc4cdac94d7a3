/* test_key_mask.c - a key that comes back, whole, cut and in pieces. Run by ctest. */
#include "service/llm/key_mask.h"

#include <check.h>
#include <stdlib.h>

static const char KEY[] = "sk-sk-secret";

static void keep(void *arg, struct pl_str text)
{
    ck_assert(text.len > 0);
    pl_buf_str(arg, text);
}

static struct pl_buf heard;
static struct key_mask mask;

static void begin(const char *key)
{
    const struct llm_sink to = {.arg = &heard, .delta = keep};

    pl_buf_init(&heard, 4096);
    key_mask_init(&mask, pl_str(key), &to);
}

static void feed(const char *text, size_t len)
{
    mask.sink.delta(mask.sink.arg, pl_str_n(text, len));
}

static void end(const char *expected)
{
    key_mask_end(&mask);
    key_mask_finish(&mask);
    ck_assert_str_eq(heard.data ? heard.data : "", expected);
    pl_buf_finish(&heard);
}

static const struct {
    const char *text, *masked;
} streams[] = {
    {"nothing of it", "nothing of it"},
    {"you sent sk-sk-secret.", "you sent ************."},
    {"sk-sk-secret", "************"},
    {"sk-sk-secretsk-sk-secret", "************************"},
    {"sk-sk-sk-secret", "sk-************"}, /* a false start inside a start */
    {"sk-sk-secre", "sk-sk-secre"},
    {"ssssk-sk-sk-sk-secretsk-", "ssssk-sk-************sk-"},
    {"\xc3\xa9sk-\xc3\xa9sk-sk-secret\xc3\xa9", "\xc3\xa9sk-\xc3\xa9************\xc3\xa9"},
    {"", ""},
};

START_TEST(every_cut_of_a_stream_hides_the_same)
{
    const char *text = streams[_i].text;
    const size_t len = strlen(text);

    for (size_t first = 0; first <= len; first++) {
        for (size_t second = first; second <= len; second++) {
            begin(KEY);
            feed(text, first);
            feed(text + first, second - first);
            feed(text + second, len - second);
            end(streams[_i].masked);
        }
    }
    begin(KEY);
    for (size_t i = 0; i < len; i++)
        feed(text + i, 1);
    end(streams[_i].masked);
}
END_TEST

START_TEST(what_cannot_be_the_key_does_not_wait)
{
    begin(KEY);
    feed("risk", 4);
    ck_assert_str_eq(heard.data, "ri");
    feed("y", 1);
    ck_assert_str_eq(heard.data, "risky");
    end("risky");
}
END_TEST

START_TEST(a_short_key_hides_nothing)
{
    begin("abc");
    ck_assert_ptr_eq(mask.sink.delta, keep);
    feed("abc", 3);
    end("abc");
}
END_TEST

START_TEST(where_nobody_listens_there_is_no_sink)
{
    const struct llm_sink nobody = {0};

    key_mask_init(&mask, pl_str(KEY), &nobody);
    ck_assert_ptr_null(mask.sink.delta);
    key_mask_end(&mask);
    key_mask_finish(&mask);
}
END_TEST

START_TEST(a_text_that_was_cut_ends_with_no_beginning)
{
    char cut[] = "bad key sk-sk-sec", few[] = "bad key sk-sk", one[] = "sk-sk-secret, sk-sk-secret";

    key_mask_cut(pl_str(KEY), cut, strlen(cut));
    key_mask_cut(pl_str(KEY), few, strlen(few));
    key_mask_text(pl_str(KEY), one, strlen(one));
    ck_assert_str_eq(cut, "bad key *********");
    ck_assert_str_eq(few, "bad key sk-sk");
    ck_assert_str_eq(one, "************, ************");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_mask");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, every_cut_of_a_stream_hides_the_same, 0, PL_ARRAY_LEN(streams));
    tcase_add_test(tcase, what_cannot_be_the_key_does_not_wait);
    tcase_add_test(tcase, a_short_key_hides_nothing);
    tcase_add_test(tcase, where_nobody_listens_there_is_no_sink);
    tcase_add_test(tcase, a_text_that_was_cut_ends_with_no_beginning);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
