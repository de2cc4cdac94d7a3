/* test_upgrade.c - a database of an older schema is brought up to date with what is in it. */
#include "storage/migrate.h"
#include "storage/store.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <sqlite3.h>
#include <stdlib.h>

static void exec(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK, "%s", message);
}

/* The file as the first version of the program left it: its migration is never edited. */
static void write_version_1(const char *path)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    exec(db, "PRAGMA journal_mode = WAL");
    exec(db, "BEGIN");
    exec(db, store_sqlite_migrations[0].sql);
    exec(db,
         "INSERT INTO runs VALUES ('t','run_1','h','plan',0,'failed','failed',0,0,'{\"a\":1}',NULL,"
         "'{\"code\":\"timeout\"}','why','thr','{\"k\":\"v\"}','',10,11,12,1,2,3,4,0.5,2)");
    exec(db, "INSERT INTO runs VALUES ('t','run_2','h','',0,'running','running',0,0,NULL,NULL,NULL,"
             "'','','','',20,21,0,0,0,0,0,0,1)");
    exec(db, "INSERT INTO runs VALUES ('t','run_0','h','',0,'succeeded','over',0,1,NULL,"
             "'\"' || printf('%.*c', 3000, 'o') || '\"',NULL,'','','','',5,6,7,0,0,0,0,0,1)");
    exec(db,
         "INSERT INTO run_inputs VALUES ('t','run_0','\"' || printf('%.*c', 3000, 'i') || '\"')");
    exec(db, "INSERT INTO definitions VALUES ('t','h','steps: []')");
    exec(db, "INSERT INTO steps VALUES ('t','run_1','plan','parallel','failed','over',1,1,0,1,'',"
             "NULL,'{\"code\":\"timeout\"}','why','{}',1,2,3,4,0.5,10,11,12,0,11)");
    exec(db, "INSERT INTO steps VALUES ('t','run_1','plan.a','llm','succeeded','over',2,1,1,0,'m',"
             "'[1]',NULL,'','',1,2,3,4,NULL,10,11,12,13,14)");
    exec(db, "INSERT INTO steps VALUES ('t','run_1','plan2','llm','skipped','over',0,0,0,0,'',"
             "NULL,NULL,'','',0,0,0,0,0,0,0,0,0,0)");
    exec(db, "INSERT INTO events VALUES ('t','run_1',1,10,'run.started','',0,''),"
             "('t','run_1',2,11,'step.\"x\"','plan.a',3,'{\"ms\":[1]}')");
    exec(db, "COMMIT");
    sqlite3_close(db);
}

static void check_steps(struct store *store, struct pl_arena *arena)
{
    struct store_step *steps = NULL, step;
    size_t count = 0;

    ck_assert_int_eq(store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR("plan"),
                                      10, &steps, &count, NULL),
                     PL_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(pl_str_is(steps[0].path, "plan.a") && pl_str_is(steps[1].path, "plan2"));
    ck_assert(steps[0].attempts == 2 && steps[0].tries == 1 && steps[0].handled);
    ck_assert(pl_str_is(pl_value_text(steps[0].output), "[1]"));
    ck_assert(steps[0].wake_at == 13 && steps[0].sent_at == 14 && steps[0].ended_at == 12);
    ck_assert(!steps[0].memo && !steps[0].writes);
    store_step_finish(&steps[0]);
    ck_assert_int_eq(
        store_get_step(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR("plan"), &step, NULL),
        PL_OK);
    ck_assert(pl_str_is(step.kind, "parallel") && pl_str_is(step.reason, "why"));
    ck_assert(pl_str_is(step.join, "{}") && step.counted && step.usage.cost_usd == 0.5);
    store_step_finish(&step);
}

