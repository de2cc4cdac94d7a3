/* run_exec.c - activations: events in, effects carried out, one batch a turn. Not the calls
 * themselves (run_calls), nor values (run_values), nor rows (run_notes). Called by the engine and
 * by loops.
 *
 * When an exec may be freed: its end is durable (or it was dropped), no call of it lives, no commit
 * is on its way back. Every path that makes one of these true ends in exec_maybe_free. */
#include "service/run/run_exec.h"

#include "base/log.h"
#include "base/map.h"
#include "service/events/bus.h"
#include "service/pool.h"
#include "service/run/run_budget.h"
#include "service/run/run_eval.h"
#include "service/run/run_state.h"
#include "service/steps/mcp_step.h"
#include "service/tape/tape.h"

#include <stdlib.h>

static void exec_maybe_free(struct run_exec *exec);
static void exec_abandon(struct run_exec *exec);

/* ---- creation ---- */

static bool exec_copy_row(struct run_exec *exec, const struct store_run *row)
{
    struct pl_arena *arena = exec->arena;

    exec->row = (struct store_run){
        .tenant = pl_arena_str(arena, row->tenant),
        .id = pl_arena_str(arena, row->id),
        .definition = pl_str(exec->workflow->hash),
        .workflow_name =
            row->workflow_name.len ? pl_arena_str(arena, row->workflow_name) : exec->workflow->name,
        .workflow_version = row->workflow_version,
        .input = pl_value_ref(row->input),
        .thread = pl_arena_str(arena, row->thread),
        .metadata = pl_arena_str(arena, row->metadata),
        .options = pl_arena_str(arena, row->options),
        .created_at = row->created_at,
        .again = exec->loaded,
    };
    return !pl_arena_failed(arena);
}

static bool exec_copy_key(struct run_exec *exec, const struct run_exec_options *options)
{
    exec->key_route = pl_arena_str(exec->arena, options->key_route);
    exec->key = pl_arena_str(exec->arena, options->key);
    exec->key_fingerprint = pl_arena_str(exec->arena, options->key_fingerprint);
    return !pl_arena_failed(exec->arena);
}

static void exec_free(struct run_exec *exec)
{
    run_notes_publish(exec, &exec->notices, false);
    run_eval_drop_kept(exec);
    store_batch_destroy(&exec->batch);
    run_core_destroy(&exec->core);
    workflow_unref(&exec->workflow);
    pl_value_unref(&exec->row.input);
    pl_value_unref(&exec->memory);
    pl_value_unref(&exec->left);
    pl_arena_destroy(&exec->arena);
    pl_arena_destroy(&exec->scratch);
    free(exec->queue);
    free(exec);
}

static void exec_deliver_start(struct loop *loop, struct loop_mail *mail);
static void exec_deliver_turn(struct loop *loop, struct loop_mail *mail);
static void exec_commit_deliver(struct loop *loop, struct loop_mail *mail);
static void exec_fire(struct loop *loop, struct loop_timer *timer);

struct run_exec *run_exec_create(const struct run_exec_options *options)
{
    struct run_exec *exec = calloc(1, sizeof *exec);

    if (!exec)
        return NULL;
    exec->env = options->env;
    exec->home = options->home;
    exec->workflow = workflow_ref(options->workflow);
    exec->loaded = exec->recorded = options->loaded;
    exec->cancel = options->cancel;
    exec->queued = options->row->thread.len > 0;
    exec->on_end = options->on_end;
    exec->on_recorded = options->on_recorded;
    exec->arg = options->arg;
    exec->start_mail.deliver = exec_deliver_start;
    exec->turn_mail.deliver = exec_deliver_turn;
    exec->commit.mail.deliver = exec_commit_deliver;
    pl_list_init(&exec->commit.notices);
    pl_list_init(&exec->commit.answers);
    exec->timer.fire = exec_fire;
    pl_list_init(&exec->inbox);
    pl_list_init(&exec->flying);
    pl_list_init(&exec->holds);
    pl_list_init(&exec->admitted);
    pl_list_init(&exec->to_start);
    pl_list_init(&exec->waiting);
    pl_list_init(&exec->taped);
    run_replay_init(exec);
    pl_list_init(&exec->notices);
    pl_list_init(&exec->answers_in);
    pl_list_init(&exec->answers);
    exec->arena = pl_arena_create(0);
    exec->scratch = pl_arena_create(0);
    exec->deltas = options->deltas;
    if (!exec->arena || !exec->scratch || !exec_copy_row(exec, options->row) ||
        !exec_copy_key(exec, options)) {
        exec_free(exec);
        return NULL;
    }
    exec->core = options->core;
    if (exec->env->tape && tape_records(exec->env->tape))
        run_core_watch_refusals(exec->core);
    exec->queue_key = pl_hash(exec->row.id);
    return exec;
}

