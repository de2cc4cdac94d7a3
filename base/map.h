/* map.h - a hash table from byte strings to pointers, for look-ups by name in large documents. Not
 * ordered, not thread-safe, no removal: it is built once and read. Keys are borrowed. */
#ifndef PLAIT_BASE_MAP_H
#define PLAIT_BASE_MAP_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"

struct pl_map;

/* Lives in `arena`; `expect` is a hint of how many keys. NULL when the arena failed. */
struct pl_map *pl_map_create(struct pl_arena *arena, size_t expect);
/* Adds or replaces. False when the arena failed. `replaced`, if not NULL, says whether the key was
 * there. */
bool pl_map_put(struct pl_map *map, struct pl_str key, void *value, bool *replaced);
/* NULL when absent. */
void *pl_map_get(const struct pl_map *map, struct pl_str key);
size_t pl_map_count(const struct pl_map *map);

/* 64-bit hash with a per-process random seed (collisions cannot be prepared). */
uint64_t pl_hash(struct pl_str key);
/* FNV-1a, 64 bit: the same in every process, for what is kept or must come out the same again; who
 * chooses the keys can make them collide. `hash` is what came before it, or where to begin. */
#define PL_HASH_STABLE_BEGIN UINT64_C(14695981039346656037)
uint64_t pl_hash_stable(uint64_t hash, struct pl_str key);

#endif
