/* schema_json.c - a compiled schema written out again so that it stands alone: what it refers to in
 * a library comes along, references become pointers within the text. Not compilation. Called for
 * providers that take a schema with a request. */
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "service/schema/schema_node.h"
#include "service/schema/schema_uri.h"

#include <stdio.h>

/* A document of the library that is moved into `$defs`. */
struct moved {
    const struct schema_document *document;
    struct pl_str name; /* there */
    struct moved *next;
};

struct writer {
    struct pl_arena *arena;
    const struct schema *root;
    struct pl_map *seen; /* documents in `moved`, by address */
    struct moved *first, **last;
    struct pl_buf out;
};

static bool is_taken(const struct writer *writer, struct pl_str name)
{
    const struct doc_node *defs = doc_get(writer->root->node, "$defs");

    if (defs && doc_get_str(defs, name))
        return true;
    for (const struct moved *moved = writer->first; moved; moved = moved->next)
        if (pl_str_eq(moved->name, name))
            return true;
    return false;
}

/* Where a document goes; remembers it when it is new. NULL: it is the one that is written, or the
 * arena failed. */
static const struct moved *move(struct writer *writer, const struct schema_document *document)
{
    const struct pl_str key = pl_str_n((const char *)&document, sizeof(document));
    struct moved *moved;

    if (document == writer->root->document)
        return NULL;
    moved = pl_map_get(writer->seen, key);
    if (moved)
        return moved;
    moved = pl_arena_alloc(writer->arena, sizeof(*moved));
    if (!moved)
        return NULL;
    moved->document = document;
    moved->name = document->name;
    for (unsigned n = 2; is_taken(writer, moved->name) && !pl_arena_failed(writer->arena); n++)
        moved->name =
            pl_str(pl_arena_printf(writer->arena, "%.*s_%u", PL_STR_ARG(document->name), n));
    (void)pl_map_put(writer->seen,
                     pl_str_n((const char *)&moved->document, sizeof(moved->document)), moved,
                     NULL);
    *writer->last = moved;
    writer->last = &moved->next;
    return moved;
}

static void write_way(struct writer *writer, const struct doc_node *node,
                      const struct doc_node *root)
{
    if (node == root)
        return;
    write_way(writer, node->parent, root);
    pl_buf_char(&writer->out, '/');
    if (node->parent->type == DOC_OBJECT)
        schema_uri_write_key(&writer->out, node->key);
    else
        pl_buf_int(&writer->out, (int64_t)node->position);
}

/* The pointer to a schema in the text that is written; nothing in it needs an escape of JSON. */
static void write_ref(struct writer *writer, const struct schema *target)
{
    const struct moved *moved = move(writer, target->document);

    pl_buf_text(&writer->out, "\"#");
    if (moved) {
        pl_buf_text(&writer->out, "/$defs/");
        schema_uri_write_key(&writer->out, moved->name);
    }
    write_way(writer, target->node, target->document->root);
    pl_buf_char(&writer->out, '"');
}

static const struct schema *schema_at(const struct schema_document *document,
                                      const struct doc_node *node)
{
    return pl_map_get(document->nodes, pl_str_n((const char *)&node, sizeof(node)));
}

static void write_node(struct writer *writer, const struct schema_document *document,
                       const struct doc_node *node);

static void write_key(struct writer *writer, struct pl_str key)
{
    json_comma(&writer->out);
    json_write_string(&writer->out, key);
    pl_buf_char(&writer->out, ':');
}

/* One member of an object; `schema` when that is a schema, not a value or a list of names. */
static void write_member(struct writer *writer, const struct schema_document *document,
                         const struct schema *schema, const struct doc_node *member)
{
    if (schema && (pl_str_is(member->key, "$id") || pl_str_is(member->key, "$anchor")))
        return;
    write_key(writer, member->key);
    if (schema && schema->ref && pl_str_is(member->key, "$ref"))
        write_ref(writer, schema->ref);
    else
        write_node(writer, document, member);
}

static void write_node(struct writer *writer, const struct schema_document *document,
                       const struct doc_node *node)
{
    const bool object = node->type == DOC_OBJECT;
    const struct schema *schema = object ? schema_at(document, node) : NULL;

    if (!object && node->type != DOC_LIST) {
        doc_write_json(node, &writer->out);
        return;
    }
    pl_buf_char(&writer->out, object ? '{' : '[');
    for (size_t i = 0; i < node->count && !pl_buf_failed(&writer->out); i++) {
        if (object) {
            write_member(writer, document, schema, node->items[i]);
        } else {
            json_comma(&writer->out);
            write_node(writer, document, node->items[i]);
        }
    }
    pl_buf_char(&writer->out, object ? '}' : ']');
}

/* `$defs` of the whole: its own, and what has been moved there. Writing may move more. */
static void write_defs(struct writer *writer, const struct doc_node *defs)
{
    if (!defs && !writer->first)
        return;
    write_key(writer, PL_STR("$defs"));
    json_object_begin(&writer->out);
    for (size_t i = 0; defs && i < defs->count; i++)
        write_member(writer, writer->root->document, NULL, defs->items[i]);
    for (const struct moved *moved = writer->first; moved; moved = moved->next) {
        write_key(writer, moved->name);
        write_node(writer, moved->document, moved->document->root);
    }
    json_object_end(&writer->out);
}

static void write_root(struct writer *writer)
{
    const struct doc_node *node = writer->root->node, *defs = doc_get(node, "$defs");

    if (node->type != DOC_OBJECT) {
        doc_write_json(node, &writer->out);
        return;
    }
    json_object_begin(&writer->out);
    for (size_t i = 0; i < node->count; i++)
        if (node->items[i] != defs)
            write_member(writer, writer->root->document, writer->root, node->items[i]);
    write_defs(writer, defs);
    json_object_end(&writer->out);
}

struct pl_str schema_json(struct schema *schema, struct pl_arena *arena)
{
    struct writer writer = {.arena = arena, .root = schema, .seen = pl_map_create(arena, 8)};
    struct pl_str json = {0};

    if (schema->alone.ptr || !writer.seen)
        return schema->alone;
    writer.last = &writer.first;
    pl_buf_init(&writer.out, SCHEMA_TEXT);
    write_root(&writer);
    if (pl_buf_failed(&writer.out))
        (void)pl_arena_alloc_array(arena, SIZE_MAX, 2); /* the arena carries it to the caller */
    else
        json = pl_arena_str(arena, pl_buf_view(&writer.out));
    pl_buf_finish(&writer.out);
    if (!pl_arena_failed(arena))
        schema->alone = json;
    return schema->alone;
}
