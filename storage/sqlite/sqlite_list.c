/* sqlite_list.c - queries for the service: lists of runs, counts, keys and stored workflows, on
 * reader connections. Not one run and what is in it (sqlite_read.c). Its functions are slots of the
 * driver: called on any thread. */
#include "base/json.h"
#include "storage/sqlite/sqlite_query.h"
#include "storage/step_path.h"

/* Every list of runs has the same parameters: 1 tenant, 2 an id (only those before it), 3 status,
 * 4 workflow, 5 thread, 6 wanted metadata as a JSON object of strings, 7 limit. Empty ones do not
 * filter; the one an index leads with is not empty. A wanted member matches a string, or a number,
 * true, false or null written that way. Metadata that is damaged is taken, so that reading it says
 * so: the functions of SQL would say neither what is wrong nor where. */
#define LIST_RUNS(index, leading)                                                                \
    "SELECT " SQLITE_RUN_COLUMNS " FROM runs r " index " WHERE r.tenant = ?1" leading            \
    " AND r.id < ?2 AND (?3 = '' OR status = ?3) AND (?4 = '' OR workflow_name = ?4)"            \
    " AND (?5 = '' OR thread = ?5)"                                                              \
    " AND (?6 = '' OR (r.metadata <> '' AND NOT json_valid(r.metadata))"                         \
    " OR NOT EXISTS (SELECT 1 FROM json_each(?6) want WHERE NOT EXISTS"                          \
    " (SELECT 1 FROM json_each(CASE WHEN json_valid(r.metadata) THEN r.metadata ELSE '{}' END) " \
    "has"                                                                                        \
    " WHERE has.key = want.key AND want.atom = CASE has.type WHEN 'text' THEN has.atom"          \
    " WHEN 'integer' THEN CAST(has.atom AS TEXT) WHEN 'real' THEN CAST(has.atom AS TEXT)"        \
    " WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null' END)))"          \
    " ORDER BY r.id DESC LIMIT ?7"

static const char *const sql[SQLITE_READ__COUNT] = {
    [SQLITE_LIST_ALL] = LIST_RUNS("", ""),
    [SQLITE_LIST_BY_STATUS] = LIST_RUNS("INDEXED BY runs_by_status", " AND status = ?3"),
    [SQLITE_LIST_BY_WORKFLOW] =
        LIST_RUNS("INDEXED BY runs_by_workflow", " AND workflow_name = ?4 AND workflow_name <> ''"),
    [SQLITE_LIST_BY_THREAD] =
        LIST_RUNS("INDEXED BY runs_by_thread", " AND thread = ?5 AND thread <> ''"),
    [SQLITE_LIST_WAITING] =
        LIST_RUNS("", " AND r.id IN (SELECT s.run FROM steps s INDEXED BY steps_waiting"
                      " WHERE s.tenant = ?1 AND s.status = 'waiting')"),
    [SQLITE_COUNT_STEPS] =
        "SELECT status, count(*) FROM steps WHERE tenant = ? AND run = ? GROUP BY status",
    /* 1 tenant, 2 run, 3 and 4 the places from and before, 5 where the paths go on behind the
     * step's. What a container has used is the sum of its calls: they are counted, it is not. */
    [SQLITE_COUNT_INSIDE] =
        "SELECT status, count(*), sum(calls), sum(input_tokens), sum(cached_input_tokens),"
        " sum(cache_write_input_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd),"
        " sum(direct) FROM (SELECT status,"
        " substr(path, ?5, 1) BETWEEN '0' AND '9' AND instr(substr(path, ?5), '.') = 0 AS direct,"
        " CASE WHEN leaf THEN calls ELSE 0 END AS calls,"
        " CASE WHEN leaf THEN input_tokens ELSE 0 END AS input_tokens,"
        " CASE WHEN leaf THEN cached_input_tokens ELSE 0 END AS cached_input_tokens,"
        " CASE WHEN leaf THEN cache_write_input_tokens ELSE 0 END AS cache_write_input_tokens,"
        " CASE WHEN leaf THEN output_tokens ELSE 0 END AS output_tokens,"
        " CASE WHEN leaf THEN reasoning_tokens ELSE 0 END AS reasoning_tokens,"
        " CASE WHEN leaf THEN cost_usd ELSE 0.0 END AS cost_usd FROM"
        " (SELECT *, kind IN ('llm', 'http') AS leaf FROM steps WHERE tenant = ?1 AND run = ?2"
        " AND place > ?3 AND place < ?4)) GROUP BY status",
    /* below 0: damaged */
    [SQLITE_COUNT_ITEMS] = "SELECT CASE WHEN NOT json_valid(memo) THEN -1"
                           " WHEN json_type(memo) = 'array' THEN json_array_length(memo) ELSE 0 END"
                           " FROM step_notes WHERE tenant = ? AND run = ? AND place = ?"
                           " AND memo IS NOT NULL",
    [SQLITE_READ_KEY] = "SELECT run, fingerprint FROM run_keys"
                        " WHERE tenant = ? AND route = ? AND key = ?",
    [SQLITE_READ_CACHED] = "SELECT output, call, calls, input_tokens, cached_input_tokens,"
                           " cache_write_input_tokens, output_tokens, reasoning_tokens, cost_usd,"
                           " created_at, expires_at FROM cache WHERE tenant = ? AND key = ?",
    [SQLITE_READ_WORKFLOW] = "SELECT name, version, hash, created_at, text FROM workflows"
                             " WHERE tenant = ? AND name = ? AND version = ?",
    [SQLITE_READ_NEWEST_WORKFLOW] = "SELECT name, version, hash, created_at, text FROM workflows"
                                    " WHERE tenant = ? AND name = ? ORDER BY version DESC LIMIT 1",
    [SQLITE_LIST_WORKFLOWS] =
        "SELECT n.name, w.version, w.hash, w.created_at FROM workflow_names n JOIN workflows w"
        " ON w.tenant = n.tenant AND w.name = n.name AND w.version = (SELECT max(m.version)"
        " FROM workflows m WHERE m.tenant = n.tenant AND m.name = n.name)"
        " WHERE n.tenant = ? AND n.name > ? ORDER BY n.name LIMIT ?",
};
#undef LIST_RUNS

