/* test_schema.c - input schemas: what is refused when they are compiled, what fits, what is said
 * about what does not, and which defaults are filled in. Run by ctest. */
#include "base/json.h"
#include "base/limits.h"
#include "tests/support/schema_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static enum pl_code apply(const char *yaml, const char *json, struct pl_str *ret_filled)
{
    struct schema *schema = good(yaml, NULL);
    struct pl_err err;

    ck_assert_int_eq(json_check(pl_str(json), 64, NULL, &err), PL_OK);
    doc_problems_init(&problems, arena);
    return schema_apply(schema, arena, pl_str(json), ret_filled, &problems);
}

struct verdict {
    const char *schema, *json;
    const char *pointer, *message; /* NULL: it fits */
};

static void expect(const struct verdict *verdict)
{
    struct pl_str filled = {0};
    enum pl_code code = apply(verdict->schema, verdict->json, &filled);

    if (!verdict->message) {
        ck_assert_msg(code == PL_OK && problems.total == 0, "%s: %s: %s", verdict->schema,
                      verdict->json, first_problem());
        return;
    }
    ck_assert_msg(code == PL_ERR_INVALID_INPUT, "%s: %s fits", verdict->schema, verdict->json);
    ck_assert_uint_ge(problems.count, 1);
    ck_assert_msg(!strcmp(problems.items[0].message, verdict->message), "%s: %s: %s",
                  verdict->schema, verdict->json, problems.items[0].message);
    ck_assert_str_eq(problems.items[0].pointer, verdict->pointer);
}

#define EXPECT_ALL(cases)                                        \
    for (size_t case_ = 0; case_ < PL_ARRAY_LEN(cases); case_++) \
    expect(&(cases)[case_])

