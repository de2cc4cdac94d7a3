/* engine_list.c - pages of runs and of a run's steps, as the list shape of the REST API. Not one
 * run (engine_write_run) nor stored workflows (engine_workflows.c). */
#include "base/json.h"
#include "service/engine_private.h"
#include "service/run_view.h"
#include "storage/store.h"

#include <stdlib.h>

enum {
    RUNS_PAGE = 20, /* rows read at a time: each may hold a large output */
    STEPS_PAGE = 200,
};

/* ---- the shape ---- */

void engine_list_begin(struct pl_buf *out)
{
    json_object_begin(out);
    json_key(out, "data");
    json_array_begin(out);
}

enum pl_code engine_list_end(struct pl_buf *out, bool more, struct pl_str last, struct pl_err *err)
{
    json_array_end(out);
    json_add_bool(out, "has_more", more);
    if (more)
        json_add_string(out, "next", last);
    else
        json_add_null(out, "next");
    json_object_end(out);
    if (!pl_buf_failed(out))
        return PL_OK;
    return pl_err_set(err, out->too_large ? PL_ERR_TOO_LARGE : PL_ERR_NO_MEMORY,
                      "the page is larger than %zu bytes: ask for fewer", out->max);
}

/* ---- runs ---- */

static enum pl_code write_listed_run(struct engine *engine, const struct store_run *run,
                                     struct pl_buf *out, struct pl_err *err)
{
    struct run_progress progress = {0};
    enum pl_code code = engine_read_progress(engine, run, &progress, err);

    if (code != PL_OK)
        return code;
    json_comma(out);
    run_view_run_open(run, &progress, out);
    json_object_end(out);
    return PL_OK;
}

/* Writes up to `limit` runs in chunks; `after` becomes the last one written, in the arena. */
static enum pl_code write_chunk(struct engine *engine, struct pl_arena *arena, struct pl_str tenant,
                                struct store_run_filter *filter, size_t *left, bool *more,
                                struct pl_buf *out, struct pl_err *err)
{
    size_t want = *left < RUNS_PAGE ? *left : RUNS_PAGE, count = 0;
    struct store_run *runs = NULL;
    enum pl_code code =
        store_list_runs(engine->store, arena, tenant, filter, want + 1, &runs, &count, err);

    if (code != PL_OK)
        return code;
    *more = count > want;
    for (size_t i = 0; i < count; i++) {
        if (code == PL_OK && i < want) {
            code = write_listed_run(engine, &runs[i], out, err);
            filter->after = runs[i].id;
            --*left;
        }
        store_run_finish(&runs[i]);
    }
    return code;
}

enum pl_code engine_write_runs(struct engine *engine, struct pl_str tenant,
                               const struct store_run_filter *filter, size_t limit,
                               struct pl_buf *out, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run_filter from = *filter;
    bool more = true;
    enum pl_code code = PL_OK;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    engine_list_begin(out);
    do {
        code = write_chunk(engine, arena, tenant, &from, &limit, &more, out, err);
    } while (code == PL_OK && more && limit > 0 && !pl_buf_failed(out));
    if (code == PL_OK)
        code = engine_list_end(out, more, from.after, err);
    pl_arena_destroy(&arena);
    return code;
}

/* ---- steps ---- */

/* A page being written. */
struct step_list {
    struct engine *engine;
    const struct store_run *run;
    const struct engine_step_filter *filter;
    struct pl_arena *arena;
    struct pl_buf *out;
    struct pl_err *err;
    const struct step_def **defs; /* all, by path */
    size_t n_defs;
    size_t left;        /* how many more may be written */
    bool more;          /* there was one more */
    struct pl_str last; /* the last one written */

    struct store_step *rows; /* read ahead, by path */
    size_t n_rows, at;
    bool all_rows; /* the last page of them has been read */

    const struct step_def *inside; /* the step whose inside was last asked for, and what it is */
    struct pl_str inside_status;   /* empty: not part of what is to be done */
};

static int by_path(const void *a, const void *b)
{
    struct pl_str x = (*(const struct step_def *const *)a)->path;
    struct pl_str y = (*(const struct step_def *const *)b)->path;
    int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);

    if (order)
        return order;
    return x.len < y.len ? -1 : x.len > y.len;
}

static int compare(struct pl_str a, struct pl_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* Is it the path, or inside it? */
static bool under(struct pl_str path, struct pl_str prefix)
{
    return prefix.len == 0 ||
           (pl_str_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '.'));
}

static void rows_finish(struct step_list *list)
{
    while (list->at < list->n_rows)
        store_step_finish(&list->rows[list->at++]);
}

/* The row of a step, taken out of those read ahead; false when it has none. Asked for in the order
 * of paths; `previous` is the path before the first one asked for. */
