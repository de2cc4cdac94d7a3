/* memory.c - memory that runs out where a scenario wants it: the linker puts these in front of
 * malloc, calloc and realloc of this program. Not for the product. One thread. */
#include "tests/scenario/scenario.h"

#include <malloc.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool armed;
static unsigned countdown; /* the allocation that fails while armed; 0: none */
static bool refused;

void memory_set(unsigned at)
{
    countdown = at;
    refused = false;
}

void memory_arm(bool on)
{
    armed = on;
}

bool memory_refused(void)
{
    return refused;
}

static bool refuse(void)
{
    if (!armed || countdown == 0 || --countdown > 0)
        return false;
    refused = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

/* One that shrinks does not fail: who asks for it goes on with what there is. */
void *__wrap_realloc(void *memory, size_t size)
{
    bool grows = !memory || size > malloc_usable_size(memory);

    return grows && refuse() ? NULL : __real_realloc(memory, size);
}
