/* step_kinds.c - the table of leaf kinds. Not the kinds themselves. A new kind is an enum value in
 * workflow.h, a row here and one file. Called by run_exec. */
#include "service/steps/step_kinds.h"

static const struct step_kind_ops *const table[STEP__KINDS] = {
    [STEP_LLM] = &step_llm_ops,       [STEP_HTTP] = &step_http_ops,
    [STEP_PARALLEL] = NULL, /* run_core's */
    [STEP_REDUCE] = &step_reduce_ops, [STEP_MCP] = &step_mcp_ops,
};

const struct step_kind_ops *step_kind_ops(enum step_kind kind)
{
    return (unsigned)kind < STEP__KINDS ? table[kind] : NULL;
}

bool step_waits_for_intent(const struct step_def *def)
{
    if (!step_kind_is_leaf(def->kind))
        return false;
    if (def->on_ambiguous == ON_AMBIGUOUS_FAIL)
        return true;
    if (def->kind == STEP_MCP)
        return !def->config.mcp->listing;
    return def->kind == STEP_HTTP && !pl_str_is(def->config.http->method, "GET") &&
           !pl_str_is(def->config.http->method, "HEAD");
}
