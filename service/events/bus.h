/* bus.h - live events of runs to whoever watches. Not durable: the store holds the events, the bus
 * only says what has just been committed (and deltas, which are never stored). Published by
 * run_exec after the commit; taken by api/ and by event_stream.c.
 *
 * Every subscriber has a bounded queue. A reader that falls behind loses durable events from its
 * queue, is told so once (gap), and reads what it missed from the store by sequence number. Deltas
 * of one step that nobody has taken yet are joined into one. Any thread. `wake` runs under the
 * bus's lock (so an unsubscribed reader is never woken): it may only signal, never call the bus.
 *
 * The bus keeps the text so far of every attempt that is streaming, and gives it as one delta
 * (snapshot) to a reader that asks with bus_resync. From then on a reader that lost a delta,
 * because it was slow, loses those that follow too and is given snapshots when it has taken what it
 * had: it never sees text with a hole. */
#ifndef PLAIT_SERVICE_EVENTS_BUS_H
#define PLAIT_SERVICE_EVENTS_BUS_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"
#include "base/value.h"

struct bus;
struct bus_subscriber;
struct event_shared;

/* One event as a reader sees it. */
struct bus_event {
    int64_t seq; /* 0: not durable: a delta, or run.progress */
    pl_ms at;
    struct pl_str type; /* "step.succeeded" */
    struct pl_str path; /* empty for run events */
    int64_t attempt;
    struct pl_str data;      /* JSON object or empty; a delta: the raw text */
    struct pl_value *output; /* step.succeeded, run.succeeded; NULL: none */
    size_t offset;           /* a delta: bytes of the attempt's text before it */
    bool snapshot;           /* a delta: it holds all of the attempt's text so far */
};

struct bus *bus_create(void);       /* NULL when out of memory */
void bus_destroy(struct bus **bus); /* no subscriber may be left */

/* Watches one run from now on. `wake` is called, on the publisher's thread, when the queue was
 * empty and no longer is (or there is a gap); it must not block. `deltas`: also text as it arrives,
 * and run.progress. NULL when out of memory. */
struct bus_subscriber *bus_subscribe(struct bus *bus, struct pl_str run, size_t max_queue,
                                     bool deltas, void (*wake)(void *arg), void *arg);
void bus_unsubscribe(struct bus_subscriber **subscriber); /* nulls; accepts NULL */

/* The oldest event not taken; false when there is none. Strings live until the next take or
 * unsubscribe. *ret_gap is true (once) when durable events were lost before this one, or, where
 * there is none, before now. */
bool bus_take(struct bus_subscriber *subscriber, struct bus_event *ret_event, bool *ret_gap);

/* The reader has read the store: deltas in its queue are of before, or belong to what it has read.
 * They go, and snapshots of what is streaming now come behind the rest. */
void bus_resync(struct bus_subscriber *subscriber);

/* Does anybody watch this run (for deltas)? Cheap when nobody watches anything. */
bool bus_watched(struct bus *bus, struct pl_str run, bool deltas);
/* Hands an event to the run's subscribers; copies what it needs, references the output. */
void bus_publish(struct bus *bus, struct pl_str run, const struct bus_event *event);
/* Durable events of the run were committed that are not published: whoever watches it now has a
 * gap. */
void bus_lose(struct bus *bus, struct pl_str run);
/* What readers of one run share. */
struct event_shared *bus_shared(struct bus *bus);
/* No more deltas of the step's attempt will come. */
void bus_text_end(struct bus *bus, struct pl_str run, struct pl_str path);

#endif