static enum pl_code take_row(struct step_list *list, struct pl_str path, struct pl_str previous,
                             bool *ret_there, struct store_step *ret_row)
{
    *ret_there = false;
    for (;;) {
        while (list->at < list->n_rows && compare(list->rows[list->at].path, path) < 0)
            store_step_finish(&list->rows[list->at++]);
        if (list->at < list->n_rows) {
            *ret_there = pl_str_eq(list->rows[list->at].path, path);
            if (*ret_there)
                *ret_row = list->rows[list->at++];
            return PL_OK;
        }
        if (list->all_rows)
            return PL_OK;
        if (list->n_rows)
            previous = list->rows[list->n_rows - 1].path;
        list->rows = NULL;
        list->n_rows = list->at = 0;
        enum pl_code code =
            store_list_steps(list->engine->store, list->arena, list->run->tenant, list->run->id,
                             previous, STEPS_PAGE, &list->rows, &list->n_rows, list->err);
        if (code != PL_OK)
            return code;
        list->all_rows = list->n_rows < STEPS_PAGE;
    }
}

/* What a step without a row inside `def` is: by rule 9 of run_core.h it ended with it, or is still
 * to come. Empty: it is in a handler that nobody needs. */
static enum pl_code look_inside(struct step_list *list, const struct step_def *def,
                                struct pl_str *ret_status)
{
    struct store_step row;
    enum pl_code code = PL_ERR_NOT_FOUND;

    if (def == list->inside && def) {
        *ret_status = list->inside_status;
        return PL_OK;
    }
    list->inside_status =
        list->run->ended_at && !list->run->started_at ? PL_STR("cancelled") : PL_STR("pending");
    for (const struct step_def *at = def; at; at = at->parent) {
        code = store_get_step(list->engine->store, list->arena, list->run->tenant, list->run->id,
                              at->path, &row, NULL);
        if (code == PL_OK) {
            if (!row.ended_at)
                list->inside_status = PL_STR("pending");
            else if (!pl_str_is(row.status, "cancelled"))
                list->inside_status = PL_STR("skipped");
            else
                list->inside_status = PL_STR("cancelled");
            store_step_finish(&row);
            break;
        }
        if (code != PL_ERR_NOT_FOUND)
            return pl_err_set(list->err, code, "the steps of the run cannot be read");
        if (at->is_handler) {
            list->inside_status = (struct pl_str){0};
            break;
        }
    }
    list->inside = def;
    *ret_status = list->inside_status;
    return PL_OK;
}

static void write_step(struct step_list *list, const struct store_step *row)
{
    if (list->filter->status.len && !pl_str_eq(list->filter->status, row->status))
        return;
    if (list->left == 0) {
        list->more = true;
        return;
    }
    json_comma(list->out);
    run_view_step(row, list->out);
    list->left--;
    list->last = pl_arena_str(list->arena, row->path);
}

static enum pl_code write_def(struct step_list *list, const struct step_def *def,
                              struct pl_str previous)
{
    struct store_step row = {0};
    bool there;
    enum pl_code code = take_row(list, def->path, previous, &there, &row);

    if (code != PL_OK)
        return code;
    if (there) {
        write_step(list, &row);
        store_step_finish(&row);
        return PL_OK;
    }
    if (def->is_handler)
        return PL_OK; /* not needed, so far */
    row.path = def->path;
    row.kind = pl_str(step_kind_name(def->kind));
    if (def->kind == STEP_LLM)
        row.model = def->config.llm->model;
    code = look_inside(list, def->parent, &row.status);
    if (code == PL_OK && row.status.len)
        write_step(list, &row);
    return code;
}

static enum pl_code write_defs(struct step_list *list)
{
    struct pl_str previous = {0};
    enum pl_code code = PL_OK;
    bool began = false;

    for (size_t i = 0; i < list->n_defs && code == PL_OK && !list->more; i++) {
        struct pl_str path = list->defs[i]->path;

        if (compare(path, list->filter->after) <= 0 || !under(path, list->filter->prefix)) {
            if (!began)
                previous = path;
            continue;
        }
        began = true;
        code = write_def(list, list->defs[i], previous);
    }
    rows_finish(list);
    return code;
}

static enum pl_code write_list(struct step_list *list, const struct workflow *workflow)
{
    enum pl_code code;

    list->n_defs = workflow->n_steps;
    list->defs =
        pl_arena_alloc_array(list->arena, workflow->n_steps + 1, sizeof(const struct step_def *));
    if (!list->defs)
        return pl_err_set(list->err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < workflow->n_steps; i++)
        list->defs[i] = workflow->steps[i];
    qsort(list->defs, list->n_defs, sizeof(const struct step_def *), by_path);
    engine_list_begin(list->out);
    code = write_defs(list);
    if (code == PL_OK)
        code = engine_list_end(list->out, list->more, list->last, list->err);
    return code;
}

enum pl_code engine_write_steps(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                const struct engine_step_filter *filter, size_t limit,
                                struct pl_buf *out, struct pl_err *err)
{
    struct store_run run = {0};
    struct step_list list = {
        .engine = engine,
        .run = &run,
        .filter = filter,
        .arena = pl_arena_create(0),
        .out = out,
        .err = err,
        .left = limit,
    };
    struct workflow *workflow = NULL;
    enum pl_code code;

    if (!list.arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_run(engine->store, list.arena, tenant, run_id, &run, err);
    if (code == PL_OK)
        code = engine_definition(engine, tenant, run.definition, &workflow, err);
    if (code == PL_OK)
        code = write_list(&list, workflow);
    workflow_unref(&workflow);
    store_run_finish(&run);
    pl_arena_destroy(&list.arena);
    return code;
}
