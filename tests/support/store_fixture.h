/* store_fixture.h - a fresh, empty database of each kind the build has, and waiting for a batch.
 * Not a test. Used by tests/store (the conformance suite runs once for each kind),
 * tests/unit/storage, tests/fault and tests/bench.
 *
 * Another driver joins the conformance suite by one row in store_fixture.c. */
#ifndef PLAIT_TESTS_SUPPORT_STORE_FIXTURE_H
#define PLAIT_TESTS_SUPPORT_STORE_FIXTURE_H

#include "base/sync.h"
#include "storage/store.h"
#include "storage/store_driver.h"

struct store_fixture {
    const struct store_driver_kind *kind; /* its capability flags say which tests apply */
    char url[600];
    char path[500]; /* of the database file, where the kind has one */
    char dir[400];  /* a folder of this fixture's own, removed by finish; a test may put files there
                     */
};

/* How many kinds there are; `index` below is under it. */
size_t store_fixture_count(void);
/* A new database that does not exist yet. Aborts the program when it cannot. */
void store_fixture_init(struct store_fixture *fixture, size_t index);
void store_fixture_finish(struct store_fixture *fixture);
/* Opens it with two readers and no patience for transient errors. Aborts the program when that
 * fails. */
struct store *store_fixture_open(const struct store_fixture *fixture, bool engine);
/* The same, but failing is the test's matter. */
enum pl_code store_fixture_try(const struct store_fixture *fixture, bool engine,
                               struct store **ret_store, struct pl_err *err);

/* Counts completions down. One may be shared by many batches and threads. */
struct store_waiter {
    struct pl_mutex lock;
    struct pl_cond changed;
    size_t done;       /* guarded by lock: completions so far */
    size_t failed;     /* guarded by lock: of them, not PL_OK */
    enum pl_code code; /* guarded by lock: of the last that failed; PL_OK */
    struct pl_err err; /* guarded by lock: the same */
};
void store_waiter_init(struct store_waiter *waiter);
void store_waiter_finish(struct store_waiter *waiter);
/* A store_done_fn whose `arg` is the waiter. */
void store_waiter_done(void *arg, enum pl_code code, const struct pl_err *err);
/* Until `count` completions have come since init. */
void store_waiter_wait(struct store_waiter *waiter, size_t count);
/* Submits one batch and waits; its code, and its error in `err` (may be NULL). */
enum pl_code store_submit_wait(struct store *store, struct store_batch **batch, struct pl_err *err);

#endif
