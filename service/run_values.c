/* run_values.c - what expressions of a run see, and the evaluations its core asks for. Not the
 * expressions themselves (expr, template). Called by run_exec.c and run_calls.c on the home loop;
 * what is made lives in the activation's scratch. */
#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/run_exec_private.h"
#include "service/run_view.h"

/* Of parts that are bounded each: a value that is cut would be no JSON. What an expression makes of
 * it is bounded by whoever asks. */
static const size_t VALUE_MAX = SIZE_MAX / 2;

/* Whose expression it is: travels as the scope's argument, in scratch. */
struct value_asker {
    struct run_exec *exec;
    struct run_node *node; /* NULL: the run's own output */
};

/* What was written, or null when memory is out: then the activation is not recorded. */
static struct pl_str scratch_json(struct run_exec *exec, struct pl_buf *buf)
{
    struct pl_str copy = {0};

    if (pl_buf_failed(buf))
        run_exec_no_memory(exec);
    else
        copy = pl_arena_str(exec->scratch, pl_buf_view(buf));
    pl_buf_finish(buf);
    return copy.len ? copy : PL_STR("null");
}

static struct pl_str value_run(struct run_exec *exec)
{
    struct store_run row = {0};
    struct pl_buf buf;
    char at[PL_TIME_TEXT];

    run_core_run_row(exec->core, exec->scratch, &row);
    pl_time_format(row.started_at ? row.started_at : exec->row.created_at, at);
    pl_buf_init(&buf, VALUE_MAX);
    json_object_begin(&buf);
    json_add_string(&buf, "id", exec->row.id);
    json_add_int(&buf, "attempt", 1);
    json_add_string(&buf, "started_at", pl_str(at));
    json_add_string(&buf, "date", pl_str_n(at, 10));
    json_add_raw(&buf, "metadata", exec->row.metadata.len ? exec->row.metadata : PL_STR("{}"));
    json_object_end(&buf);
    return scratch_json(exec, &buf);
}

static struct pl_str value_thread(struct run_exec *exec)
{
    struct pl_buf buf;

    if (exec->row.thread.len == 0)
        return PL_STR("null");
    pl_buf_init(&buf, VALUE_MAX);
    json_object_begin(&buf);
    json_add_string(&buf, "id", exec->row.thread);
    json_object_end(&buf);
    return scratch_json(exec, &buf);
}

/* The error that the nearest enclosing handler handles. */
static struct pl_str value_error(const struct value_asker *asker)
{
    for (struct run_node *node = asker->node; node; node = node->parent)
        if (node->def->is_handler && node->parent)
            return pl_value_text(node->parent->error);
    return PL_STR("null");
}

static struct pl_str value_root(void *arg, const struct expr_ref *ref)
{
    struct value_asker *asker = arg;
    struct run_exec *exec;

    if (!asker)
        return PL_STR("null");
    exec = asker->exec;
    switch (ref->root) {
    case EXPR_ROOT_INPUT:
        return pl_value_text(exec->row.input);
    case EXPR_ROOT_RUN:
        return value_run(exec);
    case EXPR_ROOT_THREAD:
        return value_thread(exec);
    case EXPR_ROOT_OUTPUT:
        return asker->node ? pl_value_text(asker->node->output) : PL_STR("null");
    case EXPR_ROOT_ERROR:
        return value_error(asker);
    case EXPR_ROOT_STEP:
    case EXPR_ROOT_STATE:
    case EXPR_ROOT_ITEM:
    case EXPR_ROOT_INDEX:
    case EXPR_ROOT_ITEMS:
    case EXPR_ROOT_AS:
    case EXPR_ROOT_AS_INDEX:
    case EXPR_ROOT_TURN:
    case EXPR_ROOT_PREVIOUS:
    case EXPR_ROOT_ARGS:
    case EXPR_ROOT_CANDIDATES:
    case EXPR_ROOT_CANDIDATE:
    case EXPR_ROOT__COUNT:
        break;
    }
    return PL_STR("null");
}

static struct pl_str value_join(struct run_exec *exec, const struct run_node *node)
{
    return node->join ? run_notes_join(exec, node) : PL_STR("null");
}

static struct pl_str value_step_all(struct run_exec *exec, const struct run_node *node)
{
    struct pl_str status = pl_str(node_state_status(node->state));
    struct pl_buf buf;

    pl_buf_init(&buf, VALUE_MAX);
    json_object_begin(&buf);
    json_add_raw(&buf, "output", pl_value_text(node->output));
    json_add_string(&buf, "status", status);
    json_add_raw(&buf, "error", pl_value_text(node->error));
    json_key(&buf, "usage");
    run_view_usage(&node->usage, &buf);
    json_add_raw(&buf, "join", value_join(exec, node));
    json_object_end(&buf);
    return scratch_json(exec, &buf);
}

static struct pl_str value_usage(struct run_exec *exec, const struct run_node *node)
{
    struct pl_buf buf;

    pl_buf_init(&buf, VALUE_MAX);
    run_view_usage(&node->usage, &buf);
    return scratch_json(exec, &buf);
}

static struct pl_str value_status(struct run_exec *exec, const struct run_node *node)
{
    const char *status = node_state_status(node->state);

    return pl_str(pl_arena_printf(exec->scratch, "\"%s\"", status));
}

static struct pl_str value_step(void *arg, const struct step_def *step, enum expr_step_field field)
{
    struct value_asker *asker = arg;
    struct run_exec *exec;
    struct run_node *node;

