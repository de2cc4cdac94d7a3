/* jq_pool_private.h - the pool's own structures, shared by jq_pool.c (the queue, the thread, who
 * gets what), jq_crew.c (one worker: requests, answers, death) and jq_pool_check.c. For nobody
 * else. */
#ifndef PLAIT_SERVICE_EXPR_JQ_POOL_PRIVATE_H
#define PLAIT_SERVICE_EXPR_JQ_POOL_PRIVATE_H

#include "base/buf.h"
#include "base/sync.h"
#include "service/expr/jq_child.h"
#include "service/expr/jq_pool.h"
#include "service/expr/jq_queue.h"
#include "service/expr/jq_wire.h"

enum {
    JQ_WORKERS_MAX = 16,
    JQ_EXTRA_WORKERS = 4, /* over the fixed number, while all of those are stuck */
};

/* Whether main() has called jq_worker_main_if_asked: a program that has not, started as a worker,
 * would do all its work once more instead. */
bool jq_worker_possible(void);

/* A worker's place in the pool; processes come and go in it.
 *
 *   ABSENT -> STARTING -> IDLE <-> BUSY, and from each back to ABSENT when the process ends
 *
 * What it has to do is set under the lock by whoever gives it (a loop's thread or the pool's);
 * everything else happens on the pool's thread. */
struct jq_crew {
    unsigned index;                                                        /* set once */
    enum jq_crew_state { JQ_ABSENT, JQ_STARTING, JQ_IDLE, JQ_BUSY } state; /* guarded by lock */
    struct jq_child child; /* changed by the pool's thread, under the lock */
    struct jq_job *job;    /* guarded by lock; BUSY */
    struct jq_slot {
        uint64_t program; /* 0: empty */
        size_t chunk;
        uint64_t used;
    } slots[JQ_SLOTS];        /* guarded by lock: what it has compiled */
    uint64_t uses;            /* guarded by lock */
    struct pl_buf out;        /* guarded by lock: head, indexes and texts of the request, */
    struct pl_str document;   /* and its document (the job's) */
    size_t sent;              /* guarded by lock: bytes of both */
    bool sending;             /* guarded by lock: more is to be sent when the socket takes it */
    size_t batch;             /* guarded by lock: answers the request asks for */
    size_t batch_done;        /* guarded by lock */
    bool compiling;           /* guarded by lock: nothing has been evaluated yet */
    int64_t since_us, cpu_us; /* guarded by lock: when its present work began */

    struct pl_buf in; /* pool's thread only: answers not complete yet */
    bool tired;       /* pool's thread only: it wants to be replaced */
    bool heavy;       /* pool's thread only: it has been pushed behind everybody */
    enum jq_verdict { JQ_ALIVE, JQ_OVER_CPU, JQ_OVER_WALL, JQ_BREACH } verdict; /* pool's thread */
};

/* It has compiled what the job needs next. */
bool jq_crew_knows_locked(struct jq_crew *crew, const struct jq_job *job);
/* Begins the next request of `job`, which becomes crew->job: the lock is held, the crew IDLE (or
 * BUSY with this job). False when there is no memory for it; then nothing has changed. */
bool jq_crew_give_locked(struct jq_crew *crew, struct jq_job *job) PL_MUST_CHECK;
/* Sends what the socket takes; sets `sending` when that was not all. A broken socket is noticed
 * where it is read. */
void jq_crew_send_locked(struct jq_crew *crew);
/* What the present work has cost so far is no longer held against it. */
void jq_crew_touch_locked(struct jq_crew *crew);

/* What came of reading. */
enum jq_heard {
    JQ_HEARD_NOTHING, /* go on */
    JQ_HEARD_READY,   /* it was STARTING and can work now */
    JQ_HEARD_BATCH,   /* its request is answered */
    JQ_HEARD_END,     /* it has ended, or breaks the rules: jq_crew_bury */
};
/* Reads once and takes every whole answer into the job. The pool's thread, without the lock. */
enum jq_heard jq_crew_hear(struct jq_crew *crew, struct pl_mutex *lock, struct pl_err *unfit);

/* The process is over or shall be: ends it. The job it had, if any, is returned; what it was at
 * gets the answer this calls for, unless it is worth another try. The pool's thread, without the
 * lock. */
struct jq_job *jq_crew_bury(struct jq_crew *crew, struct pl_mutex *lock);

/* Kills it when its work has used up its time. Microseconds until it must be looked at again. */
int64_t jq_crew_watch_locked(struct jq_crew *crew, int64_t now_us);

#endif
