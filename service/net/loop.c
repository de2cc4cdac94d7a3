/* loop.c - the thread of a loop: sleep in epoll, then one turn: descriptors, timers, ended
 * transfers, mail, what waits for the turn's end. Not the timers' heap (loop_timers.c) and not curl
 * (http_multi.c), which hangs itself on as loop_transfers. Made by pool.c.
 *
 * The mailbox is a stack that senders push on and the loop takes whole and turns round. A sender
 * wakes the loop only when it finds `asleep` set and clears it, so one wake-up is written a sleep,
 * whatever the number of senders. */
#include "service/net/loop_private.h"

#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_A_TURN = 512,
    MAIL_ROUNDS_A_TURN =
        64, /* mail that answers mail for ever still lets descriptors and timers have their turn */
};

static const uint64_t WAKE_DATA = UINT64_MAX;

/* The loop of this thread, so that asking costs no call. */
static _Thread_local const struct loop *current;

enum pl_code loop_create(unsigned index, const struct pl_clock *clock, struct loop **ret_loop,
                         struct pl_err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_DATA};
    struct loop *loop = calloc(1, sizeof *loop);

    if (!loop)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for a loop");
    loop->index = index;
    loop->clock = clock;
    loop->now = pl_clock_now(clock);
    loop->turn_end_tail = &loop->turn_end;
    loop->own_slot = loop;
    loop->own_group.loops = &loop->own_slot;
    loop->own_group.count = 1;
    loop->group = &loop->own_group;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        pl_err_set(err, PL_ERR_IO, "cannot create an event loop: %s", strerrordesc_np(errno));
        loop_destroy(&loop);
        return PL_ERR_IO;
    }
    *ret_loop = loop;
    return PL_OK;
}

void loop_destroy(struct loop **loop)
{
    struct loop *l = *loop;

    if (!l)
        return;
    assert(!l->started);
    while (atomic_load(&l->posting)) /* its mail is delivered, but the sender has yet to return */
        sched_yield();
    if (l->transfers)
        l->transfers->destroy(l->transfers);
    loop_timers_finish(&l->timers);
    if (l->epoll >= 0)
        close(l->epoll);
    if (l->wake >= 0)
        close(l->wake);
    free(l);
    *loop = NULL;
}

static void work_begun(struct loop *loop)
{
    atomic_fetch_add(&loop->begun, 1);
}

static void work_ended(struct loop *loop)
{
    atomic_fetch_add(&loop->ended, 1);
}