    if (!asker)
        return PL_STR("null");
    exec = asker->exec;
    node = run_core_node(exec->core, step);
    switch (field) {
    case EXPR_STEP_OUTPUT:
        return pl_value_text(node->output);
    case EXPR_STEP_STATUS:
        return value_status(exec, node);
    case EXPR_STEP_ERROR:
        return pl_value_text(node->error);
    case EXPR_STEP_USAGE:
        return value_usage(exec, node);
    case EXPR_STEP_JOIN:
        return value_join(exec, node);
    case EXPR_STEP_ALL:
        return value_step_all(exec, node);
    }
    return PL_STR("null");
}

struct expr_scope run_values_scope(struct run_exec *exec, struct run_node *node)
{
    /* NULL when memory is out: every value is then null, and the activation is not recorded */
    struct value_asker *asker = pl_arena_alloc(exec->scratch, sizeof *asker);

    if (asker)
        *asker = (struct value_asker){.exec = exec, .node = node};
    return (struct expr_scope){.arg = asker, .root = value_root, .step = value_step};
}

/* ---- evaluations ---- */

static enum pl_code evaluate_truth(const struct expr *expr, const struct expr_scope *scope,
                                   struct run_event *event)
{
    struct pl_str json;
    enum pl_code code = expr_eval(expr, scope, &json, &event->err);

    if (code == PL_OK)
        event->truth = json_truthy(json);
    return code;
}

static enum pl_code evaluate_template(const struct template *template,
                                      const struct expr_scope *scope, size_t max,
                                      struct run_event *event)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, max);
    code = template_write_json(template, scope, &buf, &event->err);
    if (code == PL_OK) {
        event->value = pl_value_take(&buf);
        if (!event->value)
            code = pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(&buf);
    return code;
}

/* The output a workflow without `output` has: that of the step nothing depends on; of several, an
 * object by id. */
static enum pl_code evaluate_default_output(struct run_exec *exec, struct run_event *event)
{
    const struct workflow *workflow = exec->workflow;
    struct pl_buf buf;

    if (workflow->root->n_sinks == 1) {
        struct run_node *node = run_core_node(exec->core, workflow->root->sinks[0]);

        event->value = node->output ? pl_value_ref(node->output) : pl_value_null();
        return PL_OK;
    }
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_object_begin(&buf);
    for (size_t i = 0; i < workflow->root->n_sinks; i++) {
        json_comma(&buf);
        json_write_string(&buf, workflow->root->sinks[i]->id);
        pl_buf_char(&buf, ':');
        pl_buf_str(&buf,
                   pl_value_text(run_core_node(exec->core, workflow->root->sinks[i])->output));
    }
    json_object_end(&buf);
    if (buf.too_large)
        pl_err_set(&event->err, PL_ERR_TOO_LARGE, "the run's output is over %d bytes",
                   PL_LIMIT_RUN_OUTPUT_BYTES);
    else if (!(event->value = pl_value_take(&buf)))
        pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
    pl_buf_finish(&buf);
    return event->err.code;
}

static enum pl_code check_output_schema(struct run_exec *exec, struct run_event *event)
{
    struct doc_problems problems;
    struct pl_str filled;

    if (!exec->workflow->root->output_schema.schema)
        return PL_OK;
    doc_problems_init(&problems, exec->scratch);
    if (schema_apply(exec->workflow->root->output_schema.schema, exec->scratch,
                     pl_value_text(event->value), &filled, &problems) == PL_OK)
        return PL_OK;
    pl_value_unref(&event->value);
    return pl_err_set(&event->err, PL_ERR_INVALID_OUTPUT,
                      "the output does not fit output_schema: %s: %s",
                      problems.count ? problems.items[0].pointer : "",
                      problems.count ? problems.items[0].message : "out of memory");
}

static enum pl_code evaluate_output(struct run_exec *exec, const struct expr_scope *scope,
                                    struct run_event *event)
{
    const struct workflow *workflow = exec->workflow;
    enum pl_code code;

    if (workflow->root->output)
        code = evaluate_template(workflow->root->output, scope, PL_LIMIT_RUN_OUTPUT_BYTES, event);
    else
        code = evaluate_default_output(exec, event);
    return code == PL_OK ? check_output_schema(exec, event) : code;
}

void run_values_evaluate(struct run_exec *exec, const struct run_effect *effect,
                         struct run_event *ret_event)
{
    struct run_node *node = effect->node;
    struct expr_scope scope = run_values_scope(exec, node);
    enum pl_code code = PL_OK;

    *ret_event = (struct run_event){
        .type = RUN_EV_EVALUATED, .now = loop_now(exec->home), .node = node, .what = effect->what};
    switch (effect->what) {
    case RUN_EVAL_WHEN:
        code = evaluate_truth(node->def->when, &scope, ret_event);
        break;
    case RUN_EVAL_ACCEPT:
        code = evaluate_truth(node->parent->def->join.accept, &scope, ret_event);
        break;
    case RUN_EVAL_DEFAULT:
        code = evaluate_template(node->def->on_error_default, &scope, exec->env->steps.max_output,
                                 ret_event);
        break;
    case RUN_EVAL_OUTPUT:
        code = evaluate_output(exec, &scope, ret_event);
        break;
    case RUN_EVAL_BEGIN:
    case RUN_EVAL_KEY:
    case RUN_EVAL_WRITES:
    case RUN_EVAL_BODY:
    case RUN_EVAL_TIMEOUT:
    case RUN_EVAL_UNTIL:
        break;
    }
    ret_event->err.code = code;
}
