/* doc_build.c - the tree of a document, from the events of its reader: nesting, limits, duplicate
 * keys, copies for aliases. Not syntax. Called by doc_json.c and doc_yaml.c. */
#include "service/workflow/doc_build.h"

#include "base/map.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Objects with more members than this get a map for look-ups. */
enum { SMALL_OBJECT = 8 };

void doc_builder_init(struct doc_builder *builder, struct pl_arena *arena,
                      struct doc_problems *problems, enum pl_code syntax)
{
    memset(builder, 0, sizeof(*builder));
    builder->arena = arena;
    builder->problems = problems;
    builder->syntax = syntax;
}

void doc_builder_finish(struct doc_builder *builder)
{
    free(builder->pending);
    builder->pending = NULL;
}

struct doc_frame *doc_builder_frame(struct doc_builder *builder)
{
    return builder->depth ? &builder->frames[builder->depth - 1] : NULL;
}

bool doc_builder_wants_key(struct doc_builder *builder)
{
    struct doc_frame *frame = doc_builder_frame(builder);

    return frame && frame->node->type == DOC_OBJECT && !frame->has_key;
}

/* The pointer to the value that comes next, or to the open one when that waits for a key. */
static const char *pointer_here(struct doc_builder *builder)
{
    struct doc_frame *frame = doc_builder_frame(builder);
    struct doc_node next = {0};

    if (!frame)
        return "";
    if (doc_builder_wants_key(builder))
        return doc_pointer(builder->arena, frame->node);
    next.parent = frame->node;
    next.key = frame->key;
    next.position = builder->n_pending - frame->base;
    return doc_pointer(builder->arena, &next);
}

PL_PRINTF(3, 0)
static void problem(struct doc_builder *builder, struct doc_pos pos, const char *fmt, va_list args)
{
    char message[512];

    (void)vsnprintf(message, sizeof(message), fmt, args);
    doc_problem_add(builder->problems, pos.line, pos.column, pointer_here(builder), "%s", message);
}

void doc_builder_refuse(struct doc_builder *builder, struct doc_pos pos, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    problem(builder, pos, fmt, args);
    va_end(args);
    builder->refused = true;
}

void doc_builder_fail(struct doc_builder *builder, enum pl_code code, struct doc_pos pos,
                      const char *fmt, ...)
{
    va_list args;

    if (builder->code != PL_OK)
        return;
    builder->code = code;
    va_start(args, fmt);
    problem(builder, pos, fmt, args);
    va_end(args);
}

static void out_of_memory(struct doc_builder *builder)
{
    builder->code = PL_ERR_NO_MEMORY;
}

void doc_builder_key(struct doc_builder *builder, struct pl_str key, struct doc_pos pos)
{
    struct doc_frame *frame = doc_builder_frame(builder);

    frame->key = key;
    frame->key_pos = pos;
    frame->has_key = true;
    builder->bytes += key.len;
}

static bool push_pending(struct doc_builder *builder, struct doc_node *node)
{
    if (builder->n_pending == builder->pending_capacity) {
        size_t capacity = builder->pending_capacity ? 2 * builder->pending_capacity : 64;
        struct doc_node **grown = realloc(builder->pending, capacity * sizeof(struct doc_node *));

        if (!grown)
            return false;
        builder->pending = grown;
        builder->pending_capacity = capacity;
    }
    builder->pending[builder->n_pending++] = node;
    return true;
}

/* True when `nodes` more values of `bytes` fit; stops the builder when not. */
static bool within_limits(struct doc_builder *builder, size_t nodes, size_t bytes,
                          struct doc_pos pos)
{
    builder->nodes += nodes;
    builder->bytes += bytes;
    if (builder->nodes <= PL_LIMIT_DOCUMENT_NODES && builder->bytes <= DOC_EXPANDED_BYTES)
        return true;
    doc_builder_fail(builder, PL_ERR_TOO_LARGE, pos,
                     "the document is too large here: at most %d values and %d MiB of text, "
                     "aliases expanded",
                     PL_LIMIT_DOCUMENT_NODES, DOC_EXPANDED_BYTES >> 20);
    return false;
}

/* Puts a node in its place: under the open value, or at the root. */
static bool place(struct doc_builder *builder, struct doc_node *node)
{
    struct doc_frame *frame = doc_builder_frame(builder);

    node->key = (struct pl_str){0};
    node->key_line = node->key_column = 0;
    node->parent = NULL;
    node->position = 0;
    if (!frame) {
        builder->root = node;
        return true;
    }
    node->parent = frame->node;
    node->position = builder->n_pending - frame->base;
    if (frame->node->type == DOC_OBJECT) {
        node->key = frame->key;
        node->key_line = frame->key_pos.line;
        node->key_column = frame->key_pos.column;
        frame->has_key = false;
    }
    return push_pending(builder, node);
}

struct doc_node *doc_builder_add(struct doc_builder *builder, enum doc_type type,
                                 struct pl_str text, struct doc_pos pos)
{
    struct doc_node *node;

    if (builder->code != PL_OK || !within_limits(builder, 1, text.len, pos))
        return NULL;
    node = pl_arena_alloc(builder->arena, sizeof(*node));
    if (!node || !place(builder, node)) {
        out_of_memory(builder);
        return NULL;
    }
    node->type = type;
    node->line = pos.line;
    node->column = pos.column;
    node->text = text;
    return node;
}

