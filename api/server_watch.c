/* server_watch.c - requests that wait: a thread sees their clients leave (a suspended connection is
 * not looked at by libmicrohttpd), their time run out, and connections that take too long to say
 * what they want. Not streams (stream_threads.c) and not what is answered. See server_private.h for
 * the states of a wait.
 *
 * The lock is held from the move to SUSPENDED until libmicrohttpd knows, and taken before a
 * connection is resumed, so that a resume never overtakes its suspend. Order: watch->lock, then
 * libmicrohttpd's own. */
#include "api/server_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WATCH_EVENTS = 64, WATCH_SWEEP_MS = 1000 };

#define WATCH_BELL UINT64_MAX

int64_t server_now_ms(void)
{
    return pl_monotonic_us() / 1000;
}

/* ---- the heap of deadlines ---- */

static void heap_put(struct server_watch *watch, size_t at, struct server_conn *conn)
{
    watch->heap[at - 1] = conn;
    conn->heap_at = at;
}

static void heap_up(struct server_watch *watch, size_t at, struct server_conn *conn)
{
    while (at > 1 && watch->heap[at / 2 - 1]->deadline > conn->deadline) {
        heap_put(watch, at, watch->heap[at / 2 - 1]);
        at /= 2;
    }
    heap_put(watch, at, conn);
}

static void heap_down(struct server_watch *watch, size_t at, struct server_conn *conn)
{
    for (;;) {
        size_t child = at * 2;

        if (child < watch->n_heap &&
            watch->heap[child]->deadline < watch->heap[child - 1]->deadline)
            child++;
        if (child > watch->n_heap || watch->heap[child - 1]->deadline >= conn->deadline)
            break;
        heap_put(watch, at, watch->heap[child - 1]);
        at = child;
    }
    heap_put(watch, at, conn);
}

static void heap_add(struct server_watch *watch, struct server_conn *conn)
{
    heap_up(watch, ++watch->n_heap, conn);
}

static void heap_remove(struct server_watch *watch, struct server_conn *conn)
{
    size_t at = conn->heap_at;
    struct server_conn *last;

    if (!at)
        return;
    conn->heap_at = 0;
    last = watch->heap[--watch->n_heap];
    if (last == conn)
        return;
    if (at > 1 && watch->heap[at / 2 - 1]->deadline > last->deadline)
        heap_up(watch, at, last);
    else
        heap_down(watch, at, last);
}

static void ring(struct server_watch *watch)
{
    uint64_t one = 1;
    ssize_t done = write(watch->bell, &one, sizeof one);

    (void)done; /* a full counter has rung already */
}

/* ---- parking ---- */

