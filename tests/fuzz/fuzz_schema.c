/* fuzz_schema.c - a schema, a line of three dashes, and a value. Whatever they are, filling keeps
 * the value strict JSON, and what was filled needs no more. */
#include "base/json.h"
#include "service/schema.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void apply(const struct schema *schema, struct pl_arena *arena, struct pl_str json)
{
    struct pl_str filled = {0}, again = {0};
    struct doc_problems problems;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    code = schema_apply(schema, arena, json, &filled, &problems);
    must(code == PL_OK || code == PL_ERR_INVALID_INPUT);
    must((code == PL_OK) == (problems.total == 0));
    must(json_check(filled, 256, NULL, NULL) == PL_OK);
    must(schema_apply(schema, arena, filled, &again, &problems) == code);
    must(again.ptr == filled.ptr && again.len == filled.len);
    (void)schema_property_type(schema, PL_STR("a"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pl_str text = pl_str_n((const char *)data, size);
    const char *dashes = memmem(data, size, "\n---\n", 5);
    struct pl_str document = text, json = PL_STR("{}");
    struct doc_problems problems;
    struct schema *schema = NULL;
    struct doc_node *root = NULL;
    struct pl_arena *arena;

    if (size > 8192)
        return 0;
    if (dashes) {
        document.len = (size_t)(dashes - text.ptr);
        json = pl_str_n(dashes + 5, text.len - document.len - 5);
    }
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
    if (doc_parse(arena, document, DOC_AUTO, &root, &problems) == PL_OK) {
        schema = schema_compile(arena, root, &problems);
        must((schema != NULL) == (problems.total == 0));
    }
    if (schema && json_check(json, 64, NULL, NULL) == PL_OK)
        apply(schema, arena, json);
    pl_arena_destroy(&arena);
    return 0;
}
