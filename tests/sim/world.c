/* world.c - the world around one run: what calls come to and when, what evaluations say, when users
 * cancel, how time goes on; and the loop of a scenario. Not the judging (step.c, reference.c) and
 * not the store (disk.c). Called by main.c. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

/* ---- what the world answers ---- */

bool sim_truth(const struct sim_run *run, uint32_t index, enum run_eval_what what)
{
    return sim_hash(run->seed, index, 100u + what) % 100 >= run->mood.untruth;
}

bool sim_eval_fails(const struct sim_run *run, uint32_t index, enum run_eval_what what)
{
    return sim_hash(run->seed, index, 200u + what) % 100 < run->mood.eval_error;
}

static void answer_evaluation(struct sim_run *run, int32_t index, enum run_eval_what what)
{
    uint32_t key = index < 0 ? UINT32_MAX : (uint32_t)index;
    struct run_event event = {.type = RUN_EV_EVALUATED, .now = run->now, .what = what};

    event.node = index < 0 ? NULL : run->nodes[index];
    if (sim_eval_fails(run, key, what)) {
        pl_err_set(&event.err, PL_ERR_EXPRESSION_ERROR, "the simulated expression failed");
    } else if (what == RUN_EVAL_WHEN || what == RUN_EVAL_ACCEPT) {
        event.truth = sim_truth(run, key, what);
    } else {
        char text[64];

        snprintf(text, sizeof(text), "{\"made\":%d,\"what\":%d}", (int)index, (int)what);
        event.value = pl_value_new(pl_str(text));
    }
    sim_step_core(run, &event);
}

/* Is the core still waiting for this answer? An executor may look at the state before it bothers.
 */
static bool awaits(const struct sim_run *run, int32_t index, enum run_eval_what what)
{
    if (index < 0)
        return run_core_state(run->core) == RUN_OUTPUT;
    switch (what) {
    case RUN_EVAL_WHEN:
        return run->nodes[index]->state == NODE_DECIDING;
    case RUN_EVAL_ACCEPT:
        return run->nodes[index]->state == NODE_ACCEPTING;
    case RUN_EVAL_DEFAULT:
        return run->nodes[index]->state == NODE_DEFAULTING;
    case RUN_EVAL_OUTPUT:
    case RUN_EVAL_BEGIN:
    case RUN_EVAL_KEY:
    case RUN_EVAL_WRITES:
    case RUN_EVAL_BODY:
    case RUN_EVAL_TIMEOUT:
    case RUN_EVAL_UNTIL:
        break;
    }
    return false;
}

static void deliver_evaluation(struct sim_run *run, int32_t index, enum run_eval_what what)
{
    unsigned *evals = index < 0 ? NULL : &run->steps[index].evals;
    bool asked = index < 0 ? run->output_asked : (*evals & (1u << what)) != 0;

    if (!asked)
        return;
    if (evals)
        *evals &= ~(1u << what);
    else
        run->output_asked = false;
    if (!awaits(run, index, what)) {
        if (!sim_chance(&run->rng, run->mood.stale))
            return;
        run->expect_dropped += index < 0; /* one of a step was asked for, and is not missed */
    }
    answer_evaluation(run, index, what);
}

static const enum pl_code failures[] = {
    PL_ERR_UNREACHABLE,      PL_ERR_CONNECTION_LOST,  PL_ERR_TLS,
    PL_ERR_TIMEOUT,          PL_ERR_RATE_LIMITED,     PL_ERR_QUOTA_EXCEEDED,
    PL_ERR_PROVIDER_ERROR,   PL_ERR_OVERLOADED,       PL_ERR_STREAM_ERROR,
    PL_ERR_TRUNCATED,        PL_ERR_BAD_RESPONSE,     PL_ERR_EMPTY_RESPONSE,
    PL_ERR_AUTH_FAILED,      PL_ERR_CONTEXT_TOO_LONG, PL_ERR_BAD_REQUEST,
    PL_ERR_EXPRESSION_ERROR, PL_ERR_INVALID_OUTPUT,   PL_ERR_RESPONSE_TOO_LARGE,
};

