/* server.c - the HTTP server from start to stop. See server.h. Not the requests
 * (server_connection.c) and not the waiting (server_watch.c). */
#include "api/server_private.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SERVER_TICK_MS = 10, SERVER_OPTIONS = 16, SERVER_DESCRIPTORS_MAX = 1 << 17 };

/* ---- start ---- */

/* As many descriptors as the system lets us have; how many. */
static size_t raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    return limit.rlim_cur > SERVER_DESCRIPTORS_MAX ? SERVER_DESCRIPTORS_MAX
                                                   : (size_t)limit.rlim_cur;
}

/* A quarter of the descriptors, or 512 where there are few, is left to calls and the store. */
static unsigned default_connections(size_t descriptors)
{
    size_t kept =
        descriptors / 4 > SERVER_DESCRIPTORS_KEPT ? descriptors / 4 : SERVER_DESCRIPTORS_KEPT;
    size_t count = descriptors > 2 * kept ? descriptors - kept : descriptors / 2;

    return count > SERVER_CONNECTIONS_MAX ? SERVER_CONNECTIONS_MAX : (unsigned)count;
}

static unsigned default_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (cores < 1)
        return 1;
    return cores > SERVER_THREADS_MAX ? SERVER_THREADS_MAX : (unsigned)cores;
}

static void PL_PRINTF(2, 0) log_daemon(void *cls, const char *fmt, va_list args)
{
    char text[256];

    (void)cls;
    if (!log_enabled(LOG_LEVEL_DEBUG) || vsnprintf(text, sizeof text, fmt, args) < 0)
        return;
    text[strcspn(text, "\r\n")] = '\0';
    log_debug(NULL, "HTTP-LIBRARY", "%s", text);
}

/* libmicrohttpd divides its limit evenly over its threads, and what is above waits unanswered for
 * ever: so every thread may have all, and server_accept counts. */
static enum pl_code start_daemon(struct api_server *server, unsigned threads, struct pl_err *err)
{
    struct MHD_OptionItem options[SERVER_OPTIONS];
    unsigned per_thread = server->max_connections + 2 * SERVER_CONNECTIONS_SLACK;
    size_t n = 0;

    options[n++] = (struct MHD_OptionItem){MHD_OPTION_LISTEN_SOCKET, server->listen_fd, NULL};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_LIMIT,
                                           (intptr_t)per_thread * (intptr_t)threads, NULL};
    options[n++] =
        (struct MHD_OptionItem){MHD_OPTION_CONNECTION_MEMORY_LIMIT, SERVER_POOL_BYTES, NULL};
    options[n++] =
        (struct MHD_OptionItem){MHD_OPTION_CONNECTION_TIMEOUT, SERVER_SEND_SECONDS, NULL};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL};
    options[n++] =
        (struct MHD_OptionItem){MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)server_completed, server};
    options[n++] =
        (struct MHD_OptionItem){MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)server_connection, server};
    options[n++] =
        (struct MHD_OptionItem){MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)server_target, server};
    if (threads > 1) /* one thread is no pool */
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, threads, NULL};
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    server->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO |
                                          MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
                                      0, server_accept, server, server_handle, server,
                                      MHD_OPTION_EXTERNAL_LOGGER, log_daemon, NULL,
                                      MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (!server->daemon)
        return pl_err_set(err, PL_ERR_IO,
                          "the HTTP server does not start; --log-level debug says "
                          "more");
    server->listen_fd = -1;
    return PL_OK;
}

static void free_server(struct api_server *server)
{
    stream_threads_stop(server);
    server_watch_stop(server);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    pl_mutex_finish(&server->watch.lock);
    free(server);
}

static enum pl_code start(struct api_server *server, const struct api_server_options *options,
                          struct pl_err *err)
{
    size_t descriptors = raise_descriptors();
    unsigned threads = options->threads ? options->threads : default_threads();
    enum pl_code code;

    server->engine = options->engine;
    server->max_body = options->max_body ? options->max_body : SERVER_MAX_BODY;
    server->max_connections =
        options->max_connections ? options->max_connections : default_connections(descriptors);
    server->any_host = options->any_host;
    code = server_listen(options->listen, &server->listen_fd, &server->port, err);
    if (code != PL_OK)
        return code;
    code = server_watch_start(server, descriptors, err);
    if (code == PL_OK)
        code = stream_threads_start(server, threads, err);
    return code == PL_OK ? start_daemon(server, threads, err) : code;
}

enum pl_code api_server_start(const struct api_server_options *options,
                              struct api_server **ret_server, struct pl_err *err)
{
    struct api_server *server = calloc(1, sizeof *server);
    enum pl_code code;

    if (!server)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    server->listen_fd = server->watch.epoll = server->watch.bell = -1;
    pl_mutex_init(&server->watch.lock);
    code = start(server, options, err);
    if (code == PL_OK)
        *ret_server = server;
    else
        free_server(server);
    return code;
}

unsigned api_server_port(const struct api_server *server)
{
    return server->port;
}

/* ---- stop ---- */

void api_server_drain(struct api_server *server)
{
    atomic_store(&server->draining, true);
}

bool api_server_draining(const struct api_server *server)
{
    return atomic_load(&server->draining);
}

static void sleep_a_tick(void)
{
    struct timespec tick = {.tv_nsec = SERVER_TICK_MS * 1000000L};

    nanosleep(&tick, NULL);
}

/* Everybody who waits is woken or answered by whom he waits for (a commit, which always comes);
 * then what has been answered gets a moment to leave. libmicrohttpd must not be stopped while a
 * connection is suspended. */
static void finish_requests(struct api_server *server)
{
    int64_t until = server_now_ms() + SERVER_FLUSH_MS;

    do {
        server_watch_end_waits(server);
        sleep_a_tick();
    } while (server_watch_parked(&server->watch) > 0);
    while (atomic_load(&server->requests) > 0 && server_now_ms() < until) {
        server_watch_end_waits(server);
        sleep_a_tick();
    }
    while (server_watch_parked(&server->watch) > 0) {
        server_watch_end_waits(server);
        sleep_a_tick();
    }
}

void api_server_stop(struct api_server **server)
{
    MHD_socket listener;

    if (!*server)
        return;
    atomic_store(&(*server)->draining, true);
    listener = MHD_quiesce_daemon((*server)->daemon);
    atomic_store(&(*server)->stopping, true);
    stream_threads_end(*server);
    finish_requests(*server);
    while (atomic_load(&(*server)->resuming) > 0)
        sleep_a_tick();
    MHD_stop_daemon((*server)->daemon);
    if (listener != MHD_INVALID_SOCKET)
        close(listener);
    free_server(*server);
    *server = NULL;
}

void api_server_get_stats(struct api_server *server, struct api_server_stats *ret_stats)
{
    *ret_stats = (struct api_server_stats){
        .connections = atomic_load(&server->connections),
        .max_connections = server->max_connections,
        .requests = atomic_load(&server->requests),
        .streams = atomic_load(&server->streams),
        .waiting = server_watch_parked(&server->watch) + atomic_load(&server->streams_waiting),
        .full = atomic_load(&server->full),
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ret_stats->answered); i++)
        ret_stats->answered[i] = atomic_load(&server->answered[i]);
}
