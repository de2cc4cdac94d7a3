/* schema.c - whether a JSON value fits a compiled schema, read from its text: numbers of any size
 * count exactly. Not compilation (schema_compile.c), defaults (schema_fill.c), or words
 * (schema_report.c). Called by run_input. */
#include "service/schema.h"

#include "base/json.h"
#include "base/map.h"
#include "service/schema_node.h"
#include "service/schema_pattern.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- small things ---- */

static struct pl_str trim(struct pl_str json)
{
    while (json.len && strchr(" \t\r\n", json.ptr[0]))
        json = pl_str_n(json.ptr + 1, json.len - 1);
    while (json.len && strchr(" \t\r\n", json.ptr[json.len - 1]))
        json.len--;
    return json;
}

static enum schema_type type_of(struct pl_str json)
{
    switch (json_type(json)) {
    case JSON_NULL:
        return SCHEMA_NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return SCHEMA_BOOLEAN;
    case JSON_NUMBER:
        return json_number_is_integer(json) ? SCHEMA_INTEGER : SCHEMA_NUMBER;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    }
    return SCHEMA_NULL;
}

static const char *const type_names[] = {
    [SCHEMA_NULL] = "null",        [SCHEMA_BOOLEAN] = "a boolean", [SCHEMA_INTEGER] = "an integer",
    [SCHEMA_NUMBER] = "a number",  [SCHEMA_STRING] = "a string",   [SCHEMA_ARRAY] = "a list",
    [SCHEMA_OBJECT] = "an object",
};

const struct schema_property *schema_property_of(const struct schema *schema, struct pl_str token,
                                                 struct pl_arena *arena)
{
    struct pl_str key = pl_str_n(token.ptr + 1, token.len - 2);

    if (!schema->by_name)
        return NULL;
    if (memchr(key.ptr, '\\', key.len))
        key = json_decode_string_arena(token, arena);
    return pl_map_get(schema->by_name, key);
}

/* ---- any value ---- */

static bool fits_type(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place)
{
    char expected[96] = "", shown[DOC_EXCERPT];
    size_t used = 0;

    if (schema->types == 0 || schema->types & 1u << type ||
        (type == SCHEMA_INTEGER && schema->types & 1u << SCHEMA_NUMBER))
        return true;
    for (unsigned i = 0; i < SCHEMA_TYPES && used < sizeof(expected); i++)
        if (schema->types & 1u << i)
            used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
                                     used ? " or " : "", type_names[i]);
    if (type == SCHEMA_NUMBER || type == SCHEMA_INTEGER)
        return schema_report(check, place, "expected %s, got the number %s", expected,
                             doc_excerpt(json, shown));
    return schema_report(check, place, "expected %s, got %s", expected, type_names[type]);
}

static bool fits_enum(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      const struct schema_place *place)
{
    char list[240] = "", shown[DOC_EXCERPT];
    size_t used = 0, i;

    if (!schema->enumeration)
        return true;
    for (i = 0; i < schema->n_enumeration; i++)
        if (json_equal(schema->enumeration[i], json))
            return true;
    if (!check->problems)
        return false;
    for (i = 0; i < schema->n_enumeration && used + DOC_EXCERPT + 8 < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
                                 doc_excerpt(schema->enumeration[i], shown));
    return schema_report(check, place, "must be one of %s%s, got %s", list,
                         i < schema->n_enumeration ? ", ..." : "", doc_excerpt(json, shown));
}

static bool fits_const(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place)
{
    char wanted[DOC_EXCERPT], shown[DOC_EXCERPT];

    if (!schema->constant.ptr || json_equal(schema->constant, json))
        return true;
    return schema_report(check, place, "must be %s, got %s", doc_excerpt(schema->constant, wanted),
                         doc_excerpt(json, shown));
}

/* ---- schemas of schemas ---- */

static size_t count_fitting(struct schema_check *check, const struct schema_list *list,
                            struct pl_str json, const struct schema_place *place)
{
    struct schema_check quiet = *check;
    size_t count = 0;

