/* disk.c - the simulated store of one run: rows become durable batch by batch, in order and late; a
 * crash loses what was not, and the core is loaded from the rest and compared with what it was. Not
 * the real store. Called by world.c. */
#include "tests/sim/judge.h"

#include "service/run/run_agent.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- rows that own their strings ---- */

void sim_row_drop(struct sim_row **row)
{
    struct sim_row *gone = *row;

    *row = NULL;
    if (!gone || --gone->refs > 0)
        return;
    pl_value_unref(&gone->row.output);
    pl_value_unref(&gone->row.error);
    pl_value_unref(&gone->row.memo);
    pl_value_unref(&gone->row.writes);
    free(gone);
}

static struct sim_row *row_keep(struct sim_row *row)
{
    if (row)
        row->refs++;
    return row;
}

static struct pl_str keep(char **cursor, struct pl_str text)
{
    struct pl_str kept = {.ptr = text.len ? *cursor : NULL, .len = text.len};

    if (text.len)
        memcpy(*cursor, text.ptr, text.len);
    *cursor += text.len;
    return kept;
}

/* Kind, status, phase and model are texts that outlive the run; the path is the step's own. */
static struct sim_row *row_copy(const struct sim_step *step, const struct store_step *from)
{
    struct sim_row *row = sim_alloc(1, sizeof(*row) + from->reason.len + from->join.len + 1);
    char *cursor = row->text;

    row->refs = 1;
    row->row = *from;
    row->row.path = step->path;
    row->row.reason = keep(&cursor, from->reason);
    row->row.join = keep(&cursor, from->join);
    row->row.output = pl_value_ref(from->output);
    row->row.error = pl_value_ref(from->error);
    row->row.memo = pl_value_ref(from->memo);
    row->row.writes = pl_value_ref(from->writes);
    return row;
}

void sim_take_row(struct sim_run *run, struct sim_step *step, const struct run_node *node)
{
    struct store_step row = {0};

    if (!step->touched) {
        step->touched = true;
        run->touched =
            sim_grow(run->touched, run->n_touched, &run->touched_capacity, sizeof(*run->touched));
        run->touched[run->n_touched++] = step->id;
    }
    pl_arena_reset(run->arena);
    run_core_step_row(run->core, node, run->arena, &row);
    sim_row_drop(&step->last);
    step->last = row_copy(step, &row);
}

static void run_row_finish(struct store_run *row)
{
    pl_value_unref(&row->output);
    pl_value_unref(&row->error);
    free((void *)(uintptr_t)row->reason.ptr);
    free((void *)(uintptr_t)row->options.ptr);
    *row = (struct store_run){0};
}

static struct pl_str duplicate(struct pl_str text)
{
    char *copy = sim_alloc(text.len + 1, 1);

    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return pl_str_n(copy, text.len);
}

/* Status and phase are static texts of run_states; reason and options need a copy. */
static void run_row_copy(struct store_run *to, const struct store_run *from)
{
    *to = *from;
    to->reason = duplicate(from->reason);
    to->options = duplicate(from->options);
    to->output = pl_value_ref(from->output);
    to->error = pl_value_ref(from->error);
}

