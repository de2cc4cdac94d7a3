/* engine_watch.c - see engine_watch.h. One lock, held over callbacks: that is what makes a removed
 * watch a quiet one. */
#include "service/engine_watch.h"

#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"

#include <stdlib.h>

enum { BUCKETS = 1024 };

struct watch {
    struct pl_list link; /* on its bucket; guarded by lock */
    uint64_t token;      /* its remainder by BUCKETS is its bucket */
    void (*on_end)(void *arg);
    void *arg;
    size_t tenant_len, run_len;
    char text[]; /* tenant, run */
};

struct engine_watches {
    struct pl_mutex lock;
    uint64_t next; /* guarded by lock, as the rest */
    struct pl_list buckets[BUCKETS];
};

struct engine_watches *engine_watches_create(void)
{
    struct engine_watches *watches = calloc(1, sizeof *watches);

    if (!watches)
        return NULL;
    pl_mutex_init(&watches->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&watches->buckets[i]);
    return watches;
}

void engine_watches_destroy(struct engine_watches **watches)
{
    if (!*watches)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct pl_list *link; (link = pl_list_pop(&(*watches)->buckets[i]));)
            free(pl_container_of(link, struct watch, link));
    pl_mutex_finish(&(*watches)->lock);
    free(*watches);
    *watches = NULL;
}

static size_t bucket_of(struct pl_str run_id)
{
    return pl_hash(run_id) % BUCKETS;
}

uint64_t engine_watches_add(struct engine_watches *watches, struct pl_str tenant,
                            struct pl_str run_id, void (*on_end)(void *arg), void *arg)
{
    struct watch *watch = calloc(1, sizeof *watch + tenant.len + run_id.len);
    size_t bucket = bucket_of(run_id);
    uint64_t token;

    if (!watch)
        return 0;
    watch->on_end = on_end;
    watch->arg = arg;
    watch->tenant_len = tenant.len;
    watch->run_len = run_id.len;
    if (tenant.len)
        memcpy(watch->text, tenant.ptr, tenant.len);
    if (run_id.len)
        memcpy(watch->text + tenant.len, run_id.ptr, run_id.len);
    pl_mutex_lock(&watches->lock);
    token = watch->token = ++watches->next * BUCKETS + bucket;
    pl_list_append(&watches->buckets[bucket], &watch->link);
    pl_mutex_unlock(&watches->lock);
    return token;
}

void engine_watches_remove(struct engine_watches *watches, uint64_t token)
{
    struct pl_list *bucket = &watches->buckets[token % BUCKETS];

    if (token == 0)
        return;
    pl_mutex_lock(&watches->lock);
    PL_LIST_EACH(link, bucket)
    {
        struct watch *watch = pl_container_of(link, struct watch, link);

        if (watch->token != token)
            continue;
        pl_list_remove(link);
        free(watch);
        break;
    }
    pl_mutex_unlock(&watches->lock);
}

void engine_watches_fire(struct engine_watches *watches, struct pl_str tenant, struct pl_str run_id)
{
    struct pl_list *bucket = &watches->buckets[bucket_of(run_id)];

    pl_mutex_lock(&watches->lock);
    for (struct pl_list *link = bucket->next, *next; link != bucket; link = next) {
        struct watch *watch = pl_container_of(link, struct watch, link);

        next = link->next;
        if (!pl_str_eq(pl_str_n(watch->text, watch->tenant_len), tenant) ||
            !pl_str_eq(pl_str_n(watch->text + watch->tenant_len, watch->run_len), run_id))
            continue;
        pl_list_remove(link);
        watch->on_end(watch->arg);
        free(watch);
    }
    pl_mutex_unlock(&watches->lock);
}
