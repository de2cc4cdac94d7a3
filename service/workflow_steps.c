/* workflow_steps.c - reads one step: which kind it is and the keys that stand on any step. Not what
 * stands under a kind (steps/<kind>_parse.c) and not references between steps (workflow_check.c).
 * Called by workflow_parse for the top level, by itself for branches and handlers.
 *
 * A new kind is an enum value in workflow.h, a row in `kinds` and a parse function. */
#include "service/workflow_parse.h"

#include "base/limits.h"

#define DURATION_HELP "a duration such as 250ms, 30s, 5m or 1h, or a number of seconds"

/* ---- kinds ---- */

struct kind_row {
    const char *key;
    enum step_kind kind;
    /* NULL: a kind of the language that this version does not run. */
    void (*parse)(struct wf_ctx *ctx, const struct doc_node *node);
};

static const struct kind_row kinds[] = {
    {.key = "llm", .kind = STEP_LLM, .parse = wf_parse_llm},
    {.key = "http", .kind = STEP_HTTP, .parse = wf_parse_http},
    {.key = "parallel", .kind = STEP_PARALLEL, .parse = wf_parse_parallel},
    {.key = "reduce", .kind = STEP_REDUCE, .parse = wf_parse_reduce},
    {.key = "map"},
    {.key = "vote"},
    {.key = "workflow"},
    {.key = "agent"},
    {.key = "human"},
    {.key = "repeat"},
    {.key = "sleep"},
};

static const struct kind_row *find_kind(struct pl_str key)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++)
        if (pl_str_is(key, kinds[i].key))
            return &kinds[i];
    return NULL;
}

/* ---- keys on any step ---- */

static void step_description(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    ((struct step_def *)target)->description = node->text;
}

static void step_needs(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const struct step_def *step = target;

    for (size_t i = 0; i < node->count; i++)
        (void)wf_type(ctx, node->items[i], "needs", WF_STRING, "a list of ids of steps");
    ctx->p->steps[step->index].needs = node;
}

static void step_when(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct step_def *)target)->when =
        expr_compile(ctx->p->arena, node, ctx->names, &ctx->sink, ctx->p->problems);
}

static void step_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct step_def *)target)->timeout);
}

static void step_deadline(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct step_def *)target)->deadline);
}

/* True when the step makes calls of its own, or nobody knows; else a problem. */
static bool makes_calls(struct wf_ctx *ctx, const struct doc_node *node)
{
    if (!ctx->kind_known || step_kind_is_leaf(ctx->step->kind))
        return true;
    wf_problem_key(ctx, node, "a %s makes no call of its own; put %s on the branches",
                   step_kind_name(ctx->step->kind), node->key.ptr);
    return false;
}

static void step_retry(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (makes_calls(ctx, node))
        wf_parse_retry(ctx, node, &((struct step_def *)target)->retry);
}

static void step_on_ambiguous(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"retry", "fail", NULL};
    size_t index;

    if (makes_calls(ctx, node) && wf_word(ctx, node, words, &index))
        ((struct step_def *)target)->on_ambiguous =
            index == 0 ? ON_AMBIGUOUS_RETRY : ON_AMBIGUOUS_FAIL;
}

static const struct wf_field step_fields[] = {
    {.key = "description", .types = WF_TEXT, .help = "a text", .parse = step_description},
    {.key = "needs",
     .types = WF_LIST,
     .help = "a list of ids of steps, such as [plan]",
     .parse = step_needs},
    {.key = "when",
     .types = WF_STRING,
     .help = "an expression in quotes, such as \"${ .input.deep }\"",
     .parse = step_when},
    {.key = "timeout", .types = WF_DURATION, .help = DURATION_HELP, .parse = step_timeout},
    {.key = "deadline", .types = WF_DURATION, .help = DURATION_HELP, .parse = step_deadline},
    {.key = "retry",
     .types = WF_OBJECT,
     .help = "an object such as {attempts: 3}",
     .parse = step_retry},
    {.key = "on_error",
     .types = WF_STRING | WF_OBJECT,
     .help = "fail, continue, {default: value} or {step: {...}}",
     .parse = wf_parse_on_error},
    {.key = "on_ambiguous",
     .types = WF_STRING,
     .help = "retry or fail",
     .parse = step_on_ambiguous},
    {.key = "join",
     .types = WF_STRING | WF_OBJECT,
     .help = "all, settled, any, {quorum: k}, {fraction: f} or an object with policy",
     .parse = wf_parse_join},
    {.key = "writes"},
    {.key = "budget"},
};

