/* run_core.c - the run as a whole: events in, their consequences carried. Not its end (run_end),
 * the moves of one step (run_node, run_attempt, run_parallel) nor rows (run_rows, run_load). See
 * run_core.h. */
#include "service/run/run_core.h"

#include "base/limits.h"
#include "service/run/run_core_private.h"
#include "service/run/run_slots.h"
#include "service/run/run_warm.h"

#include <assert.h>
#include <stdlib.h>

/* ---- life ---- */

struct run_core *run_core_new(struct workflow *workflow, uint64_t seed)
{
    struct run_core *core = calloc(1, sizeof(*core));

    if (!core)
        return NULL;
    core->workflow = workflow_ref(workflow);
    pl_list_init(&core->over_frames);
    pl_list_init(&core->budgets.queue);
    core->budgets.run.limit = workflow->budget;
    core->budgets.any = workflow->budgeted;
    core->root = run_frame_create(core, workflow->root, NULL, 0, 0, NULL);
    if (!core->root) {
        run_core_destroy(&core);
        return NULL;
    }
    core->seed = seed;
    core->timeout = workflow->timeout;
    run_core_set_limits(core, 0, 0);
    core->ended_last = &core->ended_first;
    core->dirty = true;
    pl_list_init(&core->dirty_nodes);
    return core;
}

struct run_core *run_core_create(struct workflow *workflow, uint64_t seed, pl_ms created_at)
{
    struct run_core *core = run_core_new(workflow, seed);

    if (core)
        core->created_at = created_at;
    return core;
}

void run_core_set_timeout(struct run_core *core, pl_ms timeout)
{
    core->timeout = timeout;
}

void run_core_set_limits(struct run_core *core, size_t branches, size_t live)
{
    core->max_branches = branches ? branches : PL_LIMIT_BRANCHES;
    core->max_live = live ? live : PL_LIMIT_LIVE_STEPS;
}

void run_core_destroy(struct run_core **core_ptr)
{
    struct run_core *core = core_ptr ? *core_ptr : NULL;

    if (!core)
        return;
    *core_ptr = NULL;
    run_frames_destroy(core);
    pl_value_unref(&core->output);
    pl_value_unref(&core->error);
    pl_arena_destroy(&core->texts);
    workflow_unref(&core->workflow);
    free(core->effects);
    free(core->notes);
    free(core->timers);
    free(core);
}

/* ---- what comes out ---- */

/* Room for one more; NULL when memory is out. */
static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    size_t more = *capacity ? *capacity * 2 : 16;
    void *grown;

    if (count < *capacity)
        return array;
    grown = realloc(array, more * size);
    if (grown)
        *capacity = more;
    return grown;
}

void run_core_effect(struct run_core *core, enum run_effect_type type, struct run_node *node,
                     enum run_eval_what what)
{
    struct run_effect *effects =
        grow(core->effects, core->n_effects, &core->effects_capacity, sizeof(*effects));

    if (!effects) {
        core->out_of_memory = true;
        return;
    }
    core->effects = effects;
    if (type == RUN_FX_EVAL && node)
        node->evals++;
    effects[core->n_effects++] = (struct run_effect){.type = type, .node = node, .what = what};
}

void run_core_effect_of(struct run_core *core, struct run_node *node, enum run_eval_what what,
                        struct run_frame *frame)
{
    run_core_effect(core, RUN_FX_EVAL, node, what);
    if (!core->out_of_memory)
        core->effects[core->n_effects - 1].frame = frame;
}

void run_core_note(struct run_core *core, const char *type, struct run_node *node)
{
    struct run_note *notes =
        grow(core->notes, core->n_notes, &core->notes_capacity, sizeof(*notes));

    core->dirty = true;
    if (!notes) {
        core->out_of_memory = true;
        return;
    }
    core->notes = notes;
    notes[core->n_notes++] = (struct run_note){.seq = ++core->seq, .type = type, .node = node};
}

/* ---- consequences ---- */

static void release_dependents(struct run_core *core, const struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_dependents; i++) {
        struct run_node *dependent = run_node_at(node->frame, node->def->dependents[i]);

        dependent->open_deps--;
        if (node->state == NODE_SKIPPED)
            dependent->skipped_deps++;
        if (run_node_let_down(node))
            dependent->dependency_failed = true;
        run_node_try(core, dependent);
    }
}

/* Is nothing in its frame open any more, and this was the last end to be told? Then the frame is
 * over, before its owner decides about that. */
static bool ends_frame(struct run_core *core, struct run_frame *frame)
{
    frame->telling--;
    if (frame->open > 0 || frame->telling > 0 || frame->over || !frame->owner)
        return false;
    frame->over = true;
    frame->owner->inner->open--;
    if (!frame->kept)
        pl_list_append(&core->over_frames, &frame->over_link);
    return true;
}

