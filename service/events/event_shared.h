/* event_shared.h - the last events of runs that have just ended, as text: made once for whoever
 * watches, though each reader is at its own place. A few, of bounded size; what is not there is
 * made again. Not a queue (bus.h). Hangs on the bus; used by event_stream.c. Any thread. */
#ifndef PLAIT_SERVICE_EVENTS_EVENT_SHARED_H
#define PLAIT_SERVICE_EVENTS_EVENT_SHARED_H

#include "base/str.h"
#include "base/value.h"

struct event_shared;

struct event_shared *event_shared_create(void);          /* NULL when out of memory */
void event_shared_destroy(struct event_shared **shared); /* nulls; accepts NULL */

/* The data of the run's last event; a reference, yours. NULL: not there. */
struct pl_value *event_shared_get(struct event_shared *shared, struct pl_str run);
/* Keeps a reference, unless it is too large. */
void event_shared_put(struct event_shared *shared, struct pl_str run, struct pl_value *data);

#endif
