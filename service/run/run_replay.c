/* run_replay.c - a run that is played back from a tape: what came to it from outside itself comes
 * again, when nothing else is left to do, in the recorded order and at the recorded times. Not the
 * tape (tape.c) and not its recording (run_tape.c). Called by run_tape.c, run_calls.c, run_eval.c
 * and run_exec.c on the run's home loop.
 *
 * A workflow that has not changed meets every mark of the timeline in its turn: its core is given
 * what it was given when it was recorded, and so does the same. In one that has changed a mark may
 * find nobody: it is passed over, and what waits for it later has it at once. Behind the last mark
 * the time jumps to what the run waits for. */
#include "service/run/run_eval.h"
#include "service/tape/tape.h"

bool run_replay_is_on(const struct run_exec *exec)
{
    return exec->env->tape && !tape_records(exec->env->tape);
}

static void feed(struct run_exec *exec, enum run_event_type type, struct run_node *node)
{
    struct run_event event = {.type = type, .now = loop_now(exec->home), .node = node};

    if (!run_exec_feed(exec, &event))
        run_exec_no_memory(exec);
}

static const char HELD_REASON[] = "recorded";

/* ---- calls ---- */

/* The mark of something that was held, or went on, as the attempt did. */
static struct tape_mark *mark_of(struct run_exec *exec, enum tape_mark_kind kind,
                                 const struct exec_call *call)
{
    const struct tape_word word = {.kind = kind, .path = call->call.path, .number = call->make};
    struct tape_mark *mark;
    bool no_memory;

    mark = tape_find_mark(exec->env->tape, &word, &no_memory);
    if (no_memory)
        run_exec_no_memory(exec);
    return mark;
}

bool run_replay_holds(struct run_exec *exec, struct exec_call *call)
{
    const struct tape_mark *went;
    struct tape_mark *held = mark_of(exec, TAPE_HELD, call);
    struct run_event event = {.type = RUN_EV_DEFERRED,
                              .now = loop_now(exec->home),
                              .node = call->node,
                              .reason = HELD_REASON};

    if (!held || held->done)
        return false;
    went = mark_of(exec, TAPE_WENT, call);
    if (went && went->passed)
        return false;
    held->done = true;
    held->late = exec->replay.held;
    exec->replay.held = held;
    run_calls_discard(call);
    if (!run_exec_feed(exec, &event))
        run_exec_no_memory(exec);
    return true;
}

static void answer(struct exec_call *call)
{
    struct step_result *result = &call->call.result;

    pl_list_remove(&call->link);
    if (call->taped->cancelled && !call->stopped)
        pl_err_set(&result->err, PL_ERR_NOT_RECORDED,
                   "the recording does not tell the answer: there the call was stopped");
    else if (!tape_result(call->taped, result))
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory");
    run_calls_answered(call);
}

void run_replay_call(struct run_exec *exec, struct exec_call *call, struct pl_str request)
{
    const struct step_def *def = call->node->def;
    struct tape *tape = exec->env->tape;
    struct tape_mark *mark;
    bool no_memory;
    struct pl_err err;

    call->taped = tape_match(tape, call->call.path, def->path, step_kind_name(def->kind), request,
                             &no_memory);
    if (no_memory) {
        run_calls_discard(call);
        run_exec_no_memory(exec);
    } else if (!call->taped) {
        pl_err_set(&err, PL_ERR_NOT_RECORDED, "no call of this step is left in the recording");
        run_calls_fail(call, &err);
    } else {
        pl_list_append(&exec->taped, &call->link);
        mark = call->taped->mark;
        if (mark && !mark->waits)
            mark->waits = call;
        else if (!mark && tape_log_first(tape) && !call->taped->cancelled)
            answer(call); /* as it was: without having been sent */
    }
}

bool run_replay_stops(struct exec_call *call)
{
    const struct tape_mark *mark = call->taped ? call->taped->mark : NULL;

    if (!run_replay_is_on(call->exec) || call->started || !mark || mark->waits != call)
        return false;
    call->stopped = !mark->passed;
    return call->stopped;
}

