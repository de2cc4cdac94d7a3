/* arena.h - memory that is freed all at once: one arena per workflow, per request, per activation
 * of a run. Not for things that grow and shrink, and not thread-safe: an arena belongs to one
 * thread at a time. Failure is sticky: allocate freely, ask pl_arena_failed() once before the
 * result leaves. */
#ifndef PLAIT_BASE_ARENA_H
#define PLAIT_BASE_ARENA_H

#include "base/compiler.h"
#include "base/str.h"

struct pl_arena;

/* A new arena that will hold at most `max_bytes` in all (0: no cap of its own). NULL when out of
 * memory. */
struct pl_arena *pl_arena_create(size_t max_bytes);

/* Frees everything in it and nulls the pointer. Accepts a NULL arena. */
void pl_arena_destroy(struct pl_arena **arena);

/* Forgets every allocation but keeps the first block for reuse; clears the sticky failure. */
void pl_arena_reset(struct pl_arena *arena);

/* Zeroed, aligned for any type. NULL after a failure (cap reached or out of memory), then and ever
 * after. */
void *pl_arena_alloc(struct pl_arena *arena, size_t size);
void *pl_arena_alloc_array(struct pl_arena *arena, size_t count,
                           size_t size); /* checks the product */

/* Copies with a NUL behind. The _str form returns an empty pl_str on failure. */
char *pl_arena_strdup(struct pl_arena *arena, const char *text);
struct pl_str pl_arena_str(struct pl_arena *arena, struct pl_str text);
char *pl_arena_printf(struct pl_arena *arena, const char *fmt, ...) PL_PRINTF(2, 3);

/* True once any allocation has failed. */
bool pl_arena_failed(const struct pl_arena *arena);
/* Bytes taken from the heap, for metrics and tests. */
size_t pl_arena_bytes(const struct pl_arena *arena);

#endif
