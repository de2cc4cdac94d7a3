/* sqlite_write.c - the statements of the write connection. Not opening, not reading. Its functions
 * are slots of the driver: called on the store's writer thread. */
#include "storage/event_pack.h"
#include "storage/sqlite/sqlite_db.h"
#include "storage/sqlite/sqlite_driver.h"
#include "storage/step_path.h"

enum {
    APART_BYTES = 1024,      /* a longer input or output of a run is kept apart from its row */
    TOGETHER = 8,            /* rows of one statement, where there are that many */
    PLACES_BYTES = 4096,     /* of the paths of TOGETHER steps */
    PACK_KEPT = 64 * 1024,   /* of memory for packs between two batches */
    CHECKPOINT_PAGES = 4096, /* of 4 KiB in the WAL before it is moved into the file */
};

/* Steps of which a batch has many are written eight at a time. Tenant and run are the same for all
 * of them. */
#define TWO(values)   values "," values
#define FOUR(values)  TWO(values) "," TWO(values)
#define EIGHT(values) FOUR(values) "," FOUR(values)
#define INSERT_STEPS                                                                             \
    "INSERT INTO steps (tenant, run, place, path, kind, status, phase, attempts,"                \
    " tries, handled, counted, model, output, error, reason, join_state, calls, input_tokens,"   \
    " cached_input_tokens, cache_write_input_tokens, output_tokens, reasoning_tokens, cost_usd," \
    " call, created_at, started_at, ended_at, wake_at, sent_at) VALUES "
#define STEP_VALUES "(?1,?2,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
/* In place: a row that is replaced leaves the index of its key and comes back to it. */
#define UPDATE_STEP                                                                    \
    " ON CONFLICT (tenant, run, place) DO UPDATE SET "                                 \
    "kind = excluded.kind, status = excluded.status, phase = excluded.phase, "         \
    "attempts = excluded.attempts, tries = excluded.tries, "                           \
    "handled = excluded.handled, counted = excluded.counted, model = excluded.model, " \
    "output = excluded.output, error = excluded.error, reason = excluded.reason, "     \
    "join_state = excluded.join_state, calls = excluded.calls, "                       \
    "input_tokens = excluded.input_tokens, "                                           \
    "cached_input_tokens = excluded.cached_input_tokens, "                             \
    "cache_write_input_tokens = excluded.cache_write_input_tokens, "                   \
    "output_tokens = excluded.output_tokens, "                                         \
    "reasoning_tokens = excluded.reasoning_tokens, cost_usd = excluded.cost_usd, "     \
    "call = excluded.call, created_at = excluded.created_at, "                         \
    "started_at = excluded.started_at, ended_at = excluded.ended_at, "                 \
    "wake_at = excluded.wake_at, sent_at = excluded.sent_at"
/* Of a row that is known to be there: half the work of finding that out by the key, and nothing is
 * copied on the way. The parameters are those of INSERT_STEPS; ?4, the path, is told by the place.
 */
#define CHANGE_STEP                                                                        \
    "UPDATE steps SET kind = ?5, status = ?6, phase = ?7, attempts = ?8, tries = ?9,"      \
    " handled = ?10, counted = ?11, model = ?12, output = ?13, error = ?14, reason = ?15," \
    " join_state = ?16, calls = ?17, input_tokens = ?18, cached_input_tokens = ?19,"       \
    " cache_write_input_tokens = ?20, output_tokens = ?21, reasoning_tokens = ?22,"        \
    " cost_usd = ?23, call = ?24, created_at = ?25, started_at = ?26, ended_at = ?27,"     \
    " wake_at = ?28, sent_at = ?29 WHERE tenant = ?1 AND run = ?2 AND place = ?3"

#define RUN_MOVES                                                                     \
    " phase = ?7, paused = ?8, options = ?17, started_at = ?19, calls = ?21,"         \
    " input_tokens = ?22, cached_input_tokens = ?23, cache_write_input_tokens = ?24," \
    " output_tokens = ?25, reasoning_tokens = ?26, cost_usd = ?27, last_seq = ?28"

