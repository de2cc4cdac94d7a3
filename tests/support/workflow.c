/* workflow.c - see workflow.h. */
#include "tests/support/workflow.h"

#include "tests/support/text.h"

#include <stdio.h>
#include <stdlib.h>

bool test_model_ok(void *arg, struct pl_str model, struct pl_err *err)
{
    if (arg)
        ++*(unsigned *)arg;
    if (pl_str_starts(model, PL_STR("openai/")) || pl_str_starts(model, PL_STR("sim/")))
        return true;
    (void)pl_err_set(err, PL_ERR_PROVIDER_UNKNOWN,
                     "no provider for '%.*s'; configured are openai, sim", PL_STR_ARG(model));
    return false;
}

void test_write_problems(const char *name, const struct doc_problems *problems, struct pl_buf *out)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct doc_problem *problem = &problems->items[i];
        pl_buf_printf(out, "%s:%u:%u %s: %s\n", name, problem->line, problem->column,
                      problem->pointer, problem->message);
    }
}

/* Workflows called by name are those of examples/. */
static bool test_find_workflow(void *arg, struct pl_str name, struct pl_arena *arena,
                               struct pl_str *ret_text, enum doc_format *ret_format,
                               int64_t *ret_version, struct pl_err *err)
{
    const char *path = pl_arena_printf(arena, "examples/%.*s.yaml", PL_STR_ARG(name));
    char *text = test_read_file(path, NULL);

    (void)arg;
    if (!text) {
        pl_err_set(err, PL_ERR_NOT_FOUND, "there is no file %s", path);
        return false;
    }
    *ret_text = pl_arena_str(arena, pl_str(text));
    *ret_format = DOC_YAML;
    *ret_version = 0;
    free(text);
    return true;
}

struct workflow *test_workflow(const char *text)
{
    const struct workflow_env env = {
        .model_ok = test_model_ok, .find_workflow = test_find_workflow, .advise = true};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    struct pl_buf out;

    doc_problems_init(&problems, arena);
    enum pl_code code = workflow_compile(pl_str(text), DOC_AUTO, &env, &workflow, &problems);
    if (code != PL_OK) {
        pl_buf_init(&out, 1 << 20);
        test_write_problems("workflow", &problems, &out);
        (void)fprintf(stderr, "%s\n%s", pl_code_text(code), test_text(&out));
        abort();
    }
    pl_arena_destroy(&arena);
    return workflow;
}

const char *test_workflow_problems(const char *text)
{
    static char lines[16384];
    const struct workflow_env env = {.model_ok = test_model_ok, .advise = true};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    struct pl_buf out;

    doc_problems_init(&problems, arena);
    if (workflow_compile(pl_str(text), DOC_AUTO, &env, &workflow, &problems) == PL_OK) {
        (void)fprintf(stderr, "valid, but should not be:\n%s\n", text);
        abort();
    }
    pl_buf_init(&out, sizeof(lines) - 1);
    for (size_t i = 0; i < problems.count; i++)
        pl_buf_printf(&out, "%u:%u %s: %s\n", problems.items[i].line, problems.items[i].column,
                      problems.items[i].pointer, problems.items[i].message);
    (void)snprintf(lines, sizeof(lines), "%s", test_text(&out));
    pl_buf_finish(&out);
    pl_arena_destroy(&arena);
    return lines;
}

const struct step_def *test_step_at(const struct workflow *workflow, const char *path)
{
    const struct step_def *step = workflow_find(workflow, pl_str(path));

    if (!step) {
        (void)fprintf(stderr, "no step '%s'\n", path);
        abort();
    }
    return step;
}

const char *test_paths(struct step_def *const *steps, size_t count)
{
    static char text[4][512];
    static unsigned turn;
    char *out = text[turn++ % 4];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && used < sizeof(text[0]); i++)
        used += (size_t)snprintf(out + used, sizeof(text[0]) - used, "%s%s", i ? " " : "",
                                 steps[i]->path.ptr);
    return out;
}
