/* schema_refs.c - which schema a `$ref` means: `$id`, `$anchor`, pointers, names of the library;
 * and references that would go in circles. Nothing is fetched: what is not in the document or the
 * library is refused. Called by schema_compile.c. */
#include "base/limits.h"
#include "service/schema/schema_compile.h"
#include "service/schema/schema_uri.h"

/* ---- resources ---- */

static void put(struct schema_compiler *compiler, struct pl_map **map, struct pl_str key,
                void *value, const struct doc_node *at)
{
    bool replaced = false;

    if (!*map)
        *map = pl_map_create(compiler->arena, 4);
    if (*map && pl_map_put(*map, key, value, &replaced) && replaced)
        doc_problem_at(compiler->problems, at, false, "%.*s: this is taken by another schema",
                       PL_STR_ARG(at->key));
}

static bool is_absolute(struct pl_str uri)
{
    return memchr(uri.len ? uri.ptr : "", ':', uri.len) != NULL;
}

struct schema_resource *schema_resource_at(struct schema_compiler *compiler,
                                           const struct doc_node *node)
{
    const struct doc_node *id = doc_get(node, "$id");
    struct schema_resource *resource, *around = compiler->resource;
    struct pl_str fragment, uri = {0};

    if (id && id->type == DOC_STRING) {
        uri = schema_uri_split(id->text, &fragment);
        if (fragment.len)
            uri.len = 0; /* schema_read_id refuses it */
    }
    if (around && (uri.len == 0 || around->root == node))
        return around;
    resource = pl_arena_alloc(compiler->arena, sizeof(*resource));
    if (!resource)
        return around;
    *resource = (struct schema_resource){.document = compiler->document, .root = node};
    if (uri.len == 0)
        return resource;
    resource->base =
        schema_uri_resolve(compiler->arena, around ? around->base : (struct pl_str){0}, uri);
    if (is_absolute(resource->base))
        put(compiler, &compiler->index->ids, resource->base, resource, id);
    else
        put(compiler, &compiler->document->resources, resource->base, resource, id);
    return resource;
}

void schema_read_id(struct schema_compiler *compiler, struct schema *schema,
                    const struct doc_node *value)
{
    struct pl_str fragment;

    (void)schema;
    if (!schema_expect(compiler, value, DOC_STRING, "a URI"))
        return;
    (void)schema_uri_split(value->text, &fragment);
    if (fragment.len)
        doc_problem_at(compiler->problems, value, false,
                       "$id: takes no '#...'; a name inside a schema is an $anchor");
}

void schema_read_anchor(struct schema_compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    bool good = value->text.len > 0;

    if (!schema_expect(compiler, value, DOC_STRING, "a name"))
        return;
    for (size_t i = 0; i < value->text.len; i++) {
        char c = value->text.ptr[i];
        bool letter = ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';

        good &= letter || (i > 0 && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
    }
    if (!good)
        doc_problem_at(compiler->problems, value, false,
                       "$anchor: a letter or _ first, then letters, digits, - _ and .");
    else
        put(compiler, &compiler->resource->anchors, value->text, schema, value);
}

void schema_read_ref(struct schema_compiler *compiler, struct schema *schema,
                     const struct doc_node *value)
{
    struct schema_pending *pending;

    if (!schema_expect(compiler, value, DOC_STRING, "a reference such as '#/$defs/name'"))
        return;
    pending = pl_arena_alloc(compiler->arena, sizeof(*pending));
    if (!pending)
        return;
    *pending =
        (struct schema_pending){.schema = schema, .value = value, .resource = compiler->resource};
    *compiler->last_pending = pending;
    compiler->last_pending = &pending->next;
}

/* ---- targets ---- */

static const struct schema_resource *find_id(const struct schema_compiler *compiler,
                                             const struct schema_resource *from, struct pl_str uri)
{
    const struct schema_library *library = compiler->library;
    const struct schema_resource *found = NULL;

    if (from->document->resources)
        found = pl_map_get(from->document->resources, uri);
    if (!found && compiler->index->ids)
        found = pl_map_get(compiler->index->ids, uri);
    if (!found && library && library->index.ids)
        found = pl_map_get(library->index.ids, uri);
    return found;
}

static struct schema *schema_at(const struct schema_compiler *compiler, const struct doc_node *node)
{
    const struct pl_str key = pl_str_n((const char *)&node, sizeof(node));
    struct schema *found = pl_map_get(compiler->index->nodes, key);

    if (!found && compiler->library && compiler->library->index.nodes)
        found = pl_map_get(compiler->library->index.nodes, key);
    return found;
}

/* "~1" and "~0" undone; false when a '~' is followed by something else. */
static bool unescape(struct pl_arena *arena, struct pl_str token, struct pl_str *ret)
{
    char *out = pl_arena_alloc(arena, token.len + 1);
    size_t len = 0;

    for (size_t i = 0; out && i < token.len; i++) {
        out[len] = token.ptr[i];
        if (token.ptr[i] == '~') {
            if (i + 1 == token.len || (token.ptr[i + 1] != '0' && token.ptr[i + 1] != '1'))
                return false;
            out[len] = token.ptr[++i] == '0' ? '~' : '/';
        }
        len++;
    }
    *ret = pl_str_n(out, out ? len : 0);
    return true;
}

static const struct doc_node *element(const struct doc_node *list, struct pl_str token)
{
    size_t index = 0;

    if (token.len == 0 || token.len > 9 || (token.len > 1 && token.ptr[0] == '0'))
        return NULL;
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] < '0' || token.ptr[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(token.ptr[i] - '0');
    }
    return index < list->count ? list->items[index] : NULL;
}

