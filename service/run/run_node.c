/* run_node.c - the moves of one step: how it begins, how it ends, on_error, cancel. Not its
 * attempts (run_attempt) nor its branches (run_parallel). Called by run_core.c and by those two. */
#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_core_private.h"
#include "service/run/run_map.h"
#include "service/run/run_warm.h"

#include <assert.h>

/* ---- moving ---- */

void run_node_touch(struct run_core *core, struct run_node *node)
{
    if (!pl_list_linked(&node->dirty))
        pl_list_append(&core->dirty_nodes, &node->dirty);
}

static const char *ending_note(enum node_state state)
{
    if (state == NODE_SUCCEEDED)
        return "step.succeeded";
    if (state == NODE_FAILED)
        return "step.failed";
    return state == NODE_SKIPPED ? "step.skipped" : "step.cancelled";
}

/* Ends what was never entered, untold. */
static void end_silently(struct run_frame *frame, uint32_t from, uint32_t to,
                         const struct run_node *around)
{
    bool cancelled = around->state == NODE_CANCELLED;

    for (uint32_t i = from; i < to; i++) {
        struct run_node *node = &frame->nodes[i];

        if (run_node_is_final(node)) /* a user cancelled it */
            continue;
        node->state = cancelled ? NODE_CANCELLED : NODE_SKIPPED;
        node->reason = cancelled ? around->reason : CANCEL_NONE;
        node->silent = true;
    }
}

/* What stands inside a step that ended and never was entered ends with it. */
static void end_inside(const struct run_node *node)
{
    const struct step_def *def = node->def;
    struct run_frame *frame = node->frame;
    const struct run_node *handler = run_node_at(frame, def->handler);

    for (size_t i = 0; !node->started_at && i < def->n_children; i++)
        end_silently(frame, def->children[i]->slot, run_node_at(frame, def->children[i])->end,
                     node);
    if (handler && !handler->entered)
        end_silently(frame, def->handler->slot, handler->end, node);
}

static void end(struct run_core *core, struct run_node *node)
{
    node->ended_at = core->now;
    if (node->entered) {
        core->open--;
        node->frame->open--;
    }
    node->frame->telling++;
    node->failure = PL_OK;
    end_inside(node);
    if (run_kind_of(node->def->kind)->ended)
        run_kind_of(node->def->kind)->ended(core, node);
    run_core_note(core, ending_note(node->state), node);
    *core->ended_last = node;
    core->ended_last = &node->next;
}

static bool in_flight(enum node_state state)
{
    return state == NODE_CALLING || state == NODE_STOPPING;
}

void run_node_move(struct run_core *core, struct run_node *node, enum node_state to)
{
    enum node_state from = node->state;

    assert(node_state_allows(from, to));
    if (run_node_is_held_until_told(node) && to != NODE_CALLING && !node->lost &&
        !run_budget_is_reason(node->held_reason))
        run_core_effect(core, RUN_FX_LEAVE, node, 0);
    if (core->trace)
        core->trace(core->trace_arg, node, node_state_phase(from), node_state_phase(to));
    core->in_flight += (unsigned)in_flight(to) - (unsigned)in_flight(from);
    run_waiting_moved(core, from, to);
    node->state = to;
    if (from == NODE_JOINING)
        run_warm_left(core, node);
    if (!node->created_at)
        node->created_at = core->now;
    if (to != NODE_HELD && to != NODE_BACKOFF && to != NODE_ASKING && to != NODE_SLEEPING) {
        node->wake_at = 0;
        node->held_reason = NULL;
    }
    if (from == NODE_HELD)
        node->lost = false; /* it waits for nobody who died with the process any more */
    if (from == NODE_HELD || node_state_is_final(to))
        run_budget_leave(core, node);
    run_node_touch(core, node);
    run_timers_update(core, node);
    if (run_node_is_final(node))
        end(core, node);
}

