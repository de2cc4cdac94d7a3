/* loop_private.h - what the files of a loop share: loop.c (thread, mailbox, turn), loop_timers.c
 * (the heap), pool.c (stopping several loops as one) and http_multi.c (transfers on the epoll). Not
 * for anybody else: loop.h is the contract. */
#ifndef PLAIT_SERVICE_NET_LOOP_PRIVATE_H
#define PLAIT_SERVICE_NET_LOOP_PRIVATE_H

#include "service/net/loop.h"

#include <pthread.h>

/* Loops that end together: one ends only when all of them are quiet, since a loop with work may
 * still send mail to one without. A loop of its own is a group of one. */
struct loop_group {
    struct loop **loops;    /* set once */
    unsigned count;         /* set once */
    atomic_bool over;       /* all were quiet while stopping: everybody leaves */
    atomic_bool until_exit; /* the process ends after them: pool_until_exit */
};

/* A binary heap by time. Loop thread only. */
struct loop_timers {
    struct loop_timer **heap;
    size_t count, capacity;
};

/* What http_multi.c hangs on a loop; its slots run on the loop's thread. */
struct loop_transfers {
    /* A descriptor that was added to the epoll with `data` is ready. */
    void (*ready)(struct loop_transfers *transfers, uint64_t data, uint32_t events);
    /* After the descriptors and timers of a turn: tell what has ended. */
    void (*drain)(struct loop_transfers *transfers);
    void (*destroy)(struct loop_transfers *transfers);
};

struct loop {
    /* any thread */
    _Atomic(struct loop_mail *) mailbox; /* newest first */
    atomic_bool asleep;                  /* it is, or is about to be, in epoll_wait: wake it */
    atomic_bool stopping;
    atomic_uint posting; /* senders inside loop_post: the loop is not freed under them */
    atomic_uint_fast64_t
        begun; /* units of work ever given: mail, turn-end mail, holds, transfers */
    atomic_uint_fast64_t ended; /* units of work done; written by the loop's thread */
    atomic_uint load;           /* transfers in flight; written by the loop's thread */
    atomic_uint promised;       /* calls picked for it that have not begun; see loop_promise */

    /* set once */
    unsigned index;
    const struct pl_clock *clock;
    int epoll, wake; /* wake: an eventfd in the epoll */
    struct loop_group own_group;
    struct loop *own_slot;
    struct loop_group *group;
    pthread_t thread;
    bool started;

    /* loop thread only */
    pl_ms now;
    uint64_t turns; /* the number of this one */
    struct loop_timers timers;
    struct loop_mail *turn_end, **turn_end_tail;
    struct loop_transfers *transfers; /* NULL until the first call out */
};

/* Asks without waiting; any thread. */
void loop_ask_stop(struct loop *loop);
/* Makes a sleeping loop take a turn; any thread. */
void loop_wake(struct loop *loop);

/* One more or one fewer transfer in flight; it keeps the loop alive. Loop thread. */
void loop_transfer_begun(struct loop *loop);
void loop_transfer_ended(struct loop *loop);

/* The first timer's time, INT64_MAX when none is set. */
pl_ms loop_timers_next(const struct loop_timers *timers);
/* Fires what is due at loop->now, also what those set for now, up to a bound: the rest waits for
 * the next turn. */
void loop_timers_run(struct loop *loop);
void loop_timers_finish(struct loop_timers *timers);

#endif
