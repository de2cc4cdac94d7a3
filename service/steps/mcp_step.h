/* mcp_step.h - what the executor tells the mcp step beside its calls. Not the step itself (mcp.c).
 */
#ifndef PLAIT_SERVICE_STEPS_MCP_STEP_H
#define PLAIT_SERVICE_STEPS_MCP_STEP_H

#include "service/run/run_node.h"
#include "service/steps/step_kind.h"

/* An agent is over: the sessions that it had with MCP servers are, too. The servers are told;
 * nobody waits for that. On the loop's thread. */
void mcp_step_end_sessions(const struct step_env *env, struct loop *loop, struct pl_str run_id,
                           const struct run_node *agent);

#endif
