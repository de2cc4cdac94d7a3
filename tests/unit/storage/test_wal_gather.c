/* test_wal_gather.c - frames of a commit reach the WAL in few writes, and those of a transaction
 * that was given up never. */
#include "storage/sqlite/wal_gather.h"
#include "tests/support/fault_vfs.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 100 }; /* of 3 KB, ten times what the cache holds */

static struct store_fixture fixture;

static void set_up(void)
{
    store_fixture_init(&fixture, 0);
}

static void tear_down(void)
{
    fault_vfs_disarm();
    store_fixture_finish(&fixture);
}

static int attempt(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void exec(sqlite3 *db, const char *sql)
{
    int rc = attempt(db, sql);

    ck_assert_msg(rc == SQLITE_OK, "%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
}

/* A connection with a cache of ten pages: what a transaction changes beyond them is spilled. */
static sqlite3 *open_db(const char *vfs)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(
        sqlite3_open_v2(fixture.path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs),
        SQLITE_OK);
    sqlite3_rollback_hook(db, wal_gather_forget, db);
    exec(db,
         "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = 10;"
         "PRAGMA wal_autocheckpoint = 0; CREATE TABLE IF NOT EXISTS t (x TEXT, k INTEGER UNIQUE)");
    return db;
}

static void insert(sqlite3 *db, const char *name, int rows)
{
    char sql[300];

    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO t (x) SELECT '%s' || i || printf('%%.*c', 3000, 'x') FROM n",
             rows, name);
    exec(db, sql);
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int result;

    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    result = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return result;
}

/* As a connection sees it that was not there before. */
static void assert_rows(int a, int b)
{
    sqlite3 *db = open_db(NULL);

    ck_assert_int_eq(number(db, "SELECT count(*) FROM t WHERE x GLOB 'a*'"), a);
    ck_assert_int_eq(number(db, "SELECT count(*) FROM t WHERE x GLOB 'b*'"), b);
    ck_assert_int_eq(number(db, "SELECT count(*) FROM pragma_integrity_check"
                                " WHERE integrity_check = 'ok'"),
                     1);
    sqlite3_close(db);
}

START_TEST(a_commit_of_many_pages_is_few_writes)
{
    const struct fault_plan watch = {.first = 1000000, .where = FAULT_WAL};
    sqlite3 *db = open_db(wal_gather_vfs());

    exec(db, "PRAGMA cache_size = 1000");
    fault_vfs_arm(&watch);
    insert(db, "a", 100); /* some 400 KB */
    ck_assert_int_ge(fault_vfs_seen(), 5);
    ck_assert_int_le(fault_vfs_seen(), 12);
    sqlite3_close(db);
    assert_rows(100, 0);
}
END_TEST

START_TEST(a_transaction_larger_than_the_cache_finds_its_own_frames)
{
    sqlite3 *db = open_db(wal_gather_vfs());

    exec(db, "BEGIN");
    insert(db, "a", 200);
    ck_assert_int_eq(number(db, "SELECT sum(length(x) > 3000) FROM t"), 200);
    exec(db, "UPDATE t SET x = 'b' || x WHERE rowid % 2 = 0");
    exec(db, "SAVEPOINT s; DELETE FROM t; ROLLBACK TO s");
    insert(db, "a", 5);
    exec(db, "COMMIT");
    assert_rows(105, 100);
    sqlite3_close(db);
}
END_TEST

START_TEST(frames_that_were_given_up_are_not_written_over_those_of_others)
{
    sqlite3 *db = open_db(wal_gather_vfs()), *other = open_db(NULL);

    for (int rows = 20; rows <= 40; rows++) { /* so that some are left at the end of a spill */
        exec(db, "BEGIN");
        insert(db, "a", rows);
        exec(db, "ROLLBACK");
        insert(other, "b", 30);
        insert(db, "a", 1);
    }
    assert_rows(21, 21 * 30);
    sqlite3_close(other);
    sqlite3_close(db);
}
END_TEST

START_TEST(a_connection_that_is_closed_in_a_transaction_leaves_nothing_behind)
{
    sqlite3 *db = open_db(wal_gather_vfs()), *other = open_db(NULL);

    exec(db, "BEGIN");
    insert(db, "a", 30);
    sqlite3_close(db);
    insert(other, "b", 30);
    assert_rows(0, 30);
    sqlite3_close(other);
}
END_TEST

/* Changes every row and the index over them some times, which does not fit into the cache, and does
 * not look at errors before the commit: a statement may be undone alone. */
static int write_blindly(sqlite3 *db)
{
    int rc = attempt(db, "BEGIN");

    for (int i = 0; i < 6 && !sqlite3_get_autocommit(db); i++)
        (void)attempt(db, "UPDATE t SET k = ifnull(k, rowid) + 100000 WHERE x GLOB 'a*'");
    return rc == SQLITE_OK ? attempt(db, "COMMIT") : rc;
}

/* One write after the other fails. Whatever is committed is whole, and nothing else is there. */
START_TEST(a_write_that_fails_fails_its_transaction_and_no_other)
{
    sqlite3 *db = open_db(wal_gather_vfs());
    bool hit = true;
    int others = 0;

    insert(db, "a", ROWS);
    for (int nth = 1; hit; nth += 1 + nth / 32) {
        const struct fault_plan plan = {
            .first = nth, .count = 1, .where = FAULT_WAL, .rc = SQLITE_FULL, .error = ENOSPC};
        int rc;

        fault_vfs_arm(&plan);
        rc = write_blindly(db);
        hit = fault_vfs_failed() > 0;
        fault_vfs_disarm();
        ck_assert(hit || rc == SQLITE_OK);
        if (!sqlite3_get_autocommit(db))
            exec(db, "ROLLBACK");
        insert(db, "b", 1);
        assert_rows(ROWS, ++others);
    }
    sqlite3_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gathered writes");
    TCase *tcase = tcase_create("wal");
    SRunner *runner;
    int failed;

    fault_vfs_install();
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_commit_of_many_pages_is_few_writes);
    tcase_add_test(tcase, a_transaction_larger_than_the_cache_finds_its_own_frames);
    tcase_add_test(tcase, frames_that_were_given_up_are_not_written_over_those_of_others);
    tcase_add_test(tcase, a_connection_that_is_closed_in_a_transaction_leaves_nothing_behind);
    tcase_add_test(tcase, a_write_that_fails_fails_its_transaction_and_no_other);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
