/* run_tape.c - a run that is recorded on a tape: its calls, and what else comes to it from outside
 * itself. Not the tape (tape.c), not the calls (run_calls.c) and not a run that is played back
 * (run_replay.c). Called by run_calls.c, run_eval.c and run_exec.c on the run's home loop; without
 * a tape nothing here does anything. */
#include "service/run/run_exec_private.h"
#include "service/tape/tape.h"

#include "base/limits.h"

static bool has_recorder(const struct run_exec *exec)
{
    return exec->env->tape && tape_records(exec->env->tape) && !exec->dropped;
}

/* What comes when the run is over is of no use to it. */
static bool is_recording(const struct run_exec *exec)
{
    return has_recorder(exec) && !run_state_is_final(run_core_state(exec->core));
}

static void log_word(struct run_exec *exec, const struct tape_word *word)
{
    if (!word->number || !tape_log(exec->env->tape, word, loop_now(exec->home)))
        run_exec_no_memory(exec);
}

/* A call is held, or goes: where that follows from what came before the time, it is before that. */
static void log_in_turn(struct run_exec *exec, const struct tape_word *word)
{
    if (!exec->tick_waits)
        log_word(exec, word);
    else if (!tape_log_before(exec->env->tape, word, loop_now(exec->home)))
        run_exec_no_memory(exec);
}

static void log_next(struct run_exec *exec, enum tape_mark_kind kind, struct pl_str path)
{
    const struct tape_word word = {
        .kind = kind,
        .path = path,
        .number = tape_count_one(exec->env->tape, kind, NULL, path),
    };

    log_word(exec, &word);
}

/* ---- calls ---- */

/* Was the attempt before this one at its path held? */
static bool was_held(struct run_exec *exec, const struct exec_call *call)
{
    const struct tape_word word = {
        .kind = TAPE_HELD, .path = call->call.path, .number = call->make - 1};
    bool no_memory;
    bool held = word.number > 0 && tape_find_mark(exec->env->tape, &word, &no_memory);

    return held;
}

/* What a budget will never have room for waits all the same, until those who came before it for the
 * same budget are served. If that is later, it was held, and went to be refused. */
static void log_waited(struct run_exec *exec, struct tape_call *refused)
{
    const struct tape_word held = {
        .kind = TAPE_HELD, .path = refused->path, .number = refused->waits};

    refused->waits = 0;
    log_in_turn(exec, &held);
}

void run_tape_refused(struct run_exec *exec, const struct run_node *node)
{
    /* it may be what has just ended the run */
    struct tape_call *refused = has_recorder(exec) ? tape_last(exec->env->tape, node->path) : NULL;
    struct tape_word went = {.kind = TAPE_WENT, .path = node->path};

    if (!refused || !refused->waits)
        return;
    went.number = refused->waits;
    if (refused->turn == exec->turns) {
        refused->waits = 0; /* at once */
        return;
    }
    log_waited(exec, refused);
    log_in_turn(exec, &went);
}

void run_tape_makes(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    struct tape_call *last;

    if (!exec->env->tape || !call->call.ops->describe)
        return;
    last = is_recording(exec) ? tape_last(exec->env->tape, call->call.path) : NULL;
    if (last && last->waits && last->turn != exec->turns)
        log_waited(exec, last);
    else if (last)
        last->waits = 0;
    call->make = tape_count_one(exec->env->tape, TAPE_HELD, NULL, call->call.path);
    if (!call->make) {
        run_exec_no_memory(exec);
    } else if (is_recording(exec) && was_held(exec, call)) {
        const struct tape_word word = {
            .kind = TAPE_WENT, .path = call->call.path, .number = call->make - 1};

        log_in_turn(exec, &word);
    }
}

static void record(struct run_exec *exec, struct exec_call *call, struct pl_str request)
{
    const struct step_def *def = call->node->def;

    if (call->taped) /* it was prepared before, and waited for something */
        tape_unsent(call->taped);
    call->taped =
        tape_begin(exec->env->tape, call->call.path, def->path, step_kind_name(def->kind), request);
    if (call->taped)
        return;
    run_calls_discard(call);
    run_exec_no_memory(exec);
}

