/* test_schema_members.c - keywords about what is in a list or an object, and about what none of
 * them looked at: what is said of a value that does not fit. That they judge right is the business
 * of tests/schema. Also: hostile values and schemas, and memory that runs out. Run by ctest. */
#include "base/json.h"
#include "service/schema/schema_sample.h"
#include "tests/support/schema_fixture.h"
#include "tests/support/text.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(what_does_not_fit_is_said_with_its_place)
{
    static const struct {
        const char *schema, *json;
        const char *pointer, *message; /* NULL: it fits */
    } cases[] = {
        {"prefixItems: [{type: string}, {type: integer}]", "[\"a\", 1, {}]", NULL, NULL},
        {"prefixItems: [{type: string}, {type: integer}]", "[\"a\", \"b\"]", "/1",
         "[1]: expected an integer, got a string"},
        {"{prefixItems: [{}], items: {type: integer}}", "[\"a\", \"b\"]", "/1",
         "[1]: expected an integer, got a string"},
        {"{prefixItems: [{}], items: false}", "[1, 2]", "/1",
         "[1]: there may be at most 1 elements"},
        {"contains: {const: 5}", "[1]", "",
         "must have at least 1 elements that fit 'contains', has 0"},
        {"{contains: {const: 5}, maxContains: 1}", "[5, 5.0]", "",
         "must have at most 1 elements that fit 'contains', has 2"},
        {"{contains: {const: 5}, minContains: 0}", "[]", NULL, NULL},
        {"{patternProperties: {'^n': {type: integer}}, additionalProperties: false}",
         "{\"n1\":1,\"n2\":\"x\"}", "/n2", "n2: expected an integer, got a string"},
        {"{patternProperties: {'^n': {}}, properties: {abc: {}}, additionalProperties: false}",
         "{\"acb\":1}", "/acb", "acb: unknown property; did you mean 'abc'?"},
        {"propertyNames: {maxLength: 2}", "{\"abc\":1}", "/abc",
         "abc: no property may have this name; of the name:"},
        {"propertyNames: false", "{\"abc\":1}", "/abc", "abc: unknown property"},
        {"dependentRequired: {card: [address]}", "{\"card\":1}", "",
         "the property 'address' is required beside 'card', but missing"},
        {"dependentSchemas: {card: {required: [address]}}", "{\"card\":1}", "",
         "the property 'address' is required, but missing"},
        {"dependentSchemas: {card: {required: [address]}}", "{}", NULL, NULL},
        {"{if: {properties: {k: {const: a}}}, then: {required: [x]}, else: {required: [y]}}",
         "{\"k\":\"a\"}", "", "the property 'x' is required, but missing"},
        {"{if: {properties: {k: {const: a}}}, then: {required: [x]}, else: {required: [y]}}",
         "{\"k\":\"b\"}", "", "the property 'y' is required, but missing"},
        {"{allOf: [{properties: {a: {}}}], unevaluatedProperties: false}", "{\"a\":1,\"b\":2}",
         "/b", "b: unknown property"},
        {"{allOf: [{properties: {a: {}}}], unevaluatedProperties: {type: string}}", "{\"b\":2}",
         "/b", "b: expected a string, got the number 2"},
        {"{anyOf: [{prefixItems: [{type: integer}]}], unevaluatedItems: false}", "[1,2]", "/1",
         "[1]: one element too many"},
        {"{anyOf: [{properties: {a: {const: 1}}, required: [a]}, {properties: {b: {}}}], "
         "unevaluatedProperties: false}",
         "{\"a\":2,\"b\":1}", "/a", "a: unknown property"},
        {"anyOf: [{properties: {a: {items: {type: string}}}}, {type: 'null'}]", "{\"a\":[1]}", "",
         "fits none of the alternatives of anyOf: (1) a[0]: expected a string, got the number 1; "
         "(2) expected null, got an object"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        bool fit = fits(good(cases[i].schema, NULL), cases[i].json);

        ck_assert_msg(fit == !cases[i].message, "%s: %s", cases[i].schema, cases[i].json);
        if (fit)
            continue;
        ck_assert_str_eq(problems.items[0].message, cases[i].message);
        ck_assert_str_eq(problems.items[0].pointer, cases[i].pointer);
    }
}
END_TEST

/* A matcher that goes back would need more time than there is for each of these. */
START_TEST(no_text_makes_a_pattern_slow)
{
    static const char *const patterns[] = {"^(a+)+$", "^(a|aa)*$", "^(.*)*x$", "(a?){30}a{30}$",
                                           "^(?=(a+)+$)(?!(a|a)*b)"};
    char *many = test_repeat("a", 200000), *json = NULL;

    ck_assert_int_gt(asprintf(&json, "\"%s!\"", many), 0);
    for (size_t i = 0; i < PL_ARRAY_LEN(patterns); i++) {
        char *schema = pl_arena_printf(arena, "pattern: '%s'", patterns[i]);

        ck_assert_msg(!fits(good(schema, NULL), json), "%s", patterns[i]);
        ck_assert_ptr_nonnull(strstr(problems.items[0].message, "does not match"));
    }
    free(json);
    free(many);
}
END_TEST

START_TEST(a_pattern_that_takes_too_much_work_is_stopped)
{
    char *many = test_repeat("ab", 50000), *json = NULL;

    ck_assert_int_gt(asprintf(&json, "\"%s\"", many), 0);
    ck_assert(!fits(good("pattern: '(.{0,40}){40}c'", NULL), json));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "too much work"));
    free(json);
    free(many);
}
END_TEST

