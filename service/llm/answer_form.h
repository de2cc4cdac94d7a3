/* answer_form.h - whether the body of an answer is one JSON object or a stream of events. Not the
 * reading of either. Called by openai.c, anthropic.c and gemini.c. */
#ifndef PLAIT_SERVICE_LLM_ANSWER_FORM_H
#define PLAIT_SERVICE_LLM_ANSWER_FORM_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

enum answer_form {
    ANSWER_UNDECIDED, /* no byte yet that tells */
    ANSWER_WHOLE,     /* one JSON object */
    ANSWER_STREAM,    /* events */
    ANSWER_OTHER,     /* something else: kept for the message only */
};

/* What the content type says. */
enum answer_type { ANSWER_TYPE_NONE, ANSWER_TYPE_JSON, ANSWER_TYPE_STREAM, ANSWER_TYPE_OTHER };

enum answer_type answer_type_of(struct pl_str content_type);
/* The form of a body that begins so. `blanks` has how many of its bytes are known to be white space
 * and goes on counting, so that they are looked at once, however many come. `last`: nothing more
 * comes. */
enum answer_form answer_form_of(enum answer_type type, struct pl_str body, size_t *blanks,
                                bool last);

/* Keeps a piece of a body. Errors: RESPONSE_TOO_LARGE (over what the buffer may hold), NO_MEMORY.
 */
enum pl_code answer_keep(struct pl_buf *body, struct pl_str piece,
                         struct pl_err *err) PL_MUST_CHECK;

#endif
