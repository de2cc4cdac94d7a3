/* run_agent.h - what the executor needs to know of an agent. Not its life (run_agent.c). The run's
 * loop only. */
#ifndef PLAIT_SERVICE_RUN_AGENT_H
#define PLAIT_SERVICE_RUN_AGENT_H

#include "service/run_node.h"

/* The conversation that the model's turn (an llm node owned by an agent) goes on with: a JSON list,
 * borrowed until the next run_core_step. */
struct pl_str run_agent_messages(const struct run_node *turn);

#endif
