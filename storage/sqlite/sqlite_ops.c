/* sqlite_ops.c - single operations: what is read, decided and written in one go, on the write
 * connection, inside the group's transaction. Not batches of runs (sqlite_write.c). Its function is
 * a slot of the driver: called on the store's writer thread. */
#include "storage/sqlite/sqlite_db.h"
#include "storage/sqlite/sqlite_driver.h"

static const char *const sql[SQLITE_OP__COUNT] = {
    [SQLITE_OP_NEWEST_WORKFLOW] = "SELECT version, hash FROM workflows"
                                  " WHERE tenant = ? AND name = ? ORDER BY version DESC LIMIT 1",
    [SQLITE_OP_LAST_VERSION] = "SELECT last_version FROM workflow_names"
                               " WHERE tenant = ? AND name = ?",
    [SQLITE_OP_SET_VERSION] =
        "INSERT OR REPLACE INTO workflow_names (tenant, name, last_version) VALUES (?,?,?)",
    [SQLITE_OP_PUT_WORKFLOW] =
        "INSERT INTO workflows (tenant, name, version, hash, created_at, text)"
        " VALUES (?,?,?,?,?,?)",
    /* who calls it by name, now: {"workflow": {"name": "it" or "it@3", ...}} */
    [SQLITE_OP_WORKFLOW_USER] =
        "SELECT w.name FROM workflows w WHERE w.tenant = ?1 AND w.name <> ?2"
        " AND instr(w.text, ?2) > 0 AND instr(w.text, '\"workflow\"') > 0"
        " AND w.version = (SELECT max(x.version) FROM workflows x"
        " WHERE x.tenant = w.tenant AND x.name = w.name)"
        " AND EXISTS (SELECT 1 FROM json_tree(w.text) j WHERE j.key = 'name'"
        " AND j.path LIKE '%.workflow' AND (j.value = ?2"
        " OR substr(j.value, 1, length(?2) + 1) = ?2 || '@')) ORDER BY w.name LIMIT 1",
    [SQLITE_OP_DELETE_WORKFLOWS] = "DELETE FROM workflows WHERE tenant = ? AND name = ?",
    [SQLITE_OP_RUN_ENDED] = "SELECT ended_at FROM runs WHERE tenant = ? AND id = ?",
    [SQLITE_OP_DELETE_RUN] = "DELETE FROM runs WHERE tenant = ? AND id = ?",
    [SQLITE_OP_DELETE_INPUT] = "DELETE FROM run_inputs WHERE tenant = ? AND id = ?",
    [SQLITE_OP_DELETE_OUTPUT] = "DELETE FROM run_outputs WHERE tenant = ? AND id = ?",
    [SQLITE_OP_DELETE_STEPS] = "DELETE FROM steps WHERE tenant = ? AND run = ?",
    [SQLITE_OP_DELETE_EVENTS] = "DELETE FROM events WHERE tenant = ? AND run = ?",
    [SQLITE_OP_DELETE_KEYS] = "DELETE FROM run_keys WHERE tenant = ? AND run = ?",
    [SQLITE_OP_DELETE_NOTES] = "DELETE FROM step_notes WHERE tenant = ? AND run = ?",
    [SQLITE_OP_TURN] = "SELECT id FROM runs INDEXED BY runs_turns WHERE tenant = ? AND thread = ?"
                       " AND thread <> '' AND ended_at = 0 ORDER BY id LIMIT 1",
    [SQLITE_OP_PUT_THREAD] =
        "INSERT OR REPLACE INTO threads (tenant, id, state, updated_at) VALUES (?,?,?,?)",
    [SQLITE_OP_DELETE_THREAD] = "DELETE FROM threads WHERE tenant = ? AND id = ?",
    /* 3: the size of the row */
    [SQLITE_OP_PUT_CACHED] =
        "INSERT OR REPLACE INTO cache (tenant, key, place, output, call, calls, input_tokens,"
        " cached_input_tokens, cache_write_input_tokens, output_tokens, reasoning_tokens,"
        " cost_usd, created_at, expires_at) VALUES (?1, ?2, ?3 + coalesce((SELECT max(c.place)"
        " FROM cache c WHERE c.tenant = ?1), 0), ?4, nullif(?5, ''), ?6, ?7, ?8, ?9, ?10, ?11, "
        "?12, ?13, ?14)",
    [SQLITE_OP_BOUND_CACHE] =
        "DELETE FROM cache WHERE tenant = ?1 AND place <= (SELECT max(c.place) FROM cache c"
        " WHERE c.tenant = ?1) - ?3",
    [SQLITE_OP_PRUNE_CACHE] = "DELETE FROM cache WHERE rowid IN (SELECT c.rowid FROM cache c"
                              " WHERE c.expires_at <= ?3 ORDER BY c.expires_at LIMIT ?4)",
};

