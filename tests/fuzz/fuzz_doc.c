/* fuzz_doc.c - documents of either format. One that is accepted must come out as strict JSON that
 * reads back as the same values; problems of one that is not must point into the text. */
#include "base/json.h"
#include "service/workflow/doc.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void walk(struct pl_arena *arena, const struct doc_node *node)
{
    must(node->line > 0 && node->column > 0);
    (void)doc_type_name(node->type);
    for (size_t i = 0; i < node->count; i++) {
        const struct doc_node *child = node->items[i];

        must(child->parent == node && child->position == i);
        if (node->type == DOC_OBJECT)
            must(doc_get_str(node, child->key) != NULL);
        if (i < 4)
            must(doc_pointer(arena, child)[0] == '/');
        walk(arena, child);
    }
}

static void check_problems(struct doc_problems *problems, struct pl_str text)
{
    static const char *const names[] = {"name", "steps", "input", NULL};

    must(problems->total >= problems->count);
    for (size_t i = 0; i < problems->count; i++) {
        must(problems->items[i].line <= text.len + 1 && problems->items[i].column <= text.len + 1);
        (void)doc_nearest(pl_str(problems->items[i].message), names);
    }
    doc_problems_sort(problems);
}

/* The JSON of an accepted document is strict, and is the same document. */
static void check_json(struct pl_arena *arena, const struct doc_node *root)
{
    struct pl_str json = doc_json(arena, root);
    struct doc_problems problems;
    struct doc_node *again = NULL;

    doc_problems_init(&problems, arena);
    must(json_check(json, 64, NULL, NULL) == PL_OK);
    if (json.len > (8u << 20))
        return;
    must(doc_parse(arena, json, DOC_JSON, &again, &problems) == PL_OK);
    must(pl_str_eq(doc_json(arena, again), json));
}

static void check(struct pl_str text, enum doc_format format)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    struct doc_node *root = NULL;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    code = doc_parse(arena, text, format, &root, &problems);
    must((code == PL_OK) == (problems.total == 0));
    must(code != PL_OK || root);
    check_problems(&problems, text);
    if (root)
        walk(arena, root);
    if (code == PL_OK)
        check_json(arena, root);
    pl_arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pl_str text = pl_str_n((const char *)data, size);

    if (size > 65536)
        return 0;
    check(text, DOC_AUTO);
    check(text, DOC_YAML);
    check(text, DOC_JSON);
    return 0;
}
