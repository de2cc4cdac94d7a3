/* budget.h - amounts of tokens and money: limits, and what a call may use. Not the keeping of them
 * (run_budget.h) and not prices (llm/prices.h). Shared by all that read, count or keep them. */
#ifndef PLAIT_SERVICE_BUDGET_H
#define PLAIT_SERVICE_BUDGET_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest limits that anybody may set: sums of them stay exact. */
#define BUDGET_TOKENS_MAX ((int64_t)1 << 50)
#define BUDGET_COST_MAX   1e9

/* `budget:`, or what of one is used or set aside. As a limit, 0 of either: none. */
struct budget {
    int64_t tokens; /* input and output */
    double cost_usd;
};

/* What a call that is ready may use at most, as far as that is known before it is sent; tokens > 0.
 */
struct call_estimate {
    struct budget one, all; /* one call; all calls that the attempt may make */
    bool unpriced;          /* what it costs is not known */
};

#endif
