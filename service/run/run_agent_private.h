/* run_agent_private.h - the inside of an agent in the core, shared by run_agent.c (turns and tool
 * calls) and run_agent_mcp.c (tools of MCP servers). Nobody else includes it. */
#ifndef PLAIT_SERVICE_RUN_RUN_AGENT_PRIVATE_H
#define PLAIT_SERVICE_RUN_RUN_AGENT_PRIVATE_H

#include "base/json.h"
#include "service/run/run_agent.h"
#include "service/run/run_agent_tools.h"
#include "service/run/run_core_private.h"

enum { RUN_AGENT_NTH_BITS = 8 }; /* of run_agent_number: which call of the tool in the turn */

/* What the model asked for in the present turn. */
struct tool_call {
    struct pl_str id;             /* JSON token; borrowed from the turn's output */
    const struct step_body *body; /* NULL: answered without a step */
    uint32_t number; /* the nth call of this tool in the turn, from 1; see run_agent_number */
    struct pl_value *answer; /* what the model is told; NULL: not known yet */
};

struct run_agent {
    struct run_inner inner; /* first */
    struct pl_buf messages; /* the conversation before the present turn: a JSON list */
    uint32_t turn;
    struct pl_value *said; /* the model's output of the present turn, once it is there */
    struct tool_call *calls;
    size_t n_calls;
    struct agent_listing *listings; /* of each MCP server; NULL: there are none */
};

static inline struct run_agent *run_agent_of(const struct run_node *node)
{
    return (struct run_agent *)node->inner;
}

static inline const struct agent_config *run_agent_config(const struct run_node *node)
{
    return node->def->config.agent;
}

/* The number of the frame of a call: of tool `tool` of the memo (0: one of the agent's own, whose
 * body says which), the nth of it in its turn. */
static inline uint32_t run_agent_number(uint32_t tool, uint32_t nth)
{
    return tool << RUN_AGENT_NTH_BITS | nth;
}

/* The tools of MCP servers, as in the memo; empty: there are none (yet). */
static inline struct pl_str run_agent_tools_of(const struct run_node *agent)
{
    struct pl_str tools = {0};

    json_get(pl_value_text(agent->memo), PL_STR("tools"), &tools);
    return tools;
}

/* ---- run_agent.c ---- */
/* The conversation begins with what the memo holds. False: memory is out. */
bool run_agent_begin_messages(struct run_node *node);
void run_agent_begin_turn(struct run_core *core, struct run_node *node);
/* The error is taken. */
void run_agent_fail(struct run_core *core, struct run_node *node, struct pl_value *error);
struct run_frame *run_agent_frame(const struct run_node *node, const struct step_body *body,
                                  uint32_t level, uint32_t number);

/* ---- run_agent_mcp.c ---- */
void run_agent_begin_listings(struct run_core *core, struct run_node *node);
/* A listing is over: perhaps the last one, then the first turn begins. */
void run_agent_listing_ended(struct run_core *core, struct run_frame *frame, struct run_node *step);
/* Loading: what the listings gave that are over, while others are not; and what each was asked. */
void run_agent_derive_listings(struct run_core *core, struct run_node *node);
void run_agent_forget_listings(const struct run_node *node);

#endif
