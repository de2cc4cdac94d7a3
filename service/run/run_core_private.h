/* run_core_private.h - the inside of a run, shared by run_core.c (events), run_end.c (the run's
 * end), run_node.c (moves of one step), run_attempt.c (results, retries), run_branches.c (joins
 * carried out), run_frame.c, run_find.c and run_left.c (frames), run_state.c, run_budget.c,
 * run_warm.c, run_waiting.c, run_timers.c, run_problem.c (errors), run_rows.c and run_load.c
 * (rows), run_check.c, and by the files of the kinds (run_kinds.c). Of the rest only the simulator
 * includes it, to look: the executor goes through run_core.h.
 *
 * How consequences travel: a step that becomes final goes on a queue; run_core_settle takes them
 * off one by one and tells the step around it and those that wait for it. So nothing recurses
 * deeper than steps stand inside each other, and decisions are made in the order things ended. */
#ifndef PLAIT_SERVICE_RUN_RUN_CORE_PRIVATE_H
#define PLAIT_SERVICE_RUN_RUN_CORE_PRIVATE_H

#include "service/run/run_frame.h"
#include "service/run/run_kind.h"
#include "service/run/run_purse.h"

struct run_timer {
    pl_ms at;
    struct run_node *node;
};

struct run_core {
    struct workflow *workflow;
    uint64_t seed;
    enum run_state state;
    bool out_of_memory; /* sticky */
    bool dirty;         /* the run's row changed */
    bool loading;       /* its rows are being read */
    pl_ms now;          /* of the event at hand */
    pl_ms timeout;      /* running time of the run; 0: none */
    pl_ms created_at, started_at, ended_at, timeout_at;
    struct pl_value *output,
        *error; /* ENDING: the error it will fail with, NULL: it is cancelled */
    char reason[PL_ERR_MESSAGE_MAX];
    struct store_usage usage;
    int64_t seq; /* of the last note */

    struct run_frame *root;
    size_t n_live;                 /* nodes of all frames: the timers have room for them */
    size_t n_branches;             /* items of the maps that began */
    size_t max_branches, max_live; /* see run_core_set_limits */
    bool crowded;                  /* a map has had to wait for memory */
    size_t n_frames;               /* frames made so far and not freed */
    struct pl_list over_frames;    /* of run_frame.over_link: to be freed */
    size_t reap_rest;              /* events until they are looked through again */
    struct run_progress gone;      /* how the steps of freed frames ended */
    unsigned open;         /* nodes that are entered and not final: the run goes on for them */
    unsigned in_flight;    /* CALLING, STOPPING */
    unsigned warming;      /* joins whose first branch goes alone */
    uint64_t warm_count;   /* those that ever did */
    unsigned asking, busy; /* ASKING; those that go on by themselves: see run_waiting.c */
    bool waiting;          /* for people and nothing else */
    pl_ms waiting_since, waited; /* 0: it is not; in all, before that */
    unsigned dropped;

    struct run_budgets budgets;

    struct run_node *ended_first, **ended_last; /* the queue of steps that have just ended */
    struct pl_list dirty_nodes;
    struct run_timer *timers; /* a binary heap with room for all nodes; [1..n_timers] */
    size_t n_timers, timers_capacity;

    struct run_effect *effects;
    size_t n_effects, effects_capacity;
    struct run_note *notes;
    size_t n_notes, notes_capacity;

    struct pl_arena *texts; /* reasons of HELD steps that were loaded; NULL: none */
    run_trace_fn trace;
    void *trace_arg;
};

/* ---- run_core.c ---- */
/* An empty core in QUEUED with all nodes WAITING; shared by create and load. NULL: no memory. */
struct run_core *run_core_new(struct workflow *workflow, uint64_t seed);
void run_core_effect(struct run_core *core, enum run_effect_type type, struct run_node *node,
                     enum run_eval_what what);
/* An evaluation about a frame of the node. */
void run_core_effect_of(struct run_core *core, struct run_node *node, enum run_eval_what what,
                        struct run_frame *frame);
/* `node` NULL: of the run. */
void run_core_note(struct run_core *core, const char *type, struct run_node *node);
/* Carries the consequences of everything on the queue. */
void run_core_settle(struct run_core *core);

/* Adds how the steps of a frame stand. (run_core.c) */
void run_progress_add(struct run_progress *progress, const struct run_frame *frame);

