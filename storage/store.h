/* store.h - durable facts: what service/ calls. Not SQL (drivers), not what a status means
 * (service/run_core).
 *
 * Writing is by batches: a batch is everything one activation of one run changes (its row, step
 * rows, events) and is committed whole or not at all. store_submit queues it and returns; the
 * writer thread commits everything queued in one transaction (group commit) and then tells each
 * batch's owner. Batches of one run commit in the order they were submitted. Reading is direct, on
 * a pool of reader connections, and sees every commit that was reported before the call.
 *
 * A transient failure (disk full, database locked) is retried with the queue kept, for as long as
 * `retry_for` says; after that, or on a fatal one (I/O error, damage), every queued and later batch
 * completes with that error and nothing more is written. store_health tells. */
#ifndef PLAIT_STORAGE_STORE_H
#define PLAIT_STORAGE_STORE_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "storage/records.h"

struct store;
struct store_batch;

struct store_options {
    const char *url;  /* "sqlite:PATH"; PATH may be relative */
    bool engine;      /* take the engine lock: only one engine runs on a store */
    unsigned readers; /* reader connections; 0: one */
    pl_ms retry_for;  /* transient write failures: how long to keep trying; negative: for ever */
};

/* Opens (creates, migrates) a store and starts its writer thread.
 * Errors: INVALID_ARGUMENT (the URL), STORE_LOCKED (another engine: the message names its process),
 * STORE_FOREIGN, STORE_NEWER, STORE_CORRUPT, IO, NO_SPACE, NO_MEMORY. */
enum pl_code store_open(const struct store_options *options, struct store **ret_store,
                        struct pl_err *err) PL_MUST_CHECK;

/* Commits what is queued, calls every completion, joins the writer, closes, releases the lock.
 * Nulls. May block for the last commit. Not from a completion. Accepts NULL. */
void store_close(struct store **store);

/* From now on a transient failure is tried again only as long as a store that is being closed
 * would, also with a negative `retry_for`: whoever waits for completions before closing does not
 * wait for ever. Any thread. */
void store_hurry(struct store *store);

/* PL_OK, or why writes fail at present. Any thread. */
enum pl_code store_health(struct store *store, struct pl_err *err);

/* ---- writing ---- */

/* An empty batch for one run. NULL when out of memory. Owned by the caller until submitted. */
struct store_batch *store_batch_create(struct pl_str tenant, struct pl_str run);
void store_batch_destroy(struct store_batch **batch); /* one that was not submitted; accepts NULL */

/* Each adds a row (insert or replace by key); strings are copied, values referenced. Memory failure
 * is sticky and reported at completion as NO_MEMORY (the batch is then not written at all). A row
 * put twice in one batch is written once, as put last. A step's memo and writes that are NULL leave
 * what is there. */
void store_batch_put_definition(struct store_batch *batch, struct pl_str hash, struct pl_str text);
void store_batch_put_run(struct store_batch *batch, const struct store_run *run);
void store_batch_put_step(struct store_batch *batch, const struct store_step *step);
void store_batch_put_event(struct store_batch *batch, const struct store_event *event);

/* What a thread remembers from now on: at most one thread a batch, state not NULL. */
void store_batch_put_thread(struct store_batch *batch, const struct store_thread *thread);

/* Binds an idempotency key of a route to the batch's run; `fingerprint` is a hash of the request's
 * body. */
void store_batch_put_key(struct store_batch *batch, struct pl_str route, struct pl_str key,
                         struct pl_str fingerprint);

/* Called once a submitted batch is durable (code PL_OK) or has failed for good; on the writer
 * thread; must not block nor call the store. `err` lives during the call. */
typedef void (*store_done_fn)(void *arg, enum pl_code code, const struct pl_err *err);

/* Hands the batch over (nulls it). `done` is always called, exactly once. Any thread; never blocks
 * on I/O. */
void store_submit(struct store *store, struct store_batch **batch, store_done_fn done, void *arg);

/* ---- single operations ----
 * Read, decide and write in one go on the writer thread, in the group transaction; told when
 * durable. */

