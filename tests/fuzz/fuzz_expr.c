/* fuzz_expr.c - expressions and templates: any text must compile or give a problem, what compiles
 * must render to strict JSON that says the same as its text, and what jq programs mention must make
 * a document that is strict JSON. */
#include "base/json.h"
#include "service/expr/expr.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static struct pl_str root_value(void *arg, const struct expr_ref *ref)
{
    (void)arg;
    if (ref->root == EXPR_ROOT_INPUT)
        return PL_STR("{\"a\": [1, -2.50, {\"b\": \"x\\\"y\\\\\\u00e9\\n\"}, [], {}], \"\": null, "
                      "\"s\": \"\\ud83d\\ude00\", \"big\": 12345678901234567890}");
    return ref->root == EXPR_ROOT_RUN ? PL_STR("{\"id\":\"r\",\"metadata\":{\"k\":[true,false]}}")
                                      : (struct pl_str){0};
}

static struct pl_str step_value(void *arg, const struct step_def *step, enum expr_step_field field)
{
    (void)arg;
    (void)step;
    return field == EXPR_STEP_OUTPUT ? PL_STR("\"line\\n\\ttab \\\\ \\u0001\"")
                                     : PL_STR(" { \"k\" : [ 1 , 2 ] } ");
}

/* A string in the JSON must be the text; another value the text's JSON, null nothing. */
static void compare(struct pl_str json, struct pl_str text)
{
    struct pl_buf decoded;

    must(json_check(json, 128, NULL, NULL) == PL_OK);
    if (json_type(json) == JSON_NULL) {
        must(text.len == 0);
    } else if (json_type(json) == JSON_STRING) {
        pl_buf_init(&decoded, (size_t)64 << 20);
        json_decode_string(json, &decoded);
        must(pl_str_eq(pl_buf_view(&decoded), text));
        pl_buf_finish(&decoded);
    } else {
        must(json_equal(json, text));
    }
}

static enum pl_code jq_value(void *arg, const struct expr *expr, struct pl_str *ret_json,
                             struct pl_err *err)
{
    (void)arg;
    (void)err;
    must(expr->kind == EXPR_JQ);
    *ret_json = expr->program.len % 2 ? PL_STR("null") : PL_STR("[\"a\\n\", {\"k\": 1e3}]");
    return PL_OK;
}

static const struct expr_scope scope = {.root = root_value, .step = step_value, .jq = jq_value};

/* A name is written in the text of its expression, unless its characters are. */
static void check_ref(const struct expr *expr, const struct expr_ref *ref)
{
    must(ref->root < EXPR_ROOT__COUNT && ref->field <= EXPR_STEP_JOIN);
    must(ref->root != EXPR_ROOT_STEP || ref->name.ptr);
    if (ref->name.len && !memchr(expr->text.ptr, '\\', expr->text.len))
        must(memmem(expr->text.ptr, expr->text.len, ref->name.ptr, ref->name.len) != NULL);
}

static void check_expr(struct expr *expr)
{
    struct pl_buf document;

    must(expr->kind == EXPR_JQ ? expr->n_segments == 0 && expr->program.len > 0 : expr->n_refs > 0);
    for (size_t i = 0; i < expr->n_refs; i++)
        check_ref(expr, &expr->refs[i]);
    for (size_t i = 0; i < expr->n_segments; i++)
        if (expr->segments[i].dynamic)
            must(expr->segments[i].dynamic->refs > expr->refs &&
                 expr->segments[i].dynamic->refs < expr->refs + expr->n_refs);
    pl_buf_init(&document, (size_t)16 << 20);
    must(expr_write_document((const struct expr *const *)&expr, 1, &scope, &document, NULL) ==
         PL_OK);
    must(json_check(pl_buf_view(&document), 128, NULL, NULL) == PL_OK);
    pl_buf_finish(&document);
}

static void render(const struct template *template)
{
    struct pl_buf json, text;
    struct pl_err err;
    enum pl_code code;

    pl_buf_init(&json, (size_t)16 << 20);
    pl_buf_init(&text, (size_t)16 << 20);
    code = template_write_json(template, &scope, &json, &err);
    must(code == PL_OK || code == PL_ERR_EXPRESSION_ERROR);
    must(template_write_text(template, &scope, &text, &err) == code);
    if (code == PL_OK)
        compare(pl_buf_view(&json), pl_buf_view(&text));
    pl_buf_finish(&json);
    pl_buf_finish(&text);
}

static const struct expr_as as = {.name = {.ptr = "x", .len = 1}};
static const struct expr_names all = {.roots = (1u << EXPR_ROOT__COUNT) - 1, .as = &as};
static const struct expr_names input_only = {.roots = 1u << EXPR_ROOT_INPUT};
static const struct expr_names reducer = {.fold = true};

static void check(struct pl_str document, enum doc_format format)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    struct doc_node *root = NULL;
    struct template *template;
    struct expr_sink sink;
    enum pl_code code;
    size_t before;

    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    code = doc_parse(arena, document, format, &root, &problems);
    before = problems.total;
    if (root) {
        template = template_compile(arena, root, all, &sink, &problems);
        must(template ? problems.total == before : problems.total > 0);
        if (template && code == PL_OK)
            render(template);
        (void)expr_compile(arena, root, input_only, &sink, &problems);
        (void)expr_compile(arena, root, reducer, &sink, &problems);
        for (struct expr *expr = sink.first; expr; expr = expr->next)
            check_expr(expr);
    }
    must(root || code != PL_OK);
    pl_arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pl_buf string;

    if (size > 16384)
        return 0;
    pl_buf_init(&string, (size_t)1 << 20);
    json_write_string(&string, pl_str_n((const char *)data, size));
    check(pl_buf_view(&string), DOC_JSON);
    pl_buf_finish(&string);
    check(pl_str_n((const char *)data, size), DOC_AUTO);
    return 0;
}
