/* world.c - the world around one run: when calls, evaluations and people answer, when users cancel,
 * how time goes on; and the loop of a scenario. Not what they answer (answers.c), not the judging
 * (step.c, reference.c) and not the store (disk.c). Called by main.c. */
#include "tests/sim/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FEW = 48 }; /* steps: then everything is looked at after every event */

/* ---- small things all files use ---- */

uint64_t sim_random(struct sim_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned sim_below(struct sim_rng *rng, unsigned n)
{
    return n ? (unsigned)((sim_random(rng) >> 32) * n >> 32) : 0;
}

int64_t sim_between(struct sim_rng *rng, int64_t low, int64_t high)
{
    return low + (int64_t)sim_below(rng, (unsigned)(high - low + 1));
}

bool sim_chance(struct sim_rng *rng, unsigned percent)
{
    return sim_below(rng, 100) < percent;
}

uint64_t sim_hash(uint64_t a, uint64_t b, uint64_t c)
{
    struct sim_rng rng = {.state = a * 0x9e3779b97f4a7c15u + (b << 20) + c};

    sim_random(&rng);
    return sim_random(&rng);
}

void sim_mix(struct sim_run *run, uint64_t value)
{
    run->hash = (run->hash ^ value) * 0x100000001b3u;
    run->hash ^= run->hash >> 29;
}

void sim_breach(struct sim_run *run, const char *fmt, ...)
{
    va_list args;

    if (run->broken)
        return;
    run->broken = true;
    va_start(args, fmt);
    vsnprintf(run->breach, sizeof(run->breach), fmt, args);
    va_end(args);
    sim_trace(run, "BREACH %s", run->breach);
}

void sim_trace(struct sim_run *run, const char *fmt, ...)
{
    va_list args;

    if (!run->plan.trace)
        return;
    printf("%6llu %8lld  ", (unsigned long long)run->events,
           (long long)(run->now - run->created_at));
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

void *sim_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory) {
        fprintf(stderr, "plait_sim: out of memory\n");
        exit(2);
    }
    return memory;
}

void *sim_grow(void *array, size_t count, size_t *capacity, size_t size)
{
    void *grown;

    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 64;
    grown = realloc(array, *capacity * size);
    if (!grown) {
        fprintf(stderr, "plait_sim: out of memory\n");
        exit(2);
    }
    return grown;
}

/* ---- timers: a binary heap by time, then by the order they were set ---- */

static bool before(const struct sim_timer *a, const struct sim_timer *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void sim_schedule(struct sim_run *run, struct sim_timer timer)
{
    size_t i = run->n_heap;

    run->heap = sim_grow(run->heap, i, &run->heap_capacity, sizeof(*run->heap));
    timer.order = run->next_order++;
    run->n_heap++;
    for (; i > 0 && before(&timer, &run->heap[(i - 1) / 2]); i = (i - 1) / 2)
        run->heap[i] = run->heap[(i - 1) / 2];
    run->heap[i] = timer;
}

static struct sim_timer pop_timer(struct sim_run *run)
{
    struct sim_timer top = run->heap[0], last = run->heap[--run->n_heap];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < run->n_heap) {
        if (child + 1 < run->n_heap && before(&run->heap[child + 1], &run->heap[child]))
            child++;
        if (!before(&run->heap[child], &last))
            break;
        run->heap[i] = run->heap[child];
        i = child;
    }
    run->heap[i] = last;
    return top;
}

/* ---- answers on their way ---- */

/* Is the core still waiting for this answer? An executor may look at the state before it bothers.
 */
static bool awaits(const struct sim_run *run, const struct sim_step *step, enum run_eval_what what)
{
    enum node_state state = step ? step->mirror.state : NODE_WAITING;

    if (!step)
        return run_core_state(run->core) == RUN_OUTPUT;
    switch (what) {
    case RUN_EVAL_WHEN:
        return state == NODE_DECIDING;
    case RUN_EVAL_ACCEPT:
        return state == NODE_ACCEPTING;
    case RUN_EVAL_DEFAULT:
        return state == NODE_DEFAULTING;
    case RUN_EVAL_BEGIN:
        return state == NODE_PREPARING;
    case RUN_EVAL_OUTPUT:
        break;
    case RUN_EVAL_KEY:
    case RUN_EVAL_WRITES:
    case RUN_EVAL_BODY:
    case RUN_EVAL_TIMEOUT:
    case RUN_EVAL_UNTIL:
        return state == NODE_FINISHING;
    }
    return false;
}

