/* test_schema_paths.c - where paths into the values of a schema lead. Run by ctest. */
#include "tests/support/schema_fixture.h"
#include "tests/support/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_MAX_MEMBERS = 8 };

/* "a.b.[].c" */
static size_t split(const char *text, struct pl_str path[PATH_MAX_MEMBERS])
{
    size_t n = 0;

    while (*text && n < PATH_MAX_MEMBERS) {
        size_t length = strcspn(text, ".");
        struct pl_str member = pl_str_n(text, length);

        path[n++] = pl_str_is(member, "[]") ? (struct pl_str){0} : member;
        text += length + (text[length] == '.');
    }
    return n;
}

/* "" when something may be there, else "nothing" or "undeclared", the member at fault and what is
 * declared beside it. */
static const char *look(const char *yaml, const char *path)
{
    static const char *const words[] = {"", "undeclared", "nothing"};
    struct pl_str members[PATH_MAX_MEMBERS];
    size_t n = split(path, members), at = 0;
    uint64_t work = 10000;
    const char *const *names = NULL;
    enum schema_finds finds = schema_look(good(yaml, NULL), arena, members, n, &work, &at, &names);
    const char *line = words[finds];

    if (finds == SCHEMA_FINDS)
        return line;
    line = pl_arena_printf(arena, "%s %zu:", line, at);
    for (; *names; names++)
        line = pl_arena_printf(arena, "%s %s", line, *names);
    return line;
}

#define CLOSED "additionalProperties: false"

START_TEST(a_closed_schema_has_its_properties_and_no_others)
{
    const char *schema = "{properties: {a: {}, b: {type: object}}, " CLOSED "}";

    ck_assert_str_eq(look(schema, "a"), "");
    ck_assert_str_eq(look(schema, "a.x.y"), "");
    ck_assert_str_eq(look(schema, "b.x"), "");
    ck_assert_str_eq(look(schema, "c"), "nothing 0: a b");
    ck_assert_str_eq(look(schema, "c.d"), "nothing 0: a b");
    ck_assert_str_eq(look("{" CLOSED "}", "c"), "nothing 0:");
}
END_TEST

START_TEST(an_open_schema_may_have_others)
{
    ck_assert_str_eq(look("{properties: {a: {}, b: {}}}", "c"), "undeclared 0: a b");
    ck_assert_str_eq(look("{}", "c"), "");
    ck_assert_str_eq(look("true", "c"), "");
    ck_assert_str_eq(look("{type: object}", "c"), "");
    ck_assert_str_eq(look("{required: [c], properties: {a: {}}}", "c"), "");
    ck_assert_str_eq(look("{properties: {a: {}}, additionalProperties: true}", "c"), "");
    ck_assert_str_eq(look("{properties: {a: {}}, additionalProperties: {type: string}}", "c"), "");
    ck_assert_str_eq(look("{properties: {a: {}}, patternProperties: {^x-: {}}}", "x-c"), "");
    ck_assert_str_eq(look("{properties: {a: {}}, patternProperties: {^x-: {}}}", "c"),
                     "undeclared 0: a");
}
END_TEST

START_TEST(members_of_members_and_elements_are_followed)
{
    const char *schema = "{properties: {list: {items: {properties: {x: {}}, " CLOSED "}}, "
                         "map: {additionalProperties: {properties: {y: {}}, " CLOSED "}}}}";

    ck_assert_str_eq(look(schema, "list.[].x"), "");
    ck_assert_str_eq(look(schema, "list.[].y"), "nothing 2: x");
    ck_assert_str_eq(look(schema, "list.y"), "");
    ck_assert_str_eq(look(schema, "map.any.y"), "");
    ck_assert_str_eq(look(schema, "map.any.x"), "nothing 2: y");
}
END_TEST

START_TEST(of_a_tuple_any_element_may_be_meant)
{
    const char *schema = "{prefixItems: [{properties: {x: {}}, " CLOSED "}], "
                         "items: {properties: {y: {}}, " CLOSED "}}";

    ck_assert_str_eq(look(schema, "[].x"), "");
    ck_assert_str_eq(look(schema, "[].y"), "");
    ck_assert_str_eq(look(schema, "[].z"), "nothing 1: x y");
}
END_TEST

