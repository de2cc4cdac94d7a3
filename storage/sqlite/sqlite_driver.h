/* sqlite_driver.h - the driver's own struct and the halves it is made of. Not for anyone outside
 * this folder: the store knows it as a struct store_driver. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_DRIVER_H
#define PLAIT_STORAGE_SQLITE_SQLITE_DRIVER_H

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
    SQLITE_WRITE_INPUT,
    SQLITE_WRITE_STEP,
    SQLITE_WRITE_EVENT,
    SQLITE_WRITE__COUNT,
};

struct sqlite_driver {
    struct store_driver base;
    struct engine_lock lock; /* held from open to close, or not at all */
    struct sqlite_pool pool; /* the readers */
    sqlite3 *db;             /* set once; the writer thread's between open and close */
    sqlite3_stmt *statements[SQLITE_WRITE__COUNT]; /* set once */
    int wal_pages; /* writer thread only: in the WAL after the last commit */
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

/* sqlite_read.c. The slots for reading. */
enum pl_code sqlite_read_run(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str id, struct store_run *ret_run,
                             struct pl_err *err);
enum pl_code sqlite_read_steps(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run, struct pl_str after,
                               size_t limit, struct store_step **ret_steps, size_t *ret_count,
                               struct pl_err *err);
enum pl_code sqlite_read_events(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err);
enum pl_code sqlite_read_unfinished(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run **ret_runs, size_t *ret_count,
                                    struct pl_err *err);
enum pl_code sqlite_read_definition(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str tenant, struct pl_str hash,
                                    struct pl_str *ret_text, struct pl_err *err);

#endif
