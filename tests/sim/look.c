/* look.c - everything of a run, looked at between two events: what waits is waited for, by the
 * state of each step. Not what one event changed (step.c). Called by world.c. */
#include "base/limits.h"
#include "tests/sim/sim.h"

/* The earliest time at which something must happen to a step as it stands; 0: none. */
static pl_ms due_at(const struct run_node *node)
{
    const struct step_def *def = node->def;
    bool waits = node->state == NODE_HELD || node->state == NODE_BACKOFF ||
                 node->state == NODE_ASKING || node->state == NODE_SLEEPING;
    pl_ms due[4] = {waits ? node->wake_at : 0}, first = 0;

    if ((waits || node->state == NODE_CALLING) && node->sent_at && def->deadline)
        due[1] = node->sent_at + def->deadline;
    if (node->state == NODE_CALLING && def->kind == STEP_REDUCE && def->timeout)
        due[2] = node->sent_at + def->timeout;
    if (node->state == NODE_HELD && node->wake_at == 0 && node->sent_at && !def->deadline)
        due[1] = node->sent_at + PL_LIMIT_LANE_WAIT_MS;
    if ((node->state == NODE_ASKING || node->state == NODE_SLEEPING) && def->deadline)
        due[1] = node->started_at + def->deadline;
    if (node->state == NODE_JOINING) {
        due[1] = def->deadline ? node->started_at + def->deadline : 0;
        due[2] = sim_timeout(def) ? node->started_at + sim_timeout(def) : 0;
        due[3] = def->join.deadline ? node->started_at + def->join.deadline : 0;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(due); i++)
        if (due[i] && (!first || due[i] < first))
            first = due[i];
    return first;
}

/* The evaluations of which one must be out. */
static unsigned awaited(const struct run_node *node)
{
    switch ((int)node->state) {
    case NODE_DECIDING:
        return 1u << RUN_EVAL_WHEN;
    case NODE_PREPARING:
        return 1u << RUN_EVAL_BEGIN;
    case NODE_ACCEPTING:
        return 1u << RUN_EVAL_ACCEPT;
    case NODE_DEFAULTING:
        return 1u << RUN_EVAL_DEFAULT;
    case NODE_FINISHING:
        return node->output ? 1u << RUN_EVAL_KEY | 1u << RUN_EVAL_WRITES
                            : 1u << RUN_EVAL_BODY | 1u << RUN_EVAL_UNTIL | 1u << RUN_EVAL_TIMEOUT;
    default:
        return 0;
    }
}

static void check_calls(struct sim_run *run, const struct sim_step *step,
                        const struct run_node *node)
{
    bool calling = node->state == NODE_CALLING, stopping = node->state == NODE_STOPPING;

    if ((step->call != SIM_CALL_NONE) != (calling || stopping))
        sim_breach(run, "%s: is %s with %s call", step->path.ptr, node_state_phase(node->state),
                   step->call != SIM_CALL_NONE ? "a" : "no");
    else if (step->call != SIM_CALL_NONE && step->aborted != stopping)
        sim_breach(run, "%s: is %s and its call was %saborted", step->path.ptr,
                   node_state_phase(node->state), step->aborted ? "" : "not ");
}

static void check_waits(struct sim_run *run, const struct run_node *node, unsigned *in_flight)
{
    const struct sim_step *step = sim_of(run, node);
    pl_ms wake = run_core_next_wake(run->core), due = due_at(node);
    unsigned evals = awaited(node);

    *in_flight += step->call != SIM_CALL_NONE;
    check_calls(run, step, node);
    if (evals && !(step->evals & evals))
        sim_breach(run, "%s: is %s and asked for nothing", step->path.ptr,
                   node_state_phase(node->state));
    sim_lane_check(run, step, node);
    if ((node->state == NODE_BACKOFF || node->state == NODE_SLEEPING) && node->wake_at == 0)
        sim_breach(run, "%s: is %s for ever", step->path.ptr, node_state_phase(node->state));
    if (node->state == NODE_ASKING && !step->person)
        sim_breach(run, "%s: asks and nobody was told", step->path.ptr);
    if (due && (wake == 0 || wake > due))
        sim_breach(run, "%s: is %s and nothing wakes it at %lld, next is %lld", step->path.ptr,
                   node_state_phase(node->state), (long long)due, (long long)wake);
    if (step->mirror.state != node->state && !node->silent)
        sim_breach(run, "%s: became %s and its row was not given", step->path.ptr,
                   node_state_phase(node->state));
}

static void check_progress(struct sim_run *run)
{
    struct run_progress p = run_core_progress(run->core);

    if (p.total !=
        p.pending + p.running + p.waiting + p.succeeded + p.failed + p.skipped + p.cancelled)
        sim_breach(run, "the progress does not add up: %u in all", p.total);
}

/* Does it go on by itself: by a call, a timer, an evaluation? */
static bool is_busy(enum node_state state)
{
    return !node_state_is_final(state) && state != NODE_WAITING && state != NODE_JOINING &&
           state != NODE_HANDLING && state != NODE_CLOSING && state != NODE_ASKING;
}

static void check_frames(struct sim_run *run, unsigned *in_flight)
{
    unsigned asking = 0, busy = 0;
    bool waits;

    run->n_live = 0;
    for (struct run_frame *frame = run_core_root(run->core); frame && !run->broken;
         frame = run_frame_next(run->core, frame)) {
        run->n_live += frame->n_nodes;
        for (size_t i = 0; i < frame->n_nodes && !run->broken; i++) {
            check_waits(run, &frame->nodes[i], in_flight);
            sim_warm_look(run, &frame->nodes[i]);
            asking += frame->nodes[i].state == NODE_ASKING;
            busy += is_busy(frame->nodes[i].state);
        }
    }
    if (busy == 0 && run->core->warming > 0 && run_core_state(run->core) == RUN_RUNNING)
        sim_breach(run, "nothing goes on and branches wait for a first one");
    waits = asking > 0 && busy == 0 && run_core_state(run->core) == RUN_RUNNING;
    if (waits != (run->waiting.since > 0))
        sim_breach(run, "%u people are asked, %u steps go on by themselves, and it is %s", asking,
                   busy, waits ? "not waiting" : "waiting");
}

void sim_check_all(struct sim_run *run)
{
    const char *sound = run_core_check(run->core);
    unsigned in_flight = 0;

    if (sound)
        sim_breach(run, "run_core_check: %s", sound);
    check_frames(run, &in_flight);
    if (!run->broken && in_flight != run_core_in_flight(run->core))
        sim_breach(run, "%u calls are in flight, the core says %u", in_flight,
                   run_core_in_flight(run->core));
    if (!run->broken)
        check_progress(run);
    sim_lane_check_all(run);
    if (run_core_state(run->core) == RUN_RUNNING && sim_timeout_at(run) > 0 &&
        (run_core_next_wake(run->core) == 0 || run_core_next_wake(run->core) > sim_timeout_at(run)))
        sim_breach(run, "nothing wakes the run at its timeout");
}
