/* reuse_memory.c - see reuse_memory.h. A hash table of chains, and a list by last use. No lock: its
 * caller has one. */
#include "service/reuse_memory.h"

#include "base/list.h"
#include "storage/store.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct entry {
    struct pl_list bucket, use;
    struct reuse_key key;
    struct store_cached answer;
    size_t bytes;
};

struct reuse_memory {
    struct pl_list buckets[BUCKETS];
    struct pl_list use; /* used last comes last */
    size_t count, bytes, max_bytes;
};

struct reuse_memory *reuse_memory_create(size_t max_bytes)
{
    struct reuse_memory *memory = calloc(1, sizeof *memory);

    if (!memory)
        return NULL;
    memory->max_bytes = max_bytes;
    pl_list_init(&memory->use);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&memory->buckets[i]);
    return memory;
}

static void drop(struct reuse_memory *memory, struct entry *entry)
{
    pl_list_remove(&entry->bucket);
    pl_list_remove(&entry->use);
    memory->count--;
    memory->bytes -= entry->bytes;
    store_cached_finish(&entry->answer);
    free(entry);
}

void reuse_memory_destroy(struct reuse_memory **memory_at)
{
    struct reuse_memory *memory = *memory_at;

    if (!memory)
        return;
    while (!pl_list_empty(&memory->use))
        drop(memory, pl_container_of(memory->use.next, struct entry, use));
    free(memory);
    *memory_at = NULL;
}

/* The key is a hash: its first bytes are as good as any. */
static struct pl_list *bucket_of(struct reuse_memory *memory, const struct reuse_key *key)
{
    return &memory->buckets[(key->bytes[0] << 8 | key->bytes[1]) % BUCKETS];
}

static struct entry *find(struct reuse_memory *memory, const struct reuse_key *key)
{
    PL_LIST_EACH(link, bucket_of(memory, key))
    {
        struct entry *entry = pl_container_of(link, struct entry, bucket);

        if (memcmp(&entry->key, key, sizeof *key) == 0)
            return entry;
    }
    return NULL;
}

static struct store_cached share(const struct store_cached *answer)
{
    struct store_cached copy = *answer;

    copy.output = pl_value_ref(answer->output);
    copy.call = pl_value_ref(answer->call);
    return copy;
}

void reuse_memory_put(struct reuse_memory *memory, const struct reuse_key *key,
                      const struct store_cached *answer)
{
    size_t bytes =
        sizeof(struct entry) + pl_value_text(answer->output).len + pl_value_text(answer->call).len;
    struct entry *entry = find(memory, key);

    if (entry)
        drop(memory, entry);
    entry = bytes <= memory->max_bytes ? calloc(1, sizeof *entry) : NULL;
    if (!entry)
        return;
    while (memory->bytes + bytes > memory->max_bytes)
        drop(memory, pl_container_of(memory->use.next, struct entry, use));
    entry->key = *key;
    entry->answer = share(answer);
    entry->bytes = bytes;
    memory->count++;
    memory->bytes += bytes;
    pl_list_append(bucket_of(memory, key), &entry->bucket);
    pl_list_append(&memory->use, &entry->use);
}

bool reuse_memory_get(struct reuse_memory *memory, const struct reuse_key *key, pl_ms now,
                      struct store_cached *ret_answer)
{
    struct entry *entry = find(memory, key);

    if (!entry)
        return false;
    if (entry->answer.expires_at <= now) {
        drop(memory, entry);
        return false;
    }
    pl_list_remove(&entry->use);
    pl_list_append(&memory->use, &entry->use);
    *ret_answer = share(&entry->answer);
    return true;
}

size_t reuse_memory_count(const struct reuse_memory *memory)
{
    return memory->count;
}
