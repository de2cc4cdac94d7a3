/* schema_fill.c - defaults for missing properties, spliced into the text: what was there stays byte
 * for byte. Not validation. Called by schema_apply, and at compile to try the defaults themselves.
 *
 * More than one schema may speak of one value: by `$ref`, and by what each of those says of a
 * member. They are carried along as layers; the first that has a default for a name gives it. */
#include "base/json.h"
#include "base/map.h"
#include "service/schema/schema_check.h"

/* Text to put before the byte at `offset`. */
struct splice {
    size_t offset;
    struct pl_str text;
    struct splice *next;
};

struct filler {
    struct pl_arena *arena;
    const char *start; /* of the whole text */
    struct splice *first, **last;
    size_t added; /* bytes, here */
    struct schema_limits *limits;
    unsigned depth;
    const char **why;
};

/* The schemas of one value, those behind `$ref` included. */
struct layers {
    const struct schema *items[SCHEMA_IN_PLACE]; /* those past that have no say */
    size_t count;
};

static struct pl_str fill_text(const struct filler *outer, const struct layers *layers,
                               struct pl_str json);

/* False once there is no work left to do it with. */
static bool work(struct filler *filler, size_t units)
{
    if (filler->limits->work > units) {
        filler->limits->work -= units;
        return true;
    }
    if (!*filler->why)
        *filler->why = "filling in its defaults takes too much work";
    return false;
}

static void add_layer(struct filler *filler, struct layers *layers, const struct schema *schema)
{
    for (; schema && layers->count < PL_ARRAY_LEN(layers->items); schema = schema->ref) {
        for (size_t i = 0; i < layers->count; i++)
            if (layers->items[i] == schema)
                return;
        if (!work(filler, 1 + layers->count / 4))
            return;
        layers->items[layers->count++] = schema;
    }
}

static void add_splice(struct filler *filler, const char *at, struct pl_str text)
{
    struct splice *splice = pl_arena_alloc(filler->arena, sizeof(*splice));

    if (!splice || *filler->why)
        return;
    if (text.len > filler->limits->room) {
        *filler->why = "with its defaults the value is more than 16 MiB larger";
        return;
    }
    filler->limits->room -= text.len;
    splice->offset = (size_t)(at - filler->start);
    splice->text = text;
    *filler->last = splice;
    filler->last = &splice->next;
    filler->added += text.len;
}

static void fill(struct filler *filler, const struct layers *layers, struct pl_str json);

/* What the layers say of the member with this key. */
static void layers_of(struct filler *filler, const struct layers *layers, struct pl_str key,
                      struct layers *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema_property *property = schema_property_of(layers->items[i], key);

        if (property)
            add_layer(filler, ret, property->schema);
    }
}

/* `"name":default`, with a comma if something is before it. */
static void add_member(struct filler *filler, const struct layers *layers, struct pl_str name,
                       struct pl_str fallback, const char *at, bool comma)
{
    struct doc_node node = {.type = DOC_STRING, .text = name};
    struct layers inner;
    struct pl_str value;

    layers_of(filler, layers, name, &inner);
    value = fill_text(filler, &inner, fallback);
    if (comma)
        add_splice(filler, at, PL_STR(","));
    add_splice(filler, at, doc_json(filler->arena, &node));
    add_splice(filler, at, PL_STR(":"));
    add_splice(filler, at, value);
}

/* The default that the layers have for a name: of its own schema, or of what that refers to. */
static struct pl_str fallback_of(const struct schema *schema)
{
    while (schema && !schema->fallback.ptr)
        schema = schema->ref;
    return schema ? schema->fallback : (struct pl_str){0};
}

static bool has_defaults(const struct layers *layers)
{
    for (size_t i = 0; i < layers->count; i++)
        if (layers->items[i]->defaults)
            return true;
    return false;
}

/* The names that are there, of those that have defaults. NULL when the arena failed. */
static struct pl_map *fill_members(struct filler *filler, const struct layers *layers,
                                   struct pl_str json, bool defaults, const char **ret_end)
{
    struct pl_map *seen = defaults ? pl_map_create(filler->arena, 8) : NULL;
    struct layers inner;
    struct json_iter it;

