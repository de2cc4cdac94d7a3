/* store_driver.h - what a database must be able to do for the store. Not for callers of the store:
 * they include store.h. Implemented by storage/sqlite; called by store.c (open, close, reads) and
 * writer.c (writes).
 *
 * Adding a driver: a folder with a struct that embeds struct store_driver (found again with
 * pl_container_of), a row in store_driver.c, a folder of migrations, a row in
 * tests/support/store_fixture.c: the conformance suite then runs on it. Nothing outside a driver
 * asks for its name; differences are capability flags. */
#ifndef PLAIT_STORAGE_STORE_DRIVER_H
#define PLAIT_STORAGE_STORE_DRIVER_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "storage/batch.h"
#include "storage/store.h"

struct store_driver;

/* What a driver can do or wants; bits of store_driver_kind.caps. */
enum store_driver_caps {
    STORE_CAP_ONE_ENGINE =
        1 << 0, /* `engine` takes a lock that keeps a second engine out (STORE_LOCKED) */
    STORE_CAP_LOCAL_FILE =
        1 << 1, /* the database is a file of this machine, named by the URL's path */
};

/* The slots. Unless said otherwise: mandatory; may block; no lock of the store is held; errors
 * leave the driver as it was before the call. A write error is judged by its code alone (writer.c):
 * NO_SPACE, STORE_BUSY and NO_MEMORY are tried again, TOO_LARGE fails the batch, everything else
 * fails the store for good. */
struct store_driver_ops {
    /* Writer thread. Opens a transaction. */
    enum pl_code (*begin)(struct store_driver *driver, struct pl_err *err);
    /* Writer thread, between begin and commit. Writes every row of the batch, insert or replace by
     * key. Borrows the batch. After an error the writer rolls back. */
    enum pl_code (*write)(struct store_driver *driver, const struct store_batch *batch,
                          struct pl_err *err);
    /* Writer thread, between begin and commit. Reads, decides and writes one operation (see
     * store.h) as the transaction stands. Borrows it. NOT_FOUND, CONFLICT and PRECONDITION are
     * answers: nothing of the operation was written and the transaction goes on. After another
     * error the writer rolls back. */
    enum pl_code (*operate)(struct store_driver *driver, const struct store_op *op,
                            struct store_op_result *ret_result, struct pl_err *err);
    /* Writer thread. Returns PL_OK only when everything since begin is on stable storage. After an
     * error the writer rolls back, and takes nothing of the transaction for written. */
    enum pl_code (*commit)(struct store_driver *driver, struct pl_err *err);
    /* Writer thread. Ends the transaction, if there is one, without a trace. Cannot fail. */
    void (*rollback)(struct store_driver *driver);
    /* Optional. Writer thread, after the owners of a commit have been told: work that would have
     * made them wait (a checkpoint). Transient trouble is PL_OK and tried again after a later
     * commit; an error fails the store. */
    enum pl_code (*maintain)(struct store_driver *driver, struct pl_err *err);

    /* Any thread, several at once, not the writer thread: as in store.h. Results live in `arena`;
     * on an error nothing is left for the caller to release. */
    enum pl_code (*get_run)(struct store_driver *driver, struct pl_arena *arena,
                            struct pl_str tenant, struct pl_str id, struct store_run *ret_run,
                            struct pl_err *err);
    enum pl_code (*list_steps)(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run,
                               const struct store_step_filter *filter, size_t limit,
                               struct store_step **ret_steps, size_t *ret_count,
                               struct pl_err *err);
    enum pl_code (*list_events)(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err);
    enum pl_code (*list_unfinished)(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run_key **ret_keys,
                                    size_t *ret_count, struct pl_err *err);
    enum pl_code (*get_definition)(struct store_driver *driver, struct pl_arena *arena,
                                   struct pl_str tenant, struct pl_str hash,
                                   struct pl_str *ret_text, struct pl_err *err);
    enum pl_code (*get_thread)(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str id,
                               struct store_thread *ret_thread, struct pl_err *err);
    enum pl_code (*get_step)(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str run, struct pl_str path,
                             struct store_step *ret_step, struct pl_err *err);
    enum pl_code (*list_runs)(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, const struct store_run_filter *filter,
                              size_t limit, struct store_run **ret_runs, size_t *ret_count,
                              struct pl_err *err);
    enum pl_code (*count_steps)(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, int64_t ret_counts[8], struct pl_err *err);
    enum pl_code (*look_inside)(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, struct pl_str path,
                                struct store_inside *ret_inside, struct pl_err *err);
    enum pl_code (*get_key)(struct store_driver *driver, struct pl_arena *arena,
                            struct pl_str tenant, struct pl_str route, struct pl_str key,
                            struct pl_str *ret_run, struct pl_str *ret_fingerprint,
                            struct pl_err *err);
    enum pl_code (*get_cached)(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str key,
                               struct store_cached *ret_cached, struct pl_err *err);
    enum pl_code (*get_workflow)(struct store_driver *driver, struct pl_arena *arena,
                                 struct pl_str tenant, struct pl_str name, int64_t version,
                                 struct store_workflow *ret_workflow, struct pl_err *err);
    enum pl_code (*list_workflows)(struct store_driver *driver, struct pl_arena *arena,
                                   struct pl_str tenant, struct pl_str after, size_t limit,
                                   struct store_workflow **ret_workflows, size_t *ret_count,
                                   struct pl_err *err);

    /* The closing thread, when the writer has ended and no read is going on. Frees the driver.
     * Cannot fail. */
    void (*close)(struct store_driver *driver);
};

/* The part of a driver the store knows; the first thing a driver's own struct embeds. Set once by
 * open. */
struct store_driver {
    const struct store_driver_ops *ops;
};

/* One row of the table of drivers. */
struct store_driver_kind {
    const char *scheme; /* what stands before the colon of the URL */
    const char *name;   /* for messages */
    unsigned caps;      /* enum store_driver_caps */
    /* The opening thread. `location` is the URL behind "scheme:", not empty. Creates and migrates
     * the database, takes the engine lock when asked. NULL: this build knows the scheme but has no
     * driver. Errors: as store_open. */
    enum pl_code (*open)(const char *location, const struct store_options *options,
                         struct store_driver **ret_driver, struct pl_err *err);
};

/* The row for a URL and what follows the colon (borrowed from `url`). Errors: INVALID_ARGUMENT,
 * with a message that says which URLs this build takes; it does not repeat the URL, which may hold
 * a password. */
enum pl_code store_driver_find(const char *url, const struct store_driver_kind **ret_kind,
                               const char **ret_location, struct pl_err *err) PL_MUST_CHECK;

/* storage/sqlite. */
enum pl_code sqlite_driver_open(const char *location, const struct store_options *options,
                                struct store_driver **ret_driver, struct pl_err *err);

#endif
