/* jq_pool.h - jq programs run in child processes: a fixed set of workers, a fair queue in front of
 * them, each worker killed and replaced when it overruns or dies. libjq never runs in this process.
 * Not the finding of expressions in text (template) and not what their values mean (run_values).
 * Called by run_exec (jobs), by the engine (create), by main (the worker's own main) and by checks.
 *
 * A worker is this same binary started again (jq_worker_main): no environment, no files, no network
 * (seccomp), its memory and CPU time limited, niced. It keeps the programs it has compiled. */
#ifndef PLAIT_SERVICE_EXPR_JQ_POOL_H
#define PLAIT_SERVICE_EXPR_JQ_POOL_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "service/net/loop.h"

#include <stdatomic.h>

struct jq_pool;

/* All jq expressions of one workflow as one unit: compiled once by each worker that needs it.
 * Immutable, lives in the workflow's arena. */
struct jq_program {
    uint64_t id;          /* unique in this process */
    struct pl_str *texts; /* by index: what stands between the braces */
    bool *folds;          /* by index: see expr.h, REDUCER_PROGRAM */
    size_t count;
};
/* The next unused id. Any thread. */
uint64_t jq_program_new_id(void);

/* One question: the values of some expressions of one program over one document. Filled by the
 * caller, who keeps it and everything in it alive until `done`. */
struct jq_job {
    const struct jq_program *program;
    const uint32_t *indexes; /* which expressions */
    size_t n_indexes;
    struct pl_str document; /* JSON object: `.`; its members input, steps, state and run are bound
                               as $input, $steps, $state, $run (null when absent) */
    uint64_t queue;    /* whose job it is: queues are served in turn (a hash of the run's id) */
    size_t max_output; /* bytes of one value; more: expression_limit */

    /* Filled before done: one for each index, in `arena` (the caller's, used by no one meanwhile);
     * `answers` is NULL when the arena has no room for it. */
    struct pl_arena *arena;
    struct jq_answer {
        struct pl_str json; /* the one value, when err.code is OK */
        struct pl_err err;  /* EXPRESSION_ERROR (jq's message, no value, several values) or
                               EXPRESSION_LIMIT (time, memory, output, crash) */
    } * answers;

    /* On `loop`'s thread. Exactly once after submit, also when the pool is destroyed. */
    void (*done)(struct jq_job *job);
    struct loop *loop;

    /* the pool's */
    struct pl_list link;
    struct loop_mail mail;
    void *state;      /* NULL; who waits for a check */
    size_t lane;      /* its place in the queue */
    size_t answered;  /* indexes that have their answer */
    bool alone;       /* compiling them together has cost a worker its life */
    bool killed_once; /* somebody else has killed the worker that had it */
};

/* `workers` 0: as many as there are cores, at most 4. They are started when first needed. Errors:
 * NO_MEMORY, INTERNAL (no threads). */
enum pl_code jq_pool_create(unsigned workers, struct jq_pool **ret_pool,
                            struct pl_err *err) PL_MUST_CHECK;
/* After every loop that has jobs has stopped taking new ones: those that wait are answered with
 * INTERNAL, workers are ended. Nulls; accepts NULL. */
void jq_pool_destroy(struct jq_pool **pool);

/* Any loop thread. Never fails at once: failures are answers. */
void jq_pool_submit(struct jq_pool *pool, struct jq_job *job);

/* The jobs of one queue that wait are answered with INTERNAL: nobody wants them any more. Those
 * under way go on. Any loop thread. */
void jq_pool_withdraw(struct jq_pool *pool, uint64_t queue);

/* Compiles programs without running them; waits for it (some 20 ms). errors[i] is filled for each
 * text that is not sound (a syntax error, `import`, ...) and has code OK for the others. Any thread
 * that may wait. `pool` NULL: a worker of its own, ended afterwards. Errors: INTERNAL, NO_MEMORY.
 */
enum pl_code jq_pool_check(struct jq_pool *pool, const struct pl_str *texts, size_t count,
                           struct pl_err *errors, struct pl_err *err) PL_MUST_CHECK;

/* The value of expression `index` of a program over a document, waited for: at most a little longer
 * than an expression may take. *ret_json is in `arena`, which nobody else uses meanwhile. Any
 * thread that may wait. Errors: EXPRESSION_ERROR, EXPRESSION_LIMIT, INTERNAL, NO_MEMORY. */
enum pl_code jq_pool_value(struct jq_pool *pool, const struct jq_program *program, uint32_t index,
                           struct pl_str document, struct pl_arena *arena, struct pl_str *ret_json,
                           struct pl_err *err) PL_MUST_CHECK;

/* First thing in main() of every program that may use a pool: when this process was started as a
 * worker it serves and never returns. */
void jq_worker_main_if_asked(int argc, char **argv);

#endif
