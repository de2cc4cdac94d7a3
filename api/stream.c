/* stream.c - an answer that goes on: bytes from a source as they come. See request.h. Not events
 * (service/event_stream.h).
 *
 * libmicrohttpd's reader must never return 0 without a suspend: it would be called again at once,
 * for ever. So: the wait is MARKED, then the source is read; what is woken from then on moves
 * MARKED away, and the parking fails; else the connection is suspended. Nothing is lost between the
 * two, and nobody spins. */
#include "api/server_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    STREAM_READ = 16 << 10, /* about how much is asked of the source at once */
    STREAM_MAX = 96 << 20,  /* one read's result: one event may hold a run's whole output */
    STREAM_BLOCK = 256,     /* libmicrohttpd's buffer for HTTP/1.0, where nothing is chunked */
};

static ssize_t take(struct api_stream *stream, char *to, size_t max)
{
    size_t n = stream->out.len - stream->sent;

    if (n > max) { /* a piece ends with a line, where one fits: kinder to naive readers */
        const char *end = memrchr(stream->out.data + stream->sent, '\n', max);

        n = end ? (size_t)(end - (stream->out.data + stream->sent)) + 1 : max;
    }
    memcpy(to, stream->out.data + stream->sent, n);
    stream->sent += n;
    stream->last = server_now_ms();
    stream->sent_any = true;
    if (stream->sent == stream->out.len) {
        /* an idle reader holds no buffer */
        pl_buf_finish(&stream->out);
        stream->sent = 0;
    }
    return (ssize_t)n;
}

/* Reads the source until it has nothing. True: there is something to send or to end. */
static bool fill(struct api_stream *stream)
{
    struct http_request *request = stream->request;
    int more;

    atomic_store(&request->wait, WAIT_MARKED);
    more = stream->source.read(stream->arg, STREAM_READ, &stream->out);
    if (pl_buf_failed(&stream->out)) {
        /* half an event is worse than a cut: the client comes again with its Last-Event-ID */
        pl_buf_finish(&stream->out);
        atomic_store(&request->left, true);
        return true;
    }
    stream->ended = more < 0;
    return stream->ended || stream->out.len > 0;
}

static bool heartbeat(struct api_stream *stream)
{
    if (server_now_ms() - stream->last < SERVER_HEARTBEAT_MS)
        return false;
    pl_buf_text(&stream->out, stream->lines ? "\n" : ": still here\n\n");
    return !pl_buf_failed(&stream->out);
}

static ssize_t stream_read(void *cls, uint64_t pos, char *to, size_t max)
{
    struct api_stream *stream = cls;
    struct http_request *request = stream->request;

    (void)pos;
    for (;;) {
        bool ready, stopping;

        if (stream->sent < stream->out.len)
            return take(stream, to, max);
        if (atomic_load(&request->left))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (stream->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        stopping = atomic_load(&request->public.server->stopping);
        ready = fill(stream) || (!stopping && heartbeat(stream));
        if (ready) {
            atomic_store(&request->wait, WAIT_IDLE);
            continue;
        }
        if (stopping) /* what had happened before has been told */
            return MHD_CONTENT_READER_END_OF_STREAM;
        request->wait_until = stream->last + SERVER_HEARTBEAT_MS;
        request->held_until = stream->sent_any && stream->last + SERVER_GATHER_MS > server_now_ms()
                                  ? stream->last + SERVER_GATHER_MS
                                  : 0;
        if (server_park(request))
            return 0;
        atomic_store(&request->wait, WAIT_IDLE); /* woken, or the server stops: look again */
    }
}

static void stream_gone(struct api_request *request)
{
    server_wake(http_request_of(request));
}

static void nothing_to_free(void *cls)
{
    (void)cls; /* stream_end does it, at the end of the request */
}

void stream_end(struct api_stream *stream)
{
    if (!stream)
        return;
    stream->source.close(stream->arg);
    atomic_fetch_sub(&stream->request->public.server->streams, 1);
    pl_buf_finish(&stream->out);
    free(stream);
}

static struct api_stream *make_stream(struct http_request *request, const char *content_type,
                                      const struct api_stream_source *source, void *arg)
{
    struct api_stream *stream = calloc(1, sizeof *stream);
    struct MHD_Response *response;

    if (!stream)
        return NULL;
    stream->request = request;
    stream->source = *source;
    stream->arg = arg;
    stream->last = server_now_ms();
    stream->lines = strncasecmp(content_type, "text/event-stream", 17) != 0;
    pl_buf_init(&stream->out, STREAM_MAX);
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read,
                                                 stream, nothing_to_free);
    if (!response) {
        free(stream);
        return NULL;
    }
    if (!stream->lines) /* nginx and its like must not gather what they pass on */
        api_add_header(&request->public, "X-Accel-Buffering", "no");
    reply_finish(request, 200, content_type, response);
    return stream;
}

struct api_stream *api_stream(struct api_request *request, const char *content_type,
                              const struct api_stream_source *source, void *arg)
{
    struct http_request *http = http_request_of(request);
    struct api_stream *stream;

    if (pl_str_is(request->method, "HEAD")) { /* the library would send the body all the same */
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
    http->resumed = NULL;
    http->gone = stream_gone;
    http->expirable = true;
    return stream;
}

void api_stream_wake(struct api_stream *stream)
{
    server_wake(stream->request);
}
