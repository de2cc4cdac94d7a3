/* server_connection.c - what libmicrohttpd calls: a connection, a target, the head, the body, the
 * end of a request. Not the checks (request.c) and not the answers (reply.c). Everything runs on
 * the connection's HTTP thread. */
#include "api/server_private.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BODY_FIRST = 256 << 10, /* bytes a Content-Length alone may make us take */
    DROP_BYTES = 16 << 10,
    DROP_TIMES = 64,
};

/* ---- connections ---- */

void server_drop_input(int fd)
{
    char data[DROP_BYTES];

    for (int i = 0; i < DROP_TIMES; i++)
        if (recv(fd, data, sizeof data, MSG_DONTWAIT) < (ssize_t)sizeof data)
            break;
}

enum MHD_Result server_accept(void *cls, const struct sockaddr *address, socklen_t length)
{
    struct api_server *server = cls;

    (void)address;
    (void)length;
    return atomic_load(&server->connections) < server->max_connections + SERVER_CONNECTIONS_SLACK
               ? MHD_YES
               : MHD_NO;
}

void server_connection(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_ConnectionNotificationCode what)
{
    struct api_server *server = cls;
    const union MHD_ConnectionInfo *info;
    bool handed;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        atomic_fetch_add(&server->connections, 1);
        *context = info ? server_watch_open(&server->watch, info->connect_fd) : NULL;
        return;
    }
    handed = *context && ((struct server_conn *)*context)->handed;
    if (*context)
        server_watch_close(&server->watch, *context);
    *context = NULL;
    if (handed) /* it goes on, and counts, as a stream */
        return;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info && info->connect_fd >= 0) {
        shutdown(info->connect_fd, SHUT_WR);
        server_drop_input(info->connect_fd);
    }
    atomic_fetch_sub(&server->connections, 1);
}

static struct server_conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/* ---- a request's life ---- */

void *server_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct api_server *server = cls;
    struct http_request *request = calloc(1, sizeof *request);
    struct pl_arena *arena = pl_arena_create(0);

    if (!request || !arena) {
        free(request);
        pl_arena_destroy(&arena);
        return NULL;
    }
    atomic_fetch_add(&server->requests, 1);
    request->public.server = server;
    request->public.engine = server->engine;
    request->public.arena = arena;
    request->public.tenant = PL_STR("default");
    request->connection = connection;
    request->conn = conn_of(connection);
    request->started_us = pl_monotonic_us();
    request->target = pl_arena_str(arena, pl_str(target));
    if (request->conn)
        server_conn_phase(request->conn, PHASE_HEADERS);
    return request;
}

static void log_access(const struct http_request *request)
{
    struct log_context context = {.request = request->public.id};
    int64_t took = pl_monotonic_us() - request->started_us;

    if (request->begun && !request->handed)
        log_info(&context, "HTTP-REQUEST", "%.*s %.*s %d, %lld.%03lld ms%s",
                 PL_STR_ARG(request->public.method), PL_STR_ARG(request->target), request->status,
                 (long long)(took / 1000), (long long)(took % 1000),
                 atomic_load(&request->left) ? ", the client left" : "");
}

void server_completed(void *cls, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode why)
{
    struct api_server *server = cls;
    struct http_request *request = *context;

    (void)connection;
    (void)why;
    if (!request)
        return;
    *context = NULL;
    log_access(request);
    stream_destroy(&request->stream);
    if (request->public.state && request->public.state_free)
        request->public.state_free(request->public.state);
    if (request->response)
        MHD_destroy_response(request->response);
    if (request->conn)
        server_conn_phase(request->conn, PHASE_IDLE);
    pl_buf_finish(&request->body);
    pl_arena_destroy(&request->public.arena);
    free(request);
    atomic_fetch_sub(&server->requests, 1);
}

/* ---- answering ---- */

static enum MHD_Result send_answer(struct http_request *request)
{
    struct api_server *server = request->public.server;
    struct MHD_Response *response = request->response;
    enum MHD_Result queued;
    int class = request->status / 100;

