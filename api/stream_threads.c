/* stream_threads.c - a few threads that serve the streams: whose turn it is, who was called, whose
 * client left, who has been silent for too long. Not what a stream sends (stream.c) and not
 * requests that wait for one answer (server_watch.c). Called by stream.c and server.c.
 *
 * A stream stays on the thread it was given to. On it a stream is on one of two lists, each in the
 * order of their last bytes: `quiet` (a heartbeat is due some time after) or `blocked` (the client
 * takes nothing: cut some time after). One that has been called is on the inbox, then gets its
 * turn, or is held a few milliseconds when it has just had one, so that bytes gather. */
#include "api/server_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS = 64, BATCH = 64, SCRATCH_KEPT = 256 << 10, SCRATCH_MAX = 100 << 20 };

struct stream_thread {
    struct pl_mutex lock;
    struct pl_list inbox; /* launched or called; guarded by lock */
    bool rung;            /* the bell was rung since the inbox was looked at; guarded by lock */
    atomic_bool stop;
    pthread_t thread;
    bool running;
    int epoll, bell; /* set once */
    struct api_server *server;
    /* the thread only */
    struct pl_list quiet, blocked;
    struct pl_list held;  /* by `due` */
    struct pl_list ready; /* had a turn, and have more to send */
    struct pl_buf scratch;
    bool ending;
};

static void ring(struct stream_thread *thread)
{
    uint64_t one = 1;
    ssize_t done = write(thread->bell, &one, sizeof one);

    (void)done; /* a full counter has rung already */
}

/* ---- from other threads ---- */

/* `launch`: the first time; before it a call is only remembered, and the first turn looks. */
static void post(struct stream_thread *thread, struct api_stream *stream, bool launch)
{
    bool rings = false;

    pl_mutex_lock(&thread->lock);
    stream->launched = stream->launched || launch;
    if (stream->launched && !pl_list_linked(&stream->inbox)) {
        pl_list_append(&thread->inbox, &stream->inbox);
        rings = !thread->rung;
        thread->rung = true;
    }
    pl_mutex_unlock(&thread->lock);
    if (rings)
        ring(thread);
}

struct stream_thread *stream_threads_pick(struct api_server *server)
{
    return &server->stream_threads[atomic_fetch_add(&server->next_stream, 1) %
                                   server->n_stream_threads];
}

void stream_threads_add(struct api_stream *stream)
{
    atomic_store(&stream->called, true);
    post(stream->thread, stream, true);
}

void api_stream_wake(struct api_stream *stream)
{
    if (!atomic_exchange(&stream->called, true))
        post(stream->thread, stream, false);
}

void stream_threads_end(struct api_server *server)
{
    for (unsigned i = 0; i < server->n_stream_threads; i++)
        ring(&server->stream_threads[i]);
}

/* ---- turns ---- */

static void set_waiting(struct api_stream *stream, bool waiting)
{
    if (waiting && !stream->waiting)
        atomic_fetch_add(&stream->server->streams_waiting, 1);
    else if (!waiting && stream->waiting)
        atomic_fetch_sub(&stream->server->streams_waiting, 1);
    stream->waiting = waiting;
}