void run_node_set_error(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    if (!error)
        core->out_of_memory = true;
    pl_value_unref(&node->error);
    node->error = error;
}

static void clear_error(struct run_node *node)
{
    pl_value_unref(&node->error);
    node->failure = PL_OK;
}

static void set_output(struct run_node *node, struct pl_value *output)
{
    pl_value_unref(&node->output);
    node->output = output;
}

/* ---- beginning ---- */

bool run_node_let_down(const struct run_node *node)
{
    return (node->state == NODE_FAILED && !node->handled) || node->state == NODE_CANCELLED ||
           (node->state == NODE_SKIPPED && node->dependency_failed);
}

void run_node_enter(struct run_core *core, struct run_node *node)
{
    node->entered = true;
    if (run_node_is_final(node))
        return;
    core->open++;
    node->frame->open++;
}

static void begin(struct run_core *core, struct run_node *node)
{
    run_kind_of(node->def->kind)->begin(core, node);
}

void run_node_try(struct run_core *core, struct run_node *node)
{
    const struct step_def *def = node->def;

    if (!node->entered || node->state != NODE_WAITING || node->open_deps > 0 ||
        run_warm_holds(node))
        return;
    if (node->dependency_failed ||
        (def->n_deps > 0 && node->skipped_deps == def->n_deps && !def->when)) {
        run_node_move(core, node, NODE_SKIPPED);
    } else if (def->when) {
        run_node_move(core, node, NODE_DECIDING);
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_WHEN);
    } else {
        begin(core, node);
    }
}

/* ---- success ---- */

bool run_node_is_branch(const struct run_node *node)
{
    if (node->def->is_handler)
        return false;
    return node->parent || (node->frame->owner && node->frame->body->role == BODY_BRANCH);
}

bool run_node_is_judged(const struct run_node *node)
{
    const struct run_node *up = run_node_is_branch(node) ? run_node_up(node) : NULL;

    return up && up->def->join.accept && up->state == NODE_JOINING;
}

/* The key of a vote's branch stands among its writes, under a name that no channel has: what it
 * remembers (memo) is its own kind's. */
static const struct pl_str key_name = {.ptr = ".key", .len = 4};

bool run_node_vote_key(const struct run_node *node, struct pl_str *ret_key)
{
    return node->writes && json_get(pl_value_text(node->writes), key_name, ret_key);
}

/* The branch of a vote that is to be counted needs its key. */
static bool wants_key(const struct run_node *node)
{
    const struct run_node *up = run_node_is_branch(node) ? run_node_up(node) : NULL;
    const struct vote_config *vote;
    struct pl_str key;

    if (!up || up->def->kind != STEP_VOTE || up->state != NODE_JOINING ||
        run_node_vote_key(node, &key))
        return false;
    vote = up->def->config.vote;
    return vote->key || vote->score;
}

/* Does anything go on that could see what it writes? Not when what is around it is being stopped,
 * nor for a branch whose join was decided without it. */
static bool is_looked_at(const struct run_core *core, const struct run_node *node)
{
    const struct run_node *up = run_node_up(node);

    if (!up)
        return core->state == RUN_RUNNING;
    if (node->def->is_handler)
        return up->state == NODE_HANDLING;
    if (up->state == NODE_CLOSING && !run_node_is_branch(node)) /* a judge, a group of collapse */
        return up->reason == CANCEL_NONE && up->failure == PL_OK;
    return up->state == NODE_JOINING;
}

static bool has_written(const struct run_node *node)
{
    struct pl_str value;

    return node->writes &&
           json_get(pl_value_text(node->writes), node->def->writes[0].channel->name, &value);
}

static void ask_finishing(struct run_core *core, struct run_node *node, enum run_eval_what what)
{
    run_node_move(core, node, NODE_FINISHING);
    run_core_effect(core, RUN_FX_EVAL, node, what);
}

