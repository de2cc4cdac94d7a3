/* test_jq_attacks.c - expressions that never end, eat memory, crash jq or look around: each fails
 * alone, inside its limit, and hurts nobody else. Run by ctest. */
#include "service/expr/jq_pool.h"

#include "service/expr/jq_jail.h"
#include "tests/support/jq_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct jq_probe probe;

static void setup(void)
{
    jq_probe_init(&probe, 2);
}

static void teardown(void)
{
    jq_probe_finish(&probe);
    ck_assert_msg(jq_probe_wait_children(0), "a worker outlives its pool");
}

static const char *const endless = "def f: f; f";
/* More than 1 s of processor time; on a busy machine a niced worker may reach the wall clock's
 * limit of 30 s first. */
static const char *const too_long = "!expression_limit: it takes ";

static void check_too_long(const char *result)
{
    ck_assert_msg(strncmp(result, too_long, strlen(too_long)) == 0, "%s", result);
}

/* The attack fails with one of the limits, and what was in the same job comes out right. */
static void is_stopped(const char *attack, const char *message)
{
    static struct jq_ask ask;
    const char *result;

    jq_ask_init(&ask, &probe, ".input + 1", "{\"input\":1,\"list\":[]}");
    jq_ask_add(&ask, attack, false);
    jq_ask_add(&ask, ".input + 2", false);
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    result = jq_ask_result(&ask, 1);
    ck_assert_msg(strncmp(result, message, strlen(message)) == 0, "%s: %s", attack, result);
    ck_assert_str_eq(jq_ask_result(&ask, 0), "2");
    ck_assert_str_eq(jq_ask_result(&ask, 2), "3");
    jq_ask_finish(&ask);
    ck_assert_str_eq(jq_probe_eval(&probe, ".input", "{\"input\":5}"), "5");
}

START_TEST(what_never_ends_is_ended)
{
    is_stopped(endless, too_long);
    is_stopped("last(range(1e12))", too_long);
    is_stopped("first(range(1e12) | select(. < 0))", too_long);
}
END_TEST

START_TEST(what_eats_memory_is_ended)
{
    /* a sanitizer that finds no memory dies of the report it wants to write */
    is_stopped("reduce range(40) as $i (\"x\"; . + .)",
               JQ_JAIL_SANITIZED ? "!expression_limit: "
                                 : "!expression_limit: it takes more memory than 64 MiB and 8 "
                                   "times the size of what it looks at");
    /* these grow slowly: on a slow machine time is up first */
    is_stopped("\"x\" * 1e9", "!expression_limit: ");
    is_stopped("[range(1e9)]", "!expression_limit: ");
    is_stopped("def f: 1 + f; f", "!expression_limit: ");
    is_stopped("[limit(1e9; repeat(\"x\"))]", "!expression_limit: ");
}
END_TEST

START_TEST(a_huge_value_is_refused_wherever_it_shows)
{
    is_stopped("\"x\" * 5e6", "!expression_limit: its value is larger than 4194304 bytes");
    is_stopped("reduce range(40) as $i (0; [., .])", "!expression_limit: ");
}
END_TEST

START_TEST(what_crashes_jq_fails_alone)
{
    /* jq 1.6 overflows a number here; a sanitizer's memory lies so that it may get away with it */
    if (!JQ_JAIL_SANITIZED)
        is_stopped(".list | .[2147483647] = 1", "!expression_");
    /* too deep for the stack of jq 1.6 when it is let go; 1.8 can do it */
    is_stopped("reduce range(1000000) as $i (0; [.]) | length", "");
}
END_TEST

/* Such texts are refused before they come here (jq_words); a worker has nothing for them anyway. */
START_TEST(a_worker_has_no_environment_and_no_files)
{
    ck_assert_int_eq(setenv("PLAIT_TEST_SECRET", "hidden", 1), 0);
    ck_assert_str_eq(jq_probe_eval(&probe, "env | keys", NULL), "[\"TZ\"]");
    ck_assert_str_eq(jq_probe_eval(&probe, "$ENV | keys", NULL), "[\"TZ\"]");
    is_stopped("\"a\" | modulemeta", "!expression_");
    is_stopped("input", "!expression_");
    is_stopped("import \"a\" as a; 1", "!expression_error: ");
    is_stopped("halt", "!expression_error: it gives no value");
}
END_TEST

