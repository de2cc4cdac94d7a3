/* run_tape.c - a run whose calls are recorded on a tape, or answered by one. Not the tape (tape.c)
 * and not the calls (run_calls.c). Called by run_calls.c and run_exec.c on the run's home loop;
 * without a tape nothing here does anything. */
#include "service/run/run_exec_private.h"
#include "service/tape/tape.h"

#include "base/limits.h"

static bool is_playing(const struct run_exec *exec)
{
    return exec->env->tape && !tape_records(exec->env->tape);
}

/* ---- recording ---- */

static void record(struct run_exec *exec, struct exec_call *call, struct pl_str request)
{
    const struct step_def *def = call->node->def;

    if (call->taped) /* it was prepared before, and waited for something */
        tape_forget(exec->env->tape, call->taped);
    call->taped =
        tape_begin(exec->env->tape, call->call.path, def->path, step_kind_name(def->kind), request);
    if (call->taped)
        return;
    run_calls_discard(call);
    run_exec_no_memory(exec);
}

void run_tape_ended(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    struct tape_call *taped = call->taped;

    if (!taped || is_playing(exec))
        return;
    call->taped = NULL;
    if (!call->started && call->call.result.err.code == PL_ERR_CANCELLED)
        tape_forget(exec->env->tape, taped); /* it was never made */
    else if (!tape_end(exec->env->tape, taped, &call->call.result))
        run_exec_no_memory(exec);
}

void run_tape_left(struct exec_call *call)
{
    if (call->taped && !is_playing(call->exec))
        tape_forget(call->exec->env->tape, call->taped);
    call->taped = NULL;
}

void run_tape_answer(struct run_exec *exec, const struct run_event *answer)
{
    exec->answers_taken++;
    if (exec->env->tape && !is_playing(exec) &&
        !tape_answer(exec->env->tape, answer->node->path, answer->value,
                     pl_str(answer->err.message)))
        run_exec_no_memory(exec);
}

/* ---- playing back ---- */

static void play(struct run_exec *exec, struct exec_call *call, struct pl_str request)
{
    const struct step_def *def = call->node->def;
    bool no_memory;
    struct pl_err err;

    call->taped = tape_match(exec->env->tape, call->call.path, def->path, step_kind_name(def->kind),
                             request, &no_memory);
    if (no_memory) {
        run_calls_discard(call);
        run_exec_no_memory(exec);
    } else if (call->taped) {
        pl_list_append(&exec->taped, &call->link);
    } else {
        pl_err_set(&err, PL_ERR_NOT_RECORDED, "no call of this step is left in the recording");
        run_calls_fail(call, &err);
    }
}

bool run_tape_takes(struct run_exec *exec, struct exec_call *call)
{
    struct pl_buf request;
    bool playing = is_playing(exec), failed;

    if (!exec->env->tape || !call->call.ops->describe)
        return false;
    pl_buf_init(&request, PL_LIMIT_PROMPT_BYTES * 2);
    call->call.ops->describe(&call->call, &request);
    failed = pl_buf_failed(&request);
    if (!failed && playing)
        play(exec, call, pl_buf_view(&request));
    else if (!failed)
        record(exec, call, pl_buf_view(&request));
    pl_buf_finish(&request);
    if (failed) {
        run_calls_discard(call);
        run_exec_no_memory(exec);
    }
    return playing || failed || exec->dropped;
}

/* The waiting call whose answer came first. One that was stopped is answered by nobody: it waits to
 * be stopped again, and only where nothing does so for the end of the tape. */
static struct exec_call *next_call(const struct run_exec *exec, bool cancelled)
{
    struct exec_call *first = NULL;

    for (struct pl_list *link = exec->taped.next; link != &exec->taped; link = link->next) {
        struct exec_call *call = pl_container_of(link, struct exec_call, link);

        if (call->taped->cancelled == cancelled &&
            (!first || call->taped->order < first->taped->order))
            first = call;
    }
    return first;
}

static void answer(struct run_exec *exec, struct exec_call *call)
{
    struct step_result *result = &call->call.result;

    pl_list_remove(&call->link);
    if (call->taped->cancelled)
        pl_err_set(&result->err, PL_ERR_NOT_RECORDED,
                   "the recording does not tell the answer: there the call was stopped");
    else if (!tape_result(call->taped, result))
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory");
    run_calls_answered(call);
    run_exec_wake(exec);
}

static bool is_at_rest(const struct run_exec *exec)
{
    return !exec->evals && !exec->in_flight && !exec->turn_queued && !exec->draining &&
           pl_list_empty(&exec->to_start) && pl_list_empty(&exec->waiting) &&
           pl_list_empty(&exec->inbox) && !run_state_is_final(run_core_state(exec->core));
}

void run_tape_idle(struct run_exec *exec)
{
    struct exec_call *call;
    pl_ms wake;

    if (!is_playing(exec) || exec->dropped || !is_at_rest(exec))
        return;
    call = next_call(exec, false);
    if (call) {
        answer(exec, call);
        return;
    }
    /* a person whose answer is there gives it before the time passes */
    if (run_core_asks(exec->core) && exec->answers_taken < tape_answers_expected(exec->env->tape))
        return;
    wake = run_core_next_wake(exec->core);
    if (wake)
        tape_jump(exec->env->tape, wake);
    else if ((call = next_call(exec, true)))
        answer(exec, call);
}