static uint64_t mix_text(uint64_t hash, struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

static uint64_t mix_number(uint64_t hash, int64_t number)
{
    return sim_hash(hash, (uint64_t)number, 0);
}

static uint64_t row_hash(const struct store_step *row)
{
    uint64_t hash = 0xcbf29ce484222325u;

    hash = mix_text(hash, row->path);
    hash = mix_text(hash, row->status);
    hash = mix_text(hash, row->phase);
    hash = mix_text(hash, row->reason);
    hash = mix_text(hash, row->join);
    hash = mix_text(hash, pl_value_text(row->output));
    hash = mix_text(hash, pl_value_text(row->error));
    hash = mix_text(hash, pl_value_text(row->memo));
    hash = mix_text(hash, pl_value_text(row->writes));
    hash = mix_text(hash, row->model);
    hash = mix_number(hash, row->attempts);
    hash = mix_number(hash, row->tries);
    hash = mix_number(hash, (row->handled ? 2 : 0) + (row->counted ? 1 : 0));
    hash = mix_number(hash, row->usage.calls + 1000 * row->usage.output_tokens);
    hash = mix_number(hash, row->started_at);
    hash = mix_number(hash, row->ended_at);
    hash = mix_number(hash, row->wake_at);
    return mix_number(hash, row->sent_at);
}

/* ---- pictures of a core ---- */

/* What its frame gives it to see. */
static uint64_t around(const struct run_node *node)
{
    const struct run_frame *frame = node->frame;
    uint64_t hash = mix_text(0, pl_value_text(frame->value));

    hash = mix_text(hash, pl_value_text(frame->state));
    if (frame->owner && frame->owner->def->kind == STEP_AGENT && frame->body->role == BODY_TURN)
        hash = mix_text(hash, run_agent_messages(node));
    return hash;
}

static void take_image(struct sim_run *run, const struct run_node *node, struct sim_image *image)
{
    struct store_step row = {0};

    pl_arena_reset(run->arena);
    run_core_step_row(run->core, node, run->arena, &row);
    *image = (struct sim_image){
        .id = sim_of(run, node)->id,
        .state = node->state,
        .reason = node->reason,
        .handled = node->handled,
        .counted = node->counted,
        .dependency_failed = node->dependency_failed,
        .has_join = node->join != NULL,
        .attempts = node->attempts,
        .tries = node->tries,
        .fallback = node->fallback,
        .open_deps = node->open_deps,
        .skipped_deps = node->skipped_deps,
        .open_children = node->open_children,
        .open_frames = node->inner ? node->inner->open : 0,
        .failure = node->failure,
        .wake_at = node->wake_at,
        .sent_at = node->sent_at,
        .deadline_at = node->deadline_at,
        .row = row_hash(&row),
    };
    if (node->join)
        image->join = *node->join;
    if (!node_state_is_final(node->state))
        image->around = around(node);
}

static struct sim_snapshot *take_snapshot(struct sim_run *run)
{
    struct sim_snapshot *snapshot = sim_alloc(1, sizeof(*snapshot));
    size_t capacity = 0;

    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++) {
            snapshot->nodes =
                sim_grow(snapshot->nodes, snapshot->n, &capacity, sizeof(*snapshot->nodes));
            take_image(run, &frame->nodes[i], &snapshot->nodes[snapshot->n++]);
        }
    snapshot->state = run_core_state(run->core);
    snapshot->progress = run_core_progress(run->core);
    snapshot->wake = run_core_next_wake(run->core);
    return snapshot;
}

static void snapshot_free(struct sim_snapshot **snapshot)
{
    if (*snapshot)
        free((*snapshot)->nodes);
    free(*snapshot);
    *snapshot = NULL;
}

static bool same_join(const struct node_join *a, const struct node_join *b)
{
    return a->total == b->total && a->succeeded == b->succeeded && a->failed == b->failed &&
           a->skipped == b->skipped && a->cancelled == b->cancelled && a->counted == b->counted &&
           a->decided == b->decided && a->satisfied == b->satisfied &&
           a->by_deadline == b->by_deadline && a->code == b->code && a->winner == b->winner &&
           a->fixed == b->fixed && a->warming == b->warming && a->warmed == b->warmed &&
           a->waited == b->waited;
}

static void compare_image(struct sim_run *run, const struct sim_image *was)
{
    const struct run_node *node = sim_node(run, run->steps[was->id]);
    const char *what = NULL, *path = run->steps[was->id]->path.ptr;
    struct sim_image is;
    long long old = 0, new = 0;

    if (!node) {
        sim_breach(run, "%s: is not there after loading, it was %s", path,
                   node_state_phase(was->state));
        return;
    }
    take_image(run, node, &is);
#define SAME(field)                      \
    if (!what && was->field != is.field) \
    what = #field, old = (long long)was->field, new = (long long)is.field
    SAME(id);
    SAME(state);
    SAME(reason);
    SAME(handled);
    SAME(counted);
    SAME(dependency_failed);
    SAME(attempts);
    SAME(tries);
    SAME(fallback);
    SAME(open_deps);
    SAME(skipped_deps);
    SAME(failure);
    SAME(wake_at);
    SAME(sent_at);
    SAME(row);
    if (!node_state_is_final(was->state)) {
        SAME(has_join);
        SAME(open_children);
        SAME(open_frames);
        SAME(deadline_at);
        SAME(around);
        if (!what && is.has_join && !same_join(&was->join, &is.join))
            what = "join";
    }
#undef SAME
    if (what)
        sim_breach(run, "%s: after loading, %s is %lld and was %lld (state %s)", path, what, new,
                   old, node_state_phase(was->state));
}

