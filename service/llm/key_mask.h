/* key_mask.h - keeps the key a provider was sent out of what comes back: asterisks in its place, in
 * texts, in values, and in a stream of pieces however they are cut. Not the secrets of http and mcp
 * steps (secrets.h). Called by llm_http.c and providers.c; no state but what is given, any thread.
 */
#ifndef PLAIT_SERVICE_LLM_KEY_MASK_H
#define PLAIT_SERVICE_LLM_KEY_MASK_H

#include "service/llm/provider.h"

/* A shorter key, and none, is not looked for: it would be everywhere. */
enum { KEY_MASK_MIN = 6 };

/* Is it in the text? Never, where it is too short. */
bool key_mask_finds(struct pl_str key, struct pl_str text);
/* In place; the length stays. */
void key_mask_text(struct pl_str key, char *text, size_t len);
/* The beginning of a key at the end of a text that was cut there: KEY_MASK_MIN bytes or more. */
void key_mask_cut(struct pl_str key, char *text, size_t len);
/* Puts another value in the place of one that holds the key; NULL when out of memory. */
void key_mask_value(struct pl_str key, struct pl_value **value);

/* A sink in front of another. What may be the beginning of the key waits for the next piece. */
struct key_mask {
    struct llm_sink sink; /* for the parser; delta is NULL when nobody listens behind */
    struct llm_sink to;
    struct pl_str key;
    size_t held;          /* this much of the key's beginning has come and was not passed on */
    struct pl_buf joined; /* a piece with what was held before it, masked */
};

/* `key` must outlive the mask. Passes all on as it came when the key is too short. */
void key_mask_init(struct key_mask *mask, struct pl_str key, const struct llm_sink *to);
/* Nothing follows: passes on what is held. */
void key_mask_end(struct key_mask *mask);
void key_mask_finish(struct key_mask *mask); /* frees; accepts a zeroed one */

#endif
