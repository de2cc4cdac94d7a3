/* jq_check.h - the jq programs of a workflow that is being checked, asked of the workers: what
 * workflow_env.check_jq does. Not their running (jq_pool.h). Called by the engine and by the
 * command line, on threads that may wait. */
#ifndef PLAIT_SERVICE_JQ_CHECK_H
#define PLAIT_SERVICE_JQ_CHECK_H

#include "base/compiler.h"
#include "service/expr.h"
#include "service/jq_pool.h"

/* Compiles the programs without running them. `errors` has a place for each expression: filled
 * for those that are not sound. `pool` NULL: a worker of its own. Errors: as jq_pool_check. */
enum pl_code jq_check_exprs(struct jq_pool *pool, struct expr *const *exprs, size_t n_exprs,
                            struct pl_err *errors, struct pl_err *err) PL_MUST_CHECK;

#endif
