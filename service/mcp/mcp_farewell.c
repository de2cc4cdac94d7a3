/* mcp_farewell.c - what an MCP server of sessions is told though nobody waits for its answer: that
 * a request is not wanted any more, that a session is over. A courtesy: it lets the server free
 * what it holds; when it does not arrive, the server finds out by itself. Declared in mcp_client.h.
 * Called on the loop's thread; each request lives by itself until it is answered. */
#include "service/mcp/mcp_client.h"

#include "base/json.h"

enum { FAREWELL_MS = 1000, ANSWER_MAX = 64 << 10 };

struct farewell {
    struct pl_arena *arena; /* it lies in it */
    struct http_request http;
    struct http_header headers[6];
};

static enum pl_code on_data(void *arg, struct http_call *call, struct pl_str piece,
                            struct pl_err *err)
{
    (void)arg;
    (void)call;
    (void)piece;
    (void)err;
    return PL_OK;
}

static void on_done(void *arg, struct http_call *call, const struct http_outcome *outcome)
{
    struct farewell *farewell = arg;
    struct pl_arena *arena = farewell->arena;

    (void)call;
    (void)outcome;
    pl_arena_destroy(&arena);
}

static void add_header(struct farewell *farewell, struct pl_str name, struct pl_str value)
{
    farewell->headers[farewell->http.n_headers++] = (struct http_header){
        pl_arena_str(farewell->arena, name), pl_arena_str(farewell->arena, value)};
}

static struct farewell *create(const struct mcp_farewell *to, const struct mcp_session *session)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct farewell *farewell = arena ? pl_arena_alloc(arena, sizeof(*farewell)) : NULL;

    if (!farewell) {
        pl_arena_destroy(&arena);
        return NULL;
    }
    farewell->arena = arena;
    farewell->http = (struct http_request){
        .policy = to->policy ? to->policy : net_policy_create(arena),
        .url = pl_arena_str(arena, to->url),
        .headers = farewell->headers,
        .total_timeout = FAREWELL_MS,
        .max_body = ANSWER_MAX,
    };
    add_header(farewell, PL_STR("mcp-protocol-version"), session->version);
    if (session->id.len)
        add_header(farewell, PL_STR("mcp-session-id"), session->id);
    if (to->auth.name.len)
        add_header(farewell, to->auth.name, to->auth.value);
    return farewell;
}

/* Sends it, or frees it. Without memory for a policy nothing is sent: none at all would allow
 * anything. */
static void let_go(struct farewell *farewell, struct loop *loop)
{
    static const struct http_call_handler handler = {.data = on_data, .done = on_done};
    struct pl_arena *arena = farewell->arena;

    if (pl_arena_failed(arena) || !http_call_start(loop, &farewell->http, &handler, farewell))
        pl_arena_destroy(&arena);
}

void mcp_farewell_cancel(const struct mcp_farewell *to, const struct mcp_session *session,
                         int64_t id)
{
    struct farewell *farewell = create(to, session);
    struct pl_buf params, body;

    if (!farewell)
        return;
    pl_buf_init(&params, 256);
    pl_buf_init(&body, 1024);
    json_object_begin(&params);
    json_add_int(&params, "requestId", id);
    json_object_end(&params);
    mcp_write_request(&body, "notifications/cancelled", 0, pl_buf_view(&params), NULL);
    farewell->http.method = PL_STR("POST");
    farewell->http.has_body = true;
    farewell->http.body = pl_arena_str(farewell->arena, pl_buf_view(&body));
    pl_buf_finish(&params);
    pl_buf_finish(&body);
    add_header(farewell, PL_STR("content-type"), PL_STR("application/json"));
    add_header(farewell, PL_STR("accept"), PL_STR("application/json, text/event-stream"));
    let_go(farewell, to->loop);
}

void mcp_farewell_session(const struct mcp_farewell *to, const struct mcp_session *session)
{
    struct farewell *farewell = create(to, session);

    if (!farewell)
        return;
    farewell->http.method = PL_STR("DELETE");
    let_go(farewell, to->loop);
}
