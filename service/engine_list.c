/* engine_list.c - pages of runs, as the list shape of the REST API, and that shape. Not one run
 * (engine_write_run), a run's steps (engine_steps.c) nor stored workflows (engine_workflows.c). */
#include "base/json.h"
#include "service/engine_private.h"
#include "service/run/run_view.h"
#include "storage/store.h"

enum { RUNS_PAGE = 20 }; /* rows read at a time: each may hold a large output */

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

    if (code == PL_ERR_STORE_CORRUPT)
        return pl_err_prefix(err, "run %.*s", PL_STR_ARG(run->id));
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