/* The step around it (or the run) decides first: what it stops must not begin. */
static void node_ended(struct run_core *core, struct run_node *node)
{
    struct run_frame *frame = node->frame;
    bool over = ends_frame(core, frame);

    if (node->def->is_handler)
        run_node_handled(core, node->parent, node);
    else if (node->parent)
        run_parallel_branch_ended(core, node->parent, node);
    else if (frame->owner)
        run_kind_of(frame->owner->def->kind)->step_ended(core, frame, node);
    else
        run_end_top_step(core, node);
    release_dependents(core, node);
    if (over)
        run_kind_of(frame->owner->def->kind)->frame_over(core, frame);
}

void run_core_settle(struct run_core *core)
{
    struct run_node *node;

    while ((node = core->ended_first) && !core->out_of_memory) {
        core->ended_first = node->next;
        if (!core->ended_first)
            core->ended_last = &core->ended_first;
        node->next = NULL;
        node_ended(core, node);
    }
    if (core->open == 0 && !core->out_of_memory &&
        (core->state == RUN_RUNNING || core->state == RUN_ENDING))
        run_end_all_over(core);
}

/* ---- events ---- */

static void start(struct run_core *core)
{
    const struct step_body *root = core->root->body;

    core->started_at = core->now;
    run_end_move(core, RUN_RUNNING);
    if (core->timeout > 0)
        core->timeout_at = core->now + core->timeout;
    run_core_note(core, "run.started", NULL);
    for (size_t i = 0; i < root->n_top; i++)
        run_node_enter(core, run_node_at(core->root, root->top[i]));
    /* one that a user cancelled before the run began ends it before anything else does */
    for (size_t i = 0; i < root->n_top; i++)
        run_end_top_step(core, run_node_at(core->root, root->top[i]));
    for (size_t i = 0; i < root->n_top; i++)
        run_node_try(core, run_node_at(core->root, root->top[i]));
}

/* Goes on with what the process was waiting for when it died. */
static void recover_node(struct run_core *core, struct run_node *node)
{
    if (node->state == NODE_CALLING || node->state == NODE_STOPPING)
        run_attempt_recover(core, node);
    else if (node->state == NODE_HELD)
        run_attempt_begin(core, node);
    else if (node->state == NODE_DECIDING)
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_WHEN);
    else if (node->state == NODE_ACCEPTING)
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_ACCEPT);
    else if (node->state == NODE_DEFAULTING)
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_DEFAULT);
    else if (node->state == NODE_PREPARING)
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_BEGIN);
    else if (node->state == NODE_FINISHING && node->output)
        run_node_recover_finishing(core, node);
    else if (run_kind_of(node->def->kind)->recover)
        run_kind_of(node->def->kind)->recover(core, node);
}

/* Of somebody who died with the process. */
static bool waits_for_answer(const struct run_node *node)
{
    const enum node_state state = node->state;

    return state == NODE_CALLING || state == NODE_STOPPING || state == NODE_DECIDING ||
           state == NODE_ACCEPTING || state == NODE_DEFAULTING || state == NODE_PREPARING ||
           state == NODE_FINISHING || run_node_is_held_until_told(node);
}

static void recover_lost(struct run_core *core, struct run_node *node)
{
    bool lost = node->lost;

    node->lost = false;
    if (lost)
        recover_node(core, node);
}

/* What came due while nobody looked comes first: nothing is called again for which it is too late.
 */
