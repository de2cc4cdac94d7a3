/* template.c - values with expressions in their strings: compiling the tree, finding what is
 * constant. Not writing (template_write.c) and not the paths (expr_parse.c). Called by
 * workflow_parse. */
#include "service/expr/expr_parse.h"
#include "service/expr/expr_scan.h"

/* One compiled value; `pure` says that the node as it stands is the value, so that its JSON can be
 * written with its parent's. A pure template has no text yet. */
struct compiled {
    struct template *template;
    bool pure;
};

static bool json_of_string(struct pl_arena *arena, struct pl_str text, struct pl_str *ret)
{
    struct doc_node node = {.type = DOC_STRING, .text = text};

    *ret = doc_json(arena, &node);
    return !pl_arena_failed(arena);
}

/* Writes the JSON of a constant that stands beside expressions. */
static bool settle(struct pl_arena *arena, const struct compiled *compiled)
{
    if (compiled->pure)
        compiled->template->json = doc_json(arena, compiled->template->node);
    return !pl_arena_failed(arena);
}

/* ---- text ---- */

/* `text` with each `$${` as `${`. */
static struct pl_str unescape(struct pl_arena *arena, struct pl_str text)
{
    char *out = pl_arena_alloc(arena, text.len + 1);
    size_t length = 0, at = 0, next;
    bool escaped;

    if (!out)
        return (struct pl_str){0};
    while (expr_scan_open(text, at, &next, &escaped)) {
        memcpy(out + length, text.ptr + at, next - at);
        length += next - at;
        memcpy(out + length, "${", 2);
        length += 2;
        at = next + (escaped ? 3 : 2);
    }
    memcpy(out + length, text.ptr + at, text.len - at);
    return pl_str_n(out, length + text.len - at);
}

static bool add_literal(struct expr_context *context, struct template *template, struct pl_str text)
{
    struct template_part *part;
    struct pl_str token;

    if (text.len == 0)
        return true;
    part = &template->parts[template->count];
    part->literal = unescape(context->arena, text);
    if (pl_arena_failed(context->arena) || !json_of_string(context->arena, part->literal, &token))
        return false;
    part->escaped = pl_str_n(token.ptr + 1, token.len - 2);
    template->count++;
    return true;
}

static bool no_end(struct expr_context *context, const struct doc_node *node, size_t open)
{
    char shown[DOC_EXCERPT];

    doc_excerpt(pl_str_n(node->text.ptr + open, node->text.len - open), shown);
    doc_problem_at(context->problems, node, false,
                   "the expression '%s' has no end: '}' is missing; a literal '${' is written "
                   "'$${'",
                   shown);
    return false;
}

/* Splits the text of a node into parts, of which there is room. All expressions are looked at,
 * whatever is wrong with one; false when something is. */
static bool split(struct expr_context *context, const struct doc_node *node,
                  struct template *template)
{
    struct pl_str text = node->text;
    size_t from = 0, at = 0, close;
    bool escaped, good = true;

    while (expr_scan_open(text, at, &at, &escaped)) {
        struct expr *expr;

        if (escaped) {
            at += 3;
            continue;
        }
        if (!expr_scan_close(text, at, &close))
            return no_end(context, node, at);
        expr = expr_parse(context, node, pl_str_n(text.ptr + at + 2, close - at - 2));
        if (!add_literal(context, template, pl_str_n(text.ptr + from, at - from)))
            return false;
        if (expr)
            template->parts[template->count++].expr = expr;
        else
            good = false;
        from = at = close + 1;
    }
    return add_literal(context, template, pl_str_n(text.ptr + from, text.len - from)) && good;
}

static size_t count_expressions(struct pl_str text)
{
    size_t at = 0, count = 0;
    bool escaped;

    while (expr_scan_open(text, at, &at, &escaped)) {
        count++;
        at += 2;
    }
    return count;
}

static bool compile_string(struct expr_context *context, const struct doc_node *node,
                           struct compiled *ret)
{
    struct template *template = ret->template;
    size_t count = count_expressions(node->text);

