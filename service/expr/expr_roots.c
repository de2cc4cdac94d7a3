/* expr_roots.c - the names an expression may begin with, where each exists, and what is said of a
 * name that is wrong. Not how they are found in a text (expr_path.c, expr_jq.c). Called by those
 * and by expr_parse.c. */
#include "base/limits.h"
#include "service/expr/expr_parse.h"

#include <stdio.h>

/* Enough for every root and two names from each step around. */
enum { NAMES_MAX = EXPR_ROOT__COUNT + 2 * PL_LIMIT_STEP_DEPTH + 3, LIST_BYTES = 320 };

static const struct root {
    const char *name; /* NULL: given by `as` */
    bool variable;    /* `$name` is the same */
    const char *where;
} roots[EXPR_ROOT__COUNT] = {
    [EXPR_ROOT_INPUT] = {"input", true, "cannot be used here"},
    [EXPR_ROOT_STEP] = {"steps", true, "cannot be used here"},
    [EXPR_ROOT_RUN] = {"run", true, "cannot be used here"},
    [EXPR_ROOT_THREAD] = {"thread", false, "cannot be used here"},
    [EXPR_ROOT_OUTPUT] = {"output", false,
                          "exists only in accept, key, score, until and writes; elsewhere write "
                          ".steps.<id>.output"},
    [EXPR_ROOT_ERROR] = {"error", false,
                         "exists only inside on_error.step; elsewhere write .steps.<id>.error"},
    [EXPR_ROOT_STATE] = {"state", true, "cannot be used here"},
    [EXPR_ROOT_ITEM] = {"item", false, "exists only inside the 'do' of a map without 'batch'"},
    [EXPR_ROOT_INDEX] = {"index", false, "exists only inside the 'do' of a map"},
    [EXPR_ROOT_ITEMS] = {"items", false,
                         "exists only inside the 'do' of a map with 'batch', and in its "
                         "'collapse'"},
    [EXPR_ROOT_TURN] = {"turn", false, "exists only inside repeat"},
    [EXPR_ROOT_PREVIOUS] = {"previous", false, "exists only inside repeat"},
    [EXPR_ROOT_ARGS] = {"args", false, "exists only in the 'do' of an agent's tool"},
    [EXPR_ROOT_CANDIDATES] = {"candidates", false, "exists only in the 'judge' of a vote"},
    [EXPR_ROOT_CANDIDATE] = {"candidate", false, "exists only in the 'score' step of a vote"},
};

static const char reducer_only[] = "exists only in the reducer of a state channel";

static const char *const step_fields[] = {
    [EXPR_STEP_ALL] = "",        [EXPR_STEP_OUTPUT] = "output", [EXPR_STEP_STATUS] = "status",
    [EXPR_STEP_ERROR] = "error", [EXPR_STEP_USAGE] = "usage",   [EXPR_STEP_JOIN] = "join",
    [EXPR_STEP_JOIN + 1] = NULL,
};

/* Roots with these fields and no others. */
static const struct {
    enum expr_root root;
    const char *names[6];
} fields[] = {
    {EXPR_ROOT_RUN, {"id", "attempt", "started_at", "date", "metadata", NULL}},
    {EXPR_ROOT_THREAD, {"id", NULL}},
    {EXPR_ROOT_PREVIOUS, {"output", "steps", NULL}},
};

/* ---- looking up ---- */

/* The position of a name in a table, -1 when it is not there. */
static int find_name(struct pl_str name, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (pl_str_is(name, names[i]))
            return i;
    return -1;
}

static int find_root(struct pl_str name)
{
    for (int i = 0; i < EXPR_ROOT__COUNT; i++)
        if (roots[i].name && pl_str_is(name, roots[i].name))
            return i;
    return -1;
}

static bool is_index_of(struct pl_str name, struct pl_str as)
{
    return name.len == as.len + 6 && pl_str_starts(name, as) &&
           memcmp(name.ptr + as.len, "_index", 6) == 0;
}

