/* workflow_races.c - state and time: who reads a channel waits for those who write it, and two that
 * may write one channel at the same time are refused when it has no reducer. Not the channels
 * themselves (workflow_state.c). Called by workflow_check when the other dependencies are known and
 * have no circle.
 *
 * The rule for readers: a step waits for every writer of what it reads that is declared in its
 * scope - not in a sibling branch - and not downstream of it. A writer that stands inside another
 * step counts as that step: what it wrote is known when that one is done. */
#include "service/workflow/workflow_checks.h"

#include "base/limits.h"

#include <stdlib.h>

enum {
    TARGETS = 64,          /* moments marked at once */
    LOOKED_MAX = 20000000, /* channels looked at for readers: then they are too many */
};

/* ---- where a channel is written ---- */

/* Steps inside one step (NULL: at the top) that write a channel or have inside who does, in the
 * order written. */
struct spot {
    const struct state_channel *channel;
    const struct step_def *step;
    const struct step_def **writers;
    size_t count, capacity;
    bool marked; /* the step itself is in the spot around it */
};

/* `reader` reads what is written inside `writer`; both in one body. */
struct pair {
    const struct step_def *reader, *writer;
    const struct doc_node *reason;
};

struct state_deps {
    struct wf_parser *p;
    struct wf_ctx ctx;
    struct wf_order order;
    struct pl_map *spots; /* channel and step -> struct spot */
    struct pair *pairs;   /* those of one reader behind each other */
    size_t n_pairs, capacity;
    size_t looked; /* how often, for one that reads all channels */
    bool too_many;
};

enum { SPOT_KEY = sizeof(struct state_channel *) + sizeof(struct step_def *) };

static struct spot *spot_at(const struct state_deps *s, const struct state_channel *channel,
                            const struct step_def *step)
{
    char key[SPOT_KEY];

    memcpy(key, &channel, sizeof(channel));
    memcpy(key + sizeof(channel), &step, sizeof(step));
    return pl_map_get(s->spots, pl_str_n(key, sizeof(key)));
}

static struct spot *make_spot(struct state_deps *s, const struct state_channel *channel,
                              const struct step_def *step)
{
    struct spot *spot = spot_at(s, channel, step);
    char *key;

    if (spot)
        return spot;
    spot = pl_arena_alloc(s->p->scratch, sizeof(*spot));
    key = pl_arena_alloc(s->p->scratch, SPOT_KEY);
    if (!spot || !key)
        return NULL;
    memcpy(key, &channel, sizeof(channel));
    memcpy(key + sizeof(channel), &step, sizeof(step));
    spot->channel = channel;
    spot->step = step;
    return pl_map_put(s->spots, pl_str_n(key, SPOT_KEY), spot, NULL) ? spot : NULL;
}

static bool add_to_spot(struct state_deps *s, struct spot *spot, const struct step_def *step)
{
    if (spot->count == spot->capacity) {
        size_t capacity = spot->capacity ? spot->capacity * 2 : 4;
        const struct step_def **writers =
            pl_arena_alloc_array(s->p->scratch, capacity, sizeof(*writers));

        if (!writers)
            return false;
        if (spot->count)
            memcpy(writers, spot->writers, spot->count * sizeof(*writers));
        spot->writers = writers;
        spot->capacity = capacity;
    }
    spot->writers[spot->count++] = step;
    return true;
}

/* `step` writes the channel: so do, seen from outside, all that have it inside. */
static bool mark_writer(struct state_deps *s, const struct state_channel *channel,
                        const struct step_def *step)
{
    for (; step && step != channel->body->owner; step = step->parent) {
        struct spot *own = make_spot(s, channel, step), *around;

        if (!own)
            return false;
        if (own->marked)
            return true;
        own->marked = true;
        around = make_spot(s, channel, step->parent);
        if (!around || !add_to_spot(s, around, step))
            return false;
    }
    return true;
}

static bool mark_writers(struct state_deps *s)
{
    s->spots = pl_map_create(s->p->scratch, 16);
    for (size_t i = 0; s->spots && i < s->p->n_steps; i++) {
        const struct step_def *step = s->p->steps[i].def;

        for (size_t k = 0; k < step->n_writes; k++)
            if (step->writes[k].channel && !mark_writer(s, step->writes[k].channel, step))
                return false;
    }
    return s->spots != NULL;
}

