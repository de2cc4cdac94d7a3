/* test_schema_refs.c - references in schemas: what they mean, which are refused, the schemas of a
 * workflow by name, and schemas written out to stand alone. Run by ctest. */
#include "base/json.h"
#include "tests/support/schema_fixture.h"

#include <stdlib.h>

static struct schema_library *library(const char *yaml)
{
    struct schema_library *made;

    made = schema_library_create(arena, yaml ? parse(yaml) : NULL, &problems);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void check_alone(struct schema *schema, const char *expected)
{
    struct pl_str json = schema_json(schema, arena);

    ck_assert_msg(pl_str_is(json, expected), "%.*s", PL_STR_ARG(json));
    ck_assert_int_eq(json_check(json, 64, NULL, NULL), PL_OK);
    ck_assert_ptr_nonnull(good(json.ptr, NULL));
}

static const char tree[] = "{type: object, required: [value], additionalProperties: false, "
                           "properties: {value: {type: integer}, next: {$ref: '#'}, all: {items: "
                           "{$ref: '#/$defs/n'}}}, $defs: {n: {$anchor: number, minimum: 10}}}";

START_TEST(references_within_a_schema_are_followed)
{
    struct schema *schema = good(tree, NULL);

    ck_assert(fits(schema, "{\"value\":1,\"next\":{\"value\":2,\"next\":{\"value\":3}}}"));
    ck_assert(!fits(schema, "{\"value\":1,\"next\":{\"value\":2,\"next\":{\"value\":\"3\"}}}"));
    ck_assert_str_eq(problems.items[0].pointer, "/next/next/value");
    ck_assert_str_eq(problems.items[0].message,
                     "next.next.value: expected an integer, got a string");
    ck_assert(!fits(schema, "{\"value\":1,\"all\":[10,9]}"));
    ck_assert_str_eq(problems.items[0].pointer, "/all/1");
    schema =
        good("{$ref: '#number', multipleOf: 5, $defs: {n: {$anchor: number, minimum: 10}}}", NULL);
    ck_assert(fits(schema, "10"));
    ck_assert(!fits(schema, "5"));
    ck_assert(!fits(schema, "11"));
    schema =
        good("{properties: {a: {$ref: '#/$defs/x~1y~0z%25'}}, $defs: {'x/y~z%': false}}", NULL);
    ck_assert(!fits(schema, "{\"a\":1}"));
    schema = good("{items: {$ref: '#/definitions/a'}, definitions: {a: {type: string}}}", NULL);
    ck_assert(!fits(schema, "[1]"));
    schema = good("{$ref: '#/anyOf/1', anyOf: [true, {type: string}]}", NULL);
    ck_assert(!fits(schema, "1"));
}
END_TEST

START_TEST(ids_are_resolved_within_the_document)
{
    struct schema *schema =
        good("{$id: 'http://example.com/root', properties: {a: {$ref: item}, b: {$ref: "
             "'http://example.com/dir/other#x'}}, $defs: {i: {$id: item, type: string}, o: {$id: "
             "'./dir/../dir/other', $defs: {x: {$anchor: x, $ref: '../item'}}}}}",
             NULL);

    ck_assert(fits(schema, "{\"a\":\"x\",\"b\":\"y\"}"));
    ck_assert(!fits(schema, "{\"a\":1}"));
    ck_assert(!fits(schema, "{\"b\":1}"));
    check_alone(schema, "{\"properties\":{\"a\":{\"$ref\":\"#/$defs/i\"},\"b\":{\"$ref\":"
                        "\"#/$defs/o/$defs/x\"}},\"$defs\":{\"i\":{\"type\":\"string\"},\"o\":{"
                        "\"$defs\":{\"x\":{\"$ref\":\"#/$defs/i\"}}}}}");
}
END_TEST

START_TEST(references_that_lead_nowhere_are_refused)
{
    static const struct {
        const char *schema, *pointer, *message;
    } cases[] = {
        {"$ref: '#/x'", "/$ref", "'#/x' leads nowhere"},
        {"$ref: '#/$defs/a/0'\n$defs: {a: {}}", "/$ref", "leads nowhere"},
        {"$ref: '#x'", "/$ref", "is no $anchor"},
        {"$ref: '#/%zz'", "/$ref", "two hexadecimal digits"},
        {"$ref: '#/a~2'", "/$ref", "leads nowhere"},
        {"$ref: '#/enum/0'\nenum: [{}]", "/$ref", "does not lead to a schema"},
        {"$ref: '#/$defs'\n$defs: {}", "/$ref", "does not lead to a schema"},
        {"$ref: 'http://example.com/x'", "/$ref", "nothing is fetched"},
        {"$ref: other.json", "/$ref", "neither an $id of this document nor a name"},
        {"$ref: 5", "/$ref", "expected a reference"},
        {"$id: '#a'", "/$id", "an $anchor"},
        {"$id: 5", "/$id", "expected a URI"},
        {"$anchor: 'a b'", "/$anchor", "a letter or _ first"},
        {"$defs: {a: {$anchor: x}, b: {$anchor: x}}", "/$defs/b/$anchor", "taken by another"},
        {"$defs: {a: {$id: x}, b: {$id: x}}", "/$defs/b/$id", "taken by another"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        ck_assert_msg(!compile(cases[i].schema, NULL), "%s compiles", cases[i].schema);
        ck_assert_msg(problems.total == 1, "%s: %zu problems", cases[i].schema, problems.total);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s: %s",
                      cases[i].schema, problems.items[0].message);
        ck_assert_str_eq(problems.items[0].pointer, cases[i].pointer);
    }
}
END_TEST

START_TEST(references_that_go_in_circles_are_refused)
{
    static const char *const cases[] = {
        "$ref: '#'",
        "allOf: [{$ref: '#'}]",
        "anyOf: [{type: string}, {not: {$ref: '#'}}]",
        "{$ref: '#/$defs/a', $defs: {a: {$ref: '#/$defs/b'}, b: {if: {$ref: '#/$defs/a'}}}}",
        "dependentSchemas: {a: {$ref: '#'}}",
        "properties: {a: {oneOf: [{$ref: '#/properties/a'}]}}",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        ck_assert_msg(!compile(cases[i], NULL), "%s compiles", cases[i]);
        ck_assert_uint_eq(problems.total, 1);
        ck_assert_msg(strstr(problems.items[0].message, "leads back to itself"), "%s",
                      problems.items[0].message);
        ck_assert_ptr_nonnull(strstr(problems.items[0].pointer, "$ref"));
    }
    ck_assert_ptr_nonnull(good("properties: {a: {allOf: [{$ref: '#'}]}}", NULL));
}
END_TEST

START_TEST(a_chain_of_references_has_an_end)
{
    struct pl_buf yaml;

    pl_buf_init(&yaml, 1 << 20);
    pl_buf_text(&yaml, "{$ref: '#/$defs/d0', $defs: {");
    for (unsigned i = 0; i < 5000; i++)
        pl_buf_printf(&yaml, "d%u: {$ref: '#/$defs/d%u'}, ", i, i + 1);
    pl_buf_text(&yaml, "d5000: {type: string}}}");
    ck_assert_ptr_null(compile(yaml.data, NULL));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "more than 100 schemas apply"));
    pl_buf_finish(&yaml);
}
END_TEST

