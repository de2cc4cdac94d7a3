/* subworkflow_parse.c - reads what stands under `workflow`: the name of another one, or steps
 * inline. Not the finding of it (workflow_children.c). Called by workflow_steps through its table
 * of kinds. */
#include "service/workflow/workflow_bodies.h"
#include "service/workflow/workflow_children.h"

#include "base/limits.h"

/* What the readers of the keys share. */
struct reader {
    struct workflow_config *config;
    struct wf_ctx inner; /* inline: stands in the body; body NULL otherwise */
};

/* ---- by name ---- */

/* "name" or "name@version". */
static bool reference_ok(struct pl_str text)
{
    const char *at = text.len ? memchr(text.ptr, '@', text.len) : NULL;
    struct pl_str name = text, version = {0};

    if (at) {
        name.len = (size_t)(at - text.ptr);
        version = pl_str_n(at + 1, text.len - name.len - 1);
        if (version.len == 0 || version.len > 18 || version.ptr[0] == '0')
            return false;
    }
    for (size_t i = 0; i < version.len; i++)
        if (version.ptr[i] < '0' || version.ptr[i] > '9')
            return false;
    return wf_name_ok(name);
}

/* From now on the document says which version it is: see workflow_children.h. */
static void pin_name(const struct doc_node *node, struct pl_str key)
{
    node->parent->items[node->position]->text = key;
}

static bool list_child(struct wf_parser *p, struct workflow *child)
{
    for (size_t i = 0; i < p->n_children; i++)
        if (p->children[i] == child)
            return true;
    if (!p->children)
        p->children = pl_arena_alloc_array(p->scratch, PL_LIMIT_CHILDREN, sizeof(child));
    if (!p->children || p->n_children == PL_LIMIT_CHILDREN)
        return false;
    p->children[p->n_children++] = child;
    return true;
}

static void by_name(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct workflow_config *config = ((struct reader *)target)->config;
    const struct wf_child *child;
    struct pl_str key;

    if (!wf_literal(ctx, node))
        return;
    if (!reference_ok(node->text)) {
        wf_problem(ctx, node, "'%s' is no name of a workflow; write name or name@version",
                   wf_show(ctx, node->text));
        return;
    }
    child = wf_session_child(ctx->p->session, node->text, ctx->p->caller);
    if (!child)
        return;
    if (!child->workflow) {
        wf_problem(ctx, node, "the workflow '%s' cannot be called: %s", wf_show(ctx, node->text),
                   child->why);
        return;
    }
    key = pl_arena_str(ctx->p->arena, child->key);
    if (!key.len || !list_child(ctx->p, child->workflow) || !wf_bodies_reserve(ctx, 1))
        return;
    pin_name(node, key);
    config->name = key;
    config->child = child->workflow;
    ctx->step->bodies[0] = child->workflow->root;
}

/* ---- inline ---- */

static void inline_steps(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct reader *reader = target;

    (void)ctx;
    if (reader->inner.body)
        wf_parse_several(&reader->inner, node);
}

static void inline_state(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct reader *reader = target;

    (void)ctx;
    if (reader->inner.body)
        wf_parse_state(&reader->inner, node);
}

static void inline_output(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct reader *reader = target;

    (void)ctx;
    if (reader->inner.body)
        reader->inner.body->output = wf_template(&reader->inner, node);
}

static void workflow_input(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct reader *)target)->config->input = wf_template(ctx, node);
}

static const struct wf_field workflow_fields[] = {
    {.key = "name",
     .types = WF_STRING,
     .help = "the name of a workflow, or name@version",
     .parse = by_name},
    {.key = "steps",
     .types = WF_OBJECT,
     .help = "an object of ids and steps",
     .parse = inline_steps},
    {.key = "state",
     .types = WF_OBJECT,
     .help = "an object of channels such as {notes: {reducer: append}}",
     .parse = inline_state},
    {.key = "output", .types = WF_ANY, .help = "a value", .parse = inline_output},
    {.key = "input", .types = WF_ANY, .help = "a value", .parse = workflow_input},
};

static const char *workflow_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "version"))
        return "write the version behind the name: name: other@3";
    return wf_is_step_key(key) ? "it belongs on the step, beside 'workflow'" : NULL;
}

static const struct wf_object workflow_object = {
    .what = "workflow",
    .fields = workflow_fields,
    .n_fields = PL_ARRAY_LEN(workflow_fields),
    .elsewhere = workflow_elsewhere,
};

/* ---- the input of one called by name ---- */

/* What is constant can be held against the schema now. */
static void check_input(struct wf_ctx *ctx, const struct doc_node *node,
                        const struct workflow_config *config)
{
    const struct doc_node *input = doc_get(node, "input");
    struct pl_str json = PL_STR("{}"), filled;
    struct doc_problems problems;

    if (!config->child || !config->child->input_schema)
        return;
    if (input && (!config->input || config->input->kind != TEMPLATE_CONST))
        return;
    if (input)
        json = config->input->json;
    doc_problems_init(&problems, ctx->p->scratch);
    if (schema_apply(config->child->input_schema, ctx->p->scratch, json, &filled, &problems) !=
        PL_ERR_INVALID_INPUT)
        return;
    for (size_t i = 0; i < problems.count; i++)
        wf_problem_key(ctx, input ? input : doc_get(node, "name"),
                       "the workflow '%s' does not take this input: %s", wf_show(ctx, config->name),
                       problems.items[i].message);
}

static void check_keys(struct wf_ctx *ctx, const struct doc_node *node)
{
    static const char *const inline_keys[] = {"steps", "state", "output"};
    const struct doc_node *name = doc_get(node, "name");

    if (!name && !doc_get(node, "steps"))
        wf_problem_key(ctx, node, "a workflow step needs 'name', or 'steps' inline");
    for (size_t i = 0; name && i < PL_ARRAY_LEN(inline_keys); i++)
        if (doc_get(node, inline_keys[i]))
            wf_problem_key(ctx, doc_get(node, inline_keys[i]),
                           "'%s' stands beside 'name'; the workflow that is called has its own",
                           inline_keys[i]);
}

void wf_parse_subworkflow(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct workflow_config *config = pl_arena_alloc(ctx->p->arena, sizeof(*config));
    struct reader reader = {.config = config};
    struct step_body *body;

    if (!config)
        return;
    ctx->step->config.workflow = config;
    if (node->type == DOC_STRING) {
        wf_problem(ctx, node, "write workflow: {name: %s}", wf_show(ctx, node->text));
        return;
    }
    if (!doc_get(node, "name")) {
        if (!wf_bodies_reserve(ctx, 1) ||
            !(body = wf_body_at(ctx, 0, BODY_INLINE, (struct pl_str){0})))
            return;
        reader.inner = wf_body_ctx(ctx, body, ctx->names);
        expr_sink_init(&reader.inner.sink);
    }
    wf_object(ctx, node, &workflow_object, &reader);
    if (reader.inner.body)
        reader.inner.body->output_exprs = reader.inner.sink.first;
    if (node->type != DOC_OBJECT)
        return;
    check_keys(ctx, node);
    check_input(ctx, node, config);
}
