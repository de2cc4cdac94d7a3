/* http_probe.h - one http_call as a test sees it: started from the test's thread, waited for,
 * everything that came kept. Not a client for anything else. */
#ifndef PLAIT_TESTS_SUPPORT_HTTP_PROBE_H
#define PLAIT_TESTS_SUPPORT_HTTP_PROBE_H

#include "service/net/http_call.h"

#include <semaphore.h>

/* Where the probe ends its own call. */
enum http_probe_abort { HTTP_PROBE_RUNS, HTTP_PROBE_ABORTS_IN_HEAD, HTTP_PROBE_ABORTS_IN_DATA };

struct http_probe {
    /* set by the test before start */
    struct http_request request;
    enum http_probe_abort abort_in;
    enum pl_code refuse;           /* what `data` answers, PL_OK as a rule */
    struct http_probe *abort_with; /* another probe to abort when this one ends */

    /* read by the test after wait */
    struct http_outcome outcome;
    struct pl_buf body;
    unsigned heads, pieces, dones;
    int head_status;
    char content_type[64]; /* in head */
    pl_ms retry_after;     /* in done */
    int64_t aborted_at;    /* pl_monotonic_us when http_call_abort was called */

    /* private */
    struct loop *loop;
    struct http_call *call; /* loop thread only */
    struct loop_mail start, stop;
    sem_t done;
    char url[256];
};

/* GET http://127.0.0.1:port/path on `loop`, trusted. */
void http_probe_init(struct http_probe *probe, struct loop *loop, unsigned port, const char *path);
void http_probe_start(struct http_probe *probe);
/* Until `done` was called; aborts the process after twenty seconds. */
void http_probe_wait(struct http_probe *probe);
/* Aborts the call from its loop, unless it is over. Any thread; once. */
void http_probe_abort(struct http_probe *probe);
void http_probe_finish(struct http_probe *probe);
/* init, start and wait. */
void http_probe_get(struct http_probe *probe, struct loop *loop, unsigned port, const char *path);

#endif
