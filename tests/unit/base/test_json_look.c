/* test_json_look.c - looking into checked texts: members, elements, strings, numbers, equality. Run
 * by ctest. */
#include "base/json.h"
#include "tests/support/text.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *get(const char *json, const char *key)
{
    struct pl_str value;

    return json_get(pl_str(json), pl_str(key), &value) ? test_str(value) : NULL;
}

static const char *at(const char *json, int64_t index)
{
    struct pl_str value;

    return json_at(pl_str(json), index, &value) ? test_str(value) : NULL;
}

START_TEST(types_are_told_by_the_first_byte)
{
    ck_assert_int_eq(json_type(PL_STR(" null")), JSON_NULL);
    ck_assert_int_eq(json_type(PL_STR("false")), JSON_FALSE);
    ck_assert_int_eq(json_type(PL_STR("true ")), JSON_TRUE);
    ck_assert_int_eq(json_type(PL_STR("-1")), JSON_NUMBER);
    ck_assert_int_eq(json_type(PL_STR("\"null\"")), JSON_STRING);
    ck_assert_int_eq(json_type(PL_STR("\n[]")), JSON_ARRAY);
    ck_assert_int_eq(json_type(PL_STR("{}")), JSON_OBJECT);
    ck_assert_int_eq(json_type((struct pl_str){0}), JSON_NULL);
}
END_TEST

START_TEST(members_are_found_by_exact_name)
{
    const char *json =
        " { \"a\" : 1 , \"b\":{\"a\":[2,\"}\"]},\"\":\"e\",\"A\":null,\"q\\\"\\u00e9\": [ ] } ";

    ck_assert_str_eq(get(json, "a"), "1");
    ck_assert_str_eq(get(json, "b"), "{\"a\":[2,\"}\"]}");
    ck_assert_str_eq(get(json, ""), "\"e\"");
    ck_assert_str_eq(get(json, "A"), "null");
    ck_assert_str_eq(get(json, "q\"\xC3\xA9"), "[ ]");
    ck_assert_ptr_null(get(json, "q"));
    ck_assert_ptr_null(get(json, "q\\\"\\u00e9"));
    ck_assert_ptr_null(get(json, "c"));
    ck_assert_ptr_null(get("{}", "a"));
    ck_assert_ptr_null(get("[\"a\",1]", "a"));
    ck_assert_ptr_null(get("\"a\"", "a"));
    ck_assert_ptr_null(get("", "a"));
}
END_TEST

START_TEST(several_members_are_found_in_one_walk)
{
    struct json_wanted wanted[] = {{.key = PL_STR("c")},
                                   {.key = PL_STR("none"), .value = PL_STR("of before")},
                                   {.key = PL_STR("")},
                                   {.key = PL_STR("q\"")},
                                   {.key = PL_STR("c")}};

    json_pick(PL_STR(" {\"a\":1, \"q\\\"\":{\"c\":2} ,\"\":null,\"c\" : \"x\",\"d\":5}"), wanted,
              PL_ARRAY_LEN(wanted));
    ck_assert_str_eq(test_str(wanted[0].value), "\"x\"");
    ck_assert_ptr_null(wanted[1].value.ptr);
    ck_assert_str_eq(test_str(wanted[2].value), "null");
    ck_assert_str_eq(test_str(wanted[3].value), "{\"c\":2}");
    ck_assert_ptr_null(wanted[4].value.ptr); /* asked for twice: the first has it */
    for (size_t i = 0; i < 3; i++) {
        const char *others[] = {"[\"c\",1]", "\"c\"", ""};

        json_pick(pl_str(others[i]), wanted, PL_ARRAY_LEN(wanted));
        ck_assert_ptr_null(wanted[0].value.ptr);
    }
}
END_TEST

