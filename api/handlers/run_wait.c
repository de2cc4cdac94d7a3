/* run_wait.c - where the engine, the client and the time meet. See run_wait.h.
 *
 * `asleep` says that the request is suspended and nobody has resumed it; whoever clears it under
 * the lock, and calls api_resume before letting the lock go, is the one. When the time ran out
 * instead, run_wait_woke clears it, or finds that somebody else has and, having had the lock, knows
 * that their api_resume is over. */
#include "api/handlers/run_wait.h"

#include "base/sync.h"

#include <stdlib.h>

struct run_wait {
    struct pl_mutex lock;
    atomic_uint refs;
    struct api_request *request; /* set once; valid while asleep, or on the request's thread */
    void *owner;                 /* set once */
    bool asleep;                 /* guarded by lock */
    enum run_wait_until until;   /* guarded by lock */
    struct run_wait_news news;   /* guarded by lock */
    uint64_t token;              /* of engine_watch_end; the request's thread */
    struct pl_str cancel;        /* the run to cancel when the client leaves; set before sleeping */
};

static void run_wait_put(struct run_wait *wait)
{
    if (atomic_fetch_sub(&wait->refs, 1) > 1)
        return;
    pl_mutex_finish(&wait->lock);
    free(wait);
}

/* The request has ended; maybe nobody woke it, and the handler was not asked again: its time ran
 * out, and the client left before it was told so. */
static void run_wait_leave(void *state)
{
    struct run_wait *wait = state;

    run_wait_woke(wait);
    if (wait->token)
        engine_unwatch_end(wait->request->engine, wait->token);
    run_wait_put(wait);
}

struct run_wait *run_wait_create(struct api_request *request, void *owner)
{
    struct run_wait *wait = calloc(1, sizeof *wait);

    if (!wait)
        return NULL;
    pl_mutex_init(&wait->lock);
    atomic_init(&wait->refs, 1);
    wait->request = request;
    wait->owner = owner;
    request->state = wait;
    request->state_free = run_wait_leave;
    return wait;
}

void *run_wait_owner(const struct api_request *request)
{
    const struct run_wait *wait = request->state;

    return wait->owner;
}

/* ---- news ---- */

static bool is_so_locked(const struct run_wait *wait, enum run_wait_until until)
{
    if (wait->news.ended || wait->news.left)
        return true;
    return until == RUN_WAIT_RECORDED && wait->news.recorded;
}

static void wake_locked(struct run_wait *wait)
{
    if (!wait->asleep || !is_so_locked(wait, wait->until))
        return;
    wait->asleep = false;
    api_resume(wait->request);
}

static void on_recorded(void *arg, const char *run_id)
{
    struct run_wait *wait = arg;

    (void)run_id;
    pl_mutex_lock(&wait->lock);
    wait->news.recorded = true;
    wake_locked(wait);
    pl_mutex_unlock(&wait->lock);
}

static void on_end(void *arg, const struct engine_end *end)
{
    struct run_wait *wait = arg;

    pl_mutex_lock(&wait->lock);
    wait->news.ended = true;
    wait->news.interrupted = pl_str_is(end->status, "interrupted");
    wait->news.store_err = end->store_err;
    if (!wait->news.interrupted)
        wait->news.recorded = true;
    wake_locked(wait);
    pl_mutex_unlock(&wait->lock);
    run_wait_put(wait);
}

static void on_watched_end(void *arg)
{
    struct run_wait *wait = arg;

    pl_mutex_lock(&wait->lock);
    wait->news.ended = true;
    wake_locked(wait);
    pl_mutex_unlock(&wait->lock);
}

/* ---- whom to listen to ---- */

void run_wait_begin(struct run_wait *wait, struct engine_run_request *start)
{
    atomic_fetch_add(&wait->refs, 1);
    start->on_recorded = on_recorded;
    start->on_end = on_end;
    start->arg = wait;
}

void run_wait_abandon(struct run_wait *wait)
{
    run_wait_put(wait);
}

enum pl_code run_wait_watch(struct run_wait *wait, struct pl_str run_id, struct pl_err *err)
{
    const struct api_request *request = wait->request;

    pl_mutex_lock(&wait->lock);
    wait->news.recorded = true;
    pl_mutex_unlock(&wait->lock);
    return engine_watch_end(request->engine, request->tenant, run_id, on_watched_end, wait,
                            &wait->token, err);
}

void run_wait_cancel_on_leave(struct run_wait *wait, struct pl_str run_id)
{
    wait->cancel = run_id;
}

/* ---- sleeping ---- */

struct run_wait_news run_wait_news(struct run_wait *wait)
{
    struct run_wait_news news;

    pl_mutex_lock(&wait->lock);
    news = wait->news;
    pl_mutex_unlock(&wait->lock);
    return news;
}

/* Another thread: the client has left a suspended request. */
static void client_gone(struct api_request *request)
{
    struct run_wait *wait = request->state;
    struct pl_err err = {0};

    /* NOT_FOUND: it is over; nothing is left to cancel */
    if (wait->cancel.len && engine_cancel(request->engine, request->tenant, wait->cancel,
                                          (struct pl_str){0}, &err) != PL_OK)
        err = (struct pl_err){0};
    pl_mutex_lock(&wait->lock);
    wait->news.left = true;
    wake_locked(wait);
    pl_mutex_unlock(&wait->lock);
}

bool run_wait_sleep(struct run_wait *wait, enum run_wait_until until, pl_ms limit,
                    void (*resumed)(struct api_request *request))
{
    bool so;

    pl_mutex_lock(&wait->lock);
    so = is_so_locked(wait, until);
    if (!so) {
        wait->until = until;
        api_suspend_for(wait->request, limit, resumed, client_gone);
        wait->asleep = true;
    }
    pl_mutex_unlock(&wait->lock);
    return !so;
}

void run_wait_woke(struct run_wait *wait)
{
    pl_mutex_lock(&wait->lock);
    wait->asleep = false;
    pl_mutex_unlock(&wait->lock);
}
