/* sse_parse.h - an event stream (text/event-stream) as bytes in, events out. Not a connection and
 * not the meaning of the events: providers ask that. Bytes may be cut anywhere, inside a character
 * or between CR and LF. One thread at a time. */
#ifndef PLAIT_SERVICE_LLM_SSE_PARSE_H
#define PLAIT_SERVICE_LLM_SSE_PARSE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

/* Borrowed for the length of the callback. */
struct sse_event {
    struct pl_str name; /* `event:`; empty: a message */
    struct pl_str data; /* the lines joined by LF */
    struct pl_str id;   /* the last `id:` of the stream so far */
    bool unterminated;  /* the stream ended before the empty line: it may be cut */
};

/* A code other than OK ends the feeding with it. */
typedef enum pl_code (*sse_event_fn)(void *arg, const struct sse_event *event, struct pl_err *err);

/* Caller memory. Fields are private. */
struct sse_parser {
    struct pl_buf line, name, data, id;
    unsigned bom;  /* bytes of a byte order mark seen; 4: past the stream's start */
    bool skip_lf;  /* the last byte was CR */
    bool has_data; /* a data line was there, if only an empty one */
};

void sse_init(struct sse_parser *parser);
void sse_finish(struct sse_parser *parser);

/* Takes a piece; calls `event` for each event that is complete.
 * Errors: RESPONSE_TOO_LARGE (a line over PL_LIMIT_SSE_LINE_BYTES, an event over
 * PL_LIMIT_RESPONSE_BYTES), NO_MEMORY, whatever `event` returned. */
enum pl_code sse_feed(struct sse_parser *parser, struct pl_str piece, sse_event_fn event, void *arg,
                      struct pl_err *err) PL_MUST_CHECK;

/* The stream is over: gives out an event that lacks its empty line, marked unterminated. Errors: as
 * sse_feed. */
enum pl_code sse_end(struct sse_parser *parser, sse_event_fn event, void *arg,
                     struct pl_err *err) PL_MUST_CHECK;

#endif
