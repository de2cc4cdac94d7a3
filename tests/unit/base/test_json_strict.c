/* test_json_strict.c - what the strict reader accepts and refuses, and where it says the fault is.
 * Run by ctest. */
#include "base/json.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct text_case {
    const char *text;
    size_t len; /* 0: strlen */
};

#define T(literal)                                    \
    {                                                 \
        .text = (literal), .len = sizeof(literal) - 1 \
    }

static const struct text_case good[] = {
    T("null"),
    T("true"),
    T("false"),
    T("0"),
    T("-0"),
    T("1"),
    T("-1"),
    T("10"),
    T("1.5"),
    T("0.0"),
    T("-0.0"),
    T("1e1"),
    T("1E1"),
    T("1e+1"),
    T("1e-1"),
    T("0e0"),
    T("0e+1"),
    T("1.5e300"),
    T("1e400"),
    T("-1e-400"),
    T("123456789012345678901234567890"),
    T("0.1000000000000000055511151"),
    T("\"\""),
    T("\"a\""),
    T("[]"),
    T("{}"),
    T(" [ ] "),
    T("\t{\n}\r\n"),
    T(" 1 "),
    T("[1,2 , 3]"),
    T("[[],[[]],{}]"),
    T("{\"a\":1,\"b\":{\"a\":1}}"),
    T("{\"\":0}"),
    T("{\"a\":1,\"A\":2}"),
    T("[{\"a\":1},{\"a\":1}]"),
    T("{\"a\" : [ null , true ] }"),
    T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    T("\"\\u0041\\u00e9\\u20AC\""),
    T("\"\\u0001\""),
    T("\"\\ud83d\\ude00\""),
    T("\"\\uDBFF\\uDFFF\""),
    T("\"\\uFFFF\""),
    T("\"\\\\u0000\""),
    T("\"\\\\ud800\""),
    T("\"\x7F\""),
    T("\"\xC3\xA9\""),
    T("\"\xE2\x82\xAC\""),
    T("\"\xF0\x9F\x98\x80\""),
    T("\"\xF4\x8F\xBF\xBF\""),
    T("\"\xEF\xBF\xBF\""),
    T("\"\xC2\x80\""),
    T("\"\xE0\xA0\x80\""),
    T("\"\xED\x9F\xBF\""),
    T("\"\xEE\x80\x80\""),
    T("\"\xEF\xBB\xBF\""),
    T("\"\xE2\x80\xA8\""),
    T("\"/\""),
    T("\"<!-- -->\""),
    T("\"1234567\\n1234567\\\\12345678\\\"\""),
    T("[\"\",\"\",\"\"]"),
    T("{\"a\\u0062\":1,\"a\\u0063\":2}"),
    T("[-1,-0.5,1E-2]"),
    T("[\"\xE4\xBD\xA0\",\"b\"]"),
};

