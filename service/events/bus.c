/* bus.c - live events to subscribers. See bus.h.
 *
 * One mutex guards all subscribers, which hang in a table by run: publishing is a short walk over
 * the few that watch a run, and nothing is copied when nobody watches. A queue item owns its
 * strings in one block. */
#include "service/events/bus.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"
#include "service/events/bus_texts.h"
#include "service/events/event_shared.h"

#include <stdlib.h>

enum {
    BUS_BUCKETS = 1024,
    BUS_JOIN_SCAN = 64,           /* how far back a delta looks for one of its step to join */
    BUS_DELTA_BYTES = 256 * 1024, /* text of deltas in one queue, snapshots apart */
};

struct bus_item {
    struct pl_list link;
    struct bus_event event; /* strings in `text`, but those of one not durable in `soft` */
    struct pl_buf soft;
    size_t counted; /* bytes of `soft` that count against BUS_DELTA_BYTES */
    char text[];
};

struct bus_subscriber {
    struct pl_list link; /* on its bucket; guarded by bus->lock, as all below */
    struct bus *bus;
    struct pl_list items;
    size_t queued, max_queue, delta_bytes;
    bool deltas, gap;
    bool snapshots;         /* bus_resync was called: it can take them */
    bool holed;             /* a delta was lost: none is given until the next snapshots */
    struct bus_item *taken; /* lent out by bus_take; the reader's */
    void (*wake)(void *arg);
    void *arg;
    size_t run_len;
    char run[];
};

struct bus {
    struct pl_mutex lock;
    struct pl_list *subscribers; /* BUS_BUCKETS by run; guarded by lock */
    struct bus_texts *texts;     /* guarded by lock */
    struct event_shared *shared; /* set once */
    atomic_uint watching;        /* how many are on it: the cheap answer */
};

/* ---- life ---- */

struct bus *bus_create(void)
{
    struct bus *bus = calloc(1, sizeof *bus);

    if (!bus)
        return NULL;
    pl_mutex_init(&bus->lock);
    bus->texts = bus_texts_create();
    bus->shared = event_shared_create();
    bus->subscribers = calloc(BUS_BUCKETS, sizeof *bus->subscribers);
    if (!bus->texts || !bus->shared || !bus->subscribers) {
        bus_destroy(&bus);
        return NULL;
    }
    for (size_t i = 0; i < BUS_BUCKETS; i++)
        pl_list_init(&bus->subscribers[i]);
    return bus;
}

void bus_destroy(struct bus **bus)
{
    if (!*bus)
        return;
    bus_texts_destroy(&(*bus)->texts);
    event_shared_destroy(&(*bus)->shared);
    pl_mutex_finish(&(*bus)->lock);
    free((*bus)->subscribers);
    free(*bus);
    *bus = NULL;
}

struct event_shared *bus_shared(struct bus *bus)
{
    return bus->shared;
}

static struct pl_list *bucket_of(struct bus *bus, struct pl_str run)
{
    return &bus->subscribers[pl_hash(run) % BUS_BUCKETS];
}

static struct pl_str run_of(const struct bus_subscriber *subscriber)
{
    return pl_str_n(subscriber->run, subscriber->run_len);
}

/* ---- items ---- */

static void item_free(struct bus_item *item)
{
    if (!item)
        return;
    pl_value_unref(&item->event.output);
    pl_buf_finish(&item->soft);
    free(item);
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
    bool soft = event->seq == 0;
    size_t size = event->type.len + event->path.len + (soft ? 0 : event->data.len);
    struct bus_item *item = calloc(1, sizeof *item + size);
    char *at;

    if (!item)
        return NULL;
    pl_buf_init(&item->soft, PL_LIMIT_STREAM_BYTES);
    item->event = *event;
    item->event.output = pl_value_ref(event->output);
    at = item->text;
    copy_text(&at, &item->event.type);
    copy_text(&at, &item->event.path);
    if (soft)
        pl_buf_str(&item->soft, event->data);
    else
        copy_text(&at, &item->event.data);
    if (pl_buf_failed(&item->soft)) {
        item_free(item);
        return NULL;
    }
    return item;
}

