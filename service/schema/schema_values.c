/* schema_values.c - keywords for any value, numbers and strings. Not lists (schema_array.c),
 * objects (schema_object.c), or schemas of schemas (schema_combine.c). Numbers of any size count
 * exactly, read from their text. Called by schema.c. */
#include "base/json.h"
#include "service/schema/schema_check.h"

#include <stdio.h>

enum schema_type schema_type_of(struct pl_str json)
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

/* ---- any value ---- */

bool schema_fits_type(struct schema_check *check, const struct schema *schema, struct pl_str json,
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

bool schema_fits_enum(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      const struct schema_place *place)
{
    char list[240] = "", shown[DOC_EXCERPT];
    size_t used = 0, i;

    if (!schema->enumeration)
        return true;
    if (!schema_work(check, schema->n_enumeration))
        return false;
    for (i = 0; i < schema->n_enumeration; i++)
        if (json_equal(schema->enumeration[i], json))
            return true;
    if (!schema_wants_words(check))
        return false;
    for (i = 0; i < schema->n_enumeration && used + DOC_EXCERPT + 8 < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
                                 doc_excerpt(schema->enumeration[i], shown));
    return schema_report(check, place, "must be one of %s%s, got %s", list,
                         i < schema->n_enumeration ? ", ..." : "", doc_excerpt(json, shown));
}

bool schema_fits_const(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place)
{
    char wanted[DOC_EXCERPT], shown[DOC_EXCERPT];

    if (!schema->constant.ptr || json_equal(schema->constant, json))
        return true;
    return schema_report(check, place, "must be %s, got %s", doc_excerpt(schema->constant, wanted),
                         doc_excerpt(json, shown));
}

/* ---- numbers ---- */

bool schema_fits_number(struct schema_check *check, const struct schema *schema, struct pl_str json,
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
size_t schema_length(struct pl_str token)
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

bool schema_matches(struct schema_check *check, const struct schema_pattern *pattern,
                    struct pl_str text)
{
    struct schema_shared *shared = check->shared;

    uint64_t states = shared->work * SCHEMA_STATES_A_UNIT;
    enum schema_match match = schema_pattern_match(pattern, &shared->matcher, text, &states);

    shared->work = states / SCHEMA_STATES_A_UNIT;
    switch (match) {
    case SCHEMA_MATCH:
        return true;
    case SCHEMA_MATCH_NO_MEMORY:
        shared->no_memory = true;
        return false;
    case SCHEMA_MATCH_NO_WORK:
        return schema_work(check, 1);
    case SCHEMA_NO_MATCH:
        break;
    }
    return false;
}

static bool fits_pattern(struct schema_check *check, const struct schema *schema,
                         struct pl_str json, const struct schema_place *place)
{
    struct pl_str text = pl_str_n(json.ptr + 1, json.len - 2);
    struct pl_buf *plain = &check->shared->text;
    char shown[DOC_EXCERPT];

    if (memchr(text.ptr, '\\', text.len)) {
        pl_buf_reset(plain);
        json_decode_string(json, plain);
        text = pl_buf_view(plain);
        check->shared->no_memory |= pl_buf_failed(plain);
    }
    if (schema_matches(check, schema->pattern, text))
        return true;
    return schema_report(check, place, "does not match the pattern '%s'",
                         doc_excerpt(schema->pattern_text, shown));
}

bool schema_fits_string(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place)
{
    bool fits = true;
    size_t count;

    if (schema->min_length > 0 || schema->max_length < SIZE_MAX) {
        count = schema_length(json);
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
