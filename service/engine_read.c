/* engine_read.c - runs as the store knows them: their rows, their definition, the run object of the
 * REST API. Not starting runs (engine_runs.c) and not going on with them (engine_load.c). */
#include "base/json.h"
#include "service/engine_private.h"
#include "service/run/run_view.h"
#include "storage/store.h"

#include <stdlib.h>

enum { ROWS_PAGE = 1000 };

/* ---- rows ---- */

void engine_rows_finish(struct engine_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        store_step_finish(&rows->items[i]);
    free(rows->items);
}

static bool rows_add(struct engine_rows *rows, const struct store_step *steps, size_t count)
{
    if (rows->count + count > rows->capacity) {
        size_t capacity = (rows->count + count) * 2;
        struct store_step *grown = realloc(rows->items, capacity * sizeof *grown);

        if (!grown)
            return false;
        rows->items = grown;
        rows->capacity = capacity;
    }
    memcpy(rows->items + rows->count, steps, count * sizeof *steps);
    rows->count += count;
    return true;
}

enum pl_code engine_read_rows(struct engine *engine, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run_id, struct engine_rows *rows, struct pl_err *err)
{
    size_t count = ROWS_PAGE;

    while (count == ROWS_PAGE) {
        struct store_step *steps;
        struct pl_str after = rows->count ? rows->items[rows->count - 1].path : (struct pl_str){0};
        enum pl_code code = store_list_steps(engine->store, arena, tenant, run_id, after, ROWS_PAGE,
                                             &steps, &count, err);

        if (code != PL_OK)
            return code;
        if (count && !rows_add(rows, steps, count)) {
            for (size_t i = 0; i < count; i++)
                store_step_finish(&steps[i]);
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
        }
    }
    return PL_OK;
}

/* ---- the definition ---- */

enum pl_code engine_run_workflow(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                 struct workflow **ret_workflow, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run run = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_run(engine->store, arena, tenant, run_id, &run, err);
    if (code == PL_OK)
        code = engine_definition(engine, tenant, run.definition, ret_workflow, err);
    if (code == PL_ERR_STORE_CORRUPT)
        pl_err_prefix(err, "run %.*s", PL_STR_ARG(run_id));
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code;
}

/* ---- the run object ---- */

static enum pl_code write_steps(struct engine *engine, const struct store_run *run,
                                const struct engine_rows *rows, struct pl_buf *out,
                                struct pl_err *err)
{
    struct workflow *workflow = NULL;
    enum pl_code code = engine_definition(engine, run->tenant, run->definition, &workflow, err);

    json_key(out, "steps");
    json_array_begin(out);
    for (size_t i = 0; code == PL_OK && i < rows->count; i++) {
        json_comma(out);
        code = engine_write_step(engine, run, workflow, &rows->items[i], out, err);
    }
    json_array_end(out);
    workflow_unref(&workflow);
    return code;
}

enum pl_code engine_write_run(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                              bool steps, struct pl_buf *out, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run run = {0};
    struct engine_rows rows = {0};
    struct run_progress progress = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_run(engine->store, arena, tenant, run_id, &run, err);
    if (code == PL_OK)
        code = engine_read_progress(engine, &run, &progress, err);
    if (code == PL_OK && steps)
        code = engine_read_rows(engine, arena, tenant, run_id, &rows, err);
    if (code == PL_OK) {
        run_view_run_open(&run, &progress, out);
        if (steps)
            code = write_steps(engine, &run, &rows, out, err);
        json_object_end(out);
        if (code == PL_OK && pl_buf_failed(out))
            code = pl_err_set(err, out->too_large ? PL_ERR_TOO_LARGE : PL_ERR_NO_MEMORY,
                              "the run is larger than %zu bytes", out->max);
    }
    engine_rows_finish(&rows);
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code;
}
