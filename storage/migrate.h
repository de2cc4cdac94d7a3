/* migrate.h - numbered migrations: which are due, in which order, each in one transaction. Not SQL:
 * a driver applies one when told to. Called by drivers while they open a database.
 *
 * A new migration is a file storage/migrations/DRIVER/NNNN-what.sql with the next number; the build
 * puts it into the binary. A migration that has been released is never edited. */
#ifndef PLAIT_STORAGE_MIGRATE_H
#define PLAIT_STORAGE_MIGRATE_H

#include "base/compiler.h"
#include "base/err.h"

/* One migration. Static text. */
struct store_migration {
    int number;       /* 1, 2, 3, ... without a gap */
    const char *name; /* "0001-runs" */
    const char *sql;  /* statements, without BEGIN and COMMIT */
};

/* What a driver gives to be migrated; it embeds this struct. Both calls on the opening thread; may
 * block. */
struct store_migrator {
    /* The number of the last migration applied, 0 for an empty database. */
    enum pl_code (*version)(struct store_migrator *migrator, int *ret_version, struct pl_err *err);
    /* Applies one in a transaction of its own, its number recorded in the same transaction.
     * Succeeds without doing anything when another process has applied it meanwhile. */
    enum pl_code (*apply)(struct store_migrator *migrator, const struct store_migration *migration,
                          struct pl_err *err);
};

/* Applies what is missing, in order. Errors: STORE_NEWER (the database knows more migrations than
 * `list`), STORE_CORRUPT (a version below 0), INTERNAL (the list has a gap), and those of the
 * migrator, with the migration's name before the message. */
enum pl_code store_migrate(struct store_migrator *migrator, const struct store_migration *list,
                           size_t count, struct pl_err *err) PL_MUST_CHECK;

/* The lists the build makes from storage/migrations. */
extern const struct store_migration store_sqlite_migrations[];
extern const size_t store_sqlite_migration_count;

#endif