START_TEST(brackets_and_quotes_in_strings_do_not_count)
{
    const char *json =
        "{\"x\":[\"]\",\"\\\"]}\",{\"y\":\"[{\\\\\"}],\"\\\"z\\\\\":\"}\",\"end\":3}";

    ck_assert_int_eq(json_check(pl_str(json), 8, NULL, NULL), PL_OK);
    ck_assert_str_eq(get(json, "x"), "[\"]\",\"\\\"]}\",{\"y\":\"[{\\\\\"}]");
    ck_assert_str_eq(get(json, "\"z\\"), "\"}\"");
    ck_assert_str_eq(get(json, "end"), "3");
    ck_assert_uint_eq(json_count(pl_str(json)), 3);
}
END_TEST

START_TEST(elements_are_found_from_both_ends)
{
    const char *json = "[ 1, \"two\" ,[3],{\"four\":4} ]";

    ck_assert_str_eq(at(json, 0), "1");
    ck_assert_str_eq(at(json, 1), "\"two\"");
    ck_assert_str_eq(at(json, 3), "{\"four\":4}");
    ck_assert_str_eq(at(json, -1), "{\"four\":4}");
    ck_assert_str_eq(at(json, -4), "1");
    ck_assert_ptr_null(at(json, 4));
    ck_assert_ptr_null(at(json, -5));
    ck_assert_ptr_null(at(json, INT64_MIN));
    ck_assert_ptr_null(at(json, INT64_MAX));
    ck_assert_ptr_null(at("[]", 0));
    ck_assert_ptr_null(at("[ ]", -1));
    ck_assert_ptr_null(at("{\"a\":1}", 0));
    ck_assert_ptr_null(at("7", 0));
}
END_TEST

START_TEST(depth_counts_brackets_outside_of_strings)
{
    ck_assert(!json_is_deeper(PL_STR("[[1]]"), 2));
    ck_assert(json_is_deeper(PL_STR("[[1]]"), 1));
    ck_assert(json_is_deeper(PL_STR("[]"), 0));
    ck_assert(!json_is_deeper(PL_STR("\"[[[[[[\""), 1));
    ck_assert_uint_eq(json_depth(PL_STR("1")), 0);
    ck_assert_uint_eq(json_depth(PL_STR("\"[[[\\\"[\"")), 0);
    ck_assert_uint_eq(json_depth(PL_STR("[]")), 1);
    ck_assert_uint_eq(json_depth(PL_STR("{\"a{\": [1, {\"b\": \"]\"}], \"c\": {}}")), 3);
}
END_TEST

START_TEST(counts_are_of_elements_and_members)
{
    ck_assert_uint_eq(json_count(PL_STR("[]")), 0);
    ck_assert_uint_eq(json_count(PL_STR("[ [1,2], 3 ]")), 2);
    ck_assert_uint_eq(json_count(PL_STR("{ }")), 0);
    ck_assert_uint_eq(json_count(PL_STR("{\"a\":{\"b\":1,\"c\":2}}")), 1);
    ck_assert_uint_eq(json_count(PL_STR("\"[1,2]\"")), 0);
    ck_assert_uint_eq(json_count(PL_STR("12")), 0);
    ck_assert_uint_eq(json_count((struct pl_str){0}), 0);
}
END_TEST

START_TEST(walking_gives_keys_as_written_and_values_without_space)
{
    struct json_iter it;
    struct pl_buf seen;

    pl_buf_init(&seen, 1000);
    for (json_iter_init(&it, PL_STR(" {\"a\" : [1, 2] , \"\\u0062\":\"x\"\n} "));
         json_iter_next(&it);)
        pl_buf_printf(&seen, "%.*s=%.*s;", PL_STR_ARG(it.key), PL_STR_ARG(it.value));
    ck_assert_str_eq(test_text(&seen), "\"a\"=[1, 2];\"\\u0062\"=\"x\";");
    pl_buf_reset(&seen);
    for (json_iter_init(&it, PL_STR("[true , {}]")); json_iter_next(&it);)
        pl_buf_printf(&seen, "%.*s=%.*s;", PL_STR_ARG(it.key), PL_STR_ARG(it.value));
    ck_assert_str_eq(test_text(&seen), "=true;={};");
    ck_assert(!json_iter_next(&it));
    pl_buf_finish(&seen);
}
END_TEST

