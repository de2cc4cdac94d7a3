/* test_loop.c - mail, timers, the turn's end, sleeping and stopping of a loop and of a pool. Not
 * transfers (test_http_call.c). Run by ctest. */
#include "base/sync.h"
#include "service/net/loop_private.h"
#include "service/pool.h"

#include <check.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static struct loop *loop;

static void set_up(void)
{
    struct pl_err err;

    signal(SIGPIPE, SIG_IGN);
    ck_assert_msg(loop_create(0, pl_clock_real(), &loop, &err) == PL_OK, "%s", err.message);
    ck_assert_msg(loop_start(loop, &err) == PL_OK, "%s", err.message);
}

static void tear_down(void)
{
    if (loop)
        loop_stop(loop);
    loop_destroy(&loop);
}

/* Mail that runs a function once and can be waited for. */
struct job {
    struct loop_mail mail;
    void (*run)(struct loop *loop, void *arg);
    void *arg;
    sem_t over;
};

static void deliver_job(struct loop *on, struct loop_mail *mail)
{
    struct job *job = pl_container_of(mail, struct job, mail);

    job->run(on, job->arg);
    sem_post(&job->over);
}

static void wait_for(sem_t *sem)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    if (sem_timedwait(sem, &until) != 0) {
        fprintf(stderr, "nothing came for twenty seconds\n");
        abort();
    }
}

static void on_loop(struct loop *on, void (*run)(struct loop *loop, void *arg), void *arg)
{
    struct job job = {.mail.deliver = deliver_job, .run = run, .arg = arg};

    sem_init(&job.over, 0, 0);
    loop_post(on, &job.mail);
    wait_for(&job.over);
    sem_destroy(&job.over);
}

/* ---- mail ---- */

enum { SENDERS = 8, LETTERS = 5000 };

struct letter {
    struct loop_mail mail;
    unsigned sender, number;
};

static struct letter *letters;
static unsigned last_seen[SENDERS], out_of_order, received; /* loop thread only */
static sem_t all_received;

static void receive(struct loop *on, struct loop_mail *mail)
{
    struct letter *letter = pl_container_of(mail, struct letter, mail);

    if (letter->number != last_seen[letter->sender] + 1 || !loop_thread_is(on))
        out_of_order++;
    last_seen[letter->sender] = letter->number;
    if (++received == SENDERS * LETTERS)
        sem_post(&all_received);
}

