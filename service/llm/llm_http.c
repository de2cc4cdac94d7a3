/* llm_http.c - one model call over HTTP, from the built request to the filled result. Not the wire
 * format: the codec slots of the provider's row know that. Called by llm_call.c.
 *
 * What may end a call: `done` of its http_call, always and exactly once; the end marker of a stream
 * followed by LINGER_MS of silence, since some servers keep the connection open; abort. The last
 * two close the connection, so that `done` is the one place where a result is made. */
#include "service/llm/llm_http.h"

#include "base/limits.h"
#include "service/llm/key_mask.h"
#include "service/llm/llm_hints.h"
#include "service/llm/llm_lane.h"

#include <strings.h>

enum {
    ERROR_BODY_MAX = 64 << 10, /* of an answer that is not 2xx; the rest is not read */
    LINGER_MS = 250,
    REQUEST_ID_MAX = 256, /* a longer one is none */
};

struct llm_http {
    struct llm_call *call;
    struct http_request http;
    struct http_call *http_call; /* while it runs */
    void *parser;                /* from a 2xx head on */
    int status;
    bool aborted; /* `done` is on its way */
    struct pl_buf error_body;
    struct key_mask mask; /* between the parser and who listens */
    struct loop_timer linger;
};

enum pl_code llm_http_prepare(struct llm_call *call, struct pl_err *err)
{
    struct llm_http *state = pl_arena_alloc(call->arena, sizeof(*state));
    enum pl_code code;

    if (!state)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    state->call = call;
    pl_buf_init(&state->error_body, ERROR_BODY_MAX);
    key_mask_init(&state->mask, call->provider->api_key, &call->sink);
    call->state = state;
    code =
        call->provider->ops->build(call->provider, &call->request, call->arena, &state->http, err);
    state->http.ca_file = call->provider->ca_file;
    return code;
}

void llm_http_finish(struct llm_call *call)
{
    struct llm_http *state = call->state;

    if (!state)
        return;
    if (state->parser)
        call->provider->ops->cleanup(state->parser);
    state->parser = NULL;
    pl_buf_finish(&state->error_body);
    key_mask_finish(&state->mask);
}

/* ---- pieces ---- */

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static bool has_ended(const struct llm_http *state)
{
    const struct provider_ops *ops = state->call->provider->ops;

    return state->parser && ops->ended && ops->ended(state->parser);
}

static void on_head(void *arg, struct http_call *http_call, int status)
{
    struct llm_http *state = arg;
    struct llm_call *call = state->call;
    const struct provider_ops *ops = call->provider->ops;

    state->status = status;
    llm_lane_hears(call, status);
    if (!is_success(status))
        return;
    state->parser = pl_arena_alloc(call->arena, ops->parser_size);
    if (state->parser)
        ops->begin(state->parser, &call->request, http_call_header(http_call, "content-type"));
}

/* `done`, and with it the end of the call, may come before this returns. */
static void abort_once(struct llm_http *state)
{
    if (!state->http_call || state->aborted)
        return;
    state->aborted = true;
    http_call_abort(state->http_call);
}

static void on_linger(struct loop *loop, struct loop_timer *timer)
{
    struct llm_http *state = pl_container_of(timer, struct llm_http, linger);

    (void)loop;
    abort_once(state);
}

static enum pl_code on_data(void *arg, struct http_call *http_call, struct pl_str piece,
                            struct pl_err *err)
{
    struct llm_http *state = arg;
    struct llm_call *call = state->call;
    enum pl_code code;

    (void)http_call;
    if (!is_success(state->status)) {
        const size_t room = ERROR_BODY_MAX - state->error_body.len;

        pl_buf_append(&state->error_body, piece.ptr, piece.len < room ? piece.len : room);
        return piece.len <= room
                   ? PL_OK
                   : pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                                "the error's body is larger than %d bytes", ERROR_BODY_MAX);
    }
    if (!state->parser)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    if (has_ended(state))
        return PL_OK;
    code = call->provider->ops->feed(state->parser, piece, &state->mask.sink, err);
    if (code == PL_OK && has_ended(state))
        loop_timer_set(call->loop, &state->linger, loop_now(call->loop) + LINGER_MS);
    return code;
}