/* It has its output, and what follows from it is made, one thing after the other. */
static void finish(struct run_core *core, struct run_node *node)
{
    if (wants_key(node))
        ask_finishing(core, node, RUN_EVAL_KEY);
    else if (node->def->n_writes && !has_written(node) && is_looked_at(core, node))
        ask_finishing(core, node, RUN_EVAL_WRITES);
    else
        run_node_move(core, node, NODE_SUCCEEDED);
}

/* Why the step around it cannot take this output; NULL: it can. */
static const char *refused_around(const struct run_node *node, const struct pl_value *output)
{
    const struct run_node *owner = node->parent ? NULL : node->frame->owner;

    if (!owner || owner->def->kind != STEP_MAP || node->frame->body->role != BODY_BRANCH)
        return NULL;
    return run_map_refuses(owner, node->frame->number, pl_value_text(output));
}

void run_node_succeed(struct run_core *core, struct run_node *node, struct pl_value *output)
{
    const char *refused = refused_around(node, output);

    if (json_is_deeper(pl_value_text(output), PL_LIMIT_VALUE_DEPTH)) {
        pl_value_unref(&output);
        run_node_fail_with(core, node, PL_ERR_TOO_LARGE,
                           "its output is nested over 200 deep; a value that holds the one before "
                           "grows with every turn");
        return;
    }
    if (refused && node->reason != CANCEL_NONE) { /* it was stopped, and this is of no use */
        pl_value_unref(&output);
        run_node_move(core, node, NODE_CANCELLED);
        return;
    }
    if (refused) {
        pl_value_unref(&output);
        run_node_fail_with(core, node, PL_ERR_INVALID_OUTPUT, refused);
        return;
    }
    clear_error(node);
    set_output(node, output);
    node->reason = CANCEL_NONE;
    if (run_node_is_judged(node)) {
        run_node_move(core, node, NODE_ACCEPTING);
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_ACCEPT);
    } else {
        finish(core, node);
    }
}

/* ---- failure ---- */

static void handle(struct run_core *core, struct run_node *node)
{
    struct run_node *handler = run_node_at(node->frame, node->def->handler);

    run_node_move(core, node, NODE_HANDLING);
    run_node_enter(core, handler);
    if (run_node_is_final(handler)) /* a user cancelled it before it was needed */
        run_node_handled(core, node, handler);
    else
        run_node_try(core, handler);
}

void run_node_fail(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    run_node_set_error(core, node, error);
    node->failure = run_problem_code(error);
    switch (node->def->on_error) {
    case ON_ERROR_FAIL:
        break;
    case ON_ERROR_CONTINUE:
        node->handled = true;
        set_output(node, pl_value_null());
        break;
    case ON_ERROR_DEFAULT:
        run_node_move(core, node, NODE_DEFAULTING);
        run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_DEFAULT);
        return;
    case ON_ERROR_STEP:
        handle(core, node);
        return;
    }
    run_node_move(core, node, NODE_FAILED);
}

static struct pl_value *make_error(const struct run_node *node, enum pl_code code,
                                   const char *detail)
{
    return run_problem_make(
        &(struct run_problem){.code = code, .detail = detail, .attempts = node->attempts});
}

void run_node_fail_with(struct run_core *core, struct run_node *node, enum pl_code code,
                        const char *detail)
{
    run_node_fail(core, node, make_error(node, code, detail));
}

/* It failed with `error`, which is taken, and nothing handles that. */
static void fail_for_good(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    run_node_set_error(core, node, error);
    run_node_move(core, node, NODE_FAILED);
}

/* Handling its error failed as well: error is taken, and the first one goes with it. */
static void fail_again(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    struct pl_value *both = error ? run_problem_after(error, node->error) : NULL;

    pl_value_unref(&error);
    fail_for_good(core, node, both);
}

