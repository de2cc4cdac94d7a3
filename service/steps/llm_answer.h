/* llm_answer.h - judges what a model gave: JSON out of its text, against the step's schema; a turn
 * of an agent with the arguments of its tool calls. Not the call and not asking again (llm.c).
 * Called by llm.c; the loop's thread the call runs on. */
#ifndef PLAIT_SERVICE_STEPS_LLM_ANSWER_H
#define PLAIT_SERVICE_STEPS_LLM_ANSWER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "service/workflow/workflow.h"

/* What an answer is held against. */
struct llm_terms {
    const struct schema_use *schema;  /* NULL: any text */
    const struct agent_config *agent; /* NULL: no turn of an agent */
    struct pl_str mcp_tools;          /* the tools of its MCP servers; see step_call */
    size_t max_output;                /* bytes the output may have; 0: no limit of its own */
};

/* Replaces *output, what a provider gave (see llm_request.tools), by the step's output (see
 * step_kind.h). Errors, *output as it was: INVALID_OUTPUT (the text does not fit the schema), then
 * *ret_again has the messages that ask again: the model's text and what is wrong with it;
 * TOO_LARGE; NO_MEMORY. Memory from `arena`. */
enum pl_code llm_answer_take(const struct llm_terms *terms, struct pl_arena *arena,
                             struct pl_value **output, struct pl_str ret_again[static 2],
                             struct pl_err *err) PL_MUST_CHECK;

/* Appends the tools of an agent and those of its MCP servers as the JSON list of
 * llm_request.tools. */
void llm_answer_write_tools(const struct agent_config *agent, struct pl_str mcp_tools,
                            struct pl_buf *out);

#endif
