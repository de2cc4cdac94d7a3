/* engine_compile.c - definitions compiled: as sent, as stored under a name, as pinned. Not the
 * compiling itself (workflow.c) nor the rows (engine_workflows.c). A definition that calls others
 * by name gets them from the same tenant's store, or, once it is pinned, from its own text. */
#include "service/engine_private.h"
#include "service/llm/provider.h"
#include "service/secrets.h"
#include "service/workflow/workflow_cache.h"
#include "storage/store.h"

/* What a check may ask of this engine, for one tenant. */
struct world {
    struct engine *engine;
    struct pl_str tenant;
    struct pl_str name, text; /* about to be stored: whoever names it means this text */
    enum doc_format format;
};

static bool world_model_ok(void *arg, struct pl_str model, struct pl_err *err)
{
    const struct world *world = arg;
    struct providers *providers = world->engine->env.steps.providers;

    return !providers || providers_model_ok(providers, model, err);
}

static bool world_takes(void *arg, struct pl_str model, const char *parameter, struct pl_err *err)
{
    const struct world *world = arg;
    struct providers *providers = world->engine->env.steps.providers;

    return !providers || providers_takes(providers, model, parameter, err);
}

static bool world_priced(void *arg, struct pl_str model)
{
    const struct world *world = arg;
    struct providers *providers = world->engine->env.steps.providers;

    return !providers || providers_priced(providers, model);
}

static bool world_secret_ok(void *arg, struct pl_str name, struct pl_err *err)
{
    const struct world *world = arg;

    return secrets_has(world->engine->env.steps.secrets, name, err);
}

static bool world_find(void *arg, struct pl_str name, struct pl_arena *arena,
                       struct pl_str *ret_text, enum doc_format *ret_format, int64_t *ret_version,
                       struct pl_err *err)
{
    const struct world *world = arg;
    struct store_workflow row;

    *ret_version = 0;
    *ret_format = DOC_JSON;
    if (world->name.len && pl_str_eq(name, world->name)) {
        *ret_text = world->text;
        *ret_format = world->format;
        return true;
    }
    if (engine_read_workflow(world->engine, arena, world->tenant, name, &row, err) != PL_OK)
        return false;
    *ret_text = row.text;
    *ret_version = row.version;
    return true;
}

static enum pl_code world_check_jq(void *arg, struct expr *const *exprs, size_t n_exprs,
                                   struct pl_err *errors, struct pl_err *err)
{
    const struct world *world = arg;

    return workflow_check_jq(world->engine->jq, exprs, n_exprs, errors, err);
}

enum pl_code engine_compile(struct engine *engine, const struct engine_text *text,
                            struct workflow **ret_workflow, struct doc_problems *problems)
{
    struct world world = {engine, text->tenant, text->name, text->text, text->format};
    struct workflow_env env = {
        .arg = &world,
        .model_ok = world_model_ok,
        .takes = world_takes,
        .priced = world_priced,
        .secret_ok = world_secret_ok,
        .find_workflow = world_find,
        .check_jq = world_check_jq,
        .advise = true,
    };
    char key[WORKFLOW_CACHE_KEY];
    struct workflow *workflow;
    enum pl_code code;

    workflow_cache_key(text->text, text->format, key);
    workflow = workflow_cache_get(engine->cache, pl_str(key));
    if (!workflow) {
        code = workflow_compile(text->text, text->format, &env, &workflow, problems);
        if (code != PL_OK)
            return code;
        workflow_cache_put(engine->cache, pl_str(key), workflow);
        workflow_cache_put(engine->cache, pl_str(workflow->hash), workflow);
    } else if (problems->warnings) {
        doc_problems_append(problems->warnings, &workflow->warnings);
    }
    *ret_workflow = workflow;
    return PL_OK;
}

/* A definition of the store, which was checked when it was put there. Errors: INVALID_WORKFLOW,
 * STORE_CORRUPT, NO_MEMORY, each with its message. */
static enum pl_code compile_stored(struct engine *engine, struct pl_str text,
                                   const struct workflow_env *env, struct workflow **ret_workflow,
                                   struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    doc_problems_init(&problems, arena);
    code = workflow_compile(text, DOC_JSON, env, ret_workflow, &problems);
    if (code == PL_OK)
        workflow_cache_put(engine->cache, pl_str((*ret_workflow)->hash), *ret_workflow);
    else if (code == PL_ERR_NO_MEMORY)
        pl_err_set(err, code, "out of memory");
    else
        code = pl_err_set(err, code == PL_ERR_INVALID_WORKFLOW ? code : PL_ERR_STORE_CORRUPT,
                          "%s%s%s", problems.count ? problems.items[0].pointer : "",
                          problems.count && problems.items[0].pointer[0] ? ": " : "",
                          problems.count ? problems.items[0].message : "it cannot be read");
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code engine_compile_named(struct engine *engine, struct pl_str tenant,
                                  const struct store_workflow *row, struct workflow **ret_workflow,
                                  struct pl_err *err)
{
    struct world world = {.engine = engine, .tenant = tenant};
    struct workflow_env env = {.arg = &world, .find_workflow = world_find};
    enum pl_code code;

    /* found by this hash only when it calls no others: then its text says all there is */
    *ret_workflow = workflow_cache_get(engine->cache, row->hash);
    if (*ret_workflow)
        return PL_OK;
    code = compile_stored(engine, row->text, &env, ret_workflow, err);
    if (code != PL_OK)
        pl_err_prefix(err, "the stored workflow %.*s", PL_STR_ARG(row->name));
    return code;
}

enum pl_code engine_definition(struct engine *engine, struct pl_str tenant, struct pl_str hash,
                               struct workflow **ret_workflow, struct pl_err *err)
{
    struct workflow *workflow;
    struct pl_arena *arena;
    struct pl_str text;
    enum pl_code code;

    workflow = workflow_cache_get(engine->cache, hash);
    if (workflow) {
        *ret_workflow = workflow;
        return PL_OK;
    }
    arena = pl_arena_create(0);
    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_definition(engine->store, arena, tenant, hash, &text, err);
    if (code == PL_OK) {
        code = compile_stored(engine, text, NULL, &workflow, err);
        if (code == PL_ERR_INVALID_WORKFLOW)
            code = err->code = PL_ERR_STORE_CORRUPT;
        if (code == PL_OK)
            *ret_workflow = workflow;
        else
            pl_err_prefix(err, "the stored definition %.*s does not compile", PL_STR_ARG(hash));
    }
    pl_arena_destroy(&arena);
    return code;
}
