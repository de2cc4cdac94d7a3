/* run_node.h - one step of one run, as its core keeps it and everybody around the core reads it.
 * Not the rules it lives by (run_core.h). Belongs to the run's loop; read-only outside run_core's
 * own files but for `exec`. */
#ifndef PLAIT_SERVICE_RUN_NODE_H
#define PLAIT_SERVICE_RUN_NODE_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "base/value.h"
#include "service/run_states.h"
#include "service/workflow.h"
#include "storage/records.h"

/* How a parallel's join stands. Counts are of its branches. */
struct node_join {
    unsigned total;                                 /* branches; those that are final, by how: */
    unsigned succeeded, failed, skipped, cancelled; /* handled failures are in succeeded, a success
                                                       that was not accepted in failed */
    unsigned counted;                               /* successes the decision rests on */
    bool decided, satisfied;
    bool by_deadline;  /* the deadline decided */
    enum pl_code code; /* when decided and not satisfied */
    int winner;        /* index of the branch that satisfied `any`, -1: none */
};

/* One step of one run: small, because a run has one for each of its steps, in one array. */
struct run_node {
    const struct step_def *def;
    struct run_node *parent; /* NULL at the top */
    enum node_state state;
    enum cancel_reason reason; /* while STOPPING and CLOSING by cancel, CANCELLED */
    bool handled, counted, dependency_failed;
    bool recorded; /* a row of it has been asked for before */
    bool entered;  /* its parent has started, or it is at the top of a run that did */
    bool silent;   /* ended without a row or an event (rule 9) */
    bool lost;     /* private: what it waited for died with the process; while recovering only */
    unsigned attempts, tries, free_tries; /* free_tries: over, and used up no try */
    unsigned open_deps, skipped_deps;     /* dependencies not final; those skipped */
    unsigned open_children;               /* branches not final */
    struct node_join *join;               /* parallels that started */
    struct pl_value *output;              /* final output, or the result an ACCEPTING looks at */
    struct pl_value *error; /* problem object. FAILED: for good. BACKOFF, HELD, CALLING: of the last
                               attempt, if any. HANDLING, DEFAULTING, STOPPING by deadline, CLOSING:
                               the one that waits (what `.error` of its handler is) */
    enum pl_code failure;   /* the code of an error that waits, else OK */
    const char *held_reason; /* HELD: why, static text or the core's */
    struct store_usage usage;
    pl_ms created_at, started_at, ended_at, wake_at, sent_at, deadline_at;
    uint32_t timer_slot;   /* private: its place in the timer heap, 0: none */
    uint32_t end;          /* private: index behind the last step inside it */
    struct pl_list dirty;  /* private */
    struct run_node *next; /* private: the queue of steps that have just ended */
    void *exec;            /* the executor's: the call in flight; NULL in the simulator */
};

#endif
