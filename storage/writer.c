/* writer.c - group commit. Not SQL. Called by store.c; the thread here is the only one that writes.
 *
 * A group goes from `pending` into one transaction. It leaves in one of four ways:
 *   committed        its owners are told PL_OK
 *   for the moment   (disk full, locked, no memory) rolled back, put back in front of `pending`,
 * tried again after a pause together with what has come since; after `retry_for` it is fatal one
 * batch's own  (TOO_LARGE, or memory ran out while it was filled) that batch fails, the others are
 * written fatal            the writer has failed for good: what is and what will be queued fails
 * with that error */
#include "storage/writer.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sync.h"

#include <assert.h>
#include <stdlib.h>

struct store_writer {
    struct store_driver *driver; /* set once */
    pl_ms retry_for;             /* set once */
    pthread_t thread;            /* set once */

    struct pl_mutex lock;
    struct pl_cond wake;
    struct pl_list queue; /* guarded by lock; batches by node, oldest first */
    bool sleeping;        /* guarded by lock; the thread waits for work and has not been woken */
    bool closing;         /* guarded by lock */
    bool hurry;           /* guarded by lock; nobody has long patience any more */
    struct pl_err health; /* guarded by lock; code PL_OK while writes succeed */

    _Atomic uint64_t batches, commits, rows; /* written */

    /* writer thread only */
    struct pl_list pending; /* taken from the queue, not yet committed; oldest first */
    struct pl_err failed;   /* code is not PL_OK once writing has ended for good */
    bool failing;           /* the last try failed for the moment */
    pl_ms failing_since;    /* when the present series of tries began; 0: none */
    bool saw_hurry;         /* `hurry` was read once: the tries count from there */
};

static struct store_batch *batch_of(struct pl_list *node)
{
    return pl_container_of(node, struct store_batch, node);
}

