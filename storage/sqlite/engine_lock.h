/* engine_lock.h - only one engine runs on a database file of this machine. Not a lock of the
 * database: readers and other programs are not kept out. Used by sqlite_driver.c.
 *
 * The lock is flock(2) on a file beside the database, "PATH-engine". The file stays when the lock
 * is released: to unlink it would let two processes lock two files of one name. The kernel releases
 * the lock when the process ends in whatever way; a child that execs does not inherit it. */
#ifndef PLAIT_STORAGE_SQLITE_ENGINE_LOCK_H
#define PLAIT_STORAGE_SQLITE_ENGINE_LOCK_H

#include "base/compiler.h"
#include "base/err.h"

struct engine_lock {
    int fd; /* -1: not held */
};

void engine_lock_init(struct engine_lock *lock);

/* Takes the lock for the database `path` or fails at once. Errors: STORE_LOCKED (another engine;
 * the message names its process), IO, NO_SPACE, NO_MEMORY (the path is too long to build). */
enum pl_code engine_lock_take(struct engine_lock *lock, const char *path,
                              struct pl_err *err) PL_MUST_CHECK;

/* Releases it if it is held. Accepts one that was only initialised. */
void engine_lock_release(struct engine_lock *lock);

#endif
