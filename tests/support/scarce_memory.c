/* scarce_memory.c - see scarce_memory.h. The linker puts these in front of malloc, calloc and
 * realloc of the programs that ask for it; the others never pull this file in. */
#include "tests/support/scarce_memory.h"

#include <malloc.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

_Thread_local long scarce_countdown;
_Thread_local bool scarce_refused;

static bool refuse(void)
{
    if (scarce_countdown < 1 || --scarce_countdown > 0)
        return false;
    scarce_refused = true;
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
