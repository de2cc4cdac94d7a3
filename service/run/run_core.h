/* run_core.h - one run as a pure state machine: (run, event) -> effects. No I/O, no lock, no clock,
 * no threads: time is in the event, randomness is a hash of the run's seed. Not the carrying out
 * (run_exec) nor the rows' storage (store). Called by service/run_exec on the loop that owns the
 * run, by the scenarios and by the simulator.
 *
 * The life of a run: create (or load from rows), START (or RECOVER); then every RESULT, EVALUATED,
 * DEFERRED, TICK and cancel goes in, and out come effects (evaluate this, call that, abort that),
 * the nodes that changed, and the events a reader of the run sees. It is over when run_core_state
 * is final; then no call is in flight.
 *
 * Rules the code keeps (each has a scenario):
 *  1. A step starts when all its dependencies are final and its parent has started (JOINING, or
 *     HANDLING for a handler). A dependency that failed unhandled, was cancelled, or was skipped
 *     for that reason itself makes it SKIPPED with reason text "dependency_failed" (seen only
 *     under top-level `settled`: otherwise the run ends first). All dependencies (at least one)
 *     skipped: SKIPPED, unless it has `when`. `when` falsy: SKIPPED. An error in `when` fails
 *     the step (then on_error).
 *  2. An attempt: attempts += 1, CALLING, effect CALL. RESULT OK -> output; accepted or no
 *     `accept` -> SUCCEEDED; over PL_LIMIT_STEP_OUTPUT_BYTES: too_large. RESULT with an error:
 *     retried when its class is in retry.on, not no_retry, and tries < retry.attempts. `free`
 *     results use up no try, for as long as the deadline (none: PL_LIMIT_LANE_WAIT_MS since
 *     sent_at, which also bounds what a hint may ask) allows. A wait that would not end before
 *     the deadline is not begun: the step fails with the last error at once. The wait is
 *     max(hint, backoff): backoff_n = min(initial * multiplier^(n-1), max), n counting the tries
 *     (or the free results, after one), of which the share `jitter` is random: backoff * (1 -
 *     jitter * r), r in [0,1) a hash of (seed, step index, attempt); 1 ms at least. The hint
 *     counts with at most 10 % of it or 250 ms more, whichever is less.
 *  3. DEFERRED (nothing sent): attempts -= 1 again, HELD until the time given, then CALL again.
 *     Without a time: HELD until ADMITTED says that its turn has come. Whoever said so keeps a
 *     place for it, so effect LEAVE tells when it ends in any other way. One that was sent before
 *     and would wait past its deadline (none: the hour of rule 2) fails with its last error, when
 *     that is known; one that never was waits as long as it takes. `step.started` is told with the
 *     first CALL, also when that is then deferred, and only once.
 *  4. `deadline` counts from sent_at (first CALL not deferred) for leaves, from the start for
 *     parallels; `timeout` of a parallel is enforced here (error timeout), of a leaf by the
 *     call. At the deadline a call in flight is aborted (STOPPING) and the step fails with
 *     deadline_exceeded; a waiting one fails with its last error; branches are cancelled with
 *     reason deadline. Of several times that have come the earliest counts, a join's own
 *     deadline first. A handler is not under the deadline of its step.
 *  5. A step that failed goes through on_error: continue (FAILED handled, output null), default
 *     (DEFAULTING, then FAILED handled with that output; an error there is the step's), step
 *     (HANDLING; the handler's output becomes its own, FAILED handled; a handler that fails
 *     unhandled: FAILED with the handler's error; one that was skipped or cancelled by a user
 *     handled nothing: FAILED with its own). Cancelled steps do not.
 *  6. Joins: run_join.h. A decision is made at once; losers are cancelled with the reason and
 *     the join ends (CLOSING -> final) when the last one has stopped, so a final parallel has
 *     only final branches, except with `losers: drain`, where dependents go on and only the
 *     run's end waits for the branches, all of which are let go on. A result that is not
 *     accepted: FAILED with not_accepted, no retry, no on_error; it keeps its output. A handled
 *     failure is not looked at.
 *  7. A call that was aborted but came back OK all the same is SUCCEEDED (its result was paid
 *     for and is kept) but not counted by a join that was decided or cancelled; a branch
 *     cancelled while ACCEPTING likewise. Where the join is still open (its own deadline, a
 *     user's cancel) it counts, if `accept` takes it: a cancel does not pass it by.
 *  8. Top level `all`: the first unhandled failure fixes the outcome (RUN_ENDING): everything
 *     not final is cancelled with run_failed; the run fails with that step's error, code and
 *     path. `settled`: independent steps finish first; then the run fails with the failure that
 *     ended first (of several at one time: first in order). A step cancelled by a user counts as
 *     failed for its join or the run. A run's timeout: ENDING with run_timeout, steps cancelled
 *     with reason deadline. A user's cancel: ENDING, then CANCELLED; an outcome once fixed
 *     stays.
 *  9. Steps that never began when they are cancelled go straight to CANCELLED, those of the top
 *     level also when the run itself never began. Those inside a step that never started, and
 *     handlers nobody needed, end with it (CANCELLED or SKIPPED, for its reason) without a row and
 *     without an event.
 * 10. Loading rows that were written after any step gives the same state; RECOVER then does first
 *     what came due in between, as at a TICK; treats what is CALLING still as ambiguous:
 *     on_ambiguous retry: a new attempt (attempts + 1, tries unchanged; error ambiguous_attempt
 *     until it is over); fail: error ambiguous_attempt, no retry, on_error applies. STOPPING
 *     becomes CANCELLED (or FAILED by deadline). BACKOFF and HELD keep their time; HELD until
 *     told: CALL again, for places are not kept over a crash. Evaluations are asked for again. A
 *     QUEUED run starts.
 *
 * 11. A run of which steps are ASKING and nothing else goes on (no call, timer, evaluation) waits
 *     for people: its status is "waiting", its timeout stands still, "run.waiting" is told.
 * 12. `warm_up` of a map or parallel with a model's call in its first branch: the others begin when
 *     a call in it has begun to answer (ANSWERING), or is over in any way, when the branch is over,
 *     or when nothing of the run goes on by itself. The join report says how long they waited, its
 *     row while JOINING too.
 *
 * Times are > 0. Notes: run.started, step.started, step.retrying (a wait begins, or a crash's
 * attempt is made again), step.reset (before it, for llm steps: text sent so far is void),
 * step.waiting, step.succeeded, step.failed, step.skipped, step.cancelled, run.waiting,
 * run.succeeded, run.failed, run.cancelled, in causal order.
 *
 * An error (node->error, run's error) is a problem object: {"code","title","detail","retryable",
 * "attempts", "status"?, "message"?}; of a join that failed "branch" (the path) and
 * "cause" (the branch's error) as well; of a handler or default that failed "after" (the
 * error it was to handle); of a run "step" (the path). */
