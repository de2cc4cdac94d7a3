/* llm_messages.h - conversations in the OpenAI shape as JSON text: what an llm step begins with,
 * and what an agent's turns add to it. Not the call (llm.c) and not what a provider makes of it
 * (llm/). Called by steps/llm.c, and by the run core's part for agents, which keeps the
 * conversation. */
#ifndef PLAIT_SERVICE_STEPS_LLM_MESSAGES_H
#define PLAIT_SERVICE_STEPS_LLM_MESSAGES_H

#include "base/buf.h"
#include "service/expr/expr.h"
#include "service/workflow/workflow.h"

/* Appends the JSON list of messages that the templates give: `system` first (where there is one),
 * `messages`, `prompt` as the last user turn. What an agent's conversation begins with.
 * Errors: EXPRESSION_ERROR and the like; INVALID_ARGUMENT (`messages` gives something else);
 * TOO_LARGE; NO_MEMORY. */
enum pl_code llm_messages_render(const struct llm_config *config, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

/* The same without `system`, which providers take apart from the rest. */
enum pl_code llm_messages_render_rest(const struct llm_config *config,
                                      const struct expr_scope *scope, struct pl_buf *out,
                                      struct pl_err *err) PL_MUST_CHECK;

/* Opens a list again that was written before: appends `messages` without its closing bracket, so
 * that the functions below and json_array_end can follow. */
void llm_messages_reopen(struct pl_buf *out, struct pl_str messages);

/* Append one message to an open list, with a comma where one is needed. A failed buffer is the
 * caller's to see. */
void llm_messages_add_text(struct pl_buf *out, const char *role, struct pl_str text);
/* The assistant's turn, from the output of a call with `agent` (see step_kind.h). */
void llm_messages_add_turn(struct pl_buf *out, struct pl_str turn);
/* What a tool gave for the call with this id (a JSON string token): a JSON string goes in as its
 * text, other values as compact JSON. */
void llm_messages_add_tool(struct pl_buf *out, struct pl_str id, struct pl_str value);

#endif
