/* mcp_message.h - messages of the Model Context Protocol (JSON-RPC) as text: requests written,
 * replies read out of a JSON body or an event stream, results taken apart. Not the requests' way
 * (mcp_client.h). One thread at a time. */
#ifndef PLAIT_SERVICE_MCP_MCP_MESSAGE_H
#define PLAIT_SERVICE_MCP_MCP_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"
#include "service/llm/sse_parse.h"
#include "service/secrets.h"

#define MCP_VERSION         "2026-07-28" /* the newest: no handshake, no sessions */
#define MCP_SESSION_VERSION "2025-11-25" /* the newest of those with a handshake */

/* Codes of JSON-RPC errors that only servers of the newest revision know. */
enum { MCP_HEADER_MISMATCH = -32020, MCP_MISSING_CAPABILITY = -32021, MCP_BAD_VERSION = -32022 };

enum { MCP_TOOLS_MAX = 1000, MCP_PAGES_MAX = 100 }; /* of one listing; limit_exceeded */

/* ---- requests ---- */

/* Appends a request; `params` is a JSON object. id 0: a notification. `version`: the newest
 * revision goes into every request, NULL: not. */
void mcp_write_request(struct pl_buf *out, const char *method, int64_t id, struct pl_str params,
                       const char *version);
/* The params of tools/list (cursor: a JSON string, or empty) and of tools/call (tool: a JSON
 * string; arguments: an object), of initialize. */
void mcp_write_list(struct pl_buf *out, struct pl_str cursor);
void mcp_write_call(struct pl_buf *out, struct pl_str tool, struct pl_str arguments);
void mcp_write_initialize(struct pl_buf *out);
/* A header's value: text that a header cannot carry goes in as base64. */
void mcp_write_header(struct pl_buf *out, struct pl_str text);

/* An argument that goes into a header as well. */
struct mcp_param {
    struct pl_str name, value; /* as in the message; both in the arena */
};
/* Those that the tool's parameters mark with `x-mcp-header` and `arguments` has; at most `max` are
 * put into `ret`, their number is returned. *ret_valid: the marks are as the protocol has them. */
size_t mcp_params(struct pl_str parameters, struct pl_str arguments, struct pl_arena *arena,
                  struct mcp_param *ret, size_t max, bool *ret_valid);

/* ---- replies ---- */

/* Reads the body of one answer. Caller memory; fields are private but for those of the outcome. */
struct mcp_reply {
    int64_t id;
    const struct secrets *secrets; /* taken out of what the server says; NULL: none */
    bool stream;                   /* an event stream, else one JSON text */
    struct pl_buf text;            /* of the answer: a JSON-RPC response */
    struct sse_parser sse;

    bool found;            /* a response to the request is there; in it: */
    struct pl_str result;  /* JSON object, or empty: an error */
    int64_t error;         /* its code */
    struct pl_str message; /* a JSON string, or empty */
    struct pl_str data;    /* a JSON value, or empty */
};

/* Of the request `id`, of at most `max` bytes. Always mcp_reply_finish. */
void mcp_reply_init(struct mcp_reply *reply, int64_t id, struct pl_str content_type,
                    const struct secrets *secrets, size_t max);
void mcp_reply_finish(struct mcp_reply *reply);
/* Takes a piece. What is no response to the request (progress, log lines, the server's own
 * requests) is passed over. Errors: BAD_RESPONSE (no JSON, no JSON-RPC), RESPONSE_TOO_LARGE,
 * NO_MEMORY. */
enum pl_code mcp_reply_feed(struct mcp_reply *reply, struct pl_str piece,
                            struct pl_err *err) PL_MUST_CHECK;
/* The body is over: it was all. Errors: as feed; TRUNCATED: a stream without the response. */
enum pl_code mcp_reply_end(struct mcp_reply *reply, struct pl_err *err) PL_MUST_CHECK;

/* Does an error's data list a revision with a handshake as supported? */
bool mcp_supports_sessions(struct pl_str data);

/* ---- results ---- */

/* Adds the tools of a page to `list` (a JSON list without its end), each {"name", "description"?,
 * "inputSchema"}; *ret_cursor: a JSON string, empty: it was the last page. A tool whose
 * `x-mcp-header` marks are wrong is left out when `headers`. Errors: BAD_RESPONSE, LIMIT_EXCEEDED,
 * NO_MEMORY. */
enum pl_code mcp_take_tools(struct pl_str result, bool headers, struct pl_buf *list,
                            unsigned *n_tools, struct pl_str *ret_cursor,
                            struct pl_err *err) PL_MUST_CHECK;
/* The result of a call as a step's output: {"content", "structuredContent"?, "isError"?}. Errors:
 * BAD_RESPONSE, UNSUPPORTED (the tool asks for more input), RESPONSE_TOO_LARGE, NO_MEMORY. */
enum pl_code mcp_take_result(struct pl_str result, size_t max, struct pl_value **ret_output,
                             struct pl_err *err) PL_MUST_CHECK;

#endif
