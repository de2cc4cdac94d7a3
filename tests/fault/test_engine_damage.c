/* test_engine_damage.c - runs of which a row was damaged on disk: an error of the store for whoever
 * reads them or goes on with them, never half a result; and no harm to other runs. What the store
 * itself notices: test_store_damage.c. Run by ctest. */
#include "base/json.h"
#include "service/events/event_stream.h"
#include "tests/support/engine_probe.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT PL_STR("default")

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 1);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

/* While the engine is closed; `set` of the rows of this run. */
static void damage(const char *table, const char *set, const char *key, const char *id)
{
    char sql[300];
    sqlite3 *db;

    snprintf(sql, sizeof(sql), "UPDATE %s SET %s WHERE %s = '%s'", table, set, key, id);
    ck_assert_int_eq(sqlite3_open(probe.fixture.path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK && sqlite3_changes(db) > 0,
                  "%s: %s", sql, sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void run_to_the_end(struct run_probe *run, struct workflow *workflow)
{
    run_probe_start(run, &probe, workflow, NULL);
    run_probe_wait(run);
}

/* What reading the run says: "" or why it cannot be read. */
static const char *trouble(const char *id, bool steps)
{
    static char message[PL_ERR_MESSAGE_MAX];
    struct pl_err err = {.message = ""};
    struct pl_buf out;
    enum pl_code code;

    pl_buf_init(&out, SIZE_MAX / 2);
    code = engine_write_run(probe.engine, TENANT, pl_str(id), steps, &out, &err);
    ck_assert(code == PL_OK || code == PL_ERR_STORE_CORRUPT);
    snprintf(message, sizeof(message), "%s", err.message);
    if (code == PL_OK)
        ck_assert_int_eq(json_check(pl_buf_view(&out), 100, NULL, &err), PL_OK);
    pl_buf_finish(&out);
    return message;
}

#define assert_tells(text, what) ck_assert_msg(strstr(text, what) != NULL, "%s", text)

START_TEST(a_damaged_step_is_an_error_where_it_is_shown_and_only_there)
{
    static const struct {
        const char *set, *told;
    } rows[] = {{"output = '{'", "output of step a"},
                {"error = '{]'", "error of step a"},
                {"call = 'x'", "call of step a"},
                {"join_state = '{'", "join_state of step a"}};
    struct workflow *workflow =
        test_workflow("steps: {a: {llm: {model: sim/echo, prompt: x}}}\noutput: done\n");
    struct run_probe run, other;

    engine_probe_open(&probe);
    run_to_the_end(&other, workflow);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        run_to_the_end(&run, workflow);
        engine_probe_close(&probe, 0);
        damage("steps", rows[i].set, "run", run.id);
        engine_probe_open(&probe);
        assert_tells(trouble(run.id, true), rows[i].told);
        ck_assert_str_eq(trouble(run.id, false), "");
        ck_assert_str_eq(trouble(other.id, true), "");
        run_probe_finish(&run);
    }
    run_probe_finish(&other);
    workflow_unref(&workflow);
}
END_TEST

/* The page of so many runs; good until the next call. */
static const char *page_of(size_t limit)
{
    static char text[16384];
    struct store_run_filter filter = {0};
    struct pl_err err = {.message = ""};
    struct pl_buf page;

    pl_buf_init(&page, sizeof(text) - 1);
    ck_assert_msg(engine_write_runs(probe.engine, TENANT, &filter, limit, &page, &err) == PL_OK,
                  "%s", err.message);
    ck_assert_int_eq(json_check(pl_buf_view(&page), 100, NULL, &err), PL_OK);
    snprintf(text, sizeof(text), "%.*s", (int)page.len, page.data);
    pl_buf_finish(&page);
    return text;
}

static size_t count_of(const char *page, const char *key)
{
    struct pl_str list;

    return json_get(pl_str(page), pl_str(key), &list) ? json_count(list) : 0;
}

START_TEST(a_damaged_run_is_an_error_and_a_list_of_runs_names_it_beside_the_others)
{
    static const char *const columns[] = {"input", "output", "error", "metadata", "options"};
    struct workflow *workflow = test_workflow("steps: {a: {reduce: 1}}\n");
    struct run_probe good;

    engine_probe_open(&probe);
    run_to_the_end(&good, workflow);
    ck_assert_ptr_null(strstr(page_of(9), "damaged"));
    for (size_t i = 0; i < PL_ARRAY_LEN(columns); i++) {
        struct run_probe run;
        char set[40], told[100];

        run_to_the_end(&run, workflow);
        engine_probe_close(&probe, 0);
        snprintf(set, sizeof(set), "%s = '{'", columns[i]);
        damage("runs", set, "id", run.id);
        engine_probe_open(&probe);
        snprintf(told, sizeof(told), "%s of run %s", columns[i], run.id);
        assert_tells(trouble(run.id, false), told);
        assert_tells(page_of(1), told);
        assert_tells(page_of(1), "store_corrupt");
        assert_tells(page_of(1), "\"data\":[],");
        assert_tells(page_of(1), "\"has_more\":true");
        ck_assert_uint_eq(count_of(page_of(100), "data"), 1);
        ck_assert_uint_eq(count_of(page_of(100), "damaged"), i + 1);
        assert_tells(page_of(100), good.id);
        run_probe_finish(&run);
    }
    run_probe_finish(&good);
    workflow_unref(&workflow);
}
END_TEST

/* How far a run is cannot be counted without its definition. */
START_TEST(a_run_of_a_damaged_definition_is_named_too)
{
    struct workflow *one = test_workflow("steps: {a: {reduce: 1}}\n");
    struct workflow *other = test_workflow("steps: {a: {reduce: 2}}\n");
    struct run_probe bad, good;

    engine_probe_open(&probe);
    run_to_the_end(&bad, one);
    run_to_the_end(&good, other);
    engine_probe_close(&probe, 0);
    damage("definitions", "text = '{'", "hash", one->hash);
    engine_probe_open(&probe);
    assert_tells(page_of(9), "does not compile");
    assert_tells(page_of(9), "store_corrupt");
    ck_assert_uint_eq(count_of(page_of(9), "data"), 1);
    ck_assert_uint_eq(count_of(page_of(9), "damaged"), 1);
    run_probe_finish(&bad);
    run_probe_finish(&good);
    workflow_unref(&one);
    workflow_unref(&other);
}
END_TEST

/* What a reader of the run's events is told in the end; NULL: all of them. */
static const char *stream_trouble(const char *id)
{
    static char message[PL_ERR_MESSAGE_MAX];
    struct event_stream_options options = {
        .tenant = TENANT, .run = pl_str(id), .types = PL_STR("step.*,run.*")};
    struct event_stream *stream = NULL;
    struct pl_err err = {.message = ""};
    struct pl_buf out;
    enum event_stream_state state;

    ck_assert_int_eq(event_stream_open(probe.engine, &options, &stream, &err), PL_OK);
    pl_buf_init(&out, SIZE_MAX / 2);
    do
        state = event_stream_read(stream, out.len + 1, &out, &err);
    while (state == EVENT_STREAM_MORE);
    pl_buf_finish(&out);
    event_stream_close(&stream);
    ck_assert_int_ne(state, EVENT_STREAM_WAIT);
    if (state == EVENT_STREAM_END)
        return NULL;
    ck_assert_int_eq(err.code, PL_ERR_STORE_CORRUPT);
    snprintf(message, sizeof(message), "%s", err.message);
    return message;
}

START_TEST(a_stream_of_damaged_events_fails_and_says_why)
{
    static const struct {
        const char *table, *set, *key, *told;
    } rows[] = {{"events", "pack = '['", "run", "pack of the events up to"},
                {"steps", "output = '{'", "run", "output of step a"}};
    struct workflow *workflow = test_workflow("steps: {a: {reduce: 1}}\n");

    engine_probe_open(&probe);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct run_probe run;

        run_to_the_end(&run, workflow);
        ck_assert_ptr_null(stream_trouble(run.id));
        engine_probe_close(&probe, 0);
        damage(rows[i].table, rows[i].set, rows[i].key, run.id);
        engine_probe_open(&probe);
        ck_assert_ptr_nonnull(stream_trouble(run.id));
        assert_tells(stream_trouble(run.id), rows[i].told);
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

/* Two runs that are not over; the first is damaged. */
static void leave_two(struct run_probe *bad, struct run_probe *good, const char *table,
                      const char *set, const char *key)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {llm: {model: sim/echo, prompt: x}}\n"
                      "  b: {needs: [a], llm: {model: 'sim/echo?latency=500ms', prompt: y}}\n");

    probe.options.adopt = false;
    engine_probe_open(&probe);
    run_probe_start(bad, &probe, workflow, NULL);
    run_probe_start(good, &probe, workflow, NULL);
    run_probe_wait_recorded(bad);
    run_probe_wait_recorded(good);
    engine_probe_close(&probe, 0);
    workflow_unref(&workflow);
    damage(table, set, key, bad->id);
}

START_TEST(a_damaged_run_is_not_gone_on_with_and_the_others_are)
{
    static const struct {
        const char *table, *set, *key, *told;
    } rows[] = {{"runs", "input = '{'", "id", "input of run"},
                {"runs", "options = '{'", "id", "options of run"},
                {"steps", "output = '{'", "run", "output of step"}};

    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct run_probe bad, good, again;
        struct pl_err err = {.message = ""};

        leave_two(&bad, &good, rows[i].table, rows[i].set, rows[i].key);
        probe.options.adopt = true;
        engine_probe_open(&probe);
        engine_probe_wait_idle(&probe);
        ck_assert_str_eq(engine_probe_field(&probe, good.id, "status"), "\"succeeded\"");
        ck_assert_int_eq(run_probe_resume(&again, &probe, bad.id, &err), PL_ERR_STORE_CORRUPT);
        assert_tells(err.message, rows[i].told);
        engine_probe_close(&probe, 0);
        run_probe_finish(&bad);
        run_probe_finish(&good);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine damage");
    TCase *tcase = tcase_create("engine damage");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_damaged_step_is_an_error_where_it_is_shown_and_only_there);
    tcase_add_test(tcase, a_damaged_run_is_an_error_and_a_list_of_runs_names_it_beside_the_others);
    tcase_add_test(tcase, a_run_of_a_damaged_definition_is_named_too);
    tcase_add_test(tcase, a_stream_of_damaged_events_fails_and_says_why);
    tcase_add_test(tcase, a_damaged_run_is_not_gone_on_with_and_the_others_are);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
