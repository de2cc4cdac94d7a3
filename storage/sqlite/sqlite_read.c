/* sqlite_read.c - the queries, on reader connections. Not writing. Its functions are slots of the
 * driver: called on any thread. One query is one statement, so it sees one commit's state, and
 * every commit reported before it. */
#include "storage/sqlite/sqlite_db.h"
#include "storage/sqlite/sqlite_driver.h"

/* The order of the columns is the order in which read_* below takes them. */
#define RUN_COLUMNS                                                                             \
    "r.tenant, r.id, definition, workflow_name, workflow_version, status, phase, paused,"       \
    " CASE input_apart WHEN 0 THEN r.input ELSE (SELECT i.input FROM run_inputs i"              \
    " WHERE i.tenant = r.tenant AND i.id = r.id) END, output, error, reason, thread, metadata," \
    " options, created_at, started_at, ended_at, calls, input_tokens, cached_input_tokens,"     \
    " output_tokens, cost_usd, last_seq"

static const char *const sql[SQLITE_READ__COUNT] = {
    [SQLITE_READ_RUN] = "SELECT " RUN_COLUMNS " FROM runs r WHERE r.tenant = ? AND r.id = ?",
    [SQLITE_READ_STEPS] =
        "SELECT path, kind, status, phase, attempts, tries, handled, counted, model, output, error,"
        " reason, join_state, calls, input_tokens, cached_input_tokens, output_tokens, cost_usd,"
        " created_at, started_at, ended_at, wake_at, sent_at"
        " FROM steps WHERE tenant = ? AND run = ? AND path > ? ORDER BY path LIMIT ?",
    [SQLITE_READ_EVENTS] = "SELECT seq, at, type, path, attempt, data FROM events"
                           " WHERE tenant = ? AND run = ? AND seq > ? ORDER BY seq LIMIT ?",
    [SQLITE_READ_CREATED] = "SELECT created_at FROM runs WHERE tenant = ? AND id = ?",
    [SQLITE_READ_UNFINISHED] =
        "SELECT " RUN_COLUMNS " FROM runs r INDEXED BY runs_unfinished WHERE ended_at = 0"
        " AND (created_at, r.tenant, r.id) > (?,?,?) ORDER BY created_at, r.tenant, r.id LIMIT ?",
    [SQLITE_READ_DEFINITION] = "SELECT text FROM definitions WHERE tenant = ? AND hash = ?",
};
#undef RUN_COLUMNS

/* ---- a query going on ---- */

struct query {
    struct sqlite_pool *pool;
    struct sqlite_reader *reader; /* NULL: could not be begun */
    struct sqlite_binder binder;
    struct sqlite_row row;
    enum pl_code code; /* sticky */
    struct pl_err *err;
};

/* Takes a reader and a statement; what fails shows in `code`, and query_next then gives no row. */
static struct query query_begin(struct store_driver *driver, enum sqlite_read which,
                                struct pl_arena *arena, struct pl_err *err)
{
    struct query query = {.pool = &sqlite_driver_of(driver)->pool, .err = err};

    query.code = sqlite_pool_take(query.pool, &query.reader, err);
    if (query.code == PL_OK)
        query.code =
            sqlite_db_prepare(query.reader->db, sql[which], &query.reader->statements[which], err);
    if (query.code == PL_OK) {
        query.binder = sqlite_bind_begin(query.reader->statements[which]);
        query.row = (struct sqlite_row){.statement = query.binder.statement, .arena = arena};
    }
    return query;
}

static void bind_str(struct query *query, struct pl_str text)
{
    if (query->code == PL_OK)
        sqlite_bind_str(&query->binder, text);
}

static void bind_int(struct query *query, int64_t number)
{
    if (query->code == PL_OK)
        sqlite_bind_int(&query->binder, number);
}