    quiet.problems = NULL;
    for (size_t i = 0; i < list->count; i++)
        count += schema_fits(&quiet, list->items[i], json, place);
    check->no_memory |= quiet.no_memory;
    return count;
}

/* Says why each alternative does not fit, as far as there is room. */
static bool none_fits(struct schema_check *check, const struct schema_list *list,
                      const char *keyword, struct pl_str json, const struct schema_place *place)
{
    char reasons[300] = "";
    size_t used = 0;

    for (size_t i = 0; check->problems && i < list->count && used < sizeof(reasons); i++) {
        struct schema_check aside = *check;
        struct doc_problems found;
        const char *reason;

        doc_problems_init(&found, check->arena);
        aside.problems = &found;
        (void)schema_fits(&aside, list->items[i], json, NULL);
        check->no_memory |= aside.no_memory;
        reason = found.count ? found.items[0].message : "it does not fit";
        used += (size_t)snprintf(reasons + used, sizeof(reasons) - used, "%s(%zu) %s",
                                 used ? "; " : "", i + 1, reason);
    }
    return schema_report(check, place, "fits none of the alternatives of %s: %s", keyword, reasons);
}

static bool fits_combinations(struct schema_check *check, const struct schema *schema,
                              struct pl_str json, const struct schema_place *place)
{
    bool fits = true;
    size_t count;

    for (size_t i = 0; i < schema->all.count; i++)
        fits &= schema_fits(check, schema->all.items[i], json, place);
    if (schema->any.count && count_fitting(check, &schema->any, json, place) == 0)
        fits = none_fits(check, &schema->any, "anyOf", json, place);
    if (schema->one.count) {
        count = count_fitting(check, &schema->one, json, place);
        if (count == 0)
            fits = none_fits(check, &schema->one, "oneOf", json, place);
        else if (count > 1)
            fits = schema_report(check, place,
                                 "fits %zu of the alternatives of oneOf; it must fit exactly one",
                                 count);
    }
    if (schema->not ) {
        struct schema_check quiet = *check;

        quiet.problems = NULL;
        if (schema_fits(&quiet, schema->not, json, place))
            fits = schema_report(check, place, "is of a kind that 'not' rules out");
        check->no_memory |= quiet.no_memory;
    }
    return fits;
}

/* ---- numbers ---- */

static bool fits_number(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place)
{
    char shown[DOC_EXCERPT], limit[DOC_EXCERPT];
    bool fits = true;

    doc_excerpt(json, shown);
    if (schema->minimum.ptr && json_number_compare(json, schema->minimum) < 0)
        fits = schema_report(check, place, "must be at least %s, got %s",
                             doc_excerpt(schema->minimum, limit), shown);
    if (schema->maximum.ptr && json_number_compare(json, schema->maximum) > 0)
        fits = schema_report(check, place, "must be at most %s, got %s",
                             doc_excerpt(schema->maximum, limit), shown);
    if (schema->above.ptr && json_number_compare(json, schema->above) <= 0)
        fits = schema_report(check, place, "must be greater than %s, got %s",
                             doc_excerpt(schema->above, limit), shown);
    if (schema->below.ptr && json_number_compare(json, schema->below) >= 0)
        fits = schema_report(check, place, "must be less than %s, got %s",
                             doc_excerpt(schema->below, limit), shown);
    if (schema->multiple_of.ptr && !json_number_is_multiple(json, schema->multiple_of))
        fits = schema_report(check, place, "must be a multiple of %s, got %s",
                             doc_excerpt(schema->multiple_of, limit), shown);
    return fits;
}

/* ---- strings ---- */

/* Code points. The second half of a surrogate pair, which always follows the first, does not count.
 */
static size_t count_characters(struct pl_str token)
{
    const char *p = token.ptr + 1, *end = token.ptr + token.len - 1;
    size_t count = 0;

    while (p < end) {
        if (*p != '\\') {
            count += ((unsigned char)*p++ & 0xC0) != 0x80;
        } else if (p[1] != 'u') {
            count++;
            p += 2;
        } else {
            count += (p[2] | 32) != 'd' || !strchr("cdefCDEF", p[3]);
            p += 6;
        }
    }
    return count;
}

