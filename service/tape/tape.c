/* tape.c - the calls of a tape: recorded as they begin and end, found again as they are asked for.
 * Not the file (tape_file.c) and not how two requests differ (tape_diff.c). See tape.h. */
#include "service/tape/tape_private.h"

#include "base/json.h"
#include "base/limits.h"

#include <sodium.h>
#include <stdlib.h>

enum { NEAREST_LOOKED_AT = 256 }; /* candidates for "did it mean this one?" */

static pl_ms tape_now(const struct pl_clock *clock)
{
    return atomic_load(&((const struct tape *)clock)->time);
}

struct tape *tape_create(bool record)
{
    struct tape *tape = calloc(1, sizeof *tape);

    if (!tape)
        return NULL;
    tape->clock.now = tape_now;
    tape->record = record;
    tape->changes_end = &tape->changes;
    pl_buf_init(&tape->answers, PL_LIMIT_RUN_OUTPUT_BYTES);
    atomic_init(&tape->time, pl_clock_now(pl_clock_real()));
    tape->arena = pl_arena_create(0);
    if (!tape->arena || !tape_log_init(tape))
        tape_destroy(&tape);
    return tape;
}

void tape_destroy(struct tape **tape)
{
    if (!*tape)
        return;
    pl_buf_finish(&(*tape)->answers);
    pl_arena_destroy(&(*tape)->arena);
    free((*tape)->calls);
    free(*tape);
    *tape = NULL;
}

bool tape_records(const struct tape *tape)
{
    return tape->record;
}

const struct tape_run *tape_run(const struct tape *tape)
{
    return &tape->run;
}

static void set_text(struct tape *tape, struct pl_str *text, struct pl_str value)
{
    if (value.len)
        *text = pl_arena_str(tape->arena, value);
}

bool tape_set_run(struct tape *tape, const struct tape_run *run)
{
    set_text(tape, &tape->run.workflow, run->workflow);
    set_text(tape, &tape->run.id, run->id);
    set_text(tape, &tape->run.model, run->model);
    set_text(tape, &tape->run.input, run->input);
    set_text(tape, &tape->run.answers, run->answers);
    set_text(tape, &tape->run.status, run->status);
    set_text(tape, &tape->run.output, run->output);
    set_text(tape, &tape->run.error, run->error);
    if (run->started_at)
        tape->run.started_at = run->started_at;
    return !pl_arena_failed(tape->arena);
}

const struct pl_clock *tape_clock(const struct tape *tape)
{
    return tape->record ? NULL : &tape->clock;
}

void tape_jump(struct tape *tape, pl_ms time)
{
    if (time > atomic_load(&tape->time))
        atomic_store(&tape->time, time);
}

/* ---- calls ---- */

struct tape_call *tape_add(struct tape *tape)
{
    struct tape_call *call = pl_arena_alloc(tape->arena, sizeof *call);

    if (!call)
        return NULL;
    if (tape->count == tape->capacity) {
        const size_t capacity = tape->capacity ? 2 * tape->capacity : 16;
        struct tape_call **calls = realloc(tape->calls, capacity * sizeof(struct tape_call *));

        if (!calls)
            return NULL;
        tape->calls = calls;
        tape->capacity = capacity;
    }
    *call = (struct tape_call){.retry_after = -1};
    tape->calls[tape->count++] = call;
    return call;
}

static void digest_of(struct pl_str request, char out[65])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)(request.len ? request.ptr : ""), request.len);
    sodium_bin2hex(out, 65, hash, sizeof hash);
}