static void bind_limit(struct query *query, size_t limit)
{
    bind_int(query, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

/* Steps to the next row. False at the end and after a failure. */
static bool query_next(struct query *query)
{
    int rc;

    if (query->code != PL_OK)
        return false;
    rc = query->binder.rc;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(query->binder.statement);
    query->row.column = 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        query->code = sqlite_db_fail(query->reader->db, rc, query->err);
    return rc == SQLITE_ROW;
}

/* Notes memory that ran out while a row was read. */
static bool query_row_ok(struct query *query)
{
    if (query->row.failed || pl_arena_failed(query->row.arena))
        query->code = pl_err_set(query->err, PL_ERR_NO_MEMORY, "out of memory for a row");
    return query->code == PL_OK;
}

/* Gives the reader back. Strings bound are borrowed from the caller, so none may stay bound. */
static enum pl_code query_end(struct query *query)
{
    if (query->binder.statement) {
        (void)sqlite3_reset(query->binder.statement);
        (void)sqlite3_clear_bindings(query->binder.statement);
    }
    if (query->reader)
        sqlite_pool_give(query->pool, query->reader);
    return query->code;
}

/* Room for one more in an array that doubles; `count` are in it. NULL when the arena failed. */
static void *grow(struct pl_arena *arena, void *array, size_t count, size_t *capacity, size_t size)
{
    size_t wider = *capacity ? *capacity * 2 : 16;
    void *bigger;

    if (count < *capacity)
        return array;
    bigger = pl_arena_alloc_array(arena, wider, size);
    if (!bigger)
        return NULL;
    if (count)
        memcpy(bigger, array, count * size);
    *capacity = wider;
    return bigger;
}

/* ---- rows ---- */

static struct store_usage read_usage(struct sqlite_row *row)
{
    struct store_usage usage;

    usage.calls = sqlite_row_int(row);
    usage.input_tokens = sqlite_row_int(row);
    usage.cached_input_tokens = sqlite_row_int(row);
    usage.output_tokens = sqlite_row_int(row);
    usage.cost_usd = sqlite_row_real(row);
    return usage;
}

static void read_run(struct sqlite_row *row, struct store_run *run)
{
    run->tenant = sqlite_row_str(row);
    run->id = sqlite_row_str(row);
    run->definition = sqlite_row_str(row);
    run->workflow_name = sqlite_row_str(row);
    run->workflow_version = sqlite_row_int(row);
    run->status = sqlite_row_str(row);
    run->phase = sqlite_row_str(row);
    run->paused = sqlite_row_int(row) != 0;
    run->input = sqlite_row_value(row);
    run->output = sqlite_row_value(row);
    run->error = sqlite_row_value(row);
    run->reason = sqlite_row_str(row);
    run->thread = sqlite_row_str(row);
    run->metadata = sqlite_row_str(row);
    run->options = sqlite_row_str(row);
    run->created_at = sqlite_row_int(row);
    run->started_at = sqlite_row_int(row);
    run->ended_at = sqlite_row_int(row);
    run->usage = read_usage(row);
    run->last_seq = sqlite_row_int(row);
}

static void read_step(struct sqlite_row *row, struct store_step *step)
{
    step->path = sqlite_row_str(row);
    step->kind = sqlite_row_str(row);
    step->status = sqlite_row_str(row);
    step->phase = sqlite_row_str(row);
    step->attempts = sqlite_row_int(row);
    step->tries = sqlite_row_int(row);
    step->handled = sqlite_row_int(row) != 0;
    step->counted = sqlite_row_int(row) != 0;
    step->model = sqlite_row_str(row);
    step->output = sqlite_row_value(row);
    step->error = sqlite_row_value(row);
    step->reason = sqlite_row_str(row);
    step->join = sqlite_row_str(row);
    step->usage = read_usage(row);
    step->created_at = sqlite_row_int(row);
    step->started_at = sqlite_row_int(row);
    step->ended_at = sqlite_row_int(row);
    step->wake_at = sqlite_row_int(row);
    step->sent_at = sqlite_row_int(row);
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
    struct query query = query_begin(driver, SQLITE_READ_RUN, arena, err);
    struct store_run run = {0};

    bind_str(&query, tenant);
    bind_str(&query, id);
    if (query_next(&query)) {
        read_run(&query.row, &run);
        if (query_row_ok(&query))
            *ret_run = run;
        else
            store_run_finish(&run);
    } else if (query.code == PL_OK) {
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s", PL_STR_ARG(id));
    }
    return query_end(&query);
}

enum pl_code sqlite_read_steps(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run, struct pl_str after,
                               size_t limit, struct store_step **ret_steps, size_t *ret_count,
                               struct pl_err *err)
{
    struct query query = query_begin(driver, SQLITE_READ_STEPS, arena, err);
    struct store_step *steps = NULL, *grown;
    size_t count = 0, capacity = 0;

    bind_str(&query, tenant);
    bind_str(&query, run);
    bind_str(&query, after);
    bind_limit(&query, limit);
    while (query_next(&query)) {
        grown = grow(arena, steps, count, &capacity, sizeof(*steps));
        if (grown) {
            steps = grown;
            read_step(&query.row, &steps[count++]);
        }
        (void)query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_steps = steps;
        *ret_count = count;
    } else {
        while (count > 0)
            store_step_finish(&steps[--count]);
    }
    return query_end(&query);
}

enum pl_code sqlite_read_events(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err)
{
    struct query query = query_begin(driver, SQLITE_READ_EVENTS, arena, err);
    struct store_event *events = NULL, *grown;
    size_t count = 0, capacity = 0;

    bind_str(&query, tenant);
    bind_str(&query, run);
    bind_int(&query, after);
    bind_limit(&query, limit);
    while (query_next(&query)) {
        grown = grow(arena, events, count, &capacity, sizeof(*events));
        if (grown) {
            events = grown;
            read_event(&query.row, &events[count++]);
        }
        (void)query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_events = events;
        *ret_count = count;
    }
    return query_end(&query);
}

/* When the run of a cursor was created: where a page of the unfinished begins. */
static enum pl_code created_at(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str id, int64_t *ret_created,
                               struct pl_err *err)
{
    struct query query = query_begin(driver, SQLITE_READ_CREATED, arena, err);

    bind_str(&query, tenant);
    bind_str(&query, id);
    if (query_next(&query))
        *ret_created = sqlite_row_int(&query.row);
    else if (query.code == PL_OK)
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s to go on after",
                                PL_STR_ARG(id));
    return query_end(&query);
}

enum pl_code sqlite_read_unfinished(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run **ret_runs, size_t *ret_count,
                                    struct pl_err *err)
{
    struct query query;
    struct store_run *runs = NULL, *grown;
    size_t count = 0, capacity = 0;
    int64_t created = INT64_MIN;
    enum pl_code code;

    if (after_id.len > 0) {
        code = created_at(driver, arena, after_tenant, after_id, &created, err);
        if (code != PL_OK)
            return code;
    }
    query = query_begin(driver, SQLITE_READ_UNFINISHED, arena, err);
    bind_int(&query, created);
    bind_str(&query, after_tenant);
    bind_str(&query, after_id);
    bind_limit(&query, limit);
    while (query_next(&query)) {
        grown = grow(arena, runs, count, &capacity, sizeof(*runs));
        if (grown) {
            runs = grown;
            read_run(&query.row, &runs[count++]);
        }
        (void)query_row_ok(&query);
    }
    if (query.code == PL_OK) {
        *ret_runs = runs;
        *ret_count = count;
    } else {
        while (count > 0)
            store_run_finish(&runs[--count]);
    }
    return query_end(&query);
}

enum pl_code sqlite_read_definition(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str tenant, struct pl_str hash,
                                    struct pl_str *ret_text, struct pl_err *err)
{
    struct query query = query_begin(driver, SQLITE_READ_DEFINITION, arena, err);
    struct pl_str text;

    bind_str(&query, tenant);
    bind_str(&query, hash);
    if (query_next(&query)) {
        text = sqlite_row_str(&query.row);
        if (query_row_ok(&query))
            *ret_text = text;
    } else if (query.code == PL_OK) {
        query.code =
            pl_err_set(err, PL_ERR_NOT_FOUND, "there is no definition %.*s", PL_STR_ARG(hash));
    }
    return query_end(&query);
}
