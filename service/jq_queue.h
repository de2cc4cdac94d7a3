/* jq_queue.h - jobs that wait for a jq worker, served in turn by whose they are: one run with a
 * thousand jobs delays the next by one job a round. Not a lock: the pool's guards it.
 *
 * Queues are told apart by number modulo a prime: two that meet share one turn. So nothing is
 * allocated, and queueing cannot fail. */
#ifndef PLAIT_SERVICE_JQ_QUEUE_H
#define PLAIT_SERVICE_JQ_QUEUE_H

#include "base/compiler.h"
#include "base/list.h"

struct jq_job;

enum { JQ_LANES = 1021 };

struct jq_queue {
    struct jq_lane {
        struct pl_list jobs;
        struct pl_list link; /* in `turns` while it has jobs */
    } lanes[JQ_LANES];
    struct pl_list turns;
    size_t count;
};

void jq_queue_init(struct jq_queue *queue);
/* Last in its lane; `again`: first, in a lane whose turn is next (its worker was lost). */
void jq_queue_put(struct jq_queue *queue, struct jq_job *job, bool again);
/* The next in turn, NULL when there is none. */
struct jq_job *jq_queue_take(struct jq_queue *queue);

#endif
