/* run_budget.h - budgets of a run and of its steps, kept by setting aside what a call may use
 * before it is sent. Not what tokens cost (llm/prices.h) nor how many a request may have (the
 * kind's `estimate`). Part of the run core: pure, the run's loop only. Called by run_core's files,
 * and by the executor for each call that is ready to be sent.
 *
 * Rules (each has a scenario):
 *  1. A call is ready: the executor asks with two estimates: of one call, and of all that the
 * attempt may make (repairs). What is granted is set aside in every budget around the step, until
 * the attempt's result is there; then what it really used counts (its usage, which is in the rows).
 *  2. Granted is what fits: used + set aside + estimate <= budget, for tokens and for money, for
 *     every budget around it. All calls of the attempt, where that fits or will once others are
 * back; else one call alone.
 *  3. What would fit if what is set aside for others came free waits: HELD, reason "budget",
 * without a time; in the order they came for each budget. It goes on by itself.
 *  4. What cannot fit whatever the others use fails with budget_exceeded: not retried, no other
 * model is tried; on_error and the join follow. A step with a cache that waited while calls came
 * back is called once more before: one of them may have been its answer, which costs nothing. What
 * this stops is cancelled with reason "budget".
 *  5. Nothing of this is stored. After a crash what was in flight counts as its row says: nothing.
 *     Its new attempt is set aside anew, and what waited asks again.
 *  6. A handler is not under the budget of the step whose error it handles. A workflow called by
 * name has its own budget as well as that of the step. */
#ifndef PLAIT_SERVICE_RUN_RUN_BUDGET_H
#define PLAIT_SERVICE_RUN_RUN_BUDGET_H

#include "service/run/run_core.h"

enum run_grant {
    RUN_GRANT_NONE, /* not now: answer the CALL with DEFERRED, reason RUN_BUDGET_REASON, until 0 */
    RUN_GRANT_ONE,
    RUN_GRANT_ALL,
};

#define RUN_BUDGET_REASON "budget"

/* What the run may use beside what its workflow says: of two limits the lower one counts. Before
 * its first event. The row's options keep it, where run_core_load finds it. */
void run_core_set_budget(struct run_core *core, const struct budget *budget);
/* Writes it as a member of options, and reads it: `{"tokens":N,"cost_usd":X}`. */
struct pl_buf;
void run_budget_write(const struct budget *budget, struct pl_buf *out);
struct budget run_budget_read(struct pl_str json);

/* False: nothing limits this run, and nobody need ask. */
bool run_budget_matters(const struct run_core *core);
/* May the call of a CALLING step be sent? What was set aside for it before is given back. Memory
 * that is out is seen with the next event. */
enum run_grant run_budget_ask(struct run_core *core, struct run_node *node,
                              const struct call_estimate *estimate);
/* Did the ask that has just said no find that there will never be enough? Then the step fails with
 * this error at the next event. */
bool run_budget_refuses(struct run_core *core, const struct run_node *node, struct pl_err *ret_err);
/* Before the first event: no step is refused that has not just asked, so that the executor sees
 * each refusal. */
void run_core_watch_refusals(struct run_core *core);
/* Its call waits for another one's answer: what is set aside is given back. False: there was
 * nothing; else those who wait for it learn of it with the next event. */
bool run_budget_give_back(struct run_core *core, struct run_node *node);
/* What is used and set aside at present: of a step, or (NULL) of the run. */
struct budget run_budget_used(const struct run_core *core, const struct run_node *node);
struct budget run_budget_held(const struct run_core *core, const struct run_node *node);
struct budget run_budget_limit(const struct run_core *core, const struct run_node *node);
/* What is around a step and may have a budget; NULL: the run. */
struct run_node *run_budget_around(const struct run_node *node);

#endif
