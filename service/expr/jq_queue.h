/* jq_queue.h - jobs that wait for a jq worker, served in turn by whose they are: one run with a
 * thousand jobs delays the next by one job a round, and holds so many workers at once and no more,
 * so that a thousand endless ones leave a worker to others. Not a lock: the pool's guards it.
 *
 * Lanes are a fixed table, so that nothing is allocated and queueing cannot fail. A run has a lane
 * of its own while it has jobs; only when all near its place are taken it shares another's.
 */
#ifndef PLAIT_SERVICE_EXPR_JQ_QUEUE_H
#define PLAIT_SERVICE_EXPR_JQ_QUEUE_H

#include "base/compiler.h"
#include "base/list.h"

#include <stdint.h>

struct jq_job;

enum {
    JQ_LANES = 4093,
    JQ_LANE_TRIES = 64, /* lanes that are looked at for a free one */
};

struct jq_queue {
    struct jq_lane {
        uint64_t owner; /* whose, while it has jobs or holds workers */
        struct pl_list jobs;
        struct pl_list link; /* in `turns` while it has jobs and may have another worker */
        unsigned held;       /* workers that have a job of it */
    } lanes[JQ_LANES];
    struct pl_list turns;
    size_t count;  /* jobs that wait, also those whose lane holds what it may */
    unsigned most; /* set once: workers one lane may hold */
};

void jq_queue_init(struct jq_queue *queue, unsigned most);
/* Last in its lane; `again`: first, in a lane whose turn is next (its worker was lost). */
void jq_queue_put(struct jq_queue *queue, struct jq_job *job, bool again);
/* The next in turn, NULL when there is none: now one that holds a worker. */
struct jq_job *jq_queue_take(struct jq_queue *queue);
/* A job that need not wait holds a worker from now on; false: its lane must wait. */
bool jq_queue_pass(struct jq_queue *queue, struct jq_job *job);
/* A job that was taken or passed holds no worker any more. */
void jq_queue_leave(struct jq_queue *queue, const struct jq_job *job);
/* Whether one could be taken. */
bool jq_queue_has_turn(const struct jq_queue *queue);
/* Any that waits of one run, NULL when there is none; it holds no worker. */
struct jq_job *jq_queue_withdraw(struct jq_queue *queue, uint64_t owner);
/* Any that waits, NULL when there is none; it holds no worker. */
struct jq_job *jq_queue_drain(struct jq_queue *queue);

#endif
