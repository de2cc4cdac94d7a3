/* workflow_file.c - see workflow_file.h. */
#include "api/cli/workflow_file.h"

#include "api/cli/command.h"
#include "base/limits.h"
#include "service/jq_check.h"
#include "service/llm/provider.h"

void workflow_file_print(const char *path, struct doc_problems *problems, FILE *out)
{
    doc_problems_sort(problems);
    for (size_t i = 0; i < problems->count; i++) {
        const struct doc_problem *problem = &problems->items[i];

        fprintf(out, "%s:%u:%u ", path, problem->line, problem->column);
        cli_put_plain(out, problem->pointer);
        fputs(": ", out);
        cli_put_plain(out, problem->message);
        fputc('\n', out);
    }
    if (problems->total > problems->count)
        fprintf(out, "%s: and %zu more\n", path, problems->total - problems->count);
}

struct config *workflow_file_config(const char *path)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    struct config *config = NULL;
    struct pl_err err = {0};

    if (!arena)
        return NULL;
    doc_problems_init(&problems, arena);
    if (config_load(path, &config, &problems, &err) != PL_OK) {
        fprintf(stderr, "plait: %s\n", err.message);
        workflow_file_print(path ? path : "environment", &problems, stderr);
    }
    pl_arena_destroy(&arena);
    return config;
}

/* ---- what a check asks of the world ---- */

struct world {
    const struct config *config;
    struct providers *providers; /* of the configuration, else the simulated one alone */
    const char *path;            /* of the file that is compiled */
};

/* Without a configuration any provider may exist, but the simulated one always does. */
static bool world_model_ok(void *arg, struct pl_str model, struct pl_err *err)
{
    const struct world *world = arg;

    if (!world->config && (!pl_str_starts(model, PL_STR("sim/")) || !world->providers))
        return true;
    return providers_model_ok(world->providers, model, err);
}

/* A workflow that is called by name stands beside the file: NAME.yaml, NAME.yml or NAME.json. Files
 * have no versions: NAME@3 is the same file. */
static bool world_find(void *arg, struct pl_str name, struct pl_arena *arena,
                       struct pl_str *ret_text, enum doc_format *ret_format, int64_t *ret_version,
                       struct pl_err *err)
{
    static const char *const endings[] = {"yaml", "yml", "json"};
    const struct world *world = arg;
    const char *slash = strrchr(world->path, '/');
    const char *at = memchr(name.ptr, '@', name.len);
    int folder = slash ? (int)(slash - world->path) + 1 : 0;
    struct pl_err failure = {0};

    if (at)
        name.len = (size_t)(at - name.ptr);
    for (size_t i = 0; i < PL_ARRAY_LEN(endings); i++) {
        const char *file = pl_arena_printf(arena, "%.*s%.*s.%s", folder, world->path,
                                           PL_STR_ARG(name), endings[i]);
        enum pl_code code =
            file ? config_read_file(arena, file, PL_LIMIT_DOCUMENT_BYTES, ret_text, &failure)
                 : pl_err_set(&failure, PL_ERR_NO_MEMORY, "out of memory");

        *ret_format = i == 2 ? DOC_JSON : DOC_YAML;
        *ret_version = 0;
        if (code == PL_OK)
            return true;
        if (code != PL_ERR_NOT_FOUND) {
            *err = failure;
            return false;
        }
    }
    pl_err_set(err, PL_ERR_NOT_FOUND,
               "there is no %.*s.yaml (nor .yml, .json) beside the file; a workflow called by name "
               "is looked for there",
               PL_STR_ARG(name));
    return false;
}

static enum pl_code world_check_jq(void *arg, struct expr *const *exprs, size_t n_exprs,
                                   struct pl_err *errors, struct pl_err *err)
{
    (void)arg;
    return jq_check_exprs(NULL, exprs, n_exprs, errors, err);
}

static enum pl_code compile_text(const char *path, struct pl_str text, const struct config *config,
                                 const char *model, struct workflow **ret_workflow,
                                 struct doc_problems *problems)
{
    struct providers *sim = config ? NULL : providers_create();
    struct world world = {
        .config = config,
        .providers = config ? config->providers : sim,
        .path = strcmp(path, "-") == 0 ? "" : path,
    };
    struct workflow_env env = {
        .arg = &world,
        .model_ok = world_model_ok,
        .find_workflow = world_find,
        .check_jq = world_check_jq,
        .model = model ? pl_str(model) : (struct pl_str){0},
    };
    enum pl_code code;
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;

    code = workflow_compile(text, json ? DOC_JSON : DOC_AUTO, &env, ret_workflow, problems);
    providers_destroy(&sim);
    return code;
}

enum pl_code workflow_file_compile(const char *path, const struct config *config, const char *model,
                                   FILE *out, struct workflow **ret_workflow)
{
    struct pl_arena *arena = pl_arena_create(0);
    const char *file = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    struct doc_problems problems;
    struct pl_err err = {0};
    struct pl_str text;
    enum pl_code code;

    if (!arena)
        return PL_ERR_NO_MEMORY;
    doc_problems_init(&problems, arena);
    code = config_read_file(arena, file, PL_LIMIT_DOCUMENT_BYTES, &text, &err);
    if (code != PL_OK) {
        fprintf(out, "%s: %s\n", path, err.message);
    } else {
        code = compile_text(path, text, config, model, ret_workflow, &problems);
        if (code != PL_OK)
            workflow_file_print(path, &problems, out);
        if (code == PL_ERR_NO_MEMORY && problems.count == 0)
            fprintf(out, "%s: out of memory\n", path);
    }
    pl_arena_destroy(&arena);
    return code;
}
