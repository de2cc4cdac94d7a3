/* test_json_write.c - JSON written: strings, layouts, numbers, piece by piece; and trees of cJSON.
 * Run by ctest. */
#include "base/json.h"
#include "tests/support/text.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct pl_buf out;

static void setup(void)
{
    pl_buf_init(&out, 1 << 20);
}

static void teardown(void)
{
    pl_buf_finish(&out);
}

static const struct {
    const char *text, *json;
} strings[] = {
    {"", "\"\""},
    {"plain text that is longer than eight", "\"plain text that is longer than eight\""},
    {"\"\\/", "\"\\\"\\\\/\""},
    {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
    {"\x01\x1F\x7F", "\"\\u0001\\u001f\x7F\""},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
    {"a\xC3\xA9\nb\"", "\"a\xC3\xA9\\nb\\\"\""},
    {"\xFF", "\"\xEF\xBF\xBD\""},
    {"a\xC3(b", "\"a\xEF\xBF\xBD(b\""},
    {"\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"\xC0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
};

START_TEST(any_text_becomes_a_valid_string)
{
    json_write_string(&out, pl_str(strings[_i].text));
    ck_assert_str_eq(test_text(&out), strings[_i].json);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 1, NULL, NULL), PL_OK);
}
END_TEST

START_TEST(every_byte_at_every_place_becomes_a_valid_string)
{
    for (int byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < 12; place++) {
            char text[12];

            memset(text, 'x', sizeof(text));
            text[place] = (char)byte;
            pl_buf_reset(&out);
            json_write_string(&out, pl_str_n(text, sizeof(text)));
            ck_assert_int_eq(json_check(pl_buf_view(&out), 1, NULL, NULL), PL_OK);
        }
    }
}
END_TEST

START_TEST(compact_drops_space_between_tokens_only)
{
    json_write_compact(&out, PL_STR(" { \"a b\" : [ 1.50 , \"x \\\" y\" ] ,\n\t\"c\" : { } } "));
    ck_assert_str_eq(test_text(&out), "{\"a b\":[1.50,\"x \\\" y\"],\"c\":{}}");
    pl_buf_reset(&out);
    json_write_compact(&out, PL_STR(" 12345678901234567890.10e+5 "));
    ck_assert_str_eq(test_text(&out), "12345678901234567890.10e+5");
}
END_TEST

START_TEST(pretty_indents_by_two)
{
    json_write_pretty(&out, PL_STR("{\"a\":[1,{\"b\":[ ]},\"x,{\"],\"c\":{ },\"d\":null}"));
    ck_assert_str_eq(test_text(&out),
                     "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    },\n    \"x,{\"\n  ],\n"
                     "  \"c\": {},\n  \"d\": null\n}");
    pl_buf_reset(&out);
    json_write_pretty(&out, PL_STR(" 7 "));
    ck_assert_str_eq(test_text(&out), "7");
}
END_TEST

static const struct {
    double number;
    const char *text;
} doubles[] = {
    {0, "0"},
    {1, "1"},
    {-17, "-17"},
    {0.1, "0.1"},
    {0.5, "0.5"},
    {1e15, "1000000000000000"},
    {9007199254740991, "9007199254740991"},
    {9007199254740992, "9007199254740992"},
    {-9007199254740992, "-9007199254740992"},
    {1e21, "1e+21"},
    {1.0 / 3, "0.3333333333333333"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1e-7, "1e-07"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {5e-324, "4.94065645841247e-324"},
    {INFINITY, "null"},
    {-INFINITY, "null"},
    {NAN, "null"},
};

START_TEST(doubles_are_short_and_read_back_the_same)
{
    json_write_double(&out, doubles[_i].number);
    ck_assert_str_eq(test_text(&out), doubles[_i].text);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 1, NULL, NULL), PL_OK);
    if (isfinite(doubles[_i].number))
        ck_assert_double_eq(json_number(pl_buf_view(&out)), doubles[_i].number);
}
END_TEST

START_TEST(minus_zero_is_written_as_such)
{
    json_write_double(&out, -0.0);
    ck_assert(signbit(json_number(pl_buf_view(&out))));
}
END_TEST

START_TEST(random_doubles_read_back_the_same)
{
    uint64_t bits = 88172645463325252u;

    for (int i = 0; i < 20000; i++) {
        double number;

        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number))
            continue;
        pl_buf_reset(&out);
        json_write_double(&out, number);
        ck_assert_double_eq(json_number(pl_buf_view(&out)), number);
    }
}
END_TEST

