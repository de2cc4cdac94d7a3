/* people.c - who is who: the simulator's side of each step of a run, found by its concrete path.
 * Steps come and go with their frames; what is known of them stays. Not what they do (world.c) nor
 * whether it was right. Called by every file of the simulator. */
#include "tests/sim/sim.h"

#include "base/json.h"

#include <stdlib.h>

uint64_t sim_hash_text(struct pl_str text)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static struct sim_step *look_up(const struct sim_run *run, struct pl_str path, uint64_t key)
{
    struct sim_step *step = run->n_buckets ? run->buckets[key % run->n_buckets] : NULL;

    while (step && !(step->key == key && pl_str_eq(step->path, path)))
        step = step->next;
    return step;
}

struct sim_step *sim_at(const struct sim_run *run, struct pl_str path)
{
    return look_up(run, path, sim_hash_text(path));
}

static void rehash(struct sim_run *run)
{
    free(run->buckets);
    run->n_buckets = run->n_buckets ? run->n_buckets * 4 : 64;
    run->buckets = sim_alloc(run->n_buckets, sizeof(*run->buckets));
    for (size_t i = 0; i < run->n; i++) {
        struct sim_step **bucket = &run->buckets[run->steps[i]->key % run->n_buckets];

        run->steps[i]->next = *bucket;
        *bucket = run->steps[i];
    }
}

static struct sim_step *add(struct sim_run *run, const struct run_node *node, uint64_t key)
{
    struct sim_step *step = sim_alloc(1, sizeof(*step)), **bucket;
    char *path = sim_alloc(node->path.len + 1, 1);
    const struct run_node *up = run_node_up(node);

    if (up)
        step->up = sim_of(run, up);
    memcpy(path, node->path.ptr, node->path.len);
    step->path = pl_str_n(path, node->path.len);
    step->key = key;
    step->def = node->def;
    step->body = node->frame->body;
    step->level = node->frame->level;
    step->number = node->frame->number;
    if (run->n >= run->n_buckets)
        rehash(run);
    run->steps = sim_grow(run->steps, run->n, &run->steps_capacity, sizeof(*run->steps));
    step->id = (uint32_t)run->n;
    run->steps[run->n++] = step;
    bucket = &run->buckets[key % run->n_buckets];
    step->next = *bucket;
    *bucket = step;
    return step;
}

struct sim_step *sim_of(struct sim_run *run, const struct run_node *node)
{
    uint64_t key = sim_hash_text(node->path);
    struct sim_step *step = look_up(run, node->path, key);

    return step ? step : add(run, node, key);
}

struct run_node *sim_node(const struct sim_run *run, const struct sim_step *step)
{
    return run_core_find(run->core, step->path);
}

struct sim_step *sim_sibling(const struct sim_run *run, const struct sim_step *step,
                             const struct step_def *def)
{
    char path[4096];
    size_t prefix = step->path.len - step->def->tail.len;

    if (!def || def->tail.len + prefix >= sizeof(path))
        return NULL;
    memcpy(path, step->path.ptr, prefix);
    if (def->tail.len)
        memcpy(path + prefix, def->tail.ptr, def->tail.len);
    return sim_at(run, pl_str_n(path, prefix + def->tail.len));
}

struct sim_step *sim_instance(const struct sim_run *run, const struct sim_step *owner,
                              const struct step_body *body, uint32_t level, uint32_t number)
{
    /* the names of tools of MCP servers are in the agent's memo */
    struct run_node probe = {.path = owner->path,
                             .memo = owner->last ? owner->last->row.memo : NULL};
    struct sim_step *step;
    struct pl_buf path;

    pl_buf_init(&path, 4096);
    run_frame_write_path(body, &probe, level, number, &path);
    step = sim_at(run, pl_buf_view(&path));
    pl_buf_finish(&path);
    return step;
}

bool sim_is_branch(const struct sim_step *step)
{
    const struct step_def *def = step->def;

    if (def->is_handler || !step->up)
        return false;
    return (def->parent && def->parent->body == def->body) || step->body->role == BODY_BRANCH;
}

/* ---- branches ---- */

size_t sim_branches(const struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    size_t each;

    if (def->kind == STEP_VOTE)
        return def->config.vote->n_among ? def->config.vote->n_among : def->config.vote->samples;
    if (def->kind != STEP_MAP)
        return def->n_children;
    each = def->config.map->batch ? def->config.map->batch : 1;
    return (sim_items(run, step) + each - 1) / each;
}

struct sim_step *sim_branch(const struct sim_run *run, const struct sim_step *step, size_t index)
{
    const struct step_def *def = step->def;

    if (def->kind == STEP_PARALLEL)
        return sim_sibling(run, step, def->children[index]);
    return sim_instance(
        run, step, def->bodies[def->kind == STEP_VOTE && def->config.vote->n_among ? index : 0], 0,
        (uint32_t)index);
}

/* ---- what was last seen ---- */

struct pl_str sim_output(const struct sim_step *step)
{
    return pl_value_text(step && step->last ? step->last->row.output : NULL);
}

struct pl_str sim_error(const struct sim_step *step)
{
    return pl_value_text(step && step->last ? step->last->row.error : NULL);
}

bool sim_handled(const struct sim_step *step)
{
    return step->last && step->last->row.handled;
}

bool sim_counted(const struct sim_step *step)
{
    return step->last && step->last->row.counted;
}

pl_ms sim_started_at(const struct sim_step *step)
{
    return step->last ? step->last->row.started_at : 0;
}

bool sim_is_good(const struct sim_step *step)
{
    return step && (step->mirror.state == NODE_SUCCEEDED || sim_handled(step));
}

void sim_people_finish(struct sim_run *run)
{
    for (size_t i = 0; i < run->n; i++) {
        sim_row_drop(&run->steps[i]->last);
        sim_row_drop(&run->steps[i]->disk);
        free((void *)(uintptr_t)run->steps[i]->path.ptr);
        free(run->steps[i]);
    }
    free(run->steps);
    free(run->buckets);
}

/* ---- those who are asked ---- */

void sim_tell_person(struct sim_run *run, struct sim_step *step)
{
    unsigned times = 1 + sim_chance(&run->rng, run->mood.twice);

    if (step->person)
        return;
    step->person = true;
    if (step->def->config.human->timeout > 0 && sim_chance(&run->rng, run->mood.answer_late))
        times = 0;
    for (unsigned i = 0; i < times; i++)
        sim_schedule(run, (struct sim_timer){.time = run->now + sim_between(&run->rng, 0, 900),
                                             .type = SIM_AT_ANSWER,
                                             .index = (int32_t)step->id,
                                             .serial = run->next_serial++});
}

void sim_person_answers(struct sim_run *run, const struct sim_timer *timer)
{
    struct sim_step *step = run->steps[timer->index];
    struct run_event event = {.type = RUN_EV_ANSWER, .now = run->now, .node = sim_node(run, step)};

    if (!event.node)
        return;
    if (event.node->state != NODE_ASKING)
        run->expect_dropped++;
    if (sim_chance(&run->rng, run->mood.reject)) {
        pl_err_set(&event.err, PL_ERR_REJECTED, "the simulated person says no");
    } else {
        struct pl_buf out;

        pl_buf_init(&out, 256);
        pl_buf_printf(&out, "{\"answer\":%u}", timer->serial);
        event.value = pl_value_take(&out);
        if (event.node->state == NODE_ASKING)
            step->mirror.given = sim_hash_text(pl_value_text(event.value));
    }
    sim_step_core(run, &event);
}