static struct sqlite_query begin(struct store_driver *driver, enum sqlite_read which,
                                 struct pl_arena *arena, struct pl_err *err)
{
    return sqlite_query_begin(driver, which, sql[which], arena, err);
}

/* ---- runs ---- */

/* The narrowest index there is for the filter. */
static enum sqlite_read list_for(const struct store_run_filter *filter)
{
    if (filter->waiting)
        return SQLITE_LIST_WAITING;
    if (filter->thread.len)
        return SQLITE_LIST_BY_THREAD;
    if (filter->workflow.len)
        return SQLITE_LIST_BY_WORKFLOW;
    return filter->status.len ? SQLITE_LIST_BY_STATUS : SQLITE_LIST_ALL;
}

/* The wanted members as a JSON object, empty when there are none. Memory failure shows in the
 * arena. */
static struct pl_str wanted(const struct store_run_filter *filter, struct pl_arena *arena)
{
    struct pl_buf buf;
    struct pl_str text;

    if (filter->n_metadata == 0)
        return (struct pl_str){0};
    pl_buf_init(&buf, SIZE_MAX / 2);
    json_object_begin(&buf);
    for (size_t i = 0; i < filter->n_metadata; i++) {
        json_comma(&buf);
        json_write_string(&buf, filter->metadata_keys[i]);
        pl_buf_char(&buf, ':');
        json_write_string(&buf, filter->metadata_values[i]);
    }
    json_object_end(&buf);
    text = pl_arena_str(arena, pl_buf_view(&buf));
    if (pl_buf_failed(&buf))
        text = (struct pl_str){0};
    pl_buf_finish(&buf);
    return text;
}

/* Goes on behind a damaged run, which says so itself. */
static void read_also_damaged(struct sqlite_row *row, void *ret_item)
{
    sqlite_run_row.read(row, ret_item);
    ((struct store_run *)ret_item)->damaged = row->damaged;
    row->damaged = NULL;
}

static void finish_also_damaged(void *item)
{
    store_run_finish(item);
}

static const struct sqlite_row_kind also_damaged_row = {sizeof(struct store_run), read_also_damaged,
                                                        finish_also_damaged};

enum pl_code sqlite_list_runs(struct store_driver *driver, struct pl_arena *arena,
                              struct pl_str tenant, const struct store_run_filter *filter,
                              size_t limit, struct store_run **ret_runs, size_t *ret_count,
                              struct pl_err *err)
{
    struct pl_str want = wanted(filter, arena);
    struct sqlite_query query;
    void *runs;
    enum pl_code code;

