/* fuzz_schema.c - a schema, a line of three dashes, and a value. Whatever they are, filling keeps
 * the value strict JSON, and what was filled needs no more; the schema written out to stand alone
 * judges the same; what is made up for it fits. Its `$defs` serve as a library too. */
#include "base/json.h"
#include "service/schema/schema.h"
#include "service/schema/schema_sample.h"
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

/* What has been written out compiles and judges the same. */
static void stand_alone(struct schema *schema, struct pl_arena *arena, struct pl_str json)
{
    struct pl_str text = schema_json(schema, arena), filled = {0};
    struct doc_problems problems;
    struct doc_node *root = NULL;
    struct schema *alone;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    must(json_check(text, 256, NULL, NULL) == PL_OK);
    must(doc_parse(arena, text, DOC_JSON, &root, &problems) == PL_OK);
    alone = schema_compile(arena, root, &problems);
    must(alone != NULL);
    doc_problems_init(&problems, arena);
    code = schema_apply(schema, arena, json, &filled, &problems);
    doc_problems_init(&problems, arena);
    must(schema_apply(alone, arena, json, &filled, &problems) == code);
}

static void sample(const struct schema *schema, struct pl_arena *arena)
{
    struct pl_str filled = {0};
    struct doc_problems problems;
    struct pl_buf out;
    struct pl_err err;

    pl_buf_init(&out, 1 << 16);
    doc_problems_init(&problems, arena);
    if (schema_sample_write(schema, PL_STR("some text"), &out, &err) == PL_OK) {
        must(json_check(pl_buf_view(&out), 64, NULL, NULL) == PL_OK);
        must(schema_apply(schema, arena, pl_buf_view(&out), &filled, &problems) == PL_OK);
    }
    pl_buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pl_str text = pl_str_n((const char *)data, size);
    const char *dashes = memmem(data, size, "\n---\n", 5);
    struct pl_str document = text, json = PL_STR("{}");
    struct doc_problems problems;
    struct schema_library *library;
    struct schema *schema = NULL;
    struct doc_node *root = NULL;
    struct pl_arena *arena;
    bool sound;

    if (size > 8192)
        return 0;
    if (dashes) {
        document.len = (size_t)(dashes - text.ptr);
        json = pl_str_n(dashes + 5, text.len - document.len - 5);
    }
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
    sound = doc_parse(arena, document, DOC_AUTO, &root, &problems) == PL_OK;
    if (sound) {
        schema = schema_compile(arena, root, &problems);
        must((schema != NULL) == (problems.total == 0));
    }
    if (schema && json_check(json, 64, NULL, NULL) == PL_OK) {
        apply(schema, arena, json);
        stand_alone(schema, arena, json);
        sample(schema, arena);
    }
    if (sound && root->type == DOC_OBJECT && doc_get(root, "$defs")) {
        doc_problems_init(&problems, arena);
        library = schema_library_create(arena, doc_get(root, "$defs"), &problems);
        must(library != NULL);
        schema = problems.total ? NULL : schema_compile_in(arena, root, library, &problems);
        if (schema && json_check(json, 64, NULL, NULL) == PL_OK)
            stand_alone(schema, arena, json);
    }
    pl_arena_destroy(&arena);
    return 0;
}
