/* reuse_memory.h - the answers used last, in memory before the store: found without a disk. Not
 * what is kept for good (storage) nor whose turn it is (reuse.c, which calls it under its lock). */
#ifndef PLAIT_SERVICE_REUSE_MEMORY_H
#define PLAIT_SERVICE_REUSE_MEMORY_H

#include "base/clock.h"
#include "base/compiler.h"
#include "storage/records.h"

enum { REUSE_KEY_BYTES = 32 };

/* A hash of tenant and request. */
struct reuse_key {
    unsigned char bytes[REUSE_KEY_BYTES];
};

struct reuse_memory;

/* Keeps answers of so many bytes together, each with what it takes beside its texts. NULL when out
 * of memory. */
struct reuse_memory *reuse_memory_create(size_t max_bytes);
void reuse_memory_destroy(struct reuse_memory **memory); /* nulls; accepts NULL */

/* Keeps it as the one used last, in place of one with the same key; those not used for longest go.
 * References are taken. One that is larger than all there is room for, or for which memory is out,
 * is not kept: it is only slower to find then. */
void reuse_memory_put(struct reuse_memory *memory, const struct reuse_key *key,
                      const struct store_cached *answer);
/* True with references that are yours (store_cached_finish); one that has expired at `now` is
 * forgotten. */
bool reuse_memory_get(struct reuse_memory *memory, const struct reuse_key *key, pl_ms now,
                      struct store_cached *ret_answer);
size_t reuse_memory_count(const struct reuse_memory *memory);

#endif
