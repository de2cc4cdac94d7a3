/* sqlite_pool.h - the reader connections: handed out one caller at a time. Not the write
 * connection. Used by sqlite_read.c. A connection is opened when it is first needed, so a short
 * command pays for one at most. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_POOL_H
#define PLAIT_STORAGE_SQLITE_SQLITE_POOL_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "base/sync.h"

#include <sqlite3.h>

/* The statements a reader keeps; their text is in sqlite_read.c and, from LIST_ALL on, in
 * sqlite_list.c. */
enum sqlite_read {
    SQLITE_READ_RUN,
    SQLITE_READ_STEP,
    SQLITE_READ_STEPS,
    SQLITE_READ_EVENTS,
    SQLITE_READ_UNFINISHED,
    SQLITE_READ_DEFINITION,
    SQLITE_READ_THREAD,
    SQLITE_LIST_ALL,
    SQLITE_LIST_BY_STATUS,
    SQLITE_LIST_BY_WORKFLOW,
    SQLITE_LIST_BY_THREAD,
    SQLITE_LIST_WAITING,
    SQLITE_COUNT_STEPS,
    SQLITE_COUNT_INSIDE,
    SQLITE_COUNT_ITEMS,
    SQLITE_READ_KEY,
    SQLITE_READ_CACHED,
    SQLITE_READ_WORKFLOW,
    SQLITE_READ_NEWEST_WORKFLOW,
    SQLITE_LIST_WORKFLOWS,
    SQLITE_READ__COUNT,
};

/* One reader: belongs to the thread that took it. */
struct sqlite_reader {
    struct pl_list node; /* guarded by the pool's lock; linked while idle */
    sqlite3 *db;         /* NULL until first needed */
    sqlite3_stmt *statements[SQLITE_READ__COUNT]; /* each NULL until first needed */
};

struct sqlite_pool {
    const char *path; /* set once; borrowed */
    struct sqlite_reader *readers;
    size_t count;
    struct pl_mutex lock;
    struct pl_cond freed;
    struct pl_list idle; /* guarded by lock; used last comes first: its cache is warm */
};

/* `count` readers of the database at `path`, which outlives the pool. Errors: NO_MEMORY. */
enum pl_code sqlite_pool_init(struct sqlite_pool *pool, const char *path, unsigned count,
                              struct pl_err *err) PL_MUST_CHECK;
/* Every reader must have been given back. Accepts a zeroed pool. */
void sqlite_pool_finish(struct sqlite_pool *pool);

/* A reader for this thread alone; waits while all are taken. Errors: IO, NO_MEMORY, STORE_CORRUPT.
 */
enum pl_code sqlite_pool_take(struct sqlite_pool *pool, struct sqlite_reader **ret_reader,
                              struct pl_err *err) PL_MUST_CHECK;
void sqlite_pool_give(struct sqlite_pool *pool, struct sqlite_reader *reader);

#endif
