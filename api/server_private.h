/* server_private.h - what the files of the HTTP server share: the server, a connection, a request,
 * waiting. Not for handlers (request.h) and not for cmd_serve (server.h).
 *
 * A request waits in one place, server_watch.c, whoever it waits for:
 *
 *   IDLE -> MARKED -> SUSPENDED -> RESUMED or EXPIRED -> IDLE
 *             |          ^ |
 *             |          | v
 *             |        LEAVING
 *             +-> RESUMED  (the answer came before the wait began: nothing is suspended)
 *
 * MARKED: the handler asked for it, libmicrohttpd has not been told. SUSPENDED: told. Whoever moves
 * the state out of SUSPENDED, and nobody else, takes the request off the watch and resumes the
 * connection, so it happens once. LEAVING: the watch thread is telling the handler that the client
 * left; a resume that comes meanwhile is done by the watch thread afterwards.
 *
 * A stream does not wait there: it has left libmicrohttpd and lives on a thread of
 * stream_threads.c. */
#ifndef PLAIT_API_SERVER_PRIVATE_H
#define PLAIT_API_SERVER_PRIVATE_H

#include "api/framing.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/stream_private.h"
#include "base/sync.h"

#include <microhttpd.h>

enum {
    /* libmicrohttpd's memory of one connection. The head is read into half of it, cookies are
     * copied into the rest, and 56 bytes a header: what FRAMING_BYTES_MAX lets pass fits, in one
     * line or many. Streams give theirs back. */
    SERVER_POOL_BYTES = 24 << 10,
    SERVER_MAX_BODY = 8 << 20,    /* bytes, unless the options or the route say otherwise */
    SERVER_BODY_DRAIN = 64 << 20, /* of a body that was refused: read and forgotten, then cut */
    SERVER_CONNECTIONS_MAX = 20000,
    SERVER_CONNECTIONS_SLACK = 64, /* above the maximum: answered 503; more are closed unanswered */
    SERVER_DESCRIPTORS_KEPT = 512, /* for the store, the loops and calls, when there are few */
    SERVER_THREADS_MAX = 8,
    SERVER_HEADERS_MS = 10000, /* from the first byte, or the connect, to the last header */
    SERVER_BODY_MS = 60000,    /* for a whole body */
    SERVER_IDLE_MS = 75000,    /* between requests */
    SERVER_SEND_SECONDS = 60,  /* a client that takes nothing for so long is cut */
    SERVER_HEARTBEAT_MS = 15000,
    SERVER_GATHER_MS = 5,   /* between two wakes of one stream */
    SERVER_FLUSH_MS = 3000, /* at stop: how long answers on their way may take */
    SERVER_ADDED_HEADERS = 16,
};

enum wait_state {
    WAIT_IDLE,
    WAIT_MARKED,
    WAIT_SUSPENDED,
    WAIT_LEAVING,
    WAIT_RESUMED,
    WAIT_EXPIRED,
};

/* Where a connection is: what it is cut for when it takes too long. */
enum conn_phase { PHASE_NEW, PHASE_IDLE, PHASE_HEADERS, PHASE_BODY, PHASE_ANSWER };

/* One connection; its slot is its descriptor. `lock` is the watch's. */
struct server_conn {
    int fd;      /* guarded by lock, as all that say nothing else */
    bool open;   /* the slot is in use */
    bool handed; /* a stream has the connection now; the HTTP thread's */
    bool in_epoll;
    uint32_t generation;            /* of the parking */
    struct http_request *parked;    /* who waits on it */
    int64_t deadline;               /* monotonic ms */
    size_t heap_at;                 /* its place in the heap, from 1; 0: in none */
    _Atomic(enum conn_phase) phase; /* written on the connection's HTTP thread */
    atomic_int_fast64_t since;      /* monotonic ms */
};

/* The clients that wait, and a thread that sees them leave and their time run out. */
struct server_watch {
    struct pl_mutex lock;
    struct server_conn *conns; /* by descriptor; set once */
    size_t n_conns;
    struct server_conn **heap; /* by deadline, n_conns of room; guarded by lock */
    size_t n_heap;
    size_t parked; /* guarded by lock */
    int top;       /* above the highest descriptor seen; guarded by lock */
    int epoll, bell;
    pthread_t thread;
    bool running;
    atomic_bool stop;
};

struct query_pair {
    struct pl_str name, value;
};

struct added_header {
    const char *name, *value;
};

