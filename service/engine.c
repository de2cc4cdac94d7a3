/* engine.c - the engine's life: opens the store, starts the loops, knows the runs that are going
 * on, drains and closes. Not how runs start or are read (engine_runs.c, engine_load.c) and not how
 * they run (run_exec.c). Called by api/. */
#include "service/engine.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "service/engine_keys.h"
#include "service/engine_private.h"
#include "service/engine_turns.h"
#include "service/engine_watch.h"
#include "service/llm/llm_totals.h"
#include "service/llm/provider.h"
#include "service/mcp/mcp_servers.h"
#include "service/pool.h"
#include "service/tape/tape.h"
#include "service/workflow/workflow_cache.h"
#include "storage/store.h"

#include <stdlib.h>

enum { DROP_AGAIN_MS = 100 };

/* ---- the table of runs ---- */

static struct pl_list *engine_bucket(struct engine *engine, struct pl_str id)
{
    return &engine->buckets[pl_hash(id) % ENGINE_BUCKETS];
}

struct run_exec *engine_find_locked(struct engine *engine, struct pl_str tenant, struct pl_str id)
{
    struct pl_list *bucket = engine_bucket(engine, id);

    PL_LIST_EACH(link, bucket)
    {
        struct run_exec *exec = run_exec_from_link(link);

        if (pl_str_eq(run_exec_id(exec), id) && pl_str_eq(run_exec_tenant(exec), tenant))
            return exec;
    }
    return NULL;
}

enum pl_code engine_launch(struct engine *engine, struct run_exec *exec, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    pl_mutex_lock(&engine->lock);
    if (engine->closing) {
        code = pl_err_set(err, PL_ERR_SHUTTING_DOWN,
                          "the engine is shutting down; try again when it is back");
    } else if (engine_find_locked(engine, run_exec_tenant(exec), run_exec_id(exec))) {
        code = pl_err_set(err, PL_ERR_CONFLICT, "run %.*s is going on already",
                          PL_STR_ARG(run_exec_id(exec)));
    } else {
        pl_list_append(engine_bucket(engine, run_exec_id(exec)), run_exec_link(exec));
        engine->running++;
        run_exec_post_start(exec); /* under the lock: mail about this run can only follow */
    }
    pl_mutex_unlock(&engine->lock);
    return code;
}

/* A loop's thread. */
static void engine_gone(struct engine *engine, struct run_exec *exec)
{
    const enum run_state state = run_exec_end(exec);

    pl_mutex_lock(&engine->lock);
    pl_list_remove(run_exec_link(exec));
    engine->ended.succeeded += state == RUN_SUCCEEDED;
    engine->ended.failed += state == RUN_FAILED;
    engine->ended.cancelled += state == RUN_CANCELLED;
    pl_mutex_unlock(&engine->lock);
    engine_leave_thread(engine, exec);
    engine_watches_fire(engine->watches, run_exec_tenant(exec), run_exec_id(exec));
    pl_mutex_lock(&engine->lock);
    engine->running--;
    pl_cond_broadcast(&engine->changed);
    pl_mutex_unlock(&engine->lock);
}

/* A loop's thread. */
static void engine_idle(struct engine *engine, bool idle)
{
    pl_mutex_lock(&engine->lock);
    engine->idle += idle ? 1 : (size_t)-1;
    pl_mutex_unlock(&engine->lock);
}

size_t engine_going(struct engine *engine)
{
    size_t going;

    pl_mutex_lock(&engine->lock);
    going = engine->running - engine->idle;
    pl_mutex_unlock(&engine->lock);
    return going;
}

void engine_get_ended(struct engine *engine, struct engine_ended *ret_ended)
{
    pl_mutex_lock(&engine->lock);
    *ret_ended = engine->ended;
    pl_mutex_unlock(&engine->lock);
}

size_t engine_running(struct engine *engine)
{
    size_t running;

    pl_mutex_lock(&engine->lock);
    running = engine->running;
    pl_mutex_unlock(&engine->lock);
    return running;
}

/* ---- mail to runs ---- */

enum engine_order { ORDER_CANCEL, ORDER_ANSWER, ORDER_DRAIN, ORDER_DROP };

struct engine_mail {
    struct loop_mail mail;
    struct engine *engine;
    enum engine_order order;
    struct run_answer *answer;      /* ORDER_ANSWER */
    struct pl_str tenant, id, path; /* behind the struct */
};

/* The run has gone: it is over, or its engine stops. */
static void engine_answer_missed(struct run_answer *answer)
{
    pl_err_set(&answer->err, PL_ERR_CONFLICT, "the run does not go on here");
    answer->done(answer);
}

/* The run's loop: a run is freed on its own loop only, so what is found here lives until this
 * returns. One that was dropped and resumed meanwhile may live on another loop now: the mail goes
 * after it. */
