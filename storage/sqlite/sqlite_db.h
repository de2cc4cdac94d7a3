/* sqlite_db.h - one SQLite connection: opened with our settings, its errors turned into ours, its
 * statements bound and read column by column. Not a table and not a row: sqlite_write.c and
 * sqlite_read.c know those. Used by the files of this folder. A connection is used by one thread at
 * a time. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_DB_H
#define PLAIT_STORAGE_SQLITE_SQLITE_DB_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/value.h"

#include <sqlite3.h>

/* Opens the file at `path`, which must exist; nothing is read of it yet. Errors: IO, NO_MEMORY. */
enum pl_code sqlite_db_open(const char *path, sqlite3 **ret_db, struct pl_err *err) PL_MUST_CHECK;

/* Runs statements that give no rows. Errors: those of sqlite_db_fail. */
enum pl_code sqlite_db_exec(sqlite3 *db, const char *sql, struct pl_err *err) PL_MUST_CHECK;

/* The number that a one-row statement ("PRAGMA user_version") gives. */
enum pl_code sqlite_db_number(sqlite3 *db, const char *sql, int64_t *ret_number,
                              struct pl_err *err) PL_MUST_CHECK;

/* Prepares a statement that is kept for the life of the connection, once: a second call finds it
 * there. */
enum pl_code sqlite_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement,
                               struct pl_err *err) PL_MUST_CHECK;

/* The code and message for a failed call on `db`: `rc` is its result. NO_SPACE, STORE_BUSY,
 * NO_MEMORY, TOO_LARGE, STORE_CORRUPT, IO, INTERNAL. */
enum pl_code sqlite_db_fail(sqlite3 *db, int rc, struct pl_err *err);

/* Binds the parameters of a statement in order. Text is borrowed until the statement is bound anew
 * or finalized, and must live until it has run. A failure is sticky in rc. */
struct sqlite_binder {
    sqlite3_stmt *statement;
    int index; /* of the last one bound */
    int rc;
};

static inline struct sqlite_binder sqlite_bind_begin(sqlite3_stmt *statement)
{
    return (struct sqlite_binder){.statement = statement};
}

void sqlite_bind_str(struct sqlite_binder *binder, struct pl_str text);
void sqlite_bind_int(struct sqlite_binder *binder, int64_t number);
void sqlite_bind_real(struct sqlite_binder *binder, double number);
void sqlite_bind_value(struct sqlite_binder *binder, const struct pl_value *value); /* NULL: null */

/* Reads the columns of a row in order. Strings are copied into the arena; memory failures are
 * sticky, in the arena and in `failed`. */
struct sqlite_row {
    sqlite3_stmt *statement;
    struct pl_arena *arena;
    int column; /* the next one */
    bool failed;
    const char *damaged; /* the name of a column that should hold JSON and does not; NULL */
    const char *noun;    /* set by who reads it: what the row is, */
    struct pl_str name;  /* and which one */
};

struct pl_str sqlite_row_str(struct sqlite_row *row);
struct pl_str sqlite_row_object(struct sqlite_row *row); /* text that is a JSON object, or empty */
struct pl_str sqlite_row_array(struct sqlite_row *row);  /* text that is a JSON array */
int64_t sqlite_row_int(struct sqlite_row *row);
double sqlite_row_real(struct sqlite_row *row);
struct pl_value *sqlite_row_value(struct sqlite_row *row); /* a new reference; null: NULL */

#endif