/* A request from its target to its end. HTTP thread, unless said. */
struct http_request {
    struct api_request public; /* first: a handler's pointer is ours */
    struct MHD_Connection *connection;
    struct server_conn *conn;
    struct framing_facts facts;
    struct pl_str target;     /* as sent; in the arena */
    struct query_pair *query; /* in the arena */
    size_t n_query;
    bool begun;      /* the first call has been made */
    bool old;        /* HTTP/1.0 */
    bool dispatched; /* the handler has been called */
    bool handed;     /* a stream goes on with it */
    bool out_of_memory;
    bool close;           /* the connection cannot be used for another request */
    bool discard;         /* the body is not wanted */
    bool cut;             /* a 413 was written past libmicrohttpd: close at the end of the body */
    struct pl_err *early; /* known before the body came, told after it; in the arena; NULL: none */
    const char *allow;    /* for a 405 */
    struct pl_buf body;
    size_t discarded;
    int64_t started_us;
    /* the answer */
    struct added_header *added; /* SERVER_ADDED_HEADERS in the arena, once there is one */
    size_t n_added;
    struct MHD_Response *response; /* to be queued */
    int status;
    struct api_stream *stream;
    /* waiting */
    _Atomic(enum wait_state) wait;
    bool expired;       /* the last wait ran out */
    bool expirable;     /* made by api_suspend_for: ends when the server stops */
    bool asked;         /* the handler suspended in this call */
    atomic_bool left;   /* the client has gone */
    int64_t wait_until; /* monotonic ms, -1: no limit */
    void (*resumed)(struct api_request *request);
    void (*gone)(struct api_request *request);
};

struct api_server {
    struct engine *engine;
    struct MHD_Daemon *daemon;
    struct server_watch watch;
    int listen_fd; /* -1 once the daemon has it */
    unsigned port;
    size_t max_body;
    unsigned max_connections;
    bool any_host;
    atomic_bool draining, stopping;
    atomic_uint connections;
    atomic_uint requests; /* going on */
    atomic_uint resuming; /* threads inside MHD_resume_connection */
    atomic_uint streams, streams_waiting;
    atomic_uint next_stream;
    struct stream_thread *stream_threads; /* set once */
    unsigned n_stream_threads;
    atomic_uint_fast64_t answered[6]; /* by the status' first digit */
    atomic_uint_fast64_t full;        /* refused for want of room */
};

static inline struct http_request *http_request_of(struct api_request *request)
{
    return (struct http_request *)(void *)request;
}

int64_t server_now_ms(void); /* monotonic */

/* ---- server_watch.c ---- */

/* Errors: NO_MEMORY, IO. */
enum pl_code server_watch_start(struct api_server *server, size_t descriptors,
                                struct pl_err *err) PL_MUST_CHECK;
void server_watch_stop(struct api_server *server); /* nothing is parked any more */
/* A connection came, or is about to be closed. NULL: no slot. */
struct server_conn *server_watch_open(struct server_watch *watch, int fd);
void server_watch_close(struct server_watch *watch, struct server_conn *conn);
void server_conn_phase(struct server_conn *conn, enum conn_phase phase);

/* Suspends the MARKED request. False when it need not wait (any more): its state says why. */
bool server_park(struct http_request *request);
/* Ends a wait, if there is one. Any thread. */
void server_wake(struct http_request *request);
/* Ends the waits of those that may expire; called with `stopping` set. */
void server_watch_end_waits(struct api_server *server);
/* How many wait. */
size_t server_watch_parked(struct server_watch *watch);

/* ---- server_listen.c ---- */

/* A listening socket for "HOST:PORT". Errors: INVALID_ARGUMENT (the text), IO. */
enum pl_code server_listen(const char *address, int *ret_fd, unsigned *ret_port,
                           struct pl_err *err) PL_MUST_CHECK;

/* ---- server_connection.c ---- */

/* Reads and forgets what has come on a connection that is about to be closed: left unread, it would
 * turn the end of the answer into a reset, and the client might lose the answer. */
void server_drop_input(int fd);

/* The callbacks of libmicrohttpd; `cls` is the server. */
enum MHD_Result server_accept(void *cls, const struct sockaddr *address, socklen_t length);
void server_connection(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_ConnectionNotificationCode what);
void *server_target(void *cls, const char *target, struct MHD_Connection *connection);
enum MHD_Result server_handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **context);
void server_completed(void *cls, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode why);

/* ---- request.c ---- */

/* Checks head, Host, route, query and type. What is wrong goes to request->early. */
void request_begin(struct http_request *request, const char *method, const char *version);
/* Keeps an error for later. */
void request_fail(struct http_request *request, const struct pl_err *err);
/* What is left to check of a body that is there. */
enum pl_code request_check_body(struct http_request *request, struct pl_err *err) PL_MUST_CHECK;

/* ---- reply.c ---- */

/* The problem+json text of an error. */
void reply_write_problem(const struct http_request *request, const struct pl_err *err,
                         const struct doc_problems *problems, struct pl_buf *out);
int reply_status(const struct pl_err *err);
/* Seconds for Retry-After, 0: none. */
int reply_retry_after(const struct pl_err *err);
/* Gives the headers every answer has, and those added, to the response (NULL: out of memory), which
 * is then the one to be queued. False: there is none. */
bool reply_finish(struct http_request *request, int status, const char *content_type,
                  struct MHD_Response *response);
/* The head of a 200 with a body of unknown length, for who writes the answer past libmicrohttpd. */
void reply_head(const struct http_request *request, const char *content_type, bool chunked,
                struct pl_buf *out);
/* Writes a whole answer to the socket and closes its sending side: for a body that is refused while
 * it comes, where libmicrohttpd takes no answer. */
void reply_raw(struct http_request *request, const struct pl_err *err);

#endif