static void *send_letters(void *arg)
{
    unsigned sender = *(const unsigned *)arg;

    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = &letters[sender * LETTERS + i];

        *letter = (struct letter){{.deliver = receive}, sender, i + 1};
        loop_post(loop, &letter->mail);
        if (i % 512 == 0) /* so that the loop also falls asleep in between */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

START_TEST(mail_of_eight_senders_arrives_whole_and_in_each_senders_order)
{
    pthread_t threads[SENDERS];
    unsigned numbers[SENDERS];

    letters = calloc((size_t)SENDERS * LETTERS, sizeof *letters);
    sem_init(&all_received, 0, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        ck_assert(pl_thread_start(&threads[i], "sender", send_letters, &numbers[i]));
    }
    wait_for(&all_received);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    loop_stop(loop);
    ck_assert_uint_eq(out_of_order, 0);
    ck_assert_uint_eq(received, SENDERS * LETTERS);
    free(letters);
}
END_TEST

struct order {
    char text[32];
    struct loop_mail first, second, last;
    struct loop_timer timer;
};

static void note(struct order *order, const char *what)
{
    size_t len = strlen(order->text);

    snprintf(order->text + len, sizeof order->text - len, "%s", what);
}

static void deliver_first(struct loop *on, struct loop_mail *mail)
{
    struct order *order = pl_container_of(mail, struct order, first);

    note(order, "1");
    loop_post(on, &order->second);
    note(order, "-");
}

static void deliver_second(struct loop *on, struct loop_mail *mail)
{
    (void)on;
    note(pl_container_of(mail, struct order, second), "2");
}

static void deliver_last(struct loop *on, struct loop_mail *mail)
{
    (void)on;
    note(pl_container_of(mail, struct order, last), "E");
}

static void order_mail(struct loop *on, void *arg)
{
    struct order *order = arg;

    order->first.deliver = deliver_first;
    order->second.deliver = deliver_second;
    order->last.deliver = deliver_last;
    loop_at_turn_end(on, &order->last);
    loop_post(on, &order->first);
    note(order, "0");
}

static void nothing(struct loop *on, void *arg)
{
    (void)on;
    (void)arg;
}

START_TEST(mail_to_oneself_comes_later_in_the_turn_and_before_its_end)
{
    struct order order = {0};

    on_loop(loop, order_mail, &order);
    on_loop(loop, nothing, NULL);
    loop_stop(loop);
    ck_assert_str_eq(order.text, "01-2E");
}
END_TEST

struct echo {
    struct loop_mail mail;
    struct loop_timer timer;
    unsigned count;
    atomic_bool fired;
};

static void deliver_echo(struct loop *on, struct loop_mail *mail)
{
    struct echo *echo = pl_container_of(mail, struct echo, mail);

    echo->count++;
    if (!atomic_load(&echo->fired))
        loop_post(on, mail);
}

static void fire_echo(struct loop *on, struct loop_timer *timer)
{
    (void)on;
    atomic_store(&pl_container_of(timer, struct echo, timer)->fired, true);
}

static void start_echo(struct loop *on, void *arg)
{
    struct echo *echo = arg;

    echo->mail.deliver = deliver_echo;
    echo->timer.fire = fire_echo;
    loop_timer_set(on, &echo->timer, loop_now(on) + 20);
    loop_post(on, &echo->mail);
}

START_TEST(mail_that_answers_itself_for_ever_does_not_stop_timers)
{
    struct echo echo = {.count = 0};

    on_loop(loop, start_echo, &echo);
    loop_stop(loop);
    ck_assert(atomic_load(&echo.fired));
    ck_assert_uint_gt(echo.count, 1);
}
END_TEST

/* ---- the turn's end ---- */

struct relay {
    struct loop_mail end, mail;
    struct loop_timer timer;
    unsigned left, again;
    sem_t over;
};

static void relay_end(struct loop *on, struct loop_mail *mail)
{
    struct relay *relay = pl_container_of(mail, struct relay, end);

    if (relay->left % 3 == 0 && relay->again != relay->left) {
        relay->again = relay->left;
        loop_at_turn_end(on, &relay->end);
    } else if (relay->left % 2) {
        loop_post(on, &relay->mail);
    } else {
        loop_timer_set(on, &relay->timer, loop_now(on));
    }
}

static void relay_on(struct loop *on, struct relay *relay)
{
    if (--relay->left)
        loop_at_turn_end(on, &relay->end);
    else
        sem_post(&relay->over);
}

static void relay_mail(struct loop *on, struct loop_mail *mail)
{
    relay_on(on, pl_container_of(mail, struct relay, mail));
}

static void relay_timer(struct loop *on, struct loop_timer *timer)
{
    relay_on(on, pl_container_of(timer, struct relay, timer));
}

static void start_relay(struct loop *on, void *arg)
{
    struct relay *relay = arg;

    relay->end.deliver = relay_end;
    relay->mail.deliver = relay_mail;
    relay->timer.fire = relay_timer;
    relay->left = 1000;
    loop_at_turn_end(on, &relay->end);
}

START_TEST(work_made_at_a_turns_end_is_done_without_anybody_waking_the_loop)
{
    struct relay relay = {0};
    int64_t from = pl_monotonic_us();

    sem_init(&relay.over, 0, 0);
    on_loop(loop, start_relay, &relay);
    wait_for(&relay.over);
    ck_assert_int_lt(pl_monotonic_us() - from, 5000000);
    loop_stop(loop);
    ck_assert_uint_eq(relay.left, 0);
    sem_destroy(&relay.over);
}
END_TEST

/* ---- timers ---- */

enum { TIMERS = 1000 };

struct numbered {
    struct loop_timer timer;
    pl_ms wanted, fired_at;
    bool cancelled;
    unsigned fired;
};

static struct numbered timers[TIMERS];
static unsigned timers_left; /* loop thread only, as all of these */
static pl_ms last_wanted;
static bool timers_in_order = true;
static sem_t timers_over;

static void fire_numbered(struct loop *on, struct loop_timer *timer)
{
    struct numbered *numbered = pl_container_of(timer, struct numbered, timer);

    numbered->fired++;
    numbered->fired_at = pl_clock_now(loop_clock(on));
    if (numbered->wanted < last_wanted)
        timers_in_order = false;
    last_wanted = numbered->wanted;
    if (--timers_left == 0)
        sem_post(&timers_over);
}

static void set_timers(struct loop *on, void *arg)
{
    unsigned number = 12345;

    (void)arg;
    for (unsigned i = 0; i < TIMERS; i++) {
        struct numbered *n = &timers[i];

        number = number * 1103515245 + 12345;
        n->timer.fire = fire_numbered;
        n->wanted = loop_now(on) + 20 + number / 65536 % 200;
        loop_timer_set(on, &n->timer, n->wanted);
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        struct numbered *n = &timers[i];

        if (i % 3 == 0) { /* cancelled */
            n->cancelled = true;
            loop_timer_clear(on, &n->timer);
            loop_timer_clear(on, &n->timer);
        } else if (i % 3 == 1) { /* moved, to and fro */
            n->wanted += i % 2 ? 57 : -15;
            loop_timer_set(on, &n->timer, n->wanted);
        }
        timers_left += !n->cancelled;
    }
}

START_TEST(timers_fire_in_order_not_early_once_and_not_when_cancelled)
{
    sem_init(&timers_over, 0, 0);
    on_loop(loop, set_timers, NULL);
    wait_for(&timers_over);
    on_loop(loop, nothing, NULL);
    ck_assert(timers_in_order);
    for (unsigned i = 0; i < TIMERS; i++) {
        ck_assert_uint_eq(timers[i].fired, !timers[i].cancelled);
        if (!timers[i].cancelled)
            ck_assert_int_ge(timers[i].fired_at, timers[i].wanted);
        ck_assert_uint_eq(timers[i].timer.slot, 0);
    }
}
END_TEST

static bool is_heap(const struct loop_timers *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        if (heap->heap[i]->slot != i + 1 || (i && heap->heap[(i - 1) / 2]->at > heap->heap[i]->at))
            return false;
    }
    return true;
}

