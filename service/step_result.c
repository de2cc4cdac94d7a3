/* step_result.c - what one attempt of a step came to. Not its meaning (run_attempt). Called by step
 * kinds, the executor and the run core. */
#include "service/step_result.h"

void step_result_init(struct step_result *result)
{
    *result = (struct step_result){.retry_after = -1};
}

void step_result_finish(struct step_result *result)
{
    pl_value_unref(&result->output);
    pl_value_unref(&result->upstream);
}