/* The node that a JSON Pointer leads to; NULL when it leads nowhere. */
static const struct doc_node *walk(struct pl_arena *arena, const struct doc_node *node,
                                   struct pl_str pointer)
{
    while (node && pointer.len) {
        const char *slash = memchr(pointer.ptr + 1, '/', pointer.len - 1);
        size_t len = slash ? (size_t)(slash - pointer.ptr) : pointer.len;
        struct pl_str token;

        if (!unescape(arena, pl_str_n(pointer.ptr + 1, len - 1), &token))
            return NULL;
        node = node->type == DOC_LIST ? element(node, token) : doc_get_str(node, token);
        pointer = pl_str_n(pointer.ptr + len, pointer.len - len);
    }
    return node;
}

static void refuse(struct schema_compiler *compiler, const struct doc_node *value, const char *why)
{
    char shown[DOC_EXCERPT];

    doc_problem_at(compiler->problems, value, false, "$ref: '%s' %s",
                   doc_excerpt(value->text, shown), why);
}

/* The node that a fragment means within a resource; NULL after a problem. */
static const struct doc_node *find_fragment(struct schema_compiler *compiler,
                                            const struct schema_resource *resource,
                                            struct pl_str fragment, const struct doc_node *value)
{
    const struct doc_node *found = NULL;
    const struct schema *anchor;

    if (!schema_uri_decode(compiler->arena, fragment, &fragment)) {
        refuse(compiler, value, "has a '%' that two hexadecimal digits must follow");
        return NULL;
    }
    if (fragment.len == 0)
        return resource->root;
    if (fragment.ptr[0] == '/') {
        found = walk(compiler->arena, resource->root, fragment);
    } else if (resource->anchors) {
        anchor = pl_map_get(resource->anchors, fragment);
        found = anchor ? anchor->node : NULL;
    }
    if (!found)
        refuse(compiler, value,
               fragment.ptr[0] == '/' ? "leads nowhere" : "is no $anchor of this schema");
    return found;
}

/* There is nothing of this name: says what could have been meant. */
static void unknown_target(struct schema_compiler *compiler, const struct doc_node *value,
                           struct pl_str uri)
{
    const struct schema_library *library = compiler->library;
    const char *nearest = library && library->words ? doc_nearest(uri, library->words) : NULL;
    char shown[DOC_EXCERPT];

    if (nearest)
        doc_problem_at(compiler->problems, value, false,
                       "$ref: there is no schema '%s'; did you mean '%s'?", doc_excerpt(uri, shown),
                       nearest);
    else if (is_absolute(uri))
        refuse(compiler, value,
               "is not in this document, and nothing is fetched; put it under "
               "$defs, or under 'schemas' of the workflow");
    else
        refuse(compiler, value,
               "is neither an $id of this document nor a name under 'schemas'; "
               "what stands in the document is '#/...'");
}

