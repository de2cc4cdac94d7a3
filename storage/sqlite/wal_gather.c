/* wal_gather.c - writes to the WAL, gathered. Not locking, not other files: those are the default
 * VFS's own. See wal_gather.h. Called by SQLite, on the threads of its connections; a file belongs
 * to one connection. */
#include "storage/sqlite/wal_gather.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_BYTES = 64 * 1024 };

static struct {
    pthread_once_t once;
    sqlite3_vfs vfs, *base;
} gather = {.once = PTHREAD_ONCE_INIT};

/* A WAL. The base VFS's own struct lies behind it. */
struct wal_file {
    sqlite3_file file;
    sqlite3_file *base;
    char *data;           /* GATHER_BYTES; NULL until the first write */
    size_t len;           /* bytes in it, not yet written */
    sqlite3_int64 offset; /* of the first, in the file */
    int rc;               /* why they could not be; until they are forgotten */
};

static struct wal_file *wal_of(sqlite3_file *file)
{
    return (struct wal_file *)(void *)file;
}

/* Writes what has been gathered. */
static int flush(struct wal_file *wal)
{
    if (wal->rc == SQLITE_OK && wal->len)
        wal->rc = wal->base->pMethods->xWrite(wal->base, wal->data, (int)wal->len, wal->offset);
    if (wal->rc == SQLITE_OK)
        wal->len = 0;
    return wal->rc;
}

static int wal_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct wal_file *wal = wal_of(file);
    const size_t size = (size_t)len;
    int rc = wal->rc;

    if (!wal->data)
        wal->data = malloc(GATHER_BYTES);
    if (wal->len &&
        (offset != wal->offset + (sqlite3_int64)wal->len || size > GATHER_BYTES - wal->len))
        rc = flush(wal);
    if (rc != SQLITE_OK)
        return rc;
    if (!wal->data || size > GATHER_BYTES) /* without memory each is written by itself */
        return wal->base->pMethods->xWrite(wal->base, data, len, offset);
    if (wal->len == 0)
        wal->offset = offset;
    memcpy(wal->data + wal->len, data, size);
    wal->len += size;
    return SQLITE_OK;
}

static int wal_close(sqlite3_file *file)
{
    struct wal_file *wal = wal_of(file);

    free(wal->data); /* what is in it was not synced: it belongs to no commit */
    return wal->base->pMethods->xClose(wal->base);
}

/* A transaction reads frames of its own; those that were there before lie in front of them. */
static int wal_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    struct wal_file *wal = wal_of(file);
    int rc = SQLITE_OK;

    if (wal->len && offset + len > wal->offset)
        rc = flush(wal);
    return rc == SQLITE_OK ? wal->base->pMethods->xRead(wal->base, data, len, offset) : rc;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct wal_file *wal = wal_of(file);
    int rc = flush(wal);

    return rc == SQLITE_OK ? wal->base->pMethods->xTruncate(wal->base, size) : rc;
}

static int wal_sync(sqlite3_file *file, int flags)
{
    struct wal_file *wal = wal_of(file);
    int rc = flush(wal);

    return rc == SQLITE_OK ? wal->base->pMethods->xSync(wal->base, flags) : rc;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct wal_file *wal = wal_of(file);
    int rc = flush(wal);

    return rc == SQLITE_OK ? wal->base->pMethods->xFileSize(wal->base, ret_size) : rc;
}

/* ---- as they are ---- */

static int wal_lock(sqlite3_file *file, int level)
{
    return wal_of(file)->base->pMethods->xLock(wal_of(file)->base, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
    return wal_of(file)->base->pMethods->xUnlock(wal_of(file)->base, level);
}

static int wal_check_lock(sqlite3_file *file, int *ret_held)
{
    return wal_of(file)->base->pMethods->xCheckReservedLock(wal_of(file)->base, ret_held);
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
    return wal_of(file)->base->pMethods->xFileControl(wal_of(file)->base, op, arg);
}

static int wal_sector(sqlite3_file *file)
{
    return wal_of(file)->base->pMethods->xSectorSize(wal_of(file)->base);
}

static int wal_traits(sqlite3_file *file)
{
    return wal_of(file)->base->pMethods->xDeviceCharacteristics(wal_of(file)->base);
}

/* Version 1: shared memory and mapping are the database file's. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_check_lock,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_traits,
};

/* ---- the VFS ---- */

static int gather_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *ret_flags)
{
    struct wal_file *wal = wal_of(file);
    int rc;

    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return gather.base->xOpen(gather.base, name, file, flags, ret_flags);
    memset(wal, 0, sizeof(*wal));
    wal->base = (sqlite3_file *)(void *)(wal + 1);
    rc = gather.base->xOpen(gather.base, name, wal->base, flags, ret_flags);
    if (rc == SQLITE_OK)
        wal->file.pMethods = &methods;
    return rc;
}

static int gather_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return gather.base->xDelete(gather.base, name, sync);
}

static int gather_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is)
{
    (void)vfs;
    return gather.base->xAccess(gather.base, name, flags, ret_is);
}

static int gather_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
    (void)vfs;
    return gather.base->xFullPathname(gather.base, name, size, ret_path);
}

static int gather_randomness(sqlite3_vfs *vfs, int size, char *ret_bytes)
{
    (void)vfs;
    return gather.base->xRandomness(gather.base, size, ret_bytes);
}

static int gather_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return gather.base->xSleep(gather.base, microseconds);
}

static int gather_time(sqlite3_vfs *vfs, double *ret_days)
{
    (void)vfs;
    return gather.base->xCurrentTime(gather.base, ret_days);
}

static int gather_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret_ms)
{
    (void)vfs;
    return gather.base->xCurrentTimeInt64(gather.base, ret_ms);
}

static int gather_last_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
    (void)vfs;
    return gather.base->xGetLastError(gather.base, size, ret_text);
}

/* Loading extensions is not offered. */
static void begin(void)
{
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);

    if (!base || base->iVersion < 2)
        return;
    gather.vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = base->szOsFile + (int)sizeof(struct wal_file),
        .mxPathname = base->mxPathname,
        .zName = "plait",
        .xOpen = gather_open,
        .xDelete = gather_delete,
        .xAccess = gather_access,
        .xFullPathname = gather_full_path,
        .xRandomness = gather_randomness,
        .xSleep = gather_sleep,
        .xCurrentTime = gather_time,
        .xGetLastError = gather_last_error,
        .xCurrentTimeInt64 = gather_time_ms,
    };
    if (sqlite3_vfs_register(&gather.vfs, 0) == SQLITE_OK)
        gather.base = base;
}

const char *wal_gather_vfs(void)
{
    pthread_once(&gather.once, begin);
    return gather.base ? gather.vfs.zName : NULL;
}

void wal_gather_forget(void *db)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK ||
        !file || file->pMethods != &methods)
        return; /* no WAL is open */
    wal_of(file)->len = 0;
    wal_of(file)->rc = SQLITE_OK;
}
