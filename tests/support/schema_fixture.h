/* schema_fixture.h - what the tests of schemas share: an arena, the problems of the last call, and
 * YAML made into a schema. Not a test. Included by tests/unit/service/test_schema*.c, each of which
 * has its own. */
#ifndef PLAIT_TESTS_SUPPORT_SCHEMA_FIXTURE_H
#define PLAIT_TESTS_SUPPORT_SCHEMA_FIXTURE_H

#include "service/schema/schema.h"

#include <check.h>

static struct pl_arena *arena;
static struct doc_problems problems;

PL_UNUSED static void setup(void)
{
    arena = pl_arena_create(0);
}

PL_UNUSED static void teardown(void)
{
    pl_arena_destroy(&arena);
}

PL_UNUSED static const char *first_problem(void)
{
    return problems.count ? problems.items[0].message : "";
}

PL_UNUSED static struct doc_node *parse(const char *yaml)
{
    struct doc_node *root = NULL;

    doc_problems_init(&problems, arena);
    ck_assert_msg(doc_parse(arena, pl_str(yaml), DOC_YAML, &root, &problems) == PL_OK, "%s: %s",
                  yaml, first_problem());
    return root;
}

/* NULL when the schema is refused. `names` may be NULL: there is no library. */
PL_UNUSED static struct schema *compile(const char *yaml, const struct schema_library *names)
{
    return schema_compile_in(arena, parse(yaml), names, &problems);
}

PL_UNUSED static struct schema *good(const char *yaml, const struct schema_library *names)
{
    struct schema *schema = compile(yaml, names);

    ck_assert_msg(schema, "%s: %s", yaml, first_problem());
    return schema;
}

PL_UNUSED static bool fits(const struct schema *schema, const char *json)
{
    struct pl_str filled;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    code = schema_apply(schema, arena, pl_str(json), &filled, &problems);
    ck_assert(code == PL_OK || code == PL_ERR_INVALID_INPUT);
    ck_assert_int_eq(code == PL_OK, problems.total == 0);
    return code == PL_OK;
}

#endif
