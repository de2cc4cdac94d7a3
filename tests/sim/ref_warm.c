/* ref_warm.c - the second opinion on `warm_up`: no branch begins beside the first one before a
 * model has begun to answer it, or it is over, or nothing else goes on; and none waits longer.
 * Written from the contract. Called by step.c and look.c. */
#include "tests/sim/sim.h"

#include <stdlib.h>

/* ---- who waits for whom ---- */

static bool has_model(const struct step_def *def)
{
    bool has = def->kind == STEP_LLM || def->kind == STEP_AGENT;

    for (size_t i = 0; i < def->n_children; i++)
        has |= has_model(def->children[i]);
    for (size_t i = 0; i < def->n_bodies; i++)
        for (size_t k = 0; k < def->bodies[i]->n_top; k++)
            has |= has_model(def->bodies[i]->top[k]);
    return has;
}

/* Is this a join whose first branch is to go alone? */
static bool warms(const struct sim_run *run, const struct sim_step *join)
{
    const struct step_def *def = join->def;

    if (!def->warm_up || sim_branches(run, join) < 2)
        return false;
    if (def->kind == STEP_MAP)
        return def->config.map->concurrency > 1 && has_model(def->bodies[0]->top[0]);
    return has_model(def->children[0]);
}

/* The join it is a branch of, behind the first; NULL: it is none. */
static struct sim_step *waits_in(const struct sim_run *run, const struct sim_step *step)
{
    struct sim_step *join = sim_is_branch(step) ? step->up : NULL;
    bool first;

    if (!join || !join->def->warm_up)
        return NULL;
    first = join->def->kind == STEP_MAP ? step->number == 0 : step->def == join->def->children[0];
    return !first && warms(run, join) ? join : NULL;
}

/* The first branch of a parallel is there from the start, also while nothing was seen of it. */
static const struct run_node *first_node(struct sim_run *run, const struct sim_step *join)
{
    const struct sim_step *first = sim_branch(run, join, 0);
    const struct run_node *node = first ? NULL : sim_node(run, join);

    if (first)
        return sim_node(run, first);
    return node && join->def->kind == STEP_PARALLEL
               ? run_node_at(node->frame, join->def->children[0])
               : NULL;
}

static bool first_is_over(struct sim_run *run, const struct sim_step *join)
{
    const struct sim_step *first = sim_branch(run, join, 0);
    const struct run_node *node = first_node(run, join);

    if (node)
        return node_state_is_final(node->state);
    return first && node_state_is_final(first->mirror.state);
}

static void mark(struct sim_run *run, struct sim_step *join)
{
    if (!join->mirror.warmed)
        join->mirror.warmed_at = run->now;
    join->mirror.warmed = true;
}

/* ---- what lets them go ---- */

void sim_warm_event(struct sim_run *run, const struct run_event *event)
{
    bool answers = event->type == RUN_EV_ANSWERING ||
                   (event->type == RUN_EV_RESULT && event->node->def->kind == STEP_LLM);

    if (!answers || (event->node->state != NODE_CALLING && event->node->state != NODE_STOPPING))
        return;
    for (struct sim_step *step = sim_of(run, event->node)->up; step; step = step->up)
        if (step->def->warm_up)
            mark(run, step);
}

static bool goes_on(enum node_state state)
{
    return !node_state_is_final(state) && state != NODE_WAITING && state != NODE_JOINING &&
           state != NODE_HANDLING && state != NODE_CLOSING && state != NODE_ASKING;
}

/* Those whom something else has let go do not wait. */
static bool is_among_those_who_wait(struct sim_run *run, const struct run_node *node)
{
    for (const struct sim_step *step = sim_of(run, node); step; step = step->up) {
        const struct sim_step *join = waits_in(run, step);

        if (join && !join->mirror.warmed && !first_is_over(run, join))
            return true;
    }
    return false;
}

/* Apart from those who wait, and may just have begun, nothing goes on by itself. */
static bool nothing_else_goes_on(struct sim_run *run)
{
    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            if (goes_on(frame->nodes[i].state) && !is_among_those_who_wait(run, &frame->nodes[i]))
                return false;
    return true;
}

void sim_warm_ended(struct sim_run *run, const struct sim_step *step)
{
    if (sim_is_branch(step) && step->up->def->warm_up && first_is_over(run, step->up))
        mark(run, step->up);
}

/* All at once: what has begun just now because another was let go is not let go with it. */
static void mark_idle(struct sim_run *run)
{
    struct sim_step **idle =
        sim_alloc(run->n + run_core_progress(run->core).total + 1, sizeof(*idle));
    size_t n = 0;

    for (struct run_frame *frame = run_core_root(run->core); frame;
         frame = run_frame_next(run->core, frame))
        for (size_t i = 0; i < frame->n_nodes; i++)
            if (frame->nodes[i].def->warm_up && frame->nodes[i].state == NODE_JOINING &&
                !is_among_those_who_wait(run, &frame->nodes[i]))
                idle[n++] = sim_of(run, &frame->nodes[i]);
    while (n > 0)
        mark(run, idle[--n]);
    free(idle);
}

void sim_warm_idle(struct sim_run *run)
{
    bool some = memmem(run->text.data, run->text.len, "warm_up", 7) != NULL;

    for (size_t i = 0; i < PL_ARRAY_LEN(run->children); i++)
        some |= run->children[i].len &&
                memmem(run->children[i].data, run->children[i].len, "warm_up", 7);
    if (!some || run_core_state(run->core) != RUN_RUNNING || !nothing_else_goes_on(run))
        return;
    mark_idle(run);
}

/* With `losers: drain` the steps of a parallel that is decided go on, begun or not. */
static bool drains(const struct sim_run *run, const struct sim_step *join)
{
    const struct run_node *node = sim_node(run, join);

    return node && node->def->kind == STEP_PARALLEL && node->def->join.drain && node->join &&
           (node->join->decided || /* or was, before the step itself was stopped */
            (node->def->join.deadline > 0 &&
             run->now >= node->started_at + node->def->join.deadline));
}

void sim_warm_began(struct sim_run *run, struct sim_step *step)
{
    struct sim_step *join = waits_in(run, step);

    if (!join || join->mirror.warmed)
        return;
    if (first_is_over(run, join) || drains(run, join) || nothing_else_goes_on(run))
        mark(run, join);
    else
        sim_breach(run, "%s: began while the first branch of %s goes alone", step->path.ptr,
                   join->path.ptr);
}

/* ---- what must be ---- */

void sim_warm_look(struct sim_run *run, const struct run_node *node)
{
    struct sim_step *join = sim_of(run, node);

    if (!node->join || !node->def->warm_up)
        return;
    if (node->join->warming && (join->mirror.warmed || first_is_over(run, join)))
        sim_breach(run, "%s: branches wait and need not", join->path.ptr);
    if (node->join->warmed && !warms(run, join))
        sim_breach(run, "%s: says that branches waited for the first", join->path.ptr);
    /* one that was not open any more when the first branch answered had let them go before */
    if (node->join->warmed && join->mirror.warmed && node->state == NODE_JOINING &&
        node->join->waited != join->mirror.warmed_at - node->started_at)
        sim_breach(run, "%s: branches waited %lld ms, it says %lld", join->path.ptr,
                   (long long)(join->mirror.warmed_at - node->started_at),
                   (long long)node->join->waited);
}