/* Each level asks the next one twice: two to the power of sixty, if nothing stops it. */
START_TEST(work_without_an_end_is_stopped)
{
    struct schema *schema;
    struct pl_buf yaml;

    pl_buf_init(&yaml, 1 << 20);
    pl_buf_text(&yaml, "{$ref: '#/$defs/d0', $defs: {");
    for (unsigned i = 0; i < 30; i++)
        pl_buf_printf(&yaml, "d%u: {anyOf: [{$ref: '#/$defs/d%u'}, {$ref: '#/$defs/d%u'}]}, ", i,
                      i + 1, i + 1);
    pl_buf_text(&yaml, "d30: {type: string}}}");
    schema = good(yaml.data, NULL);
    ck_assert(fits(schema, "\"x\""));
    ck_assert(!fits(schema, "5"));
    ck_assert_ptr_nonnull(strstr(problems.items[problems.count - 1].message, "too much work"));
    pl_buf_finish(&yaml);
}
END_TEST

START_TEST(values_that_open_too_many_schemas_are_refused_whatever_not_says)
{
    struct pl_buf json;
    struct schema *schema;

    schema = good("{not: {items: {$ref: '#/$defs/a'}}, $defs: {a: {allOf: [{allOf: [{allOf: "
                  "[{items: {$ref: '#/$defs/a'}}]}]}]}}}",
                  NULL);
    pl_buf_init(&json, 4096);
    for (unsigned i = 0; i < 250; i++)
        pl_buf_char(&json, '[');
    for (unsigned i = 0; i < 250; i++)
        pl_buf_char(&json, ']');
    ck_assert(!fits(schema, json.data));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "more than 500 schemas"));
    pl_buf_finish(&json);
}
END_TEST

