/* run_join.h - the pure part of joins: given how the branches stand, is the join decided, and what
 * is its value? Not the cancelling of losers (run_parallel). Called by run_core*.c and, for the
 * report, by whoever renders a step.
 *
 * n = total - skipped. needed: all and settled n; any 1; quorum k; fraction ceil(f * n), at least 1
 * (less 1e-9 before rounding up: 0.07 of 100 is 7).
 *  - all: satisfied when succeeded == n; the first unhandled failure (or cancel by a user)
 *    decides against it with branch_failed (the branch's own code and message are carried in the
 *    error).
 *  - settled: satisfied when every branch is final; with min given it needs min successes, else
 *    quorum_unreachable, as soon as succeeded + open < min.
 *  - any, quorum, fraction: satisfied at the needed-th success; quorum_unreachable as soon as
 *    succeeded + open < needed.
 * A branch that failed but was handled counts as a success with its handled output.
 * At the join's deadline: all and settled are satisfied when succeeded >= min (default 1), the
 * others when succeeded >= needed; else join_deadline. n == 0 (no branches at all, or all skipped):
 * all and settled are satisfied with the empty result, the others quorum_unreachable. Value: any:
 * the output of the winner. Else an object by branch id in the order written: a counted branch's
 * output, null for missing, skipped, failed, cancelled or uncounted; under settled a failed branch
 * gives {"error": {...}}. At most PL_LIMIT_RUN_OUTPUT_BYTES, else too_large. Reasons for losers:
 * any lost_race; quorum, fraction quorum_met; a failed join sibling_failed; a decision by the
 * deadline deadline. */
#ifndef PLAIT_SERVICE_RUN_RUN_JOIN_H
#define PLAIT_SERVICE_RUN_RUN_JOIN_H

#include "service/run/run_core.h"

/* Looks at node->join and the policy; sets decided, satisfied, code. True when this call decided
 * it. */
bool run_join_decide(struct run_node *node, bool at_deadline);
/* How many successes it needs at present. */
unsigned run_join_needed(const struct run_node *node);
/* Why the losers of a decided join are stopped. */
enum cancel_reason run_join_reason(const struct run_node *node);
/* How one branch stands, for the value. */
struct join_branch {
    struct pl_str id; /* of objects */
    enum node_state state;
    bool counted;
    struct pl_value *output, *error; /* borrowed */
};
typedef struct join_branch (*join_branch_fn)(const struct run_node *node, size_t index);
/* The value of a satisfied join: an object, or a list. NULL when out of memory or over the cap
 * (*ret_too_large). */
struct pl_value *run_join_value(const struct run_node *node, size_t count, join_branch_fn branch_at,
                                bool as_list, bool *ret_too_large);
/* The `join` report of a step: {"policy","satisfied_by","needed","total","counted","failed",
 * "cancelled","missing","winner","code"}. Counts are numbers, missing is what is in no other count;
 * satisfied_by is the policy's name, "deadline", or null; winner is a branch id or null; code says
 * why a join that was decided is not satisfied, or null. After a `warm_up` also
 * "warm_up": {"waited_ms","cached_input_tokens"} (of all branches). */
struct pl_str run_join_report(const struct run_node *node, struct pl_arena *arena);
/* The same while it is open, when there is little in it that the branches' rows do not say: policy
 * and warm_up; empty without a `warm_up`. */
struct pl_str run_join_open_report(const struct run_node *node, struct pl_arena *arena);

#endif
