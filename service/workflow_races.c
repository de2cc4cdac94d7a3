/* workflow_races.c - state and time: who reads a channel waits for those who write it, and two that
 * may write one channel at the same time are refused when it has no reducer. Not the channels
 * themselves (workflow_state.c). Called by workflow_check when the other dependencies are known and
 * have no circle.
 *
 * The rule for readers: a step waits for every writer of what it reads that is declared in its
 * scope - not in a sibling branch - and not downstream of it. A writer that stands inside another
 * step counts as that step: what it wrote is known when that one is done. */
#include "service/workflow_checks.h"

#include "base/limits.h"

#include <stdlib.h>

enum { TARGETS = 64 }; /* moments marked at once */

/* ---- readers wait for writers ---- */

/* `reader` reads what is written inside `writer`; both in one body. */
struct pair {
    const struct step_def *reader, *writer;
    const struct doc_node *reason;
};

struct writers {
    const struct step_def **steps; /* in the order written */
    size_t count, capacity;
};

struct state_deps {
    struct wf_parser *p;
    struct wf_ctx ctx;
    struct wf_order order;
    struct pl_map *by_channel; /* the channel's address -> struct writers */
    struct pair *pairs;
    size_t n_pairs, capacity;
    bool too_many;
};

static struct pl_str address(const struct state_channel *const *channel)
{
    return pl_str_n((const char *)channel, sizeof(*channel));
}

static struct writers *writers_of(const struct state_deps *s, const struct state_channel *channel)
{
    return pl_map_get(s->by_channel, address(&channel));
}

static bool add_writer(struct state_deps *s, const struct step_write *write,
                       const struct step_def *step)
{
    struct writers *writers = writers_of(s, write->channel);

    if (!writers) {
        writers = pl_arena_alloc(s->p->scratch, sizeof(*writers));
        if (!writers || !pl_map_put(s->by_channel, address(&write->channel), writers, NULL))
            return false;
    }
    if (writers->count == writers->capacity) {
        size_t capacity = writers->capacity ? writers->capacity * 2 : 4;
        const struct step_def **steps =
            pl_arena_alloc_array(s->p->scratch, capacity, sizeof(*steps));

        if (!steps)
            return false;
        if (writers->count)
            memcpy(steps, writers->steps, writers->count * sizeof(*steps));
        writers->steps = steps;
        writers->capacity = capacity;
    }
    writers->steps[writers->count++] = step;
    return true;
}

static bool gather_writers(struct state_deps *s)
{
    s->by_channel = pl_map_create(s->p->scratch, 16);
    for (size_t i = 0; s->by_channel && i < s->p->n_steps; i++) {
        const struct step_def *step = s->p->steps[i].def;

        for (size_t k = 0; k < step->n_writes; k++)
            if (step->writes[k].channel && !add_writer(s, &step->writes[k], step))
                return false;
    }
    return s->by_channel != NULL;
}

static unsigned depth_of(const struct step_def *step)
{
    unsigned depth = 0;

    for (; step; step = step->parent)
        depth++;
    return depth;
}

/* True when the two stand in one step as branches that do not see each other. */
static bool are_branches(const struct wf_parser *p, const struct step_def *a,
                         const struct step_def *b)
{
    const struct wf_scope *scope = p->steps[a->index].scope;

    if (a->is_handler || b->is_handler)
        return false;
    return scope->branches || a->body != b->body;
}

/* The step that is or has `writer` inside and that stands beside `reader` or beside one around it;
 * NULL when the reader need not wait: one is inside the other, or they are in sibling branches. */
static const struct step_def *writer_in_scope(const struct wf_parser *p,
                                              const struct step_def *reader,
                                              const struct step_def *writer)
{
    const struct step_def *a = reader, *b = writer;
    unsigned depth_a = depth_of(a), depth_b = depth_of(b);

    while (depth_a > depth_b) {
        a = a->parent;
        depth_a--;
    }
    while (depth_b > depth_a) {
        b = b->parent;
        depth_b--;
    }
    if (a == b)
        return NULL;
    while (a->parent != b->parent) {
        a = a->parent;
        b = b->parent;
    }
    if (a->is_handler || b->is_handler || are_branches(p, a, b))
        return NULL;
    return b;
}