/* ---- libraries ---- */

static const char shop[] = "{item: {type: object, required: [price], properties: {price: {$ref: "
                           "money}, parts: {items: {$ref: item}}, size: {$ref: '#/$defs/size'}}, "
                           "$defs: {size: {enum: [s, l]}}}, money: {type: number, minimum: 0}, "
                           "address: {$id: 'https://example.com/address', type: string}}";

START_TEST(names_of_the_library_are_schemas)
{
    struct schema_library *names = library(shop);
    struct schema *schema;

    ck_assert_uint_eq(problems.total, 0);
    schema = good("item", names);
    ck_assert(fits(schema, "{\"price\":1,\"parts\":[{\"price\":2}],\"size\":\"s\"}"));
    ck_assert(!fits(schema, "{\"price\":1,\"parts\":[{\"price\":-2}]}"));
    ck_assert_str_eq(problems.items[0].pointer, "/parts/0/price");
    schema = good("{type: array, items: {$ref: item}}", names);
    ck_assert(!fits(schema, "[{\"price\":1,\"size\":\"m\"}]"));
    schema = good("{$ref: 'item#/$defs/size'}", names);
    ck_assert(fits(schema, "\"l\""));
    ck_assert(!fits(schema, "\"m\""));
    schema = good("{$ref: 'https://example.com/address'}", names);
    ck_assert(!fits(schema, "1"));
    schema = good("{$id: 'https://example.com/order', $ref: money}", names);
    ck_assert(!fits(schema, "-1"));
    schema = good("{$ref: money, $defs: {m: {$id: money, type: string}}}", names);
    ck_assert_msg(fits(schema, "\"own\""), "what the schema itself calls so comes first");
}
END_TEST

START_TEST(unknown_names_are_refused_with_the_nearest)
{
    struct schema_library *names = library(shop);

    ck_assert_ptr_null(compile("itme", names));
    ck_assert_str_eq(problems.items[0].message,
                     "there is no schema 'itme' under 'schemas'; did you mean 'item'?");
    ck_assert_ptr_null(compile("{$ref: mony}", names));
    ck_assert_str_eq(problems.items[0].message,
                     "$ref: there is no schema 'mony'; did you mean 'money'?");
    ck_assert_ptr_null(compile("item", library(NULL)));
    ck_assert_str_eq(problems.items[0].message, "there is no schema 'item' under 'schemas'");
    ck_assert_ptr_null(compile("item", NULL));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "expected a schema"));
}
END_TEST

START_TEST(a_library_reports_its_problems_once)
{
    struct schema_library *names =
        library("{a: {$ref: b}, b: {allOf: [{$ref: a}]}, 'c d': {}, e: 5, f: {$ref: gg}}");

    ck_assert_uint_eq(problems.total, 3);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "'c d' is no name for a schema"));
    ck_assert_ptr_nonnull(strstr(problems.items[1].message, "expected a schema"));
    ck_assert_ptr_nonnull(strstr(problems.items[2].message, "'gg'"));
    ck_assert_msg(compile("{$ref: f, default: 1}", names), "%s", problems.items[0].message);
    names = library("{a: {$ref: b}, b: {allOf: [{$ref: a}]}}");
    ck_assert_uint_eq(problems.total, 1);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "leads back to itself"));
    (void)library("[]");
    ck_assert_str_eq(problems.items[0].message,
                     "schemas: expected an object of schemas, got a list");
}
END_TEST

