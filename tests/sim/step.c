/* step.c - one event into the core, and everything that must be true after every event. Not the
 * judging of outcomes (reference.c). Called by world.c and disk.c. */
#include "tests/sim/judge.h"

static const char *const event_names[] = {
    [RUN_EV_START] = "START",         [RUN_EV_RECOVER] = "RECOVER",
    [RUN_EV_TICK] = "TICK",           [RUN_EV_EVALUATED] = "EVALUATED",
    [RUN_EV_RESULT] = "RESULT",       [RUN_EV_DEFERRED] = "DEFERRED",
    [RUN_EV_CANCEL] = "CANCEL",       [RUN_EV_CANCEL_STEP] = "CANCEL_STEP",
    [RUN_EV_ANSWER] = "ANSWER",       [RUN_EV_ADMITTED] = "ADMITTED",
    [RUN_EV_ANSWERING] = "ANSWERING",
};
static const char *const eval_names[] = {
    [RUN_EVAL_WHEN] = "when",     [RUN_EVAL_ACCEPT] = "accept", [RUN_EVAL_DEFAULT] = "default",
    [RUN_EVAL_OUTPUT] = "output", [RUN_EVAL_BEGIN] = "begin",   [RUN_EVAL_KEY] = "key",
    [RUN_EVAL_WRITES] = "writes", [RUN_EVAL_BODY] = "body",     [RUN_EVAL_TIMEOUT] = "timeout",
    [RUN_EVAL_UNTIL] = "until",
};
static const char *const effect_names[] = {
    [RUN_FX_EVAL] = "eval",   [RUN_FX_CALL] = "call",       [RUN_FX_ABORT] = "abort",
    [RUN_FX_LEAVE] = "leave", [RUN_FX_REFUSED] = "refused",
};

