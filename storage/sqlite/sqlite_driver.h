/* sqlite_driver.h - the driver's own struct and the halves it is made of. Not for anyone outside
 * this folder: the store knows it as a struct store_driver. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_DRIVER_H
#define PLAIT_STORAGE_SQLITE_SQLITE_DRIVER_H

#include "base/buf.h"
#include "storage/sqlite/engine_lock.h"
#include "storage/sqlite/sqlite_pool.h"
#include "storage/store_driver.h"

#include <sqlite3.h>

/* The statements of the write connection; their text is in sqlite_write.c. */
enum sqlite_write {
    SQLITE_WRITE_BEGIN,
    SQLITE_WRITE_COMMIT,
    SQLITE_WRITE_ROLLBACK,
    SQLITE_WRITE_DEFINITION,
    SQLITE_WRITE_RUN,
    SQLITE_WRITE_RUN_ON,
    SQLITE_WRITE_RUN_AGAIN,
    SQLITE_WRITE_INPUT,
    SQLITE_WRITE_OUTPUT,
    SQLITE_WRITE_STEP,
    SQLITE_WRITE_STEPS,
    SQLITE_WRITE_STEP_AGAIN,
    SQLITE_WRITE_NOTES,
    SQLITE_WRITE_THREAD,
    SQLITE_WRITE_EVENTS,
    SQLITE_WRITE_KEY,
    SQLITE_WRITE__COUNT,
};

/* The statements of single operations, on the write connection too; their text is in sqlite_ops.c.
 */
enum sqlite_op {
    SQLITE_OP_NEWEST_WORKFLOW,
    SQLITE_OP_LAST_VERSION,
    SQLITE_OP_SET_VERSION,
    SQLITE_OP_PUT_WORKFLOW,
    SQLITE_OP_WORKFLOW_USER,
    SQLITE_OP_DELETE_WORKFLOWS,
    SQLITE_OP_RUN_ENDED,
    SQLITE_OP_DELETE_RUN,
    SQLITE_OP_DELETE_INPUT,
    SQLITE_OP_DELETE_OUTPUT,
    SQLITE_OP_DELETE_STEPS,
    SQLITE_OP_DELETE_EVENTS,
    SQLITE_OP_DELETE_KEYS,
    SQLITE_OP_DELETE_NOTES,
    SQLITE_OP_TURN,
    SQLITE_OP_PUT_THREAD,
    SQLITE_OP_DELETE_THREAD,
    SQLITE_OP_PUT_CACHED,
    SQLITE_OP_BOUND_CACHE,
    SQLITE_OP_PRUNE_CACHE,
    SQLITE_OP__COUNT,
};

struct sqlite_driver {
    struct store_driver base;
    struct engine_lock lock; /* held from open to close, or not at all */
    struct sqlite_pool pool; /* the readers */
    sqlite3 *db;             /* set once; the writer thread's between open and close */
    sqlite3_stmt *statements[SQLITE_WRITE__COUNT]; /* set once */
    sqlite3_stmt *op_statements[SQLITE_OP__COUNT]; /* writer thread; each NULL until first needed */
    struct pl_buf places; /* writer thread only: of the steps being written */
    struct pl_buf pack;   /* writer thread only: the events being written */
    int wal_pages;        /* writer thread only: in the WAL after the last commit */
};

static inline struct sqlite_driver *sqlite_driver_of(struct store_driver *driver)
{
    return pl_container_of(driver, struct sqlite_driver, base);
}

/* sqlite_write.c. Prepares the statements of the write connection; the rest are slots. */
enum pl_code sqlite_write_prepare(struct sqlite_driver *sqlite, struct pl_err *err) PL_MUST_CHECK;
enum pl_code sqlite_write_begin(struct store_driver *driver, struct pl_err *err);
enum pl_code sqlite_write_batch(struct store_driver *driver, const struct store_batch *batch,
                                struct pl_err *err);
enum pl_code sqlite_write_commit(struct store_driver *driver, struct pl_err *err);
void sqlite_write_rollback(struct store_driver *driver);
enum pl_code sqlite_write_maintain(struct store_driver *driver, struct pl_err *err);

/* sqlite_ops.c. A slot. */
enum pl_code sqlite_operate(struct store_driver *driver, const struct store_op *op,
                            struct store_op_result *ret_result, struct pl_err *err);

/* sqlite_read.c. The slots for reading runs. */
enum pl_code sqlite_read_run(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str id, struct store_run *ret_run,
                             struct pl_err *err);
enum pl_code sqlite_read_steps(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run,
                               const struct store_step_filter *filter, size_t limit,
                               struct store_step **ret_steps, size_t *ret_count,
                               struct pl_err *err);
enum pl_code sqlite_read_events(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err);
enum pl_code sqlite_read_unfinished(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run_key **ret_keys,
                                    size_t *ret_count, struct pl_err *err);
enum pl_code sqlite_read_definition(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str tenant, struct pl_str hash,
                                    struct pl_str *ret_text, struct pl_err *err);
enum pl_code sqlite_read_step(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, struct pl_str run, struct pl_str path,
                              struct store_step *ret_step, struct pl_err *err);
enum pl_code sqlite_read_thread(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str id,
                                struct store_thread *ret_thread, struct pl_err *err);

/* sqlite_list.c. The slots for lists, counts and what is stored beside runs. */
enum pl_code sqlite_list_runs(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, const struct store_run_filter *filter,
                              size_t limit, struct store_run **ret_runs, size_t *ret_count,
                              struct pl_err *err);
enum pl_code sqlite_count_steps(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, int64_t ret_counts[8], struct pl_err *err);
enum pl_code sqlite_look_inside(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, struct pl_str path,
                                struct store_inside *ret_inside, struct pl_err *err);
enum pl_code sqlite_read_key(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str route, struct pl_str key,
                             struct pl_str *ret_run, struct pl_str *ret_fingerprint,
                             struct pl_err *err);
enum pl_code sqlite_read_cached(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str key,
                                struct store_cached *ret_cached, struct pl_err *err);
enum pl_code sqlite_read_workflow(struct store_driver *driver, struct pl_arena *arena,
                                  struct pl_str tenant, struct pl_str name, int64_t version,
                                  struct store_workflow *ret_workflow, struct pl_err *err);
enum pl_code sqlite_list_workflows(struct store_driver *driver, struct pl_arena *arena,
                                   struct pl_str tenant, struct pl_str after, size_t limit,
                                   struct store_workflow **ret_workflows, size_t *ret_count,
                                   struct pl_err *err);

#endif
