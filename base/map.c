/* map.c - open addressing with linear probing, at most three quarters full. Not ordered, no
 * removal. Called where names are looked up in documents that may be large. */
#include "base/map.h"

#include "base/random.h"

#include <pthread.h>
#include <sodium.h>

struct slot {
    struct pl_str key;
    void *value;
    uint64_t hash;
    bool taken;
};

struct pl_map {
    struct pl_arena *arena;
    struct slot *slots;
    size_t mask; /* slots - 1; slots are a power of two */
    size_t count;
};

static unsigned char hash_seed[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
    pl_random_bytes(hash_seed, sizeof(hash_seed));
}

uint64_t pl_hash(struct pl_str key)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t hash;

    pthread_once(&hash_once, make_seed);
    crypto_shorthash(out, (const unsigned char *)(key.len ? key.ptr : ""), key.len, hash_seed);
    memcpy(&hash, out, sizeof(hash));
    return hash;
}

uint64_t pl_hash_stable(uint64_t hash, struct pl_str key)
{
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
    return hash;
}

struct pl_map *pl_map_create(struct pl_arena *arena, size_t expect)
{
    struct pl_map *map = pl_arena_alloc(arena, sizeof(*map));
    size_t slots = 8;

    while (slots < SIZE_MAX / 4 && slots / 4 * 3 < expect)
        slots *= 2;
    if (!map)
        return NULL;
    map->arena = arena;
    map->mask = slots - 1;
    map->slots = pl_arena_alloc_array(arena, slots, sizeof(*map->slots));
    return map->slots ? map : NULL;
}

/* The slot that holds `key`, or the free one where it belongs. */
static struct slot *find(const struct pl_map *map, struct pl_str key, uint64_t hash)
{
    size_t at = (size_t)hash & map->mask;

    while (map->slots[at].taken) {
        if (map->slots[at].hash == hash && pl_str_eq(map->slots[at].key, key))
            break;
        at = (at + 1) & map->mask;
    }
    return &map->slots[at];
}

static bool grow(struct pl_map *map)
{
    struct pl_map larger = *map;

    larger.mask = map->mask * 2 + 1;
    larger.slots = pl_arena_alloc_array(map->arena, larger.mask + 1, sizeof(*larger.slots));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i <= map->mask; i++) {
        const struct slot *slot = &map->slots[i];

        if (slot->taken)
            *find(&larger, slot->key, slot->hash) = *slot;
    }
    *map = larger;
    return true;
}

bool pl_map_put(struct pl_map *map, struct pl_str key, void *value, bool *replaced)
{
    uint64_t hash = pl_hash(key);
    struct slot *slot = find(map, key, hash);

    if (replaced)
        *replaced = slot->taken;
    if (!slot->taken) {
        if (map->count >= (map->mask + 1) / 4 * 3) {
            if (!grow(map))
                return false;
            slot = find(map, key, hash);
        }
        map->count++;
    }
    *slot = (struct slot){.key = key, .value = value, .hash = hash, .taken = true};
    return true;
}

void *pl_map_get(const struct pl_map *map, struct pl_str key)
{
    return find(map, key, pl_hash(key))->value;
}

size_t pl_map_count(const struct pl_map *map)
{
    return map->count;
}