/* ---- run_problem.c ---- */
struct run_problem {
    enum pl_code code;
    const char *detail; /* NULL or empty: the code's title */
    unsigned attempts;
    const struct step_result *result; /* for upstream's status and message; NULL: none */
    const struct run_node *branch;    /* of a join: the branch it failed by; NULL: none */
};
/* The problem object; NULL when out of memory. The branch's own error is its cause. */
struct pl_value *run_problem_make(const struct run_problem *problem);
/* `error` with "step": path added; NULL when out of memory. */
struct pl_value *run_problem_of_run(const struct pl_value *error, struct pl_str path);
/* `error` with "after": the one that was being handled when it came up. NULL: no memory. */
struct pl_value *run_problem_after(const struct pl_value *error, const struct pl_value *first);
/* That a step inside (a group of collapse, a judge, a turn) failed: its error is the cause. NULL:
 * no memory. */
struct pl_value *run_problem_of_branch(const struct run_node *step);
/* Its detail as text, cut to fit. */
void run_problem_detail(const struct pl_value *error, char *out, size_t size);
/* Its code; INTERNAL when it has none. */
enum pl_code run_problem_code(const struct pl_value *error);

/* ---- run_node.c ---- */
/* The only way a state changes: checks the table, keeps counters, timers, notes and the queue. */
void run_node_move(struct run_core *core, struct run_node *node, enum node_state to);
void run_node_touch(struct run_core *core, struct run_node *node); /* its row changed */
/* Its parent has started: it counts from now on. Nothing of it begins yet. */
void run_node_enter(struct run_core *core, struct run_node *node);
/* Begins it when it is entered, WAITING and nothing it depends on is open. */
void run_node_try(struct run_core *core, struct run_node *node);
/* It has a result: output is taken. */
void run_node_succeed(struct run_core *core, struct run_node *node, struct pl_value *output);
/* It failed for good: error is taken (NULL: memory is out) and on_error applies. */
void run_node_fail(struct run_core *core, struct run_node *node, struct pl_value *error);
/* The same with an error made from a code and a text. */
void run_node_fail_with(struct run_core *core, struct run_node *node, enum pl_code code,
                        const char *detail);
void run_node_set_error(struct run_core *core, struct run_node *node, struct pl_value *error);
/* Stops every step of the frame in [from, to) that is entered and not final, and what is inside. */
void run_node_cancel_range(struct run_core *core, struct run_frame *frame, uint32_t from,
                           uint32_t to, enum cancel_reason reason);
/* Stops what is open inside a step, not the step; what an inner join left to drain goes on. */
void run_node_cancel_inside(struct run_core *core, struct run_node *node,
                            enum cancel_reason reason);
/* Ends a CLOSING node when nothing inside it is open. */
void run_node_try_close(struct run_core *core, struct run_node *node);
/* Is anything open inside it: branches, frames, its handler? */
bool run_node_is_open_inside(const struct run_node *node);
/* A user's cancel of one step. */
void run_node_cancel_by_user(struct run_core *core, struct run_node *node);
/* An evaluation came back; false when the node does not wait for it. */
bool run_node_evaluated(struct run_core *core, struct run_node *node, struct run_event *event);
/* The key it has as a branch of a vote, once it was made: JSON, borrowed. */
bool run_node_vote_key(const struct run_node *node, struct pl_str *ret_key);
/* After a crash, FINISHING with an output: what follows from it is asked for again. */
void run_node_recover_finishing(struct run_core *core, struct run_node *node);
/* Its handler is over. */
void run_node_handled(struct run_core *core, struct run_node *node, struct run_node *handler);
/* Is it a branch of a join: of a parallel, map or vote? */
bool run_node_is_branch(const struct run_node *node);
/* Does a join's `accept` look at what this node gives? */
bool run_node_is_judged(const struct run_node *node);
static inline bool run_node_is_final(const struct run_node *node)
{
    return node_state_is_final(node->state);
}
/* FAILED unhandled, cancelled, or skipped because of such a one. */
bool run_node_let_down(const struct run_node *node);

/* ---- run_attempt.c ---- */
/* Begins the next attempt. */
void run_attempt_begin(struct run_core *core, struct run_node *node);
/* A step used this: it counts for those it stands in as well. */
void run_attempt_add_usage(struct run_core *core, struct run_node *node,
                           const struct store_usage *usage);