START_TEST(types_are_told_apart)
{
    static const struct verdict cases[] = {
        {"{}", "[1]", NULL, NULL},
        {"true", "1", NULL, NULL},
        {"false", "1", "", "no value is allowed here"},
        {"type: integer", "3", NULL, NULL},
        {"type: integer", "3.0", NULL, NULL},
        {"type: integer", "3e2", NULL, NULL},
        {"type: integer", "-0.0", NULL, NULL},
        {"type: integer", "12345678901234567890123", NULL, NULL},
        {"type: integer", "1e400", NULL, NULL},
        {"type: integer", "3.5", "", "expected an integer, got the number 3.5"},
        {"type: integer", "1e-400", "", "expected an integer, got the number 1e-400"},
        {"type: integer", "\"3\"", "", "expected an integer, got a string"},
        {"type: number", "3", NULL, NULL},
        {"type: number", "null", "", "expected a number, got null"},
        {"type: string", "\"\"", NULL, NULL},
        {"type: string", "5", "", "expected a string, got the number 5"},
        {"type: boolean", "false", NULL, NULL},
        {"type: boolean", "0", "", "expected a boolean, got the number 0"},
        {"type: 'null'", "null", NULL, NULL},
        {"type: 'null'", "false", "", "expected null, got a boolean"},
        {"type: array", "[]", NULL, NULL},
        {"type: array", "{}", "", "expected a list, got an object"},
        {"type: object", " {} ", NULL, NULL},
        {"type: object", "[]", "", "expected an object, got a list"},
        {"type: [string, 'null']", "null", NULL, NULL},
        {"type: [string, integer]", "true", "", "expected an integer or a string, got a boolean"},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(numbers_are_compared_as_they_are_written)
{
    static const struct verdict cases[] = {
        {"minimum: 1", "1", NULL, NULL},
        {"minimum: 1", "0.9999999999999999999", "",
         "must be at least 1, got 0.9999999999999999999"},
        {"minimum: 1", "\"0\"", NULL, NULL},
        {"maximum: 9007199254740993", "9007199254740993", NULL, NULL},
        {"maximum: 9007199254740992", "9007199254740993", "",
         "must be at most 9007199254740992, got 9007199254740993"},
        {"minimum: -1e2", "-100.0", NULL, NULL},
        {"minimum: -1e2", "-1e3", "", "must be at least -1e2, got -1e3"},
        {"exclusiveMinimum: 0", "0.0", "", "must be greater than 0, got 0.0"},
        {"exclusiveMinimum: 0", "-0", "", "must be greater than 0, got -0"},
        {"exclusiveMinimum: 0", "1e-999", NULL, NULL},
        {"exclusiveMaximum: 10", "10", "", "must be less than 10, got 10"},
        {"exclusiveMaximum: 10", "9.99", NULL, NULL},
        {"exclusiveMaximum: 0.1", "1e-1", "", "must be less than 0.1, got 1e-1"},
        {"maximum: 1e400", "1e401", "", "must be at most 1e400, got 1e401"},
        {"multipleOf: 0.1", "0.3", NULL, NULL},
        {"multipleOf: 0.01", "19.99", NULL, NULL},
        {"multipleOf: 0.01", "19.999", "", "must be a multiple of 0.01, got 19.999"},
        {"multipleOf: 3", "9007199254740993", NULL, NULL},
        {"multipleOf: 3", "9007199254740994", "", "must be a multiple of 3, got 9007199254740994"},
        {"multipleOf: 7", "-21", NULL, NULL},
        {"multipleOf: 7", "0", NULL, NULL},
        {"multipleOf: 1e3", "1500", "", "must be a multiple of 1e3, got 1500"},
        {"multipleOf: 8", "1e400", NULL, NULL},
        {"multipleOf: 7", "1e400", "", "must be a multiple of 7, got 1e400"},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(strings_are_measured_in_code_points)
{
    static const struct verdict cases[] = {
        {"minLength: 2", "\"ab\"", NULL, NULL},
        {"minLength: 2", "\"\xC3\xA9\"", "", "must have at least 2 characters, has 1"},
        {"minLength: 2", "\"\\u00e9\"", "", "must have at least 2 characters, has 1"},
        {"maxLength: 1", "\"\\ud83d\\ude00\"", NULL, NULL},
        {"maxLength: 1", "\"\xF0\x9F\x98\x80\"", NULL, NULL},
        {"maxLength: 2", "\"\\n\\\\\\\"\"", "", "must have at most 2 characters, has 3"},
        {"maxLength: 2", "\"\\ud7ff\\ue000x\"", "", "must have at most 2 characters, has 3"},
        {"maxLength: 0", "\"\"", NULL, NULL},
        {"minLength: 1.0", "\"x\"", NULL, NULL},
        {"maxLength: 1", "12", NULL, NULL},
    };

    EXPECT_ALL(cases);
}
END_TEST

struct pattern_case {
    const char *pattern, *json;
    bool matches;
};

static void expect_patterns(const struct pattern_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *schema = pl_arena_printf(arena, "pattern: '%s'", cases[i].pattern);
        struct pl_str filled;
        enum pl_code code = apply(schema, cases[i].json, &filled);

        ck_assert_msg((code == PL_OK) == cases[i].matches, "%s on %s", cases[i].pattern,
                      cases[i].json);
    }
}

START_TEST(patterns_follow_javascript)
{
    static const struct pattern_case cases[] = {
        {"b", "\"abc\"", true},
        {"^b", "\"abc\"", false},
        {"^\\d{3}-\\w+$", "\"123-a_B9\"", true},
        {"^\\d{3}-\\w+$", "\"12-a\"", false},
        {"^\\D\\W\\S$", "\"a-b\"", true},
        {"^\\D$", "\"5\"", false},
        {"^[\\d.]+$", "\"1.5\"", true},
        {"^[^\\s]+$", "\"a b\"", false},
        {"^\\s$", "\"\\t\"", true},
        {"^.$", "\"\xC3\xA9\"", true},
        {"^.$", "\"\\n\"", false},
        {"^.{2}$", "\"\\ud83d\\ude00x\"", true},
        {"^[\xC3\xA0-\xC3\xBC]$", "\"\xC3\xA9\"", true},
        {"^[^\xC3\xA9]$", "\"\xC3\xA8\"", true},
        {"^\\u00e9\\x41$",
         "\"\xC3\xA9"
         "A\"",
         true},
        {"^[a-z]+(?:-[a-z]+)*$", "\"ab-cd-e\"", true},
        {"^a+?b??$", "\"aaab\"", true},
        {"^(a|b|)$", "\"\"", true},
        {"^\\.\\*\\/\\-$", "\".*/-\"", true},
        {"^[\\]\\[^\\\\-]+$", "\"][^\\\\-\"", true},
        {"^[^\\]]$", "\"]\"", false},
        {"^[\\^]$", "\"^\"", true},
        {"^[\\^]$", "\"a\"", false},
        {"^[\\^-]$", "\"-\"", true},
        {"^[\\^-]$", "\"a\"", false},
        {"^[[:alpha:]]$", "\"a]\"", true},
        {"^[[.a]$", "\"[\"", true},
        {"^a{,2}$", "\"a{,2}\"", true},
        {"^{}]$", "\"{}]\"", true},
        {"^x{2,}$", "\"xxx\"", true},
        {"^x{2,}$", "\"x\"", false},
        {"\\bfoo\\b", "\"a foo b\"", true},
        {"\\bfoo\\b", "\"afoob\"", false},
    };

    expect_patterns(cases, PL_ARRAY_LEN(cases));
    apply("pattern: '^a$'", "\"b\"", &(struct pl_str){0});
    ck_assert_str_eq(problems.items[0].message, "does not match the pattern '^a$'");
}
END_TEST

START_TEST(patterns_know_unicode_and_look_around)
{
    static const struct pattern_case cases[] = {
        {"a\\Bb", "\"ab\"", true},
        {"", "\"\"", true},
        {"^(?:)$", "\"\"", true},
        {"[]", "\"a\"", false},
        {"^[^]$", "\"\\n\"", true},
        {"^[\\D]$", "\"a\"", true},
        {"^[\\D]$", "\"1\"", false},
        {"^[\\W\\d]+$", "\"-1\"", true},
        {"^[^\\W_]$", "\"_\"", false},
        {"^[\xE4\xB8\x80-\xE9\xBE\xA5]+$", "\"\\u4e2d\\u6587\"", true},
        {"^[\xE4\xB8\x80-\xE9\xBE\xA5]+$", "\"a\"", false},
        {"^\\u{1F600}$", "\"\\ud83d\\ude00\"", true},
        {"^\\ud83d\\ude00$", "\"\xF0\x9F\x98\x80\"", true},
        {"^\\cJ$", "\"\\n\"", true},
        {"^\\s$", "\"\\u2003\"", true},
        {"^.$", "\"\\u2028\"", false},
        {"^(?<year>\\d{4})-(?<month>\\d\\d)$", "\"2024-07\"", true},
        {"a$", "\"a\\n\"", false},
        {"^a|b$", "\"xb\"", true},
        {"^(a*)*$", "\"aaab\"", false},
        {"^(a|aa)+$", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", false},
        {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "\"ab1c\"", true},
        {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "\"abcd\"", false},
        {"^(?!.*\\.\\.)[a-z.]+$", "\"a.b\"", true},
        {"^(?!.*\\.\\.)[a-z.]+$", "\"a..b\"", false},
        {"(?<=\\$)\\d+$", "\"cost: $42\"", true},
        {"(?<=\\$)\\d+$", "\"cost: 42\"", false},
        {"(?<!a)b", "\"ab\"", false},
        {"(?<!a)b", "\"cb\"", true},
        {"^(?=a(?=b(?!c)))", "\"abd\"", true},
        {"^(?=a(?=b(?!c)))", "\"abc\"", false},
        {"(?<=(?<!x)\xC3\xA9)z", "\"\xC3\xA9z\"", true},
        {"(?<=(?<!x)\xC3\xA9)z", "\"x\xC3\xA9z\"", false},
    };

    expect_patterns(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(patterns_that_cannot_be_had_are_refused_at_compile)
{
    static const struct {
        const char *pattern, *why;
    } cases[] = {
        {"(a", "a '(' has no ')'"},
        {"a)", "a ')' has no '('"},
        {"[a", "a '[' has no ']'"},
        {"[z-a]", "from a lower to a higher"},
        {"[a-\\d]", "from a lower to a higher"},
        {"*a", "nothing to repeat"},
        {"a**", "nothing to repeat"},
        {"a|+", "nothing to repeat"},
        {"a{2}{3}", "nothing to repeat"},
        {"a{3,2}", "from a lower to a higher"},
        {"a{1001}", "at most 1000"},
        {"a{99999999999}", "at most 1000"},
        {"((a{50}){50}){50}", "too large"},
        {"(?>a)", "no such group"},
        {"(?i)a", "no such group"},
        {"(?<n", "the form (?<name>...)"},
        {"(?=a)*", "nothing to repeat"},
        {"^*", "nothing to repeat"},
        {"(?<n>a)\\k<n>", "back-references"},
        {"(a)\\1", "back-references"},
        {"\\p{L}", "\\p{...} is not supported"},
        {"\\a", "escape is not supported"},
        {"\\u{110000}", "no character past"},
        {"\\u{}", "one to six"},
        {"\\ud800", "half of a surrogate pair"},
        {"\\c1", "takes a letter"},
        {"\\xZZ", "hexadecimal"},
        {"\\u12", "hexadecimal"},
        {"a\\", "ends in a backslash"},
        {"[a\\", "ends in a backslash"},
        {"((((){1000}){1000}){1000}){1000}", "too large"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        char *schema = pl_arena_printf(arena, "pattern: '%s'", cases[i].pattern);

        ck_assert_msg(!compile(schema, NULL), "%s compiles", cases[i].pattern);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].why), "%s: %s", cases[i].pattern,
                      problems.items[0].message);
        ck_assert_str_eq(problems.items[0].pointer, "/pattern");
    }
}
END_TEST

START_TEST(enum_and_const_compare_values_not_spellings)
{
    static const struct verdict cases[] = {
        {"enum: [1, a, null]", "1.0", NULL, NULL},
        {"enum: [1, a, null]", "\"\\u0061\"", NULL, NULL},
        {"enum: [1, a, null]", "null", NULL, NULL},
        {"enum: [1, a, null]", "\"b\"", "", "must be one of 1, \"a\", null, got \"b\""},
        {"const: {a: 1, b: [x]}", "{\"b\":[\"x\"],\"a\":1.0}", NULL, NULL},
        {"const: {a: 1}", "{\"a\":1,\"b\":2}", "", "must be {\"a\":1}, got {\"a\":1,\"b\":2}"},
        {"const: 9007199254740993", "9007199254740992", "",
         "must be 9007199254740993, got 9007199254740992"},
        {"{type: string, enum: [a, b]}", "5", "", "expected a string, got the number 5"},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(lists_are_checked_element_by_element)
{
    static const struct verdict cases[] = {
        {"items: {type: integer}", "[1, 2]", NULL, NULL},
        {"items: {type: integer}", "[1, [2], \"x\"]", "/1", "[1]: expected an integer, got a list"},
        {"items: false", "[]", NULL, NULL},
        {"items: false", "[1]", "/0", "[0]: no value is allowed here"},
        {"minItems: 1", "[]", "", "must have at least 1 elements, has 0"},
        {"maxItems: 1", "[1, 2]", "", "must have at most 1 elements, has 2"},
        {"uniqueItems: true", "[1, 2, \"1\", [1], {\"a\": 1}, null, true]", NULL, NULL},
        {"uniqueItems: true", "[1, 2, 1.0]", "", "elements 0 and 2 are equal; all must differ"},
        {"uniqueItems: true", "[{\"a\":1,\"b\":2}, 0, {\"b\":2,\"a\":1}]", "",
         "elements 0 and 2 are equal; all must differ"},
        {"uniqueItems: true", "[\"\xC3\xA9\", \"\\u00e9\"]", "",
         "elements 0 and 1 are equal; all must differ"},
        {"uniqueItems: false", "[1, 1]", NULL, NULL},
        {"{minItems: 5, maxItems: 0}", "{}", NULL, NULL},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(objects_are_checked_member_by_member)
{
    static const char travel[] =
        "{type: object, required: [destination], additionalProperties: false, properties: "
        "{destination: {type: string}, days: {type: integer}, opts: {properties: {\"a/b\": "
        "{items: {type: string}}}}}}";
    static const struct verdict cases[] = {
        {travel, "{\"destination\":\"Rome\",\"days\":3}", NULL, NULL},
        {travel, "{\"days\":3}", "", "the property 'destination' is required, but missing"},
        {travel, "{\"destination\":\"Rome\",\"days\":\"3\"}", "/days",
         "days: expected an integer, got a string"},
        {travel, "{\"destination\":\"Rome\",\"dyas\":3}", "/dyas",
         "dyas: unknown property; did you mean 'days'?"},
        {travel, "{\"destination\":\"Rome\",\"x\":3}", "/x", "x: unknown property"},
        {travel, "{\"destinatio\\u006e\":1}", "/destination",
         "destination: expected a string, got the number 1"},
        {travel, "{\"destination\":\"R\",\"opts\":{\"a/b\":[\"x\",1]}}", "/opts/a~1b/1",
         "opts[\"a/b\"][1]: expected a string, got the number 1"},
        {"{additionalProperties: {type: string}, properties: {a: true}}", "{\"a\":1,\"b\":2}", "/b",
         "b: expected a string, got the number 2"},
        {"{properties: {a: false}}", "{\"a\":1}", "/a", "a: no value is allowed here"},
        {"{required: [a, b], properties: {b: {}}}", "{\"a\":1}", "",
         "the property 'b' is required, but missing"},
        {"minProperties: 1", "{}", "", "must have at least 1 properties, has 0"},
        {"maxProperties: 1", "{\"a\":1,\"b\":1}", "", "must have at most 1 properties, has 2"},
        {"{required: [a]}", "[]", NULL, NULL},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(schemas_combine)
{
    static const struct verdict cases[] = {
        {"allOf: [{type: string}, {minLength: 2}]", "\"ab\"", NULL, NULL},
        {"allOf: [{type: string}, {minLength: 2}]", "\"a\"", "",
         "must have at least 2 characters, has 1"},
        {"anyOf: [{type: string}, {type: integer}]", "1", NULL, NULL},
        {"anyOf: [{type: string}, {required: [x]}]", "{}", "",
         "fits none of the alternatives of anyOf: (1) expected a string, got an object; (2) the "
         "property 'x' is required, but missing"},
        {"oneOf: [{minimum: 5}, {maximum: 1}]", "7", NULL, NULL},
        {"oneOf: [{minimum: 5}, {maximum: 10}]", "7", "",
         "fits 2 of the alternatives of oneOf; it must fit exactly one"},
        {"oneOf: [{minimum: 5}, false]", "1", "",
         "fits none of the alternatives of oneOf: (1) must be at least 5, got 1; (2) no value is "
         "allowed here"},
        {"not: {type: string}", "1", NULL, NULL},
        {"not: {type: string}", "\"x\"", "", "is of a kind that 'not' rules out"},
        {"not: {pattern: '^x'}", "\"y\"", NULL, NULL},
        {"{properties: {a: {anyOf: [{properties: {b: {type: string}}}]}}}", "{\"a\":{\"b\":1}}",
         "/a",
         "a: fits none of the alternatives of anyOf: (1) b: expected a string, got the number 1"},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(all_problems_of_a_value_come_at_once)
{
    struct pl_str filled;

    ck_assert_int_eq(
        apply("{required: [a, b], minProperties: 9, properties: {c: {type: string, default: x}, "
              "d: {items: {type: string, maxLength: 1}}}}",
              "{\"c\":1,\"d\":[\"ok\",2,\"x\"]}", &filled),
        PL_ERR_INVALID_INPUT);
    ck_assert_uint_eq(problems.total, 6);
}
END_TEST

START_TEST(problems_of_a_value_past_the_limit_are_counted)
{
    char json[8192] = "[0";
    struct pl_str filled;

    for (size_t i = 1; i < 1000; i++)
        memcpy(json + 2 * i, ",0", 3);
    strncat(json, "]", 2);
    ck_assert_int_eq(apply("items: {type: string}", json, &filled), PL_ERR_INVALID_INPUT);
    ck_assert_uint_eq(problems.count, PL_LIMIT_PROBLEMS);
    ck_assert_uint_eq(problems.total, 1000);
}
END_TEST

START_TEST(defaults_are_filled_in_without_touching_what_is_there)
{
    static const struct {
        const char *schema, *json, *filled;
    } cases[] = {
        {"{properties: {a: {default: 1}}}", "{}", "{\"a\":1}"},
        {"{properties: {a: {default: 1}}}", " { } ", " { \"a\":1} "},
        {"{properties: {a: {default: 1}, b: {}, c: {default: [1.50, {x: null}]}}}",
         "{ \"b\" : 12345678901234567890.10 }",
         "{ \"b\" : 12345678901234567890.10,\"a\":1,\"c\":[1.50,{\"x\":null}] }"},
        {"{properties: {z: {default: 1}, a: {default: 2}}}", "{}", "{\"z\":1,\"a\":2}"},
        {"{properties: {\"q\\\"\": {default: 1}}}", "{}", "{\"q\\\"\":1}"},
        {"{properties: {\"q\\\"\": {default: 1}}}", "{\"q\\u0022\":2}", NULL},
        {"{properties: {a: {default: 1}}}", "{\"a\":null}", NULL},
        {"{properties: {o: {properties: {a: {default: 1}}}}}", "{}", NULL},
        {"{properties: {o: {properties: {a: {default: 1}}}, p: {default: 2}}}", "{\"o\":{\"x\":0}}",
         "{\"o\":{\"x\":0,\"a\":1},\"p\":2}"},
        {"{properties: {o: {default: {}, properties: {a: {default: 1}}}}}", "{}",
         "{\"o\":{\"a\":1}}"},
        {"{items: {properties: {a: {default: 1}}}}", "[{}, 5, {\"a\":2}, {\"b\":3}]",
         "[{\"a\":1}, 5, {\"a\":2}, {\"b\":3,\"a\":1}]"},
        {"{properties: {a: {default: 1}}}", "[]", NULL},
        {"{required: [a], properties: {a: {type: integer, default: 1}}}", "{}", "{\"a\":1}"},
        {"{allOf: [{properties: {a: {default: 1}}}]}", "{}", NULL},
        {"{default: {x: 5}, type: object}", "{}", NULL},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct pl_str filled;
        enum pl_code code = apply(cases[i].schema, cases[i].json, &filled);

        ck_assert_msg(code == PL_OK, "%s: %s", cases[i].schema, first_problem());
        if (cases[i].filled)
            ck_assert_msg(pl_str_is(filled, cases[i].filled), "%s: %.*s", cases[i].schema,
                          PL_STR_ARG(filled));
        else
            ck_assert_ptr_eq(filled.ptr, cases[i].json);
    }
}
END_TEST

START_TEST(more_properties_than_a_small_object_has_are_told_apart)
{
    char schema[8192], json[4096] = "{";
    size_t used = (size_t)snprintf(schema, sizeof(schema), "required: [k99]\nproperties:\n");
    struct pl_str filled;

    for (unsigned i = 0; i < 100; i++)
        used +=
            (size_t)snprintf(schema + used, sizeof(schema) - used, "  k%u: {default: %u}\n", i, i);
    used = 1;
    for (unsigned i = 0; i < 99; i++)
        used +=
            (size_t)snprintf(json + used, sizeof(json) - used, "%s\"k%u\":0", i ? "," : "", 98 - i);
    snprintf(json + used, sizeof(json) - used, "}");
    ck_assert_int_eq(apply(schema, json, &filled), PL_OK);
    ck_assert_ptr_nonnull(strstr(filled.ptr, "\"k0\":0,\"k99\":99}"));
}
END_TEST

START_TEST(bad_schemas_are_refused_where_they_are_wrong)
{
    static const struct {
        const char *schema;
        unsigned line, column;
        const char *pointer, *message; /* a part of it */
    } cases[] = {
        {"type: strin", 1, 7, "/type", "there is no type 'strin'; did you mean 'string'?"},
        {"type: list", 1, 7, "/type", "did you mean 'array'?"},
        {"type: 5", 1, 7, "/type", "expected the name of a type"},
        {"type: []", 1, 7, "/type", "at least one type"},
        {"a:\n  type: string", 1, 1, "/a", "unknown keyword 'a' in a schema"},
        {"properties:\n  a:\n    defalt: 1", 3, 5, "/properties/a/defalt",
         "unknown keyword 'defalt'; did you mean 'default'?"},
        {"$dynamicRef: '#a'", 1, 1, "/$dynamicRef",
         "keyword '$dynamicRef' is not supported by this version; use $ref"},
        {"contentSchema: {}", 1, 1, "/contentSchema", "is not supported by this version"},
        {"dependencies: {}", 1, 1, "/dependencies", "use dependentRequired or dependentSchemas"},
        {"nullable: true", 1, 1, "/nullable", "use a list of types"},
        {"$schema: 'http://json-schema.org/draft-04/schema#'", 1, 10, "/$schema",
         "is not known here"},
        {"prefixItems: []", 1, 14, "/prefixItems", "needs at least one schema"},
        {"prefixItems: {}", 1, 14, "/prefixItems", "expected a list of schemas"},
        {"patternProperties: {'(': {}}", 1, 26, "/patternProperties/(", "a '(' has no ')'"},
        {"patternProperties: []", 1, 20, "/patternProperties", "expected an object of patterns"},
        {"dependentRequired: {a: b}", 1, 24, "/dependentRequired/a", "expected a list of names"},
        {"dependentRequired: {a: [1]}", 1, 25, "/dependentRequired/a/0", "expected a name"},
        {"dependentSchemas: []", 1, 19, "/dependentSchemas", "expected an object of schemas"},
        {"$defs: {a: 1}", 1, 12, "/$defs/a", "expected a schema"},
        {"if: 5", 1, 5, "/if", "expected a schema"},
        {"enum: x", 1, 7, "/enum", "expected a list of values, got a string"},
        {"enum: []", 1, 7, "/enum", "at least one value"},
        {"properties: []", 1, 13, "/properties", "expected an object of schemas, got a list"},
        {"properties: {a: 5}", 1, 17, "/properties/a", "expected a schema"},
        {"required: true", 1, 11, "/required", "it stands beside 'properties'"},
        {"required: a", 1, 11, "/required", "expected a list of names"},
        {"required: [1]", 1, 12, "/required/0", "expected a name, got a number"},
        {"items: [{}]", 1, 8, "/items", "one schema for each position is prefixItems"},
        {"minItems: -1", 1, 11, "/minItems", "expected a whole number from 0, got -1"},
        {"maxLength: 1.5", 1, 12, "/maxLength", "expected a whole number from 0, got 1.5"},
        {"minLength: '1'", 1, 12, "/minLength", "expected a count, got a string"},
        {"minimum: '1'", 1, 10, "/minimum", "expected a number, got a string"},
        {"multipleOf: 0", 1, 13, "/multipleOf", "greater than 0"},
        {"multipleOf: 1234567890123456789", 1, 13, "/multipleOf", "18 digits"},
        {"uniqueItems: 1", 1, 14, "/uniqueItems", "expected true or false"},
        {"pattern: 5", 1, 10, "/pattern", "expected a regular expression"},
        {"anyOf: {}", 1, 8, "/anyOf", "expected a list of schemas"},
        {"anyOf: []", 1, 8, "/anyOf", "at least one schema"},
        {"not: x", 1, 6, "/not", "expected a schema"},
        {"additionalProperties: 1", 1, 23, "/additionalProperties", "expected a schema"},
        {"text", 1, 1, "", "expected a schema"},
        {"properties: {a: {type: integer, default: x}}", 1, 42, "/properties/a/default",
         "default: does not fit the schema it stands in: expected an integer, got a string"},
        {"properties: {a: {pattern: '^a', default: b}}", 1, 42, "/properties/a/default",
         "does not match the pattern '^a'"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        const struct doc_problem *problem;

        ck_assert_msg(!compile(cases[i].schema, NULL), "%s compiles", cases[i].schema);
        ck_assert_msg(problems.total == 1, "%s: %zu problems", cases[i].schema, problems.total);
        problem = &problems.items[0];
        ck_assert_msg(strstr(problem->message, cases[i].message), "%s: %s", cases[i].schema,
                      problem->message);
        ck_assert_msg(problem->line == cases[i].line && problem->column == cases[i].column,
                      "%s: %u:%u", cases[i].schema, problem->line, problem->column);
        ck_assert_str_eq(problem->pointer, cases[i].pointer);
    }
}
END_TEST

START_TEST(annotations_are_taken_and_mean_nothing)
{
    static const struct verdict cases[] = {
        {"{title: t, description: d, examples: [1], deprecated: true, readOnly: true, writeOnly: "
         "false, format: email, $comment: c, $schema: 'http://json-schema.org/draft-07/schema#'}",
         "\"no mail\"", NULL, NULL},
    };

    EXPECT_ALL(cases);
}
END_TEST

START_TEST(the_type_of_a_property_is_known_by_its_word)
{
    struct schema *schema = compile("{required: [r], properties: {a: {type: integer}, b: {type: "
                                    "[string, 'null']}, c: {type: [string, integer]}, d: {}}}",
                                    NULL);

    ck_assert_str_eq(schema_property_type(schema, PL_STR("a")), "integer");
    ck_assert_str_eq(schema_property_type(schema, PL_STR("b")), "string");
    ck_assert_ptr_null(schema_property_type(schema, PL_STR("c")));
    ck_assert_ptr_null(schema_property_type(schema, PL_STR("d")));
    ck_assert_ptr_null(schema_property_type(schema, PL_STR("r")));
    ck_assert_ptr_null(schema_property_type(schema, PL_STR("none")));
    ck_assert_ptr_null(schema_property_type(compile("true", NULL), PL_STR("a")));
}
END_TEST

/* Two hundred thousand equal-looking elements: comparing each with each would run into the test's
 * timeout. */
START_TEST(unique_items_take_no_quadratic_time)
{
    enum { COUNT = 200000 };
    char *json = malloc((size_t)COUNT * 10 + 2);
    size_t used = 0;
    struct pl_str filled;

    for (unsigned i = 0; i < COUNT; i++)
        used += (size_t)snprintf(json + used, 11, "%c[%u]", i ? ',' : '[', i);
    memcpy(json + used, "]", 2);
    ck_assert_int_eq(apply("uniqueItems: true", json, &filled), PL_OK);
    free(json);
}
END_TEST

START_TEST(an_arena_that_is_full_is_out_of_memory_and_no_verdict)
{
    struct schema *schema = compile("{properties: {a: {default: 1}}}", NULL);
    struct pl_arena *small = pl_arena_create(64);
    struct pl_str filled = PL_STR("untouched");

    ck_assert_ptr_nonnull(schema);
    ck_assert_int_eq(schema_apply(schema, small, PL_STR("{}"), &filled, &problems),
                     PL_ERR_NO_MEMORY);
    ck_assert_str_eq(filled.ptr, "untouched");
    pl_arena_destroy(&small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema");
    TCase *tests = tcase_create("schema");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, types_are_told_apart);
    tcase_add_test(tests, numbers_are_compared_as_they_are_written);
    tcase_add_test(tests, strings_are_measured_in_code_points);
    tcase_add_test(tests, patterns_follow_javascript);
    tcase_add_test(tests, patterns_know_unicode_and_look_around);
    tcase_add_test(tests, patterns_that_cannot_be_had_are_refused_at_compile);
    tcase_add_test(tests, enum_and_const_compare_values_not_spellings);
    tcase_add_test(tests, lists_are_checked_element_by_element);
    tcase_add_test(tests, objects_are_checked_member_by_member);
    tcase_add_test(tests, schemas_combine);
    tcase_add_test(tests, all_problems_of_a_value_come_at_once);
    tcase_add_test(tests, problems_of_a_value_past_the_limit_are_counted);
    tcase_add_test(tests, defaults_are_filled_in_without_touching_what_is_there);
    tcase_add_test(tests, more_properties_than_a_small_object_has_are_told_apart);
    tcase_add_test(tests, bad_schemas_are_refused_where_they_are_wrong);
    tcase_add_test(tests, annotations_are_taken_and_mean_nothing);
    tcase_add_test(tests, the_type_of_a_property_is_known_by_its_word);
    tcase_add_test(tests, unique_items_take_no_quadratic_time);
    tcase_add_test(tests, an_arena_that_is_full_is_out_of_memory_and_no_verdict);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