static void recover(struct run_core *core)
{
    bool output = core->state == RUN_OUTPUT;

    if (core->state == RUN_QUEUED) {
        start(core);
        return;
    }
    for (struct run_frame *frame = core->root; frame; frame = run_frame_next(core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            frame->nodes[i].lost = waits_for_answer(&frame->nodes[i]);
    run_timers_fire(core);
    for (struct run_frame *frame = core->root; frame; frame = run_frame_next(core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            recover_lost(core, &frame->nodes[i]);
    if (output)
        run_core_effect(core, RUN_FX_EVAL, NULL, RUN_EVAL_OUTPUT);
}

static void evaluated(struct run_core *core, struct run_event *event)
{
    bool asked = !event->node || event->node->evals > 0;
    bool awaited =
        event->node ? run_node_evaluated(core, event->node, event) : run_end_evaluated(core, event);

    /* one that came after the step was stopped was asked for and is not wanted any more */
    core->dropped += !awaited && (!event->node || !asked);
    if (event->node && asked)
        event->node->evals--;
    pl_value_unref(&event->value);
    pl_value_unref(&event->state);
}

/* What follows from the result comes first: a branch that decides its join lets nobody begin. One
 * that a budget refused was no call. */
static void result(struct run_core *core, struct run_event *event)
{
    const bool sent = event->result->err.code != PL_ERR_BUDGET_EXCEEDED;

    core->dropped += !run_attempt_result(core, event->node, event->result);
    step_result_finish(event->result);
    if (core->warming == 0 || event->node->def->kind != STEP_LLM || !sent)
        return;
    run_core_settle(core);
    run_warm_answering(core, event->node);
}

static void answering(struct run_core *core, struct run_event *event)
{
    const enum node_state state = event->node->state;

    if (state == NODE_CALLING || state == NODE_STOPPING)
        run_warm_answering(core, event->node);
    else
        core->dropped++;
}

static void deferred(struct run_core *core, struct run_event *event)
{
    core->dropped += !run_attempt_deferred(core, event->node, event->until, event->reason);
}

static void answered(struct run_core *core, struct run_event *event)
{
    core->dropped += !run_human_answer(core, event->node, event);
    pl_value_unref(&event->value);
}

static void take(struct run_core *core, struct run_event *event)
{
    switch (event->type) {
    case RUN_EV_START:
        if (core->state == RUN_QUEUED)
            start(core);
        break;
    case RUN_EV_RECOVER:
        recover(core);
        break;
    case RUN_EV_TICK:
        run_timers_fire(core);
        break;
    case RUN_EV_EVALUATED:
        evaluated(core, event);
        break;
    case RUN_EV_RESULT:
        result(core, event);
        break;
    case RUN_EV_DEFERRED:
        deferred(core, event);
        break;
    case RUN_EV_ADMITTED:
        run_attempt_admitted(core, event->node);
        break;
    case RUN_EV_ANSWERING:
        answering(core, event);
        break;
    case RUN_EV_ANSWER:
        answered(core, event);
        break;
    case RUN_EV_CANCEL:
        run_end_cancel(core);
        break;
    case RUN_EV_CANCEL_STEP:
        if (!run_state_is_final(core->state))
            run_node_cancel_by_user(core, event->node);
        break;
    }
}

enum pl_code run_core_step(struct run_core *core, struct run_event *event,
                           struct run_update *ret_update)
{
    *ret_update = (struct run_update){0};
    core->now = event->now > 0 ? event->now : 1; /* 0 means "has not happened" */
    core->n_effects = core->n_notes = 0;
    if (!core->out_of_memory) {
        run_frames_reap(core, event->node);
        take(core, event);
        run_core_settle(core);
        run_budget_settle(core);
        run_warm_update(core);
        run_budget_settle(core);
        run_waiting_update(core);
    }
    if (core->out_of_memory)
        return PL_ERR_NO_MEMORY;
    *ret_update = (struct run_update){.effects = core->effects,
                                      .n_effects = core->n_effects,
                                      .notes = core->notes,
                                      .n_notes = core->n_notes};
    return PL_OK;
}

/* ---- looking at it ---- */

enum run_state run_core_state(const struct run_core *core)
{
    return core->state;
}

pl_ms run_core_next_wake(const struct run_core *core)
{
    pl_ms first = core->n_timers ? core->timers[1].at : 0;

    if (core->timeout_at && (first == 0 || core->timeout_at < first))
        return core->timeout_at;
    return first;
}

struct workflow *run_core_workflow(const struct run_core *core)
{
    return core->workflow;
}

struct run_node *run_core_node(const struct run_core *core, const struct step_def *def)
{
    assert(def->body == core->root->body);
    return run_node_at(core->root, def);
}

struct pl_value *run_core_final_state(const struct run_core *core)
{
    return core->root->state_after;
}

struct run_frame *run_core_root(const struct run_core *core)
{
    return core->root;
}

unsigned run_core_in_flight(const struct run_core *core)
{
    return core->in_flight;
}

unsigned run_core_dropped(const struct run_core *core)
{
    return core->dropped;
}

void run_core_set_trace(struct run_core *core, run_trace_fn trace, void *arg)
{
    core->trace = trace;
    core->trace_arg = arg;
}

/* A handler that nobody needs (so far) is not part of what is to be done. */
static bool is_needless(const struct run_node *node)
{
    return node->def->is_handler && !node->entered && (node->silent || !run_node_is_final(node));
}

static void count_progress(struct run_progress *progress, const struct run_node *node)
{
    progress->total++;
    if (node->state == NODE_SUCCEEDED)
        progress->succeeded++;
    else if (node->state == NODE_FAILED)
        progress->failed++;
    else if (node->state == NODE_SKIPPED)
        progress->skipped++;
    else if (node->state == NODE_CANCELLED)
        progress->cancelled++;
    else if (strcmp(node_state_status(node->state), "pending") == 0)
        progress->pending++;
    else if (node->state == NODE_ASKING)
        progress->waiting++;
    else
        progress->running++;
}

/* Those that have not begun have no step. */
static void count_items(struct run_progress *progress, const struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);

    progress->total += (unsigned)(slots->n - slots->begun);
    progress->pending += (unsigned)(slots->n - slots->begun);
}

void run_progress_add(struct run_progress *progress, const struct run_frame *frame)
{
    for (size_t i = 0; i < frame->n_nodes;) {
        const struct run_node *node = &frame->nodes[i];

        if (is_needless(node)) {
            i = node->end;
            continue;
        }
        if (!frame->owner || node->created_at)
            count_progress(progress, node);
        if (node->def->kind == STEP_MAP && node->state == NODE_JOINING)
            count_items(progress, node);
        i++;
    }
}

struct run_progress run_core_progress(const struct run_core *core)
{
    struct run_progress progress = core->gone;

    for (const struct run_frame *frame = core->root; frame; frame = run_frame_next(core, frame))
        run_progress_add(&progress, frame);
    return progress;
}
