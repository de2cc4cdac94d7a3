/* map_parse.c - reads what stands under `map`. Not `join`, which stands beside it
 * (workflow_policy.c). Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_bodies.h"

enum {
    CONCURRENCY = 1000,
    CONCURRENCY_MAX = 100000,
    BATCH_MAX = 10000,
    FAN_IN = 20,
    FAN_IN_MAX = 10000,
    BODY_DO = 0,
    BODY_OF_COLLAPSE = 1,
};

enum {
    ITEM_ROOTS = 1u << EXPR_ROOT_ITEM | 1u << EXPR_ROOT_INDEX | 1u << EXPR_ROOT_ITEMS,
};

static void map_over(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct map_config *map = target;

    map->over = wf_template(ctx, node);
    if (node->type == DOC_STRING && map->over && !wf_is_expression(map->over))
        wf_problem(ctx, node, "'over' must be a list or one expression that gives a list");
}

/* ---- as ---- */

/* True when a name is taken: by the language, or by `as` of a map around this one. */
static bool taken(const struct wf_ctx *ctx, struct pl_str name, bool *ret_outer)
{
    static const char *const words[] = {"input",      "steps",    "run",  "thread", "output",
                                        "error",      "state",    "item", "index",  "items",
                                        "turn",       "previous", "args", "left",   "right",
                                        "candidates", "candidate"};

    *ret_outer = false;
    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (pl_str_is(name, words[i]))
            return true;
    *ret_outer = true;
    for (const struct expr_as *as = ctx->names.as; as; as = as->outer)
        if (pl_str_starts(name, as->name) &&
            (name.len == as->name.len ||
             pl_str_is(pl_str_n(name.ptr + as->name.len, name.len - as->name.len), "_index")))
            return true;
    return false;
}

static void map_as(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct map_config *map = target;
    char *index = pl_arena_printf(ctx->p->scratch, "%s_index", node->text.ptr);
    bool outer;

    if (!index)
        return;
    if (!wf_id_ok(node->text))
        wf_problem(ctx, node,
                   "'%s' is no name for an item; use letters, digits and _, a letter or _ first",
                   wf_show(ctx, node->text));
    else if (taken(ctx, node->text, &outer) || taken(ctx, pl_str(index), &outer))
        wf_problem(ctx, node,
                   outer ? "'%s' hides a name that a map around this one gives; choose another"
                         : "'%s' is a name of the language; choose another",
                   wf_show(ctx, node->text));
    else
        map->as = node->text;
}

/* ---- counts ---- */

static void map_concurrency(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, CONCURRENCY_MAX, &count))
        ((struct map_config *)target)->concurrency = (unsigned)count;
}

static void map_batch(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, BATCH_MAX, &count))
        ((struct map_config *)target)->batch = (unsigned)count;
}

/* ---- bodies ---- */

static void map_do(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const struct map_config *map = target;
    struct step_body *body = wf_body_at(ctx, BODY_DO, BODY_BRANCH, (struct pl_str){0});
    struct expr_names names = ctx->names;
    struct expr_as *as = pl_arena_alloc(ctx->p->arena, sizeof(*as));

    if (!body || !as)
        return;
    names.roots &= ~(unsigned)ITEM_ROOTS;
    names.roots |= 1u << EXPR_ROOT_INDEX |
                   1u << (doc_get(node->parent, "batch") ? EXPR_ROOT_ITEMS : EXPR_ROOT_ITEM);
    if (map->as.len) {
        *as = (struct expr_as){.name = map->as, .map = ctx->step, .outer = names.as};
        names.as = as;
    }
    wf_parse_single(ctx, body, node, names, NULL);
}

static void collapse_fan_in(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 2, FAN_IN_MAX, &count))
        ((struct map_config *)target)->fan_in = (unsigned)count;
}

