/* workflow_cycles.c - finds steps that wait for each other in a circle. Not what a step may refer
 * to (workflow_check.c). Called by wf_check when the dependencies are known.
 *
 * A step has two moments, its begin and its end. The end waits for its begin and for the ends of
 * the steps inside it; the begin waits for the ends of its deps. (That a branch begins after its
 * parallel has begun adds no circle: whoever waits for a branch from outside waits for the end of
 * the parallel, and so for its begin.) One walk in depth looks at each moment once; a moment met
 * again while it is still open closes a circle. The walk keeps its own stack: a chain of 100,000
 * steps must not need one of the thread's. */
#include "service/workflow/workflow_checks.h"

enum {
    CYCLES_SAID = 20, /* loops reported one by one; more are the same mistake again */
    CYCLE_SHOWN = 16, /* steps of one loop that are named */
};

enum colour { UNSEEN, OPEN, DONE };

/* A moment: step index * 2, plus 1 for its end. */
struct walk {
    struct wf_parser *p;
    struct wf_ctx ctx;
    uint8_t *colour;   /* by moment */
    size_t *next_edge; /* by depth: which one to follow next */
    uint32_t *stack;   /* open moments, the first one at the bottom */
    size_t depth;
    uint32_t *circle; /* step indexes of the loop at hand */
    unsigned said;
    bool through_state;
};

static struct step_def *step_of(const struct walk *walk, uint32_t moment)
{
    return walk->p->steps[moment / 2].def;
}

/* The `edge`th moment that `moment` waits for; false when there is no such edge. */
static bool waits_for(const struct walk *walk, uint32_t moment, size_t edge, uint32_t *ret_moment)
{
    const struct step_def *step = step_of(walk, moment);

    if (!(moment & 1u)) {
        if (edge >= step->n_deps)
            return false;
        *ret_moment = step->deps[edge]->index * 2 + 1;
        return true;
    }
    if (edge == 0) { /* first, so that a loop through the begin is told without the steps inside */
        *ret_moment = moment - 1;
        return true;
    }
    if (edge <= step->n_children) {
        *ret_moment = step->children[edge - 1]->index * 2 + 1;
        return true;
    }
    edge -= step->n_children + 1;
    if (step->handler && edge-- == 0) {
        *ret_moment = step->handler->index * 2 + 1;
        return true;
    }
    for (size_t i = 0; i < step->n_bodies; i++) {
        const struct step_body *body = step->bodies[i];
        size_t count = body && body->owner == step ? body->n_top : 0;

        if (edge < count) {
            *ret_moment = body->top[edge]->index * 2 + 1;
            return true;
        }
        edge -= count;
    }
    return false;
}

/* Where it was said that `step` waits for `dep`; NULL: it has it inside. */
static const struct doc_node *reference(const struct walk *walk, const struct step_def *step,
                                        const struct step_def *dep)
{
    for (size_t i = 0; i < step->n_deps; i++)
        if (step->deps[i] == dep)
            return walk->p->steps[step->index].reasons[i];
    return NULL;
}

/* The loop as text, from position `first` of walk->circle and back to it. NULL when memory is out.
 */
static const char *circle_text(struct walk *walk, size_t first, size_t count)
{
    struct pl_arena *scratch = walk->p->scratch;
    const char *text = "";

    for (size_t i = 0; text && i < count && i < CYCLE_SHOWN; i++) {
        const struct step_def *step = walk->p->steps[walk->circle[(first + i) % count]].def;
        text = pl_arena_printf(scratch, "%s%s -> ", text, wf_show(&walk->ctx, step->path));
    }
    if (text && count > CYCLE_SHOWN)
        text = pl_arena_printf(scratch, "%s(%zu more) -> ", text, count - CYCLE_SHOWN);
    return text;
}

/* Tells the loop of `count` steps in walk->circle, each waiting for the next, from the first one
 * written. */
static void say_circle(struct walk *walk, size_t count)
{
    size_t first = 0;

    for (size_t i = 1; i < count; i++)
        if (walk->circle[i] < walk->circle[first])
            first = i;
    const char *text = circle_text(walk, first, count);
    if (!text)
        return;
    const struct step_def *step = walk->p->steps[walk->circle[first]].def;
    const struct doc_node *node = NULL;
    for (size_t i = 0; !node && i < count; i++)
        node = reference(walk, walk->p->steps[walk->circle[(first + i) % count]].def,
                         walk->p->steps[walk->circle[(first + i + 1) % count]].def);
    if (!node)
        node = step->node;
    doc_problem_at(walk->p->problems, node, node == step->node,
                   "steps wait for each other in a circle%s: %s%s; %s",
                   walk->through_state ? " through the state they read and write" : "", text,
                   wf_show(&walk->ctx, step->path),
                   walk->through_state ? "let one of them need the other, or remove a reference"
                                       : "remove one of these references");
}

/* The open moments from `moment` up are a loop: its steps, each once. */
static void close_circle(struct walk *walk, uint32_t moment)
{
    size_t bottom = walk->depth, count = 0;

    if (walk->said++ >= CYCLES_SAID)
        return;
    while (walk->stack[bottom - 1] != moment)
        bottom--;
    for (size_t i = bottom - 1; i < walk->depth; i++) {
        uint32_t index = walk->stack[i] / 2;
        if (count == 0 || walk->circle[count - 1] != index)
            walk->circle[count++] = index;
    }
    if (count > 1 && walk->circle[count - 1] == walk->circle[0])
        count--;
    say_circle(walk, count);
}

static void push(struct walk *walk, uint32_t moment)
{
    walk->colour[moment] = OPEN;
    walk->stack[walk->depth] = moment;
    walk->next_edge[walk->depth] = 0;
    walk->depth++;
}

static void walk_from(struct walk *walk, uint32_t root)
{
    uint32_t other;

    push(walk, root);
    while (walk->depth > 0) {
        uint32_t moment = walk->stack[walk->depth - 1];
        if (!waits_for(walk, moment, walk->next_edge[walk->depth - 1]++, &other)) {
            walk->colour[moment] = DONE;
            walk->depth--;
        } else if (walk->colour[other] == UNSEEN) {
            push(walk, other);
        } else if (walk->colour[other] == OPEN) {
            close_circle(walk, other);
        }
    }
}

bool wf_check_cycles(struct wf_parser *p, bool through_state)
{
    struct walk walk = {.p = p, .ctx = {.p = p}, .through_state = through_state};
    size_t moments = p->n_steps * 2;

    walk.colour = pl_arena_alloc_array(p->scratch, moments + 1, sizeof(*walk.colour));
    walk.next_edge = pl_arena_alloc_array(p->scratch, moments + 1, sizeof(*walk.next_edge));
    walk.stack = pl_arena_alloc_array(p->scratch, moments + 1, sizeof(*walk.stack));
    walk.circle = pl_arena_alloc_array(p->scratch, moments + 1, sizeof(*walk.circle));
    if (!walk.colour || !walk.next_edge || !walk.stack || !walk.circle)
        return false;
    for (size_t i = 0; i < p->n_steps; i++)
        if (walk.colour[i * 2 + 1] == UNSEEN)
            walk_from(&walk, (uint32_t)(i * 2 + 1));
    return walk.said == 0;
}