START_TEST(pieces_get_their_commas)
{
    json_object_begin(&out);
    json_add_string(&out, "s", PL_STR("x,"));
    json_add_int(&out, "i", -5);
    json_add_double(&out, "d", 1.5);
    json_add_bool(&out, "t", true);
    json_add_bool(&out, "f", false);
    json_add_null(&out, "n");
    json_add_raw(&out, "r", PL_STR(" [1] "));
    json_add_raw(&out, "e", (struct pl_str){0});
    json_key(&out, "o");
    json_object_begin(&out);
    json_object_end(&out);
    json_key(&out, "a");
    json_array_begin(&out);
    json_object_begin(&out);
    json_object_end(&out);
    json_array_begin(&out);
    json_array_end(&out);
    json_comma(&out);
    json_write_string(&out, PL_STR("{"));
    json_comma(&out);
    json_object_begin(&out);
    json_add_int(&out, "q\"", 1);
    json_object_end(&out);
    json_array_end(&out);
    json_object_end(&out);
    ck_assert_str_eq(
        test_text(&out),
        "{\"s\":\"x,\",\"i\":-5,\"d\":1.5,\"t\":true,\"f\":false,\"n\":null,\"r\":[1],\"e\":null,"
        "\"o\":{},\"a\":[{},[],\"{\",{\"q\\\"\":1}]}");
    ck_assert_int_eq(json_check(pl_buf_view(&out), 8, NULL, NULL), PL_OK);
}
END_TEST

START_TEST(an_object_may_follow_other_text)
{
    pl_buf_text(&out, "data: ");
    json_object_begin(&out);
    json_object_end(&out);
    pl_buf_char(&out, '\n');
    json_object_begin(&out);
    json_object_end(&out);
    ck_assert_str_eq(test_text(&out), "data: {}\n{}");
}
END_TEST

/* ---- the door to cJSON ---- */

static const char *reprint(const char *json)
{
    static char text[65536];
    cJSON *tree = NULL;
    struct pl_err err;
    char *printed;

    if (json_parse(pl_str(json), 64, &tree, &err))
        return "refused";
    printed = cJSON_PrintUnformatted(tree);
    ck_assert_ptr_nonnull(printed);
    snprintf(text, sizeof(text), "%s", printed);
    cJSON_free(printed);
    cJSON_Delete(tree);
    return text;
}

static const char *const kept[] = {
    "9007199254740993",
    "-9007199254740993",
    "9007199254740991",
    "9007199254740992",
    "100000000000000000000",
    "18446744073709551615",
    "1e400",
    "-1e400",
    "1e-400",
    "3.14159265358979323846264338327950288",
    "0.1",
    "1234567890123456",
    "123.456",
    "-5",
    "[1,\"two\",null,true,false,{\"a\":{\"b\":[]}}]",
    "{\"\":1,\"a\":1,\"A\":2}",
    "{\"k\":12345678901234567890,\"n\":[0.1,99999999999999999999]}",
    "\"\"",
    "[]",
    "{}",
    "\"\xF0\x9F\x98\x80\"",
};

START_TEST(trees_print_what_was_read)
{
    ck_assert_str_eq(reprint(kept[_i]), kept[_i]);
}
END_TEST

START_TEST(numbers_of_any_length_are_read)
{
    char *digits = test_repeat("1234567890", 1000);

    ck_assert_str_eq(reprint(digits), digits);
    ck_assert_str_eq(
        reprint("0.00000000000000000000000000000000000000000000000000000000000000000000001"),
        "1e-71");
    free(digits);
}
END_TEST

START_TEST(reprinted_numbers_are_equal_by_value)
{
    static const char *const texts[] = {"1.0",
                                        "1e2",
                                        "1E-2",
                                        "-0.0",
                                        "0.30000000000000004",
                                        "1e20",
                                        "4503599627370497.5",
                                        "8999999999999998",
                                        "1e300",
                                        "2.5e-8",
                                        "123456789012345.67"};

    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++)
        ck_assert_msg(json_equal(pl_str(reprint(texts[i])), pl_str(texts[i])), "%s", texts[i]);
}
END_TEST

