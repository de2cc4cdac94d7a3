/* step.c - one event into the core, and everything that must be true after every event. Not the
 * judging of outcomes (reference.c). Called by world.c and disk.c. */
#include "tests/sim/sim.h"

static const char *const event_names[] = {
    [RUN_EV_START] = "START",   [RUN_EV_RECOVER] = "RECOVER",
    [RUN_EV_TICK] = "TICK",     [RUN_EV_EVALUATED] = "EVALUATED",
    [RUN_EV_RESULT] = "RESULT", [RUN_EV_DEFERRED] = "DEFERRED",
    [RUN_EV_CANCEL] = "CANCEL", [RUN_EV_CANCEL_STEP] = "CANCEL_STEP",
};
static const char *const eval_names[] = {
    [RUN_EVAL_WHEN] = "when",
    [RUN_EVAL_ACCEPT] = "accept",
    [RUN_EVAL_DEFAULT] = "default",
    [RUN_EVAL_OUTPUT] = "output",
};
static const char *const effect_names[] = {
    [RUN_FX_EVAL] = "eval",
    [RUN_FX_CALL] = "call",
    [RUN_FX_ABORT] = "abort",
};

static const char *path_of(const struct run_node *node)
{
    return node ? node->def->path.ptr : "the run";
}

static struct sim_entry *add_entry(struct sim_run *run, enum sim_happening what, int32_t index)
{
    struct sim_entry *entry;

    run->history =
        sim_grow(run->history, run->n_history, &run->history_capacity, sizeof(*run->history));
    entry = &run->history[run->n_history++];
    *entry = (struct sim_entry){.what = what, .index = index, .now = run->now};
    return entry;
}

static void trace_event(struct sim_run *run, const struct run_event *event)
{
    const char *extra = "";

    if (!run->plan.trace)
        return;
    if (event->type == RUN_EV_EVALUATED)
        extra = event->err.code != PL_OK ? "error" : event->truth ? "true" : "false or value";
    if (event->type == RUN_EV_RESULT)
        extra = pl_code_text(event->result->err.code);
    sim_trace(run, "%s %s %s %s%s", event_names[event->type],
              event->type == RUN_EV_TICK || event->type == RUN_EV_START ? "" : path_of(event->node),
              event->type == RUN_EV_EVALUATED ? eval_names[event->what] : "", extra,
              event->type == RUN_EV_RESULT && event->result->free ? " (free)" : "");
}

static void record_event(struct sim_run *run, const struct run_event *event, bool counts)
{
    struct sim_entry *entry =
        add_entry(run, SIM_EVENT, event->node ? (int32_t)event->node->def->index : -1);

    run->events++;
    entry->event = event->type;
    entry->run_state = run_core_state(run->core);
    sim_mix(run, (uint64_t)event->type * 1000003u + (uint64_t)event->now);
    sim_mix(run, event->node ? event->node->def->index : 1u << 30);
    if (counts)
        entry->usage = event->result->usage;
}

/* ---- notes ---- */

static bool final_note(const char *type, enum node_state *ret_state)
{
    static const struct {
        const char *type;
        enum node_state state;
    } finals[] = {
        {"step.succeeded", NODE_SUCCEEDED},
        {"step.failed", NODE_FAILED},
        {"step.skipped", NODE_SKIPPED},
        {"step.cancelled", NODE_CANCELLED},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(finals); i++)
        if (strcmp(type, finals[i].type) == 0) {
            *ret_state = finals[i].state;
            return true;
        }
    return false;
}

static void take_start(struct sim_run *run, const struct run_node *node)
{
    struct sim_mirror *mirror = &run->steps[node->def->index].mirror;

    if (mirror->started)
        sim_breach(run, "%s: began twice", path_of(node));
    mirror->started = true;
    add_entry(run, SIM_STARTED, (int32_t)node->def->index);
}

static void take_note(struct sim_run *run, const struct run_note *note)
{
    enum node_state state;
    struct sim_entry *entry;
    struct sim_step *step;

    sim_trace(run, "    note %lld %s %s", (long long)note->seq, note->type, path_of(note->node));
    if (note->seq != run->last_seq + 1)
        sim_breach(run, "note %s has seq %lld after %lld", note->type, (long long)note->seq,
                   (long long)run->last_seq);
    run->last_seq = note->seq;
    for (const char *p = note->type; *p; p++)
        sim_mix(run, (uint64_t)*p);
    if (strcmp(note->type, "step.started") == 0)
        take_start(run, note->node);
    if (strcmp(note->type, "step.retrying") == 0)
        run->steps[note->node->def->index].retry_noted = run->events;
    if (!note->node || !final_note(note->type, &state))
        return;
    step = &run->steps[note->node->def->index];
    if (step->mirror.final_noted)
        sim_breach(run, "%s: ended twice", path_of(note->node));
    if (note->node->state != state)
        sim_breach(run, "%s: noted %s and is %s", path_of(note->node), note->type,
                   node_state_phase(note->node->state));
    step->mirror.final_noted = true;
    entry = add_entry(run, SIM_FINAL, (int32_t)note->node->def->index);
    entry->state = state;
    entry->handled = note->node->handled;
    entry->reason = note->node->reason;
    entry->was_aborted = step->mirror.aborted;
}

