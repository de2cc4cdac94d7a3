/* engine_keys.c - see engine_keys.h. Whoever finds a key held comes again: then it finds the run in
 * the store, or the key free. */
#include "service/engine_keys.h"

#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"
#include "storage/store.h"

#include <stdlib.h>

enum { BUCKETS = 256 };

struct engine_key {
    struct pl_list link; /* on its bucket; guarded by lock */
    size_t tenant_len, route_len, key_len;
    char text[]; /* tenant, route, key */
};

struct engine_keys {
    struct pl_mutex lock;
    struct pl_list buckets[BUCKETS]; /* guarded by lock */
};

struct engine_keys *engine_keys_create(void)
{
    struct engine_keys *keys = calloc(1, sizeof *keys);

    if (!keys)
        return NULL;
    pl_mutex_init(&keys->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&keys->buckets[i]);
    return keys;
}

void engine_keys_destroy(struct engine_keys **keys)
{
    if (!*keys)
        return;
    pl_mutex_finish(&(*keys)->lock);
    free(*keys);
    *keys = NULL;
}

static struct engine_key *key_create(struct pl_str tenant, struct pl_str route, struct pl_str key)
{
    struct engine_key *made = calloc(1, sizeof *made + tenant.len + route.len + key.len);
    char *at;

    if (!made)
        return NULL;
    made->tenant_len = tenant.len;
    made->route_len = route.len;
    made->key_len = key.len;
    at = made->text;
    if (tenant.len)
        memcpy(at, tenant.ptr, tenant.len);
    at += tenant.len;
    if (route.len)
        memcpy(at, route.ptr, route.len);
    at += route.len;
    if (key.len)
        memcpy(at, key.ptr, key.len);
    return made;
}

static bool same(const struct engine_key *a, const struct engine_key *b)
{
    return a->tenant_len == b->tenant_len && a->route_len == b->route_len &&
           a->key_len == b->key_len &&
           memcmp(a->text, b->text, a->tenant_len + a->route_len + a->key_len) == 0;
}

static bool held_locked(struct pl_list *bucket, const struct engine_key *key)
{
    for (struct pl_list *link = bucket->next; link != bucket; link = link->next)
        if (same(pl_container_of(link, struct engine_key, link), key))
            return true;
    return false;
}

enum pl_code engine_keys_take(struct engine_keys *keys, struct store *store, struct pl_str tenant,
                              struct pl_str route, struct pl_str key, struct engine_key **ret_key,
                              struct pl_err *err)
{
    struct engine_key *mine = key_create(tenant, route, key);
    struct pl_list *bucket = &keys->buckets[pl_hash(key) % BUCKETS];
    enum pl_code code;
    bool held;

    if (!mine)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    pl_mutex_lock(&keys->lock);
    held = held_locked(bucket, mine);
    if (!held)
        pl_list_append(bucket, &mine->link);
    pl_mutex_unlock(&keys->lock);
    if (!held) {
        *ret_key = mine;
        return PL_OK;
    }
    free(mine);
    code = store_health(store, err); /* who holds it may wait for the disk for long */
    return code == PL_OK ? pl_err_set(err, PL_ERR_CONFLICT, "a run with this key is being started")
                         : code;
}

void engine_keys_give(struct engine_keys *keys, struct engine_key **key)
{
    if (!*key)
        return;
    pl_mutex_lock(&keys->lock);
    pl_list_remove(&(*key)->link);
    pl_mutex_unlock(&keys->lock);
    free(*key);
    *key = NULL;
}
