/* limits_private.h - the inside of a lane, shared by limits.c (in and out), limits_adapt.c (what
 * the server says) and limits_wake.c (its time). Nobody else includes it. */
#ifndef PLAIT_SERVICE_LIMITS_LIMITS_PRIVATE_H
#define PLAIT_SERVICE_LIMITS_LIMITS_PRIVATE_H

#include "base/sync.h"
#include "service/limits/limits.h"
#include "service/limits/limits_window.h"
#include "service/net/loop.h"

/* How many at once. */
struct lane_seats {
    uint64_t limit, used; /* limit 0: any number; used is counted all the same */
};

/* What is left of the server's own count, while that is short. */
struct lane_quota {
    bool on;
    double left, per_ms; /* at `at`; it grows again at the rate of the limit */
    pl_ms at, until;     /* until: all of it is there again */
};

/* Where the calls of a model go in: each model with limits of its own has one, the others share the
 * first. What is not limited for it alone it shares with them. */
struct lane_gate {
    struct lane_gate *next;
    struct lane_seats own_seats, *seats;
    struct rate_window own_rpm, own_tpm, *rpm, *tpm;
    struct lane_quota requests, tokens;
    struct turn_queue queue;
    double mean_output; /* tokens of an answer */
    size_t model_len;
    char model[]; /* empty: of all others */
};

enum lane_circuit {
    CIRCUIT_CLOSED, /* calls go */
    CIRCUIT_OPEN,   /* none goes before `until`; then one at a time, to see */
};

/* Where it is kept in time; see limits_wake.c. Guarded by the lane's lock. */
struct lane_keeper {
    struct loop *loop; /* NULL: nobody waits */
    struct loop_mail mail;
    struct loop_timer timer; /* the loop's thread only */
    pl_ms timer_at;          /* what it is set to; 0: it is not */
    bool posted;
};

struct lane {
    /* any thread, without the lock */
    atomic_bool gated;    /* a call must ask under the lock */
    atomic_bool troubled; /* an answer must be told under the lock */
    atomic_bool answered; /* it has, and was not given up since */
    atomic_uint_fast64_t in_flight;
    atomic_uint_fast64_t waiting;

    struct pl_mutex lock;        /* guards the rest */
    struct lane_gate *gates;     /* set once; what is in them is guarded */
    struct lane_gate *turn;      /* which is asked first */
    bool configured, self_paced; /* set once: any limit; none of concurrency and rpm for all */
    pl_ms now;                   /* the latest time anybody came with */

    /* what the server says: limits_adapt.c */
    pl_ms until;        /* nothing is sent before; 0: open */
    const char *reason; /* of that, and of an open circuit */
    unsigned backoffs;  /* pauses without a hint in a row */
    pl_ms trouble_at;   /* since when it only says no; 0: it does not */
    double window;      /* how many may be under way; 0: any number */
    double window_from; /* how many were when it said no */
    pl_ms cut_at;       /* when the window was last made smaller */
    enum lane_circuit circuit;
    bool probing;           /* one is under way to see whether it is back */
    unsigned streak;        /* failures in a row */
    pl_ms streak_at;        /* the first of them */
    unsigned failed_probes; /* in a row */

    struct lane_keeper keeper;
    pl_ms wake_at; /* when to look again; 0: when somebody comes out */
};

/* ---- limits.c ---- */
/* Lets in whose turn it is, and sets wake_at. */
void lane_pump_locked(struct lane *lane, pl_ms now);
/* Whether calls and answers may pass without the lock. */
void lane_regate_locked(struct lane *lane);

/* ---- limits_adapt.c ---- */
/* May anything be sent at all? False: *ret_reason, and *ret_when the time it opens, 0: when the
 * call that is under way to see comes back. */
bool lane_is_open_locked(struct lane *lane, pl_ms now, const char **ret_reason, pl_ms *ret_when);
/* It has failed so often that calls are not to wait for it. */
bool lane_is_closed_locked(const struct lane *lane, pl_ms now, bool has_other);
/* Does the server's own count leave `cost`? */
bool lane_quota_fits(struct lane_quota *quota, pl_ms now, double cost, pl_ms *ret_when);
void lane_quota_take(struct lane_quota *quota, double cost);

/* ---- limits_wake.c ---- */
/* Somebody waits: this loop (of this thread) keeps the time from now on, if none does. */
void lane_keep_locked(struct lane *lane, struct loop *loop);
/* wake_at has changed, or nobody waits any more. */
void lane_rewake_locked(struct lane *lane);

#endif
