/* disk.c - what the store would hold of a played run, and starting from it again. Not a store: rows
 * are kept in memory, each commit whole. Called by play.c. */
#include "service/run/run_agent.h"
#include "tests/scenario/scenario.h"

/* ---- tracks ---- */

/* Where a frame stands among those of its step, as run_frame_compare has it. */
static void write_place(const struct run_frame *frame, struct pl_buf *out)
{
    const struct step_body *body = frame->body;
    bool turn = body->role == BODY_TURN || body->role == BODY_TOOL || body->role == BODY_LISTING;
    unsigned kind = turn || body->role == BODY_BRANCH ? 0 : body->number;
    unsigned level = body->role == BODY_TURN ? frame->number : frame->level;

    pl_buf_printf(out, "/%04u%08u%04u%08u", kind, level, turn ? body->number : 0, frame->number);
}

static void write_key(const struct run_node *node, struct pl_buf *out)
{
    if (node->frame->owner) {
        write_key(node->frame->owner, out);
        write_place(node->frame, out);
    }
    pl_buf_printf(out, "%06u", node->def->slot);
}

static bool is_before(struct pl_str a, struct pl_str b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order ? order < 0 : a.len < b.len;
}

struct track *disk_track(struct play *play, const struct run_node *node)
{
    struct track *track = pl_map_get(play->by_path, node->path), **at = &play->tracks;
    struct pl_buf key;

    if (track)
        return track;
    track = pl_arena_alloc(play->arena, sizeof(*track));
    if (!track) {
        play_breach(play, "out of memory");
        return NULL;
    }
    pl_buf_init(&key, 4096);
    write_key(node, &key);
    track->path = pl_arena_str(play->arena, node->path);
    track->key = pl_arena_str(play->arena, pl_buf_view(&key));
    pl_buf_finish(&key);
    while (*at && is_before((*at)->key, track->key))
        at = &(*at)->next;
    track->next = *at;
    *at = track;
    pl_map_put(play->by_path, track->path, track, NULL);
    return track;
}

/* ---- rows ---- */

static void set_value(struct pl_value **value, struct pl_value *to)
{
    pl_value_ref(to);
    pl_value_unref(value);
    *value = to;
}

/* As the store does it: what is set seldom stays when a row has none. */
static void keep_step(struct play *play, struct track *track, const struct store_step *step)
{
    struct store_step old = track->row;

    track->there = true;
    track->row = *step;
    track->row.path = track->path;
    track->row.reason = pl_arena_str(play->arena, step->reason);
    track->row.join = pl_arena_str(play->arena, step->join);
    track->row.output = old.output;
    track->row.error = old.error;
    track->row.memo = old.memo;
    track->row.writes = old.writes;
    set_value(&track->row.output, step->output);
    set_value(&track->row.error, step->error);
    if (step->memo)
        set_value(&track->row.memo, step->memo);
    if (step->writes)
        set_value(&track->row.writes, step->writes);
}

static void keep_run(struct play *play, const struct store_run *run)
{
    struct store_run old = play->run;

    play->run = *run;
    play->run.reason = pl_arena_str(play->arena, run->reason);
    play->run.output = old.output;
    play->run.error = old.error;
    set_value(&play->run.output, run->output);
    set_value(&play->run.error, run->error);
}

void disk_commit(struct play *play)
{
    struct run_node *node;

    while ((node = run_core_take_dirty(play->core))) {
        struct track *track = disk_track(play, node);
        struct store_step step;

        if (!track)
            return;
        run_core_step_row(play->core, node, play->arena, &step);
        keep_step(play, track, &step);
        track->paid |= node->state == NODE_SUCCEEDED;
    }
    if (run_core_take_run_dirty(play->core)) {
        struct store_run run = {0};

        run_core_run_row(play->core, play->arena, &run);
        keep_run(play, &run);
    }
}

/* ---- loading ---- */

static enum pl_code try_load(struct play *play, struct run_core **ret_core, struct pl_err *err)
{
    struct store_step *steps =
        pl_arena_alloc_array(play->arena, pl_map_count(play->by_path) + 1, sizeof(*steps));
    enum pl_code code;
    size_t n = 0;

