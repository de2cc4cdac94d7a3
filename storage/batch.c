/* batch.c - filling a batch. Not writing it (drivers) nor queueing it (writer.c). Called by
 * service/ through store.h, on whichever thread owns the batch. */
#include "storage/batch.h"

#include "base/map.h"

#include <assert.h>
#include <math.h>

enum { FEW_STEPS = 16 }; /* up to here a scan finds a step as fast as a table does */

struct store_batch *store_batch_create(struct pl_str tenant, struct pl_str run)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_batch *batch;

    if (!arena)
        return NULL;
    batch = pl_arena_alloc(arena, sizeof(*batch));
    if (batch) {
        batch->arena = arena;
        batch->tenant = pl_arena_str(arena, tenant);
        batch->run = pl_arena_str(arena, run);
    }
    if (pl_arena_failed(arena)) {
        pl_arena_destroy(&arena);
        return NULL;
    }
    return batch;
}

void store_batch_destroy(struct store_batch **batch)
{
    struct pl_arena *arena;

    if (!batch || !*batch)
        return;
    if ((*batch)->has_run)
        store_run_finish(&(*batch)->run_row);
    if ((*batch)->has_thread)
        store_thread_finish(&(*batch)->thread_row);
    for (struct batch_step *step = (*batch)->steps; step; step = step->next)
        store_step_finish(&step->row);
    arena = (*batch)->arena;
    *batch = NULL;
    pl_arena_destroy(&arena);
}

bool store_batch_failed(const struct store_batch *batch)
{
    return pl_arena_failed(batch->arena);
}

/* Replaces borrowed strings by copies that lie in one piece of the arena. */
static bool own_strings(struct store_batch *batch, struct pl_str *const strings[], size_t count)
{
    size_t total = 0;
    char *at;

    for (size_t i = 0; i < count; i++)
        total += strings[i]->len;
    at = pl_arena_alloc(batch->arena, total);
    if (!at)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct pl_str *string = strings[i];

        if (string->len)
            memcpy(at, string->ptr, string->len);
        string->ptr = string->len ? at : NULL;
        at += string->len;
    }
    batch->bytes += total;
    return true;
}

/* One more reference, held by the batch. */
static void own_value(struct store_batch *batch, struct pl_value **value)
{
    if (!*value)
        return;
    pl_value_ref(*value);
    batch->bytes += pl_value_text(*value).len;
}

/* The same of one that is only set seldom: without it the earlier row's is taken over. */
static void keep_value(struct store_batch *batch, struct pl_value **value,
                       struct pl_value **earlier)
{
    if (*value) {
        own_value(batch, value);
        return;
    }
    *value = *earlier;
    *earlier = NULL;
}

/* No database keeps a NaN; it can only come from arithmetic that lost its meaning. */
static void own_usage(struct store_usage *usage)
{
    if (isnan(usage->cost_usd))
        usage->cost_usd = 0;
}

static void put_fact(struct store_batch *batch, struct batch_facts *facts, struct batch_fact row)
{
    struct batch_fact *place = facts->first;
    struct pl_str *const strings[] = {&row.scope, &row.name, &row.value};

    while (place && !(pl_str_eq(place->scope, row.scope) && pl_str_eq(place->name, row.name)))
        place = place->next;
    if (!own_strings(batch, strings, PL_ARRAY_LEN(strings)))
        return;
    if (place) {
        place->value = row.value;
        return;
    }
    place = pl_arena_alloc(batch->arena, sizeof(*place));
    if (!place)
        return;
    *place = row;
    if (facts->last)
        facts->last->next = place;
    else
        facts->first = place;
    facts->last = place;
    batch->rows++;
}

void store_batch_put_definition(struct store_batch *batch, struct pl_str hash, struct pl_str text)
{
    put_fact(batch, &batch->definitions, (struct batch_fact){.name = hash, .value = text});
}

void store_batch_put_key(struct store_batch *batch, struct pl_str route, struct pl_str key,
                         struct pl_str fingerprint)
{
    put_fact(batch, &batch->keys,
             (struct batch_fact){.scope = route, .name = key, .value = fingerprint});
}

void store_batch_put_thread(struct store_batch *batch, const struct store_thread *thread)
{
    struct store_thread row = *thread;
    struct pl_str *const strings[] = {&row.id};

    assert(row.state && (!batch->has_thread || pl_str_eq(batch->thread_row.id, row.id)));
    if (!own_strings(batch, strings, PL_ARRAY_LEN(strings)))
        return;
    own_value(batch, &row.state);
    if (batch->has_thread)
        store_thread_finish(&batch->thread_row);
    else
        batch->rows++;
    batch->thread_row = row;
    batch->has_thread = true;
}

void store_batch_put_run(struct store_batch *batch, const struct store_run *run)
{
    struct store_run row = *run;
    struct pl_str *const strings[] = {
        &row.definition, &row.workflow_name, &row.status,   &row.phase,
        &row.reason,     &row.thread,        &row.metadata, &row.options,
    };

    assert(pl_str_eq(run->tenant, batch->tenant) && pl_str_eq(run->id, batch->run));
    if (!own_strings(batch, strings, PL_ARRAY_LEN(strings)))
        return;
    row.tenant = batch->tenant;
    row.id = batch->run;
    own_value(batch, &row.input);
    own_value(batch, &row.output);
    own_value(batch, &row.error);
    own_usage(&row.usage);
    if (batch->has_run) {
        row.again = batch->run_row.again;
        store_run_finish(&batch->run_row);
    } else {
        batch->rows++;
    }
    batch->run_row = row;
    batch->has_run = true;
}

