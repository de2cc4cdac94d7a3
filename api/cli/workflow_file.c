/* workflow_file.c - see workflow_file.h. */
#include "api/cli/workflow_file.h"

#include "api/cli/command.h"
#include "base/limits.h"
#include "service/llm/provider.h"
#include "service/secrets.h"

#include <unistd.h>

/* `word` stands before each message. */
static void print_problems(const char *path, const char *word, struct doc_problems *problems,
                           FILE *out)
{
    doc_problems_sort(problems);
    for (size_t i = 0; i < problems->count; i++) {
        const struct doc_problem *problem = &problems->items[i];

        fprintf(out, "%s:%u:%u ", path, problem->line, problem->column);
        cli_put_plain(out, problem->pointer);
        fprintf(out, ": %s", word);
        cli_put_plain(out, problem->message);
        fputc('\n', out);
    }
    if (problems->total > problems->count)
        fprintf(out, "%s: %sand %zu more\n", path, word, problems->total - problems->count);
}

void workflow_file_print(const char *path, struct doc_problems *problems, FILE *out)
{
    print_problems(path, "", problems, out);
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

/* What the check of a file sees of the world. */
struct world {
    struct providers *providers; /* of the configuration, else the simulated one alone */
    const struct secrets *secrets;
    bool configured;
    const char *path; /* of the file: those it calls by name stand beside it */
};

/* Without a configuration any provider may exist, but the simulated one always does. */
static bool model_ok(void *arg, struct pl_str model, struct pl_err *err)
{
    const struct world *world = arg;

    if (!world->configured && (!pl_str_starts(model, PL_STR("sim/")) || !world->providers))
        return true;
    return providers_model_ok(world->providers, model, err);
}

static bool takes(void *arg, struct pl_str model, const char *parameter, struct pl_err *err)
{
    const struct world *world = arg;

    return !world->providers || providers_takes(world->providers, model, parameter, err);
}

static bool priced(void *arg, struct pl_str model)
{
    const struct world *world = arg;

    return !world->configured || providers_priced(world->providers, model);
}

/* Without a configuration there is nothing to look in. */
static bool secret_ok(void *arg, struct pl_str name, struct pl_err *err)
{
    const struct world *world = arg;

    return !world->configured || secrets_has(world->secrets, name, err);
}

static enum pl_code check_jq(void *arg, struct expr *const *exprs, size_t n_exprs,
                             struct pl_err *errors, struct pl_err *err)
{
    (void)arg;
    return workflow_check_jq(NULL, exprs, n_exprs, errors, err);
}

/* A workflow called by name is a file beside this one. */
static bool find_workflow(void *arg, struct pl_str name, struct pl_arena *arena,
                          struct pl_str *ret_text, enum doc_format *ret_format,
                          int64_t *ret_version, struct pl_err *err)
{
    static const char *const endings[] = {"yaml", "yml", "json"};
    const struct world *world = arg;
    const char *slash = strrchr(world->path, '/');
    int folder = slash ? (int)(slash - world->path + 1) : 0;

    if (memchr(name.ptr, '@', name.len)) {
        (void)pl_err_set(err, PL_ERR_NOT_FOUND,
                         "files have no versions; write the name without '@...'");
        return false;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(endings); i++) {
        const char *path = pl_arena_printf(arena, "%.*s%.*s.%s", folder, world->path,
                                           PL_STR_ARG(name), endings[i]);

        if (!path || access(path, F_OK) != 0)
            continue;
        *ret_format = i == 2 ? DOC_JSON : DOC_AUTO;
        *ret_version = 0;
        return config_read_file(arena, path, PL_LIMIT_DOCUMENT_BYTES, ret_text, err) == PL_OK;
    }
    (void)pl_err_set(err, PL_ERR_NOT_FOUND, "there is no file %.*s.yaml (.yml, .json) beside it",
                     PL_STR_ARG(name));
    return false;
}

static enum pl_code compile_text(const char *path, struct pl_str text, const struct config *config,
                                 const char *model, struct workflow **ret_workflow,
                                 struct doc_problems *problems)
{
    struct providers *sim = config ? NULL : providers_create();
    struct world world = {
        .providers = config ? config->providers : sim,
        .secrets = config ? config->secrets : NULL,
        .configured = config != NULL,
        .path = path,
    };
    const struct workflow_env env = {
        .arg = &world,
        .model_ok = model_ok,
        .takes = takes,
        .priced = priced,
        .secret_ok = secret_ok,
        .find_workflow = find_workflow,
        .check_jq = check_jq,
        .advise = true,
        .model = model ? pl_str(model) : (struct pl_str){0},
    };
    enum pl_code code;
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;

    code = workflow_compile(text, json ? DOC_JSON : DOC_AUTO, &env, ret_workflow, problems);
    providers_destroy(&sim);
    return code;
}

/* `advice`: where warnings go; NULL: nowhere. */
static enum pl_code compile_file(const char *path, const struct config *config, const char *model,
                                 FILE *out, FILE *advice, struct workflow **ret_workflow)
{
    struct pl_arena *arena = pl_arena_create(0);
    const char *file = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    struct doc_problems problems, warnings;
    struct pl_err err = {0};
    struct pl_str text;
    enum pl_code code;

    if (!arena)
        return PL_ERR_NO_MEMORY;
    doc_problems_init(&problems, arena);
    doc_problems_init(&warnings, arena);
    problems.warnings = &warnings;
    code = config_read_file(arena, file, PL_LIMIT_DOCUMENT_BYTES, &text, &err);
    if (code != PL_OK) {
        fprintf(out, "%s: %s\n", path, err.message);
    } else {
        code = compile_text(path, text, config, model, ret_workflow, &problems);
        if (code != PL_OK)
            workflow_file_print(path, &problems, out);
        if (code == PL_ERR_NO_MEMORY && problems.count == 0)
            fprintf(out, "%s: out of memory\n", path);
        if (advice)
            print_problems(path, "warning: ", &warnings, advice);
    }
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code workflow_file_compile(const char *path, const struct config *config, const char *model,
                                   FILE *out, struct workflow **ret_workflow)
{
    return compile_file(path, config, model, out, NULL, ret_workflow);
}

enum pl_code workflow_file_check(const char *path, const struct config *config)
{
    struct workflow *workflow = NULL;
    enum pl_code code = compile_file(path, config, NULL, stdout, stderr, &workflow);

    workflow_unref(&workflow);
    return code;
}