void run_exec_discard(struct run_exec **exec)
{
    if (*exec)
        exec_free(*exec);
    *exec = NULL;
}

void run_exec_post_start(struct run_exec *exec)
{
    loop_post(exec->home, &exec->start_mail);
}

/* ---- feeding the core ---- */

bool run_exec_feed(struct run_exec *exec, const struct run_event *event)
{
    if (exec->queue_len == exec->queue_cap) {
        size_t cap = exec->queue_cap ? exec->queue_cap * 2 : 16;
        struct run_event *grown = realloc(exec->queue, cap * sizeof *grown);

        if (!grown)
            return false;
        exec->queue = grown;
        exec->queue_cap = cap;
    }
    exec->queue[exec->queue_len++] = *event;
    return true;
}

static void exec_feed_type(struct run_exec *exec, enum run_event_type type)
{
    struct run_event event = {.type = type, .now = loop_now(exec->home)};

    if (!run_exec_feed(exec, &event))
        run_exec_no_memory(exec);
}

static void exec_effect(struct run_exec *exec, const struct run_effect *effect)
{
    struct run_event answer;

    switch (effect->type) {
    case RUN_FX_EVAL:
        if (!run_eval_effect(exec, effect, &answer))
            break;
        if (!run_exec_feed(exec, &answer)) {
            pl_value_unref(&answer.value);
            pl_value_unref(&answer.state);
            run_exec_no_memory(exec);
        }
        break;
    case RUN_FX_CALL:
        run_calls_make(exec, effect->node);
        break;
    case RUN_FX_ABORT:
        run_calls_abort(exec, effect->node);
        break;
    case RUN_FX_LEAVE:
        run_admit_leave(exec, effect->node);
        break;
    case RUN_FX_REFUSED:
        run_tape_refused(exec, effect->node);
        break;
    }
}

/* An agent that is over leaves no session with an MCP server behind. */
static void end_sessions(struct run_exec *exec, const struct run_node *node)
{
    if (node && node->def->kind == STEP_AGENT && node->def->config.agent->n_mcp &&
        node_state_is_final(node->state))
        mcp_step_end_sessions(&exec->env->steps, exec->home, exec->row.id, node);
}

/* One event through the core. Notes are rendered before effects are carried out: they show the
 * state as the event left it. Any of them may run out of memory: then no call may be made any more,
 * for nobody would take it home. */
static bool exec_step(struct run_exec *exec, struct run_event *event)
{
    struct run_update update;

    if (run_core_step(exec->core, event, &update) != PL_OK)
        return false;
    for (size_t i = 0; i < update.n_notes; i++)
        run_notes_add(exec, &update.notes[i]);
    for (size_t i = 0; i < update.n_notes; i++)
        end_sessions(exec, update.notes[i].node);
    for (size_t i = 0; i < update.n_effects && !exec->dropped; i++)
        exec_effect(exec, &update.effects[i]);
    return true;
}

/* Feeds what is queued, and what answers it, until nothing is left. A result lives in its call,
 * which is freed once the core has taken what it wants. After a drop the rest is only freed. */
static void exec_drain_queue(struct run_exec *exec)
{
    while (exec->queue_at < exec->queue_len) {
        struct run_event event = exec->queue[exec->queue_at++];

        exec->tick_waits &= event.type != RUN_EV_TICK;
        if (exec->dropped) {
            pl_value_unref(&event.value);
            pl_value_unref(&event.state);
        } else if (!exec_step(exec, &event)) {
            run_exec_no_memory(exec);
        }
        if (event.type == RUN_EV_RESULT)
            run_calls_put(pl_container_of(event.result, struct exec_call, call.result));
    }
    exec->queue_len = exec->queue_at = 0;
}

