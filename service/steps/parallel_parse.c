/* parallel_parse.c - reads what stands under `parallel`: the branches. Not `join`, which stands
 * beside it (workflow_policy.c). Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_bodies.h"

static void parallel_branches(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_def *step = target;
    struct wf_scope *scope = wf_scope_create(ctx->p, ctx->scope, step, true, node->count);

    if (!scope)
        return;
    wf_parse_steps(ctx, node, scope);
    step->children = scope->steps;
    step->n_children = scope->n_steps;
}

static void parallel_warm_up(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    ((struct step_def *)target)->warm_up = pl_str_is(node->text, "true");
}

static const struct wf_field parallel_fields[] = {
    {.key = "branches",
     .types = WF_OBJECT,
     .help = "an object of ids and steps",
     .parse = parallel_branches},
    {.key = "warm_up", .types = WF_BOOL, .help = "true or false", .parse = parallel_warm_up},
};

static const char *parallel_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'parallel'" : NULL;
}

static const struct wf_object parallel_object = {
    .what = "parallel",
    .fields = parallel_fields,
    .n_fields = PL_ARRAY_LEN(parallel_fields),
    .elsewhere = parallel_elsewhere,
};

void wf_parse_parallel(struct wf_ctx *ctx, const struct doc_node *node)
{
    /* Branches written straight under `parallel` are one mistake, not one a branch. */
    if (node->type == DOC_OBJECT && !doc_get(node, "branches")) {
        wf_problem_key(ctx, node,
                       "a parallel needs 'branches': write parallel: {branches: {id: "
                       "step}}");
        return;
    }
    wf_object(ctx, node, &parallel_object, ctx->step);
}