/* What the attempt came to, had it been left alone. */
static void make_result(struct sim_run *run, uint32_t index, struct step_result *result)
{
    const struct sim_step *step = &run->steps[index];
    const struct step_def *def = run->workflow->steps[index];
    struct sim_rng rng = {.state = sim_hash(run->seed, index, 1000u + step->serial)};

    result->usage = (struct store_usage){.calls = 1, .input_tokens = (int64_t)sim_below(&rng, 50)};
    if (sim_chance(&rng, run->mood.free)) {
        result->free = true;
        pl_err_set(&result->err, sim_chance(&rng, 70) ? PL_ERR_RATE_LIMITED : PL_ERR_UNREACHABLE,
                   "the simulated lane is closed");
    } else if (sim_chance(&rng, run->mood.fail)) {
        pl_err_set(&result->err, failures[sim_below(&rng, PL_ARRAY_LEN(failures))],
                   "the simulated call failed");
        result->no_retry = sim_chance(&rng, run->mood.no_retry);
    } else {
        char text[64];

        snprintf(text, sizeof(text), "{\"step\":%u,\"serial\":%u}", def->index, step->serial);
        result->output = pl_value_new(pl_str(text));
        result->usage.output_tokens = (int64_t)sim_below(&rng, 90);
        return;
    }
    result->upstream_status = (int)sim_between(&rng, 400, 599);
    if (sim_chance(&rng, run->mood.hint))
        result->retry_after = sim_between(&rng, 0, run->mood.longest_hint);
}

static void deliver_result(struct sim_run *run, uint32_t index)
{
    struct sim_step *step = &run->steps[index];
    struct step_result result;
    struct run_event event = {.type = RUN_EV_RESULT, .now = run->now, .node = run->nodes[index]};

    step_result_init(&result);
    make_result(run, index, &result);
    /* Mostly an aborted call really stops; now and then its answer was already there. */
    if (step->aborted && (step->unsent || !sim_chance(&run->rng, run->mood.race))) {
        pl_value_unref(&result.output);
        pl_err_set(&result.err, PL_ERR_CANCELLED, "aborted");
        result.free = result.no_retry = false;
    }
    step->call = SIM_CALL_NONE;
    event.result = &result;
    sim_step_core(run, &event);
    if (!run->broken && sim_chance(&run->rng, run->mood.stale) &&
        run->steps[index].call == SIM_CALL_NONE) {
        run->expect_dropped++;
        sim_step_core(run, &event);
    }
    step_result_finish(&result);
}

static void deliver_deferred(struct sim_run *run, uint32_t index)
{
    struct run_event event = {.type = RUN_EV_DEFERRED, .now = run->now, .node = run->nodes[index]};

    run->steps[index].call = SIM_CALL_NONE;
    event.until = run->now + sim_between(&run->rng, -5, 2000);
    event.reason = sim_chance(&run->rng, 50) ? "rate_limited" : "unreachable";
    sim_step_core(run, &event);
}

/* ---- calls ---- */

void sim_send(struct sim_run *run, uint32_t index)
{
    struct sim_step *step = &run->steps[index];
    const struct step_def *def = run->workflow->steps[index];
    int64_t latency = sim_between(&run->rng, 0, (int64_t)run->mood.latency);

    step->call = SIM_CALL_OUT;
    step->sent = step->serial;
    if (sim_chance(&run->rng, 10))
        latency *= 10;
    if (def->timeout > 0 && latency > def->timeout)
        latency = def->timeout;
    sim_schedule(run, (struct sim_timer){.time = run->now + latency,
                                         .type = SIM_AT_RESULT,
                                         .index = (int32_t)index,
                                         .serial = step->serial});
}

static void push_answer(struct sim_run *run, struct sim_queue_item item)
{
    run->queue = sim_grow(run->queue, run->n_queue, &run->queue_capacity, sizeof(*run->queue));
    run->queue[run->n_queue++] = item;
}