void run_node_handled(struct run_core *core, struct run_node *node, struct run_node *handler)
{
    if (node->state == NODE_CLOSING)
        run_node_try_close(core, node);
    if (node->state != NODE_HANDLING)
        return;
    if (handler->state == NODE_SUCCEEDED || handler->handled) {
        node->handled = true;
        set_output(node, pl_value_ref(handler->output));
    } else if (handler->state == NODE_FAILED) {
        fail_again(core, node, pl_value_ref(handler->error));
        return;
    }
    run_node_move(core, node, NODE_FAILED);
}

/* ---- evaluations ---- */

static void decided(struct run_core *core, struct run_node *node, const struct run_event *event)
{
    if (event->err.code != PL_OK)
        run_node_fail_with(core, node, event->err.code, event->err.message);
    else if (event->truth)
        begin(core, node);
    else
        run_node_move(core, node, NODE_SKIPPED);
}

static void judged(struct run_core *core, struct run_node *node, const struct run_event *event)
{
    if (event->err.code != PL_OK)
        fail_for_good(core, node, make_error(node, event->err.code, event->err.message));
    else if (event->truth)
        finish(core, node);
    else
        fail_for_good(
            core, node,
            make_error(node, PL_ERR_NOT_ACCEPTED, "the join's `accept` is false for its result"));
}

/* The writes with the key among them; either may be missing. NULL: no memory. */
static struct pl_value *with_key(const struct pl_str *key, const struct pl_value *writes)
{
    struct pl_value *value;
    struct json_iter it;
    struct pl_buf out;

    pl_buf_init(&out, SIZE_MAX / 2);
    json_object_begin(&out);
    if (key)
        json_add_raw(&out, key_name.ptr, *key);
    for (json_iter_init(&it, pl_value_text(writes)); writes && json_iter_next(&it);) {
        json_comma(&out);
        pl_buf_str(&out, it.key);
        pl_buf_char(&out, ':');
        pl_buf_str(&out, it.value);
    }
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* Its key or its writes were made, or could not be. The key comes first. */
static void finished(struct run_core *core, struct run_node *node, struct run_event *event)
{
    struct pl_str key = pl_value_text(event->value);
    struct pl_value *made = NULL;

    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
        return;
    }
    if (event->what == RUN_EVAL_KEY)
        made = with_key(&key, NULL);
    else if (run_node_vote_key(node, &key))
        made = with_key(&key, event->value);
    else
        made = event->value ? pl_value_ref(event->value) : pl_value_null();
    if (!made) {
        core->out_of_memory = true;
        return;
    }
    pl_value_unref(&node->writes);
    node->writes = made;
    if (event->what == RUN_EVAL_KEY)
        finish(core, node);
    else
        run_node_move(core, node, NODE_SUCCEEDED);
}

/* After a crash: what had been asked for is asked for again. */
void run_node_recover_finishing(struct run_core *core, struct run_node *node)
{
    finish(core, node);
}

static void defaulted(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->err.code != PL_OK) {
        fail_again(core, node, make_error(node, event->err.code, event->err.message));
        return;
    }
    node->handled = true;
    set_output(node, event->value ? event->value : pl_value_null());
    event->value = NULL;
    run_node_move(core, node, NODE_FAILED);
}

bool run_node_evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->what == RUN_EVAL_WHEN && node->state == NODE_DECIDING)
        decided(core, node, event);
    else if (event->what == RUN_EVAL_ACCEPT && node->state == NODE_ACCEPTING)
        judged(core, node, event);
    else if (event->what == RUN_EVAL_DEFAULT && node->state == NODE_DEFAULTING)
        defaulted(core, node, event);
    else if ((event->what == RUN_EVAL_KEY || event->what == RUN_EVAL_WRITES) &&
             node->state == NODE_FINISHING && node->output)
        finished(core, node, event);
    else if (run_kind_of(node->def->kind)->evaluated)
        return run_kind_of(node->def->kind)->evaluated(core, node, event);
    else
        return false;
    return true;
}

/* ---- closing ---- */

