/* llm_totals.c - see llm_totals.h. */
#include "service/llm/llm_totals.h"

static const double COST_UNITS = 1e9, COST_MAX = 1e6; /* of one attempt; more is no figure */

static void add(atomic_uint_fast64_t *figure, int64_t more)
{
    if (more > 0)
        atomic_fetch_add_explicit(figure, (uint_fast64_t)more, memory_order_relaxed);
}

void llm_totals_add(struct llm_totals *totals, const struct step_result *result)
{
    const struct store_usage *usage = &result->usage;
    const bool priced = usage->cost_usd > 0 && usage->cost_usd <= COST_MAX;

    add(result->err.code == PL_OK              ? &totals->succeeded
        : result->err.code == PL_ERR_CANCELLED ? &totals->cancelled
                                               : &totals->failed,
        1);
    add(&totals->calls, usage->calls);
    add(&totals->input_tokens, usage->input_tokens);
    add(&totals->output_tokens, usage->output_tokens);
    add(&totals->cost, priced ? (int64_t)(usage->cost_usd * COST_UNITS + 0.5) : 0);
}

double llm_totals_cost(const struct llm_totals *totals)
{
    return (double)atomic_load(&totals->cost) / COST_UNITS;
}
