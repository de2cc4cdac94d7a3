/* ref_state.c - the second opinion on the state: which writes a step or the end of a body sees, in
 * which order, and their fold; from what was last seen of each step. Written from the contract
 * ("State, reducers, threads"). What it finds is compared with what the core gathers. Called by
 * answers.c when a body's output is made, and by step.c before calls. */
#include "tests/sim/judge.h"

#include "base/json.h"
#include "service/run/run_state.h"

#include <stdlib.h>

/* An instance of a body. */
struct place {
    const struct step_body *body;
    const struct sim_step *owner; /* NULL: the run */
    uint32_t level, number;
};

static bool is_in_step(const struct sim_step *step)
{
    return step->def->parent && step->def->parent->body == step->body;
}

static struct place place_of(const struct sim_step *step)
{
    struct place place = {.body = step->body, .level = step->level, .number = step->number};

    while (is_in_step(step))
        step = step->up;
    place.owner = step->up;
    return place;
}

static bool same_place(const struct place *a, const struct place *b)
{
    return a->body == b->body && a->owner == b->owner && a->level == b->level &&
           a->number == b->number;
}

/* The step of the instance `home` that this one is, or stands in; NULL: it stands elsewhere. */
static const struct sim_step *member(const struct sim_step *step, const struct place *home)
{
    while (step) {
        struct place place = place_of(step);

        if (same_place(&place, home))
            return step;
        step = place.owner;
    }
    return NULL;
}

/* ---- order ---- */

static bool is_within(const struct step_def *def, const struct step_def *around)
{
    while (def && def != around)
        def = def->parent;
    return def != NULL;
}

