/* sqlite_read.c - the queries for runs, their steps and events, on reader connections. Not lists of
 * runs (sqlite_list.c), not writing. Its functions are slots of the driver: called on any thread.
 * One query is one statement, so it sees one commit's state, and every commit reported before it.
 */
#include "storage/event_pack.h"
#include "storage/sqlite/sqlite_driver.h"
#include "storage/sqlite/sqlite_query.h"
#include "storage/step_path.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const sql[SQLITE_READ__COUNT] = {
    [SQLITE_READ_RUN] = "SELECT " SQLITE_RUN_COLUMNS " FROM runs r WHERE r.tenant = ? AND r.id = ?",
    [SQLITE_READ_STEP] = "SELECT " SQLITE_STEP_COLUMNS("0") " FROM " SQLITE_STEP_TABLES(
        "0") " WHERE s.tenant = ? AND s.run = ? AND s.place = ?",
    /* 1 tenant, 2 run, 3 and 4 the places from and before, 5 status or empty, 6 part, 7 limit */
    [SQLITE_READ_STEPS] = "SELECT " SQLITE_STEP_COLUMNS("?6") " FROM " SQLITE_STEP_TABLES(
        "?6") " WHERE s.tenant = ?1 AND s.run = ?2 AND s.place >= ?3 AND s.place < ?4"
              " AND (?5 = '' OR s.status = ?5) ORDER BY s.place LIMIT ?7",
    [SQLITE_READ_EVENTS] = "SELECT last_seq, pack FROM events"
                           " WHERE tenant = ? AND run = ? AND last_seq > ? ORDER BY last_seq",
    [SQLITE_READ_UNFINISHED] =
        "SELECT tenant, id FROM runs INDEXED BY runs_unfinished WHERE ended_at = 0"
        " AND (id, tenant) > (?,?) ORDER BY id, tenant LIMIT ?",
    [SQLITE_READ_THREAD] = "SELECT id, state, updated_at FROM threads WHERE tenant = ? AND id = ?",
    [SQLITE_READ_DEFINITION] = "SELECT text FROM definitions WHERE tenant = ? AND hash = ?",
};

static struct sqlite_query begin(struct store_driver *driver, enum sqlite_read which,
                                 struct pl_arena *arena, struct pl_err *err)
{
    return sqlite_query_begin(driver, which, sql[which], arena, err);
}

static void read_key(struct sqlite_row *row, void *ret_item)
{
    struct store_run_key *key = ret_item;

    key->tenant = sqlite_row_str(row);
    key->id = sqlite_row_str(row);
}

static const struct sqlite_row_kind key_row = {sizeof(struct store_run_key), read_key, NULL};

static void read_thread(struct sqlite_row *row, void *ret_item)
{
    struct store_thread *thread = ret_item;

    thread->id = sqlite_row_str(row);
    row->noun = "thread";
    row->name = thread->id;
    thread->state = sqlite_row_value(row);
    thread->updated_at = sqlite_row_int(row);
}

static void finish_thread(void *item)
{
    store_thread_finish(item);
}

static const struct sqlite_row_kind thread_row = {sizeof(struct store_thread), read_thread,
                                                  finish_thread};

/* ---- slots ---- */

enum pl_code sqlite_read_run(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str id, struct store_run *ret_run,
                             struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_RUN, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, id);
    if (!sqlite_query_one(&query, &sqlite_run_row, ret_run) && query.code == PL_OK)
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s", PL_STR_ARG(id));
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_thread(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str id,
                                struct store_thread *ret_thread, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_THREAD, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, id);
    if (!sqlite_query_one(&query, &thread_row, ret_thread) && query.code == PL_OK)
        query.code =
            pl_err_set(err, PL_ERR_NOT_FOUND, "nothing is kept of thread %.*s", PL_STR_ARG(id));
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_step(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, struct pl_str run, struct pl_str path,
                              struct store_step *ret_step, struct pl_err *err)
{
    struct sqlite_query query;
    struct pl_buf place;
    enum pl_code code;

    pl_buf_init(&place, SIZE_MAX / 2);
    store_path_place(path, &place);
    if (pl_buf_failed(&place))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for a path");
    query = begin(driver, SQLITE_READ_STEP, arena, err);
    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, pl_buf_view(&place));
    if (!sqlite_query_one(&query, &sqlite_step_row, ret_step) && query.code == PL_OK)
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "run %.*s has no step %.*s", PL_STR_ARG(run),
                                PL_STR_ARG(path));
    code = sqlite_query_end(&query);
    pl_buf_finish(&place);
    return code;
}

/* Which places a list takes: from the first, and before the second. */
struct places {
    struct pl_buf from, before;
};

static void places_finish(struct places *places)
{
    pl_buf_finish(&places->from);
    pl_buf_finish(&places->before);
}

