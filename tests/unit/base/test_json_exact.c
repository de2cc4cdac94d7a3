/* test_json_exact.c - numbers compared as written, and the hash that goes with json_equal. Run by
 * ctest. */
#include "base/json.h"

#include <check.h>
#include <stdlib.h>

START_TEST(numbers_compare_by_value_whatever_their_spelling_or_size)
{
    static const struct {
        const char *a, *b;
        int sign;
    } cases[] = {
        {"1", "1.0", 0},
        {"100", "1e2", 0},
        {"-0", "0.0", 0},
        {"0.1", "1e-1", 0},
        {"1", "2", -1},
        {"-1", "-2", 1},
        {"-1", "1", -1},
        {"0", "-1", 1},
        {"0", "1e-400", -1},
        {"1e400", "1e399", 1},
        {"10", "9", 1},
        {"1.25", "1.3", -1},
        {"12.5", "12.50001", -1},
        {"9007199254740993", "9007199254740992", 1},
        {"-123456789012345678901", "-123456789012345678902", 1},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        int sign = json_number_compare(pl_str(cases[i].a), pl_str(cases[i].b));
        int back = json_number_compare(pl_str(cases[i].b), pl_str(cases[i].a));

        ck_assert_msg((sign > 0) - (sign < 0) == cases[i].sign, "%s %s", cases[i].a, cases[i].b);
        ck_assert_int_eq((back > 0) - (back < 0), -cases[i].sign);
    }
}
END_TEST

START_TEST(integers_are_told_by_value)
{
    static const char *const integers[] = {"0", "-3", "1.0", "1e3", "1.5e1", "1e400", "0.0"};
    static const char *const others[] = {"0.5", "1e-1", "1.50", "-3.0001", "1e-400"};

    for (size_t i = 0; i < PL_ARRAY_LEN(integers); i++)
        ck_assert_msg(json_number_is_integer(pl_str(integers[i])), "%s", integers[i]);
    for (size_t i = 0; i < PL_ARRAY_LEN(others); i++)
        ck_assert_msg(!json_number_is_integer(pl_str(others[i])), "%s", others[i]);
}
END_TEST

START_TEST(multiples_are_exact)
{
    static const struct {
        const char *number, *divisor;
        bool multiple;
    } cases[] = {
        {"0.3", "0.1", true},
        {"19.99", "0.01", true},
        {"19.995", "0.01", false},
        {"0", "7", true},
        {"-14", "7", true},
        {"15", "7", false},
        {"1e400", "8", true},
        {"1e400", "3", false},
        {"1.5", "0.5", true},
        {"1000", "1e3", true},
        {"1500", "1e3", false},
        {"5", "0", false},
        {"9007199254740993", "3", true},
        {"999999999999999999", "999999999999999999", true},
        {"1", "1234567890123456789", false},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        ck_assert_msg(json_number_is_multiple(pl_str(cases[i].number), pl_str(cases[i].divisor)) ==
                          cases[i].multiple,
                      "%s by %s", cases[i].number, cases[i].divisor);
}
END_TEST

START_TEST(equal_values_have_equal_hashes_and_others_have_not)
{
    static const char *const equal[][2] = {
        {"1", "1.0"},
        {"\"\\u00e9\"", "\"\xC3\xA9\""},
        {"{\"a\":1,\"b\":[2]}", "{ \"b\" : [ 2.0 ] , \"\\u0061\" : 1e0 }"},
        {"[]", " [ ] "},
        {"-0", "0"},
    };
    static const char *const all[] = {"null",
                                      "true",
                                      "false",
                                      "0",
                                      "1",
                                      "\"\"",
                                      "\"1\"",
                                      "[]",
                                      "{}",
                                      "[1]",
                                      "[[1]]",
                                      "[1,2]",
                                      "[2,1]",
                                      "{\"a\":1}",
                                      "{\"b\":1}",
                                      "{\"a\":2}",
                                      "[null]",
                                      "{\"a\":1,\"b\":2}",
                                      "{\"a\":2,\"b\":1}"};

    for (size_t i = 0; i < PL_ARRAY_LEN(equal); i++) {
        ck_assert(json_equal(pl_str(equal[i][0]), pl_str(equal[i][1])));
        ck_assert_uint_eq(json_hash(pl_str(equal[i][0])), json_hash(pl_str(equal[i][1])));
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(all); i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(json_hash(pl_str(all[i])) != json_hash(pl_str(all[j])), "%s %s", all[i],
                          all[j]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_exact");
    TCase *tests = tcase_create("json_exact");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tests, numbers_compare_by_value_whatever_their_spelling_or_size);
    tcase_add_test(tests, integers_are_told_by_value);
    tcase_add_test(tests, multiples_are_exact);
    tcase_add_test(tests, equal_values_have_equal_hashes_and_others_have_not);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
