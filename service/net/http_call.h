/* http_call.h - one outgoing HTTP request on a loop: the only door through which Plait calls out.
 * Not a client with redirects or cookies, and not the meaning of an answer (llm/, steps/http).
 * Called by llm providers and the http step, on the loop's thread.
 *
 * libcurl under it: HTTP/1.1 only (7.88's HTTP/2 loses data), several multi handles a loop each
 * filled to PL_LIMIT_TRANSFERS_PER_MULTI, connections kept and reused within a policy, no
 * redirects, no proxy and no netrc from the environment, no Expect. Trusted and public traffic
 * never share a multi handle, since a reused connection is not checked again. */
#ifndef PLAIT_SERVICE_NET_HTTP_CALL_H
#define PLAIT_SERVICE_NET_HTTP_CALL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "service/net/loop.h"
#include "service/net/net_policy.h"

struct http_call;

struct http_header {
    struct pl_str name, value;
};

/* What to send. Owned by the caller and alive, unchanged, until `done` has been called. */
struct http_request {
    struct pl_str method;              /* "POST" */
    struct pl_str url;                 /* NUL behind */
    const struct http_header *headers; /* checked: tokens, no controls (http_header_ok) */
    size_t n_headers;
    struct pl_str body; /* may be empty */
    bool has_body;
    bool stream;                     /* an event stream: idle timer between pieces */
    const struct net_policy *policy; /* NULL: trusted (the operator wrote the address) */
    const char *ca_file; /* PEM: who is trusted in place of the system's; outlives all calls; NULL:
                            the system's */
    pl_ms connect_timeout, first_byte_timeout, idle_timeout,
        total_timeout; /* 0: the defaults of base/limits.h */
    size_t max_body;   /* decompressed bytes; 0: PL_LIMIT_RESPONSE_BYTES */
};

/* How it ended. */
struct http_outcome {
    struct pl_err
        err; /* OK: a whole answer with any status. UNREACHABLE (never connected: refused, no route,
                no such name), CONNECTION_LOST (reset or closed before the answer's headers were
                there), TRUNCATED (cut in the body), TIMEOUT (the message says which: connect, first
                byte, idle, total), TLS, RESPONSE_TOO_LARGE, ADDRESS_DENIED, BAD_RESPONSE (not
                HTTP), INVALID_ARGUMENT (the URL, a header), CANCELLED (aborted), NO_MEMORY */
    int status;     /* HTTP status, 0 when there was none */
    bool connected; /* a connection stood: the request may have been seen */
};

/* Callbacks, all on the loop's thread. */
struct http_call_handler {
    /* The status and headers are there (http_call_header). Optional. */
    void (*head)(void *arg, struct http_call *call, int status);
    /* A piece of the decompressed body. A code other than OK ends the call: `done` gets that error.
     */
    enum pl_code (*data)(void *arg, struct http_call *call, struct pl_str piece,
                         struct pl_err *err);
    /* Always, exactly once, never inside http_call_start (a request that cannot even begin is told
     * at the turn's end). The call is freed after it returns. */
    void (*done)(void *arg, struct http_call *call, const struct http_outcome *outcome);
};

/* Begins a request, now or in one of the loop's next turns when many are begun at once
 * (http_pace.h); its timeouts count from there. NULL when out of memory (then no callback comes).
 */
struct http_call *http_call_start(struct loop *loop, const struct http_request *request,
                                  const struct http_call_handler *handler, void *arg);

/* Closes the connection at once; `done` follows with CANCELLED before this returns or later in the
 * turn. Not after `done`. */
void http_call_abort(struct http_call *call);

/* A response header by name, any case; absent: empty. From head on, borrowed until done returns. */
struct pl_str http_call_header(const struct http_call *call, const char *name);

/* All response headers that were kept: lines as they came (`Name: value`), each ending in LF. From
 * head on, borrowed until done returns. */
struct pl_str http_call_header_lines(const struct http_call *call);

/* True for a header name that is a token and a value without CR, LF, NUL or other controls; and a
 * name that callers may set (not Host, Content-Length, Transfer-Encoding, Connection, ...). */
bool http_header_ok(struct pl_str name, struct pl_str value);

/* Retry hints of an answer in milliseconds: retry-after-ms, Retry-After in seconds or as an HTTP
 * date. -1: none. */
pl_ms http_call_retry_after(const struct http_call *call, pl_ms now);

#endif
