/* run_events.c - between an event_stream, which knows what to say, and an api_stream, which says
 * it. See run_events.h.
 *
 * The event stream may call for attention before the answer has begun; `called` keeps that until
 * there is somebody to wake. */
#include "api/handlers/run_events.h"

#include "api/handlers/answers.h"
#include "base/log.h"
#include "service/engine.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { FIRST_BYTES = 16 << 10 };

/* How long an EventSource waits before it connects again, milliseconds. */
#define SSE_RETRY "retry: 1000\n\n"

struct run_reader {
    struct engine *engine;
    struct event_stream *events;
    _Atomic(struct api_stream *) stream;
    atomic_bool called;
    struct pl_buf first; /* what was read to see whether there is anything */
    bool ended;          /* the last event has been read */
    bool cancel;
    size_t tenant_len;
    char run[PL_ID_TEXT], tenant[]; /* for cancelling */
};

static void reader_wake(void *arg)
{
    struct run_reader *reader = arg;
    struct api_stream *stream = atomic_load(&reader->stream);

    if (stream)
        api_stream_wake(stream);
    else
        atomic_store(&reader->called, true);
}

/* Appends events; true while more may come. */
static bool reader_fill(struct run_reader *reader, size_t want, struct pl_buf *out,
                        struct pl_err *err)
{
    switch (event_stream_read(reader->events, want, out, err)) {
    case EVENT_STREAM_MORE:
    case EVENT_STREAM_WAIT:
        return true;
    case EVENT_STREAM_END:
        reader->ended = true;
        return false;
    case EVENT_STREAM_FAILED:
        break;
    }
    log_error(&(struct log_context){.run = reader->run}, "EVENTS-UNREADABLE",
              "the events of a run cannot be read; a stream of them was cut: %s", err->message);
    reader->cancel = false; /* it is not the client that left */
    return false;
}

static int reader_read(void *arg, size_t want, struct pl_buf *out)
{
    struct run_reader *reader = arg;
    size_t before = out->len;
    bool more = !reader->ended;
    struct pl_err err = {0};

    if (reader->first.len) {
        pl_buf_str(out, pl_buf_view(&reader->first));
        pl_buf_finish(&reader->first);
    } else if (more) {
        more = reader_fill(reader, want, out, &err);
    }
    if (out->len > before)
        return 1;
    return more ? 0 : -1;
}

static void reader_close(void *arg)
{
    struct run_reader *reader = arg;
    struct pl_err err = {0};

    event_stream_close(&reader->events);
    /* NOT_FOUND: it is over, or this process stops and will go on with it later */
    if (reader->cancel && !reader->ended &&
        engine_cancel(reader->engine, pl_str_n(reader->tenant, reader->tenant_len),
                      pl_str(reader->run), (struct pl_str){0}, &err) == PL_OK)
        log_info(&(struct log_context){.run = reader->run}, "RUN-LEFT",
                 "its reader left; the run is cancelled, as it asked");
    pl_buf_finish(&reader->first);
    free(reader);
}

static struct run_reader *reader_create(struct api_request *request,
                                        const struct run_events_options *options)
{
    struct pl_str tenant = request->tenant;
    struct run_reader *reader = calloc(1, sizeof *reader + tenant.len + 1);

    if (!reader)
        return NULL;
    reader->engine = request->engine;
    reader->cancel = options->cancel;
    reader->tenant_len = tenant.len;
    if (tenant.len)
        memcpy(reader->tenant, tenant.ptr, tenant.len);
    memcpy(reader->run, options->run.ptr, options->run.len);
    pl_buf_init(&reader->first, SIZE_MAX / 2);
    return reader;
}

/* Reads what is there at once: the first bytes then go out with the head of the answer, and what is
 * wrong can still be said. False: the request has been answered. */
static bool reader_begin(struct api_request *request, const struct run_events_options *options,
                         struct run_reader *reader)
{
    struct pl_err err = {0};
    bool more, some;
    size_t before;

    if (options->format == EVENT_SSE)
        pl_buf_text(&reader->first, SSE_RETRY);
    before = reader->first.len;
    more = reader_fill(reader, FIRST_BYTES, &reader->first, &err);
    some = reader->first.len > before;
    if (pl_buf_failed(&reader->first)) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return false;
    }
    if (!some && !more && !reader->ended) {
        answers_error(request, err.code, "the events cannot be read: %s", err.message);
        return false;
    }
    if (!some && !more && options->format == EVENT_SSE && options->reconnected) {
        api_reply_empty(request, 204);
        return false;
    }
    return true;
}

static void reader_answer(struct api_request *request, const struct run_events_options *options,
                          struct run_reader *reader)
{
    static const struct api_stream_source source = {.read = reader_read, .close = reader_close};
    const char *type = options->format == EVENT_SSE ? "text/event-stream" : "application/x-ndjson";
    struct api_stream *stream = api_stream(request, type, &source, reader);

    if (!stream)
        return;
    atomic_store(&reader->stream, stream);
    if (atomic_load(&reader->called))
        api_stream_wake(stream);
}

void run_events_forget(struct run_reader **reader)
{
    struct run_reader *gone = *reader;

    *reader = NULL;
    if (!gone)
        return;
    gone->cancel = false;
    reader_close(gone);
}

static enum pl_code reader_open(struct api_request *request,
                                const struct run_events_options *options, bool fresh,
                                struct run_reader **ret_reader, struct pl_err *err)
{
    struct run_reader *reader = reader_create(request, options);
    const struct event_stream_options asked = {
        .tenant = request->tenant,
        .run = options->run,
        .after = options->after,
        .fresh = fresh,
        .types = options->types,
        .steps = options->steps,
        .format = options->format,
        .wake = reader_wake,
        .arg = reader,
    };
    enum pl_code code;

    if (!reader)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = event_stream_open(request->engine, &asked, &reader->events, err);
    if (code != PL_OK)
        run_events_forget(&reader);
    *ret_reader = reader;
    return code;
}

void run_events_go_on(struct api_request *request, const struct run_events_options *options,
                      struct run_reader **reader)
{
    if (reader_begin(request, options, *reader))
        reader_answer(request, options, *reader);
    else
        run_events_forget(reader);
    *reader = NULL;
}

struct run_reader *run_events_follow(struct api_request *request,
                                     const struct run_events_options *options)
{
    struct run_reader *reader = NULL;

    return reader_open(request, options, true, &reader, NULL) == PL_OK ? reader : NULL;
}

void run_events_answer(struct api_request *request, const struct run_events_options *options)
{
    struct run_reader *reader = NULL;
    struct pl_err err = {0};

    if (options->run.len >= PL_ID_TEXT)
        answers_error(request, PL_ERR_NOT_FOUND, "there is no such run");
    else if (reader_open(request, options, false, &reader, &err) != PL_OK)
        api_reply_problem(request, &err, NULL);
    else
        run_events_go_on(request, options, &reader);
}
