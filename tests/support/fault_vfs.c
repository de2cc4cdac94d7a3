/* fault_vfs.c - a failing disk. Not a test. See fault_vfs.h. */
#include "tests/support/fault_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one write or truncation destroyed, newest first. */
struct undo {
    struct undo *next;
    char *path;
    sqlite3_int64 offset, old_size;
    size_t len; /* bytes of `data` that were there */
    unsigned char data[];
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs, *real;
    struct fault_plan plan; /* guarded by lock, as all below */
    long seen, failed;
    int last_errno;
    bool watching, dead;
    struct undo *undo;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Lies in front of the real VFS's own struct. */
struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
    char *path; /* NULL: a temporary file */
    int flags;
};

static struct fault_file *of(sqlite3_file *file)
{
    return (struct fault_file *)(void *)file;
}

static bool counts(enum fault_where where, int flags, bool sync)
{
    switch (where) {
    case FAULT_MAIN_DB:
        return (flags & SQLITE_OPEN_MAIN_DB) != 0 && !sync;
    case FAULT_WAL:
        return (flags & SQLITE_OPEN_WAL) != 0 && !sync;
    case FAULT_SYNC:
        return sync;
    case FAULT_ANY:
        break;
    }
    return true;
}

/* SQLITE_OK, or how this operation fails. */
static int verdict(int flags, bool sync)
{
    const struct fault_plan *plan = &disk.plan;
    int rc = SQLITE_OK;

    pthread_mutex_lock(&disk.lock);
    if (disk.dead) {
        rc = SQLITE_IOERR_WRITE;
        disk.last_errno = EIO;
    } else if (plan->first > 0 && counts(plan->where, flags, sync)) {
        disk.seen++;
        if (disk.seen >= plan->first && disk.seen - plan->first < plan->count) {
            disk.failed++;
            disk.last_errno = plan->error;
            rc = plan->rc;
        }
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

/* ---- power ---- */

static void remember(struct fault_file *file, sqlite3_int64 offset, size_t len)
{
    struct undo *undo;
    sqlite3_int64 size = 0;

    pthread_mutex_lock(&disk.lock);
    if (disk.watching && file->path) {
        file->real->pMethods->xFileSize(file->real, &size);
        if (offset >= size)
            len = 0;
        else if (offset + (sqlite3_int64)len > size)
            len = (size_t)(size - offset);
        undo = malloc(sizeof(*undo) + len);
        if (!undo)
            abort();
        undo->path = strdup(file->path);
        undo->offset = offset;
        undo->old_size = size;
        undo->len = len;
        if (len &&
            file->real->pMethods->xRead(file->real, undo->data, (int)len, offset) != SQLITE_OK)
            abort();
        undo->next = disk.undo;
        disk.undo = undo;
    }
    pthread_mutex_unlock(&disk.lock);
}

/* What has been synced cannot be undone. */
static void forget(const char *path)
{
    struct undo **at, *undo;

    pthread_mutex_lock(&disk.lock);
    for (at = &disk.undo; (undo = *at);) {
        if (path && undo->path && strcmp(undo->path, path) != 0) {
            at = &undo->next;
            continue;
        }
        *at = undo->next;
        free(undo->path);
        free(undo);
    }
    pthread_mutex_unlock(&disk.lock);
}

void fault_vfs_watch_power(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.watching = true;
    pthread_mutex_unlock(&disk.lock);
}

/* Opens by path: the connections are dead from here on, so the locks this drops are of no matter.
 */
static void take_back(const struct undo *undo)
{
    int fd = open(undo->path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (pwrite(fd, undo->data, undo->len, undo->offset) != (ssize_t)undo->len ||
        ftruncate(fd, undo->old_size) != 0)
        abort();
    close(fd);
}

void fault_vfs_cut_power(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.dead = true;
    disk.watching = false;
    for (const struct undo *undo = disk.undo; undo; undo = undo->next)
        take_back(undo);
    pthread_mutex_unlock(&disk.lock);
    forget(NULL);
}

/* ---- files ---- */

static int f_close(sqlite3_file *file)
{
    int rc = of(file)->real->pMethods->xClose(of(file)->real);

    free(of(file)->path);
    return rc;
}

static int f_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    return of(file)->real->pMethods->xRead(of(file)->real, data, len, offset);
}

static int f_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    int rc = verdict(of(file)->flags, false);

    if (rc != SQLITE_OK)
        return rc;
    remember(of(file), offset, (size_t)len);
    return of(file)->real->pMethods->xWrite(of(file)->real, data, len, offset);
}

static int f_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_int64 old = 0;
    int rc = verdict(of(file)->flags, false);

    if (rc != SQLITE_OK)
        return rc;
    of(file)->real->pMethods->xFileSize(of(file)->real, &old);
    if (old > size)
        remember(of(file), size, (size_t)(old - size));
    return of(file)->real->pMethods->xTruncate(of(file)->real, size);
}

