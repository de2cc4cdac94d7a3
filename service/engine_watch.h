/* engine_watch.h - who waits for the end of which run. Not the ends themselves: the engine tells.
 * Inside the engine only (engine.c, engine_service.c). */
#ifndef PLAIT_SERVICE_ENGINE_WATCH_H
#define PLAIT_SERVICE_ENGINE_WATCH_H

#include "base/compiler.h"
#include "base/str.h"

struct engine_watches;

struct engine_watches *engine_watches_create(void);           /* NULL when out of memory */
void engine_watches_destroy(struct engine_watches **watches); /* nulls; accepts NULL */

/* Remembers one who waits. 0 when out of memory, else the token. Any thread. */
uint64_t engine_watches_add(struct engine_watches *watches, struct pl_str tenant,
                            struct pl_str run_id, void (*on_end)(void *arg), void *arg);
/* Forgets one; waits while its callback runs. Any thread but that of a callback. */
void engine_watches_remove(struct engine_watches *watches, uint64_t token);
/* Calls and forgets all who wait for the run. Any thread; callbacks run under the lock of the
 * watches, so they may only signal. */
void engine_watches_fire(struct engine_watches *watches, struct pl_str tenant,
                         struct pl_str run_id);

#endif
