/* messages.h - the JSON of Anthropic's Messages API as the stand-in model answers it, whole and as
 * events. Not when it is sent and not the faults (plan.c, the caller); one thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_MESSAGES_H
#define PLAIT_TESTS_FAKE_MODEL_MESSAGES_H

#include "base/buf.h"
#include "tests/fake_model/plan.h"

/* What a request lacks, as the API says it; NULL: nothing. `think`: the thoughts of the turn before
 * must be there as they were given. */
const char *messages_problem(struct pl_str body, bool think);

/* {"type": "error", ...}, its type by the status unless behaviour->code names one. */
void messages_write_error(struct pl_buf *out, int status, const struct behaviour *behaviour);
/* A whole answer with this text; `words` are its tokens. */
void messages_write(struct pl_buf *out, const struct fake_request *request,
                    const struct behaviour *behaviour, struct pl_str text, int words);

/* The events of a stream, in this order: start (with the thoughts), texts, end. `texts` is whether
 * there are any. Each appends whole events. */
void messages_write_start(struct pl_buf *out, const struct fake_request *request,
                          const struct behaviour *behaviour, bool texts);
void messages_write_text(struct pl_buf *out, const struct behaviour *behaviour, struct pl_str text);
void messages_write_end(struct pl_buf *out, const struct fake_request *request,
                        const struct behaviour *behaviour, bool texts, int words);
void messages_write_error_event(struct pl_buf *out, const struct behaviour *behaviour);

#endif
