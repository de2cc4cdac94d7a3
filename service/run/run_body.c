/* run_body.c - workflow and repeat: a body of several steps, once or turn after turn. Not its steps
 * (run_node). Called through the table of kinds.
 *
 * A body joins as the top level of a run does: an unhandled failure stops the rest and fails the
 * step (unless its workflow says `join: settled`: then independent steps finish first). When all is
 * over its output is made (FINISHING), and a repeat then asks `until` and goes on with the next
 * turn, which sees the one before as .previous: kept in the step's memo with the turn's number. */
#include "base/json.h"
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_view.h"

#include <stdlib.h>

static bool is_repeat(const struct run_node *node)
{
    return node->def->kind == STEP_REPEAT;
}

/* The frame that runs, or ran last. NULL: none was made. */
static struct run_frame *current(const struct run_node *node)
{
    struct run_inner *inner = node->inner;

    if (!inner || pl_list_empty(&inner->frames))
        return NULL;
    return pl_container_of(inner->frames.prev, struct run_frame, link);
}

/* ---- beginning ---- */

static bool make_inner(struct run_node *node)
{
    node->inner = calloc(1, sizeof(*node->inner));
    if (node->inner)
        pl_list_init(&node->inner->frames);
    return node->inner != NULL;
}

/* `value` and `state` are taken. */
static void begin_frame(struct run_core *core, struct run_node *node, uint32_t number,
                        struct pl_value *value, struct pl_value *state)
{
    struct run_frame *frame = run_frame_create(core, node->def->bodies[0], node, 0, number, value);

    if (!frame) {
        pl_value_unref(&state);
        return;
    }
    frame->state = state;
    frame->kept = true;
    run_frame_begin(core, frame);
}

static void start(struct run_core *core, struct run_node *node, struct pl_value *value)
{
    if (!make_inner(node)) {
        pl_value_unref(&value);
        core->out_of_memory = true;
        return;
    }
    run_inside_begin(core, node);
    begin_frame(core, node, 0, value, NULL);
}

static void begin(struct run_core *core, struct run_node *node)
{
    if (is_repeat(node)) {
        start(core, node, NULL);
        return;
    }
    run_node_move(core, node, NODE_PREPARING);
    run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_BEGIN);
}

/* ---- ending ---- */

static bool has_failed(const struct run_node *step)
{
    return (step->state == NODE_FAILED && !step->handled) ||
           (step->state == NODE_CANCELLED && step->reason == CANCEL_USER);
}

static void step_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    if (node->state != NODE_JOINING || frame->failed || frame->body->settled || !has_failed(step))
        return;
    frame->failed = true;
    run_inside_fail(core, node, run_problem_of_branch(step), CANCEL_SIBLING_FAILED);
}

static const struct run_node *first_failure(const struct run_frame *frame)
{
    const struct run_node *first = NULL;

    for (size_t i = 0; i < frame->body->n_top; i++) {
        const struct run_node *step = run_node_at(frame, frame->body->top[i]);

        if (has_failed(step) && (!first || step->ended_at < first->ended_at))
            first = step;
    }
    return first;
}

static void ask(struct run_core *core, struct run_node *node, enum run_eval_what what)
{
    run_node_move(core, node, NODE_FINISHING);
    run_core_effect_of(core, node, what, current(node));
}

static void frame_over(struct run_core *core, struct run_frame *frame)
{
    struct run_node *node = frame->owner;
    const struct run_node *failure = first_failure(frame);

    if (node->state == NODE_CLOSING)
        run_node_try_close(core, node);
    else if (node->state == NODE_JOINING && failure)
        run_node_fail(core, node, run_problem_of_branch(failure));
    else if (node->state == NODE_JOINING)
        ask(core, node, RUN_EVAL_BODY);
}

static void closed(struct run_core *core, struct run_node *node)
{
    run_node_fail(core, node, pl_value_ref(node->error));
}

/* ---- turns ---- */

/* False: no memory. */
static bool add_join(struct pl_buf *out, const struct run_node *step)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str report = arena ? run_join_report(step, arena) : pl_str_n(NULL, 0);
    bool made = report.len > 0;

    json_add_raw(out, "join", report);
    pl_arena_destroy(&arena);
    return made;
}

/* The members `.steps.ID` has; what would be null is left out. False: no memory. */
static bool write_step(struct pl_buf *out, const struct run_node *step)
{
    bool made;

    json_object_begin(out);
    json_add_raw(out, "output", pl_value_text(step->output));
    json_add_string(out, "status", pl_str(node_state_status(step->state)));
    if (step->error)
        json_add_raw(out, "error", pl_value_text(step->error));
    json_key(out, "usage");
    run_view_usage(&step->usage, out);
    made = !step->join || add_join(out, step);
    json_object_end(out);
    return made;
}

/* {"output","steps":{id: as write_step}} of a turn that is over. NULL: no memory. */
static struct pl_value *previous_of(const struct run_frame *frame)
{
    struct pl_value *value;
    struct pl_buf out;
    bool made = true;

    pl_buf_init(&out, SIZE_MAX / 2);
    json_object_begin(&out);
    json_add_raw(&out, "output", pl_value_text(frame->output));
    json_key(&out, "steps");
    json_object_begin(&out);
    for (size_t i = 0; made && i < frame->body->n_top; i++) {
        const struct run_node *step = run_node_at(frame, frame->body->top[i]);

        json_key(&out, step->def->id.ptr);
        made = write_step(&out, step);
    }
    json_object_end(&out);
    json_object_end(&out);
    value = made ? pl_value_take(&out) : NULL;
    pl_buf_finish(&out);
    return value;
}