static const struct text_case bad[] = {
    T(""),
    T(" "),
    T("\n"),
    T("nul"),
    T("nulll"),
    T("Null"),
    T("TRUE"),
    T("tru"),
    T("undefined"),
    T("NaN"),
    T("Infinity"),
    T("-Infinity"),
    T("-"),
    T("+1"),
    T("01"),
    T("-01"),
    T("00"),
    T(".5"),
    T("-.5"),
    T("1."),
    T("1.e1"),
    T("1e"),
    T("1e+"),
    T("1E-"),
    T("0x10"),
    T("1_000"),
    T("1,000"),
    T("1 2"),
    T("1e1.5"),
    T("1.2.3"),
    T("--1"),
    T("\xEF\xBC\x91"),
    T("[1"),
    T("["),
    T("]"),
    T("[1,"),
    T("[1,]"),
    T("[,1]"),
    T("[1,,2]"),
    T("[1 2]"),
    T("[1;2]"),
    T("[1}"),
    T("[1]]"),
    T("[1]x"),
    T("[1]]"),
    T("[1],"),
    T("[\"a\":1]"),
    T("[:]"),
    T("{"),
    T("}"),
    T("{]"),
    T("{\"a\""),
    T("{\"a\":"),
    T("{\"a\":1"),
    T("{\"a\":1,"),
    T("{\"a\":1,}"),
    T("{,}"),
    T("{\"a\"}"),
    T("{\"a\",1}"),
    T("{\"a\"::1}"),
    T("{\"a\" 1}"),
    T("{a:1}"),
    T("{'a':1}"),
    T("{1:1}"),
    T("{null:1}"),
    T("{\"a\":1 \"b\":2}"),
    T("{\"a\":1,,\"b\":2}"),
    T("{[]:1}"),
    T("{\"a\":}"),
    T("{\"a\":1}}"),
    T("{\"a\":1}#"),
    T("\""),
    T("\"a"),
    T("\"a\\\""),
    T("\"\\"),
    T("'a'"),
    T("\"a\"b"),
    T("\"a\nb\""),
    T("\"a\tb\""),
    T("\"\x1F\""),
    T("\"\\x41\""),
    T("\"\\a\""),
    T("\"\\v\""),
    T("\"\\'\""),
    T("\"\\U0041\""),
    T("\"\\u\""),
    T("\"\\u004\""),
    T("\"\\u00G1\""),
    T("\"\\u 041\""),
    T("\"\\u0000\""),
    T("\"a\\u0000b\""),
    T("{\"a\\u0000\":1}"),
    T("\"\\ud800\""),
    T("\"\\udc00\""),
    T("\"\\ud800\\ud800\""),
    T("\"\\ud800x\""),
    T("\"\\ud800\\n\""),
    T("\"\\ud83d\\u0041\""),
    T("\"\\ude00\\ud83d\""),
    T("\"\\ud800\\u\""),
    T("\"\x80\""),
    T("\"\xBF\""),
    T("\"\xC0\x80\""),
    T("\"\xC1\xBF\""),
    T("\"\xC3\""),
    T("\"\xC3(\""),
    T("\"\xE0\x80\x80\""),
    T("\"\xE0\x9F\xBF\""),
    T("\"\xED\xA0\x80\""),
    T("\"\xED\xBF\xBF\""),
    T("\"\xE2\x82\""),
    T("\"\xF0\x80\x80\x80\""),
    T("\"\xF0\x8F\xBF\xBF\""),
    T("\"\xF4\x90\x80\x80\""),
    T("\"\xF5\x80\x80\x80\""),
    T("\"\xF0\x9F\x98\""),
    T("\"\xFE\""),
    T("\"\xFF\""),
    T("\xC3\xA9"),
    T("[\xFF]"),
    T("\xEF\xBB\xBF{}"),
    T("\xEF\xBB\xBF"),
    T("\xFE\xFF\0{\0}"),
    T("\0"),
    T("1\0"),
    T("[1\0]"),
    T("\"a\0b\""),
    T("[1]\0"),
    T("\"\\\0\""),
    T("\f1"),
    T("\v1"),
    T("[\xC2\xA0]"),
    T("[1]\xC2\xA0"),
    T("// c\n1"),
    T("/**/1"),
    T("1/**/"),
    T("[1]#c"),
    T("{\"a\":1,\"a\":2}"),
    T("{\"\":1,\"\":2}"),
    T("{\"a\":1,\"b\":2,\"a\":1}"),
    T("{\"a\":1,\"\\u0061\":2}"),
    T("{\"\\u0061\":1,\"a\":2}"),
    T("{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}"),
    T("{\"x\":{\"a\":1,\"a\":1}}"),
    T("[{\"a\":{},\"b\":[],\"a\":0}]"),
    T("{\"\\/\":1,\"/\":2}"),
    T("{\"a\":{\"b\":1},\"a\":2}"),
};

static struct pl_str text_of(const struct text_case *text)
{
    return pl_str_n(text->text, text->len);
}

/* A copy without anything behind it, so that a sanitizer sees a read past the end. */
static char *exact_copy(struct pl_str text)
{
    char *copy = malloc(text.len ? text.len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text.len ? text.ptr : "", text.len);
    return copy;
}

