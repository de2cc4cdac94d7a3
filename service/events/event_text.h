/* event_text.h - one event as the text a reader gets: an SSE event or a line of NDJSON. Not where
 * events come from (event_stream.c). Pure: any thread. The same event gives the same bytes whether
 * it was stored or is live. */
#ifndef PLAIT_SERVICE_EVENTS_EVENT_TEXT_H
#define PLAIT_SERVICE_EVENTS_EVENT_TEXT_H

#include "base/buf.h"
#include "base/clock.h"
#include "service/events/event_stream.h"

enum { EVENT_OUTPUT_BYTES = 64 << 10 }; /* a longer output is left out */

struct event_text {
    struct pl_str run_id;
    int64_t seq; /* 0: not durable, has no id */
    pl_ms at;
    struct pl_str type, path; /* path empty: a run event */
    int64_t attempt;
    struct pl_str data;   /* JSON object whose members go in, or empty */
    struct pl_str output; /* JSON, or absent */
    struct pl_str run;    /* the run object, or absent */
    bool delta, snapshot;
    struct pl_str text; /* a delta's */
    struct pl_str made; /* what event_text_data gave before; absent: to be made */
};

/* Appends its data alone, one line of JSON. Failure shows in the buffer. */
void event_text_data(const struct event_text *event, struct pl_buf *out);
/* Appends it. Failure shows in the buffer. */
void event_text_write(const struct event_text *event, enum event_format format, struct pl_buf *out);

/* Does a comma separated list name the type ("step.failed", "step.*")? An empty list names all. */
bool event_text_type_in(struct pl_str list, struct pl_str type);
/* Does a comma separated list of paths name the path, or a step it stands in? An empty one: yes. */
bool event_text_path_in(struct pl_str list, struct pl_str path);

#endif