/* Frames that had been freed come back until they are freed again: all in them is over. */
static void compare_extra(struct sim_run *run)
{
    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes && !run->broken; i++) {
            const struct run_node *node = &frame->nodes[i];
            const struct sim_step *step = sim_of(run, node);

            if (step->mirror.state != node->state && !node->silent)
                sim_breach(run, "%s: after loading, it is %s and was %s", step->path.ptr,
                           node_state_phase(node->state), node_state_phase(step->mirror.state));
        }
}

static void compare_snapshot(struct sim_run *run, const struct sim_snapshot *was)
{
    struct run_progress is = run_core_progress(run->core);
    const char *sound = run_core_check(run->core);

    if (sound)
        sim_breach(run, "after loading: %s", sound);
    if (run_core_state(run->core) != was->state)
        sim_breach(run, "after loading, the run is %s and was %s",
                   run_state_phase(run_core_state(run->core)), run_state_phase(was->state));
    for (size_t i = 0; i < was->n && !run->broken; i++)
        compare_image(run, &was->nodes[i]);
    compare_extra(run);
    if (memcmp(&is, &was->progress, sizeof(is)) != 0)
        sim_breach(run, "after loading, the progress differs");
    if (run_core_next_wake(run->core) != was->wake)
        sim_breach(run, "after loading, the next wake is %lld and was %lld",
                   (long long)run_core_next_wake(run->core), (long long)was->wake);
}

static uint64_t run_row_hash(const struct store_run *row)
{
    uint64_t hash = mix_text(0, row->status);

    hash = mix_text(hash, row->phase);
    hash = mix_text(hash, row->reason);
    hash = mix_text(hash, row->options);
    hash = mix_text(hash, pl_value_text(row->output));
    hash = mix_text(hash, pl_value_text(row->error));
    hash = mix_number(hash, row->created_at);
    hash = mix_number(hash, row->started_at);
    hash = mix_number(hash, row->ended_at);
    hash = mix_number(hash, row->last_seq);
    hash = mix_number(hash, row->usage.calls);
    hash = mix_number(hash, row->usage.input_tokens);
    return mix_number(hash, row->usage.output_tokens);
}

/* Says where two rows differ. */
static void tell_difference(struct sim_run *run, const char *path, const struct store_step *is,
                            const struct store_step *was)
{
    struct pl_str texts[][2] = {
        {is->phase, was->phase},
        {is->reason, was->reason},
        {is->join, was->join},
        {pl_value_text(is->output), pl_value_text(was->output)},
        {pl_value_text(is->error), pl_value_text(was->error)},
        {pl_value_text(is->memo), pl_value_text(was->memo)},
        {pl_value_text(is->writes), pl_value_text(was->writes)},
        {pl_value_text(is->call), pl_value_text(was->call)},
        {is->model, was->model},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++)
        if (!pl_str_eq(texts[i][0], texts[i][1]))
            sim_breach(run, "%s: the core says %.*s, its row in the store %.*s", path,
                       PL_STR_ARG(texts[i][0]), PL_STR_ARG(texts[i][1]));
    sim_breach(run,
               "%s: its row in the store is not what the core says (%s): calls %lld is %lld, "
               "attempts %lld is %lld, tries %lld is %lld, started %lld is %lld",
               path, is->phase.ptr, (long long)was->usage.calls, (long long)is->usage.calls,
               (long long)was->attempts, (long long)is->attempts, (long long)was->tries,
               (long long)is->tries, (long long)was->started_at, (long long)is->started_at);
}

static void compare_row(struct sim_run *run, const struct run_node *node)
{
    const struct sim_step *step = sim_of(run, node);
    struct store_step row = {0};

    pl_arena_reset(run->arena);
    run_core_step_row(run->core, node, run->arena, &row);
    if (step->disk) {
        if (row_hash(&row) != row_hash(&step->disk->row))
            tell_difference(run, step->path.ptr, &row, &step->disk->row);
    } else if (node->state != NODE_WAITING && !node->silent) {
        sim_breach(run, "%s: is %s and was never written", step->path.ptr,
                   node_state_phase(node->state));
    }
}

void sim_compare_disk(struct sim_run *run)
{
    struct store_run run_row = {.created_at = run->created_at};

    pl_arena_reset(run->arena);
    run_core_run_row(run->core, run->arena, &run_row);
    if (run_row_hash(&run_row) != run_row_hash(&run->disk_run))
        sim_breach(run, "the run's row in the store is not what the core says (%s)",
                   run_state_phase(run_core_state(run->core)));
    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes && !run->broken; i++)
            compare_row(run, &frame->nodes[i]);
}

/* ---- commits ---- */

