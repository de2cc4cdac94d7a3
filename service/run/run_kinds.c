/* run_kinds.c - the table of what step kinds do in the core. Not what their calls do
 * (steps/step_kinds). Called by run_core*.c; a new kind is a row here. */
#include "service/run/run_core_private.h"

static const struct run_kind leaf = {
    .begin = run_attempt_begin,
    .timer = run_attempt_timer,
};

static const struct run_kind *const kinds[] = {
    [STEP_LLM] = &leaf,
    [STEP_HTTP] = &leaf,
    [STEP_REDUCE] = &leaf,
    [STEP_PARALLEL] = &run_kind_parallel,
    [STEP_MAP] = &run_kind_map,
    [STEP_VOTE] = &run_kind_vote,
    [STEP_WORKFLOW] = &run_kind_body,
    [STEP_REPEAT] = &run_kind_body,
    [STEP_AGENT] = &run_kind_agent,
    [STEP_HUMAN] = &run_kind_human,
    [STEP_SLEEP] = &run_kind_sleep,
    [STEP_MCP] = &leaf,
};

const struct run_kind *run_kind_of(enum step_kind kind)
{
    return kinds[kind];
}
