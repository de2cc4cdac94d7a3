/* schema.c - whether a JSON value fits a compiled schema: the order in which its keywords are
 * looked at, and the bounds of the work. Not compilation (schema_compile.c), the keywords
 * themselves (schema_values.c, schema_array.c, schema_object.c, schema_combine.c), defaults
 * (schema_fill.c), or words (schema_report.c). Called by the engine and the runs. */
#include "service/schema/schema.h"

#include "base/json.h"
#include "service/schema/schema_check.h"

static struct pl_str trim(struct pl_str json)
{
    while (json.len && strchr(" \t\r\n", json.ptr[0]))
        json = pl_str_n(json.ptr + 1, json.len - 1);
    while (json.len && strchr(" \t\r\n", json.ptr[json.len - 1]))
        json.len--;
    return json;
}

bool schema_work(struct schema_check *check, uint64_t units)
{
    struct schema_shared *shared = check->shared;

    if (shared->work > units) {
        shared->work -= units;
        return true;
    }
    shared->work = 0;
    return schema_stop(check, "checking this value against its schema takes too much work; make "
                              "the value smaller or the schema simpler");
}

bool schema_stop(struct schema_check *check, const char *why)
{
    if (!check->shared->stopped)
        check->shared->stopped = why;
    check->shared->work = 0; /* nothing that is asked from now on takes long */
    return false;
}

/* Everything that the schema says, in place; what is marked goes to `marks`. */
static bool fits_keywords(struct schema_check *check, const struct schema *schema,
                          struct pl_str json, enum schema_type type,
                          const struct schema_place *place, struct schema_marks *marks)
{
    bool fits = schema_fits_enum(check, schema, json, place) &&
                schema_fits_const(check, schema, json, place);

    if (type == SCHEMA_NUMBER || type == SCHEMA_INTEGER)
        fits &= schema_fits_number(check, schema, json, place);
    else if (type == SCHEMA_STRING)
        fits &= schema_fits_string(check, schema, json, place);
    else if (type == SCHEMA_ARRAY)
        fits &= schema_fits_array(check, schema, json, place, marks);
    else if (type == SCHEMA_OBJECT)
        fits &= schema_fits_object(check, schema, json, place, marks);
    if (!fits && !check->problems)
        return false;
    return fits & schema_fits_combinations(check, schema, json, place, marks);
}

/* With marks of its own where it asks for what is left over. */
static bool fits_marked(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        enum schema_type type, const struct schema_place *place,
                        struct schema_marks *marks)
{
    const struct schema *rest = NULL;
    struct schema_marks own;
    bool fits;

    if (type == SCHEMA_OBJECT)
        rest = schema->unevaluated;
    else if (type == SCHEMA_ARRAY)
        rest = schema->unevaluated_items;
    if (!rest)
        return fits_keywords(check, schema, json, type, place, marks);
    if (!schema_marks_init(check, &own, json_count(json)))
        return false;
    fits = fits_keywords(check, schema, json, type, place, &own);
    if (fits || check->problems)
        fits &= schema_fits_rest(check, schema, json, type, place, &own);
    schema_marks_finish(&own);
    for (size_t i = 0; marks && i < marks->count; i++)
        schema_mark(marks, i); /* what was left over has been looked at as well */
    return fits;
}

bool schema_fits(struct schema_check *check, const struct schema *schema, struct pl_str json,
                 const struct schema_place *place, struct schema_marks *marks)
{
    const enum schema_type type = schema_type_of(json);
    bool fits;

    if (schema->never)
        return schema_report(check, place, "no value is allowed here");
    if (!schema_work(check, SCHEMA_FIT_UNITS + json.len / SCHEMA_BYTES_A_UNIT))
        return false;
    if (check->depth == SCHEMA_DEPTH)
        return schema_stop(check, "checking this value opens more than 500 schemas, one inside "
                                  "the other");
    if (!schema_fits_type(check, schema, json, type, place))
        return false;
    check->depth++;
    fits = fits_marked(check, schema, json, type, place, marks);
    check->depth--;
    return fits;
}

enum pl_code schema_validate(const struct schema *schema, struct pl_arena *arena,
                             struct pl_str json, struct schema_limits *limits,
                             struct doc_problems *problems)
{
    struct schema_shared shared = {.work = limits->work};
    struct schema_check check = {.arena = arena, .problems = problems, .shared = &shared};
    bool fits;

    pl_buf_init(&shared.text, json.len + 8);
    fits = schema_fits(&check, schema, trim(json), NULL, NULL);
    limits->work = shared.work;
    schema_matcher_finish(&shared.matcher);
    pl_buf_finish(&shared.text);
    if (shared.no_memory || pl_arena_failed(arena))
        return PL_ERR_NO_MEMORY;
    if (shared.stopped) {
        const char *why = shared.stopped;

        shared.stopped = NULL;
        fits = schema_report(&check, NULL, "%s", why);
    }
    return fits ? PL_OK : PL_ERR_INVALID_INPUT;
}

enum pl_code schema_apply(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct pl_str *ret_filled, struct doc_problems *problems)
{
    struct schema_limits limits = schema_limits_for(json);
    const char *why = NULL;
    struct pl_str filled = schema_fill(schema, arena, json, &limits, &why);
    enum pl_code code;

    if (pl_arena_failed(arena))
        return PL_ERR_NO_MEMORY;
    if (why) {
        *ret_filled = json;
        doc_problem_add(problems, 0, 0, "", "%s", why);
        return PL_ERR_INVALID_INPUT;
    }
    code = schema_validate(schema, arena, filled, &limits, problems);
    if (code == PL_OK || code == PL_ERR_INVALID_INPUT)
        *ret_filled = filled;
    return code;
}