struct doc_node *doc_builder_open(struct doc_builder *builder, enum doc_type type,
                                  struct doc_pos pos)
{
    struct doc_node *node;
    struct doc_frame *frame;

    if (builder->depth == PL_LIMIT_JSON_DEPTH) {
        doc_builder_fail(builder, builder->syntax, pos, "nested deeper than %d levels",
                         PL_LIMIT_JSON_DEPTH);
        return NULL;
    }
    node = doc_builder_add(builder, type, (struct pl_str){0}, pos);
    if (!node)
        return NULL;
    frame = &builder->frames[builder->depth++];
    *frame = (struct doc_frame){.node = node,
                                .base = builder->n_pending,
                                .nodes_before = builder->nodes - 1,
                                .bytes_before = builder->bytes};
    return node;
}

static void duplicate(struct doc_builder *builder, const struct doc_node *first,
                      const struct doc_node *second)
{
    builder->refused = true;
    doc_problem_at(builder->problems, second, true,
                   "the key '%.*s' is already there on line %u; keep one of the two",
                   PL_STR_ARG(second->key), first->key_line);
}

/* Finds duplicate keys, and gives an object of many members its map. The first of equal keys
 * counts. */
static void index_object(struct doc_builder *builder, struct doc_node *object)
{
    struct pl_map *map;

    if (object->count <= SMALL_OBJECT) {
        for (size_t i = 1; i < object->count; i++)
            for (size_t j = 0; j < i; j++)
                if (pl_str_eq(object->items[i]->key, object->items[j]->key)) {
                    duplicate(builder, object->items[j], object->items[i]);
                    break;
                }
        return;
    }
    map = pl_map_create(builder->arena, object->count);
    for (size_t i = 0; map && i < object->count; i++) {
        struct doc_node *first = pl_map_get(map, object->items[i]->key);

        if (first)
            duplicate(builder, first, object->items[i]);
        else if (!pl_map_put(map, object->items[i]->key, object->items[i], NULL))
            map = NULL;
    }
    if (!map)
        out_of_memory(builder);
    object->by_key = map;
}

void doc_builder_close(struct doc_builder *builder, struct doc_extent *ret_extent)
{
    struct doc_frame *frame = doc_builder_frame(builder), *parent;
    struct doc_node *node = frame->node;

    node->count = builder->n_pending - frame->base;
    if (node->count) {
        node->items = pl_arena_alloc_array(builder->arena, node->count, sizeof(struct doc_node *));
        if (!node->items) {
            out_of_memory(builder);
            return;
        }
        memcpy(node->items, &builder->pending[frame->base], node->count * sizeof(node->items[0]));
    }
    builder->n_pending = frame->base;
    if (node->type == DOC_OBJECT)
        index_object(builder, node);
    *ret_extent = (struct doc_extent){.nodes = builder->nodes - frame->nodes_before,
                                      .bytes = builder->bytes - frame->bytes_before,
                                      .height = frame->height + 1};
    builder->depth--;
    parent = doc_builder_frame(builder);
    if (parent && parent->height < ret_extent->height)
        parent->height = ret_extent->height;
}

/* Copies what is below `from` under `to`. Text and key bytes are shared: they never change. */
static bool copy_children(struct pl_arena *arena, struct doc_node *to, const struct doc_node *from)
{
    if (from->count == 0)
        return true;
    to->items = pl_arena_alloc_array(arena, from->count, sizeof(struct doc_node *));
    if (from->by_key)
        to->by_key = pl_map_create(arena, from->count);
    if (!to->items || (from->by_key && !to->by_key))
        return false;
    for (size_t i = 0; i < from->count; i++) {
        struct doc_node *child = pl_arena_alloc(arena, sizeof(*child));

        if (!child)
            return false;
        *child = *from->items[i];
        child->parent = to;
        child->items = NULL;
        child->by_key = NULL;
        to->items[i] = child;
        if (!copy_children(arena, child, from->items[i]))
            return false;
        if (to->by_key && !pl_map_get(to->by_key, child->key) &&
            !pl_map_put(to->by_key, child->key, child, NULL))
            return false;
    }
    to->count = from->count;
    return true;
}

struct doc_node *doc_builder_copy(struct doc_builder *builder, const struct doc_node *from,
                                  const struct doc_extent *extent, struct doc_pos pos)
{
    struct doc_frame *frame = doc_builder_frame(builder);
    struct doc_node *node;

    if (builder->depth + extent->height > PL_LIMIT_JSON_DEPTH) {
        doc_builder_fail(builder, builder->syntax, pos, "nested deeper than %d levels",
                         PL_LIMIT_JSON_DEPTH);
        return NULL;
    }
    if (!within_limits(builder, extent->nodes - 1, extent->bytes - from->text.len, pos))
        return NULL;
    node = doc_builder_add(builder, from->type, from->text, pos);
    if (!node)
        return NULL;
    node->refused = from->refused;
    if (!copy_children(builder->arena, node, from)) {
        out_of_memory(builder);
        return NULL;
    }
    if (frame && frame->height < extent->height)
        frame->height = extent->height;
    return node;
}

enum pl_code doc_builder_result(struct doc_builder *builder, struct doc_node **ret_root)
{
    if (builder->code == PL_OK && pl_arena_failed(builder->arena))
        out_of_memory(builder);
    if (builder->code != PL_OK)
        return builder->code;
    *ret_root = builder->root;
    return builder->refused ? builder->syntax : PL_OK;
}