START_TEST(schemas_are_written_out_to_stand_alone)
{
    struct schema_library *names = library(shop);

    check_alone(good("{type: array, items: {$ref: item}, $defs: {money: true}}", names),
                "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/item\"},\"$defs\":{\"money\":"
                "true,\"item\":{\"type\":\"object\",\"required\":[\"price\"],\"properties\":{"
                "\"price\":{\"$ref\":\"#/$defs/money_2\"},\"parts\":{\"items\":{\"$ref\":\"#/$defs/"
                "item\"}},\"size\":{\"$ref\":\"#/$defs/item/$defs/size\"}},\"$defs\":{\"size\":{"
                "\"enum\":[\"s\",\"l\"]}}},\"money_2\":{\"type\":\"number\",\"minimum\":0}}}");
    check_alone(good("money", names), "{\"type\":\"number\",\"minimum\":0}");
    check_alone(
        good("{properties: {$id: {$ref: '#'}, $ref: {type: string}}, enum: [{$id: 1}]}", names),
        "{\"properties\":{\"$id\":{\"$ref\":\"#\"},\"$ref\":{\"type\":\"string\"}},\"enum\""
        ":[{\"$id\":1}]}");
    check_alone(good("true", names), "true");
    check_alone(good("{$ref: '#/$defs/a~1%25', $defs: {'a/%': {}}}", names),
                "{\"$ref\":\"#/$defs/a~1%25\",\"$defs\":{\"a/%\":{}}}");
}
END_TEST

/* ---- defaults ---- */

START_TEST(defaults_are_filled_in_through_references)
{
    static const struct {
        const char *schema, *json, *filled;
    } cases[] = {
        {"{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {default: 1}}}", "{}", "{\"a\":1}"},
        {"{$ref: '#/$defs/o', $defs: {o: {properties: {a: {default: 1}}}}}", "{}", "{\"a\":1}"},
        {"{$ref: '#/$defs/o', properties: {b: {default: 2}, a: {default: 3}}, $defs: {o: "
         "{properties: {a: {default: 1}, c: {default: 4}}}}}",
         "{}", "{\"b\":2,\"a\":3,\"c\":4}"},
        {"{properties: {n: {$ref: '#'}, a: {default: 1}}}", "{\"n\":{\"n\":{}}}",
         "{\"n\":{\"n\":{\"a\":1},\"a\":1},\"a\":1}"},
        {"{prefixItems: [{properties: {a: {default: 1}}}], items: {properties: {b: {default: 2}}}}",
         "[{},{}]", "[{\"a\":1},{\"b\":2}]"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct schema *schema = good(cases[i].schema, NULL);
        struct pl_str filled = {0};

        ck_assert_int_eq(schema_apply(schema, arena, pl_str(cases[i].json), &filled, &problems),
                         PL_OK);
        ck_assert_msg(pl_str_is(filled, cases[i].filled), "%s: %.*s", cases[i].schema,
                      PL_STR_ARG(filled));
    }
}
END_TEST

START_TEST(defaults_without_an_end_are_refused)
{
    struct pl_buf yaml;

    ck_assert_ptr_null(compile("properties: {a: {default: {}, $ref: '#'}}", NULL));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "without an end"));
    pl_buf_init(&yaml, 1 << 20);
    pl_buf_text(&yaml, "{$ref: '#/$defs/d0', $defs: {");
    for (unsigned i = 0; i < 40; i++)
        pl_buf_printf(&yaml,
                      "d%u: {properties: {a: {default: {}, $ref: '#/$defs/d%u'}, b: {default: {}, "
                      "$ref: '#/$defs/d%u'}}}, ",
                      i, i + 1, i + 1);
    pl_buf_text(&yaml, "d40: {}}}");
    ck_assert_ptr_null(compile(yaml.data, NULL));
    ck_assert_msg(strstr(problems.items[0].message, "16 MiB larger"), "%s",
                  problems.items[0].message);
    pl_buf_finish(&yaml);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema_refs");
    TCase *tests = tcase_create("schema_refs");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, references_within_a_schema_are_followed);
    tcase_add_test(tests, ids_are_resolved_within_the_document);
    tcase_add_test(tests, references_that_lead_nowhere_are_refused);
    tcase_add_test(tests, references_that_go_in_circles_are_refused);
    tcase_add_test(tests, a_chain_of_references_has_an_end);
    tcase_add_test(tests, work_without_an_end_is_stopped);
    tcase_add_test(tests, values_that_open_too_many_schemas_are_refused_whatever_not_says);
    tcase_add_test(tests, names_of_the_library_are_schemas);
    tcase_add_test(tests, unknown_names_are_refused_with_the_nearest);
    tcase_add_test(tests, a_library_reports_its_problems_once);
    tcase_add_test(tests, schemas_are_written_out_to_stand_alone);
    tcase_add_test(tests, defaults_are_filled_in_through_references);
    tcase_add_test(tests, defaults_without_an_end_are_refused);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
