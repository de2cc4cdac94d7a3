/* sqlite_driver.c - opening and closing an SQLite database of ours. Not statements (sqlite_write.c,
 * sqlite_read.c). Called through the table in store_driver.c.
 *
 * The order of opening matters: what a file is, is read without a lock or a write, before SQLite
 * may roll back a journal in it, so that a file of somebody else stays as it is byte for byte. The
 * first migration is written in rollback mode and sets the application id: the main file carries
 * our mark from its first transaction on, also when the program is killed before the switch to WAL.
 */
#include "storage/sqlite/sqlite_driver.h"

#include "storage/migrate.h"
#include "storage/sqlite/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x504c4149, /* "PLAI" */
    HEADER_BYTES = 100,
    HEADER_APPLICATION_ID = 68, /* offset, big endian */
    WRITE_BUSY_MS = 100,        /* then the writer's own retrying takes over */
};

/* ---- what a file is ---- */

static enum pl_code fail_foreign(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_STORE_FOREIGN,
                      "not a database of Plait; the file was left as it is");
}

/* A power cut while our first transaction was written can leave zeros and the journal that undoes
 * them. */
static bool half_created(const unsigned char *header, const char *path)
{
    static const unsigned char zeros[HEADER_BYTES];
    char *journal;
    bool there;

    if (memcmp(header, zeros, HEADER_BYTES) != 0 || asprintf(&journal, "%s-journal", path) < 0)
        return false;
    there = access(journal, F_OK) == 0;
    free(journal);
    return there;
}

/* Reads the header past SQLite's locks and journals, through SQLite's own descriptor: to open and
 * close the file here would drop the locks this process may hold on it. */
static enum pl_code check_header(sqlite3 *db, const char *path, struct pl_err *err)
{
    unsigned char header[HEADER_BYTES] = {0};
    const unsigned char *id = header + HEADER_APPLICATION_ID;
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

    if (rc == SQLITE_OK && (!file || !file->pMethods))
        rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK)
        rc = file->pMethods->xFileSize(file, &size);
    if (rc == SQLITE_OK && size >= HEADER_BYTES)
        rc = file->pMethods->xRead(file, header, HEADER_BYTES, 0);
    if (rc != SQLITE_OK)
        return pl_err_set(err, PL_ERR_IO, "cannot read it: %s", sqlite3_errstr(rc));
    if (size == 0 || half_created(header, path))
        return PL_OK;
    if (memcmp(header, "SQLite format 3", 16) != 0 ||
        ((uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3]) !=
            APPLICATION_ID)
        return fail_foreign(err);
    return PL_OK;
}

/* The same once more through SQLite, which has undone what a journal held. */
static enum pl_code check_content(sqlite3 *db, struct pl_err *err)
{
    int64_t id, tables;
    enum pl_code code = sqlite_db_number(db, "PRAGMA application_id", &id, err);

    if (code == PL_OK)
        code = sqlite_db_number(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (code == PL_OK && id != APPLICATION_ID && (id != 0 || tables != 0))
        code = fail_foreign(err);
    return code;
}

/* ---- migrations ---- */

struct migrator {
    struct store_migrator base;
    sqlite3 *db;
};

static enum pl_code get_version(struct store_migrator *base, int *ret_version, struct pl_err *err)
{
    struct migrator *migrator = pl_container_of(base, struct migrator, base);
    int64_t version;
    enum pl_code code = sqlite_db_number(migrator->db, "PRAGMA user_version", &version, err);

