/* engine_lock.c - flock on "PATH-engine". Not a lock of the database. Called by sqlite_driver.c
 * while it opens and closes. */
#include "storage/sqlite/engine_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void engine_lock_init(struct engine_lock *lock)
{
    lock->fd = -1;
}

static enum pl_code fail_errno(struct pl_err *err, const char *what, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return pl_err_set(err, full ? PL_ERR_NO_SPACE : PL_ERR_IO, "cannot %s %s: %s", what, path,
                      strerror(errno));
}

/* The number the holder wrote, 0 when there is none to read. */
static long holder_of(int fd)
{
    char text[32];
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

    if (len <= 0)
        return 0;
    text[len] = '\0';
    return strtol(text, NULL, 10);
}

static enum pl_code fail_locked(struct pl_err *err, int fd, const char *path)
{
    long holder = holder_of(fd);

    if (holder == (long)getpid())
        return pl_err_set(err, PL_ERR_STORE_LOCKED,
                          "this process (%ld) already runs an engine on %s", holder, path);
    if (holder > 0)
        return pl_err_set(err, PL_ERR_STORE_LOCKED,
                          "another engine, process %ld, runs on %s: stop it, or use another "
                          "database",
                          holder, path);
    return pl_err_set(err, PL_ERR_STORE_LOCKED,
                      "another engine runs on %s: stop it, or use another database", path);
}

/* For the message of the next one. The lock does not depend on it, so a full disk is no reason to
 * fail. */
static void write_holder(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) != len)
        (void)!ftruncate(fd, 0);
}

static enum pl_code lock_file(int fd, const char *path, struct pl_err *err)
{
    int result;

    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return PL_OK;
    if (errno == EWOULDBLOCK)
        return fail_locked(err, fd, path);
    return fail_errno(err, "lock the engine file of", path);
}

enum pl_code engine_lock_take(struct engine_lock *lock, const char *path, struct pl_err *err)
{
    char *name = NULL;
    enum pl_code code;
    int fd;

    if (asprintf(&name, "%s-engine", path) < 0)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the engine lock");
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        code = fail_errno(err, "open", name);
        free(name);
        return code;
    }
    free(name);
    code = lock_file(fd, path, err);
    if (code != PL_OK) {
        close(fd);
        return code;
    }
    write_holder(fd);
    lock->fd = fd;
    return PL_OK;
}

void engine_lock_release(struct engine_lock *lock)
{
    if (lock->fd < 0)
        return;
    (void)!ftruncate(lock->fd, 0);
    close(lock->fd);
    lock->fd = -1;
}