/* The order of the columns is the order in which put_* below binds them. */
static const char *const sql[SQLITE_WRITE__COUNT] = {
    [SQLITE_WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [SQLITE_WRITE_COMMIT] = "COMMIT",
    [SQLITE_WRITE_ROLLBACK] = "ROLLBACK",
    /* Definitions and inputs stay the same while their rows are put again and again: no page is
       touched then. */
    [SQLITE_WRITE_DEFINITION] =
        "INSERT INTO definitions (tenant, hash, text) VALUES (?,?,?)"
        " ON CONFLICT DO UPDATE SET text = excluded.text WHERE text IS NOT excluded.text",
    [SQLITE_WRITE_INPUT] =
        "INSERT INTO run_inputs (tenant, id, input) VALUES (?,?,?)"
        " ON CONFLICT DO UPDATE SET input = excluded.input WHERE input IS NOT excluded.input",
    [SQLITE_WRITE_OUTPUT] =
        "INSERT INTO run_outputs (tenant, id, output) VALUES (?,?,?)"
        " ON CONFLICT DO UPDATE SET output = excluded.output WHERE output IS NOT excluded.output",
    [SQLITE_WRITE_RUN] =
        "INSERT OR REPLACE INTO runs (tenant, id, definition, workflow_name, workflow_version,"
        " status, phase, paused, input_apart, input, output_apart, output, error, reason, thread, "
        "metadata,"
        " options, created_at, started_at, ended_at, calls, input_tokens, cached_input_tokens,"
        " cache_write_input_tokens, output_tokens, reasoning_tokens, cost_usd, last_seq)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    /* Of a row that is known to be there, by the parameters of SQLITE_WRITE_RUN. While its status
       stays the same no index is touched; most batches of a run are of that kind. */
    [SQLITE_WRITE_RUN_ON] =
        "UPDATE runs SET" RUN_MOVES " WHERE tenant = ?1 AND id = ?2 AND +status = ?6",
    [SQLITE_WRITE_RUN_AGAIN] =
        "UPDATE runs SET status = ?6, output_apart = ?11, output = ?12, error = ?13, reason = ?14,"
        " ended_at = ?20," RUN_MOVES " WHERE tenant = ?1 AND id = ?2",
    [SQLITE_WRITE_STEP] = INSERT_STEPS STEP_VALUES UPDATE_STEP,
    [SQLITE_WRITE_STEPS] = INSERT_STEPS EIGHT(STEP_VALUES) UPDATE_STEP,
    [SQLITE_WRITE_STEP_AGAIN] = CHANGE_STEP,
    [SQLITE_WRITE_NOTES] =
        "INSERT INTO step_notes (tenant, run, place, memo, writes) VALUES (?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET memo = coalesce(excluded.memo, memo),"
        " writes = coalesce(excluded.writes, writes)"
        " WHERE memo IS NOT coalesce(excluded.memo, memo)"
        " OR writes IS NOT coalesce(excluded.writes, writes)",
    [SQLITE_WRITE_THREAD] =
        "INSERT OR REPLACE INTO threads (tenant, id, state, updated_at) VALUES (?,?,?,?)",
    [SQLITE_WRITE_EVENTS] =
        "INSERT OR REPLACE INTO events (tenant, run, last_seq, pack) VALUES (?,?,?,?)",
    [SQLITE_WRITE_KEY] = "INSERT OR REPLACE INTO run_keys (tenant, run, route, key, fingerprint)"
                         " VALUES (?,?,?,?,?)",
};

#undef EIGHT
#undef INSERT_STEPS
#undef STEP_VALUES
#undef UPDATE_STEP
#undef CHANGE_STEP
#undef RUN_MOVES

enum pl_code sqlite_write_prepare(struct sqlite_driver *sqlite, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    for (size_t i = 0; i < SQLITE_WRITE__COUNT && code == PL_OK; i++)
        code = sqlite_db_prepare(sqlite->db, sql[i], &sqlite->statements[i], err);
    /* So that writing asks for no memory, but where paths or events are very long. */
    if (code == PL_OK && (!pl_buf_reserve(&sqlite->places, PLACES_BYTES) ||
                          !pl_buf_reserve(&sqlite->pack, 2 * STORE_PACK_BYTES)))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for the database");
    return code;
}

/* Runs a statement that gives no rows and makes it ready to be bound again. */
static enum pl_code run(struct sqlite_driver *sqlite, enum sqlite_write which, int bind_rc,
                        struct pl_err *err)
{
    sqlite3_stmt *statement = sqlite->statements[which];
    int rc = bind_rc;

    if (rc == SQLITE_OK) {
        (void)sqlite3_step(statement);
        rc = sqlite3_reset(statement); /* gives the step's error again */
    }
    return rc == SQLITE_OK ? PL_OK : sqlite_db_fail(sqlite->db, rc, err);
}

/* ---- rows ---- */

static void bind_usage(struct sqlite_binder *binder, const struct store_usage *usage)
{
    sqlite_bind_int(binder, usage->calls);
    sqlite_bind_int(binder, usage->input_tokens);
    sqlite_bind_int(binder, usage->cached_input_tokens);
    sqlite_bind_int(binder, usage->cache_write_input_tokens);
    sqlite_bind_int(binder, usage->output_tokens);
    sqlite_bind_int(binder, usage->reasoning_tokens);
    sqlite_bind_real(binder, usage->cost_usd);
}

static struct sqlite_binder begin_row(struct sqlite_driver *sqlite, enum sqlite_write which,
                                      const struct store_batch *batch)
{
    struct sqlite_binder binder = sqlite_bind_begin(sqlite->statements[which]);

    sqlite_bind_str(&binder, batch->tenant);
    return binder;
}

static enum pl_code put_definition(struct sqlite_driver *sqlite, const struct store_batch *batch,
                                   const struct batch_fact *row, struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, SQLITE_WRITE_DEFINITION, batch);

    sqlite_bind_str(&binder, row->name);
    sqlite_bind_str(&binder, row->value);
    return run(sqlite, SQLITE_WRITE_DEFINITION, binder.rc, err);
}

