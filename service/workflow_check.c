/* workflow_check.c - whether the steps of a workflow fit together: names, models, references; and
 * what follows from the references: deps, dependents, sinks. Not loops (workflow_cycles.c). Called
 * by workflow_compile when every part has been read, also when parts of it were wrong, so that all
 * problems come at once.
 *
 * Everything is a few look-ups a reference: 10,000 branches take milliseconds. */
#include "service/workflow_parse.h"

#include "base/limits.h"

enum { NEAREST_NAMES = 250 }; /* candidates looked at for one unknown name */

struct checker {
    struct wf_parser *p;
    struct wf_ctx ctx;        /* for messages */
    struct pl_map *anywhere;  /* id -> the first step of that id, wherever it stands */
    const char **visible;     /* ids of the top level, NULL behind: for the nearest name */
    uint32_t *seen;           /* by index: the step that listed it last, plus 1 */
    struct step_def **gather; /* the deps of the step at hand */
};

/* ---- names ---- */

static void check_hidden(struct checker *c, const struct wf_step *build)
{
    const struct step_def *step = build->def;

    if (step->is_handler)
        return;
    for (struct wf_scope *scope = build->scope->outer; scope; scope = scope->outer) {
        const struct step_def *other = pl_map_get(scope->names, step->id);
        if (!other)
            continue;
        wf_problem_key(&c->ctx, step->node,
                       "'%s' hides the step '%s' of line %u, which stands outside; choose another "
                       "id",
                       wf_show(&c->ctx, step->id), wf_show(&c->ctx, other->path),
                       other->node->key_line);
        return;
    }
}

/* ---- models ---- */

struct known_model {
    bool ok;
    const char *why;
};

static struct known_model *ask_model(struct checker *c, struct pl_map *asked, struct pl_str model)
{
    const struct workflow_env *env = c->p->env;
    struct known_model *known = pl_map_get(asked, model);
    struct pl_err err = {0};

    if (known || !(known = pl_arena_alloc(c->p->scratch, sizeof(*known))))
        return known;
    (void)pl_map_put(asked, model, known, NULL);
    const char *slash = memchr(model.ptr, '/', model.len);
    if (!slash || slash == model.ptr || slash + 1 == model.ptr + model.len) {
        known->why = pl_arena_printf(c->p->scratch,
                                     "'%s' is no model; write provider/model, such as "
                                     "openai/gpt-4o-mini",
                                     wf_show(&c->ctx, model));
        return known;
    }
    known->ok = !env || !env->model_ok || env->model_ok(env->arg, model, &err);
    if (!known->ok)
        known->why = pl_arena_strdup(c->p->scratch,
                                     err.message[0] ? err.message : "the model is not available");
    return known;
}

static void check_models(struct checker *c)
{
    struct wf_parser *p = c->p;
    struct pl_map *asked = pl_map_create(p->scratch, 16);
    bool default_said = false;

    for (size_t i = 0; asked && i < p->n_steps; i++) {
        const struct wf_step *build = &p->steps[i];
        const struct doc_node *node = build->own_model ? build->own_model : p->default_model;
        if (!build->llm || (!build->own_model && doc_get(build->llm, "model")))
            continue; /* no model step, or its `model` was refused already */
        if (!node) {
            const struct doc_node *defaults = doc_get(p->root, "defaults");
            if (!doc_get(defaults, "model")) /* else that was refused already */
                wf_problem_key(&c->ctx, build->llm,
                               "no model: add 'model' here or, for all steps, 'defaults.model'");
            continue;
        }
        build->def->config.llm->model = node->text;
        const struct known_model *known = ask_model(c, asked, node->text);
        if (!known || known->ok || (!build->own_model && default_said))
            continue;
        wf_problem(&c->ctx, node, "%s", known->why);
        default_said |= !build->own_model;
    }
}

/* ---- references ---- */

static bool is_inside(const struct step_def *step, const struct step_def *outer)
{
    while (step && step != outer)
        step = step->parent;
    return step != NULL;
}

/* A step of that id stands inside another one, so that only what surrounds it can be read. */
static void inner_step(struct checker *c, const struct wf_step *build, const struct doc_node *node,
                       const struct step_def *inner)
{
    const char *id = wf_show(&c->ctx, inner->id), *around = wf_show(&c->ctx, inner->parent->path);
    const struct step_def *top = inner;

    while (top->parent)
        top = top->parent;
    if (build && is_inside(build->def, top))
        wf_problem(&c->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here: branches of one parallel do "
                   "not see each other",
                   id, around);
    else if (top == inner->parent && top->join.kind != JOIN_ANY)
        wf_problem(&c->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here; read .steps.%s.output.%s",
                   id, around, around, id);
    else
        wf_problem(&c->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here; read the output of '%s'", id,
                   around, wf_show(&c->ctx, top->id));
}