static struct pl_str keep_short(struct tape *tape, struct pl_str request)
{
    struct pl_buf buf;
    struct pl_str kept;

    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    tape_shorten(request, &buf);
    tape->no_memory |= pl_buf_failed(&buf);
    kept = pl_arena_str(tape->arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
    return kept;
}

struct tape_call *tape_begin(struct tape *tape, struct pl_str path, struct pl_str step,
                             const char *kind, struct pl_str request)
{
    struct tape_call *call = pl_map_get(tape->by_path, path);
    unsigned number = 0;

    /* one that a budget refused is asked once more where calls have come back meanwhile */
    if (call && (call->unsent || (call->failed && call->err.code == PL_ERR_BUDGET_EXCEEDED)))
        number = call->number;
    else
        call = tape_add(tape);
    if (!call)
        return NULL;
    *call = (struct tape_call){.retry_after = -1, .number = number};
    call->path = pl_arena_str(tape->arena, path);
    call->step = pl_arena_str(tape->arena, step);
    call->kind = pl_str(kind);
    call->request = keep_short(tape, request);
    digest_of(request, call->digest);
    if (tape->no_memory || pl_arena_failed(tape->arena) ||
        !pl_map_put(tape->by_path, call->path, call, NULL))
        return NULL;
    return call;
}

struct tape_call *tape_last(const struct tape *tape, struct pl_str path)
{
    return pl_map_get(tape->by_path, path);
}

void tape_unsent(struct tape_call *call)
{
    call->unsent = call->cancelled = true;
}

bool tape_end(struct tape *tape, struct tape_call *call, const struct step_result *result)
{
    struct pl_arena *arena = tape->arena;
    const struct pl_str facts = pl_buf_view(&result->facts);

    if (!call->number)
        call->number = tape_count_one(tape, TAPE_RESULT, NULL, call->path);
    call->order = ++tape->ended;
    call->usage = result->usage;
    call->cancelled = result->err.code == PL_ERR_CANCELLED;
    call->failed = result->err.code != PL_OK && !call->cancelled;
    call->err = result->err;
    call->upstream_status = result->upstream_status;
    call->retry_after = result->retry_after;
    call->no_retry = result->no_retry;
    call->free = result->free;
    if (!call->failed && !call->cancelled)
        call->output = pl_arena_str(arena, pl_value_text(result->output));
    if (result->upstream)
        call->upstream = pl_arena_str(arena, pl_value_text(result->upstream));
    if (facts.len) /* the object is closed when it is taken */
        call->facts = pl_str(pl_arena_printf(arena, "%.*s}", PL_STR_ARG(facts)));
    return call->number && !pl_arena_failed(arena);
}

bool tape_answer(struct tape *tape, struct pl_str path, const struct pl_value *value,
                 struct pl_str reject)
{
    struct pl_buf *out = &tape->answers;

    if (out->len)
        pl_buf_char(out, ',');
    json_write_string(out, path);
    pl_buf_text(out, value ? ":{\"output\":" : ":{\"reject\":");
    if (value)
        json_write_compact(out, pl_value_text(value));
    else
        json_write_string(out, reject);
    pl_buf_char(out, '}');
    return !pl_buf_failed(out);
}

void tape_expect_answers(struct tape *tape, unsigned count)
{
    tape->answers_expected = count;
}

unsigned tape_answers_expected(const struct tape *tape)
{
    return tape->answers_expected;
}

/* ---- playing back ---- */

static struct pl_str alike_key(struct tape *tape, struct pl_str step, const char *digest)
{
    return pl_str(pl_arena_printf(tape->arena, "%s %.*s", digest, PL_STR_ARG(step)));
}

bool tape_index(struct tape *tape)
{
    tape->by_path = pl_map_create(tape->arena, tape->count);
    tape->alike = pl_map_create(tape->arena, tape->count);
    if (!tape->by_path || !tape->alike)
        return false;
    for (size_t i = tape->count; i-- > 0;) { /* from the end: the first comes first in each chain */
        struct tape_call *call = tape->calls[i];
        struct pl_str key = alike_key(tape, call->step, call->digest);

        if (pl_arena_failed(tape->arena))
            return false;
        call->next_at_path = pl_map_get(tape->by_path, call->path);
        call->next_alike = pl_map_get(tape->alike, key);
        if (!pl_map_put(tape->by_path, call->path, call, NULL) ||
            !pl_map_put(tape->alike, key, call, NULL))
            return false;
    }
    return true;
}

static struct tape_call *use(struct tape_call *call)
{
    call->used = true;
    return call;
}

static struct tape_call *find_same(struct tape *tape, const struct tape_call *asked)
{
    struct tape_call *call;
    struct pl_str key = alike_key(tape, asked->step, asked->digest);

