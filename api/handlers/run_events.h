/* run_events.h - answers a request with the events of a run, from the stored ones to the last. Not
 * which events (service/event_stream) nor how bytes get out (api_stream). Called by run_create.c
 * and events.c on HTTP threads. */
#ifndef PLAIT_API_HANDLERS_RUN_EVENTS_H
#define PLAIT_API_HANDLERS_RUN_EVENTS_H

#include "api/request.h"
#include "service/events/event_stream.h"

struct run_reader;

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

/* The same in two parts, for a run that has just been started: nothing of it is missed from the
 * first on. NULL when out of memory. The answer takes the reader, forget throws it away. */
struct run_reader *run_events_follow(struct api_request *request,
                                     const struct run_events_options *options);
void run_events_go_on(struct api_request *request, const struct run_events_options *options,
                      struct run_reader **reader);
void run_events_forget(struct run_reader **reader); /* nulls; accepts NULL */

#endif