static void collapse_do(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_body *body = wf_body_at(ctx, BODY_OF_COLLAPSE, BODY_COLLAPSE, (struct pl_str){0});
    struct expr_names names = ctx->names;

    (void)target;
    names.roots &= ~(unsigned)ITEM_ROOTS;
    names.roots |= 1u << EXPR_ROOT_ITEMS;
    if (body)
        wf_parse_single(ctx, body, node, names, NULL);
}

static const struct wf_field collapse_fields[] = {
    {.key = "do",
     .types = WF_OBJECT,
     .help = "a step that makes one of the outputs in .items",
     .parse = collapse_do},
    {.key = "fan_in",
     .types = WF_NUMBER,
     .help = "how many outputs one group has at most",
     .parse = collapse_fan_in},
};

static const struct wf_object collapse_object = {
    .what = "collapse",
    .fields = collapse_fields,
    .n_fields = PL_ARRAY_LEN(collapse_fields),
};

static void map_collapse(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct map_config *)target)->fan_in = FAN_IN;
    wf_object(ctx, node, &collapse_object, target);
    if (!doc_get(node, "do"))
        wf_problem_key(ctx, node, "collapse needs 'do': a step over .items, outputs of the items");
}

static void map_warm_up(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    ctx->step->warm_up = pl_str_is(node->text, "true");
}

static const struct wf_field map_fields[] = {
    {.key = "over",
     .types = WF_LIST | WF_STRING,
     .help = "a list or one expression that gives a list",
     .parse = map_over},
    {.key = "as", .types = WF_STRING, .help = "a name for the item", .parse = map_as},
    {.key = "concurrency",
     .types = WF_NUMBER,
     .help = "how many items are under way at once",
     .parse = map_concurrency},
    {.key = "batch",
     .types = WF_NUMBER,
     .help = "how many items one branch takes, as .items",
     .parse = map_batch},
    {.key = "warm_up", .types = WF_BOOL, .help = "true or false", .parse = map_warm_up},
    {.key = "do", .types = WF_OBJECT, .help = "a step", .parse = map_do},
    {.key = "collapse",
     .types = WF_OBJECT,
     .help = "an object such as {do: step, fan_in: 20}",
     .parse = map_collapse},
};

static const char *map_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "fan_in"))
        return "it belongs inside 'collapse'";
    if (pl_str_is(key, "items") || pl_str_is(key, "in"))
        return "the list goes under 'over'";
    if (pl_str_is(key, "steps"))
        return "a map has one step, 'do'; for several use do: {workflow: {steps: {...}}}";
    return wf_is_step_key(key) ? "it belongs on the step, beside 'map'" : NULL;
}

static const struct wf_object map_object = {
    .what = "map",
    .fields = map_fields,
    .n_fields = PL_ARRAY_LEN(map_fields),
    .elsewhere = map_elsewhere,
};

void wf_parse_map(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct map_config *map = pl_arena_alloc(ctx->p->arena, sizeof(*map));
    const struct doc_node *collapse = doc_get(node, "collapse"), *as = doc_get(node, "as");

    if (!map)
        return;
    ctx->step->config.map = map;
    map->concurrency = CONCURRENCY;
    if (!wf_bodies_reserve(ctx, collapse ? 2 : 1))
        return;
    if (as && as->type == DOC_STRING)
        map_as(ctx, as, map); /* first: `do` sees it wherever it stands */
    for (size_t i = 0; node->type == DOC_OBJECT && i < node->count; i++)
        if (node->items[i] != as || as->type != DOC_STRING)
            wf_member(ctx, node->items[i], &map_object, map);
    if (!wf_type(ctx, node, "map", WF_OBJECT, "an object such as {over: list, do: step}"))
        return;
    if (!doc_get(node, "over"))
        wf_problem_key(ctx, node, "a map needs 'over': the list whose items it goes through");
    if (!doc_get(node, "do"))
        wf_problem_key(ctx, node, "a map needs 'do': the step that runs for each item");
}
