/* engine_runs.c - starting runs. Not reading them (engine_read.c), not recovery (engine_load.c) and
 * not how runs run (run_exec.c). */
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "service/engine_private.h"
#include "service/llm/provider.h"
#include "service/pool.h"
#include "service/run/run_budget.h"
#include "storage/store.h"

#include <stdio.h>

static const uint64_t RUN_SEED_BEGIN = 1469598103934665603u; /* runs of before go on with it */

uint64_t engine_seed(struct pl_str run_id)
{
    return pl_hash_stable(RUN_SEED_BEGIN, run_id);
}

/* Checks the input and fills defaults; the value is the run's. */
static enum pl_code start_input(const struct engine_run_request *request, struct pl_arena *arena,
                                struct pl_value **ret_input, struct doc_problems *problems,
                                struct pl_err *err)
{
    struct pl_str input = request->input.len ? request->input : PL_STR("{}");
    enum pl_code code = json_check(input, PL_LIMIT_JSON_DEPTH, NULL, err);

    if (code != PL_OK)
        return pl_err_prefix(err, "the input");
    if (request->workflow->input_schema) {
        code = schema_apply(request->workflow->input_schema, arena, input, &input, problems);
        if (code != PL_OK)
            return pl_err_set(err, code, "%s",
                              code == PL_ERR_INVALID_INPUT
                                  ? "the input does not fit the workflow's schema"
                                  : "out of memory");
    }
    *ret_input = pl_value_new(input);
    return *ret_input ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

/* What was asked for beside the workflow, as the row keeps it; empty: nothing. Where memory is out
 * the arena has failed, or the text is missing. */
static struct pl_str start_options(const struct engine_run_request *request, struct pl_arena *arena)
{
    bool budget = request->budget.tokens > 0 || request->budget.cost_usd > 0;
    struct pl_str options = {0};
    struct pl_buf out;

    if (request->timeout <= 0 && !budget)
        return options;
    pl_buf_init(&out, 1024);
    json_object_begin(&out);
    if (request->timeout > 0)
        json_add_int(&out, "timeout_ms", request->timeout);
    if (budget) {
        json_key(&out, "budget");
        run_budget_write(&request->budget, &out);
    }
    json_object_end(&out);
    if (!pl_buf_failed(&out))
        options = pl_arena_str(arena, pl_buf_view(&out));
    pl_buf_finish(&out);
    return options;
}

/* Can a budget of money be kept? That of the workflow was looked at when it was compiled. */
static enum pl_code check_budget(struct engine *engine, const struct engine_run_request *request,
                                 struct pl_err *err)
{
    struct providers *providers = engine->env.steps.providers;
    struct pl_str model = {0};

    if (providers && request->budget.cost_usd > 0)
        model = workflow_unpriced(request->workflow, providers_priced, providers);
    if (!model.len)
        return PL_OK;
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "a budget of cost_usd cannot be kept: the price of '%.*s' is not known; add "
                      "it to 'models' of the configuration, or limit tokens",
                      PL_STR_ARG(model));
}

static enum pl_code start_launch(struct engine *engine, const struct engine_run_request *request,
                                 const struct store_run *row, struct pl_err *err)
{
    struct run_exec_options options = {
        .env = &engine->env,
        .home = pool_pick_home(engine->pool),
        .workflow = request->workflow,
        .row = row,
        .on_end = request->on_end,
        .on_recorded = request->on_recorded,
        .arg = request->arg,
        .deltas = request->deltas,
        .key_route = request->key_route,
        .key = request->key,
        .key_fingerprint = request->key_fingerprint,
    };
    struct run_exec *exec;

    options.core = run_core_create(request->workflow, engine_seed(row->id), row->created_at);
    if (options.core && request->timeout > 0)
        run_core_set_timeout(options.core, request->timeout);
    if (options.core)
        run_core_set_budget(options.core, &request->budget);
    if (options.core)
        run_core_set_limits(options.core, engine->max_branches, 0);
    exec = options.core ? run_exec_create(&options) : NULL;
    if (!exec) {
        run_core_destroy(&options.core);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    return engine_launch_run(engine, row, false, exec, err);
}

enum pl_code engine_start_run(struct engine *engine, const struct engine_run_request *request,
                              char ret_id[PL_ID_TEXT], struct doc_problems *problems,
                              struct pl_err *err)
{
    pl_ms now = pl_clock_now(engine->env.clock);
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run row = {
        .tenant = request->tenant,
        .thread = request->thread,
        .metadata = request->metadata,
        .workflow_name = request->workflow_name,
        .workflow_version = request->workflow_version,
        .created_at = now,
    };
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (request->id && request->id != ret_id)
        snprintf(ret_id, PL_ID_TEXT, "%s", request->id);
    else if (!request->id)
        pl_id_new("run", now, ret_id);
    row.id = pl_str(ret_id);
    row.options = start_options(request, arena);
    code = check_budget(engine, request, err);
    if (code == PL_OK)
        code = store_health(engine->store, err);
    if (code == PL_OK)
        code = start_input(request, arena, &row.input, problems, err);
    if (code == PL_OK)
        code = start_launch(engine, request, &row, err);
    pl_value_unref(&row.input);
    pl_arena_destroy(&arena);
    return code;
}

const struct providers *engine_providers(const struct engine *engine)
{
    return engine->env.steps.providers;
}