static const char *step_elsewhere(struct pl_str key)
{
    if (wf_is_llm_key(key))
        return "it belongs inside 'llm'";
    if (wf_is_http_key(key))
        return "it belongs inside 'http'";
    if (pl_str_is(key, "branches"))
        return "it belongs inside 'parallel'";
    return NULL;
}

static const struct wf_object step_object = {
    .what = "a step",
    .fields = step_fields,
    .n_fields = PL_ARRAY_LEN(step_fields),
    .step_kinds = true,
    .elsewhere = step_elsewhere,
};

bool wf_is_step_key(struct pl_str key)
{
    return wf_has_field(&step_object, key);
}

/* ---- bodies ---- */

struct step_body *wf_body_create(struct wf_parser *p, enum body_role role, struct step_def *owner,
                                 const char *id)
{
    struct step_body *body = pl_arena_alloc(p->arena, sizeof(*body));

    if (p->n_bodies == p->bodies_capacity) {
        size_t capacity = p->bodies_capacity ? p->bodies_capacity * 2 : 16;
        struct step_body **bodies = pl_arena_alloc_array(p->scratch, capacity, sizeof(*bodies));

        if (!bodies)
            return NULL;
        if (p->n_bodies)
            memcpy(bodies, p->bodies, p->n_bodies * sizeof(*bodies));
        p->bodies = bodies;
        p->bodies_capacity = capacity;
    }
    if (!body)
        return NULL;
    body->role = role;
    body->workflow = p->workflow;
    body->owner = owner;
    body->id = id ? pl_str(id) : (struct pl_str){0};
    p->bodies[p->n_bodies++] = body;
    return body;
}

/* ---- one step ---- */

/* Finds the kind; a problem when there is not exactly one. NULL when there is none that can be
 * read. */
static const struct kind_row *kind_of(struct wf_ctx *ctx, const struct doc_node *node)
{
    const struct kind_row *first = NULL;

    for (size_t i = 0; i < node->count; i++) {
        const struct kind_row *row = find_kind(node->items[i]->key);
        if (!row)
            continue;
        if (first) {
            wf_problem_key(ctx, node->items[i],
                           "a step has exactly one kind, and this one has '%s' already; make '%s' "
                           "a step of its own",
                           first->key, row->key);
            break;
        }
        first = row;
        if (!row->parse)
            wf_problem_key(ctx, node->items[i],
                           "'%s' is not supported by this version; use llm, http, parallel or "
                           "reduce",
                           row->key);
    }
    if (!first)
        wf_problem_key(ctx, node,
                       "'%s' has no kind; give it exactly one of llm, http, parallel, reduce",
                       wf_show(ctx, node->key));
    return first && first->parse ? first : NULL;
}

static void set_defaults(struct wf_ctx *ctx)
{
    struct step_def *step = ctx->step;
    bool call = ctx->kind_known && (step->kind == STEP_LLM || step->kind == STEP_HTTP);

    wf_retry_init(&step->retry);
    step->join.min = 1;
    if (call) {
        step->retry = ctx->p->default_retry;
        step->timeout = ctx->p->default_timeout;
    }
}

/* What depends on the whole step being read. */
static void finish_step(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct step_def *step = ctx->step;
    const struct doc_node *join = doc_get(node, "join");

    if (!ctx->kind_known)
        return;
    /* Whether a call may be made twice is unknown, so a request that may change something is not.
     */
    if (step->kind == STEP_HTTP && !doc_get(node, "on_ambiguous") && step->config.http &&
        !pl_str_is(step->config.http->method, "GET"))
        step->on_ambiguous = ON_AMBIGUOUS_FAIL;
    if (step->kind == STEP_PARALLEL && join)
        wf_check_join(ctx, join);
    if (step->handler)
        for (size_t i = 0; i < step->n_children; i++)
            if (pl_str_eq(step->children[i]->id, step->handler->id))
                wf_problem_key(ctx, step->children[i]->node,
                               "a branch cannot be called 'on_error' beside an on_error step: both "
                               "would have one path; rename it");
}

static void read_step(struct wf_ctx *ctx, const struct doc_node *node)
{
    if (!wf_type(ctx, node, wf_show(ctx, node->key), WF_OBJECT,
                 "a step: an object with one of llm, http, parallel, reduce"))
        return;
    const struct kind_row *kind = kind_of(ctx, node);
    if (kind) {
        ctx->kind_known = true;
        ctx->step->kind = kind->kind;
    }
    set_defaults(ctx);
    for (size_t i = 0; i < node->count; i++) {
        const struct kind_row *row = find_kind(node->items[i]->key);
        if (!row)
            wf_member(ctx, node->items[i], &step_object, ctx->step);
        else if (row == kind)
            kind->parse(ctx, node->items[i]);
    }
    ctx->step->exprs = ctx->sink.first;
    finish_step(ctx, node);
}