    request->response = NULL;
    atomic_fetch_add(&server->answered[class >= 1 && class <= 5 ? class : 0], 1);
    queued = MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_problem(struct http_request *request, const struct pl_err *err)
{
    api_reply_problem(&request->public, err, NULL);
    return request->response ? send_answer(request) : MHD_NO;
}

/* Calls the handler, or what it left to be called after a wait, until it has answered or waits. */
static enum MHD_Result run_handler(struct http_request *request,
                                   void (*step)(struct api_request *request))
{
    for (;;) {
        enum wait_state was;

        request->asked = false;
        step(&request->public);
        if (request->stream && stream_launch(request))
            return MHD_NO; /* the library lets go of the connection, the stream has it */
        if (request->response)
            return send_answer(request);
        if (!request->asked) {
            struct pl_err err;

            if (request->out_of_memory)
                return MHD_NO;
            pl_err_set(&err, PL_ERR_INTERNAL, "the handler gave no answer");
            return send_problem(request, &err);
        }
        if (server_park(request))
            return MHD_YES;
        was = atomic_exchange(&request->wait, WAIT_IDLE);
        request->expired = was == WAIT_EXPIRED;
        step = request->resumed;
    }
}

static enum MHD_Result go_on(struct http_request *request)
{
    enum wait_state was = atomic_exchange(&request->wait, WAIT_IDLE);

    if (was != WAIT_RESUMED && was != WAIT_EXPIRED) {
        atomic_store(&request->wait, was); /* called without a resume: keep waiting */
        return MHD_YES;
    }
    request->expired = was == WAIT_EXPIRED;
    return run_handler(request, request->resumed);
}

static enum MHD_Result dispatch(struct http_request *request)
{
    struct pl_err err = {0};

    if (request->cut)
        return MHD_NO; /* answered already; this closes */
    server_conn_phase(request->conn, PHASE_ANSWER);
    if (request->out_of_memory)
        return MHD_NO;
    if (request->early)
        return send_problem(request, request->early);
    if (request_check_body(request, &err) != PL_OK)
        return send_problem(request, &err);
    request->dispatched = true;
    return run_handler(request, request->public.route->handler);
}

/* ---- the head ---- */

static size_t body_limit(const struct http_request *request)
{
    const struct api_route *route = request->public.route;

    return route && route->max_body ? route->max_body : request->public.server->max_body;
}

static void too_large(struct http_request *request)
{
    struct pl_err err;

    pl_err_set(&err, PL_ERR_TOO_LARGE, "the body is larger than %zu bytes", body_limit(request));
    reply_raw(request, &err);
    request->cut = request->discard = true;
    pl_buf_finish(&request->body);
}

static bool full(struct http_request *request)
{
    struct api_server *server = request->public.server;
    struct pl_err err;

    if (atomic_load(&server->connections) <= server->max_connections)
        return false;
    atomic_fetch_add(&server->full, 1);
    pl_err_set(&err, PL_ERR_OVER_CAPACITY,
               "%u connections are open, which is the limit; try again soon",
               server->max_connections);
    request_fail(request, &err);
    request->close = true;
    return true;
}

static enum MHD_Result first_call(struct http_request *request, const char *method,
                                  const char *version)
{
    bool body;

    request->begun = true;
    request->old = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
    request_begin(request, method, version);
    pl_buf_init(&request->body, body_limit(request));
    body = request->facts.chunked || request->facts.length > 0;
    server_conn_phase(request->conn, body ? PHASE_BODY : PHASE_ANSWER);
    if (request->out_of_memory)
        return MHD_NO;
    if (!request->early && full(request) && !request->early)
        return MHD_NO;
    if (request->close)
        return send_problem(request, request->early);
    if (request->facts.length > body_limit(request)) {
        too_large(request);
        return MHD_YES;
    }
    if (!request->early)
        return MHD_YES;
    /* told after the body, so that the connection lives on and the answer is not lost to a reset;
     * a client that waits for our leave to send is told now */
    request->discard = true;
    return request->facts.expect_continue ? send_problem(request, request->early) : MHD_YES;
}

static enum MHD_Result take_body(struct http_request *request, const char *data, size_t *size)
{
    size_t len = *size;

    *size = 0;
    if (request->discard) {
        request->discarded += len;
        return request->discarded > SERVER_BODY_DRAIN ? MHD_NO : MHD_YES;
    }
    if (!pl_buf_failed(&request->body) && request->facts.has_length && request->body.len == 0)
        pl_buf_reserve(&request->body,
                       request->facts.length < BODY_FIRST ? request->facts.length : BODY_FIRST);
    pl_buf_append(&request->body, data, len);
    if (!pl_buf_failed(&request->body))
        return MHD_YES;
    if (request->body.too_large) {
        too_large(request);
        return MHD_YES;
    }
    return MHD_NO; /* no memory for it, so none for an answer: closed */
}

enum MHD_Result server_handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **context)
{
    struct http_request *request = *context;

    (void)cls;
    (void)connection;
    (void)url;
    if (!request || !request->conn)
        return MHD_NO; /* no memory, or no slot: closed */
    if (!request->begun)
        return first_call(request, method, version);
    if (*size > 0)
        return take_body(request, data, size);
    return request->dispatched ? go_on(request) : dispatch(request);
}