/* False when no call is in flight. Takes the references out of `result`. */
bool run_attempt_result(struct run_core *core, struct run_node *node, struct step_result *result);
bool run_attempt_deferred(struct run_core *core, struct run_node *node, pl_ms until,
                          const char *reason);
/* Its turn has come; nothing to one that is not held until told. */
void run_attempt_admitted(struct run_core *core, struct run_node *node);
/* When a step that is held until told gives up: its deadline, or the hour of rule 2. 0: never. */
pl_ms run_attempt_patience(const struct run_node *node);
/* When a reduce in flight has used up its `timeout`, which counts from its beginning; 0: never, as
 * of kinds whose calls time out by themselves. */
pl_ms run_attempt_timeout_at(const struct run_node *node);
/* The timer of a leaf: its wait is over, or its deadline or `timeout` has come. */
void run_attempt_timer(struct run_core *core, struct run_node *node);
/* Tells the call in flight to stop. */
void run_attempt_abort(struct run_core *core, struct run_node *node);
/* A call was in flight when the process died. */
void run_attempt_recover(struct run_core *core, struct run_node *node);

/* ---- run_parallel.c ---- */
/* A branch of a parallel is over. */
void run_parallel_branch_ended(struct run_core *core, struct run_node *node,
                               struct run_node *branch);

/* ---- run_human.c ---- */
/* A person has answered; false when it does not wait for that. */
bool run_human_answer(struct run_core *core, struct run_node *node, struct run_event *event);

/* ---- run_branches.c ---- */
/* Makes the join and starts the step: JOINING. False when memory is out. */
bool run_branches_begin(struct run_core *core, struct run_node *node, size_t total);
/* The same for kinds without a join. */
void run_inside_begin(struct run_core *core, struct run_node *node);
/* Adds a final branch to the counts. */
void run_branches_count(struct node_join *join, const struct run_node *branch);
/* Counts a branch that has ended and, while JOINING, asks for a decision and carries it out. */
void run_branches_ended(struct run_core *core, struct run_node *node, struct run_node *branch,
                        size_t position);
/* The join is decided. `branch` is the one whose end decided, NULL: none. `drain`: those still open
 * may go on. */
void run_branches_decided(struct run_core *core, struct run_node *node,
                          const struct run_node *branch, bool drain);
/* Succeeds with the joined value, which is taken; NULL: it was too large, or memory is out. */
void run_branches_succeed(struct run_core *core, struct run_node *node, struct pl_value *value,
                          bool too_large);
/* It fails with `error`, which is taken, once what is inside it has stopped. */
void run_inside_fail(struct run_core *core, struct run_node *node, struct pl_value *error,
                     enum cancel_reason reason);
/* The timer of a JOINING node: its join's deadline, its timeout or its deadline. */
void run_inside_timer(struct run_core *core, struct run_node *node);

/* ---- run_timers.c ---- */
/* How long what is inside it may run: its own timeout, and that of a workflow it calls. 0: none. */
pl_ms run_node_timeout(const struct run_node *node);
/* When the node's next timer fires by its state; 0: none. */
pl_ms run_timers_due(const struct run_node *node);
/* Puts the node where its time says, or takes it out. */
void run_timers_update(struct run_core *core, struct run_node *node);
/* Fires everything due at core->now, consequences included. */
void run_timers_fire(struct run_core *core);

/* ---- run_waiting.c ---- */
/* A step has moved, or was loaded (from WAITING). */
void run_waiting_moved(struct run_core *core, enum node_state from, enum node_state to);
/* Does the run wait for people only, after this event? Tells, and stops or starts its timeout. */
void run_waiting_update(struct run_core *core);
/* All rows were read. */
void run_waiting_load(struct run_core *core, struct pl_str options);
/* The row's options with what was waited; what is not ours stays. Where memory is out the arena has
 * failed or they are as they were. */
struct pl_str run_waiting_options(const struct run_core *core, struct pl_arena *arena,
                                  struct pl_str options);

/* ---- run_end.c ---- */
/* The only way the run's state changes. */
void run_end_move(struct run_core *core, enum run_state to);
/* A top-level step is over: does that fix the outcome? */
void run_end_top_step(struct run_core *core, const struct run_node *node);
/* Nothing of the run is open any more. */
void run_end_all_over(struct run_core *core);
void run_end_timeout(struct run_core *core);
void run_end_cancel(struct run_core *core);
/* Its output was made, or not; false when it does not wait for that. */
bool run_end_evaluated(struct run_core *core, struct run_event *event);

#endif
