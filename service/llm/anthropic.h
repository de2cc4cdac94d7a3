/* anthropic.h - the provider row of Anthropic's Messages API, and what its files share: anthropic.c
 * (the row: URL, headers, the parser's life), anthropic_request.c (the body), anthropic_messages.c
 * (the conversation in it), anthropic_schema.c (the schema of the answer in it), anthropic_answer.c
 * (what the objects of an answer say, and the judgement), anthropic_blocks.c (content blocks),
 * anthropic_stream.c (events). Only providers.c and tests look at the row, nobody else at the rest.
 */
#ifndef PLAIT_SERVICE_LLM_ANTHROPIC_H
#define PLAIT_SERVICE_LLM_ANTHROPIC_H

#include "service/llm/answer_form.h"
#include "service/llm/llm_parts.h"
#include "service/llm/provider.h"
#include "service/llm/sse_parse.h"
#include "service/llm/tool_calls.h"

extern const struct provider_ops anthropic_ops;

enum {
    /* The API demands max_tokens: this many where the step does not say, on top of the budget for
     * thinking that `extra` may set. Every model since Claude 3.5 takes it. */
    ANTHROPIC_MAX_TOKENS = 8192,
    /* More than this many may take over ten minutes: such an answer is streamed even when nobody
     * watches, since no connection may stay silent so long. */
    ANTHROPIC_WHOLE_TOKENS = 21333,
};

enum anthropic_stop {
    ANTHROPIC_STOP_NONE, /* not told */
    ANTHROPIC_STOP_END,  /* also at a stop sequence, and a word that is not known */
    ANTHROPIC_STOP_LENGTH,
    ANTHROPIC_STOP_CONTEXT, /* the context window is full */
    ANTHROPIC_STOP_TOOLS,
    ANTHROPIC_STOP_PAUSE, /* a server tool runs long: to be gone on with */
    ANTHROPIC_STOP_REFUSAL,
};

enum anthropic_block_type {
    ANTHROPIC_BLOCK_NONE,
    ANTHROPIC_BLOCK_TEXT,
    ANTHROPIC_BLOCK_TOOL,
    ANTHROPIC_BLOCK_THINKING,
    ANTHROPIC_BLOCK_OTHER, /* redacted_thinking, server tools, what is not known yet */
};

/* The block a stream is in. */
struct anthropic_block {
    enum anthropic_block_type type;
    int64_t index;
    struct pl_buf start;           /* JSON as content_block_start gave it */
    struct pl_buf body, signature; /* what the deltas add up to */
};

/* One answer being read. Zeroed before begin. */
struct anthropic_parser {
    const struct llm_request *request;
    enum answer_type type;
    enum answer_form mode;
    struct pl_buf body;           /* WHOLE, OTHER */
    size_t blanks;                /* it begins with so many: looked at once, however many come */
    struct sse_parser sse;        /* STREAM */
    struct pl_buf text;           /* what the text blocks add up to */
    struct tool_calls calls;      /* where the request offers tools */
    struct anthropic_block block; /* STREAM: the open one */
    struct pl_buf replay;         /* the blocks as they go back: a JSON list without its end */
    bool needs_replay;            /* one of them cannot be made from text and calls */
    bool ignored_calls;           /* tools nobody offered were called */
    bool bad_text;                /* a text of another type: it would be lost without a word */
    enum anthropic_stop stop;
    struct pl_buf category; /* of a refusal; may be empty */
    bool done;              /* message_stop was there */
    bool failed;            /* the answer itself reports an error, in `failure` */
    struct step_result failure;
    bool has_usage, final_usage; /* final: not only what a stream begins with */
    /* as the API counts: `fresh` is neither read from the cache nor written to it */
    int64_t fresh, cache_read, cache_write, output, thinking;
};

/* ---- requests ---- */

/* Appends the request's body. Errors: BAD_REQUEST (a parameter the API does not have),
 * INVALID_ARGUMENT (messages or `extra` that cannot be sent), NO_MEMORY; a failed buffer is the
 * caller's to see. */
enum pl_code anthropic_write_body(const struct llm_request *request, struct pl_arena *arena,
                                  struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;
/* Is the answer to be a stream? */
bool anthropic_streams(const struct llm_request *request);
/* The tokens the answer may have; *ret_asked: the step or `extra` says so. */
int64_t anthropic_max_tokens(const struct llm_request *request, bool *ret_asked);
/* Adds the members system and messages. `note`: a further system text, or empty. Errors:
 * INVALID_ARGUMENT, NO_MEMORY. */
enum pl_code anthropic_write_messages(const struct llm_request *request, struct pl_str note,
                                      struct pl_arena *arena, struct pl_buf *out,
                                      struct pl_err *err) PL_MUST_CHECK;
/* Can the API be held to this schema? Then the next writes it the way it takes it: objects closed,
 * what it does not know moved into descriptions. */
bool anthropic_takes_schema(struct pl_str schema);
void anthropic_write_schema(struct pl_str schema, struct pl_buf *out);

/* ---- answers ---- */

/* True when the object reports an error: fills the result (llm_fault_result). `status`: HTTP
 * status, 0 inside an answer. */
bool anthropic_read_error(struct pl_str object, int status, struct step_result *result);
/* Takes the counts of a `usage` member that are there; each replaces what was known. */
void anthropic_read_usage(struct pl_str object, struct anthropic_parser *parser);
/* Takes stop_reason and stop_details of a message, or of a message_delta's delta. */
void anthropic_read_stop(struct pl_str object, struct anthropic_parser *parser);
/* As a step's `call` tells it; empty for NONE. */
const char *anthropic_stop_text(enum anthropic_stop stop);

/* A whole content block. */
void anthropic_take_block(struct pl_str block, struct anthropic_parser *parser);
/* The events of a block in a stream. */
void anthropic_block_start(struct pl_str event, struct anthropic_parser *parser);
void anthropic_block_delta(struct pl_str event, struct anthropic_parser *parser);
void anthropic_block_stop(struct anthropic_parser *parser);
/* Was all of it kept? Errors: RESPONSE_TOO_LARGE, NO_MEMORY. */
enum pl_code anthropic_blocks_check(const struct anthropic_parser *parser,
                                    struct pl_err *err) PL_MUST_CHECK;

/* The ends. All fill the result but for its usage. */
void anthropic_finish_whole(struct anthropic_parser *parser, const struct llm_sink *sink,
                            struct step_result *result);
void anthropic_finish_stream(struct anthropic_parser *parser, const struct llm_sink *sink,
                             struct step_result *result);
/* Judges a complete answer and makes it the output, or the error. */
void anthropic_take_answer(const struct anthropic_parser *parser, struct step_result *result);

enum pl_code anthropic_stream_feed(struct anthropic_parser *parser, struct pl_str piece,
                                   const struct llm_sink *sink, struct pl_err *err) PL_MUST_CHECK;

#endif