/* ---- recording ---- */

/* The writer thread: takes the news home. */
static void exec_commit_done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct exec_commit *commit = arg;

    if (code != PL_OK)
        commit->err = *err;
    loop_post(commit->exec->home, &commit->mail);
}

/* Whoever waits for its end does not wait for values that nobody wants. */
static void exec_is_final(struct run_exec *exec)
{
    exec->final_submitted = true;
    run_eval_withdraw(exec);
}

/* Submits what has gathered, unless a batch of this run is on its way already: then it goes on
 * gathering until that one is durable. The writer commits one transaction after the other, so
 * nothing is durable later for it, and a run whose steps end faster than the disk turns writes its
 * rows once, not at every turn. */
static void exec_submit(struct run_exec *exec)
{
    struct exec_commit *commit = &exec->commit;

    if (!exec->batch || exec->commits_open)
        return;
    exec->submitted++;
    if (run_state_is_final(run_core_state(exec->core)))
        exec_is_final(exec);
    commit->exec = exec;
    commit->number = exec->submitted;
    for (struct pl_list *link; (link = pl_list_pop(&exec->notices));)
        pl_list_append(&commit->notices, link);
    run_answers_submit(exec, commit);
    run_live_submit(exec, commit);
    exec->commits_open++;
    store_submit(exec->env->store, &exec->batch, exec_commit_done, commit);
}

static void exec_tell_end(struct run_exec *exec)
{
    struct store_run row = {0};
    struct engine_end end = {.run_id = exec->row.id.ptr, .store_err = exec->store_err};

    run_core_run_row(exec->core, exec->scratch, &row);
    end.status = exec->dropped ? PL_STR("interrupted") : row.status;
    end.output = row.output;
    end.error = row.error;
    if (exec->on_end)
        exec->on_end(exec->arg, &end);
    exec->on_end = NULL;
}

static void exec_commit_failed(struct run_exec *exec, const struct pl_err *err)
{
    struct log_context context = {.run = exec->row.id.ptr};

    log_error(&context, "RUN-NOT-RECORDED", "%s", err->message);
    exec->store_err = *err;
    exec->final_submitted = false;
    exec_abandon(exec);
}

/* Before anything of the run is shown. */
static void exec_tell_recorded(struct run_exec *exec)
{
    if (!exec->recorded && exec->on_recorded)
        exec->on_recorded(exec->arg, exec->row.id.ptr);
    exec->recorded = true;
}

static void exec_commit_durable(struct run_exec *exec, uint64_t number)
{
    exec->final_durable = exec->final_submitted;
    run_calls_release(exec, number); /* after a drop none waits */
    exec_submit(exec);
}

static void exec_commit_deliver(struct loop *loop, struct loop_mail *mail)
{
    struct exec_commit *commit = pl_container_of(mail, struct exec_commit, mail);
    struct run_exec *exec = commit->exec;
    bool ok = commit->err.code == PL_OK;

    (void)loop;
    exec->commits_open--;
    if (ok)
        exec_tell_recorded(exec);
    run_notes_publish(exec, &commit->notices, ok);
    run_answers_told(&commit->answers, ok ? NULL : &commit->err);
    if (ok) {
        atomic_store(&exec->durable, commit->number);
        run_live_durable(exec, commit);
    }
    if (ok)
        exec_commit_durable(exec, commit->number);
    else
        exec_commit_failed(exec, &commit->err);
    exec_maybe_free(exec);
}

/* ---- the activation ---- */

static void exec_set_timer(struct run_exec *exec)
{
    pl_ms wake = run_core_next_wake(exec->core);

    if (wake == exec->timer_at || run_replay_is_on(exec))
        return;
    exec->timer_at = wake;
    if (wake)
        loop_timer_set(exec->home, &exec->timer, wake);
    else
        loop_timer_clear(exec->home, &exec->timer);
}