/* ---- nodes that changed ---- */

static bool own_time_is_up(const struct sim_run *run, const struct run_node *node)
{
    pl_ms passed = run->now - node->started_at;

    return (node->def->timeout > 0 && passed >= node->def->timeout) ||
           (node->def->deadline > 0 && passed >= node->def->deadline);
}

static void close_parallel(struct sim_run *run, const struct run_node *node)
{
    struct sim_entry *entry = add_entry(run, SIM_CLOSED, (int32_t)node->def->index);

    run->steps[node->def->index].mirror.closed = true;
    entry->state = node->state;
    entry->decided = node->join && node->join->decided;
    entry->by_deadline = entry->decided && node->join->by_deadline;
    if (node->join && !entry->decided && node->reason == CANCEL_NONE && !own_time_is_up(run, node))
        sim_breach(run, "%s: gave up before its time", path_of(node));
    entry->reason = node->reason;
}

static void check_branches_final(struct sim_run *run, const struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_children; i++) {
        const struct run_node *child = run->nodes[node->def->children[i]->index];

        if (node->join && !node->def->join.drain && !node_state_is_final(child->state))
            sim_breach(run, "%s: is %s while its branch %s is %s", path_of(node),
                       node_state_phase(node->state), path_of(child),
                       node_state_phase(child->state));
    }
}

/* What a reader of the run must have been told by now. */
static void check_noted(struct sim_run *run, const struct run_node *node, enum node_state was)
{
    const struct sim_step *step = &run->steps[node->def->index];
    bool again = was == NODE_CALLING && node->state == NODE_CALLING &&
                 node->attempts == step->mirror.attempts + 1;

    if (node_state_is_final(node->state) && !step->mirror.final_noted && !node->silent)
        sim_breach(run, "%s: is %s and nobody was told", path_of(node),
                   node_state_phase(node->state));
    if ((node->attempts > 0 || node->join) && !step->mirror.started)
        sim_breach(run, "%s: began and nobody was told", path_of(node));
    if (((node->state == NODE_BACKOFF && was == NODE_CALLING) || again) &&
        step->retry_noted != run->events)
        sim_breach(run, "%s: is tried again and nobody was told", path_of(node));
}

static void look_at(struct sim_run *run, const struct run_node *node)
{
    uint32_t index = node->def->index;
    struct sim_step *step = &run->steps[index];
    enum node_state was = step->mirror.state;

    if (!step->touched) {
        step->touched = true;
        run->touched[run->n_touched++] = index;
    }
    if (was != node->state)
        sim_trace(run, "    %s: %s -> %s (attempts %u, tries %u%s%s)", path_of(node),
                  node_state_phase(was), node_state_phase(node->state), node->attempts, node->tries,
                  node->reason ? ", " : "", node->reason ? cancel_reason_text(node->reason) : "");
    sim_mix(run, (uint64_t)index * 64 + node->state);
    if (node_state_is_final(was) && was != node->state)
        sim_breach(run, "%s: was %s for good and is %s", path_of(node), node_state_phase(was),
                   node_state_phase(node->state));
    step->mirror.state = node->state;
    if (step->mirror.reason != CANCEL_NONE && node->reason != step->mirror.reason &&
        node->state != NODE_SUCCEEDED &&
        node->state != NODE_ACCEPTING) /* it came back all the same */
        sim_breach(run, "%s: was being stopped as %s, now as %s", path_of(node),
                   cancel_reason_text(step->mirror.reason), cancel_reason_text(node->reason));
    step->mirror.reason = node->reason;
    check_noted(run, node, was);
    if (node_state_is_final(node->state) && node->def->handler &&
        !node_state_is_final(run->nodes[node->def->handler->index]->state))
        sim_breach(run, "%s: is %s while its handler is not over", path_of(node),
                   node_state_phase(node->state));
    if (node->def->kind != STEP_PARALLEL)
        return;
    if (!step->mirror.closed && node->state != NODE_WAITING && node->state != NODE_DECIDING &&
        node->state != NODE_JOINING && node->state != NODE_SKIPPED)
        close_parallel(run, node);
    if (node_state_is_final(node->state))
        check_branches_final(run, node);
}

/* ---- effects ---- */

