/* sync.h - mutex and condition that know who holds them, for assertions. Not a lock library: the
 * lock order is written in HACKING.md. Functions that need a lock end in _locked and assert it. */
#ifndef PLAIT_BASE_SYNC_H
#define PLAIT_BASE_SYNC_H

#include "base/clock.h"
#include "base/compiler.h"

#include <pthread.h>
#include <stdatomic.h>

struct pl_mutex {
    pthread_mutex_t mutex;
    _Atomic(pthread_t) holder; /* 0 when free; for pl_mutex_held only */
};

void pl_mutex_init(struct pl_mutex *mutex);
void pl_mutex_finish(struct pl_mutex *mutex);
void pl_mutex_lock(struct pl_mutex *mutex);
void pl_mutex_unlock(struct pl_mutex *mutex);
bool pl_mutex_held(const struct pl_mutex *mutex); /* by this thread */

struct pl_cond {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
};

void pl_cond_init(struct pl_cond *cond);
void pl_cond_finish(struct pl_cond *cond);
void pl_cond_wait(struct pl_cond *cond, struct pl_mutex *mutex);
/* False when `timeout` milliseconds passed without a signal. */
bool pl_cond_wait_for(struct pl_cond *cond, struct pl_mutex *mutex, pl_ms timeout);
void pl_cond_signal(struct pl_cond *cond);
void pl_cond_broadcast(struct pl_cond *cond);

/* Starts a thread with all signals blocked and a name of up to 15 bytes. False when it cannot. */
bool pl_thread_start(pthread_t *ret_thread, const char *name, void *(*main)(void *), void *arg);

#endif
