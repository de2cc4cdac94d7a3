/* sqlite_query.c - one query on a reader connection, from taking the reader to giving it back, and
 * the columns of runs and steps. Not the queries (sqlite_read.c, sqlite_list.c). */
#include "storage/sqlite/sqlite_query.h"

#include <assert.h>
#include <stdlib.h>

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

/* Notes memory that ran out while a row was read, and damage. */
bool sqlite_query_row_ok(struct sqlite_query *query)
{
    if (query->row.damaged)
        query->code = pl_err_set(query->err, PL_ERR_STORE_CORRUPT,
                                 "the database is damaged (%s of %s %.*s is not valid JSON):"
                                 " restore it from a backup",
                                 query->row.damaged, query->row.noun, PL_STR_ARG(query->row.name));
    else if (query->row.failed || pl_arena_failed(query->row.arena))
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

/* Reads the present row into memory of the kind's size; false after a failure, with nothing left in
 * it. */
static bool read_row(struct sqlite_query *query, const struct sqlite_row_kind *kind, void *item)
{
    memset(item, 0, kind->size);
    kind->read(&query->row, item);
    if (sqlite_query_row_ok(query))
        return true;
    if (kind->finish)
        kind->finish(item);
    return false;
}

bool sqlite_query_one(struct sqlite_query *query, const struct sqlite_row_kind *kind,
                      void *ret_item)
{
    union {
        struct store_run run;
        struct store_step step;
        struct store_workflow workflow;
        struct store_thread thread;
        struct store_cached cached;
    } item;

    assert(kind->size <= sizeof(item));
    if (!sqlite_query_next(query) || !read_row(query, kind, &item))
        return false;
    memcpy(ret_item, &item, kind->size);
    return true;
}

/* Rows gathered on the heap: in an arena every size the array has had would stay until its end. */
struct gathered {
    const struct sqlite_row_kind *kind;
    char *items;
    size_t count, capacity;
};

static bool gather_room(struct gathered *gathered)
{
    size_t capacity = gathered->capacity ? gathered->capacity * 2 : 16;
    char *items;

    if (gathered->count < gathered->capacity)
        return true;
    if (capacity > SIZE_MAX / gathered->kind->size)
        return false;
    items = realloc(gathered->items, capacity * gathered->kind->size);
    if (!items)
        return false;
    gathered->items = items;
    gathered->capacity = capacity;
    return true;
}

static void *gather(struct sqlite_query *query, struct gathered *gathered)
{
    const size_t size = gathered->kind->size;
    void *items = NULL;

    while (sqlite_query_next(query)) {
        if (!gather_room(gathered))
            query->code = pl_err_set(query->err, PL_ERR_NO_MEMORY, "out of memory for rows");
        else if (read_row(query, gathered->kind, gathered->items + gathered->count * size))
            gathered->count++;
    }
    if (query->code == PL_OK && gathered->count) {
        items = pl_arena_alloc_array(query->row.arena, gathered->count, size);
        if (items)
            memcpy(items, gathered->items, gathered->count * size);
        else
            query->code = pl_err_set(query->err, PL_ERR_NO_MEMORY, "out of memory for rows");
    }
    return items;
}

enum pl_code sqlite_query_collect(struct sqlite_query *query, const struct sqlite_row_kind *kind,
                                  void **ret_items, size_t *ret_count)
{
    struct gathered gathered = {.kind = kind};
    void *items = gather(query, &gathered);

    if (query->code == PL_OK) {
        *ret_items = items;
        *ret_count = gathered.count;
    } else if (kind->finish) {
        for (size_t i = 0; i < gathered.count; i++)
            kind->finish(gathered.items + i * kind->size);
    }
    free(gathered.items);
    return sqlite_query_end(query);
}

/* ---- rows ---- */

struct store_usage sqlite_row_usage(struct sqlite_row *row)
{
    struct store_usage usage;

    usage.calls = sqlite_row_int(row);
    usage.input_tokens = sqlite_row_int(row);
    usage.cached_input_tokens = sqlite_row_int(row);
    usage.cache_write_input_tokens = sqlite_row_int(row);
    usage.output_tokens = sqlite_row_int(row);
    usage.reasoning_tokens = sqlite_row_int(row);
    usage.cost_usd = sqlite_row_real(row);
    return usage;
}

static void read_run(struct sqlite_row *row, void *ret_item)
{
    struct store_run *run = ret_item;

    run->tenant = sqlite_row_str(row);
    run->id = sqlite_row_str(row);
    row->noun = "run";
    row->name = run->id;
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
    run->metadata = sqlite_row_object(row);
    run->options = sqlite_row_object(row);
    run->created_at = sqlite_row_int(row);
    run->started_at = sqlite_row_int(row);
    run->ended_at = sqlite_row_int(row);
    run->usage = sqlite_row_usage(row);
    run->last_seq = sqlite_row_int(row);
}

static void finish_run(void *item)
{
    store_run_finish(item);
}

const struct sqlite_row_kind sqlite_run_row = {sizeof(struct store_run), read_run, finish_run};

static void read_step(struct sqlite_row *row, void *ret_item)
{
    struct store_step *step = ret_item;

    step->path = sqlite_row_str(row);
    row->noun = "step";
    row->name = step->path;
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
    step->memo = sqlite_row_value(row);
    step->writes = sqlite_row_value(row);
    step->reason = sqlite_row_str(row);
    step->join = sqlite_row_object(row);
    step->usage = sqlite_row_usage(row);
    step->call = sqlite_row_value(row);
    step->created_at = sqlite_row_int(row);
    step->started_at = sqlite_row_int(row);
    step->ended_at = sqlite_row_int(row);
    step->wake_at = sqlite_row_int(row);
    step->sent_at = sqlite_row_int(row);
}

static void finish_step(void *item)
{
    store_step_finish(item);
}

const struct sqlite_row_kind sqlite_step_row = {sizeof(struct store_step), read_step, finish_step};