static void unknown_step(struct checker *c, const struct wf_step *build,
                         const struct doc_node *node, struct pl_str id)
{
    const char *shown = wf_show(&c->ctx, id);
    const struct step_def *inner = pl_map_get(c->anywhere, id);
    const char *nearest = wf_nearest(&c->ctx, id, c->visible);

    if (inner && inner->parent)
        inner_step(c, build, node, inner);
    else if (nearest)
        wf_problem(&c->ctx, node, "there is no step '%s'; did you mean '%s'?", shown, nearest);
    else if (!wf_id_ok(id))
        wf_problem(&c->ctx, node, "'%s' is no id of a step; write ids as they stand under 'steps'",
                   shown);
    else
        wf_problem(&c->ctx, node, "there is no step '%s' here; add it or correct the name", shown);
}

/* Says why `step` must not read `target`, which a scope around it has. */
static void refused_step(struct checker *c, const struct doc_node *node,
                         const struct step_def *step, const struct step_def *target)
{
    const char *shown = wf_show(&c->ctx, target->id);

    if (step == target)
        wf_problem(&c->ctx, node, "the step '%s' waits for itself; remove the reference", shown);
    else if (!is_inside(step, target))
        wf_problem(&c->ctx, node,
                   "branches of one parallel do not see each other: move '%s' out of the parallel, "
                   "or combine both in a step behind it",
                   shown);
    else if (step->is_handler && step->parent == target)
        wf_problem(&c->ctx, node,
                   "'%s' has failed when its on_error step runs; read .error instead", shown);
    else
        wf_problem(&c->ctx, node,
                   "'%s' is not done while the steps inside it run, so they cannot read it; remove "
                   "the reference",
                   shown);
}

/* The step that has this id in the scopes around `build` (NULL: the top level, in no step), NULL
 * when none has. *ret_allowed: and it may be waited for. */
static struct step_def *look_up(const struct checker *c, const struct wf_step *build,
                                struct pl_str id, bool *ret_allowed)
{
    struct wf_scope *scope = build ? build->scope : c->p->top;

    for (; scope; scope = scope->outer) {
        struct step_def *target = pl_map_get(scope->names, id);
        if (!target)
            continue;
        *ret_allowed = !scope->owner && (!build || !is_inside(build->def, target));
        return target;
    }
    return NULL;
}

/* The same, with a problem at `node` when it cannot be had. */
static struct step_def *resolve(struct checker *c, const struct wf_step *build, struct pl_str id,
                                const struct doc_node *node)
{
    bool allowed = false;
    struct step_def *target = look_up(c, build, id, &allowed);

    if (!target)
        unknown_step(c, build, node, id);
    else if (!allowed)
        refused_step(c, node, build->def, target);
    return allowed ? target : NULL;
}