static bool is_delta(const struct bus_event *event)
{
    return event->seq == 0 && event->path.len > 0;
}

/* Voids the text of an attempt that goes on: it is not durable either. */
static bool is_reset(const struct bus_event *event)
{
    return is_delta(event) && pl_str_is(event->type, "step.reset");
}

/* Off the queue; the caller frees it or lends it out. */
static struct bus_item *unqueue_locked(struct bus_subscriber *subscriber, struct pl_list *link)
{
    struct bus_item *item = pl_container_of(link, struct bus_item, link);

    pl_list_remove(link);
    subscriber->queued--;
    subscriber->delta_bytes -= item->counted;
    return item;
}

static bool append_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    struct bus_item *item = item_create(event);

    if (!item)
        return false;
    if (is_delta(event) && !event->snapshot)
        item->counted = event->data.len;
    subscriber->delta_bytes += item->counted;
    subscriber->queued++;
    pl_list_append(&subscriber->items, &item->link);
    return true;
}

/* ---- subscribing and taking ---- */

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
    if (run.len)
        memcpy(subscriber->run, run.ptr, run.len);
    pl_mutex_lock(&bus->lock);
    pl_list_append(bucket_of(bus, run), &subscriber->link);
    atomic_fetch_add(&bus->watching, 1);
    pl_mutex_unlock(&bus->lock);
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

/* What is streaming now, behind what is queued. One that cannot be given for want of memory: its
 * reader goes without deltas until there is some. */
static void add_snapshots_locked(struct bus_subscriber *subscriber)
{
    const struct bus_text *text = NULL;

    subscriber->holed = false;
    while ((text = bus_texts_next(subscriber->bus->texts, run_of(subscriber), text))) {
        struct bus_event event = {
            .at = text->at,
            .type = PL_STR("step.delta"),
            .path = pl_str_n(text->path, text->path_len),
            .attempt = text->attempt,
            .data = pl_buf_view(&text->text),
            .snapshot = true,
        };

        if (!text->broken && !append_locked(subscriber, &event))
            subscriber->holed = true;
    }
}

void bus_resync(struct bus_subscriber *subscriber)
{
    pl_mutex_lock(&subscriber->bus->lock);
    for (struct pl_list *link = subscriber->items.next, *next; link != &subscriber->items;
         link = next) {
        struct bus_item *item = pl_container_of(link, struct bus_item, link);

        next = link->next;
        if (is_delta(&item->event))
            item_free(unqueue_locked(subscriber, link));
    }
    subscriber->snapshots = true;
    if (subscriber->deltas)
        add_snapshots_locked(subscriber);
    pl_mutex_unlock(&subscriber->bus->lock);
}

bool bus_take(struct bus_subscriber *subscriber, struct bus_event *ret_event, bool *ret_gap)
{
    item_free(subscriber->taken);
    subscriber->taken = NULL;
    pl_mutex_lock(&subscriber->bus->lock);
    *ret_gap = subscriber->gap;
    subscriber->gap = false;
    if (pl_list_empty(&subscriber->items) && subscriber->holed && subscriber->snapshots)
        add_snapshots_locked(subscriber);
    if (!pl_list_empty(&subscriber->items))
        subscriber->taken = unqueue_locked(subscriber, subscriber->items.next);
    pl_mutex_unlock(&subscriber->bus->lock);
    if (!subscriber->taken)
        return false;
    *ret_event = subscriber->taken->event;
    if (ret_event->seq == 0)
        ret_event->data = pl_buf_view(&subscriber->taken->soft);
    return true;
}

/* ---- publishing ---- */

static bool watches(const struct bus_subscriber *subscriber, struct pl_str run)
{
    return pl_str_eq(run_of(subscriber), run);
}

