/* engine_steps.c - a page of a run's steps, and one step, as the REST API shows them. Not lists of
 * runs (engine_list.c) nor the counting of steps (engine_progress.c).
 *
 * A page is two lists merged by path: the rows there are, and the steps of the top level that have
 * none. What is inside an instance of a body ("reviews.17.summary") is there once it began. */
#include "base/json.h"
#include "service/engine_private.h"
#include "service/run/run_view.h"
#include "storage/step_path.h"
#include "storage/store.h"

#include <stdlib.h>

enum { STEPS_PAGE = 200 };

/* ---- one step ---- */

static bool is_container(struct pl_str kind)
{
    for (unsigned i = 0; i < STEP__KINDS; i++)
        if (step_kind_has_inside((enum step_kind)i) &&
            pl_str_is(kind, step_kind_name((enum step_kind)i)))
            return true;
    return false;
}

static unsigned of(int64_t count)
{
    return count > 0 ? (unsigned)count : 0;
}

void engine_branch_progress(const struct step_def *def, bool ended,
                            const struct store_inside *inside, struct run_progress *ret_progress)
{
    unsigned batch = def && def->kind == STEP_MAP ? def->config.map->batch : 0;
    int64_t branches = batch > 1 ? (inside->items + batch - 1) / batch : inside->items;
    const int64_t *counts = inside->counts;
    unsigned begun = 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(inside->counts); i++)
        begun += of(counts[i]);
    *ret_progress = (struct run_progress){
        .total = branches > begun ? of(branches) : begun,
        .pending = of(counts[0]),
        .running = of(counts[1]) + of(counts[2]),
        .waiting = of(counts[3]),
        .succeeded = of(counts[4]),
        .failed = of(counts[5]),
        .skipped = of(counts[6]),
        .cancelled = of(counts[7]),
    };
    /* those that will never begin were stopped with the join */
    *(ended ? &ret_progress->cancelled : &ret_progress->pending) += ret_progress->total - begun;
}

enum pl_code engine_write_step(struct engine *engine, const struct store_run *run,
                               const struct workflow *workflow, const struct store_step *row,
                               struct pl_buf *out, struct pl_err *err)
{
    bool map = pl_str_is(row->kind, "map");
    struct store_step shown = *row;
    struct store_inside inside;
    struct run_progress progress;
    enum pl_code code;

    if (!row->started_at || !(map || (!row->ended_at && is_container(row->kind)))) {
        run_view_step(row, NULL, out);
        return PL_OK;
    }
    code = store_look_inside(engine->store, run->tenant, run->id, row->path, &inside, err);
    if (code != PL_OK)
        return code;
    if (!row->ended_at)
        shown.usage = inside.usage; /* its row has it when it is over */
    if (map)
        engine_branch_progress(workflow_find(workflow, row->path), row->ended_at > 0, &inside,
                               &progress);
    run_view_step(&shown, map ? &progress : NULL, out);
    return PL_OK;
}

/* ---- the page ---- */

/* A page being written. */
struct step_list {
    struct engine *engine;
    const struct store_run *run;
    const struct workflow *workflow;
    const struct engine_step_filter *filter;
    struct pl_arena *arena;
    struct pl_buf *out;
    struct pl_err *err;
    size_t left;        /* how many more may be written */
    bool more;          /* there was one more */
    struct pl_str last; /* the last one written */

    const struct step_def **defs; /* those of the top level that may be listed, by path */
    size_t n_defs, def;

    struct store_step *rows; /* read ahead, by path */
    size_t n_rows, at;
    struct pl_str after;
    bool all_rows; /* the last page of them has been read */

    const struct step_def *inside; /* the step whose inside was last asked for, and what it is */
    struct store_step inside_row;  /* status (empty: not part of what is to be done), reason, end */
};

static int by_path(const void *a, const void *b)
{
    return store_path_compare((*(const struct step_def *const *)a)->path,
                              (*(const struct step_def *const *)b)->path);
}

/* Steps without a row can only be in one of these states. */
static bool may_lack_row(struct pl_str status)
{
    return status.len == 0 || pl_str_is(status, "pending") || pl_str_is(status, "skipped") ||
           pl_str_is(status, "cancelled");
}

static enum pl_code take_defs(struct step_list *list)
{
    const struct step_body *root = list->workflow->root;

    if (!may_lack_row(list->filter->status))
        return PL_OK;
    list->defs =
        pl_arena_alloc_array(list->arena, root->n_steps + 1, sizeof(const struct step_def *));
    if (!list->defs)
        return pl_err_set(list->err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < root->n_steps; i++) {
        struct pl_str path = root->steps[i]->path;

        if (store_path_under(path, list->filter->prefix) &&
            (list->filter->after.len == 0 || store_path_compare(path, list->filter->after) > 0))
            list->defs[list->n_defs++] = root->steps[i];
    }
    qsort(list->defs, list->n_defs, sizeof(const struct step_def *), by_path);
    return PL_OK;
}

/* The next row, NULL: there is none. */
static enum pl_code peek_row(struct step_list *list, const struct store_step **ret_row)
{
    *ret_row = NULL;
    if (list->at == list->n_rows && !list->all_rows) {
        struct store_step_filter filter = {
            .prefix = list->filter->prefix,
            .status = list->filter->status,
            .after = list->after,
            .part = STORE_STEP_SHOWN,
        };
        enum pl_code code =
            store_find_steps(list->engine->store, list->arena, list->run->tenant, list->run->id,
                             &filter, STEPS_PAGE, &list->rows, &list->n_rows, list->err);

        list->at = 0;
        if (code != PL_OK) {
            list->n_rows = 0;
            return code;
        }
        list->all_rows = list->n_rows < STEPS_PAGE;
        if (list->n_rows)
            list->after = list->rows[list->n_rows - 1].path;
    }
    if (list->at < list->n_rows)
        *ret_row = &list->rows[list->at];
    return PL_OK;
}

