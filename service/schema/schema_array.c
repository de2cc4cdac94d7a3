/* schema_array.c - keywords for lists. Not their elements' own rules, which come back by way of
 * schema_fits. Called by schema.c. */
#include "base/json.h"
#include "service/schema/schema_check.h"

#include <stdlib.h>

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

/* The schema for the element at `index`, NULL when there is none. */
static const struct schema *schema_for(const struct schema *schema, size_t index)
{
    return index < schema->prefix.count ? schema->prefix.items[index] : schema->items;
}

static bool fits_elements(struct schema_check *check, const struct schema *schema,
                          struct pl_str json, const struct schema_place *place,
                          struct schema_marks *marks)
{
    struct schema_place element = {.up = place};
    struct json_iter it;
    bool fits = true;

    if (!schema->items && !schema->prefix.count)
        return true;
    for (json_iter_init(&it, json); json_iter_next(&it); element.index++) {
        const struct schema *rule = schema_for(schema, element.index);

        if (!rule)
            break;
        schema_mark(marks, element.index);
        if (rule->never && element.index >= schema->prefix.count && schema->prefix.count)
            fits = schema_report(check, &element, "there may be at most %zu elements",
                                 schema->prefix.count);
        else
            fits &= schema_fits(check, rule, it.value, &element, NULL);
        if (!fits && !check->problems)
            return false;
    }
    return fits;
}

static bool fits_contains(struct schema_check *check, const struct schema *schema,
                          struct pl_str json, const struct schema_place *place,
                          struct schema_marks *marks)
{
    struct schema_place element = {.up = place};
    struct json_iter it;
    size_t count = 0;

    if (!schema->contains)
        return true;
    for (json_iter_init(&it, json); json_iter_next(&it); element.index++) {
        if (!schema_fits_quietly(check, schema->contains, it.value, &element, NULL))
            continue;
        schema_mark(marks, element.index);
        count++;
    }
    if (count < schema->min_contains)
        return schema_report(check, place,
                             "must have at least %zu elements that fit 'contains', has %zu",
                             schema->min_contains, count);
    if (count > schema->max_contains)
        return schema_report(check, place,
                             "must have at most %zu elements that fit 'contains', has %zu",
                             schema->max_contains, count);
    return true;
}

bool schema_fits_array(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place, struct schema_marks *marks)
{
    size_t count = 0;
    bool fits = true;

    if (schema->min_items > 0 || schema->max_items < SIZE_MAX || schema->unique_items)
        count = json_count(json);
    if (count < schema->min_items)
        fits = schema_report(check, place, "must have at least %zu elements, has %zu",
                             schema->min_items, count);
    if (count > schema->max_items)
        fits = schema_report(check, place, "must have at most %zu elements, has %zu",
                             schema->max_items, count);
    if (schema->unique_items)
        fits &= fits_unique(check, json, count, place);
    if (!fits && !check->problems)
        return false;
    fits &= fits_elements(check, schema, json, place, marks);
    return fits & fits_contains(check, schema, json, place, marks);
}