/* ---- one statement ---- */

/* A statement going on; what fails shows in `code`, and nothing more is then done. */
struct step {
    struct sqlite_driver *sqlite;
    sqlite3_stmt *statement;
    struct sqlite_binder binder;
    int column;
    enum pl_code code;
    struct pl_err *err;
};

/* Tenant and name (or id) are the first parameters of all. */
static struct step begin(struct sqlite_driver *sqlite, enum sqlite_op which,
                         const struct store_op *op, struct pl_str name, struct pl_err *err)
{
    struct step step = {.sqlite = sqlite, .err = err};

    step.code = sqlite_db_prepare(sqlite->db, sql[which], &sqlite->op_statements[which], err);
    if (step.code != PL_OK)
        return step;
    step.statement = sqlite->op_statements[which];
    step.binder = sqlite_bind_begin(step.statement);
    sqlite_bind_str(&step.binder, op->tenant);
    sqlite_bind_str(&step.binder, name);
    return step;
}

/* True when there is a row. */
static bool next(struct step *step)
{
    int rc;

    if (step->code != PL_OK)
        return false;
    rc = step->binder.rc;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(step->statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        step->code = sqlite_db_fail(step->sqlite->db, rc, step->err);
    return rc == SQLITE_ROW;
}

static enum pl_code end(struct step *step)
{
    if (step->statement) {
        (void)sqlite3_reset(step->statement);
        (void)sqlite3_clear_bindings(step->statement);
    }
    return step->code;
}

/* One that gives no rows and has no more parameters. */
static enum pl_code run(struct sqlite_driver *sqlite, enum sqlite_op which,
                        const struct store_op *op, struct pl_str name, struct pl_err *err)
{
    struct step step = begin(sqlite, which, op, name, err);

    (void)next(&step);
    return end(&step);
}

/* ---- workflows ---- */

/* The newest version, 0: there is none, and whether it holds the operation's content. */
static enum pl_code newest(struct sqlite_driver *sqlite, const struct store_op *op,
                           int64_t *ret_version, bool *ret_same, struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_NEWEST_WORKFLOW, op, op->name, err);

    *ret_version = 0;
    *ret_same = false;
    if (next(&step)) {
        const char *hash = (const char *)sqlite3_column_text(step.statement, 1);

        *ret_version = sqlite3_column_int64(step.statement, 0);
        *ret_same = hash && pl_str_is(op->hash, hash);
    }
    return end(&step);
}

/* Is the version the one the caller named? */
static enum pl_code check_version(const struct store_op *op, int64_t version, struct pl_err *err)
{
    if (op->if_version < 0 || op->if_version == version)
        return PL_OK;
    if (op->if_version == 0)
        return pl_err_set(err, PL_ERR_PRECONDITION, "there is a workflow %.*s already",
                          PL_STR_ARG(op->name));
    if (version == 0)
        return pl_err_set(err, PL_ERR_PRECONDITION, "there is no workflow %.*s",
                          PL_STR_ARG(op->name));
    return pl_err_set(err, PL_ERR_PRECONDITION, "the newest version of %.*s is %lld, not %lld",
                      PL_STR_ARG(op->name), (long long)version, (long long)op->if_version);
}

/* The next number of the name, which is given to nobody else. */
static enum pl_code take_version(struct sqlite_driver *sqlite, const struct store_op *op,
                                 int64_t *ret_version, struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_LAST_VERSION, op, op->name, err);
    int64_t last = next(&step) ? sqlite3_column_int64(step.statement, 0) : 0;
    enum pl_code code = end(&step);

    if (code != PL_OK)
        return code;
    step = begin(sqlite, SQLITE_OP_SET_VERSION, op, op->name, err);
    sqlite_bind_int(&step.binder, last + 1);
    (void)next(&step);
    *ret_version = last + 1;
    return end(&step);
}

