/* mcp_client.c - see mcp_client.h. One HTTP request after the other, each made by `send_request`
 * and judged by `judge`; which comes next is all there is to the phases. */
#include "service/mcp/mcp_client.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

enum {
    LINGER_MS = 100, /* an answer is there: so long its stream may take to end by itself */
    ERROR_SHOWN = 300,
};

/* What the request in flight is. */
enum phase {
    PHASE_ASK, /* what the caller wants */
    PHASE_INITIALIZE,
    PHASE_INITIALIZED,
};

static bool is_call(const struct mcp_client *client)
{
    return client->tool.len > 0;
}

/* ---- the end ---- */

/* May a call that failed so have been carried out? Then nobody but the model may make it again. */
static bool may_have_run(const struct mcp_client *client)
{
    const enum pl_code code = client->result->err.code;

    return is_call(client) && client->phase == PHASE_ASK && client->sent && code != PL_OK &&
           code != PL_ERR_RATE_LIMITED && code != PL_ERR_OVERLOADED;
}

static void complete(struct mcp_client *client)
{
    struct pl_err *err = &client->result->err;

    loop_timer_clear(client->loop, &client->linger);
    client->result->no_retry = may_have_run(client);
    if (err->code != PL_OK) /* a message may name a host that somebody chose */
        err->message[secrets_hide(client->secrets, err->message, strlen(err->message))] = '\0';
    client->complete(client->arg);
}

static void fail(struct mcp_client *client, const struct pl_err *err)
{
    client->result->err = *err;
    complete(client);
}

static void forget_reply(struct mcp_client *client)
{
    if (client->reading)
        mcp_reply_finish(&client->reply);
    client->reading = false;
}

/* ---- requests ---- */

static void add_header(struct mcp_client *client, const char *name, struct pl_str value)
{
    if (client->http.n_headers < MCP_HEADERS_MAX)
        client->headers[client->http.n_headers++] = (struct http_header){pl_str(name), value};
}

/* The tool's name and the arguments that intermediaries may want to see. */
static void add_call_headers(struct mcp_client *client)
{
    struct mcp_param params[MCP_PARAMS_MAX];
    bool valid;
    size_t n = mcp_params(client->parameters, client->arguments, client->arena, params,
                          MCP_PARAMS_MAX, &valid);
    struct pl_buf name;

    pl_buf_init(&name, PL_LIMIT_SENT_HEADER_BYTES);
    mcp_write_header(&name, json_decode_string_arena(client->tool, client->arena));
    add_header(client, "mcp-name", pl_arena_str(client->arena, pl_buf_view(&name)));
    pl_buf_finish(&name);
    for (size_t i = 0; i < n; i++)
        if (params[i].value.len)
            add_header(client,
                       pl_arena_printf(client->arena, "mcp-param-%.*s", PL_STR_ARG(params[i].name)),
                       params[i].value);
}

static void add_headers(struct mcp_client *client, const char *method)
{
    const bool stateless = client->era != MCP_ERA_SESSION;

    client->http.n_headers = 0;
    add_header(client, "content-type", PL_STR("application/json"));
    add_header(client, "accept", PL_STR("application/json, text/event-stream"));
    if (client->auth.name.len)
        client->headers[client->http.n_headers++] = client->auth;
    if (stateless) {
        add_header(client, "mcp-protocol-version", PL_STR(MCP_VERSION));
        add_header(client, "mcp-method", pl_str(method));
        if (is_call(client))
            add_call_headers(client);
    } else if (client->phase != PHASE_INITIALIZE) {
        add_header(client, "mcp-protocol-version", client->session.version);
        if (client->session.id.len)
            add_header(client, "mcp-session-id", client->session.id);
    }
}

/* What is sent, in the arena; absent: it is too large, or memory is out. */
static struct pl_str make_body(struct mcp_client *client, const char *method,
                               const struct pl_buf *params)
{
    const char *version = client->era == MCP_ERA_SESSION ? NULL : MCP_VERSION;
    struct pl_str kept = {0};
    struct pl_buf body;

    pl_buf_init(&body, PL_LIMIT_PROMPT_BYTES);
    if (client->phase == PHASE_INITIALIZED)
        mcp_write_request(&body, method, 0, PL_STR("{}"), NULL);
    else
        mcp_write_request(&body, method, ++client->id, pl_buf_view(params), version);
    if (!pl_buf_failed(&body) && !pl_buf_failed(params))
        kept = pl_arena_str(client->arena, pl_buf_view(&body));
    pl_buf_finish(&body);
    return kept;
}

static void on_head(void *arg, struct http_call *call, int status);
static enum pl_code on_data(void *arg, struct http_call *call, struct pl_str piece,
                            struct pl_err *err);
