/* jq_probe.h - a pool of jq workers with a loop, and jobs on it that a test starts and waits for.
 * Not a test. Used by tests/unit/service/test_jq_*.c. */
#ifndef PLAIT_TESTS_SUPPORT_JQ_PROBE_H
#define PLAIT_TESTS_SUPPORT_JQ_PROBE_H

#include "service/expr/jq_pool.h"

#include <semaphore.h>
#include <sys/types.h>

enum { JQ_PROBE_TEXTS = 300 };

struct jq_probe {
    struct jq_pool *pool;
    struct loop *loop;
};

/* One job with a program of its own, or another's. */
struct jq_ask {
    struct jq_probe *probe;
    struct jq_program program;
    struct pl_str texts[JQ_PROBE_TEXTS];
    bool folds[JQ_PROBE_TEXTS];
    uint32_t indexes[JQ_PROBE_TEXTS];
    struct jq_job job;
    struct pl_arena *arena;
    sem_t over;
    int64_t began_us, ended_us; /* pl_monotonic_us */
    unsigned dones;
    unsigned *order; /* counts the ends of several asks, loop thread only */
    unsigned rank;   /* what `order` was at its end */
};

void jq_probe_init(struct jq_probe *probe, unsigned workers);
void jq_probe_finish(struct jq_probe *probe);

/* A job of `text` (NULL: texts follow) over `document` (NULL: {}). Nothing is sent yet. */
void jq_ask_init(struct jq_ask *ask, struct jq_probe *probe, const char *text,
                 const char *document);
/* One more expression. */
void jq_ask_add(struct jq_ask *ask, const char *text, bool fold);
void jq_ask_start(struct jq_ask *ask);
/* Until done; ends the test after a minute. */
void jq_ask_wait(struct jq_ask *ask);
/* The value, or "!code: message", of expression `position`; in static memory, the last four stay.
 */
const char *jq_ask_result(const struct jq_ask *ask, size_t position);
void jq_ask_finish(struct jq_ask *ask);

/* All of that for one text: its result. */
const char *jq_probe_eval(struct jq_probe *probe, const char *text, const char *document);

/* Not ended, nor waiting to be waited for. */
bool jq_probe_lives(pid_t pid);
/* The processes that have `parent`, at most `max`; how many there are. Ended ones do not count. */
size_t jq_probe_children(pid_t parent, pid_t *pids, size_t max);
/* Waits until there are `count` children of this process; false after ten seconds. */
bool jq_probe_wait_children(size_t count);

#endif
