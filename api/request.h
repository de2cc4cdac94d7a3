/* request.h - one HTTP request as a handler sees it: what was asked, and the ways to answer. Not
 * libmicrohttpd (server.c hides it) and not what is answered (handlers/). Handlers run on an HTTP
 * thread and must not block: a commit is waited for by suspending.
 *
 * A handler answers exactly once: api_reply*, or api_stream, now or after api_suspend. After
 * api_suspend returns, the request belongs to whoever will call api_resume, once, from any thread;
 * then `resumed` is called on the HTTP thread and answers (or suspends again). A client that leaves
 * while suspended: `gone` is called once on another thread (if given), after which api_resume must
 * still be called to let the request end. */
#ifndef PLAIT_API_REQUEST_H
#define PLAIT_API_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "service/workflow/doc.h"

struct engine;
struct api_server;
struct api_route;

enum { API_PARAMS_MAX = 4 };

struct api_request {
    struct api_server *server;
    struct engine *engine;
    struct pl_arena *arena; /* lives until the answer has been sent */
    const struct api_route *route;
    struct pl_str method, path;           /* path: decoded, checked */
    struct pl_str params[API_PARAMS_MAX]; /* what {…} of the pattern matched, in order */
    struct pl_str body;                   /* whole; empty when there was none */
    struct pl_str tenant;                 /* whose data it may see */
    char id[64]; /* x-request-id: the client's when it is sane, else made */
    void *state; /* the handler's */
    void (*state_free)(
        void *state); /* called when the request ends, also when the client left; may be NULL */
};

/* A header by name, any case; a query parameter, decoded. Absent: empty ptr NULL. In the arena or
 * the connection. */
struct pl_str api_header(const struct api_request *request, const char *name);
struct pl_str api_query(const struct api_request *request, const char *name);
/* Every query parameter in turn, for `metadata.K=`: false when there is no more. *at starts at 0.
 */
bool api_query_next(const struct api_request *request, size_t *at, struct pl_str *ret_name,
                    struct pl_str *ret_value);

/* ---- answering ---- */

/* Adds a header to the answer that follows; name and value are checked (no controls). Copies. */
void api_add_header(struct api_request *request, const char *name, const char *fmt, ...)
    PL_PRINTF(3, 4);
/* Answers with a JSON body; takes the buffer's bytes. */
void api_reply_json(struct api_request *request, int status, struct pl_buf *body);
/* Any other type. Takes the bytes. */
void api_reply(struct api_request *request, int status, const char *content_type,
               struct pl_buf *body);
void api_reply_empty(struct api_request *request, int status);
/* application/problem+json from the error table; `problems` (may be NULL) become "errors":
 * [{pointer, detail, line?, column?}]. 429 and 503 carry Retry-After. */
void api_reply_problem(struct api_request *request, const struct pl_err *err,
                       const struct doc_problems *problems);

/* ---- waiting ---- */

void api_suspend(struct api_request *request, void (*resumed)(struct api_request *request),
                 void (*gone)(struct api_request *request));
void api_resume(struct api_request *request);
/* As api_suspend, and `resumed` is called after `wait` milliseconds at the latest, whether or not
 * api_resume came (it must not come after that: api_expired(request) tells, atomically, who was
 * first). wait < 0: no limit. */
void api_suspend_for(struct api_request *request, int64_t wait,
                     void (*resumed)(struct api_request *request),
                     void (*gone)(struct api_request *request));
/* True when the wait ran out and api_resume has not been (and need not be) called. Only meaningful
 * inside `resumed`. */
bool api_expired(const struct api_request *request);

/* ---- streaming ---- */

/* Where a stream's bytes come from. All on HTTP threads unless said. */
struct api_stream_source {
    /* Appends what is there, about `want` bytes. 1: appended, 0: nothing now (api_stream_wake will
     * be called), -1: the end. */
    int (*read)(void *arg, size_t want, struct pl_buf *out);
    /* The stream is over (sent, or the client has gone); frees arg. Nothing of it is called
     * afterwards. */
    void (*close)(void *arg);
};
struct api_stream;
/* Answers 200 with a chunked body; a comment line (SSE) or an empty line (NDJSON) every 15 s keeps
 * proxies awake. Returns the stream for waking; it lives until `close`. NULL when there is no
 * stream (HEAD, or out of memory): then close has been called and the answer given. */
struct api_stream *api_stream(struct api_request *request, const char *content_type,
                              const struct api_stream_source *source, void *arg);
/* Something is there to read. Any thread, any time until close has been called; cheap when the
 * stream is not waiting. */
void api_stream_wake(struct api_stream *stream);

#endif