static const struct schema_resource *find_resource(struct schema_compiler *compiler,
                                                   const struct schema_pending *pending,
                                                   struct pl_str uri)
{
    const struct schema_resource *found;
    const struct schema_entry *entry = NULL;

    if (uri.len == 0)
        return pending->resource;
    found = find_id(compiler, pending->resource,
                    schema_uri_resolve(compiler->arena, pending->resource->base, uri));
    if (found)
        return found;
    if (compiler->library && compiler->library->names)
        entry = pl_map_get(compiler->library->names, uri);
    if (entry)
        return entry->resource;
    unknown_target(compiler, pending->value, uri);
    return NULL;
}

static void link_ref(struct schema_compiler *compiler, const struct schema_pending *pending)
{
    struct pl_str fragment, uri = schema_uri_split(pending->value->text, &fragment);
    const struct schema_resource *resource = find_resource(compiler, pending, uri);
    const struct doc_node *node = NULL;

    if (resource)
        node = find_fragment(compiler, resource, fragment, pending->value);
    if (!node)
        return;
    pending->schema->ref = schema_at(compiler, node);
    if (!pending->schema->ref)
        refuse(compiler, pending->value, "does not lead to a schema");
}

void schema_link_refs(struct schema_compiler *compiler)
{
    const struct schema_pending *pending = compiler->pending;

    for (; pending && !pl_arena_failed(compiler->arena); pending = pending->next)
        link_ref(compiler, pending);
}

/* ---- circles ---- */

/* What one walk knows of its way. */
struct way {
    struct schema_compiler *compiler;
    const struct schema *last_ref; /* the last schema on it with a `$ref` */
    unsigned length;
};

static unsigned height_of(struct way *way, struct schema *schema);

static unsigned higher(struct way *way, struct schema *next, unsigned height)
{
    unsigned below = next ? height_of(way, next) : 0;

    return below > height ? below : height;
}

static unsigned height_below(struct way *way, const struct schema *schema)
{
    const struct schema_list *lists[] = {&schema->all, &schema->any, &schema->one};
    unsigned height = higher(way, schema->not, 0);

    height = higher(way, schema->condition, height);
    height = higher(way, schema->then, height);
    height = higher(way, schema->otherwise, height);
    for (size_t l = 0; l < PL_ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            height = higher(way, lists[l]->items[i], height);
    for (size_t i = 0; schema->depends && i < schema->n_properties; i++)
        height = higher(way, schema->properties[i]->dependent, height);
    return height;
}

static void refuse_way(struct way *way, const struct schema *at, const char *what)
{
    const struct schema *schema = way->last_ref ? way->last_ref : at;
    const struct doc_node *ref = doc_get(schema->node, "$ref");

    if (way->compiler->problems->total == way->compiler->before) /* one way has many beginnings */
        doc_problem_at(way->compiler->problems, ref ? ref : schema->node, false, "$ref: %s", what);
}

/* How many schemas, one by way of the other, apply to a value that is given to this one. */
static unsigned height_of(struct way *way, struct schema *schema)
{
    const struct schema *before = way->last_ref;
    unsigned height;

    if (schema->height)
        return schema->height;
    if (schema->open) {
        refuse_way(way, schema,
                   "leads back to itself without going into the value; there is no "
                   "end to it");
        return 1;
    }
    if (way->length == SCHEMA_IN_PLACE) {
        refuse_way(way, schema,
                   "more than 100 schemas apply to one value, one by way of the other");
        return 1;
    }
    schema->open = true;
    way->length++;
    height = height_below(way, schema);
    if (schema->ref) {
        way->last_ref = schema;
        height = higher(way, schema->ref, height);
        way->last_ref = before;
    }
    way->length--;
    schema->open = false;
    schema->height = height + 1;
    if (schema->height > SCHEMA_IN_PLACE)
        refuse_way(way, schema,
                   "more than 100 schemas apply to one value, one by way of the other");
    return schema->height;
}

void schema_check_circles(struct schema_compiler *compiler)
{
    for (struct schema *schema = compiler->schemas; schema; schema = schema->next) {
        struct way way = {.compiler = compiler};

        (void)height_of(&way, schema);
    }
}