    for (call = pl_map_get(tape->by_path, asked->path); call; call = call->next_at_path)
        if (!call->used && strcmp(call->digest, asked->digest) == 0)
            return use(call);
    for (call = pl_map_get(tape->alike, key); call; call = call->next_alike)
        if (!call->used)
            return use(call);
    return NULL;
}

/* The one that differs in the fewest places, first of the same step, then of the same kind. */
static const struct tape_call *find_nearest(const struct tape *tape, const struct tape_call *asked)
{
    const struct tape_call *best = NULL;
    size_t least = SIZE_MAX, looked = 0;

    for (unsigned round = 0; round < 2 && !best; round++) {
        for (size_t i = 0; i < tape->count && looked < NEAREST_LOOKED_AT; i++) {
            const struct tape_call *call = tape->calls[i];
            size_t places;

            if (round == 0 ? !pl_str_eq(call->step, asked->step)
                           : !pl_str_eq(call->kind, asked->kind))
                continue;
            looked++;
            places = tape_diff(asked->request, call->request, "", 0, NULL);
            if (places < least) {
                least = places;
                best = call;
            }
        }
    }
    return best;
}

static bool note(struct tape *tape, enum tape_change_kind kind, const struct tape_call *asked,
                 const struct tape_call *nearest)
{
    struct tape_change *change = pl_arena_alloc(tape->arena, sizeof *change);

    if (!change)
        return false;
    *change = (struct tape_change){
        .kind = kind,
        .path = pl_arena_str(tape->arena, asked->path),
        .step_kind = asked->kind,
        .request = asked->request,
        .nearest = nearest,
    };
    *tape->changes_end = change;
    tape->changes_end = &change->next;
    return !pl_arena_failed(tape->arena);
}

struct tape_call *tape_match(struct tape *tape, struct pl_str path, struct pl_str step,
                             const char *kind, struct pl_str request, bool *ret_no_memory)
{
    struct tape_call asked = {.path = path, .step = step, .kind = pl_str(kind)}, *call;
    bool noted;

    digest_of(request, asked.digest);
    call = find_same(tape, &asked);
    *ret_no_memory = pl_arena_failed(tape->arena);
    if (call || *ret_no_memory)
        return call;
    asked.request = keep_short(tape, request);
    for (call = pl_map_get(tape->by_path, path); call && (call->used || call->lent);)
        call = call->next_at_path;
    if (call) {
        call->lent = true;
        noted = note(tape, TAPE_CHANGED, &asked, call);
    } else {
        noted = note(tape, TAPE_NEW, &asked, find_nearest(tape, &asked));
    }
    *ret_no_memory = !noted || tape->no_memory;
    return call;
}

bool tape_result(const struct tape_call *call, struct step_result *result)
{
    struct json_iter it;

    result->usage = call->usage;
    result->upstream_status = call->upstream_status;
    result->retry_after = call->retry_after;
    result->no_retry = call->no_retry;
    result->free = call->free;
    if (call->cancelled)
        pl_err_set(&result->err, PL_ERR_CANCELLED, "it was stopped");
    else if (call->failed)
        result->err = call->err;
    else if (!(result->output = pl_value_new(call->output)))
        return false;
    if (call->upstream.len && !(result->upstream = pl_value_new(call->upstream)))
        return false;
    if (call->facts.len) { /* without the brace that closes it, as results keep them */
        json_iter_init(&it, call->facts);
        if (json_iter_next(&it))
            pl_buf_str(&result->facts, pl_str_n(call->facts.ptr, call->facts.len - 1));
    }
    return true;
}

const struct tape_change *tape_changes(const struct tape *tape)
{
    return tape->changes;
}

size_t tape_count(const struct tape *tape)
{
    return tape->count;
}

const struct tape_call *tape_at(const struct tape *tape, size_t index)
{
    return tape->calls[index];
}

bool tape_was_made(const struct tape_call *call)
{
    return call->used || call->lent;
}
