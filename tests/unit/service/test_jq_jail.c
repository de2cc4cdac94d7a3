/* test_jq_jail.c - what a process in the jail of the jq workers can do, and what kills it. Run by
 * ctest. */
#include "service/expr/jq_jail.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static void allowed(void)
{
    char *volatile memory = malloc(4 * MIB);
    struct timespec now;

    if (!memory || clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        _exit(1);
    memset(memory, 1, 4 * MIB);
    memory = realloc(memory, 8 * MIB);
    free(memory);
}

static void opens_a_file(void)
{
    (void)!open("/etc/passwd", O_RDONLY);
}

static void makes_a_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void forks(void)
{
    (void)!fork();
}

static void runs_a_program(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
}

static void signals_its_parent(void)
{
    (void)kill(getppid(), 0);
}

static void makes_memory_executable(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void limits_another_process(void)
{
    struct rlimit limit;

    (void)prlimit(1, RLIMIT_CORE, NULL, &limit);
}

static void takes_too_much(void)
{
    jq_jail_limit(jq_jail_memory(), 16 * MIB);
    for (int i = 0; i < 1024; i++) {
        char *volatile memory = malloc(MIB / 4);

        if (!memory)
            _exit(7);
        memset(memory, 1, MIB / 4);
    }
}

/* What becomes of a jailed process that does this. */
static int fate_of(void (*act)(void))
{
    pid_t pid = fork();
    int status = -1;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct pl_err err;

        if (jq_jail_enter(STDERR_FILENO, &err) != PL_OK || jq_jail_lock(&err) != PL_OK)
            _exit(99);
        act();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static void kills(void (*act)(void))
{
    int status = fate_of(act);

    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "wait status %d", status);
}

START_TEST(memory_and_the_clock_are_there)
{
    ck_assert_int_eq(fate_of(allowed), 0);
}
END_TEST

START_TEST(everything_else_is_the_end)
{
    kills(opens_a_file);
    kills(makes_a_socket);
    kills(forks);
    kills(runs_a_program);
    kills(signals_its_parent);
    kills(makes_memory_executable);
    kills(limits_another_process);
}
END_TEST

START_TEST(memory_ends_at_the_limit)
{
    int status = fate_of(takes_too_much);

    /* a sanitizer wants to read files for its report */
    if (JQ_JAIL_SANITIZED && WIFSIGNALED(status))
        return;
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 7, "wait status %d", status);
}
END_TEST

static void looks_at_itself(void)
{
    struct rlimit core;

    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
        _exit(1);
    if (getenv("HOME") || getenv("PATH"))
        _exit(2);
}

START_TEST(it_has_no_environment_and_leaves_no_core)
{
    ck_assert_int_eq(setenv("HOME", "/", 1), 0);
    ck_assert_int_eq(fate_of(looks_at_itself), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jq_jail");
    TCase *tc = tcase_create("jq_jail");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, memory_and_the_clock_are_there);
    tcase_add_test(tc, everything_else_is_the_end);
    tcase_add_test(tc, memory_ends_at_the_limit);
    tcase_add_test(tc, it_has_no_environment_and_leaves_no_core);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