START_TEST(a_valid_text_is_accepted)
{
    struct pl_str text = text_of(&good[_i]);
    char *copy = exact_copy(text);
    struct pl_err err = {.message = ""};
    cJSON *tree = NULL;

    ck_assert_msg(json_check(pl_str_n(copy, text.len), 64, NULL, &err) == PL_OK, "%s: %s", text.ptr,
                  err.message);
    ck_assert_int_eq(json_parse(pl_str_n(copy, text.len), 64, &tree, &err), PL_OK);
    cJSON_Delete(tree);
    free(copy);
}
END_TEST

START_TEST(an_invalid_text_is_refused_with_a_place_and_a_reason)
{
    struct pl_str text = text_of(&bad[_i]);
    char *copy = exact_copy(text);
    size_t offset = SIZE_MAX;
    struct pl_err err = {.message = ""};
    cJSON *tree = NULL;

    ck_assert_msg(json_check(pl_str_n(copy, text.len), 64, &offset, &err) == PL_ERR_INVALID_JSON,
                  "accepted: %s", text.ptr);
    ck_assert_uint_le(offset, text.len);
    ck_assert_uint_gt(strlen(err.message), 10);
    ck_assert_int_eq(err.code, PL_ERR_INVALID_JSON);
    ck_assert_int_eq(json_parse(pl_str_n(copy, text.len), 64, &tree, NULL), PL_ERR_INVALID_JSON);
    ck_assert_ptr_null(tree);
    free(copy);
}
END_TEST

START_TEST(every_cut_of_a_valid_text_is_refused)
{
    const struct pl_str text = PL_STR("{\"a\":[1.5e3,true,null,\"x\\u00e9\\ud83d\\ude00 "
                                      "\xF0\x9F\x98\x80\"],\"b\":{\"c\":false}}");

    ck_assert_int_eq(json_check(text, 64, NULL, NULL), PL_OK);
    for (size_t len = 0; len < text.len; len++) {
        char *copy = exact_copy(pl_str_n(text.ptr, len));
        size_t offset;

        ck_assert_int_eq(json_check(pl_str_n(copy, len), 64, &offset, NULL), PL_ERR_INVALID_JSON);
        ck_assert_uint_le(offset, len);
        free(copy);
    }
}
END_TEST

static const struct {
    const char *text;
    size_t offset;
    const char *message;
} faults[] = {
    {"", 0, "expected a value but the text ends (at byte 0)"},
    {"[1, x]", 4, "expected a value but found 'x' (at byte 4)"},
    {"[1 2]", 3, "expected ',' or ']' but found '2' (at byte 3)"},
    {"{\"a\" 1}", 5, "expected ':' after the key but found '1' (at byte 5)"},
    {"{\"a\":1,}", 7, "expected a key in double quotes but found '}' (at byte 7)"},
    {"[1] x", 4, "expected nothing after the value but found 'x' (at byte 4)"},
    {"  \"abc", 2, "the string that begins here has no end (at byte 2)"},
    {"[\"a\nb\"]", 3, "the control character 0x0a in a string must be escaped (at byte 3)"},
    {"\"\\ud83d\"", 1, "\\ud83d is half of a surrogate pair without the other half (at byte 1)"},
    {"\"ab\xFF\"", 3, "invalid UTF-8 in a string (at byte 3)"},
    {"[-x]", 2, "expected a digit but found 'x' (at byte 2)"},
    {"[01]", 1, "a number must not begin with 0 (at byte 1)"},
    {"{\"a\":1, \"a\":2}", 8, "the key \"a\" is in the object twice (at byte 8)"},
    {"\xEF\xBB\xBF{}", 0, "a byte order mark is not allowed (at byte 0)"},
    {"[\xE2\x82\xAC]", 1, "expected a value but found '\xE2\x82\xAC' (at byte 1)"},
};

START_TEST(a_fault_is_told_where_it_is)
{
    struct pl_err err;
    size_t offset;

    ck_assert_int_eq(json_check(pl_str(faults[_i].text), 64, &offset, &err), PL_ERR_INVALID_JSON);
    ck_assert_str_eq(err.message, faults[_i].message);
    ck_assert_uint_eq(offset, faults[_i].offset);
}
END_TEST

