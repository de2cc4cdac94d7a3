/* limits_queue.h - who waits for one gate of a lane, and whose turn it is: tenants take turns, the
 * runs of a tenant take turns, the calls of a run go in the order they came, those that were sent
 * before first. Not what they wait for (limits.c) and not a lock: the lane's is held.
 *
 * So a map of ten thousand items and a run of three branches each get every second turn. Taking
 * and leaving cost the same however many wait. */
#ifndef PLAIT_SERVICE_LIMITS_LIMITS_QUEUE_H
#define PLAIT_SERVICE_LIMITS_LIMITS_QUEUE_H

#include "base/list.h"
#include "base/str.h"

struct turn_run;

/* Embedded in what waits; zeroed before its first use. */
struct turn_place {
    struct pl_list link;
    struct turn_run *run; /* NULL: in no queue */
};

enum { TURN_BUCKETS = 256 };

struct turn_queue {
    struct pl_list tenants;  /* the one whose turn it is first */
    struct pl_list *buckets; /* runs by their key; NULL until somebody waits */
    size_t count;
};

void turn_queue_init(struct turn_queue *queue);
/* Nobody may be in it. */
void turn_queue_finish(struct turn_queue *queue);
/* Puts it at the end of its run's calls. `run` tells runs apart, of the same tenant always.
 * `again`: it was sent before. False: no memory. */
bool turn_queue_add(struct turn_queue *queue, struct pl_str tenant, const void *run, bool again,
                    struct turn_place *place);
/* Whose turn it is, NULL: nobody's. */
struct turn_place *turn_queue_first(const struct turn_queue *queue);
/* The first takes its turn: it is out, and the next tenant, and of this tenant the next run, are at
 * the front. */
void turn_queue_take(struct turn_queue *queue);
/* It leaves without a turn. */
void turn_queue_remove(struct turn_queue *queue, struct turn_place *place);

#endif