static bool find_as(const struct expr_as *as, struct pl_str name, struct expr_ref *ret)
{
    for (; as; as = as->outer) {
        bool item = pl_str_eq(name, as->name);

        if (!item && !is_index_of(name, as->name))
            continue;
        *ret = (struct expr_ref){
            .root = item ? EXPR_ROOT_AS : EXPR_ROOT_AS_INDEX, .name = as->name, .step = as->map};
        return true;
    }
    return false;
}

static bool is_of_reducer(struct pl_str name)
{
    return pl_str_is(name, "left") || pl_str_is(name, "right");
}

enum expr_found expr_find_root(const struct expr_names *names, struct pl_str name, bool variable,
                               struct expr_ref *ret)
{
    int found = find_root(name);

    if (variable && (found < 0 || !roots[found].variable))
        return EXPR_UNKNOWN;
    if (names->fold)
        return is_of_reducer(name) ? EXPR_FREE : found >= 0 ? EXPR_ELSEWHERE : EXPR_UNKNOWN;
    if (found >= 0) {
        *ret = (struct expr_ref){.root = (enum expr_root)found};
        return names->roots & 1u << found ? EXPR_FOUND : EXPR_ELSEWHERE;
    }
    if (find_as(names->as, name, ret))
        return EXPR_FOUND;
    return is_of_reducer(name) ? EXPR_ELSEWHERE : EXPR_UNKNOWN;
}

bool expr_find_field(struct pl_str name, enum expr_step_field *ret)
{
    int found = find_name(name, step_fields + 1);

    if (found >= 0)
        *ret = (enum expr_step_field)(found + 1);
    return found >= 0;
}

const char *expr_root_name(enum expr_root root)
{
    return root < EXPR_ROOT__COUNT && roots[root].name ? roots[root].name : "";
}

const char *expr_field_name(enum expr_step_field field)
{
    return step_fields[field];
}

bool expr_lacks_point(struct pl_str word)
{
    int found = find_root(word);

    return found >= 0 && found != EXPR_ROOT_ERROR && found != EXPR_ROOT_INDEX; /* jq has these */
}

/* ---- names that exist here, for messages ---- */

/* The names, NULL-terminated; those given by `as` are copied. */
static void names_here(const struct expr_job *job, const char *ret[static NAMES_MAX])
{
    const struct expr_names *names = &job->context->names;
    struct pl_arena *arena = job->context->arena;
    size_t count = 0;

    if (names->fold) {
        ret[count++] = "left";
        ret[count++] = "right";
    }
    for (int i = 0; i < EXPR_ROOT__COUNT && !names->fold; i++)
        if (roots[i].name && names->roots & 1u << i)
            ret[count++] = roots[i].name;
    for (const struct expr_as *as = names->as; as && count + 3 <= NAMES_MAX; as = as->outer) {
        const char *item = pl_arena_str(arena, as->name).ptr;
        const char *index = pl_arena_printf(arena, "%.*s_index", PL_STR_ARG(as->name));

        if (!item || !index)
            break;
        ret[count++] = item;
        ret[count++] = index;
    }
    ret[count] = NULL;
}

/* ".input, .steps or .run" */
static const char *list_names(const char *const *names, char out[static LIST_BYTES])
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; names[i] && used < LIST_BYTES; i++) {
        const char *between = i == 0 ? "" : names[i + 1] ? ", " : " or ";

        used += (size_t)snprintf(out + used, LIST_BYTES - used, "%s.%s", between, names[i]);
    }
    return out;
}

/* ---- problems ---- */

