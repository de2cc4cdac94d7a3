/* run_agent.h - what others need to know of an agent: the conversation, and the tools of MCP
 * servers with the names they have in paths. Not its life (run_agent.c) nor how those tools were
 * put together (run_agent_tools.h). The run's loop only. */
#ifndef PLAIT_SERVICE_RUN_RUN_AGENT_H
#define PLAIT_SERVICE_RUN_RUN_AGENT_H

#include "service/run/run_node.h"

/* The conversation that the model's turn (an llm node owned by an agent) goes on with: a JSON list,
 * borrowed until the next run_core_step. */
struct pl_str run_agent_messages(const struct run_node *turn);

/* The tools of MCP servers that the model is offered in this turn, as in the agent's memo
 * (run_agent_tools.h); empty: none. Borrowed while the agent is there. */
struct pl_str run_agent_mcp_tools(const struct run_node *turn);

/* A call of such a tool is numbered by the tool's place in that list and which call of it in its
 * turn it is. Appends the word of its path, "search" or "search-2"; finds the number of one. */
void run_agent_write_name(const struct run_node *agent, uint32_t number, struct pl_buf *out);
bool run_agent_find_name(const struct run_node *agent, struct pl_str word, uint32_t *ret_number);

#endif
