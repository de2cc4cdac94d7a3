/* engine_progress.c - how many steps of a stored run stand where, counted from its rows as
 * run_core_progress counts them from its nodes. Not the run object (engine_read.c). */
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

    if (!def)
        return;
    if (row->ended_at)
        mark = pl_str_is(row->status, "cancelled") ? MARK_CANCELLED : MARK_OVER;
    counting->marks[def->index] = (unsigned char)mark;
}

static enum pl_code mark_rows(struct engine *engine, const struct store_run *run,
                              struct counting *counting, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str after = {0};
    size_t count = ROWS_PAGE;
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    while (code == PL_OK && count == ROWS_PAGE) {
        struct store_step *rows;

        code = store_list_steps(engine->store, arena, run->tenant, run->id, after, ROWS_PAGE, &rows,
                                &count, err);
        for (size_t i = 0; code == PL_OK && i < count; i++) {
            mark_row(counting, &rows[i]);
            after = rows[i].path;
            store_step_finish(&rows[i]);
        }
    }
    pl_arena_destroy(&arena);
    return code;
}

/* Some steps have no row: which ones decides what they are. */
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
    code = mark_rows(engine, run, &counting, err);
    for (size_t i = 0; code == PL_OK && i < workflow->root->n_top; i++)
        count_missing(&counting, workflow->root->top[i], never_began ? MARK_CANCELLED : MARK_OPEN);
    free(counting.marks);
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
        if (progress.total < workflow->n_steps)
            code = read_missing(engine, run, workflow, &progress, err);
    }
    workflow_unref(&workflow);
    if (code == PL_OK)
        *ret_progress = progress;
    return code;
}