bool bus_watched(struct bus *bus, struct pl_str run, bool deltas)
{
    struct pl_list *bucket = bucket_of(bus, run);
    bool found = false;

    if (atomic_load(&bus->watching) == 0)
        return false;
    pl_mutex_lock(&bus->lock);
    PL_LIST_EACH(link, bucket)
    {
        struct bus_subscriber *subscriber = pl_container_of(link, struct bus_subscriber, link);

        found = found || (watches(subscriber, run) && (!deltas || subscriber->deltas));
    }
    pl_mutex_unlock(&bus->lock);
    return found;
}

/* Joins a delta to one of the same step and attempt that nobody has taken, when nothing of that
 * step came after it; run.progress takes the place of an older one. */
static bool join_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    unsigned scanned = 0;

    for (struct pl_list *link = subscriber->items.prev;
         link != &subscriber->items && scanned < BUS_JOIN_SCAN; link = link->prev, scanned++) {
        struct bus_item *item = pl_container_of(link, struct bus_item, link);

        if (!pl_str_eq(item->event.path, event->path))
            continue;
        if (item->event.seq != 0 || item->event.attempt != event->attempt || is_reset(&item->event))
            return false;
        if (event->path.len == 0) {
            pl_buf_reset(&item->soft);
            item->event.at = event->at;
        } else if (!item->event.snapshot) {
            item->counted += event->data.len;
            subscriber->delta_bytes += event->data.len;
        }
        pl_buf_str(&item->soft, event->data);
        if (pl_buf_failed(&item->soft)) { /* what it held is lost with it */
            item_free(unqueue_locked(subscriber, link));
            subscriber->holed = subscriber->snapshots;
        }
        return true;
    }
    return false;
}

/* One that is not durable may be lost: readers that take snapshots are given them later. */
static void enqueue_soft_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    bool delta = is_delta(event), full;

    if (delta && subscriber->holed)
        return;
    full = delta && subscriber->snapshots &&
           subscriber->delta_bytes + event->data.len > BUS_DELTA_BYTES;
    if (!full && !is_reset(event) && join_locked(subscriber, event))
        return;
    if (full || subscriber->queued >= subscriber->max_queue || !append_locked(subscriber, event))
        subscriber->holed = subscriber->holed || (delta && subscriber->snapshots);
}

/* True when there was nothing for the reader before: it must be woken. */
static bool enqueue_locked(struct bus_subscriber *subscriber, const struct bus_event *event)
{
    bool quiet = subscriber->queued == 0 && !subscriber->gap;

    if (event->seq == 0) {
        enqueue_soft_locked(subscriber, event);
        return quiet && (subscriber->queued > 0 || subscriber->holed);
    }
    if (subscriber->queued >= subscriber->max_queue || !append_locked(subscriber, event))
        subscriber->gap = true;
    return quiet;
}

void bus_publish(struct bus *bus, struct pl_str run, const struct bus_event *event)
{
    struct pl_list *bucket = bucket_of(bus, run);

    if (!is_delta(event) && atomic_load(&bus->watching) == 0)
        return;
    pl_mutex_lock(&bus->lock);
    if (is_reset(event))
        bus_texts_end(bus->texts, run, event->path);
    else if (is_delta(event))
        bus_texts_add(bus->texts, run, event);
    PL_LIST_EACH(link, bucket)
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

void bus_lose(struct bus *bus, struct pl_str run)
{
    struct pl_list *bucket = bucket_of(bus, run);

    if (atomic_load(&bus->watching) == 0)
        return;
    pl_mutex_lock(&bus->lock);
    PL_LIST_EACH(link, bucket)
    {
        struct bus_subscriber *subscriber = pl_container_of(link, struct bus_subscriber, link);
        bool quiet = subscriber->queued == 0 && !subscriber->gap;

        if (!watches(subscriber, run))
            continue;
        subscriber->gap = true;
        if (quiet)
            subscriber->wake(subscriber->arg);
    }
    pl_mutex_unlock(&bus->lock);
}

void bus_text_end(struct bus *bus, struct pl_str run, struct pl_str path)
{
    pl_mutex_lock(&bus->lock);
    bus_texts_end(bus->texts, run, path);
    pl_mutex_unlock(&bus->lock);
}