START_TEST(small_jobs_go_on_beside_an_attack)
{
    static struct jq_ask attack;

    ck_assert_str_eq(jq_probe_eval(&probe, "1", NULL), "1");
    jq_ask_init(&attack, &probe, endless, NULL);
    jq_ask_start(&attack);
    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(jq_probe_eval(&probe, ".input", "{\"input\":5}"), "5");
    ck_assert_int_ne(sem_trywait(&attack.over), 0);
    jq_ask_wait(&attack);
    check_too_long(jq_ask_result(&attack, 0));
    jq_ask_finish(&attack);
}
END_TEST

START_TEST(attacks_on_every_worker_are_met_with_more_workers)
{
    static struct jq_ask attacks[2];
    struct jq_probe single;

    jq_probe_init(&single, 1);
    for (int i = 0; i < 2; i++) {
        jq_ask_init(&attacks[i], &single, endless, NULL);
        jq_ask_start(&attacks[i]);
    }
    ck_assert_str_eq(jq_probe_eval(&single, ".input", "{\"input\":5}"), "5");
    ck_assert_int_ne(sem_trywait(&attacks[1].over), 0);
    for (int i = 0; i < 2; i++) {
        jq_ask_wait(&attacks[i]);
        check_too_long(jq_ask_result(&attacks[i], 0));
        jq_ask_finish(&attacks[i]);
    }
    ck_assert_msg(jq_probe_wait_children(1), "the help does not go");
    jq_probe_finish(&single);
}
END_TEST

/* A worker at an endless job whose parent dies without a word. */
static void leave_a_worker_behind(int out)
{
    static struct jq_ask ask;
    pid_t pid;

    jq_probe_init(&probe, 1);
    ck_assert_str_eq(jq_probe_eval(&probe, "1", NULL), "1");
    jq_ask_init(&ask, &probe, endless, NULL);
    jq_ask_start(&ask);
    if (jq_probe_children(getpid(), &pid, 1) != 1 || write(out, &pid, sizeof pid) != sizeof pid)
        _exit(1);
    _exit(0);
}

START_TEST(a_worker_ends_with_its_parent)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int ends[2];
    pid_t child, worker = 0;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        leave_a_worker_behind(ends[1]);
    ck_assert_int_eq(read(ends[0], &worker, sizeof worker), sizeof worker);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 5000 && jq_probe_lives(worker); i++)
        nanosleep(&pause, NULL);
    ck_assert(!jq_probe_lives(worker));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *attacks, *alone;
    SRunner *runner;
    int failed;

    jq_worker_main_if_asked(argc, argv);
    suite = suite_create("jq_attacks");
    attacks = tcase_create("attacks");
    alone = tcase_create("alone");
    runner = srunner_create(suite);
    tcase_set_timeout(attacks, 110);
    tcase_set_timeout(alone, 110);
    tcase_add_checked_fixture(attacks, setup, teardown);
    tcase_add_test(attacks, what_never_ends_is_ended);
    tcase_add_test(attacks, what_eats_memory_is_ended);
    tcase_add_test(attacks, a_huge_value_is_refused_wherever_it_shows);
    tcase_add_test(attacks, what_crashes_jq_fails_alone);
    tcase_add_test(attacks, a_worker_has_no_environment_and_no_files);
    tcase_add_test(attacks, small_jobs_go_on_beside_an_attack);
    tcase_add_test(attacks, attacks_on_every_worker_are_met_with_more_workers);
    tcase_add_test(alone, a_worker_ends_with_its_parent);
    suite_add_tcase(suite, attacks);
    suite_add_tcase(suite, alone);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
