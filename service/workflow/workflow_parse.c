/* workflow_parse.c - reads the top level of a workflow document. Not steps (workflow_steps.c) and
 * not whether the parts fit together (workflow_check.c). Called by workflow_compile. */
#include "service/workflow/workflow_bodies.h"

#include "base/limits.h"

#define DURATION_HELP "a duration such as 250ms, 30s, 5m or 1h, or a number of seconds"

/* ---- defaults ---- */

static void defaults_model(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    if (wf_literal(ctx, node))
        ctx->p->default_model = node;
}

static void defaults_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    (void)wf_duration(ctx, node, false, &ctx->p->default_timeout);
}

static void defaults_retry(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    wf_parse_retry(ctx, node, &ctx->p->default_retry);
}

static const struct wf_field defaults_fields[] = {
    {.key = "model",
     .types = WF_TEXT,
     .help = "provider/model, such as openai/gpt-4o-mini",
     .parse = defaults_model},
    {.key = "timeout", .types = WF_DURATION, .help = DURATION_HELP, .parse = defaults_timeout},
    {.key = "retry",
     .types = WF_OBJECT,
     .help = "an object such as {attempts: 3}",
     .parse = defaults_retry},
};

static const char *defaults_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) || wf_is_llm_key(key)
               ? "only model, timeout and retry have defaults; write it on the steps"
               : NULL;
}

static const struct wf_object defaults_object = {
    .what = "defaults",
    .fields = defaults_fields,
    .n_fields = PL_ARRAY_LEN(defaults_fields),
    .elsewhere = defaults_elsewhere,
};

/* ---- top keys ---- */

static void top_name(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct workflow *workflow = target;

    if (wf_name_ok(node->text))
        workflow->name = node->text;
    else
        wf_problem(ctx, node,
                   "'%s' is no name; use lower-case letters, digits, - and _, a letter "
                   "or digit first, at most %d",
                   wf_show(ctx, node->text), PL_LIMIT_NAME);
}

static void top_description(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    ((struct workflow *)target)->description = node->text;
}

static void top_input(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct schema_use input = {0};

    wf_parse_schema(ctx, node, &input);
    ((struct workflow *)target)->input_schema = input.schema;
}

static void top_output_schema(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    wf_parse_schema(ctx, node, &ctx->body->output_schema);
}

/* Read before everything else, because steps take from them: see wf_parse_workflow. */
static void read_already(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    (void)node;
    (void)target;
}

static void top_steps(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    wf_parse_several(ctx, node);
}

static void top_state(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    wf_parse_state(ctx, node);
}

static void top_join(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"all", "settled", NULL};
    size_t index;

    (void)target;
    if (pl_str_is(node->text, "any") || pl_str_is(node->text, "quorum") ||
        pl_str_is(node->text, "fraction"))
        wf_problem(ctx, node,
                   "the top level joins as all or settled; for '%s' put the steps under a parallel",
                   node->text.ptr);
    else if (wf_word(ctx, node, words, &index))
        ctx->body->settled = index == 1;
}

static void top_output(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)target;
    ctx->body->output = wf_template(ctx, node);
}

static void top_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct workflow *)target)->timeout);
}

static void top_budget(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_parse_budget(ctx, node, &((struct workflow *)target)->budget);
}

static const struct wf_field top_fields[] = {
    {.key = "name", .types = WF_TEXT, .help = "a name such as travel-plan", .parse = top_name},
    {.key = "description", .types = WF_TEXT, .help = "a text", .parse = top_description},
    {.key = "input",
     .types = WF_OBJECT | WF_BOOL,
     .help = "a JSON Schema, such as {type: object, properties: {...}}",
     .parse = top_input},
    {.key = "output_schema",
     .types = WF_OBJECT | WF_BOOL,
     .help = "a JSON Schema",
     .parse = top_output_schema},
    {.key = "defaults",
     .types = WF_OBJECT,
     .help = "an object with model, timeout, retry",
     .parse = read_already},
    {.key = "steps", .types = WF_OBJECT, .help = "an object of ids and steps", .parse = top_steps},
    {.key = "join",
     .types = WF_STRING,
     .help = "all or settled; other policies go beside a parallel",
     .parse = top_join},
    {.key = "output", .types = WF_ANY, .help = "a value", .parse = top_output},
    {.key = "timeout", .types = WF_DURATION, .help = DURATION_HELP, .parse = top_timeout},
    {.key = "schemas",
     .types = WF_OBJECT,
     .help = "an object of names and JSON Schemas",
     .parse = read_already},
    {.key = "state",
     .types = WF_OBJECT,
     .help = "an object of channels such as {notes: {reducer: append}}",
     .parse = top_state},
    {.key = "budget",
     .types = WF_OBJECT,
     .help = "an object such as {tokens: 20000, cost_usd: 0.50}",
     .parse = top_budget},
};

static const char *top_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "model") || pl_str_is(key, "retry"))
        return "it belongs inside 'defaults' or on a step";
    if (wf_is_step_key(key))
        return "it belongs on a step";
    for (unsigned kind = 0; kind < STEP__KINDS; kind++)
        if (pl_str_is(key, step_kind_name((enum step_kind)kind)))
            return "a step goes under 'steps', with an id: steps: {id: {...}}";
    return NULL;
}

static const struct wf_object top_object = {
    .what = "a workflow",
    .fields = top_fields,
    .n_fields = PL_ARRAY_LEN(top_fields),
    .elsewhere = top_elsewhere,
};

void wf_parse_workflow(struct wf_parser *p)
{
    struct wf_ctx ctx = {.p = p, .names = {.roots = WF_ROOTS}};
    const struct doc_node *defaults = doc_get(p->root, "defaults"),
                          *schemas = doc_get(p->root, "schemas");

    expr_sink_init(&ctx.sink);
    ctx.body = p->workflow->root = wf_body_create(p, BODY_ROOT, NULL, (struct pl_str){0});
    if (!ctx.body)
        return;
    wf_retry_init(&p->default_retry);
    if (p->root->type != DOC_OBJECT) {
        wf_problem(&ctx, p->root, "a workflow is an object with 'steps', not %s",
                   doc_type_name(p->root->type));
        return;
    }
    if (defaults && defaults->type == DOC_OBJECT)
        wf_object(&ctx, defaults, &defaults_object, NULL);
    if (schemas && schemas->type != DOC_OBJECT)
        schemas = NULL; /* refused below */
    p->schemas = schema_library_create(p->arena, schemas, p->problems);
    wf_object(&ctx, p->root, &top_object, p->workflow);
    ctx.body->output_exprs = ctx.sink.first;
    if (!doc_get(p->root, "steps"))
        wf_problem(&ctx, p->root, "a workflow needs 'steps': {id: step}");
}
