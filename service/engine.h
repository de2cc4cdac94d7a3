/* engine.h - the engine as the outside sees it: the only header of service/ that api/ needs beside
 * engine_answer.h and engine_threads.h (which go on from here), workflow.h (to check a file), doc.h
 * (problems), bus.h (events) and config.h. Not HTTP and not the terminal.
 *
 * The life of a run: engine_start_run checks the input, gives the run an id and posts it to its
 * home loop; there run_exec feeds run_core, whose effects become model calls and HTTP requests on
 * the loops (steps/, llm/), rows and events in the store (one batch an activation, group-committed
 * by the writer thread), and, once durable, events on the bus. What did not finish when the process
 * died is loaded from its rows by engine_resume_run, or by all of them at start
 * (engine_options.adopt). The way through the code:
 *
 *   engine.c -> run_exec.c -> run_core.c -> run_exec.c -> storage/store.c (commit) -> bus.c
 *                                                      -> run_calls.c -> steps/llm.c -> llm/ ->
 * http_call.c -> loop.c
 *
 * Threads: every function may be called from any thread but a loop's, unless it says otherwise. */
#ifndef PLAIT_SERVICE_ENGINE_H
#define PLAIT_SERVICE_ENGINE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/value.h"
#include "service/events/bus.h"
#include "service/workflow/doc.h"
#include "service/workflow/workflow.h"
#include "storage/store.h" /* struct store_run_filter, for lists */

struct engine;
struct providers;
struct net_policy;
struct secrets;
struct tape;

struct engine_options {
    const char *db;                  /* "sqlite:PATH" */
    pl_ms retry_writes_for;          /* a full disk: how long to keep trying; negative: for ever */
    unsigned loops;                  /* 0: one a core */
    unsigned readers;                /* store connections for reading; 0: one */
    struct providers *providers;     /* borrowed, outlives the engine */
    const struct net_policy *policy; /* of http steps; borrowed */
    const struct secrets *secrets;   /* which they may name; borrowed; NULL: none */
    struct tape *tape; /* the calls of its one run are recorded on it, or played back; NULL: no */
    size_t max_step_output;       /* bytes; 0: PL_LIMIT_STEP_OUTPUT_BYTES */
    unsigned max_runs;            /* runs going on at once, the rest is refused; 0: 10,000 */
    size_t max_branches;          /* items of all maps of a run; 0: PL_LIMIT_BRANCHES */
    bool adopt;                   /* go on with every unfinished run of the store */
    const struct pl_clock *clock; /* NULL: the real one */
    bool until_exit; /* engine_destroy is the last that the process does: pool_until_exit */
};

/* Opens the store, starts the loops, adopts runs when asked.
 * Errors: those of store_open and pool_create; of adopting only memory (a run that cannot be loaded
 * is logged and left). */
enum pl_code engine_create(const struct engine_options *options, struct engine **ret_engine,
                           struct pl_err *err) PL_MUST_CHECK;

/* Takes no new runs, starts no new calls, lets those in flight finish for `drain` milliseconds and
 * records them, then aborts the rest. When it returns no run is going on; what is unfinished stays
 * unfinished in the store. Blocks. */
void engine_drain(struct engine *engine, pl_ms drain);
/* Drains, then closes everything. Blocks. Nulls; accepts NULL. */
void engine_destroy(struct engine **engine, pl_ms drain);
/* Ends a drain early; async-signal-unsafe, any thread. */
void engine_stop_draining(struct engine *engine);

/* How a run ended. Borrowed during the callback. */
struct engine_end {
    const char *run_id;
    struct pl_str status; /* "succeeded", "failed", "cancelled"; "interrupted": the engine stopped
                             before its end */
    struct pl_value *output, *error;
    struct pl_err store_err; /* not OK: its end could not be recorded */
};

/* The models it calls and their prices; borrowed. Any thread. */
const struct providers *engine_providers(const struct engine *engine);