/* ---- readers wait for writers ---- */

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

/* The writers beside `at`, which is the reader or has it inside. Branches that do not see each
 * other, and what a handler's step has inside, are not waited for. */
static void writers_beside(struct state_deps *s, const struct step_def *at,
                           const struct step_def *reader, const struct state_channel *channel,
                           const struct doc_node *reason)
{
    const struct spot *spot;

    if (at->is_handler || s->p->steps[at->index].scope->branches)
        return;
    spot = spot_at(s, channel, at->parent);
    for (size_t i = 0; spot && i < spot->count && !s->too_many; i++) {
        const struct step_def *writer = spot->writers[i];

        if (writer != at && writer->body == at->body && !writer->is_handler)
            add_pair(s, wf_lift(reader, writer->body), writer, reason);
    }
}

/* `step` (in `body`), or an expression of `body` itself, reads a channel. */
static void reads_channel(struct state_deps *s, const struct step_def *step,
                          const struct step_body *body, const struct state_channel *channel,
                          const struct doc_node *reason)
{
    const struct step_def *reader = step ? step : body->owner;

    if (++s->looked > LOOKED_MAX)
        s->too_many = true;
    /* The output of the body that has the channel is put together behind all its steps. */
    if (!step && channel->body == body)
        return;
    for (const struct step_def *at = reader; at && at != channel->body->owner && !s->too_many;
         at = at->parent)
        writers_beside(s, at, reader, channel, reason);
}

static void reads(struct state_deps *s, const struct step_def *step, const struct step_body *body,
                  const struct expr *first)
{
    for (const struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs && !s->too_many; i++) {
            const struct expr_ref *ref = &expr->refs[i];

            if (ref->root != EXPR_ROOT_STATE)
                continue;
            if (ref->channel)
                reads_channel(s, step, body, ref->channel, expr->node);
            for (const struct step_body *at = ref->name.len ? NULL : body; at && !s->too_many;
                 at = at->owner ? at->owner->body : NULL)
                for (size_t k = 0; k < at->n_channels && !s->too_many; k++)
                    reads_channel(s, step, body, &at->channels[k], expr->node);
        }
}

/* How many pairs from `from` on have at most TARGETS readers, whose begins go to `targets`. */
static size_t take_readers(const struct state_deps *s, size_t from, uint32_t targets[TARGETS],
                           size_t *ret_targets)
{
    size_t count = 0, at = from;

    for (; at < s->n_pairs; at++) {
        uint32_t begin = s->pairs[at].reader->index * 2;

        if (count && targets[count - 1] == begin)
            continue;
        if (count == TARGETS)
            break;
        targets[count++] = begin;
    }
    *ret_targets = count;
    return at - from;
}

/* Of each pair, whether the writer is downstream of the reader; if not, the reader waits. */
static bool keep_pairs(struct state_deps *s, struct wf_deps *deps)
{
    uint32_t targets[TARGETS];
    size_t n_targets, count;

    for (size_t from = 0; from < s->n_pairs; from += count) {
        size_t bit = 0;

        count = take_readers(s, from, targets, &n_targets);
        wf_order_mark(&s->order, targets, n_targets);
        for (size_t i = from; i < from + count; i++) {
            const struct pair *pair = &s->pairs[i];
            struct step_def *writer = s->p->steps[pair->writer->index].def;

            bit += targets[bit] != pair->reader->index * 2;
            if (!(s->order.reached[writer->index * 2 + 1] & UINT64_C(1) << bit) &&
                !wf_add_dep(s->p, deps, pair->reader, writer, pair->reason))
                return false;
        }
    }
    return true;
}

bool wf_add_state_deps(struct wf_parser *p, struct wf_deps *deps)
{
    struct state_deps s = {.p = p, .ctx = {.p = p}};

    if (!mark_writers(&s) || pl_map_count(s.spots) == 0)
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
        case BODY_LISTING:
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
