/* engine_read.c - runs as the store knows them: their rows, their definition, the run object of the
 * REST API. Not starting runs (engine_runs.c) and not going on with them (engine_load.c). */
#include "base/json.h"
#include "service/engine_private.h"
#include "service/run_view.h"
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
    struct doc_problems problems;
    struct store_run run = {0};
    struct pl_str text;
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    doc_problems_init(&problems, arena);
    code = store_get_run(engine->store, arena, tenant, run_id, &run, err);
    if (code == PL_OK)
        code = store_get_definition(engine->store, arena, tenant, run.definition, &text, err);
    if (code == PL_OK) {
        code = workflow_compile(text, DOC_JSON, NULL, ret_workflow, &problems);
        if (code == PL_ERR_NO_MEMORY)
            pl_err_set(err, code, "out of memory");
        else if (code != PL_OK)
            pl_err_set(err, PL_ERR_STORE_CORRUPT,
                       "the stored definition of run %.*s does not compile: %s", PL_STR_ARG(run_id),
                       problems.count ? problems.items[0].message : pl_code_text(code));
    }
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code == PL_OK ? PL_OK : err->code;
}

/* ---- progress ---- */

/* What counting the steps of a run needs. */
struct counting {
    const struct store_step **rows; /* by step index; NULL: it has none */
    struct run_progress *progress;
};

static void count_word(struct pl_str status, struct run_progress *progress)
{
    static const char *const words[] = {"pending",   "running", "retrying", "waiting",
                                        "succeeded", "failed",  "skipped",  "cancelled"};
    unsigned *const counts[] = {&progress->pending, &progress->running,   &progress->running,
                                &progress->waiting, &progress->succeeded, &progress->failed,
                                &progress->skipped, &progress->cancelled};

    progress->total++;
    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (pl_str_is(status, words[i]))
            (*counts[i])++;
}

/* What a step without a row inside this one is: it ended with it, by rule 9 of run_core.h. */
static struct pl_str status_inside(const struct store_step *row, struct pl_str outer)
{
    if (!row)
        return outer;
    if (!row->ended_at)
        return PL_STR("pending");
    return pl_str_is(row->status, "cancelled") ? row->status : PL_STR("skipped");
}

/* Counts a step and what is in it as run_core_progress does; `outer` is the status of one that has
 * no row. A handler without a row was not needed (so far) and does not count. */
static void count_step(struct counting *counting, const struct step_def *def, struct pl_str outer)
{
    const struct store_step *row = counting->rows[def->index];
    struct pl_str inside = status_inside(row, outer);

    if (!row && def->is_handler)
        return;
    count_word(row ? row->status : outer, counting->progress);
    for (size_t i = 0; i < def->n_children; i++)
        count_step(counting, def->children[i], inside);
    if (def->handler)
        count_step(counting, def->handler, inside);
}

static enum pl_code read_progress(struct engine *engine, struct pl_arena *arena,
                                  const struct store_run *run, const struct engine_rows *rows,
                                  struct run_progress *ret_progress, struct pl_err *err)
{
    bool never_began = run->ended_at && !run->started_at;
    struct counting counting = {.progress = ret_progress};
    struct workflow *workflow = NULL;
    enum pl_code code = engine_run_workflow(engine, run->tenant, run->id, &workflow, err);

    if (code != PL_OK)
        return code;
    counting.rows = pl_arena_alloc(arena, (workflow->n_steps + 1) * sizeof *counting.rows);
    if (!counting.rows) {
        workflow_unref(&workflow);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    memset(counting.rows, 0, workflow->n_steps * sizeof *counting.rows);
    for (size_t i = 0; i < rows->count; i++) {
        const struct step_def *def = workflow_find(workflow, rows->items[i].path);

        if (def)
            counting.rows[def->index] = &rows->items[i];
    }
    for (size_t i = 0; i < workflow->n_top; i++)
        count_step(&counting, workflow->top[i],
                   never_began ? PL_STR("cancelled") : PL_STR("pending"));
    workflow_unref(&workflow);
    return PL_OK;
}

/* ---- the run object ---- */

static void write_steps(const struct engine_rows *rows, struct pl_buf *out)
{
    json_key(out, "steps");
    json_array_begin(out);
    for (size_t i = 0; i < rows->count; i++) {
        json_comma(out);
        run_view_step(&rows->items[i], out);
    }
    json_array_end(out);
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
        code = engine_read_rows(engine, arena, tenant, run_id, &rows, err);
    if (code == PL_OK)
        code = read_progress(engine, arena, &run, &rows, &progress, err);
    if (code == PL_OK) {
        run_view_run_open(&run, &progress, out);
        if (steps)
            write_steps(&rows, out);
        json_object_end(out);
        if (pl_buf_failed(out))
            code = pl_err_set(err, out->too_large ? PL_ERR_TOO_LARGE : PL_ERR_NO_MEMORY,
                              "the run is larger than %zu bytes", out->max);
    }
    engine_rows_finish(&rows);
    store_run_finish(&run);
    pl_arena_destroy(&arena);
    return code;
}
