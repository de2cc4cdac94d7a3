/* sqlite_db.c - connections, errors, parameters and columns. Not tables. Called by the files of
 * this folder. */
#include "storage/sqlite/sqlite_db.h"

#include "base/json.h"
#include "storage/sqlite/wal_gather.h"
#include "storage/store.h"

#include <errno.h>

/* Every connection. The timeout is for readers meeting a recovery or a checkpoint that truncates;
 * trusted_schema and cell_size_check: a damaged or doctored file must be noticed, not run. */
static const char settings[] = "PRAGMA busy_timeout = 5000;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;";

enum pl_code sqlite_db_open(const char *path, sqlite3 **ret_db, struct pl_err *err)
{
    /* NOFOLLOW is not set: a database may be a symbolic link. NOMUTEX: one thread at a time, by
     * contract. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    sqlite3 *db = NULL;
    enum pl_code code;
    int rc = sqlite3_open_v2(path, &db, flags, wal_gather_vfs());

    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_rollback_hook(db, wal_gather_forget, db);
        rc = sqlite3_exec(db, settings, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        code = sqlite_db_fail(db, rc, err);
        pl_err_prefix(err, "cannot open %s", path);
        sqlite3_close(db);
        return code;
    }
    *ret_db = db;
    return PL_OK;
}

enum pl_code sqlite_db_exec(sqlite3 *db, const char *sql, struct pl_err *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? PL_OK : sqlite_db_fail(db, rc, err);
}

enum pl_code sqlite_db_number(sqlite3 *db, const char *sql, int64_t *ret_number, struct pl_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    int64_t number = 0;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (rc == SQLITE_DONE)
        return pl_err_set(err, PL_ERR_INTERNAL, "\"%s\" gives no row", sql);
    if (rc != SQLITE_ROW)
        return sqlite_db_fail(db, rc, err);
    *ret_number = number;
    return PL_OK;
}

enum pl_code sqlite_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement,
                               struct pl_err *err)
{
    int rc;

    if (*statement)
        return PL_OK;
    rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    return rc == SQLITE_OK ? PL_OK : sqlite_db_fail(db, rc, err);
}

/* ---- errors ---- */

/* The errno behind an I/O error: SQLite keeps it by file, and by connection only for some calls. 0:
 * unknown. */
static int errno_of(sqlite3 *db)
{
    static const int pointers[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
    int number = db ? sqlite3_system_errno(db) : 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(pointers) && db && number == 0; i++) {
        sqlite3_file *file = NULL; /* the second time: the WAL */

        if (sqlite3_file_control(db, "main", pointers[i], &file) == SQLITE_OK && file &&
            file->pMethods)
            (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    }
    return number;
}

static bool disk_is_full(int rc, int number)
{
    if ((rc & 0xff) == SQLITE_FULL || rc == SQLITE_IOERR_SHMSIZE)
        return true;
    /* A quota or a file size limit reaches us as a plain I/O error. */
    return (rc & 0xff) == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT || number == EFBIG);
}

static enum pl_code code_of(int rc, int number)
{
    if (disk_is_full(rc, number))
        return PL_ERR_NO_SPACE;
    if (rc == SQLITE_IOERR_NOMEM)
        return PL_ERR_NO_MEMORY;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return PL_ERR_NO_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* many tries at the WAL lock lost in a row */
        return PL_ERR_STORE_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return PL_ERR_STORE_CORRUPT;
    case SQLITE_TOOBIG:
        return PL_ERR_TOO_LARGE;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOLFS:
        return PL_ERR_IO;
    default:
        return PL_ERR_INTERNAL;
    }
}

enum pl_code sqlite_db_fail(sqlite3 *db, int rc, struct pl_err *err)
{
    int number = errno_of(db);
    enum pl_code code = code_of(rc, number);

    if (code == PL_ERR_NO_SPACE)
        return pl_err_set(err, code, "the disk of the database is full");
    if ((rc & 0xff) == SQLITE_CANTOPEN && number != 0)
        return pl_err_set(err, code, "%s", strerror(number));
    if (code == PL_ERR_IO && (rc & 0xff) == SQLITE_IOERR && number != 0)
        return pl_err_set(err, code, "%s (SQLite error %d): %s", sqlite3_errstr(rc), rc,
                          strerror(number));
    if (code == PL_ERR_STORE_CORRUPT)
        return pl_err_set(err, code, "the database is damaged (%s): restore it from a backup",
                          sqlite3_errstr(rc));
    return pl_err_set(err, code, "%s (SQLite error %d)",
                      db ? sqlite3_errmsg(db) : sqlite3_errstr(rc), rc);
}

