/* limits.h - lanes: the admission to one provider: how many calls at once, how many requests and
 * tokens a minute, whose turn it is, and how long to leave a server alone that says no. Not the
 * holding of a step (run_core), not its place (run_admit.c) and not base/limits.h, which are fixed
 * numbers. Any thread.
 *
 * A call that may go has a ticket, from when it was let in until it is over; one that may not waits
 * in the lane's queue and is told (`granted`) when its ticket is there. What the server answers is
 * told to the lane (lane_tell), which follows it: a 429 pauses it, halves how many may be under way
 * and lets that grow again; a server out of reach, or one that fails time after time, is asked by
 * one call at a time until it answers. docs/models.md has the whole for people, ADR 13 the reasons.
 *
 * While nothing is configured and nothing is wrong a ticket is an atomic addition. The queue has no
 * maximum of its own: who waits is a step of a run, and those are limited. */
#ifndef PLAIT_SERVICE_LIMITS_LIMITS_H
#define PLAIT_SERVICE_LIMITS_LIMITS_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"
#include "service/limits/limits_queue.h"

struct lane;
struct lane_gate;
struct loop;

/* What an operator allows; 0: no limit. */
struct lane_limits {
    uint64_t concurrency, rpm, tpm;
};

struct lane *lane_create(void); /* NULL when out of memory */
void lane_destroy(struct lane **lane);
/* Sets the limits of all models together, but those given for one. Before threads. */
void lane_set_limits(struct lane *lane, const struct lane_limits *limits);
/* Those of one model, which count for it alone; what is 0 in them it shares with the others. Before
 * threads. False: no memory. */
bool lane_set_model_limits(struct lane *lane, struct pl_str model,
                           const struct lane_limits *limits);

/* ---- going in ---- */

/* A call that wants to go. */
struct lane_ask {
    struct pl_str model, tenant;
    const void *run;    /* tells the runs that wait apart */
    size_t input_bytes; /* of what is sent: a token is taken for four of them */
    int64_t max_tokens; /* of the answer; 0: not said, the mean of those before is taken */
    bool again;         /* the step was sent before: first among the calls of its run */
    bool has_other;     /* it has another model to try */
};

/* Leave to be under way. Zeroed: none. Belongs to its call; touched by one thread at a time. */
struct lane_ticket {
    struct lane *lane;      /* NULL: none */
    struct lane_gate *gate; /* NULL: let in while nothing was limited */
    pl_ms at;               /* when it was let in */
    uint64_t tokens;        /* reserved */
    bool probe;             /* it finds out whether the server is back */
    bool closed;            /* it may not go after all: see LANE_CLOSED */
};

/* A call in the queue; zeroed but for `granted` before it is put there. */
struct lane_waiter {
    struct lane_ticket ticket;
    /* Its ticket is there, and it is in the queue no more. On any thread, with the lane's lock
     * held: it may post mail and nothing else. */
    void (*granted)(struct lane_waiter *waiter);
    struct turn_place place; /* private */
    uint64_t tokens;         /* private */
    struct lane_gate *gate;  /* private; NULL: it is in no queue */
};

enum lane_verdict {
    LANE_GO,     /* *ret_ticket is there */
    LANE_WAIT,   /* *ret_reason says for what: static text */
    LANE_CLOSED, /* the server has failed so often that nothing is sent, and it is not waited for */
};

/* Never waits: for calls that go now or not at all, and as the first question of all others. */
enum lane_verdict lane_try(struct lane *lane, const struct lane_ask *ask, pl_ms now,
                           struct lane_ticket *ret_ticket, const char **ret_reason) PL_MUST_CHECK;
/* Waits for its turn, which may be told before this returns. `loop`: of this thread, it keeps the
 * lane's time; NULL: the caller calls lane_pump. False: no memory. */
bool lane_wait(struct lane *lane, const struct lane_ask *ask, pl_ms now, struct loop *loop,
               struct lane_waiter *waiter) PL_MUST_CHECK;
/* Leaves the queue. False: it was granted before, and its ticket must be given back. */
bool lane_leave(struct lane *lane, struct lane_waiter *waiter, pl_ms now) PL_MUST_CHECK;

/* ---- coming out ---- */

/* What a call came to in the end, all requests made under its ticket together. */
struct lane_use {
    int64_t requests, input_tokens, output_tokens;
};

/* The call is over: its ticket goes back and counts by what it used (NULL: it was never sent).
 * Nothing to a ticket that is none. */
void lane_done(struct lane_ticket *ticket, pl_ms now, const struct lane_use *use);
/* One more request goes out under the same ticket. */
void lane_more(struct lane_ticket *ticket, pl_ms now);

/* ---- what the server says ---- */

enum lane_event {
    LANE_ANSWERED,    /* it did, and not with one of these */
    LANE_LIMITED,     /* 429 */
    LANE_FAILED,      /* 5xx, or the connection broke while it was asked */
    LANE_UNREACHABLE, /* no connection could be made */
};

/* What is left of a minute by the server's own count, from its headers; limit 0: not told. */
struct lane_quota_news {
    int64_t limit, remaining;
    pl_ms reset; /* from now until all of it is there again */
};

struct lane_news {
    enum lane_event what;
    pl_ms hint; /* LIMITED: how long to wait; -1: not told */
    bool spoke; /* FAILED: with an answer, not by a broken connection */
    struct lane_quota_news requests, tokens;
};

/* Returns whether the failure uses up no attempt: a 429, or a server out of reach that has answered
 * this process before, for PL_LIMIT_LANE_WAIT_MS since it began. `ticket`: of the call; NULL: it
 * had none. */
bool lane_tell(struct lane *lane, const struct lane_ticket *ticket, pl_ms now,
               const struct lane_news *news);
/* Has it ever answered this process (and not been given up since)? */
bool lane_has_answered(const struct lane *lane);

/* ---- looking ---- */

struct lane_stats {
    uint64_t in_flight, waiting;
    uint64_t window;    /* how many may be under way by what the server said; 0: any number */
    pl_ms paused_until; /* nothing is sent before; 0: it is not paused */
    const char *reason; /* of that, static text; "": none */
};
void lane_get_stats(struct lane *lane, pl_ms now, struct lane_stats *ret_stats);

/* Lets in whose turn it is; the time at which to ask again, 0: when somebody comes out. For tests;
 * otherwise the lane's loop does it. */
pl_ms lane_pump(struct lane *lane, pl_ms now);

#endif