START_TEST(numbers_past_what_a_double_holds_are_raw_nodes)
{
    cJSON *tree = NULL;

    ck_assert_int_eq(
        json_parse(PL_STR("[1, 9007199254740993, 1e400, 0.1, 9007199254740994]"), 8, &tree, NULL),
        PL_OK);
    ck_assert(cJSON_IsNumber(cJSON_GetArrayItem(tree, 0)));
    ck_assert(cJSON_IsRaw(cJSON_GetArrayItem(tree, 1)));
    ck_assert(cJSON_IsRaw(cJSON_GetArrayItem(tree, 2)));
    ck_assert(cJSON_IsNumber(cJSON_GetArrayItem(tree, 3)));
    ck_assert(cJSON_IsRaw(cJSON_GetArrayItem(tree, 4)));
    cJSON_Delete(tree);
}
END_TEST

START_TEST(members_of_trees_are_read_by_exact_name_and_kind)
{
    const struct pl_str json = PL_STR("{\"s\":\"x\\ty\",\"S\":1,\"n\":5,\"neg\":-5,\"big\":"
                                      "9007199254740993,\"f\":2.9,\"z\":null}");
    cJSON *tree = NULL;

    ck_assert_int_eq(json_parse(json, 8, &tree, NULL), PL_OK);
    ck_assert_str_eq(json_member_string(tree, "s"), "x\ty");
    ck_assert_ptr_null(json_member_string(tree, "S"));
    ck_assert_ptr_null(json_member(tree, "N"));
    ck_assert_ptr_nonnull(json_member(tree, "z"));
    ck_assert_ptr_null(json_member(NULL, "s"));
    ck_assert_ptr_null(json_member(json_member(tree, "s"), "s"));
    ck_assert_int_eq(json_member_count(tree, "n", 7), 5);
    ck_assert_int_eq(json_member_count(tree, "neg", 7), 7);
    ck_assert_int_eq(json_member_count(tree, "big", 7), 9007199254740993);
    ck_assert_int_eq(json_member_count(tree, "f", 7), 2);
    ck_assert_int_eq(json_member_count(tree, "s", 7), 7);
    ck_assert_int_eq(json_member_count(tree, "none", 7), 7);
    cJSON_Delete(tree);
}
END_TEST

/* ---- memory that runs out ---- */

static size_t allocations_left;

static void *counted_malloc(size_t size)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(size);
}

START_TEST(a_tree_that_finds_no_memory_is_no_tree_and_leaks_nothing)
{
    cJSON_Hooks hooks = {.malloc_fn = counted_malloc, .free_fn = free};
    const struct pl_str json =
        PL_STR("{\"a\":[1,\"x\",12345678901234567890,{\"b\":null}],\"c\":{\"d\":\"e\"}}");
    enum pl_code code = PL_ERR_NO_MEMORY;
    struct pl_err err;
    size_t tries = 0;

    cJSON_InitHooks(&hooks);
    for (; code && tries < 100; tries++) {
        cJSON *tree = NULL;

        allocations_left = tries;
        code = json_parse(json, 8, &tree, &err);
        ck_assert(code == PL_OK || code == PL_ERR_NO_MEMORY);
        ck_assert((code == PL_OK) == (tree != NULL));
        cJSON_Delete(tree);
    }
    cJSON_InitHooks(NULL);
    ck_assert_uint_gt(tries, 10);
    ck_assert_int_eq(code, PL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/json write");
    TCase *tcase = tcase_create("write");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, any_text_becomes_a_valid_string, 0, PL_ARRAY_LEN(strings));
    tcase_add_test(tcase, every_byte_at_every_place_becomes_a_valid_string);
    tcase_add_test(tcase, compact_drops_space_between_tokens_only);
    tcase_add_test(tcase, pretty_indents_by_two);
    tcase_add_loop_test(tcase, doubles_are_short_and_read_back_the_same, 0, PL_ARRAY_LEN(doubles));
    tcase_add_test(tcase, minus_zero_is_written_as_such);
    tcase_add_test(tcase, random_doubles_read_back_the_same);
    tcase_add_test(tcase, pieces_get_their_commas);
    tcase_add_test(tcase, an_object_may_follow_other_text);
    tcase_add_loop_test(tcase, trees_print_what_was_read, 0, PL_ARRAY_LEN(kept));
    tcase_add_test(tcase, numbers_of_any_length_are_read);
    tcase_add_test(tcase, reprinted_numbers_are_equal_by_value);
    tcase_add_test(tcase, numbers_past_what_a_double_holds_are_raw_nodes);
    tcase_add_test(tcase, members_of_trees_are_read_by_exact_name_and_kind);
    tcase_add_test(tcase, a_tree_that_finds_no_memory_is_no_tree_and_leaks_nothing);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
