/* answers.c - see answers.h. */
#include "api/handlers/answers.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/engine.h"

#include <stdarg.h>
#include <stdio.h>

void answers_built(struct api_request *request, int status, enum pl_code code,
                   const struct pl_err *err, struct pl_buf *body)
{
    struct pl_err failure = {0};

    if (code != PL_OK)
        api_reply_problem(request, err, NULL);
    else if (!pl_buf_failed(body))
        api_reply_json(request, status, body);
    else {
        pl_err_set(&failure, body->too_large ? PL_ERR_TOO_LARGE : PL_ERR_NO_MEMORY,
                   body->too_large ? "the answer is larger than %zu bytes; ask for fewer at once"
                                   : "out of memory (%zu bytes at most)",
                   body->max);
        api_reply_problem(request, &failure, NULL);
    }
    pl_buf_finish(body);
}

void answers_error(struct api_request *request, enum pl_code code, const char *fmt, ...)
{
    char text[PL_ERR_MESSAGE_MAX];
    struct pl_err err = {0};
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pl_err_set(&err, code, "%s", text);
    api_reply_problem(request, &err, NULL);
}

void answers_error_at(struct api_request *request, enum pl_code code, const char *pointer,
                      const char *text)
{
    struct doc_problems problems;
    struct pl_err err = {0};

    doc_problems_init(&problems, request->arena);
    doc_problem_add(&problems, 0, 0, pointer, "%s", text);
    pl_err_set(&err, code, "%s", text);
    api_reply_problem(request, &err, &problems);
}

enum pl_code answers_write_run(struct api_request *request, struct pl_str run_id, bool steps,
                               struct pl_buf *body, bool *ret_over, struct pl_err *err)
{
    struct pl_str status;
    enum pl_code code;

    pl_buf_init(body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_run(request->engine, request->tenant, run_id, steps, body, err);
    *ret_over = code == PL_OK && json_get(pl_buf_view(body), PL_STR("status"), &status) &&
                (pl_str_is(status, "\"succeeded\"") || pl_str_is(status, "\"failed\"") ||
                 pl_str_is(status, "\"cancelled\""));
    return code;
}

enum pl_code answers_is_over(struct api_request *request, struct pl_str run_id, struct pl_err *err)
{
    struct pl_buf body;
    bool over;
    enum pl_code code = answers_write_run(request, run_id, false, &body, &over, err);

    pl_buf_finish(&body);
    if (code != PL_OK || over)
        return code;
    return pl_err_set(
        err, PL_ERR_CONFLICT,
        "run %.*s is unfinished and does not go on in this process; the log says why: "
        "most likely a provider or secret that it needs is not configured",
        PL_STR_ARG(run_id));
}

bool answers_number(struct pl_str text, int64_t *ret_number)
{
    int64_t number = 0;

    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (text.ptr[i] - '0');
    }
    *ret_number = number;
    return true;
}

bool answers_limit(struct api_request *request, size_t *ret_limit)
{
    struct pl_str text = api_query(request, "limit");
    int64_t limit = ANSWERS_LIMIT_DEFAULT;

    if (text.len && (!answers_number(text, &limit) || limit < 1 || limit > ANSWERS_LIMIT_MAX)) {
        answers_error(request, PL_ERR_INVALID_ARGUMENT, "limit: a whole number from 1 to %d",
                      ANSWERS_LIMIT_MAX);
        return false;
    }
    *ret_limit = (size_t)limit;
    return true;
}

bool answers_after_run(struct api_request *request, struct pl_str *ret_after)
{
    struct pl_str text = api_query(request, "after");
    char id[PL_ID_TEXT];

    *ret_after = text;
    if (!text.len)
        return true;
    snprintf(id, sizeof id, "%.*s", text.len < sizeof id ? (int)text.len : 0, text.ptr);
    if (pl_id_valid("run", id))
        return true;
    answers_error(request, PL_ERR_INVALID_ARGUMENT, "after: the value of 'next' of a page of runs");
    return false;
}

bool answers_word(struct api_request *request, const char *name, const char *const *words,
                  struct pl_str *ret_word)
{
    struct pl_str word = api_query(request, name);
    struct pl_buf all;

    *ret_word = word;
    if (!word.len)
        return true;
    for (size_t i = 0; words[i]; i++)
        if (pl_str_is(word, words[i]))
            return true;
    pl_buf_init(&all, PL_ERR_MESSAGE_MAX);
    for (size_t i = 0; words[i]; i++)
        pl_buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    answers_error(request, PL_ERR_INVALID_ARGUMENT, "%s: one of %.*s", name,
                  PL_STR_ARG(pl_buf_view(&all)));
    pl_buf_finish(&all);
    return false;
}

/* ---- operations of the store ---- */

struct answers_op *answers_op_begin(struct api_request *request,
                                    void (*resumed)(struct api_request *request))
{
    struct answers_op *op = pl_arena_alloc(request->arena, sizeof *op);

    if (!op) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    request->state = op;
    /* no `gone`: a commit is short, and its word must find the request */
    api_suspend(request, resumed, NULL);
    return op;
}

void answers_op_done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct api_request *request = arg;
    struct answers_op *op = request->state;

    op->code = code;
    if (code != PL_OK)
        op->err = *err;
    api_resume(request);
}
