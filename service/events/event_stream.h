/* event_stream.h - the events of one run for one reader: what is stored first, then live, without a
 * gap and without a repeat. Not the transport (api/sse) and not the bus, which it stands on. Used
 * by the HTTP server and by tests; one thread at a time.
 *
 * It subscribes, then reads the store, then waits (in that order, so nothing falls between). A
 * reader that fell behind and lost events on the bus reads them from the store. Deltas are never
 * stored: a reader that comes late gets one step.delta a step that is streaming, with the text so
 * far and "snapshot":true. */
#ifndef PLAIT_SERVICE_EVENTS_EVENT_STREAM_H
#define PLAIT_SERVICE_EVENTS_EVENT_STREAM_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct engine;
struct event_stream;

enum event_format { EVENT_SSE, EVENT_NDJSON };

struct event_stream_options {
    struct pl_str tenant, run;
    int64_t after;       /* the last seq seen; 0: from the first */
    bool fresh;          /* the run was started just now: what is stored is looked at only where the
                            bus says that something was missed, so text of quick calls is there too */
    struct pl_str types; /* comma separated, "step.*" matches a family; empty: all */
    struct pl_str steps; /* comma separated paths, each matches whole segments; run events always
                            pass; empty: all */
    enum event_format format;
    size_t max_queue;        /* events kept for a slow reader before it reads the store; 0: 256 */
    void (*wake)(void *arg); /* something may be there to read; any thread, only signals */
    void *arg;
};

/* Errors: NOT_FOUND (no such run of the tenant), IO, NO_MEMORY. */
enum pl_code event_stream_open(struct engine *engine, const struct event_stream_options *options,
                               struct event_stream **ret_stream, struct pl_err *err) PL_MUST_CHECK;
/* After it returns `wake` is not called any more. Nulls; accepts NULL. */
void event_stream_close(struct event_stream **stream);

enum event_stream_state {
    EVENT_STREAM_MORE,
    EVENT_STREAM_WAIT,
    EVENT_STREAM_END,
    EVENT_STREAM_FAILED
};

/* Appends whole rendered events until `out` holds about `want` bytes or nothing is left now. WAIT:
 * call again after `wake`; END: the run's last event has been appended; FAILED: the store could not
 * be read, see err (STORE_CORRUPT, IO, NO_MEMORY, TOO_LARGE). `data` is one line of JSON with
 * run_id, seq, at, type, and for step events path, attempt, and what the event carries; an output
 * over 64 KiB is left out ("output_omitted":true); the run's last event carries the run. SSE: "id:
 * SEQ" on durable events only, "event: TYPE", "data: ...". */
enum event_stream_state event_stream_read(struct event_stream *stream, size_t want,
                                          struct pl_buf *out, struct pl_err *err);

#endif
