/* stream.c - an answer that goes on: bytes from a source as they come, in chunks. See request.h.
 * Not events (service/events/event_stream.h) and not whose turn it is (stream_threads.c).
 *
 * A stream leaves libmicrohttpd: its socket is duplicated, the request ends there without an answer
 * (with MHD_USE_TURBO the library then closes its descriptor and does nothing else to the
 * connection), and a thread of stream_threads.c writes head and body. So a reader that waits costs
 * its few hundred bytes here and not the library's memory of a connection, which holds the
 * request's headers to the end, and to wake one does not make the library look at all that wait. */
#include "api/server_private.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STREAM_READ = 16 << 10, /* about how much is asked of the source at once */
    STREAM_TURN = 64 << 10, /* about how much one sends before others have their turn */
    STREAM_MAX = 96 << 20,  /* one read's result: one event may hold a run's whole output */
    CHUNK_HEAD = 10,        /* "5ffffff\r\n" and what is to spare */
    LOG_TARGET = 256,       /* of a target in the log, at most */
};

/* ---- bytes out ---- */

/* Sends what the socket takes of a text; how much. -1: the client has gone. */
static ssize_t send_some(struct api_stream *stream, const char *data, size_t len)
{
    size_t sent = 0;

    while (sent < len) {
        ssize_t n = send(stream->fd, data + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0)
            return -1;
        sent += (size_t)n;
    }
    if (sent) {
        stream->last = server_now_ms();
        stream->sent_any = true;
    }
    return (ssize_t)sent;
}

/* What was kept before. */
static enum stream_turn flush(struct api_stream *stream)
{
    ssize_t n = send_some(stream, stream->out.data + stream->sent, stream->out.len - stream->sent);

    if (n < 0)
        return STREAM_GONE;
    stream->sent += (size_t)n;
    if (stream->sent < stream->out.len)
        return STREAM_BLOCKED;
    pl_buf_finish(&stream->out); /* an idle reader holds no buffer */
    stream->sent = 0;
    return STREAM_IDLE;
}

/* Sends the text and keeps what the socket does not take. */
static enum stream_turn put(struct api_stream *stream, const struct pl_buf *text)
{
    ssize_t n = send_some(stream, text->data, text->len);

    if (n < 0)
        return STREAM_GONE;
    if ((size_t)n == text->len)
        return STREAM_IDLE;
    pl_buf_append(&stream->out, text->data + n, text->len - (size_t)n);
    return pl_buf_failed(&stream->out) ? STREAM_GONE : STREAM_BLOCKED;
}

/* ---- chunks ---- */

/* Room for a chunk's head, behind what is there; where the chunk begins. */
static size_t chunk_begin(const struct api_stream *stream, struct pl_buf *out)
{
    size_t at = out->len;

    if (stream->chunked)
        pl_buf_append(out, "\0\0\0\0\0\0\0\0\0", CHUNK_HEAD);
    return at;
}

/* Makes a chunk of what was appended since; nothing of nothing. */
static void chunk_end(const struct api_stream *stream, struct pl_buf *out, size_t at)
{
    char head[CHUNK_HEAD + 1];
    size_t len, head_len;

    if (!stream->chunked || pl_buf_failed(out))
        return;
    len = out->len - at - CHUNK_HEAD;
    head_len = len ? (size_t)snprintf(head, sizeof head, "%zx\r\n", len) : 0;
    memmove(out->data + at + head_len, out->data + at + CHUNK_HEAD, len);
    memcpy(out->data + at, head, head_len);
    out->len = at + head_len + len;
    if (len)
        pl_buf_text(out, "\r\n");
}

/* ---- a turn ---- */

/* Appends what the source has, as a chunk, and the end if this is it. */
static void read_source(struct api_stream *stream, bool stopping, struct pl_buf *out)
{
    size_t at = chunk_begin(stream, out), from = out->len;
    int more;

    atomic_store(&stream->called, false); /* who calls from now on is heard */
    more = stream->source.read(stream->arg, STREAM_READ, out);
    /* what had happened before the stop has been told when nothing more comes */
    stream->ended = more < 0 || (stopping && out->len == from);
    chunk_end(stream, out, at);
    if (stream->ended && stream->chunked)
        pl_buf_text(out, "0\r\n\r\n");
}

enum stream_turn stream_serve(struct api_stream *stream, bool stopping, struct pl_buf *scratch)
{
    enum stream_turn turn = STREAM_IDLE;
    size_t bytes = 0;

    if (stream->sent_any && stream->out.len)
        turn = flush(stream);
    while (turn == STREAM_IDLE && !stream->ended && bytes < STREAM_TURN) {
        pl_buf_reset(scratch);
        if (!stream->sent_any) { /* the head goes out with what is there already */
            pl_buf_str(scratch, pl_buf_view(&stream->out));
            pl_buf_finish(&stream->out);
        }
        read_source(stream, stopping, scratch);
        if (pl_buf_failed(scratch)) /* half an event is worse than a cut: the client comes again
                                       with its Last-Event-ID */
            return STREAM_GONE;
        if (scratch->len == 0)
            return STREAM_IDLE;
        bytes += scratch->len;
        turn = put(stream, scratch);
    }
    if (turn != STREAM_IDLE)
        return turn;
    return stream->ended ? STREAM_OVER : STREAM_AGAIN;
}