/* All of `from` behind what `to` holds. */
static void move_all(struct pl_list *from, struct pl_list *to)
{
    if (pl_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    pl_list_init(from);
}

static pl_ms ticks(void)
{
    return (pl_ms)(pl_monotonic_us() / 1000) + 1;
}

/* ---- telling the owners ---- */

static void finish(struct store_batch *batch, const struct pl_err *err)
{
    if (batch->op)
        batch->op_done(batch->arg, err->code, &batch->op_result, err);
    else if (batch->done)
        batch->done(batch->arg, err->code, err);
    store_batch_destroy(&batch);
}

/* A group that was committed, but for the batches with a reason of their own. */
static void finish_group(struct pl_list *group)
{
    const struct pl_err fine = {.code = PL_OK};
    struct pl_err own;
    struct pl_list *node;

    while ((node = pl_list_pop(group))) {
        struct store_batch *batch = batch_of(node);

        if (batch->code == PL_OK) {
            finish(batch, batch->op && batch->op_err.code != PL_OK ? &batch->op_err : &fine);
            continue;
        }
        pl_err_set(&own, batch->code, "%s",
                   batch->code == PL_ERR_NO_MEMORY ? "out of memory while the batch was filled"
                                                   : "the batch is larger than the database takes");
        finish(batch, &own);
    }
}

static void fail_all(struct pl_list *list, const struct pl_err *err)
{
    struct pl_list *node;

    while ((node = pl_list_pop(list)))
        finish(batch_of(node), err);
}

static void set_health(struct store_writer *writer, const struct pl_err *err)
{
    pl_mutex_lock(&writer->lock);
    writer->health = *err;
    pl_mutex_unlock(&writer->lock);
}

/* ---- one transaction ---- */

/* What an operation may answer without anything being wrong with the store. */
static bool is_answer(enum pl_code code)
{
    return code == PL_ERR_NOT_FOUND || code == PL_ERR_CONFLICT || code == PL_ERR_PRECONDITION;
}

/* Does one operation. Its answer is of this try only: a transaction that is rolled back and tried
 * again decides anew. */
static enum pl_code operate(struct store_driver *driver, struct store_batch *batch,
                            struct pl_err *err)
{
    enum pl_code code;

    batch->op_result = (struct store_op_result){0};
    batch->op_err = (struct pl_err){.code = PL_OK};
    code = driver->ops->operate(driver, batch->op, &batch->op_result, err);
    if (!is_answer(code))
        return code;
    pl_err_set(&batch->op_err, code, "%s", err->message);
    return PL_OK;
}

static enum pl_code write_one(struct store_driver *driver, struct store_batch *batch,
                              struct pl_err *err)
{
    return batch->op ? operate(driver, batch, err) : driver->ops->write(driver, batch, err);
}

/* Writes the batches of a group that can be written. False in *ret_any when there is none: nothing
 * to commit. */
static enum pl_code write_batches(struct store_writer *writer, struct pl_list *group, bool *ret_any,
                                  struct pl_err *err)
{
    struct store_driver *driver = writer->driver;
    enum pl_code code = PL_OK;

    *ret_any = false;
    PL_LIST_EACH(node, group)
    {
        struct store_batch *batch = batch_of(node);

        if (batch->code != PL_OK)
            continue;
        if (!*ret_any)
            code = driver->ops->begin(driver, err);
        *ret_any = true;
        if (code == PL_OK)
            code = write_one(driver, batch, err);
        if (code == PL_ERR_TOO_LARGE)
            batch->code = code;
        if (code != PL_OK)
            return code;
    }
    return PL_OK;
}

/* Writes and commits; a batch that cannot be written for its own sake is marked and the rest
 * written anew. */
static enum pl_code commit_group(struct store_writer *writer, struct pl_list *group,
                                 struct pl_err *err)
{
    struct store_driver *driver = writer->driver;
    enum pl_code code;
    bool any, again;

    do {
        code = write_batches(writer, group, &any, err);
        again = code == PL_ERR_TOO_LARGE;
        if (code == PL_OK && any)
            code = driver->ops->commit(driver, err);
        if (code != PL_OK)
            driver->ops->rollback(driver);
    } while (again);
    if (code == PL_OK && any)
        atomic_fetch_add(&writer->commits, 1);
    return code;
}

static void count_group(struct store_writer *writer, const struct pl_list *group)
{
    uint64_t batches = 0, rows = 0;

    PL_LIST_EACH(node, group)
    {
        const struct store_batch *batch = batch_of(node);

        if (batch->code != PL_OK)
            continue;
        batches++;
        rows += batch->rows;
    }
    atomic_fetch_add(&writer->batches, batches);
    atomic_fetch_add(&writer->rows, rows);
}

/* ---- failing ---- */

static bool for_the_moment(enum pl_code code)
{
    return code == PL_ERR_NO_SPACE || code == PL_ERR_STORE_BUSY || code == PL_ERR_NO_MEMORY;
}

/* Whether trying again is still allowed. A store that is being closed does not try for ever. */
static bool may_retry(struct store_writer *writer, bool hurry)
{
    pl_ms now = ticks(), limit = writer->retry_for;

    if (writer->failing_since == 0)
        writer->failing_since = now;
    if (hurry && (limit < 0 || limit > STORE_CLOSE_RETRY_MS))
        limit = STORE_CLOSE_RETRY_MS;
    return limit < 0 || now - writer->failing_since < limit;
}

/* Waits before the next try; hurry that begins meanwhile ends the pause. */
static void pause_before_retry(struct store_writer *writer, bool hurry)
{
    pl_ms until = ticks() + STORE_RETRY_PAUSE_MS, now;

    pl_mutex_lock(&writer->lock);
    while (writer->hurry == hurry && (now = ticks()) < until)
        (void)pl_cond_wait_for(&writer->wake, &writer->lock, until - now);
    pl_mutex_unlock(&writer->lock);
}

static void fail_for_good(struct store_writer *writer, const struct pl_err *err)
{
    writer->failed = *err;
    set_health(writer, err);
    log_debug(NULL, "STORE-FAILED", "%s", err->message);
}

/* Writing `group` failed: back in front of the queue to be tried again, or the end. */
static void handle_failure(struct store_writer *writer, struct pl_list *group, bool hurry,
                           const struct pl_err *err)
{
    move_all(&writer->pending, group);
    move_all(group, &writer->pending);
    if (!for_the_moment(err->code) || !may_retry(writer, hurry)) {
        fail_for_good(writer, err);
        return;
    }
    writer->failing = true;
    set_health(writer, err);
    log_debug(NULL, "STORE-RETRY", "%s", err->message);
    pause_before_retry(writer, hurry);
}

/* ---- the thread ---- */

static void recover(struct store_writer *writer)
{
    const struct pl_err fine = {.code = PL_OK};

    if (!writer->failing)
        return;
    writer->failing = false;
    writer->failing_since = 0;
    set_health(writer, &fine);
}

/* The oldest pending batches, as many as one transaction takes. */
static void take_group(struct store_writer *writer, struct pl_list *ret_group)
{
    size_t count = 0, bytes = 0;

    pl_list_init(ret_group);
    while (!pl_list_empty(&writer->pending) && count < STORE_GROUP_BATCHES) {
        struct store_batch *batch = batch_of(writer->pending.next);

        if (count > 0 && bytes + batch->bytes > STORE_GROUP_BYTES)
            break;
        pl_list_remove(&batch->node);
        pl_list_append(ret_group, &batch->node);
        bytes += batch->bytes;
        count++;
    }
}

static void write_group(struct store_writer *writer, bool hurry)
{
    struct store_driver *driver = writer->driver;
    struct pl_list group;
    struct pl_err err = {.code = PL_OK};

    take_group(writer, &group);
    if (commit_group(writer, &group, &err) != PL_OK) {
        handle_failure(writer, &group, hurry, &err);
        return;
    }
    recover(writer);
    count_group(writer, &group);
    finish_group(&group);
    if (driver->ops->maintain && driver->ops->maintain(driver, &err) != PL_OK)
        fail_for_good(writer, &err);
}

/* Moves what is queued to `pending`, sleeping while there is nothing at all to do. True when in a
 * hurry. Nothing is pending afterwards only when closing. */
static bool collect(struct store_writer *writer)
{
    bool hurry;

    pl_mutex_lock(&writer->lock);
    while (pl_list_empty(&writer->pending) && pl_list_empty(&writer->queue) && !writer->closing) {
        writer->sleeping = true;
        pl_cond_wait(&writer->wake, &writer->lock);
    }
    writer->sleeping = false;
    move_all(&writer->queue, &writer->pending);
    hurry = writer->hurry;
    pl_mutex_unlock(&writer->lock);
    if (hurry && !writer->saw_hurry) {
        writer->saw_hurry = true;
        writer->failing_since = 0;
    }
    return hurry;
}

static void *writer_main(void *arg)
{
    struct store_writer *writer = arg;

    for (;;) {
        bool hurry = collect(writer);

        if (pl_list_empty(&writer->pending))
            return NULL; /* only when closing */
        if (writer->failed.code == PL_OK)
            write_group(writer, hurry);
        if (writer->failed.code != PL_OK)
            fail_all(&writer->pending, &writer->failed);
    }
}

/* ---- for store.c ---- */

enum pl_code store_writer_start(struct store_driver *driver, pl_ms retry_for,
                                struct store_writer **ret_writer, struct pl_err *err)
{
    struct store_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the store's writer");
    writer->driver = driver;
    writer->retry_for = retry_for;
    pl_mutex_init(&writer->lock);
    pl_cond_init(&writer->wake);
    pl_list_init(&writer->queue);
    pl_list_init(&writer->pending);
    if (!pl_thread_start(&writer->thread, "store-writer", writer_main, writer)) {
        pl_cond_finish(&writer->wake);
        pl_mutex_finish(&writer->lock);
        free(writer);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "the store's writer thread cannot be started");
    }
    *ret_writer = writer;
    return PL_OK;
}