/* After its source is closed nobody calls it; then it is on no list but ours. */
static void drop(struct stream_thread *thread, struct api_stream *stream)
{
    set_waiting(stream, false);
    stream_close_source(stream);
    pl_mutex_lock(&thread->lock);
    pl_list_remove(&stream->inbox);
    pl_mutex_unlock(&thread->lock);
    pl_list_remove(&stream->place);
    pl_list_remove(&stream->turn);
    /* closing does not do it while libmicrohttpd has its descriptor of the socket */
    if (stream->watched)
        epoll_ctl(thread->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
    stream_destroy(&stream);
}

/* Files the stream by what became of its turn. `last`: of its bytes, before. */
static void settle(struct stream_thread *thread, struct api_stream *stream, enum stream_turn turn,
                   int64_t last)
{
    struct pl_list *place = turn == STREAM_BLOCKED ? &thread->blocked : &thread->quiet;

    if (turn == STREAM_OVER || turn == STREAM_GONE) {
        drop(thread, stream);
        return;
    }
    if (stream->last != last || stream->is_blocked != (turn == STREAM_BLOCKED) ||
        !pl_list_linked(&stream->place)) {
        pl_list_remove(&stream->place);
        pl_list_append(place, &stream->place);
    }
    stream->is_blocked = turn == STREAM_BLOCKED;
    if (turn == STREAM_AGAIN && !pl_list_linked(&stream->turn))
        pl_list_append(&thread->ready, &stream->turn);
    set_waiting(stream, turn == STREAM_IDLE);
}

static void serve(struct stream_thread *thread, struct api_stream *stream)
{
    int64_t last = stream->last;
    enum stream_turn turn;

    pl_list_remove(&stream->turn);
    turn = stream_serve(stream, thread->ending, &thread->scratch);
    if (thread->scratch.capacity > SCRATCH_KEPT)
        pl_buf_finish(&thread->scratch);
    settle(thread, stream, turn, last);
}

/* Edges: one when it can be written again, one when the client leaves; and at once one of each that
 * is so already. */
static bool watch(struct stream_thread *thread, struct api_stream *stream)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = stream};

    stream->watched = true;
    return epoll_ctl(thread->epoll, EPOLL_CTL_ADD, stream->fd, &event) == 0;
}

static void called(struct stream_thread *thread, struct api_stream *stream, int64_t now)
{
    if (!stream->watched && !watch(thread, stream)) {
        drop(thread, stream);
    } else if (stream->is_blocked || pl_list_linked(&stream->turn)) {
        return; /* it reads when it can send; its turn is to come anyway */
    } else if (!thread->ending && stream->sent_any && stream->last + SERVER_GATHER_MS > now) {
        stream->due = stream->last + SERVER_GATHER_MS;
        pl_list_append(&thread->held, &stream->turn);
    } else {
        serve(thread, stream);
    }
}

static void take_inbox(struct stream_thread *thread)
{
    struct api_stream *batch[BATCH];
    size_t n;

    do {
        int64_t now = server_now_ms();

        pl_mutex_lock(&thread->lock);
        thread->rung = false;
        for (n = 0; n < BATCH; n++) {
            struct pl_list *link = pl_list_pop(&thread->inbox);

            if (!link)
                break;
            batch[n] = pl_container_of(link, struct api_stream, inbox);
        }
        pl_mutex_unlock(&thread->lock);
        for (size_t i = 0; i < n; i++)
            called(thread, batch[i], now);
    } while (n == BATCH);
}

static void take_turns(struct stream_thread *thread)
{
    int64_t now = server_now_ms();
    const struct pl_list *until;

    while (!pl_list_empty(&thread->held)) {
        struct api_stream *stream = pl_container_of(thread->held.next, struct api_stream, turn);

        if (stream->due > now && !thread->ending)
            break;
        serve(thread, stream);
    }
    until = thread->ready.prev; /* who comes behind has had a turn now */
    for (bool last = pl_list_empty(&thread->ready); !last;) {
        struct pl_list *link = thread->ready.next;

        last = link == until;
        serve(thread, pl_container_of(link, struct api_stream, turn));
    }
}

/* ---- time ---- */

static int64_t quiet_until(const struct api_stream *stream)
{
    return stream->last + SERVER_HEARTBEAT_MS;
}

static int64_t blocked_until(const struct api_stream *stream)
{
    return stream->last + (int64_t)SERVER_SEND_SECONDS * 1000;
}

static struct api_stream *first_of(struct pl_list *list)
{
    return pl_list_empty(list) ? NULL : pl_container_of(list->next, struct api_stream, place);
}

static void watch_time(struct stream_thread *thread)
{
    int64_t now = server_now_ms();
    struct api_stream *stream;

    while ((stream = first_of(&thread->quiet)) && quiet_until(stream) <= now) {
        int64_t last = stream->last;

        settle(thread, stream, stream_beat(stream, &thread->scratch), last);
    }
    while ((stream = first_of(&thread->blocked)) && blocked_until(stream) <= now)
        drop(thread, stream);
}