static void on_done(void *arg, struct http_call *call, const struct http_outcome *outcome);

static void send_request(struct mcp_client *client, const char *method, const struct pl_buf *params)
{
    static const struct http_call_handler handler = {
        .head = on_head, .data = on_data, .done = on_done};
    struct pl_err err = {0};
    pl_ms left = client->deadline - loop_now(client->loop);

    forget_reply(client);
    client->sent = false;
    client->http = (struct http_request){
        .method = PL_STR("POST"),
        .url = client->url,
        .headers = client->headers,
        .has_body = true,
        .body = make_body(client, method, params),
        .policy = client->policy ? client->policy : client->closed,
        .first_byte_timeout = left,
        .idle_timeout = left,
        .total_timeout = left,
        .max_body = PL_LIMIT_STREAM_BYTES,
    };
    add_headers(client, method);
    if (client->aborted)
        pl_err_set(&err, PL_ERR_CANCELLED, "cancelled");
    else if (left <= 0)
        pl_err_set(&err, PL_ERR_TIMEOUT, "no time was left for another request to the MCP server");
    else if (!client->http.body.len || pl_arena_failed(client->arena))
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory before the call was made");
    else if (!(client->http_call = http_call_start(client->loop, &client->http, &handler, client)))
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory before the call was made");
    if (err.code != PL_OK)
        fail(client, &err);
}

static void ask(struct mcp_client *client)
{
    struct pl_buf params;

    client->phase = PHASE_ASK;
    pl_buf_init(&params, PL_LIMIT_PROMPT_BYTES);
    if (is_call(client))
        mcp_write_call(&params, client->tool, client->arguments);
    else
        mcp_write_list(&params, client->cursor);
    send_request(client, is_call(client) ? "tools/call" : "tools/list", &params);
    pl_buf_finish(&params);
}

static void initialize(struct mcp_client *client)
{
    struct pl_buf params;

    client->phase = PHASE_INITIALIZE;
    client->era = MCP_ERA_SESSION;
    client->kept_session = false;
    client->session = (struct mcp_session){0};
    pl_buf_init(&params, 4096);
    mcp_write_initialize(&params);
    send_request(client, "initialize", &params);
    pl_buf_finish(&params);
}

static void tell_initialized(struct mcp_client *client)
{
    struct pl_buf params;

    client->phase = PHASE_INITIALIZED;
    pl_buf_init(&params, 1);
    send_request(client, "notifications/initialized", &params);
    pl_buf_finish(&params);
}

/* ---- what comes ---- */

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static void on_linger(struct loop *loop, struct loop_timer *timer)
{
    struct mcp_client *client = pl_container_of(timer, struct mcp_client, linger);

    (void)loop;
    if (client->http_call)
        http_call_abort(client->http_call);
}

/* What is wanted is there: some servers keep the connection open all the same. */
static void set_linger(struct mcp_client *client)
{
    client->linger.fire = on_linger;
    loop_timer_set(client->loop, &client->linger, loop_now(client->loop) + LINGER_MS);
}

static void on_head(void *arg, struct http_call *call, int status)
{
    struct mcp_client *client = arg;

    mcp_reply_init(&client->reply, client->id, http_call_header(call, "content-type"),
                   client->secrets, PL_LIMIT_RESPONSE_BYTES);
    client->reading = true;
    if (client->phase == PHASE_INITIALIZED && is_success(status)) /* all there is to know */
        set_linger(client);
}

static enum pl_code on_data(void *arg, struct http_call *call, struct pl_str piece,
                            struct pl_err *err)
{
    struct mcp_client *client = arg;
    enum pl_code code;

    (void)call;
    if (client->reply.found)
        return PL_OK;
    code = mcp_reply_feed(&client->reply, piece, err);
    if (code == PL_OK && client->reply.found)
        set_linger(client);
    return code;
}

/* ---- judging ---- */

/* An error of the server in its own words. */
static void set_rpc_error(const struct mcp_client *client, struct pl_err *err)
{
    const struct mcp_reply *reply = &client->reply;
    struct pl_buf text;
    size_t shown;

    pl_buf_init(&text, PL_LIMIT_RESPONSE_BYTES);
    if (reply->message.len)
        json_decode_string(reply->message, &text);
    shown = pl_utf8_cut(text.data, text.len < ERROR_SHOWN ? text.len : ERROR_SHOWN);
    pl_err_set(err, PL_ERR_BAD_REQUEST, "the MCP server answered error %lld: %.*s",
               (long long)reply->error, (int)shown, shown ? text.data : "");
    pl_buf_finish(&text);
}