static void deliver_evaluation(struct sim_run *run, struct sim_step *step,
                               const struct sim_timer *timer)
{
    struct run_event event = {.type = RUN_EV_EVALUATED, .now = run->now, .what = timer->what};
    bool asked = step ? (step->evals & (1u << timer->what)) != 0 : run->output_asked;

    if (!asked)
        return;
    if (step)
        step->evals &= ~(1u << timer->what);
    else
        run->output_asked = false;
    if (!awaits(run, step, timer->what)) {
        if (!sim_chance(&run->rng, step ? 90 : run->mood.stale))
            return;
        run->expect_dropped += !step; /* one of a step was asked for, and is not missed */
    }
    event.node = step ? sim_node(run, step) : NULL;
    if (step && !event.node) {
        sim_breach(run, "%s: its frame is gone while an evaluation of it is out", step->path.ptr);
        return;
    }
    sim_make_evaluation(run, step, timer, &event);
    sim_step_core(run, &event);
}

static void deliver_result(struct sim_run *run, struct sim_step *step)
{
    struct step_result result;
    struct run_event event = {.type = RUN_EV_RESULT, .now = run->now, .node = sim_node(run, step)};

    if (!event.node) {
        sim_breach(run, "%s: its frame is gone while its call is in flight", step->path.ptr);
        return;
    }
    step_result_init(&result);
    sim_make_result(run, step, event.node, &result);
    if (step->kept)
        result.usage = (struct store_usage){0};
    /* Mostly an aborted call really stops; now and then its answer was already there. */
    if (step->aborted && (step->unsent || !sim_chance(&run->rng, run->mood.race))) {
        pl_value_unref(&result.output);
        pl_err_set(&result.err, PL_ERR_CANCELLED, "aborted");
        result.free = result.no_retry = false;
    }
    step->call = SIM_CALL_NONE;
    sim_lane_release(run, step);
    sim_money_over(run, step, &result.usage);
    event.result = &result;
    sim_step_core(run, &event);
    if (!run->broken && sim_chance(&run->rng, run->mood.stale) && step->call == SIM_CALL_NONE) {
        run->expect_dropped++;
        sim_step_core(run, &event);
    }
    step_result_finish(&result);
}

/* ---- calls ---- */

/* The executor tells of a first piece where others wait for it; there may be none. */
static void begin_answer(struct sim_run *run, const struct sim_step *step, int64_t latency)
{
    const struct run_node *node = sim_node(run, step);

    if (step->def->kind != STEP_LLM || !node || !run_core_is_warming(run->core, node) ||
        !sim_chance(&run->rng, 70))
        return;
    sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, latency),
                                         .type = SIM_AT_ANSWERING,
                                         .index = (int32_t)step->id,
                                         .serial = step->serial});
}

void sim_send(struct sim_run *run, struct sim_step *step)
{
    int64_t latency = sim_between(&run->rng, 0, (int64_t)run->mood.latency);

    step->call = SIM_CALL_OUT;
    step->sent = step->serial;
    if (sim_chance(&run->rng, 10))
        latency *= 10;
    if (step->def->timeout > 0 && latency > step->def->timeout)
        latency = step->def->timeout;
    begin_answer(run, step, latency);
    sim_schedule(run, (struct sim_timer){.time = run->now + latency,
                                         .type = SIM_AT_RESULT,
                                         .index = (int32_t)step->id,
                                         .serial = step->serial});
}

static void push_answer(struct sim_run *run, struct sim_timer item)
{
    run->queue = sim_grow(run->queue, run->n_queue, &run->queue_capacity, sizeof(*run->queue));
    run->queue[run->n_queue++] = item;
}

static void begin_call(struct sim_run *run, struct sim_step *step)
{
    struct sim_timer item = {.index = (int32_t)step->id};

    step->serial = item.serial = run->next_serial++;
    step->aborted = false;
    step->kept = sim_money_kept(run, step);
    if (step->kept) { /* neither a budget nor a lane is asked, nor does anything go out */
        const uint32_t sent = step->sent;

        step->deferring = false;
        step->unsent = true;
        sim_send(run, step);
        step->sent = sent;
        return;
    }
    step->unsent = step->deferring = !sim_money_ask(run, step) || !sim_lane_enter(run, step) ||
                                     sim_chance(&run->rng, run->mood.defer);
    if (step->deferring) {
        step->call = SIM_CALL_OUT;
        item.type = SIM_AT_DEFERRED;
        item.time = run->now + sim_between(&run->rng, 0, 20);
        if (sim_chance(&run->rng, 70))
            push_answer(run, item);
        else
            sim_schedule(run, item);
    } else if (step->def->on_ambiguous == ON_AMBIGUOUS_FAIL) {
        step->call = SIM_CALL_WAITS_FOR_COMMIT;
        step->wait_batch = run->next_batch;
    } else if (step->def->kind == STEP_REDUCE && sim_chance(&run->rng, 70)) {
        step->call = SIM_CALL_OUT;
        step->sent = step->serial;
        item.type = SIM_AT_RESULT;
        push_answer(run, item);
    } else {
        sim_send(run, step);
    }
}