enum stream_turn stream_beat(struct api_stream *stream, struct pl_buf *scratch)
{
    size_t at;

    pl_buf_reset(scratch);
    at = chunk_begin(stream, scratch);
    pl_buf_text(scratch, stream->lines ? "\n" : ": still here\n\n");
    chunk_end(stream, scratch, at);
    return pl_buf_failed(scratch) ? STREAM_GONE : put(stream, scratch);
}

/* ---- the end ---- */

static void log_stream(const struct api_stream *stream, bool whole)
{
    struct log_context context = {.request = stream->id};
    int64_t took = pl_monotonic_us() - stream->started_us;

    if (stream->note)
        log_info(&context, "HTTP-REQUEST", "%s 200, %lld.%03lld ms%s", stream->note,
                 (long long)(took / 1000), (long long)(took % 1000),
                 whole ? "" : ", not to its end");
}

void stream_close_source(struct api_stream *stream)
{
    if (stream->source.close)
        stream->source.close(stream->arg);
    stream->source.close = NULL;
}

void stream_destroy(struct api_stream **stream)
{
    struct api_stream *gone = *stream;

    if (!gone)
        return;
    *stream = NULL;
    stream_close_source(gone);
    atomic_fetch_sub(&gone->server->streams, 1);
    if (gone->fd >= 0) {
        log_stream(gone, gone->ended);
        server_drop_input(gone->fd);
        close(gone->fd);
        atomic_fetch_sub(&gone->server->connections, 1);
        atomic_fetch_sub(&gone->server->requests, 1);
    }
    pl_buf_finish(&gone->out);
    free(gone->note);
    free(gone);
}

/* ---- the beginning ---- */

static void keep_note(struct api_stream *stream, const struct http_request *request)
{
    size_t len = request->target.len < LOG_TARGET ? request->target.len : LOG_TARGET;

    snprintf(stream->id, sizeof stream->id, "%s", request->public.id);
    if (!log_enabled(LOG_LEVEL_INFO))
        return;
    stream->note = malloc(request->public.method.len + len + 2);
    if (stream->note) /* else the log lacks a line */
        snprintf(stream->note, request->public.method.len + len + 2, "%.*s %.*s",
                 PL_STR_ARG(request->public.method), (int)len, request->target.ptr);
}

static struct api_stream *make_stream(struct http_request *request, const char *content_type,
                                      const struct api_stream_source *source, void *arg)
{
    struct api_stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return NULL;
    stream->server = request->public.server;
    stream->source = *source;
    stream->arg = arg;
    stream->fd = -1;
    stream->last = server_now_ms();
    stream->started_us = request->started_us;
    stream->thread = stream_threads_pick(stream->server);
    stream->lines = strncasecmp(content_type, "text/event-stream", 17) != 0;
    stream->chunked = !request->old;
    keep_note(stream, request);
    pl_buf_init(&stream->out, STREAM_MAX);
    if (!stream->lines) /* nginx and its like must not gather what they pass on */
        api_add_header(&request->public, "X-Accel-Buffering", "no");
    reply_head(request, content_type, stream->chunked, &stream->out);
    return stream;
}

struct api_stream *api_stream(struct api_request *request, const char *content_type,
                              const struct api_stream_source *source, void *arg)
{
    struct http_request *http = http_request_of(request);
    struct api_stream *stream;

    if (pl_str_is(request->method, "HEAD")) {
        source->close(arg);
        reply_finish(
            http, 200, content_type,
            MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT));
        return NULL;
    }
    stream = make_stream(http, content_type, source, arg);
    if (!stream) {
        struct pl_err err;

        source->close(arg);
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
        api_reply_problem(request, &err, NULL);
        return NULL;
    }
    atomic_fetch_add(&request->server->streams, 1);
    http->stream = stream;
    return stream;
}

bool stream_launch(struct http_request *request)
{
    struct api_stream *stream = request->stream;
    struct api_server *server = stream->server;
    int fd = pl_buf_failed(&stream->out) ? -1 : fcntl(request->conn->fd, F_DUPFD_CLOEXEC, 0);
    int on = 1, off = 0;

    request->stream = NULL;
    if (fd < 0) {
        struct pl_err err;

        stream_destroy(&stream);
        pl_err_set(&err, PL_ERR_OVER_CAPACITY, "no descriptor is left for a stream");
        api_reply_problem(&request->public, &err, NULL);
        return false;
    }
    /* the library may have held back the end of an earlier answer for more to come */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stream->fd = fd;
    request->conn->handed = true; /* the connection goes on counting, here */
    request->handed = true;
    request->status = 200;
    atomic_fetch_add(&server->requests, 1);
    atomic_fetch_add(&server->answered[2], 1);
    stream_threads_add(stream);
    return true;
}