/* The compiled pattern of a schema, compiled when it is first met. NULL when out of memory: it
 * compiled before. */
static regex_t *pattern_of(struct schema_check *check, const struct schema *schema)
{
    regex_t **slot = &check->patterns[schema->pattern_index], *regex;

    if (*slot)
        return *slot;
    regex = malloc(sizeof(*regex));
    if (!regex || schema_pattern_compile(schema->pattern, regex) != 0) {
        free(regex);
        return NULL;
    }
    *slot = regex;
    return regex;
}

static bool fits_pattern(struct schema_check *check, const struct schema *schema,
                         struct pl_str json, const struct schema_place *place)
{
    regex_t *regex = pattern_of(check, schema);
    struct pl_str text = json_decode_string_arena(json, check->arena);
    int error = regex && text.ptr ? schema_pattern_match(regex, text) : REG_ESPACE;
    char shown[DOC_EXCERPT];

    if (error == 0)
        return true;
    if (error != REG_NOMATCH) {
        check->no_memory = true;
        return false;
    }
    return schema_report(check, place, "does not match the pattern '%s'",
                         doc_excerpt(schema->pattern_text, shown));
}

static bool fits_string(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place)
{
    bool fits = true;
    size_t count;

    if (schema->min_length > 0 || schema->max_length < SIZE_MAX) {
        count = count_characters(json);
        if (count < schema->min_length)
            fits = schema_report(check, place, "must have at least %zu characters, has %zu",
                                 schema->min_length, count);
        if (count > schema->max_length)
            fits = schema_report(check, place, "must have at most %zu characters, has %zu",
                                 schema->max_length, count);
    }
    if (schema->pattern)
        fits &= fits_pattern(check, schema, json, place);
    return fits;
}

/* ---- lists ---- */

struct hashed {
    uint64_t hash;
    size_t index;
    struct pl_str json;
};