static const char *path_of(const struct run_node *node)
{
    return node ? node->path.ptr : "the run";
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

pl_ms sim_timeout_at(const struct sim_run *run)
{
    if (run->workflow->timeout == 0 || run->waiting.since)
        return 0;
    return run->started_at + run->workflow->timeout + run->waiting.waited;
}

/* Does it wait for people now, or no longer? Whether that is so is looked at elsewhere (look.c). */
static void note_waiting(struct sim_run *run)
{
    struct sim_waiting *waiting = &run->waiting;

    if (run->core->waiting == (waiting->since > 0))
        return;
    if (waiting->since)
        waiting->waited += run->now - waiting->since;
    waiting->since = run->core->waiting ? run->now : 0;
}

static void record_event(struct sim_run *run, const struct run_event *event,
                         const struct sim_step *step, bool counts)
{
    struct sim_entry *entry = add_entry(run, SIM_EVENT, step ? (int32_t)step->id : -1);

    run->events++;
    entry->event = event->type;
    entry->run_state = run_core_state(run->core);
    entry->timeout_at = sim_timeout_at(run);
    sim_mix(run, (uint64_t)event->type * 1000003u + (uint64_t)event->now);
    sim_mix(run, step ? step->key : 1u << 30);
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

static void take_start(struct sim_run *run, struct sim_step *step)
{
    if (step->mirror.started)
        sim_breach(run, "%s: began twice", step->path.ptr);
    step->mirror.started = true;
    add_entry(run, SIM_STARTED, (int32_t)step->id);
}

static void take_end(struct sim_run *run, struct sim_step *step, const struct run_node *node,
                     enum node_state state, const char *type)
{
    struct sim_entry *entry;

    if (step->mirror.final_noted)
        sim_breach(run, "%s: ended twice", step->path.ptr);
    if (node->state != state)
        sim_breach(run, "%s: noted %s and is %s", step->path.ptr, type,
                   node_state_phase(node->state));
    step->mirror.final_noted = true;
    entry = add_entry(run, SIM_FINAL, (int32_t)step->id);
    entry->state = state;
    entry->handled = node->handled;
    entry->reason = node->reason;
    entry->was_aborted = step->mirror.aborted;
}

static void take_note(struct sim_run *run, const struct run_note *note)
{
    enum node_state state;
    struct sim_step *step = note->node ? sim_of(run, note->node) : NULL;

    sim_trace(run, "    note %lld %s %s", (long long)note->seq, note->type, path_of(note->node));
    if (note->seq != run->last_seq + 1)
        sim_breach(run, "note %s has seq %lld after %lld", note->type, (long long)note->seq,
                   (long long)run->last_seq);
    run->last_seq = note->seq;
    for (const char *p = note->type; *p; p++)
        sim_mix(run, (uint64_t)*p);
    if (step && strcmp(note->type, "step.started") == 0)
        take_start(run, step);
    else if (step && strcmp(note->type, "step.retrying") == 0)
        step->retry_noted = run->events;
    else if (step && final_note(note->type, &state))
        take_end(run, step, note->node, state, note->type);
}

/* ---- nodes that changed ---- */

static bool own_time_is_up(const struct sim_run *run, const struct run_node *node)
{
    pl_ms passed = run->now - node->started_at;

    return (sim_timeout(node->def) > 0 && passed >= sim_timeout(node->def)) ||
           (node->def->deadline > 0 && passed >= node->def->deadline);
}

/* What is inside it is not wanted any more, or it is over. */
static void close_step(struct sim_run *run, struct sim_step *step, const struct run_node *node)
{
    struct sim_entry *entry = add_entry(run, SIM_CLOSED, (int32_t)step->id);

    step->mirror.closed = true;
    entry->state = node->state;
    entry->decided = node->join && node->join->decided;
    entry->by_deadline = entry->decided && node->join->by_deadline;
    entry->fixed = entry->decided && node->join->fixed;
    if (node->def->kind == STEP_PARALLEL && node->join && !entry->decided &&
        node->reason == CANCEL_NONE && !own_time_is_up(run, node))
        sim_breach(run, "%s: gave up before its time", path_of(node));
    entry->reason = node->reason;
}

static void check_branches_final(struct sim_run *run, const struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_children; i++) {
        const struct run_node *child = run_node_at(node->frame, node->def->children[i]);

        if (node->join && !node->def->join.drain && !node_state_is_final(child->state))
            sim_breach(run, "%s: is %s while its branch %s is %s", path_of(node),
                       node_state_phase(node->state), path_of(child),
                       node_state_phase(child->state));
    }
}

/* What a reader of the run must have been told by now. */
static void check_noted(struct sim_run *run, const struct sim_step *step,
                        const struct run_node *node, enum node_state was)
{
    bool again = was == NODE_CALLING && node->state == NODE_CALLING &&
                 node->attempts == step->mirror.attempts + 1 && step->deferred != run->events;

    if (node_state_is_final(node->state) && !step->mirror.final_noted && !node->silent)
        sim_breach(run, "%s: is %s and nobody was told", path_of(node),
                   node_state_phase(node->state));
    if ((node->attempts > 0 || node->join) && !step->mirror.started)
        sim_breach(run, "%s: began and nobody was told", path_of(node));
    if (((node->state == NODE_BACKOFF && was == NODE_CALLING) || again) &&
        step->retry_noted != run->events)
        sim_breach(run, "%s: is tried again and nobody was told", path_of(node));
}

/* Has it begun, and is what ran in it of no use any more? */
static bool is_closed(const struct run_node *node)
{
    switch ((int)node->state) {
    case NODE_WAITING:
    case NODE_DECIDING:
    case NODE_PREPARING:
    case NODE_JOINING:
    case NODE_SKIPPED:
        return false;
    case NODE_FINISHING:
        return node->output != NULL;
    default:
        return true;
    }
}

static void look_at(struct sim_run *run, const struct run_node *node)
{
    struct sim_step *step = sim_of(run, node);
    enum node_state was = step->mirror.state;
    const struct run_node *handler = run_node_at(node->frame, node->def->handler);

    if (was != node->state)
        sim_trace(run, "    %s: %s -> %s (attempts %u, tries %u%s%s)", path_of(node),
                  node_state_phase(was), node_state_phase(node->state), node->attempts, node->tries,
                  node->reason ? ", " : "", node->reason ? cancel_reason_text(node->reason) : "");
    sim_mix(run, step->key * 64 + node->state);
    if (node_state_is_final(was) && was != node->state)
        sim_breach(run, "%s: was %s for good and is %s", path_of(node), node_state_phase(was),
                   node_state_phase(node->state));
    step->mirror.state = node->state;
    if (was == NODE_WAITING && node->state != NODE_WAITING && node->state != NODE_CANCELLED &&
        !node->silent)
        sim_warm_began(run, step);
    if (node_state_is_final(node->state))
        sim_warm_ended(run, step);
    if (step->mirror.reason != CANCEL_NONE && node->reason != step->mirror.reason &&
        node->state != NODE_SUCCEEDED && node->state != NODE_FINISHING &&
        node->state != NODE_ACCEPTING) /* it came back all the same */
        sim_breach(run, "%s: was being stopped as %s, now as %s", path_of(node),
                   cancel_reason_text(step->mirror.reason), cancel_reason_text(node->reason));
    step->mirror.reason = node->reason;
    check_noted(run, step, node, was);
    if (node_state_is_final(node->state) && handler && !node_state_is_final(handler->state))
        sim_breach(run, "%s: is %s while its handler is not over", path_of(node),
                   node_state_phase(node->state));
    sim_take_row(run, step, node);
    if (node->state == NODE_SLEEPING)
        step->mirror.wakes_at = node->wake_at;
    if (node->state == NODE_ASKING)
        sim_tell_person(run, step);
    if (!step_kind_has_inside(node->def->kind))
        return;
    if (!step->mirror.closed && is_closed(node))
        close_step(run, step, node);
    if (node_state_is_final(node->state))
        check_branches_final(run, node);
}

/* ---- effects ---- */

static void check_dependencies(struct sim_run *run, const struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_deps; i++) {
        const struct run_node *dep = run_node_at(node->frame, node->def->deps[i]);

        if (!node_state_is_final(dep->state) || dep->state == NODE_CANCELLED ||
            (dep->state == NODE_FAILED && !dep->handled))
            sim_breach(run, "%s: is called while %s is %s", path_of(node), path_of(dep),
                       node_state_phase(dep->state));
    }
}

