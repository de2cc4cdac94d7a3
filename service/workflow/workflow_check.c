/* workflow_check.c - whether the parts of a workflow fit together: names and models here, the rest
 * in order: references (workflow_refs.c), dependencies (workflow_deps.c), circles
 * (workflow_cycles.c), state (workflow_state.c, workflow_races.c), members (workflow_paths.c), jq
 * programs (workflow_jq.c).
 * Called by workflow_compile when every part has been read, also when parts of it were wrong, so
 * that all problems come at once. */
#include "service/workflow/workflow_checks.h"

#include "base/limits.h"
#include "service/workflow/workflow_children.h"

struct checker {
    struct wf_parser *p;
    struct wf_ctx ctx; /* for messages */
};

/* ---- names ---- */

static void check_hidden(struct checker *c, const struct wf_step *build)
{
    const struct step_def *step = build->def;

    if (!build->named)
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

/* A parameter the model's API does not have would be dropped, or refused by the server. */
static void check_parameters(struct checker *c, const struct wf_step *build, struct pl_str model)
{
    const struct workflow_env *env = c->p->env;
    const struct doc_node *seed = build->llm ? doc_get(build->llm, "seed") : NULL;
    struct pl_err err = {0};

    if (seed && env && env->takes && !env->takes(env->arg, model, "seed", &err))
        wf_problem_key(&c->ctx, seed, "%s", err.message);
}

static void check_fallback(struct checker *c, struct pl_map *asked, const struct wf_step *build)
{
    const struct doc_node *list = build->fallback;

    for (size_t i = 0; list && i < list->count; i++) {
        const struct doc_node *node = list->items[i];
        const struct known_model *known;

        if (node->type != DOC_STRING || memmem(node->text.ptr, node->text.len, "${", 2))
            continue; /* refused already */
        known = ask_model(c, asked, node->text);
        if (known && !known->ok)
            wf_problem(&c->ctx, node, "%s", known->why);
        else
            check_parameters(c, build, node->text);
    }
}

static void no_model(struct checker *c, const struct wf_step *build)
{
    const struct doc_node *defaults = doc_get(c->p->root, "defaults");

    if (!doc_get(defaults, "model")) /* else that was refused already */
        wf_problem_key(&c->ctx, build->llm,
                       "no model: add 'model' here or, for all steps, 'defaults.model'");
}

static void check_models(struct checker *c)
{
    struct wf_parser *p = c->p;
    struct pl_map *asked = pl_map_create(p->scratch, 16);
    bool default_said = false;

    for (size_t i = 0; asked && i < p->n_steps; i++) {
        const struct wf_step *build = &p->steps[i];
        const struct doc_node *node = build->own_model ? build->own_model : p->default_model;

        check_fallback(c, asked, build);
        if (!build->llm || (!build->own_model && doc_get(build->llm, "model")))
            continue; /* no model step, or its `model` was refused already */
        if (!node) {
            no_model(c, build);
            continue;
        }
        build->config->model = node->text;
        const struct known_model *known = ask_model(c, asked, node->text);
        if (known && known->ok)
            check_parameters(c, build, node->text);
        if (!known || known->ok || (!build->own_model && default_said))
            continue;
        wf_problem(&c->ctx, node, "%s", known->why);
        default_said |= !build->own_model;
    }
}

/* ---- secrets ---- */

static void check_secret(struct checker *c, struct pl_str name, const struct doc_node *node)
{
    const struct workflow_env *env = c->p->env;
    struct pl_err err = {0};

    if (name.len && !env->secret_ok(env->arg, name, &err))
        wf_problem(&c->ctx, node, "%s", err.message);
}

static void check_secrets(struct checker *c)
{
    const struct workflow_env *env = c->p->env;

    for (size_t i = 0; env && env->secret_ok && i < c->p->n_steps; i++) {
        const struct step_def *step = c->p->steps[i].def;
        const struct http_config *http = step->kind == STEP_HTTP ? step->config.http : NULL;
        const struct agent_config *agent = step->kind == STEP_AGENT ? step->config.agent : NULL;

        if (http)
            check_secret(c, http->auth_secret, http->auth_node);
        for (size_t k = 0; agent && k < agent->n_mcp; k++)
            check_secret(c, agent->mcp[k].auth_secret, agent->mcp[k].auth_node);
    }
}

/* ---- the whole ---- */

static bool prepare(struct checker *c)
{
    struct wf_parser *p = c->p;
    struct workflow *workflow = p->workflow;

    c->ctx.p = p;
    workflow->by_path = pl_map_create(p->arena, p->n_steps);
    if (!workflow->by_path)
        return false;
    for (size_t i = 0; i < p->n_steps; i++)
        (void)pl_map_put(workflow->by_path, p->steps[i].def->path, p->steps[i].def, NULL);
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
        struct step_body *body = workflow->bodies[i] = p->bodies[i].def;

        body->steps = pl_arena_alloc_array(p->arena, body->n_steps + 1, sizeof(struct step_def *));
    }
    workflow->n_bodies = p->n_bodies;
    for (size_t i = 0; i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;

        if (step->body->steps)
            step->body->steps[step->slot] = step;
    }
}

/* Who waits for whom. A circle ends it: what is behind needs an order. */
static void check_time(struct wf_parser *p)
{
    struct wf_deps deps;
    size_t count;

    if (!wf_find_deps(p, &deps))
        return;
    wf_close_deps(p, &deps);
    if (!wf_check_cycles(p, false))
        return;
    count = deps.count;
    if (!wf_add_state_deps(p, &deps))
        return;
    if (deps.count > count) {
        wf_close_deps(p, &deps);
        if (!wf_check_cycles(p, true))
            return;
    }
    wf_check_races(p);
}

void wf_check(struct wf_parser *p)
{
    struct checker c = {.p = p};

    if (p->n_steps == 0 || !prepare(&c))
        return; /* no steps to speak of (said already), or no memory */
    copy_steps(p);
    copy_bodies(p);
    check_models(&c);
    wf_check_budgets(p);
    check_secrets(&c);
    for (size_t i = 0; i < p->n_steps; i++)
        check_hidden(&c, &p->steps[i]);
    wf_resolve_refs(p);
    wf_resolve_state(p);
    check_time(p);
    wf_find_dependents(p);
    if (p->env && p->env->advise && p->caller->depth == 0) {
        wf_check_paths(p);
        wf_check_braces(p);
    }
    wf_collect_jq(p);
}