static void rows_finish(struct step_list *list)
{
    while (list->at < list->n_rows)
        store_step_finish(&list->rows[list->at++]);
}

static enum pl_code get_bare(struct step_list *list, struct pl_str path, struct store_step *ret_row)
{
    return store_get_step(list->engine->store, list->arena, list->run->tenant, list->run->id, path,
                          ret_row, list->err);
}

/* What ends with this row, or is still to come. */
static void end_with(const struct store_step *around, struct store_step *ret_row)
{
    if (!around->ended_at) {
        ret_row->status = PL_STR("pending");
        return;
    }
    ret_row->status =
        pl_str_is(around->status, "cancelled") ? PL_STR("cancelled") : PL_STR("skipped");
    ret_row->reason = around->reason;
    ret_row->created_at = ret_row->ended_at = around->ended_at;
}

/* What a step without a row inside `def` is, NULL: at the top: by rule 9 of run_core.h it ended
 * with it, for its reason, or is still to come. No status: it is in a handler that nobody needs. */
static enum pl_code look_outside(struct step_list *list, const struct step_def *def,
                                 struct store_step *ret_row)
{
    const struct store_run *run = list->run;
    /* of a run that never began; those cancelled of late have rows of their steps */
    struct store_step row = {
        .status = PL_STR("cancelled"),
        .reason = pl_str(cancel_reason_text(CANCEL_USER)),
        .ended_at = run->started_at ? 0 : run->ended_at,
    };
    enum pl_code code = PL_ERR_NOT_FOUND;

    if (def == list->inside && def) {
        *ret_row = list->inside_row;
        return PL_OK;
    }
    *ret_row = (struct store_step){0};
    end_with(&row, ret_row);
    for (const struct step_def *at = def; at; at = at->parent) {
        code = get_bare(list, at->path, &row);
        if (code == PL_OK) {
            *ret_row = (struct store_step){0};
            end_with(&row, ret_row);
            store_step_finish(&row);
            break;
        }
        if (code != PL_ERR_NOT_FOUND)
            return code;
        if (at->is_handler) {
            *ret_row = (struct store_step){0};
            break;
        }
    }
    list->inside = def;
    list->inside_row = *ret_row;
    return PL_OK;
}

static enum pl_code write_step(struct step_list *list, const struct store_step *row)
{
    if (list->filter->status.len && !pl_str_eq(list->filter->status, row->status))
        return PL_OK;
    if (list->left == 0) {
        list->more = true;
        return PL_OK;
    }
    json_comma(list->out);
    list->left--;
    list->last = pl_arena_str(list->arena, row->path);
    return engine_write_step(list->engine, list->run, list->workflow, row, list->out, list->err);
}

/* A step of the top level that is not among the rows read: with a status asked for it may have one
 * of another status. */
static enum pl_code write_def(struct step_list *list, const struct step_def *def)
{
    struct store_step row, there;
    enum pl_code code;

    if (def->is_handler)
        return PL_OK; /* not needed, so far */
    if (list->filter->status.len) {
        code = get_bare(list, def->path, &there);
        if (code == PL_OK)
            store_step_finish(&there);
        if (code != PL_ERR_NOT_FOUND)
            return code;
    }
    code = look_outside(list, def->parent, &row);
    row.path = def->path;
    row.kind = pl_str(step_kind_name(def->kind));
    if (def->kind == STEP_LLM)
        row.model = def->config.llm->model;
    return code == PL_OK && row.status.len ? write_step(list, &row) : code;
}

static enum pl_code write_row(struct step_list *list, const struct store_step *row)
{
    enum pl_code code = write_step(list, row);

    store_step_finish(&list->rows[list->at++]);
    return code;
}

static enum pl_code write_all(struct step_list *list)
{
    enum pl_code code = PL_OK;

    while (code == PL_OK && !list->more && !pl_buf_failed(list->out)) {
        const struct step_def *def = list->def < list->n_defs ? list->defs[list->def] : NULL;
        const struct store_step *row;
        int order;

        code = peek_row(list, &row);
        if (code != PL_OK || (!def && !row))
            break;
        order = !def ? 1 : !row ? -1 : store_path_compare(def->path, row->path);
        list->def += order <= 0;
        code = order < 0 ? write_def(list, def) : write_row(list, row);
    }
    rows_finish(list);
    return code;
}

enum pl_code engine_write_steps(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                const struct engine_step_filter *filter, size_t limit,
                                struct pl_buf *out, struct pl_err *err)
{
    struct workflow *workflow = NULL;
    struct store_run run = {0};
    struct step_list list = {
        .engine = engine,
        .run = &run,
        .filter = filter,
        .arena = pl_arena_create(0),
        .out = out,
        .err = err,
        .left = limit,
        .after = filter->after,
    };
    enum pl_code code;

    if (!list.arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_run(engine->store, list.arena, tenant, run_id, &run, err);
    if (code == PL_OK)
        code = engine_definition(engine, tenant, run.definition, &workflow, err);
    list.workflow = workflow;
    if (code == PL_OK)
        code = take_defs(&list);
    if (code == PL_OK) {
        engine_list_begin(out);
        code = write_all(&list);
    }
    if (code == PL_OK)
        code = engine_list_end(out, list.more, list.last, err);
    workflow_unref(&workflow);
    store_run_finish(&run);
    pl_arena_destroy(&list.arena);
    return code;
}
