/* bus.h - live events of runs to whoever watches. Not durable: the store holds the events, the bus
 * only says what has just been committed (and deltas, which are never stored). Published by
 * run_exec after the commit; taken by api/.
 *
 * Every subscriber has a bounded queue. A reader that falls behind loses durable events from its
 * queue, is told so once (gap), and reads what it missed from the store by sequence number. Deltas
 * of one step that nobody has taken yet are joined into one. Any thread. `wake` runs under the
 * bus's lock (so an unsubscribed reader is never woken): it may only signal, never call the bus. */
#ifndef PLAIT_SERVICE_BUS_H
#define PLAIT_SERVICE_BUS_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"
#include "base/value.h"

struct bus;
struct bus_subscriber;

/* One event as a reader sees it. */
struct bus_event {
    int64_t seq; /* 0: a delta */
    pl_ms at;
    struct pl_str type; /* "step.succeeded" */
    struct pl_str path; /* empty for run events */
    int64_t attempt;
    struct pl_str data;      /* JSON object or empty; a delta: the raw text */
    struct pl_value *output; /* step.succeeded, run.succeeded; NULL: none */
};

struct bus *bus_create(void);       /* NULL when out of memory */
void bus_destroy(struct bus **bus); /* no subscriber may be left */

/* Watches one run from now on. `wake` is called, on the publisher's thread, when the queue was
 * empty and no longer is; it must not block. `deltas`: also text as it arrives. NULL when out of
 * memory. */
struct bus_subscriber *bus_subscribe(struct bus *bus, struct pl_str run, size_t max_queue,
                                     bool deltas, void (*wake)(void *arg), void *arg);
void bus_unsubscribe(struct bus_subscriber **subscriber); /* nulls; accepts NULL */

/* The oldest event not taken; false when there is none. Strings live until the next take or
 * unsubscribe. *ret_gap is true (once) when durable events were lost before this one. */
bool bus_take(struct bus_subscriber *subscriber, struct bus_event *ret_event, bool *ret_gap);

/* Does anybody watch this run (for deltas)? Cheap when nobody watches anything. */
bool bus_watched(struct bus *bus, struct pl_str run, bool deltas);
/* Hands an event to the run's subscribers; copies what it needs, references the output. */
void bus_publish(struct bus *bus, struct pl_str run, const struct bus_event *event);

#endif