struct engine_run_request {
    struct pl_str tenant;
    struct workflow *workflow;   /* referenced */
    struct pl_str input;         /* JSON text, not yet checked against the schema; empty: {} */
    struct pl_str thread;        /* or empty */
    struct pl_str metadata;      /* JSON object or empty */
    const char *id;              /* NULL: a new one */
    struct pl_str workflow_name; /* what it is stored under; empty: the name in the document */
    int64_t workflow_version;    /* of a stored workflow; 0: none */
    pl_ms timeout;               /* running time, in place of the workflow's own; 0: none given */
    struct budget budget;        /* beside the workflow's own; zeroes: none given */
    bool deltas;                 /* somebody may read text as it arrives: ask models for streams */
    /* Idempotency-Key of a route, with a hash of the body; empty: none. Only
     * engine_start_or_join_run looks at them. */
    struct pl_str key_route, key, key_fingerprint;
    /* Called once, after the commit of the end; on the run's loop, must not block. May be NULL. */
    void (*on_end)(void *arg, const struct engine_end *end);
    /* Called once when the run's row is durable: from then on its id may be shown. On the run's
     * loop. May be NULL. */
    void (*on_recorded)(void *arg, const char *run_id);
    void *arg;
};

/* Starts a run and copies its id (ret_id may be the memory of request->id). Errors:
 * INVALID_ARGUMENT (a budget of money, and a model without a price), INVALID_JSON, INVALID_INPUT
 * (see problems), SHUTTING_DOWN, NO_MEMORY, NO_SPACE and what else store_health says.
 */
enum pl_code engine_start_run(struct engine *engine, const struct engine_run_request *request,
                              char ret_id[PL_ID_TEXT], struct doc_problems *problems,
                              struct pl_err *err) PL_MUST_CHECK;

/* Goes on with an unfinished run of the store. Of the request only tenant, id and callbacks are
 * used. Errors: PROVIDER_UNKNOWN (a model it may yet call has no provider here: the run stays as it
 * is), NOT_FOUND, CONFLICT (it is over, or running here already), STORE_CORRUPT, IO, NO_MEMORY,
 * SHUTTING_DOWN. */
enum pl_code engine_resume_run(struct engine *engine, const struct engine_run_request *request,
                               struct pl_err *err) PL_MUST_CHECK;

/* Cancels a run, or one step of it (`path` not empty). Returns at once. Errors: NOT_FOUND (not
 * running here), NO_MEMORY. */
enum pl_code engine_cancel(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                           struct pl_str path, struct pl_err *err) PL_MUST_CHECK;
/* Cancels an unfinished run of the store that does not go on here: it is loaded for that, whatever
 * it needed is not looked for, and no call of it is made. Errors: as engine_resume_run, without
 * PROVIDER_UNKNOWN. */
enum pl_code engine_cancel_left(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                struct pl_err *err) PL_MUST_CHECK;

/* Runs that are going on here. */
size_t engine_running(struct engine *engine);
/* The same without those that wait for a person, or for their turn, and for nothing else. */
size_t engine_going(struct engine *engine);

/* Where to watch runs. */
struct bus *engine_bus(struct engine *engine);

/* Appends the run object of the REST API (contract: "Run") as compact JSON; with `steps` a member
 * "steps" lists every step that began. Errors: those of store_get_run, TOO_LARGE (the buffer's
 * cap); then what was appended is not whole. */
