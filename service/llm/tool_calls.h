/* tool_calls.h - the calls of tools in one answer, put together from whole ones or from fragments,
 * and the object a provider gives with them. Not running them (the run does) and not judging their
 * arguments (steps/llm_tools.c). Called by providers; one thread. */
#ifndef PLAIT_SERVICE_LLM_TOOL_CALLS_H
#define PLAIT_SERVICE_LLM_TOOL_CALLS_H

#include "base/buf.h"
#include "base/err.h"

enum { TOOL_CALLS_MAX = 128 }; /* in one answer; more are a bad one */

struct tool_call {
    int64_t index; /* what the server calls it by, -1: nothing */
    struct pl_buf id, name, arguments;
};

/* Zeroed is empty. tool_calls_finish releases. */
struct tool_calls {
    struct tool_call *items;
    size_t count, capacity;
    bool no_memory, too_many; /* sticky */
};

void tool_calls_finish(struct tool_calls *calls);
/* A new call; its arguments may have so many bytes. NULL when there are too many, or no memory
 * (sticky). */
struct tool_call *tool_calls_add(struct tool_calls *calls, int64_t index, size_t max_arguments);
/* The newest call with this index; index -1: the newest of all. NULL: none. */
struct tool_call *tool_calls_find(struct tool_calls *calls, int64_t index);
/* Bytes of all arguments. */
size_t tool_calls_bytes(const struct tool_calls *calls);

/* Is every call whole? Errors: NO_MEMORY; BAD_RESPONSE (too many, one without a name);
 * RESPONSE_TOO_LARGE. */
enum pl_code tool_calls_check(const struct tool_calls *calls, struct pl_err *err) PL_MUST_CHECK;
/* Appends {"content": `content` (JSON, a string or null), "tool_calls": [{"id", "name",
 * "arguments": the model's text}]}. Each id is there and there once: where the model gave none, or
 * one twice, it is made from `identity`, the path of the step. */
void tool_calls_write(const struct tool_calls *calls, struct pl_str content, struct pl_str identity,
                      struct pl_buf *out);
/* Adds to the object that tool_calls_write has just written what the provider wants back unchanged
 * in the next turn: {"KIND": `json`} under LLM_REPLAY_KEY. Where it goes from there: llm_parts.h.
 */
void tool_calls_add_replay(const char *kind, struct pl_str json, struct pl_buf *out);

#endif
