/* test_store_damage.c - a database that is whole but for what somebody wrote into a row by hand, or
 * a disk into the middle of a value: it is called damage, and which row it is, wherever that row is
 * read, and nowhere else. Not damaged files (test_store_files.c). Run by ctest. */
#include "storage/store.h"

#include "tests/support/store_check.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T   PL_STR("t")
#define RUN PL_STR("run_1")

static struct store_fixture fixture;

static void set_up(void)
{
    store_fixture_init(&fixture, 0);
}

static void tear_down(void)
{
    store_fixture_finish(&fixture);
}

static void run_sql(const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(fixture.path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void put_batches(int count, size_t bytes)
{
    struct store *store = store_fixture_open(&fixture, true);

    for (int n = 0; n < count; n++) {
        struct store_batch *batch = store_check_batch(n, bytes);

        ck_assert_int_eq(store_submit_wait(store, &batch, NULL), PL_OK);
    }
    store_close(&store);
}

/* ---- steps ---- */

/* Step s5 is damaged, and only that. */
static void assert_damage(const char *what)
{
    struct store *store = store_fixture_open(&fixture, true);
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step *steps = NULL, step = {0};
    struct pl_err err = {.message = ""};
    size_t count = 77;

    ck_assert_msg(store_list_steps(store, arena, T, RUN, PL_STR(""), 100, &steps, &count, &err) ==
                      PL_ERR_STORE_CORRUPT,
                  "%s", what);
    ck_assert_msg(strstr(err.message, what) && strstr(err.message, "of step s5"), "%s: %s", what,
                  err.message);
    ck_assert_uint_eq(count, 77);
    ck_assert_msg(store_get_step(store, arena, T, RUN, PL_STR("s5"), &step, &err) ==
                      PL_ERR_STORE_CORRUPT,
                  "%s", what);
    ck_assert_ptr_null(step.output);
    ck_assert_int_eq(store_get_step(store, arena, T, RUN, PL_STR("s4"), &step, NULL), PL_OK);
    store_step_finish(&step);
    store_close(&store);
    pl_arena_destroy(&arena);
}

START_TEST(a_value_that_is_not_json_is_called_damage)
{
    static const struct {
        const char *column, *table;
    } columns[] = {
        {"output", "steps"}, {"error", "steps"}, {"memo", "step_notes"}, {"writes", "step_notes"}};
    static const char *const values[] = {"'{\"a\":'",
                                         "''",
                                         "'nul'",
                                         "'[1] 2'",
                                         "x'ff'||'\"'",
                                         "'\"\xff\"'",
                                         "printf('%.*c', 300, '[')"};

    put_batches(10, 100);
    for (size_t i = 0; i < PL_ARRAY_LEN(columns); i++) {
        char sql[300];

        snprintf(sql, sizeof(sql), "CREATE TABLE keep AS SELECT %s AS v FROM %s WHERE place = 's5'",
                 columns[i].column, columns[i].table);
        run_sql(sql);
        for (size_t k = 0; k < PL_ARRAY_LEN(values); k++) {
            snprintf(sql, sizeof(sql), "UPDATE %s SET %s = CAST(%s AS TEXT) WHERE place = 's5'",
                     columns[i].table, columns[i].column, values[k]);
            run_sql(sql);
            assert_damage(columns[i].column);
        }
        snprintf(sql, sizeof(sql),
                 "UPDATE %s SET %s = (SELECT v FROM keep) WHERE place = 's5'; DROP TABLE keep",
                 columns[i].table, columns[i].column);
        run_sql(sql);
    }
    ck_assert_ptr_null(store_check(&fixture, (bool[10]){true, true, true}, 10));
}
END_TEST

/* Steps wrap what they are given, so what is stored may be deeper than what anybody may send. */
START_TEST(a_value_nested_too_deeply_is_called_damage)
{
    char sql[300];

    put_batches(10, 100);
    snprintf(sql, sizeof(sql),
             "UPDATE steps SET output = replace(printf('%%.*c', %d, '*'), '*', '[') ||"
             " replace(printf('%%.*c', %d, '*'), '*', ']') WHERE place = 's4'",
             STORE_VALUE_DEPTH, STORE_VALUE_DEPTH);
    run_sql(sql);
    snprintf(sql, sizeof(sql),
             "UPDATE steps SET output = replace(printf('%%.*c', %d, '*'), '*', '[') ||"
             " replace(printf('%%.*c', %d, '*'), '*', ']') WHERE place = 's5'",
             STORE_VALUE_DEPTH + 1, STORE_VALUE_DEPTH + 1);
    run_sql(sql);
    assert_damage("output");
}
END_TEST

/* ---- runs, threads, cached answers ---- */

static const char *const no_objects[] = {"{", "[]", "\"x\"", "{} {}", "null", "{\"a\":1"};

/* How it says that it is damaged; NULL: it does not. */
static const char *damage_of(enum pl_code code, const struct pl_err *err, const char *what)
{
    if (code != PL_ERR_STORE_CORRUPT)
        return NULL;
    return strstr(err->message, what);
}

START_TEST(a_run_whose_metadata_or_options_are_no_object_is_called_damage)
{
    static const char *const columns[] = {"metadata", "options"};

    put_batches(1, 100);
    for (size_t i = 0; i < PL_ARRAY_LEN(columns) * PL_ARRAY_LEN(no_objects); i++) {
        const char *column = columns[i % PL_ARRAY_LEN(columns)];
        struct store_run_filter filter = {0};
        struct pl_arena *arena = pl_arena_create(0);
        struct store_run run, *runs;
        struct pl_err err = {.message = ""};
        struct store *store;
        char sql[200], what[100];
        size_t count;

        snprintf(sql, sizeof(sql), "UPDATE runs SET metadata = '', options = '', %s = '%s'", column,
                 no_objects[i / PL_ARRAY_LEN(columns)]);
        run_sql(sql);
        snprintf(what, sizeof(what), "%s of run run_1", column);
        store = store_fixture_open(&fixture, true);
        ck_assert_msg(
            damage_of(store_get_run(store, arena, T, RUN, &run, &err), &err, what) &&
                damage_of(store_list_runs(store, arena, T, &filter, 9, &runs, &count, &err), &err,
                          what),
            "%s: %s", sql, err.message);
        filter.damaged = true;
        ck_assert_int_eq(store_list_runs(store, arena, T, &filter, 9, &runs, &count, &err), PL_OK);
        ck_assert_uint_eq(count, 1);
        ck_assert_str_eq(runs[0].damaged, column);
        ck_assert(pl_str_eq(runs[0].id, RUN));
        store_run_finish(&runs[0]);
        store_close(&store);
        pl_arena_destroy(&arena);
    }
}
END_TEST

/* SQL looks into it there, and must not be the one that stumbles. */
START_TEST(damaged_metadata_is_called_damage_by_a_list_that_filters_by_it)
{
    const struct pl_str key = PL_STR("user"), wanted = PL_STR("u1");
    struct store_run_filter filter = {
        .metadata_keys = &key, .metadata_values = &wanted, .n_metadata = 1};
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_err err = {.message = ""};
    struct store_run *runs;
    struct store *store;
    size_t count = 77;

    put_batches(1, 100);
    run_sql("UPDATE runs SET metadata = '{\"user\":'");
    store = store_fixture_open(&fixture, true);
    ck_assert_msg(damage_of(store_list_runs(store, arena, T, &filter, 9, &runs, &count, &err), &err,
                            "metadata of run run_1"),
                  "%s", err.message);
    store_close(&store);
    run_sql("UPDATE runs SET metadata = ''");
    store = store_fixture_open(&fixture, true);
    ck_assert_int_eq(store_list_runs(store, arena, T, &filter, 9, &runs, &count, &err), PL_OK);
    ck_assert_uint_eq(count, 0);
    store_close(&store);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_join_report_that_is_no_object_is_called_damage)
{
    put_batches(3, 100);
    for (size_t i = 0; i < PL_ARRAY_LEN(no_objects); i++) {
        struct pl_arena *arena = pl_arena_create(0);
        struct pl_err err = {.message = ""};
        struct store_step step;
        struct store *store;
        char sql[200];

        snprintf(sql, sizeof(sql), "UPDATE steps SET join_state = '%s' WHERE place = 's1'",
                 no_objects[i]);
        run_sql(sql);
        store = store_fixture_open(&fixture, true);
        ck_assert_msg(damage_of(store_get_step(store, arena, T, RUN, PL_STR("s1"), &step, &err),
                                &err, "join_state of step s1"),
                      "%s: %s", no_objects[i], err.message);
        store_close(&store);
        pl_arena_destroy(&arena);
    }
}
END_TEST

START_TEST(a_pack_that_holds_no_events_is_called_damage)
{
    static const char *const packs[] = {
        "",
        "[",
        "{}",
        "[1]",
        "[[]]",
        "[[2,1,\"a\",\"\",0]]",
        "[[2,1,\"a\",\"\",0,null,0]]",
        "[[2,1,\"a\",\"\",0,[]]]",
        "[[2,1,\"a\",\"\",0,\"x\"]]",
        "[[2,1,\"a\",\"\",0,{}{}]]",
        "[[2,1,\"a\",7,0,{}]]",
        "[[2.5,1,\"a\",\"\",0,{}]]",
        "[{\"seq\":2}]",
        "[[2,1,\"a\",\"\",0,null]] []",
        "[]",
        "[[1,1,\"a\",\"\",0,null]]",
        "[[3,1,\"a\",\"\",0,null]]",
        "[[1,1,\"a\",\"\",0,null],[2,1,\"a\",\"\",0,null]]",
        "[[2,1,\"a\",\"\",0,null],[1,1,\"a\",\"\",0,null]]",
        "[[2,1,\"a\",\"\",0,null],[2,1,\"a\",\"\",0,null]]",
        "[[2,1,\"a\",\"\",0,null],[3,1,\"a\",\"\",0,null]]",
    };

    put_batches(3, 100);
    for (size_t i = 0; i < PL_ARRAY_LEN(packs); i++) {
        struct pl_arena *arena = pl_arena_create(0);
        struct pl_err err = {.message = ""};
        struct store_event *events;
        struct store *store;
        char sql[200];
        size_t count = 77;

        snprintf(sql, sizeof(sql), "UPDATE events SET pack = '%s' WHERE last_seq = 2", packs[i]);
        run_sql(sql);
        store = store_fixture_open(&fixture, true);
        ck_assert_msg(
            damage_of(store_list_events(store, arena, T, RUN, 0, 9, &events, &count, &err), &err,
                      "pack of the events up to 2"),
            "%s: %s", packs[i], err.message);
        ck_assert_uint_eq(count, 77);
        ck_assert_int_eq(store_list_events(store, arena, T, RUN, 2, 9, &events, &count, &err),
                         PL_OK);
        ck_assert_uint_eq(count, 1);
        store_close(&store);
        pl_arena_destroy(&arena);
    }
}
END_TEST

START_TEST(a_damaged_memo_is_called_damage_where_its_items_are_counted)
{
    struct store_inside inside = {.items = 77};
    struct pl_err err = {.message = ""};
    struct store *store;

    put_batches(2, 100);
    run_sql("UPDATE step_notes SET memo = '[1,2' WHERE place = 's1';"
            "UPDATE step_notes SET memo = '[1,2]' WHERE place = 's0'");
    store = store_fixture_open(&fixture, true);
    ck_assert_msg(damage_of(store_look_inside(store, T, RUN, PL_STR("s1"), &inside, &err), &err,
                            "memo of step s1"),
                  "%s", err.message);
    ck_assert_int_eq(inside.items, 77);
    ck_assert_int_eq(store_look_inside(store, T, RUN, PL_STR("s0"), &inside, &err), PL_OK);
    ck_assert_int_eq(inside.items, 2);
    store_close(&store);
}
END_TEST

START_TEST(a_run_or_thread_whose_value_is_not_json_is_called_damage)
{
    struct store *store;
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_err err = {.message = ""};
    struct store_run run;
    struct store_thread thread;

    put_batches(3, 100);
    run_sql("UPDATE runs SET error = '{'; UPDATE threads SET state = '{]'");
    store = store_fixture_open(&fixture, true);
    ck_assert_ptr_nonnull(
        damage_of(store_get_run(store, arena, T, RUN, &run, &err), &err, "error of run run_1"));
    ck_assert_ptr_nonnull(damage_of(store_get_thread(store, arena, T, PL_STR("thr"), &thread, &err),
                                    &err, "state of thread thr"));
    store_close(&store);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_cached_answer_that_is_not_json_is_called_damage)
{
    struct store *store = store_fixture_open(&fixture, true);
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_err err = {.message = ""};
    struct store_cached cached;

    store_close(&store);
    run_sql("INSERT INTO cache VALUES ('t', 'whole', 1, '1', '2', 3, 0, 0, 0, 0, 0, 0, 4, 5),"
            " ('t', 'half', 2, '1', '{', 3, 0, 0, 0, 0, 0, 0, 4, 5)");
    store = store_fixture_open(&fixture, true);
    ck_assert_int_eq(store_get_cached(store, arena, T, PL_STR("whole"), &cached, &err), PL_OK);
    ck_assert(pl_str_is(pl_value_text(cached.output), "1"));
    ck_assert(pl_str_is(pl_value_text(cached.call), "2"));
    ck_assert_int_eq(cached.usage.calls, 3);
    ck_assert(cached.created_at == 4 && cached.expires_at == 5);
    store_cached_finish(&cached);
    ck_assert_ptr_nonnull(
        damage_of(store_get_cached(store, arena, T, PL_STR("half"), &cached, &err), &err,
                  "call of a cached answer"));
    store_close(&store);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_damaged_run_is_still_listed_among_the_unfinished)
{
    struct store *store;
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run_key *keys;
    size_t count;

    put_batches(3, 100);
    run_sql("UPDATE runs SET input = '{', output = '{', error = '{', metadata = '{', options = 1");
    store = store_fixture_open(&fixture, true);
    ck_assert_int_eq(
        store_list_unfinished(store, arena, PL_STR(""), PL_STR(""), 9, &keys, &count, NULL), PL_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(pl_str_is(keys[0].tenant, "t") && pl_str_is(keys[0].id, "run_1"));
    store_close(&store);
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_value_that_is_not_json_is_called_damage,
        a_value_nested_too_deeply_is_called_damage,
        a_run_whose_metadata_or_options_are_no_object_is_called_damage,
        damaged_metadata_is_called_damage_by_a_list_that_filters_by_it,
        a_join_report_that_is_no_object_is_called_damage,
        a_pack_that_holds_no_events_is_called_damage,
        a_damaged_memo_is_called_damage_where_its_items_are_counted,
        a_run_or_thread_whose_value_is_not_json_is_called_damage,
        a_cached_answer_that_is_not_json_is_called_damage,
        a_damaged_run_is_still_listed_among_the_unfinished,
    };
    Suite *suite = suite_create("store damage");
    TCase *tcase = tcase_create("store damage");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
