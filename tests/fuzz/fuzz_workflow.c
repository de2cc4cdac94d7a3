/* fuzz_workflow.c - any bytes as a workflow. What compiles must be whole (every expression has its
 * step, deps and dependents agree, paths lead back) and its pinned text must compile to the same;
 * what does not must say at least one problem. */
#include "service/workflow.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static bool has(struct step_def *const *steps, size_t count, const struct step_def *step)
{
    for (size_t i = 0; i < count; i++)
        if (steps[i] == step)
            return true;
    return false;
}

static void check_step(const struct workflow *workflow, const struct step_def *step)
{
    must(workflow->steps[step->index] == step);
    must(workflow_find(workflow, step->path) == step);
    must(!step->parent || step->parent->index < step->index);
    for (const struct expr *expr = step->exprs; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            must(expr->refs[i].root != EXPR_ROOT_STEP ||
                 (expr->refs[i].step && has(step->deps, step->n_deps, expr->refs[i].step)));
    for (size_t i = 0; i < step->n_deps; i++)
        must(has(step->deps[i]->dependents, step->deps[i]->n_dependents, step));
    for (size_t i = 0; i < step->n_children; i++)
        must(step->children[i]->parent == step);
    if (step->kind == STEP_LLM)
        must(step->config.llm->model.len &&
             (step->config.llm->prompt || step->config.llm->messages));
    if (step->kind == STEP_HTTP)
        must(step->config.http->url && step->config.http->n_expect &&
             step->config.http->method.len);
    if (step->kind == STEP_REDUCE)
        must(step->config.reduce->from != NULL);
}

static void check_workflow(const struct workflow *workflow, struct doc_problems *problems)
{
    struct workflow *again = NULL;
    struct pl_buf graph;

    must(workflow->root->n_top > 0 && workflow->root->n_sinks > 0);
    for (size_t i = 0; i < workflow->n_steps; i++)
        check_step(workflow, workflow->steps[i]);
    pl_buf_init(&graph, (size_t)64 << 20);
    workflow_graph(workflow, GRAPH_MERMAID, &graph);
    workflow_graph(workflow, GRAPH_DOT, &graph);
    workflow_graph(workflow, GRAPH_JSON, &graph);
    must(!pl_buf_failed(&graph));
    pl_buf_finish(&graph);
    must(workflow_compile(workflow->text, DOC_JSON, NULL, &again, problems) == PL_OK);
    must(again->n_steps == workflow->n_steps && strcmp(again->hash, workflow->hash) == 0);
    workflow_unref(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pl_str text = pl_str_n((const char *)data, size);
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;

    if (size > 65536 || !arena) {
        pl_arena_destroy(&arena);
        return 0;
    }
    doc_problems_init(&problems, arena);
    enum pl_code code = workflow_compile(text, DOC_AUTO, NULL, &workflow, &problems);
    if (code == PL_OK)
        check_workflow(workflow, &problems);
    else
        must(!workflow && problems.count > 0 && problems.items[0].message[0]);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    return 0;
}
