/* schema_object.c - keywords for objects. Not their members' own rules, which come back by way of
 * schema_fits. Called by schema.c. */
#include "base/json.h"
#include "base/map.h"
#include "service/schema/schema_check.h"

/* A member of the value that is looked at. */
struct member {
    struct pl_str key; /* decoded */
    struct pl_str value;
    struct schema_place place;
    size_t index;
};

const struct schema_property *schema_property_of(const struct schema *schema, struct pl_str key)
{
    return schema->by_name ? pl_map_get(schema->by_name, key) : NULL;
}

struct pl_str schema_text(struct pl_str token, struct pl_arena *arena)
{
    if (!memchr(token.ptr, '\\', token.len))
        return pl_str_n(token.ptr + 1, token.len - 2);
    return json_decode_string_arena(token, arena);
}

/* ---- members ---- */

static bool unknown_property(struct schema_check *check, const struct schema *schema,
                             const struct member *member)
{
    const char *nearest = NULL;

    if (!schema_wants_words(check))
        return false;
    if (schema->names)
        nearest = doc_nearest(member->key, schema->names);
    return schema_report(check, &member->place, "unknown property%s%s%s",
                         nearest ? "; did you mean '" : "", nearest ? nearest : "",
                         nearest ? "'?" : "");
}

static bool fits_name(struct schema_check *check, const struct schema *schema,
                      const struct json_iter *it, const struct member *member)
{
    if (!schema->property_names ||
        schema_fits_quietly(check, schema->property_names, it->key, &member->place, NULL))
        return true;
    if (!schema_wants_words(check))
        return false;
    if (schema->property_names->never)
        return unknown_property(check, schema, member);
    (void)schema_report(check, &member->place, "no property may have this name; of the name:");
    return schema_fits(check, schema->property_names, it->key, &member->place, NULL);
}

static bool fits_member(struct schema_check *check, const struct schema *schema,
                        const struct schema_property *property, const struct member *member,
                        struct schema_marks *marks)
{
    const struct schema *rest = schema->additional;
    bool fits = true, known = property && property->schema;

    if (known)
        fits = schema_fits(check, property->schema, member->value, &member->place, NULL);
    for (size_t i = 0; i < schema->n_patterns; i++) {
        const struct schema_pattern_property *pattern = &schema->patterns[i];

        if (!schema_matches(check, pattern->pattern, member->key))
            continue;
        known = true;
        fits &= schema_fits(check, pattern->schema, member->value, &member->place, NULL);
    }
    if (known || rest)
        schema_mark(marks, member->index);
    if (known || !rest)
        return fits;
    if (rest->never)
        return unknown_property(check, schema, member);
    return schema_fits(check, rest, member->value, &member->place, NULL);
}

/* ---- what must be there ---- */

static bool fits_required(struct schema_check *check, const struct schema *schema, const bool *seen,
                          const struct schema_place *place)
{
    char shown[DOC_EXCERPT];
    bool fits = true;

    for (size_t i = 0; i < schema->n_properties; i++)
        if (schema->properties[i]->required && !seen[i])
            fits = schema_report(check, place, "the property '%s' is required, but missing",
                                 doc_excerpt(schema->properties[i]->name, shown));
    return fits;
}

/* What the presence of one property asks for. */
static bool fits_dependents(struct schema_check *check, const struct schema *schema,
                            const bool *seen, struct pl_str json, const struct schema_place *place,
                            struct schema_marks *marks)
{
    char name[DOC_EXCERPT], shown[DOC_EXCERPT];
    bool fits = true;

    for (size_t i = 0; schema->depends && i < schema->n_properties; i++) {
        const struct schema_property *property = schema->properties[i];

        for (size_t d = 0; seen[i] && d < property->n_demands; d++)
            if (!seen[property->demands[d]->index])
                fits = schema_report(check, place,
                                     "the property '%s' is required beside '%s', but missing",
                                     doc_excerpt(property->demands[d]->name, name),
                                     doc_excerpt(property->name, shown));
        if (seen[i] && property->dependent)
            fits &= schema_fits(check, property->dependent, json, place, marks);
        if (!fits && !check->problems)
            return false;
    }
    return fits;
}

static bool fits_count(struct schema_check *check, const struct schema *schema, size_t count,
                       const struct schema_place *place)
{
    bool fits = true;

    if (count < schema->min_properties)
        fits = schema_report(check, place, "must have at least %zu properties, has %zu",
                             schema->min_properties, count);
    if (count > schema->max_properties)
        fits = schema_report(check, place, "must have at most %zu properties, has %zu",
                             schema->max_properties, count);
    return fits;
}

/* ---- the whole ---- */

static bool asks_for_members(const struct schema *schema)
{
    return schema->n_properties || schema->n_patterns || schema->additional ||
           schema->property_names || schema->min_properties > 0 ||
           schema->max_properties < SIZE_MAX;
}

bool schema_fits_object(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place, struct schema_marks *marks)
{
    bool few[64] = {false}, *seen = few, fits = true;
    struct member member = {.place = {.up = place}};
    struct json_iter it;

    if (!asks_for_members(schema))
        return true;
    if (schema->n_properties > PL_ARRAY_LEN(few))
        seen = pl_arena_alloc_array(check->arena, schema->n_properties, sizeof(*seen));
    if (!seen || !schema_work(check, schema->n_properties))
        return false;
    for (json_iter_init(&it, json); json_iter_next(&it); member.index++) {
        const struct schema_property *property;

        if (!schema_work(check, it.key.len / SCHEMA_BYTES_A_UNIT))
            return false;
        member.key = schema_text(it.key, check->arena);
        member.value = it.value;
        member.place.key = it.key;
        property = schema_property_of(schema, member.key);
        if (property)
            seen[property->index] = true;
        fits &= fits_name(check, schema, &it, &member);
        fits &= fits_member(check, schema, property, &member, marks);
        if (!fits && !check->problems)
            return false;
    }
    fits &= fits_required(check, schema, seen, place);
    fits &= fits_count(check, schema, member.index, place);
    return fits & fits_dependents(check, schema, seen, json, place, marks);
}
