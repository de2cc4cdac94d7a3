/* pool.h - the loops of a process. Not a scheduler of steps: run_exec decides what runs, the pool
 * says where. Made by engine_create. */
#ifndef PLAIT_SERVICE_POOL_H
#define PLAIT_SERVICE_POOL_H

#include "service/net/loop.h"

struct pool;

/* `count` loops, started; 0: one a core. Errors: IO, NO_MEMORY. */
enum pl_code pool_create(unsigned count, const struct pl_clock *clock, struct pool **ret_pool,
                         struct pl_err *err) PL_MUST_CHECK;
/* Stops and joins every loop (each ends when its own work is back), frees. Blocks. Nulls; accepts
 * NULL. */
void pool_destroy(struct pool **pool);
/* The process ends right after pool_destroy: connections are left to the kernel, which closes
 * thousands in a fraction of the time. Before the first call. */
void pool_until_exit(struct pool *pool);
unsigned pool_size(const struct pool *pool);
struct loop *pool_loop(struct pool *pool, unsigned index);
/* A loop for a new run: in turn. Any thread. */
struct loop *pool_pick_home(struct pool *pool);
/* The least loaded loop, for calls that a run spills; the call is promised to it: loop_promise_kept
 * when it begins there. Any thread. */
struct loop *pool_pick_spill(struct pool *pool);

#endif