static void unpark_locked(struct server_watch *watch, struct server_conn *conn)
{
    if (conn->in_epoll)
        epoll_ctl(watch->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->in_epoll = false;
    heap_remove(watch, conn);
    conn->parked = NULL;
    watch->parked--;
}

/* Only for whoever moved the state out of SUSPENDED or found RESUMED behind LEAVING. The request
 * may be gone when it returns. */
static void unpark(struct http_request *request)
{
    struct api_server *server = request->public.server;
    struct MHD_Connection *connection = request->connection;

    atomic_fetch_add(&server->resuming, 1);
    pl_mutex_lock(&server->watch.lock);
    unpark_locked(&server->watch, request->conn);
    pl_mutex_unlock(&server->watch.lock);
    MHD_resume_connection(connection);
    atomic_fetch_sub(&server->resuming, 1);
}

static bool move(struct http_request *request, enum wait_state from, enum wait_state to)
{
    return atomic_compare_exchange_strong(&request->wait, &from, to);
}

static void park_locked(struct server_watch *watch, struct http_request *request)
{
    struct server_conn *conn = request->conn;
    struct epoll_event event = {.events = EPOLLRDHUP};

    MHD_suspend_connection(request->connection);
    watch->parked++;
    conn->parked = request;
    conn->generation++;
    event.data.u64 = (uint64_t)conn->generation << 32 | (uint64_t)(uint32_t)conn->fd;
    conn->in_epoll = epoll_ctl(watch->epoll, EPOLL_CTL_ADD, conn->fd, &event) == 0;
    conn->deadline = request->wait_until;
    if (conn->deadline >= 0) {
        heap_add(watch, conn);
        if (conn->heap_at == 1)
            ring(watch);
    }
}

bool server_park(struct http_request *request)
{
    struct api_server *server = request->public.server;
    struct server_watch *watch = &server->watch;
    bool parked;

    if (atomic_load(&request->wait) != WAIT_MARKED)
        return false;
    pl_mutex_lock(&watch->lock);
    if (request->expirable && atomic_load(&server->stopping))
        parked = false;
    else
        parked = move(request, WAIT_MARKED, WAIT_SUSPENDED);
    if (parked)
        park_locked(watch, request);
    else
        move(request, WAIT_MARKED, WAIT_EXPIRED);
    pl_mutex_unlock(&watch->lock);
    return parked;
}

void server_wake(struct http_request *request)
{
    enum wait_state state = atomic_load(&request->wait);

    while (state == WAIT_MARKED || state == WAIT_SUSPENDED || state == WAIT_LEAVING) {
        if (!atomic_compare_exchange_weak(&request->wait, &state, WAIT_RESUMED))
            continue;
        if (state == WAIT_SUSPENDED)
            unpark(request);
        return;
    }
}

/* ---- the thread ---- */

static void client_left(struct server_watch *watch, uint64_t data)
{
    struct http_request *request = NULL;
    size_t fd = (size_t)(data & UINT32_MAX);
    struct server_conn *conn;

    if (fd >= watch->n_conns)
        return;
    conn = &watch->conns[fd];
    pl_mutex_lock(&watch->lock);
    if (conn->parked && conn->in_epoll && conn->generation == (uint32_t)(data >> 32)) {
        request = conn->parked;
        epoll_ctl(watch->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
        conn->in_epoll = false;
        atomic_store(&request->left, true);
        if (!move(request, WAIT_SUSPENDED, WAIT_LEAVING))
            request = NULL;
    }
    pl_mutex_unlock(&watch->lock);
    if (!request)
        return;
    if (request->gone)
        request->gone(&request->public);
    if (!move(request, WAIT_LEAVING, WAIT_SUSPENDED))
        unpark(request);
}

static void resume_locked(struct server_watch *watch, struct server_conn *conn)
{
    struct MHD_Connection *connection = conn->parked->connection;

    unpark_locked(watch, conn);
    MHD_resume_connection(connection);
}

/* The time of a parked request has come. */
static void expire_locked(struct server_watch *watch, struct server_conn *conn)
{
    struct http_request *request = conn->parked;

    heap_remove(watch, conn);
    if (move(request, WAIT_SUSPENDED, WAIT_EXPIRED))
        resume_locked(watch, conn);
    /* else it is resumed this moment: the other side takes the rest off */
}

/* Ends the waits whose time has come; the milliseconds to the next one. */
static int expire(struct server_watch *watch)
{
    int64_t now = server_now_ms(), wait = WATCH_SWEEP_MS;

    pl_mutex_lock(&watch->lock);
    while (watch->n_heap) {
        struct server_conn *conn = watch->heap[0];

        if (conn->deadline > now) {
            wait = conn->deadline - now < wait ? conn->deadline - now : wait;
            break;
        }
        expire_locked(watch, conn);
    }
    pl_mutex_unlock(&watch->lock);
    return (int)wait;
}

static int64_t phase_limit(enum conn_phase phase)
{
    switch (phase) {
    case PHASE_NEW:
    case PHASE_HEADERS:
        return SERVER_HEADERS_MS;
    case PHASE_BODY:
        return SERVER_BODY_MS;
    case PHASE_IDLE:
        return SERVER_IDLE_MS;
    case PHASE_ANSWER:
        break;
    }
    return INT64_MAX;
}

/* Cuts connections that dawdle. Sent byte by byte, a head would else keep its place for ever. */
static void sweep(struct server_watch *watch)
{
    int64_t now = server_now_ms();

    pl_mutex_lock(&watch->lock);
    for (int fd = 0; fd < watch->top; fd++) {
        struct server_conn *conn = &watch->conns[fd];

        if (conn->open && now - atomic_load(&conn->since) > phase_limit(atomic_load(&conn->phase)))
            shutdown(conn->fd, SHUT_RDWR);
    }
    pl_mutex_unlock(&watch->lock);
}

static void *watch_main(void *arg)
{
    struct server_watch *watch = arg;
    struct epoll_event events[WATCH_EVENTS];
    int64_t swept = server_now_ms();

    while (!atomic_load(&watch->stop)) {
        int n = epoll_wait(watch->epoll, events, WATCH_EVENTS, expire(watch));

        for (int i = 0; i < n; i++) {
            uint64_t rung;

            if (events[i].data.u64 != WATCH_BELL)
                client_left(watch, events[i].data.u64);
            else if (read(watch->bell, &rung, sizeof rung) < 0)
                continue;
        }
        if (server_now_ms() - swept >= WATCH_SWEEP_MS) {
            sweep(watch);
            swept = server_now_ms();
        }
    }
    return NULL;
}

/* ---- connections ---- */

struct server_conn *server_watch_open(struct server_watch *watch, int fd)
{
    struct server_conn *conn;

    if (fd < 0 || (size_t)fd >= watch->n_conns)
        return NULL;
    conn = &watch->conns[fd];
    pl_mutex_lock(&watch->lock);
    conn->fd = fd;
    conn->open = true;
    conn->handed = false;
    if (fd >= watch->top)
        watch->top = fd + 1;
    server_conn_phase(conn, PHASE_NEW);
    pl_mutex_unlock(&watch->lock);
    return conn;
}

void server_watch_close(struct server_watch *watch, struct server_conn *conn)
{
    pl_mutex_lock(&watch->lock);
    conn->open = false;
    pl_mutex_unlock(&watch->lock);
}

void server_conn_phase(struct server_conn *conn, enum conn_phase phase)
{
    atomic_store(&conn->since, server_now_ms());
    atomic_store(&conn->phase, phase);
}

size_t server_watch_parked(struct server_watch *watch)
{
    size_t parked;

    pl_mutex_lock(&watch->lock);
    parked = watch->parked;
    pl_mutex_unlock(&watch->lock);
    return parked;
}

void server_watch_end_waits(struct api_server *server)
{
    struct server_watch *watch = &server->watch;

    pl_mutex_lock(&watch->lock);
    for (int fd = 0; fd < watch->top; fd++) {
        struct server_conn *conn = &watch->conns[fd];

        if (conn->parked && conn->parked->expirable &&
            move(conn->parked, WAIT_SUSPENDED, WAIT_EXPIRED))
            resume_locked(watch, conn);
    }
    pl_mutex_unlock(&watch->lock);
}

/* ---- start and stop ---- */

enum pl_code server_watch_start(struct api_server *server, size_t descriptors, struct pl_err *err)
{
    struct server_watch *watch = &server->watch;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WATCH_BELL};

    watch->n_conns = descriptors;
    watch->conns = calloc(descriptors, sizeof *watch->conns);
    watch->heap = calloc(descriptors, sizeof(struct server_conn *));
    if (!watch->conns || !watch->heap)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    watch->epoll = epoll_create1(EPOLL_CLOEXEC);
    watch->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->epoll < 0 || watch->bell < 0 ||
        epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->bell, &event) != 0)
        return pl_err_set(err, PL_ERR_IO, "cannot watch descriptors: %s", strerror(errno));
    watch->running = pl_thread_start(&watch->thread, "plait-watch", watch_main, watch);
    return watch->running ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "cannot start a thread");
}

void server_watch_stop(struct api_server *server)
{
    struct server_watch *watch = &server->watch;

    if (watch->running) {
        atomic_store(&watch->stop, true);
        ring(watch);
        pthread_join(watch->thread, NULL);
        watch->running = false;
    }
    if (watch->epoll >= 0)
        close(watch->epoll);
    if (watch->bell >= 0)
        close(watch->bell);
    watch->epoll = watch->bell = -1;
    free(watch->conns);
    free(watch->heap);
    watch->conns = NULL;
    watch->heap = NULL;
}
