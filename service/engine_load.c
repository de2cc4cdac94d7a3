/* engine_load.c - recovery: unfinished runs of the store, loaded from their rows and sent on. Not
 * new runs (engine_runs.c). What a loaded run does with a call that was in flight is run_core's
 * (RUN_EV_RECOVER). */
#include "base/log.h"
#include "service/engine_private.h"
#include "service/llm/provider.h"
#include "service/pool.h"
#include "service/secrets.h"
#include "storage/store.h"

#include <stdio.h>

enum { LOAD_PAGE = 1000 };

static enum pl_code load_core(struct engine *engine, struct pl_arena *arena,
                              struct workflow *workflow, const struct store_run *run,
                              struct run_core **ret_core, struct pl_err *err)
{
    struct engine_rows rows = {0};
    enum pl_code code = engine_read_rows(engine, arena, run->tenant, run->id, &rows, err);

    if (code == PL_OK)
        code = run_core_load(workflow, engine_seed(run->id), run, rows.items, rows.count, ret_core,
                             err);
    if (code == PL_OK)
        run_core_set_limits(*ret_core, engine->max_branches, 0);
    engine_rows_finish(&rows);
    return code;
}

/* ---- what it needs ---- */

/* Are the secrets there that it names? */
static bool has_secrets(const struct secrets *secrets, const struct step_def *step,
                        struct pl_err *err)
{
    const struct agent_config *agent = step->kind == STEP_AGENT ? step->config.agent : NULL;

    if (step->kind == STEP_HTTP && step->config.http->auth_secret.len)
        return secrets_has(secrets, step->config.http->auth_secret, err);
    for (size_t i = 0; agent && i < agent->n_mcp; i++)
        if (agent->mcp[i].auth_secret.len && !secrets_has(secrets, agent->mcp[i].auth_secret, err))
            return false;
    return true;
}

struct need_check {
    const struct engine *engine;
    struct pl_err *err;
    const struct step_def *lacking; /* the first that lacks something */
};

static bool check_need(void *arg, const struct step_def *step, struct pl_str model)
{
    struct need_check *check = arg;
    const struct step_env *env = &check->engine->env.steps;

    if ((model.len == 0 || providers_model_ok(env->providers, model, check->err)) &&
        has_secrets(env->secrets, step, check->err))
        return true;
    check->lacking = step;
    return false;
}

/* A run that went on without a provider it needs would fail for good: it is left as it is until the
 * provider is back. Steps that are over need none. */
static enum pl_code check_needs(struct engine *engine, const struct run_core *core,
                                struct pl_str id, struct pl_err *err)
{
    struct need_check check = {.engine = engine, .err = err};

    if (run_core_each_need(core, check_need, &check))
        return PL_OK;
    return pl_err_prefix(err, "run %.*s stays as it is: step %.*s", PL_STR_ARG(id),
                         PL_STR_ARG(check.lacking->path));
}

/* ---- one run ---- */

/* `cancel`: it is loaded for that, and needs nothing. */
static enum pl_code load_launch(struct engine *engine, const struct engine_run_request *request,
                                bool cancel, struct pl_arena *arena, struct workflow *workflow,
                                const struct store_run *run, struct pl_err *err)
{
    struct run_exec_options options = {
        .env = &engine->env,
        .home = pool_pick_home(engine->pool),
        .workflow = workflow,
        .row = run,
        .loaded = true,
        .cancel = cancel,
        .on_end = request->on_end,
        .on_recorded = request->on_recorded,
        .arg = request->arg,
    };
    struct run_exec *exec;
    enum pl_code code = load_core(engine, arena, workflow, run, &options.core, err);

    if (code == PL_OK && !cancel)
        code = check_needs(engine, options.core, run->id, err);
    exec = code == PL_OK ? run_exec_create(&options) : NULL;
    if (code == PL_OK && !exec)
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code != PL_OK) {
        run_core_destroy(&options.core);
        return code;
    }
    return engine_launch_run(engine, run, true, exec, err);
}

static enum pl_code check_not_here(struct engine *engine, struct pl_str tenant, struct pl_str id,
                                   struct pl_err *err)
{
    bool here;

    pl_mutex_lock(&engine->lock);
    here = engine_find_locked(engine, tenant, id) != NULL;
    pl_mutex_unlock(&engine->lock);
    return here ? pl_err_set(err, PL_ERR_CONFLICT, "run %.*s is going on already", PL_STR_ARG(id))
                : PL_OK;
}

static enum pl_code load_locked(struct engine *engine, const struct engine_run_request *request,
                                bool cancel, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str id = pl_str(request->id);
    struct workflow *workflow = NULL;
    struct store_run run = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = check_not_here(engine, request->tenant, id, err);
    if (code == PL_OK)
        code = store_get_run(engine->store, arena, request->tenant, id, &run, err);
    if (code == PL_OK && run.ended_at)
        code = pl_err_set(err, PL_ERR_CONFLICT, "run %.*s is over: it %.*s", PL_STR_ARG(id),
                          PL_STR_ARG(run.status));
    if (code == PL_OK)
        code = engine_run_workflow(engine, request->tenant, id, &workflow, err);
    if (code == PL_OK)
        code = load_launch(engine, request, cancel, arena, workflow, &run, err);
    workflow_unref(&workflow);
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code;
}

static enum pl_code load(struct engine *engine, const struct engine_run_request *request,
                         bool cancel, struct pl_err *err)
{
    enum pl_code code;

    pl_mutex_lock(&engine->loading);
    code = load_locked(engine, request, cancel, err);
    pl_mutex_unlock(&engine->loading);
    return code;
}

enum pl_code engine_load(struct engine *engine, const struct engine_run_request *request,
                         struct pl_err *err)
{
    return load(engine, request, false, err);
}

enum pl_code engine_cancel_left(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                struct pl_err *err)
{
    struct engine_run_request request = {.tenant = tenant};
    char id[PL_ID_TEXT];

    if (run_id.len >= sizeof(id))
        return pl_err_set(err, PL_ERR_NOT_FOUND, "there is no such run");
    snprintf(id, sizeof(id), "%.*s", PL_STR_ARG(run_id));
    request.id = id;
    return load(engine, &request, true, err);
}

enum pl_code engine_resume_run(struct engine *engine, const struct engine_run_request *request,
                               struct pl_err *err)
{
    return engine_load(engine, request, err);
}

static void adopt_one(struct engine *engine, const struct store_run_key *run)
{
    struct engine_run_request request = {.tenant = run->tenant, .id = run->id.ptr};
    struct log_context context = {.run = run->id.ptr};
    struct pl_err err = {0};

    if (engine_load(engine, &request, &err) == PL_OK)
        log_info(&context, "RUN-ADOPTED", "an unfinished run goes on");
    else
        log_error(&context, "RUN-NOT-ADOPTED", "an unfinished run cannot go on: %s", err.message);
}

enum pl_code engine_adopt_all(struct engine *engine, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str after_tenant = {0}, after_id = {0};
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    size_t count = LOAD_PAGE;

    while (code == PL_OK && count == LOAD_PAGE) {
        struct store_run_key *runs;

        code = store_list_unfinished(engine->store, arena, after_tenant, after_id, LOAD_PAGE, &runs,
                                     &count, err);
        for (size_t i = 0; code == PL_OK && i < count; i++) {
            adopt_one(engine, &runs[i]);
            after_tenant = runs[i].tenant;
            after_id = runs[i].id;
        }
    }
    pl_arena_destroy(&arena);
    return code;
}
