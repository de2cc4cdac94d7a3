/* limits.h - every fixed limit of Plait, in one place, each with what happens when it is hit. Not
 * the limits an operator sets: those are in service/config. Hitting one is an error, never a hang.
 */
#ifndef PLAIT_BASE_LIMITS_H
#define PLAIT_BASE_LIMITS_H

enum {
    /* documents */
    PL_LIMIT_JSON_DEPTH = 64,          /* nesting; deeper is refused (invalid_json) */
    PL_LIMIT_DOCUMENT_BYTES = 8 << 20, /* a workflow or configuration file; too_large */
    PL_LIMIT_DOCUMENT_NODES = 1 << 20, /* values in one document, aliases expanded; too_large */
    PL_LIMIT_PROBLEMS = 200,           /* problems one check reports; the rest is counted */
    PL_LIMIT_STEPS = 100000,           /* steps written in one workflow; invalid_workflow */
    PL_LIMIT_BRANCHES = 1000000,       /* items of all maps of one run; too_large */
    PL_LIMIT_LIVE_STEPS = 50000,       /* steps of a run in memory, past which no map begins a
                                          second item at once: items of maps in maps multiply */
    PL_LIMIT_STEP_DEPTH = 16,          /* steps inside steps; invalid_workflow */
    PL_LIMIT_NAME = 64,                /* bytes of an id or name */
    PL_LIMIT_CHILDREN = 1000,       /* workflows one calls by name, and these; invalid_workflow */
    PL_LIMIT_CHILD_DEPTH = 16,      /* workflows that call workflows; invalid_workflow */
    PL_LIMIT_STATE_EDGES = 1000000, /* readers times writers of state; invalid_workflow */

    /* values */
    PL_LIMIT_VALUE_DEPTH = 200, /* nesting of what a step gives, sees or writes; too_large */
    PL_LIMIT_STEP_OUTPUT_BYTES = 4 << 20, /* one step's output; the step fails with too_large */
    PL_LIMIT_RUN_OUTPUT_BYTES = 64 << 20, /* a run's output; the run fails with too_large */
    PL_LIMIT_PROMPT_BYTES = 16 << 20,     /* one rendered text; the step fails with too_large */

    /* answers of servers */
    PL_LIMIT_REDIRECTS = 5,            /* followed by one http step; unexpected_status */
    PL_LIMIT_RESPONSE_BYTES = 8 << 20, /* decompressed body of one answer; response_too_large */
    PL_LIMIT_STREAM_BYTES = 16 << 20,  /* one whole event stream; response_too_large */
    PL_LIMIT_SSE_LINE_BYTES = 1 << 20, /* one line of an event stream; response_too_large */
    PL_LIMIT_HEADER_BYTES = 64 << 10,  /* response headers that are kept; the rest is dropped */

    /* requests to servers; over them the call fails with invalid_argument */
    PL_LIMIT_SENT_HEADER_BYTES = 64 << 10,   /* one header, name and value */
    PL_LIMIT_SENT_HEADERS_BYTES = 256 << 10, /* all of them */

    /* answers used again; what the database keeps of them is bounded in storage/store.h */
    PL_LIMIT_CACHE_MEMORY_BYTES = 64 << 20, /* in memory; those not used for longest go */

    /* the pool */
    PL_LIMIT_TRANSFERS_PER_MULTI = 1000, /* then the next curl multi handle is opened */
    PL_LIMIT_LOCAL_CALLS = 256,          /* calls of a run on its own loop; more spill to others */
    PL_LIMIT_LOOPS = 64,                 /* loops in one process */

    /* time, in milliseconds */
    PL_LIMIT_CONNECT_MS = 5000,
    PL_LIMIT_FIRST_BYTE_MS = 300000,
    PL_LIMIT_IDLE_MS = 120000,
    PL_LIMIT_ATTEMPT_MS = 600000,    /* an attempt whose step sets no timeout */
    PL_LIMIT_LANE_WAIT_MS = 3600000, /* a paused lane, where the step sets no deadline */
};

#endif
