/* workflow_cache.c - see workflow_cache.h. One lock; a hash table of chains, and a list by last
 * use.
 */
#include "service/workflow/workflow_cache.h"

#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUCKETS = 512,
    COMPILED_TIMES = 10, /* a document's length: about what it takes compiled */
};

struct entry {
    struct pl_list bucket, use; /* guarded by the cache's lock */
    struct workflow *workflow;
    size_t bytes;
    char key[WORKFLOW_CACHE_KEY];
};

struct workflow_cache {
    struct pl_mutex lock; /* a leaf: nothing is locked under it */
    struct pl_list buckets[BUCKETS];
    struct pl_list use; /* guarded by lock: last used last */
    size_t count, bytes;
};

struct workflow_cache *workflow_cache_create(void)
{
    struct workflow_cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return NULL;
    pl_mutex_init(&cache->lock);
    pl_list_init(&cache->use);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&cache->buckets[i]);
    return cache;
}

static void drop_locked(struct workflow_cache *cache, struct entry *entry)
{
    pl_list_remove(&entry->bucket);
    pl_list_remove(&entry->use);
    cache->count--;
    cache->bytes -= entry->bytes;
    workflow_unref(&entry->workflow);
    free(entry);
}

void workflow_cache_destroy(struct workflow_cache **cache_at)
{
    struct workflow_cache *cache = *cache_at;

    if (!cache)
        return;
    while (!pl_list_empty(&cache->use))
        drop_locked(cache, pl_container_of(cache->use.next, struct entry, use));
    pl_mutex_finish(&cache->lock);
    free(cache);
    *cache_at = NULL;
}

const char *workflow_cache_key(struct pl_str text, enum doc_format format,
                               char out[static WORKFLOW_CACHE_KEY])
{
    static const char *const names[] = {[DOC_AUTO] = "a:", [DOC_JSON] = "j:", [DOC_YAML] = "y:"};
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)(text.len ? text.ptr : ""), text.len);
    snprintf(out, 3, "%s", names[format]);
    sodium_bin2hex(out + 2, WORKFLOW_CACHE_KEY - 2, hash, sizeof hash);
    return out;
}

static struct pl_list *bucket_of(struct workflow_cache *cache, struct pl_str key)
{
    return &cache->buckets[pl_hash(key) % BUCKETS];
}

static struct entry *find_locked(struct workflow_cache *cache, struct pl_str key)
{
    struct pl_list *bucket = bucket_of(cache, key);

    PL_LIST_EACH(link, bucket)
    {
        struct entry *entry = pl_container_of(link, struct entry, bucket);

        if (pl_str_is(key, entry->key))
            return entry;
    }
    return NULL;
}

struct workflow *workflow_cache_get(struct workflow_cache *cache, struct pl_str key)
{
    struct workflow *workflow = NULL;
    struct entry *entry;

    pl_mutex_lock(&cache->lock);
    entry = find_locked(cache, key);
    if (entry) {
        pl_list_remove(&entry->use);
        pl_list_append(&cache->use, &entry->use);
        workflow = workflow_ref(entry->workflow);
    }
    pl_mutex_unlock(&cache->lock);
    return workflow;
}

/* The workflows it calls by name are counted by their documents, which its text has: one of them
 * may be called by many. */
static size_t bytes_of(const struct workflow *workflow)
{
    size_t bytes = pl_arena_bytes(workflow->arena);

    return workflow->n_children ? bytes + COMPILED_TIMES * workflow->text.len : bytes;
}

void workflow_cache_put(struct workflow_cache *cache, struct pl_str key, struct workflow *workflow)
{
    /* A text that calls others by name may mean newer ones the next time. */
    bool fixed = workflow->n_children == 0 || pl_str_is(key, workflow->hash);
    struct entry *entry = fixed && key.len < WORKFLOW_CACHE_KEY ? calloc(1, sizeof *entry) : NULL;

    if (!entry)
        return;
    memcpy(entry->key, key.ptr, key.len);
    entry->bytes = bytes_of(workflow);
    pl_mutex_lock(&cache->lock);
    if (find_locked(cache, key)) {
        free(entry); /* another thread compiled it at the same time */
    } else {
        entry->workflow = workflow_ref(workflow);
        pl_list_append(bucket_of(cache, key), &entry->bucket);
        pl_list_append(&cache->use, &entry->use);
        cache->count++;
        cache->bytes += entry->bytes;
        while (cache->count > 1 &&
               (cache->count > WORKFLOW_CACHE_MOST || cache->bytes > WORKFLOW_CACHE_BYTES))
            drop_locked(cache, pl_container_of(cache->use.next, struct entry, use));
    }
    pl_mutex_unlock(&cache->lock);
}