static const struct {
    const char *token, *text;
} strings[] = {
    {"\"\"", ""},
    {"\"plain\"", "plain"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
    {"\"\\u0041\\u00e9\\u20ac\\uFFFD\"", "A\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBD"},
    {"\"\\ud83d\\ude00 \\uDBFF\\uDFFF\"", "\xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF"},
    {"\"a\xC3\xA9\\n\xF0\x9F\x98\x80z\"", "a\xC3\xA9\n\xF0\x9F\x98\x80z"},
    {"\"\\\\u0041\"", "\\u0041"},
};

START_TEST(strings_are_decoded_into_buffers_and_arenas)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_buf out;
    struct pl_str text;

    pl_buf_init(&out, 1000);
    json_decode_string(pl_str(strings[_i].token), &out);
    ck_assert_str_eq(test_text(&out), strings[_i].text);
    text = json_decode_string_arena(pl_str(strings[_i].token), arena);
    ck_assert_str_eq(text.ptr, strings[_i].text);
    ck_assert_uint_eq(text.len, strlen(strings[_i].text));
    /* and back: what was decoded, written and read again is the same string */
    pl_buf_reset(&out);
    json_write_string(&out, text);
    ck_assert(json_equal(pl_buf_view(&out), pl_str(strings[_i].token)));
    ck_assert_int_eq(json_check(pl_buf_view(&out), 1, NULL, NULL), PL_OK);
    pl_buf_finish(&out);
    pl_arena_destroy(&arena);
}
END_TEST

static const char *const numbers[] = {
    "0",
    "1",
    "-1",
    "10",
    "0.1",
    "-0.5",
    "1e22",
    "1e23",
    "123456789012345",
    "1234567890123456",
    "9007199254740993",
    "0.000001",
    "1e-5",
    "3.141592653589793238462643383279",
    "1.7976931348623157e308",
    "4.9e-324",
    "2.2250738585072011e-308",
    "1e400",
    "-1e400",
    "1e-400",
    "100e-2",
    "0.00100e5",
    "00012e0",
    "123456789.987654321e-3",
    "8.98846567431158e307",
    "5e-324",
    "1e308",
    "17.0e-22",
    "9007199254740992.5",
    "0e999999999999999999999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "1.0000000000000000000000000000000000000001",
};

START_TEST(numbers_read_as_strtod_reads_them)
{
    ck_assert_double_eq(json_number(pl_str(numbers[_i])), strtod(numbers[_i], NULL));
}
END_TEST

START_TEST(a_number_of_a_million_digits_is_rounded_right)
{
    char *zeros = test_repeat("0", 1000000);
    struct pl_buf text;

    pl_buf_init(&text, 8 << 20);
    pl_buf_printf(&text, "1%se-1000000", zeros);
    ck_assert_double_eq(json_number(pl_buf_view(&text)), 1.0);
    pl_buf_reset(&text);
    pl_buf_printf(&text, "0.%s1e1000001", zeros);
    ck_assert_double_eq(json_number(pl_buf_view(&text)), 1.0);
    pl_buf_reset(&text);
    /* exactly between two doubles, and the one digit that decides a million places on */
    pl_buf_printf(&text, "9007199254740993.%s1", zeros);
    ck_assert_double_eq(json_number(pl_buf_view(&text)), 9007199254740994.0);
    pl_buf_finish(&text);
    free(zeros);
}
END_TEST

START_TEST(minus_zero_keeps_its_sign)
{
    ck_assert(signbit(json_number(PL_STR("-0"))));
    ck_assert(signbit(json_number(PL_STR("-0.0e5"))));
    ck_assert(!signbit(json_number(PL_STR("0"))));
}
END_TEST

