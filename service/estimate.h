/* estimate.h - what a run of a workflow would use, before its first call: model calls, tokens and
 * cost, expected and at the most, as JSON. Runs nothing, calls nobody. Not a budget (run_budget.h),
 * which counts what one call may use when it is ready. Called by `plait estimate` and POST
 * /v1/estimate; any thread.
 *
 * What the input says is counted as it is: texts, and how many items a map has. What only a run can
 * know is assumed, and each assumption is listed; what has no bound makes `at_most` null. */
#ifndef PLAIT_SERVICE_ESTIMATE_H
#define PLAIT_SERVICE_ESTIMATE_H

#include "base/buf.h"
#include "service/workflow/doc.h"
#include "service/workflow/workflow.h"

struct providers;

/* Appends {"workflow", "calls": {"expected","at_most"}, "input_tokens", "output_tokens",
 * "cost_usd":
 * {...} or null, "budget", "steps": [{"path","model",...}], "assumptions": [...], "unbounded":
 * [...], "unpriced": [...]}. `input` is JSON or empty: an empty one that does not fit the schema
 * counts as unknown. `providers` has the prices; NULL: none.
 * `run_jq`: jq expressions over the input alone are run, by a worker that ends with this, and
 * waited for; else what they give counts as unknown: where others wait too. Errors: INVALID_JSON,
 * INVALID_INPUT (see problems), NO_MEMORY. */
enum pl_code estimate_write(const struct workflow *workflow, struct pl_str input,
                            const struct providers *providers, bool run_jq, struct pl_buf *out,
                            struct doc_problems *problems, struct pl_err *err) PL_MUST_CHECK;

#endif
