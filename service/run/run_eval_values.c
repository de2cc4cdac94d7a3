/* run_eval_values.c - what each evaluation that the core asks for makes: a truth, a value, a state.
 * Not the waiting for jq (run_eval). Called by run_eval.c on the home loop. */
#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_eval.h"
#include "service/steps/llm_messages.h"

/* ---- pieces ---- */

static enum pl_code make_truth(const struct expr *expr, const struct expr_scope *scope,
                               struct run_event *event)
{
    struct pl_str json;
    enum pl_code code = expr_eval(expr, scope, &json, &event->err);

    if (code == PL_OK)
        event->truth = json_truthy(json);
    return code;
}

static enum pl_code take(struct pl_buf *buf, size_t max, enum pl_code code, struct run_event *event)
{
    if (code == PL_OK && buf->too_large)
        code = pl_err_set(&event->err, PL_ERR_TOO_LARGE, "it is over %zu bytes", max);
    if (code == PL_OK && json_is_deeper(pl_buf_view(buf), PL_LIMIT_VALUE_DEPTH))
        code = pl_err_set(&event->err, PL_ERR_TOO_LARGE, "it is nested over %d deep",
                          PL_LIMIT_VALUE_DEPTH);
    if (code == PL_OK) {
        event->value = pl_value_take(buf);
        if (!event->value)
            code = pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(buf);
    return code;
}

static enum pl_code make_template(const struct template *template, const struct expr_scope *scope,
                                  size_t max, struct run_event *event)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, max);
    code = template_write_json(template, scope, &buf, &event->err);
    return take(&buf, max, code, event);
}

static enum pl_code make_expr(const struct expr *expr, const struct expr_scope *scope,
                              struct run_event *event)
{
    struct pl_str json;
    enum pl_code code = expr_eval(expr, scope, &json, &event->err);

    if (code == PL_OK && !(event->value = pl_value_new(json)))
        code = pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}

/* ---- the output of a body ---- */

/* The output a body without `output` has: that of the step nothing depends on; of several, an
 * object by id. */
static enum pl_code make_default_output(const struct run_frame *frame, struct run_event *event)
{
    const struct step_body *body = frame->body;
    struct pl_buf buf;

    if (body->n_sinks == 1) {
        struct run_node *node = run_node_at(frame, body->sinks[0]);

        event->value = node->output ? pl_value_ref(node->output) : pl_value_null();
        return PL_OK;
    }
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_object_begin(&buf);
    for (size_t i = 0; i < body->n_sinks; i++) {
        json_comma(&buf);
        json_write_string(&buf, body->sinks[i]->id);
        pl_buf_char(&buf, ':');
        pl_buf_str(&buf, pl_value_text(run_node_at(frame, body->sinks[i])->output));
    }
    json_object_end(&buf);
    return take(&buf, PL_LIMIT_RUN_OUTPUT_BYTES, PL_OK, event);
}

/* Replaces the value by one with defaults filled in; a problem is the event's error. */
static enum pl_code fit_schema(struct run_exec *exec, const struct schema *schema,
                               enum pl_code otherwise, const char *what, struct run_event *event)
{
    struct doc_problems problems;
    struct pl_str filled, json = pl_value_text(event->value);
    struct pl_value *value;

    if (!schema)
        return PL_OK;
    doc_problems_init(&problems, exec->scratch);
    if (schema_apply(schema, exec->scratch, json, &filled, &problems) != PL_OK) {
        pl_value_unref(&event->value);
        return pl_err_set(&event->err, otherwise, "%s: %s%s%s", what,
                          problems.count ? problems.items[0].pointer : "",
                          problems.count && problems.items[0].pointer[0] ? ": " : "",
                          problems.count ? problems.items[0].message : "out of memory");
    }
    if (filled.ptr == json.ptr)
        return PL_OK;
    value = pl_value_new(filled);
    pl_value_unref(&event->value);
    event->value = value;
    return value ? PL_OK : pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
}

/* What the state of the frame came to. */
static enum pl_code make_state(struct run_exec *exec, struct value_asker *asker,
                               struct run_event *event)
{
    struct pl_str state;

    if (asker->of_frame->body->n_channels == 0)
        return PL_OK;
    state = run_values_state(asker, true);
    if (asker->err.code != PL_OK) {
        event->err = asker->err;
        return event->err.code;
    }
    event->state = pl_value_new(state);
    (void)exec;
    return event->state ? PL_OK : pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
}