static void exec_tell_idle(struct run_exec *exec, bool idle)
{
    if (idle != exec->idle)
        exec->env->idle(exec->env->engine, idle);
    exec->idle = idle;
}

/* Answers of people and words of lanes, one at a time: what one leads to may take away the node of
 * the next. */
static bool exec_next_word(struct run_exec *exec)
{
    struct run_event answer;

    if (run_replay_is_on(exec))
        return run_replay_word(exec);
    if (!run_answers_next(exec, &answer) && !run_admit_next(exec, &answer))
        return false;
    if (answer.type == RUN_EV_ANSWER)
        run_tape_answer(exec, &answer);
    if (!run_exec_feed(exec, &answer)) {
        pl_value_unref(&answer.value);
        run_exec_no_memory(exec);
    }
    return true;
}

static void exec_feed_words(struct run_exec *exec)
{
    run_tape_then(exec);
    while (!exec->dropped && exec_next_word(exec)) {
        exec_drain_queue(exec);
        run_tape_then(exec);
    }
    run_tape_turn(exec);
}

static void exec_activate(struct run_exec *exec)
{
    if (exec->cancel)
        exec_feed_type(exec, RUN_EV_CANCEL);
    run_calls_feed_inbox(exec);
    if (exec->tick) {
        run_tape_tick(exec);
        exec_feed_type(exec, RUN_EV_TICK);
    }
    exec->cancel = exec->tick = false;
    exec_drain_queue(exec);
    exec_feed_words(exec);
    if (!exec->dropped)
        run_notes_rows(exec);
    /* what was rendered or decided without memory is neither recorded nor sent */
    if (pl_arena_failed(exec->scratch))
        run_exec_no_memory(exec);
    if (!exec->dropped) {
        run_calls_hold_intents(exec);
        exec_submit(exec);
        run_answers_settle(exec);
        run_calls_start_all(exec);
        exec_set_timer(exec);
        exec_tell_idle(exec, exec->queued || run_core_waits(exec->core));
    }
    pl_arena_reset(exec->scratch);
    run_replay_idle(exec);
}

static void exec_deliver_turn(struct loop *loop, struct loop_mail *mail)
{
    struct run_exec *exec = pl_container_of(mail, struct run_exec, turn_mail);

    (void)loop;
    exec->turn_queued = false;
    if (exec->dropped)
        exec_drain_queue(exec); /* what was fed between two activations is only freed */
    else
        exec_activate(exec);
    exec_maybe_free(exec);
}

void run_exec_wake(struct run_exec *exec)
{
    if (exec->turn_queued)
        return;
    exec->turn_queued = true;
    loop_at_turn_end(exec->home, &exec->turn_mail);
}

static void exec_fire(struct loop *loop, struct loop_timer *timer)
{
    struct run_exec *exec = pl_container_of(timer, struct run_exec, timer);

    (void)loop;
    exec->timer_at = 0;
    exec->tick = true;
    run_exec_wake(exec);
}

static void exec_deliver_start(struct loop *loop, struct loop_mail *mail)
{
    struct run_exec *exec = pl_container_of(mail, struct run_exec, start_mail);
    struct store_batch *batch;

    loop_hold(loop);
    if (!exec->loaded && (batch = run_notes_batch(exec))) {
        store_batch_put_definition(batch, pl_str(exec->workflow->hash), exec->workflow->text);
        if (exec->key.len)
            store_batch_put_key(batch, exec->key_route, exec->key, exec->key_fingerprint);
    }
    if (!exec->queued)
        exec_feed_type(exec, exec->loaded ? RUN_EV_RECOVER : RUN_EV_START);
    run_exec_wake(exec);
    if (exec->loaded && exec->on_recorded)
        exec->on_recorded(exec->arg, exec->row.id.ptr);
}

/* ---- from the engine ---- */

void run_exec_take_turn(struct run_exec *exec, struct pl_value *state)
{
    if (!exec->queued || exec->dropped)
        return;
    exec->queued = false;
    exec->memory = pl_value_ref(state);
    if (state)
        run_core_set_state(exec->core, state);
    exec_feed_type(exec, exec->loaded ? RUN_EV_RECOVER : RUN_EV_START);
    run_exec_wake(exec);
}

