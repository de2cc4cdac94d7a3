/* run_states.h - the states of a step and of a run, and every move between them, as tables. Not the
 * decisions (run_core): one function moves a state, checks the table and traces. docs/states.md is
 * generated from the tables.
 *
 *                     +--> SKIPPED
 *   WAITING --> DECIDING --> HELD <-> CALLING <--> BACKOFF
 *                     |                 | |  \
 *                     |                 | |   +--> STOPPING --> CANCELLED | FAILED | SUCCEEDED
 *                     |                 | +--> ACCEPTING --> FINISHING --> SUCCEEDED | FAILED
 *                     |                 +--> DEFAULTING | HANDLING --> FAILED (handled or not)
 *                     +--> PREPARING --> JOINING | ASKING | SLEEPING
 *                     +--> JOINING <-> FINISHING; JOINING --> CLOSING --> (as after CALLING)
 *
 * Suspended, waiting for the world: HELD (its turn, or a timer), CALLING and STOPPING (a call),
 * BACKOFF (timer), SLEEPING (timer), ASKING (a person, perhaps a timer), DECIDING, PREPARING,
 * ACCEPTING, FINISHING and DEFAULTING (an evaluation). Waiting for other steps: WAITING, JOINING,
 * CLOSING, HANDLING. A step without `when` skips DECIDING, one that needs nothing made skips
 * PREPARING; only branches of a join with `accept` are in ACCEPTING. FINISHING with an output: its
 * state writes, or its key in a vote; without: the output of a sub-workflow or turn, or whether to
 * go on. */
#ifndef PLAIT_SERVICE_RUN_RUN_STATES_H
#define PLAIT_SERVICE_RUN_RUN_STATES_H

#include "base/compiler.h"
#include "base/str.h"

/* X(suffix, phase name (stored), public status, sentence true in the state) */
#define NODE_STATE_TABLE(X)                                                                       \
    X(WAITING, "waiting_for_steps", "pending", "a step it depends on is not over")                \
    X(DECIDING, "deciding", "pending",                                                            \
      "its dependencies are over and its `when` is being looked at")                              \
    X(PREPARING, "preparing", "pending",                                                          \
      "what it begins with (items, input, a question, a time) is being made")                     \
    X(HELD, "held", "pending", "it could be sent, but it is not its turn, or its lane is paused") \
    X(CALLING, "calling", "running",                                                              \
      "exactly one attempt is in flight and its intent is recorded")                              \
    X(BACKOFF, "backoff", "retrying", "the last attempt failed and the next one has a time")      \
    X(ACCEPTING, "accepting", "running",                                                          \
      "its result is recorded and the join's `accept` is being looked at")                        \
    X(ASKING, "asking", "waiting", "a person is asked and has not answered")                      \
    X(SLEEPING, "sleeping", "running", "it waits for its time")                                   \
    X(JOINING, "joining", "running", "what is inside it runs, and its join is not decided")       \
    X(FINISHING, "finishing", "running",                                                          \
      "what it gives is being made of what ran, or what follows from its output")                 \
    X(CLOSING, "closing", "running",                                                              \
      "its join is decided or it was cancelled, and branches are being stopped")                  \
    X(DEFAULTING, "defaulting", "running",                                                        \
      "it failed and the value of on_error.default is being made")                                \
    X(HANDLING, "handling", "running", "it failed and its on_error.step is not over")             \
    X(STOPPING, "stopping", "running", "its call was aborted and has not come back yet")          \
    X(SUCCEEDED, "succeeded", "succeeded", "it has an output, for good")                          \
    X(FAILED, "failed", "failed", "it has an error, for good; handled or not")                    \
    X(SKIPPED, "skipped", "skipped", "it never ran and never will; its output is null")           \
    X(CANCELLED, "cancelled", "cancelled", "it was stopped, and has a reason")

enum node_state {
#define X(suffix, phase, status, sentence) NODE_##suffix,
    NODE_STATE_TABLE(X)
#undef X
        NODE__STATES
};

/* X(suffix, phase name, public status, sentence) */
#define RUN_STATE_TABLE(X)                                                            \
    X(QUEUED, "queued", "queued", "it is recorded and nothing of it has begun")       \
    X(RUNNING, "running", "running", "steps run and its outcome is open")             \
    X(ENDING, "ending", "running",                                                    \
      "its outcome is fixed (failure, cancel) and steps are being stopped")           \
    X(OUTPUT, "output", "running", "every step is over and its output is being made") \
    X(SUCCEEDED, "succeeded", "succeeded", "it has an output, for good")              \
    X(FAILED, "failed", "failed", "it has an error, for good")                        \
    X(CANCELLED, "cancelled", "cancelled", "it was cancelled, for good")

enum run_state {
#define X(suffix, phase, status, sentence) RUN_##suffix,
    RUN_STATE_TABLE(X)
#undef X
        RUN__STATES
};

/* Why something was stopped before its end. X(suffix, public text) */
#define CANCEL_REASON_TABLE(X)          \
    X(NONE, "")                         \
    X(LOST_RACE, "lost_race")           \
    X(QUORUM_MET, "quorum_met")         \
    X(OUTCOME_FIXED, "outcome_fixed")   \
    X(SIBLING_FAILED, "sibling_failed") \
    X(RUN_FAILED, "run_failed")         \
    X(DEADLINE, "deadline")             \
    X(BUDGET, "budget")                 \
    X(USER, "user")

enum cancel_reason {
#define X(suffix, text) CANCEL_##suffix,
    CANCEL_REASON_TABLE(X)
#undef X
        CANCEL__REASONS
};

const char *node_state_phase(enum node_state state);
const char *node_state_status(enum node_state state);
bool node_state_is_final(enum node_state state);
/* May a node go from one to the other? The only judge of it. */
bool node_state_allows(enum node_state from, enum node_state to);
/* Why a step makes that move, a sentence; NULL for one that is not allowed. */
const char *node_state_move_text(enum node_state from, enum node_state to);
/* The state of a stored phase; false for an unknown text. */
bool node_state_from_phase(struct pl_str phase, enum node_state *ret_state);

const char *run_state_phase(enum run_state state);
const char *run_state_status(enum run_state state);
bool run_state_is_final(enum run_state state);
bool run_state_allows(enum run_state from, enum run_state to);
const char *run_state_move_text(enum run_state from, enum run_state to);
bool run_state_from_phase(struct pl_str phase, enum run_state *ret_state);

const char *cancel_reason_text(enum cancel_reason reason);
bool cancel_reason_from_text(struct pl_str text, enum cancel_reason *ret_reason);

/* Writes the tables as Markdown (docs/states.md) to `out`. */
struct pl_buf;
void run_states_write_markdown(struct pl_buf *out);

#endif