enum store_op_kind {
    STORE_OP_PUT_WORKFLOW,    /* name, text, hash, if_version */
    STORE_OP_DELETE_WORKFLOW, /* name, if_version: CONFLICT while another one calls it by name */
    STORE_OP_DELETE_RUN, /* id: its row, steps, events, input, keys. CONFLICT while it is not over
                          */
    STORE_OP_PUT_THREAD, /* id, text (the state): CONFLICT while a run of the thread is not over */
    STORE_OP_DELETE_THREAD, /* id: the same */
    STORE_OP_PUT_CACHED,  /* hash (the key), text (the output), name (the call), usage, expires_at:
                             instead of what is there; the tenant's oldest go where it has too much,
                             and some that have expired */
    STORE_OP_PRUNE_CACHE, /* those of all tenants that have expired at `now`, a number at a time */
};

enum {
    STORE_CACHE_BYTES = 256 << 20,      /* a tenant's answers; the oldest go */
    STORE_CACHE_ROW_BYTES = 512,        /* what each counts for beside its output */
    STORE_CACHE_ANSWER_BYTES = 1 << 20, /* one output; a larger one is not to be put */
    STORE_CACHE_PRUNE = 1000,           /* rows that one operation removes for their age */
};

/* One operation. Strings are copied by store_submit_op. */
struct store_op {
    enum store_op_kind kind;
    struct pl_str tenant;
    struct pl_str name, text, hash; /* workflow operations; text: the definition as JSON */
    struct pl_str id;               /* of a run or thread */
    int64_t if_version; /* PUT, DELETE: only when this is the newest version, else PRECONDITION; 0:
                           must not exist; -1: whatever it is */
    pl_ms now;
    struct store_usage usage; /* PUT_CACHED, as the two below */
    pl_ms expires_at;
    int64_t max_bytes; /* of the tenant's answers; 0: STORE_CACHE_BYTES */
};

struct store_op_result {
    int64_t version; /* PUT: the version that now holds this content */
    bool created;    /* PUT: it is a new one (the same content as the newest makes none) */
    size_t removed;  /* PRUNE_CACHE: how many have gone */
};

/* As store_done_fn, with the result (valid when code is PL_OK). Errors: NOT_FOUND, CONFLICT,
 * PRECONDITION, and what writing gives. */
typedef void (*store_op_done_fn)(void *arg, enum pl_code code, const struct store_op_result *result,
                                 const struct pl_err *err);
/* Any thread; never blocks on I/O. `done` is always called, exactly once: on the writer thread, or,
 * when there is no memory to queue the operation, before this returns. */
void store_submit_op(struct store *store, const struct store_op *op, store_op_done_fn done,
                     void *arg);

/* ---- reading (any thread; may block on I/O; not from a completion) ---- */

/* Errors of all: NOT_FOUND where one row is asked for, STORE_CORRUPT (also a value that is no JSON
 * or is nested deeper than STORE_VALUE_DEPTH), IO, NO_MEMORY. Strings live in `arena`; values are
 * yours: release with store_run_finish / store_step_finish / store_thread_finish /
 * store_cached_finish. */
enum { STORE_VALUE_DEPTH = 256 }; /* what base/json keeps track of */

enum pl_code store_get_run(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                           struct pl_str id, struct store_run *ret_run,
                           struct pl_err *err) PL_MUST_CHECK;

/* How much of each step a list reads; the other values are NULL. */
enum store_step_part {
    STORE_STEP_WHOLE, /* everything: to load the run */
    STORE_STEP_SHOWN, /* output, error; the memo of steps that wait, where it says for what */
    STORE_STEP_BARE,  /* no value */
};

/* Which steps of a run to list. Empty fields do not filter. */
struct store_step_filter {
    struct pl_str prefix; /* a path: the step and what is inside it (store_path_under) */
    struct pl_str status;
    struct pl_str after; /* the path of the last one seen; it need not exist */
    enum store_step_part part;
};
/* A run's steps in the order of store_path_compare (step_path.h), at most `limit`. The array lives
 * in the arena. */
enum pl_code store_find_steps(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run, const struct store_step_filter *filter,
                              size_t limit, struct store_step **ret_steps, size_t *ret_count,
                              struct pl_err *err) PL_MUST_CHECK;

/* All of them, whole, after the path `after` (empty: from the first). */
enum pl_code store_list_steps(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run, struct pl_str after, size_t limit,
                              struct store_step **ret_steps, size_t *ret_count,
                              struct pl_err *err) PL_MUST_CHECK;

/* One step of a run. */
enum pl_code store_get_step(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                            struct pl_str run, struct pl_str path, struct store_step *ret_step,
                            struct pl_err *err) PL_MUST_CHECK;

