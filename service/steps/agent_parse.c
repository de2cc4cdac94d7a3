/* agent_parse.c - reads what stands under `agent`: a model as under `llm`, and its tools. Not the
 * turns (run_agent). Called by workflow_steps through its table of kinds. */
#include "service/workflow_bodies.h"

#include "base/limits.h"

enum {
    MAX_TURNS = 10,
    MAX_TURNS_MAX = 1000,
    TOOLS_MAX = 128, /* what providers take */
};

/* ---- tools ---- */

static void tool_description(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (wf_literal(ctx, node))
        ((struct agent_tool *)target)->description = node->text;
}

static void tool_parameters(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const struct doc_node *type = doc_get(node, "type");

    if (type && (type->type != DOC_STRING || !pl_str_is(type->text, "object")))
        wf_problem(ctx, type, "the parameters of a tool are an object: type: object");
    wf_parse_schema(ctx, node, &((struct agent_tool *)target)->parameters);
}

static void tool_do(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_tool *tool = target;
    struct step_body *body = wf_body_at(ctx, tool->body, BODY_TOOL, tool->id);
    struct expr_names names = ctx->names;

    names.roots |= 1u << EXPR_ROOT_ARGS;
    if (body)
        wf_parse_single(ctx, body, node, names, NULL);
}

static const struct wf_field tool_fields[] = {
    {.key = "description",
     .types = WF_TEXT,
     .help = "a text that tells the model what the tool does",
     .parse = tool_description},
    {.key = "parameters",
     .types = WF_OBJECT | WF_STRING,
     .help = "a JSON Schema of an object or the name of one under 'schemas'",
     .parse = tool_parameters},
    {.key = "do", .types = WF_OBJECT, .help = "a step", .parse = tool_do},
};

static const char *tool_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step under 'do'" : NULL;
}

static const struct wf_object tool_object = {
    .what = "a tool",
    .fields = tool_fields,
    .n_fields = PL_ARRAY_LEN(tool_fields),
    .elsewhere = tool_elsewhere,
};

static void agent_tools(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_config *agent = ctx->step->config.agent;

    (void)target;
    if (node->count > TOOLS_MAX) {
        wf_problem(ctx, node, "an agent has at most %d tools", TOOLS_MAX);
        return;
    }
    agent->tools = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*agent->tools));
    for (size_t i = 0; agent->tools && i < node->count; i++) {
        const struct doc_node *item = node->items[i];
        struct agent_tool *tool = &agent->tools[agent->n_tools++];

        tool->id = item->key;
        tool->body = (unsigned)(i + 1);
        if (!wf_id_ok(item->key))
            wf_problem_key(ctx, item,
                           "'%s' is no id; use letters, digits and _, a letter or _ first, at "
                           "most %d",
                           wf_show(ctx, item->key), PL_LIMIT_NAME);
        if (!wf_type(ctx, item, wf_show(ctx, item->key), WF_OBJECT,
                     "a tool: an object with description, parameters and do"))
            continue;
        wf_object(ctx, item, &tool_object, tool);
        if (!doc_get(item, "do"))
            wf_problem_key(ctx, item, "a tool needs 'do': the step that runs when it is called");
    }
}

/* ---- the agent ---- */

static void agent_max_turns(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    (void)target;
    if (wf_count(ctx, node, 1, MAX_TURNS_MAX, &count))
        ctx->step->config.agent->max_turns = (unsigned)count;
}

static const struct wf_field agent_fields[] = {
    {.key = "tools",
     .types = WF_OBJECT,
     .help = "an object of ids and tools such as {description: ..., do: step}",
     .parse = agent_tools},
    {.key = "max_turns",
     .types = WF_NUMBER,
     .help = "the number of turns at most",
     .parse = agent_max_turns},
    {.key = "mcp", .help = "write the tools under 'tools'"},
};

static const char *agent_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'agent'" : NULL;
}

static const struct wf_object agent_object = {
    .what = "agent",
    .fields = agent_fields,
    .n_fields = PL_ARRAY_LEN(agent_fields),
    .also = &wf_llm_object,
    .elsewhere = agent_elsewhere,
    .example = "{prompt: text, tools: {id: {do: step}}}",
};

/* The model's turn: a step that no document has. Its policies come when the agent's are read. */
static void make_turn(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct step_body *body = wf_body_at(ctx, 0, BODY_TURN, (struct pl_str){0});
    struct wf_ctx inner;
    struct step_def *turn;

    if (!body)
        return;
    inner = wf_body_ctx(ctx, body, ctx->names);
    body->single = true;
    body->top = pl_arena_alloc_array(ctx->p->arena, 1, sizeof(*body->top));
    turn = body->top ? wf_step_create(&inner, node, PL_STR("turn"), ctx->scope, false) : NULL;
    if (!turn)
        return;
    turn->kind = STEP_LLM;
    turn->config.llm = ctx->step->config.agent->llm;
    turn->join.min = 1;
    body->top[body->n_top++] = turn;
}

void wf_parse_agent(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct agent_config *agent = pl_arena_alloc(ctx->p->arena, sizeof(*agent));
    struct llm_config *llm = pl_arena_alloc(ctx->p->arena, sizeof(*llm));
    const struct doc_node *tools = doc_get(node, "tools");
    size_t n_tools = tools && tools->type == DOC_OBJECT ? tools->count : 0;

    if (!agent || !llm || !wf_bodies_reserve(ctx, 1 + (n_tools > TOOLS_MAX ? 0 : n_tools)))
        return;
    ctx->step->config.agent = agent;
    agent->llm = llm;
    agent->max_turns = MAX_TURNS;
    make_turn(ctx, node);
    wf_read_llm(ctx, node, &agent_object, llm);
}
