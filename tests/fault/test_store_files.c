/* test_store_files.c - files that are not what they should be: foreign, newer, damaged, out of
 * reach. What is not ours stays as it is; what is damaged gives an error or the right rows, never a
 * crash. Not rows that were changed by hand (test_store_damage.c). */
#include "storage/store.h"

#include "tests/support/store_check.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store_fixture fixture;

static void set_up(void)
{
    store_fixture_init(&fixture, 0);
}

static void tear_down(void)
{
    store_fixture_finish(&fixture);
}

/* ---- files ---- */

struct bytes {
    char *data;
    size_t len;
};

static struct bytes slurp(const char *path)
{
    struct bytes bytes = {0};
    struct stat info;
    int fd = open(path, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &info), 0);
    bytes.len = (size_t)info.st_size;
    bytes.data = malloc(bytes.len + 1);
    ck_assert_ptr_nonnull(bytes.data);
    ck_assert_int_eq(read(fd, bytes.data, bytes.len), info.st_size);
    close(fd);
    return bytes;
}

static void spit(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
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

/* Opening is refused with `code`, the message names the file, and no byte of it has changed. */
static void assert_refused(enum pl_code code)
{
    struct bytes before = slurp(fixture.path), after;
    struct store *store = NULL;
    struct pl_err err = {.message = ""};

    for (int engine = 0; engine < 2; engine++) {
        ck_assert_int_eq(store_fixture_try(&fixture, engine, &store, &err), code);
        ck_assert_ptr_null(store);
        ck_assert_msg(strstr(err.message, fixture.path), "%s", err.message);
    }
    after = slurp(fixture.path);
    ck_assert_uint_eq(before.len, after.len);
    ck_assert_int_eq(memcmp(before.data, after.data, after.len), 0);
    free(before.data);
    free(after.data);
}

/* ---- foreign files ---- */

/* Longer than the header of a database. */
static const char prose[] = "dear diary, today I wrote no database at all. It was a good day for "
                            "prose, and nobody asked for a row of it. Tomorrow may be another.";

START_TEST(a_file_that_is_no_database_is_refused_and_left_as_it_is)
{
    const char *const contents[] = {
        "x",
        prose,
        "SQLite format 3",
    };
    char zeros[4096] = {0};

    for (size_t i = 0; i < PL_ARRAY_LEN(contents); i++) {
        spit(fixture.path, contents[i], strlen(contents[i]) + 1);
        assert_refused(PL_ERR_STORE_FOREIGN);
    }
    spit(fixture.path, zeros, sizeof(zeros));
    assert_refused(PL_ERR_STORE_FOREIGN);
    spit(fixture.path, zeros, 50);
    assert_refused(PL_ERR_STORE_FOREIGN);
}
END_TEST

START_TEST(a_database_of_another_program_is_refused_and_left_as_it_is)
{
    run_sql(fixture.path, "CREATE TABLE runs (a); INSERT INTO runs VALUES (1);");
    assert_refused(PL_ERR_STORE_FOREIGN);
    run_sql(fixture.path, "PRAGMA application_id = 12345; PRAGMA user_version = 1;");
    assert_refused(PL_ERR_STORE_FOREIGN);
    run_sql(fixture.path, "PRAGMA journal_mode = WAL; INSERT INTO runs VALUES (2);");
    assert_refused(PL_ERR_STORE_FOREIGN);
}
END_TEST

/* Another program died in a transaction: its journal must wait for that program. */
START_TEST(the_journal_of_another_program_is_not_played_back)
{
    char journal[600], kept[600];
    struct bytes before, after;
    int status;
    pid_t child;

    snprintf(journal, sizeof(journal), "%s-journal", fixture.path);
    snprintf(kept, sizeof(kept), "%s/kept", fixture.dir);
    run_sql(fixture.path, "CREATE TABLE a (b); INSERT INTO a VALUES (randomblob(100000));");
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        sqlite3 *db;

        sqlite3_open(fixture.path, &db);
        sqlite3_exec(db, "PRAGMA cache_size = 2; BEGIN; UPDATE a SET b = randomblob(100000)", NULL,
                     NULL, NULL);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, &status, 0);
    before = slurp(journal);
    ck_assert_uint_gt(before.len, 0);
    assert_refused(PL_ERR_STORE_FOREIGN);
    after = slurp(journal);
    ck_assert_uint_eq(before.len, after.len);
    free(before.data);
    free(after.data);
}
END_TEST