static bool is_apart(const struct pl_value *value)
{
    return value && pl_value_text(value).len > APART_BYTES;
}

/* The input or output of the batch's run, where it is long. */
static enum pl_code put_apart(struct sqlite_driver *sqlite, enum sqlite_write which,
                              const struct store_batch *batch, const struct pl_value *value,
                              struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, which, batch);

    sqlite_bind_str(&binder, batch->run);
    sqlite_bind_value(&binder, value);
    return run(sqlite, which, binder.rc, err);
}

static enum pl_code put_run_by(struct sqlite_driver *sqlite, enum sqlite_write which,
                               const struct store_batch *batch, struct pl_err *err)
{
    const struct store_run *row = &batch->run_row;
    const bool input_apart = is_apart(row->input), output_apart = is_apart(row->output);
    struct sqlite_binder binder = begin_row(sqlite, which, batch);

    sqlite_bind_str(&binder, batch->run);
    sqlite_bind_str(&binder, row->definition);
    sqlite_bind_str(&binder, row->workflow_name);
    sqlite_bind_int(&binder, row->workflow_version);
    sqlite_bind_str(&binder, row->status);
    sqlite_bind_str(&binder, row->phase);
    sqlite_bind_int(&binder, row->paused);
    sqlite_bind_int(&binder, input_apart);
    sqlite_bind_value(&binder, input_apart ? NULL : row->input);
    sqlite_bind_int(&binder, output_apart);
    sqlite_bind_value(&binder, output_apart ? NULL : row->output);
    sqlite_bind_value(&binder, row->error);
    sqlite_bind_str(&binder, row->reason);
    sqlite_bind_str(&binder, row->thread);
    sqlite_bind_str(&binder, row->metadata);
    sqlite_bind_str(&binder, row->options);
    sqlite_bind_int(&binder, row->created_at);
    sqlite_bind_int(&binder, row->started_at);
    sqlite_bind_int(&binder, row->ended_at);
    bind_usage(&binder, &row->usage);
    sqlite_bind_int(&binder, row->last_seq);
    return run(sqlite, which, binder.rc, err);
}

