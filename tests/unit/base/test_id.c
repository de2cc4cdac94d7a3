/* test_id.c - ids that sort by time. Run by ctest, also under the thread sanitizer. */
#include "base/id.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

START_TEST(an_id_has_its_form)
{
    char id[PL_ID_TEXT];

    ck_assert_ptr_eq(pl_id_new("run", 1763651045123, id), id);
    ck_assert_uint_eq(strlen(id), 3 + 1 + 26);
    ck_assert(pl_id_valid("run", id));
    ck_assert(!pl_id_valid("step", id));
    ck_assert(!pl_id_valid("ru", id));
    pl_id_new("prefix88", 0, id);
    ck_assert(pl_id_valid("prefix88", id));
}
END_TEST

START_TEST(other_texts_are_no_ids)
{
    ck_assert(pl_id_valid("a", "a_01234567890123456789abcdef"));
    ck_assert(!pl_id_valid("a", "a_01234567890123456789abcde"));
    ck_assert(!pl_id_valid("a", "a_01234567890123456789abcdefg"));
    ck_assert(!pl_id_valid("a", "a_01234567890123456789abcdei"));
    ck_assert(!pl_id_valid("a", "a_01234567890123456789abcdeF"));
    ck_assert(!pl_id_valid("a", "a_81234567890123456789abcdef"));
    ck_assert(!pl_id_valid("a", "a-01234567890123456789abcdef"));
    ck_assert(!pl_id_valid("a", ""));
    ck_assert(!pl_id_valid("a", "a_"));
}
END_TEST

START_TEST(the_first_ten_characters_are_the_time)
{
    char id[PL_ID_TEXT];

    /* 1469918176385 is 01ARYZ6S41 in the ULID specification. */
    pl_id_new("x", 1469918176385, id);
    ck_assert_int_eq(strncmp(id, "x_01aryz6s41", 12), 0);
}
END_TEST

START_TEST(later_ids_sort_later_within_a_millisecond_and_when_time_goes_back)
{
    char last[PL_ID_TEXT], id[PL_ID_TEXT];

    pl_id_new("r", 1000000, last);
    for (int i = 0; i < 200000; i++) {
        pl_id_new("r", 1000000 - i % 3 * 1000, id);
        ck_assert_int_gt(strcmp(id, last), 0);
        memcpy(last, id, sizeof(id));
    }
    pl_id_new("r", 2000000, id);
    ck_assert_int_gt(strcmp(id, last), 0);
}
END_TEST

enum { THREADS = 4, IDS = 5000 };
static char made[THREADS][IDS][PL_ID_TEXT];

static void *make_ids(void *arg)
{
    char(*mine)[PL_ID_TEXT] = arg;

    for (int i = 0; i < IDS; i++)
        pl_id_new("r", 5000000 + i / 1000, mine[i]);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

START_TEST(threads_make_ids_that_differ_and_grow)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make_ids, made[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 1; i < IDS; i++)
            ck_assert_int_gt(strcmp(made[t][i], made[t][i - 1]), 0);
    }
    qsort(made, (size_t)THREADS * IDS, PL_ID_TEXT, compare);
    for (int i = 1; i < THREADS * IDS; i++)
        ck_assert_str_ne(made[i / IDS][i % IDS], made[(i - 1) / IDS][(i - 1) % IDS]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/id");
    TCase *tcase = tcase_create("id");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_id_has_its_form);
    tcase_add_test(tcase, other_texts_are_no_ids);
    tcase_add_test(tcase, the_first_ten_characters_are_the_time);
    tcase_add_test(tcase, later_ids_sort_later_within_a_millisecond_and_when_time_goes_back);
    tcase_add_test(tcase, threads_make_ids_that_differ_and_grow);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