static void begin_call(struct sim_run *run, uint32_t index)
{
    struct sim_step *step = &run->steps[index];
    const struct step_def *def = run->workflow->steps[index];
    struct sim_queue_item item = {.index = (int32_t)index};

    step->serial = item.serial = run->next_serial++;
    step->aborted = false;
    step->unsent = step->deferring = sim_chance(&run->rng, run->mood.defer);
    if (step->deferring) {
        step->call = SIM_CALL_OUT;
        item.type = SIM_AT_DEFERRED;
        if (sim_chance(&run->rng, 70))
            push_answer(run, item);
        else
            sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 20),
                                                 .type = item.type,
                                                 .index = item.index,
                                                 .serial = item.serial});
    } else if (def->on_ambiguous == ON_AMBIGUOUS_FAIL) {
        step->call = SIM_CALL_WAITS_FOR_COMMIT;
        step->wait_batch = run->next_batch;
    } else if (def->kind == STEP_REDUCE && sim_chance(&run->rng, 70)) {
        step->call = SIM_CALL_OUT;
        step->sent = step->serial;
        item.type = SIM_AT_RESULT;
        push_answer(run, item);
    } else {
        sim_send(run, index);
    }
}

static void begin_abort(struct sim_run *run, uint32_t index)
{
    struct sim_step *step = &run->steps[index];

    step->aborted = true;
    step->unsent |= step->call == SIM_CALL_WAITS_FOR_COMMIT;
    /* A deferral that is on its way may still be all the answer there is. */
    if (step->deferring && sim_chance(&run->rng, 50))
        return;
    step->deferring = false;
    /* A new serial makes whatever was on its way void; an outcome that was there all the same keeps
     * the dice. */
    step->serial = run->next_serial++;
    step->call = SIM_CALL_OUT;
    sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 30),
                                         .type = SIM_AT_RESULT,
                                         .index = (int32_t)index,
                                         .serial = step->serial});
}

/* ---- activations ---- */

static void deliver(struct sim_run *run, const struct sim_queue_item *item)
{
    struct sim_step *step = item->index < 0 ? NULL : &run->steps[item->index];

    if (item->type == SIM_AT_EVALUATED)
        deliver_evaluation(run, item->index, item->what);
    else if (step->call == SIM_CALL_OUT && step->serial == item->serial) {
        if (item->type == SIM_AT_DEFERRED)
            deliver_deferred(run, (uint32_t)item->index);
        else
            deliver_result(run, (uint32_t)item->index);
    }
}

/* What follows the first event of an activation: answers given at once, then its rows as one batch.
 */
void sim_finish_activation(struct sim_run *run)
{
    for (run->queue_head = 0; run->queue_head < run->n_queue && !run->broken;) {
        struct sim_queue_item item = run->queue[run->queue_head++];

        deliver(run, &item);
    }
    run->n_queue = 0;
    if (run->broken)
        return;
    sim_commit_later(run);
    if (run->frozen && run->fuse > 0)
        run->fuse--;
}

void sim_take_effect(struct sim_run *run, const struct run_effect *effect)
{
    int32_t index = effect->node ? (int32_t)effect->node->def->index : -1;

    if (effect->type == RUN_FX_CALL) {
        begin_call(run, (uint32_t)index);
    } else if (effect->type == RUN_FX_ABORT) {
        begin_abort(run, (uint32_t)index);
    } else if (sim_chance(&run->rng, run->mood.late_eval)) {
        if (index < 0 && sim_chance(&run->rng, 10))
            sim_schedule(run,
                         (struct sim_timer){.time = run->now, .type = SIM_AT_CANCEL, .index = -1});
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 60),
                                             .type = SIM_AT_EVALUATED,
                                             .index = index,
                                             .what = effect->what});
    } else {
        push_answer(run, (struct sim_queue_item){
                             .type = SIM_AT_EVALUATED, .index = index, .what = effect->what});
    }
}

