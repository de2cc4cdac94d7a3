/* workflow_budget.c - `budget` of a workflow and of a step: read, and checked against the prices
 * that are known. Not the keeping of it (run_budget.c). Called by workflow_parse.c,
 * workflow_steps.c and workflow_check.c; workflow_unpriced by whoever starts a run. */
#include "service/workflow/workflow_checks.h"

static void budget_tokens(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, BUDGET_TOKENS_MAX, &count))
        ((struct budget *)target)->tokens = count;
}

static void budget_cost(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    double cost;

    if (!wf_number(ctx, node, &cost))
        return;
    if (!(cost > 0 && cost <= BUDGET_COST_MAX))
        wf_problem(ctx, node,
                   "'cost_usd' is an amount in US dollars above 0 and up to %.0f, such as 0.50",
                   BUDGET_COST_MAX);
    else
        ((struct budget *)target)->cost_usd = cost;
}

static const struct wf_field budget_fields[] = {
    {.key = "tokens",
     .types = WF_NUMBER,
     .help = "the number of tokens, input and output together",
     .parse = budget_tokens},
    {.key = "cost_usd",
     .types = WF_NUMBER,
     .help = "an amount in US dollars, such as 0.50",
     .parse = budget_cost},
};

static const struct wf_object budget_object = {
    .what = "budget",
    .fields = budget_fields,
    .n_fields = PL_ARRAY_LEN(budget_fields),
};

void wf_parse_budget(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_object(ctx, node, &budget_object, target);
    if (node->count == 0)
        wf_problem(ctx, node, "'budget' is empty; give tokens, cost_usd or both");
}

/* ---- prices ---- */

/* The first of its models that has none; empty: all have, or it calls none. */
static struct pl_str unpriced_of(const struct step_def *step,
                                 bool (*priced)(void *arg, struct pl_str model), void *arg)
{
    const struct llm_config *llm = step->kind == STEP_LLM ? step->config.llm : NULL;

    if (!llm)
        return (struct pl_str){0};
    if (llm->model.len && !priced(arg, llm->model))
        return llm->model;
    for (size_t i = 0; i < llm->n_fallback; i++)
        if (!priced(arg, llm->fallback[i]))
            return llm->fallback[i];
    return (struct pl_str){0};
}

struct pl_str workflow_unpriced(const struct workflow *workflow,
                                bool (*priced)(void *arg, struct pl_str model), void *arg)
{
    struct pl_str model = {0};

    for (size_t i = 0; i < workflow->n_steps && !model.len; i++)
        model = unpriced_of(workflow->steps[i], priced, arg);
    for (size_t i = 0; i < workflow->n_children && !model.len; i++)
        model = workflow_unpriced(workflow->children[i], priced, arg);
    return model;
}

/* Is it under a budget of money? A handler is not under that of the step whose error it handles. */
static bool is_under_cost(const struct wf_parser *p, const struct step_def *step)
{
    const struct step_def *up;

    if (p->workflow->budget.cost_usd > 0)
        return true;
    for (; step; step = up) {
        if (step->budget.cost_usd > 0)
            return true;
        up = step->parent ? step->parent : step->body->owner;
        while (step->is_handler && up) {
            step = up;
            up = step->parent ? step->parent : step->body->owner;
        }
    }
    return false;
}

static void check_step(struct wf_ctx *ctx, const struct step_def *step)
{
    const struct workflow_env *env = ctx->p->env;
    struct pl_str model = {0};

    if (!is_under_cost(ctx->p, step))
        return;
    model = unpriced_of(step, env->priced, env->arg);
    if (step->kind == STEP_WORKFLOW && step->config.workflow && step->config.workflow->child)
        model = workflow_unpriced(step->config.workflow->child, env->priced, env->arg);
    if (model.len)
        wf_problem_key(ctx, step->node,
                       "a budget of cost_usd cannot be kept: the price of '%s' is not known; add "
                       "it to 'models' of the configuration, or limit tokens",
                       wf_show(ctx, model));
}

static bool has_budget(const struct budget *budget)
{
    return budget->tokens > 0 || budget->cost_usd > 0;
}

void wf_check_budgets(struct wf_parser *p)
{
    struct workflow *workflow = p->workflow;
    struct wf_ctx ctx = {.p = p};

    workflow->budgeted = has_budget(&workflow->budget);
    for (size_t i = 0; i < p->n_steps; i++) {
        const struct step_def *step = p->steps[i].def;
        const struct workflow *child = step->kind == STEP_WORKFLOW && step->config.workflow
                                           ? step->config.workflow->child
                                           : NULL;

        workflow->budgeted |= has_budget(&step->budget) || (child && child->budgeted);
    }
    for (size_t i = 0; workflow->budgeted && p->env && p->env->priced && i < p->n_steps; i++)
        check_step(&ctx, p->steps[i].def);
}
