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
    struct engine *engine;
    const struct store_run *run;
    const struct workflow *workflow;
    unsigned char *marks; /* enum mark by step index, while those without rows are counted */
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

/* What is done with one row. */
typedef enum pl_code (*row_fn)(struct counting *counting, const struct store_step *row,
                               struct pl_err *err);

/* Reads the rows that the filter takes, page by page. */
static enum pl_code each_row(struct counting *counting, struct store_step_filter filter, row_fn use,
                             struct pl_err *err)
{
    const struct store_run *run = counting->run;
    struct pl_arena *arena = pl_arena_create(0);
    size_t count = ROWS_PAGE;
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    while (code == PL_OK && count == ROWS_PAGE) {
        struct store_step *rows;

        code = store_find_steps(counting->engine->store, arena, run->tenant, run->id, &filter,
                                ROWS_PAGE, &rows, &count, err);
        if (code != PL_OK)
            break;
        for (size_t i = 0; i < count; i++) {
            if (code == PL_OK)
                code = use(counting, &rows[i], err);
            filter.after = rows[i].path;
            store_step_finish(&rows[i]);
        }
    }
    pl_arena_destroy(&arena);
    return code;
}

static enum pl_code mark_row(struct counting *counting, const struct store_step *row,
                             struct pl_err *err)
{
    const struct step_def *def = workflow_find(counting->workflow, row->path);
    enum mark mark = MARK_OPEN;

    (void)err;
    if (!def || def->body != counting->workflow->root)
        return PL_OK;
    if (row->ended_at)
        mark = pl_str_is(row->status, "cancelled") ? MARK_CANCELLED : MARK_OVER;
    counting->marks[def->index] = (unsigned char)mark;
    return PL_OK;
}

/* Marks the steps of the top level one by one: there may be many rows of what is inside them. */
static enum pl_code mark_top(struct counting *counting, struct pl_err *err)
{
    const struct step_body *root = counting->workflow->root;
    const struct store_run *run = counting->run;
    struct pl_arena *arena = pl_arena_create(0);
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    for (size_t i = 0; code == PL_OK && i < root->n_steps; i++) {
        struct store_step_filter filter = {.prefix = root->steps[i]->path, .part = STORE_STEP_BARE};
        struct store_step *rows;
        size_t count;

        code = store_find_steps(counting->engine->store, arena, run->tenant, run->id, &filter, 1,
                                &rows, &count, err);
        if (code == PL_OK && count) {
            if (pl_str_eq(rows[0].path, filter.prefix))
                code = mark_row(counting, &rows[0], err);
            store_step_finish(&rows[0]);
        }
        pl_arena_reset(arena);
    }
    pl_arena_destroy(&arena);
    return code;
}

/* Some steps of the top level have no row: which ones decides what they are. */
static enum pl_code count_rowless(struct counting *counting, struct pl_err *err)
{
    const struct workflow *workflow = counting->workflow;
    bool never_began = counting->run->ended_at && !counting->run->started_at;
    enum pl_code code;

    counting->marks = calloc(workflow->n_steps + 1, 1);
    if (!counting->marks)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (workflow->n_bodies > 1)
        code = mark_top(counting, err);
    else
        code =
            each_row(counting, (struct store_step_filter){.part = STORE_STEP_BARE}, mark_row, err);
    for (size_t i = 0; code == PL_OK && i < workflow->root->n_top; i++)
        count_missing(counting, workflow->root->top[i], never_began ? MARK_CANCELLED : MARK_OPEN);
    free(counting->marks);
    counting->marks = NULL;
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

/* Items of a map that runs count though they have not begun. */
static enum pl_code add_items(struct counting *counting, const struct store_step *row,
                              struct pl_err *err)
{
    const struct store_run *run = counting->run;
    struct store_inside inside;
    struct run_progress branches;
    unsigned rows = 0;
    enum pl_code code;

    if (!pl_str_is(row->kind, "map"))
        return PL_OK;
    code =
        store_look_inside(counting->engine->store, run->tenant, run->id, row->path, &inside, err);
    if (code != PL_OK)
        return code;
    engine_branch_progress(workflow_find(counting->workflow, row->path), false, &inside, &branches);
    for (size_t i = 0; i < PL_ARRAY_LEN(inside.counts); i++)
        rows += (unsigned)inside.counts[i];
    counting->progress->total += branches.total - rows;
    counting->progress->pending += branches.total - rows;
    return PL_OK;
}

static enum pl_code count_items(struct counting *counting, struct pl_err *err)
{
    struct store_step_filter running = {.status = PL_STR("running"), .part = STORE_STEP_BARE};

    return each_row(counting, running, add_items, err);
}

enum pl_code engine_read_progress(struct engine *engine, const struct store_run *run,
                                  struct run_progress *ret_progress, struct pl_err *err)
{
    struct run_progress progress = {0};
    struct counting counting = {.engine = engine, .run = run, .progress = &progress};
    struct workflow *workflow = NULL;
    int64_t counts[8];
    enum pl_code code = engine_definition(engine, run->tenant, run->definition, &workflow, err);

    counting.workflow = workflow;
    if (code == PL_OK)
        code = store_count_steps(engine->store, run->tenant, run->id, counts, err);
    if (code == PL_OK) {
        progress.total = count_rows(counts, &progress);
        if (progress.total < workflow->n_steps || workflow->n_bodies > 1)
            code = count_rowless(&counting, err);
    }
    if (code == PL_OK && !run->ended_at && calls_map(workflow))
        code = count_items(&counting, err);
    workflow_unref(&workflow);
    if (code == PL_OK)
        *ret_progress = progress;
    return code;
}
