/* workflow_refs.c - the steps that ids mean, by scope, and a good answer to those that mean none.
 * Not what follows from them (workflow_deps.c). Called by workflow_check when every part has been
 * read.
 *
 * Everything is a few look-ups a reference: 10,000 branches take milliseconds. */
#include "service/workflow/workflow_checks.h"

enum { NEAREST_NAMES = 250 }; /* candidates looked at for one unknown name */

/* Who refers: a step, or a body's own `output` and `until` (step: the one it stands in). */
struct referrer {
    const struct wf_scope *scope;
    const struct step_def *step; /* NULL: the top level */
    bool body;
};

struct refs {
    struct wf_parser *p;
    struct wf_ctx ctx;       /* for messages */
    struct pl_map *anywhere; /* id -> the first step of that id, wherever it stands */
};

static bool is_inside(const struct step_def *step, const struct step_def *outer)
{
    while (step && step != outer)
        step = step->parent;
    return step != NULL;
}

/* The step that has this id in the scopes around, NULL when none has. *ret_allowed: and it may be
 * waited for. */
static struct step_def *look_up(const struct referrer *from, struct pl_str id, bool *ret_allowed)
{
    for (const struct wf_scope *scope = from->scope; scope; scope = scope->outer) {
        struct step_def *target = pl_map_get(scope->names, id);

        if (!target)
            continue;
        *ret_allowed = !scope->branches && !is_inside(from->step, target);
        return target;
    }
    return NULL;
}

/* ---- steps that stand inside another one ---- */

/* What a step that can be seen shows of those inside it. */
static const char *what_it_shows(enum step_kind kind)
{
    switch (kind) {
    case STEP_MAP:
        return "a list in the order of the items";
    case STEP_VOTE:
        return "the answer that won";
    case STEP_REPEAT:
        return "what its last turn gave";
    case STEP_WORKFLOW:
        return "what its 'output' names";
    case STEP_AGENT:
        return "the agent's answer";
    case STEP_PARALLEL:
    case STEP_LLM:
    case STEP_HTTP:
    case STEP_REDUCE:
    case STEP_HUMAN:
    case STEP_SLEEP:
    case STEP_MCP:
    case STEP__KINDS:
        break;
    }
    return NULL;
}

/* The innermost step around `inner` that the referrer may read, NULL: none. */
static const struct step_def *readable_around(const struct referrer *from,
                                              const struct step_def *inner)
{
    for (const struct step_def *step = inner->parent; step; step = step->parent) {
        bool allowed = false;

        if (look_up(from, step->id, &allowed) == step && allowed)
            return step;
    }
    return NULL;
}

static void inner_step(struct refs *r, const struct referrer *from, const struct doc_node *node,
                       const struct step_def *inner)
{
    const char *id = wf_show(&r->ctx, inner->id), *around = wf_show(&r->ctx, inner->parent->path);
    const struct step_def *seen = readable_around(from, inner);
    const char *shows = seen ? what_it_shows(seen->kind) : NULL;

    if (!seen)
        wf_problem(&r->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here: branches of one parallel do "
                   "not see each other",
                   id, around);
    else if (seen == inner->parent && seen->kind == STEP_PARALLEL && seen->join.kind != JOIN_ANY)
        wf_problem(&r->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here; read .steps.%s.output.%s",
                   id, around, wf_show(&r->ctx, seen->id), id);
    else if (shows)
        wf_problem(&r->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here; read .steps.%s.output, %s",
                   id, around, wf_show(&r->ctx, seen->id), shows);
    else
        wf_problem(&r->ctx, node,
                   "'%s' stands inside '%s' and is not seen from here; read the output of '%s'", id,
                   around, wf_show(&r->ctx, seen->id));
}

/* ---- messages ---- */

static const char *nearest_step(struct refs *r, const struct referrer *from, struct pl_str id)
{
    const char *names[NEAREST_NAMES + 1];
    size_t count = 0;

    for (const struct wf_scope *scope = from->scope; scope; scope = scope->outer)
        for (size_t i = 0; !scope->branches && i < scope->n_steps && count < NEAREST_NAMES; i++)
            if (!is_inside(from->step, scope->steps[i]))
                names[count++] = scope->steps[i]->id.ptr;
    names[count] = NULL;
    return wf_nearest(&r->ctx, id, names);
}

