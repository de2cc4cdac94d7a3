/* workflow_bodies.c - bodies, scopes and steps as they are numbered and named: index, slot, path.
 * Not what a step says (workflow_steps.c). Called by workflow_parse for the top level and by
 * steps/<kind>_parse for what stands inside a step. */
#include "service/workflow/workflow_bodies.h"

#include "base/limits.h"

/* ---- bodies ---- */

static bool grow_bodies(struct wf_parser *p)
{
    size_t capacity = p->bodies_capacity ? p->bodies_capacity * 2 : 16;
    struct wf_body *bodies = pl_arena_alloc_array(p->scratch, capacity, sizeof(*bodies));

    if (!bodies)
        return false;
    if (p->n_bodies)
        memcpy(bodies, p->bodies, p->n_bodies * sizeof(*bodies));
    p->bodies = bodies;
    p->bodies_capacity = capacity;
    return true;
}

struct step_body *wf_body_create(struct wf_parser *p, enum body_role role, struct step_def *owner,
                                 struct pl_str id)
{
    struct step_body *body = pl_arena_alloc(p->arena, sizeof(*body));

    if (!body || (p->n_bodies == p->bodies_capacity && !grow_bodies(p)))
        return NULL;
    body->role = role;
    body->workflow = p->workflow;
    body->owner = owner;
    body->id = id;
    body->index = (uint32_t)p->n_bodies;
    p->bodies[p->n_bodies++] = (struct wf_body){.def = body};
    return body;
}

bool wf_bodies_reserve(struct wf_ctx *ctx, size_t count)
{
    struct step_def *step = ctx->step;

    step->bodies = pl_arena_alloc_array(ctx->p->arena, count ? count : 1, sizeof(*step->bodies));
    step->n_bodies = step->bodies ? count : 0;
    return step->bodies != NULL;
}

struct step_body *wf_body_at(struct wf_ctx *ctx, size_t number, enum body_role role,
                             struct pl_str id)
{
    struct step_body *body = wf_body_create(ctx->p, role, ctx->step, id);

    if (!body)
        return NULL;
    body->number = (unsigned)number;
    ctx->step->bodies[number] = body;
    return body;
}

struct wf_ctx wf_body_ctx(const struct wf_ctx *ctx, struct step_body *body, struct expr_names names)
{
    return (struct wf_ctx){
        .p = ctx->p,
        .step = ctx->step,
        .scope = ctx->scope,
        .body = body,
        .names = names,
        .depth = ctx->depth,
    };
}

void wf_parse_single(struct wf_ctx *ctx, struct step_body *body, const struct doc_node *node,
                     struct expr_names names, struct wf_scope *scope)
{
    struct wf_ctx inner = wf_body_ctx(ctx, body, names);
    struct step_def *step;

    body->single = true;
    body->top = pl_arena_alloc_array(ctx->p->arena, 1, sizeof(*body->top));
    if (!scope)
        scope = wf_scope_create(ctx->p, ctx->scope, ctx->step, false, 1);
    if (!body->top || !scope)
        return;
    ctx->p->bodies[body->index].scope = scope;
    step = wf_parse_step(&inner, node, scope, false);
    if (step)
        body->top[body->n_top++] = step;
}

void wf_parse_several(struct wf_ctx *inner, const struct doc_node *node)
{
    struct step_body *body = inner->body;
    struct wf_scope *scope = wf_scope_create(inner->p, body->owner ? inner->scope : NULL,
                                             body->owner, false, node->count);

    if (!scope)
        return;
    if (node->count == 0)
        wf_problem(inner, node, "'steps' is empty; %s",
                   body->owner ? "add at least one step" : "a workflow has at least one step");
    inner->p->bodies[body->index].scope = scope;
    wf_parse_steps(inner, node, scope);
    body->top = scope->steps;
    body->n_top = scope->n_steps;
}

/* ---- scopes ---- */

struct wf_scope *wf_scope_create(struct wf_parser *p, struct wf_scope *outer,
                                 const struct step_def *owner, bool branches, size_t expect)
{
    struct wf_scope *scope = pl_arena_alloc(p->scratch, sizeof(*scope));

    if (!scope)
        return NULL;
    scope->outer = outer;
    scope->owner = owner;
    scope->branches = branches;
    scope->names = pl_map_create(p->scratch, expect);
    scope->steps = pl_arena_alloc_array(p->arena, expect ? expect : 1, sizeof(*scope->steps));
    return scope->names && scope->steps ? scope : NULL;
}