static void user_cancels(struct sim_run *run, int32_t index)
{
    struct run_event event = {.type = index < 0 ? RUN_EV_CANCEL : RUN_EV_CANCEL_STEP,
                              .now = run->now};

    if (index >= 0)
        event.node = run->nodes[index];
    sim_step_core(run, &event);
}

static void take_one(struct sim_run *run, const struct sim_timer *timer)
{
    struct sim_queue_item item = {
        .type = timer->type, .index = timer->index, .serial = timer->serial, .what = timer->what};

    if (timer->type == SIM_AT_CANCEL)
        user_cancels(run, -1);
    else if (timer->type == SIM_AT_CANCEL_STEP)
        user_cancels(run, timer->index);
    else
        deliver(run, &item);
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
}

static void choose_cancels(struct sim_run *run)
{
    unsigned steps = sim_chance(&run->rng, 25) ? 1 + sim_below(&run->rng, 4) : 0;

    if (sim_chance(&run->rng, 8))
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 4000),
                                             .type = SIM_AT_CANCEL,
                                             .index = -1});
    for (unsigned i = 0; i < steps; i++) {
        pl_ms time = run->now + sim_between(&run->rng, 0, 3000);
        int32_t index = (int32_t)sim_below(&run->rng, (unsigned)run->n);

        sim_schedule(run,
                     (struct sim_timer){.time = time, .type = SIM_AT_CANCEL_STEP, .index = index});
    }
}

static bool compile(struct sim_run *run)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    struct workflow_env env = {0};
    enum pl_code code;

    pl_buf_init(&run->text, 4u << 20);
    sim_generate(&run->rng, &run->text);
    doc_problems_init(&problems, arena);
    code =
        workflow_compile(pl_buf_view(&run->text), sim_chance(&run->rng, 50) ? DOC_JSON : DOC_YAML,
                         &env, &run->workflow, &problems);
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
    run->n = run->workflow->n_steps;
    run->wide = run->n > 40;
    run->steps = sim_alloc(run->n, sizeof(*run->steps));
    run->nodes = sim_alloc(run->n, sizeof(struct run_node *));
    run->touched = sim_alloc(run->n, sizeof(*run->touched));
    run->next_serial = 1;
    run->last = &run->first;
    run->core = run_core_create(run->workflow, run->seed, run->created_at);
    if (!run->core) {
        sim_breach(run, "run_core_create failed");
        return;
    }
    for (size_t i = 0; i < run->n; i++)
        run->nodes[i] = run_core_node(run->core, run->workflow->steps[i]);
    /* The run is durable before anything of it begins; the first crash may come right then. */
    sim_commit_later(run);
    sim_commit_first(run);
    choose_cancels(run);
    if (sim_chance(&run->rng, 2)) { /* before anything has begun */
        user_cancels(
            run, sim_chance(&run->rng, 30) ? -1 : (int32_t)sim_below(&run->rng, (unsigned)run->n));
        sim_finish_activation(run);
    }
    event.now = run->now += sim_between(&run->rng, 0, 5);
    sim_step_core(run, &event);
    if (!run->broken)
        sim_finish_activation(run);
}

bool sim_run_scenario(struct sim_run *run, uint64_t seed, const struct sim_plan *plan)
{
    uint64_t bound;

    *run = (struct sim_run){.seed = seed, .plan = *plan, .rng = {.state = seed}, .hash = seed};
    sim_random(&run->rng);
    choose_mood(run);
    if (compile(run))
        start(run);
    bound = 2000 + 600 * (uint64_t)run->n;
    while (!run->broken && happen(run)) {
        if (run->events > bound)
            sim_breach(run, "the run does not end");
        if (!run->broken && (!run->wide || run->events % 64 == 0))
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
    workflow_unref(&run->workflow);
    pl_buf_finish(&run->text);
    free(run->steps);
    free(run->nodes);
    free(run->touched);
    free(run->heap);
    free(run->queue);
    free(run->history);
}
