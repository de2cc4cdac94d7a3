/* limits.c - a lane: whether a provider may be called now, and how long to leave it alone. Not a
 * queue and not a rate limiter: it only follows what the server said. Called by llm steps on every
 * loop.
 *
 * Reading is two atomic loads, as every call asks. Changes are rare and take the lock, so that a
 * pause and its reason belong together. */
#include "service/limits.h"

#include "base/sync.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const pl_ms BACKOFF_FIRST = 250, BACKOFF_MOST = 15000;

struct lane {
    struct pl_mutex lock;
    _Atomic(pl_ms) until;         /* 0: open; written under lock */
    _Atomic(const char *) reason; /* of the latest pause; written under lock */
    atomic_bool answered;
    atomic_uint failures; /* in a row */
};

struct lane *lane_create(void)
{
    struct lane *lane = calloc(1, sizeof *lane);

    if (!lane)
        return NULL;
    pl_mutex_init(&lane->lock);
    atomic_init(&lane->reason, "");
    return lane;
}

void lane_destroy(struct lane **lane)
{
    if (!*lane)
        return;
    pl_mutex_finish(&(*lane)->lock);
    free(*lane);
    *lane = NULL;
}

bool lane_paused(const struct lane *lane, pl_ms now, pl_ms *ret_until, const char **ret_reason)
{
    pl_ms until = atomic_load(&lane->until);

    if (until <= now)
        return false;
    *ret_until = until;
    *ret_reason = atomic_load(&lane->reason);
    return true;
}

void lane_pause(struct lane *lane, pl_ms until, const char *reason)
{
    pl_mutex_lock(&lane->lock);
    if (until > atomic_load(&lane->until)) {
        /* the reason first: whoever sees the pause sees why */
        atomic_store(&lane->reason, reason);
        atomic_store(&lane->until, until);
    }
    pl_mutex_unlock(&lane->lock);
}

void lane_answered(struct lane *lane)
{
    /* the usual case writes nothing, so that loops do not pass a cache line about */
    if (!atomic_load(&lane->answered))
        atomic_store(&lane->answered, true);
    if (atomic_load(&lane->failures))
        atomic_store(&lane->failures, 0);
    if (atomic_load(&lane->until) == 0)
        return;
    pl_mutex_lock(&lane->lock);
    if (strcmp(atomic_load(&lane->reason), "unreachable") == 0)
        atomic_store(&lane->until, 0);
    pl_mutex_unlock(&lane->lock);
}

bool lane_has_answered(const struct lane *lane)
{
    return atomic_load(&lane->answered);
}

pl_ms lane_backoff(struct lane *lane)
{
    unsigned failures = atomic_fetch_add(&lane->failures, 1);

    if (failures >
        6) { /* 250 ms doubled six times is past the most; and the count must not run over */
        atomic_store(&lane->failures, 7);
        return BACKOFF_MOST;
    }
    return BACKOFF_FIRST << failures < BACKOFF_MOST ? BACKOFF_FIRST << failures : BACKOFF_MOST;
}
