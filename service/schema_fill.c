/* schema_fill.c - defaults for missing properties, spliced into the text: what was there stays byte
 * for byte. Not validation. Called by schema_apply, and at compile to try the defaults themselves.
 */
#include "base/json.h"
#include "service/schema_node.h"

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
    size_t added; /* bytes */
};

static void add_splice(struct filler *filler, const char *at, struct pl_str text)
{
    struct splice *splice = pl_arena_alloc(filler->arena, sizeof(*splice));

    if (!splice)
        return;
    splice->offset = (size_t)(at - filler->start);
    splice->text = text;
    *filler->last = splice;
    filler->last = &splice->next;
    filler->added += text.len;
}

static void fill(struct filler *filler, const struct schema *schema, struct pl_str json);

/* `"name":default`, with a comma if something is before it. */
static void add_member(struct filler *filler, const struct schema_property *property,
                       const char *at, bool comma)
{
    struct pl_str value = schema_fill(property->schema, filler->arena, property->schema->fallback);
    struct doc_node name = {.type = DOC_STRING, .text = property->name};

    if (comma)
        add_splice(filler, at, PL_STR(","));
    add_splice(filler, at, doc_json(filler->arena, &name));
    add_splice(filler, at, PL_STR(":"));
    add_splice(filler, at, value);
}

static void fill_object(struct filler *filler, const struct schema *schema, struct pl_str json)
{
    bool few[64] = {false}, *seen = few, comma = false;
    const char *at = NULL; /* behind the last member, else before the closing brace */
    struct json_iter it;

    if (schema->n_properties > PL_ARRAY_LEN(few))
        seen = pl_arena_alloc_array(filler->arena, schema->n_properties, sizeof(*seen));
    if (!seen)
        return;
    for (json_iter_init(&it, json); json_iter_next(&it); comma = true) {
        const struct schema_property *property = schema_property_of(schema, it.key, filler->arena);

        at = it.value.ptr + it.value.len;
        if (!property)
            continue;
        seen[property->index] = true;
        if (property->schema)
            fill(filler, property->schema, it.value);
    }
    if (!comma)
        at = it.json.ptr + it.json.len - 1;
    for (size_t i = 0; i < schema->n_properties; i++) {
        const struct schema_property *property = schema->properties[i];

        if (seen[i] || !property->schema || !property->schema->fallback.ptr)
            continue;
        add_member(filler, property, at, comma);
        comma = true;
    }
}

static void fill(struct filler *filler, const struct schema *schema, struct pl_str json)
{
    enum json_type type = json_type(json);
    struct json_iter it;

    if (!schema->fills || pl_arena_failed(filler->arena))
        return;
    if (type == JSON_OBJECT && schema->n_properties)
        fill_object(filler, schema, json);
    if (type != JSON_ARRAY || !schema->items)
        return;
    for (json_iter_init(&it, json); json_iter_next(&it);)
        fill(filler, schema->items, it.value);
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

struct pl_str schema_fill(const struct schema *schema, struct pl_arena *arena, struct pl_str json)
{
    struct filler filler = {.arena = arena, .start = json.ptr};

    filler.last = &filler.first;
    fill(&filler, schema, json);
    if (pl_arena_failed(arena))
        return (struct pl_str){0};
    return filler.first ? splice_all(&filler, json) : json;
}