static const struct {
    const char *token;
    bool exact;
    int64_t number;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"0.0", true, 0},
    {"0e99", true, 0},
    {"42", true, 42},
    {"-42", true, -42},
    {"1.0", true, 1},
    {"1e3", true, 1000},
    {"1.5e1", true, 15},
    {"1200e-2", true, 12},
    {"9007199254740993", true, 9007199254740993},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"99999999999999999999", false, 0},
    {"1e19", false, 0},
    {"1e400", false, 0},
    {"1.5", false, 0},
    {"1e-1", false, 0},
    {"\"1\"", false, 0},
    {"null", false, 0},
    {"[1]", false, 0},
    {"", false, 0},
};

START_TEST(integers_are_exact_or_none)
{
    int64_t number = -7;

    ck_assert_msg(json_int(pl_str(integers[_i].token), &number) == integers[_i].exact, "%s",
                  integers[_i].token);
    ck_assert_int_eq(number, integers[_i].exact ? integers[_i].number : -7);
}
END_TEST

START_TEST(only_null_and_false_are_not_true)
{
    ck_assert(!json_truthy(PL_STR("null")));
    ck_assert(!json_truthy(PL_STR(" false ")));
    ck_assert(json_truthy(PL_STR("true")));
    ck_assert(json_truthy(PL_STR("0")));
    ck_assert(json_truthy(PL_STR("\"\"")));
    ck_assert(json_truthy(PL_STR("[]")));
    ck_assert(json_truthy(PL_STR("{}")));
}
END_TEST