void loop_wake(struct loop *loop)
{
    static const uint64_t one = 1;

    if (!atomic_exchange(&loop->asleep, false))
        return;
    /* it can only fail when the counter is full, and then the loop is woken anyway */
    while (write(loop->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void loop_post(struct loop *loop, struct loop_mail *mail)
{
    struct loop_mail *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

    atomic_fetch_add(&loop->posting, 1);
    work_begun(loop);
    do
        mail->next = head;
    while (!atomic_compare_exchange_weak(&loop->mailbox, &head, mail));
    if (!head)
        loop_wake(loop);
    atomic_fetch_sub(&loop->posting, 1);
}

/* Delivers what is there now; false when there was nothing. */
static bool deliver_mail(struct loop *loop)
{
    struct loop_mail *newest = atomic_exchange(&loop->mailbox, NULL), *oldest = NULL;

    if (!newest)
        return false;
    while (newest) {
        struct loop_mail *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_mail *mail = oldest;

        oldest = mail->next;
        mail->next = NULL;
        mail->deliver(loop, mail);
        work_ended(loop);
    }
    return true;
}

void loop_at_turn_end(struct loop *loop, struct loop_mail *mail)
{
    assert(loop_thread_is(loop));
    work_begun(loop);
    mail->next = NULL;
    *loop->turn_end_tail = mail;
    loop->turn_end_tail = &mail->next;
}

/* What is added meanwhile is for the next turn's end. */
static void deliver_turn_end(struct loop *loop)
{
    struct loop_mail *mail = loop->turn_end;

    loop->turn_end = NULL;
    loop->turn_end_tail = &loop->turn_end;
    while (mail) {
        struct loop_mail *next = mail->next;

        mail->next = NULL;
        mail->deliver(loop, mail);
        work_ended(loop);
        mail = next;
    }
}

void loop_hold(struct loop *loop)
{
    work_begun(loop);
}

void loop_release(struct loop *loop)
{
    work_ended(loop);
}

void loop_transfer_begun(struct loop *loop)
{
    work_begun(loop);
    atomic_fetch_add_explicit(&loop->load, 1, memory_order_relaxed);
}

void loop_transfer_ended(struct loop *loop)
{
    atomic_fetch_sub_explicit(&loop->load, 1, memory_order_relaxed);
    work_ended(loop);
}

/* Nothing is under way in the whole group. `ended` is read first of all: both only grow and work
 * begins before it ends, so equal sums mean that there was a moment between the two passes with
 * nothing under way, and only work makes work. */
static bool group_is_quiet(const struct loop_group *group)
{
    uint64_t ended = 0, begun = 0;

    for (unsigned i = 0; i < group->count; i++)
        ended += atomic_load(&group->loops[i]->ended);
    for (unsigned i = 0; i < group->count; i++)
        begun += atomic_load(&group->loops[i]->begun);
    return ended == begun;
}

/* True when this loop may leave. The loop that finds the group quiet tells the others. */
static bool may_leave(struct loop *loop)
{
    struct loop_group *group = loop->group;

    if (!atomic_load(&loop->stopping))
        return false;
    if (atomic_load(&group->over))
        return true;
    if (!group_is_quiet(group))
        return false;
    atomic_store(&group->over, true);
    for (unsigned i = 0; i < group->count; i++)
        loop_wake(group->loops[i]);
    return true;
}

/* Milliseconds to sleep: 0 when there is something to do, -1 for ever. Sets `asleep` unless it is
 * 0. */
static int sleep_time(struct loop *loop)
{
    pl_ms next = loop_timers_next(&loop->timers), wait;

    if (loop->turn_end)
        return 0;
    if (next != INT64_MAX) {
        wait = next - pl_clock_now(loop->clock); /* the turn may have been long */
        if (wait <= 0)
            return 0;
    } else {
        wait = -1;
    }
    atomic_store(&loop->asleep, true);
    /* mail, or being asked to stop, since: whoever came before `asleep` was set did not wake us */
    if (atomic_load(&loop->mailbox)) {
        atomic_store(&loop->asleep, false);
        return 0;
    }
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

static void swallow_wake(struct loop *loop)
{
    uint64_t count;

    while (read(loop->wake, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void turn(struct loop *loop, int timeout)
{
    struct epoll_event events[EVENTS_A_TURN];
    int n = epoll_wait(loop->epoll, events, EVENTS_A_TURN, timeout);

    atomic_store(&loop->asleep, false);
    loop->turns++;
    loop->now = pl_clock_now(loop->clock);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == WAKE_DATA)
            swallow_wake(loop);
        else
            loop->transfers->ready(loop->transfers, events[i].data.u64, events[i].events);
    }
    loop_timers_run(loop);
    if (loop->transfers)
        loop->transfers->drain(loop->transfers);
    for (int round = 0; round < MAIL_ROUNDS_A_TURN && deliver_mail(loop); round++)
        ;
    deliver_turn_end(loop);
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;

    current = loop;
    for (;;) {
        int timeout = sleep_time(loop);

        /* after `asleep` is set, so that whoever asks from now on wakes us */
        if (may_leave(loop))
            break;
        turn(loop, timeout);
    }
    current = NULL;
    return NULL;
}

enum pl_code loop_start(struct loop *loop, struct pl_err *err)
{
    char name[16];

    assert(!loop->started);
    snprintf(name, sizeof name, "plait-loop-%u", loop->index);
    if (!pl_thread_start(&loop->thread, name, loop_main, loop))
        return pl_err_set(err, PL_ERR_IO, "cannot start a thread for a loop");
    loop->started = true;
    return PL_OK;
}

void loop_ask_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    loop_wake(loop);
}

void loop_stop(struct loop *loop)
{
    if (!loop->started)
        return;
    assert(!loop_thread_is(loop));
    loop_ask_stop(loop);
    pthread_join(loop->thread, NULL);
    loop->started = false;
}

const struct pl_clock *loop_clock(const struct loop *loop)
{
    return loop->clock;
}

pl_ms loop_now(const struct loop *loop)
{
    return loop->now;
}

bool loop_thread_is(const struct loop *loop)
{
    return current == loop;
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

void loop_promise(struct loop *loop)
{
    atomic_fetch_add_explicit(&loop->promised, 1, memory_order_relaxed);
}

void loop_promise_kept(struct loop *loop)
{
    atomic_fetch_sub_explicit(&loop->promised, 1, memory_order_relaxed);
}

unsigned loop_load(const struct loop *loop)
{
    return atomic_load_explicit(&loop->load, memory_order_relaxed) +
           atomic_load_explicit(&loop->promised, memory_order_relaxed);
}
