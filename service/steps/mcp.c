/* mcp.c - the step that asks an MCP server for its tools, or to call one: an agent makes them, no
 * document has them. Not the protocol (mcp_client.c) and not which tools the model is offered
 * (run_agent_tools.c). A row of step_kinds.c. */
#include "base/json.h"
#include "base/limits.h"
#include "service/mcp/mcp_client.h"
#include "service/steps/mcp_step.h"
#include "service/steps/step_kinds.h"

enum { REQUEST_MS = 60000 }; /* where the server has no `timeout` */

struct mcp_step {
    struct step_call *call;
    struct mcp_client client;
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value = {0};

    json_get(object, pl_str(key), &value);
    return value;
}

static void on_complete(void *arg)
{
    struct mcp_step *step = arg;

    step_call_complete(step->call);
}

/* The path of an agent is its own within its run. */
static struct pl_str owner_of(struct pl_str run_id, struct pl_str agent, struct pl_arena *arena)
{
    return pl_str(pl_arena_printf(arena, "%.*s:%.*s", PL_STR_ARG(run_id), PL_STR_ARG(agent)));
}

/* The header with the server's secret; its name is empty where it has none. */
static enum pl_code take_auth(const struct step_env *env, const struct agent_mcp *server,
                              struct pl_str url, struct pl_arena *arena,
                              struct http_header *ret_header, struct pl_err *err)
{
    struct pl_str value = {0};
    enum pl_code code;

    if (!server->auth_secret.len)
        return PL_OK;
    code = secrets_take(env->secrets, server->auth_secret, url, arena, &value, err);
    if (code != PL_OK)
        return code;
    if (server->auth_header.len)
        *ret_header = (struct http_header){server->auth_header, value};
    else
        *ret_header =
            (struct http_header){PL_STR("Authorization"),
                                 pl_str(pl_arena_printf(arena, "Bearer %.*s", PL_STR_ARG(value)))};
    return PL_OK;
}

/* The server that is asked; NULL: a request that nobody wrote. */
static const struct agent_mcp *server_of(const struct step_call *call)
{
    const struct agent_config *agent = call->def->config.mcp->agent;
    struct pl_str token = member(call->mcp_request, "server");
    int64_t index;

    if (!token.len || !json_int(token, &index) || index < 0 || (size_t)index >= agent->n_mcp)
        return NULL;
    return &agent->mcp[index];
}

/* Its own, unless the agent has less. */
static pl_ms timeout_of(const struct step_call *call, const struct agent_mcp *server)
{
    const pl_ms own = server && server->timeout ? server->timeout : REQUEST_MS;

    return call->def->timeout && call->def->timeout < own ? call->def->timeout : own;
}

static enum pl_code mcp_prepare(struct step_call *call, const struct expr_scope *scope,
                                struct pl_err *err)
{
    struct mcp_step *step = pl_arena_alloc(call->arena, sizeof(*step));
    const struct agent_mcp *server = server_of(call);
    const bool listing = call->def->config.mcp->listing;

    (void)scope;
    if (!step)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    step->call = call;
    step->client = (struct mcp_client){
        .arena = call->arena,
        .policy = call->env->policy,
        .servers = call->env->mcp,
        .secrets = call->env->secrets,
        .owner = owner_of(call->run_id, call->mcp_agent, call->arena),
        .tool = listing ? (struct pl_str){0} : member(call->mcp_request, "tool"),
        .arguments = member(call->mcp_request, "arguments"),
        .parameters = member(call->mcp_request, "parameters"),
        .timeout = timeout_of(call, server),
        .max_output = call->env->max_output ? call->env->max_output : PL_LIMIT_STEP_OUTPUT_BYTES,
        .result = &call->result,
        .complete = on_complete,
        .arg = step,
    };
    if (member(call->mcp_request, "url").len)
        step->client.url = json_decode_string_arena(member(call->mcp_request, "url"), call->arena);
    if (pl_arena_failed(call->arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (!step->client.url.len)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the url of the MCP server is empty");
    if (!server || (!listing && !step->client.tool.len))
        return pl_err_set(err, PL_ERR_INTERNAL, "a request to no MCP server, or for no tool");
    call->request = step;
    if (call->env->offline)
        return PL_OK;
    return take_auth(call->env, server, step->client.url, call->arena, &step->client.auth, err);
}

/* Without the tool's parameters: they are what the server said when it was asked for its tools. */
static void mcp_describe(const struct step_call *call, struct pl_buf *out)
{
    const struct mcp_step *step = call->request;
    const struct agent_mcp *server = server_of(call);

    json_object_begin(out);
    json_add_string(out, "url", step->client.url);
    if (server && server->auth_secret.len)
        json_add_string(out, "auth", server->auth_secret);
    json_add_string(out, "method",
                    step->client.tool.len ? PL_STR("tools/call") : PL_STR("tools/list"));
    if (step->client.tool.len) {
        json_key(out, "tool");
        json_write_compact(out, step->client.tool);
    }
    if (step->client.tool.len && step->client.arguments.len) {
        json_key(out, "arguments");
        json_write_compact(out, step->client.arguments);
    }
    json_object_end(out);
}

static void mcp_start(struct step_call *call)
{
    struct mcp_step *step = call->request;

    step->client.loop = call->loop;
    mcp_client_start(&step->client);
}

static void mcp_abort(struct step_call *call)
{
    struct mcp_step *step = call->request;

    mcp_client_abort(&step->client);
}

static void mcp_cleanup(struct step_call *call)
{
    struct mcp_step *step = call->request;

    if (step)
        mcp_client_finish(&step->client);
}

const struct step_kind_ops step_mcp_ops = {
    .kind = STEP_MCP,
    .prepare = mcp_prepare,
    .describe = mcp_describe,
    .start = mcp_start,
    .abort = mcp_abort,
    .cleanup = mcp_cleanup,
};

/* ---- the end of an agent ---- */

static void end_session(const struct step_env *env, struct loop *loop, struct pl_str owner,
                        const struct agent_mcp *server, struct pl_str url, struct pl_arena *arena)
{
    struct mcp_farewell to = {.loop = loop, .policy = env->policy, .url = url};
    struct mcp_session session;
    struct pl_err err = {0};

    if (mcp_servers_take_session(env->mcp, owner, url, arena, &session) && session.id.len &&
        take_auth(env, server, url, arena, &to.auth, &err) == PL_OK)
        mcp_farewell_session(&to, &session);
}

void mcp_step_end_sessions(const struct step_env *env, struct loop *loop, struct pl_str run_id,
                           const struct run_node *agent)
{
    const struct agent_config *config = agent->def->config.agent;
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str urls = {0}, url, owner;

    if (!arena)
        return;
    owner = owner_of(run_id, agent->path, arena);
    json_get(pl_value_text(agent->memo), PL_STR("mcp"), &urls);
    for (size_t i = 0; i < config->n_mcp && !pl_arena_failed(arena); i++)
        if (json_at(urls, (int64_t)i, &url))
            end_session(env, loop, owner, &config->mcp[i], json_decode_string_arena(url, arena),
                        arena);
    pl_arena_destroy(&arena);
}
