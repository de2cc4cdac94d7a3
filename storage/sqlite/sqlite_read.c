/* sqlite_read.c - the queries for runs, their steps and events, on reader connections. Not lists of
 * runs (sqlite_list.c), not writing. Its functions are slots of the driver: called on any thread.
 * One query is one statement, so it sees one commit's state, and every commit reported before it.
 */
#include "storage/sqlite/sqlite_driver.h"
#include "storage/sqlite/sqlite_query.h"

static const char *const sql[SQLITE_READ__COUNT] = {
    [SQLITE_READ_RUN] = "SELECT " SQLITE_RUN_COLUMNS " FROM runs r WHERE r.tenant = ? AND r.id = ?",
    [SQLITE_READ_STEP] = "SELECT " SQLITE_STEP_COLUMNS " FROM steps WHERE tenant = ? AND run = ?"
                         " AND path = ?",
    [SQLITE_READ_STEPS] = "SELECT " SQLITE_STEP_COLUMNS " FROM steps WHERE tenant = ? AND run = ?"
                          " AND path > ? ORDER BY path LIMIT ?",
    [SQLITE_READ_EVENTS] = "SELECT seq, at, type, path, attempt, data FROM events"
                           " WHERE tenant = ? AND run = ? AND seq > ? ORDER BY seq LIMIT ?",
    [SQLITE_READ_CREATED] = "SELECT created_at FROM runs WHERE tenant = ? AND id = ?",
    [SQLITE_READ_UNFINISHED] =
        "SELECT " SQLITE_RUN_COLUMNS " FROM runs r INDEXED BY runs_unfinished WHERE ended_at = 0"
        " AND (created_at, r.tenant, r.id) > (?,?,?) ORDER BY created_at, r.tenant, r.id LIMIT ?",
    [SQLITE_READ_DEFINITION] = "SELECT text FROM definitions WHERE tenant = ? AND hash = ?",
};

static struct sqlite_query begin(struct store_driver *driver, enum sqlite_read which,
                                 struct pl_arena *arena, struct pl_err *err)
{
    return sqlite_query_begin(driver, which, sql[which], arena, err);
}

static void read_event(struct sqlite_row *row, struct store_event *event)
{
    event->seq = sqlite_row_int(row);
    event->at = sqlite_row_int(row);
    event->type = sqlite_row_str(row);
    event->path = sqlite_row_str(row);
    event->attempt = sqlite_row_int(row);
    event->data = sqlite_row_str(row);
}

/* ---- slots ---- */

enum pl_code sqlite_read_run(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str id, struct store_run *ret_run,
                             struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_RUN, arena, err);
    struct store_run run = {0};

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, id);
    if (sqlite_query_next(&query)) {
        sqlite_row_run(&query.row, &run);
        if (sqlite_query_row_ok(&query))
            *ret_run = run;
        else
            store_run_finish(&run);
    } else if (query.code == PL_OK) {
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s", PL_STR_ARG(id));
    }
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_step(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, struct pl_str run, struct pl_str path,
                              struct store_step *ret_step, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_STEP, arena, err);
    struct store_step step = {0};

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, path);
    if (sqlite_query_next(&query)) {
        sqlite_row_step(&query.row, &step);
        if (sqlite_query_row_ok(&query))
            *ret_step = step;
        else
            store_step_finish(&step);
    } else if (query.code == PL_OK) {
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "run %.*s has no step %.*s", PL_STR_ARG(run),
                                PL_STR_ARG(path));
    }
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_steps(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run, struct pl_str after,
                               size_t limit, struct store_step **ret_steps, size_t *ret_count,
                               struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_STEPS, arena, err);
    struct store_step *steps = NULL, *grown;
    size_t count = 0, capacity = 0;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, after);
    sqlite_query_limit(&query, limit);
    while (sqlite_query_next(&query)) {
        grown = sqlite_query_grow(arena, steps, count, &capacity, sizeof(*steps));
        if (grown) {
            steps = grown;
            sqlite_row_step(&query.row, &steps[count++]);
        }
        (void)sqlite_query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_steps = steps;
        *ret_count = count;
    } else {
        while (count > 0)
            store_step_finish(&steps[--count]);
    }
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_events(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_EVENTS, arena, err);
    struct store_event *events = NULL, *grown;
    size_t count = 0, capacity = 0;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_int(&query, after);
    sqlite_query_limit(&query, limit);
    while (sqlite_query_next(&query)) {
        grown = sqlite_query_grow(arena, events, count, &capacity, sizeof(*events));
        if (grown) {
            events = grown;
            read_event(&query.row, &events[count++]);
        }
        (void)sqlite_query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_events = events;
        *ret_count = count;
    }
    return sqlite_query_end(&query);
}

/* When the run of a cursor was created: where a page of the unfinished begins. */
static enum pl_code created_at(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str id, int64_t *ret_created,
                               struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_CREATED, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, id);
    if (sqlite_query_next(&query))
        *ret_created = sqlite_row_int(&query.row);
    else if (query.code == PL_OK)
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s to go on after",
                                PL_STR_ARG(id));
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_unfinished(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run **ret_runs, size_t *ret_count,
                                    struct pl_err *err)
{
    struct sqlite_query query;
    struct store_run *runs = NULL, *grown;
    size_t count = 0, capacity = 0;
    int64_t created = INT64_MIN;
    enum pl_code code;

    if (after_id.len > 0) {
        code = created_at(driver, arena, after_tenant, after_id, &created, err);
        if (code != PL_OK)
            return code;
    }
    query = begin(driver, SQLITE_READ_UNFINISHED, arena, err);
    sqlite_query_int(&query, created);
    sqlite_query_str(&query, after_tenant);
    sqlite_query_str(&query, after_id);
    sqlite_query_limit(&query, limit);
    while (sqlite_query_next(&query)) {
        grown = sqlite_query_grow(arena, runs, count, &capacity, sizeof(*runs));
        if (grown) {
            runs = grown;
            sqlite_row_run(&query.row, &runs[count++]);
        }
        (void)sqlite_query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_runs = runs;
        *ret_count = count;
    } else {
        while (count > 0)
            store_run_finish(&runs[--count]);
    }
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_definition(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str tenant, struct pl_str hash,
                                    struct pl_str *ret_text, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_DEFINITION, arena, err);
    struct pl_str text;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, hash);
    if (sqlite_query_next(&query)) {
        text = sqlite_row_str(&query.row);
        if (sqlite_query_row_ok(&query))
            *ret_text = text;
    } else if (query.code == PL_OK) {
        query.code =
            pl_err_set(err, PL_ERR_NOT_FOUND, "there is no definition %.*s", PL_STR_ARG(hash));
    }
    return sqlite_query_end(&query);
}