void run_replay_left(struct exec_call *call)
{
    struct tape_mark *mark = call->taped ? call->taped->mark : NULL;

    if (run_replay_is_on(call->exec) && mark && mark->waits == call)
        mark->waits = NULL;
}

bool run_replay_keeps(struct exec_call *call)
{
    struct run_exec *exec = call->exec;
    struct tape_word word = {.kind = TAPE_DONE, .path = call->call.path};
    struct tape_mark *mark;
    bool no_memory;

    if (!run_replay_is_on(exec))
        return false;
    word.number = tape_count_one(exec->env->tape, TAPE_DONE, NULL, word.path);
    mark = tape_find_mark(exec->env->tape, &word, &no_memory);
    if (!word.number || no_memory)
        run_exec_no_memory(exec);
    if (!mark || mark->passed || exec->dropped)
        return false;
    mark->waits = call;
    pl_list_append(&exec->replay.kept, &call->link);
    return true;
}

/* ---- jq ---- */

bool run_replay_keeps_jq(struct run_exec *exec, struct tape_mark *mark, void *eval,
                         struct pl_list *link)
{
    if (!mark || !run_replay_is_on(exec) || mark->passed || exec->dropped)
        return false;
    mark->waits = eval;
    pl_list_append(&exec->replay.evals, link);
    return true;
}

/* ---- whose turn it is ---- */

static struct tape_mark *next_mark(const struct run_exec *exec)
{
    if (!exec->replay.at)
        return tape_log_first(exec->env->tape);
    return exec->replay.at->next;
}

/* Is there somebody for it? */
static bool is_awaited(const struct run_exec *exec, const struct tape_mark *mark)
{
    const struct exec_call *call;
    const struct run_node *node;
    pl_ms wake;

    switch (mark->kind) {
    case TAPE_RESULT:
        call = mark->waits;
        return call && (!call->taped->cancelled || call->stopped);
    case TAPE_DONE:
    case TAPE_JQ:
        return mark->waits;
    case TAPE_TIME:
        wake = run_core_next_wake(exec->core);
        return wake && wake <= mark->at;
    case TAPE_WENT:
        node = run_core_find(exec->core, mark->path);
        return node && run_node_is_held_until_told(node);
    case TAPE_BEGAN:
        node = run_core_find(exec->core, mark->path);
        return node && node->exec && ((const struct exec_call *)node->exec)->taped;
    case TAPE_ANSWER:
        node = run_core_find(exec->core, mark->path);
        return node && node->state == NODE_ASKING;
    case TAPE_HELD:
    case TAPE_MARK_KINDS:
        break;
    }
    return false;
}

/* Takes whatever answer is there: people give one at a time, in an order of their own. */
static void take_answer(struct run_exec *exec)
{
    struct run_event event;

    if (run_answers_next(exec, &event)) {
        run_tape_answer(exec, &event);
        if (!run_exec_feed(exec, &event)) {
            pl_value_unref(&event.value);
            run_exec_no_memory(exec);
        }
    }
    run_exec_wake(exec);
}

static void come(struct run_exec *exec, struct tape_mark *mark)
{
    mark->done = true;
    switch (mark->kind) {
    case TAPE_RESULT:
        answer(mark->waits);
        break;
    case TAPE_DONE:
        pl_list_remove(&((struct exec_call *)mark->waits)->link);
        run_calls_answered(mark->waits);
        break;
    case TAPE_JQ:
        run_eval_go_on(mark->waits);
        break;
    case TAPE_TIME:
        feed(exec, RUN_EV_TICK, NULL);
        break;
    case TAPE_WENT:
        feed(exec, RUN_EV_ADMITTED, run_core_find(exec->core, mark->path));
        break;
    case TAPE_BEGAN:
        feed(exec, RUN_EV_ANSWERING, run_core_find(exec->core, mark->path));
        break;
    case TAPE_ANSWER:
        take_answer(exec);
        break;
    case TAPE_HELD:
    case TAPE_MARK_KINDS:
        break;
    }
    run_exec_wake(exec);
}

