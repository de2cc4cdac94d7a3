/* timers.c - a binary heap. Not a clock. Called by serve.c. */
#include "tests/fake_model/timers.h"

#include <stdio.h>
#include <stdlib.h>

static void place(struct timers *timers, size_t i, struct due *due)
{
    timers->heap[i] = due;
    due->slot = i + 1;
}

static void sift(struct timers *timers, size_t i)
{
    struct due *due = timers->heap[i];

    while (i > 0 && timers->heap[(i - 1) / 2]->at > due->at) {
        place(timers, i, timers->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (size_t child = 2 * i + 1; child < timers->len; child = 2 * i + 1) {
        if (child + 1 < timers->len && timers->heap[child + 1]->at < timers->heap[child]->at)
            child++;
        if (timers->heap[child]->at >= due->at)
            break;
        place(timers, i, timers->heap[child]);
        i = child;
    }
    place(timers, i, due);
}

void timers_set(struct timers *timers, struct due *due, int64_t at)
{
    due->at = at;
    if (due->slot) {
        sift(timers, due->slot - 1);
        return;
    }
    if (timers->len == timers->capacity) {
        timers->capacity = timers->capacity ? 2 * timers->capacity : 256;
        timers->heap = realloc(timers->heap, timers->capacity * sizeof(timers->heap[0]));
        if (!timers->heap) {
            fputs("fake_model: out of memory\n", stderr);
            exit(1);
        }
    }
    place(timers, timers->len, due);
    sift(timers, timers->len++);
}

void timers_clear(struct timers *timers, struct due *due)
{
    const size_t i = due->slot - 1;

    if (!due->slot)
        return;
    due->slot = 0;
    timers->len--;
    if (i < timers->len) {
        place(timers, i, timers->heap[timers->len]);
        sift(timers, i);
    }
}

struct due *timers_first(const struct timers *timers)
{
    return timers->len ? timers->heap[0] : NULL;
}

void timers_finish(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}
