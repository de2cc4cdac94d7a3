/* mcp_servers.h - what this process knows of MCP servers: which revision one speaks, and the
 * sessions that agents have with those that keep some. Nothing of it is durable: after a restart it
 * is found out again. Not the requests (mcp_client.h). Any thread; a lock of its own, under which
 * nothing else is locked. */
#ifndef PLAIT_SERVICE_MCP_MCP_SERVERS_H
#define PLAIT_SERVICE_MCP_MCP_SERVERS_H

#include "base/arena.h"
#include "base/str.h"

enum mcp_era {
    MCP_ERA_UNKNOWN,
    MCP_ERA_STATELESS, /* each request stands alone */
    MCP_ERA_SESSION,   /* a handshake first; there may be a session id */
};

/* How many are kept of each; the one that was not used for longest goes first. */
enum { MCP_SERVERS_KEPT = 1000, MCP_SESSIONS_KEPT = 20000 };

struct mcp_servers;

struct mcp_servers *mcp_servers_create(void); /* NULL: no memory */
void mcp_servers_destroy(struct mcp_servers **servers);

/* `servers` may be NULL in all of these: nothing is known. What cannot be kept for want of memory
 * is found out again. */
enum mcp_era mcp_servers_era(struct mcp_servers *servers, struct pl_str url);
void mcp_servers_set_era(struct mcp_servers *servers, struct pl_str url, enum mcp_era era);

/* The session of `owner` (the path of an agent in its run) with a server; false: it has none.
 * `version` is the revision they agreed on; `id` is empty where the server gave none. */
struct mcp_session {
    struct pl_str id, version; /* in the arena */
};
bool mcp_servers_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                         struct pl_arena *arena, struct mcp_session *ret_session);
void mcp_servers_set_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                             const struct mcp_session *session);
/* The server does not know it any more. Another one that was made meanwhile stays. */
void mcp_servers_drop_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                              struct pl_str id);
/* Takes it out: it is over. */
bool mcp_servers_take_session(struct mcp_servers *servers, struct pl_str owner, struct pl_str url,
                              struct pl_arena *arena, struct mcp_session *ret_session);

#endif