static enum pl_code code_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return PL_ERR_AUTH_FAILED;
    case 408:
        return PL_ERR_TIMEOUT;
    case 429:
        return PL_ERR_RATE_LIMITED;
    case 503:
        return PL_ERR_OVERLOADED;
    default:
        return status >= 500 ? PL_ERR_PROVIDER_ERROR : PL_ERR_UNEXPECTED_STATUS;
    }
}

static void set_status_error(const struct mcp_client *client, int status, struct pl_err *err)
{
    if (client->reply.found && !client->reply.result.len) {
        set_rpc_error(client, err);
        err->code = code_of_status(status);
    } else {
        pl_err_set(err, code_of_status(status), "the MCP server answered HTTP %d%s", status,
                   status >= 300 && status < 400 ? " (redirects are not followed)" : "");
    }
}

/* Could it be that an older server did not understand the request? */
static bool may_be_older(const struct mcp_client *client, int status)
{
    const struct mcp_reply *reply = &client->reply;
    const bool error = reply->found && !reply->result.len;

    if (client->era_known || client->era == MCP_ERA_SESSION || client->n_pages)
        return false;
    if (error && reply->error == MCP_BAD_VERSION)
        return mcp_supports_sessions(reply->data);
    if (error && (reply->error == MCP_HEADER_MISMATCH || reply->error == MCP_MISSING_CAPABILITY))
        return false;
    if (is_success(status)) /* -32602: it was understood, the arguments are wrong */
        return error && reply->error != -32602 && reply->error != -32603;
    return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 &&
           status != 429;
}

/* A server that was known may have become another one: the next request finds out. */
static void forget_era(const struct mcp_client *client, int status)
{
    if (status >= 400 && status < 500 && status != 401 && status != 403 && status != 429)
        mcp_servers_set_era(client->servers, client->url, MCP_ERA_UNKNOWN);
}

/* The server has forgotten the session: nothing was done. */
static bool has_lost_session(const struct mcp_client *client, int status)
{
    return client->era == MCP_ERA_SESSION && client->session.id.len > 0 && !client->restarted &&
           (status == 404 || (status == 400 && client->kept_session));
}

static void take_answer(struct mcp_client *client)
{
    struct pl_err err = {0};
    struct pl_str result = client->reply.result, cursor = {0};
    enum pl_code code;

    if (is_call(client)) {
        code = mcp_take_result(result, client->max_output, &client->result->output, &err);
    } else {
        code = mcp_take_tools(result, client->era != MCP_ERA_SESSION, &client->tools,
                              &client->n_tools, &cursor, &err);
        if (code == PL_OK && cursor.len && ++client->n_pages >= MCP_PAGES_MAX)
            code =
                pl_err_set(&err, PL_ERR_LIMIT_EXCEEDED,
                           "the MCP server lists its tools on more than %d pages", MCP_PAGES_MAX);
        if (code == PL_OK && cursor.len) {
            client->cursor = pl_arena_str(client->arena, cursor);
            ask(client);
            return;
        }
    }
    if (code == PL_OK && !is_call(client)) {
        json_array_end(&client->tools);
        client->result->output = pl_value_take(&client->tools);
        if (!client->result->output)
            code = pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    }
    if (code == PL_OK)
        complete(client);
    else
        fail(client, &err);
}

static void take_asked(struct mcp_client *client, int status)
{
    struct pl_err err = {0};

    if (may_be_older(client, status)) {
        set_status_error(client, status, &client->first);
        initialize(client);
    } else if (has_lost_session(client, status)) {
        mcp_servers_drop_session(client->servers, client->owner, client->url, client->session.id);
        client->restarted = true;
        initialize(client);
    } else if (!is_success(status)) {
        forget_era(client, status);
        set_status_error(client, status, &err);
        fail(client, &err);
    } else if (!client->reply.result.len) {
        set_rpc_error(client, &err);
        fail(client, &err);
    } else {
        if (!client->era_known)
            mcp_servers_set_era(client->servers, client->url, client->era);
        client->era_known = true;
        take_answer(client);
    }
}

/* The session's id is sent back as it came: it must be something that a header can be. */
static bool is_visible(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x21 || text.ptr[i] > 0x7e)
            return false;
    return true;
}

