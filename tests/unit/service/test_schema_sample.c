/* test_schema_sample.c - values made up for schemas: that they fit, what they look like, and that
 * there is an end to looking for one. Run by ctest. */
#include "base/json.h"
#include "service/schema/schema_sample.h"
#include "tests/support/schema_fixture.h"

#include <stdlib.h>

static struct pl_buf out;

static void set_up(void)
{
    setup();
    pl_buf_init(&out, 1 << 20);
}

static void tear_down(void)
{
    pl_buf_finish(&out);
    teardown();
}

/* The value made up, which is checked to fit. */
static const char *sample(const char *yaml, const char *echo)
{
    const struct schema *schema = good(yaml, NULL);
    struct pl_str filled;
    struct pl_err err = {0};

    pl_buf_reset(&out);
    doc_problems_init(&problems, arena);
    ck_assert_msg(schema_sample_write(schema, pl_str(echo), &out, &err) == PL_OK, "%s: %s", yaml,
                  err.message);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 64, NULL, NULL), PL_OK);
    ck_assert_msg(schema_apply(schema, arena, pl_buf_view(&out), &filled, &problems) == PL_OK,
                  "%s: %s", yaml, out.data);
    return out.data;
}

START_TEST(values_look_as_the_schema_says)
{
    static const struct {
        const char *schema, *value;
    } cases[] = {
        {"true", "\"hello\""},
        {"type: string", "\"hello\""},
        {"{type: string, maxLength: 3}", "\"hel\""},
        {"{type: string, minLength: 8}", "\"helloxxx\""},
        {"type: integer", "1"},
        {"{type: integer, minimum: 18, maximum: 20}", "18"},
        {"{type: integer, exclusiveMinimum: 18}", "19"},
        {"{type: integer, maximum: -4}", "-4"},
        {"{type: integer, minimum: 9007199254740993, maximum: 9007199254740993}",
         "9007199254740993"},
        {"{type: number, exclusiveMinimum: 0, exclusiveMaximum: 1}", "0.5"},
        {"{type: number, multipleOf: 0.01, minimum: 0.105}", "0.11"},
        {"{multipleOf: 7, minimum: 50}", "56"},
        {"type: boolean", "true"},
        {"type: 'null'", "null"},
        {"enum: [red, green]", "\"red\""},
        {"{enum: [red, green, 5], type: integer}", "5"},
        {"const: {a: [1]}", "{\"a\":[1]}"},
        {"{type: string, format: date}", "\"2024-01-31\""},
        {"{type: string, pattern: '^[A-Z]{2}-\\d+$'}", "\"AA-0\""},
        {"{type: string, pattern: '^(yes|no)$', minLength: 1}", "\"yes\""},
        {"{type: string, pattern: 'ell'}", "\"hello\""},
        {"{type: array, items: {type: integer}}", "[1]"},
        {"{type: array, items: {type: integer}, minItems: 3, uniqueItems: true}", "[1,2,3]"},
        {"{items: {enum: [a, b, c]}, minItems: 3, uniqueItems: true}", "[\"a\",\"b\",\"c\"]"},
        {"{type: array, maxItems: 0, items: {}}", "[]"},
        {"prefixItems: [{type: integer}, {type: string}]", "[1,\"hello\"]"},
        {"{contains: {type: integer}, minContains: 2}", "[1,1]"},
        {"{type: object, properties: {a: {type: string}, b: {type: integer}}, required: [b]}",
         "{\"a\":\"hello\",\"b\":1}"},
        {"{type: object, properties: {a: {}, b: {}}, required: [b], maxProperties: 1}",
         "{\"b\":\"hello\"}"},
        {"{type: object, required: [x], additionalProperties: {type: integer}}", "{\"x\":1}"},
        {"{type: object, minProperties: 2, additionalProperties: {type: boolean}}",
         "{\"key1\":true,\"key2\":false}"},
        {"{properties: {a: {}}, dependentRequired: {a: [b]}}", "{\"a\":\"hello\",\"b\":\"hello\"}"},
        {"oneOf: [{type: string, maxLength: 0}, {type: integer, minimum: 3}]", "\"\""},
        {"{anyOf: [{minimum: 5}], type: integer}", "5"},
        {"{allOf: [{type: object, required: [a]}, {properties: {a: {const: 1}}}]}", "{\"a\":1}"},
        {"{properties: {k: {enum: [x, y]}}, required: [k], if: {properties: {k: {const: x}}}, "
         "then: {required: [n], properties: {n: {type: integer}}}}",
         "{\"k\":\"x\",\"n\":1}"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        const char *value = sample(cases[i].schema, "hello");

        ck_assert_msg(!strcmp(value, cases[i].value), "%s: %s", cases[i].schema, value);
    }
}
END_TEST

/* Whatever they look like, they fit: sample() says so. */
START_TEST(values_fit_where_keywords_meet)
{
    static const char *const schemas[] = {
        "{oneOf: [{minLength: 2}, {maxLength: 4}], type: string}",
        "{not: {type: string}}",
        "{not: {enum: ['', 1, true]}}",
        "{type: string, pattern: '^(?=.*\\d)(?=.*[a-z]).{6,}$'}",
        "{type: string, pattern: '^[0-9a-f]{8}-[0-9a-f]{4}$'}",
        "{type: string, pattern: '^\\S+@\\S+\\.\\S+$'}",
        "{patternProperties: {'^x-': {type: integer}}, additionalProperties: false, minProperties: "
        "2}",
        "{propertyNames: {pattern: '^[a-c]{2}$'}, minProperties: 3, type: object}",
        "{properties: {a: true}, unevaluatedProperties: false, allOf: [{properties: {b: {type: "
        "integer}}}], required: [b]}",
        "{prefixItems: [{type: string}], items: {type: integer}, contains: {minimum: 5}, type: "
        "array}",
        "{type: array, items: {type: object, properties: {id: {type: integer}}, required: [id]}, "
        "minItems: 3, uniqueItems: true}",
        "{type: array, items: {type: boolean}, minItems: 2, uniqueItems: true}",
        "{type: array, contains: {const: x}, maxContains: 1, minItems: 3, uniqueItems: true}",
        "{type: object, properties: {a: {}}, dependentSchemas: {a: {required: [c], properties: {c: "
        "{type: integer}}}}}",
        "{type: object, properties: {a: {}}, dependentSchemas: {a: false}}",
        "{oneOf: [{properties: {kind: {const: a}}, required: [kind, x]}, {properties: {kind: "
        "{const: b}}, required: [kind]}], type: object}",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(schemas); i++)
        (void)sample(schemas[i], "hello");
    for (size_t i = 0; i < PL_ARRAY_LEN(schemas); i++)
        (void)sample(schemas[i], "");
}
END_TEST

START_TEST(recursion_comes_to_an_end)
{
    static const char *const schemas[] = {
        "{type: object, properties: {value: {type: integer}, next: {$ref: '#'}}}",
        "{type: object, properties: {value: {}, children: {type: array, items: {$ref: '#'}}}, "
        "required: [value, children]}",
        "{$ref: '#/$defs/expr', $defs: {expr: {oneOf: [{type: object, required: [left, right], "
        "properties: {left: {$ref: '#/$defs/expr'}, right: {$ref: '#/$defs/expr'}}}, {type: "
        "integer}]}}}",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(schemas); i++) {
        (void)sample(schemas[i], "x");
        ck_assert_uint_lt(out.len, 100000);
    }
}
END_TEST

START_TEST(what_cannot_be_is_an_error_and_leaves_the_buffer_alone)
{
    static const char *const schemas[] = {
        "false",
        "allOf: [{type: string}, {type: integer}]",
        "{type: string, minLength: 5, maxLength: 4}",
        "{type: string, pattern: '^a$', minLength: 2}",
        "{type: array, items: {enum: [1, 2]}, minItems: 3, uniqueItems: true}",
        "{type: object, required: [next], properties: {next: {$ref: '#'}}}",
        "{type: object, required: [a, b], properties: {a: {$ref: '#'}, b: {$ref: '#'}}}",
        "{type: array, minItems: 2, items: {anyOf: [{$ref: '#'}, {minItems: 1, $ref: '#'}]}}",
        "{type: array, minItems: 100000000}",
    };
    struct pl_err err;

    for (size_t i = 0; i < PL_ARRAY_LEN(schemas); i++) {
        pl_buf_reset(&out);
        pl_buf_text(&out, "before");
        ck_assert_msg(schema_sample_write(good(schemas[i], NULL), PL_STR("x"), &out, &err) ==
                          PL_ERR_INVALID_INPUT,
                      "%s: %s", schemas[i], out.data);
        ck_assert_str_eq(out.data, "before");
    }
}
END_TEST

START_TEST(a_value_larger_than_the_buffer_is_too_large)
{
    struct pl_buf small;
    struct pl_err err;

    pl_buf_init(&small, 20);
    pl_buf_text(&small, "before");
    ck_assert_int_eq(
        schema_sample_write(good("{type: string, minLength: 30}", NULL), PL_STR("x"), &small, &err),
        PL_ERR_TOO_LARGE);
    ck_assert_str_eq(small.data, "before");
    ck_assert(!pl_buf_failed(&small));
    pl_buf_finish(&small);
}
END_TEST

START_TEST(the_echo_may_be_any_text)
{
    ck_assert_str_eq(sample("type: string", "a\"b\n\xC3\xA9"), "\"a\\\"b\\n\xC3\xA9\"");
    ck_assert_str_eq(sample("{type: string, maxLength: 1}", "\xC3\xA9x"), "\"\xC3\xA9\"");
    ck_assert_str_eq(sample("type: string", "\xFF"), "\"\xEF\xBF\xBD\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema_sample");
    TCase *tests = tcase_create("schema_sample");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, values_look_as_the_schema_says);
    tcase_add_test(tests, values_fit_where_keywords_meet);
    tcase_add_test(tests, recursion_comes_to_an_end);
    tcase_add_test(tests, what_cannot_be_is_an_error_and_leaves_the_buffer_alone);
    tcase_add_test(tests, a_value_larger_than_the_buffer_is_too_large);
    tcase_add_test(tests, the_echo_may_be_any_text);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