static const struct {
    const char *a, *b;
    bool equal;
} pairs[] = {
    {"null", " null ", true},
    {"null", "false", false},
    {"true", "false", false},
    {"1", "1.0", true},
    {"1", "10e-1", true},
    {"100", "1e2", true},
    {"0", "-0", true},
    {"0", "0e10", true},
    {"0.5", "0.50", true},
    {"0.05", "5e-2", true},
    {"10.01", "1001e-2", true},
    {"1", "-1", false},
    {"1", "2", false},
    {"1", "10", false},
    {"1.2", "12", false},
    {"9007199254740993", "9007199254740992", false},
    {"1e400", "1e401", false},
    {"1e400", "10e399", true},
    {"1", "\"1\"", false},
    {"\"a\"", "\"\\u0061\"", true},
    {"\"\\/\"", "\"/\"", true},
    {"\"\xF0\x9F\x98\x80\"", "\"\\uD83D\\uDE00\"", true},
    {"\"a\"", "\"ab\"", false},
    {"\"a\"", "\"A\"", false},
    {"\"\"", "\"\"", true},
    {"[]", "[ ]", true},
    {"[1,2]", "[1, 2.0]", true},
    {"[1,2]", "[2,1]", false},
    {"[1,2]", "[1]", false},
    {"[1]", "[1,2]", false},
    {"[[]]", "[{}]", false},
    {"{}", "{ }", true},
    {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
    {"{\"a\":1,\"b\":2}", "{\"\\u0062\":2,\"\\u0061\":1}", true},
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}", false},
    {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
    {"{\"a\":null}", "{\"b\":null}", false},
    {"{\"a\":{\"x\":[1,{\"y\":2,\"z\":3}]}}", "{\"a\":{\"x\":[1,{\"z\":3,\"y\":2}]}}", true},
};

START_TEST(values_are_equal_by_meaning)
{
    ck_assert_msg(json_equal(pl_str(pairs[_i].a), pl_str(pairs[_i].b)) == pairs[_i].equal,
                  "%s and %s", pairs[_i].a, pairs[_i].b);
    ck_assert(json_equal(pl_str(pairs[_i].b), pl_str(pairs[_i].a)) == pairs[_i].equal);
    ck_assert(json_equal(pl_str(pairs[_i].a), pl_str(pairs[_i].a)));
}
END_TEST

START_TEST(large_objects_in_another_order_are_compared_by_name)
{
    struct pl_buf a, b;
    const int count = 20000;

    pl_buf_init(&a, 8 << 20);
    pl_buf_init(&b, 8 << 20);
    json_object_begin(&a);
    json_object_begin(&b);
    for (int i = 0; i < count; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%d", i);
        json_add_int(&a, key, i);
        snprintf(key, sizeof(key), "%d", count - 1 - i);
        json_add_int(&b, key, count - 1 - i);
    }
    json_object_end(&a);
    json_object_end(&b);
    ck_assert(json_equal(pl_buf_view(&a), pl_buf_view(&b)));
    b.data[b.len - 2] = '1'; /* "0":0 is the last of b */
    ck_assert(!json_equal(pl_buf_view(&a), pl_buf_view(&b)));
    pl_buf_finish(&a);
    pl_buf_finish(&b);
}
END_TEST

START_TEST(text_that_was_never_checked_does_no_harm)
{
    static const char pieces[] = "{}[]\",:\\u0d8e1-.t f\n\xC3";
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_buf out;
    unsigned seed = 12345;

    pl_buf_init(&out, 1 << 20);
    for (int round = 0; round < 20000; round++) {
        const size_t len = (size_t)(round % 24);
        char *text =
            malloc(len ? len : 1); /* exact, so that a sanitizer sees a read past the end */
        struct pl_str json = pl_str_n(text, len), value;
        struct json_iter it;
        int64_t number;

        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = pieces[(seed >> 16) % (sizeof(pieces) - 1)];
        }
        for (json_iter_init(&it, json); json_iter_next(&it);)
            json_decode_string(it.key, &out);
        json_get(json, PL_STR("t"), &value);
        json_at(json, -1, &value);
        json_decode_string(json, &out);
        json_decode_string_arena(json, arena);
        json_number(json);
        json_int(json, &number);
        (void)json_equal(json, pl_str_n(text, len / 2));
        (void)json_equal(json, json);
        json_write_compact(&out, json);
        json_write_pretty(&out, json);
        free(text);
        pl_buf_reset(&out);
        pl_arena_reset(arena);
    }
    pl_buf_finish(&out);
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/json look");
    TCase *tcase = tcase_create("look");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, types_are_told_by_the_first_byte);
    tcase_add_test(tcase, members_are_found_by_exact_name);
    tcase_add_test(tcase, several_members_are_found_in_one_walk);
    tcase_add_test(tcase, brackets_and_quotes_in_strings_do_not_count);
    tcase_add_test(tcase, elements_are_found_from_both_ends);
    tcase_add_test(tcase, depth_counts_brackets_outside_of_strings);
    tcase_add_test(tcase, counts_are_of_elements_and_members);
    tcase_add_test(tcase, walking_gives_keys_as_written_and_values_without_space);
    tcase_add_loop_test(tcase, strings_are_decoded_into_buffers_and_arenas, 0,
                        PL_ARRAY_LEN(strings));
    tcase_add_loop_test(tcase, numbers_read_as_strtod_reads_them, 0, PL_ARRAY_LEN(numbers));
    tcase_add_test(tcase, a_number_of_a_million_digits_is_rounded_right);
    tcase_add_test(tcase, minus_zero_keeps_its_sign);
    tcase_add_loop_test(tcase, integers_are_exact_or_none, 0, PL_ARRAY_LEN(integers));
    tcase_add_test(tcase, only_null_and_false_are_not_true);
    tcase_add_loop_test(tcase, values_are_equal_by_meaning, 0, PL_ARRAY_LEN(pairs));
    tcase_add_test(tcase, large_objects_in_another_order_are_compared_by_name);
    tcase_add_test(tcase, text_that_was_never_checked_does_no_harm);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
