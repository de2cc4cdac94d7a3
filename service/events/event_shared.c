/* event_shared.c - see event_shared.h. A ring: the oldest goes. */
#include "service/events/event_shared.h"

#include "base/id.h"
#include "base/sync.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 16, KEPT_BYTES = 256 << 10 /* of one */ };

struct event_shared {
    struct pl_mutex lock;
    struct {
        struct pl_value *data; /* NULL: free */
        size_t run_len;
        char run[PL_ID_TEXT];
    } kept[KEPT];  /* guarded by lock */
    unsigned next; /* guarded by lock */
};

struct event_shared *event_shared_create(void)
{
    struct event_shared *shared = calloc(1, sizeof *shared);

    if (shared)
        pl_mutex_init(&shared->lock);
    return shared;
}

void event_shared_destroy(struct event_shared **shared)
{
    if (!*shared)
        return;
    for (size_t i = 0; i < KEPT; i++)
        pl_value_unref(&(*shared)->kept[i].data);
    pl_mutex_finish(&(*shared)->lock);
    free(*shared);
    *shared = NULL;
}

static struct pl_value *find_locked(struct event_shared *shared, struct pl_str run)
{
    for (size_t i = 0; i < KEPT; i++)
        if (shared->kept[i].data &&
            pl_str_eq(run, pl_str_n(shared->kept[i].run, shared->kept[i].run_len)))
            return shared->kept[i].data;
    return NULL;
}

struct pl_value *event_shared_get(struct event_shared *shared, struct pl_str run)
{
    struct pl_value *data;

    pl_mutex_lock(&shared->lock);
    data = pl_value_ref(find_locked(shared, run));
    pl_mutex_unlock(&shared->lock);
    return data;
}

void event_shared_put(struct event_shared *shared, struct pl_str run, struct pl_value *data)
{
    struct pl_value *gone = NULL;

    if (run.len > PL_ID_TEXT || pl_value_text(data).len > KEPT_BYTES)
        return;
    pl_mutex_lock(&shared->lock);
    if (!find_locked(shared, run)) {
        unsigned at = shared->next++ % KEPT;

        gone = shared->kept[at].data;
        shared->kept[at].data = pl_value_ref(data);
        shared->kept[at].run_len = run.len;
        if (run.len)
            memcpy(shared->kept[at].run, run.ptr, run.len);
    }
    pl_mutex_unlock(&shared->lock);
    pl_value_unref(&gone);
}