/* ---- the result ---- */

static void obey_should_retry(const struct http_call *http_call, struct step_result *result)
{
    const struct pl_str hint = http_call_header(http_call, "x-should-retry");

    if (hint.len == 5 && strncasecmp(hint.ptr, "false", 5) == 0) {
        result->no_retry = true;
    } else if (hint.len == 4 && strncasecmp(hint.ptr, "true", 4) == 0) {
        result->no_retry = false;
        if (pl_code_retry_class(result->err.code) == PL_RETRY_NEVER)
            result->err.code = PL_ERR_PROVIDER_ERROR; /* a kind that is retried */
    }
}

static void make_result(struct llm_http *state, const struct http_outcome *outcome,
                        struct step_result *result)
{
    struct llm_call *call = state->call;
    const struct provider_ops *ops = call->provider->ops;
    const struct pl_str key = call->provider->api_key;

    if (state->parser && (outcome->err.code == PL_OK || has_ended(state))) {
        ops->finish(state->parser, &state->mask.sink, result);
        key_mask_end(&state->mask);
    } else if (state->status && !is_success(state->status) &&
               outcome->err.code != PL_ERR_CANCELLED) {
        key_mask_text(key, state->error_body.data, state->error_body.len);
        ops->error(state->status, pl_buf_view(&state->error_body), result);
    } else if (outcome->err.code == PL_OK) {
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    } else {
        result->err = outcome->err;
        if (state->parser)
            ops->usage(state->parser, &result->usage);
    }
    key_mask_text(key, result->err.message, strlen(result->err.message));
    key_mask_cut(key, result->err.message, strlen(result->err.message));
    key_mask_text(key, result->facts.data, result->facts.len);
    key_mask_value(key, &result->upstream);
    key_mask_value(key, &result->output);
    if (!result->upstream_status)
        result->upstream_status = outcome->status;
    if (outcome->connected)
        result->usage.calls = 1;
}

/* Visible ASCII that does not repeat the key. */
static bool is_id(struct pl_str text, struct pl_str key)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return text.len && text.len <= REQUEST_ID_MAX && !key_mask_finds(key, text);
}

/* What a provider's support asks for. */
static void note_request_id(const struct http_call *http_call, struct pl_str key,
                            struct step_result *result)
{
    static const char *const names[] = {"x-request-id", "request-id", "x-generation-id"};
    struct pl_str id = {0};

    for (size_t i = 0; i < PL_ARRAY_LEN(names) && id.len == 0; i++)
        id = http_call_header(http_call, names[i]);
    if (is_id(id, key))
        step_result_fact(result, "request_id", id);
}

static void on_done(void *arg, struct http_call *http_call, const struct http_outcome *outcome)
{
    struct llm_http *state = arg;
    struct llm_call *call = state->call;
    struct step_result *result = call->result;

    loop_timer_clear(call->loop, &state->linger);
    state->http_call = NULL;
    make_result(state, outcome, result);
    note_request_id(http_call, call->provider->api_key, result);
    if (result->err.code != PL_OK && result->err.code != PL_ERR_CANCELLED) {
        const pl_ms hint =
            llm_hints_wait(http_call_header_lines(http_call),
                           result->err.code == PL_ERR_RATE_LIMITED, loop_now(call->loop));

        if (hint >= 0) /* else the body may have told one */
            result->retry_after = hint;
        obey_should_retry(http_call, result);
        pl_err_prefix(&result->err, "%.*s", PL_STR_ARG(call->provider->name));
    }
    llm_lane_tell(call, http_call, outcome, result);
    call->complete(call);
}

/* ---- start and abort ---- */

void llm_http_start(struct llm_call *call)
{
    static const struct http_call_handler handler = {
        .head = on_head, .data = on_data, .done = on_done};
    struct llm_http *state = call->state;

    state->linger.fire = on_linger;
    state->http_call = http_call_start(call->loop, &state->http, &handler, state);
    if (state->http_call)
        return;
    pl_err_set(&call->result->err, PL_ERR_NO_MEMORY, "out of memory before the call was made");
    call->complete(call);
}

void llm_http_abort(struct llm_call *call)
{
    abort_once(call->state);
}
