/* reduce.c - the reduce step: a value with expressions in it, or {from, with}, computed in process.
 * Not the words themselves (reduce_compute.c). A row of step_kinds.c. */
#include "service/steps/reduce.h"

#include "base/limits.h"
#include "service/steps/step_kinds.h"

static size_t max_output(const struct step_call *call)
{
    return call->env && call->env->max_output ? call->env->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;
}

/* What `from` gives may be larger than what may come out of it. */
static enum pl_code reduce_prepare(struct step_call *call, const struct expr_scope *scope,
                                   struct pl_err *err)
{
    const struct reduce_config *config = call->def->config.reduce;
    struct pl_buf from;
    enum pl_code code;

    pl_buf_init(&from, config->with == REDUCE_VALUE ? max_output(call) : PL_LIMIT_RUN_OUTPUT_BYTES);
    code = template_write_json(config->from, scope, &from, err);
    if (code == PL_OK) {
        call->request = pl_value_take(&from);
        if (!call->request)
            code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(&from);
    return code;
}

static void reduce_start(struct step_call *call)
{
    const enum reduce_with with = call->def->config.reduce->with;
    struct step_result *result = &call->result;
    struct pl_buf out;

    if (with == REDUCE_VALUE) {
        result->output = pl_value_ref(call->request);
        step_call_complete(call);
        return;
    }
    pl_buf_init(&out, max_output(call));
    if (reduce_write(with, pl_value_text(call->request), &out, &result->err) == PL_OK) {
        result->output = pl_value_take(&out);
        if (!result->output)
            pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(&out);
    step_call_complete(call);
}

static void reduce_cleanup(struct step_call *call)
{
    struct pl_value *from = call->request;

    pl_value_unref(&from);
    call->request = NULL;
}

const struct step_kind_ops step_reduce_ops = {
    .kind = STEP_REDUCE,
    .prepare = reduce_prepare,
    .start = reduce_start,
    .cleanup = reduce_cleanup,
};
