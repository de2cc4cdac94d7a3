/* run_exec.h - carries one run out: feeds events to its core, evaluates, calls, records, tells. Not
 * the decisions (run_core) and not the way in from outside (engine). Everything but run_exec_post_*
 * runs on the run's home loop.
 *
 * An activation is one turn of a run: every event that the loop's turn brought goes through the
 * core, evaluations are answered at once, then the rows and events that changed are submitted as
 * one batch (or join the next one, while a batch of the run is on its way), then calls start. A
 * call that acts on the outside world waits until the batch that holds its intent is durable; a
 * pure one does not. What readers see is published when the batch is durable. */
#ifndef PLAIT_SERVICE_RUN_RUN_EXEC_H
#define PLAIT_SERVICE_RUN_RUN_EXEC_H

#include "service/engine.h"
#include "service/run/run_core.h"
#include "service/steps/step_kind.h"

struct run_exec;
struct store;
struct pool;
struct tape;

/* What every run needs of the engine; set once, read by all loops. */
struct run_env {
    struct engine *engine;
    struct store *store;
    struct pool *pool;
    struct bus *bus;
    struct jq_pool *jq;  /* NULL: expressions that need it fail */
    struct reuse *reuse; /* of answers; NULL: every call is made */
    struct step_env steps;
    const struct pl_clock *clock;
    struct tape *tape; /* NULL: nothing is recorded or played back */
    /* Any loop thread: the run waits for people or for its turn, and for nothing else; or does not
     * any more. */
    void (*idle)(struct engine *engine, bool idle);
    /* Any loop thread: the run is over or was dropped; the exec is freed after this. */
    void (*gone)(struct engine *engine, struct run_exec *exec);
};

/* What a run is started or loaded from. Strings are copied, values and the workflow referenced. */
struct run_exec_options {
    struct run_env *env;
    struct loop *home;
    struct workflow *workflow;
    const struct store_run *row; /* tenant, id, input, thread, metadata, options, created_at */
    struct run_core *core;       /* taken: new, or loaded */
    bool loaded;                 /* it was: RECOVER instead of START, nothing to create */
    bool cancel;                 /* with the first thing it does, before a call is made */
    bool deltas;                 /* calls stream though nobody may be watching yet */
    struct pl_str key_route, key, key_fingerprint; /* its idempotency key; empty: none */
    void (*on_end)(void *arg, const struct engine_end *end);
    void (*on_recorded)(void *arg, const char *run_id);
    void *arg;
};

/* Any thread. Not running yet: run_exec_post_start sends it home. NULL when out of memory (the core
 * is then still yours). */
struct run_exec *run_exec_create(const struct run_exec_options *options);
/* One that was never posted. */
void run_exec_discard(struct run_exec **exec);
/* Hands it to its loop; from then on only the loop touches it. */
void run_exec_post_start(struct run_exec *exec);

/* Home loop. Cancels the run, or the step at `path` when it is not empty (unknown: nothing
 * happens). */
void run_exec_cancel(struct run_exec *exec, struct pl_str path);
/* Home loop. A run of a thread begins, or goes on, when it has the turn: with the thread's memory,
 * NULL: nothing is kept. A reference is taken. */
void run_exec_take_turn(struct run_exec *exec, struct pl_value *state);
/* The thread it belongs to, or empty. */
struct pl_str run_exec_thread(const struct run_exec *exec);
/* How it ended, once that is durable; until then, and of one that was dropped, no end's state. */
enum run_state run_exec_end(const struct run_exec *exec);
/* Home loop. Is its end durable? Then *ret_state is what it left to its thread: borrowed, NULL:
 * nothing. */
bool run_exec_is_over(const struct run_exec *exec, struct pl_value **ret_state);

/* What a person says to a step of a run. The giver owns it and keeps it until `done`. */
struct run_answer {
    struct pl_list link;    /* the run's */
    struct pl_str path;     /* of the step */
    struct pl_value *value; /* fits the step's schema; NULL: the person rejects */
    struct pl_err reject;   /* then: REJECTED, and why */
    /* Filled before done: OK, the answer was the first and is durable; CONFLICT, the step does not
     * wait for one (any more), and what it is instead is durable; SHUTTING_DOWN, or why nothing can
     * be recorded: the step may still wait, in the store. */
    struct pl_err err;
    void (*done)(struct run_answer *answer); /* once, on the run's loop */
};
/* Home loop. */
void run_exec_answer(struct run_exec *exec, struct run_answer *answer);
/* Home loop. Starts no new calls from now on. */
void run_exec_drain(struct run_exec *exec);
/* Home loop. Aborts what is in flight and ends the exec ("interrupted"), once what has happened so
 * far is recorded. A run that is over already ends as it would have. */
void run_exec_drop(struct run_exec *exec);

/* Set at creation, readable from any thread. */
struct pl_str run_exec_tenant(const struct run_exec *exec);
struct pl_str run_exec_id(const struct run_exec *exec);
struct loop *run_exec_home(const struct run_exec *exec);
/* The engine's table hangs runs on this. Guarded by the table's lock. */
struct pl_list *run_exec_link(struct run_exec *exec);
struct run_exec *run_exec_from_link(struct pl_list *link);

#endif
