/* sqlite_query.h - one query on a reader connection, and the kinds of rows there are. Not the
 * queries themselves. Used by sqlite_read.c and sqlite_list.c; a query belongs to one thread. */
#ifndef PLAIT_STORAGE_SQLITE_SQLITE_QUERY_H
#define PLAIT_STORAGE_SQLITE_SQLITE_QUERY_H

#include "storage/sqlite/sqlite_db.h"
#include "storage/sqlite/sqlite_driver.h"

/* The order of the columns is the order in which sqlite_run_row takes them; runs are `r`. */
#define SQLITE_RUN_COLUMNS                                                                       \
    "r.tenant, r.id, definition, workflow_name, workflow_version, status, phase, paused,"        \
    " CASE input_apart WHEN 0 THEN r.input ELSE (SELECT i.input FROM run_inputs i"               \
    " WHERE i.tenant = r.tenant AND i.id = r.id) END AS input,"                                  \
    " CASE output_apart WHEN 0 THEN r.output ELSE (SELECT o.output FROM run_outputs o"           \
    " WHERE o.tenant = r.tenant AND o.id = r.id) END AS output, error, reason, thread,"          \
    " metadata, options, created_at, started_at, ended_at, calls, input_tokens,"                 \
    " cached_input_tokens, cache_write_input_tokens, output_tokens, reasoning_tokens, cost_usd," \
    " last_seq"

/* The same of steps, which are `s`, their notes `n`; `part` is the enum store_step_part. */
#define SQLITE_STEP_COLUMNS(part)                                                            \
    "s.path, s.kind, s.status, s.phase, s.attempts, s.tries, s.handled, s.counted, s.model," \
    " CASE WHEN " part " < 2 THEN s.output END AS output,"                                   \
    " CASE WHEN " part " < 2 THEN s.error END AS error, n.memo AS memo,"                     \
    " CASE " part " WHEN 0 THEN n.writes END AS writes, s.reason, s.join_state, s.calls,"    \
    " s.input_tokens, s.cached_input_tokens, s.cache_write_input_tokens, s.output_tokens,"   \
    " s.reasoning_tokens, s.cost_usd, CASE WHEN " part " < 2 THEN s.call END AS call,"       \
    " s.created_at,"                                                                         \
    " s.started_at, s.ended_at, s.wake_at, s.sent_at"
#define SQLITE_STEP_TABLES(part)                                                      \
    "steps s LEFT JOIN step_notes n ON (" part " = 0 OR (" part " = 1 AND s.status =" \
    " 'waiting')) AND n.tenant = s.tenant AND n.run = s.run AND n.place = s.place"

struct sqlite_query {
    struct sqlite_pool *pool;
    struct sqlite_reader *reader; /* NULL: could not be begun */
    struct sqlite_binder binder;
    struct sqlite_row row;
    enum pl_code code; /* sticky */
    struct pl_err *err;
};

/* What a query gives: how large one is, how the columns of the present row are taken, and how the
 * values in it are released (NULL: it has none). */
struct sqlite_row_kind {
    size_t size;
    void (*read)(struct sqlite_row *row, void *ret_item);
    void (*finish)(void *item);
};
extern const struct sqlite_row_kind sqlite_run_row, sqlite_step_row;
/* The columns from `calls` to `cost_usd`. */
struct store_usage sqlite_row_usage(struct sqlite_row *row);

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
/* Notes memory that ran out while a row was read, and damage. */
bool sqlite_query_row_ok(struct sqlite_query *query);
/* The one row; false when there is none and after a failure: *ret_item is untouched. */
bool sqlite_query_one(struct sqlite_query *query, const struct sqlite_row_kind *kind,
                      void *ret_item);
/* All rows as an array in the arena, NULL when there are none, and the end of the query. Nothing is
 * left to release after an error. */
enum pl_code sqlite_query_collect(struct sqlite_query *query, const struct sqlite_row_kind *kind,
                                  void **ret_items, size_t *ret_count);
/* Gives the reader back; the code of it all. */
enum pl_code sqlite_query_end(struct sqlite_query *query);

#endif
