/* step_probe.h - one attempt of a leaf step as a test sees it: prepared on the test's thread, run
 * on a loop, waited for, everything that came kept. Not an executor: no retries, no run. */
#ifndef PLAIT_TESTS_SUPPORT_STEP_PROBE_H
#define PLAIT_TESTS_SUPPORT_STEP_PROBE_H

#include "base/buf.h"
#include "service/net/loop.h"
#include "service/steps/step_kind.h"

#include <semaphore.h>

struct step_probe {
    /* may be changed by the test between init and prepare */
    struct step_env env;
    struct step_call call;
    struct pl_buf deltas; /* each followed by ^; a reset is ~ */
    const char *input;    /* JSON of .input */

    /* read by the test after wait */
    unsigned completes;
    int64_t started_us, completed_us; /* pl_monotonic_us */

    /* private */
    struct loop *loop;
    struct loop_mail start, stop;
    struct expr_scope scope;
    sem_t done;
};

/* An attempt of the step at `path`. `listen`: somebody wants deltas. */
void step_probe_init(struct step_probe *probe, struct loop *loop, struct providers *providers,
                     const struct workflow *workflow, const char *path, bool listen);
/* Prepares on this thread; the code and, in call.result.err, the message. */
enum pl_code step_probe_prepare(struct step_probe *probe);
void step_probe_start(struct step_probe *probe);
/* Until it completed; aborts the process after twenty seconds. */
void step_probe_wait(struct step_probe *probe);
/* Aborts it from its loop unless it is over; once. */
void step_probe_abort(struct step_probe *probe);
/* prepare (which must succeed), start and wait. */
void step_probe_run(struct step_probe *probe);
void step_probe_finish(struct step_probe *probe);

/* The output as a C string, or the error's code: "!timeout". In static memory until the next call.
 * One thread. */
const char *step_probe_result(const struct step_probe *probe);

#endif
