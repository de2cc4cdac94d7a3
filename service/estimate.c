/* estimate.c - the estimate as a whole: the input, and what was found as JSON. How often steps run
 * is in estimate_steps.c, what their calls come to in estimate_calls.c, how long texts are in
 * estimate_size.c, what jq makes of the input in estimate_jq.c. See estimate.h. */
#include "service/estimate_private.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "service/expr/jq_pool.h"
#include "service/schema/schema.h"

#include <math.h>

static const double COUNT_MAX = 1e15; /* of tokens or dollars: beyond it no figure is exact */

/* ---- the result ---- */

static int64_t rounded(double number)
{
    return (int64_t)llround(fmin(number, COUNT_MAX));
}

static void write_range(struct pl_buf *out, const char *key, struct range range, bool bounded,
                        bool whole)
{
    json_key(out, key);
    json_object_begin(out);
    if (whole)
        json_add_int(out, "expected", rounded(range.expected));
    else
        json_add_double(out, "expected", fmin(range.expected, COUNT_MAX));
    if (!bounded)
        json_add_null(out, "at_most");
    else if (whole)
        json_add_int(out, "at_most", rounded(range.most));
    else
        json_add_double(out, "at_most", fmin(range.most, COUNT_MAX));
    json_object_end(out);
}

static void write_figures(const struct estimator *est, const struct estimate_row *row,
                          struct pl_buf *out)
{
    bool calls = !est->calls_unbounded, tokens = !est->tokens_unbounded;

    write_range(out, "calls", row->calls, calls, true);
    write_range(out, "input_tokens", row->input, tokens, true);
    write_range(out, "output_tokens", row->output, calls, true);
    if (row->priced)
        write_range(out, "cost_usd", row->cost, tokens, false);
    else
        json_add_null(out, "cost_usd");
}

static void write_notes(struct pl_buf *out, const char *key, const char *const *notes, size_t count)
{
    json_key(out, key);
    json_array_begin(out);
    for (size_t i = 0; i < count; i++) {
        json_comma(out);
        json_write_string(out, pl_str(notes[i]));
    }
    json_array_end(out);
}

static void sum_up(struct range *total, struct range row)
{
    total->expected += row.expected;
    total->most += row.most;
}

static void write_rows(const struct estimator *est, struct pl_buf *out)
{
    struct estimate_row total = {.priced = est->n_unpriced == 0};

    for (const struct estimate_row *row = est->rows; row; row = row->next) {
        sum_up(&total.calls, row->calls);
        sum_up(&total.input, row->input);
        sum_up(&total.output, row->output);
        sum_up(&total.cost, row->cost);
    }
    write_figures(est, &total, out);
    json_key(out, "steps");
    json_array_begin(out);
    for (const struct estimate_row *row = est->rows; row; row = row->next) {
        json_comma(out);
        json_object_begin(out);
        json_add_string(out, "path", row->path);
        json_add_string(out, "model", row->model);
        write_figures(est, row, out);
        json_object_end(out);
    }
    json_array_end(out);
}

static void write_budget(const struct budget *budget, struct pl_buf *out)
{
    if (budget->tokens <= 0 && budget->cost_usd <= 0) {
        json_add_null(out, "budget");
        return;
    }
    json_key(out, "budget");
    json_object_begin(out);
    if (budget->tokens > 0)
        json_add_int(out, "tokens", budget->tokens);
    if (budget->cost_usd > 0)
        json_add_double(out, "cost_usd", budget->cost_usd);
    json_object_end(out);
}

static void write_all(struct estimator *est, const struct workflow *workflow, struct pl_buf *out)
{
    json_object_begin(out);
    if (workflow->name.len)
        json_add_string(out, "workflow", workflow->name);
    else
        json_add_null(out, "workflow");
    write_rows(est, out);
    write_budget(&workflow->budget, out);
    write_notes(out, "assumptions", est->assumptions, est->n_assumptions);
    write_notes(out, "unbounded", est->unbounded, est->n_unbounded);
    write_notes(out, "unpriced", est->unpriced, est->n_unpriced);
    json_object_end(out);
}

/* ---- the whole ---- */

/* ptr NULL: it is unknown. */
static enum pl_code read_input(struct estimator *est, const struct workflow *workflow,
                               struct pl_str input, struct pl_str *ret_input,
                               struct doc_problems *problems, struct pl_err *err)
{
    struct doc_problems own;
    bool given = input.len > 0;
    enum pl_code code;

    doc_problems_init(&own, est->arena);
    *ret_input = given ? input : PL_STR("{}");
    code = json_check(*ret_input, PL_LIMIT_JSON_DEPTH, NULL, err);
    if (code != PL_OK)
        return pl_err_prefix(err, "the input");
    if (!workflow->input_schema)
        return PL_OK;
    code = schema_apply(workflow->input_schema, est->arena, *ret_input, ret_input,
                        given ? problems : &own);
    if (code == PL_ERR_INVALID_INPUT && !given) {
        estimate_assume(est, "no input was given: what it would say is not known");
        *ret_input = (struct pl_str){0};
        return PL_OK;
    }
    if (code == PL_OK)
        return PL_OK;
    return pl_err_set(err, code, "%s",
                      code == PL_ERR_INVALID_INPUT ? "the input does not fit the workflow's schema"
                                                   : "out of memory");
}

/* Why there is no estimate, if there is none. */
static enum pl_code judge(const struct estimator *est, const struct pl_buf *out, struct pl_err *err)
{
    if (est->no_memory || pl_arena_failed(est->arena) || (pl_buf_failed(out) && !out->too_large))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (est->visits >= ESTIMATE_VISITS_MAX)
        return pl_err_set(err, PL_ERR_TOO_LARGE,
                          "the workflow is too large to be estimated: with those that it calls it "
                          "has more than %d steps to look at",
                          ESTIMATE_VISITS_MAX);
    if (pl_buf_failed(out))
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the estimate is larger than %zu bytes", out->max);
    return PL_OK;
}

enum pl_code estimate_write(const struct workflow *workflow, struct pl_str input,
                            const struct providers *providers, bool run_jq, struct pl_buf *out,
                            struct doc_problems *problems, struct pl_err *err)
{
    struct estimator est = {.arena = pl_arena_create(0), .providers = providers, .run_jq = run_jq};
    struct estimate_scope scope = {.workflow = workflow};
    struct estimate_place place = {.scope = &scope, .times = {1, 1}};
    enum pl_code code;

    if (est.arena)
        est.by_path = pl_map_create(est.arena, workflow->n_steps);
    if (!est.by_path) {
        pl_arena_destroy(&est.arena);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_init(&est.path, PL_LIMIT_RUN_OUTPUT_BYTES);
    est.last_row = &est.rows;
    code = read_input(&est, workflow, input, &scope.input, problems, err);
    if (code == PL_OK) {
        estimate_body(&est, &place, workflow->root);
        if (est.visits < ESTIMATE_VISITS_MAX)
            write_all(&est, workflow, out);
        code = judge(&est, out, err);
    }
    pl_buf_finish(&est.path);
    jq_pool_destroy(&est.jq);
    pl_arena_destroy(&est.arena);
    return code;
}