/* Its row is there, and only what moves while it goes on has changed, but perhaps the status. */
static bool goes_on(const struct store_run *row)
{
    return row->again && !row->ended_at && !row->output && !row->error && !row->reason.len;
}

static enum pl_code put_run(struct sqlite_driver *sqlite, const struct store_batch *batch,
                            struct pl_err *err)
{
    const struct store_run *row = &batch->run_row;
    enum pl_code code = PL_OK;
    bool put = false;

    if (goes_on(row)) {
        code = put_run_by(sqlite, SQLITE_WRITE_RUN_ON, batch, err);
        put = sqlite3_changes(sqlite->db) > 0;
    }
    if (code == PL_OK && row->again && !put) {
        code = put_run_by(sqlite, SQLITE_WRITE_RUN_AGAIN, batch, err);
        put = sqlite3_changes(sqlite->db) > 0;
    }
    if (code == PL_OK && !put) {
        code = put_run_by(sqlite, SQLITE_WRITE_RUN, batch, err);
        if (code == PL_OK && is_apart(row->input))
            code = put_apart(sqlite, SQLITE_WRITE_INPUT, batch, row->input, err);
    }
    if (code == PL_OK && is_apart(row->output))
        code = put_apart(sqlite, SQLITE_WRITE_OUTPUT, batch, row->output, err);
    return code;
}

static enum pl_code put_notes(struct sqlite_driver *sqlite, const struct store_batch *batch,
                              const struct store_step *row, struct pl_str place, struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, SQLITE_WRITE_NOTES, batch);

    sqlite_bind_str(&binder, batch->run);
    sqlite_bind_str(&binder, place);
    sqlite_bind_value(&binder, row->memo);
    sqlite_bind_value(&binder, row->writes);
    return run(sqlite, SQLITE_WRITE_NOTES, binder.rc, err);
}

static void bind_step(struct sqlite_binder *binder, const struct store_step *row,
                      struct pl_str place)
{
    sqlite_bind_str(binder, place);
    sqlite_bind_str(binder, row->path);
    sqlite_bind_str(binder, row->kind);
    sqlite_bind_str(binder, row->status);
    sqlite_bind_str(binder, row->phase);
    sqlite_bind_int(binder, row->attempts);
    sqlite_bind_int(binder, row->tries);
    sqlite_bind_int(binder, row->handled);
    sqlite_bind_int(binder, row->counted);
    sqlite_bind_str(binder, row->model);
    sqlite_bind_value(binder, row->output);
    sqlite_bind_value(binder, row->error);
    sqlite_bind_str(binder, row->reason);
    sqlite_bind_str(binder, row->join);
    bind_usage(binder, &row->usage);
    sqlite_bind_value(binder, row->call);
    sqlite_bind_int(binder, row->created_at);
    sqlite_bind_int(binder, row->started_at);
    sqlite_bind_int(binder, row->ended_at);
    sqlite_bind_int(binder, row->wake_at);
    sqlite_bind_int(binder, row->sent_at);
}

/* The places of the next steps, in sqlite->places. False when out of memory. */
static bool make_places(struct sqlite_driver *sqlite, const struct batch_step *step, size_t count,
                        struct pl_str ret_places[TOGETHER])
{
    size_t ends[TOGETHER], at = 0;
    struct pl_str all;

