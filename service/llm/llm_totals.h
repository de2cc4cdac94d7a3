/* llm_totals.h - what all attempts at one provider's models have come to since this process began:
 * for whoever looks at the service from outside. Not what a run has used (run_attempt.c), and
 * nothing is decided by it. Told by steps/llm.c of every attempt; read by engine.c. Any thread:
 * atomics, each figure right by itself. */
#ifndef PLAIT_SERVICE_LLM_LLM_TOTALS_H
#define PLAIT_SERVICE_LLM_LLM_TOTALS_H

#include "service/steps/step_result.h"

#include <stdatomic.h>

/* Zeroed before use. */
struct llm_totals {
    atomic_uint_fast64_t succeeded, failed, cancelled; /* attempts, by how they ended */
    atomic_uint_fast64_t calls; /* that were sent for them: hedges and repairs too */
    atomic_uint_fast64_t input_tokens, output_tokens;
    atomic_uint_fast64_t cost; /* in 10^-9 US dollars */
};

/* What they have cost, in US dollars. */
double llm_totals_cost(const struct llm_totals *totals);
/* Adds an attempt that is over, its usage and cost filled in. */
void llm_totals_add(struct llm_totals *totals, const struct step_result *result);

#endif
