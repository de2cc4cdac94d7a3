/* engine_service.c - what the HTTP service needs of the engine beside running: starting once per
 * key, waiting for ends, deleting, health. Not lists (engine_list.c), compiling (engine_compile.c)
 * nor stored workflows (engine_workflows.c). */
#include "service/engine_keys.h"
#include "service/engine_private.h"
#include "service/engine_watch.h"
#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- starting ---- */

/* A place among the runs that may go on at once. */
static enum pl_code take_place(struct engine *engine, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    pl_mutex_lock(&engine->lock);
    if (engine->running + engine->starting >= engine->max_runs)
        code = pl_err_set(err, PL_ERR_LIMIT_EXCEEDED,
                          "%u runs are going on, as many as this service takes; try again later",
                          engine->max_runs);
    else
        engine->starting++;
    pl_mutex_unlock(&engine->lock);
    return code;
}

static enum pl_code start_in_place(struct engine *engine, const struct engine_run_request *request,
                                   char ret_id[PL_ID_TEXT], struct doc_problems *problems,
                                   struct pl_err *err)
{
    enum pl_code code = take_place(engine, err);

    if (code != PL_OK)
        return code;
    code = engine_start_run(engine, request, ret_id, problems, err);
    pl_mutex_lock(&engine->lock);
    engine->starting--; /* it counts as running now, or it did not start */
    pl_mutex_unlock(&engine->lock);
    return code;
}

/* A run that was started under a key: holds it until the store does. The run's loop. */
struct keyed_start {
    struct engine *engine;
    struct engine_key *key;            /* NULL once given back */
    struct engine_run_request request; /* for the callbacks only */
};

static void keyed_recorded(void *arg, const char *run_id)
{
    struct keyed_start *start = arg;

    engine_keys_give(start->engine->keys, &start->key);
    if (start->request.on_recorded)
        start->request.on_recorded(start->request.arg, run_id);
}

static void keyed_end(void *arg, const struct engine_end *end)
{
    struct keyed_start *start = arg;

    engine_keys_give(start->engine->keys, &start->key);
    if (start->request.on_end)
        start->request.on_end(start->request.arg, end);
    free(start);
}

/* Starts the run with the key, which is taken in any case. */
static enum pl_code start_keyed(struct engine *engine, const struct engine_run_request *request,
                                struct engine_key *key, char ret_id[PL_ID_TEXT],
                                struct doc_problems *problems, struct pl_err *err)
{
    struct keyed_start *start = calloc(1, sizeof *start);
    struct engine_run_request wrapped = *request;
    enum pl_code code;

    if (!start) {
        engine_keys_give(engine->keys, &key);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    *start = (struct keyed_start){.engine = engine, .key = key, .request = *request};
    wrapped.on_recorded = keyed_recorded;
    wrapped.on_end = keyed_end;
    wrapped.arg = start;
    code = start_in_place(engine, &wrapped, ret_id, problems, err);
    if (code != PL_OK) {
        engine_keys_give(engine->keys, &start->key);
        free(start);
    }
    return code;
}

/* Is the key bound to a run already? NOT_FOUND: it is free. */
static enum pl_code join_recorded(struct engine *engine, const struct engine_run_request *request,
                                  char ret_id[PL_ID_TEXT], struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str run, fingerprint;
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_key(engine->store, arena, request->tenant, request->key_route, request->key,
                         &run, &fingerprint, err);
    if (code == PL_OK && !pl_str_eq(fingerprint, request->key_fingerprint))
        code =
            pl_err_set(err, PL_ERR_KEY_REUSED,
                       "this Idempotency-Key was sent before with another request; use a new one");
    if (code == PL_OK)
        snprintf(ret_id, PL_ID_TEXT, "%.*s", PL_STR_ARG(run));
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code engine_start_or_join_run(struct engine *engine,
                                      const struct engine_run_request *request,
                                      char ret_id[PL_ID_TEXT], bool *ret_joined,
                                      struct doc_problems *problems, struct pl_err *err)
{
    struct engine_key *key = NULL;
    enum pl_code code;

    *ret_joined = false;
    if (request->key.len == 0)
        return start_in_place(engine, request, ret_id, problems, err);
    code = engine_keys_take(engine->keys, engine->store, request->tenant, request->key_route,
                            request->key, &key, err);
    if (code != PL_OK)
        return code;
    code = join_recorded(engine, request, ret_id, err);
    if (code == PL_ERR_NOT_FOUND && request->workflow)
        return start_keyed(engine, request, key, ret_id, problems, err);
    engine_keys_give(engine->keys, &key);
    *ret_joined = code == PL_OK;
    return code;
}

/* ---- waiting for the end ---- */

static enum pl_code check_there(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run run = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_run(engine->store, arena, tenant, run_id, &run, err);
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code engine_watch_end(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                              void (*on_end)(void *arg), void *arg, uint64_t *ret_token,
                              struct pl_err *err)
{
    uint64_t token = 0;
    bool here;
    enum pl_code code;

    /* Under the lock that a run leaves the table by, which it does after the commit of its end: it
     * is either still to leave, and then tells, or the store knows. */
    pl_mutex_lock(&engine->lock);
    here = engine_find_locked(engine, tenant, run_id) != NULL;
    if (here)
        token = engine_watches_add(engine->watches, tenant, run_id, on_end, arg);
    pl_mutex_unlock(&engine->lock);
    if (here && token == 0)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (!here) {
        code = check_there(engine, tenant, run_id, err);
        if (code != PL_OK)
            return code;
    }
    *ret_token = token;
    if (!here)
        on_end(arg);
    return PL_OK;
}

void engine_unwatch_end(struct engine *engine, uint64_t token)
{
    engine_watches_remove(engine->watches, token);
}

bool engine_is_running(struct engine *engine, struct pl_str tenant, struct pl_str run_id)
{
    bool here;

    pl_mutex_lock(&engine->lock);
    here = engine_find_locked(engine, tenant, run_id) != NULL;
    pl_mutex_unlock(&engine->lock);
    return here;
}

/* ---- deleting ---- */

struct deletion {
    engine_done_fn done;
    void *arg;
};

/* The writer thread. */
static void deletion_done(void *arg, enum pl_code code, const struct store_op_result *result,
                          const struct pl_err *err)
{
    struct deletion *deletion = arg;

    (void)result;
    deletion->done(deletion->arg, code, err);
    free(deletion);
}

void engine_submit_deletion(struct engine *engine, const struct store_op *op, engine_done_fn done,
                            void *arg)
{
    struct deletion *deletion = calloc(1, sizeof *deletion);
    struct pl_err err;

    if (!deletion) {
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
        done(arg, PL_ERR_NO_MEMORY, &err);
        return;
    }
    deletion->done = done;
    deletion->arg = arg;
    store_submit_op(engine->store, op, deletion_done, deletion);
}

void engine_delete_run(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                       engine_done_fn done, void *arg)
{
    struct store_op op = {.kind = STORE_OP_DELETE_RUN, .tenant = tenant, .id = run_id};

    engine_submit_deletion(engine, &op, done, arg);
}

/* ---- health ---- */

enum pl_code engine_health(struct engine *engine, struct pl_err *err)
{
    bool closing;

    pl_mutex_lock(&engine->lock);
    closing = engine->closing;
    pl_mutex_unlock(&engine->lock);
    if (closing)
        return pl_err_set(err, PL_ERR_SHUTTING_DOWN, "the engine is shutting down");
    return store_health(engine->store, err);
}