/* A step that is numbered and has its path, nothing read yet. NULL when there are too many or
 * memory is out. */
static struct step_def *new_step(struct wf_ctx *outer, const struct doc_node *node,
                                 struct wf_scope *scope, bool is_handler)
{
    struct wf_parser *p = outer->p;

    if (p->n_steps == p->steps_capacity) {
        size_t capacity = p->steps_capacity ? p->steps_capacity * 2 : 64;
        struct wf_step *steps = pl_arena_alloc_array(p->scratch, capacity, sizeof(*steps));
        if (!steps)
            return NULL;
        if (p->n_steps)
            memcpy(steps, p->steps, p->n_steps * sizeof(*steps));
        p->steps = steps;
        p->steps_capacity = capacity;
    }
    struct step_def *step = pl_arena_alloc(p->arena, sizeof(*step));
    if (!step)
        return NULL;
    step->index = (uint32_t)p->n_steps;
    step->body = outer->body;
    step->slot = (uint32_t)outer->body->n_steps++;
    step->id = is_handler ? PL_STR("on_error") : node->key;
    step->parent = outer->step;
    step->is_handler = is_handler;
    step->node = node;
    step->path = step->id;
    if (outer->step) {
        char *path = pl_arena_printf(p->arena, "%s.%s", outer->step->path.ptr, step->id.ptr);
        step->path = pl_str_n(path, path ? outer->step->path.len + 1 + step->id.len : 0);
    }
    step->tail = step->path;
    p->steps[p->n_steps++] = (struct wf_step){.def = step, .scope = scope};
    return step->path.ptr ? step : NULL;
}

struct step_def *wf_parse_step(struct wf_ctx *outer, const struct doc_node *node,
                               struct wf_scope *scope, bool is_handler)
{
    struct wf_parser *p = outer->p;

    if (p->n_steps >= PL_LIMIT_STEPS) {
        if (!p->too_many_steps)
            wf_problem_key(outer, node, "a workflow has at most %d steps; make it smaller",
                           PL_LIMIT_STEPS);
        p->too_many_steps = true;
        return NULL;
    }
    struct step_def *step = new_step(outer, node, scope, is_handler);
    if (!step)
        return NULL;
    struct wf_ctx ctx = {
        .p = p,
        .step = step,
        .scope = scope,
        .body = outer->body,
        .names = outer->names,
        .depth = outer->depth + 1,
    };
    if (is_handler)
        ctx.names.roots |= 1u << EXPR_ROOT_ERROR;
    expr_sink_init(&ctx.sink);
    if (!is_handler && !wf_id_ok(step->id))
        wf_problem_key(&ctx, node,
                       "'%s' is no id; use letters, digits and _, a letter or _ first, at most %d",
                       wf_show(&ctx, step->id), PL_LIMIT_NAME);
    if (ctx.depth > PL_LIMIT_STEP_DEPTH)
        wf_problem_key(&ctx, node, "steps stand at most %d deep inside each other",
                       PL_LIMIT_STEP_DEPTH);
    else
        read_step(&ctx, node);
    return step;
}

struct wf_scope *wf_scope_create(struct wf_parser *p, struct wf_scope *outer,
                                 const struct step_def *owner, size_t expect)
{
    struct wf_scope *scope = pl_arena_alloc(p->scratch, sizeof(*scope));

    if (!scope)
        return NULL;
    scope->outer = outer;
    scope->owner = owner;
    scope->names = pl_map_create(p->scratch, expect);
    return scope->names ? scope : NULL;
}

void wf_parse_steps(struct wf_ctx *outer, const struct doc_node *node, struct wf_scope *scope,
                    struct step_def ***ret_steps, size_t *ret_count)
{
    struct step_def **steps = pl_arena_alloc_array(outer->p->arena, node->count ? node->count : 1,
                                                   sizeof(struct step_def *));
    size_t count = 0;

    if (!steps || !scope)
        return;
    for (size_t i = 0; i < node->count; i++) {
        struct step_def *step = wf_parse_step(outer, node->items[i], scope, false);
        if (!step)
            break;
        (void)pl_map_put(scope->names, step->id, step, NULL);
        steps[count++] = step;
    }
    *ret_steps = steps;
    *ret_count = count;
}