static int time_left(struct stream_thread *thread)
{
    const struct api_stream *quiet = first_of(&thread->quiet);
    const struct api_stream *blocked = first_of(&thread->blocked);
    int64_t now = server_now_ms(), until = INT64_MAX;

    if (!pl_list_empty(&thread->ready))
        return 0;
    if (!pl_list_empty(&thread->held))
        until = pl_container_of(thread->held.next, struct api_stream, turn)->due;
    if (quiet && quiet_until(quiet) < until)
        until = quiet_until(quiet);
    if (blocked && blocked_until(blocked) < until)
        until = blocked_until(blocked);
    if (until == INT64_MAX)
        return -1;
    return until <= now ? 0 : (int)(until - now);
}

/* ---- the thread ---- */

/* The server stops: each sends what there is, and the end. */
static void begin_ending(struct stream_thread *thread)
{
    if (thread->ending || !atomic_load(&thread->server->stopping))
        return;
    thread->ending = true;
    PL_LIST_EACH(link, &thread->quiet)
    {
        struct api_stream *stream = pl_container_of(link, struct api_stream, place);

        if (!pl_list_linked(&stream->turn))
            pl_list_append(&thread->ready, &stream->turn);
    }
}

static void look_at(struct stream_thread *thread, const struct epoll_event *event)
{
    struct api_stream *stream = event->data.ptr;
    uint64_t rung;

    if (!stream) {
        if (read(thread->bell, &rung, sizeof rung) < 0)
            return; /* somebody else's interrupt: it rings on */
    } else if (event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        drop(thread, stream);
    } else if (stream->is_blocked) {
        serve(thread, stream);
    }
}

static void *thread_main(void *arg)
{
    struct stream_thread *thread = arg;
    struct epoll_event events[EVENTS];
    struct api_stream *stream;

    while (!atomic_load(&thread->stop)) {
        int n = epoll_wait(thread->epoll, events, EVENTS, time_left(thread));

        for (int i = 0; i < n; i++)
            look_at(thread, &events[i]);
        begin_ending(thread);
        take_inbox(thread);
        take_turns(thread);
        watch_time(thread);
    }
    begin_ending(thread);
    take_inbox(thread); /* each is on a list then */
    while ((stream = first_of(&thread->quiet)) || (stream = first_of(&thread->blocked)))
        drop(thread, stream);
    return NULL;
}

/* ---- start and stop ---- */

static enum pl_code thread_start(struct stream_thread *thread, struct pl_err *err)
{
    struct epoll_event event = {.events = EPOLLIN};

    thread->epoll = epoll_create1(EPOLL_CLOEXEC);
    thread->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->epoll < 0 || thread->bell < 0 ||
        epoll_ctl(thread->epoll, EPOLL_CTL_ADD, thread->bell, &event) != 0)
        return pl_err_set(err, PL_ERR_IO, "cannot watch descriptors: %s", strerror(errno));
    thread->running = pl_thread_start(&thread->thread, "plait-streams", thread_main, thread);
    return thread->running ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "cannot start a thread");
}

enum pl_code stream_threads_start(struct api_server *server, unsigned count, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    server->stream_threads = calloc(count, sizeof *server->stream_threads);
    if (!server->stream_threads)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    server->n_stream_threads = count;
    for (unsigned i = 0; i < count; i++) {
        struct stream_thread *thread = &server->stream_threads[i];

        thread->server = server;
        thread->epoll = thread->bell = -1;
        pl_mutex_init(&thread->lock);
        pl_list_init(&thread->inbox);
        pl_list_init(&thread->quiet);
        pl_list_init(&thread->blocked);
        pl_list_init(&thread->held);
        pl_list_init(&thread->ready);
        pl_buf_init(&thread->scratch, SCRATCH_MAX);
    }
    for (unsigned i = 0; i < count && code == PL_OK; i++)
        code = thread_start(&server->stream_threads[i], err);
    return code;
}

void stream_threads_stop(struct api_server *server)
{
    for (unsigned i = 0; i < server->n_stream_threads; i++) {
        struct stream_thread *thread = &server->stream_threads[i];

        if (thread->running) {
            atomic_store(&thread->stop, true);
            ring(thread);
            pthread_join(thread->thread, NULL);
        }
        if (thread->epoll >= 0)
            close(thread->epoll);
        if (thread->bell >= 0)
            close(thread->bell);
        pl_buf_finish(&thread->scratch);
        pl_mutex_finish(&thread->lock);
    }
    free(server->stream_threads);
    server->stream_threads = NULL;
    server->n_stream_threads = 0;
}
