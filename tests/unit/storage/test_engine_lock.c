/* test_engine_lock.c - one engine on a database, whoever it is and however it ended. */
#include "storage/sqlite/engine_lock.h"

#include "tests/support/store_fixture.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

START_TEST(the_same_process_cannot_take_it_twice)
{
    struct engine_lock first, second;
    struct pl_err err;

    engine_lock_init(&first);
    engine_lock_init(&second);
    ck_assert_int_eq(engine_lock_take(&first, fixture.path, &err), PL_OK);
    ck_assert_int_eq(engine_lock_take(&second, fixture.path, &err), PL_ERR_STORE_LOCKED);
    ck_assert_ptr_nonnull(strstr(err.message, "this process"));
    engine_lock_release(&second);
    engine_lock_release(&first);
    ck_assert_int_eq(engine_lock_take(&second, fixture.path, &err), PL_OK);
    engine_lock_release(&second);
    engine_lock_release(&second);
}
END_TEST

/* A process that holds the lock, says so through a pipe and waits to be killed. */
static pid_t holder(void)
{
    int ready[2];
    char byte;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct engine_lock lock;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        engine_lock_init(&lock);
        if (engine_lock_take(&lock, fixture.path, NULL) != PL_OK)
            _exit(1);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

START_TEST(another_process_is_named_and_its_death_frees_the_lock)
{
    pid_t child = holder();
    struct engine_lock lock;
    struct pl_err err;
    char text[64];

    engine_lock_init(&lock);
    ck_assert_int_eq(engine_lock_take(&lock, fixture.path, &err), PL_ERR_STORE_LOCKED);
    snprintf(text, sizeof(text), "process %d", (int)child);
    ck_assert_msg(strstr(err.message, text), "%s", err.message);
    ck_assert_ptr_nonnull(strstr(err.message, fixture.path));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(engine_lock_take(&lock, fixture.path, &err), PL_OK);
    engine_lock_release(&lock);
}
END_TEST

START_TEST(the_file_stays_and_is_not_inherited_by_programs)
{
    struct engine_lock lock;
    struct stat before, after;
    char name[600];

    engine_lock_init(&lock);
    snprintf(name, sizeof(name), "%s-engine", fixture.path);
    ck_assert_int_eq(engine_lock_take(&lock, fixture.path, NULL), PL_OK);
    ck_assert_int_ne(fcntl(lock.fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(stat(name, &before), 0);
    ck_assert_int_eq(before.st_mode & 0777, 0600);
    engine_lock_release(&lock);
    ck_assert_int_eq(stat(name, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
}
END_TEST

START_TEST(a_folder_that_cannot_be_is_an_error_that_names_the_file)
{
    struct engine_lock lock;
    struct pl_err err;

    engine_lock_init(&lock);
    ck_assert_int_eq(engine_lock_take(&lock, "/dev/null/plait.db", &err), PL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "/dev/null/plait.db-engine"));
    engine_lock_release(&lock);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_same_process_cannot_take_it_twice,
        another_process_is_named_and_its_death_frees_the_lock,
        the_file_stays_and_is_not_inherited_by_programs,
        a_folder_that_cannot_be_is_an_error_that_names_the_file,
    };
    Suite *suite = suite_create("engine_lock");
    TCase *tcase = tcase_create("engine_lock");
    SRunner *runner;
    int failed;

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
