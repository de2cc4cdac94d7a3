/* run_state.h - the state of a run as one step of it sees it: which writes came before it, in which
 * order, and their fold. Pure. Not the recording of writes (run_node) and not jq reducers, which
 * the executor folds from what is gathered here. Called by run_values on the run's loop, by the
 * scenarios and by the simulator.
 *
 * A step sees the writes of its ancestors: of every step that was over before it could begin
 * because it, or a step it stands in, waits for it; and of the turns before its own. They are
 * folded in the order of the document, of items and of turns, so what it sees does not depend on
 * what ended first. Only steps that succeeded write, and of a join's branches only those it
 * counted. */
#ifndef PLAIT_SERVICE_RUN_RUN_STATE_H
#define PLAIT_SERVICE_RUN_RUN_STATE_H

#include "base/arena.h"
#include "service/run/run_core.h"

/* What one channel is folded from. Strings are borrowed from the run. */
struct run_writes {
    const struct state_channel *channel;
    struct pl_str left; /* what it begins with: of the thread, the turn before, or `default` */
    bool has_left;
    struct pl_str *values; /* JSON, in order */
    size_t n, capacity;
};

/* Gathers the writes to `channel` that `reader` sees; reader NULL: those that `frame`, which is
 * over, sees as a whole: all of its own, and of a channel around it also what the step it is an
 * instance for sees. Memory from `arena`; false when it is out. */
bool run_state_gather(const struct run_core *core, const struct run_node *reader,
                      const struct run_frame *frame, const struct state_channel *channel,
                      struct pl_arena *arena, struct run_writes *ret_writes);

/* The fold by a reducer of ours, appended as JSON (null when there is nothing). Not for
 * REDUCER_PROGRAM. Errors: EXPRESSION_ERROR (a value of the wrong type), TOO_LARGE, NO_MEMORY. */
enum pl_code run_state_fold(const struct run_writes *writes, struct pl_buf *out,
                            struct pl_err *err) PL_MUST_CHECK;
/* The document of a jq reducer: {"left","has_left","writes":[...]}. */
void run_state_write_document(const struct run_writes *writes, struct pl_buf *out);

/* The run begins with the saved state of its thread (JSON object by channel). Before its first
 * event, and after loading. A reference is taken. */
void run_core_set_state(struct run_core *core, struct pl_value *state);

#endif
