/* answers.h - what several handlers say in the same way: lists' limits, built bodies, one run, the
 * end of a store operation. Not the transport (request.h). Called on HTTP threads. */
#ifndef PLAIT_API_HANDLERS_ANSWERS_H
#define PLAIT_API_HANDLERS_ANSWERS_H

#include "api/request.h"

enum {
    ANSWERS_LIMIT_DEFAULT = 50,
    ANSWERS_LIMIT_MAX = 1000,
};

/* Answers with the JSON in `body`, or says why there is none: `code` and `err` are of the function
 * that filled it. Finishes the buffer. */
void answers_built(struct api_request *request, int status, enum pl_code code,
                   const struct pl_err *err, struct pl_buf *body);
/* Answers with an error of a code and a text. */
void answers_error(struct api_request *request, enum pl_code code, const char *fmt, ...)
    PL_PRINTF(3, 4);
/* Answers with an error about one member of the body. */
void answers_error_at(struct api_request *request, enum pl_code code, const char *pointer,
                      const char *text);
/* Appends the run as the store has it now to `body`, which it begins. *ret_over: it is over. */
enum pl_code answers_write_run(struct api_request *request, struct pl_str run_id, bool steps,
                               struct pl_buf *body, bool *ret_over,
                               struct pl_err *err) PL_MUST_CHECK;

/* Of a run that does not go on in this process. Errors: CONFLICT, it is unfinished all the same: it
 * could not be adopted; those of reading it. */
enum pl_code answers_is_over(struct api_request *request, struct pl_str run_id,
                             struct pl_err *err) PL_MUST_CHECK;

/* ?limit=: ANSWERS_LIMIT_DEFAULT when absent or empty. False: an error has been sent. */
bool answers_limit(struct api_request *request, size_t *ret_limit);
/* The same of `after` in a list of runs: the id of one, which need not be there any more. */
bool answers_after_run(struct api_request *request, struct pl_str *ret_after);
/* A query parameter that must be one of `words` (NULL behind), or absent or
 * empty. False: an error has been sent. */
bool answers_word(struct api_request *request, const char *name, const char *const *words,
                  struct pl_str *ret_word);
/* A whole number not below zero. False when it is none or has more than 18 digits. */
bool answers_number(struct pl_str text, int64_t *ret_number);
/* A request that waits for an operation of the store: make it the state, suspend, hand
 * answers_op_done and the request to the engine. */
struct answers_op {
    enum pl_code code;
    struct pl_err err;
};
/* Suspends; NULL when out of memory (an error has been sent). `resumed` finds the op in
 * request->state. */
struct answers_op *answers_op_begin(struct api_request *request,
                                    void (*resumed)(struct api_request *request));
/* An engine_done_fn; `arg` is the request. */
void answers_op_done(void *arg, enum pl_code code, const struct pl_err *err);

#endif