static void add_pair(struct state_deps *s, const struct step_def *reader,
                     const struct step_def *writer, const struct doc_node *reason)
{
    if (s->n_pairs == PL_LIMIT_STATE_EDGES) {
        s->too_many = true;
        return;
    }
    if (s->n_pairs == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 64;
        struct pair *pairs = pl_arena_alloc_array(s->p->scratch, capacity, sizeof(*pairs));

        if (!pairs)
            return;
        if (s->n_pairs)
            memcpy(pairs, s->pairs, s->n_pairs * sizeof(*pairs));
        s->pairs = pairs;
        s->capacity = capacity;
    }
    s->pairs[s->n_pairs++] = (struct pair){reader, writer, reason};
}

/* `step` (in `body`), or an expression of `body` itself, reads a channel. */
static void reads_channel(struct state_deps *s, const struct step_def *step,
                          const struct step_body *body, const struct state_channel *channel,
                          const struct doc_node *reason)
{
    const struct writers *writers = writers_of(s, channel);
    const struct step_def *reader = step ? step : body->owner, *last = NULL;

    /* The output of the body that has the channel is put together behind all its steps. */
    if (!writers || !reader || (!step && channel->body == body))
        return;
    for (size_t i = 0; i < writers->count && !s->too_many; i++) {
        const struct step_def *writer = writer_in_scope(s->p, reader, writers->steps[i]);
        const struct step_def *waits = writer ? wf_lift(reader, writer->body) : NULL;

        if (!waits || writer == last)
            continue;
        last = writer;
        add_pair(s, waits, writer, reason);
    }
}

static void reads(struct state_deps *s, const struct step_def *step, const struct step_body *body,
                  const struct expr *first)
{
    for (const struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++) {
            const struct expr_ref *ref = &expr->refs[i];

            if (ref->root != EXPR_ROOT_STATE)
                continue;
            if (ref->channel)
                reads_channel(s, step, body, ref->channel, expr->node);
            for (const struct step_body *at = ref->name.len ? NULL : body; at;
                 at = at->owner ? at->owner->body : NULL)
                for (size_t k = 0; k < at->n_channels; k++)
                    reads_channel(s, step, body, &at->channels[k], expr->node);
        }
}

/* Of each pair, whether the writer is downstream of the reader; if not, the reader waits. */
static bool keep_pairs(struct state_deps *s, struct wf_deps *deps)
{
    uint32_t targets[TARGETS];

    for (size_t from = 0; from < s->n_pairs; from += TARGETS) {
        size_t count = s->n_pairs - from < TARGETS ? s->n_pairs - from : TARGETS;

        for (size_t i = 0; i < count; i++)
            targets[i] = s->pairs[from + i].reader->index * 2;
        wf_order_mark(&s->order, targets, count);
        for (size_t i = 0; i < count; i++) {
            const struct pair *pair = &s->pairs[from + i];
            struct step_def *writer = s->p->steps[pair->writer->index].def;

            if (!(s->order.reached[writer->index * 2 + 1] & UINT64_C(1) << i) &&
                !wf_add_dep(s->p, deps, pair->reader, writer, pair->reason))
                return false;
        }
    }
    return true;
}

bool wf_add_state_deps(struct wf_parser *p, struct wf_deps *deps)
{
    struct state_deps s = {.p = p, .ctx = {.p = p}};

    if (!gather_writers(&s) || pl_map_count(s.by_channel) == 0)
        return true;
    for (size_t i = 0; i < p->n_steps; i++)
        reads(&s, p->steps[i].def, p->steps[i].def->body, p->steps[i].def->exprs);
    for (size_t i = 0; i < p->n_bodies; i++)
        reads(&s, NULL, p->bodies[i].def, p->bodies[i].def->output_exprs);
    if (s.too_many) {
        wf_problem(&s.ctx, p->root,
                   "more than %d pairs of steps read and write the same state; make the workflow "
                   "smaller",
                   PL_LIMIT_STATE_EDGES);
        return false;
    }
    return s.n_pairs == 0 || (wf_order_create(p, &s.order) && keep_pairs(&s, deps));
}

/* ---- two that may write at the same time ---- */

/* One write to a channel without a reducer. */
struct writing {
    const struct step_def *step;
    const struct state_channel *channel;
    const struct doc_node *node;
    uint32_t place; /* of its end in the order */
};