/* The next turn's number and what it sees, for after a crash. */
static bool remember(struct run_node *node, uint32_t turn, const struct pl_value *previous,
                     const struct pl_value *state)
{
    struct pl_buf out;

    pl_buf_init(&out, SIZE_MAX / 2);
    json_object_begin(&out);
    json_add_int(&out, "turn", turn);
    json_add_raw(&out, "previous", pl_value_text(previous));
    if (state)
        json_add_raw(&out, "state", pl_value_text(state));
    json_object_end(&out);
    pl_value_unref(&node->memo);
    node->memo = pl_value_take(&out);
    pl_buf_finish(&out);
    return node->memo != NULL;
}

/* Its time ran out while jq made its output or `until`: turns that take no time of their own would
 * be over again before a tick comes. */
static bool is_late(const struct run_core *core, const struct run_node *node)
{
    pl_ms due = run_timers_due(node);

    return due && due <= core->now;
}

static void next_turn(struct run_core *core, struct run_node *node)
{
    struct run_frame *frame = current(node);
    struct pl_value *previous = previous_of(frame);
    uint32_t turn = frame->number + 1;

    struct pl_value *state = pl_value_ref(frame->state_after);

    if (!previous || !remember(node, turn, previous, state)) {
        pl_value_unref(&previous);
        pl_value_unref(&state);
        core->out_of_memory = true;
        return;
    }
    run_frame_release(core, frame);
    run_node_move(core, node, NODE_JOINING);
    if (is_late(core, node)) {
        pl_value_unref(&previous);
        pl_value_unref(&state);
        run_inside_timer(core, node);
        return;
    }
    begin_frame(core, node, turn, previous, state);
}

static void turn_over(struct run_core *core, struct run_node *node, bool enough)
{
    const struct repeat_config *repeat = node->def->config.repeat;
    struct run_frame *frame = current(node);

    if (!enough && frame->number + 1 < repeat->max) {
        next_turn(core, node);
    } else if (!enough && repeat->fail_on_max && repeat->until) {
        run_node_fail_with(core, node, PL_ERR_MAX_TURNS,
                           "`until` was not true after the last turn that `max` allows");
    } else {
        run_frame_release(core, frame);
        run_node_succeed(core, node, pl_value_ref(frame->output));
    }
}

/* The last frame was kept to be read; the others were let go as they ended. */
static void ended(struct run_core *core, struct run_node *node)
{
    struct run_frame *last = current(node);

    if (last)
        run_frame_release(core, last);
}

/* ---- evaluations ---- */

static void body_made(struct run_core *core, struct run_node *node, struct run_event *event)
{
    struct run_frame *frame = current(node);

    frame->output = event->value ? event->value : pl_value_null();
    event->value = NULL;
    pl_value_unref(&frame->state_after);
    frame->state_after = event->state;
    event->state = NULL;
    if (!is_repeat(node)) {
        run_frame_release(core, frame);
        run_node_succeed(core, node, pl_value_ref(frame->output));
    } else if (node->def->config.repeat->until) {
        ask(core, node, RUN_EVAL_UNTIL);
    } else {
        turn_over(core, node, false);
    }
}

static bool evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    bool begins = event->what == RUN_EVAL_BEGIN && node->state == NODE_PREPARING;
    bool finishes = (event->what == RUN_EVAL_BODY || event->what == RUN_EVAL_UNTIL) &&
                    node->state == NODE_FINISHING && !node->output;

    if (!begins && !finishes)
        return false;
    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
    } else if (begins) {
        node->memo = pl_value_ref(event->value);
        start(core, node, event->value);
        event->value = NULL;
    } else if (event->what == RUN_EVAL_BODY) {
        body_made(core, node, event);
    } else {
        turn_over(core, node, event->truth);
    }
    return true;
}

/* ---- loading ---- */

static enum pl_code load(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    (void)core;
    if (!node->started_at || make_inner(node))
        return PL_OK;
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static struct pl_value *made(struct run_core *core, struct pl_value *value)
{
    core->out_of_memory |= !value;
    return value;
}

static bool fits(struct run_core *core, const struct run_node *node, const struct step_body *body,
                 uint32_t level, uint32_t number, struct pl_value **ret_value)
{
    struct pl_str token;
    int64_t turn;

    (void)body;
    (void)level;
    if (!is_repeat(node)) {
        *ret_value = node->memo ? pl_value_ref(node->memo) : NULL;
        return number == 0;
    }
    if (!node->memo)
        return number == 0;
    if (!json_get(pl_value_text(node->memo), PL_STR("turn"), &token) || !json_int(token, &turn) ||
        number > turn)
        return false;
    if (number == turn && json_get(pl_value_text(node->memo), PL_STR("previous"), &token))
        *ret_value = made(core, pl_value_new(token));
    return true;
}

/* Only the last turn is still read. Frames stand in the order of their turns: paths of later turns
 * are as long or longer. */
static enum pl_code derive(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    struct run_frame *last = current(node);
    struct pl_str state;

    (void)core;
    if (!last)
        return PL_OK;
    if (is_repeat(node) && node->memo &&
        json_get(pl_value_text(node->memo), PL_STR("state"), &state)) {
        last->state = pl_value_new(state);
        if (!last->state)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    if (node->state == NODE_JOINING || node->state == NODE_FINISHING || node->state == NODE_CLOSING)
        last->kept = true;
    return PL_OK;
}

static void recover(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_FINISHING && !node->output && current(node))
        run_core_effect_of(core, node, RUN_EVAL_BODY, current(node));
}

const struct run_kind run_kind_body = {
    .begin = begin,
    .evaluated = evaluated,
    .step_ended = step_ended,
    .frame_over = frame_over,
    .closed = closed,
    .ended = ended,
    .timer = run_inside_timer,
    .fits = fits,
    .load = load,
    .derive = derive,
    .recover = recover,
};
