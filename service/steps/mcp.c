/* mcp.c - the step that asks an MCP server for its tools, or to call one: an agent makes them, no
 * document has them. Not the protocol (mcp_client.c) and not which tools the model is offered
 * (run_agent_tools.c). A row of step_kinds.c. */
#include "base/json.h"
#include "base/limits.h"
#include "service/mcp_client.h"
#include "service/steps/step_kinds.h"

enum { LISTING_MS = 60000 }; /* an agent waits no longer for the tools of a server */

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
static struct pl_str owner_of(const struct step_call *call)
{
    return pl_str(pl_arena_printf(call->arena, "%.*s:%.*s", PL_STR_ARG(call->run_id),
                                  PL_STR_ARG(call->mcp_agent)));
}

static enum pl_code mcp_prepare(struct step_call *call, const struct expr_scope *scope,
                                struct pl_err *err)
{
    struct mcp_step *step = pl_arena_alloc(call->arena, sizeof(*step));
    const bool listing = call->def->config.mcp->listing;
    pl_ms timeout = call->def->timeout;

    (void)scope;
    if (!step)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (listing && (!timeout || timeout > LISTING_MS))
        timeout = LISTING_MS;
    step->call = call;
    step->client = (struct mcp_client){
        .arena = call->arena,
        .policy = call->env->policy,
        .servers = call->env->mcp,
        .owner = owner_of(call),
        .tool = listing ? (struct pl_str){0} : member(call->mcp_request, "tool"),
        .arguments = member(call->mcp_request, "arguments"),
        .parameters = member(call->mcp_request, "parameters"),
        .timeout = timeout,
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
    if (!listing && !step->client.tool.len)
        return pl_err_set(err, PL_ERR_INTERNAL, "a call of an MCP server without a tool");
    call->request = step;
    return PL_OK;
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
    .start = mcp_start,
    .abort = mcp_abort,
    .cleanup = mcp_cleanup,
};