static enum pl_code put_workflow(struct sqlite_driver *sqlite, const struct store_op *op,
                                 struct store_op_result *ret_result, struct pl_err *err)
{
    int64_t version;
    bool same;
    struct step step;
    enum pl_code code = newest(sqlite, op, &version, &same, err);

    if (code == PL_OK)
        code = check_version(op, version, err);
    if (code == PL_OK && !same)
        code = take_version(sqlite, op, &version, err);
    if (code != PL_OK)
        return code;
    *ret_result = (struct store_op_result){.version = version, .created = !same};
    if (same)
        return PL_OK;
    step = begin(sqlite, SQLITE_OP_PUT_WORKFLOW, op, op->name, err);
    sqlite_bind_int(&step.binder, version);
    sqlite_bind_str(&step.binder, op->hash);
    sqlite_bind_int(&step.binder, op->now);
    sqlite_bind_str(&step.binder, op->text);
    (void)next(&step);
    return end(&step);
}

/* One that another stored workflow calls stays: that one could not run any more. */
static enum pl_code check_unused(struct sqlite_driver *sqlite, const struct store_op *op,
                                 struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_WORKFLOW_USER, op, op->name, err);

    if (next(&step)) {
        const char *user = (const char *)sqlite3_column_text(step.statement, 0);

        step.code = pl_err_set(err, PL_ERR_CONFLICT, "the stored workflow %s calls %.*s by name",
                               user ? user : "", PL_STR_ARG(op->name));
    }
    return end(&step);
}

static enum pl_code delete_workflow(struct sqlite_driver *sqlite, const struct store_op *op,
                                    struct pl_err *err)
{
    int64_t version;
    bool same;
    enum pl_code code = newest(sqlite, op, &version, &same, err);

    if (code == PL_OK && version == 0)
        code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no workflow %.*s", PL_STR_ARG(op->name));
    if (code == PL_OK)
        code = check_version(op, version, err);
    if (code == PL_OK)
        code = check_unused(sqlite, op, err);
    if (code == PL_OK)
        code = run(sqlite, SQLITE_OP_DELETE_WORKFLOWS, op, op->name, err);
    return code;
}

/* ---- runs ---- */

static enum pl_code check_ended(struct sqlite_driver *sqlite, const struct store_op *op,
                                struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_RUN_ENDED, op, op->id, err);

    if (next(&step)) {
        if (sqlite3_column_int64(step.statement, 0) == 0)
            step.code = pl_err_set(err, PL_ERR_CONFLICT, "run %.*s is not over: cancel it first",
                                   PL_STR_ARG(op->id));
    } else if (step.code == PL_OK) {
        step.code = pl_err_set(err, PL_ERR_NOT_FOUND, "there is no run %.*s", PL_STR_ARG(op->id));
    }
    return end(&step);
}

static enum pl_code delete_run(struct sqlite_driver *sqlite, const struct store_op *op,
                               struct pl_err *err)
{
    static const enum sqlite_op parts[] = {
        SQLITE_OP_DELETE_RUN,   SQLITE_OP_DELETE_INPUT,  SQLITE_OP_DELETE_OUTPUT,
        SQLITE_OP_DELETE_STEPS, SQLITE_OP_DELETE_EVENTS, SQLITE_OP_DELETE_KEYS,
        SQLITE_OP_DELETE_NOTES,
    };
    enum pl_code code = check_ended(sqlite, op, err);

    for (size_t i = 0; i < PL_ARRAY_LEN(parts) && code == PL_OK; i++)
        code = run(sqlite, parts[i], op, op->id, err);
    return code;
}

/* ---- threads ---- */

/* While a run of the thread is going on, what it writes at its end would undo this. */
static enum pl_code check_turn(struct sqlite_driver *sqlite, const struct store_op *op,
                               struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_TURN, op, op->id, err);

    if (next(&step)) {
        const char *run = (const char *)sqlite3_column_text(step.statement, 0);

        step.code = pl_err_set(err, PL_ERR_CONFLICT, "run %s has the turn of thread %.*s",
                               run ? run : "", PL_STR_ARG(op->id));
    }
    return end(&step);
}

static enum pl_code put_thread(struct sqlite_driver *sqlite, const struct store_op *op,
                               struct pl_err *err)
{
    enum pl_code code = check_turn(sqlite, op, err);
    struct step step;