static int by_hash(const void *left, const void *right)
{
    const struct hashed *a = left, *b = right;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Elements of equal hash stand together after sorting; only they are compared. */
static bool fits_unique(struct schema_check *check, struct pl_str json, size_t count,
                        const struct schema_place *place)
{
    struct hashed *items = pl_arena_alloc_array(check->arena, count + 1, sizeof(*items));
    struct json_iter it;
    size_t n = 0;

    if (!items)
        return false;
    for (json_iter_init(&it, json); json_iter_next(&it); n++)
        items[n] = (struct hashed){.hash = json_hash(it.value), .index = n, .json = it.value};
    qsort(items, n, sizeof(*items), by_hash);
    for (size_t i = 1; i < n; i++)
        if (items[i].hash == items[i - 1].hash && json_equal(items[i].json, items[i - 1].json))
            return schema_report(check, place, "elements %zu and %zu are equal; all must differ",
                                 items[i - 1].index, items[i].index);
    return true;
}

static bool fits_array(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place)
{
    struct schema_place element = {.up = place};
    size_t count = json_count(json);
    struct json_iter it;
    bool fits = true;

    if (count < schema->min_items)
        fits = schema_report(check, place, "must have at least %zu elements, has %zu",
                             schema->min_items, count);
    if (count > schema->max_items)
        fits = schema_report(check, place, "must have at most %zu elements, has %zu",
                             schema->max_items, count);
    if (schema->unique_items)
        fits &= fits_unique(check, json, count, place);
    if (!schema->items)
        return fits;
    for (json_iter_init(&it, json); json_iter_next(&it); element.index++) {
        fits &= schema_fits(check, schema->items, it.value, &element);
        if (!fits && !check->problems)
            return false;
    }
    return fits;
}

/* ---- objects ---- */

static bool unknown_property(struct schema_check *check, const struct schema *schema,
                             struct pl_str token, const struct schema_place *place)
{
    const char *nearest = NULL;

    if (!check->problems)
        return false;
    if (schema->names)
        nearest = doc_nearest(json_decode_string_arena(token, check->arena), schema->names);
    return schema_report(check, place, "unknown property%s%s%s", nearest ? "; did you mean '" : "",
                         nearest ? nearest : "", nearest ? "'?" : "");
}

static bool fits_member(struct schema_check *check, const struct schema *schema,
                        const struct schema_property *property, const struct json_iter *it,
                        const struct schema_place *place)
{
    if (property && property->schema)
        return schema_fits(check, property->schema, it->value, place);
    if (!schema->additional)
        return true;
    if (schema->additional->never)
        return unknown_property(check, schema, it->key, place);
    return schema_fits(check, schema->additional, it->value, place);
}

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

static bool fits_object(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place)
{
    bool few[64] = {false}, *seen = few, fits = true;
    struct schema_place member = {.up = place};
    struct json_iter it;
    size_t count = 0;

    if (schema->n_properties > PL_ARRAY_LEN(few))
        seen = pl_arena_alloc_array(check->arena, schema->n_properties, sizeof(*seen));
    if (!seen)
        return false;
    for (json_iter_init(&it, json); json_iter_next(&it); count++) {
        const struct schema_property *property = schema_property_of(schema, it.key, check->arena);

        member.key = it.key;
        if (property)
            seen[property->index] = true;
        fits &= fits_member(check, schema, property, &it, &member);
        if (!fits && !check->problems)
            return false;
    }
    fits &= fits_required(check, schema, seen, place);
    if (count < schema->min_properties)
        fits = schema_report(check, place, "must have at least %zu properties, has %zu",
                             schema->min_properties, count);
    if (count > schema->max_properties)
        fits = schema_report(check, place, "must have at most %zu properties, has %zu",
                             schema->max_properties, count);
    return fits;
}

/* ---- the whole ---- */

bool schema_fits(struct schema_check *check, const struct schema *schema, struct pl_str json,
                 const struct schema_place *place)
{
    enum schema_type type = type_of(json);
    bool fits;

    if (schema->never)
        return schema_report(check, place, "no value is allowed here");
    if (!fits_type(check, schema, json, type, place))
        return false;
    fits = fits_enum(check, schema, json, place) && fits_const(check, schema, json, place);
    if (type == SCHEMA_NUMBER || type == SCHEMA_INTEGER)
        fits &= fits_number(check, schema, json, place);
    else if (type == SCHEMA_STRING)
        fits &= fits_string(check, schema, json, place);
    else if (type == SCHEMA_ARRAY)
        fits &= fits_array(check, schema, json, place);
    else if (type == SCHEMA_OBJECT)
        fits &= fits_object(check, schema, json, place);
    if (!fits && !check->problems)
        return false;
    return fits & fits_combinations(check, schema, json, place);
}

bool schema_check_init(struct schema_check *check, struct pl_arena *arena,
                       struct doc_problems *problems, size_t n_patterns)
{
    *check = (struct schema_check){.arena = arena, .problems = problems, .n_patterns = n_patterns};
    check->patterns = pl_arena_alloc_array(arena, n_patterns + 1, sizeof(check->patterns[0]));
    return check->patterns != NULL;
}

void schema_check_finish(struct schema_check *check)
{
    for (size_t i = 0; i < check->n_patterns; i++) {
        if (check->patterns[i])
            regfree(check->patterns[i]);
        free(check->patterns[i]);
    }
}

enum pl_code schema_apply(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct pl_str *ret_filled, struct doc_problems *problems)
{
    struct pl_str filled = schema_fill(schema, arena, json);
    struct schema_check check;
    bool fits;

    if (!filled.ptr || !schema_check_init(&check, arena, problems, schema->n_patterns))
        return PL_ERR_NO_MEMORY;
    fits = schema_fits(&check, schema, trim(filled), NULL);
    schema_check_finish(&check);
    if (check.no_memory || pl_arena_failed(arena))
        return PL_ERR_NO_MEMORY;
    *ret_filled = filled;
    return fits ? PL_OK : PL_ERR_INVALID_INPUT;
}