#ifndef PLAIT_SERVICE_RUN_RUN_CORE_H
#define PLAIT_SERVICE_RUN_RUN_CORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/value.h"
#include "service/run/run_event.h"
#include "service/run/run_node.h"
#include "service/run/run_states.h"
#include "service/steps/step_result.h"
#include "service/workflow/workflow.h"
#include "storage/records.h"

struct run_core;

/* ---- the run ---- */

/* A run of `workflow` (referenced) that has not begun. `seed` drives jitter. NULL when out of
 * memory. */
struct run_core *run_core_create(struct workflow *workflow, uint64_t seed, pl_ms created_at);
/* How long the run may take, in place of what the workflow says; before its first event. The row's
 * options keep it as {"timeout_ms":N}, where run_core_load finds it. */
void run_core_set_timeout(struct run_core *core, pl_ms timeout);
/* How many items all maps of the run may have (0: PL_LIMIT_BRANCHES); a map that would pass it
 * fails with too_large. After a crash those inside items that were over are no longer counted.
 * `live` is how many steps may be in memory before maps get on with one item at a time (0:
 * PL_LIMIT_LIVE_STEPS): items of maps in maps multiply. */
void run_core_set_limits(struct run_core *core, size_t branches, size_t live);

/* The run whose rows were read from the store. Takes references to the rows' values.
 * Errors: STORE_CORRUPT (rows that contradict the workflow or each other), NO_MEMORY. */