static void unknown_step(struct refs *r, const struct referrer *from, const struct doc_node *node,
                         struct pl_str id)
{
    const char *shown = wf_show(&r->ctx, id);
    const struct step_def *inner = pl_map_get(r->anywhere, id);
    const char *nearest;

    if (inner && inner->parent)
        inner_step(r, from, node, inner);
    else if ((nearest = nearest_step(r, from, id)))
        wf_problem(&r->ctx, node, "there is no step '%s'; did you mean '%s'?", shown, nearest);
    else if (!wf_id_ok(id))
        wf_problem(&r->ctx, node, "'%s' is no id of a step; write ids as they stand under 'steps'",
                   shown);
    else
        wf_problem(&r->ctx, node, "there is no step '%s' here; add it or correct the name", shown);
}

/* Says why `target`, which a scope around has, must not be read. */
static void refused_step(struct refs *r, const struct referrer *from, const struct doc_node *node,
                         const struct step_def *target)
{
    const char *shown = wf_show(&r->ctx, target->id);
    const struct step_def *step = from->step;

    if (step == target && !from->body)
        wf_problem(&r->ctx, node, "the step '%s' waits for itself; remove the reference", shown);
    else if (!is_inside(step, target))
        wf_problem(&r->ctx, node,
                   "branches of one %s do not see each other: move '%s' out of the %s, or combine "
                   "both in a step behind it",
                   step_kind_name(target->parent->kind), shown,
                   step_kind_name(target->parent->kind));
    else if (step->is_handler && step->parent == target)
        wf_problem(&r->ctx, node,
                   "'%s' has failed when its on_error step runs; read .error instead", shown);
    else
        wf_problem(&r->ctx, node,
                   "'%s' is not done while the steps inside it run, so they cannot read it; remove "
                   "the reference",
                   shown);
}

/* ---- resolving ---- */

static struct step_def *resolve(struct refs *r, const struct referrer *from, struct pl_str id,
                                const struct doc_node *node)
{
    bool allowed = false;
    struct step_def *target = look_up(from, id, &allowed);

    if (!target)
        unknown_step(r, from, node, id);
    else if (!allowed)
        refused_step(r, from, node, target);
    return allowed ? target : NULL;
}

static void resolve_exprs(struct refs *r, const struct referrer *from, struct expr *first)
{
    for (struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            if (expr->refs[i].root == EXPR_ROOT_STEP)
                expr->refs[i].step = resolve(r, from, expr->refs[i].name, expr->node);
}

static struct referrer step_referrer(const struct wf_step *build)
{
    return (struct referrer){.scope = build->scope, .step = build->def};
}

struct step_def *wf_needed(const struct wf_parser *p, const struct wf_step *build, struct pl_str id)
{
    struct referrer from = step_referrer(build);
    bool allowed = false;
    struct step_def *target = look_up(&from, id, &allowed);

    (void)p;
    return allowed ? target : NULL;
}

static void resolve_step(struct refs *r, const struct wf_step *build)
{
    struct referrer from = step_referrer(build);
    const struct doc_node *needs = build->needs;

    resolve_exprs(r, &from, build->def->exprs);
    for (size_t i = 0; needs && i < needs->count; i++)
        if (needs->items[i]->type == DOC_STRING)
            (void)resolve(r, &from, needs->items[i]->text, needs->items[i]);
}

void wf_resolve_refs(struct wf_parser *p)
{
    struct refs r = {.p = p, .ctx = {.p = p}, .anywhere = pl_map_create(p->scratch, p->n_steps)};

    for (size_t i = 0; r.anywhere && i < p->n_steps; i++) {
        struct step_def *step = p->steps[i].def;

        if (p->steps[i].named && !pl_map_get(r.anywhere, step->id))
            (void)pl_map_put(r.anywhere, step->id, step, NULL);
    }
    if (!r.anywhere)
        return;
    for (size_t i = 0; i < p->n_steps; i++)
        resolve_step(&r, &p->steps[i]);
    for (size_t i = 0; i < p->n_bodies; i++) {
        const struct referrer from = {
            .scope = p->bodies[i].scope, .step = p->bodies[i].def->owner, .body = true};

        if (from.scope)
            resolve_exprs(&r, &from, p->bodies[i].def->output_exprs);
    }
}
