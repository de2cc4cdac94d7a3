/* schema_paths.c - where a path into the values of a schema leads: whether a member can be there at
 * all, and whether the schema speaks of it. Not paths in a value (expr.c). Called by
 * workflow_paths.c, through schema_look.
 *
 * Two questions, asked in turn. Whether no valid value has the member follows from every keyword by
 * itself: of allOf one part that forbids it is enough, of anyOf all must. Whether it is declared is
 * asked of all schemas that apply in one place, however they come together. */
#include "base/map.h"
#include "service/schema/schema_node.h"

enum {
    LOOK_WORK = 4000,   /* schemas opened for one path; more: nothing is said */
    LOOK_DEPTH = 300,   /* one inside the other, or in place of the other */
    LOOK_SET = 64,      /* schemas that apply to one value */
    LOOK_NAMES = 200,   /* declared names, for suggestions */
    LOOK_MATCH = 20000, /* units of work for one name against one pattern */
    LOOK_STATES = 16,   /* of those are one of *work */
};

struct look {
    struct pl_arena *arena;
    const struct pl_str *path; /* absent ptr: an element of a list */
    size_t n;
    size_t forbidden; /* the member that is forbidden, where one is */
    unsigned opened, depth;
    uint64_t *work; /* units left for all paths */
    bool unsure;    /* something was too much: no answer */
};

static bool take_work(struct look *look, uint64_t units)
{
    if (*look->work <= units) {
        *look->work = 0;
        look->unsure = true;
    } else {
        *look->work -= units;
    }
    return !look->unsure;
}

static bool open_schema(struct look *look)
{
    if (++look->opened > LOOK_WORK || look->depth > LOOK_DEPTH)
        look->unsure = true;
    return take_work(look, 1);
}

static bool matches(struct look *look, const struct schema_pattern *pattern, struct pl_str name)
{
    struct schema_matcher matcher = {0};
    uint64_t work = LOOK_MATCH;
    enum schema_match match = schema_pattern_match(pattern, &matcher, name, &work);

    schema_matcher_finish(&matcher);
    (void)take_work(look, 1 + (LOOK_MATCH - work) / LOOK_STATES);
    look->unsure |= match != SCHEMA_MATCH && match != SCHEMA_NO_MATCH;
    return match == SCHEMA_MATCH;
}

/* ---- declared? ---- */

/* The schemas that may apply to one value. */
struct set {
    const struct schema *all[LOOK_SET];
    size_t n;
};

static void add(struct look *look, struct set *set, const struct schema *schema)
{
    for (size_t i = 0; schema && i < set->n; i++)
        if (set->all[i] == schema)
            return;
    if (!schema || !open_schema(look))
        return;
    if (set->n == LOOK_SET)
        look->unsure = true;
    else
        set->all[set->n++] = schema;
}

static void add_list(struct look *look, struct set *set, const struct schema_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        add(look, set, list->items[i]);
}

/* Adds what applies in the same place, as far as it may. */
static void spread(struct look *look, struct set *set)
{
    for (size_t i = 0; i < set->n && !look->unsure; i++) {
        const struct schema *schema = set->all[i];

        add(look, set, schema->ref);
        add_list(look, set, &schema->all);
        add_list(look, set, &schema->any);
        add_list(look, set, &schema->one);
        add(look, set, schema->condition);
        add(look, set, schema->then);
        add(look, set, schema->otherwise);
        for (size_t k = 0; schema->depends && k < schema->n_properties; k++)
            add(look, set, schema->properties[k]->dependent);
    }
}

/* What is said of the member, into `next`. False: nothing is. */
static bool declares(struct look *look, const struct schema *schema, struct pl_str name,
                     struct set *next)
{
    const struct schema_property *property = schema_property_of(schema, name);
    bool said = property != NULL; /* `required` alone speaks of it, too */

    if (property)
        add(look, next, property->schema);
    for (size_t i = 0; i < schema->n_patterns; i++)
        if (matches(look, schema->patterns[i].pattern, name)) {
            add(look, next, schema->patterns[i].schema);
            said = true;
        }
    /* One that says what others may be expects others. */
    if (!said && schema->additional && !schema->additional->never) {
        add(look, next, schema->additional);
        said = true;
    }
    return said || (schema->unevaluated && !schema->unevaluated->never);
}

static bool set_declares(struct look *look, const struct set *here, struct pl_str name,
                         struct set *next)
{
    bool said = false;

    for (size_t i = 0; i < here->n; i++)
        said |= declares(look, here->all[i], name, next);
    return said;
}

static void elements(struct look *look, const struct set *here, struct set *next)
{
    for (size_t i = 0; i < here->n; i++) {
        add_list(look, next, &here->all[i]->prefix);
        add(look, next, here->all[i]->items);
    }
}

