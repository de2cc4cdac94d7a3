/* sync.c - mutex, condition and thread over pthread. Not a lock library. Called by whatever shares
 * data between threads. A pthread call that can only fail by misuse is asserted. */
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

static void must(int error)
{
    assert(error == 0);
    (void)error;
}

void pl_mutex_init(struct pl_mutex *mutex)
{
    must(pthread_mutex_init(&mutex->mutex, NULL));
    atomic_init(&mutex->holder, 0);
}

void pl_mutex_finish(struct pl_mutex *mutex)
{
    if (mutex)
        must(pthread_mutex_destroy(&mutex->mutex));
}

static void set_holder(struct pl_mutex *mutex, pthread_t holder)
{
    atomic_store_explicit(&mutex->holder, holder, memory_order_relaxed);
}

void pl_mutex_lock(struct pl_mutex *mutex)
{
    must(pthread_mutex_lock(&mutex->mutex));
    set_holder(mutex, pthread_self());
}

void pl_mutex_unlock(struct pl_mutex *mutex)
{
    assert(pl_mutex_held(mutex));
    set_holder(mutex, 0);
    must(pthread_mutex_unlock(&mutex->mutex));
}

/* Relaxed is enough: only this thread can have written its own id, and it took it back before it
 * let go. */
bool pl_mutex_held(const struct pl_mutex *mutex)
{
    return atomic_load_explicit(&mutex->holder, memory_order_relaxed) == pthread_self();
}

void pl_cond_init(struct pl_cond *cond)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(&cond->cond, &attr));
    must(pthread_condattr_destroy(&attr));
}

void pl_cond_finish(struct pl_cond *cond)
{
    if (cond)
        must(pthread_cond_destroy(&cond->cond));
}

void pl_cond_wait(struct pl_cond *cond, struct pl_mutex *mutex)
{
    assert(pl_mutex_held(mutex));
    set_holder(mutex, 0);
    must(pthread_cond_wait(&cond->cond, &mutex->mutex));
    set_holder(mutex, pthread_self());
}

bool pl_cond_wait_for(struct pl_cond *cond, struct pl_mutex *mutex, pl_ms timeout)
{
    const pl_ms longest = (pl_ms)1000 * 60 * 60 * 24 * 365; /* keeps tv_sec in range */
    struct timespec until;
    int error;

    assert(pl_mutex_held(mutex));
    if (timeout < 0)
        timeout = 0;
    if (timeout > longest)
        timeout = longest;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout / 1000;
    until.tv_nsec += timeout % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    set_holder(mutex, 0);
    error = pthread_cond_timedwait(&cond->cond, &mutex->mutex, &until);
    set_holder(mutex, pthread_self());
    assert(error == 0 || error == ETIMEDOUT);
    return error == 0;
}

void pl_cond_signal(struct pl_cond *cond)
{
    must(pthread_cond_signal(&cond->cond));
}

void pl_cond_broadcast(struct pl_cond *cond)
{
    must(pthread_cond_broadcast(&cond->cond));
}

bool pl_thread_start(pthread_t *ret_thread, const char *name, void *(*main)(void *), void *arg)
{
    sigset_t all, before;
    pthread_t thread;
    int error;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    error = pthread_create(&thread, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return false;
    (void)pthread_setname_np(thread,
                             name); /* a thread that is already over keeps no name: no matter */
    *ret_thread = thread;
    return true;
}
