/* store_fixture.c - databases for tests. Not a test. */
#include "tests/support/store_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One row a driver: what stands before and behind the fixture's own folder in its URL. */
static const struct {
    const char *prefix, *suffix;
} kinds[] = {
    {"sqlite:", "/store.db"},
};

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "store fixture: %s: %s\n", what, why);
    abort();
}

size_t store_fixture_count(void)
{
    return PL_ARRAY_LEN(kinds);
}

void store_fixture_init(struct store_fixture *fixture, size_t index)
{
    const char *parent = getenv("TMPDIR");
    const char *location;
    struct pl_err err;

    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->dir, sizeof(fixture->dir), "%s/plait-store-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(fixture->dir))
        give_up("mkdtemp", fixture->dir);
    snprintf(fixture->path, sizeof(fixture->path), "%s%s", fixture->dir, kinds[index].suffix);
    snprintf(fixture->url, sizeof(fixture->url), "%s%s", kinds[index].prefix, fixture->path);
    if (store_driver_find(fixture->url, &fixture->kind, &location, &err) != PL_OK)
        give_up(fixture->url, err.message);
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info;
    (void)flag;
    (void)walk;
    return remove(path);
}

void store_fixture_finish(struct store_fixture *fixture)
{
    (void)nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

enum pl_code store_fixture_try(const struct store_fixture *fixture, bool engine,
                               struct store **ret_store, struct pl_err *err)
{
    struct store_options options = {.url = fixture->url, .engine = engine, .readers = 2};

    return store_open(&options, ret_store, err);
}

struct store *store_fixture_open(const struct store_fixture *fixture, bool engine)
{
    struct store *store = NULL;
    struct pl_err err;

    if (store_fixture_try(fixture, engine, &store, &err) != PL_OK)
        give_up(fixture->url, err.message);
    return store;
}

void store_waiter_init(struct store_waiter *waiter)
{
    memset(waiter, 0, sizeof(*waiter));
    pl_mutex_init(&waiter->lock);
    pl_cond_init(&waiter->changed);
}

void store_waiter_finish(struct store_waiter *waiter)
{
    pl_cond_finish(&waiter->changed);
    pl_mutex_finish(&waiter->lock);
}

void store_waiter_done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct store_waiter *waiter = arg;

    pl_mutex_lock(&waiter->lock);
    waiter->done++;
    if (code != PL_OK) {
        waiter->failed++;
        waiter->code = code;
        waiter->err = *err;
    }
    pl_cond_broadcast(&waiter->changed);
    pl_mutex_unlock(&waiter->lock);
}

void store_waiter_wait(struct store_waiter *waiter, size_t count)
{
    pl_mutex_lock(&waiter->lock);
    while (waiter->done < count)
        pl_cond_wait(&waiter->changed, &waiter->lock);
    pl_mutex_unlock(&waiter->lock);
}

enum pl_code store_submit_wait(struct store *store, struct store_batch **batch, struct pl_err *err)
{
    struct store_waiter waiter;

    store_waiter_init(&waiter);
    store_submit(store, batch, store_waiter_done, &waiter);
    store_waiter_wait(&waiter, 1);
    if (err && waiter.code != PL_OK)
        *err = waiter.err;
    store_waiter_finish(&waiter);
    return waiter.code;
}
