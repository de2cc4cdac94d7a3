/* event_stream.c - see event_stream.h.
 *
 *   REPLAY --(a page of the store is empty)--> LIVE --(gap, or a number left out)--> REPLAY
 *      |                                        |
 *      +---------(the run's last event, or there is nothing more to come)---------> ENDED
 *
 * It subscribes before it reads, so whatever is committed after a page was read is on its queue,
 * or the queue says that something is missing. Numbers have no gap: an event on the queue is either
 * known, or the next one, or a sign that the store knows more. When REPLAY ends, deltas that have
 * gathered belong to what was read; they are exchanged for the texts so far. */
#include "service/events/event_stream.h"

#include "service/engine_private.h"
#include "service/events/bus.h"
#include "service/events/event_shared.h"
#include "service/events/event_text.h"
#include "storage/store.h"

#include <stdlib.h>

enum {
    QUEUE = 256, /* events; a slower reader reads the store */
    PAGE = 64,
    RUN_BYTES = 256 << 20, /* of a run object on its way into the last event */
};

enum phase { PHASE_REPLAY, PHASE_LIVE, PHASE_ENDED };

struct event_stream {
    struct engine *engine;
    struct bus_subscriber *subscriber;
    enum phase phase;
    enum event_format format;
    int64_t after;                           /* the last number that was dealt with */
    bool puzzled;                            /* the store says there is more, and had none */
    struct pl_str tenant, run, types, steps; /* behind the struct */
    char text[];
};

/* ---- life ---- */

