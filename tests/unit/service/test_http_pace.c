/* test_http_pace.c - calls that begin in slices: how many a turn, in which order, who need not
 * wait. Not the calls (test_http_call.c). Run by ctest. */
#include "service/net/http_pace.h"
#include "service/net/loop_private.h"

#include <check.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 1000, MOST = CALLS + 8 };

static struct loop *loop;
static struct http_pace pace;
static sem_t over;

/* One call. */
static struct call {
    struct http_pace_place place;
    bool waited;    /* it was put in line */
    unsigned order; /* in which it began, from 1; 0: it has not */
    uint64_t turn;  /* in which it began */
} calls[MOST];
static unsigned begun, expected;

/* What to do on the loop at the beginning, and in the turn after the first slice. */
static void (*first)(void), (*second)(void);
static struct loop_mail first_mail, second_mail;
static bool second_sent;

static void note(struct call *call)
{
    if (call->order)
        abort(); /* twice */
    call->order = ++begun;
    call->turn = loop->turns;
    if (begun == expected)
        sem_post(&over);
}

static void on_begin(struct http_pace_place *place)
{
    note(pl_container_of(place, struct call, place));
    if (second && !second_sent)
        loop_post(loop, &second_mail);
    second_sent = true;
}

static void enter(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        calls[i].waited = !http_pace_enter(&pace, &calls[i].place);
        if (!calls[i].waited)
            note(&calls[i]);
    }
}

static void deliver_first(struct loop *on, struct loop_mail *mail)
{
    (void)mail;
    http_pace_init(&pace, on, on_begin);
    first();
}

static void deliver_second(struct loop *on, struct loop_mail *mail)
{
    (void)on;
    (void)mail;
    second();
}

/* Runs `one` on a loop, and `two` in the turn after the first slice; until `count` calls have
 * begun. */
static void play(void (*one)(void), void (*two)(void), unsigned count)
{
    struct timespec until;
    struct pl_err err;

    memset(calls, 0, sizeof calls);
    begun = 0;
    expected = count;
    first = one;
    second = two;
    first_mail = (struct loop_mail){.deliver = deliver_first};
    second_mail = (struct loop_mail){.deliver = deliver_second};
    second_sent = false;
    sem_init(&over, 0, 0);
    ck_assert(loop_create(0, pl_clock_real(), &loop, &err) == PL_OK);
    ck_assert(loop_start(loop, &err) == PL_OK);
    loop_post(loop, &first_mail);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    ck_assert_msg(sem_timedwait(&over, &until) == 0, "only %u of %u began", begun, count);
    loop_stop(loop);
    http_pace_finish(&pace);
    loop_destroy(&loop);
    sem_destroy(&over);
    ck_assert_uint_eq(begun, count);
}

static void enter_few(void)
{
    enter(0, HTTP_PACE_AT_ONCE);
}

START_TEST(a_small_run_begins_at_once)
{
    play(enter_few, NULL, HTTP_PACE_AT_ONCE);
    for (unsigned i = 0; i < HTTP_PACE_AT_ONCE; i++)
        ck_assert(!calls[i].waited);
}
END_TEST

static void enter_all(void)
{
    enter(0, CALLS);
}

/* Nothing else wakes the loop: it must not sleep while calls are in line. */
START_TEST(many_begin_in_their_order_and_a_slice_a_turn)
{
    unsigned in_turn = 0;

    play(enter_all, NULL, CALLS);
    for (unsigned i = 0; i < CALLS; i++) {
        ck_assert_uint_eq(calls[i].order, i + 1);
        ck_assert_int_eq(calls[i].waited, i >= HTTP_PACE_AT_ONCE);
        in_turn = i && calls[i].turn == calls[i - 1].turn ? in_turn + 1 : 1;
        ck_assert_uint_le(in_turn, HTTP_PACE_SLICE);
        ck_assert(i == 0 || calls[i].turn - calls[i - 1].turn <= 1);
    }
}
END_TEST

static void enter_late(void)
{
    enter(CALLS, CALLS + 3);
}

START_TEST(a_small_run_passes_the_line_of_a_wide_one)
{
    play(enter_all, enter_late, CALLS + 3);
    for (unsigned i = CALLS; i < CALLS + 3; i++) {
        ck_assert(!calls[i].waited);
        ck_assert_uint_lt(calls[i].order, CALLS / 2);
    }
    ck_assert_uint_eq(calls[CALLS - 1].order, CALLS + 3);
}
END_TEST

static void enter_all_and_leave_half(void)
{
    enter_all();
    for (unsigned i = HTTP_PACE_AT_ONCE; i < CALLS; i += 2)
        http_pace_leave(&calls[i].place);
    http_pace_leave(&calls[0].place); /* it is in no line */
}

START_TEST(a_call_that_has_left_the_line_does_not_begin)
{
    play(enter_all_and_leave_half, NULL, CALLS - (CALLS - HTTP_PACE_AT_ONCE) / 2);
    for (unsigned i = 0; i < CALLS; i++)
        ck_assert_int_eq(calls[i].order > 0, i < HTTP_PACE_AT_ONCE || i % 2);
}
END_TEST

static void wait_one(void)
{
    calls[0].waited = true;
    http_pace_wait(&pace, &calls[0].place);
    if (calls[0].order)
        abort(); /* inside http_pace_wait */
}

START_TEST(a_call_that_asks_to_wait_begins_though_nobody_else_is_there)
{
    play(wait_one, NULL, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/http_pace");
    TCase *tcase = tcase_create("http_pace");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_small_run_begins_at_once);
    tcase_add_test(tcase, many_begin_in_their_order_and_a_slice_a_turn);
    tcase_add_test(tcase, a_small_run_passes_the_line_of_a_wide_one);
    tcase_add_test(tcase, a_call_that_has_left_the_line_does_not_begin);
    tcase_add_test(tcase, a_call_that_asks_to_wait_begins_though_nobody_else_is_there);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