    if (filter->n_metadata > 0 && want.len == 0)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory for a filter");
    query = begin(driver, list_for(filter), arena, err);
    sqlite_query_str(&query, tenant);
    /* from the first: no id has this character in it, and none sorts behind it */
    sqlite_query_str(&query, filter->after.len ? filter->after : PL_STR("\xf4\x8f\xbf\xbf"));
    sqlite_query_str(&query, filter->status);
    sqlite_query_str(&query, filter->workflow);
    sqlite_query_str(&query, filter->thread);
    sqlite_query_str(&query, want);
    sqlite_query_limit(&query, limit);
    code = sqlite_query_collect(&query, filter->damaged ? &also_damaged_row : &sqlite_run_row,
                                &runs, ret_count);
    if (code == PL_OK)
        *ret_runs = runs;
    return code;
}

static const char *const status_words[8] = {"pending",   "running", "retrying", "waiting",
                                            "succeeded", "failed",  "skipped",  "cancelled"};

enum pl_code sqlite_count_steps(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, int64_t ret_counts[8], struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct sqlite_query query;
    int64_t counts[8] = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    query = begin(driver, SQLITE_COUNT_STEPS, arena, err);
    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    while (sqlite_query_next(&query)) {
        struct pl_str status = sqlite_row_str(&query.row);
        int64_t count = sqlite_row_int(&query.row);

        (void)sqlite_query_row_ok(&query);
        for (size_t i = 0; i < PL_ARRAY_LEN(status_words); i++)
            if (pl_str_is(status, status_words[i]))
                counts[i] = count;
    }
    code = sqlite_query_end(&query);
    if (code == PL_OK)
        memcpy(ret_counts, counts, sizeof(counts));
    pl_arena_destroy(&arena);
    return code;
}

static void add_inside(struct sqlite_row *row, struct store_inside *inside)
{
    struct pl_str status = sqlite_row_str(row);
    struct store_usage *usage = &inside->usage;
    int64_t direct;

    (void)sqlite_row_int(row);
    usage->calls += sqlite_row_int(row);
    usage->input_tokens += sqlite_row_int(row);
    usage->cached_input_tokens += sqlite_row_int(row);
    usage->cache_write_input_tokens += sqlite_row_int(row);
    usage->output_tokens += sqlite_row_int(row);
    usage->reasoning_tokens += sqlite_row_int(row);
    usage->cost_usd += sqlite_row_real(row);
    direct = sqlite_row_int(row);
    for (size_t i = 0; i < PL_ARRAY_LEN(status_words); i++)
        if (pl_str_is(status, status_words[i]))
            inside->counts[i] += direct;
}

static enum pl_code count_inside(struct store_driver *driver, struct pl_arena *arena,
                                 struct pl_str tenant, struct pl_str run, struct pl_str path,
                                 struct pl_buf *place, struct store_inside *inside,
                                 struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_COUNT_INSIDE, arena, err);
    struct pl_str from = pl_str_n(place->data, place->len - 1), before = pl_buf_view(place);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, from);
    sqlite_query_str(&query, before);
    sqlite_query_int(&query, (int64_t)path.len + 2);
    while (sqlite_query_next(&query)) {
        add_inside(&query.row, inside);
        (void)sqlite_query_row_ok(&query);
    }
    return sqlite_query_end(&query);
}

static enum pl_code count_items(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str run, struct pl_str path,
                                struct pl_buf *place, int64_t *ret_items, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_COUNT_ITEMS, arena, err);
    int64_t items;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, run);
    sqlite_query_str(&query, pl_str_n(place->data, place->len - 1));
    if (sqlite_query_next(&query)) {
        items = sqlite_row_int(&query.row);
        query.row.damaged = items < 0 ? "memo" : NULL;
        query.row.noun = "step";
        query.row.name = path;
        if (sqlite_query_row_ok(&query))
            *ret_items = items;
    }
    return sqlite_query_end(&query);
}

enum pl_code sqlite_look_inside(struct store_driver *driver, struct pl_str tenant,
                                struct pl_str run, struct pl_str path,
                                struct store_inside *ret_inside, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_inside inside = {0};
    struct pl_buf place;
    enum pl_code code = PL_OK;

    pl_buf_init(&place, SIZE_MAX / 2);
    store_path_place(path, &place);
    pl_buf_char(&place, STORE_PLACE_BEHIND);
    if (!arena || pl_buf_failed(&place))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK)
        code = count_inside(driver, arena, tenant, run, path, &place, &inside, err);
    if (code == PL_OK)
        code = count_items(driver, arena, tenant, run, path, &place, &inside.items, err);
    if (code == PL_OK)
        *ret_inside = inside;
    pl_buf_finish(&place);
    pl_arena_destroy(&arena);
    return code;
}