    pl_buf_reset(&sqlite->places);
    for (size_t i = 0; i < count; i++, step = step->next) {
        store_path_place(step->row.path, &sqlite->places);
        ends[i] = pl_buf_view(&sqlite->places).len;
    }
    if (pl_buf_failed(&sqlite->places))
        return false;
    all = pl_buf_view(&sqlite->places);
    for (size_t i = 0; i < count; at = ends[i++])
        ret_places[i] = pl_str_n(all.ptr + at, ends[i] - at);
    return true;
}

/* One step or TOGETHER, from `first` on. One that is not there to be changed is put as a new one.
 */
static enum pl_code put_steps(struct sqlite_driver *sqlite, const struct store_batch *batch,
                              enum sqlite_write which, const struct batch_step *first, size_t count,
                              struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, which, batch);
    struct pl_str places[TOGETHER];
    const struct batch_step *step = first;
    enum pl_code code;

    if (!make_places(sqlite, first, count, places))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for a path");
    sqlite_bind_str(&binder, batch->run);
    for (size_t i = 0; i < count; i++, step = step->next)
        bind_step(&binder, &step->row, places[i]);
    code = run(sqlite, which, binder.rc, err);
    if (code == PL_OK && which == SQLITE_WRITE_STEP_AGAIN && sqlite3_changes(sqlite->db) == 0)
        return put_steps(sqlite, batch, SQLITE_WRITE_STEP, first, 1, err);
    step = first;
    for (size_t i = 0; i < count && code == PL_OK; i++, step = step->next)
        if (step->row.memo || step->row.writes)
            code = put_notes(sqlite, batch, &step->row, places[i], err);
    return code;
}

/* Have the next `count` steps, and are there as many, no row yet, as far as is known? */
static bool are_new(const struct batch_step *step, size_t count)
{
    for (; count && step && !step->row.again; step = step->next)
        count--;
    return count == 0;
}

static enum pl_code put_all_steps(struct sqlite_driver *sqlite, const struct store_batch *batch,
                                  struct pl_err *err)
{
    const struct batch_step *step = batch->steps;
    enum pl_code code = PL_OK;

    while (step && code == PL_OK) {
        enum sqlite_write which = SQLITE_WRITE_STEP;
        size_t count = 1;

        if (step->row.again) {
            which = SQLITE_WRITE_STEP_AGAIN;
        } else if (are_new(step, TOGETHER)) {
            which = SQLITE_WRITE_STEPS;
            count = TOGETHER;
        }
        code = put_steps(sqlite, batch, which, step, count, err);
        while (count--)
            step = step->next;
    }
    return code;
}

/* The events in sqlite->pack, of which the last has that number. */
static enum pl_code put_pack(struct sqlite_driver *sqlite, const struct store_batch *batch,
                             int64_t last_seq, struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, SQLITE_WRITE_EVENTS, batch);

    store_pack_end(&sqlite->pack);
    if (pl_buf_failed(&sqlite->pack))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for events");
    sqlite_bind_str(&binder, batch->run);
    sqlite_bind_int(&binder, last_seq);
    sqlite_bind_str(&binder, pl_buf_view(&sqlite->pack));
    return run(sqlite, SQLITE_WRITE_EVENTS, binder.rc, err);
}

static enum pl_code put_all_events(struct sqlite_driver *sqlite, const struct store_batch *batch,
                                   struct pl_err *err)
{
    enum pl_code code = PL_OK;

    pl_buf_reset(&sqlite->pack);
    for (const struct batch_event *event = batch->events; event && code == PL_OK;
         event = event->next) {
        store_pack_add(&sqlite->pack, &event->row);
        if (event->next && pl_buf_view(&sqlite->pack).len < STORE_PACK_BYTES)
            continue;
        code = put_pack(sqlite, batch, event->row.seq, err);
        pl_buf_reset(&sqlite->pack);
    }
    if (sqlite->pack.capacity > PACK_KEPT)
        pl_buf_finish(&sqlite->pack); /* one long event is no reason to hold as much for ever */
    return code;
}

