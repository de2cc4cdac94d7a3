/* disk.c - what the store would hold of a played run, and starting from it again. Not a store: rows
 * are kept in memory, each commit whole. Called by play.c. */
#include "tests/scenario/scenario.h"

static void keep_step(struct disk *disk, struct disk_row *row, const struct store_step *step)
{
    pl_value_unref(&row->step.output);
    pl_value_unref(&row->step.error);
    row->there = true;
    row->step = *step;
    row->step.reason = pl_arena_str(disk->arena, step->reason);
    row->step.join = pl_arena_str(disk->arena, step->join);
    pl_value_ref(step->output);
    pl_value_ref(step->error);
}

static void keep_run(struct disk *disk, const struct store_run *run)
{
    pl_value_unref(&disk->run.output);
    pl_value_unref(&disk->run.error);
    disk->run = *run;
    disk->run.reason = pl_arena_str(disk->arena, run->reason);
    pl_value_ref(run->output);
    pl_value_ref(run->error);
}

void disk_commit(struct play *play)
{
    struct disk *disk = &play->disk;
    struct run_node *node;

    while ((node = run_core_take_dirty(play->core))) {
        struct store_step step;

        run_core_step_row(play->core, node, play->arena, &step);
        keep_step(disk, &disk->rows[node->def->index], &step);
        if (node->state == NODE_SUCCEEDED)
            play->paid[node->def->index] = true;
    }
    if (run_core_take_run_dirty(play->core)) {
        struct store_run run = {0};

        run_core_run_row(play->core, play->arena, &run);
        keep_run(disk, &run);
    }
}

static enum pl_code try_load(struct play *play, struct run_core **ret_core, struct pl_err *err)
{
    struct disk *disk = &play->disk;
    struct store_step *steps =
        pl_arena_alloc_array(play->arena, play->workflow->n_steps + 1, sizeof(*steps));
    enum pl_code code;
    size_t n = 0;

    for (size_t i = 0; steps && i < play->workflow->n_steps; i++) {
        if (disk->rows[i].there)
            steps[n++] = disk->rows[i].step;
    }
    memory_arm(true);
    code = run_core_load(play->workflow, 7, &disk->run, steps, n, ret_core, err);
    memory_arm(false);
    return code;
}

static struct run_core *load(struct play *play)
{
    struct run_core *core = NULL;
    struct pl_err err = {0};

    if (try_load(play, &core, &err) == PL_ERR_NO_MEMORY && memory_refused())
        err = (struct pl_err){0}; /* the one that fails by order: the next try has memory */
    if (!core && try_load(play, &core, &err) != PL_OK)
        play_breach(play, "the rows cannot be loaded: %s", err.message);
    return core;
}

void disk_load_without_memory(struct play *play)
{
    enum pl_code code = PL_ERR_NO_MEMORY;

    for (unsigned at = 1; code == PL_ERR_NO_MEMORY; at++) {
        struct run_core *core = NULL;
        struct pl_err err = {0};

        memory_set(at);
        code = try_load(play, &core, &err);
        if (code != (memory_refused() ? PL_ERR_NO_MEMORY : PL_OK))
            play_breach(play, "loading without memory: %s %s", pl_code_text(code), err.message);
        run_core_destroy(&core);
    }
    memory_set(0);
}

static void compare_nodes(struct play *play, const struct run_node *a, const struct run_node *b)
{
    bool same = a->state == b->state && a->reason == b->reason && a->handled == b->handled &&
                a->counted == b->counted && a->dependency_failed == b->dependency_failed &&
                a->silent == b->silent && a->attempts == b->attempts && a->tries == b->tries &&
                a->free_tries == b->free_tries && a->open_deps == b->open_deps &&
                a->skipped_deps == b->skipped_deps && a->open_children == b->open_children &&
                a->output == b->output && a->error == b->error && a->failure == b->failure &&
                a->created_at == b->created_at && a->started_at == b->started_at &&
                a->ended_at == b->ended_at && a->wake_at == b->wake_at &&
                a->sent_at == b->sent_at && a->deadline_at == b->deadline_at &&
                !a->join == !b->join;

    if (same && a->join)
        same = a->join->total == b->join->total && a->join->succeeded == b->join->succeeded &&
               a->join->failed == b->join->failed && a->join->skipped == b->join->skipped &&
               a->join->cancelled == b->join->cancelled && a->join->counted == b->join->counted &&
               a->join->decided == b->join->decided && a->join->satisfied == b->join->satisfied &&
               a->join->by_deadline == b->join->by_deadline && a->join->code == b->join->code &&
               a->join->winner == b->join->winner;
    if (!same)
        play_breach(play, "step %s is not the same after loading", a->def->path.ptr);
}

static void compare_runs(struct play *play, struct run_core *other)
{
    struct store_run a = {0}, b = {0};

    run_core_run_row(play->core, play->arena, &a);
    run_core_run_row(other, play->arena, &b);
    if (run_core_state(play->core) != run_core_state(other) ||
        run_core_next_wake(play->core) != run_core_next_wake(other) ||
        run_core_in_flight(play->core) != run_core_in_flight(other) || a.last_seq != b.last_seq ||
        a.started_at != b.started_at || a.ended_at != b.ended_at || a.output != b.output ||
        a.error != b.error || !pl_str_eq(a.reason, b.reason) || a.usage.calls != b.usage.calls)
        play_breach(play, "the run is not the same after loading");
}

void disk_check(struct play *play)
{
    struct run_core *other = load(play);

    if (!other)
        return;
    for (size_t i = 0; i < play->workflow->n_steps; i++)
        compare_nodes(play, run_core_node(play->core, play->workflow->steps[i]),
                      run_core_node(other, play->workflow->steps[i]));
    compare_runs(play, other);
    run_core_destroy(&other);
}

void disk_crash(struct play *play)
{
    struct run_core *other = load(play);

    if (!other)
        return;
    run_core_destroy(&play->core);
    play->core = other;
    run_core_set_trace(play->core, show_move, play);
}

void disk_finish(struct play *play)
{
    struct disk *disk = &play->disk;

    for (size_t i = 0; disk->rows && i < play->workflow->n_steps; i++) {
        pl_value_unref(&disk->rows[i].step.output);
        pl_value_unref(&disk->rows[i].step.error);
    }
    pl_value_unref(&disk->run.output);
    pl_value_unref(&disk->run.error);
    pl_arena_destroy(&disk->arena);
}
