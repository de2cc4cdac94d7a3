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
#include "storage/store_read.h"

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

/* Counters since open, for benchmarks and metrics. Any thread. */
struct store_stats {
    uint64_t batches, commits, rows;
};
void store_stats(struct store *store, struct store_stats *ret_stats);

#endif