static enum pl_code put_key(struct sqlite_driver *sqlite, const struct store_batch *batch,
                            const struct batch_fact *row, struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, SQLITE_WRITE_KEY, batch);

    sqlite_bind_str(&binder, batch->run);
    sqlite_bind_str(&binder, row->scope);
    sqlite_bind_str(&binder, row->name);
    sqlite_bind_str(&binder, row->value);
    return run(sqlite, SQLITE_WRITE_KEY, binder.rc, err);
}

static enum pl_code put_thread(struct sqlite_driver *sqlite, const struct store_batch *batch,
                               struct pl_err *err)
{
    struct sqlite_binder binder = begin_row(sqlite, SQLITE_WRITE_THREAD, batch);

    sqlite_bind_str(&binder, batch->thread_row.id);
    sqlite_bind_value(&binder, batch->thread_row.state);
    sqlite_bind_int(&binder, batch->thread_row.updated_at);
    return run(sqlite, SQLITE_WRITE_THREAD, binder.rc, err);
}

/* ---- slots ---- */

enum pl_code sqlite_write_begin(struct store_driver *driver, struct pl_err *err)
{
    return run(sqlite_driver_of(driver), SQLITE_WRITE_BEGIN, SQLITE_OK, err);
}

enum pl_code sqlite_write_batch(struct store_driver *driver, const struct store_batch *batch,
                                struct pl_err *err)
{
    struct sqlite_driver *sqlite = sqlite_driver_of(driver);
    enum pl_code code = PL_OK;

    for (const struct batch_fact *row = batch->definitions.first; row && code == PL_OK;
         row = row->next)
        code = put_definition(sqlite, batch, row, err);
    if (batch->has_run && code == PL_OK)
        code = put_run(sqlite, batch, err);
    if (code == PL_OK)
        code = put_all_steps(sqlite, batch, err);
    if (code == PL_OK)
        code = put_all_events(sqlite, batch, err);
    for (const struct batch_fact *key = batch->keys.first; key && code == PL_OK; key = key->next)
        code = put_key(sqlite, batch, key, err);
    if (batch->has_thread && code == PL_OK)
        code = put_thread(sqlite, batch, err);
    return code;
}

enum pl_code sqlite_write_commit(struct store_driver *driver, struct pl_err *err)
{
    return run(sqlite_driver_of(driver), SQLITE_WRITE_COMMIT, SQLITE_OK, err);
}

void sqlite_write_rollback(struct store_driver *driver)
{
    struct sqlite_driver *sqlite = sqlite_driver_of(driver);

    /* SQLite has rolled back by itself after some errors. A ROLLBACK that fails has ended the
     * transaction too. */
    if (!sqlite3_get_autocommit(sqlite->db))
        (void)run(sqlite, SQLITE_WRITE_ROLLBACK, SQLITE_OK, NULL);
}

/* Moves the WAL into the file, after the owners of the commit know: a checkpoint inside a commit,
 * as SQLite does it by itself, would make them wait and would hide its errors. */
enum pl_code sqlite_write_maintain(struct store_driver *driver, struct pl_err *err)
{
    struct sqlite_driver *sqlite = sqlite_driver_of(driver);
    enum pl_code code;
    int rc;

    if (sqlite->wal_pages < CHECKPOINT_PAGES)
        return PL_OK;
    rc = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK)
        return PL_OK;
    code = sqlite_db_fail(sqlite->db, rc, err);
    /* The WAL keeps everything until the next try. */
    if (code == PL_ERR_STORE_BUSY || code == PL_ERR_NO_SPACE || code == PL_ERR_NO_MEMORY)
        return PL_OK;
    pl_err_prefix(err, "checkpoint");
    return code;
}