static void check_may_call(struct sim_run *run, const struct run_node *node)
{
    const struct step_def *def = node->def;
    struct sim_step *step = &run->steps[def->index];

    if (run_state_is_final(run_core_state(run->core)))
        sim_breach(run, "%s: is called after the run's end", path_of(node));
    if (step->call != SIM_CALL_NONE)
        sim_breach(run, "%s: is called while a call is in flight", path_of(node));
    if (step->paid)
        sim_breach(run, "%s: is called again although its result is durable", path_of(node));
    if (step->mirror.final_noted)
        sim_breach(run, "%s: is called after its end", path_of(node));
    if (step->never_again)
        sim_breach(run, "%s: says on_ambiguous fail and is called again", path_of(node));
    if (node->attempts != step->mirror.attempts + 1)
        sim_breach(run, "%s: attempt %u follows attempt %u", path_of(node), node->attempts,
                   step->mirror.attempts);
    if (step->mirror.failures >= def->retry.attempts)
        sim_breach(run, "%s: is called after %u failures of %u allowed", path_of(node),
                   step->mirror.failures, def->retry.attempts);
    for (size_t i = 0; i < def->n_deps; i++) {
        const struct run_node *dep = run->nodes[def->deps[i]->index];

        if (!node_state_is_final(dep->state) || dep->state == NODE_CANCELLED ||
            (dep->state == NODE_FAILED && !dep->handled))
            sim_breach(run, "%s: is called while %s is %s", path_of(node), path_of(dep),
                       node_state_phase(dep->state));
    }
    step->mirror.attempts = node->attempts;
    step->mirror.aborted = false;
}

static void take_effect(struct sim_run *run, const struct run_effect *effect)
{
    struct sim_step *step = effect->node ? &run->steps[effect->node->def->index] : NULL;

    sim_trace(run, "    %s %s %s", effect_names[effect->type], path_of(effect->node),
              effect->type == RUN_FX_EVAL ? eval_names[effect->what] : "");
    sim_mix(run, (uint64_t)effect->type * 16 + effect->what);
    if (effect->type == RUN_FX_CALL) {
        check_may_call(run, effect->node);
    } else if (effect->type == RUN_FX_ABORT) {
        if (step->call == SIM_CALL_NONE || step->aborted)
            sim_breach(run, "%s: is aborted with no call to abort", path_of(effect->node));
        step->mirror.aborted = true;
    } else if (!step) {
        if (run->output_asked)
            sim_breach(run, "the output is asked for twice");
        run->output_asked = true;
    } else {
        if (step->evals & (1u << effect->what))
            sim_breach(run, "%s: %s is asked for twice", path_of(effect->node),
                       eval_names[effect->what]);
        step->evals |= 1u << effect->what;
    }
    if (!run->broken)
        sim_take_effect(run, effect);
}

/* ---- the step ---- */

static struct sim_before look_before(const struct sim_run *run, const struct run_event *event)
{
    struct sim_before before = {0};
    const struct run_node *node = event->node;

    if (event->type != RUN_EV_RESULT || !event->result)
        return before;
    before = (struct sim_before){
        .is_result = node->state == NODE_CALLING || node->state == NODE_STOPPING,
        .state = node->state,
        .attempts = node->attempts,
        .failures = run->steps[node->def->index].mirror.failures,
        .sent_at = node->sent_at,
        .deadline_at = node->deadline_at,
        .code = event->result->err.code,
        .free = event->result->free,
        .no_retry = event->result->no_retry,
        .retry_after = event->result->retry_after,
    };
    return before;
}

static void check_run_state(struct sim_run *run)
{
    enum run_state state = run_core_state(run->core);

    if (run->final_seen && state != run->final_state)
        sim_breach(run, "the run was %s for good and is %s", run_state_phase(run->final_state),
                   run_state_phase(state));
    if (!run_state_is_final(state) || run->final_seen)
        return;
    run->final_seen = true;
    run->final_state = state;
    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i].call != SIM_CALL_NONE)
            sim_breach(run, "the run is %s while the call of %s is in flight",
                       run_state_phase(state), run->workflow->steps[i]->path.ptr);
    if (run_core_next_wake(run->core) != 0)
        sim_breach(run, "the run is %s and a timer runs", run_state_phase(state));
}

static void record_result(struct sim_run *run, const struct sim_before *before, uint32_t index)
{
    struct sim_mirror *mirror = &run->steps[index].mirror;

    mirror->answered = run->next_serial;
    mirror->last_code = before->code;
    if (before->code != PL_OK && !before->free)
        mirror->failures++;
}