/* Does the process die after this commit? */
static bool crash_follows(struct sim_run *run, uint64_t number)
{
    if (run->frozen)
        return false;
    if (run->plan.crash_at >= 0)
        return run->crashes == 0 && number == (uint64_t)run->plan.crash_at;
    return run->crashes < run->mood.max_crashes && sim_below(&run->rng, 1000) < run->mood.crash;
}

void sim_commit_later(struct sim_run *run)
{
    struct store_run run_row = {.created_at = run->created_at};
    struct sim_batch *batch;
    pl_ms delay = 0;

    pl_arena_reset(run->arena);
    if (!run_core_take_run_dirty(run->core) && run->n_touched == 0)
        return;
    batch = sim_alloc(1, sizeof(*batch));
    batch->rows = sim_alloc(run->n_touched, sizeof(*batch->rows));
    for (size_t i = 0; i < run->n_touched; i++) {
        struct sim_step *step = run->steps[run->touched[i]];

        batch->rows[i] = (struct sim_batch_row){
            .id = step->id, .row = row_keep(step->last), .mirror = step->mirror};
        step->touched = false;
    }
    batch->n_rows = run->n_touched;
    run->n_touched = 0;
    /* The run's row goes with every batch: it carries last_seq and usage of the same moment. */
    run_core_run_row(run->core, run->arena, &run_row);
    run_row_copy(&batch->run, &run_row);
    batch->history_len = run->n_history;
    batch->last_seq = run->last_seq;
    batch->waiting = run->waiting;
    batch->number = run->next_batch++;
    if (crash_follows(run, batch->number))
        batch->snapshot = take_snapshot(run);
    if (batch->number > 0 && run->mood.commit_delay > 0 && sim_chance(&run->rng, 60))
        delay = sim_between(&run->rng, 0, (int64_t)run->mood.commit_delay);
    batch->commit_at = run->now + delay;
    if (batch->commit_at < run->last_commit_at)
        batch->commit_at = run->last_commit_at;
    run->last_commit_at = batch->commit_at;
    *run->last = batch;
    run->last = &batch->next;
    if (!run->frozen)
        sim_schedule(run, (struct sim_timer){.time = batch->commit_at, .type = SIM_AT_COMMIT});
}

static void batch_free(struct sim_batch *batch)
{
    for (size_t i = 0; i < batch->n_rows; i++)
        sim_row_drop(&batch->rows[i].row);
    run_row_finish(&batch->run);
    snapshot_free(&batch->snapshot);
    free(batch->rows);
    free(batch);
}

static struct sim_batch *unlink_first(struct sim_run *run)
{
    struct sim_batch *batch = run->first;

    run->first = batch->next;
    if (!run->first)
        run->last = &run->first;
    return batch;
}

static void apply_row(struct sim_run *run, struct sim_batch_row *made, uint64_t number)
{
    struct sim_step *step = run->steps[made->id];
    struct sim_row *row = made->row;

    made->row = NULL;
    if (step->disk && row->row.attempts < step->disk->row.attempts - 1)
        sim_breach(run, "%s: its durable attempts went from %lld to %lld", step->path.ptr,
                   (long long)step->disk->row.attempts, (long long)row->row.attempts);
    sim_row_drop(&step->disk);
    step->disk = row;
    step->disk_mirror = made->mirror;
    if (step_kind_is_leaf(step->def->kind) &&
        (pl_str_is(row->row.phase, "succeeded") || pl_str_is(row->row.phase, "accepting") ||
         pl_str_is(row->row.phase, "finishing")))
        step->paid = true;
    if (step->call == SIM_CALL_WAITS_FOR_COMMIT && step->wait_batch <= number)
        sim_send(run, step);
}

void sim_commit_first(struct sim_run *run)
{
    while (run->first && run->first->commit_at <= run->now && !run->frozen) {
        struct sim_batch *batch;

        if (run->first->number > 0 && sim_chance(&run->rng, run->mood.store_fault)) {
            sim_trace(run, "commit %llu fails and is tried again",
                      (unsigned long long)run->first->number);
            run->first->commit_at = run->now + 100;
            sim_schedule(run, (struct sim_timer){.time = run->now + 100, .type = SIM_AT_COMMIT});
            return;
        }
        batch = unlink_first(run);
        sim_trace(run, "commit %llu", (unsigned long long)batch->number);
        for (size_t i = 0; i < batch->n_rows; i++)
            apply_row(run, &batch->rows[i], batch->number);
        run_row_finish(&run->disk_run);
        run->disk_run = batch->run;
        batch->run = (struct store_run){0};
        run->durable_history = batch->history_len;
        run->durable_seq = batch->last_seq;
        run->durable_waiting = batch->waiting;
        if (batch->snapshot) {
            run->at_crash = batch->snapshot;
            batch->snapshot = NULL;
            run->frozen = true;
            run->fuse = sim_below(&run->rng, 7);
        }
        batch_free(batch);
    }
}