static void check_large(struct store *store, struct pl_arena *arena)
{
    struct store_run run;
    struct pl_str text;

    ck_assert_int_eq(store_get_run(store, arena, PL_STR("t"), PL_STR("run_0"), &run, NULL), PL_OK);
    ck_assert_uint_eq(pl_value_text(run.input).len, 3002);
    ck_assert_uint_eq(pl_value_text(run.output).len, 3002);
    ck_assert(pl_value_text(run.input).ptr[1] == 'i' && pl_value_text(run.output).ptr[1] == 'o');
    store_run_finish(&run);
    ck_assert_int_eq(store_get_definition(store, arena, PL_STR("t"), PL_STR("h"), &text, NULL),
                     PL_OK);
    ck_assert(pl_str_is(text, "steps: []"));
}

static void check_events(struct store *store, struct pl_arena *arena)
{
    struct store_event *events = NULL;
    size_t count = 0;

    ck_assert_int_eq(
        store_list_events(store, arena, PL_STR("t"), PL_STR("run_1"), 0, 10, &events, &count, NULL),
        PL_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(events[0].seq == 1 && events[0].at == 10 && events[0].attempt == 0);
    ck_assert(pl_str_is(events[0].type, "run.started"));
    ck_assert_uint_eq(events[0].path.len + events[0].data.len, 0);
    ck_assert(events[1].seq == 2 && events[1].at == 11 && events[1].attempt == 3);
    ck_assert(pl_str_is(events[1].type, "step.\"x\"") && pl_str_is(events[1].path, "plan.a"));
    ck_assert(pl_str_is(events[1].data, "{\"ms\":[1]}"));
}

/* An old row that is written anew, as a run that goes on does, is the same row still. */
static void go_on(struct store *store, struct pl_arena *arena)
{
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("run_1"));
    struct store_step row = {.path = PL_STR("plan.a"), .attempts = 7}, *steps;
    size_t count = 0;

    store_batch_put_step(batch, &row);
    ck_assert_int_eq(store_submit_wait(store, &batch, NULL), PL_OK);
    ck_assert_int_eq(store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR("plan"),
                                      10, &steps, &count, NULL),
                     PL_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(steps[0].attempts == 7);
}

START_TEST(a_database_of_version_1_is_upgraded_with_its_runs)
{
    struct store_fixture fixture;
    struct pl_arena *arena = pl_arena_create(0);
    struct store *store;
    struct store_run *runs = NULL;
    struct store_run_key *keys = NULL;
    struct pl_str key = PL_STR("k"), value = PL_STR("v");
    struct store_run_filter filter = {.status = PL_STR("failed"),
                                      .workflow = PL_STR("plan"),
                                      .thread = PL_STR("thr"),
                                      .metadata_keys = &key,
                                      .metadata_values = &value,
                                      .n_metadata = 1};
    size_t count = 0;

    ck_assert_uint_ge(store_sqlite_migration_count, 3);
    store_fixture_init(&fixture, 0);
    write_version_1(fixture.path);
    for (int round = 0; round < 2; round++) { /* the second time there is nothing to do */
        store = store_fixture_open(&fixture, true);
        ck_assert_int_eq(
            store_list_runs(store, arena, PL_STR("t"), &filter, 10, &runs, &count, NULL), PL_OK);
        ck_assert_uint_eq(count, 1);
        ck_assert(pl_str_is(runs[0].id, "run_1") && runs[0].last_seq == 2);
        store_run_finish(&runs[0]);
        ck_assert_int_eq(
            store_list_unfinished(store, arena, PL_STR(""), PL_STR(""), 10, &keys, &count, NULL),
            PL_OK);
        ck_assert_uint_eq(count, 1);
        ck_assert(pl_str_is(keys[0].id, "run_2"));
        check_steps(store, arena);
        check_large(store, arena);
        check_events(store, arena);
        store_close(&store);
    }
    store = store_fixture_open(&fixture, true);
    go_on(store, arena);
    store_close(&store);
    pl_arena_destroy(&arena);
    store_fixture_finish(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upgrade");
    TCase *tcase = tcase_create("upgrade");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, a_database_of_version_1_is_upgraded_with_its_runs);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