/* ---- forbidden? ---- */

static bool forbids(struct look *look, const struct schema *schema, size_t at);

/* What applies to the member forbids what the path takes of it; nothing applies: may it be there?
 */
static bool forbids_member(struct look *look, const struct schema *schema, size_t at)
{
    struct pl_str name = look->path[at];
    const struct schema_property *property = schema_property_of(schema, name);
    bool known = property && property->schema;

    if (known && forbids(look, property->schema, at + 1))
        return true;
    for (size_t i = 0; i < schema->n_patterns; i++) {
        if (!matches(look, schema->patterns[i].pattern, name))
            continue;
        known = true;
        if (forbids(look, schema->patterns[i].schema, at + 1))
            return true;
    }
    if (known || !schema->additional)
        return false;
    if (!schema->additional->never)
        return forbids(look, schema->additional, at + 1);
    look->forbidden = at;
    return true;
}

/* Any element: which one it is need not be known. */
static bool forbids_element(struct look *look, const struct schema *schema, size_t at)
{
    if (!schema->items)
        return false;
    for (size_t i = 0; i < schema->prefix.count; i++)
        if (!forbids(look, schema->prefix.items[i], at + 1))
            return false;
    return !schema->items->never && forbids(look, schema->items, at + 1);
}

/* unevaluatedProperties: false, and nothing that applies in this place speaks of the member. */
static bool forbids_rest(struct look *look, const struct schema *schema, size_t at)
{
    struct set here = {.n = 0}, next = {.n = 0};

    if (!schema->unevaluated || !schema->unevaluated->never || !look->path[at].ptr)
        return false;
    add(look, &here, schema);
    spread(look, &here);
    if (set_declares(look, &here, look->path[at], &next))
        return false;
    look->forbidden = at;
    return true;
}

/* Of anyOf and oneOf: every one does. The one that knows the most of the path says where. */
static bool all_forbid(struct look *look, const struct schema_list *list, size_t at)
{
    size_t farthest = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (!forbids(look, list->items[i], at))
            return false;
        if (look->forbidden > farthest)
            farthest = look->forbidden;
    }
    look->forbidden = farthest;
    return list->count > 0;
}

static bool forbids_here(struct look *look, const struct schema *schema, size_t at)
{
    if (look->path[at].ptr ? forbids_member(look, schema, at) : forbids_element(look, schema, at))
        return true;
    if (schema->ref && forbids(look, schema->ref, at))
        return true;
    for (size_t i = 0; i < schema->all.count; i++)
        if (forbids(look, schema->all.items[i], at))
            return true;
    return all_forbid(look, &schema->any, at) || all_forbid(look, &schema->one, at) ||
           forbids_rest(look, schema, at);
}

/* No value that fits has what the path, from `at` on, takes of it; look->forbidden says which
 * member. */
static bool forbids(struct look *look, const struct schema *schema, size_t at)
{
    bool answer;

    if (at == look->n || !open_schema(look))
        return false;
    look->depth++;
    answer = forbids_here(look, schema, at);
    look->depth--;
    return answer && !look->unsure;
}

/* The names in `properties`, NULL behind. */
static const char *const *names_of(struct look *look, const struct set *here)
{
    const char **names = pl_arena_alloc_array(look->arena, LOOK_NAMES + 1, sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; names && i < here->n; i++)
        for (const char **name = here->all[i]->names; name && *name && count < LOOK_NAMES; name++)
            names[count++] = *name;
    return names;
}

/* ---- the whole ---- */

enum schema_finds schema_look(const struct schema *schema, struct pl_arena *arena,
                              const struct pl_str *path, size_t n, uint64_t *work, size_t *ret_at,
                              const char *const **ret_names)
{
    struct look look = {.arena = arena, .path = path, .n = n, .work = work};
    struct set here = {.n = 0}, next = {.n = 0};
    bool forbidden = forbids(&look, schema, 0);
    size_t end = forbidden ? look.forbidden : n;
    size_t at = 0;

    look.opened = 0;
    add(&look, &here, schema);
    for (spread(&look, &here); at < end && !look.unsure; at++) {
        next.n = 0;
        if (!path[at].ptr)
            elements(&look, &here, &next);
        else if (!set_declares(&look, &here, path[at], &next))
            break;
        here = next;
        spread(&look, &here);
    }
    if (look.unsure || (at == n && !forbidden))
        return SCHEMA_FINDS;
    *ret_names = names_of(&look, &here);
    *ret_at = at;
    if (!*ret_names || !**ret_names)
        return forbidden && *ret_names ? SCHEMA_FINDS_NOTHING : SCHEMA_FINDS;
    return forbidden ? SCHEMA_FINDS_NOTHING : SCHEMA_FINDS_UNDECLARED;
}
