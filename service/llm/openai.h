/* openai.h - the provider row of OpenAI Chat Completions and of every server that speaks like it,
 * and what its files share: openai.c (requests, the parser's life), openai_schema.c (the schema in
 * a request), openai_answer.c (whole answers, errors, usage), openai_stream.c (events),
 * openai_tools.c (tool calls in both). Only providers.c and tests look at the row, nobody else
 * at the rest. */
#ifndef PLAIT_SERVICE_LLM_OPENAI_H
#define PLAIT_SERVICE_LLM_OPENAI_H

#include "service/llm/answer_form.h"
#include "service/llm/provider.h"
#include "service/llm/sse_parse.h"
#include "service/llm/tool_calls.h"

extern const struct provider_ops openai_ops;

enum openai_finish {
    OPENAI_FINISH_NONE, /* not told */
    OPENAI_FINISH_STOP, /* also a word that is not known */
    OPENAI_FINISH_LENGTH,
    OPENAI_FINISH_FILTER,
    OPENAI_FINISH_TOOLS,
};

/* One answer being read. Zeroed before begin. */
struct openai_parser {
    const struct llm_request *request;
    enum answer_type type;
    enum answer_form mode;
    struct pl_buf body;          /* WHOLE, OTHER */
    size_t blanks;               /* it begins with so many: looked at once, however many come */
    struct sse_parser sse;       /* STREAM */
    struct pl_buf text, refusal; /* STREAM: what the deltas add up to */
    struct tool_calls calls;     /* where the request offers tools */
    enum openai_finish finish;
    bool done;   /* [DONE] was there */
    bool failed; /* the answer itself reports an error, in `failure` */
    struct step_result failure;
    bool has_usage;
    struct store_usage usage;
};

/* The members `usage` and `x_groq` of an answer or event; empty, or another thing than an object:
 * it does not say. */
void openai_read_usage(struct pl_str usage, struct pl_str x_groq, struct openai_parser *parser);
/* True when the object reports an error instead of an answer: fills the result (llm_fault_result).
 * `status` is the HTTP status, 0 inside an answer; `fallback` the code when the error says no more.
 */
bool openai_read_error(struct pl_str object, int status, enum pl_code fallback,
                       struct step_result *result);
enum openai_finish openai_read_finish(struct pl_str word);
/* As a step's `call` tells it, the same for every provider; empty for NONE. */
const char *openai_finish_text(enum openai_finish finish);
/* May a message have it for its `content`: a string, a list of parts, null? Another thing would be
 * lost without a word. */
bool openai_is_content(struct pl_str content);
/* Appends the text of a message's content: a string, or a list of parts. */
void openai_read_content(struct pl_str content, struct pl_buf *out);

/* Takes the tool_calls of a message, or of a delta (`piece`), if the request offers tools. */
void openai_read_calls(struct pl_str message, bool piece, struct openai_parser *parser);
/* Adds the member response_format to the object being written. */
void openai_write_response_format(const struct schema_use *schema, struct pl_buf *out);

/* The ends. All fill the result, usage included. */
void openai_finish_whole(struct openai_parser *parser, const struct llm_sink *sink,
                         struct step_result *result);
void openai_finish_stream(struct openai_parser *parser, const struct llm_sink *sink,
                          struct step_result *result);
/* Judges a complete answer: true when it stands; else the result has the error. */
bool openai_answer_stands(const struct openai_parser *parser, struct pl_str refusal, bool empty,
                          struct step_result *result);
/* Makes an answer that stands the output: its text; where tools were offered, the object of
 * tool_calls_write. */
void openai_take_text(const struct openai_parser *parser, struct pl_str text,
                      struct step_result *result);

enum pl_code openai_stream_feed(struct openai_parser *parser, struct pl_str piece,
                                const struct llm_sink *sink, struct pl_err *err) PL_MUST_CHECK;

#endif