struct pl_str run_exec_thread(const struct run_exec *exec)
{
    return exec->row.thread;
}

enum run_state run_exec_end(const struct run_exec *exec)
{
    return exec->final_durable ? run_core_state(exec->core) : RUN_QUEUED;
}

bool run_exec_is_over(const struct run_exec *exec, struct pl_value **ret_state)
{
    *ret_state = exec->final_durable ? exec->left : NULL;
    return exec->final_durable;
}

void run_exec_cancel(struct run_exec *exec, struct pl_str path)
{
    struct run_event event = {.type = RUN_EV_CANCEL_STEP, .now = loop_now(exec->home)};

    if (path.len == 0) {
        exec->cancel = true;
    } else {
        event.node = run_core_find(exec->core, path);
        /* one that is over may be gone before the event is looked at */
        if (!event.node || node_state_is_final(event.node->state))
            return;
        if (!run_exec_feed(exec, &event))
            run_exec_no_memory(exec);
    }
    run_exec_wake(exec);
}

void run_exec_drain(struct run_exec *exec)
{
    exec->draining = true;
    run_exec_wake(exec);
}

/* Nothing happens in the run any more. */
static void exec_stop(struct run_exec *exec)
{
    if (exec->dropped)
        return;
    exec->dropped = true;
    run_eval_withdraw(exec);
    loop_timer_clear(exec->home, &exec->timer);
    run_calls_drop_all(exec);
    run_admit_drop_all(exec);
    run_exec_wake(exec);
}

/* The same, and what has gathered is not recorded either: a commit failed, or the activation is
 * only half done. */
static void exec_abandon(struct run_exec *exec)
{
    exec_stop(exec);
    store_batch_destroy(&exec->batch);
    run_notes_publish(exec, &exec->notices, false);
}

void run_exec_no_memory(struct run_exec *exec)
{
    struct log_context context = {.run = exec->row.id.ptr};

    if (exec->dropped || exec->final_submitted)
        return;
    log_error(&context, "RUN-NO-MEMORY", "out of memory; the run stays unfinished");
    pl_err_set(&exec->store_err, PL_ERR_NO_MEMORY, "out of memory while the run was going on");
    exec_abandon(exec);
}

void run_exec_drop(struct run_exec *exec)
{
    if (run_state_is_final(run_core_state(exec->core)))
        return; /* only its last batch is missing: it ends by itself */
    /* an intent that was never recorded is no doubt; one that is recorded and was not sent is */
    if (run_calls_intent_gathers(exec))
        exec_abandon(exec);
    else
        exec_stop(exec);
}

/* A draining run with nothing in flight has nothing left to wait for. */
static bool exec_is_drained(const struct run_exec *exec)
{
    return exec->draining && !exec->dropped && !exec->final_submitted && exec->calls == 0 &&
           exec->evals == 0 && exec->commits_open == 0 && !exec->turn_queued;
}

static void exec_maybe_free(struct run_exec *exec)
{
    struct loop *home = exec->home;

    if (exec_is_drained(exec))
        run_exec_drop(exec);
    if (!(exec->final_durable || exec->dropped) || exec->calls || exec->n_holds || exec->evals ||
        exec->commits_open || exec->turn_queued)
        return;
    loop_timer_clear(home, &exec->timer);
    exec_tell_idle(exec, false);
    /* gone first: whoever is told of the end does not find the run among those going on */
    exec->env->gone(exec->env->engine, exec);
    run_answers_drop(exec);
    exec_tell_end(exec);
    exec_free(exec);
    loop_release(home);
}

struct pl_str run_exec_tenant(const struct run_exec *exec)
{
    return exec->row.tenant;
}

struct pl_str run_exec_id(const struct run_exec *exec)
{
    return exec->row.id;
}

struct loop *run_exec_home(const struct run_exec *exec)
{
    return exec->home;
}

struct pl_list *run_exec_link(struct run_exec *exec)
{
    return &exec->link;
}

struct run_exec *run_exec_from_link(struct pl_list *link)
{
    return pl_container_of(link, struct run_exec, link);
}
