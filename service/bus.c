/* bus.c - live events to subscribers. See bus.h.
 *
 * One mutex guards all subscribers: publishing is a short walk over the few that watch a run, and
 * nothing is copied when nobody watches. A queue item owns its strings in one block. */
#include "service/bus.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/sync.h"

#include <stdlib.h>

enum { BUS_JOIN_SCAN = 64 }; /* how far back a delta looks for one of its step to join */

struct bus_item {
    struct pl_list link;
    struct bus_event event; /* strings in `text`, but a delta's data in `delta` */
    struct pl_buf delta;
    char text[];
};

struct bus_subscriber {
    struct pl_list link; /* on the bus; guarded by bus->lock, as all below */
    struct bus *bus;
    struct pl_list items;
    size_t queued, max_queue;
    bool deltas, gap;
    struct bus_item *taken; /* lent out by bus_take; the reader's */
    void (*wake)(void *arg);
    void *arg;
    size_t run_len;
    char run[];
};

struct bus {
    struct pl_mutex lock;
    struct pl_list subscribers; /* guarded by lock */
    atomic_uint watching;       /* how many are on it: the cheap answer */
};

struct bus *bus_create(void)
{
    struct bus *bus = calloc(1, sizeof *bus);

    if (!bus)
        return NULL;
    pl_mutex_init(&bus->lock);
    pl_list_init(&bus->subscribers);
    return bus;
}

void bus_destroy(struct bus **bus)
{
    if (!*bus)
        return;
    pl_mutex_finish(&(*bus)->lock);
    free(*bus);
    *bus = NULL;
}

static void item_free(struct bus_item *item)
{
    if (!item)
        return;
    pl_value_unref(&item->event.output);
    pl_buf_finish(&item->delta);
    free(item);
}

struct bus_subscriber *bus_subscribe(struct bus *bus, struct pl_str run, size_t max_queue,
                                     bool deltas, void (*wake)(void *arg), void *arg)
{
    struct bus_subscriber *subscriber = calloc(1, sizeof *subscriber + run.len);

    if (!subscriber)
        return NULL;
    subscriber->bus = bus;
    pl_list_init(&subscriber->items);
    subscriber->max_queue = max_queue;
    subscriber->deltas = deltas;
    subscriber->wake = wake;
    subscriber->arg = arg;
    subscriber->run_len = run.len;
    memcpy(subscriber->run, run.ptr, run.len);
    pl_mutex_lock(&bus->lock);
    pl_list_append(&bus->subscribers, &subscriber->link);
    pl_mutex_unlock(&bus->lock);
    atomic_fetch_add(&bus->watching, 1);
    return subscriber;
}

void bus_unsubscribe(struct bus_subscriber **subscriber)
{
    struct bus_subscriber *gone = *subscriber;

    if (!gone)
        return;
    *subscriber = NULL;
    atomic_fetch_sub(&gone->bus->watching, 1);
    pl_mutex_lock(&gone->bus->lock);
    pl_list_remove(&gone->link);
    pl_mutex_unlock(&gone->bus->lock);
    for (struct pl_list *link; (link = pl_list_pop(&gone->items));)
        item_free(pl_container_of(link, struct bus_item, link));
    item_free(gone->taken);
    free(gone);
}

bool bus_take(struct bus_subscriber *subscriber, struct bus_event *ret_event, bool *ret_gap)
{
    struct pl_list *link;

    item_free(subscriber->taken);
    subscriber->taken = NULL;
    pl_mutex_lock(&subscriber->bus->lock);
    *ret_gap = subscriber->gap;
    subscriber->gap = false;
    link = pl_list_pop(&subscriber->items);
    if (link)
        subscriber->queued--;
    pl_mutex_unlock(&subscriber->bus->lock);
    if (!link)
        return false;
    subscriber->taken = pl_container_of(link, struct bus_item, link);
    *ret_event = subscriber->taken->event;
    if (ret_event->seq == 0)
        ret_event->data = pl_buf_view(&subscriber->taken->delta);
    return true;
}

static bool watches(const struct bus_subscriber *subscriber, struct pl_str run)
{
    return pl_str_eq(pl_str_n(subscriber->run, subscriber->run_len), run);
}

bool bus_watched(struct bus *bus, struct pl_str run, bool deltas)
{
    bool found = false;

    if (atomic_load(&bus->watching) == 0)
        return false;
    pl_mutex_lock(&bus->lock);
    PL_LIST_EACH(link, &bus->subscribers)
    {
        struct bus_subscriber *subscriber = pl_container_of(link, struct bus_subscriber, link);

        found = found || (watches(subscriber, run) && (!deltas || subscriber->deltas));
    }
    pl_mutex_unlock(&bus->lock);
    return found;
}

static void copy_text(char **at, struct pl_str *text)
{
    if (text->len)
        memcpy(*at, text->ptr, text->len);
    text->ptr = *at;
    *at += text->len;
}

static struct bus_item *item_create(const struct bus_event *event)
{
    bool delta = event->seq == 0;
    size_t size = event->type.len + event->path.len + (delta ? 0 : event->data.len);
    struct bus_item *item = calloc(1, sizeof *item + size);
    char *at;

    if (!item)
        return NULL;
    pl_buf_init(&item->delta, PL_LIMIT_STREAM_BYTES);
    item->event = *event;
    item->event.output = pl_value_ref(event->output);
    at = item->text;
    copy_text(&at, &item->event.type);
    copy_text(&at, &item->event.path);
    if (delta)
        pl_buf_str(&item->delta, event->data);
    else
        copy_text(&at, &item->event.data);
    return item;
}

/* Joins a delta to one of the same step and attempt that nobody has taken, when nothing of that
 * step came after it. */
static bool join_delta_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    unsigned scanned = 0;

    for (struct pl_list *link = subscriber->items.prev;
         link != &subscriber->items && scanned < BUS_JOIN_SCAN; link = link->prev, scanned++) {
        struct bus_item *item = pl_container_of(link, struct bus_item, link);

        if (!pl_str_eq(item->event.path, event->path))
            continue;
        if (item->event.seq != 0 || item->event.attempt != event->attempt)
            return false;
        pl_buf_str(&item->delta, event->data);
        return true;
    }
    return false;
}

/* True when the queue was empty before: its reader must be woken. */
static bool enqueue_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    struct bus_item *item;

    if (event->seq == 0 && join_delta_locked(subscriber, event))
        return false;
    item = subscriber->queued < subscriber->max_queue ? item_create(event) : NULL;
    if (!item) {
        subscriber->gap = subscriber->gap || event->seq != 0;
        return false;
    }
    pl_list_append(&subscriber->items, &item->link);
    return subscriber->queued++ == 0;
}

void bus_publish(struct bus *bus, struct pl_str run, const struct bus_event *event)
{
    if (atomic_load(&bus->watching) == 0)
        return;
    pl_mutex_lock(&bus->lock);
    PL_LIST_EACH(link, &bus->subscribers)
    {
        struct bus_subscriber *subscriber = pl_container_of(link, struct bus_subscriber, link);

        if (!watches(subscriber, run) || (event->seq == 0 && !subscriber->deltas))
            continue;
        /* under the lock, so that a subscriber cannot be freed between being found and being woken
         */
        if (enqueue_locked(subscriber, event))
            subscriber->wake(subscriber->arg);
    }
    pl_mutex_unlock(&bus->lock);
}