START_TEST(an_empty_file_becomes_a_database)
{
    spit(fixture.path, "", 0);
    put_batches(2, 100);
    ck_assert_ptr_null(store_check(&fixture, (bool[]){true, true}, 2));
}
END_TEST

START_TEST(a_newer_schema_is_refused_and_left_as_it_is)
{
    struct bytes before;

    put_batches(1, 100);
    before = slurp(fixture.path);
    run_sql(fixture.path, "PRAGMA user_version = 9999;");
    assert_refused(PL_ERR_STORE_NEWER);
    spit(fixture.path, before.data, before.len);
    ck_assert_ptr_null(store_check(&fixture, (bool[]){true}, 1));
    free(before.data);
}
END_TEST

/* ---- damage ---- */

/* Whatever the bytes are: an error, or rows that are right. */
static void survive(int count, size_t at)
{
    struct store *store = NULL;
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step *steps;
    struct store_run run;
    struct store_run_key *keys;
    struct store_event *events;
    size_t found;

    if (store_fixture_try(&fixture, true, &store, NULL) == PL_OK) {
        struct store_batch *batch = store_check_batch(count, 3000);

        (void)store_submit_wait(store, &batch, NULL);
        if (store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR(""), 1000, &steps,
                             &found, NULL) == PL_OK)
            while (found > 0)
                store_step_finish(&steps[--found]);
        if (store_get_run(store, arena, PL_STR("t"), PL_STR("run_1"), &run, NULL) == PL_OK)
            store_run_finish(&run);
        if (store_list_unfinished(store, arena, PL_STR(""), PL_STR(""), 1000, &keys, &found,
                                  NULL) == PL_OK)
            ck_assert_msg(found <= 1000, "damage at %zu", at);
        if (store_list_events(store, arena, PL_STR("t"), PL_STR("run_1"), 0, 1000, &events, &found,
                              NULL) == PL_OK)
            ck_assert_msg(found <= 1000, "damage at %zu", at);
        store_close(&store);
    }
    pl_arena_destroy(&arena);
}

START_TEST(a_damaged_file_is_an_error_not_a_crash)
{
    enum { COUNT = 40 };
    struct bytes whole, damaged;
    unsigned seed = 12345;

    put_batches(COUNT, 3000);
    whole = slurp(fixture.path);
    damaged.data = malloc(whole.len);
    ck_assert_ptr_nonnull(damaged.data);
    for (int round = 0; round < 150; round++) {
        size_t at = (size_t)rand_r(&seed) % whole.len;

        memcpy(damaged.data, whole.data, whole.len);
        /* A third of the rounds in the schema and the heads of pages, where it hurts. */
        if (round % 3 == 0)
            at = at / 4096 * 4096 + (size_t)rand_r(&seed) % 32;
        for (size_t i = at; i < at + 8 && i < whole.len; i++)
            damaged.data[i] = (char)rand_r(&seed);
        spit(fixture.path, damaged.data, whole.len);
        survive(COUNT, at);
    }
    for (size_t len = 0; len < whole.len; len += 4096 * 3 + 100) {
        spit(fixture.path, whole.data, len);
        survive(COUNT, len);
    }
    free(whole.data);
    free(damaged.data);
}
END_TEST