    if (code != PL_OK)
        return code;
    step = begin(sqlite, SQLITE_OP_PUT_THREAD, op, op->id, err);
    sqlite_bind_str(&step.binder, op->text);
    sqlite_bind_int(&step.binder, op->now);
    (void)next(&step);
    return end(&step);
}

static enum pl_code delete_thread(struct sqlite_driver *sqlite, const struct store_op *op,
                                  struct pl_err *err)
{
    enum pl_code code = check_turn(sqlite, op, err);

    if (code == PL_OK)
        code = run(sqlite, SQLITE_OP_DELETE_THREAD, op, op->id, err);
    if (code == PL_OK && sqlite3_changes(sqlite->db) == 0)
        code =
            pl_err_set(err, PL_ERR_NOT_FOUND, "nothing is kept of thread %.*s", PL_STR_ARG(op->id));
    return code;
}

/* ---- cached answers ---- */

static enum pl_code prune_cache(struct sqlite_driver *sqlite, const struct store_op *op,
                                size_t *ret_removed, struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_PRUNE_CACHE, op, op->hash, err);

    sqlite_bind_int(&step.binder, op->now);
    sqlite_bind_int(&step.binder, STORE_CACHE_PRUNE);
    (void)next(&step);
    *ret_removed = step.code == PL_OK ? (size_t)sqlite3_changes(sqlite->db) : 0;
    return end(&step);
}

/* The oldest of the tenant's that are too much. */
static enum pl_code bound_cache(struct sqlite_driver *sqlite, const struct store_op *op,
                                struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_BOUND_CACHE, op, op->hash, err);

    sqlite_bind_int(&step.binder, op->max_bytes ? op->max_bytes : STORE_CACHE_BYTES);
    (void)next(&step);
    return end(&step);
}

static enum pl_code put_cached(struct sqlite_driver *sqlite, const struct store_op *op,
                               struct pl_err *err)
{
    struct step step = begin(sqlite, SQLITE_OP_PUT_CACHED, op, op->hash, err);
    enum pl_code code;
    size_t removed;

    sqlite_bind_int(&step.binder, (int64_t)(op->text.len + op->name.len + STORE_CACHE_ROW_BYTES));
    sqlite_bind_str(&step.binder, op->text);
    sqlite_bind_str(&step.binder, op->name);
    sqlite_bind_int(&step.binder, op->usage.calls);
    sqlite_bind_int(&step.binder, op->usage.input_tokens);
    sqlite_bind_int(&step.binder, op->usage.cached_input_tokens);
    sqlite_bind_int(&step.binder, op->usage.cache_write_input_tokens);
    sqlite_bind_int(&step.binder, op->usage.output_tokens);
    sqlite_bind_int(&step.binder, op->usage.reasoning_tokens);
    sqlite_bind_real(&step.binder, op->usage.cost_usd);
    sqlite_bind_int(&step.binder, op->now);
    sqlite_bind_int(&step.binder, op->expires_at);
    (void)next(&step);
    code = end(&step);
    if (code == PL_OK)
        code = bound_cache(sqlite, op, err);
    if (code == PL_OK)
        code = prune_cache(sqlite, op, &removed, err);
    return code;
}

/* ---- the slot ---- */

enum pl_code sqlite_operate(struct store_driver *driver, const struct store_op *op,
                            struct store_op_result *ret_result, struct pl_err *err)
{
    struct sqlite_driver *sqlite = sqlite_driver_of(driver);

    switch (op->kind) {
    case STORE_OP_PUT_WORKFLOW:
        return put_workflow(sqlite, op, ret_result, err);
    case STORE_OP_DELETE_WORKFLOW:
        return delete_workflow(sqlite, op, err);
    case STORE_OP_DELETE_RUN:
        return delete_run(sqlite, op, err);
    case STORE_OP_PUT_THREAD:
        return put_thread(sqlite, op, err);
    case STORE_OP_DELETE_THREAD:
        return delete_thread(sqlite, op, err);
    case STORE_OP_PUT_CACHED:
        return put_cached(sqlite, op, err);
    case STORE_OP_PRUNE_CACHE:
        return prune_cache(sqlite, op, &ret_result->removed, err);
    }
    return pl_err_set(err, PL_ERR_INTERNAL, "no such operation: %d", (int)op->kind);
}