bool run_node_is_open_inside(const struct run_node *node)
{
    const struct run_node *handler = run_node_at(node->frame, node->def->handler);

    return node->open_children > 0 || (node->inner && node->inner->open > 0) ||
           (handler && handler->entered && !run_node_is_final(handler));
}

void run_node_try_close(struct run_core *core, struct run_node *node)
{
    if (run_node_is_open_inside(node))
        return;
    if (node->reason != CANCEL_NONE)
        run_node_move(core, node, NODE_CANCELLED);
    else
        run_kind_of(node->def->kind)->closed(core, node);
}

/* ---- cancel ---- */

/* What was decided is void: the step as a whole is stopped. */
static void void_join(struct run_node *node)
{
    struct node_join *join = node->join;

    if (!join)
        return;
    if (node->inner && join->decided) /* those that never began were counted with the decision */
        join->cancelled -= (unsigned)(run_slots_of(node)->n - run_slots_of(node)->begun);
    join->fixed = false;
    join->decided = join->satisfied = join->by_deadline = false;
    join->code = PL_OK;
    join->winner = -1;
}

static bool has_result(const struct run_node *node)
{
    return node->state == NODE_ACCEPTING || (node->state == NODE_FINISHING && node->output);
}

/* What is made of its result is still of use. */
static bool is_awaited(const struct run_core *core, const struct run_node *node)
{
    return node->state == NODE_ACCEPTING ? run_node_is_judged(node) : is_looked_at(core, node);
}

static void cancel_one(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    if (has_result(node)) {          /* it was paid for */
        if (!is_awaited(core, node)) /* else the join is open, which must not be passed by */
            run_node_move(core, node, NODE_SUCCEEDED);
        return;
    }
    if (node->reason != CANCEL_NONE) /* it is being stopped: the first reason stays */
        return;
    node->reason = reason;
    clear_error(node);
    if (node->state == NODE_STOPPING) {
        run_node_touch(core, node);
    } else if (node->state == NODE_CALLING) {
        run_attempt_abort(core, node);
    } else if (node->state == NODE_JOINING || node->state == NODE_HANDLING ||
               node->state == NODE_CLOSING) {
        if (node->state != NODE_CLOSING)
            run_node_move(core, node, NODE_CLOSING); /* ended by the last one inside it */
        void_join(node);
        run_node_touch(core, node);
        run_timers_update(core, node); /* its deadline is of no use any more */
    } else {
        run_node_move(core, node, NODE_CANCELLED);
    }
}

/* What it owns, also frames that are over: something deeper may have been left to drain in them. A
 * frame that was stopped stays in the list: freeing comes later. */
static void cancel_frames(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    struct pl_list *next;

    for (struct pl_list *link = node->inner ? node->inner->frames.next : NULL;
         link && link != &node->inner->frames; link = next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        next = link->next;
        run_frame_cancel(core, frame, reason);
    }
}

/* A step stands before those inside it, so what is inside is stopped before its end can close it.
 */
void run_node_cancel_range(struct run_core *core, struct run_frame *frame, uint32_t from,
                           uint32_t to, enum cancel_reason reason)
{
    for (uint32_t i = from; i < to; i++) {
        struct run_node *node = &frame->nodes[i];

        if (node->entered && !run_node_is_final(node))
            cancel_one(core, node, reason);
        cancel_frames(core, node, reason); /* also what one that is over had left to drain */
    }
}

void run_node_cancel_inside(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    if (run_kind_of(node->def->kind)->stop)
        run_kind_of(node->def->kind)->stop(core, node, reason);
    else
        cancel_frames(core, node, reason);
}

void run_node_cancel_by_user(struct run_core *core, struct run_node *node)
{
    if (run_node_is_final(node))
        return;
    if (node->entered)
        run_node_cancel_range(core, node->frame, node->def->slot, node->end, CANCEL_USER);
    else
        cancel_one(core, node, CANCEL_USER);
}
