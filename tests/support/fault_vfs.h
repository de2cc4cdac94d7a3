/* fault_vfs.h - a disk that fails when told to: an SQLite VFS in front of the real one, and the way
 * to lose power. Not a test. Used by tests/fault. Install it before the first connection of the
 * process.
 *
 * It counts the operations that change files (write, truncate, sync, delete). From the Nth on, for
 * as many as asked, they fail as told. It can also cut the power: everything written and not synced
 * is undone, as if the machine had stopped at that moment. */
#ifndef PLAIT_TESTS_SUPPORT_FAULT_VFS_H
#define PLAIT_TESTS_SUPPORT_FAULT_VFS_H

#include "base/compiler.h"

#include <sqlite3.h>

/* Which operations count and fail. */
enum fault_where {
    FAULT_ANY,     /* all that change a file */
    FAULT_MAIN_DB, /* writes to the database file itself: migrations and checkpoints */
    FAULT_WAL,     /* writes to the WAL */
    FAULT_SYNC,    /* syncs of any file */
};

struct fault_plan {
    enum fault_where where;
    long first; /* the number, from 1, of the first operation that fails; 0: none does */
    long count; /* how many fail from there */
    int rc;     /* SQLITE_FULL, SQLITE_IOERR_WRITE, ... */
    int error;  /* errno that goes with it */
};

/* Makes it the default VFS. Ends the program when it cannot. */
void fault_vfs_install(void);
/* Sets the plan and counts from 0 again. Any thread. */
void fault_vfs_arm(const struct fault_plan *plan);
/* Nothing fails any more. Any thread. */
void fault_vfs_disarm(void);
/* How many operations counted since it was armed, and how many of them failed. Any thread. */
long fault_vfs_seen(void);
long fault_vfs_failed(void);

/* From now on remembers what each write overwrites, until it is synced. */
void fault_vfs_watch_power(void);
/* Undoes every write that was not synced and makes every later operation fail (until disarm): what
 * is on the disk now is what a power cut would leave. */
void fault_vfs_cut_power(void);

#endif
