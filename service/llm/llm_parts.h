/* llm_parts.h - a conversation in the OpenAI shape taken apart: turns, what they say, the tool
 * calls they make and answer. One reader for every provider whose API has another shape. Not the
 * rendering of the conversation (steps/llm_messages.c) and not what a provider makes of it. Called
 * by anthropic.c and gemini.c when a request is built; one thread.
 *
 * Nothing large is copied: texts stay JSON string tokens, data stays where it stands unless its
 * string has escapes. All of it lives as long as the messages and the arena. */
#ifndef PLAIT_SERVICE_LLM_LLM_PARTS_H
#define PLAIT_SERVICE_LLM_LLM_PARTS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum llm_role {
    LLM_ROLE_SYSTEM, /* also `developer` */
    LLM_ROLE_USER,
    LLM_ROLE_ASSISTANT,
    LLM_ROLE_TOOL,
};

enum llm_part_type { LLM_PART_TEXT, LLM_PART_IMAGE, LLM_PART_AUDIO, LLM_PART_FILE };

enum llm_source {
    LLM_SOURCE_NONE, /* of a text */
    LLM_SOURCE_DATA, /* `value` is base64, checked to be of its alphabet, not empty */
    LLM_SOURCE_URL,  /* `value` is a URL with a scheme, no data: URL */
    LLM_SOURCE_ID,   /* `value` is the id of a file the provider keeps */
};

struct llm_part {
    enum llm_part_type type;
    struct pl_str text; /* TEXT: a JSON string token, quotes included; may be `""` */
    enum llm_source source;
    struct pl_str value;         /* as `source` says; plain text */
    struct pl_str media_type;    /* of DATA always, of others where it is told: "image/png" */
    struct pl_str filename;      /* FILE: plain text; may be empty */
    struct pl_str cache_control; /* JSON, where the part has one: Anthropic's mark; else empty */
};

struct llm_part_call {
    struct pl_str id, name;  /* plain text; neither empty */
    struct pl_str arguments; /* JSON object. Where the model wrote none: {"arguments": its text} */
};

struct llm_turn {
    enum llm_role role;
    size_t index; /* in the list of messages, for error texts */
    struct llm_part *parts;
    size_t n_parts;              /* 0: `content` was null, absent or an empty list */
    struct llm_part_call *calls; /* ASSISTANT */
    size_t n_calls;
    const struct llm_part_call *answers; /* TOOL: the call it answers; never NULL there */
    /* ASSISTANT: what its provider wants back byte by byte (LLM_REPLAY_KEY): an object whose only
     * member is named by the provider's kind, or empty. */
    struct pl_str replay;
};

struct llm_turns {
    struct llm_turn *items;
    size_t count;
};

/* The member of an assistant's message, and of the turn object a provider gives with tools, that
 * keeps what a provider wants back unchanged (signed thoughts): {"KIND": any JSON}. Other kinds of
 * provider pass over it. */
#define LLM_REPLAY_KEY "replay"

/* What `kind` left in the turn's replay; false: nothing. */
bool llm_turn_replay(const struct llm_turn *turn, const char *kind, struct pl_str *ret_json);

/* Reads a JSON list of messages (it has passed json_check). Errors: INVALID_ARGUMENT, naming the
 * message, for what it cannot read: an unknown role or type of part, a part without its member,
 * data that is no base64, a tool's answer to a call that was not made; NO_MEMORY. */
enum pl_code llm_parts_read(struct pl_str messages, struct pl_arena *arena,
                            struct llm_turns *ret_turns, struct pl_err *err) PL_MUST_CHECK;

/* What such a part is called in error texts: "an image", "audio", ... */
const char *llm_part_name(enum llm_part_type type);

#endif