static enum pl_code check_nested(const char *open, const char *close, size_t depth, unsigned max)
{
    char *before = test_repeat(open, depth), *after = test_repeat(close, depth);
    struct pl_buf text;
    enum pl_code code;

    pl_buf_init(&text, 64 << 20);
    pl_buf_text(&text, before);
    pl_buf_char(&text, '1');
    pl_buf_text(&text, after);
    code = json_check(pl_buf_view(&text), max, NULL, NULL);
    pl_buf_finish(&text);
    free(before);
    free(after);
    return code;
}

START_TEST(nesting_is_allowed_to_the_limit_and_no_deeper)
{
    ck_assert_int_eq(check_nested("[", "]", 64, 64), PL_OK);
    ck_assert_int_eq(check_nested("[", "]", 65, 64), PL_ERR_INVALID_JSON);
    ck_assert_int_eq(check_nested("{\"a\":", "}", 64, 64), PL_OK);
    ck_assert_int_eq(check_nested("{\"a\":", "}", 65, 64), PL_ERR_INVALID_JSON);
    ck_assert_int_eq(check_nested("[{\"a\":", "}]", 128, 256), PL_OK);
    ck_assert_int_eq(check_nested("[{\"a\":", "}]", 129, 100000), PL_ERR_INVALID_JSON);
    ck_assert_int_eq(check_nested("[", "]", 0, 0), PL_OK);
    ck_assert_int_eq(check_nested("[", "]", 1, 0), PL_ERR_INVALID_JSON);
    ck_assert_int_eq(check_nested("[", "]", 1000000, 64), PL_ERR_INVALID_JSON);
}
END_TEST

static void write_keys(struct pl_buf *text, int keys, int twice)
{
    pl_buf_reset(text);
    json_object_begin(text);
    for (int i = 0; i < keys; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key%d", i);
        json_add_int(text, key, i);
        if (i % 5 == 0) { /* objects inside must not disturb the outer keys */
            snprintf(key, sizeof(key), "o%d", i);
            json_add_raw(text, key, PL_STR("{\"key0\":{\"key0\":1},\"key1\":[]}"));
        }
    }
    if (twice >= 0) {
        char key[32];

        snprintf(key, sizeof(key), "key%d", twice);
        json_add_null(text, key);
    }
    json_object_end(text);
}

START_TEST(a_key_that_comes_again_is_found_among_any_number)
{
    struct pl_buf text;

    pl_buf_init(&text, 64 << 20);
    for (int keys = 1; keys < 200; keys += keys < 40 ? 1 : 13) {
        write_keys(&text, keys, -1);
        ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_OK);
        for (int twice = 0; twice < keys; twice += 1 + keys / 7) {
            write_keys(&text, keys, twice);
            ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_ERR_INVALID_JSON);
        }
    }
    pl_buf_finish(&text);
}
END_TEST