static void begin_abort(struct sim_run *run, struct sim_step *step)
{
    step->aborted = true;
    step->unsent |= step->call == SIM_CALL_WAITS_FOR_COMMIT;
    /* A deferral that is on its way may still be all the answer there is. */
    if (step->deferring &&
        (step->poor || step->lane == SIM_LANE_WAITS || sim_chance(&run->rng, 50)))
        return;
    step->deferring = false;
    /* A new serial makes whatever was on its way void; an outcome that was there all the same keeps
     * the dice. */
    step->serial = run->next_serial++;
    step->call = SIM_CALL_OUT;
    sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 30),
                                         .type = SIM_AT_RESULT,
                                         .index = (int32_t)step->id,
                                         .serial = step->serial});
}

/* ---- activations ---- */

static void deliver_answering(struct sim_run *run, const struct sim_step *step)
{
    struct run_event event = {
        .type = RUN_EV_ANSWERING, .now = run->now, .node = sim_node(run, step)};

    sim_step_core(run, &event);
}

static void deliver(struct sim_run *run, const struct sim_timer *item)
{
    struct sim_step *step = item->index < 0 ? NULL : run->steps[item->index];

    if (item->type == SIM_AT_EVALUATED)
        deliver_evaluation(run, step, item);
    else if (item->type == SIM_AT_ANSWER)
        sim_person_answers(run, item);
    else if (item->type == SIM_AT_ADMITTED)
        sim_lane_admit(run, step, item);
    else if (step->call == SIM_CALL_OUT && step->serial == item->serial) {
        if (item->type == SIM_AT_DEFERRED)
            sim_lane_defer(run, step);
        else if (item->type == SIM_AT_ANSWERING)
            deliver_answering(run, step);
        else
            deliver_result(run, step);
    }
}

/* What follows the first event of an activation: answers given at once, then its rows as one batch.
 */
void sim_finish_activation(struct sim_run *run)
{
    for (run->queue_head = 0; run->queue_head < run->n_queue && !run->broken;) {
        struct sim_timer item = run->queue[run->queue_head++];

        deliver(run, &item);
    }
    run->n_queue = 0;
    if (run->broken)
        return;
    sim_commit_later(run);
    if (run->frozen && run->fuse > 0)
        run->fuse--;
}

static void begin_evaluation(struct sim_run *run, const struct run_effect *effect, int32_t index)
{
    struct sim_timer item = {.time = run->now,
                             .type = SIM_AT_EVALUATED,
                             .index = index,
                             .what = effect->what,
                             .turn = effect->frame ? effect->frame->number : 0};

    if (!sim_chance(&run->rng, run->mood.late_eval)) {
        push_answer(run, item);
        return;
    }
    if (index < 0 && sim_chance(&run->rng, 10))
        sim_schedule(run, (struct sim_timer){.time = run->now, .type = SIM_AT_CANCEL, .index = -1});
    item.time += sim_between(&run->rng, 0, 60);
    sim_schedule(run, item);
}

void sim_take_effect(struct sim_run *run, const struct run_effect *effect)
{
    struct sim_step *step = effect->node ? sim_of(run, effect->node) : NULL;

    if (effect->type == RUN_FX_CALL)
        begin_call(run, step);
    else if (effect->type == RUN_FX_ABORT)
        begin_abort(run, step);
    else if (effect->type == RUN_FX_LEAVE)
        sim_lane_leave(run, step);
    else
        begin_evaluation(run, effect, step ? (int32_t)step->id : -1);
}

/* Any step of any frame that is there, seldom one that is over. */
static struct run_node *somebody(struct sim_run *run)
{
    struct run_node *found = NULL;
    unsigned seen = 0;

    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            if (sim_below(&run->rng, ++seen) == 0)
                found = &frame->nodes[i];
    return found;
}

static void user_cancels(struct sim_run *run, bool step)
{
    struct run_event event = {.type = step ? RUN_EV_CANCEL_STEP : RUN_EV_CANCEL, .now = run->now};

    if (step)
        event.node = somebody(run);
    sim_step_core(run, &event);
}

