/* pool.c - the loops of a process as one thing: made, started, picked from and stopped together.
 * Not a scheduler. Called by engine_create and by whoever needs a loop. */
#include "service/pool.h"

#include "base/limits.h"
#include "service/net/loop_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DESCRIPTORS_WIDE = 16384 }; /* 128 KiB of the kernel's memory */

struct pool {
    struct loop **loops; /* set once */
    unsigned count;      /* set once */
    struct loop_group group;
    atomic_uint next_home, next_spill;
};

/* Every transfer is a descriptor, and the usual soft limit is 1,024. Failing leaves the old limit:
 * calls over it are told so. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The kernel doubles a process's table of descriptors as it fills, and when there are threads each
 * time waits for all of them to have looked away: 5 to 40 ms, and nobody can open one meanwhile.
 * One descriptor far out, before there are threads, makes it large enough at once. */
static void widen_descriptor_table(void)
{
    struct rlimit limit;
    int fd = open("/", O_PATH | O_CLOEXEC), far = -1;

    if (fd >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        far = fcntl(fd, F_DUPFD_CLOEXEC,
                    limit.rlim_cur < DESCRIPTORS_WIDE ? (int)limit.rlim_cur - 1
                                                      : DESCRIPTORS_WIDE - 1);
    if (far >= 0)
        close(far);
    if (fd >= 0)
        close(fd);
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned)n;
}

enum pl_code pool_create(unsigned count, const struct pl_clock *clock, struct pool **ret_pool,
                         struct pl_err *err)
{
    struct pool *pool = calloc(1, sizeof *pool);
    enum pl_code code = PL_OK;

    raise_descriptor_limit();
    widen_descriptor_table();
    if (count == 0)
        count = cores();
    if (count > PL_LIMIT_LOOPS)
        count = PL_LIMIT_LOOPS;
    if (pool)
        pool->loops = calloc(count, sizeof(struct loop *));
    if (!pool || !pool->loops) {
        free(pool);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for %u loops", count);
    }
    while (pool->count < count && code == PL_OK) {
        code = loop_create(pool->count, clock, &pool->loops[pool->count], err);
        if (code == PL_OK)
            pool->count++;
    }
    /* the group is whole before the first thread looks at it */
    pool->group.loops = pool->loops;
    pool->group.count = pool->count;
    for (unsigned i = 0; i < pool->count; i++)
        pool->loops[i]->group = &pool->group;
    for (unsigned i = 0; i < pool->count && code == PL_OK; i++)
        code = loop_start(pool->loops[i], err);
    if (code != PL_OK) {
        pool_destroy(&pool);
        return code;
    }
    *ret_pool = pool;
    return PL_OK;
}

void pool_destroy(struct pool **pool)
{
    struct pool *p = *pool;

    if (!p)
        return;
    for (unsigned i = 0; i < p->count; i++)
        loop_ask_stop(p->loops[i]);
    for (unsigned i = 0; i < p->count; i++)
        loop_stop(p->loops[i]);
    for (unsigned i = 0; i < p->count; i++)
        loop_destroy(&p->loops[i]);
    free(p->loops);
    free(p);
    *pool = NULL;
}

void pool_until_exit(struct pool *pool)
{
    atomic_store(&pool->group.until_exit, true);
}

unsigned pool_size(const struct pool *pool)
{
    return pool->count;
}

struct loop *pool_loop(struct pool *pool, unsigned index)
{
    return pool->loops[index];
}

struct loop *pool_pick_home(struct pool *pool)
{
    return pool
        ->loops[atomic_fetch_add_explicit(&pool->next_home, 1, memory_order_relaxed) % pool->count];
}

struct loop *pool_pick_spill(struct pool *pool)
{
    /* starting in turn spreads what several runs pick at once */
    unsigned first = atomic_fetch_add_explicit(&pool->next_spill, 1, memory_order_relaxed);
    struct loop *best = pool->loops[first % pool->count];

    for (unsigned i = 1; i < pool->count; i++) {
        struct loop *loop = pool->loops[(first + i) % pool->count];

        if (loop_load(loop) < loop_load(best))
            best = loop;
    }
    loop_promise(best);
    return best;
}