/* ---- parameters ---- */

static void keep(struct sqlite_binder *binder, int rc)
{
    if (binder->rc == SQLITE_OK)
        binder->rc = rc;
}

void sqlite_bind_str(struct sqlite_binder *binder, struct pl_str text)
{
    /* A NULL pointer would bind null. */
    keep(binder, sqlite3_bind_text64(binder->statement, ++binder->index, text.len ? text.ptr : "",
                                     text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void sqlite_bind_int(struct sqlite_binder *binder, int64_t number)
{
    keep(binder, sqlite3_bind_int64(binder->statement, ++binder->index, number));
}

void sqlite_bind_real(struct sqlite_binder *binder, double number)
{
    keep(binder, sqlite3_bind_double(binder->statement, ++binder->index, number));
}

void sqlite_bind_value(struct sqlite_binder *binder, const struct pl_value *value)
{
    if (value)
        sqlite_bind_str(binder, pl_value_text(value));
    else
        keep(binder, sqlite3_bind_null(binder->statement, ++binder->index));
}

/* ---- columns ---- */

/* The text of a column, borrowed until the statement moves on. NULL pointer: null, or memory is
 * out. */
static struct pl_str borrow(struct sqlite_row *row)
{
    int column = row->column++;
    bool null = sqlite3_column_type(row->statement, column) == SQLITE_NULL;
    const char *text = (const char *)sqlite3_column_text(row->statement, column);

    if (!text && !null)
        row->failed = true;
    if (!text)
        return (struct pl_str){0};
    return pl_str_n(text, (size_t)sqlite3_column_bytes(row->statement, column));
}

struct pl_str sqlite_row_str(struct sqlite_row *row)
{
    struct pl_str text = borrow(row);

    if (text.len == 0)
        return (struct pl_str){0};
    return pl_arena_str(row->arena, text);
}

int64_t sqlite_row_int(struct sqlite_row *row)
{
    return sqlite3_column_int64(row->statement, row->column++);
}

double sqlite_row_real(struct sqlite_row *row)
{
    return sqlite3_column_double(row->statement, row->column++);
}

/* Is it one JSON text? Keys that come twice are not looked for: that takes memory, and whoever
 * looks inside takes one of them. */
static bool is_json(struct pl_str text)
{
    struct json_reader reader;
    enum json_token token;

    json_reader_init(&reader, text, STORE_VALUE_DEPTH);
    do
        token = json_reader_next(&reader);
    while (token != JSON_TOKEN_END && token != JSON_TOKEN_ERROR);
    return token == JSON_TOKEN_END;
}

/* The column is not what it has to be. */
static void note_damage(struct sqlite_row *row, int column)
{
    row->damaged = sqlite3_column_name(row->statement, column);
    if (!row->damaged)
        row->failed = true;
}

/* Text that has to be JSON of that type. */
static struct pl_str take_json(struct sqlite_row *row, enum json_type type, bool may_be_empty)
{
    int column = row->column;
    struct pl_str text = borrow(row);

    if (text.len == 0 && may_be_empty)
        return (struct pl_str){0};
    if (is_json(text) && json_type(text) == type)
        return pl_arena_str(row->arena, text);
    note_damage(row, column);
    return (struct pl_str){0};
}

struct pl_str sqlite_row_object(struct sqlite_row *row)
{
    return take_json(row, JSON_OBJECT, true);
}

struct pl_str sqlite_row_array(struct sqlite_row *row)
{
    return take_json(row, JSON_ARRAY, false);
}

struct pl_value *sqlite_row_value(struct sqlite_row *row)
{
    int column = row->column;
    struct pl_str text = borrow(row);
    struct pl_value *value;

    if (!text.ptr)
        return NULL;
    if (!is_json(text)) {
        note_damage(row, column);
        return NULL;
    }
    value = pl_value_new(text);
    if (!value)
        row->failed = true;
    return value;
}
