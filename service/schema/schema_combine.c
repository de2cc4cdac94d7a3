/* schema_combine.c - schemas that apply to the same value as the one they stand in: allOf, anyOf,
 * oneOf, not, if, $ref; and what none of them looked at. Called by schema.c. */
#include "base/json.h"
#include "service/schema/schema_check.h"

#include <stdio.h>
#include <stdlib.h>

bool schema_marks_init(struct schema_check *check, struct schema_marks *marks, size_t count)
{
    *marks = (struct schema_marks){.count = count, .bits = marks->few};
    if (!schema_work(check, count / 64))
        return false;
    if (count / 64 >= PL_ARRAY_LEN(marks->few))
        marks->bits = calloc(count / 64 + 1, sizeof(marks->bits[0]));
    check->shared->no_memory |= !marks->bits;
    return marks->bits != NULL;
}

void schema_marks_finish(struct schema_marks *marks)
{
    if (marks->bits != marks->few)
        free(marks->bits);
}

static void merge(struct schema_marks *into, const struct schema_marks *from)
{
    for (size_t i = 0; i <= from->count / 64; i++)
        into->bits[i] |= from->bits[i];
}

bool schema_fits_quietly(struct schema_check *check, const struct schema *schema,
                         struct pl_str json, const struct schema_place *place,
                         struct schema_marks *marks)
{
    struct schema_check quiet = *check;
    struct schema_marks own;
    bool fits;

    quiet.problems = NULL;
    quiet.reason = NULL;
    if (!marks)
        return schema_fits(&quiet, schema, json, place, NULL);
    if (!schema_marks_init(check, &own, marks->count))
        return false;
    fits = schema_fits(&quiet, schema, json, place, &own);
    if (fits)
        merge(marks, &own);
    schema_marks_finish(&own);
    return fits;
}

/* How many fit, up to `enough`; all are tried when their marks are wanted. */
static size_t count_fitting(struct schema_check *check, const struct schema_list *list,
                            size_t enough, struct pl_str json, const struct schema_place *place,
                            struct schema_marks *marks)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count && (marks || count < enough); i++)
        count += schema_fits_quietly(check, list->items[i], json, place, marks);
    return count;
}

/* Says why each alternative does not fit, as far as there is room. */
static bool none_fits(struct schema_check *check, const struct schema_list *list,
                      const char *keyword, struct pl_str json, const struct schema_place *place)
{
    char reasons[300] = "", reason[SCHEMA_REASON];
    struct schema_check aside = *check;
    size_t used = 0;

    aside.problems = NULL;
    aside.reason = reason;
    for (size_t i = 0; schema_wants_words(check) && i < list->count && used < sizeof(reasons);
         i++) {
        reason[0] = '\0';
        (void)schema_fits(&aside, list->items[i], json, NULL, NULL);
        used += (size_t)snprintf(reasons + used, sizeof(reasons) - used, "%s(%zu) %s",
                                 used ? "; " : "", i + 1, reason[0] ? reason : "it does not fit");
    }
    return schema_report(check, place, "fits none of the alternatives of %s: %s", keyword, reasons);
}

static bool fits_one_of(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place, struct schema_marks *marks)
{
    size_t count = count_fitting(check, &schema->one, SIZE_MAX, json, place, marks);

    if (count == 1)
        return true;
    if (count == 0)
        return none_fits(check, &schema->one, "oneOf", json, place);
    return schema_report(check, place,
                         "fits %zu of the alternatives of oneOf; it must fit exactly one", count);
}

static bool fits_condition(struct schema_check *check, const struct schema *schema,
                           struct pl_str json, const struct schema_place *place,
                           struct schema_marks *marks)
{
    const struct schema *next = schema->then;

    if (!schema->condition)
        return true;
    if (!schema_fits_quietly(check, schema->condition, json, place, marks))
        next = schema->otherwise;
    return !next || schema_fits(check, next, json, place, marks);
}

bool schema_fits_combinations(struct schema_check *check, const struct schema *schema,
                              struct pl_str json, const struct schema_place *place,
                              struct schema_marks *marks)
{
    bool fits = !schema->ref || schema_fits(check, schema->ref, json, place, marks);

    for (size_t i = 0; i < schema->all.count && (fits || check->problems); i++)
        fits &= schema_fits(check, schema->all.items[i], json, place, marks);
    if (!fits && !check->problems)
        return false;
    if (schema->any.count && count_fitting(check, &schema->any, 1, json, place, marks) == 0)
        fits = none_fits(check, &schema->any, "anyOf", json, place);
    if (schema->one.count)
        fits &= fits_one_of(check, schema, json, place, marks);
    fits &= fits_condition(check, schema, json, place, marks);
    if (schema->not &&schema_fits_quietly(check, schema->not, json, place, NULL))
        fits = schema_report(check, place, "is of a kind that 'not' rules out");
    return fits;
}

/* ---- what is left ---- */

bool schema_fits_rest(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place,
                      struct schema_marks *marks)
{
    const bool object = type == SCHEMA_OBJECT;
    const struct schema *rest = object ? schema->unevaluated : schema->unevaluated_items;
    struct schema_place member = {.up = place};
    struct json_iter it;
    bool fits = true;

    if (!rest)
        return true;
    for (json_iter_init(&it, json); json_iter_next(&it); member.index++) {
        if (object)
            member.key = it.key;
        if (schema_marked(marks, member.index))
            continue;
        schema_mark(marks, member.index);
        if (rest->never)
            fits =
                schema_report(check, &member, object ? "unknown property" : "one element too many");
        else
            fits &= schema_fits(check, rest, it.value, &member, NULL);
        if (!fits && !check->problems)
            return false;
    }
    return fits;
}
