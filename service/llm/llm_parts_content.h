/* llm_parts_content.h - the content of one message, part by part. Not messages and not tool calls
 * (llm_parts.c), the only caller. */
#ifndef PLAIT_SERVICE_LLM_LLM_PARTS_CONTENT_H
#define PLAIT_SERVICE_LLM_LLM_PARTS_CONTENT_H

#include "service/llm/llm_parts.h"

/* Fills turn->parts from a string, a list of parts, null, or nothing (empty). Errors:
 * INVALID_ARGUMENT, NO_MEMORY. */
enum pl_code llm_parts_read_content(struct llm_turn *turn, struct pl_str content,
                                    struct pl_arena *arena, struct pl_err *err) PL_MUST_CHECK;

/* The text of a string token: a piece of the token itself unless it has escapes. Empty also when
 * the arena failed. */
struct pl_str llm_parts_text(struct pl_str token, struct pl_arena *arena);

#endif
