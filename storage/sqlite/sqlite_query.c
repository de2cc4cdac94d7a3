/* sqlite_query.c - one query on a reader connection, from taking the reader to giving it back, and
 * the columns of runs and steps. Not the queries (sqlite_read.c, sqlite_list.c). */
#include "storage/sqlite/sqlite_query.h"

/* Takes a reader and a statement; what fails shows in `code`, and query_next then gives no row. */
struct sqlite_query sqlite_query_begin(struct store_driver *driver, enum sqlite_read which,
                                       const char *sql, struct pl_arena *arena, struct pl_err *err)
{
    struct sqlite_query query = {.pool = &sqlite_driver_of(driver)->pool, .err = err};

    query.code = sqlite_pool_take(query.pool, &query.reader, err);
    if (query.code == PL_OK)
        query.code =
            sqlite_db_prepare(query.reader->db, sql, &query.reader->statements[which], err);
    if (query.code == PL_OK) {
        query.binder = sqlite_bind_begin(query.reader->statements[which]);
        query.row = (struct sqlite_row){.statement = query.binder.statement, .arena = arena};
    }
    return query;
}

void sqlite_query_str(struct sqlite_query *query, struct pl_str text)
{
    if (query->code == PL_OK)
        sqlite_bind_str(&query->binder, text);
}

void sqlite_query_int(struct sqlite_query *query, int64_t number)
{
    if (query->code == PL_OK)
        sqlite_bind_int(&query->binder, number);
}

void sqlite_query_limit(struct sqlite_query *query, size_t limit)
{
    sqlite_query_int(query, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

/* Steps to the next row. False at the end and after a failure. */
bool sqlite_query_next(struct sqlite_query *query)
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
bool sqlite_query_row_ok(struct sqlite_query *query)
{
    if (query->row.failed || pl_arena_failed(query->row.arena))
        query->code = pl_err_set(query->err, PL_ERR_NO_MEMORY, "out of memory for a row");
    return query->code == PL_OK;
}

/* Gives the reader back. Strings bound are borrowed from the caller, so none may stay bound. */
enum pl_code sqlite_query_end(struct sqlite_query *query)
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
void *sqlite_query_grow(struct pl_arena *arena, void *array, size_t count, size_t *capacity,
                        size_t size)
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

void sqlite_row_run(struct sqlite_row *row, struct store_run *run)
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

void sqlite_row_step(struct sqlite_row *row, struct store_step *step)
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
