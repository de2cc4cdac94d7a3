/* workflow_order.c - what comes before what, over all bodies: begins and ends of steps as a graph,
 * and which of them wait for which. Not the dependencies themselves (workflow_deps.c). Called by
 * workflow_races.
 *
 * A begin waits for the ends of the deps and for the begin of the step around; an end for the begin
 * and for everything inside; a handler's begin for everything inside the step it handles; a judge
 * for the branches it judges. */
#include "service/workflow/workflow_checks.h"

/* Adds an edge, or counts it while there is no room yet. */
struct builder {
    struct wf_order *order;
    uint32_t *used; /* by moment */
    bool counting;
};

static void edge(struct builder *b, uint32_t from, uint32_t to)
{
    if (!b->counting)
        b->order->edges[b->order->start[from] + b->used[from]] = to;
    b->used[from]++;
}

static uint32_t begin_of(const struct step_def *step)
{
    return step->index * 2;
}

static uint32_t end_of(const struct step_def *step)
{
    return step->index * 2 + 1;
}

/* `moment` waits for the end of everything inside `step`, in bodies of `roles` (a bit mask). */
static void wait_inside(struct builder *b, uint32_t moment, const struct step_def *step,
                        unsigned roles)
{
    for (size_t i = 0; i < step->n_children; i++)
        edge(b, moment, end_of(step->children[i]));
    for (size_t i = 0; i < step->n_bodies; i++) {
        const struct step_body *body = step->bodies[i];

        if (!body || body->owner != step || !(roles & 1u << body->role))
            continue; /* one that was not read; one of another workflow */
        for (size_t k = 0; k < body->n_top; k++)
            edge(b, moment, end_of(body->top[k]));
    }
}

static void add_step(struct builder *b, const struct step_def *step)
{
    uint32_t begin = begin_of(step), end = end_of(step);

    for (size_t i = 0; i < step->n_deps; i++)
        edge(b, begin, end_of(step->deps[i]));
    if (step->parent)
        edge(b, begin, begin_of(step->parent));
    if (step->is_handler)
        wait_inside(b, begin, step->parent, ~0u);
    if (step->body->role == BODY_JUDGE && step->parent == step->body->owner)
        wait_inside(b, begin, step->parent, 1u << BODY_BRANCH | 1u << BODY_SCORE);
    edge(b, end, begin);
    wait_inside(b, end, step, ~0u);
    if (step->handler)
        edge(b, end, end_of(step->handler));
}

static void add_all(struct wf_parser *p, struct builder *b)
{
    for (size_t i = 0; i < p->n_steps; i++)
        add_step(b, p->steps[i].def);
}

/* Puts the moments in a row, by walking backwards from what nothing waits for. */
static bool put_in_sequence(struct wf_parser *p, struct wf_order *order)
{
    size_t n = order->n_moments, head = 0, tail = n;
    uint32_t *waiting = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*waiting));

    if (!waiting)
        return false;
    for (uint32_t i = 0; i < order->start[n]; i++)
        waiting[order->edges[i]]++;
    /* From the back: a moment is placed when all that wait for it are. The queue is the sequence
     * itself, filled downwards. */
    for (size_t m = 0; m < n; m++)
        if (waiting[m] == 0)
            order->sequence[--tail] = (uint32_t)m;
    for (head = n; head > tail;) {
        uint32_t m = order->sequence[--head];

        order->place[m] = (uint32_t)head;
        for (uint32_t i = order->start[m]; i < order->start[m + 1]; i++)
            if (--waiting[order->edges[i]] == 0)
                order->sequence[--tail] = order->edges[i];
    }
    return tail == 0;
}

bool wf_order_create(struct wf_parser *p, struct wf_order *order)
{
    size_t n = p->n_steps * 2;
    struct builder b = {
        .order = order,
        .used = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*b.used)),
        .counting = true,
    };

    *order = (struct wf_order){
        .n_moments = n,
        .start = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*order->start)),
        .sequence = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*order->sequence)),
        .place = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*order->place)),
        .reached = pl_arena_alloc_array(p->scratch, n + 1, sizeof(*order->reached)),
    };
    if (!b.used || !order->start || !order->sequence || !order->place || !order->reached)
        return false;
    add_all(p, &b);
    for (size_t m = 0; m < n; m++) {
        order->start[m + 1] = order->start[m] + b.used[m];
        b.used[m] = 0;
    }
    order->edges = pl_arena_alloc_array(p->scratch, order->start[n] + 1u, sizeof(*order->edges));
    if (!order->edges)
        return false;
    b.counting = false;
    add_all(p, &b);
    return put_in_sequence(p, order);
}

void wf_order_mark(struct wf_order *order, const uint32_t *targets, size_t count)
{
    memset(order->reached, 0, order->n_moments * sizeof(*order->reached));
    for (size_t i = 0; i < count; i++)
        order->reached[targets[i]] |= UINT64_C(1) << i;
    for (size_t at = 0; at < order->n_moments; at++) {
        uint32_t m = order->sequence[at];

        for (uint32_t i = order->start[m]; i < order->start[m + 1]; i++)
            order->reached[m] |= order->reached[order->edges[i]];
    }
}
