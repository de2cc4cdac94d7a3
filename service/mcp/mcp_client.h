/* mcp_client.h - one thing asked of an MCP server over streamable HTTP: what tools it has (all
 * pages), or what one of them gives; with the handshake before it where the server wants one. Not
 * the step around it (steps/mcp.c) and not the words of the protocol (mcp_message.h). Called by
 * steps/mcp.c on the loop's thread.
 *
 * A request of the newest revision is tried first, unless the server is known to be older; one that
 * does not understand it is asked to initialize, and known from then on. A session that the server
 * has forgotten is begun anew, once. What the server asks or tells in between (pings, progress, log
 * lines) is passed over: no capability is offered that it could use. */
#ifndef PLAIT_SERVICE_MCP_MCP_CLIENT_H
#define PLAIT_SERVICE_MCP_MCP_CLIENT_H

#include "service/mcp/mcp_message.h"
#include "service/mcp/mcp_servers.h"
#include "service/net/http_call.h"
#include "service/steps/step_result.h"

enum { MCP_PARAMS_MAX = 32, MCP_HEADERS_MAX = MCP_PARAMS_MAX + 9 };

/* In the caller's memory, zeroed; what stands first is the caller's to fill and stays as it is
 * until `complete`. */
struct mcp_client {
    struct loop *loop;
    struct pl_arena *arena;          /* what is sent lives there */
    const struct net_policy *policy; /* NULL: public addresses only */
    struct mcp_servers *servers;     /* may be NULL */
    const struct secrets *secrets;   /* taken out of what the server says; may be NULL */
    struct http_header auth;         /* goes with every request; name empty: none */
    struct pl_str url;               /* NUL behind */
    struct pl_str owner;             /* whose session it is */
    struct pl_str tool;              /* a JSON string; empty: the tools are listed */
    struct pl_str arguments;         /* of the tool: a JSON object */
    struct pl_str parameters;        /* the tool's schema, or empty */
    pl_ms timeout;                   /* over everything; 0: PL_LIMIT_ATTEMPT_MS */
    size_t max_output;               /* bytes */
    struct step_result *result;  /* filled: a list of tools, or a call's result (mcp_message.h) */
    void (*complete)(void *arg); /* once; the client may be gone when it returns */
    void *arg;

    /* private */
    int phase;
    enum mcp_era era; /* taken for the request at hand */
    bool era_known, aborted, restarted, kept_session;
    bool sent; /* the last request may have been seen */
    pl_ms deadline;
    int64_t id;
    struct mcp_session session;
    struct pl_err first;             /* why the newest revision was not understood */
    const struct net_policy *closed; /* where there is no other */
    struct http_request http;
    struct http_header headers[MCP_HEADERS_MAX];
    struct http_call *http_call;
    struct mcp_reply reply;
    bool reading; /* reply is to be finished */
    struct loop_timer linger;
    struct pl_buf tools;
    unsigned n_tools, n_pages;
    struct pl_str cursor;
};

/* Begins; `complete` may come before it returns. */
void mcp_client_start(struct mcp_client *client);
/* Stops it: the connection is closed, an older server is told; CANCELLED comes, perhaps before this
 * returns. Not after `complete`. */
void mcp_client_abort(struct mcp_client *client);
/* Frees what is not in the arena; also of one that was never started. */
void mcp_client_finish(struct mcp_client *client);

/* ---- mcp_farewell.c ---- */

/* A server of sessions, as mcp_client has it; what is needed is copied. */
struct mcp_farewell {
    struct loop *loop;
    const struct net_policy *policy;
    struct pl_str url;
    struct http_header auth;
};

/* Tells it that request `id` is not wanted any more. Nobody waits for the answer. */
void mcp_farewell_cancel(const struct mcp_farewell *to, const struct mcp_session *session,
                         int64_t id);
/* Ends a session. The same. */
void mcp_farewell_session(const struct mcp_farewell *to, const struct mcp_session *session);

#endif
