/* engine_keys.h - idempotency keys of runs that are being started: who holds one. Not the keys of
 * runs that are recorded: those are in the store. Inside the engine only. Any thread.
 *
 * A key is taken before the store is asked for it and given back when the run's first batch is
 * durable (then the store has it) or when there will be no run. */
#ifndef PLAIT_SERVICE_ENGINE_KEYS_H
#define PLAIT_SERVICE_ENGINE_KEYS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

struct engine_keys;
struct engine_key; /* one that is held */
struct store;

struct engine_keys *engine_keys_create(void);        /* NULL when out of memory */
void engine_keys_destroy(struct engine_keys **keys); /* none may be held; nulls; accepts NULL */

/* Takes a key. Errors: CONFLICT (another request holds it, for the length of a commit: try again),
 * NO_MEMORY, those of store_health when it is held and will be for long. */
enum pl_code engine_keys_take(struct engine_keys *keys, struct store *store, struct pl_str tenant,
                              struct pl_str route, struct pl_str key, struct engine_key **ret_key,
                              struct pl_err *err) PL_MUST_CHECK;
/* Gives it back; nulls; accepts NULL. */
void engine_keys_give(struct engine_keys *keys, struct engine_key **key);

#endif
