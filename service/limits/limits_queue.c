/* limits_queue.c - see limits_queue.h. A tenant and a run exist here while calls of theirs wait;
 * one that comes back goes to the end of the round. */
#include "service/limits/limits_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct turn_tenant {
    struct pl_list link; /* in the queue's tenants */
    struct pl_list runs; /* the one whose turn it is first */
    size_t len;
    char name[];
};

struct turn_run {
    struct pl_list link;   /* in its tenant's runs */
    struct pl_list bucket; /* in the queue's buckets */
    struct turn_tenant *tenant;
    const void *key;
    struct pl_list again, fresh; /* of turn_place */
};

void turn_queue_init(struct turn_queue *queue)
{
    *queue = (struct turn_queue){0};
    pl_list_init(&queue->tenants);
}

void turn_queue_finish(struct turn_queue *queue)
{
    assert(queue->count == 0);
    free(queue->buckets);
    queue->buckets = NULL;
}

static struct pl_list *bucket_of(const struct turn_queue *queue, const void *key)
{
    const uint64_t mixed = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;

    return &queue->buckets[mixed >> 56];
}

static struct turn_run *find_run(const struct turn_queue *queue, const void *key)
{
    PL_LIST_EACH(link, bucket_of(queue, key))
    {
        struct turn_run *run = pl_container_of(link, struct turn_run, bucket);

        if (run->key == key)
            return run;
    }
    return NULL;
}

static struct turn_tenant *find_tenant(const struct turn_queue *queue, struct pl_str name)
{
    PL_LIST_EACH(link, &queue->tenants)
    {
        struct turn_tenant *tenant = pl_container_of(link, struct turn_tenant, link);

        if (pl_str_eq(pl_str_n(tenant->name, tenant->len), name))
            return tenant;
    }
    return NULL;
}

static struct turn_tenant *add_tenant(struct turn_queue *queue, struct pl_str name)
{
    struct turn_tenant *tenant = calloc(1, sizeof *tenant + name.len + 1);

    if (!tenant)
        return NULL;
    pl_list_init(&tenant->runs);
    tenant->len = name.len;
    if (name.len)
        memcpy(tenant->name, name.ptr, name.len);
    pl_list_append(&queue->tenants, &tenant->link);
    return tenant;
}

static void drop_tenant_if_idle(struct turn_tenant *tenant)
{
    if (!pl_list_empty(&tenant->runs))
        return;
    pl_list_remove(&tenant->link);
    free(tenant);
}

static struct turn_run *add_run(struct turn_queue *queue, struct pl_str tenant_name,
                                const void *key)
{
    struct turn_run *run = calloc(1, sizeof *run);
    struct turn_tenant *tenant = run ? find_tenant(queue, tenant_name) : NULL;

    if (run && !tenant)
        tenant = add_tenant(queue, tenant_name);
    if (!tenant) {
        free(run);
        return NULL;
    }
    run->tenant = tenant;
    run->key = key;
    pl_list_init(&run->again);
    pl_list_init(&run->fresh);
    pl_list_append(&tenant->runs, &run->link);
    pl_list_append(bucket_of(queue, key), &run->bucket);
    return run;
}

static void drop_run_if_idle(struct turn_run *run)
{
    if (!pl_list_empty(&run->again) || !pl_list_empty(&run->fresh))
        return;
    pl_list_remove(&run->link);
    pl_list_remove(&run->bucket);
    drop_tenant_if_idle(run->tenant);
    free(run);
}

static bool make_buckets(struct turn_queue *queue)
{
    if (queue->buckets)
        return true;
    queue->buckets = malloc(TURN_BUCKETS * sizeof *queue->buckets);
    for (size_t i = 0; queue->buckets && i < TURN_BUCKETS; i++)
        pl_list_init(&queue->buckets[i]);
    return queue->buckets != NULL;
}

bool turn_queue_add(struct turn_queue *queue, struct pl_str tenant, const void *run, bool again,
                    struct turn_place *place)
{
    struct turn_run *of;

    assert(!place->run);
    if (!make_buckets(queue))
        return false;
    of = find_run(queue, run);
    if (!of)
        of = add_run(queue, tenant, run);
    if (!of)
        return false;
    place->run = of;
    pl_list_append(again ? &of->again : &of->fresh, &place->link);
    queue->count++;
    return true;
}

struct turn_place *turn_queue_first(const struct turn_queue *queue)
{
    struct turn_tenant *tenant;
    struct turn_run *run;

    if (queue->count == 0)
        return NULL;
    tenant = pl_container_of(queue->tenants.next, struct turn_tenant, link);
    run = pl_container_of(tenant->runs.next, struct turn_run, link);
    return pl_container_of(pl_list_empty(&run->again) ? run->fresh.next : run->again.next,
                           struct turn_place, link);
}

static void to_the_end(struct pl_list *head, struct pl_list *link)
{
    pl_list_remove(link);
    pl_list_append(head, link);
}

void turn_queue_take(struct turn_queue *queue)
{
    struct turn_place *place = turn_queue_first(queue);
    struct turn_run *run = place->run;

    to_the_end(&run->tenant->runs, &run->link);
    to_the_end(&queue->tenants, &run->tenant->link);
    turn_queue_remove(queue, place);
}

void turn_queue_remove(struct turn_queue *queue, struct turn_place *place)
{
    struct turn_run *run = place->run;

    if (!run)
        return;
    pl_list_remove(&place->link);
    place->run = NULL;
    queue->count--;
    drop_run_if_idle(run);
}