static bool refuse_elsewhere(struct expr_job *job, struct pl_str name, bool variable)
{
    const struct expr_names *names = &job->context->names;
    int found = find_root(name);
    const char *where = found < 0 ? reducer_only : roots[found].where;

    if (names->fold)
        where = "does not exist in a reducer, which sees .left and .right";
    else if (found == EXPR_ROOT_ITEM && names->roots & 1u << EXPR_ROOT_ITEMS)
        where = "does not exist here, where several items come at once: write .items";
    else if (found == EXPR_ROOT_ITEMS && names->roots & 1u << EXPR_ROOT_ITEM)
        where = "exists only where a map has 'batch', and in its 'collapse'; here write .item";
    doc_problem_at(job->context->problems, job->node, false, "in expression '%s', %s%.*s %s",
                   job->excerpt, variable ? "$" : ".", PL_STR_ARG(name), where);
    return false;
}

bool expr_refuse_root(struct expr_job *job, struct pl_str name, bool variable,
                      enum expr_found found)
{
    const char *sigil = variable ? "$" : ".", *names[NAMES_MAX], *nearest;
    char shown[DOC_EXCERPT], list[LIST_BYTES];

    if (found == EXPR_ELSEWHERE)
        return refuse_elsewhere(job, name, variable);
    if (variable && pl_str_is(name, "ENV"))
        return expr_refuse_environment(job);
    names_here(job, names);
    nearest = doc_nearest(name, names);
    doc_excerpt(name, shown);
    if (nearest)
        doc_problem_at(job->context->problems, job->node, false,
                       "in expression '%s', %s%s is unknown; did you mean .%s?", job->excerpt,
                       sigil, shown, nearest);
    else
        doc_problem_at(job->context->problems, job->node, false,
                       "in expression '%s', %s%s is unknown; begin with %s", job->excerpt, sigil,
                       shown, list_names(names, list));
    return false;
}

bool expr_refuse_nameless(struct expr_job *job)
{
    const char *names[NAMES_MAX];
    char list[LIST_BYTES];

    names_here(job, names);
    doc_problem_at(job->context->problems, job->node, false,
                   "expression '%s' must begin with a name: %s", job->excerpt,
                   list_names(names, list));
    return false;
}

bool expr_refuse_steps(struct expr_job *job, bool variable, bool member)
{
    const char *hint = "";

    if (member)
        hint = variable ? "; a variable of your own needs another name"
                        : "; a member of another value is written .[\"steps\"]";
    doc_problem_at(job->context->problems, job->node, false,
                   "in expression '%s', %ssteps must be followed by the id of a step, written "
                   "out: .steps.plan.output%s",
                   job->excerpt, variable ? "$" : ".", hint);
    return false;
}

bool expr_refuse_environment(struct expr_job *job)
{
    doc_problem_at(job->context->problems, job->node, false,
                   "expression '%s' reads the environment, which expressions cannot see; pass "
                   "the value in the run's input",
                   job->excerpt);
    return false;
}

/* Names the fields that exist when `name` is none of them. */
static bool unknown_field(struct expr_job *job, struct pl_str name, const char *of,
                          const char *const *names)
{
    const char *nearest = doc_nearest(name, names);
    char shown[DOC_EXCERPT], list[LIST_BYTES] = "";
    size_t used = 0;

    for (size_t i = 0; names[i] && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
    doc_problem_at(job->context->problems, job->node, false,
                   "in expression '%s', %s has no field '%s'%s%s%s (there is %s)", job->excerpt, of,
                   doc_excerpt(name, shown), nearest ? "; did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'?" : "", list);
    return false;
}

bool expr_refuse_step_field(struct expr_job *job, struct pl_str name)
{
    return unknown_field(job, name, "a step", step_fields + 1);
}

bool expr_check_field(struct expr_job *job, enum expr_root root, struct pl_str name)
{
    char of[PL_LIMIT_NAME];

    for (size_t i = 0; i < PL_ARRAY_LEN(fields); i++) {
        if (fields[i].root != root || find_name(name, fields[i].names) >= 0)
            continue;
        (void)snprintf(of, sizeof(of), ".%s", roots[root].name);
        return unknown_field(job, name, of, fields[i].names);
    }
    return true;
}
