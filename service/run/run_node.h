/* run_node.h - one step of one run and the frame it stands in, as its core keeps them and everybody
 * around the core reads them.
 * Not the rules it lives by (run_core.h). Belongs to the run's loop; read-only outside run_core's
 * own files but for `exec` and `hold`, which are the executor's. */
#ifndef PLAIT_SERVICE_RUN_RUN_NODE_H
#define PLAIT_SERVICE_RUN_RUN_NODE_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "base/value.h"
#include "service/run/run_states.h"
#include "service/workflow/workflow.h"
#include "storage/records.h"

struct run_frame;
struct run_inner;
struct run_purse;

/* How the join of a parallel, map or vote stands. Counts are of its branches. */
struct node_join {
    unsigned total;                                 /* branches; those that are final, by how: */
    unsigned succeeded, failed, skipped, cancelled; /* handled failures are in succeeded, a success
                                                       that was not accepted in failed */
    unsigned counted;                               /* successes the decision rests on */
    bool decided, satisfied;
    bool by_deadline;     /* the deadline decided */
    enum pl_code code;    /* when decided and not satisfied */
    bool fixed;           /* a vote: its outcome could not change any more */
    int winner;           /* index of the branch that satisfied `any` or won the vote, -1: none */
    bool warming;         /* `warm_up`: the first branch goes alone */
    bool warmed;          /* the same: it did, */
    pl_ms waited;         /* and the others waited so long */
    uint64_t warm_number; /* private: which of those that warm it is, in the order they began */
};

/* One step of one run: small, because a run has one for each of its steps, in one array. */
struct run_node {
    const struct step_def *def;
    struct run_frame *frame; /* the instance of its body */
    struct run_node *parent; /* NULL at the top of its frame; see run_node_up */
    struct pl_str path;      /* in this run, "reviews.17.summary"; NUL behind; lives as the node */
    enum node_state state;
    enum cancel_reason reason; /* while STOPPING and CLOSING by cancel, CANCELLED */
    bool handled, counted, dependency_failed;
    bool recorded;  /* a row of it has been asked for before */
    bool again;     /* private: and before that too */
    bool entered;   /* its parent has started, or it is at the top of a run that did */
    bool silent;    /* ended without a row or an event (rule 9) */
    bool lost;      /* private: what it waited for died with the process; while recovering only */
    uint16_t evals; /* private: evaluations that were asked for and not answered */
    uint16_t fallback; /* LLM: which model is being tried, 0: its own, n: fallback[n-1] */
    unsigned attempts, tries, free_tries; /* free_tries: over, and used up no try */
    unsigned open_deps, skipped_deps;     /* dependencies not final; those skipped */
    unsigned open_children;               /* branches not final */
    struct node_join *join;               /* of a kind that joins, once it started */
    struct run_inner *inner;              /* kinds with bodies, once they started */
    struct run_purse *purse; /* private: what is set aside for calls, where a budget counts */
    struct pl_value *memo;   /* what it found out and must not find out again */
    struct pl_value *writes; /* what it wrote to the state: object by channel */
    struct pl_value *output; /* final output, or the result an ACCEPTING looks at */
    struct pl_value *error; /* problem object. FAILED: for good. BACKOFF, HELD, CALLING: of the last
                               attempt, if any. HANDLING, DEFAULTING, STOPPING by deadline, CLOSING:
                               the one that waits (what `.error` of its handler is) */
    enum pl_code failure;   /* the code of an error that waits, else OK */
    struct pl_value *call;  /* how its last call went, NULL: nothing is known */
    const char *held_reason; /* HELD: why, static text or the core's */
    struct store_usage usage;
    pl_ms created_at, started_at, ended_at, wake_at, sent_at, deadline_at;
    uint32_t timer_slot;   /* private: its place in the timer heap, 0: none */
    uint32_t end;          /* private: slot behind the last step of its frame inside it */
    struct pl_list dirty;  /* private */
    struct run_node *next; /* private: the queue of steps that have just ended */
    void *exec;            /* the executor's: the call in flight; NULL in the simulator */
    void *hold;            /* the same: its place in a lane's queue; NULL: none */
};

/* An instance of a body: the steps of one item, of one turn, of the run itself. Private to
 * run_core's own files but for reading. Freed between two events once nobody needs it any more: see
 * run_frames_reap. */
struct run_frame {
    const struct step_body *body;
    struct run_node *owner; /* the step it is an instance for; NULL: the run */
    uint32_t number;        /* item, sample, turn, group of collapse, call of a turn */
    uint32_t level;         /* collapse: level; tools: turn */
    struct pl_str path;     /* "reviews.17"; empty: the run; NUL behind */
    struct pl_value *value; /* what its names are bound to: the item(s), args, candidate(s), a
                               sub-workflow's input, the turn before of a repeat; NULL: none */
    struct pl_value *state; /* what its own state begins with, by channel; NULL: the defaults */
    struct pl_value *state_after; /* what it came to, once the frame is over and that was made */
    struct pl_value *output;      /* several steps: the body's output, once it was made */
    unsigned open;                /* steps entered and not final */
    unsigned telling;             /* steps that are final, and nobody was told yet */
    bool over;                    /* everything in it is, and its owner was told */
    bool kept;                    /* its owner still reads it */
    bool failed;              /* several steps: one failed unhandled; the rest is being stopped */
    struct pl_list link;      /* in its owner's inner->frames */
    struct pl_list over_link; /* private: over, to be freed */
    size_t n_nodes;
    struct run_node *nodes; /* by slot */
};

/* The node around it: its parent, or the owner of its frame; NULL at the top of the run. */
static inline struct run_node *run_node_up(const struct run_node *node)
{
    return node->parent ? node->parent : node->frame->owner;
}

/* The node of a step of the same body; NULL gives NULL. */
static inline struct run_node *run_node_at(const struct run_frame *frame,
                                           const struct step_def *def)
{
    return def ? &frame->nodes[def->slot] : NULL;
}

/* Is it held without a time? */
static inline bool run_node_is_held_until_told(const struct run_node *node)
{
    return node->state == NODE_HELD && node->wake_at == 0;
}

#endif
