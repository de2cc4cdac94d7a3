/* store.c - the store as service/ sees it: checks arguments and joins a driver to a writer. Not
 * SQL, not the queue. Called by service/. */
#include "storage/store.h"

#include "storage/batch.h"
#include "storage/store_driver.h"
#include "storage/writer.h"

#include <assert.h>
#include <stdlib.h>

struct store {
    struct store_driver *driver; /* set once */
    struct store_writer *writer; /* set once */
};

enum pl_code store_open(const struct store_options *options, struct store **ret_store,
                        struct pl_err *err)
{
    const struct store_driver_kind *kind;
    const char *location;
    struct store *store;
    enum pl_code code;

    code = store_driver_find(options->url, &kind, &location, err);
    if (code != PL_OK)
        return code;
    store = calloc(1, sizeof(*store));
    if (!store)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the store");
    code = kind->open(location, options, &store->driver, err);
    if (code != PL_OK)
        goto err_after_alloc;
    code = store_writer_start(store->driver, options->retry_for, &store->writer, err);
    if (code != PL_OK)
        goto err_after_open;
    *ret_store = store;
    return PL_OK;

err_after_open:
    store->driver->ops->close(store->driver);
err_after_alloc:
    free(store);
    return code;
}

void store_close(struct store **store)
{
    if (!store || !*store)
        return;
    store_writer_stop(&(*store)->writer);
    (*store)->driver->ops->close((*store)->driver);
    free(*store);
    *store = NULL;
}

void store_hurry(struct store *store)
{
    store_writer_hurry(store->writer);
}

enum pl_code store_health(struct store *store, struct pl_err *err)
{
    return store_writer_health(store->writer, err);
}

void store_submit(struct store *store, struct store_batch **batch, store_done_fn done, void *arg)
{
    assert(batch && *batch);
    (*batch)->done = done;
    (*batch)->arg = arg;
    store_writer_submit(store->writer, *batch);
    *batch = NULL;
}

void store_submit_op(struct store *store, const struct store_op *op, store_op_done_fn done,
                     void *arg)
{
    const struct store_op_result none = {0};
    struct store_batch *batch = store_batch_of_op(op);
    struct pl_err err;

    if (!batch) {
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
        done(arg, PL_ERR_NO_MEMORY, &none, &err);
        return;
    }
    batch->op_done = done;
    batch->arg = arg;
    store_writer_submit(store->writer, batch);
}

void store_stats(struct store *store, struct store_stats *ret_stats)
{
    store_writer_stats(store->writer, ret_stats);
}

/* ---- reading ---- */

enum pl_code store_get_run(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                           struct pl_str id, struct store_run *ret_run, struct pl_err *err)
{
    return store->driver->ops->get_run(store->driver, arena, tenant, id, ret_run, err);
}

enum pl_code store_list_steps(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run, struct pl_str after, size_t limit,
                              struct store_step **ret_steps, size_t *ret_count, struct pl_err *err)
{
    const struct store_step_filter filter = {.after = after};

    return store_find_steps(store, arena, tenant, run, &filter, limit, ret_steps, ret_count, err);
}

enum pl_code store_find_steps(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run, const struct store_step_filter *filter,
                              size_t limit, struct store_step **ret_steps, size_t *ret_count,
                              struct pl_err *err)
{
    return store->driver->ops->list_steps(store->driver, arena, tenant, run, filter, limit,
                                          ret_steps, ret_count, err);
}

enum pl_code store_list_events(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                               struct pl_str run, int64_t after, size_t limit,
                               struct store_event **ret_events, size_t *ret_count,
                               struct pl_err *err)
{
    return store->driver->ops->list_events(store->driver, arena, tenant, run, after, limit,
                                           ret_events, ret_count, err);
}

enum pl_code store_list_unfinished(struct store *store, struct pl_arena *arena,
                                   struct pl_str after_tenant, struct pl_str after_id, size_t limit,
                                   struct store_run_key **ret_keys, size_t *ret_count,
                                   struct pl_err *err)
{
    return store->driver->ops->list_unfinished(store->driver, arena, after_tenant, after_id, limit,
                                               ret_keys, ret_count, err);
}

enum pl_code store_get_definition(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                  struct pl_str hash, struct pl_str *ret_text, struct pl_err *err)
{
    return store->driver->ops->get_definition(store->driver, arena, tenant, hash, ret_text, err);
}

enum pl_code store_get_thread(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str id, struct store_thread *ret_thread, struct pl_err *err)
{
    return store->driver->ops->get_thread(store->driver, arena, tenant, id, ret_thread, err);
}

enum pl_code store_get_step(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                            struct pl_str run, struct pl_str path, struct store_step *ret_step,
                            struct pl_err *err)
{
    return store->driver->ops->get_step(store->driver, arena, tenant, run, path, ret_step, err);
}

enum pl_code store_list_runs(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                             const struct store_run_filter *filter, size_t limit,
                             struct store_run **ret_runs, size_t *ret_count, struct pl_err *err)
{
    return store->driver->ops->list_runs(store->driver, arena, tenant, filter, limit, ret_runs,
                                         ret_count, err);
}

enum pl_code store_count_steps(struct store *store, struct pl_str tenant, struct pl_str run,
                               int64_t ret_counts[8], struct pl_err *err)
{
    return store->driver->ops->count_steps(store->driver, tenant, run, ret_counts, err);
}

enum pl_code store_look_inside(struct store *store, struct pl_str tenant, struct pl_str run,
                               struct pl_str path, struct store_inside *ret_inside,
                               struct pl_err *err)
{
    return store->driver->ops->look_inside(store->driver, tenant, run, path, ret_inside, err);
}

enum pl_code store_get_key(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                           struct pl_str route, struct pl_str key, struct pl_str *ret_run,
                           struct pl_str *ret_fingerprint, struct pl_err *err)
{
    return store->driver->ops->get_key(store->driver, arena, tenant, route, key, ret_run,
                                       ret_fingerprint, err);
}

enum pl_code store_get_cached(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str key, struct store_cached *ret_cached,
                              struct pl_err *err)
{
    return store->driver->ops->get_cached(store->driver, arena, tenant, key, ret_cached, err);
}

enum pl_code store_get_workflow(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                struct pl_str name, int64_t version,
                                struct store_workflow *ret_workflow, struct pl_err *err)
{
    return store->driver->ops->get_workflow(store->driver, arena, tenant, name, version,
                                            ret_workflow, err);
}

enum pl_code store_list_workflows(struct store *store, struct pl_arena *arena, struct pl_str tenant,
                                  struct pl_str after, size_t limit,
                                  struct store_workflow **ret_workflows, size_t *ret_count,
                                  struct pl_err *err)
{
    return store->driver->ops->list_workflows(store->driver, arena, tenant, after, limit,
                                              ret_workflows, ret_count, err);
}
