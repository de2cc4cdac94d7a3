/* loop_timers.c - the timers of a loop: a binary heap of pointers to timers that live in their
 * owners. Not a clock: it fires by the loop's `now`. Called by loop.c; loop_timer_set and
 * loop_timer_clear by whoever owns a timer. */
#include "service/net/loop_private.h"

#include <stdlib.h>

static void put(struct loop_timers *timers, size_t place, struct loop_timer *timer)
{
    timers->heap[place] = timer;
    timer->slot = place + 1;
}

static void sift_up(struct loop_timers *timers, size_t place, struct loop_timer *timer)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;

        if (timers->heap[parent]->at <= timer->at)
            break;
        put(timers, place, timers->heap[parent]);
        place = parent;
    }
    put(timers, place, timer);
}

static void sift_down(struct loop_timers *timers, size_t place, struct loop_timer *timer)
{
    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at)
            child++;
        if (timers->heap[child]->at >= timer->at)
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

static bool grow(struct loop_timers *timers)
{
    size_t capacity = timers->capacity ? 2 * timers->capacity : 64;
    struct loop_timer **heap = realloc(timers->heap, capacity * sizeof(struct loop_timer *));

    if (!heap)
        return false;
    timers->heap = heap;
    timers->capacity = capacity;
    return true;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, pl_ms at)
{
    struct loop_timers *timers = &loop->timers;

    if (timer->slot) {
        size_t place = timer->slot - 1;
        bool earlier = at < timer->at;

        timer->at = at;
        if (earlier)
            sift_up(timers, place, timer);
        else
            sift_down(timers, place, timer);
        return;
    }
    timer->at = at;
    if (timers->count == timers->capacity && !grow(timers)) {
        timer->fire(loop, timer); /* early is safe, lost is not */
        return;
    }
    sift_up(timers, timers->count++, timer);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    struct loop_timers *timers = &loop->timers;
    size_t place = timer->slot - 1;
    struct loop_timer *last;

    if (!timer->slot)
        return;
    timer->slot = 0;
    last = timers->heap[--timers->count];
    if (last == timer)
        return;
    if (place > 0 && timers->heap[(place - 1) / 2]->at > last->at)
        sift_up(timers, place, last);
    else
        sift_down(timers, place, last);
}

pl_ms loop_timers_next(const struct loop_timers *timers)
{
    return timers->count ? timers->heap[0]->at : INT64_MAX;
}

void loop_timers_run(struct loop *loop)
{
    struct loop_timers *timers = &loop->timers;
    /* a timer that sets itself again for now must not keep the turn from ending */
    size_t budget = timers->count + 64;

    while (timers->count && timers->heap[0]->at <= loop->now && budget--) {
        struct loop_timer *timer = timers->heap[0];

        loop_timer_clear(loop, timer);
        timer->fire(loop, timer);
    }
}

void loop_timers_finish(struct loop_timers *timers)
{
    for (size_t i = 0; i < timers->count; i++)
        timers->heap[i]->slot = 0;
    free(timers->heap);
    *timers = (struct loop_timers){0};
}
