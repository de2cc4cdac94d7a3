/* http_step.h - what the files of the http step share: http.c (its life), http_render.c (templates
 * into a request), http_answer.c (an answer into the output). Nobody else includes it, but tests.
 */
#ifndef PLAIT_SERVICE_STEPS_HTTP_STEP_H
#define PLAIT_SERVICE_STEPS_HTTP_STEP_H

#include "service/net/http_call.h"
#include "service/steps/step_kind.h"

/* One attempt; lives in the call's arena. */
struct http_step {
    struct step_call *call;
    struct http_request http;
    struct http_call *http_call; /* while it runs */
    bool aborted;
    int status;
    struct http_header *headers; /* those of http, to be changed */
    bool secret;                 /* the last of them is one */
    unsigned redirects;          /* followed so far */
    pl_ms deadline;              /* of all hops together */
    size_t max_output;
    struct pl_buf body; /* of the answer */
};

/* Fills step->http. Errors: EXPRESSION_ERROR, INVALID_ARGUMENT (URL, header), TOO_LARGE, NO_MEMORY.
 */
enum pl_code http_step_render(struct http_step *step, const struct expr_scope *scope,
                              struct pl_err *err) PL_MUST_CHECK;

/* step_kind_ops.describe: the request as it will be sent, without what only looks like a secret. In
 * http_describe.c. */
void http_step_describe(const struct step_call *call, struct pl_buf *out);

/* Is the answer a redirect that this step follows? Then makes the next request of step->http, to be
 * sent at `now`: true. When it is one that may not be followed: false, with `err` set; else false
 * and `err` untouched. In http_redirect.c. */
bool http_step_redirect(struct http_step *step, const struct http_call *http_call, pl_ms now,
                        struct pl_err *err);

/* Does `expect` list the status? */
bool http_step_expects(const struct http_config *config, int status);

/* The whole answer is there: fills the result with the output, or the error of a status that was
 * not expected. */
void http_step_answer(struct http_step *step, const struct http_call *http_call,
                      struct step_result *result);

/* Appends {"status", "headers", "body"}. `lines` are header lines, each with its LF. */
void http_step_write_output(int status, struct pl_str lines, struct pl_str content_type,
                            struct pl_str body, struct pl_buf *out);

#endif
