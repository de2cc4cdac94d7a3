/* loop.h - one thread of the pool: an epoll loop with a mailbox, timers and curl transfers. Not the
 * engine: it knows nothing of runs. The pool (pool.h) makes one a core; http_call.h puts transfers
 * on it; run_exec lives on it.
 *
 * Everything but loop_post, loop_thread_is, loop_load and loop_clock is for the loop's own thread.
 * Work from elsewhere arrives as mail: sending transfers ownership, delivering cannot fail, and
 * mail is always delivered, also while the loop stops (see loop_stop). A wake-up costs 17 us of
 * CPU, so only an empty mailbox is woken. */
#ifndef PLAIT_SERVICE_NET_LOOP_H
#define PLAIT_SERVICE_NET_LOOP_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdatomic.h>

struct loop;

/* Embedded in what is sent. */
struct loop_mail {
    struct loop_mail *next;                                     /* the mailbox's while queued */
    void (*deliver)(struct loop *loop, struct loop_mail *mail); /* on the loop's thread */
};

/* Creates loop number `index` of a pool and its epoll; no thread yet.
 * Errors: IO (descriptors), NO_MEMORY. */
enum pl_code loop_create(unsigned index, const struct pl_clock *clock, struct loop **ret_loop,
                         struct pl_err *err) PL_MUST_CHECK;
/* Starts the thread "plait-loop-N". */
enum pl_code loop_start(struct loop *loop, struct pl_err *err) PL_MUST_CHECK;
/* Asks the loop to end once its mailbox is empty and no transfer or hold (loop_hold) is left, and
 * joins the thread. Blocks. From another thread. */
void loop_stop(struct loop *loop);
/* Frees a stopped (or never started) loop; nulls; accepts NULL. */
void loop_destroy(struct loop **loop);

/* Queues mail; from any thread. Mail of one sender is delivered in order. From the loop's own
 * thread it is delivered later in the same turn, never inside the call. */
void loop_post(struct loop *loop, struct loop_mail *mail);

/* Calls `deliver` once at the end of the current turn, after transfers, timers and mail: for work
 * that gathers what a turn brought (a run's inbox). The loop's thread only. */
void loop_at_turn_end(struct loop *loop, struct loop_mail *mail);

/* Keeps the loop alive through loop_stop until released: somebody has work on it that will still
 * come back. */
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);

struct loop_timer {
    size_t slot; /* private: 1 + its place in the heap, 0: not set */
    pl_ms at;
    void (*fire)(struct loop *loop, struct loop_timer *timer);
};
/* Sets or moves a timer to fire once the loop's clock is at `at` or later. Errors: none; memory for
 * a new one may be out, then it fires at once (early is safe, lost is not). Zero-initialise a timer
 * before its first use. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, pl_ms at);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer); /* a timer not set: nothing */

const struct pl_clock *loop_clock(const struct loop *loop);
/* Now, read once a turn: cheap. */
pl_ms loop_now(const struct loop *loop);
bool loop_thread_is(const struct loop *loop); /* is this the loop's thread? */
unsigned loop_index(const struct loop *loop);
/* A call has been sent to the loop and not begun there: it counts as load until the promise is
 * kept, so that a thousand calls sent in one turn are spread, not all sent to the loop that was
 * idle when the turn began. Any thread. */
void loop_promise(struct loop *loop);
void loop_promise_kept(struct loop *loop);

/* Transfers in flight and promised, for choosing a loop. Any thread; approximate. */
unsigned loop_load(const struct loop *loop);

#endif
