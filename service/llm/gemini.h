/* gemini.h - the provider row of Google's Gemini API (generateContent), and what its files share:
 * gemini.c (the row: URL, headers, the parser's life), gemini_request.c (the body),
 * gemini_contents.c (the conversation in it), gemini_schema.c (schemas in it), gemini_answer.c
 * (what the objects of an answer say), gemini_stream.c (how they come), gemini_errors.c (errors).
 * Only providers.c and tests look at the row, nobody else at the rest. */
#ifndef PLAIT_SERVICE_LLM_GEMINI_H
#define PLAIT_SERVICE_LLM_GEMINI_H

#include "service/llm/answer_form.h"
#include "service/llm/provider.h"
#include "service/llm/sse_parse.h"
#include "service/llm/tool_calls.h"

extern const struct provider_ops gemini_ops;

enum gemini_finish {
    GEMINI_FINISH_NONE, /* not told */
    GEMINI_FINISH_STOP, /* also a word that is not known; tool calls too */
    GEMINI_FINISH_LENGTH,
    GEMINI_FINISH_FILTER,
    GEMINI_FINISH_BAD_CALL, /* the model called a tool in a way nobody can read */
    GEMINI_FINISH_OTHER,    /* it stopped and does not say why */
};

enum { GEMINI_WORD_MAX = 300 };

/* Where in a JSON text a reader is that looks for its end. */
struct gemini_brackets {
    size_t depth;
    bool in_text, escaped;
};

/* One answer being read. Zeroed before begin. */
struct gemini_parser {
    const struct llm_request *request;
    enum answer_type type;
    enum answer_form mode;
    struct pl_buf body;    /* WHOLE, OTHER; of a stream: JSON that came without `data:`, an error */
    size_t blanks;         /* it begins with so many: looked at once, however many come */
    struct sse_parser sse; /* STREAM */
    bool inside_line;      /* STREAM: the last byte was no line's end */
    bool bare;             /* STREAM: the rest goes into `body` */
    struct gemini_brackets brackets;
    struct pl_buf text; /* what the parts add up to */
    struct tool_calls calls;
    struct pl_buf replay;      /* the parts as the API wants them back: a list without its end */
    bool needs_replay;         /* one of them has a signature or an id */
    bool replay_text;          /* `replay` ends inside the text of a part */
    enum gemini_finish finish; /* of the candidate */
    struct pl_buf word;        /* why it finished, or why the prompt was blocked */
    struct pl_buf message;     /* what the API says about that */
    struct pl_buf id;          /* what the API calls the answer */
    bool blocked;              /* the prompt was refused: there are no candidates */
    bool failed;               /* the answer itself reports an error, in `failure` */
    struct step_result failure;
    bool has_usage, final_usage; /* final: counted with or after the end */
    struct store_usage usage;
};

/* ---- requests ---- */

/* Appends the request's body. Errors: INVALID_ARGUMENT (messages or `extra` that cannot be sent),
 * NO_MEMORY; a failed buffer is the caller's to see. */
enum pl_code gemini_write_body(const struct provider *provider, const struct llm_request *request,
                               struct pl_arena *arena, struct pl_buf *out,
                               struct pl_err *err) PL_MUST_CHECK;
/* Adds the members systemInstruction and contents. `note`: a further system text, or empty. Errors:
 * as gemini_write_body. */
enum pl_code gemini_write_contents(const struct provider *provider,
                                   const struct llm_request *request, struct pl_str note,
                                   struct pl_arena *arena, struct pl_buf *out,
                                   struct pl_err *err) PL_MUST_CHECK;
/* Appends a JSON Schema as Gemini takes it. */
void gemini_write_schema(struct pl_buf *out, struct pl_str schema);
/* Is it a model of the third generation, or a later one? They demand what older ones refuse. */
bool gemini_is_new(struct pl_str model);

/* ---- answers ---- */

/* One GenerateContentResponse, or an error object. Deltas go to the sink. Errors: NO_MEMORY,
 * RESPONSE_TOO_LARGE. */
enum pl_code gemini_take_object(struct gemini_parser *parser, struct pl_str object,
                                const struct llm_sink *sink, struct pl_err *err) PL_MUST_CHECK;
/* Judges what was read and fills the result; usage is not its. `whole`: the body came to its end,
 * so that no mark is needed. */
void gemini_finish_answer(struct gemini_parser *parser, bool whole, struct step_result *result);
/* Bytes of an event stream. Errors: as gemini_take_object, and those of sse_feed. */
enum pl_code gemini_stream_feed(struct gemini_parser *parser, struct pl_str piece,
                                const struct llm_sink *sink, struct pl_err *err) PL_MUST_CHECK;
enum pl_code gemini_stream_end(struct gemini_parser *parser, const struct llm_sink *sink,
                               struct pl_err *err) PL_MUST_CHECK;
/* True when the object (or the first of a list) reports an error: fills the result, retry_after
 * included. `status` is the HTTP status, 0 inside an answer. */
bool gemini_read_error(struct pl_str object, int status, enum pl_code fallback,
                       struct step_result *result);

#endif