/* A run's events with seq > after, in order, at most `limit`. */
enum pl_code store_list_events(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                               struct pl_str run, int64_t after, size_t limit,
                               struct store_event **ret_events, size_t *ret_count,
                               struct pl_err *err) PL_MUST_CHECK;

/* Runs that are not over (no ended_at), by id, which is the order in which they were made, of all
 * tenants, after the key (tenant, id): it need not exist. */
enum pl_code store_list_unfinished(struct store *store, struct pl_arena *arena,
                                   struct pl_str after_tenant, struct pl_str after_id, size_t limit,
                                   struct store_run **ret_runs, size_t *ret_count,
                                   struct pl_err *err) PL_MUST_CHECK;

/* What a thread remembers. Release it with store_thread_finish. NOT_FOUND: nothing yet. */
enum pl_code store_get_thread(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str id, struct store_thread *ret_thread,
                              struct pl_err *err) PL_MUST_CHECK;

/* The text of a pinned definition of the tenant. */
enum pl_code store_get_definition(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                  struct pl_str hash, struct pl_str *ret_text,
                                  struct pl_err *err) PL_MUST_CHECK;

/* Which runs to list. Empty fields do not filter. */
struct store_run_filter {
    struct pl_str status, workflow, thread;
    const struct pl_str *metadata_keys,
        *metadata_values; /* members of metadata that are these strings (or JSON scalars) */
    size_t n_metadata;
    bool waiting;        /* only runs with a step that waits */
    struct pl_str after; /* the id of the last one seen: only older ones */
};
/* A tenant's runs, newest first (by id), at most `limit`. Inputs, outputs are read too. */
enum pl_code store_list_runs(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                             const struct store_run_filter *filter, size_t limit,
                             struct store_run **ret_runs, size_t *ret_count,
                             struct pl_err *err) PL_MUST_CHECK;

/* How many steps of a run stand at each status: rows only. Fills an array of the eight status
 * words' counts in the order of records.h (pending running retrying waiting succeeded failed
 * skipped cancelled). */
enum pl_code store_count_steps(struct store *store, struct pl_str tenant, struct pl_str run,
                               int64_t ret_counts[8], struct pl_err *err) PL_MUST_CHECK;

/* What is inside a step: rows only. */
struct store_inside {
    int64_t counts[8];        /* of its numbered branches ("reviews.17"), by status as above */
    int64_t items;            /* of a step whose memo is a list: how long it is; else 0 */
    struct store_usage usage; /* of all calls inside it */
};
/* A step that has no row, or nothing inside it, gives zeros. */
enum pl_code store_look_inside(struct store *store, struct pl_str tenant, struct pl_str run,
                               struct pl_str path, struct store_inside *ret_inside,
                               struct pl_err *err) PL_MUST_CHECK;

/* The run a key is bound to: its id and the fingerprint, in the arena. NOT_FOUND when it is free.
 */
enum pl_code store_get_key(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                           struct pl_str route, struct pl_str key, struct pl_str *ret_run,
                           struct pl_str *ret_fingerprint, struct pl_err *err) PL_MUST_CHECK;

/* A cached answer, also one that has expired. Release it with store_cached_finish. */
enum pl_code store_get_cached(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str key, struct store_cached *ret_cached,
                              struct pl_err *err) PL_MUST_CHECK;

/* One version of a stored workflow (0: the newest). */
enum pl_code store_get_workflow(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                struct pl_str name, int64_t version,
                                struct store_workflow *ret_workflow,
                                struct pl_err *err) PL_MUST_CHECK;

/* The newest versions of a tenant's workflows by name, after `after`, at most `limit`. Texts are
 * left out. */
enum pl_code store_list_workflows(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                  struct pl_str after, size_t limit,
                                  struct store_workflow **ret_workflows, size_t *ret_count,
                                  struct pl_err *err) PL_MUST_CHECK;

void store_run_finish(struct store_run *run); /* releases the values */
void store_step_finish(struct store_step *step);
void store_thread_finish(struct store_thread *thread);
void store_cached_finish(struct store_cached *cached);

/* Counters since open, for benchmarks and metrics. Any thread. */
struct store_stats {
    uint64_t batches, commits, rows;
};
void store_stats(struct store *store, struct store_stats *ret_stats);

#endif