static int f_sync(sqlite3_file *file, int flags)
{
    int rc = verdict(of(file)->flags, true);

    if (rc == SQLITE_OK)
        rc = of(file)->real->pMethods->xSync(of(file)->real, flags);
    if (rc == SQLITE_OK && of(file)->path)
        forget(of(file)->path);
    return rc;
}

static int f_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return of(file)->real->pMethods->xFileSize(of(file)->real, size);
}

static int f_lock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int f_unlock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int f_check(sqlite3_file *file, int *held)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, held);
}

static int last_error(void)
{
    int number;

    pthread_mutex_lock(&disk.lock);
    number = disk.last_errno;
    pthread_mutex_unlock(&disk.lock);
    return number;
}

static int f_control(sqlite3_file *file, int op, void *arg)
{
    if (op == SQLITE_FCNTL_LAST_ERRNO && last_error() != 0) {
        *(int *)arg = last_error();
        return SQLITE_OK;
    }
    return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int f_sector(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int f_traits(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static int f_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return of(file)->real->pMethods->xShmMap(of(file)->real, page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return of(file)->real->pMethods->xShmLock(of(file)->real, offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *file)
{
    of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int f_shm_unmap(sqlite3_file *file, int remove)
{
    return of(file)->real->pMethods->xShmUnmap(of(file)->real, remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_traits,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

/* ---- the VFS ---- */

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct fault_file *fault = of(file);
    int rc;

    (void)vfs;
    memset(fault, 0, sizeof(*fault));
    fault->real = (sqlite3_file *)(void *)(fault + 1);
    fault->flags = flags;
    rc = disk.real->xOpen(disk.real, name, fault->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    fault->path = name ? strdup(name) : NULL;
    fault->base.pMethods = &methods;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    int rc = verdict(0, false);

    (void)vfs;
    if (rc == SQLITE_OK)
        rc = disk.real->xDelete(disk.real, name, sync);
    if (rc == SQLITE_OK)
        forget(name);
    return rc;
}

static int v_last_error(sqlite3_vfs *vfs, int len, char *text)
{
    int number = last_error();

    (void)vfs;
    return number ? number : disk.real->xGetLastError(disk.real, len, text);
}

void fault_vfs_install(void)
{
    disk.real = sqlite3_vfs_find(NULL);
    if (!disk.real || disk.real == &disk.vfs)
        abort();
    disk.vfs = *disk.real; /* what is not replaced below works on names alone */
    disk.vfs.zName = "fault";
    disk.vfs.szOsFile = (int)sizeof(struct fault_file) + disk.real->szOsFile;
    disk.vfs.xOpen = v_open;
    disk.vfs.xDelete = v_delete;
    disk.vfs.xGetLastError = v_last_error;
    if (sqlite3_vfs_register(&disk.vfs, 1) != SQLITE_OK)
        abort();
}

void fault_vfs_arm(const struct fault_plan *plan)
{
    pthread_mutex_lock(&disk.lock);
    disk.plan = *plan;
    disk.seen = disk.failed = 0;
    pthread_mutex_unlock(&disk.lock);
}

void fault_vfs_disarm(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.plan.first = 0;
    disk.last_errno = 0;
    disk.dead = disk.watching = false;
    pthread_mutex_unlock(&disk.lock);
    forget(NULL);
}

long fault_vfs_seen(void)
{
    long seen;

    pthread_mutex_lock(&disk.lock);
    seen = disk.seen;
    pthread_mutex_unlock(&disk.lock);
    return seen;
}

long fault_vfs_failed(void)
{
    long failed;

    pthread_mutex_lock(&disk.lock);
    failed = disk.failed;
    pthread_mutex_unlock(&disk.lock);
    return failed;
}