START_TEST(damage_is_called_damage)
{
    enum { SCHEMA_BYTES = 34 * 4096 }; /* the pages of the schema, and some */
    struct store *store = NULL;
    struct store_step *steps;
    struct pl_arena *arena = pl_arena_create(0);
    struct bytes whole;
    struct pl_err err = {.message = ""};
    size_t count;

    put_batches(60, 3000);
    whole = slurp(fixture.path);
    memset(whole.data + SCHEMA_BYTES, 0xa5, whole.len - SCHEMA_BYTES);
    spit(fixture.path, whole.data, whole.len);
    ck_assert_msg(store_fixture_try(&fixture, true, &store, &err) == PL_OK, "%s", err.message);
    ck_assert_int_eq(store_list_steps(store, arena, PL_STR("t"), PL_STR("run_1"), PL_STR(""), 100,
                                      &steps, &count, &err),
                     PL_ERR_STORE_CORRUPT);
    ck_assert_msg(strstr(err.message, "damaged"), "%s", err.message);
    store_close(&store);
    pl_arena_destroy(&arena);
    free(whole.data);
}
END_TEST

/* ---- places ---- */

START_TEST(a_folder_that_does_not_exist_is_named)
{
    struct store *store = NULL;
    struct store_options options = {.url = "sqlite:/nonexistent/folder/plait.db"};
    struct pl_err err = {.message = ""};

    ck_assert_int_eq(store_open(&options, &store, &err), PL_ERR_IO);
    ck_assert_msg(strstr(err.message, "/nonexistent/folder/plait.db"), "%s", err.message);
    ck_assert_msg(strstr(err.message, "No such file"), "%s", err.message);
}
END_TEST

START_TEST(a_folder_in_the_place_of_the_file_is_an_error)
{
    struct store *store = NULL;
    struct pl_err err = {.message = ""};

    ck_assert_int_eq(mkdir(fixture.path, 0700), 0);
    ck_assert_int_ne(store_fixture_try(&fixture, true, &store, &err), PL_OK);
    ck_assert_ptr_null(store);
    ck_assert_msg(strstr(err.message, fixture.path), "%s", err.message);
}
END_TEST

/* In a child without root's rights: opens and says how it went. */
static enum pl_code try_as_nobody(void)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct store *store = NULL;
        enum pl_code code;

        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(255);
        code = store_fixture_try(&fixture, true, &store, NULL);
        _exit((int)code);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return (enum pl_code)WEXITSTATUS(status);
}

START_TEST(a_folder_or_file_without_permission_is_an_error)
{
    ck_assert_int_eq(chmod(fixture.dir, 0555), 0);
    ck_assert_int_eq(try_as_nobody(), PL_ERR_IO);
    ck_assert_int_eq(chmod(fixture.dir, 0700), 0);
    put_batches(1, 100);
    ck_assert_int_eq(chmod(fixture.path, 0400), 0);
    ck_assert_int_eq(chmod(fixture.dir, 0555), 0);
    ck_assert_int_eq(try_as_nobody(), PL_ERR_IO);
    ck_assert_int_eq(chmod(fixture.dir, 0700), 0);
}
END_TEST

/* SQLite gives some names a meaning of their own; here each is a file. */
START_TEST(a_name_that_means_something_to_sqlite_is_only_a_name)
{
    static const char *const names[] = {":memory:", "file:x.db?mode=memory", "a b%20c?d#e", "-x"};
    char *before = getcwd(NULL, 0);

    ck_assert_int_eq(chdir(fixture.dir), 0);
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++) {
        char url[100];
        struct store_options options = {.url = url, .engine = true};
        struct store *store = NULL;
        struct stat info;

        snprintf(url, sizeof(url), "sqlite:%s", names[i]);
        ck_assert_int_eq(store_open(&options, &store, NULL), PL_OK);
        store_close(&store);
        ck_assert_int_eq(stat(names[i], &info), 0);
        ck_assert_int_gt(info.st_size, 0);
    }
    ck_assert_int_eq(chdir(before), 0);
    free(before);
}
END_TEST

