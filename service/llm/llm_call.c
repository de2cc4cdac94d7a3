/* llm_call.c - hands a call to the provider that carries it out: its own start, or llm_http. Called
 * by steps/llm.c. */
#include "service/llm/llm_call.h"

#include "service/llm/llm_http.h"

static bool speaks_http(const struct llm_call *call)
{
    return !call->provider->ops->start;
}

enum pl_code llm_call_prepare(struct llm_call *call, struct pl_err *err)
{
    return speaks_http(call) ? llm_http_prepare(call, err) : PL_OK;
}

void llm_call_ask(const struct llm_call *call, struct lane_ask *ask)
{
    const struct llm_request *request = &call->request;

    ask->model = request->model;
    ask->input_bytes = request->system.len + request->messages.len + request->tools.len;
    ask->max_tokens = request->max_tokens;
}

void llm_call_start(struct llm_call *call)
{
    if (speaks_http(call))
        llm_http_start(call);
    else
        call->provider->ops->start(call);
}

void llm_call_abort(struct llm_call *call)
{
    if (speaks_http(call))
        llm_http_abort(call);
    else
        call->provider->ops->abort(call);
}

void llm_call_finish(struct llm_call *call)
{
    if (speaks_http(call))
        llm_http_finish(call);
}