    ret->pure = count == 0;
    if (ret->pure)
        return true;
    template->parts =
        pl_arena_alloc_array(context->arena, 2 * count + 1, sizeof(template->parts[0]));
    if (!template->parts || !split(context, node, template))
        return false;
    if (template->count == 1 && template->parts[0].expr) {
        template->kind = TEMPLATE_EXPR;
        template->expr = template->parts[0].expr;
    } else if (template->count == 1) { /* only `$${` in it */
        return json_of_string(context->arena, template->parts[0].literal, &template->json);
    } else {
        template->kind = TEMPLATE_TEXT;
    }
    return true;
}

/* ---- lists and objects ---- */

static bool compile_key(struct expr_context *context, const struct doc_node *node,
                        struct pl_str *ret, bool *pure)
{
    struct pl_str key = node->key;
    size_t at = 0;
    bool escaped;

    while (expr_scan_open(key, at, &at, &escaped)) {
        *pure = false;
        if (!escaped) {
            doc_problem_at(context->problems, node, true,
                           "an expression cannot stand in a key; a literal '${' is written "
                           "'$${'");
            return false;
        }
        at += 3;
    }
    return json_of_string(context->arena, *pure ? key : unescape(context->arena, key), ret);
}

static bool compile(struct expr_context *context, const struct doc_node *node,
                    struct compiled *ret);

/* The members of a list or object, each tried whatever is wrong with the others. */
static bool compile_items(struct expr_context *context, const struct doc_node *node,
                          struct template *template, struct compiled *items, bool *ret_pure)
{
    bool good = true;

    *ret_pure = true;
    for (size_t i = 0; i < node->count; i++) {
        bool key_pure = true;

        if (node->type == DOC_OBJECT)
            good &= compile_key(context, node->items[i], &template->keys[i], &key_pure);
        good &= compile(context, node->items[i], &items[i]);
        *ret_pure &= key_pure && items[i].pure;
        if (pl_arena_failed(context->arena))
            return false;
    }
    return good;
}

static bool compile_container(struct expr_context *context, const struct doc_node *node,
                              struct compiled *ret)
{
    struct pl_arena *arena = context->arena;
    struct template *template = ret->template;
    struct compiled *items = pl_arena_alloc_array(arena, node->count + 1, sizeof(*items));

    template->keys = pl_arena_alloc_array(arena, node->count + 1, sizeof(template->keys[0]));
    template->items = pl_arena_alloc_array(arena, node->count + 1, sizeof(template->items[0]));
    if (!items || !template->keys || !template->items)
        return false;
    if (!compile_items(context, node, template, items, &ret->pure))
        return false;
    if (ret->pure)
        return true;
    template->kind = node->type == DOC_LIST ? TEMPLATE_LIST : TEMPLATE_OBJECT;
    template->count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        if (!settle(arena, &items[i]))
            return false;
        template->items[i] = items[i].template;
    }
    return true;
}

/* False when there was a problem or the arena failed. */
static bool compile(struct expr_context *context, const struct doc_node *node, struct compiled *ret)
{
    *ret = (struct compiled){.template = pl_arena_alloc(context->arena, sizeof(*ret->template))};
    if (!ret->template || node->refused)
        return false;
    ret->template->kind = TEMPLATE_CONST;
    ret->template->node = node;
    if (node->type == DOC_STRING)
        return compile_string(context, node, ret);
    if (node->type == DOC_LIST || node->type == DOC_OBJECT)
        return compile_container(context, node, ret);
    ret->pure = true;
    return true;
}

struct template *template_compile(struct pl_arena *arena, const struct doc_node *node,
                                  struct expr_names names, struct expr_sink *sink,
                                  struct doc_problems *problems)
{
    struct expr_context context = {
        .arena = arena, .names = names, .sink = sink, .problems = problems};
    struct compiled compiled;

    if (!compile(&context, node, &compiled) || !settle(arena, &compiled))
        return NULL;
    return compiled.template;
}