START_TEST(one_database_under_two_names_has_one_engine)
{
    struct store *store, *other = NULL;
    struct store_options options = {.engine = true};
    char link[500], url[600];

    snprintf(link, sizeof(link), "%s/link.db", fixture.dir);
    snprintf(url, sizeof(url), "sqlite:%s", link);
    options.url = url;
    store = store_fixture_open(&fixture, true);
    ck_assert_int_eq(symlink(fixture.path, link), 0);
    ck_assert_int_eq(store_open(&options, &other, NULL), PL_ERR_STORE_LOCKED);
    store_close(&store);
    ck_assert_int_eq(store_open(&options, &other, NULL), PL_OK);
    store_close(&other);
}
END_TEST

START_TEST(only_its_owner_can_read_a_new_database)
{
    struct stat info;
    char wal[600];
    struct store_batch *batch = store_check_batch(0, 100);
    struct store *store;

    umask(0);
    store = store_fixture_open(&fixture, true);
    ck_assert_int_eq(store_submit_wait(store, &batch, NULL), PL_OK);
    ck_assert_int_eq(stat(fixture.path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    snprintf(wal, sizeof(wal), "%s-wal", fixture.path);
    ck_assert_int_eq(stat(wal, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    store_close(&store);
}
END_TEST

/* ---- a real limit, from the kernel ---- */

START_TEST(a_file_size_limit_is_a_full_disk_and_is_waited_out)
{
    struct rlimit limit = {300000, RLIM_INFINITY};
    struct store_options options = {.url = fixture.url, .engine = true, .retry_for = -1};
    struct store *store = NULL;
    struct store_waiter waiter;
    struct store_batch *batch;

    store_waiter_init(&waiter);
    ck_assert_int_eq(store_open(&options, &store, NULL), PL_OK);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    batch = store_check_batch(0, 1000000);
    store_submit(store, &batch, store_waiter_done, &waiter);
    while (store_health(store, NULL) == PL_OK)
        ;
    ck_assert_int_eq(store_health(store, NULL), PL_ERR_NO_SPACE);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    store_waiter_wait(&waiter, 1);
    ck_assert_uint_eq(waiter.failed, 0);
    store_close(&store);
    store_waiter_finish(&waiter);
    ck_assert_ptr_null(store_check(&fixture, (bool[]){true}, 1));
}
END_TEST

START_TEST(a_database_locked_by_another_program_is_waited_out)
{
    struct store_options options = {.url = fixture.url, .engine = true, .retry_for = -1};
    struct store *store = NULL;
    struct store_waiter waiter;
    struct store_batch *batch = store_check_batch(0, 100);
    sqlite3 *db;

    store_waiter_init(&waiter);
    ck_assert_int_eq(store_open(&options, &store, NULL), PL_OK);
    ck_assert_int_eq(sqlite3_open(fixture.path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    store_submit(store, &batch, store_waiter_done, &waiter);
    while (store_health(store, NULL) == PL_OK)
        ;
    ck_assert_int_eq(store_health(store, NULL), PL_ERR_STORE_BUSY);
    ck_assert_int_eq(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    store_waiter_wait(&waiter, 1);
    ck_assert_uint_eq(waiter.failed, 0);
    sqlite3_close(db);
    store_close(&store);
    store_waiter_finish(&waiter);
    ck_assert_ptr_null(store_check(&fixture, (bool[]){true}, 1));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_file_that_is_no_database_is_refused_and_left_as_it_is,
        a_database_of_another_program_is_refused_and_left_as_it_is,
        the_journal_of_another_program_is_not_played_back,
        an_empty_file_becomes_a_database,
        a_newer_schema_is_refused_and_left_as_it_is,
        a_damaged_file_is_an_error_not_a_crash,
        damage_is_called_damage,
        a_folder_that_does_not_exist_is_named,
        a_folder_in_the_place_of_the_file_is_an_error,
        a_folder_or_file_without_permission_is_an_error,
        a_name_that_means_something_to_sqlite_is_only_a_name,
        one_database_under_two_names_has_one_engine,
        only_its_owner_can_read_a_new_database,
        a_file_size_limit_is_a_full_disk_and_is_waited_out,
        a_database_locked_by_another_program_is_waited_out,
    };
    Suite *suite = suite_create("store files");
    TCase *tcase = tcase_create("store files");
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