/* The time of a thread, so that a busy machine does not matter. */
static double cpu_seconds(void)
{
    struct timespec at;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

START_TEST(an_object_of_a_hundred_thousand_keys_is_not_quadratic)
{
    struct pl_buf text;
    double start;

    pl_buf_init(&text, 64 << 20);
    write_keys(&text, 100000, -1);
    start = cpu_seconds();
    ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_OK);
    ck_assert_double_lt(cpu_seconds() - start, 5.0); /* comparing each with each takes minutes */
    write_keys(&text, 100000, 77777);
    ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_ERR_INVALID_JSON);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(large_objects_inside_each_other_are_kept_apart)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 20);
    for (int level = 0; level < 5; level++) {
        for (int i = 0; i < 40; i++)
            pl_buf_printf(&text, "%s\"k%d\":%d,", i ? "" : "{", i, i);
        pl_buf_text(&text, "\"in\":");
    }
    pl_buf_text(&text, "1}}}}}");
    ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_OK);
    text.len -= 1;
    pl_buf_text(&text, ",\"k39\":1}");
    ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_ERR_INVALID_JSON);
    text.len -= 20; /* cut with tables open: nothing may leak */
    ck_assert_int_eq(json_check(pl_buf_view(&text), 64, NULL, NULL), PL_ERR_INVALID_JSON);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(the_reader_gives_each_token_and_where_it_began)
{
    static const struct {
        enum json_token token;
        size_t offset;
        const char *text;
    } expected[] = {
        {JSON_TOKEN_OBJECT_BEGIN, 1, NULL},  {JSON_TOKEN_KEY, 2, "\"a\""},
        {JSON_TOKEN_ARRAY_BEGIN, 8, NULL},   {JSON_TOKEN_NUMBER, 9, "-1.5e3"},
        {JSON_TOKEN_STRING, 17, "\"\\n\""},  {JSON_TOKEN_TRUE, 22, NULL},
        {JSON_TOKEN_FALSE, 27, NULL},        {JSON_TOKEN_NULL, 33, NULL},
        {JSON_TOKEN_ARRAY_END, 38, NULL},    {JSON_TOKEN_KEY, 40, "\"b\""},
        {JSON_TOKEN_OBJECT_BEGIN, 44, NULL}, {JSON_TOKEN_OBJECT_END, 45, NULL},
        {JSON_TOKEN_OBJECT_END, 46, NULL},   {JSON_TOKEN_END, 48, NULL},
        {JSON_TOKEN_END, 48, NULL},
    };
    struct json_reader reader;

    json_reader_init(&reader, PL_STR(" {\"a\" : [-1.5e3, \"\\n\",true,false,null ],\"b\":{}} "), 8);
    for (size_t i = 0; i < PL_ARRAY_LEN(expected); i++) {
        ck_assert_int_eq(json_reader_next(&reader), expected[i].token);
        if (expected[i].token != JSON_TOKEN_END)
            ck_assert_uint_eq(reader.token_offset, expected[i].offset);
        if (expected[i].text)
            ck_assert_str_eq(test_str(reader.text), expected[i].text);
    }
}
END_TEST

START_TEST(a_reader_that_failed_stays_failed)
{
    struct json_reader reader;

    json_reader_init(&reader, PL_STR("[1,}"), 8);
    ck_assert_int_eq(json_reader_next(&reader), JSON_TOKEN_ARRAY_BEGIN);
    ck_assert_int_eq(json_reader_next(&reader), JSON_TOKEN_NUMBER);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(json_reader_next(&reader), JSON_TOKEN_ERROR);
        ck_assert_uint_eq(reader.offset, 3);
        ck_assert_int_eq(reader.err.code, PL_ERR_INVALID_JSON);
    }
}
END_TEST

START_TEST(no_text_at_all_is_refused_not_read)
{
    struct json_reader reader;

    json_reader_init(&reader, (struct pl_str){0}, 8);
    ck_assert_int_eq(json_reader_next(&reader), JSON_TOKEN_ERROR);
    ck_assert_int_eq(json_check((struct pl_str){0}, 8, NULL, NULL), PL_ERR_INVALID_JSON);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/json strict");
    TCase *tcase = tcase_create("strict");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_valid_text_is_accepted, 0, PL_ARRAY_LEN(good));
    tcase_add_loop_test(tcase, an_invalid_text_is_refused_with_a_place_and_a_reason, 0,
                        PL_ARRAY_LEN(bad));
    tcase_add_test(tcase, every_cut_of_a_valid_text_is_refused);
    tcase_add_loop_test(tcase, a_fault_is_told_where_it_is, 0, PL_ARRAY_LEN(faults));
    tcase_add_test(tcase, nesting_is_allowed_to_the_limit_and_no_deeper);
    tcase_add_test(tcase, a_key_that_comes_again_is_found_among_any_number);
    tcase_add_test(tcase, an_object_of_a_hundred_thousand_keys_is_not_quadratic);
    tcase_add_test(tcase, large_objects_inside_each_other_are_kept_apart);
    tcase_add_test(tcase, the_reader_gives_each_token_and_where_it_began);
    tcase_add_test(tcase, a_reader_that_failed_stays_failed);
    tcase_add_test(tcase, no_text_at_all_is_refused_not_read);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