static struct pl_str keep(char **at, struct pl_str text)
{
    struct pl_str copy = {.ptr = *at, .len = text.len};

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static bool wants_soft(struct pl_str types)
{
    return event_text_type_in(types, PL_STR("step.delta")) ||
           event_text_type_in(types, PL_STR("run.progress"));
}

static struct event_stream *stream_create(struct engine *engine,
                                          const struct event_stream_options *options)
{
    size_t size = options->tenant.len + options->run.len + options->types.len + options->steps.len;
    struct event_stream *stream = calloc(1, sizeof *stream + size);
    char *at;

    if (!stream)
        return NULL;
    at = stream->text;
    stream->engine = engine;
    stream->format = options->format;
    stream->after = options->after;
    stream->phase = options->fresh ? PHASE_LIVE : PHASE_REPLAY;
    stream->tenant = keep(&at, options->tenant);
    stream->run = keep(&at, options->run);
    stream->types = keep(&at, options->types);
    stream->steps = keep(&at, options->steps);
    stream->subscriber =
        bus_subscribe(engine->bus, stream->run, options->max_queue ? options->max_queue : QUEUE,
                      wants_soft(stream->types), options->wake, options->arg);
    if (!stream->subscriber) {
        free(stream);
        return NULL;
    }
    return stream;
}

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

/* Reads the run's row, without its values. */
static enum pl_code read_run(struct event_stream *stream, struct store_run *ret_run,
                             struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    enum pl_code code;

    if (!arena)
        return no_memory(err);
    code = store_get_run(stream->engine->store, arena, stream->tenant, stream->run, ret_run, err);
    if (code == PL_OK)
        store_run_finish(ret_run);
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code event_stream_open(struct engine *engine, const struct event_stream_options *options,
                               struct event_stream **ret_stream, struct pl_err *err)
{
    struct event_stream *stream = stream_create(engine, options);
    struct store_run run;
    enum pl_code code = PL_OK;

    if (!stream)
        return no_memory(err);
    /* one that has just been started may not be in the store yet */
    if (!options->fresh && !engine_is_running(engine, stream->tenant, stream->run))
        code = read_run(stream, &run, err);
    if (code != PL_OK) {
        event_stream_close(&stream);
        return code;
    }
    *ret_stream = stream;
    return PL_OK;
}

void event_stream_close(struct event_stream **stream)
{
    if (!*stream)
        return;
    bus_unsubscribe(&(*stream)->subscriber);
    free(*stream);
    *stream = NULL;
}

/* ---- writing ---- */

static bool is_last(struct pl_str type)
{
    return pl_str_is(type, "run.succeeded") || pl_str_is(type, "run.failed") ||
           pl_str_is(type, "run.cancelled");
}

static bool passes(const struct event_stream *stream, struct pl_str type, struct pl_str path)
{
    return event_text_type_in(stream->types, type) &&
           (path.len == 0 || event_text_path_in(stream->steps, path));
}

/* The data of the run's last event, which carries the run as the store has it. */
static enum pl_code make_last(struct event_stream *stream, struct event_text *event,
                              struct pl_value **ret_made, struct pl_err *err)
{
    struct pl_buf run, data;
    enum pl_code code;

    pl_buf_init(&run, RUN_BYTES);
    pl_buf_init(&data, RUN_BYTES);
    code = engine_write_run(stream->engine, stream->tenant, stream->run, false, &run, err);
    if (code == PL_OK) {
        event->run = pl_buf_view(&run);
        event_text_data(event, &data);
        *ret_made = pl_value_take(&data);
        if (!*ret_made)
            code = no_memory(err);
    }
    pl_buf_finish(&data);
    pl_buf_finish(&run);
    return code;
}

/* Many readers of one run come to its end at once: the first makes it for all. */
static enum pl_code write_last(struct event_stream *stream, struct event_text *event,
                               struct pl_buf *out, struct pl_err *err)
{
    struct event_shared *shared = bus_shared(stream->engine->bus);
    struct pl_value *made = event_shared_get(shared, stream->run);
    enum pl_code code = PL_OK;

    if (!made) {
        code = make_last(stream, event, &made, err);
        if (code != PL_OK)
            return code;
        event_shared_put(shared, stream->run, made);
    }
    event->made = pl_value_text(made);
    event_text_write(event, stream->format, out);
    pl_value_unref(&made);
    return code;
}

/* Deals with the next durable event: written if it passes. */
static enum pl_code take_durable(struct event_stream *stream, struct event_text *event,
                                 struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    event->run_id = stream->run;
    if (is_last(event->type)) {
        if (passes(stream, event->type, event->path))
            code = write_last(stream, event, out, err);
        stream->phase = PHASE_ENDED;
    } else if (passes(stream, event->type, event->path)) {
        event_text_write(event, stream->format, out);
    }
    if (code == PL_OK)
        stream->after = event->seq;
    return code;
}

/* ---- from the store ---- */

static enum pl_code replay_event(struct event_stream *stream, struct pl_arena *arena,
                                 const struct store_event *row, struct pl_buf *out,
                                 struct pl_err *err)
{
    struct event_text event = {
        .seq = row->seq,
        .at = row->at,
        .type = row->type,
        .path = row->path,
        .attempt = row->attempt,
        .data = row->data,
    };
    struct store_step step = {0};
    enum pl_code code;

    if (pl_str_is(row->type, "step.succeeded") && passes(stream, row->type, row->path)) {
        code = store_get_step(stream->engine->store, arena, stream->tenant, stream->run, row->path,
                              &step, err);
        if (code != PL_OK)
            return code;
        event.output = pl_value_text(step.output);
    }
    code = take_durable(stream, &event, out, err);
    store_step_finish(&step);
    return code;
}

static void go_live(struct event_stream *stream)
{
    bus_resync(stream->subscriber);
    stream->phase = PHASE_LIVE;
}

/* Nothing more is stored. Will there be more? */
static enum pl_code end_replay(struct event_stream *stream, struct pl_err *err)
{
    struct store_run run;
    enum pl_code code;

    if (engine_is_running(stream->engine, stream->tenant, stream->run)) {
        go_live(stream);
        return PL_OK;
    }
    code = read_run(stream, &run, err);
    if (code == PL_ERR_NOT_FOUND) { /* deleted meanwhile */
        stream->phase = PHASE_ENDED;
        return PL_OK;
    }
    if (code != PL_OK)
        return code;
    if (run.last_seq > stream->after) { /* it went on between the page and now */
        bool puzzled = stream->puzzled;

        stream->puzzled = true;
        return puzzled ? pl_err_set(err, PL_ERR_STORE_CORRUPT,
                                    "the run's last events are not there: the database is damaged")
                       : PL_OK;
    }
    if (run.ended_at)
        stream->phase = PHASE_ENDED;
    else
        go_live(stream); /* it goes on nowhere at present */
    return PL_OK;
}

/* One page. */
static enum pl_code replay(struct event_stream *stream, size_t want, struct pl_buf *out,
                           struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_event *rows;
    size_t count = 0;
    enum pl_code code =
        arena ? store_list_events(stream->engine->store, arena, stream->tenant, stream->run,
                                  stream->after, PAGE, &rows, &count, err)
              : no_memory(err);

    if (code == PL_OK && count == 0)
        code = end_replay(stream, err);
    else
        stream->puzzled = false;
    /* what does not fit any more is read again */
    for (size_t i = 0;
         code == PL_OK && i < count && out->len < want && stream->phase == PHASE_REPLAY; i++)
        code = replay_event(stream, arena, &rows[i], out, err);
    pl_arena_destroy(&arena);
    return code;
}

/* ---- live ---- */

static void take_soft(struct event_stream *stream, const struct bus_event *from, struct pl_buf *out)
{
    bool delta = pl_str_is(from->type, "step.delta");
    struct event_text event = {
        .run_id = stream->run,
        .at = from->at,
        .type = from->type,
        .path = from->path,
        .attempt = from->attempt,
        .delta = delta,
        .snapshot = from->snapshot,
    };

    if (!passes(stream, from->type, from->path))
        return;
    *(delta ? &event.text : &event.data) = from->data;
    event_text_write(&event, stream->format, out);
}

static enum pl_code live_event(struct event_stream *stream, const struct bus_event *from,
                               struct pl_buf *out, struct pl_err *err)
{
    struct event_text event = {
        .seq = from->seq,
        .at = from->at,
        .type = from->type,
        .path = from->path,
        .attempt = from->attempt,
        .data = from->data,
    };

    if (from->seq <= stream->after)
        return PL_OK;
    if (from->seq > stream->after + 1) {
        stream->phase = PHASE_REPLAY;
        return PL_OK;
    }
    if (pl_str_is(from->type, "step.succeeded"))
        event.output = pl_value_text(from->output);
    return take_durable(stream, &event, out, err);
}

/* One event of the queue. *ret_none: there was none. */
static enum pl_code live(struct event_stream *stream, struct pl_buf *out, bool *ret_none,
                         struct pl_err *err)
{
    struct bus_event event;
    bool gap, there = bus_take(stream->subscriber, &event, &gap);

    *ret_none = !there && !gap;
    if (gap) {
        stream->phase = PHASE_REPLAY; /* which finds this event too, unless nothing does */
        if (there && event.seq == 0 && event.path.len == 0)
            take_soft(stream, &event, out);
        return PL_OK;
    }
    if (!there)
        return PL_OK;
    if (event.seq)
        return live_event(stream, &event, out, err);
    take_soft(stream, &event, out);
    return PL_OK;
}

/* ---- reading ---- */

enum event_stream_state event_stream_read(struct event_stream *stream, size_t want,
                                          struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = PL_OK;
    bool none = false;

    if (want <= out->len)
        want = out->len + 1;
    while (code == PL_OK && !none && out->len < want && stream->phase != PHASE_ENDED) {
        if (stream->phase == PHASE_REPLAY)
            code = replay(stream, want, out, err);
        else
            code = live(stream, out, &none, err);
        if (code == PL_OK && pl_buf_failed(out))
            code = no_memory(err);
    }
    if (code != PL_OK)
        return EVENT_STREAM_FAILED;
    if (stream->phase == PHASE_ENDED)
        return EVENT_STREAM_END;
    return none ? EVENT_STREAM_WAIT : EVENT_STREAM_MORE;
}