void sim_step_core(struct sim_run *run, struct run_event *event)
{
    struct sim_before before = look_before(run, event);
    struct run_update update = {0};
    struct run_node *node;
    enum pl_code code;

    trace_event(run, event);
    record_event(run, event, before.is_result);
    if (event->type == RUN_EV_DEFERRED)
        run->steps[event->node->def->index].mirror.attempts--;
    if (before.is_result)
        record_result(run, &before, event->node->def->index);
    if (run->started_at == 0 && (event->type == RUN_EV_START || event->type == RUN_EV_RECOVER))
        run->started_at = run->now;
    code = run_core_step(run->core, event, &update);
    if (code != PL_OK) {
        sim_breach(run, "%s: run_core_step gave %s", event_names[event->type], pl_code_text(code));
        return;
    }
    for (size_t i = 0; i < update.n_notes && !run->broken; i++)
        take_note(run, &update.notes[i]);
    while ((node = run_core_take_dirty(run->core)) != NULL)
        look_at(run, node);
    for (size_t i = 0; i < update.n_effects && !run->broken; i++)
        take_effect(run, &update.effects[i]);
    if (before.is_result && !run->broken)
        sim_judge_result(run, &before, event->node);
    check_run_state(run);
    if (run_core_dropped(run->core) != run->expect_dropped)
        sim_breach(run, "%u answers were dropped, %u were not awaited", run_core_dropped(run->core),
                   run->expect_dropped);
}

/* ---- everything ---- */

/* The earliest time at which something must happen to a step as it stands; 0: none. */
static pl_ms due_at(const struct run_node *node)
{
    const struct step_def *def = node->def;
    bool waits = node->state == NODE_HELD || node->state == NODE_BACKOFF;
    pl_ms due[4] = {waits ? node->wake_at : 0}, first = 0;

    if ((waits || node->state == NODE_CALLING) && node->sent_at && def->deadline)
        due[1] = node->sent_at + def->deadline;
    if (node->state == NODE_JOINING) {
        due[1] = def->deadline ? node->started_at + def->deadline : 0;
        due[2] = def->timeout ? node->started_at + def->timeout : 0;
        due[3] = def->join.deadline ? node->started_at + def->join.deadline : 0;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(due); i++)
        if (due[i] && (!first || due[i] < first))
            first = due[i];
    return first;
}

static void check_waits(struct sim_run *run, const struct run_node *node, unsigned *in_flight)
{
    const struct sim_step *step = &run->steps[node->def->index];
    bool calling = node->state == NODE_CALLING, stopping = node->state == NODE_STOPPING;
    pl_ms wake = run_core_next_wake(run->core), due = due_at(node);
    unsigned eval = node->state == NODE_DECIDING     ? 1u << RUN_EVAL_WHEN
                    : node->state == NODE_ACCEPTING  ? 1u << RUN_EVAL_ACCEPT
                    : node->state == NODE_DEFAULTING ? 1u << RUN_EVAL_DEFAULT
                                                     : 0;

    *in_flight += step->call != SIM_CALL_NONE;
    if ((step->call != SIM_CALL_NONE) != (calling || stopping))
        sim_breach(run, "%s: is %s with %s call", path_of(node), node_state_phase(node->state),
                   step->call != SIM_CALL_NONE ? "a" : "no");
    else if (step->call != SIM_CALL_NONE && step->aborted != stopping)
        sim_breach(run, "%s: is %s and its call was %saborted", path_of(node),
                   node_state_phase(node->state), step->aborted ? "" : "not ");
    if (eval && !(step->evals & eval))
        sim_breach(run, "%s: is %s and asked for nothing", path_of(node),
                   node_state_phase(node->state));
    if ((node->state == NODE_HELD || node->state == NODE_BACKOFF) && node->wake_at == 0)
        sim_breach(run, "%s: is %s for ever", path_of(node), node_state_phase(node->state));
    if (due && (wake == 0 || wake > due))
        sim_breach(run, "%s: is %s and nothing wakes it at %lld, next is %lld", path_of(node),
                   node_state_phase(node->state), (long long)due, (long long)wake);
}

static void check_progress(struct sim_run *run)
{
    struct run_progress p = run_core_progress(run->core);

    if (p.total !=
        p.pending + p.running + p.waiting + p.succeeded + p.failed + p.skipped + p.cancelled)
        sim_breach(run, "the progress does not add up: %u in all", p.total);
}

void sim_check_all(struct sim_run *run)
{
    const char *sound = run_core_check(run->core);
    unsigned in_flight = 0;

    if (sound)
        sim_breach(run, "run_core_check: %s", sound);
    for (size_t i = 0; i < run->n && !run->broken; i++)
        check_waits(run, run->nodes[i], &in_flight);
    if (!run->broken && in_flight != run_core_in_flight(run->core))
        sim_breach(run, "%u calls are in flight, the core says %u", in_flight,
                   run_core_in_flight(run->core));
    if (!run->broken)
        check_progress(run);
    if (run_core_state(run->core) == RUN_RUNNING && run->workflow->timeout > 0 &&
        (run_core_next_wake(run->core) == 0 ||
         run_core_next_wake(run->core) > run->started_at + run->workflow->timeout))
        sim_breach(run, "nothing wakes the run at its timeout");
}