/* ---- keys ---- */

enum pl_code sqlite_read_key(struct store_driver *driver, struct pl_arena *arena,
                             struct pl_str tenant, struct pl_str route, struct pl_str key,
                             struct pl_str *ret_run, struct pl_str *ret_fingerprint,
                             struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_KEY, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, route);
    sqlite_query_str(&query, key);
    if (sqlite_query_next(&query)) {
        struct pl_str run = sqlite_row_str(&query.row);
        struct pl_str fingerprint = sqlite_row_str(&query.row);

        if (sqlite_query_row_ok(&query)) {
            *ret_run = run;
            *ret_fingerprint = fingerprint;
        }
    } else if (query.code == PL_OK) {
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "the key is free");
    }
    return sqlite_query_end(&query);
}

/* ---- cached answers ---- */

static void read_cached(struct sqlite_row *row, void *ret_item)
{
    struct store_cached *cached = ret_item;

    row->noun = "a cached";
    row->name = PL_STR("answer");
    cached->output = sqlite_row_value(row);
    cached->call = sqlite_row_value(row);
    cached->usage = sqlite_row_usage(row);
    cached->created_at = sqlite_row_int(row);
    cached->expires_at = sqlite_row_int(row);
}

static void finish_cached(void *item)
{
    store_cached_finish(item);
}

static const struct sqlite_row_kind cached_row = {sizeof(struct store_cached), read_cached,
                                                  finish_cached};

enum pl_code sqlite_read_cached(struct store_driver *driver, struct pl_arena *arena,
                                struct pl_str tenant, struct pl_str key,
                                struct store_cached *ret_cached, struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_READ_CACHED, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, key);
    if (!sqlite_query_one(&query, &cached_row, ret_cached) && query.code == PL_OK)
        query.code = pl_err_set(err, PL_ERR_NOT_FOUND, "nothing is kept of the call");
    return sqlite_query_end(&query);
}

/* ---- workflows ---- */

static void read_listed(struct sqlite_row *row, void *ret_item)
{
    struct store_workflow *workflow = ret_item;

    workflow->name = sqlite_row_str(row);
    workflow->version = sqlite_row_int(row);
    workflow->hash = sqlite_row_str(row);
    workflow->created_at = sqlite_row_int(row);
}

static void read_with_text(struct sqlite_row *row, void *ret_item)
{
    struct store_workflow *workflow = ret_item;

    read_listed(row, workflow);
    workflow->text = sqlite_row_str(row);
}

static const struct sqlite_row_kind workflow_row = {sizeof(struct store_workflow), read_with_text,
                                                    NULL};
static const struct sqlite_row_kind listed_row = {sizeof(struct store_workflow), read_listed, NULL};

static enum pl_code fail_no_workflow(struct pl_str name, int64_t version, struct pl_err *err)
{
    if (version)
        return pl_err_set(err, PL_ERR_NOT_FOUND, "there is no workflow %.*s@%lld", PL_STR_ARG(name),
                          (long long)version);
    return pl_err_set(err, PL_ERR_NOT_FOUND, "there is no workflow %.*s", PL_STR_ARG(name));
}

enum pl_code sqlite_read_workflow(struct store_driver *driver, struct pl_arena *arena,
                                  struct pl_str tenant, struct pl_str name, int64_t version,
                                  struct store_workflow *ret_workflow, struct pl_err *err)
{
    struct sqlite_query query =
        begin(driver, version ? SQLITE_READ_WORKFLOW : SQLITE_READ_NEWEST_WORKFLOW, arena, err);

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, name);
    if (version)
        sqlite_query_int(&query, version);
    if (!sqlite_query_one(&query, &workflow_row, ret_workflow) && query.code == PL_OK)
        query.code = fail_no_workflow(name, version, err);
    return sqlite_query_end(&query);
}

enum pl_code sqlite_list_workflows(struct store_driver *driver, struct pl_arena *arena,
                                   struct pl_str tenant, struct pl_str after, size_t limit,
                                   struct store_workflow **ret_workflows, size_t *ret_count,
                                   struct pl_err *err)
{
    struct sqlite_query query = begin(driver, SQLITE_LIST_WORKFLOWS, arena, err);
    void *workflows;
    enum pl_code code;

    sqlite_query_str(&query, tenant);
    sqlite_query_str(&query, after);
    sqlite_query_limit(&query, limit);
    code = sqlite_query_collect(&query, &listed_row, &workflows, ret_count);
    if (code == PL_OK)
        *ret_workflows = workflows;
    return code;
}
