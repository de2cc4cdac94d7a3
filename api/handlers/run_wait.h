/* run_wait.h - one request that waits for one run: to be on disk, or to be over. Not the answer
 * (run_create.c, runs.c). The engine tells from its own threads, the client may leave at any
 * moment, the time may run out: here these meet, and the request is resumed exactly once.
 *
 * A wait is shared by its request and by the engine, which calls back until the run ends, long
 * after the request has gone. It is the request's state, freed when both have let go. */
#ifndef PLAIT_API_HANDLERS_RUN_WAIT_H
#define PLAIT_API_HANDLERS_RUN_WAIT_H

#include "api/request.h"
#include "base/clock.h"
#include "service/engine.h"

struct run_wait;

enum run_wait_until { RUN_WAIT_RECORDED, RUN_WAIT_END };

/* What is known of the run. */
struct run_wait_news {
    bool recorded;    /* its id may be shown */
    bool ended;       /* nothing more will come */
    bool interrupted; /* ended, but the run is not over: the engine stopped */
    bool left;        /* the client has gone: nobody will read the answer */
    struct pl_err store_err;
};

/* Makes the wait the request's state. `owner` is the handler's own state in the request's arena.
 * NULL when out of memory. */
struct run_wait *run_wait_create(struct api_request *request, void *owner);
/* The owner of a request that waits. */
void *run_wait_owner(const struct api_request *request);

/* For a run that is about to be started: sets the callbacks of the start. The engine then holds the
 * wait until the end. */
void run_wait_begin(struct run_wait *wait, struct engine_run_request *start);
/* The start failed, or joined another run: no callback will come. */
void run_wait_abandon(struct run_wait *wait);
/* For a run that is known already. Errors: NOT_FOUND. */
enum pl_code run_wait_watch(struct run_wait *wait, struct pl_str run_id,
                            struct pl_err *err) PL_MUST_CHECK;
/* The run to cancel when the client leaves while waiting; `run_id` lives in the request's arena. */
void run_wait_cancel_on_leave(struct run_wait *wait, struct pl_str run_id);

struct run_wait_news run_wait_news(struct run_wait *wait);
/* Suspends the request until it is so, the client leaves, or `limit` milliseconds have passed
 * (negative: no limit); then `resumed` is called. False when it is so already: nothing was done. */
bool run_wait_sleep(struct run_wait *wait, enum run_wait_until until, pl_ms limit,
                    void (*resumed)(struct api_request *request));
/* First in `resumed`: from here on nobody else resumes the request. */
void run_wait_woke(struct run_wait *wait);

#endif
