/* doc.c - reading a document of either format, and looking into the tree: members, pointers, JSON
 * text. Not the syntax: doc_json.c and doc_yaml.c. Called by workflow_parse, schema_compile,
 * template_compile, config. */
#include "service/workflow/doc.h"

#include "base/json.h"
#include "base/map.h"
#include "service/workflow/doc_build.h"

#include <stdio.h>

static struct pl_str skip_bom(struct pl_str text)
{
    if (pl_str_starts(text, PL_STR("\xEF\xBB\xBF")))
        return pl_str_n(text.ptr + 3, text.len - 3);
    return text;
}

static bool looks_like_json(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            return c == '{' || c == '[';
    }
    return false;
}

static void append_problems(struct doc_problems *to, const struct doc_problems *from)
{
    for (size_t i = 0; i < from->count; i++)
        doc_problem_add(to, from->items[i].line, from->items[i].column, from->items[i].pointer,
                        "%s", from->items[i].message);
    to->total += from->total - from->count;
}

/* A text that begins as JSON does is JSON, or YAML in flow style. What is neither is reported as
 * broken JSON, unless YAML knows better: an expression that had to be quoted. */
static enum pl_code parse_either(struct pl_arena *arena, struct pl_str text,
                                 struct doc_node **ret_root, struct doc_problems *problems)
{
    struct doc_problems as_json, as_yaml;
    struct doc_node *json_root = NULL, *yaml_root = NULL;
    enum pl_code json_code, yaml_code;
    bool unquoted = false;

    doc_problems_init(&as_json, problems->arena);
    doc_problems_init(&as_yaml, problems->arena);
    json_code = doc_parse_json(arena, text, &json_root, &as_json);
    if (json_code == PL_ERR_INVALID_JSON && !json_root) {
        yaml_code = doc_parse_yaml(arena, text, &yaml_root, &as_yaml, &unquoted);
        if (yaml_code != PL_ERR_INVALID_YAML || yaml_root || unquoted) {
            append_problems(problems, &as_yaml);
            if (yaml_root)
                *ret_root = yaml_root;
            return yaml_code;
        }
    }
    append_problems(problems, &as_json);
    if (json_root)
        *ret_root = json_root;
    return json_code;
}

enum pl_code doc_parse(struct pl_arena *arena, struct pl_str text, enum doc_format format,
                       struct doc_node **ret_root, struct doc_problems *problems)
{
    bool unquoted;

    if (text.len > PL_LIMIT_DOCUMENT_BYTES) {
        doc_problem_add(problems, 0, 0, "", "the document has %zu bytes; at most %d are allowed",
                        text.len, PL_LIMIT_DOCUMENT_BYTES);
        return PL_ERR_TOO_LARGE;
    }
    if (!text.ptr) /* nothing at all is an empty text, which the readers can look at */
        text = PL_STR("");
    if (format == DOC_JSON)
        return doc_parse_json(arena, text, ret_root, problems);
    text = skip_bom(text);
    if (format == DOC_AUTO && looks_like_json(text))
        return parse_either(arena, text, ret_root, problems);
    return doc_parse_yaml(arena, text, ret_root, problems, &unquoted);
}

const struct doc_node *doc_get_str(const struct doc_node *object, struct pl_str key)
{
    if (!object || object->type != DOC_OBJECT)
        return NULL;
    if (object->by_key)
        return pl_map_get(object->by_key, key);
    for (size_t i = 0; i < object->count; i++)
        if (pl_str_eq(object->items[i]->key, key))
            return object->items[i];
    return NULL;
}

const struct doc_node *doc_get(const struct doc_node *object, const char *key)
{
    return doc_get_str(object, pl_str(key));
}

const char *doc_type_name(enum doc_type type)
{
    switch (type) {
    case DOC_NULL:
        return "null";
    case DOC_BOOL:
        return "a boolean";
    case DOC_NUMBER:
        return "a number";
    case DOC_STRING:
        return "a string";
    case DOC_LIST:
        return "a list";
    case DOC_OBJECT:
        return "an object";
    }
    return "a value";
}

static size_t escaped_length(struct pl_str key)
{
    size_t length = key.len;

    for (size_t i = 0; i < key.len; i++)
        length += key.ptr[i] == '~' || key.ptr[i] == '/';
    return length;
}

/* Writes one reference token so that it ends at `end`; gives where it begins, at its slash. */
static char *write_token_before(char *end, struct pl_str key)
{
    for (size_t i = key.len; i > 0; i--) {
        char c = key.ptr[i - 1];

        if (c == '~' || c == '/') {
            *--end = c == '~' ? '0' : '1';
            c = '~';
        }
        *--end = c;
    }
    *--end = '/';
    return end;
}

/* The token of a node below its parent; digits of a list's element go to `digits`. */
static struct pl_str token_of(const struct doc_node *node, char digits[static 24])
{
    if (node->parent->type == DOC_OBJECT)
        return node->key;
    (void)snprintf(digits, 24, "%zu", node->position);
    return pl_str(digits);
}

const char *doc_pointer(struct pl_arena *arena, const struct doc_node *node)
{
    char digits[24], *text, *at;
    size_t length = 0;

    if (!node || !node->parent)
        return "";
    for (const struct doc_node *n = node; n->parent; n = n->parent)
        length += 1 + escaped_length(token_of(n, digits));
    text = pl_arena_alloc(arena, length + 1);
    if (!text)
        return "";
    at = text + length;
    for (const struct doc_node *n = node; n->parent; n = n->parent)
        at = write_token_before(at, token_of(n, digits));
    return text;
}

void doc_write_json(const struct doc_node *node, struct pl_buf *out)
{
    bool object = node->type == DOC_OBJECT;

    switch (node->type) {
    case DOC_NULL:
        pl_buf_text(out, "null");
        return;
    case DOC_BOOL:
    case DOC_NUMBER:
        pl_buf_str(out, node->text);
        return;
    case DOC_STRING:
        json_write_string(out, node->text);
        return;
    case DOC_LIST:
    case DOC_OBJECT:
        break;
    }
    pl_buf_char(out, object ? '{' : '[');
    for (size_t i = 0; i < node->count && !pl_buf_failed(out); i++) {
        if (i)
            pl_buf_char(out, ',');
        if (object) {
            json_write_string(out, node->items[i]->key);
            pl_buf_char(out, ':');
        }
        doc_write_json(node->items[i], out);
    }
    pl_buf_char(out, object ? '}' : ']');
}

struct pl_str doc_json(struct pl_arena *arena, const struct doc_node *node)
{
    struct pl_str json = {0};
    struct pl_buf buf;

    /* Escapes make text six times as long at the most, and each value has a few bytes of its own.
     */
    pl_buf_init(&buf, (size_t)6 * DOC_EXPANDED_BYTES + (size_t)8 * PL_LIMIT_DOCUMENT_NODES);
    doc_write_json(node, &buf);
    if (pl_buf_failed(&buf))
        (void)pl_arena_alloc_array(arena, SIZE_MAX, 2); /* the arena carries the failure */
    else
        json = pl_arena_str(arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
    return json;
}
