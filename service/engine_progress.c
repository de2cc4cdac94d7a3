/* engine_progress.c - how many steps of a stored run stand where, counted from its rows as
 * run_core_progress counts them from its nodes: all steps of the top level, what has begun inside
 * them, and the items of a map that runs. Not the run object (engine_read.c). */
#include "service/engine_private.h"
#include "storage/store.h"

#include <stdlib.h>

enum { ROWS_PAGE = 1000 };

/* What counting needs to know of a step's row. */
enum mark { MARK_NONE, MARK_OPEN, MARK_OVER, MARK_CANCELLED };

struct counting {
    const struct workflow *workflow;
    unsigned char *marks; /* enum mark by step index */
    struct run_progress *progress;
};

static unsigned *counter(struct run_progress *progress, size_t status)
{
    /* in the order of store_count_steps; retrying is running to whoever looks at a run */
    unsigned *const counts[] = {&progress->pending, &progress->running,   &progress->running,
                                &progress->waiting, &progress->succeeded, &progress->failed,
                                &progress->skipped, &progress->cancelled};

    return counts[status];
}

static unsigned count_rows(const int64_t counts[8], struct run_progress *progress)
{
    unsigned total = 0;

    for (size_t i = 0; i < 8; i++) {
        *counter(progress, i) += (unsigned)counts[i];
        total += (unsigned)counts[i];
    }
    return total;
}

/* What a step without a row inside this one is: it ended with it, by rule 9 of run_core.h. */
static enum mark mark_inside(enum mark own, enum mark outer)
{
    return own == MARK_NONE ? outer : own;
}

/* Counts the steps without a row here and inside; `outer` is what they are. A handler without a row
 * was not needed (so far) and does not count. */
static void count_missing(struct counting *counting, const struct step_def *def, enum mark outer)
{
    enum mark own = (enum mark)counting->marks[def->index], inside = mark_inside(own, outer);

    if (own == MARK_NONE && def->is_handler)
        return;
    if (own == MARK_NONE) {
        counting->progress->total++;
        if (outer == MARK_CANCELLED)
            counting->progress->cancelled++;
        else if (outer == MARK_OVER)
            counting->progress->skipped++;
        else
            counting->progress->pending++;
    }
    for (size_t i = 0; i < def->n_children; i++)
        count_missing(counting, def->children[i], inside);
    if (def->handler)
        count_missing(counting, def->handler, inside);
}

static void mark_row(struct counting *counting, const struct store_step *row)
{
    const struct step_def *def = workflow_find(counting->workflow, row->path);
    enum mark mark = MARK_OPEN;

    if (!def || def->body != counting->workflow->root)
        return;
    if (row->ended_at)
        mark = pl_str_is(row->status, "cancelled") ? MARK_CANCELLED : MARK_OVER;
    counting->marks[def->index] = (unsigned char)mark;
}

/* Marks what a list gives, page by page. */
static enum pl_code mark_rows(struct engine *engine, const struct store_run *run,
                              struct counting *counting, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step_filter filter = {.part = STORE_STEP_BARE};
    size_t count = ROWS_PAGE;
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    while (code == PL_OK && count == ROWS_PAGE) {
        struct store_step *rows;

        code = store_find_steps(engine->store, arena, run->tenant, run->id, &filter, ROWS_PAGE,
                                &rows, &count, err);
        for (size_t i = 0; code == PL_OK && i < count; i++) {
            mark_row(counting, &rows[i]);
            filter.after = rows[i].path;
            store_step_finish(&rows[i]);
        }
    }
    pl_arena_destroy(&arena);
    return code;
}

/* Marks the steps of the top level one by one: there may be many rows of what is inside them. */
static enum pl_code mark_top(struct engine *engine, const struct store_run *run,
                             struct counting *counting, struct pl_err *err)
{
    const struct step_body *root = counting->workflow->root;
    struct pl_arena *arena = pl_arena_create(0);
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    for (size_t i = 0; code == PL_OK && i < root->n_steps; i++) {
        struct store_step_filter filter = {.prefix = root->steps[i]->path, .part = STORE_STEP_BARE};
        struct store_step *rows;
        size_t count;

        code = store_find_steps(engine->store, arena, run->tenant, run->id, &filter, 1, &rows,
                                &count, err);
        if (code == PL_OK && count) {
            if (pl_str_eq(rows[0].path, filter.prefix))
                mark_row(counting, &rows[0]);
            store_step_finish(&rows[0]);
        }
        pl_arena_reset(arena);
    }
    pl_arena_destroy(&arena);
    return code;
}

