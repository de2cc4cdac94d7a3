/* test_store_kill.c - a process killed while it writes: what it was told is written, is. */
#include "storage/store.h"

#include "tests/support/store_check.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20, MOST = 4000, IN_FLIGHT = 16 };

struct ack {
    struct store_waiter *waiter;
    int n, fd;
};

/* Tells the parent, in one write, that batch n is durable. */
static void acknowledged(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct ack *ack = arg;

    if (code == PL_OK)
        (void)!write(ack->fd, &ack->n, sizeof(ack->n));
    store_waiter_done(ack->waiter, code, err);
}

static void write_until_killed(const struct store_fixture *fixture, int first, int fd)
{
    static struct ack acks[MOST];
    struct store_waiter waiter;
    struct store *store;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    store = store_fixture_open(fixture, true);
    store_waiter_init(&waiter);
    for (int n = first; n < MOST; n++) {
        struct store_batch *batch = store_check_batch(n, 500);

        acks[n] = (struct ack){&waiter, n, fd};
        store_submit(store, &batch, acknowledged, &acks[n]);
        if (n - first >= IN_FLIGHT)
            store_waiter_wait(&waiter, (size_t)(n - first - IN_FLIGHT));
    }
    _exit(0);
}

/* Starts a writer, kills it once it has acknowledged `enough`, and notes what it had acknowledged
 * by then. Gives the first number that it cannot have written, told or not. */
static int one_round(const struct store_fixture *fixture, int first, int enough, bool *acked)
{
    int pipes[2], n, seen = 0, last = first - 1, status;
    pid_t child;

    ck_assert_int_eq(pipe(pipes), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(pipes[0]);
        write_until_killed(fixture, first, pipes[1]);
    }
    close(pipes[1]);
    while (read(pipes[0], &n, sizeof(n)) == (ssize_t)sizeof(n)) {
        acked[n] = true;
        last = n > last ? n : last;
        if (++seen == enough)
            kill(child, SIGKILL);
    }
    close(pipes[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "the writer ended before it was killed");
    return last + 1 + 2 * IN_FLIGHT;
}

START_TEST(what_was_acknowledged_before_a_kill_is_there_after_it)
{
    static bool acked[MOST];
    struct store_fixture fixture;
    unsigned seed = 20261120;
    int next = 0;

    store_fixture_init(&fixture, 0);
    for (int round = 0; round < ROUNDS; round++) {
        const char *wrong;

        next = one_round(&fixture, next, 1 + rand_r(&seed) % 60, acked);
        ck_assert_int_lt(next + 200, MOST);
        wrong = store_check(&fixture, acked, next);
        ck_assert_msg(!wrong, "round %d: %s", round, wrong);
    }
    store_fixture_finish(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store kill");
    TCase *tcase = tcase_create("store kill");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, what_was_acknowledged_before_a_kill_is_there_after_it);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
