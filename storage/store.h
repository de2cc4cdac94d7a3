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
 * put twice in one batch is written once, as put last. */
void store_batch_put_definition(struct store_batch *batch, struct pl_str hash, struct pl_str text);
void store_batch_put_run(struct store_batch *batch, const struct store_run *run);
void store_batch_put_step(struct store_batch *batch, const struct store_step *step);
void store_batch_put_event(struct store_batch *batch, const struct store_event *event);

/* Called once a submitted batch is durable (code PL_OK) or has failed for good; on the writer
 * thread; must not block nor call the store. `err` lives during the call. */
typedef void (*store_done_fn)(void *arg, enum pl_code code, const struct pl_err *err);

/* Hands the batch over (nulls it). `done` is always called, exactly once. Any thread; never blocks
 * on I/O. */
void store_submit(struct store *store, struct store_batch **batch, store_done_fn done, void *arg);

/* ---- reading (any thread; may block on I/O; not from a completion) ---- */

/* Errors of all: NOT_FOUND where one row is asked for, STORE_CORRUPT, IO, NO_MEMORY. Strings live
 * in `arena`; values are yours: release with store_run_finish / store_step_finish. */
enum pl_code store_get_run(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                           struct pl_str id, struct store_run *ret_run,
                           struct pl_err *err) PL_MUST_CHECK;

/* A run's steps by path in byte order, after `after` (empty: from the first), at most `limit`. The
 * array lives in the arena. */
enum pl_code store_list_steps(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run, struct pl_str after, size_t limit,
                              struct store_step **ret_steps, size_t *ret_count,
                              struct pl_err *err) PL_MUST_CHECK;

/* A run's events with seq > after, in order, at most `limit`. */
enum pl_code store_list_events(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                               struct pl_str run, int64_t after, size_t limit,
                               struct store_event **ret_events, size_t *ret_count,
                               struct pl_err *err) PL_MUST_CHECK;

/* Runs that are not over (no ended_at), oldest first, of all tenants, after the key (tenant, id).
 */
enum pl_code store_list_unfinished(struct store *store, struct pl_arena *arena,
                                   struct pl_str after_tenant, struct pl_str after_id, size_t limit,
                                   struct store_run **ret_runs, size_t *ret_count,
                                   struct pl_err *err) PL_MUST_CHECK;

/* The text of a pinned definition of the tenant. */
enum pl_code store_get_definition(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                  struct pl_str hash, struct pl_str *ret_text,
                                  struct pl_err *err) PL_MUST_CHECK;

void store_run_finish(struct store_run *run); /* releases the values */
void store_step_finish(struct store_step *step);

/* Counters since open, for benchmarks and metrics. Any thread. */
struct store_stats {
    uint64_t batches, commits, rows;
};
void store_stats(struct store *store, struct store_stats *ret_stats);

#endif
