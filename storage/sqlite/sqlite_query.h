/* sqlite_query.h - one query on a reader connection, and the columns of runs and steps. Not the
 * queries themselves. Used by sqlite_read.c and sqlite_list.c; a query belongs to one thread. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_QUERY_H
#define PLAIT_STORAGE_SQLITE_SQLITE_QUERY_H

#include "storage/sqlite/sqlite_db.h"
#include "storage/sqlite/sqlite_driver.h"

/* The order of the columns is the order in which sqlite_row_run takes them; runs are `r`. */
#define SQLITE_RUN_COLUMNS                                                                      \
    "r.tenant, r.id, definition, workflow_name, workflow_version, status, phase, paused,"       \
    " CASE input_apart WHEN 0 THEN r.input ELSE (SELECT i.input FROM run_inputs i"              \
    " WHERE i.tenant = r.tenant AND i.id = r.id) END, output, error, reason, thread, metadata," \
    " options, created_at, started_at, ended_at, calls, input_tokens, cached_input_tokens,"     \
    " output_tokens, cost_usd, last_seq"

/* The same of sqlite_row_step. */
#define SQLITE_STEP_COLUMNS                                                                       \
    "path, kind, status, phase, attempts, tries, handled, counted, model, output, error, reason," \
    " join_state, calls, input_tokens, cached_input_tokens, output_tokens, cost_usd, created_at," \
    " started_at, ended_at, wake_at, sent_at"

struct sqlite_query {
    struct sqlite_pool *pool;
    struct sqlite_reader *reader; /* NULL: could not be begun */
    struct sqlite_binder binder;
    struct sqlite_row row;
    enum pl_code code; /* sticky */
    struct pl_err *err;
};

/* Takes a reader and a statement, whose text is `sql` always; what fails shows in `code`, and
 * sqlite_query_next then gives no row. Every query that was begun is ended. */
struct sqlite_query sqlite_query_begin(struct store_driver *driver, enum sqlite_read which,
                                       const char *sql, struct pl_arena *arena, struct pl_err *err);
/* The next parameter. Text is borrowed until the end. */
void sqlite_query_str(struct sqlite_query *query, struct pl_str text);
void sqlite_query_int(struct sqlite_query *query, int64_t number);
void sqlite_query_limit(struct sqlite_query *query, size_t limit);
/* Steps to the next row. False at the end and after a failure. */
bool sqlite_query_next(struct sqlite_query *query);
/* Notes memory that ran out while a row was read. */
bool sqlite_query_row_ok(struct sqlite_query *query);
/* Gives the reader back; the code of it all. */
enum pl_code sqlite_query_end(struct sqlite_query *query);

/* Room for one more in an array that doubles; `count` are in it. NULL when the arena failed. */
void *sqlite_query_grow(struct pl_arena *arena, void *array, size_t count, size_t *capacity,
                        size_t size);

/* The columns of the present row; their order is that of the lists above. */
void sqlite_row_run(struct sqlite_row *row, struct store_run *run);
void sqlite_row_step(struct sqlite_row *row, struct store_step *step);

#endif
