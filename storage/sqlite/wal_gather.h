/* wal_gather.h - an SQLite VFS in front of the default one that writes the frames of a commit to
 * the WAL in few calls. Not a place of its own: what is written where, and when it is synced, stays
 * as SQLite decides. Used by sqlite_db.c.
 *
 * SQLite writes each page of a commit with two calls, 24 bytes and 4 KiB behind them. Here they are
 * gathered, and written before the file is synced, truncated, measured, or read where they belong.
 * With `synchronous = FULL`, which our connections that write have, every commit is synced before
 * another connection is told of its frames, so that nobody looks for one that is not there.
 *
 * Frames of a transaction that is given up must not be written later: another process may have
 * written its own in their place by then. So whoever opens a connection with this VFS makes
 * wal_gather_forget its rollback hook. A write that failed is sticky until then: SQLite takes
 * frames for written whose call has returned, and may go on with one that was lost. */
#ifndef PLAIT_STORAGE_SQLITE_WAL_GATHER_H
#define PLAIT_STORAGE_SQLITE_WAL_GATHER_H

/* The name of the VFS for sqlite3_open_v2. NULL when SQLite cannot be started (no memory). The
 * default VFS of the first call is the one it stands in front of. Any thread. */
const char *wal_gather_vfs(void);
/* Drops what has not been written; `db` is the sqlite3 whose transaction has been rolled back. On
 * its thread. */
void wal_gather_forget(void *db);

#endif
