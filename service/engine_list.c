/* engine_list.c - pages of runs, as the list shape of the REST API, and that shape. Not one run
 * (engine_write_run), a run's steps (engine_steps.c) nor stored workflows (engine_workflows.c). */
#include "base/json.h"
#include "base/log.h"
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

/* A page on its way. */
struct page {
    struct engine *engine;
    struct pl_arena *arena;
    struct pl_buf *out;
    struct pl_buf damaged; /* members of a list */
};

/* A run that cannot be read whole is named, and why; it is in the way of no other. */
static void write_damaged(struct page *page, const struct store_run *run, const struct pl_err *err)
{
    const struct log_context context = {.run = run->id.ptr};
    struct pl_buf *out = &page->damaged;

    log_warn(&context, "RUN-DAMAGED", "a run cannot be listed: %s", err->message);
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "id", run->id);
    json_add_string(out, "status", run->status);
    json_key(out, "error");
    json_object_begin(out);
    json_add_string(out, "code", pl_str(pl_code_text(err->code)));
    json_add_string(out, "title", pl_str(pl_code_title(err->code)));
    json_add_string(out, "detail", pl_str(err->message));
    json_add_bool(out, "retryable", false);
    json_object_end(out);
    json_object_end(out);
}

static enum pl_code write_listed_run(struct page *page, const struct store_run *run,
                                     struct pl_err *err)
{
    struct run_progress progress = {0};
    struct pl_err damage = {0};
    enum pl_code code;

    if (run->damaged)
        code = pl_err_set(&damage, PL_ERR_STORE_CORRUPT,
                          "the database is damaged (%s of run %.*s is not valid JSON): restore it "
                          "from a backup",
                          run->damaged, PL_STR_ARG(run->id));
    else
        code = engine_read_progress(page->engine, run, &progress, &damage);
    if (code == PL_ERR_STORE_CORRUPT) {
        write_damaged(page, run, &damage);
        return PL_OK;
    }
    if (code != PL_OK) {
        if (err)
            *err = damage;
        return code;
    }
    json_comma(page->out);
    run_view_run_open(run, &progress, page->out);
    json_object_end(page->out);
    return PL_OK;
}

/* Writes up to `limit` runs in chunks; `after` becomes the last one written, in the arena. */
static enum pl_code write_chunk(struct page *page, struct pl_str tenant,
                                struct store_run_filter *filter, size_t *left, bool *more,
                                struct pl_err *err)
{
    size_t want = *left < RUNS_PAGE ? *left : RUNS_PAGE, count = 0;
    struct store_run *runs = NULL;
    enum pl_code code = store_list_runs(page->engine->store, page->arena, tenant, filter, want + 1,
                                        &runs, &count, err);

    if (code != PL_OK)
        return code;
    *more = count > want;
    for (size_t i = 0; i < count; i++) {
        if (code == PL_OK && i < want) {
            code = write_listed_run(page, &runs[i], err);
            filter->after = runs[i].id;
            --*left;
        }
        store_run_finish(&runs[i]);
    }
    return code;
}

static void close_data(struct page *page)
{
    if (page->damaged.len == 0)
        return;
    json_array_end(page->out);
    json_key(page->out, "damaged");
    json_array_begin(page->out);
    pl_buf_str(page->out, pl_buf_view(&page->damaged));
}

enum pl_code engine_write_runs(struct engine *engine, struct pl_str tenant,
                               const struct store_run_filter *filter, size_t limit,
                               struct pl_buf *out, struct pl_err *err)
{
    struct page page = {.engine = engine, .arena = pl_arena_create(0), .out = out};
    struct store_run_filter from = *filter;
    bool more = true;
    enum pl_code code = PL_OK;

    if (!page.arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    from.damaged = true;
    pl_buf_init(&page.damaged, out->max);
    engine_list_begin(out);
    do {
        code = write_chunk(&page, tenant, &from, &limit, &more, err);
    } while (code == PL_OK && more && limit > 0 && !pl_buf_failed(out));
    if (code == PL_OK && pl_buf_failed(&page.damaged))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK) {
        close_data(&page);
        code = engine_list_end(out, more, from.after, err);
    }
    pl_buf_finish(&page.damaged);
    pl_arena_destroy(&page.arena);
    return code;
}
