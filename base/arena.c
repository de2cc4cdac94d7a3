/* arena.c - blocks of memory freed together. Not thread-safe. Called by everything that lives as
 * long as a workflow, a request or an activation. With PLAIT_ARENA_MALLOC every allocation is a
 * block of its own, so that the address sanitizer sees an overrun. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ARENA_ALIGN = alignof(max_align_t),
    ARENA_FIRST_BLOCK = 1024, /* bytes; each next block is twice the one before: a call in flight
                                 holds little more than one */
    ARENA_LARGEST_BLOCK = 65536,
};

struct block {
    struct block *next;
    size_t size; /* usable bytes */
    size_t used;
    alignas(max_align_t) char data[];
};

struct pl_arena {
    struct block *blocks; /* all of them; the first is the one that is filled */
    struct block *first;  /* the oldest block that is filled, kept by reset; NULL before */
    size_t next_size;     /* of the next block */
    size_t bytes;         /* taken from the heap */
    size_t used;          /* handed out, rounded up */
    size_t max;
    bool failed;
};

struct pl_arena *pl_arena_create(size_t max_bytes)
{
    struct pl_arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return NULL;
    arena->next_size = ARENA_FIRST_BLOCK - sizeof(struct block);
    arena->bytes = sizeof(*arena);
    arena->max = max_bytes ? max_bytes : SIZE_MAX;
    return arena;
}

static void free_blocks(struct pl_arena *arena, const struct block *keep)
{
    struct block *block = arena->blocks, *next;

    for (; block; block = next) {
        next = block->next;
        if (block == keep)
            continue;
        arena->bytes -= sizeof(*block) + block->size;
        free(block);
    }
}

void pl_arena_destroy(struct pl_arena **arena)
{
    if (!arena || !*arena)
        return;
    free_blocks(*arena, NULL);
    free(*arena);
    *arena = NULL;
}

void pl_arena_reset(struct pl_arena *arena)
{
    free_blocks(arena, arena->first);
    arena->blocks = arena->first;
    if (arena->first) {
        arena->first->next = NULL;
        arena->first->used = 0;
    }
    arena->next_size = ARENA_FIRST_BLOCK - sizeof(struct block);
    arena->used = 0;
    arena->failed = false;
}

static struct block *new_block(struct pl_arena *arena, size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = NULL;
    block->size = size;
    block->used = 0;
    arena->bytes += sizeof(*block) + size;
    return block;
}

#ifdef PLAIT_ARENA_MALLOC

static void *take(struct pl_arena *arena, size_t asked, size_t rounded)
{
    struct block *block = new_block(arena, asked);

    (void)rounded;
    if (!block)
        return NULL;
    block->used = asked;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

#else

/* A block of its own, behind the one that is being filled. */
static void *take_large(struct pl_arena *arena, size_t size)
{
    struct block *block = new_block(arena, size);

    if (!block)
        return NULL;
    block->used = size;
    if (arena->blocks) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        arena->blocks = block;
    }
    return block->data;
}

static void *take(struct pl_arena *arena, size_t asked, size_t size)
{
    struct block *block = arena->blocks;

    (void)asked;
    if (!block || block->size - block->used < size) {
        if (size > arena->next_size / 4)
            return take_large(arena, size);
        block = new_block(arena, arena->next_size);
        if (!block)
            return NULL;
        block->next = arena->blocks;
        arena->blocks = block;
        if (!arena->first)
            arena->first = block;
        if (arena->next_size + sizeof(*block) < ARENA_LARGEST_BLOCK)
            arena->next_size = (arena->next_size + sizeof(*block)) * 2 - sizeof(*block);
    }
    block->used += size;
    return block->data + (block->used - size);
}

#endif

/* Not zeroed: for callers that write every byte. */
static void *alloc_raw(struct pl_arena *arena, size_t size)
{
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    void *memory;

    if (size == 0)
        rounded = ARENA_ALIGN;
    if (arena->failed)
        return NULL;
    if (rounded < size || size > SIZE_MAX / 2 || rounded > arena->max - arena->used) {
        arena->failed = true;
        return NULL;
    }
    memory = take(arena, size ? size : 1, rounded);
    if (!memory)
        arena->failed = true;
    else
        arena->used += rounded;
    return memory;
}

void *pl_arena_alloc(struct pl_arena *arena, size_t size)
{
    void *memory = alloc_raw(arena, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void *pl_arena_alloc_array(struct pl_arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        arena->failed = true;
        return NULL;
    }
    return pl_arena_alloc(arena, count * size);
}

static char *copy(struct pl_arena *arena, const char *text, size_t len)
{
    char *out = alloc_raw(arena, len + 1);

    if (!out)
        return NULL;
    if (len)
        memcpy(out, text, len);
    out[len] = '\0';
    return out;
}

char *pl_arena_strdup(struct pl_arena *arena, const char *text)
{
    return copy(arena, text, strlen(text));
}

struct pl_str pl_arena_str(struct pl_arena *arena, struct pl_str text)
{
    const char *out = copy(arena, text.ptr, text.len);

    return out ? pl_str_n(out, text.len) : (struct pl_str){0};
}

char *pl_arena_printf(struct pl_arena *arena, const char *fmt, ...)
{
    va_list args;
    char *out;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        arena->failed = true;
        return NULL;
    }
    out = alloc_raw(arena, (size_t)len + 1);
    if (!out)
        return NULL;
    va_start(args, fmt);
    vsnprintf(out, (size_t)len + 1, fmt, args);
    va_end(args);
    return out;
}

bool pl_arena_failed(const struct pl_arena *arena)
{
    return arena->failed;
}

size_t pl_arena_bytes(const struct pl_arena *arena)
{
    return arena->bytes;
}