void store_writer_stop(struct store_writer **writer_at)
{
    struct store_writer *writer;

    if (!writer_at || !*writer_at)
        return;
    writer = *writer_at;
    assert(!pthread_equal(pthread_self(), writer->thread));
    pl_mutex_lock(&writer->lock);
    writer->closing = writer->hurry = true;
    pl_cond_signal(&writer->wake);
    pl_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    assert(pl_list_empty(&writer->queue) && pl_list_empty(&writer->pending));
    pl_cond_finish(&writer->wake);
    pl_mutex_finish(&writer->lock);
    free(writer);
    *writer_at = NULL;
}

void store_writer_hurry(struct store_writer *writer)
{
    pl_mutex_lock(&writer->lock);
    writer->hurry = true;
    pl_cond_signal(&writer->wake);
    pl_mutex_unlock(&writer->lock);
}

void store_writer_submit(struct store_writer *writer, struct store_batch *batch)
{
    if (store_batch_failed(batch))
        batch->code = PL_ERR_NO_MEMORY;
    pl_mutex_lock(&writer->lock);
    assert(!writer->closing);
    pl_list_append(&writer->queue, &batch->node);
    /* Under the lock: once it is released the batch may complete and its owner close the store. */
    if (writer->sleeping)
        pl_cond_signal(&writer->wake);
    writer->sleeping = false;
    pl_mutex_unlock(&writer->lock);
}

enum pl_code store_writer_health(struct store_writer *writer, struct pl_err *err)
{
    enum pl_code code;

    pl_mutex_lock(&writer->lock);
    code = writer->health.code;
    if (err && code != PL_OK)
        *err = writer->health;
    pl_mutex_unlock(&writer->lock);
    return code;
}

void store_writer_stats(struct store_writer *writer, struct store_stats *ret_stats)
{
    ret_stats->batches = atomic_load(&writer->batches);
    ret_stats->commits = atomic_load(&writer->commits);
    ret_stats->rows = atomic_load(&writer->rows);
}
