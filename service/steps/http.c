/* http.c - the http step: one request to wherever the workflow says, its answer as the output. Not
 * model providers and not the connection (http_call.c), which also judges the address. The request
 * is made by http_render.c, the output by http_answer.c. A row of step_kinds.c. */
#include "service/steps/http_step.h"

#include "base/limits.h"
#include "service/secrets.h"
#include "service/steps/step_kinds.h"

static enum pl_code http_prepare(struct step_call *call, const struct expr_scope *scope,
                                 struct pl_err *err)
{
    struct http_step *step = pl_arena_alloc(call->arena, sizeof(*step));

    if (!step)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    step->call = call;
    step->max_output = call->env->max_output ? call->env->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;
    pl_buf_init(&step->body, step->max_output);
    call->request = step;
    return http_step_render(step, scope, err);
}

static void on_head(void *arg, struct http_call *http_call, int status)
{
    struct http_step *step = arg;

    (void)http_call;
    step->status = status;
}

static enum pl_code on_data(void *arg, struct http_call *http_call, struct pl_str piece,
                            struct pl_err *err)
{
    struct http_step *step = arg;

    (void)http_call;
    pl_buf_str(&step->body, piece);
    if (!pl_buf_failed(&step->body))
        return PL_OK;
    if (!step->body.too_large)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer is larger than %zu bytes",
                      step->body.max);
}

static void send_request(struct http_step *step);

/* A message may name a host that a server chose. */
static void hide_secrets(const struct step_call *call, struct pl_err *err)
{
    if (err->code != PL_OK)
        err->message[secrets_hide(call->env->secrets, err->message, strlen(err->message))] = '\0';
}

static void on_done(void *arg, struct http_call *http_call, const struct http_outcome *outcome)
{
    struct http_step *step = arg;
    struct step_call *call = step->call;
    struct step_result *result = &call->result;

    step->http_call = NULL;
    result->upstream_status = outcome->status;
    if (outcome->connected)
        result->usage.calls = 1;
    if (outcome->err.code != PL_OK) {
        result->err = outcome->err;
        if (step->redirects)
            (void)pl_err_prefix(&result->err, "after %u redirect%s", step->redirects,
                                step->redirects == 1 ? "" : "s");
    } else if (http_step_redirect(step, http_call, loop_now(call->loop), &result->err)) {
        send_request(step);
        return;
    } else if (result->err.code == PL_OK) {
        http_step_answer(step, http_call, result);
    } else {
        result->no_retry = result->err.code == PL_ERR_UNEXPECTED_STATUS;
    }
    hide_secrets(call, &result->err);
    if (result->err.code != PL_OK && result->err.code != PL_ERR_CANCELLED)
        result->retry_after = http_call_retry_after(http_call, loop_now(call->loop));
    step_call_complete(call);
}

static void send_request(struct http_step *step)
{
    static const struct http_call_handler handler = {
        .head = on_head, .data = on_data, .done = on_done};
    struct step_call *call = step->call;

    step->http_call = http_call_start(call->loop, &step->http, &handler, step);
    if (step->http_call)
        return;
    pl_err_set(&call->result.err, PL_ERR_NO_MEMORY, "out of memory before the call was made");
    step_call_complete(call);
}

static void http_start(struct step_call *call)
{
    struct http_step *step = call->request;
    const pl_ms whole = call->def->timeout ? call->def->timeout : PL_LIMIT_ATTEMPT_MS;

    step->deadline = loop_now(call->loop) + whole;
    send_request(step);
}

static void http_abort(struct step_call *call)
{
    struct http_step *step = call->request;

    if (!step->http_call || step->aborted)
        return;
    step->aborted = true;
    http_call_abort(step->http_call);
}

static void http_cleanup(struct step_call *call)
{
    struct http_step *step = call->request;

    if (step)
        pl_buf_finish(&step->body);
}

const struct step_kind_ops step_http_ops = {
    .kind = STEP_HTTP,
    .prepare = http_prepare,
    .describe = http_step_describe,
    .start = http_start,
    .abort = http_abort,
    .cleanup = http_cleanup,
};