enum pl_code engine_write_run(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                              bool steps, struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

/* The definition a stored run is pinned to, for showing its branches. Errors: as
 * store_get_definition. One reference is yours. */
enum pl_code engine_run_workflow(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                 struct workflow **ret_workflow, struct pl_err *err) PL_MUST_CHECK;

void engine_store_stats(struct engine *engine, struct store_stats *ret_stats);

/* ---- for the service (HTTP) ---- */

/* engine_start_run for requests that may have an idempotency key. *ret_joined: the key was known,
 * ret_id is the run it belongs to (it may be going on or over), and no callback of this request is
 * called. Does not block: CONFLICT says that another request is starting the key's run; try again
 * in the time of a commit. Without a workflow (NULL) it only joins: NOT_FOUND when the key is free.
 * Errors: also KEY_REUSED (another body), LIMIT_EXCEEDED (max_runs). */
enum pl_code engine_start_or_join_run(struct engine *engine,
                                      const struct engine_run_request *request,
                                      char ret_id[PL_ID_TEXT], bool *ret_joined,
                                      struct doc_problems *problems,
                                      struct pl_err *err) PL_MUST_CHECK;

/* Calls `on_end` once when the run is over and durable: at once (on this thread) when it is
 * already. `on_end` and `arg` must live until then or until engine_unwatch_end. The token is never
 * 0 when the callback is still to come. Errors: NOT_FOUND. */
enum pl_code engine_watch_end(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                              void (*on_end)(void *arg), void *arg, uint64_t *ret_token,
                              struct pl_err *err) PL_MUST_CHECK;
/* After it returns the callback will not be called (any more). Token 0: nothing. Not from the
 * callback. */
void engine_unwatch_end(struct engine *engine, uint64_t token);

/* One page of a tenant's runs as {"data":[run...],"has_more":bool,"next":id or null}. Runs that are
 * damaged are not in it but beside it: "damaged":[{"id","status","error"}...], where there are any.
 */
enum pl_code engine_write_runs(struct engine *engine, struct pl_str tenant,
                               const struct store_run_filter *filter, size_t limit,
                               struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

/* One page of a run's steps, the same list shape; `prefix` matches whole path segments, `status`
 * one status word. */
struct engine_step_filter {
    struct pl_str status, prefix, after;
};
enum pl_code engine_write_steps(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                const struct engine_step_filter *filter, size_t limit,
                                struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

/* Told on another thread (store writer), must not block. */
typedef void (*engine_done_fn)(void *arg, enum pl_code code, const struct pl_err *err);

/* Deletes a run that is over. Told through `done`. Errors there: NOT_FOUND, CONFLICT (it is not
 * over). */
void engine_delete_run(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                       engine_done_fn done, void *arg);

/* Stored workflows. `done` gets the version and whether it is new. if_version as in store_op. */
struct engine_workflow_put {
    struct pl_str tenant, name;
    struct workflow *workflow; /* compiled; its text and hash are stored */
    int64_t if_version;
    void (*done)(void *arg, enum pl_code code, int64_t version, bool created,
                 const struct pl_err *err);
    void *arg;
};
void engine_put_workflow(struct engine *engine, const struct engine_workflow_put *put);
void engine_delete_workflow(struct engine *engine, struct pl_str tenant, struct pl_str name,
                            int64_t if_version, engine_done_fn done, void *arg);
/* A stored workflow by "name" or "name@version", compiled (and cached by content), the workflows it
 * calls by name pinned as they are now; one reference is yours. Errors: NOT_FOUND, INVALID_WORKFLOW
 * (what it calls has changed so that it cannot run), STORE_CORRUPT, IO, NO_MEMORY. */
enum pl_code engine_get_workflow(struct engine *engine, struct pl_str tenant,
                                 struct pl_str reference, struct workflow **ret_workflow,
                                 int64_t *ret_version, pl_ms *ret_created_at,
                                 struct pl_err *err) PL_MUST_CHECK;
/* The list shape; items {"name","version","hash","created_at"}. */
enum pl_code engine_write_workflows(struct engine *engine, struct pl_str tenant,
                                    struct pl_str after, size_t limit, struct pl_buf *out,
                                    struct pl_err *err) PL_MUST_CHECK;

/* A definition sent with a request. */
struct engine_text {
    struct pl_str tenant; /* whose stored workflows it may call by name */
    struct pl_str text;
    enum doc_format format;
    struct pl_str name; /* what it is about to be stored under, so that a circle through it is seen;
                           empty: nothing */
};
/* Compiles it, through a cache by content: the same text again costs a hash. May wait for jq.
 * Errors as workflow_compile. One reference is yours. */
enum pl_code engine_compile(struct engine *engine, const struct engine_text *text,
                            struct workflow **ret_workflow,
                            struct doc_problems *problems) PL_MUST_CHECK;

/* Is the engine able to take runs? Errors: what store_health says, SHUTTING_DOWN. */
enum pl_code engine_health(struct engine *engine, struct pl_err *err);

#endif