START_TEST(the_timers_stay_a_heap_whatever_is_set_moved_and_cleared)
{
    struct pl_clock_fake clock;
    struct loop *still = NULL;
    struct pl_err err;
    unsigned number = 1, set = 0;

    pl_clock_fake_init(&clock, 1000);
    ck_assert_int_eq(loop_create(0, &clock.clock, &still, &err), PL_OK);
    for (unsigned i = 0; i < 20000; i++) {
        struct loop_timer *timer;

        number = number * 1103515245 + 12345;
        timer = &timers[number / 65536 % TIMERS].timer;
        set -= timer->slot != 0;
        if (i % 5 < 2) {
            loop_timer_clear(still, timer);
        } else {
            loop_timer_set(still, timer, 2000 + number % 5000);
            set++;
        }
        ck_assert_uint_eq(still->timers.count, set);
        if (i % 16 == 0)
            ck_assert(is_heap(&still->timers));
    }
    loop_destroy(&still);
    for (unsigned i = 0; i < TIMERS; i++)
        ck_assert_uint_eq(timers[i].timer.slot, 0);
}
END_TEST

/* ---- sleeping ---- */

struct counts {
    long switches;
    int64_t cpu_us;
};

static void count(struct loop *on, void *arg)
{
    struct counts *counts = arg;
    struct rusage usage;

    (void)on;
    getrusage(RUSAGE_THREAD, &usage);
    counts->switches = usage.ru_nvcsw;
    counts->cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                     usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void far_timer(struct loop *on, void *arg)
{
    struct numbered *n = arg;

    n->timer.fire = fire_numbered;
    loop_timer_set(on, &n->timer, loop_now(on) + 3600000);
}

static void clear_timer(struct loop *on, void *arg)
{
    loop_timer_clear(on, &((struct numbered *)arg)->timer);
}

START_TEST(an_idle_loop_sleeps_until_it_is_woken)
{
    struct numbered n = {.fired = 0};
    struct counts before, after;

    on_loop(loop, far_timer, &n);
    on_loop(loop, count, &before);
    nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    on_loop(loop, count, &after);
    /* it went to sleep once, and woke for the second count */
    ck_assert_int_le(after.switches - before.switches, 3);
    ck_assert_int_lt(after.cpu_us - before.cpu_us, 20000);
    on_loop(loop, clear_timer, &n);
}
END_TEST

static void fire_and_note(struct loop *on, struct loop_timer *timer)
{
    struct numbered *n = pl_container_of(timer, struct numbered, timer);

    n->fired_at = pl_clock_now(loop_clock(on));
    n->fired++;
    sem_post(&timers_over);
}

static void set_one(struct loop *on, void *arg)
{
    struct numbered *n = arg;

    n->timer.fire = fire_and_note;
    n->wanted = pl_clock_now(loop_clock(on)) + 100;
    loop_timer_set(on, &n->timer, n->wanted);
}

START_TEST(waiting_for_a_timer_takes_one_sleep_not_a_busy_last_millisecond)
{
    struct counts before, after;

    sem_init(&timers_over, 0, 0);
    for (unsigned i = 0; i < 5; i++) {
        struct numbered n = {.fired = 0};

        on_loop(loop, set_one, &n);
        on_loop(loop, count, &before);
        wait_for(&timers_over);
        on_loop(loop, count, &after);
        ck_assert_int_ge(n.fired_at, n.wanted);
        ck_assert_int_lt(n.fired_at, n.wanted + 1000);
        ck_assert_int_le(after.switches - before.switches, 4);
        ck_assert_int_lt(after.cpu_us - before.cpu_us, 20000);
    }
}
END_TEST

/* ---- stopping ---- */

struct holder {
    struct loop_timer timer;
    atomic_bool released;
};

static void release(struct loop *on, struct loop_timer *timer)
{
    atomic_store(&pl_container_of(timer, struct holder, timer)->released, true);
    loop_release(on);
}

static void hold(struct loop *on, void *arg)
{
    struct holder *holder = arg;

    loop_hold(on);
    holder->timer.fire = release;
    loop_timer_set(on, &holder->timer, loop_now(on) + 150);
}

START_TEST(a_loop_that_is_held_stops_only_when_it_is_released)
{
    struct holder holder = {.released = false};

    on_loop(loop, hold, &holder);
    loop_stop(loop);
    ck_assert(atomic_load(&holder.released));
}
END_TEST

START_TEST(a_timer_alone_does_not_keep_a_loop_from_stopping)
{
    static struct numbered n; /* the loop lets go of the timer in tear_down only */
    int64_t from = pl_monotonic_us();

    on_loop(loop, far_timer, &n);
    loop_stop(loop);
    ck_assert_int_lt(pl_monotonic_us() - from, 5000000);
    ck_assert_uint_eq(n.fired, 0);
}
END_TEST

START_TEST(mail_sent_before_the_stop_is_delivered)
{
    struct echo echoes[100] = {0};

    for (unsigned i = 0; i < PL_ARRAY_LEN(echoes); i++) {
        echoes[i].mail.deliver = deliver_echo;
        atomic_store(&echoes[i].fired, true);
        loop_post(loop, &echoes[i].mail);
    }
    loop_stop(loop);
    for (unsigned i = 0; i < PL_ARRAY_LEN(echoes); i++)
        ck_assert_uint_eq(echoes[i].count, 1);
}
END_TEST

START_TEST(a_loop_never_started_can_be_destroyed)
{
    struct loop *other = NULL;
    struct pl_err err;

    loop_destroy(&other);
    ck_assert_int_eq(loop_create(7, pl_clock_real(), &other, &err), PL_OK);
    ck_assert_uint_eq(loop_index(other), 7);
    loop_stop(other);
    loop_destroy(&other);
    ck_assert_ptr_null(other);
}
END_TEST

/* ---- pools ---- */

/* Mail that goes from loop to loop of a pool and keeps no loop by a hold. */
struct ball {
    struct loop_mail mail;
    struct pool *pool;
    unsigned throws;
    sem_t *thrown;
};

static void throw_on(struct loop *on, struct loop_mail *mail)
{
    struct ball *ball = pl_container_of(mail, struct ball, mail);

    if (ball->throws == 5000 && ball->thrown)
        sem_post(ball->thrown);
    if (--ball->throws)
        loop_post(pool_loop(ball->pool, (loop_index(on) + 1) % pool_size(ball->pool)), mail);
}

START_TEST(a_pool_ends_when_all_its_loops_are_quiet_not_one_by_one)
{
    for (unsigned round = 0; round < 10; round++) {
        struct ball balls[4];
        struct pool *pool;
        struct pl_err err;
        sem_t thrown;

        sem_init(&thrown, 0, 0);
        ck_assert_int_eq(pool_create(4, pl_clock_real(), &pool, &err), PL_OK);
        for (unsigned i = 0; i < PL_ARRAY_LEN(balls); i++) {
            balls[i] = (struct ball){{.deliver = throw_on}, pool, 6000, i ? NULL : &thrown};
            loop_post(pool_pick_home(pool), &balls[i].mail);
        }
        wait_for(&thrown);
        pool_destroy(&pool);
        ck_assert_ptr_null(pool);
        for (unsigned i = 0; i < PL_ARRAY_LEN(balls); i++)
            ck_assert_uint_eq(balls[i].throws, 0);
        sem_destroy(&thrown);
    }
}
END_TEST

START_TEST(a_pool_has_a_loop_a_core_and_picks_homes_in_turn)
{
    struct pool *pool = NULL;
    struct pl_err err;
    struct rlimit limit;

    pool_destroy(&pool);
    ck_assert_int_eq(pool_create(0, pl_clock_real(), &pool, &err), PL_OK);
    ck_assert_uint_ge(pool_size(pool), 1);
    pool_destroy(&pool);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
    ck_assert_int_eq(pool_create(3, pl_clock_real(), &pool, &err), PL_OK);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_ptr_eq(pool_pick_home(pool), pool_loop(pool, i % 3));
    ck_assert_ptr_nonnull(pool_pick_spill(pool));
    pool_destroy(&pool);
}
END_TEST

static unsigned long table_of_descriptors(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    unsigned long size = 0;
    char line[256];

    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, "FDSize:", 7) == 0)
            size = strtoul(line + 7, NULL, 10);
    }
    fclose(status);
    return size;
}

