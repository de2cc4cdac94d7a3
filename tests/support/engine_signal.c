/* engine_signal.c - see engine_signal.h. */
#include "tests/support/engine_signal.h"

#include <check.h>

void engine_signal_init(struct engine_signal *signal)
{
    *signal = (struct engine_signal){0};
    pl_mutex_init(&signal->lock);
    pl_cond_init(&signal->changed);
}

void engine_signal_finish(struct engine_signal *signal)
{
    pl_cond_finish(&signal->changed);
    pl_mutex_finish(&signal->lock);
}

void engine_signal_give(void *arg)
{
    struct engine_signal *signal = arg;

    pl_mutex_lock(&signal->lock);
    signal->count++;
    pl_cond_broadcast(&signal->changed);
    pl_mutex_unlock(&signal->lock);
}

void engine_signal_done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct engine_signal *signal = arg;

    (void)err;
    signal->code = code;
    engine_signal_give(signal);
}

void engine_signal_put(void *arg, enum pl_code code, int64_t version, bool created,
                       const struct pl_err *err)
{
    struct engine_signal *signal = arg;

    signal->version = version;
    signal->created = created;
    engine_signal_done(arg, code, err);
}

void engine_signal_wait(struct engine_signal *signal, unsigned count)
{
    pl_mutex_lock(&signal->lock);
    while (signal->count < count)
        ck_assert(pl_cond_wait_for(&signal->changed, &signal->lock, 20000));
    pl_mutex_unlock(&signal->lock);
}
