/* fuzz_workflow.c - any bytes as a workflow. What compiles must be whole (every expression has its
 * step, deps and dependents agree, paths lead back, bodies know their steps) and its pinned text
 * must compile to the same without asking for another workflow; what does not must say at least one
 * problem. */
#include "service/workflow/workflow.h"
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

/* What waits for a step outside its own body is the step the body stands in. */
static void check_ref(const struct step_def *step, const struct expr_ref *ref)
{
    if (ref->root == EXPR_ROOT_STATE && ref->name.len)
        must(ref->channel != NULL);
    if (ref->root != EXPR_ROOT_STEP)
        return;
    must(ref->step != NULL);
    while (step->body != ref->step->body)
        must((step = step->body->owner) != NULL);
    must(has(step->deps, step->n_deps, ref->step));
}

static void check_body(const struct workflow *workflow, const struct step_body *body)
{
    must(workflow->bodies[body->index] == body && body->workflow == workflow);
    must(body->n_top > 0 && body->n_sinks > 0 && (!body->single || body->n_top == 1));
    must(!body->owner || body->owner->bodies[body->number] == body);
    for (size_t i = 0; i < body->n_top; i++)
        must(body->top[i]->body == body && body->top[i]->parent == body->owner);
}

static void check_step(const struct workflow *workflow, const struct step_def *step)
{
    must(workflow->steps[step->index] == step);
    must(workflow_find(workflow, step->path) == step);
    must(!step->parent || step->parent->index < step->index);
    must(step->body->steps[step->slot] == step);
    for (const struct expr *expr = step->exprs; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++)
            check_ref(step, &expr->refs[i]);
    for (size_t i = 0; i < step->n_writes; i++)
        must(step->writes[i].channel && step->writes[i].value);
    for (size_t i = 0; i < step->n_deps; i++)
        must(has(step->deps[i]->dependents, step->deps[i]->n_dependents, step) &&
             step->deps[i]->body == step->body);
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

    for (size_t i = 0; i < workflow->n_bodies; i++)
        check_body(workflow, workflow->bodies[i]);
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

/* A few stored workflows; `me` is the text at hand. */
static bool find_workflow(void *arg, struct pl_str name, struct pl_arena *arena,
                          struct pl_str *ret_text, enum doc_format *ret_format,
                          int64_t *ret_version, struct pl_err *err)
{
    static const char *const stored[][2] = {
        {"a", "{steps: {x: {workflow: {name: b}}, on_error: {reduce: 1}}}"},
        {"b", "{input: {required: [x]}, steps: {x: {map: {over: [1], do: {reduce: 1}}}}}"},
        {"c", "{steps: {x: {workflow: {name: d}}}}"},
        {"d", "{steps: {x: {workflow: {name: c}}}}"},
    };

    *ret_format = DOC_AUTO;
    *ret_version = 3;
    if (pl_str_is(name, "me")) {
        *ret_text = pl_arena_str(arena, *(const struct pl_str *)arg);
        return true;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(stored); i++)
        if (pl_str_is(name, stored[i][0])) {
            *ret_text = pl_str(stored[i][1]);
            return true;
        }
    (void)pl_err_set(err, PL_ERR_NOT_FOUND, "there is no such workflow");
    return false;
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
    const struct workflow_env env = {.arg = &text, .find_workflow = find_workflow, .advise = true};
    enum pl_code code = workflow_compile(text, DOC_AUTO, &env, &workflow, &problems);
    if (code == PL_OK)
        check_workflow(workflow, &problems);
    else
        must(!workflow && problems.count > 0 && problems.items[0].message[0]);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    return 0;
}