bool run_tape_takes(struct run_exec *exec, struct exec_call *call)
{
    const bool playing = run_replay_is_on(exec);
    struct pl_buf request;
    bool failed;

    if (!exec->env->tape || !call->call.ops->describe)
        return false;
    if (playing && run_replay_holds(exec, call))
        return true;
    pl_buf_init(&request, PL_LIMIT_PROMPT_BYTES * 2);
    call->call.ops->describe(&call->call, &request);
    failed = pl_buf_failed(&request);
    if (!failed && playing)
        run_replay_call(exec, call, pl_buf_view(&request));
    else if (!failed)
        record(exec, call, pl_buf_view(&request));
    pl_buf_finish(&request);
    if (failed) {
        run_calls_discard(call);
        run_exec_no_memory(exec);
    }
    return playing || failed || exec->dropped;
}

void run_tape_held(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    const struct tape_word word = {
        .kind = TAPE_HELD, .path = call->call.path, .number = call->make};

    if (is_recording(exec) && call->taped)
        log_in_turn(exec, &word);
}

/* One that was sent comes home by itself; another's result is the answer to the call at once. */
void run_tape_ended(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    struct tape_call *taped = call->taped;

    if (!is_recording(exec))
        return;
    call->taped = NULL;
    if (taped && !call->started && call->call.result.err.code == PL_ERR_CANCELLED) {
        tape_unsent(taped);
        return;
    }
    if (taped && !tape_end(exec->env->tape, taped, &call->call.result)) {
        run_exec_no_memory(exec);
    } else if (taped && call->call.result.err.code == PL_ERR_BUDGET_EXCEEDED) {
        taped->waits = call->make;
        taped->turn = exec->turns;
    } else if (taped && call->started) {
        const struct tape_word word = {
            .kind = TAPE_RESULT, .path = call->call.path, .number = taped->number};

        log_word(exec, &word);
    } else if (call->started) {
        log_next(exec, TAPE_DONE, call->call.path);
    }
}

void run_tape_left(struct exec_call *call)
{
    if (call->taped && !run_replay_is_on(call->exec))
        tape_unsent(call->taped);
    call->taped = NULL;
}

/* ---- what else comes ---- */

void run_tape_began(struct exec_call *call)
{
    if (is_recording(call->exec) && call->taped)
        log_next(call->exec, TAPE_BEGAN, call->call.path);
}

void run_tape_tick(struct run_exec *exec)
{
    const pl_ms wake = run_core_next_wake(exec->core);

    if (!is_recording(exec) || !wake || wake > loop_now(exec->home))
        return;
    log_next(exec, TAPE_TIME, (struct pl_str){0});
    exec->tick_waits = true; /* of one turn it is the last */
}

void run_tape_then(struct run_exec *exec)
{
    if (is_recording(exec))
        tape_log_then(exec->env->tape);
}

void run_tape_turn(struct run_exec *exec)
{
    exec->turns++;
    if (is_recording(exec))
        tape_log_turn(exec->env->tape);
}

void run_tape_answer(struct run_exec *exec, const struct run_event *answer)
{
    exec->answers_taken++;
    if (!is_recording(exec))
        return;
    log_next(exec, TAPE_ANSWER, answer->node->path);
    if (!tape_answer(exec->env->tape, answer->node->path, answer->value,
                     pl_str(answer->err.message)))
        run_exec_no_memory(exec);
}

/* ---- jq ---- */

struct tape_mark *run_tape_asks_jq(struct run_exec *exec, struct pl_str path, const char *what)
{
    struct tape *tape = exec->env->tape;
    struct tape_word word = {.kind = TAPE_JQ, .what = what, .path = path};
    struct tape_mark *mark;
    bool no_memory = false;

    if (!tape || exec->dropped)
        return NULL;
    word.number = tape_count_one(tape, TAPE_JQ, what, path);
    if (!word.number)
        no_memory = true;
    else if (!tape_records(tape))
        mark = tape_find_mark(tape, &word, &no_memory);
    else if (!(mark = tape_log_asked(tape, &word)))
        no_memory = true;
    if (!no_memory)
        return mark;
    run_exec_no_memory(exec);
    return NULL;
}

void run_tape_jq_came(struct run_exec *exec, struct tape_mark *mark)
{
    if (mark && is_recording(exec))
        tape_log_came(exec->env->tape, mark, loop_now(exec->home));
}
