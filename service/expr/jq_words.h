/* jq_words.h - what an expression's jq text may say, judged by its words alone: nothing that reads
 * the world (environment, clock, files, further inputs), and brackets that close, so that a text
 * put between brackets stays there. Not a jq parser: whether it compiles is asked of jq
 * (jq_pool_check). Called by expr when a workflow is compiled and by jq_pool_check. */
#ifndef PLAIT_SERVICE_EXPR_JQ_WORDS_H
#define PLAIT_SERVICE_EXPR_JQ_WORDS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

/* The first word of `program` that is refused, as static text ("env", "$ENV", "import", ...), NULL
 * when there is none; *ret_at (may be NULL) is its place, bytes. Fields (.env), keys ({now: 1}),
 * variables ($now), strings and comments are no words; what stands in \( ) of a string is looked
 * at. Any thread. */
const char *jq_forbidden_word(struct pl_str program, size_t *ret_at);

/* The same, and that brackets, strings and `if` are closed, nothing closes what it did not open,
 * and nesting is not too deep. Says nothing of syntax beyond that.
 * Errors: EXPRESSION_ERROR with one sentence. Any thread. */
enum pl_code jq_words_check(struct pl_str program, struct pl_err *err) PL_MUST_CHECK;

#endif
