/* raw_server.h - a TCP server that does to its clients exactly what a script says: bytes, silence,
 * resets. Not an HTTP server: it finds the end of a request and no more. For tests of whatever
 * calls out. */
#ifndef PLAIT_TESTS_SUPPORT_RAW_SERVER_H
#define PLAIT_TESTS_SUPPORT_RAW_SERVER_H

#include "base/clock.h"
#include "base/str.h"

/* One step of a connection. */
enum raw_action {
    RAW_READ,  /* a whole request: its head, and the body that its Content-Length announces */
    RAW_SEND,  /* `bytes`, `times` times (0 as 1) */
    RAW_PAUSE, /* `times` milliseconds; notices when the peer closes */
    RAW_STALL, /* nothing until the peer closes; also after the last step */
    RAW_RESET, /* a TCP reset */
    RAW_CLOSE,
    RAW_AGAIN, /* from the first step */
};

struct raw_step {
    enum raw_action action;
    struct pl_str bytes;
    unsigned times;
};

/* What a connection does, in order. */
struct raw_script {
    const struct raw_step *steps;
    size_t count;
};
#define RAW_SCRIPT(...)                                                   \
    ((struct raw_script){(const struct raw_step[]){__VA_ARGS__},          \
                         sizeof((const struct raw_step[]){__VA_ARGS__}) / \
                             sizeof(struct raw_step)})

struct raw_server;

/* Listens on a free port of 127.0.0.1 in a thread of its own. The i-th connection runs scripts[i],
 * later ones the last. The scripts stay the caller's, alive until stop. Aborts when it cannot. */
struct raw_server *raw_server_start(const struct raw_script *scripts, size_t count);
/* Closes everything; nulls. */
void raw_server_stop(struct raw_server **server);
unsigned raw_server_port(const struct raw_server *server);

/* What it has seen so far. Any thread. */
unsigned raw_server_connections(struct raw_server *server);
unsigned raw_server_requests(struct raw_server *server);
/* Waits until so many requests were read whole, or connections accepted; false after ten seconds.
 */
bool raw_server_wait_requests(struct raw_server *server, unsigned count);
bool raw_server_wait_connections(struct raw_server *server, unsigned count);
/* When the peer closed or reset a connection (by order of arrival), in pl_monotonic_us; waits for
 * it. -1 after ten seconds. */
int64_t raw_server_peer_closed(struct raw_server *server, unsigned connection);
/* The last request read on a connection, head and body, copied into `out` and cut to `size` - 1
 * bytes. */
void raw_server_request(struct raw_server *server, unsigned connection, char *out, size_t size);

#endif
