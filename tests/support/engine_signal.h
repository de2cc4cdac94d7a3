/* engine_signal.h - the callbacks an engine calls when something that was asked of it is done:
 * counted and waited for. Not those of runs (engine_probe.h). Included by tests of the engine. */
#ifndef PLAIT_TESTS_SUPPORT_ENGINE_SIGNAL_H
#define PLAIT_TESTS_SUPPORT_ENGINE_SIGNAL_H

#include "base/err.h"
#include "base/sync.h"

struct engine_signal {
    struct pl_mutex lock;
    struct pl_cond changed;
    unsigned count; /* guarded by lock; what follows is written before it grows */
    enum pl_code code;
    int64_t version; /* of a workflow that was put */
    bool created;
};

void engine_signal_init(struct engine_signal *signal);
void engine_signal_finish(struct engine_signal *signal);

/* Callbacks, with the signal as their argument: for engine_watch_end, for the end of an operation,
 * for engine_put_workflow. */
void engine_signal_give(void *arg);
void engine_signal_done(void *arg, enum pl_code code, const struct pl_err *err);
void engine_signal_put(void *arg, enum pl_code code, int64_t version, bool created,
                       const struct pl_err *err);

/* Until `count` callbacks came; the test fails after twenty seconds. */
void engine_signal_wait(struct engine_signal *signal, unsigned count);

#endif
