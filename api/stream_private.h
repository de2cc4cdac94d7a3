/* stream_private.h - what stream.c (one stream and its bytes), stream_threads.c (whose turn it is)
 * and the server (its beginning and end) share. Not for handlers (request.h). */
#ifndef PLAIT_API_STREAM_PRIVATE_H
#define PLAIT_API_STREAM_PRIVATE_H

#include "api/request.h"
#include "base/list.h"

#include <stdatomic.h>

struct http_request;
struct stream_thread;

/* A stream. Its thread's, unless said; before the launch the request's. */
struct api_stream {
    struct stream_thread *thread; /* set once */
    struct api_server *server;    /* set once */
    struct api_stream_source source;
    void *arg;
    int fd;               /* its own of the connection; -1: not launched */
    struct pl_list inbox; /* guarded by the thread's lock */
    bool launched;        /* guarded by the thread's lock */
    atomic_bool called;   /* since the source was last read */
    struct pl_list place; /* by the time of the last bytes */
    struct pl_list turn;  /* waits for its turn */
    int64_t due;          /* monotonic ms: the turn, when held */
    int64_t last;         /* monotonic ms of the last bytes */
    struct pl_buf out;    /* what the socket has not taken */
    size_t sent;          /* of `out` */
    bool chunked, lines;  /* lines: NDJSON, a heartbeat is an empty line */
    bool sent_any, ended, is_blocked, watched, waiting;
    int64_t started_us;
    char *note; /* for the log; may be NULL */
    char id[64];
};

/* What became of a turn. */
enum stream_turn {
    STREAM_IDLE,    /* nothing is left to send now */
    STREAM_BLOCKED, /* the socket takes no more */
    STREAM_AGAIN,   /* there is more; others first */
    STREAM_OVER,    /* the end has been sent */
    STREAM_GONE,    /* the client left, or memory ran out: to be cut */
};

/* ---- stream.c ---- */

/* Gives the request's stream to its thread: the request is then to be ended without an answer.
 * False: there is an answer after all. */
bool stream_launch(struct http_request *request) PL_MUST_CHECK;
/* Sends what the source has, for one turn; `scratch` is the thread's. `stopping`: and then the end.
 */
enum stream_turn stream_serve(struct api_stream *stream, bool stopping, struct pl_buf *scratch);
/* Sends a heartbeat. */
enum stream_turn stream_beat(struct api_stream *stream, struct pl_buf *scratch);
/* Nobody calls the stream after this. Once, or more often. */
void stream_close_source(struct api_stream *stream);
/* Closes source and connection, frees. Nulls; accepts NULL. */
void stream_destroy(struct api_stream **stream);

/* ---- stream_threads.c ---- */

/* Errors: NO_MEMORY, IO. */
enum pl_code stream_threads_start(struct api_server *server, unsigned count,
                                  struct pl_err *err) PL_MUST_CHECK;
/* Tells the streams that the server stops (`stopping` is set): each sends what there is and ends.
 */
void stream_threads_end(struct api_server *server);
/* Cuts the streams that are left and ends the threads. Nobody adds one any more. */
void stream_threads_stop(struct api_server *server);
struct stream_thread *stream_threads_pick(struct api_server *server);
/* A launched stream gets its first turn. */
void stream_threads_add(struct api_stream *stream);

#endif
