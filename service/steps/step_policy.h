/* step_policy.h - what stands beside the kind of a step and says how it is tried, joined, paid for
 * and what follows its failure. Not what the step does (step_config.h). Made by workflow_policy.c,
 * read by the run. Included through workflow.h. Immutable, in the workflow's arena. */
#ifndef PLAIT_SERVICE_STEPS_STEP_POLICY_H
#define PLAIT_SERVICE_STEPS_STEP_POLICY_H

#include "base/clock.h"
#include "service/budget.h"

#include <stdbool.h>
#include <stdint.h>

struct expr;

enum join_kind { JOIN_ALL, JOIN_SETTLED, JOIN_ANY, JOIN_QUORUM, JOIN_FRACTION };

/* `join:`: when a set of branches is done, and what becomes of the rest. */
struct join_policy {
    enum join_kind kind;
    unsigned quorum;     /* QUORUM: k >= 1 */
    double fraction;     /* FRACTION: 0 < f <= 1; k = ceil(f * n), n without skipped branches */
    pl_ms deadline;      /* from the step's start; 0: none */
    unsigned min;        /* successes that suffice at the deadline for all and settled; default 1 */
    bool min_given;      /* then settled needs them without a deadline too */
    struct expr *accept; /* over .output; NULL: every success counts */
    bool drain;          /* losers: drain; else cancel */
};

/* `retry:`. `attempts` counts calls in all, the first included: 3 means two retries. */
struct retry_policy {
    unsigned attempts;  /* default 3 */
    pl_ms initial, max; /* default 500 ms, 30 s */
    double multiplier;  /* default 2 */
    double jitter;      /* share of the wait that is random, 0..1; default 1 (full jitter) */
    unsigned on;        /* bit mask of 1u << enum pl_retry_class; default all */
};

enum on_error_kind { ON_ERROR_FAIL, ON_ERROR_CONTINUE, ON_ERROR_DEFAULT, ON_ERROR_STEP };
enum on_ambiguous { ON_AMBIGUOUS_RETRY, ON_AMBIGUOUS_FAIL };

#endif
