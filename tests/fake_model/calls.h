/* calls.h - tool calls as the stand-in model answers them, whole and in fragments. Not the rest of
 * an answer (plan.c). Called by plan.c; one thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_CALLS_H
#define PLAIT_TESTS_FAKE_MODEL_CALLS_H

#include "base/buf.h"
#include "base/str.h"

/* Appends the `tool_calls` list of a message. `script`: JSON list of {"name", "arguments", "id"};
 * arguments that are a string go out as they are, other values as their JSON text. `id` is part of
 * the ids made where none is given. */
void calls_write(struct pl_str script, uint32_t id, struct pl_buf *out);

/* How many fragments the calls make, and the one-element `tool_calls` list of one of them: for each
 * call its id and name, then its arguments in two halves. */
size_t calls_fragments(struct pl_str script);
void calls_write_fragment(struct pl_str script, uint32_t id, size_t fragment, struct pl_buf *out);

#endif