    for (json_iter_init(&it, json); json_iter_next(&it);) {
        struct pl_str key = schema_text(it.key, filler->arena);

        *ret_end = it.value.ptr + it.value.len;
        layers_of(filler, layers, key, &inner);
        if (!inner.count)
            continue;
        if (seen)
            (void)pl_map_put(seen, key, filler, NULL);
        fill(filler, &inner, it.value);
    }
    if (!*ret_end)
        *ret_end = it.json.ptr + it.json.len;
    return seen;
}

static void fill_object(struct filler *filler, const struct layers *layers, struct pl_str json)
{
    const bool defaults = has_defaults(layers);
    const char *at = NULL; /* behind the last member, else before the closing brace */
    struct pl_map *seen = fill_members(filler, layers, json, defaults, &at);
    bool comma = json_count(json) > 0;

    if (!comma)
        at--;
    for (size_t i = 0; seen && i < layers->count; i++) {
        if (!layers->items[i]->defaults || !work(filler, layers->items[i]->n_properties))
            continue;
        for (size_t p = 0; p < layers->items[i]->n_properties; p++) {
            const struct schema_property *property = layers->items[i]->properties[p];
            struct pl_str fallback = fallback_of(property->schema);

            if (!fallback.ptr || pl_map_get(seen, property->name) || pl_arena_failed(filler->arena))
                continue;
            (void)pl_map_put(seen, property->name, filler, NULL);
            add_member(filler, layers, property->name, fallback, at, comma);
            comma = true;
        }
    }
}

static void fill_array(struct filler *filler, const struct layers *layers, struct pl_str json)
{
    size_t index = 0, longest = 0;
    struct layers inner;
    struct json_iter it;
    bool items = false;

    for (size_t i = 0; i < layers->count; i++) {
        items |= layers->items[i]->items != NULL;
        if (layers->items[i]->prefix.count > longest)
            longest = layers->items[i]->prefix.count;
    }
    if (!items && !longest)
        return;
    for (json_iter_init(&it, json); json_iter_next(&it) && (items || index < longest); index++) {
        inner.count = 0;
        for (size_t i = 0; i < layers->count; i++) {
            const struct schema *layer = layers->items[i];

            add_layer(filler, &inner,
                      index < layer->prefix.count ? layer->prefix.items[index] : layer->items);
        }
        fill(filler, &inner, it.value);
    }
}

static void fill(struct filler *filler, const struct layers *layers, struct pl_str json)
{
    enum json_type type = json_type(json);

    if (!layers->count || *filler->why || pl_arena_failed(filler->arena) ||
        !work(filler, 1 + json.len / SCHEMA_BYTES_A_UNIT))
        return;
    if (type == JSON_OBJECT)
        fill_object(filler, layers, json);
    else if (type == JSON_ARRAY)
        fill_array(filler, layers, json);
}

static struct pl_str splice_all(const struct filler *filler, struct pl_str json)
{
    char *out = pl_arena_alloc(filler->arena, json.len + filler->added + 1), *at = out;
    size_t from = 0;

    if (!out)
        return (struct pl_str){0};
    for (const struct splice *splice = filler->first; splice; splice = splice->next) {
        memcpy(at, json.ptr + from, splice->offset - from);
        at += splice->offset - from;
        from = splice->offset;
        memcpy(at, splice->text.ptr, splice->text.len);
        at += splice->text.len;
    }
    memcpy(at, json.ptr + from, json.len - from);
    return pl_str_n(out, json.len + filler->added);
}

/* A text filled on its own: the value, or a default on its way into it. */
static struct pl_str fill_text(const struct filler *outer, const struct layers *layers,
                               struct pl_str json)
{
    struct filler filler = *outer;

    filler.start = json.ptr;
    filler.first = NULL;
    filler.last = &filler.first;
    filler.added = 0;
    if (filler.depth++ > SCHEMA_FILL_DEPTH) {
        *filler.why = "it brings in another default, and so on without an end";
        return json;
    }
    fill(&filler, layers, json);
    if (pl_arena_failed(filler.arena))
        return (struct pl_str){0};
    return filler.first && !*filler.why ? splice_all(&filler, json) : json;
}

struct pl_str schema_fill(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct schema_limits *limits, const char **ret_why)
{
    struct filler filler = {.arena = arena, .limits = limits, .why = ret_why};
    struct layers layers;

    if (!schema->fills)
        return json;
    layers.count = 0;
    add_layer(&filler, &layers, schema);
    return fill_text(&filler, &layers, json);
}
