/* workflow_deps.c - which step waits for which: from the references that were found to deps,
 * dependents and sinks. Not the finding (workflow_refs.c), not circles (workflow_cycles.c), not
 * state (workflow_races.c, which adds to it). Called by workflow_check.
 *
 * A step inside a body may mention one outside: then the step the body stands in waits for that, so
 * that everything is there when the body starts, and within a run of the body only steps of the
 * same body wait for each other. */
#include "service/workflow/workflow_checks.h"

/* ---- gathering ---- */

const struct step_def *wf_lift(const struct step_def *step, const struct step_body *body)
{
    while (step && step->body != body)
        step = step->body->owner;
    return step;
}

static bool grow(struct wf_parser *p, struct wf_deps *deps)
{
    size_t capacity = deps->capacity ? deps->capacity * 2 : 64;
    struct wf_dep *all = pl_arena_alloc_array(p->scratch, capacity, sizeof(*all));

    if (!all)
        return false;
    if (deps->count)
        memcpy(all, deps->all, deps->count * sizeof(*all));
    deps->all = all;
    deps->capacity = capacity;
    return true;
}

bool wf_add_dep(struct wf_parser *p, struct wf_deps *deps, const struct step_def *step,
                struct step_def *to, const struct doc_node *reason)
{
    uint32_t number = (uint32_t)deps->count;

    if (deps->count == deps->capacity && !grow(p, deps))
        return false;
    deps->all[number] = (struct wf_dep){.to = to, .reason = reason};
    if (deps->last[step->index])
        deps->all[deps->last[step->index]].next = number;
    else
        deps->first[step->index] = number;
    deps->last[step->index] = number;
    deps->count++;
    return true;
}

/* Something inside `from`'s body mentions `to`. `step` NULL: an expression of the body itself. */
static void mention(struct wf_parser *p, struct wf_deps *deps, const struct step_def *step,
                    const struct step_body *from, const struct step_def *to,
                    const struct doc_node *reason)
{
    const struct step_def *waits =
        from == to->body ? step : wf_lift(step ? step : from->owner, to->body);

    if (waits)
        (void)wf_add_dep(p, deps, waits, p->steps[to->index].def, reason);
}

static void mentions(struct wf_parser *p, struct wf_deps *deps, const struct step_def *step,
                     const struct step_body *from, const struct expr *first)
{
    for (const struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            if (expr->refs[i].root == EXPR_ROOT_STEP && expr->refs[i].step)
                mention(p, deps, step, from, expr->refs[i].step, expr->node);
}

bool wf_find_deps(struct wf_parser *p, struct wf_deps *deps)
{
    *deps = (struct wf_deps){
        .first = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(uint32_t)),
        .last = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(uint32_t)),
    };
    if (!deps->first || !deps->last || !grow(p, deps))
        return false;
    deps->count = 1; /* 0 is the end of a list */
    for (size_t i = 0; i < p->n_steps; i++) {
        const struct wf_step *build = &p->steps[i];
        const struct step_def *step = build->def;

        mentions(p, deps, step, step->body, step->exprs);
        for (size_t k = 0; build->needs && k < build->needs->count; k++) {
            const struct doc_node *need = build->needs->items[k];
            const struct step_def *to =
                need->type == DOC_STRING ? wf_needed(p, build, need->text) : NULL;

            if (to)
                mention(p, deps, step, step->body, to, need);
        }
    }
    for (size_t i = 0; i < p->n_bodies; i++)
        mentions(p, deps, NULL, p->bodies[i].def, p->bodies[i].def->output_exprs);
    return !pl_arena_failed(p->scratch);
}

/* ---- into the steps ---- */

struct closing {
    struct wf_parser *p;
    uint32_t *seen;           /* by index: the step that listed it last, plus 1 */
    struct step_def **gather; /* the deps of the step at hand */
    const struct doc_node **reasons;
    size_t count;
};

static void gather(struct closing *c, const struct step_def *step, struct step_def *to,
                   const struct doc_node *reason)
{
    if (c->seen[to->index] == step->index + 1)
        return;
    c->seen[to->index] = step->index + 1;
    c->gather[c->count] = to;
    c->reasons[c->count++] = reason;
}

static void close_one(struct closing *c, const struct wf_deps *deps, struct wf_step *build)
{
    struct step_def *step = build->def, *handler = step->handler;

    c->count = 0;
    for (uint32_t i = deps->first[step->index]; i; i = deps->all[i].next)
        gather(c, step, deps->all[i].to, deps->all[i].reason);
    /* A handler starts when its step has failed, so what it reads must be complete before. */
    for (size_t i = 0; handler && i < handler->n_deps; i++)
        gather(c, step, handler->deps[i], c->p->steps[handler->index].reasons[i]);
    step->n_deps = 0;
    if (c->count == 0)
        return;
    step->deps = pl_arena_alloc_array(c->p->arena, c->count, sizeof(*step->deps));
    build->reasons = pl_arena_alloc_array(c->p->scratch, c->count, sizeof(*build->reasons));
    if (!step->deps || !build->reasons)
        return;
    memcpy(step->deps, c->gather, c->count * sizeof(*step->deps));
    memcpy(build->reasons, c->reasons, c->count * sizeof(*build->reasons));
    step->n_deps = c->count;
}

void wf_close_deps(struct wf_parser *p, const struct wf_deps *deps)
{
    struct closing c = {
        .p = p,
        .seen = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(*c.seen)),
        .gather = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(*c.gather)),
        .reasons = pl_arena_alloc_array(p->scratch, p->n_steps + 1, sizeof(*c.reasons)),
    };

    if (!c.seen || !c.gather || !c.reasons)
        return;
    /* From the end: a handler stands behind the step it handles. */
    for (size_t i = p->n_steps; i-- > 0;)
        close_one(&c, deps, &p->steps[i]);
}

/* ---- the reverse ---- */

static void find_sinks(struct wf_parser *p, struct step_body *body)
{
    body->sinks = pl_arena_alloc_array(p->arena, body->n_top + 1, sizeof(struct step_def *));
    for (size_t i = 0; body->sinks && i < body->n_top; i++)
        if (body->top[i]->n_dependents == 0)
            body->sinks[body->n_sinks++] = body->top[i];
}

void wf_find_dependents(struct wf_parser *p)
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
    for (size_t i = 0; i < p->n_bodies; i++)
        find_sinks(p, p->bodies[i].def);
}
