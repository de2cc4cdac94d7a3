/* mcp_farewell.c - what an MCP server of sessions is told though nobody waits for its answer: that
 * a request is not wanted any more, that a session is over. A courtesy: it lets the server free
 * what it holds; when it does not arrive, the server finds out by itself. Declared in mcp_client.h.
 * Called on the loop's thread; each request lives by itself until it is answered. */
#include "service/mcp_client.h"

#include "base/json.h"

#include <stdlib.h>

enum { FAREWELL_MS = 1000, ANSWER_MAX = 64 << 10 };

struct farewell {
    struct pl_arena *arena; /* it lies in it */
    struct http_request http;
    struct http_header headers[4];
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

static struct farewell *create(const struct net_policy *policy)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct farewell *farewell = arena ? pl_arena_alloc(arena, sizeof(*farewell)) : NULL;

    if (!farewell) {
        pl_arena_destroy(&arena);
        return NULL;
    }
    farewell->arena = arena;
    farewell->http = (struct http_request){
        .policy = policy ? policy : net_policy_create(arena),
        .headers = farewell->headers,
        .total_timeout = FAREWELL_MS,
        .max_body = ANSWER_MAX,
    };
    return farewell;
}

static void add_header(struct farewell *farewell, const char *name, struct pl_str value)
{
    farewell->headers[farewell->http.n_headers++] =
        (struct http_header){pl_str(name), pl_arena_str(farewell->arena, value)};
}

/* Sends it, or frees it. */
static void let_go(struct farewell *farewell, struct loop *loop, const char *method,
                   struct pl_str url, const struct mcp_session *session)
{
    static const struct http_call_handler handler = {.data = on_data, .done = on_done};
    struct pl_arena *arena = farewell->arena;

    /* without a policy anything would be allowed: when there is no memory for one, nothing is sent
     */
    farewell->http.method = pl_str(method);
    farewell->http.url = pl_arena_str(arena, url);
    add_header(farewell, "mcp-protocol-version", session->version);
    if (session->id.len)
        add_header(farewell, "mcp-session-id", session->id);
    if (pl_arena_failed(arena) || !http_call_start(loop, &farewell->http, &handler, farewell))
        pl_arena_destroy(&arena);
}

void mcp_farewell_cancel(struct loop *loop, const struct net_policy *policy, struct pl_str url,
                         const struct mcp_session *session, int64_t id)
{
    struct farewell *farewell = create(policy);
    struct pl_buf params, body;

    if (!farewell)
        return;
    pl_buf_init(&params, 256);
    pl_buf_init(&body, 1024);
    json_object_begin(&params);
    json_add_int(&params, "requestId", id);
    json_object_end(&params);
    mcp_write_request(&body, "notifications/cancelled", 0, pl_buf_view(&params), NULL);
    farewell->http.has_body = true;
    farewell->http.body = pl_arena_str(farewell->arena, pl_buf_view(&body));
    pl_buf_finish(&params);
    pl_buf_finish(&body);
    add_header(farewell, "content-type", PL_STR("application/json"));
    add_header(farewell, "accept", PL_STR("application/json, text/event-stream"));
    let_go(farewell, loop, "POST", url, session);
}

void mcp_farewell_sessions(struct mcp_servers *servers, struct loop *loop,
                           const struct net_policy *policy, struct pl_str owner)
{
    struct farewell *farewell = create(policy);
    struct mcp_session session;
    struct pl_arena *arena;
    struct pl_str url;

    while (farewell && mcp_servers_take_session(servers, owner, farewell->arena, &session, &url)) {
        if (session.id.len) {
            let_go(farewell, loop, "DELETE", url, &session);
            farewell = create(policy);
        }
    }
    if (!farewell)
        return;
    arena = farewell->arena;
    pl_arena_destroy(&arena);
}
