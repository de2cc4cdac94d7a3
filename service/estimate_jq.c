/* estimate_jq.c - what jq expressions make of the input, before the run. Not the workers (jq_pool).
 * Called by estimate_size.c.
 *
 * Only what sees nothing but the input is run: it gives the same in the run, since jq here has no
 * clock, environment or files. Each is run once; after the first that overruns none is. */
#include "service/estimate_private.h"

#include "base/limits.h"
#include "service/expr/jq_pool.h"

enum {
    ANSWERS_MAX = 200, /* workflows that are called for each item have an input each */
    BYTES_MAX = 64 << 20,
};

/* A list, newest first. */
struct estimate_answer_of_jq {
    struct estimate_answer_of_jq *next;
    const struct expr *expr;
    const char *input; /* the same text is at the same place */
    struct pl_str json;
    bool known;
};

static bool sees_input_alone(const struct expr *expr)
{
    for (size_t i = 0; i < expr->n_refs; i++)
        if (expr->refs[i].root != EXPR_ROOT_INPUT)
            return false;
    return !expr->fold;
}

static struct pl_str input_of(void *arg, const struct expr_ref *ref)
{
    (void)ref;
    return ((const struct estimate_scope *)arg)->input;
}

static enum pl_code run(struct estimator *est, const struct estimate_scope *scope,
                        const struct expr *expr, struct pl_str *ret_json, struct pl_err *err)
{
    struct estimate_scope copy = *scope;
    const struct expr_scope values = {.arg = &copy, .root = input_of};
    enum pl_code code = PL_OK;
    struct pl_buf document;

    if (!est->jq)
        code = jq_pool_create(1, &est->jq, err);
    if (code != PL_OK)
        return code;
    pl_buf_init(&document, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = expr_write_document(&expr, 1, &values, &document, err);
    if (code == PL_OK)
        code = jq_pool_value(est->jq, scope->workflow->jq, expr->jq_index, pl_buf_view(&document),
                             est->arena, ret_json, err);
    est->copied += document.len + (code == PL_OK ? ret_json->len : 0);
    pl_buf_finish(&document);
    return code;
}

static const struct estimate_answer_of_jq *
find(const struct estimator *est, const struct estimate_scope *scope, const struct expr *expr)
{
    const struct estimate_answer_of_jq *answer = est->answers_of_jq;

    while (answer && (answer->expr != expr || answer->input != scope->input.ptr))
        answer = answer->next;
    return answer;
}

static const struct estimate_answer_of_jq *
answer_new(struct estimator *est, const struct estimate_scope *scope, const struct expr *expr)
{
    struct estimate_answer_of_jq *answer;
    struct pl_err err = {0};
    enum pl_code code;

    if (!est->run_jq || est->n_answers_of_jq == ANSWERS_MAX || est->copied > BYTES_MAX)
        return NULL;
    answer = pl_arena_alloc(est->arena, sizeof *answer);
    if (!answer)
        return NULL;
    *answer = (struct estimate_answer_of_jq){
        .next = est->answers_of_jq, .expr = expr, .input = scope->input.ptr};
    code = run(est, scope, expr, &answer->json, &err);
    answer->known = code == PL_OK;
    est->run_jq = code == PL_OK || code == PL_ERR_EXPRESSION_ERROR;
    est->no_memory |= code == PL_ERR_NO_MEMORY;
    est->answers_of_jq = answer;
    est->n_answers_of_jq++;
    return answer;
}

bool estimate_jq(struct estimator *est, const struct estimate_scope *scope, const struct expr *expr,
                 struct pl_str *ret_json)
{
    const struct estimate_answer_of_jq *answer;

    if ((!scope->input.ptr && expr->n_refs > 0) || !scope->workflow->jq || !sees_input_alone(expr))
        return false;
    answer = find(est, scope, expr);
    if (!answer)
        answer = answer_new(est, scope, expr);
    if (!answer || !answer->known)
        return false;
    *ret_json = answer->json;
    return true;
}