/* False when out of memory. */
static bool places_init(struct places *places, const struct store_step_filter *filter)
{
    pl_buf_init(&places->from, SIZE_MAX / 2);
    pl_buf_init(&places->before, SIZE_MAX / 2);
    if (filter->prefix.len) {
        store_path_place(filter->prefix, &places->before);
        pl_buf_char(&places->before, STORE_PLACE_BEHIND);
    } else {
        pl_buf_char(&places->before, (char)0xff); /* no text has such a byte */
    }
    if (filter->after.len &&
        (filter->prefix.len == 0 || store_path_compare(filter->after, filter->prefix) >= 0)) {
        store_path_place(filter->after, &places->from);
        pl_buf_char(&places->from, STORE_PLACE_INSIDE); /* the least that is behind it */
    } else {
        store_path_place(filter->prefix, &places->from);
    }
    if (!pl_buf_failed(&places->from) && !pl_buf_failed(&places->before))
        return true;
    places_finish(places);
    return false;
}

enum pl_code sqlite_read_steps(struct store_driver *driver, struct pl_arena *arena,
                               struct pl_str tenant, struct pl_str run,
                               const struct store_step_filter *filter, size_t limit,
                               struct store_step **ret_steps, size_t *ret_count, struct pl_err *err)
{
    struct sqlite_query query;
    struct places places;
    void *steps;
    enum pl_code code;

    if (!places_init(&places, filter))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for a path");
    query = begin(driver, SQLITE_READ_STEPS, arena, err);
    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, pl_buf_view(&places.from));
    sqlite_query_str(&query, pl_buf_view(&places.before));
    sqlite_query_str(&query, filter->status);
    sqlite_query_int(&query, filter->part);
    sqlite_query_limit(&query, limit);
    code = sqlite_query_collect(&query, &sqlite_step_row, &steps, ret_count);
    if (code == PL_OK)
        *ret_steps = steps;
    places_finish(&places);
    return code;
}

/* Events gathered on the heap, as in sqlite_query.c. */
struct events {
    struct store_event *items;
    size_t count, capacity;
    int64_t last_seq; /* of the pack before */
};

/* False when out of memory. */
static bool add_event(struct events *events, const struct store_event *event)
{
    size_t capacity = events->capacity ? events->capacity * 2 : 64;
    struct store_event *items;

    if (events->count == events->capacity) {
        if (capacity > SIZE_MAX / sizeof(*items))
            return false;
        items = realloc(events->items, capacity * sizeof(*items));
        if (!items)
            return false;
        events->items = items;
        events->capacity = capacity;
    }
    events->items[events->count++] = *event;
    return true;
}

/* Those of the present row whose number is above `after`, up to `limit` with what is there. */
static void add_pack(struct sqlite_query *query, int64_t after, size_t limit, struct events *events)
{
    struct sqlite_row *row = &query->row;
    const int64_t last_seq = sqlite_row_int(row);
    struct store_pack_reader reader;
    struct store_event event;

    row->noun = "the events up to";
    row->name = pl_str(pl_arena_printf(row->arena, "%" PRId64, last_seq));
    store_pack_reader_init(&reader, sqlite_row_array(row), events->last_seq, row->arena);
    while (!row->damaged && events->count < limit && store_pack_next(&reader, &event))
        if (event.seq > after && !add_event(events, &event))
            row->failed = true;
    if (events->count < limit ? reader.above != last_seq : reader.above > last_seq)
        reader.damaged = true;
    if (reader.damaged && !row->damaged && !pl_arena_failed(row->arena))
        row->damaged = "pack";
    events->last_seq = last_seq;
    (void)sqlite_query_row_ok(query);
}

enum pl_code sqlite_read_events(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, int64_t after,
                                size_t limit, struct store_event **ret_events, size_t *ret_count,
                                struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_EVENTS, arena, err);
    struct events events = {0};
    struct store_event *items = NULL;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_int(&query, after);
    while (events.count < limit && sqlite_query_next(&query))
        add_pack(&query, after, limit, &events);
    if (query.code == PL_OK && events.count) {
        items = pl_arena_alloc_array(arena, events.count, sizeof(*items));
        if (items)
            memcpy(items, events.items, events.count * sizeof(*items));
        else
            query.code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for events");
    }
    if (query.code == PL_OK) {
        *ret_events = items;
        *ret_count = events.count;
    }
    free(events.items);
    return sqlite_query_end(&query);
}

enum pl_code sqlite_read_unfinished(struct store_driver *driver, struct pl_arena *arena,
                                    struct pl_str after_tenant, struct pl_str after_id,
                                    size_t limit, struct store_run_key **ret_keys,
                                    size_t *ret_count, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_UNFINISHED, arena, err);
    void *keys;
    enum pl_code code;

    sqlite_query_str(&query, after_id);
    sqlite_query_str(&query, after_tenant);
    sqlite_query_limit(&query, limit);
    code = sqlite_query_collect(&query, &key_row, &keys, ret_count);
    if (code == PL_OK)
        *ret_keys = keys;
    return code;
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
