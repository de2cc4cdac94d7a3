/* agent_parse.c - reads what stands under `agent`: a model as under `llm`, and its tools. Not the
 * turns (run_agent). Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_bodies.h"

#include "base/limits.h"

#include <strings.h>

enum {
    MAX_TURNS = 10,
    MAX_TURNS_MAX = 1000,
    SERVERS_MAX = 16,
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
    if (node->count > AGENT_TOOLS_MAX) {
        wf_problem(ctx, node, "an agent has at most %d tools", AGENT_TOOLS_MAX);
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

/* ---- MCP servers ---- */

static bool starts_with_scheme(struct pl_str url)
{
    return (url.len > 7 && strncasecmp(url.ptr, "http://", 7) == 0) ||
           (url.len > 8 && strncasecmp(url.ptr, "https://", 8) == 0);
}

static void mcp_url(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_mcp *server = target;

    server->url = wf_template(ctx, node);
    server->url_text = node->text;
    if (server->url && server->url->kind == TEMPLATE_CONST && !starts_with_scheme(node->text))
        wf_problem(ctx, node,
                   "the url of an MCP server begins with http:// or https:// and a host");
}

static void mcp_tools(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_mcp *server = target;

    if (node->count == 0)
        wf_problem(ctx, node, "'tools' is empty; leave it out to offer every tool of the server");
    server->tools = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*server->tools));
    for (size_t i = 0; server->tools && i < node->count; i++)
        if (wf_type(ctx, node->items[i], "tools", WF_STRING, "a list of names of tools"))
            server->tools[server->n_tools++] = node->items[i]->text;
}

static void mcp_auth(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_mcp *server = target;
    struct http_config http = {0};

    wf_parse_auth(ctx, node, &http);
    server->auth_secret = http.auth_secret;
    server->auth_header = http.auth_header;
    server->auth_node = http.auth_node;
}

static void mcp_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct agent_mcp *)target)->timeout);
}

static void mcp_required(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    ((struct agent_mcp *)target)->required = pl_str_is(node->text, "true");
}

static const struct wf_field mcp_fields[] = {
    {.key = "url",
     .types = WF_STRING,
     .help = "a text such as https://tools.example/mcp",
     .parse = mcp_url},
    {.key = "auth",
     .types = WF_STRING | WF_OBJECT,
     .help = "the name of a secret, or {header, secret}",
     .parse = mcp_auth},
    {.key = "tools",
     .types = WF_LIST,
     .help = "a list of names of tools such as [search]",
     .parse = mcp_tools},
    {.key = "timeout",
     .types = WF_DURATION,
     .help = "a duration such as 30s or 5m, or a number of seconds",
     .parse = mcp_timeout},
    {.key = "required", .types = WF_BOOL, .help = "true or false", .parse = mcp_required},
};

static const struct wf_object mcp_object = {
    .what = "an MCP server",
    .fields = mcp_fields,
    .n_fields = PL_ARRAY_LEN(mcp_fields),
    .example = "{url: https://tools.example/mcp}",
};

static void agent_mcp(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct agent_config *agent = ctx->step->config.agent;

    (void)target;
    if (node->count > SERVERS_MAX) {
        wf_problem(ctx, node, "an agent has at most %d MCP servers", SERVERS_MAX);
        return;
    }
    agent->mcp = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*agent->mcp));
    for (size_t i = 0; agent->mcp && i < node->count; i++) {
        const struct doc_node *item = node->items[i];

        if (!wf_type(ctx, item, "mcp", WF_OBJECT,
                     "a list of servers such as {url: https://tools.example/mcp}"))
            continue;
        wf_object(ctx, item, &mcp_object, &agent->mcp[agent->n_mcp++]);
        if (!doc_get(item, "url"))
            wf_problem(ctx, item, "an MCP server needs 'url', where it listens");
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
    {.key = "mcp",
     .types = WF_LIST,
     .help = "a list of MCP servers such as [{url: https://tools.example/mcp}]",
     .parse = agent_mcp},
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

/* A body with one step that no document has. Its policies come when the agent's are read. NULL:
 * too many steps, or memory is out. */
static struct step_def *make_hidden(struct wf_ctx *ctx, const struct doc_node *node, size_t number,
                                    enum body_role role, const char *id)
{
    struct step_body *body = wf_body_at(ctx, number, role, (struct pl_str){0});
    struct wf_ctx inner;
    struct step_def *step;

    if (!body)
        return NULL;
    inner = wf_body_ctx(ctx, body, ctx->names);
    body->single = true;
    body->top = pl_arena_alloc_array(ctx->p->arena, 1, sizeof(*body->top));
    step = body->top ? wf_step_create(&inner, node, pl_str(id), ctx->scope, false) : NULL;
    if (!step)
        return NULL;
    step->join.min = 1;
    body->top[body->n_top++] = step;
    return step;
}

static void make_turn(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct step_def *turn = make_hidden(ctx, node, 0, BODY_TURN, "turn");

    if (!turn)
        return;
    turn->kind = STEP_LLM;
    turn->config.llm = ctx->step->config.agent->llm;
}

static void make_request(struct wf_ctx *ctx, const struct doc_node *node, size_t number,
                         bool listing)
{
    struct mcp_config *config = pl_arena_alloc(ctx->p->arena, sizeof(*config));
    struct step_def *step = make_hidden(ctx, node, number, listing ? BODY_LISTING : BODY_TOOL,
                                        listing ? "listing" : "call");

    if (!config || !step)
        return;
    config->agent = ctx->step->config.agent;
    config->listing = listing;
    step->kind = STEP_MCP;
    step->config.mcp = config;
}

void wf_parse_agent(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct agent_config *agent = pl_arena_alloc(ctx->p->arena, sizeof(*agent));
    struct llm_config *llm = pl_arena_alloc(ctx->p->arena, sizeof(*llm));
    const struct doc_node *tools = doc_get(node, "tools"), *mcp = doc_get(node, "mcp");
    size_t n_tools = tools && tools->type == DOC_OBJECT ? tools->count : 0;
    bool servers = mcp && mcp->type == DOC_LIST && mcp->count > 0;

    if (n_tools > AGENT_TOOLS_MAX)
        n_tools = 0;
    if (!agent || !llm || !wf_bodies_reserve(ctx, 1 + n_tools + (servers ? 2 : 0)))
        return;
    ctx->step->config.agent = agent;
    agent->llm = llm;
    agent->max_turns = MAX_TURNS;
    make_turn(ctx, node);
    wf_read_llm(ctx, node, &agent_object, llm);
    if (!servers)
        return;
    agent->listing_body = (unsigned)n_tools + 1;
    agent->call_body = (unsigned)n_tools + 2;
    make_request(ctx, node, agent->listing_body, true);
    make_request(ctx, node, agent->call_body, false);
}