static void take_one(struct sim_run *run, const struct sim_timer *timer)
{
    if (timer->type == SIM_AT_CANCEL || timer->type == SIM_AT_CANCEL_STEP)
        user_cancels(run, timer->type == SIM_AT_CANCEL_STEP);
    else
        deliver(run, timer);
}

static void take_timer(struct sim_run *run)
{
    struct sim_timer timer = pop_timer(run);

    if (timer.time > run->now)
        run->now = timer.time;
    if (timer.type == SIM_AT_COMMIT) {
        sim_commit_first(run);
        return;
    }
    take_one(run, &timer);
    /* An executor takes everything that has come in one turn. */
    while (run->n_heap > 0 && !run->broken && run->heap[0].time <= run->now &&
           run->heap[0].type != SIM_AT_COMMIT && sim_chance(&run->rng, 40)) {
        timer = pop_timer(run);
        take_one(run, &timer);
    }
    sim_finish_activation(run);
}

/* When the next TICK comes: due, or somewhat late. */
static pl_ms next_tick(const struct sim_run *run)
{
    pl_ms wake = run_core_next_wake(run->core);

    if (wake == 0)
        return 0;
    if (sim_hash(run->seed, (uint64_t)wake, 7) % 100 < run->mood.late_tick)
        wake += (pl_ms)(sim_hash(run->seed, (uint64_t)wake, 8) % 40);
    return wake > run->now ? wake : run->now;
}

/* One thing happens. False when nothing is left that could. */
static bool happen(struct sim_run *run)
{
    pl_ms tick = next_tick(run);

    if (run->frozen && run->fuse == 0) {
        sim_crash(run);
        return true;
    }
    if (tick > 0 && (run->n_heap == 0 || tick <= run->heap[0].time)) {
        struct run_event event = {.type = RUN_EV_TICK, .now = tick};

        run->now = tick;
        sim_step_core(run, &event);
        if (!run->broken)
            sim_finish_activation(run);
        return true;
    }
    if (run->n_heap > 0) {
        take_timer(run);
        return true;
    }
    if (run->frozen) {
        sim_crash(run);
        return true;
    }
    return false;
}

/* ---- a scenario ---- */

static void choose_mood(struct sim_run *run)
{
    struct sim_rng *rng = &run->rng;
    struct sim_mood *mood = &run->mood;
    bool calm = sim_chance(rng, 20);

    mood->fail = calm ? 2 : sim_below(rng, 60);
    mood->free = sim_chance(rng, 40) ? sim_below(rng, 35) : 0;
    mood->defer = sim_chance(rng, 40) ? sim_below(rng, 30) : 0;
    mood->lane = sim_chance(rng, 35) ? 1 + sim_below(rng, 4) : 0;
    mood->kept = sim_chance(rng, 40) ? sim_below(rng, 60) : 0;
    mood->no_retry = sim_below(rng, 20);
    mood->hint = sim_below(rng, 40);
    mood->longest_hint = sim_chance(rng, 4) ? 4000000 : 3000;
    mood->late_eval = sim_chance(rng, 50) ? sim_below(rng, 60) : 0;
    mood->eval_error = sim_chance(rng, 40) ? sim_below(rng, 12) : 0;
    mood->untruth = sim_below(rng, 50);
    mood->race = sim_below(rng, 40);
    mood->stale = sim_chance(rng, 25) ? sim_below(rng, 15) : 0;
    mood->commit_delay = sim_chance(rng, 70) ? 1 + sim_below(rng, 60) : 0;
    mood->store_fault = sim_chance(rng, 20) ? sim_below(rng, 10) : 0;
    mood->crash = sim_chance(rng, 55) ? 5 + sim_below(rng, 120) : 0;
    mood->max_crashes = 1 + sim_below(rng, 6);
    mood->latency = 1 + sim_below(rng, sim_chance(rng, 20) ? 4000 : 900);
    mood->late_tick = sim_below(rng, 40);
    mood->answer_late = sim_below(rng, 60);
    mood->reject = sim_below(rng, 30);
    mood->twice = sim_below(rng, 30);
}

static void choose_cancels(struct sim_run *run)
{
    unsigned steps = sim_chance(&run->rng, 25) ? 1 + sim_below(&run->rng, 4) : 0;

    if (sim_chance(&run->rng, 8))
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 4000),
                                             .type = SIM_AT_CANCEL,
                                             .index = -1});
    for (unsigned i = 0; i < steps; i++)
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 3000),
                                             .type = SIM_AT_CANCEL_STEP,
                                             .index = -1});
}

