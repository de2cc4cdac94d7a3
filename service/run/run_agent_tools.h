/* run_agent_tools.h - the tools that MCP servers offer an agent: which of them the model sees and
 * under which names, what is asked of a server for a call, and what the model is told of its
 * answer. Values in, values out; not the requests (steps/mcp.c) and not when they are made
 * (run_agent.c).
 *
 * The memo of an agent with servers: {"messages", "mcp": [url], "tools": [{"name", "server",
 * "tool", "description"?, "parameters"}]}. `tools` is there once all servers have answered or
 * failed; `name` is what the model calls it by, `tool` what its server does. */
#ifndef PLAIT_SERVICE_RUN_RUN_AGENT_TOOLS_H
#define PLAIT_SERVICE_RUN_RUN_AGENT_TOOLS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/value.h"
#include "service/workflow/workflow.h"

/* What the listing of one server came to. */
struct agent_listing {
    bool done;
    struct pl_value *tools; /* a JSON list; NULL: it failed */
    const char *why;        /* then: static text */
};

/* The memo with the tools of all listings, and where one failed a word to the model about that.
 * A name is made of letters, digits, _ and - (others become _), is at most 64 long and does not end
 * in - and a number; one that is taken, by an own tool or an earlier server's, gets _2, _3, ...
 * Errors: LIMIT_EXCEEDED (more than AGENT_TOOLS_MAX with the own ones, or too large), NO_MEMORY. */
enum pl_code agent_tools_memo(const struct agent_config *config, struct pl_str memo,
                              const struct agent_listing *listings, struct pl_value **ret_memo,
                              struct pl_err *err) PL_MUST_CHECK;

/* The place of the tool the model calls `name` in `tools` of a memo; false: there is none. */
bool agent_tools_find(struct pl_str tools, struct pl_str name, uint32_t *ret_index);

/* What goes to the step that lists: {"server", "url"}; that calls: {"server", "url", "tool",
 * "arguments", "parameters"}. NULL: no memory. */
struct pl_value *agent_tools_list_request(struct pl_str memo, uint32_t server);
struct pl_value *agent_tools_call_request(struct pl_str memo, uint32_t index,
                                          struct pl_str arguments);

/* What the model is told of a result {"content", "structuredContent"?, "isError"?}: its texts, a
 * line for each part that is none; {"error": text} when the tool said that it failed. A JSON value.
 * NULL: no memory. */
struct pl_value *agent_tools_answer(struct pl_str result);

#endif