START_TEST(references_are_followed_also_in_circles)
{
    const char *tree = "{properties: {name: {}, left: {$ref: '#'}}, " CLOSED "}";

    ck_assert_str_eq(look(tree, "left.left.left.name"), "");
    ck_assert_str_eq(look(tree, "left.left.nmae"), "nothing 2: name left");
    ck_assert_str_eq(
        look("{$ref: '#/$defs/a', $defs: {a: {properties: {b: {}}, " CLOSED "}}}", "c"),
        "nothing 0: b");
}
END_TEST

START_TEST(of_allof_one_part_forbids_of_anyof_all_must)
{
    const char *open = "{anyOf: [{properties: {a: {}}, " CLOSED "}, {properties: {b: {}}}]}";
    const char *closed =
        "{oneOf: [{properties: {a: {}}, " CLOSED "}, {properties: {b: {}}, " CLOSED "}]}";

    ck_assert_str_eq(look("{allOf: [{properties: {a: {}}, " CLOSED "}], properties: {b: {}}}", "b"),
                     "nothing 0: b a");
    ck_assert_str_eq(look(open, "b"), "");
    ck_assert_str_eq(look(open, "c"), "undeclared 0: a b");
    ck_assert_str_eq(look(closed, "b"), "");
    ck_assert_str_eq(look(closed, "c"), "nothing 0: a b");
    ck_assert_str_eq(look("{if: {required: [a]}, then: {properties: {b: {}}}}", "b"), "");
    ck_assert_str_eq(
        look("{properties: {a: {}}, dependentSchemas: {a: {properties: {b: {}}}}}", "b"), "");
}
END_TEST

START_TEST(what_is_left_over_may_be_forbidden_too)
{
    const char *schema =
        "{allOf: [{properties: {a: {}}}], properties: {b: {}}, unevaluatedProperties: false}";

    ck_assert_str_eq(look(schema, "a"), "");
    ck_assert_str_eq(look(schema, "b"), "");
    ck_assert_str_eq(look(schema, "c"), "nothing 0: b a");
    ck_assert_str_eq(look("{properties: {b: {}}, unevaluatedProperties: {}}", "c"), "");
}
END_TEST

START_TEST(a_schema_that_takes_too_long_to_look_at_forbids_nothing)
{
    struct pl_str path[PATH_MAX_MEMBERS];
    size_t n = split("a.a.a.a.a.a.a.x", path), at = 0;
    uint64_t work = 1000000;
    const char *const *names = NULL;
    const char *part = "{properties: {a: {$ref: '#'}}, " CLOSED "}";
    char yaml[2048];
    int length = snprintf(yaml, sizeof(yaml), "{anyOf: [%s", part);

    for (int i = 0; i < 20; i++) /* 20^8 ways */
        length += snprintf(yaml + length, sizeof(yaml) - (size_t)length, ", %s", part);
    (void)snprintf(yaml + length, sizeof(yaml) - (size_t)length, "]}");
    ck_assert_int_eq(schema_look(good(yaml, NULL), arena, path, n, &work, &at, &names),
                     SCHEMA_FINDS);
}
END_TEST

START_TEST(no_path_is_looked_at_when_the_work_is_used_up)
{
    const struct schema *schema = good("{properties: {a: {}}, " CLOSED "}", NULL);
    const struct pl_str path = PL_STR("b");
    const char *const *names = NULL;
    uint64_t work = 5;
    size_t at = 0;

    ck_assert_int_eq(schema_look(schema, arena, &path, 1, &work, &at, &names),
                     SCHEMA_FINDS_NOTHING);
    ck_assert_uint_lt(work, 5);
    work = 1;
    ck_assert_int_eq(schema_look(schema, arena, &path, 1, &work, &at, &names), SCHEMA_FINDS);
    ck_assert_uint_eq(work, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/schema_paths");
    TCase *tcase = tcase_create("paths");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_closed_schema_has_its_properties_and_no_others);
    tcase_add_test(tcase, an_open_schema_may_have_others);
    tcase_add_test(tcase, members_of_members_and_elements_are_followed);
    tcase_add_test(tcase, of_a_tuple_any_element_may_be_meant);
    tcase_add_test(tcase, references_are_followed_also_in_circles);
    tcase_add_test(tcase, of_allof_one_part_forbids_of_anyof_all_must);
    tcase_add_test(tcase, what_is_left_over_may_be_forbidden_too);
    tcase_add_test(tcase, no_path_is_looked_at_when_the_work_is_used_up);
    tcase_add_test(tcase, a_schema_that_takes_too_long_to_look_at_forbids_nothing);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