static void resolve_exprs(struct checker *c, const struct wf_step *build, struct expr *first)
{
    for (struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            if (expr->refs[i].root == EXPR_ROOT_STEP)
                expr->refs[i].step = resolve(c, build, expr->refs[i].name, expr->node);
}

static void resolve_needs(struct checker *c, const struct wf_step *build)
{
    const struct doc_node *needs = build->needs;

    for (size_t i = 0; needs && i < needs->count; i++)
        if (needs->items[i]->type == DOC_STRING)
            (void)resolve(c, build, needs->items[i]->text, needs->items[i]);
}

/* ---- dependencies ---- */

static void gather_one(struct checker *c, const struct step_def *step, const struct step_def *dep,
                       size_t *count)
{
    if (!dep || c->seen[dep->index] == step->index + 1)
        return;
    c->seen[dep->index] = step->index + 1;
    c->gather[(*count)++] = c->p->steps[dep->index].def;
}

/* The deps of one step. Steps behind it have theirs already: a handler stands behind the step it
 * handles. */
static void find_deps(struct checker *c, const struct wf_step *build)
{
    struct step_def *step = build->def;
    size_t count = 0;

    for (const struct expr *expr = step->exprs; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            if (expr->refs[i].root == EXPR_ROOT_STEP)
                gather_one(c, step, expr->refs[i].step, &count);
    for (size_t i = 0; build->needs && i < build->needs->count; i++) {
        const struct doc_node *need = build->needs->items[i];
        bool allowed = false;
        struct step_def *dep =
            need->type == DOC_STRING ? look_up(c, build, need->text, &allowed) : NULL;
        gather_one(c, step, allowed ? dep : NULL, &count);
    }
    /* A handler starts when its step has failed, so what it reads must be complete before. */
    for (size_t i = 0; step->handler && i < step->handler->n_deps; i++)
        gather_one(c, step, step->handler->deps[i], &count);
    if (count == 0)
        return;
    step->deps = pl_arena_alloc_array(c->p->arena, count, sizeof(struct step_def *));
    if (!step->deps)
        return;
    memcpy(step->deps, c->gather, count * sizeof(struct step_def *));
    step->n_deps = count;
}

static void find_dependents(struct wf_parser *p)
{
    for (size_t i = 0; i < p->n_steps; i++)
        for (size_t k = 0; k < p->steps[i].def->n_deps; k++)
            p->steps[i].def->deps[k]->n_dependents++;
    for (size_t i = 0; i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;
        if (step->n_dependents)
            step->dependents =
                pl_arena_alloc_array(p->arena, step->n_dependents, sizeof(struct step_def *));
        step->n_dependents = 0;
    }
    for (size_t i = 0; i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;
        for (size_t k = 0; k < step->n_deps; k++)
            if (step->deps[k]->dependents)
                step->deps[k]->dependents[step->deps[k]->n_dependents++] = step;
    }
}

static void find_sinks(struct wf_parser *p, struct step_body *body)
{
    body->sinks = pl_arena_alloc_array(p->arena, body->n_top + 1, sizeof(struct step_def *));
    for (size_t i = 0; body->sinks && i < body->n_top; i++)
        if (body->top[i]->n_dependents == 0)
            body->sinks[body->n_sinks++] = body->top[i];
}

/* ---- the whole ---- */

static bool prepare(struct checker *c)
{
    struct wf_parser *p = c->p;
    struct workflow *workflow = p->workflow;
    size_t names = workflow->root->n_top < NEAREST_NAMES ? workflow->root->n_top : NEAREST_NAMES;

    c->ctx.p = p;
    c->anywhere = pl_map_create(p->scratch, p->n_steps);
    c->visible = pl_arena_alloc_array(p->scratch, names + 1, sizeof(*c->visible));
    c->seen = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(*c->seen));
    c->gather = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(*c->gather));
    workflow->by_path = pl_map_create(p->arena, p->n_steps);
    if (!c->anywhere || !c->visible || !c->seen || !c->gather || !workflow->by_path)
        return false;
    for (size_t i = 0; i < names; i++)
        c->visible[i] = workflow->root->top[i]->id.ptr;
    for (size_t i = 0; i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;
        if (!step->is_handler && !pl_map_get(c->anywhere, step->id))
            (void)pl_map_put(c->anywhere, step->id, step, NULL);
        (void)pl_map_put(workflow->by_path, step->path, step, NULL);
    }
    return true;
}

static void copy_steps(struct wf_parser *p)
{
    struct workflow *workflow = p->workflow;

    workflow->steps = pl_arena_alloc_array(p->arena, p->n_steps + 1, sizeof(struct step_def *));
    for (size_t i = 0; workflow->steps && i < p->n_steps; i++)
        workflow->steps[i] = p->steps[i].def;
    workflow->n_steps = p->n_steps;
}

/* The lists of bodies, and of the steps in each. */
static void copy_bodies(struct wf_parser *p)
{
    struct workflow *workflow = p->workflow;

    workflow->bodies = pl_arena_alloc_array(p->arena, p->n_bodies, sizeof(struct step_body *));
    for (size_t i = 0; workflow->bodies && i < p->n_bodies; i++) {
        struct step_body *body = workflow->bodies[i] = p->bodies[i];

        body->steps = pl_arena_alloc_array(p->arena, body->n_steps + 1, sizeof(struct step_def *));
    }
    workflow->n_bodies = p->n_bodies;
    for (size_t i = 0; i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;

        if (step->body->steps)
            step->body->steps[step->slot] = step;
    }
}

void wf_check(struct wf_parser *p)
{
    struct checker c = {.p = p};

    if (!p->top || !prepare(&c))
        return; /* no steps to speak of (said already), or no memory */
    copy_steps(p);
    copy_bodies(p);
    check_models(&c);
    for (size_t i = 0; i < p->n_steps; i++) {
        check_hidden(&c, &p->steps[i]);
        resolve_exprs(&c, &p->steps[i], p->steps[i].def->exprs);
        resolve_needs(&c, &p->steps[i]);
    }
    resolve_exprs(&c, NULL, p->workflow->root->output_exprs);
    for (size_t i = p->n_steps; i-- > 0;)
        find_deps(&c, &p->steps[i]);
    wf_check_cycles(p);
    find_dependents(p);
    for (size_t i = 0; i < p->n_bodies; i++)
        find_sinks(p, p->bodies[i]);
}
