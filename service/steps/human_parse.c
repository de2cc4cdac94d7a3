/* human_parse.c - reads what stands under `human`. Not the waiting nor the answer (run_human).
 * Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_parse.h"

static void human_ask(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct human_config *)target)->ask = wf_template(ctx, node);
}

static void human_data(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct human_config *)target)->data = wf_template(ctx, node);
}

static void human_schema(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_parse_schema(ctx, node, &((struct human_config *)target)->schema);
}

static void human_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct human_config *)target)->timeout);
}

static void on_timeout_default(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct human_config *)target)->on_timeout_default = wf_template(ctx, node);
}

static const struct wf_field on_timeout_fields[] = {
    {.key = "default",
     .types = WF_ANY,
     .help = "the output to go on with",
     .parse = on_timeout_default},
};

static const struct wf_object on_timeout_object = {
    .what = "on_timeout",
    .fields = on_timeout_fields,
    .n_fields = PL_ARRAY_LEN(on_timeout_fields),
};

static void human_on_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (node->type == DOC_STRING && pl_str_is(node->text, "default")) {
        wf_problem(ctx, node, "'default' needs a value; write {default: ...}");
    } else if (node->type == DOC_STRING) {
        if (!pl_str_is(node->text, "fail"))
            wf_problem(ctx, node, "'%s' is not known here; write fail or {default: value}",
                       wf_show(ctx, node->text));
    } else {
        wf_object(ctx, node, &on_timeout_object, target);
        if (node->count == 0)
            wf_problem(ctx, node, "'on_timeout' is empty; write fail or {default: value}");
    }
}

static const struct wf_field human_fields[] = {
    {.key = "ask", .types = WF_TEXT, .help = "a text", .parse = human_ask},
    {.key = "data", .types = WF_ANY, .help = "a value", .parse = human_data},
    {.key = "schema",
     .types = WF_OBJECT | WF_BOOL | WF_STRING,
     .help = "a JSON Schema or the name of one under 'schemas'",
     .parse = human_schema},
    {.key = "timeout",
     .types = WF_DURATION,
     .help = "a duration such as 250ms, 30s, 5m or 1h, or a number of seconds",
     .parse = human_timeout},
    {.key = "on_timeout",
     .types = WF_STRING | WF_OBJECT,
     .help = "fail or {default: value}",
     .parse = human_on_timeout},
};

static const char *human_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'human'" : NULL;
}

static const struct wf_object human_object = {
    .what = "human",
    .fields = human_fields,
    .n_fields = PL_ARRAY_LEN(human_fields),
    .elsewhere = human_elsewhere,
    .example = "{ask: text}",
};

/* Nobody's answer must be one that somebody could have given. What is no constant is made later. */
static void check_default(struct wf_ctx *ctx, const struct doc_node *node,
                          const struct human_config *human)
{
    const struct template *value = human->on_timeout_default;
    struct doc_problems problems;
    struct pl_str filled;

    if (!value || value->kind != TEMPLATE_CONST || !human->schema.schema)
        return;
    doc_problems_init(&problems, ctx->p->scratch);
    if (schema_apply(human->schema.schema, ctx->p->scratch, value->json, &filled, &problems) !=
        PL_ERR_INVALID_INPUT)
        return;
    for (size_t i = 0; i < problems.count; i++)
        wf_problem_key(ctx, doc_get(node, "on_timeout"), "the default does not fit 'schema': %s",
                       problems.items[i].message);
}

void wf_parse_human(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct human_config *human = pl_arena_alloc(ctx->p->arena, sizeof(*human));

    if (!human)
        return;
    ctx->step->config.human = human;
    wf_object(ctx, node, &human_object, human);
    if (node->type != DOC_OBJECT)
        return;
    check_default(ctx, node, human);
    if (!doc_get(node, "ask"))
        wf_problem_key(ctx, node, "a human step needs 'ask': what the person is asked");
    if (doc_get(node, "on_timeout") && !doc_get(node, "timeout"))
        wf_problem_key(ctx, doc_get(node, "on_timeout"),
                       "'on_timeout' stands without 'timeout'; add how long to wait");
}
