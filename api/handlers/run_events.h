/* run_events.h - answers a request with the events of a run, from the stored ones to the last. Not
 * which events (service/event_stream) nor how bytes get out (api_stream). Called by run_create.c
 * and events.c on HTTP threads. */
#ifndef PLAIT_API_HANDLERS_RUN_EVENTS_H
#define PLAIT_API_HANDLERS_RUN_EVENTS_H

#include "api/request.h"
#include "service/events/event_stream.h"

struct run_events_options {
    struct pl_str run;
    int64_t after;       /* the last seq the client has */
    struct pl_str types; /* as event_stream_options */
    struct pl_str steps;
    enum event_format format;
    bool reconnected; /* an EventSource that has seen the last event is told to stop (204) */
    bool cancel;      /* cancel the run when the client leaves before its end */
};

/* Answers: the stream, 204, or a problem (404: no such run). */
void run_events_answer(struct api_request *request, const struct run_events_options *options);

#endif