/* Some steps of the top level have no row: which ones decides what they are. */
static enum pl_code read_missing(struct engine *engine, const struct store_run *run,
                                 const struct workflow *workflow, struct run_progress *progress,
                                 struct pl_err *err)
{
    bool never_began = run->ended_at && !run->started_at;
    struct counting counting = {
        .workflow = workflow,
        .marks = calloc(workflow->n_steps + 1, 1),
        .progress = progress,
    };
    enum pl_code code;

    if (!counting.marks)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = workflow->n_bodies > 1 ? mark_top(engine, run, &counting, err)
                                  : mark_rows(engine, run, &counting, err);
    for (size_t i = 0; code == PL_OK && i < workflow->root->n_top; i++)
        count_missing(&counting, workflow->root->top[i], never_began ? MARK_CANCELLED : MARK_OPEN);
    free(counting.marks);
    return code;
}

static bool calls_map(const struct workflow *workflow)
{
    for (size_t i = 0; i < workflow->n_steps; i++)
        if (workflow->steps[i]->kind == STEP_MAP)
            return true;
    for (size_t i = 0; i < workflow->n_children; i++)
        if (calls_map(workflow->children[i]))
            return true;
    return false;
}

/* Items of the maps that run count though they have not begun. */
static enum pl_code add_items(struct engine *engine, const struct store_run *run,
                              const struct workflow *workflow, const struct store_step *row,
                              struct run_progress *progress, struct pl_err *err)
{
    struct store_inside inside;
    struct run_progress branches;
    unsigned rows = 0;
    enum pl_code code =
        store_look_inside(engine->store, run->tenant, run->id, row->path, &inside, err);

    if (code != PL_OK)
        return code;
    engine_branch_progress(workflow_find(workflow, row->path), false, &inside, &branches);
    for (size_t i = 0; i < PL_ARRAY_LEN(inside.counts); i++)
        rows += (unsigned)inside.counts[i];
    progress->total += branches.total - rows;
    progress->pending += branches.total - rows;
    return PL_OK;
}

static enum pl_code read_items(struct engine *engine, const struct store_run *run,
                               const struct workflow *workflow, struct run_progress *progress,
                               struct pl_err *err)
{
    struct store_step_filter filter = {.status = PL_STR("running"), .part = STORE_STEP_BARE};
    struct pl_arena *arena = pl_arena_create(0);
    size_t count = ROWS_PAGE;
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    while (code == PL_OK && count == ROWS_PAGE) {
        struct store_step *rows;

        code = store_find_steps(engine->store, arena, run->tenant, run->id, &filter, ROWS_PAGE,
                                &rows, &count, err);
        if (code != PL_OK)
            break;
        for (size_t i = 0; i < count; i++) {
            if (code == PL_OK && pl_str_is(rows[i].kind, "map"))
                code = add_items(engine, run, workflow, &rows[i], progress, err);
            filter.after = rows[i].path;
            store_step_finish(&rows[i]);
        }
    }
    pl_arena_destroy(&arena);
    return code;
}

enum pl_code engine_read_progress(struct engine *engine, const struct store_run *run,
                                  struct run_progress *ret_progress, struct pl_err *err)
{
    struct run_progress progress = {0};
    struct workflow *workflow = NULL;
    int64_t counts[8];
    enum pl_code code = engine_definition(engine, run->tenant, run->definition, &workflow, err);

    if (code == PL_OK)
        code = store_count_steps(engine->store, run->tenant, run->id, counts, err);
    if (code == PL_OK) {
        progress.total = count_rows(counts, &progress);
        if (progress.total < workflow->n_steps || workflow->n_bodies > 1)
            code = read_missing(engine, run, workflow, &progress, err);
    }
    if (code == PL_OK && !run->ended_at && calls_map(workflow))
        code = read_items(engine, run, workflow, &progress, err);
    workflow_unref(&workflow);
    if (code == PL_OK)
        *ret_progress = progress;
    return code;
}