/* False: it is that time, and goes on. True: it will be in the next turn. */
static bool jumps(struct run_exec *exec, pl_ms time)
{
    if (time <= loop_now(exec->home))
        return false;
    tape_jump(exec->env->tape, time);
    run_exec_wake(exec);
    return true;
}

/* Times and beginnings are of no use to anybody later. */
static void pass(struct run_exec *exec, struct tape_mark *mark)
{
    exec->replay.at = mark;
    mark->passed = true;
    if (mark->done || mark->kind == TAPE_TIME || mark->kind == TAPE_BEGAN)
        return;
    mark->late = NULL;
    *exec->replay.late_end = mark;
    exec->replay.late_end = &mark->late;
}

/* What has been passed over, and somebody waits for now. */
static bool comes_late(struct run_exec *exec)
{
    for (struct tape_mark **at = &exec->replay.late, *mark; (mark = *at); at = &mark->late) {
        if (!is_awaited(exec, mark) || mark->kind == TAPE_ANSWER)
            continue;
        *at = mark->late;
        if (!*at)
            exec->replay.late_end = at;
        come(exec, mark);
        return true;
    }
    return false;
}

/* An answer of a person that need not wait for its turn: none is recorded, or that is over. */
static bool takes_answer(struct run_exec *exec)
{
    struct tape_word word = {.kind = TAPE_ANSWER, .number = 1};
    const struct tape_mark *mark;
    bool no_memory;

    if (!run_answers_first(exec, &word.path))
        return false;
    mark = tape_find_mark(exec->env->tape, &word, &no_memory);
    if (no_memory)
        run_exec_no_memory(exec);
    if (mark && !mark->passed && !mark->done && !exec->dropped)
        return false;
    take_answer(exec);
    return true;
}

/* A person's answer that came in the same turn must be there before any of it comes. */
static bool is_complete(const struct run_exec *exec, const struct tape_mark *first)
{
    struct pl_str path;

    for (const struct tape_mark *mark = first->next; mark && (mark->joined || mark->then);
         mark = mark->next)
        if (mark->kind == TAPE_ANSWER && is_awaited(exec, mark))
            return run_answers_first(exec, &path) ||
                   exec->answers_taken >= tape_answers_expected(exec->env->tape);
    return true;
}

/* False: nobody waits for any of it. */
static bool group_comes(struct run_exec *exec, struct tape_mark *mark)
{
    bool any = false;
    struct pl_str path;

    do {
        if (!exec->dropped && is_awaited(exec, mark) &&
            (mark->kind != TAPE_ANSWER ||
             (run_answers_first(exec, &path) && pl_str_eq(path, mark->path)))) {
            come(exec, mark);
            any = true;
        }
        pass(exec, mark);
        mark = mark->next;
    } while (mark && mark->joined);
    exec->replay.came |= any;
    return any;
}

bool run_replay_word(struct run_exec *exec)
{
    struct tape_mark *mark = exec->replay.came ? next_mark(exec) : NULL;

    exec->replay.came = mark && mark->then;
    if (!exec->replay.came)
        return false;
    (void)group_comes(exec, mark);
    return true;
}

/* All that came in one turn comes in one. False: nobody waits for any of it. */
static bool turn_comes(struct run_exec *exec, struct tape_mark *first)
{
    const struct tape_mark *mark = first;
    bool any = false;

    do {
        any = is_awaited(exec, mark);
        mark = mark->next;
    } while (!any && mark && mark->joined);
    if (any && (!is_complete(exec, first) || jumps(exec, first->at)))
        return true;
    return group_comes(exec, first);
}

/* A person answers now. Whoever answers gives one at a time: where it is that of another step, it
 * is taken first. True: it is waited for, or has come. */