/* Where `path` is in the table, or would be. */
static struct batch_step **slot_of(struct batch_step **table, size_t slots, struct pl_str path)
{
    size_t i = (size_t)pl_hash(path) & (slots - 1);

    while (table[i] && !pl_str_eq(table[i]->row.path, path))
        i = (i + 1) & (slots - 1);
    return &table[i];
}

/* A table at most half full, made anew at twice the size when it would be fuller. */
static bool table_fits(struct store_batch *batch)
{
    size_t slots = batch->step_slots ? batch->step_slots : (size_t)FEW_STEPS * 2;
    struct batch_step **table;

    if (batch->step_table && batch->step_count < batch->step_slots / 2)
        return true;
    while (slots <= batch->step_count * 2)
        slots *= 2;
    table = pl_arena_alloc_array(batch->arena, slots, sizeof(struct batch_step *));
    if (!table)
        return false;
    for (struct batch_step *step = batch->steps; step; step = step->next)
        *slot_of(table, slots, step->row.path) = step;
    batch->step_table = table;
    batch->step_slots = slots;
    return true;
}

static struct batch_step *find_step(struct store_batch *batch, struct pl_str path)
{
    struct batch_step *step;

    if (batch->step_count > FEW_STEPS)
        return *slot_of(batch->step_table, batch->step_slots, path);
    for (step = batch->steps; step; step = step->next)
        if (pl_str_eq(step->row.path, path))
            break;
    return step;
}

static struct batch_step *add_step(struct store_batch *batch, struct pl_str path)
{
    struct batch_step *step;

    if (batch->step_count >= FEW_STEPS && !table_fits(batch))
        return NULL;
    step = pl_arena_alloc(batch->arena, sizeof(*step));
    if (!step)
        return NULL;
    step->row.path = path;
    if (batch->step_count >= FEW_STEPS)
        *slot_of(batch->step_table, batch->step_slots, path) = step;
    if (batch->last_step)
        batch->last_step->next = step;
    else
        batch->steps = step;
    batch->last_step = step;
    batch->step_count++;
    batch->rows++;
    return step;
}

void store_batch_put_step(struct store_batch *batch, const struct store_step *step)
{
    struct store_step row = *step;
    struct pl_str *const strings[] = {
        &row.path, &row.kind, &row.status, &row.phase, &row.model, &row.reason, &row.join,
    };
    struct batch_step *place;

    if (!own_strings(batch, strings, PL_ARRAY_LEN(strings)))
        return;
    place = find_step(batch, row.path);
    if (place)
        row.again = place->row.again; /* where it is new in this batch it has no row yet */
    else
        place = add_step(batch, row.path);
    if (!place)
        return;
    own_value(batch, &row.output);
    own_value(batch, &row.error);
    own_value(batch, &row.call);
    keep_value(batch, &row.memo, &place->row.memo);
    keep_value(batch, &row.writes, &place->row.writes);
    own_usage(&row.usage);
    store_step_finish(&place->row);
    place->row = row;
}

/* Where the event of that number is, or belongs. They come in the order of their numbers, so that
 * only one out of order has to be looked for. */
static struct batch_event **event_place(struct store_batch *batch, int64_t seq)
{
    struct batch_event **place = &batch->events;

    if (batch->last_event && seq > batch->last_event->row.seq)
        return &batch->last_event->next;
    while (*place && (*place)->row.seq < seq)
        place = &(*place)->next;
    return place;
}

/* A new event in front of the one at `place`. NULL when out of memory. */
static struct batch_event *add_event(struct store_batch *batch, struct batch_event **place)
{
    struct batch_event *event = pl_arena_alloc(batch->arena, sizeof(*event));

    if (!event)
        return NULL;
    event->next = *place;
    *place = event;
    if (!event->next)
        batch->last_event = event;
    batch->rows++;
    return event;
}

void store_batch_put_event(struct store_batch *batch, const struct store_event *event)
{
    struct store_event row = *event;
    struct pl_str *const strings[] = {&row.type, &row.path, &row.data};
    struct batch_event **place, *own;

    if (!own_strings(batch, strings, PL_ARRAY_LEN(strings)))
        return;
    place = event_place(batch, row.seq);
    own = *place && (*place)->row.seq == row.seq ? *place : add_event(batch, place);
    if (own)
        own->row = row;
}

struct store_batch *store_batch_of_op(const struct store_op *op)
{
    struct store_batch *batch = store_batch_create(op->tenant, op->id);
    struct pl_str *strings[3];

    if (!batch)
        return NULL;
    batch->op = pl_arena_alloc(batch->arena, sizeof(*batch->op));
    if (batch->op) {
        *batch->op = *op;
        batch->op->tenant = batch->tenant;
        batch->op->id = batch->run;
        strings[0] = &batch->op->name;
        strings[1] = &batch->op->text;
        strings[2] = &batch->op->hash;
        own_strings(batch, strings, PL_ARRAY_LEN(strings));
    }
    if (pl_arena_failed(batch->arena))
        store_batch_destroy(&batch);
    return batch;
}

void store_run_finish(struct store_run *run)
{
    pl_value_unref(&run->input);
    pl_value_unref(&run->output);
    pl_value_unref(&run->error);
}

void store_step_finish(struct store_step *step)
{
    pl_value_unref(&step->output);
    pl_value_unref(&step->error);
    pl_value_unref(&step->memo);
    pl_value_unref(&step->writes);
    pl_value_unref(&step->call);
}

void store_thread_finish(struct store_thread *thread)
{
    pl_value_unref(&thread->state);
}

void store_cached_finish(struct store_cached *cached)
{
    pl_value_unref(&cached->output);
    pl_value_unref(&cached->call);
}
