/* run_body.h - the JSON body that starts a run, read and checked: all problems at once, each with
 * its pointer. Not the compiling of the workflow nor the check of the input against its schema:
 * run_create.c asks the engine for those. Pure; any thread. */
#ifndef PLAIT_API_HANDLERS_RUN_BODY_H
#define PLAIT_API_HANDLERS_RUN_BODY_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "service/budget.h"
#include "service/workflow/doc.h"

enum {
    RUN_BODY_THREAD_MAX = 256,       /* bytes of a thread's id */
    RUN_BODY_METADATA_MAX = 16 << 10 /* bytes of metadata, as JSON without white space */
};

/* Strings live in the arena or in the body. */
struct run_body {
    struct pl_str reference; /* workflow as "name" or "name@version"; empty: it is an object */
    struct pl_str document;  /* workflow as an object: its JSON */
    unsigned line, column;   /* where the document begins in the body */
    struct pl_str input;     /* JSON; empty: none given */
    struct pl_str thread;    /* or empty */
    struct pl_str metadata;  /* a JSON object or empty */
    pl_ms timeout;           /* 0: none given */
    struct budget budget;    /* zeroes: none given */
    bool stream, background;
    bool cancel_on_disconnect;
};

/* Reads a body. `workflow` false: the path names the workflow, the body may not (and may be empty).
 * Errors: INVALID_JSON (one problem, with line and column), INVALID_ARGUMENT (see problems),
 * NO_MEMORY. After INVALID_ARGUMENT *ret_body holds what could be read, so that a check may go on
 * and report everything at once. */
enum pl_code run_body_parse(struct pl_arena *arena, struct pl_str text, bool workflow,
                            struct run_body *ret_body, struct doc_problems *problems,
                            struct pl_err *err) PL_MUST_CHECK;

/* True for "name" and "name@version" as workflows are stored. */
bool run_body_is_reference(struct pl_str text);
/* True for the name of a stored workflow. */
bool run_body_is_name(struct pl_str text);

enum { RUN_BODY_PRINT = 65 }; /* a fingerprint with its NUL */
/* A hash of what a checked body asks for: `stream` and `background` do not count, neither does the
 * order of the top-level keys. False when out of memory. */
bool run_body_fingerprint(struct pl_str text, char out[static RUN_BODY_PRINT]);

#endif
