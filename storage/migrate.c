/* migrate.c - brings a database up to the newest migration. Not SQL. Called by drivers while they
 * open. */
#include "storage/migrate.h"

enum pl_code store_migrate(struct store_migrator *migrator, const struct store_migration *list,
                           size_t count, struct pl_err *err)
{
    int version = 0;
    enum pl_code code;

    for (size_t i = 0; i < count; i++)
        if (list[i].number != (int)i + 1)
            return pl_err_set(err, PL_ERR_INTERNAL, "the migrations have a gap at %s",
                              list[i].name);
    code = migrator->version(migrator, &version, err);
    if (code != PL_OK)
        return code;
    if (version < 0)
        return pl_err_set(err, PL_ERR_STORE_CORRUPT, "the database has schema %d, which cannot be",
                          version);
    if ((size_t)version > count)
        return pl_err_set(
            err, PL_ERR_STORE_NEWER,
            "the database has schema %d, this program knows up to %d: use the version "
            "of Plait that wrote it, or a newer one",
            version, (int)count);
    for (size_t i = (size_t)version; i < count; i++) {
        code = migrator->apply(migrator, &list[i], err);
        if (code != PL_OK) {
            pl_err_prefix(err, "migration %s", list[i].name);
            return code;
        }
    }
    return PL_OK;
}
