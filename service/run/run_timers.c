/* run_timers.c - when the next step wants to be woken: a binary heap with one time for each node,
 * that knows where each node stands. Not clocks and not what happens then (run_attempt,
 * run_parallel). Called by run_node_move and by TICK.
 *
 * A node has at most one entry: the earliest of the times its state waits for. Room for all nodes
 * is there from the start, so setting a timer cannot fail. */
#include "service/run/run_core_private.h"

/* The earlier of two times, 0 being none. */
static pl_ms earlier(pl_ms a, pl_ms b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* Its join is satisfied, and steps that make its output of the branches' run or are to: its time
 * goes on. */
static bool concludes(const struct run_node *node)
{
    const struct step_def *def = node->def;

    if (node->state != NODE_CLOSING || node->reason != CANCEL_NONE || node->failure != PL_OK)
        return false;
    if (def->kind == STEP_MAP)
        return def->config.map->fan_in > 0;
    return def->kind == STEP_VOTE &&
           (def->config.vote->judge_body >= 0 || def->config.vote->score_body >= 0);
}

pl_ms run_node_timeout(const struct run_node *node)
{
    const struct step_def *def = node->def;
    const struct workflow *child = def->kind == STEP_WORKFLOW ? def->config.workflow->child : NULL;

    if (def->kind == STEP_AGENT) /* of each call of the model; `deadline` is of the whole */
        return 0;
    return earlier(def->timeout, child ? child->timeout : 0);
}

pl_ms run_timers_due(const struct run_node *node)
{
    pl_ms due = 0;

    if (node->state == NODE_CALLING)
        return earlier(node->deadline_at, run_attempt_timeout_at(node));
    if (run_node_is_held_until_told(node))
        return run_attempt_patience(node);
    if (node->state == NODE_BACKOFF || node->state == NODE_HELD || node->state == NODE_ASKING ||
        node->state == NODE_SLEEPING)
        return earlier(node->wake_at, node->deadline_at);
    if (node->state == NODE_JOINING || concludes(node)) {
        due = node->deadline_at;
        if (run_node_timeout(node) > 0)
            due = earlier(due, node->started_at + run_node_timeout(node));
        if (node->state == NODE_JOINING && node->join && node->def->join.deadline > 0)
            due = earlier(due, node->started_at + node->def->join.deadline);
    }
    return due;
}

/* Of two at one time the step written first fires first: the order is the same after loading. */
static bool before(const struct run_timer *a, const struct run_timer *b)
{
    return a->at != b->at ? a->at < b->at : run_node_compare(a->node, b->node) < 0;
}

static void place(struct run_core *core, size_t slot, struct run_timer timer)
{
    core->timers[slot] = timer;
    timer.node->timer_slot = (uint32_t)slot;
}

static void sift(struct run_core *core, size_t slot, struct run_timer timer)
{
    size_t child;

    for (; slot > 1 && before(&timer, &core->timers[slot / 2]); slot /= 2)
        place(core, slot, core->timers[slot / 2]);
    while ((child = slot * 2) <= core->n_timers) {
        if (child < core->n_timers && before(&core->timers[child + 1], &core->timers[child]))
            child++;
        if (!before(&core->timers[child], &timer))
            break;
        place(core, slot, core->timers[child]);
        slot = child;
    }
    place(core, slot, timer);
}

void run_timers_update(struct run_core *core, struct run_node *node)
{
    struct run_timer timer = {.at = run_timers_due(node), .node = node};
    size_t slot = node->timer_slot;

    if (slot && core->timers[slot].at == timer.at)
        return;
    if (timer.at) {
        sift(core, slot ? slot : ++core->n_timers, timer);
    } else if (slot) {
        struct run_timer last = core->timers[core->n_timers--];

        node->timer_slot = 0;
        if (last.node != node)
            sift(core, slot, last);
    }
}

static void fire(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_JOINING || node->state == NODE_CLOSING)
        run_inside_timer(core, node);
    else
        run_kind_of(node->def->kind)->timer(core, node);
}

/* Each timer with all its consequences before the next: what two of them decide depends on their
 * times, not on how late the tick came. Firing always moves the node on, so this ends. */
void run_timers_fire(struct run_core *core)
{
    for (;;) {
        pl_ms first = core->n_timers ? core->timers[1].at : 0;
        bool timeout = core->timeout_at && (first == 0 || core->timeout_at < first);

        if (core->out_of_memory)
            return;
        if (timeout && core->timeout_at <= core->now)
            run_end_timeout(core);
        else if (!timeout && first && first <= core->now)
            fire(core, core->timers[1].node);
        else
            return;
        run_core_settle(core);
    }
}
