/* store_check.c - a database after trouble. Not a test. See store_check.h. */
#include "tests/support/store_check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char problem[700];

static struct pl_value *output_of(int n, size_t bytes)
{
    struct pl_buf buf;
    struct pl_value *value;

    pl_buf_init(&buf, bytes + 64);
    pl_buf_printf(&buf, "\"%d ", n);
    while (buf.len < bytes)
        pl_buf_char(&buf, (char)('a' + ((size_t)n + buf.len) % 26));
    pl_buf_char(&buf, '"');
    value = pl_value_take(&buf);
    if (!value)
        abort();
    return value;
}

struct store_batch *store_check_batch(int n, size_t bytes)
{
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("run_1"));
    struct pl_value *output = output_of(n, bytes);
    struct store_run run = {
        .tenant = PL_STR("t"), .id = PL_STR("run_1"), .created_at = 1, .last_seq = n + 1};
    char path[16];
    struct store_step step = {
        .output = output, .error = output, .memo = output, .writes = output, .attempts = n};
    struct store_thread thread = {.id = PL_STR("thr"), .state = output, .updated_at = n};
    struct store_event event = {.seq = n + 1, .type = PL_STR("step.succeeded")};

    if (!batch)
        abort();
    snprintf(path, sizeof(path), "s%d", n);
    step.path = pl_str(path);
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    store_batch_put_event(batch, &event);
    store_batch_put_thread(batch, &thread);
    pl_value_unref(&output);
    return batch;
}

static const char *integrity(const struct store_fixture *fixture)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    const char *answer = NULL;
    int rc = sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        answer = (const char *)sqlite3_column_text(statement, 0);
    problem[0] = '\0';
    if (!answer || strcmp(answer, "ok") != 0)
        snprintf(problem, sizeof(problem), "integrity_check: %s",
                 answer ? answer : sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return problem[0] ? problem : NULL;
}

/* Batch n as it was read: its step, or NULL, and whether its event is there. */
static const char *check_batch(const struct store_step *step, bool event, bool acked, int n)
{
    struct pl_value *expect;
    struct pl_str text;
    bool equal;

    if (!step && !event)
        return acked ? "an acknowledged batch is gone" : NULL;
    if (!step || !event)
        return "half a batch is there";
    text = pl_value_text(step->output);
    expect = output_of(n, text.len - 1);
    equal = pl_str_eq(pl_value_text(expect), text) && step->attempts == n &&
            pl_str_eq(pl_value_text(step->memo), text) &&
            pl_str_eq(pl_value_text(step->writes), text);
    pl_value_unref(&expect);
    return equal ? NULL : "a row is not what was written";
}

static const struct store_step *find_step(const struct store_step *steps, size_t count, int n)
{
    char path[16];

    snprintf(path, sizeof(path), "s%d", n);
    for (size_t i = 0; i < count; i++)
        if (pl_str_is(steps[i].path, path))
            return &steps[i];
    return NULL;
}

static bool has_event(const struct store_event *events, size_t count, int n)
{
    for (size_t i = 0; i < count; i++)
        if (events[i].seq == n + 1)
            return true;
    return false;
}

/* What the thread remembers is of the last batch that is there. */
static const char *check_thread(struct store *store, struct pl_arena *arena,
                                const struct store_step *steps, size_t count)
{
    struct store_thread thread;
    int64_t last = -1;
    enum pl_code code = store_get_thread(store, arena, PL_STR("t"), PL_STR("thr"), &thread, NULL);

    for (size_t i = 0; i < count; i++)
        last = steps[i].attempts > last ? steps[i].attempts : last;
    if (code == PL_ERR_NOT_FOUND)
        return count ? "the thread is gone" : NULL;
    if (code != PL_OK)
        return "the thread cannot be read";
    store_thread_finish(&thread);
    return thread.updated_at == last ? NULL : "the thread is of another batch";
}

static const char *check_rows(struct store *store, struct pl_arena *arena, const bool *acked,
                              int count)
{
    struct store_step *steps = NULL;
    struct store_event *events = NULL;
    size_t step_count = 0, event_count = 0;
    const char *wrong = NULL;
    struct pl_err err;
    enum pl_code code = store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR(""),
                                         (size_t)count * 2, &steps, &step_count, &err);

    if (code == PL_OK)
        code = store_list_events(store, arena, PL_STR("t"), PL_STR("run_1"), 0, (size_t)count * 2,
                                 &events, &event_count, &err);
    if (code != PL_OK) {
        snprintf(problem, sizeof(problem), "reading: %s", err.message);
        wrong = problem;
    }
    for (int n = 0; n < count && !wrong; n++) {
        wrong = check_batch(find_step(steps, step_count, n), has_event(events, event_count, n),
                            acked[n], n);
        if (wrong) {
            snprintf(problem, sizeof(problem), "batch %d: %s", n, wrong);
            wrong = problem;
        }
    }
    if (!wrong)
        wrong = check_thread(store, arena, steps, step_count);
    for (size_t i = 0; i < step_count; i++)
        store_step_finish(&steps[i]);
    return wrong;
}

const char *store_check(const struct store_fixture *fixture, const bool *acked, int count)
{
    struct store *store = NULL;
    struct pl_arena *arena;
    struct pl_err err;
    const char *wrong;

    if (store_fixture_try(fixture, true, &store, &err) != PL_OK) {
        snprintf(problem, sizeof(problem), "opening: %s", err.message);
        return problem;
    }
    arena = pl_arena_create(0);
    wrong = check_rows(store, arena, acked, count);
    pl_arena_destroy(&arena);
    store_close(&store);
    return wrong ? wrong : integrity(fixture);
}