static int by_channel_and_time(const void *left, const void *right)
{
    const struct writing *a = left, *b = right;

    if (a->channel->node != b->channel->node)
        return a->channel->node < b->channel->node ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

/* Why one step may write twice at the same time: what it stands in runs many times at once. NULL:
 * it does not. */
static const char *many_at_once(const struct step_def *step, const struct step_body *until)
{
    for (const struct step_body *body = step->body; body && body != until;
         body = body->owner ? body->owner->body : NULL) {
        bool map = body->owner && body->owner->kind == STEP_MAP;

        switch (body->role) {
        case BODY_BRANCH:
            if (map || body->owner->config.vote->samples > 1)
                return map ? "items" : "samples";
            break;
        case BODY_COLLAPSE:
            return "groups";
        case BODY_SCORE:
            return "candidates";
        case BODY_TOOL:
            return "calls";
        case BODY_ROOT:
        case BODY_JUDGE:
        case BODY_TURN:
        case BODY_INLINE:
            break;
        }
    }
    return NULL;
}

static void refuse_many(struct wf_ctx *ctx, const struct writing *write, const char *what)
{
    wf_problem_key(ctx, write->node,
                   "'%s' writes '%s' for several %s at the same time; give the channel a reducer, "
                   "such as append",
                   wf_show(ctx, write->step->path), wf_show(ctx, write->channel->name), what);
}

static void refuse_pair(struct wf_ctx *ctx, const struct writing *a, const struct writing *b)
{
    const struct writing *first = a->step->index < b->step->index ? a : b;
    const struct writing *second = first == a ? b : a;

    wf_problem_key(ctx, second->node,
                   "'%s' and '%s' may write '%s' at the same time; give the channel a reducer, "
                   "such as append, or let one of them need the other",
                   wf_show(ctx, first->step->path), wf_show(ctx, second->step->path),
                   wf_show(ctx, first->channel->name));
}

/* All writes to channels without a reducer, by channel and in the order of the graph. */
static struct writing *gather_writings(struct wf_parser *p, const struct wf_order *order,
                                       size_t *ret_count)
{
    size_t count = 0;
    struct writing *all;

    for (size_t i = 0; i < p->n_steps; i++)
        count += p->steps[i].def->n_writes;
    all = pl_arena_alloc_array(p->scratch, count + 1, sizeof(*all));
    count = 0;
    for (size_t i = 0; all && i < p->n_steps; i++) {
        const struct step_def *step = p->steps[i].def;

        for (size_t k = 0; k < step->n_writes; k++) {
            const struct state_channel *channel = step->writes[k].channel;

            if (channel && channel->reducer == REDUCER_NONE)
                all[count++] = (struct writing){step, channel, p->steps[i].writes->items[k],
                                                order->place[step->index * 2 + 1]};
        }
    }
    if (count > 1)
        qsort(all, count, sizeof(*all), by_channel_and_time);
    *ret_count = all ? count : 0;
    return all;
}

/* In the order of the graph each write must be reached by the next: then they all follow each
 * other. */
static void check_following(struct wf_ctx *ctx, struct wf_order *order, const struct writing *all,
                            size_t count)
{
    uint32_t targets[TARGETS];

    for (size_t from = 0; from + 1 < count; from += TARGETS) {
        size_t marked = count - 1 - from < TARGETS ? count - 1 - from : TARGETS;

        for (size_t i = 0; i < marked; i++)
            targets[i] = all[from + i].step->index * 2 + 1;
        wf_order_mark(order, targets, marked);
        for (size_t i = 0; i < marked; i++) {
            const struct writing *a = &all[from + i], *b = a + 1;

            if (a->channel == b->channel &&
                !(order->reached[b->step->index * 2 + 1] & UINT64_C(1) << i))
                refuse_pair(ctx, a, b);
        }
    }
}

void wf_check_races(struct wf_parser *p)
{
    struct wf_ctx ctx = {.p = p};
    struct wf_order order;
    struct writing *all;
    size_t count = 0;

    for (size_t i = 0; i < p->n_steps; i++)
        count += p->steps[i].def->n_writes;
    if (count == 0 || !wf_order_create(p, &order))
        return;
    all = gather_writings(p, &order, &count);
    for (size_t i = 0; i < count; i++) {
        const char *many = many_at_once(all[i].step, all[i].channel->body);

        if (many)
            refuse_many(&ctx, &all[i], many);
    }
    check_following(&ctx, &order, all, count);
}