/* As deep as JSON of ours goes, each level by way of alternatives that have to say why not. */
START_TEST(deep_values_need_no_deep_stack)
{
    struct schema *schema = good("{$ref: '#/$defs/a', $defs: {a: {anyOf: [{type: 'null'}, {allOf: "
                                 "[{type: array, items: {$ref: '#/$defs/a'}}]}]}}}",
                                 NULL);
    char *open = test_repeat("[", 250), *close = test_repeat("]", 250), *json = NULL;

    ck_assert_int_gt(asprintf(&json, "%s1%s", open, close), 0);
    ck_assert(!fits(schema, json));
    free(open);
    free(close);
    free(json);
    open = test_repeat("[", 64);
    close = test_repeat("]", 64);
    ck_assert_int_gt(asprintf(&json, "%s1%s", open, close), 0);
    ck_assert(!fits(schema, json));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "fits none of the alternatives"));
    free(open);
    free(close);
    free(json);
}
END_TEST

/* An arena that holds ever more: each failure is out of memory and nothing else. */
START_TEST(memory_that_runs_out_is_no_verdict)
{
    static const char yaml[] =
        "{$id: 'http://example.com/a', type: object, properties: {a: {$ref: '#/$defs/x'}, b: "
        "{pattern: '^(a|b)+$', default: ab}, c: {prefixItems: [{anyOf: [{type: string}, {enum: "
        "[1]}]}], "
        "contains: {const: 1}, uniqueItems: true}}, dependentSchemas: {a: {required: [c]}}, "
        "unevaluatedProperties: false, $defs: {x: {$anchor: x, patternProperties: {'^.$': {$ref: "
        "'#x'}}, dependentRequired: {a: [b]}}}}";
    static const char json[] = "{\"a\":{\"\\u0061\":{\"b\":{}}},\"c\":[null,1]}";
    struct pl_arena *documents = pl_arena_create(0);
    struct doc_node *root = NULL;
    size_t done = 0;

    doc_problems_init(&problems, documents);
    ck_assert_int_eq(doc_parse(documents, pl_str(yaml), DOC_YAML, &root, &problems), PL_OK);
    for (size_t size = 256; !done; size += 64) {
        struct pl_arena *small = pl_arena_create(size);
        struct schema_library *library =
            schema_library_create(small, doc_get(root, "$defs"), &problems);
        struct schema *schema = schema_compile_in(small, root, library, &problems);
        struct pl_str filled = {0}, text = schema ? schema_json(schema, small) : filled;
        enum pl_code code = PL_ERR_NO_MEMORY;

        ck_assert_uint_eq(problems.total, 0);
        if (text.ptr)
            code = schema_apply(schema, small, pl_str(json), &filled, &problems);
        if (code == PL_ERR_INVALID_INPUT) {
            ck_assert(!pl_arena_failed(small));
            done = size;
        } else {
            ck_assert_int_eq(code, PL_ERR_NO_MEMORY);
            ck_assert(pl_arena_failed(small));
            doc_problems_init(&problems, documents);
        }
        pl_arena_destroy(&small);
    }
    ck_assert_uint_gt(done, 2000);
    pl_arena_destroy(&documents);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema_members");
    TCase *tests = tcase_create("schema_members");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_does_not_fit_is_said_with_its_place);
    tcase_add_test(tests, no_text_makes_a_pattern_slow);
    tcase_add_test(tests, a_pattern_that_takes_too_much_work_is_stopped);
    tcase_add_test(tests, deep_values_need_no_deep_stack);
    tcase_add_test(tests, memory_that_runs_out_is_no_verdict);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