static void take_initialized(struct mcp_client *client, const struct http_call *call, int status)
{
    const struct pl_str id = http_call_header(call, "mcp-session-id");
    struct pl_err err = {0};
    struct pl_str version;

    if (!is_success(status) || !client->reply.result.len) {
        if (client->first.code != PL_OK && status >= 400 && status < 500)
            err = client->first; /* it is no older one either: the first answer says more */
        else if (is_success(status))
            set_rpc_error(client, &err);
        else
            set_status_error(client, status, &err);
        forget_era(client, status);
        fail(client, &err);
        return;
    }
    if (!json_get(client->reply.result, PL_STR("protocolVersion"), &version) ||
        json_type(version) != JSON_STRING || !is_visible(version) || !is_visible(id)) {
        pl_err_set(&err, PL_ERR_BAD_RESPONSE,
                   "the MCP server's answer to initialize has no revision of the protocol");
        fail(client, &err);
        return;
    }
    client->session.version = json_decode_string_arena(version, client->arena);
    client->session.id = pl_arena_str(client->arena, id);
    tell_initialized(client);
}

static void take_ready(struct mcp_client *client, int status)
{
    struct pl_err err = {0};

    if (!is_success(status)) {
        set_status_error(client, status, &err);
        fail(client, &err);
        return;
    }
    client->era_known = true;
    mcp_servers_set_era(client->servers, client->url, MCP_ERA_SESSION);
    mcp_servers_set_session(client->servers, client->owner, client->url, &client->session);
    ask(client);
}

/* Reads what there is to read; errors of a body that only says no are not looked at. */
static enum pl_code read_reply(struct mcp_client *client, int status, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    if (client->phase == PHASE_INITIALIZED || client->reply.found)
        return PL_OK;
    code = mcp_reply_end(&client->reply, err);
    if (code != PL_OK && code != PL_ERR_NO_MEMORY && !is_success(status)) {
        *err = (struct pl_err){0};
        return PL_OK;
    }
    return code;
}

static void judge(struct mcp_client *client, const struct http_call *call, int status)
{
    struct pl_err err = {0};

    if (read_reply(client, status, &err) != PL_OK) {
        fail(client, &err);
        return;
    }
    switch ((enum phase)client->phase) {
    case PHASE_ASK:
        take_asked(client, status);
        return;
    case PHASE_INITIALIZE:
        take_initialized(client, call, status);
        return;
    case PHASE_INITIALIZED:
        take_ready(client, status);
        return;
    }
}

/* A server of sessions does not take a closed connection for a word. */
static void tell_cancelled(const struct mcp_client *client)
{
    const struct mcp_farewell to = {client->loop, client->policy, client->url, client->auth};

    if (client->phase == PHASE_ASK && client->era == MCP_ERA_SESSION && !client->reply.found)
        mcp_farewell_cancel(&to, &client->session, client->id);
}

/* However the connection ended. */
static bool has_enough(const struct mcp_client *client, int status)
{
    return client->reply.found || (client->phase == PHASE_INITIALIZED && is_success(status));
}

static void on_done(void *arg, struct http_call *call, const struct http_outcome *outcome)
{
    struct mcp_client *client = arg;
    struct step_result *result = client->result;

    client->http_call = NULL;
    client->sent = outcome->connected;
    loop_timer_clear(client->loop, &client->linger);
    if (outcome->connected)
        result->usage.calls = 1;
    result->upstream_status = outcome->status;
    result->retry_after = http_call_retry_after(call, loop_now(client->loop));
    if (outcome->err.code == PL_OK || (has_enough(client, outcome->status) && !client->aborted)) {
        judge(client, call, outcome->status);
        return;
    }
    if (outcome->err.code == PL_ERR_TIMEOUT && outcome->connected)
        tell_cancelled(client);
    fail(client, &outcome->err);
}

/* ---- start and abort ---- */

void mcp_client_start(struct mcp_client *client)
{
    client->deadline =
        loop_now(client->loop) + (client->timeout ? client->timeout : PL_LIMIT_ATTEMPT_MS);
    /* as with http steps: no policy of the engine's does not mean trust */
    client->closed = client->policy ? NULL : net_policy_create(client->arena);
    pl_buf_init(&client->tools, client->max_output);
    json_array_begin(&client->tools);
    client->era = mcp_servers_era(client->servers, client->url);
    client->era_known = client->era != MCP_ERA_UNKNOWN;
    if (client->era != MCP_ERA_SESSION) {
        client->era = MCP_ERA_STATELESS;
        ask(client);
        return;
    }
    client->kept_session = mcp_servers_session(client->servers, client->owner, client->url,
                                               client->arena, &client->session);
    if (client->kept_session)
        ask(client);
    else
        initialize(client);
}

void mcp_client_abort(struct mcp_client *client)
{
    if (!client->http_call || client->aborted)
        return;
    client->aborted = true;
    tell_cancelled(client);
    http_call_abort(client->http_call);
}

void mcp_client_finish(struct mcp_client *client)
{
    forget_reply(client);
    pl_buf_finish(&client->tools);
}
