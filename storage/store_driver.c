/* store_driver.c - the table of drivers by URL scheme. Not a driver. Called by store_open. */
#include "storage/store_driver.h"

static const struct store_driver_kind kinds[] = {
    {.scheme = "sqlite",
     .name = "SQLite",
     .caps = STORE_CAP_ONE_ENGINE | STORE_CAP_LOCAL_FILE,
     .open = sqlite_driver_open},
    {.scheme = "postgres", .name = "PostgreSQL"},
    {.scheme = "postgresql", .name = "PostgreSQL"},
};

enum pl_code store_driver_find(const char *url, const struct store_driver_kind **ret_kind,
                               const char **ret_location, struct pl_err *err)
{
    const char *colon = url ? strchr(url, ':') : NULL;
    struct pl_str scheme;

    if (!colon)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "the database is given as a URL: write sqlite:%s",
                          url && *url ? url : "PATH");
    scheme = pl_str_n(url, (size_t)(colon - url));
    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
        if (!pl_str_is(scheme, kinds[i].scheme))
            continue;
        if (!kinds[i].open)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "this build has no driver for %s: write sqlite:PATH", kinds[i].name);
        if (colon[1] == '\0')
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "the database URL ends behind \"%s:\": write sqlite:PATH",
                              kinds[i].scheme);
        *ret_kind = &kinds[i];
        *ret_location = colon + 1;
        return PL_OK;
    }
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "the database URL begins with no kind this build knows: write sqlite:PATH");
}