/* Each model has all attempts of its own. */
static void check_model(struct sim_run *run, struct sim_step *step, const struct run_node *node)
{
    struct sim_mirror *mirror = &step->mirror;

    if (node->fallback == mirror->fallback)
        return;
    if (node->fallback != mirror->fallback + 1)
        sim_breach(run, "%s: goes from model %u to %u", path_of(node), mirror->fallback,
                   node->fallback);
    mirror->fallback = node->fallback;
    mirror->failures = 0;
}

static void check_may_call(struct sim_run *run, struct sim_step *step, const struct run_node *node)
{
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
    check_model(run, step, node);
    if (step->mirror.failures >= node->def->retry.attempts)
        sim_breach(run, "%s: is called after %u failures of %u allowed", path_of(node),
                   step->mirror.failures, node->def->retry.attempts);
    check_dependencies(run, node);
    sim_needs_check(run, node);
    if (step->mirror.attempts == 0) {
        sim_judge_frame(run, node);
        sim_judge_state(run, node);
    }
    step->mirror.attempts = node->attempts;
    step->mirror.aborted = false;
}

static void take_effect(struct sim_run *run, const struct run_effect *effect)
{
    struct sim_step *step = effect->node ? sim_of(run, effect->node) : NULL;

    sim_trace(run, "    %s %s %s", effect_names[effect->type], path_of(effect->node),
              effect->type == RUN_FX_EVAL ? eval_names[effect->what] : "");
    sim_mix(run, (uint64_t)effect->type * 16 + effect->what);
    if (effect->type == RUN_FX_CALL) {
        check_may_call(run, step, effect->node);
    } else if (effect->type == RUN_FX_ABORT) {
        if (step->call == SIM_CALL_NONE || step->aborted)
            sim_breach(run, "%s: is aborted with no call to abort", path_of(effect->node));
        step->mirror.aborted = true;
    } else if (effect->type == RUN_FX_LEAVE) {
        sim_lane_check_leave(run, step);
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

static struct sim_before look_before(const struct sim_step *step, const struct run_event *event)
{
    struct sim_before before = {0};
    const struct run_node *node = event->node;

    if (event->type != RUN_EV_RESULT || !event->result)
        return before;
    before = (struct sim_before){
        .is_result = node->state == NODE_CALLING || node->state == NODE_STOPPING,
        .state = node->state,
        .attempts = node->attempts,
        .failures = step->mirror.failures,
        .fallback = node->fallback,
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
        if (run->steps[i]->call != SIM_CALL_NONE)
            sim_breach(run, "the run is %s while the call of %s is in flight",
                       run_state_phase(state), run->steps[i]->path.ptr);
    if (run_core_next_wake(run->core) != 0)
        sim_breach(run, "the run is %s and a timer runs", run_state_phase(state));
    sim_lane_check_empty(run);
}

/* What the event says, kept with the step. */
static void record_answer(struct sim_run *run, struct sim_step *step,
                          const struct sim_before *before, const struct run_event *event)
{
    struct sim_mirror *mirror = &step->mirror;

    if (event->type == RUN_EV_DEFERRED) {
        mirror->attempts--;
        step->deferred = run->events; /* and it may go on at once */
    }
    if (!before->is_result)
        return;
    mirror->answered = run->next_serial;
    mirror->last_code = before->code;
    if (before->code != PL_OK && !before->free)
        mirror->failures++;
    if (before->code == PL_OK)
        mirror->given = sim_hash_text(pl_value_text(event->result->output));
}

/* A branch of a vote has ended: is the vote over when, and only when, nothing can change it? */
static void judge_early(struct sim_run *run, const struct run_update *update)
{
    for (size_t i = 0; i < update->n_notes && !run->broken; i++) {
        const struct run_node *node = update->notes[i].node;
        const struct run_node *vote = node ? node->frame->owner : NULL;
        enum node_state state;

        if (vote && vote->def->kind == STEP_VOTE && vote->def->config.vote->stop_early &&
            node->frame->body->role == BODY_BRANCH && !node->parent && vote->join &&
            final_note(update->notes[i].type, &state) &&
            (vote->state == NODE_JOINING || vote->join->fixed))
            sim_judge_early(run, sim_of(run, vote), vote->state, vote->join->fixed);
    }
}

static void take_update(struct sim_run *run, const struct run_update *update)
{
    struct run_node *node;

    for (size_t i = 0; i < update->n_notes && !run->broken; i++)
        take_note(run, &update->notes[i]);
    while ((node = run_core_take_dirty(run->core)) != NULL)
        look_at(run, node);
    judge_early(run, update);
    for (size_t i = 0; i < update->n_effects && !run->broken; i++)
        take_effect(run, &update->effects[i]);
}

void sim_step_core(struct sim_run *run, struct run_event *event)
{
    struct sim_step *step = event->node ? sim_of(run, event->node) : NULL;
    struct sim_before before = look_before(step, event);
    struct run_update update = {0};
    enum pl_code code;

    trace_event(run, event);
    record_event(run, event, step, before.is_result);
    if (step)
        record_answer(run, step, &before, event);
    if (step)
        sim_warm_event(run, event);
    if (run->started_at == 0 && (event->type == RUN_EV_START || event->type == RUN_EV_RECOVER))
        run->started_at = run->now;
    code = run_core_step(run->core, event, &update);
    if (code != PL_OK) {
        sim_breach(run, "%s: run_core_step gave %s", event_names[event->type], pl_code_text(code));
        return;
    }
    note_waiting(run);
    sim_warm_idle(run);
    take_update(run, &update);
    if (before.is_result && !run->broken)
        sim_judge_result(run, &before, event->node);
    check_run_state(run);
    if (run_core_dropped(run->core) != run->expect_dropped)
        sim_breach(run, "%u answers were dropped, %u were not awaited", run_core_dropped(run->core),
                   run->expect_dropped);
}