static enum pl_code make_output(struct run_exec *exec, struct value_asker *asker,
                                struct run_event *event)
{
    const struct run_frame *frame = asker->of_frame;
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code;

    if (frame->body->output)
        code = make_template(frame->body->output, &scope, PL_LIMIT_RUN_OUTPUT_BYTES, event);
    else
        code = make_default_output(frame, event);
    if (run_eval_is_pending(asker))
        return code;
    if (code == PL_OK)
        code = fit_schema(exec, frame->body->output_schema.schema, PL_ERR_INVALID_OUTPUT,
                          "the output does not fit output_schema", event);
    return code == PL_OK ? make_state(exec, asker, event) : code;
}

/* ---- what steps begin with ---- */

static enum pl_code make_workflow_input(struct run_exec *exec, const struct step_def *def,
                                        struct value_asker *asker, struct run_event *event)
{
    const struct workflow_config *config = def->config.workflow;
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code = PL_OK;

    if (config->input)
        code = make_template(config->input, &scope, PL_LIMIT_STEP_OUTPUT_BYTES, event);
    else if (config->child)
        event->value = pl_value_new(PL_STR("{}"));
    if (code != PL_OK || run_eval_is_pending(asker) || !config->child)
        return code;
    if (!event->value)
        return pl_err_set(&event->err, PL_ERR_NO_MEMORY, "out of memory");
    return fit_schema(exec, config->child->input_schema, PL_ERR_INVALID_INPUT,
                      "the input does not fit the called workflow", event);
}

static enum pl_code make_question(const struct step_def *def, struct value_asker *asker,
                                  struct run_event *event)
{
    const struct human_config *human = def->config.human;
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code;
    struct pl_buf text, buf;

    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    pl_buf_init(&buf, PL_LIMIT_STEP_OUTPUT_BYTES);
    code = template_write_text(human->ask, &scope, &text, &event->err);
    json_object_begin(&buf);
    json_add_string(&buf, "ask", pl_buf_view(&text));
    if (human->schema.json.len)
        json_add_raw(&buf, "schema", human->schema.json);
    if (code == PL_OK && human->data) {
        json_key(&buf, "data");
        code = template_write_json(human->data, &scope, &buf, &event->err);
    }
    json_object_end(&buf);
    pl_buf_finish(&text);
    return take(&buf, PL_LIMIT_STEP_OUTPUT_BYTES, code, event);
}

static enum pl_code write_until(struct run_event *event, pl_ms until)
{
    struct pl_buf buf;

    pl_buf_init(&buf, 64);
    json_object_begin(&buf);
    json_add_int(&buf, "until", until);
    json_object_end(&buf);
    return take(&buf, 64, PL_OK, event);
}

/* A duration from now, or a time. */
static enum pl_code make_wake(const struct step_def *def, struct value_asker *asker,
                              struct run_event *event)
{
    const struct sleep_config *config = def->config.sleep;
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code;
    pl_ms at = 0;
    struct pl_buf text;
    bool ok;

    if (!config->until)
        return write_until(event, event->now + config->duration);
    pl_buf_init(&text, 256);
    code = template_write_text(config->until, &scope, &text, &event->err);
    ok = !pl_buf_failed(&text) && (config->for_duration ? pl_duration_parse(pl_buf_view(&text), &at)
                                                        : pl_time_parse(pl_buf_view(&text), &at));
    if (code == PL_OK && !ok && !run_eval_is_pending(asker))
        code = pl_err_set(&event->err, PL_ERR_EXPRESSION_ERROR, "'%.*s' is no %s",
                          (int)(text.len < 100 ? text.len : 100), text.len ? text.data : "",
                          config->for_duration
                              ? "duration; give one such as 30s or 5m, or a number of seconds"
                              : "time; give one such as 2030-01-31T12:00:00Z");
    pl_buf_finish(&text);
    if (code != PL_OK)
        return code;
    return write_until(event, config->for_duration ? event->now + at : at);
}

/* Where the MCP servers are. */
static enum pl_code write_servers(const struct agent_config *agent, const struct expr_scope *scope,
                                  struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = PL_OK;
    struct pl_buf url;

    pl_buf_init(&url, PL_LIMIT_PROMPT_BYTES);
    json_key(out, "mcp");
    json_array_begin(out);
    for (size_t i = 0; code == PL_OK && i < agent->n_mcp; i++) {
        pl_buf_reset(&url);
        code = template_write_text(agent->mcp[i].url, scope, &url, err);
        json_comma(out);
        json_write_string(out, pl_buf_view(&url));
        out->failed |= pl_buf_failed(&url);
    }
    json_array_end(out);
    pl_buf_finish(&url);
    return code;
}

