/* run_human.c - human and sleep: steps that wait for the world without a call. Not who is told, nor
 * how the answer comes (api/). Called through the table of kinds and, for answers, by run_core.c.
 */
#include "base/json.h"
#include "service/run/run_core_private.h"

static void begin(struct run_core *core, struct run_node *node)
{
    run_node_move(core, node, NODE_PREPARING);
    run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_BEGIN);
}

/* The question, or the time, is there: now it has started, and its deadline runs. */
static void start(struct run_core *core, struct run_node *node, enum node_state state,
                  pl_ms wake_at)
{
    node->started_at = core->now;
    node->deadline_at = node->def->deadline > 0 ? core->now + node->def->deadline : 0;
    node->wake_at = wake_at;
    run_node_move(core, node, state);
    run_core_note(core, "step.started", node);
}

/* What was made is kept: it is not made again after a crash. False when it could not be made. */
static bool prepared(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
        return false;
    }
    pl_value_unref(&node->memo);
    node->memo = event->value ? event->value : pl_value_null();
    event->value = NULL;
    return true;
}

/* ---- human ---- */

static bool human_evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    pl_ms timeout = node->def->config.human->timeout;

    if (event->what != RUN_EVAL_BEGIN || node->state != NODE_PREPARING)
        return false;
    if (!prepared(core, node, event))
        return true;
    start(core, node, NODE_ASKING, timeout > 0 ? core->now + timeout : 0);
    run_core_note(core, "step.waiting", node);
    return true;
}

/* With what a person said, or what stands for it. */
static void end_with(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
        return;
    }
    run_node_succeed(core, node, event->value ? event->value : pl_value_null());
    event->value = NULL;
}

bool run_human_answer(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (!node || node->state != NODE_ASKING)
        return false;
    end_with(core, node, event);
    return true;
}

/* The time to answer is over; the deadline is the earlier one or not there. */
static void human_timer(struct run_core *core, struct run_node *node)
{
    bool deadline = node->deadline_at && node->deadline_at <= core->now &&
                    (!node->wake_at || node->deadline_at < node->wake_at);
    const struct human_config *human = node->def->config.human;

    if (deadline) {
        run_node_fail_with(core, node, PL_ERR_DEADLINE, "nobody answered before its deadline");
    } else if (human->on_timeout_default) {
        run_node_move(core, node, NODE_FINISHING);
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_TIMEOUT);
    } else {
        run_node_fail_with(core, node, PL_ERR_TIMEOUT, "nobody answered in time");
    }
}

static bool human_timed_out(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->what != RUN_EVAL_TIMEOUT || node->state != NODE_FINISHING || node->output)
        return false;
    end_with(core, node, event);
    return true;
}

static bool human_any_evaluated(struct run_core *core, struct run_node *node,
                                struct run_event *event)
{
    return human_evaluated(core, node, event) || human_timed_out(core, node, event);
}

/* FINISHING without an output: the answer nobody gave was being made. */
static void human_recover(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_FINISHING)
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_TIMEOUT);
}

const struct run_kind run_kind_human = {
    .begin = begin,
    .evaluated = human_any_evaluated,
    .timer = human_timer,
    .recover = human_recover,
};

/* ---- sleep ---- */

static pl_ms until_of(const struct run_core *core, const struct run_node *node)
{
    struct pl_str token;
    int64_t until;

    if (json_get(pl_value_text(node->memo), PL_STR("until"), &token) && json_int(token, &until) &&
        until > core->now)
        return until;
    return core->now;
}

static bool sleep_evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->what != RUN_EVAL_BEGIN || node->state != NODE_PREPARING)
        return false;
    if (!prepared(core, node, event))
        return true;
    start(core, node, NODE_SLEEPING, until_of(core, node));
    return true;
}

static void sleep_timer(struct run_core *core, struct run_node *node)
{
    if (node->deadline_at && node->deadline_at < node->wake_at)
        run_node_fail_with(core, node, PL_ERR_DEADLINE, "its time would come after its deadline");
    else
        run_node_succeed(core, node, pl_value_null());
}

const struct run_kind run_kind_sleep = {
    .begin = begin,
    .evaluated = sleep_evaluated,
    .timer = sleep_timer,
};
