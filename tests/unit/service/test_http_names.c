/* test_http_names.c - the lines in front of names that are being looked up. Run by ctest. */
#include "service/net/http_names.h"

#include <check.h>
#include <stdlib.h>

enum { CALLS = 100 };

static struct http_names names;
static struct http_name_place places[CALLS];
static bool going[CALLS];

static void set_up(void)
{
    http_names_init(&names);
}

static void tear_down(void)
{
    http_names_finish(&names);
}

static unsigned count_going(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CALLS; i++)
        n += going[i];
    return n;
}

/* Takes a call off and lets those go that may; returns how many that were. */
static unsigned leave(unsigned i)
{
    struct http_name *name = http_names_leave(&places[i]);
    struct http_name_place *next;
    unsigned n = 0;

    going[i] = false;
    while ((next = http_names_next(name))) {
        ck_assert(!going[next - places]);
        going[next - places] = true;
        n++;
    }
    return n;
}

START_TEST(numbers_and_localhost_never_wait)
{
    static const char *const urls[] = {"http://127.0.0.1:1/", "http://[::1]/",
                                       "http://localhost/",   "https://LOCALHOST:80/x",
                                       "http://1.2.3.4",      "http://"};

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < PL_ARRAY_LEN(urls); i++) {
            ck_assert(http_names_enter(&names, pl_str(urls[i]), &places[i]));
            ck_assert_ptr_null(places[i].name);
            ck_assert_ptr_null(http_names_leave(&places[i]));
        }
    }
    ck_assert_ptr_null(http_names_next(NULL));
}
END_TEST

START_TEST(the_first_goes_alone_and_each_that_is_through_lets_two_go)
{
    unsigned expected[] = {2, 2, 2, 2, 2};

    for (unsigned i = 0; i < CALLS; i++)
        going[i] = http_names_enter(&names, PL_STR("http://api.example.com/v1"), &places[i]);
    ck_assert_uint_eq(count_going(), 1);
    ck_assert(going[0]);
    for (unsigned i = 0; i < PL_ARRAY_LEN(expected); i++)
        ck_assert_uint_eq(leave(i), expected[i]);
    ck_assert_uint_eq(count_going(), 6);
    for (unsigned i = PL_ARRAY_LEN(expected); i < CALLS; i++) {
        ck_assert_uint_le(count_going(), 65);
        ck_assert(going[i]); /* in the order of arrival */
        leave(i);
    }
    ck_assert_uint_eq(count_going(), 0);
}
END_TEST

START_TEST(names_do_not_wait_for_each_other)
{
    ck_assert(http_names_enter(&names, PL_STR("http://a.example/"), &places[0]));
    ck_assert(http_names_enter(&names, PL_STR("http://b.example/"), &places[1]));
    ck_assert(http_names_enter(&names, PL_STR("http://a.example:81/"), &places[2]));
    ck_assert(!http_names_enter(&names, PL_STR("https://A.example/x?y"), &places[3]));
    ck_assert_uint_eq(leave(1), 0);
    ck_assert_uint_eq(leave(2), 0);
    ck_assert_uint_eq(leave(0), 1);
    ck_assert_uint_eq(leave(3), 0);
}
END_TEST

START_TEST(one_that_gives_up_in_the_line_lets_nobody_go_in_its_place)
{
    for (unsigned i = 0; i < 4; i++)
        going[i] = http_names_enter(&names, PL_STR("http://a.example/"), &places[i]);
    ck_assert_uint_eq(leave(1), 0);
    ck_assert_uint_eq(leave(0), 2);
    ck_assert(going[2] && going[3]);
    leave(2);
    leave(3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/http_names");
    TCase *tcase = tcase_create("http_names");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, numbers_and_localhost_never_wait);
    tcase_add_test(tcase, the_first_goes_alone_and_each_that_is_through_lets_two_go);
    tcase_add_test(tcase, names_do_not_wait_for_each_other);
    tcase_add_test(tcase, one_that_gives_up_in_the_line_lets_nobody_go_in_its_place);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
