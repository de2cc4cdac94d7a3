/* run_values.c - what expressions of a run see: its input, steps, state, and what the frames around
 * a step bind. Not the expressions themselves (expr, template) nor the evaluations (run_eval).
 * Called through scopes on the home loop; what is made lives in the activation's scratch. */
#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_eval.h"
#include "service/run/run_state.h"
#include "service/run/run_view.h"

/* Of parts that are bounded each: a value that is cut would be no JSON. What an expression makes of
 * it is bounded by whoever asks. */
static const size_t VALUE_MAX = SIZE_MAX / 2;

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
    for (struct run_node *node = asker->node; node; node = run_node_up(node))
        if (node->def->is_handler && node->parent)
            return pl_value_text(node->parent->error);
    return PL_STR("null");
}

/* ---- what frames bind ---- */

static const struct run_frame *frame_around(const struct run_frame *frame)
{
    return frame->owner ? frame->owner->frame : NULL;
}

/* The frame of the nearest branch of a map around the asker; `map` not NULL: of that one. */
static const struct run_frame *map_frame(const struct value_asker *asker,
                                         const struct step_def *map)
{
    for (const struct run_frame *frame = asker->frame; frame; frame = frame_around(frame))
        if (frame->owner && frame->owner->def->kind == STEP_MAP &&
            (!map || frame->owner->def == map))
            return frame;
    return NULL;
}

static const struct run_frame *role_frame(const struct value_asker *asker, enum body_role role,
                                          enum step_kind kind)
{
    for (const struct run_frame *frame = asker->frame; frame; frame = frame_around(frame))
        if (frame->owner && frame->body->role == role && frame->owner->def->kind == kind)
            return frame;
    return NULL;
}

static struct pl_str frame_value(const struct run_frame *frame)
{
    return frame && frame->value ? pl_value_text(frame->value) : PL_STR("null");
}

static struct pl_str frame_number(struct run_exec *exec, const struct run_frame *frame)
{
    return frame ? pl_str(pl_arena_printf(exec->scratch, "%u", frame->number)) : PL_STR("null");
}

/* What a sub-workflow was given, or the run. */
static struct pl_str value_input(const struct value_asker *asker)
{
    for (const struct run_frame *frame = asker->frame; frame; frame = frame_around(frame))
        if (frame->owner && frame->owner->def->kind == STEP_WORKFLOW && frame->value)
            return pl_value_text(frame->value);
    return pl_value_text(asker->exec->row.input);
}

static struct pl_str value_output(const struct value_asker *asker)
{
    if (asker->of_frame)
        return pl_value_text(asker->of_frame->output);
    return asker->node ? pl_value_text(asker->node->output) : PL_STR("null");
}

/* ---- state ---- */

static struct pl_str fold_by_jq(struct value_asker *asker, const struct run_writes *writes)
{
    struct pl_str json = PL_STR("null");
    struct pl_err err = {0};

    if (writes->n == 0) /* there is nothing to fold */
        return writes->has_left ? writes->left : PL_STR("null");
    if (run_eval_fold(asker, writes, &json, &err) != PL_OK && asker->err.code == PL_OK)
        asker->err = err;
    return json;
}

static struct pl_str value_channel(struct value_asker *asker, const struct state_channel *channel)
{
    struct run_exec *exec = asker->exec;
    struct run_writes writes;
    struct pl_buf buf;

    if (!run_state_gather(exec->core, asker->of_frame ? NULL : asker->node, asker->frame, channel,
                          exec->scratch, &writes)) {
        run_exec_no_memory(exec);
        return PL_STR("null");
    }
    if (channel->reducer == REDUCER_PROGRAM)
        return fold_by_jq(asker, &writes);
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    if (asker->err.code == PL_OK)
        (void)!run_state_fold(&writes, &buf, &asker->err);
    if (asker->err.code == PL_OK && buf.too_large)
        pl_err_set(&asker->err, PL_ERR_TOO_LARGE, "state channel %.*s is over the limit",
                   PL_STR_ARG(channel->name));
    if (asker->err.code != PL_OK) {
        pl_buf_finish(&buf);
        return PL_STR("null");
    }
    return scratch_json(exec, &buf);
}