/* "child1" is the second of the workflows that may be called. */
static bool find_child(void *arg, struct pl_str name, struct pl_arena *arena,
                       struct pl_str *ret_text, enum doc_format *ret_format, int64_t *ret_version,
                       struct pl_err *err)
{
    const struct sim_run *run = arg;
    size_t number = name.len == 6 ? (size_t)(name.ptr[5] - '0') : PL_ARRAY_LEN(run->children);

    if (number >= PL_ARRAY_LEN(run->children)) {
        pl_err_set(err, PL_ERR_NOT_FOUND, "there is no such workflow");
        return false;
    }
    *ret_text = pl_arena_str(arena, pl_buf_view(&run->children[number]));
    *ret_format = DOC_JSON;
    *ret_version = 1;
    return true;
}

static void generate(struct sim_run *run)
{
    pl_buf_finish(&run->text);
    pl_buf_init(&run->text, 4u << 20);
    sim_generate(&run->rng, -1, &run->text);
    for (size_t i = 0; i < PL_ARRAY_LEN(run->children); i++) {
        pl_buf_finish(&run->children[i]);
        pl_buf_init(&run->children[i], 4u << 20);
        if (memmem(run->text.data, run->text.len, "child", 5))
            sim_generate(&run->rng, (int)i, &run->children[i]);
    }
}

/* Steps that read and write the state crosswise wait for each other, which is refused with reason:
 * then another workflow is made. */
static bool compile(struct sim_run *run)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow_env env = {.arg = run, .find_workflow = find_child};
    enum doc_format format = sim_chance(&run->rng, 50) ? DOC_JSON : DOC_YAML;
    struct doc_problems problems;
    enum pl_code code;

    do {
        pl_arena_reset(arena);
        generate(run);
        doc_problems_init(&problems, arena);
        code = workflow_compile(pl_buf_view(&run->text), format, &env, &run->workflow, &problems);
    } while (code == PL_ERR_INVALID_WORKFLOW && problems.count &&
             strstr(problems.items[0].message, "through the state"));
    if (code != PL_OK)
        sim_breach(run, "the workflow was refused: %s: %s %s", pl_code_text(code),
                   problems.count ? problems.items[0].pointer : "",
                   problems.count ? problems.items[0].message : "");
    pl_arena_destroy(&arena);
    return code == PL_OK;
}

static void start(struct sim_run *run)
{
    struct run_event event = {.type = RUN_EV_START};

    run->now = run->created_at = 1000000 + (pl_ms)(run->seed % 1000);
    run->next_serial = 1;
    run->last = &run->first;
    run->arena = pl_arena_create(0);
    run->core = run_core_create(run->workflow, run->seed, run->created_at);
    if (!run->core) {
        sim_breach(run, "run_core_create failed");
        return;
    }
    /* The run is durable before anything of it begins; the first crash may come right then. */
    sim_commit_later(run);
    sim_commit_first(run);
    choose_cancels(run);
    if (sim_chance(&run->rng, 2)) { /* before anything has begun */
        user_cancels(run, !sim_chance(&run->rng, 30));
        sim_finish_activation(run);
    }
    event.now = run->now += sim_between(&run->rng, 0, 5);
    sim_step_core(run, &event);
    if (!run->broken)
        sim_finish_activation(run);
}

bool sim_run_scenario(struct sim_run *run, uint64_t seed, const struct sim_plan *plan)
{
    *run = (struct sim_run){.seed = seed, .plan = *plan, .rng = {.state = seed}, .hash = seed};
    sim_random(&run->rng);
    choose_mood(run);
    if (compile(run))
        start(run);
    while (!run->broken && happen(run)) {
        if (run->events > 4000 + 600 * (uint64_t)run->n)
            sim_breach(run, "the run does not end");
        if (!run->broken && (run->n_live <= FEW || run->events % 64 == 0))
            sim_check_all(run);
    }
    if (run->broken)
        return false;
    if (!run_state_is_final(run_core_state(run->core)))
        sim_breach(run, "stuck: nothing is left to happen and the run is %s",
                   run_state_phase(run_core_state(run->core)));
    sim_check_all(run);
    sim_compare_disk(run);
    sim_judge_run(run);
    return !run->broken;
}

void sim_run_finish(struct sim_run *run)
{
    run_core_destroy(&run->core);
    sim_disk_finish(run);
    sim_people_finish(run);
    workflow_unref(&run->workflow);
    pl_buf_finish(&run->text);
    for (size_t i = 0; i < PL_ARRAY_LEN(run->children); i++)
        pl_buf_finish(&run->children[i]);
    free(run->touched);
    free(run->heap);
    free(run->queue);
    free(run->history);
    free(run->needs);
}
