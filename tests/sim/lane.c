/* lane.c - the simulator's lane: so many llm calls of the run at once, the rest held until told, in
 * the order they came. Not the product's lanes (service/limits/limits.h): it is what the core must
 * be right with, whoever keeps the places. Called by world.c, step.c, look.c and disk.c.
 *
 * A ticket is out from the moment its step's turn has come, so nobody overtakes; it goes back when
 * the call is over, was not sent after all, or the step was gone when the word came. */
#include "service/run/run_budget.h"
#include "tests/sim/sim.h"

static bool has_ticket(const struct sim_step *step)
{
    return step->lane == SIM_LANE_ADMITTED || step->lane == SIM_LANE_TICKET;
}

/* Who waits longest, of those the core knows to be held. NULL: nobody. */
static struct sim_step *first_waiting(const struct sim_run *run)
{
    struct sim_step *first = NULL;

    for (size_t i = 0; i < run->n; i++) {
        struct sim_step *step = run->steps[i];

        if (step->lane == SIM_LANE_WAITS && step->call == SIM_CALL_NONE &&
            (!first || step->lane_place < first->lane_place))
            first = step;
    }
    return first;
}

void sim_lane_pump(struct sim_run *run)
{
    struct sim_step *step;

    while (!run->broken && run->lane_used < run->mood.lane && (step = first_waiting(run))) {
        step->lane = SIM_LANE_ADMITTED;
        step->lane_place = run->next_serial++;
        run->lane_used++;
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 15),
                                             .type = SIM_AT_ADMITTED,
                                             .index = (int32_t)step->id,
                                             .serial = (uint32_t)step->lane_place});
    }
}

static bool somebody_waits(const struct sim_run *run)
{
    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i]->lane == SIM_LANE_WAITS)
            return true;
    return false;
}

bool sim_lane_enter(struct sim_run *run, struct sim_step *step)
{
    if (run->mood.lane == 0 || step->def->kind != STEP_LLM || step->lane == SIM_LANE_TICKET)
        return true;
    if (step->lane != SIM_LANE_NONE) {
        sim_breach(run, "%s: is called while it waits for its turn", step->path.ptr);
        return true;
    }
    if (run->lane_used < run->mood.lane && !somebody_waits(run)) {
        step->lane = SIM_LANE_TICKET;
        run->lane_used++;
        return true;
    }
    step->lane = SIM_LANE_WAITS;
    step->lane_place = run->next_place++;
    return false;
}

void sim_lane_release(struct sim_run *run, struct sim_step *step)
{
    run->lane_used -= has_ticket(step);
    step->lane = SIM_LANE_NONE;
    sim_lane_pump(run);
}

void sim_lane_defer(struct sim_run *run, struct sim_step *step)
{
    struct run_event event = {
        .type = RUN_EV_DEFERRED, .now = run->now, .node = sim_node(run, step)};

    step->call = SIM_CALL_NONE;
    step->held = (struct budget){0};
    if (step->poor) {
        sim_lane_release(run, step);
        event.reason = RUN_BUDGET_REASON;
        step->poor = false;
    } else if (step->lane == SIM_LANE_WAITS) {
        event.reason = "concurrency";
    } else {
        sim_lane_release(run, step);
        event.until = run->now + sim_between(&run->rng, -5, 2000);
        event.reason = sim_chance(&run->rng, 50) ? "rate_limited" : "unreachable";
    }
    sim_step_core(run, &event);
    sim_lane_pump(run);
}

void sim_lane_admit(struct sim_run *run, struct sim_step *step, const struct sim_timer *timer)
{
    struct run_event event = {
        .type = RUN_EV_ADMITTED, .now = run->now, .node = sim_node(run, step)};
    bool stale = step->lane != SIM_LANE_ADMITTED || (uint32_t)step->lane_place != timer->serial;

    /* the step left while the word was on its way: to somebody who is not held it says nothing */
    if (stale && (!event.node || run_node_is_held_until_told(event.node)))
        return;
    if (!event.node) {
        sim_breach(run, "%s: its frame is gone while it is held", step->path.ptr);
        return;
    }
    if (!stale)
        step->lane = SIM_LANE_TICKET;
    sim_step_core(run, &event);
}

void sim_lane_check_leave(struct sim_run *run, const struct sim_step *step)
{
    if (step->lane == SIM_LANE_NONE)
        sim_breach(run, "%s: leaves a queue it is not in", step->path.ptr);
}

void sim_lane_leave(struct sim_run *run, struct sim_step *step)
{
    sim_lane_release(run, step);
}

void sim_lane_lose(struct sim_run *run)
{
    for (size_t i = 0; i < run->n; i++)
        run->steps[i]->lane = SIM_LANE_NONE;
    run->lane_used = 0;
}

void sim_lane_check(struct sim_run *run, const struct sim_step *step, const struct run_node *node)
{
    bool held = run_node_is_held_until_told(node);
    bool in_queue = step->lane == SIM_LANE_WAITS || step->lane == SIM_LANE_ADMITTED;
    bool calling = node->state == NODE_CALLING || node->state == NODE_STOPPING;

    if (held && strcmp(node->held_reason, RUN_BUDGET_REASON) == 0) {
        sim_money_check_waiting(run, step);
        held = false;
    }
    if (held && !in_queue)
        sim_breach(run, "%s: is held and nobody will tell it", step->path.ptr);
    if (in_queue && !held && !(calling && step->deferring))
        sim_breach(run, "%s: is %s and has a place in the queue", step->path.ptr,
                   node_state_phase(node->state));
    if (step->lane == SIM_LANE_TICKET && !calling)
        sim_breach(run, "%s: is %s and has a ticket", step->path.ptr,
                   node_state_phase(node->state));
}

void sim_lane_check_all(struct sim_run *run)
{
    unsigned out = 0;

    if (run->mood.lane == 0 || run->broken)
        return;
    for (size_t i = 0; i < run->n; i++)
        out += has_ticket(run->steps[i]);
    if (out != run->lane_used || out > run->mood.lane)
        sim_breach(run, "%u tickets are out, %u are counted, %u may be", out, run->lane_used,
                   run->mood.lane);
    if (out < run->mood.lane && first_waiting(run))
        sim_breach(run, "%s: waits and there is a place", first_waiting(run)->path.ptr);
}

void sim_lane_check_empty(struct sim_run *run)
{
    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i]->lane != SIM_LANE_NONE)
            sim_breach(run, "the run is over and %s has a place in the lane",
                       run->steps[i]->path.ptr);
}