/* It would grow under the first calls, with the whole process waiting each time. */
START_TEST(a_pool_makes_the_table_of_descriptors_wide_at_once)
{
    struct pool *pool = NULL;
    struct pl_err err;
    struct rlimit limit;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_ge(table_of_descriptors(), limit.rlim_cur < 16384 ? limit.rlim_cur : 16384);
    pool_destroy(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/loop");
    TCase *tcase = tcase_create("loop");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, mail_of_eight_senders_arrives_whole_and_in_each_senders_order);
    tcase_add_test(tcase, mail_to_oneself_comes_later_in_the_turn_and_before_its_end);
    tcase_add_test(tcase, mail_that_answers_itself_for_ever_does_not_stop_timers);
    tcase_add_test(tcase, work_made_at_a_turns_end_is_done_without_anybody_waking_the_loop);
    tcase_add_test(tcase, timers_fire_in_order_not_early_once_and_not_when_cancelled);
    tcase_add_test(tcase, the_timers_stay_a_heap_whatever_is_set_moved_and_cleared);
    tcase_add_test(tcase, an_idle_loop_sleeps_until_it_is_woken);
    tcase_add_test(tcase, waiting_for_a_timer_takes_one_sleep_not_a_busy_last_millisecond);
    tcase_add_test(tcase, a_loop_that_is_held_stops_only_when_it_is_released);
    tcase_add_test(tcase, a_timer_alone_does_not_keep_a_loop_from_stopping);
    tcase_add_test(tcase, mail_sent_before_the_stop_is_delivered);
    tcase_add_test(tcase, a_loop_never_started_can_be_destroyed);
    tcase_add_test(tcase, a_pool_ends_when_all_its_loops_are_quiet_not_one_by_one);
    tcase_add_test(tcase, a_pool_has_a_loop_a_core_and_picks_homes_in_turn);
    tcase_add_test(tcase, a_pool_makes_the_table_of_descriptors_wide_at_once);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
