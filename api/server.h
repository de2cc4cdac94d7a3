/* server.h - the HTTP server: listens, checks, hands requests to handlers, drains. Not the handlers
 * and not the engine, which it borrows. Made by api/cli/cmd_serve.c.
 *
 * Framing is checked at the first call, before any body is read (reference of the traps:
 * docs/http.md): one Content-Length or one `Transfer-Encoding: chunked`, never both, one Host,
 * token names, no controls, targets that start with '/', no %00 %2f %5c dot segments. Without API
 * keys only loopback Host names are answered (DNS rebinding). */
#ifndef PLAIT_API_SERVER_H
#define PLAIT_API_SERVER_H

#include "base/err.h"

struct api_server;
struct engine;

struct api_server_options {
    const char *listen;       /* "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0" (port 0: any) */
    struct engine *engine;    /* borrowed */
    unsigned threads;         /* 0: one a core, at most 8 */
    size_t max_body;          /* bytes; 0: 8 MiB */
    unsigned max_connections; /* 0: as many as descriptors allow, at most 20,000 */
    bool any_host;            /* answer any Host name (--no-auth on a public address) */
};

/* Binds and starts. Errors: INVALID_ARGUMENT (the address), IO (in use, not allowed), NO_MEMORY. */
enum pl_code api_server_start(const struct api_server_options *options,
                              struct api_server **ret_server, struct pl_err *err) PL_MUST_CHECK;
/* The port it listens on. */
unsigned api_server_port(const struct api_server *server);
/* /readyz says 503 from now on and new runs are refused with 503; requests that are there go on. */
void api_server_drain(struct api_server *server);
/* It has been told to drain: for /readyz and for whoever starts something new. Any thread. */
bool api_server_draining(const struct api_server *server);
/* Are all addresses that "HOST:PORT" stands for loopback ones? True for what cannot be read:
 * api_server_start says what is wrong with it. */
bool api_listen_is_loopback(const char *address);

/* For /metrics. */
struct api_server_stats {
    unsigned connections, max_connections; /* now, and at the most */
    unsigned requests;                     /* going on, streams among them */
    unsigned streams;
    size_t waiting;       /* suspended */
    uint64_t answered[6]; /* by the first digit of the status */
    uint64_t full;        /* answered 503 for want of room */
};
void api_server_get_stats(struct api_server *server, struct api_server_stats *ret_stats);

/* Ends streams, answers what waits (202 with the run as it stands), closes everything, frees.
 * Blocks. Nulls; accepts NULL. */
void api_server_stop(struct api_server **server);

#endif