void wf_parse_steps(struct wf_ctx *outer, const struct doc_node *node, struct wf_scope *scope)
{
    for (size_t i = 0; scope && i < node->count; i++) {
        struct step_def *step = wf_parse_step(outer, node->items[i], scope, false);

        if (!step)
            return;
        outer->p->steps[step->index].named = true;
        (void)pl_map_put(scope->names, step->id, step, NULL);
        scope->steps[scope->n_steps++] = step;
    }
}

/* ---- steps ---- */

static bool grow_steps(struct wf_parser *p)
{
    size_t capacity = p->steps_capacity ? p->steps_capacity * 2 : 64;
    struct wf_step *steps = pl_arena_alloc_array(p->scratch, capacity, sizeof(*steps));

    if (!steps)
        return false;
    if (p->n_steps)
        memcpy(steps, p->steps, p->n_steps * sizeof(*steps));
    p->steps = steps;
    p->steps_capacity = capacity;
    return true;
}

/* What stands before the ids of the steps of a body; of a single one, its path. */
static const char *body_path(struct wf_parser *p, const struct step_body *body)
{
    const char *around = body->owner->path.ptr;

    switch (body->role) {
    case BODY_BRANCH:
        return pl_arena_printf(p->arena, "%s.%s", around, body->id.len ? body->id.ptr : "*");
    case BODY_COLLAPSE:
        return pl_arena_printf(p->arena, "%s.collapse.*.*", around);
    case BODY_JUDGE:
        return pl_arena_printf(p->arena, "%s.judge", around);
    case BODY_SCORE:
        return pl_arena_printf(p->arena, "%s.score.*", around);
    case BODY_TURN:
        return pl_arena_printf(p->arena, "%s.*", around);
    case BODY_TOOL:
        return pl_arena_printf(p->arena, "%s.*.%s", around, body->id.len ? body->id.ptr : "*");
    case BODY_LISTING:
        return pl_arena_printf(p->arena, "%s.mcp.*", around);
    case BODY_ROOT:
    case BODY_INLINE:
        break;
    }
    return around;
}

/* Writes path and tail. False when memory is out. */
static bool name_step(struct wf_ctx *outer, struct step_def *step)
{
    struct pl_arena *arena = outer->p->arena;
    const struct step_body *body = step->body;
    const char *id = step->id.ptr, *path, *tail;

    if (outer->step != body->owner) { /* a branch of a parallel, a handler */
        path = pl_arena_printf(arena, "%s.%s", outer->step->path.ptr, id);
        tail = pl_arena_printf(arena, "%s.%s", outer->step->tail.ptr, id);
    } else if (!body->owner) {
        path = tail = id;
    } else {
        path = body_path(outer->p, body);
        tail = "";
        if (path && !body->single) {
            path = pl_arena_printf(arena, "%s.%s", path, id);
            tail = pl_arena_printf(arena, ".%s", id);
        }
    }
    if (!path || !tail)
        return false;
    step->path = pl_str(path);
    step->tail = pl_str(tail);
    return true;
}

struct step_def *wf_step_create(struct wf_ctx *outer, const struct doc_node *node, struct pl_str id,
                                struct wf_scope *scope, bool is_handler)
{
    struct wf_parser *p = outer->p;
    struct step_def *step;

    if (p->n_steps >= PL_LIMIT_STEPS) {
        if (!p->too_many_steps)
            wf_problem_key(outer, node, "a workflow has at most %d steps; make it smaller",
                           PL_LIMIT_STEPS);
        p->too_many_steps = true;
        return NULL;
    }
    step = pl_arena_alloc(p->arena, sizeof(*step));
    if (!step || (p->n_steps == p->steps_capacity && !grow_steps(p)))
        return NULL;
    step->index = (uint32_t)p->n_steps;
    step->body = outer->body;
    step->slot = (uint32_t)outer->body->n_steps++;
    step->id = id;
    step->parent = outer->step;
    step->is_handler = is_handler;
    step->node = node;
    p->steps[p->n_steps++] = (struct wf_step){.def = step, .scope = scope};
    return name_step(outer, step) ? step : NULL;
}