static bool is_hidden(const struct value_asker *asker, const struct run_frame *home,
                      struct pl_str name)
{
    for (const struct run_frame *frame = asker->frame; frame != home; frame = frame_around(frame))
        for (size_t i = 0; i < frame->body->n_channels; i++)
            if (pl_str_eq(frame->body->channels[i].name, name))
                return true;
    return false;
}

/* Every channel that can be seen, an inner one before an outer one of the same name. A workflow
 * that was called by name sees its own alone. */
struct pl_str run_values_state(struct value_asker *asker, bool own)
{
    struct pl_buf buf;

    pl_buf_init(&buf, VALUE_MAX);
    json_object_begin(&buf);
    for (const struct run_frame *frame = asker->frame; frame; frame = frame_around(frame)) {
        const struct step_body *body = frame->body;

        for (size_t i = 0; i < body->n_channels; i++)
            if (!is_hidden(asker, frame, body->channels[i].name)) {
                struct pl_str value = value_channel(asker, &body->channels[i]);

                json_add_raw(&buf, body->channels[i].name.ptr, value);
            }
        if (own || body->role == BODY_ROOT)
            break;
    }
    json_object_end(&buf);
    return scratch_json(asker->exec, &buf);
}

/* ---- roots ---- */

static struct pl_str value_root(void *arg, const struct expr_ref *ref)
{
    struct value_asker *asker = arg;
    struct run_exec *exec;

    if (!asker)
        return PL_STR("null");
    exec = asker->exec;
    switch (ref->root) {
    case EXPR_ROOT_INPUT:
        return value_input(asker);
    case EXPR_ROOT_RUN:
        return value_run(exec);
    case EXPR_ROOT_THREAD:
        return value_thread(exec);
    case EXPR_ROOT_OUTPUT:
        return value_output(asker);
    case EXPR_ROOT_ERROR:
        return value_error(asker);
    case EXPR_ROOT_STATE:
        return ref->channel ? value_channel(asker, ref->channel) : run_values_state(asker, false);
    case EXPR_ROOT_ITEM:
    case EXPR_ROOT_ITEMS:
        return frame_value(map_frame(asker, NULL));
    case EXPR_ROOT_INDEX:
        return frame_number(exec, map_frame(asker, NULL));
    case EXPR_ROOT_AS:
        return frame_value(map_frame(asker, ref->step));
    case EXPR_ROOT_AS_INDEX:
        return frame_number(exec, map_frame(asker, ref->step));
    case EXPR_ROOT_TURN:
        return frame_number(exec, role_frame(asker, BODY_TURN, STEP_REPEAT));
    case EXPR_ROOT_PREVIOUS:
        return frame_value(role_frame(asker, BODY_TURN, STEP_REPEAT));
    case EXPR_ROOT_ARGS:
        return frame_value(role_frame(asker, BODY_TOOL, STEP_AGENT));
    case EXPR_ROOT_CANDIDATES:
        return frame_value(role_frame(asker, BODY_JUDGE, STEP_VOTE));
    case EXPR_ROOT_CANDIDATE:
        return frame_value(role_frame(asker, BODY_SCORE, STEP_VOTE));
    case EXPR_ROOT_STEP:
    case EXPR_ROOT__COUNT:
        break;
    }
    return PL_STR("null");
}

/* The node of a step around the asker, or beside it; NULL: it is in no frame around. */
static struct run_node *node_of(const struct value_asker *asker, const struct step_def *step)
{
    const struct run_frame *frame = asker->frame;

    while (frame && frame->body != step->body)
        frame = frame_around(frame);
    return frame ? run_node_at(frame, step) : NULL;
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
    node = node_of(asker, step);
    if (!node)
        return PL_STR("null");
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

struct expr_scope run_values_scope(struct value_asker *asker)
{
    return (struct expr_scope){
        .arg = asker, .root = value_root, .step = value_step, .jq = run_eval_jq};
}