static bool person_answers(struct run_exec *exec, struct tape_mark *mark)
{
    struct pl_str path;

    if (!is_awaited(exec, mark))
        return false;
    if (!run_answers_first(exec, &path))
        return exec->answers_taken < tape_answers_expected(exec->env->tape);
    if (jumps(exec, mark->at))
        return true;
    if (!pl_str_eq(path, mark->path))
        take_answer(exec);
    else
        (void)group_comes(exec, mark);
    return true;
}

static bool timeline_comes(struct run_exec *exec)
{
    for (struct tape_mark *mark; (mark = next_mark(exec));) {
        if (mark->kind != TAPE_ANSWER) {
            if (turn_comes(exec, mark))
                return true;
        } else if (person_answers(exec, mark)) {
            return true;
        } else {
            pass(exec, mark);
        }
    }
    return false;
}

/* ---- behind the timeline ---- */

/* The waiting call whose answer came first. One that was stopped is answered by nobody: it waits to
 * be stopped again, and only where nothing does so for the end of the tape. */
static struct exec_call *next_call(const struct run_exec *exec, bool cancelled)
{
    struct exec_call *first = NULL;

    PL_LIST_EACH(link, &exec->taped)
    {
        struct exec_call *call = pl_container_of(link, struct exec_call, link);

        if (call->taped->cancelled == cancelled &&
            (!first || call->taped->order < first->taped->order))
            first = call;
    }
    return first;
}

/* Steps that were held until they were stopped, and are not stopped now. */
static bool held_goes(struct run_exec *exec)
{
    for (struct tape_mark *mark; (mark = exec->replay.held);) {
        struct run_node *node = run_core_find(exec->core, mark->path);

        exec->replay.held = mark->late;
        if (!node || !run_node_is_held_until_told(node))
            continue;
        feed(exec, RUN_EV_ADMITTED, node);
        run_exec_wake(exec);
        return true;
    }
    return false;
}

static bool kept_goes(struct run_exec *exec)
{
    struct pl_list *link = exec->replay.evals.next;

    if (link != &exec->replay.evals) {
        run_eval_go_on(run_eval_from_link(link));
    } else if ((link = pl_list_pop(&exec->replay.kept))) {
        run_calls_answered(pl_container_of(link, struct exec_call, link));
    } else {
        return false;
    }
    run_exec_wake(exec);
    return true;
}

static void rest_comes(struct run_exec *exec)
{
    struct exec_call *call = next_call(exec, false);
    pl_ms wake;

    if (call) {
        answer(call);
        run_exec_wake(exec);
        return;
    }
    if (kept_goes(exec) || held_goes(exec))
        return;
    /* a person whose answer is there gives it before the time passes */
    if (run_core_asks(exec->core) && exec->answers_taken < tape_answers_expected(exec->env->tape))
        return;
    wake = run_core_next_wake(exec->core);
    if (wake) {
        if (jumps(exec, wake))
            return;
        feed(exec, RUN_EV_TICK, NULL);
    } else if ((call = next_call(exec, true))) {
        answer(call);
    } else {
        return;
    }
    run_exec_wake(exec);
}

static bool is_at_rest(const struct run_exec *exec)
{
    return !exec->evals && !exec->in_flight && !exec->turn_queued && !exec->draining &&
           pl_list_empty(&exec->to_start) && pl_list_empty(&exec->waiting) &&
           pl_list_empty(&exec->inbox) && !run_state_is_final(run_core_state(exec->core));
}

void run_replay_idle(struct run_exec *exec)
{
    if (!run_replay_is_on(exec) || exec->dropped || !is_at_rest(exec))
        return;
    if (!takes_answer(exec) && !comes_late(exec) && !timeline_comes(exec))
        rest_comes(exec);
}

void run_replay_init(struct run_exec *exec)
{
    exec->replay.late_end = &exec->replay.late;
    pl_list_init(&exec->replay.kept);
    pl_list_init(&exec->replay.evals);
}