static enum pl_code make_conversation(const struct step_def *def, struct value_asker *asker,
                                      struct run_event *event)
{
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code;
    struct pl_buf buf;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    json_object_begin(&buf);
    json_key(&buf, "messages");
    code = llm_messages_render(def->config.agent->llm, &scope, &buf, &event->err);
    if (code == PL_OK && def->config.agent->n_mcp)
        code = write_servers(def->config.agent, &scope, &buf, &event->err);
    json_object_end(&buf);
    return take(&buf, PL_LIMIT_PROMPT_BYTES, code, event);
}

static enum pl_code make_begin(struct run_exec *exec, struct value_asker *asker,
                               struct run_event *event)
{
    const struct step_def *def = asker->node->def;
    struct expr_scope scope = run_values_scope(asker);

    switch (def->kind) {
    case STEP_MAP:
        return make_template(def->config.map->over, &scope, PL_LIMIT_RUN_OUTPUT_BYTES, event);
    case STEP_WORKFLOW:
        return make_workflow_input(exec, def, asker, event);
    case STEP_AGENT:
        return make_conversation(def, asker, event);
    case STEP_HUMAN:
        return make_question(def, asker, event);
    case STEP_SLEEP:
        return make_wake(def, asker, event);
    case STEP_LLM:
    case STEP_HTTP:
    case STEP_PARALLEL:
    case STEP_REDUCE:
    case STEP_VOTE:
    case STEP_REPEAT:
    case STEP_MCP:
    case STEP__KINDS:
        break;
    }
    return pl_err_set(&event->err, PL_ERR_INTERNAL, "a step of this kind begins with nothing");
}

/* ---- writes ---- */

static enum pl_code make_writes(const struct step_def *def, struct value_asker *asker,
                                struct run_event *event)
{
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code = PL_OK;
    struct pl_buf buf;

    pl_buf_init(&buf, PL_LIMIT_STEP_OUTPUT_BYTES);
    json_object_begin(&buf);
    for (size_t i = 0; code == PL_OK && i < def->n_writes; i++) {
        json_key(&buf, def->writes[i].channel->name.ptr);
        code = template_write_json(def->writes[i].value, &scope, &buf, &event->err);
    }
    json_object_end(&buf);
    return take(&buf, PL_LIMIT_STEP_OUTPUT_BYTES, code, event);
}

static enum pl_code make_key(const struct run_node *node, struct value_asker *asker,
                             struct run_event *event)
{
    const struct vote_config *vote = run_node_up(node)->def->config.vote;
    struct expr_scope scope = run_values_scope(asker);

    return make_expr(vote->score ? vote->score : vote->key, &scope, event);
}

/* ---- all ---- */

void run_eval_make(struct run_exec *exec, const struct run_effect *effect,
                   struct value_asker *asker, struct run_event *event)
{
    struct run_node *node = effect->node;
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code = PL_OK;

    switch (effect->what) {
    case RUN_EVAL_WHEN:
        code = make_truth(node->def->when, &scope, event);
        break;
    case RUN_EVAL_ACCEPT:
        code = make_truth(run_node_up(node)->def->join.accept, &scope, event);
        break;
    case RUN_EVAL_DEFAULT:
        code =
            make_template(node->def->on_error_default, &scope, exec->env->steps.max_output, event);
        break;
    case RUN_EVAL_BEGIN:
        code = make_begin(exec, asker, event);
        break;
    case RUN_EVAL_KEY:
        code = make_key(node, asker, event);
        break;
    case RUN_EVAL_WRITES:
        code = make_writes(node->def, asker, event);
        break;
    case RUN_EVAL_TIMEOUT:
        code = make_template(node->def->config.human->on_timeout_default, &scope,
                             exec->env->steps.max_output, event);
        break;
    case RUN_EVAL_BODY:
    case RUN_EVAL_OUTPUT:
        code = make_output(exec, asker, event);
        break;
    case RUN_EVAL_UNTIL:
        code = make_truth(node->def->config.repeat->until, &scope, event);
        break;
    }
    if (code == PL_OK && asker->err.code != PL_OK) {
        event->err = asker->err;
        code = asker->err.code;
    }
    event->err.code = code;
    if (code != PL_OK)
        pl_value_unref(&event->value);
}
