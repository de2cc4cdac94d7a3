/* expr_parse.c - from the text of an expression to a compiled one: a plain path where it is one,
 * else a jq program and what it mentions. Not evaluation (expr.c). Called by template.c and,
 * through expr_compile, by workflow_parse. */
#include "service/expr/expr_parse.h"

#include "service/expr/expr_scan.h"

static struct pl_str trim(struct pl_str text)
{
    while (text.len && expr_is_space(text.ptr[0]))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && expr_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* ---- paths ---- */

/* Takes .<id>.<field> behind the root off the front. */
static bool resolve_step(struct expr_job *job, const struct expr_path *path, struct expr_ref *ref,
                         size_t *used)
{
    const struct expr_segment *segments = path->segments;

    if (path->count < 2 || !segments[1].name.ptr)
        return expr_refuse_steps(job, path->variable, false);
    ref->name = segments[1].name;
    *used = 2;
    if (path->count < 3)
        return true;
    if (!segments[2].name.ptr) {
        doc_problem_at(job->context->problems, job->node, false,
                       "in expression '%s', a step is not a list; write .steps.<id>.output[n]",
                       job->excerpt);
        return false;
    }
    *used = 3;
    return expr_find_field(segments[2].name, &ref->field) ||
           expr_refuse_step_field(job, segments[2].name);
}

/* Looks up what a path begins with; what is behind becomes the expression's segments. */
static bool resolve(struct expr_job *job, const struct expr_path *path, struct expr_ref *ref,
                    struct expr *expr)
{
    const struct expr_segment *segments = path->segments;
    enum expr_found found;
    size_t used = 1;

    if (!segments[0].name.ptr)
        return expr_refuse_nameless(job);
    found = expr_find_root(&job->context->names, segments[0].name, path->variable, ref);
    if (found != EXPR_FOUND)
        return expr_refuse_root(job, segments[0].name, path->variable, found);
    if (ref->root == EXPR_ROOT_STEP && !resolve_step(job, path, ref, &used))
        return false;
    if (path->count > 1 && segments[1].name.ptr &&
        !expr_check_field(job, ref->root, segments[1].name))
        return false;
    if (ref->root == EXPR_ROOT_STATE && path->count > 1 && segments[1].name.ptr) {
        ref->name = segments[1].name;
        used = 2;
    }
    expr->kind = EXPR_PATH;
    expr->refs = ref;
    expr->n_refs = 1;
    expr->segments = path->segments + used;
    expr->n_segments = path->count - used;
    expr->text = path->text;
    expr->node = job->node;
    return true;
}

static bool compile_path(struct expr_job *job, const struct expr_path *path, struct expr *expr)
{
    struct expr_ref *refs =
        pl_arena_alloc_array(job->context->arena, 1 + path->n_inner, sizeof(*refs));
    size_t count = 1;

    if (!refs || !resolve(job, path, &refs[0], expr))
        return false;
    for (const struct expr_path *inner = path->inner; inner; inner = inner->next)
        if (!resolve(job, inner, &refs[count++], inner->expr))
            return false;
    expr->n_refs = count;
    return true;
}

/* ---- the whole ---- */

static bool compile(struct expr_job *job, struct expr *expr)
{
    struct expr_path path;

    if (job->text.len == 0) {
        doc_problem_at(job->context->problems, job->node, false,
                       "the expression is empty; write a path such as ${ .input.name }");
        return false;
    }
    if (!job->context->names.fold && expr_path_read(job->context->arena, job->text, &path))
        return compile_path(job, &path, expr);
    expr->kind = EXPR_JQ;
    expr->program = expr->text = job->text;
    expr->fold = job->context->names.fold;
    expr->node = job->node;
    return expr_jq_scan(job, expr);
}

struct expr *expr_parse(struct expr_context *context, const struct doc_node *node,
                        struct pl_str program)
{
    struct expr_job job = {.context = context, .node = node};
    struct expr *expr = pl_arena_alloc(context->arena, sizeof(*expr));

    job.text = pl_arena_str(context->arena, trim(program));
    if (!expr || pl_arena_failed(context->arena))
        return NULL;
    doc_excerpt(job.text, job.excerpt);
    if (!compile(&job, expr) || pl_arena_failed(context->arena))
        return NULL;
    *context->sink->last = expr;
    context->sink->last = &expr->next;
    return expr;
}

void expr_sink_init(struct expr_sink *sink)
{
    sink->first = NULL;
    sink->last = &sink->first;
}

struct expr *expr_compile(struct pl_arena *arena, const struct doc_node *node,
                          struct expr_names names, struct expr_sink *sink,
                          struct doc_problems *problems)
{
    struct expr_context context = {
        .arena = arena, .names = names, .sink = sink, .problems = problems};
    struct pl_str text = trim(node->text);
    char shown[DOC_EXCERPT];
    size_t close;

    if (node->refused)
        return NULL;
    if (node->type != DOC_STRING) {
        doc_problem_at(problems, node, false,
                       "expected an expression such as ${ .input.name }, got %s",
                       doc_type_name(node->type));
        return NULL;
    }
    if (pl_str_starts(text, PL_STR("${"))) {
        if (!expr_scan_close(text, 0, &close)) {
            doc_problem_at(problems, node, false, "the expression '%s' has no end: '}' is missing",
                           doc_excerpt(text, shown));
            return NULL;
        }
        if (close == text.len - 1)
            return expr_parse(&context, node, pl_str_n(text.ptr + 2, close - 2));
    }
    doc_excerpt(text, shown);
    doc_problem_at(problems, node, false,
                   "expected one expression, %s, and nothing around it, got '%s'",
                   "${ .input.name } for example", shown);
    return NULL;
}