static int by_number(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Of two instances owned by one step. */
static int compare_places(const struct place *a, const struct place *b)
{
    bool turns = a->owner->def->kind == STEP_REPEAT || a->owner->def->kind == STEP_AGENT;
    uint32_t turn_a = a->body->role == BODY_TOOL ? a->level : a->number;
    uint32_t turn_b = b->body->role == BODY_TOOL ? b->level : b->number;

    if (turns && turn_a != turn_b)
        return by_number(turn_a, turn_b);
    if (a->body != b->body && !(a->body->role == BODY_BRANCH && b->body->role == BODY_BRANCH))
        return by_number(a->body->number, b->body->number);
    if (a->level != b->level)
        return by_number(a->level, b->level);
    return by_number(a->number, b->number);
}

/* Of two steps below `home`: what stands inside a step before the step itself; instances before
 * what handles a failure. */
static int compare(const struct sim_step *a, const struct sim_step *b, const struct place *home)
{
    const struct sim_step *in_a = member(a, home), *in_b = member(b, home);
    struct place next_a, next_b;

    if (in_a != in_b) {
        if (in_a != a && is_within(in_b->def, in_a->def))
            return -1;
        if (in_b != b && is_within(in_a->def, in_b->def))
            return 1;
        if (is_within(in_b->def, in_a->def) || is_within(in_a->def, in_b->def))
            return is_within(in_b->def, in_a->def) ? 1 : -1;
        return by_number(in_a->def->slot, in_b->def->slot);
    }
    if (in_a == a || in_b == b)
        return (in_a == a) - (in_b == b);
    /* the instances of this step in which they stand */
    next_a = place_of(a);
    for (const struct sim_step *up = a; next_a.owner != in_a; next_a = place_of(up))
        up = next_a.owner;
    next_b = place_of(b);
    for (const struct sim_step *up = b; next_b.owner != in_b; next_b = place_of(up))
        up = next_b.owner;
    if (!same_place(&next_a, &next_b))
        return compare_places(&next_a, &next_b);
    return compare(a, b, &next_a);
}

/* ---- who sees what ---- */

static bool is_above(const struct sim_step *above, const struct sim_step *step)
{
    while (step && step != above)
        step = step->up;
    return step != NULL;
}

/* Did every join on the way up count it? As far as the reader does not stand in there too. */
static bool is_counted(const struct sim_step *step, const struct place *home,
                       const struct sim_step *reader)
{
    for (; step && step != home->owner && !(reader && is_above(step, reader)); step = step->up)
        if (sim_is_branch(step) && !sim_counted(step))
            return false;
    return true;
}

static bool waits_for(const struct step_def *later, const struct step_def *def);

/* The same of a step and its branches, whatever they stand in. */
static bool any_waits_for(const struct step_def *later, const struct step_def *def)
{
    if (waits_for(later, def))
        return true;
    for (size_t i = 0; i < later->n_children; i++)
        if (any_waits_for(later->children[i], def))
            return true;
    return false;
}

/* Must `later` have waited for `def`, or for a step that it stands in? */
static bool waits_for(const struct step_def *later, const struct step_def *def)
{
    for (size_t i = 0; i < later->n_deps; i++)
        if (is_within(def, later->deps[i]) || any_waits_for(later->deps[i], def))
            return true;
    return false;
}

static bool came_before(const struct sim_step *writer, const struct sim_step *reader,
                        const struct place *home)
{
    const struct sim_step *of_reader = member(reader, home), *of_writer = member(writer, home);
    struct place in_reader, in_writer;

    for (const struct step_def *def = of_reader->def; def && def->body == home->body;
         def = def->parent)
        if (waits_for(def, of_writer->def))
            return true;
    if (of_reader != of_writer || of_reader == reader || of_writer == writer)
        return false;
    in_reader = place_of(reader);
    for (const struct sim_step *up = reader; in_reader.owner != of_reader; in_reader = place_of(up))
        up = in_reader.owner;
    in_writer = place_of(writer);
    for (const struct sim_step *up = writer; in_writer.owner != of_writer; in_writer = place_of(up))
        up = in_writer.owner;
    if (same_place(&in_reader, &in_writer))
        return came_before(writer, reader, &in_reader);
    if (of_reader->def->kind != STEP_REPEAT && of_reader->def->kind != STEP_AGENT)
        return false;
    return (in_writer.body->role == BODY_TOOL ? in_writer.level : in_writer.number) <
           (in_reader.body->role == BODY_TOOL ? in_reader.level : in_reader.number);
}

/* Judges, scores and groups see what the branches below them wrote: not looked at here. */
static bool is_beyond(const struct sim_step *reader, const struct place *home)
{
    for (const struct sim_step *step = reader; step && step != home->owner; step = step->up)
        if (step->body->role == BODY_COLLAPSE || step->body->role == BODY_JUDGE ||
            step->body->role == BODY_SCORE || step->def->is_handler)
            return true;
    return false;
}

/* ---- the fold ---- */

struct write {
    const struct sim_step *step;
    struct pl_str value;
};

static const struct place *sorting; /* qsort has no room for it; one thread */

static int by_order(const void *a, const void *b)
{
    return compare(((const struct write *)a)->step, ((const struct write *)b)->step, sorting);
}

static struct write *collect(const struct sim_run *run, const struct place *home,
                             const struct state_channel *channel, const struct sim_step *reader,
                             size_t *ret_count)
{
    struct write *writes = NULL;
    size_t n = 0, capacity = 0;

    for (size_t i = 0; i < run->n; i++) {
        const struct sim_step *step = run->steps[i];
        struct pl_str value;
        bool writes_it = false;

        for (size_t k = 0; k < step->def->n_writes; k++)
            writes_it |= step->def->writes[k].channel == channel;
        if (!writes_it || !step->last || step->mirror.state != NODE_SUCCEEDED ||
            !step->last->row.writes || !member(step, home) || !is_counted(step, home, reader) ||
            (reader && !came_before(step, reader, home)) ||
            !json_get(pl_value_text(step->last->row.writes), channel->name, &value))
            continue;
        writes = sim_grow(writes, n, &capacity, sizeof(*writes));
        writes[n++] = (struct write){.step = step, .value = value};
    }
    sorting = home;
    if (n > 1)
        qsort(writes, n, sizeof(*writes), by_order);
    *ret_count = n;
    return writes;
}

static void fold_list(struct pl_buf *out, struct pl_str left, const struct write *writes, size_t n)
{
    bool some = left.len > 2;

    pl_buf_append(out, left.len ? left.ptr : "[", left.len ? left.len - 1 : 1);
    for (size_t i = 0; i < n; i++, some = true) {
        pl_buf_text(out, some ? "," : "");
        pl_buf_str(out, writes[i].value);
    }
    pl_buf_char(out, ']');
}

static void fold_numbers(struct pl_buf *out, enum state_reducer reducer, struct pl_str left,
                         const struct write *writes, size_t n)
{
    int64_t total = 0, number;

    (void)json_int(left, &total);
    for (size_t i = 0; i < n; i++) {
        (void)json_int(writes[i].value, &number);
        if (reducer == REDUCER_SUM)
            total += number;
        else if (number > total)
            total = number;
    }
    pl_buf_printf(out, "%lld", (long long)total);
}

/* The state of `home` after everything in it, or as `reader` sees it. */
static void fold(struct pl_buf *out, const struct sim_run *run, const struct place *home,
                 const struct state_channel *channel, const struct sim_step *reader)
{
    struct pl_buf left;
    struct write *writes;
    size_t n;

    pl_buf_init(&left, 1u << 20);
    if (home->owner && home->owner->def->kind == STEP_REPEAT && home->number > 0) {
        struct place before = *home;

        before.number--;
        fold(&left, run, &before, channel, NULL);
    } else if (channel->initial.ptr) {
        pl_buf_str(&left, channel->initial);
    }
    writes = collect(run, home, channel, reader, &n);
    if (channel->reducer == REDUCER_APPEND)
        fold_list(out, pl_buf_view(&left), writes, n);
    else if (channel->reducer == REDUCER_SUM || channel->reducer == REDUCER_MAX)
        fold_numbers(out, channel->reducer, pl_buf_view(&left), writes, n);
    else
        pl_buf_str(out, n ? writes[n - 1].value : left.len ? pl_buf_view(&left) : PL_STR("null"));
    free(writes);
    pl_buf_finish(&left);
}

/* ---- against what the core gathers ---- */

static void compare_with_core(struct sim_run *run, struct pl_str path,
                              const struct run_node *reader, const struct run_frame *frame,
                              const struct state_channel *channel, struct pl_str should)
{
    struct run_writes writes;
    struct pl_err err = {0};
    struct pl_buf is;

    pl_buf_init(&is, 1u << 20);
    pl_arena_reset(run->arena);
    if (!run_state_gather(run->core, reader, frame, channel, run->arena, &writes) ||
        run_state_fold(&writes, &is, &err) != PL_OK)
        sim_breach(run, "%s: its state cannot be folded: %s", path.ptr, err.message);
    else if (!json_equal(pl_buf_view(&is), should))
        sim_breach(run, "%s: %s sees %s as %.*s, should be %.*s", path.ptr,
                   reader ? "it" : "its end", channel->name.ptr, PL_STR_ARG(pl_buf_view(&is)),
                   PL_STR_ARG(should));
    pl_buf_finish(&is);
}

void sim_state_of_frame(struct sim_run *run, const struct run_frame *frame, struct pl_buf *out)
{
    const struct sim_step *owner = frame->owner ? sim_of(run, frame->owner) : NULL;
    struct place home = {
        .body = frame->body, .owner = owner, .level = frame->level, .number = frame->number};

    json_object_begin(out);
    for (size_t i = 0; i < frame->body->n_channels && !run->broken; i++) {
        const struct state_channel *channel = &frame->body->channels[i];
        struct pl_buf value;

        pl_buf_init(&value, 1u << 20);
        fold(&value, run, &home, channel, NULL);
        compare_with_core(run, owner ? owner->path : PL_STR("the run"), NULL, frame, channel,
                          pl_buf_view(&value));
        json_add_raw(out, channel->name.ptr, pl_buf_view(&value));
        pl_buf_finish(&value);
    }
    json_object_end(out);
}

void sim_judge_state(struct sim_run *run, const struct run_node *node)
{
    const struct sim_step *reader = sim_of(run, node);

    for (const struct run_frame *frame = node->frame; frame && !run->broken;
         frame = frame->owner ? frame->owner->frame : NULL)
        for (size_t i = 0; i < frame->body->n_channels && !run->broken; i++) {
            struct place home = {.body = frame->body,
                                 .owner = frame->owner ? sim_of(run, frame->owner) : NULL,
                                 .level = frame->level,
                                 .number = frame->number};
            struct pl_buf value;

            if (is_beyond(reader, &home))
                continue;
            pl_buf_init(&value, 1u << 20);
            fold(&value, run, &home, &frame->body->channels[i], reader);
            compare_with_core(run, node->path, node, NULL, &frame->body->channels[i],
                              pl_buf_view(&value));
            pl_buf_finish(&value);
        }
}
