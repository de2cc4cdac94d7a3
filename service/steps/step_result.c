/* step_result.c - what one attempt of a step came to. Not its meaning (run_attempt). Called by step
 * kinds, the executor and the run core. */
#include "service/steps/step_result.h"

#include "base/json.h"

enum { FACTS_BYTES = 4096 }; /* far more than a server's ids and a few words take */

void step_result_init(struct step_result *result)
{
    *result = (struct step_result){.retry_after = -1};
    pl_buf_init(&result->facts, FACTS_BYTES);
}

void step_result_finish(struct step_result *result)
{
    pl_value_unref(&result->output);
    pl_value_unref(&result->upstream);
    pl_buf_finish(&result->facts);
}

/* The object is opened with its first member, and closed when it is taken. */
static void begin_fact(struct step_result *result)
{
    if (pl_buf_view(&result->facts).len == 0)
        json_object_begin(&result->facts);
}

void step_result_fact(struct step_result *result, const char *name, struct pl_str value)
{
    if (value.len == 0)
        return;
    begin_fact(result);
    json_add_string(&result->facts, name, value);
}

void step_result_fact_int(struct step_result *result, const char *name, int64_t value)
{
    begin_fact(result);
    json_add_int(&result->facts, name, value);
}

void step_result_fact_double(struct step_result *result, const char *name, double value)
{
    begin_fact(result);
    json_add_double(&result->facts, name, value);
}

void step_result_fact_bool(struct step_result *result, const char *name, bool value)
{
    begin_fact(result);
    json_add_bool(&result->facts, name, value);
}

struct pl_value *step_result_take_facts(struct step_result *result)
{
    if (pl_buf_view(&result->facts).len == 0)
        return NULL;
    json_object_end(&result->facts);
    return pl_value_take(&result->facts);
}