/* ---- crashes ---- */

/* The process is gone: calls, timers, evaluations and rows that were not durable with it. Users are
 * not. */
static void lose_everything(struct sim_run *run)
{
    size_t kept = 0;
    struct sim_timer *timers = run->heap;
    size_t n = run->n_heap;

    run_core_destroy(&run->core);
    while (run->first)
        batch_free(unlink_first(run));
    run->heap = NULL;
    run->n_heap = run->heap_capacity = 0;
    for (size_t i = 0; i < n; i++)
        if (timers[i].type == SIM_AT_CANCEL || timers[i].type == SIM_AT_CANCEL_STEP) {
            sim_schedule(run, timers[i]);
            kept++;
        }
    free(timers);
    run->n_queue = 0;
    run->output_asked = false;
    run->n_touched = 0;
    run->n_history = run->durable_history;
    run->last_seq = run->durable_seq;
    run->waiting = run->durable_waiting;
    run->final_seen = false;
    run->started_at = run->disk_run.started_at;
    run->last_commit_at = run->now;
    run->expect_dropped = 0;
    sim_trace(run, "CRASH, %zu users left", kept);
}

static void lose_step(struct sim_run *run, struct sim_step *step)
{
    step->mirror = step->disk ? step->disk_mirror : (struct sim_mirror){0};
    if (step->def->on_ambiguous == ON_AMBIGUOUS_FAIL && step_kind_is_leaf(step->def->kind) &&
        step->sent > step->mirror.answered) {
        step->never_again = true;
        if (!step->disk || step->disk->row.attempts == 0)
            sim_breach(run, "%s: was called before its intent was durable", step->path.ptr);
    }
    sim_row_drop(&step->last);
    step->last = row_keep(step->disk);
    step->sent = 0;
    step->call = SIM_CALL_NONE;
    step->aborted = step->unsent = step->deferring = step->touched = step->person = false;
    step->evals = 0;
}

static bool load(struct sim_run *run)
{
    struct store_step *rows = sim_alloc(run->n, sizeof(*rows));
    struct pl_err err = {0};
    size_t count = 0;
    enum pl_code code;

    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i]->disk)
            rows[count++] = run->steps[i]->disk->row;
    if (count > 1 && sim_chance(&run->rng, 30)) {
        size_t other = sim_below(&run->rng, (unsigned)count);
        struct store_step swap = rows[other];

        rows[other] = rows[count - 1];
        rows[count - 1] = swap;
    }
    code = run_core_load(run->workflow, run->seed, &run->disk_run, rows, count, &run->core, &err);
    free(rows);
    if (code != PL_OK) {
        sim_breach(run, "loading failed: %s: %s", pl_code_text(code), err.message);
        return false;
    }
    return true;
}

void sim_crash(struct sim_run *run)
{
    struct run_event event = {.type = RUN_EV_RECOVER};

    run->crashes++;
    run->frozen = false;
    lose_everything(run);
    for (size_t i = 0; i < run->n; i++)
        lose_step(run, run->steps[i]);
    sim_lane_lose(run);
    sim_money_lose(run);
    if (run->broken || !load(run))
        return;
    sim_compare_disk(run);
    if (!run->broken)
        compare_snapshot(run, run->at_crash);
    snapshot_free(&run->at_crash);
    sim_mix(run, run->crashes);
    if (run->broken || run_state_is_final(run_core_state(run->core)))
        return;
    sim_needs_load(run);
    for (size_t i = 0; i < run->n; i++)
        if (run->steps[i]->mirror.state == NODE_ASKING)
            sim_tell_person(run, run->steps[i]);
    event.now = run->now +=
        sim_chance(&run->rng, 50) ? sim_between(&run->rng, 0, 50) : sim_between(&run->rng, 0, 6000);
    sim_step_core(run, &event);
    if (!run->broken)
        sim_finish_activation(run);
}

void sim_disk_finish(struct sim_run *run)
{
    while (run->first)
        batch_free(unlink_first(run));
    run_row_finish(&run->disk_run);
    snapshot_free(&run->at_crash);
    pl_arena_destroy(&run->arena);
}