static void engine_deliver(struct loop *loop, struct loop_mail *mail)
{
    struct engine_mail *order = pl_container_of(mail, struct engine_mail, mail);
    struct run_exec *exec;
    bool moved;

    pl_mutex_lock(&order->engine->lock);
    exec = engine_find_locked(order->engine, order->tenant, order->id);
    moved = exec && run_exec_home(exec) != loop;
    if (moved)
        loop_post(run_exec_home(exec), mail);
    pl_mutex_unlock(&order->engine->lock);
    if (moved)
        return;
    if (exec) {
        switch (order->order) {
        case ORDER_CANCEL:
            run_exec_cancel(exec, order->path);
            break;
        case ORDER_ANSWER:
            run_exec_answer(exec, order->answer);
            break;
        case ORDER_DRAIN:
            run_exec_drain(exec);
            break;
        case ORDER_DROP:
            run_exec_drop(exec);
            break;
        }
    }
    if (!exec && order->answer)
        engine_answer_missed(order->answer);
    free(order);
}

static struct pl_str put_text(char **at, struct pl_str text)
{
    struct pl_str copy = {.ptr = *at, .len = text.len};

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static bool engine_post_locked(struct engine *engine, struct run_exec *exec,
                               enum engine_order order, struct pl_str path,
                               struct run_answer *answer)
{
    struct pl_str tenant = run_exec_tenant(exec), id = run_exec_id(exec);
    struct engine_mail *mail = calloc(1, sizeof *mail + tenant.len + id.len + path.len);
    char *at;

    if (!mail)
        return false;
    at = (char *)(mail + 1);
    mail->mail.deliver = engine_deliver;
    mail->engine = engine;
    mail->order = order;
    mail->answer = answer;
    mail->tenant = put_text(&at, tenant);
    mail->id = put_text(&at, id);
    mail->path = put_text(&at, path);
    loop_post(run_exec_home(exec), &mail->mail);
    return true;
}

enum pl_code engine_cancel(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                           struct pl_str path, struct pl_err *err)
{
    struct run_exec *exec;
    enum pl_code code = PL_OK;

    pl_mutex_lock(&engine->lock);
    exec = engine_find_locked(engine, tenant, run_id);
    if (!exec)
        code =
            pl_err_set(err, PL_ERR_NOT_FOUND, "run %.*s is not going on here", PL_STR_ARG(run_id));
    else if (!engine_post_locked(engine, exec, ORDER_CANCEL, path, NULL))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    pl_mutex_unlock(&engine->lock);
    return code;
}

enum pl_code engine_post_answer(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                struct run_answer *answer, struct pl_err *err)
{
    struct run_exec *exec;
    bool posted = true;

    pl_mutex_lock(&engine->lock);
    exec = engine_find_locked(engine, tenant, run_id);
    if (exec)
        posted = engine_post_locked(engine, exec, ORDER_ANSWER, (struct pl_str){0}, answer);
    pl_mutex_unlock(&engine->lock);
    if (!posted)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (!exec)
        engine_answer_missed(answer);
    return PL_OK;
}

/* False when memory was out for some. */
static bool engine_post_all_locked(struct engine *engine, enum engine_order order)
{
    bool all = true;

    for (size_t i = 0; i < ENGINE_BUCKETS; i++) {
        PL_LIST_EACH(link, &engine->buckets[i])
        {
            if (!engine_post_locked(engine, run_exec_from_link(link), order, (struct pl_str){0},
                                    NULL))
                all = false;
        }
    }
    if (!all)
        log_error(NULL, "ENGINE-NO-MEMORY", "a run could not be told to stop");
    return all;
}

/* ---- life ---- */

static enum pl_code engine_init_tables(struct engine *engine, struct pl_err *err)
{
    pl_mutex_init(&engine->loading);
    pl_mutex_init(&engine->lock);
    pl_cond_init(&engine->changed);
    engine->bus = bus_create();
    engine->cache = workflow_cache_create();
    engine->watches = engine_watches_create();
    engine->keys = engine_keys_create();
    engine->turns = engine_turns_create();
    engine->mcp = mcp_servers_create();
    engine->buckets = calloc(ENGINE_BUCKETS, sizeof *engine->buckets);
    if (!engine->bus || !engine->buckets || !engine->cache || !engine->watches || !engine->keys ||
        !engine->turns || !engine->mcp)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < ENGINE_BUCKETS; i++)
        pl_list_init(&engine->buckets[i]);
    return PL_OK;
}

static void engine_init_env(struct engine *engine, const struct engine_options *options,
                            const struct pl_clock *clock)
{
    engine->env = (struct run_env){
        .engine = engine,
        .store = engine->store,
        .pool = engine->pool,
        .bus = engine->bus,
        .jq = engine->jq,
        .reuse = engine->reuse,
        .clock = clock,
        .tape = options->tape,
        .idle = engine_idle,
        .gone = engine_gone,
        .steps =
            {
                .providers = options->providers,
                .policy = options->policy,
                .mcp = engine->mcp,
                .secrets = options->secrets,
                .offline = options->tape && !tape_records(options->tape),
                .max_output = options->max_step_output ? options->max_step_output
                                                       : PL_LIMIT_STEP_OUTPUT_BYTES,
            },
    };
}

