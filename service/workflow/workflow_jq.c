/* workflow_jq.c - the jq programs of a workflow as one unit: numbered, gathered, and asked whether
 * they are sound. Not their running (jq_pool). Called by workflow_check; workflow_check_jq by those
 * who make a workflow_env. */
#include "service/workflow/workflow_checks.h"

#include "service/expr/jq_pool.h"

struct programs {
    struct wf_parser *p;
    struct expr **exprs; /* by number: the first of those that say the same */
    size_t count, capacity;
    struct pl_map *known[2]; /* text -> struct expr; [1] those that fold */
};

static bool grow(struct programs *programs)
{
    size_t capacity = programs->capacity ? programs->capacity * 2 : 16;
    struct expr **exprs = pl_arena_alloc_array(programs->p->scratch, capacity, sizeof(*exprs));

    if (!exprs)
        return false;
    if (programs->count)
        memcpy(exprs, programs->exprs, programs->count * sizeof(struct expr *));
    programs->exprs = exprs;
    programs->capacity = capacity;
    return true;
}

static void take(struct programs *programs, struct expr *expr)
{
    struct expr *same;

    if (!expr || expr->kind != EXPR_JQ)
        return;
    same = pl_map_get(programs->known[expr->fold], expr->program);
    if (same) {
        expr->jq_index = same->jq_index;
        return;
    }
    if (programs->count == programs->capacity && !grow(programs))
        return;
    expr->jq_index = (uint32_t)programs->count;
    programs->exprs[programs->count++] = expr;
    (void)pl_map_put(programs->known[expr->fold], expr->program, expr, NULL);
}

static void take_all(struct programs *programs, struct expr *first)
{
    for (struct expr *expr = first; expr; expr = expr->next)
        take(programs, expr);
}

static void gather(struct programs *programs)
{
    struct wf_parser *p = programs->p;

    for (size_t i = 0; i < p->n_steps; i++)
        take_all(programs, p->steps[i].def->exprs);
    for (size_t i = 0; i < p->n_bodies; i++) {
        struct step_body *body = p->bodies[i].def;

        take_all(programs, body->output_exprs);
        for (size_t k = 0; k < body->n_channels; k++)
            take(programs, body->channels[k].program);
    }
}

static struct jq_program *make_program(const struct programs *programs)
{
    struct pl_arena *arena = programs->p->arena;
    struct jq_program *program = pl_arena_alloc(arena, sizeof(*program));
    struct pl_str *texts = pl_arena_alloc_array(arena, programs->count, sizeof(*texts));
    bool *folds = pl_arena_alloc_array(arena, programs->count, sizeof(*folds));

    if (!program || !texts || !folds)
        return NULL;
    for (size_t i = 0; i < programs->count; i++) {
        texts[i] = programs->exprs[i]->program;
        folds[i] = programs->exprs[i]->fold;
    }
    program->id = jq_program_new_id();
    program->texts = texts;
    program->folds = folds;
    program->count = programs->count;
    return program;
}

static void ask(const struct programs *programs)
{
    struct wf_parser *p = programs->p;
    struct wf_ctx ctx = {.p = p};
    struct pl_err *errors = pl_arena_alloc_array(p->scratch, programs->count, sizeof(*errors));
    struct pl_err err = {0};

    if (!errors)
        return;
    if (p->env->check_jq(p->env->arg, programs->exprs, programs->count, errors, &err) != PL_OK) {
        wf_problem(&ctx, p->root, "the jq programs could not be checked: %s", err.message);
        return;
    }
    for (size_t i = 0; i < programs->count; i++)
        if (errors[i].code != PL_OK)
            expr_jq_problem(programs->exprs[i], &errors[i], p->problems);
}

void wf_collect_jq(struct wf_parser *p)
{
    struct programs programs = {
        .p = p, .known = {pl_map_create(p->scratch, 16), pl_map_create(p->scratch, 1)}};

    if (!programs.known[0] || !programs.known[1])
        return;
    gather(&programs);
    if (programs.count == 0)
        return;
    p->workflow->jq = make_program(&programs);
    if (p->env && p->env->check_jq && !pl_arena_failed(p->scratch))
        ask(&programs);
}

enum pl_code workflow_check_jq(struct jq_pool *pool, struct expr *const *exprs, size_t n_exprs,
                               struct pl_err *errors, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str *texts =
        arena ? pl_arena_alloc_array(arena, n_exprs ? n_exprs : 1, sizeof(*texts)) : NULL;
    enum pl_code code;

    if (!texts) {
        pl_arena_destroy(&arena);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < n_exprs; i++)
        texts[i] = exprs[i]->program;
    code = jq_pool_check(pool, texts, n_exprs, errors, err);
    pl_arena_destroy(&arena);
    return code;
}