enum pl_code run_core_load(struct workflow *workflow, uint64_t seed, const struct store_run *run,
                           const struct store_step *steps, size_t n_steps,
                           struct run_core **ret_core, struct pl_err *err) PL_MUST_CHECK;

/* Nulls; accepts NULL. Nothing may be in flight in an executor that still knows the nodes. */
void run_core_destroy(struct run_core **core);

/* Takes one event. Never fails for bad timing: an answer that is not awaited is dropped (and
 * counted). Errors: NO_MEMORY: nothing more may be recorded of the run (what is durable stands);
 * every later call says the same. */
enum pl_code run_core_step(struct run_core *core, struct run_event *event,
                           struct run_update *ret_update) PL_MUST_CHECK;

enum run_state run_core_state(const struct run_core *core);
bool run_core_waits(const struct run_core *core); /* for people, and for nothing else */
bool run_core_asks(const struct run_core *core);  /* somebody, whatever else goes on */
/* When the next TICK is due; 0: no timer runs. */
pl_ms run_core_next_wake(const struct run_core *core);
struct workflow *run_core_workflow(const struct run_core *core);
/* The node of a step of the top level (branches included, not steps inside bodies); never NULL. */
struct run_node *run_core_node(const struct run_core *core, const struct step_def *def);
/* The node at a concrete path ("reviews.17.summary"); NULL when there is none now. */
struct run_node *run_core_find(const struct run_core *core, struct pl_str path);
/* What the run's state came to, once its output is made; NULL: it has none. Borrowed. */
struct pl_value *run_core_final_state(const struct run_core *core);
/* The frame of the top level. */
struct run_frame *run_core_root(const struct run_core *core);
unsigned run_core_in_flight(const struct run_core *core); /* calls: CALLING, STOPPING */
/* Answers that were not awaited; 0 unless an executor is wrong. */
unsigned run_core_dropped(const struct run_core *core);

struct run_progress {
    unsigned total, pending, running, waiting, succeeded, failed, skipped, cancelled;
};
struct run_progress run_core_progress(const struct run_core *core);

/* Told of a step that can still make a call, and of the model it would call (llm; else empty). A
 * step may come more than once. False: no more is wanted. */
typedef bool (*run_need_fn)(void *arg, const struct step_def *def, struct pl_str model);
/* Tells of all of them: those under way, those that have not begun, whatever may begin inside them.
 * Not of steps that are over. For a core just loaded; O(steps). False: `each` said so. */
bool run_core_each_need(const struct run_core *core, run_need_fn each, void *arg);

/* Do others wait until a model begins to answer this step? Then ANSWERING is of use. */
bool run_core_is_warming(const struct run_core *core, const struct run_node *node);

/* The model an llm step calls at present; empty for other kinds. */
struct pl_str run_node_model(const struct run_node *node);

/* ---- rows ---- */

/* Takes the next node whose row changed since it was last taken; NULL when there is none. */
struct run_node *run_core_take_dirty(struct run_core *core);
/* True (once) when the run's own row changed. */
bool run_core_take_run_dirty(struct run_core *core);

/* The row of a node, or the core's part of the run's row (status, phase, output, error, reason,
 * times, usage, last_seq; the rest is the caller's). Strings and values are borrowed until the next
 * run_core_step; `arena` holds what must be made (the join report). */
void run_core_step_row(const struct run_core *core, const struct run_node *node,
                       struct pl_arena *arena, struct store_step *ret_row);
void run_core_run_row(const struct run_core *core, struct pl_arena *arena,
                      struct store_run *ret_row);

/* Told of every move of a step (node) or of the run (NULL), by the names of the states. For
 * scenarios and debugging; NULL: nobody. */
typedef void (*run_trace_fn)(void *arg, const struct run_node *node, const char *from,
                             const char *to);
void run_core_set_trace(struct run_core *core, run_trace_fn trace, void *arg);

/* Looks whether every invariant of run_states.h and of the rules above holds. For tests
 * and the simulator: O(steps). Returns a sentence about the first breach, NULL when sound. */
const char *run_core_check(const struct run_core *core);

#endif
