/* sqlite_pool.c - reader connections under a mutex. Not queries. Called by sqlite_read.c and, to
 * set it up and down, by sqlite_driver.c. */
#include "storage/sqlite/sqlite_pool.h"

#include "storage/sqlite/sqlite_db.h"

#include <assert.h>
#include <stdlib.h>

enum pl_code sqlite_pool_init(struct sqlite_pool *pool, const char *path, unsigned count,
                              struct pl_err *err)
{
    pool->count = count ? count : 1;
    pool->path = path;
    pool->readers = calloc(pool->count, sizeof(*pool->readers));
    if (!pool->readers)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the readers of the database");
    pl_mutex_init(&pool->lock);
    pl_cond_init(&pool->freed);
    pl_list_init(&pool->idle);
    for (size_t i = 0; i < pool->count; i++)
        pl_list_append(&pool->idle, &pool->readers[i].node);
    return PL_OK;
}

static void close_reader(struct sqlite_reader *reader)
{
    for (size_t i = 0; i < SQLITE_READ__COUNT; i++)
        sqlite3_finalize(reader->statements[i]);
    sqlite3_close(reader->db);
}

void sqlite_pool_finish(struct sqlite_pool *pool)
{
    if (!pool->readers)
        return;
    for (size_t i = 0; i < pool->count; i++) {
        assert(pl_list_linked(&pool->readers[i].node));
        close_reader(&pool->readers[i]);
    }
    pl_cond_finish(&pool->freed);
    pl_mutex_finish(&pool->lock);
    free(pool->readers);
    pool->readers = NULL;
}

static enum pl_code open_reader(struct sqlite_pool *pool, struct sqlite_reader *reader,
                                struct pl_err *err)
{
    sqlite3 *db;
    enum pl_code code = sqlite_db_open(pool->path, &db, err);

    if (code != PL_OK)
        return code;
    /* Not opened read-only: the last to leave a WAL database must be able to tidy it. */
    code = sqlite_db_exec(db, "PRAGMA query_only = ON", err);
    if (code != PL_OK) {
        sqlite3_close(db);
        return code;
    }
    reader->db = db;
    return PL_OK;
}

enum pl_code sqlite_pool_take(struct sqlite_pool *pool, struct sqlite_reader **ret_reader,
                              struct pl_err *err)
{
    struct sqlite_reader *reader;
    struct pl_list *node;
    enum pl_code code;

    pl_mutex_lock(&pool->lock);
    while (!(node = pl_list_pop(&pool->idle)))
        pl_cond_wait(&pool->freed, &pool->lock);
    pl_mutex_unlock(&pool->lock);

    reader = pl_container_of(node, struct sqlite_reader, node);
    if (!reader->db) {
        code = open_reader(pool, reader, err);
        if (code != PL_OK) {
            sqlite_pool_give(pool, reader);
            return code;
        }
    }
    *ret_reader = reader;
    return PL_OK;
}

void sqlite_pool_give(struct sqlite_pool *pool, struct sqlite_reader *reader)
{
    pl_mutex_lock(&pool->lock);
    pl_list_append(pool->idle.next, &reader->node); /* in front */
    pl_cond_signal(&pool->freed);
    pl_mutex_unlock(&pool->lock);
}
