/* store_read.h - what the store reads. Not opening it nor writing (store.h, which includes this).
 * Called by service/ through store.h. */
#ifndef PLAIT_STORAGE_STORE_READ_H
#define PLAIT_STORAGE_STORE_READ_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "storage/records.h"

struct store;

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

/* The keys of runs that are not over (no ended_at), by id, which is the order in which they were
 * made, of all tenants, after the key (tenant, id): it need not exist. Nothing else is read, so
 * that a row that is damaged stands in the way of its own run only. */
enum pl_code store_list_unfinished(struct store *store, struct pl_arena *arena,
                                   struct pl_str after_tenant, struct pl_str after_id, size_t limit,
                                   struct store_run_key **ret_keys, size_t *ret_count,
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
    bool damaged;        /* a damaged run is listed with `damaged` set; else it is STORE_CORRUPT */
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

#endif