enum pl_code engine_create(const struct engine_options *options, struct engine **ret_engine,
                           struct pl_err *err)
{
    const struct pl_clock *clock = options->clock ? options->clock : pl_clock_real();
    struct store_options store = {
        .url = options->db,
        .engine = true,
        .readers = options->readers,
        .retry_for = options->retry_writes_for,
    };
    struct engine *engine = calloc(1, sizeof *engine);
    enum pl_code code;

    if (!engine)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    engine->max_runs = options->max_runs ? options->max_runs : ENGINE_MAX_RUNS;
    engine->max_branches = options->max_branches;
    code = engine_init_tables(engine, err);
    if (code == PL_OK) /* before the store has a thread */
        code = pool_create(options->loops, clock, &engine->pool, err);
    if (code == PL_OK)
        code = store_open(&store, &engine->store, err);
    if (code == PL_OK)
        code = jq_pool_create(0, &engine->jq, err);
    if (code == PL_OK && !(engine->reuse = reuse_create(engine->store, clock)))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK) {
        if (options->until_exit)
            pool_until_exit(engine->pool);
        engine_init_env(engine, options, clock);
        if (options->adopt)
            code = engine_adopt_all(engine, err);
    }
    if (code != PL_OK) {
        engine_destroy(&engine, 0);
        return code;
    }
    *ret_engine = engine;
    return PL_OK;
}

/* Tells every run to stop and waits until they have. One that could not be told, for want of
 * memory, is told again. */
static void engine_drop_all_locked(struct engine *engine)
{
    bool told = engine_post_all_locked(engine, ORDER_DROP);

    store_hurry(engine->store); /* they wait for their last commits */
    while (engine->running) {
        if (told)
            pl_cond_wait(&engine->changed, &engine->lock);
        else if (!pl_cond_wait_for(&engine->changed, &engine->lock, DROP_AGAIN_MS))
            told = engine_post_all_locked(engine, ORDER_DROP);
    }
}

void engine_drain(struct engine *engine, pl_ms drain)
{
    int64_t end = pl_monotonic_us() / 1000 + drain;

    pl_mutex_lock(&engine->lock);
    engine->closing = true;
    if (drain > 0)
        (void)engine_post_all_locked(engine, ORDER_DRAIN);
    while (engine->running && !engine->stop_draining) {
        int64_t left = end - pl_monotonic_us() / 1000;

        if (left <= 0 || !pl_cond_wait_for(&engine->changed, &engine->lock, left))
            break;
    }
    engine_drop_all_locked(engine);
    pl_mutex_unlock(&engine->lock);
}

void engine_stop_draining(struct engine *engine)
{
    pl_mutex_lock(&engine->lock);
    engine->stop_draining = true;
    pl_cond_broadcast(&engine->changed);
    pl_mutex_unlock(&engine->lock);
}

void engine_destroy(struct engine **ret_engine, pl_ms drain)
{
    struct engine *engine = *ret_engine;

    if (!engine)
        return;
    if (engine->pool && engine->store)
        engine_drain(engine, drain);
    jq_pool_destroy(&engine->jq);
    pool_destroy(&engine->pool);
    reuse_stop(engine->reuse);
    store_close(&engine->store);
    reuse_destroy(&engine->reuse);
    bus_destroy(&engine->bus);
    workflow_cache_destroy(&engine->cache);
    engine_watches_destroy(&engine->watches);
    engine_keys_destroy(&engine->keys);
    engine_turns_destroy(&engine->turns);
    mcp_servers_destroy(&engine->mcp);
    free(engine->buckets);
    pl_cond_finish(&engine->changed);
    pl_mutex_finish(&engine->lock);
    pl_mutex_finish(&engine->loading);
    free(engine);
    *ret_engine = NULL;
}

bool engine_get_lane(struct engine *engine, size_t index, struct engine_lane *ret_lane)
{
    const struct providers *providers = engine->env.steps.providers;
    const struct provider *provider = providers ? providers_at(providers, index) : NULL;
    const struct llm_totals *totals;
    struct lane_stats stats;

    if (!provider)
        return false;
    totals = provider->totals;
    lane_get_stats(provider->lane, pl_clock_now(pl_clock_real()), &stats);
    *ret_lane = (struct engine_lane){.provider = provider->name,
                                     .in_flight = stats.in_flight,
                                     .waiting = stats.waiting,
                                     .window = stats.window,
                                     .paused = stats.paused_until > 0,
                                     .succeeded = atomic_load(&totals->succeeded),
                                     .failed = atomic_load(&totals->failed),
                                     .cancelled = atomic_load(&totals->cancelled),
                                     .calls = atomic_load(&totals->calls),
                                     .input_tokens = atomic_load(&totals->input_tokens),
                                     .output_tokens = atomic_load(&totals->output_tokens),
                                     .cost_usd = llm_totals_cost(totals)};
    return true;
}

struct bus *engine_bus(struct engine *engine)
{
    return engine->bus;
}

void engine_store_stats(struct engine *engine, struct store_stats *ret_stats)
{
    store_stats(engine->store, ret_stats);
}