    for (const struct track *track = play->tracks; steps && track; track = track->next) {
        if (track->there)
            steps[n++] = track->row;
    }
    memory_arm(true);
    code = run_core_load(play->workflow, 7, &play->run, steps, n, ret_core, err);
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

/* ---- comparing ---- */

static void compare_nodes(struct play *play, const struct run_node *a, const struct run_node *b)
{
    bool same = a->state == b->state && a->reason == b->reason && a->handled == b->handled &&
                a->counted == b->counted && a->dependency_failed == b->dependency_failed &&
                a->silent == b->silent && a->attempts == b->attempts && a->tries == b->tries &&
                a->free_tries == b->free_tries && a->open_deps == b->open_deps &&
                a->skipped_deps == b->skipped_deps && a->open_children == b->open_children &&
                a->output == b->output && a->error == b->error && a->failure == b->failure &&
                a->memo == b->memo && a->writes == b->writes && a->entered == b->entered &&
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
               a->join->winner == b->join->winner && a->join->fixed == b->join->fixed &&
               a->join->warming == b->join->warming && a->join->warmed == b->join->warmed &&
               a->join->waited == b->join->waited;
    if (!same)
        play_breach(play, "step %s is not the same after loading", a->path.ptr);
}

static bool same_value(const struct pl_value *a, const struct pl_value *b)
{
    return pl_str_eq(pl_value_text(a), pl_value_text(b));
}

/* What a step that may still do something knows: its instance's value, the state, the
 * conversation. */
static void compare_sight(struct play *play, const struct run_core *other, const struct run_node *a,
                          const struct run_node *b)
{
    const struct run_node *owner = a->frame->owner;

    if (a->state == NODE_WAITING || !a->entered || node_state_is_final(a->state))
        return;
    if (!pl_str_eq(answer_state(play, play->core, a, NULL), answer_state(play, other, b, NULL)))
        play_breach(play, "step %s sees another state after loading", a->path.ptr);
    if (!same_value(a->frame->value, b->frame->value))
        play_breach(play, "step %s is of another item or turn after loading", a->path.ptr);
    if (owner && owner->def->kind == STEP_AGENT && a->frame->body->role == BODY_TURN &&
        !pl_str_eq(run_agent_messages(a), run_agent_messages(b)))
        play_breach(play, "turn %s has another conversation after loading", a->path.ptr);
}

static void compare_frames(struct play *play, const struct run_core *other,
                           const struct run_frame *a, const struct run_frame *b)
{
    if (a->over != b->over || a->open != b->open || a->number != b->number ||
        a->level != b->level || a->body != b->body || (!a->over && !same_value(a->state, b->state)))
        play_breach(play, "the frame of %s is not the same after loading", a->nodes[0].path.ptr);
    for (size_t i = 0; !play->breach[0] && i < a->n_nodes; i++) {
        compare_nodes(play, &a->nodes[i], &b->nodes[i]);
        compare_sight(play, other, &a->nodes[i], &b->nodes[i]);
    }
}

/* A frame that is over is gone from a core that went on, and is there again after loading. */
static void compare_steps(struct play *play, const struct run_core *other)
{
    const struct run_frame *last = NULL;

    compare_frames(play, other, run_core_root(play->core), run_core_root(other));
    for (const struct track *track = play->tracks; track && !play->breach[0]; track = track->next) {
        const struct run_node *a = run_core_find(play->core, track->path);
        const struct run_node *b = run_core_find(other, track->path);

        if (!track->there)
            continue;
        if (!b)
            play_breach(play, "step %s is lost after loading", track->path.ptr);
        else if (!a && (!node_state_is_final(b->state) || b->frame->open > 0))
            play_breach(play, "step %s was freed and is not over", track->path.ptr);
        else if (a && a->frame != last)
            compare_frames(play, other, a->frame, b->frame);
        if (a)
            last = a->frame;
    }
}

static void compare_progress(struct play *play, const struct run_core *other)
{
    struct run_progress a = run_core_progress(play->core), b = run_core_progress(other);

    if (a.total != b.total || a.pending != b.pending || a.running != b.running ||
        a.waiting != b.waiting || a.succeeded != b.succeeded || a.failed != b.failed ||
        a.skipped != b.skipped || a.cancelled != b.cancelled)
        play_breach(play, "the run counts its steps otherwise after loading");
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
        a.error != b.error || !pl_str_eq(a.status, b.status) || !pl_str_eq(a.reason, b.reason) ||
        a.usage.calls != b.usage.calls)
        play_breach(play, "the run is not the same after loading");
}

void disk_check(struct play *play)
{
    struct run_core *other = load(play);

    if (!other)
        return;
    compare_steps(play, other);
    compare_progress(play, other);
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
    for (struct track *track = play->tracks; track; track = track->next) {
        pl_value_unref(&track->row.output);
        pl_value_unref(&track->row.error);
        pl_value_unref(&track->row.memo);
        pl_value_unref(&track->row.writes);
    }
    pl_value_unref(&play->run.output);
    pl_value_unref(&play->run.error);
}