    if (code == PL_OK)
        *ret_version = (int)version;
    return code;
}

/* Inside the transaction: another process may have been quicker. */
static enum pl_code apply_locked(struct store_migrator *base,
                                 const struct store_migration *migration, struct pl_err *err)
{
    struct migrator *migrator = pl_container_of(base, struct migrator, base);
    int version;
    enum pl_code code = get_version(base, &version, err);

    if (code != PL_OK || version >= migration->number)
        return code;
    code = sqlite_db_exec(migrator->db, migration->sql, err);
    if (code == PL_OK)
        code = get_version(base, &version, err);
    if (code == PL_OK && version != migration->number)
        code = pl_err_set(err, PL_ERR_INTERNAL, "it must end with PRAGMA user_version = %d",
                          migration->number);
    return code;
}

static enum pl_code apply(struct store_migrator *base, const struct store_migration *migration,
                          struct pl_err *err)
{
    struct migrator *migrator = pl_container_of(base, struct migrator, base);
    enum pl_code code = sqlite_db_exec(migrator->db, "BEGIN IMMEDIATE", err);

    if (code != PL_OK)
        return code;
    code = apply_locked(base, migration, err);
    if (code == PL_OK)
        code = sqlite_db_exec(migrator->db, "COMMIT", err);
    if (code != PL_OK && !sqlite3_get_autocommit(migrator->db))
        (void)sqlite3_exec(migrator->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

/* ---- opening ---- */

static int keep_wal_pages(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_driver *sqlite = arg;

    (void)db;
    (void)name;
    sqlite->wal_pages = pages;
    return SQLITE_OK;
}

static enum pl_code switch_to_wal(sqlite3 *db, struct pl_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    bool wal;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    wal = rc == SQLITE_ROW && sqlite3_column_text(statement, 0) &&
          strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    sqlite3_finalize(statement);
    if (rc != SQLITE_ROW)
        return sqlite_db_fail(db, rc, err);
    if (!wal)
        return pl_err_set(err, PL_ERR_IO,
                          "the file system of the database does not support SQLite's WAL");
    return PL_OK;
}

/* Brings the database to the present schema and sets the write connection up. */
static enum pl_code set_up(struct sqlite_driver *sqlite, struct pl_err *err)
{
    struct migrator migrator = {{get_version, apply}, sqlite->db};
    enum pl_code code = check_content(sqlite->db, err);

    if (code == PL_OK)
        code = sqlite_db_exec(sqlite->db,
                              "PRAGMA auto_vacuum = NONE; PRAGMA synchronous = FULL;"
                              "PRAGMA secure_delete = FAST; PRAGMA cache_size = -8000;"
                              "PRAGMA journal_size_limit = 67108864;",
                              err);
    if (code == PL_OK)
        code = store_migrate(&migrator.base, store_sqlite_migrations, store_sqlite_migration_count,
                             err);
    if (code == PL_OK)
        code = switch_to_wal(sqlite->db, err);
    if (code == PL_OK)
        code = sqlite_write_prepare(sqlite, err);
    if (code != PL_OK)
        return code;
    sqlite3_wal_hook(sqlite->db, keep_wal_pages,
                     sqlite); /* in the place of automatic checkpoints */
    sqlite3_busy_timeout(sqlite->db, WRITE_BUSY_MS);
    return PL_OK;
}

/* An empty file that only its owner can read: prompts and answers are nobody else's business. One
 * that is there stays as it is. */
static enum pl_code create_file(const char *path, struct pl_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return pl_err_set(err, errno == ENOSPC || errno == EDQUOT ? PL_ERR_NO_SPACE : PL_ERR_IO,
                          "cannot create %s: %s", path, strerror(errno));
    return PL_OK;
}

/* The names of the new files must survive a power cut too, not only what is in them. */
static enum pl_code sync_folder(const char *path, struct pl_err *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash > path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    enum pl_code code = PL_OK;
    int fd;

    if (!folder)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for a path");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 ||
        (fsync(fd) != 0 && errno != EINVAL)) /* EINVAL: such a file system has no need of it */
        code = pl_err_set(err, PL_ERR_IO, "cannot sync the folder %s: %s", folder, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(folder);
    return code;
}

/* A name SQLite takes for a path whatever it looks like (":memory:", "file:..."). The caller frees
 * it. */
static char *plain_path(const char *location)
{
    char *path = NULL;

    if (asprintf(&path, "%s%s", location[0] == '/' ? "" : "./", location) < 0)
        return NULL;
    return path;
}

static void close_driver(struct store_driver *driver)
{
    struct sqlite_driver *sqlite = sqlite_driver_of(driver);

    sqlite_pool_finish(&sqlite->pool);
    for (size_t i = 0; i < SQLITE_WRITE__COUNT; i++)
        sqlite3_finalize(sqlite->statements[i]);
    for (size_t i = 0; i < SQLITE_OP__COUNT; i++)
        sqlite3_finalize(sqlite->op_statements[i]);
    pl_buf_finish(&sqlite->places);
    pl_buf_finish(&sqlite->pack);
    sqlite3_close(sqlite->db); /* the last connection moves the WAL into the file */
    engine_lock_release(&sqlite->lock);
    free(sqlite);
}

static enum pl_code open_path(struct sqlite_driver *sqlite, const char *given,
                              const struct store_options *options, struct pl_err *err)
{
    const char *path;
    enum pl_code code = create_file(given, err);

    if (code == PL_OK)
        code = sqlite_db_open(given, &sqlite->db, err);
    if (code != PL_OK)
        return code;
    path = sqlite3_db_filename(sqlite->db, "main"); /* absolute, links resolved */
    code = check_header(sqlite->db, path, err);
    if (code == PL_OK && options->engine) {
        code = engine_lock_take(&sqlite->lock, path, err);
        if (code != PL_OK)
            return code;
    }
    if (code == PL_OK)
        code = set_up(sqlite, err);
    if (code != PL_OK) {
        pl_err_prefix(err, "%s", path);
        return code;
    }
    code = sync_folder(path, err);
    if (code == PL_OK)
        code = sqlite_pool_init(&sqlite->pool, path, options->readers, err);
    return code;
}

static const struct store_driver_ops ops = {
    .begin = sqlite_write_begin,
    .write = sqlite_write_batch,
    .operate = sqlite_operate,
    .commit = sqlite_write_commit,
    .rollback = sqlite_write_rollback,
    .maintain = sqlite_write_maintain,
    .get_run = sqlite_read_run,
    .list_steps = sqlite_read_steps,
    .list_events = sqlite_read_events,
    .list_unfinished = sqlite_read_unfinished,
    .get_definition = sqlite_read_definition,
    .get_thread = sqlite_read_thread,
    .get_step = sqlite_read_step,
    .list_runs = sqlite_list_runs,
    .count_steps = sqlite_count_steps,
    .look_inside = sqlite_look_inside,
    .get_key = sqlite_read_key,
    .get_cached = sqlite_read_cached,
    .get_workflow = sqlite_read_workflow,
    .list_workflows = sqlite_list_workflows,
    .close = close_driver,
};

/* SQLite counts its memory under one lock for all connections unless told not to. Refused when
 * SQLite is in use already, which is as well. */
static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum pl_code sqlite_driver_open(const char *location, const struct store_options *options,
                                struct store_driver **ret_driver, struct pl_err *err)
{
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    struct sqlite_driver *sqlite;
    enum pl_code code;
    char *path;

    (void)pthread_once(&configured, configure);
    if (strncmp(location, "//", 2) == 0 && location[2] != '/')
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "a database file is given as sqlite:PATH, without \"//\"");
    path = plain_path(location);
    sqlite = calloc(1, sizeof(*sqlite));
    if (!path || !sqlite) {
        free(path);
        free(sqlite);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the database");
    }
    sqlite->base.ops = &ops;
    pl_buf_init(&sqlite->places, SIZE_MAX / 2);
    pl_buf_init(&sqlite->pack, SIZE_MAX / 2);
    engine_lock_init(&sqlite->lock);
    code = open_path(sqlite, path, options, err);
    free(path);
    if (code != PL_OK) {
        close_driver(&sqlite->base);
        return code;
    }
    *ret_driver = &sqlite->base;
    return PL_OK;
}
