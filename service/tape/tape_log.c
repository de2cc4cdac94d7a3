/* tape_log.c - what came to a run from outside itself, in the order in which it came: recorded,
 * written as the timeline of the file, and found again. Not what the calls among it came to
 * (tape.c) and not who plays it back (run_replay.c). See tape.h.
 *
 * In the file a mark is a text: when it came, in milliseconds from the beginning of the run; "+",
 * when in the same turn as the one before; "&", when in the same, once what that led to was done;
 * "-", when never. Then what it is of: a word, what for,
 * the step's path, and which of several that are the same otherwise, from 2. */
#include "service/tape/tape_private.h"

#include "base/json.h"

#include <stdlib.h>

static const char *const words[TAPE_MARK_KINDS] = {
    [TAPE_RESULT] = "result", [TAPE_DONE] = "done", [TAPE_JQ] = "jq",     [TAPE_TIME] = "time",
    [TAPE_ANSWER] = "answer", [TAPE_HELD] = "held", [TAPE_WENT] = "went", [TAPE_BEGAN] = "began",
};

static const pl_ms TIME_MAX = 1000000000000; /* of a run, in milliseconds */

bool tape_log_init(struct tape *tape)
{
    tape->log_end = &tape->log;
    tape->marks = pl_map_create(tape->arena, 0);
    tape->sorts = pl_map_create(tape->arena, 0);
    tape->by_path = pl_map_create(tape->arena, 0);
    return tape->marks && tape->sorts && tape->by_path;
}

/* ---- keys ---- */

static struct pl_str sort_of(struct tape *tape, enum tape_mark_kind kind, const char *what,
                             struct pl_str path)
{
    return pl_str(pl_arena_printf(tape->arena, "%s%s%s%s%.*s", words[kind], what ? " " : "",
                                  what ? what : "", path.len ? " " : "", PL_STR_ARG(path)));
}

static struct pl_str key_of(struct tape *tape, const struct tape_word *word)
{
    struct pl_str sort = sort_of(tape, word->kind, word->what, word->path);

    if (word->number < 2)
        return sort;
    return pl_str(pl_arena_printf(tape->arena, "%.*s %u", PL_STR_ARG(sort), word->number));
}

unsigned tape_count_one(struct tape *tape, enum tape_mark_kind kind, const char *what,
                        struct pl_str path)
{
    struct pl_str sort = sort_of(tape, kind, what, path);
    unsigned *count;

    if (pl_arena_failed(tape->arena))
        return 0;
    count = pl_map_get(tape->sorts, sort);
    if (count)
        return ++*count;
    count = pl_arena_alloc(tape->arena, sizeof *count);
    if (!count || !pl_map_put(tape->sorts, sort, count, NULL))
        return 0;
    return *count = 1;
}

struct tape_mark *tape_find_mark(struct tape *tape, const struct tape_word *word,
                                 bool *ret_no_memory)
{
    struct pl_str key = key_of(tape, word);

    *ret_no_memory = pl_arena_failed(tape->arena);
    return *ret_no_memory ? NULL : pl_map_get(tape->marks, key);
}

/* ---- recording ---- */

static struct tape_mark *create(struct tape *tape, const struct tape_word *word)
{
    struct tape_mark *mark = pl_arena_alloc(tape->arena, sizeof *mark);

    if (!mark)
        return NULL;
    *mark = (struct tape_mark){.kind = word->kind, .key = key_of(tape, word)};
    if (pl_arena_failed(tape->arena) || !pl_map_put(tape->marks, mark->key, mark, NULL))
        return NULL;
    return mark;
}

static void append(struct tape *tape, struct tape_mark *mark)
{
    *tape->log_end = mark;
    tape->log_last = tape->log_end;
    tape->log_end = &mark->next;
}

struct tape_mark *tape_log_asked(struct tape *tape, const struct tape_word *word)
{
    struct tape_mark *mark = create(tape, word);

    if (!mark)
        return NULL;
    mark->never = true;
    mark->late = tape->asked;
    tape->asked = mark;
    return mark;
}

void tape_log_came(struct tape *tape, struct tape_mark *mark, pl_ms now)
{
    mark->never = false;
    mark->at = now;
    mark->joined = tape->turn_open;
    mark->then = !tape->turn_open && tape->turn_then;
    tape->turn_open = true;
    append(tape, mark);
}

bool tape_log(struct tape *tape, const struct tape_word *word, pl_ms now)
{
    struct tape_mark *mark = create(tape, word);

    if (!mark)
        return false;
    tape_log_came(tape, mark, now);
    return true;
}

bool tape_log_before(struct tape *tape, const struct tape_word *word, pl_ms now)
{
    struct tape_mark *last, *mark;

    if (!tape->log_last)
        return tape_log(tape, word, now);
    mark = create(tape, word);
    if (!mark)
        return false;
    last = *tape->log_last;
    mark->at = now;
    mark->joined = last->joined;
    mark->then = last->then;
    mark->next = last;
    last->joined = true;
    last->then = false;
    *tape->log_last = mark;
    tape->log_last = &mark->next;
    return true;
}

void tape_log_then(struct tape *tape)
{
    tape->turn_then |= tape->turn_open;
    tape->turn_open = false;
}

void tape_log_turn(struct tape *tape)
{
    tape->turn_then = tape->turn_open = false;
}

/* ---- the file ---- */

/* One text; `when` is a sign, or NULL for its time. */
static void write_mark(const struct tape *tape, const struct tape_mark *mark, const char *when,
                       struct pl_buf *text, struct pl_buf *out)
{
    const pl_ms at = mark->at - tape->run.started_at;

    pl_buf_reset(text);
    if (when)
        pl_buf_text(text, when);
    else
        pl_buf_printf(text, "%lld", at > 0 ? (long long)at : 0);
    pl_buf_printf(text, " %.*s", PL_STR_ARG(mark->key));
    json_comma(out);
    json_write_string(out, pl_buf_view(text));
    out->failed |= pl_buf_failed(text);
}

/* One that a budget refused, and that was stopped before it heard so. */
static void write_waits(const struct tape_call *call, struct pl_buf *text, struct pl_buf *out)
{
    pl_buf_reset(text);
    pl_buf_printf(text, "- %s %.*s", words[TAPE_HELD], PL_STR_ARG(call->path));
    if (call->waits > 1)
        pl_buf_printf(text, " %u", call->waits);
    json_comma(out);
    json_write_string(out, pl_buf_view(text));
    out->failed |= pl_buf_failed(text);
}

void tape_log_write(const struct tape *tape, struct pl_buf *out)
{
    struct pl_buf text;

    pl_buf_init(&text, SIZE_MAX / 2);
    json_array_begin(out);
    for (const struct tape_mark *mark = tape->log; mark; mark = mark->next)
        write_mark(tape, mark, mark->joined ? "+" : mark->then ? "&" : NULL, &text, out);
    for (const struct tape_mark *mark = tape->asked; mark; mark = mark->late)
        if (mark->never)
            write_mark(tape, mark, "-", &text, out);
    for (size_t i = 0; i < tape->count; i++)
        if (tape->calls[i]->waits)
            write_waits(tape->calls[i], &text, out);
    json_array_end(out);
    pl_buf_finish(&text);
}

/* Up to the next space, which is taken away too. */
static struct pl_str take_word(struct pl_str *text)
{
    const char *space = text->len ? memchr(text->ptr, ' ', text->len) : NULL;
    struct pl_str word = *text;

    if (!space) {
        *text = (struct pl_str){0};
        return word;
    }
    word.len = (size_t)(space - word.ptr);
    *text = pl_str_n(space + 1, text->len - word.len - 1);
    return word;
}

/* False: it is no time. */
static bool read_time(const struct tape *tape, struct pl_str word, struct tape_mark *mark)
{
    pl_ms at = 0;

    mark->joined = pl_str_is(word, "+");
    mark->then = pl_str_is(word, "&");
    mark->never = pl_str_is(word, "-");
    if (mark->joined || mark->then || mark->never)
        return true;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9' || at > TIME_MAX)
            return false;
        at = at * 10 + (word.ptr[i] - '0');
    }
    mark->at = tape->run.started_at + at;
    return word.len > 0;
}

/* False: it is no mark. */
static bool read_text(const struct tape *tape, struct pl_str text, struct tape_mark *mark)
{
    struct pl_str word = take_word(&text);
    unsigned kind = 0;

    if (!read_time(tape, word, mark))
        return false;
    mark->key = text;
    word = take_word(&text);
    while (kind < TAPE_MARK_KINDS && !pl_str_is(word, words[kind]))
        kind++;
    if (kind == TAPE_MARK_KINDS || (mark->never && kind != TAPE_JQ && kind != TAPE_HELD))
        return false;
    mark->kind = kind;
    if (kind != TAPE_TIME && kind != TAPE_JQ) /* those are found by their key alone */
        mark->path = take_word(&text);
    return mark->path.len > 0 || kind == TAPE_TIME || kind == TAPE_JQ;
}

/* That a call was held is looked up, and not waited for: what came with it may be the first of its
 * turn. */
static void take_its_place(struct tape *tape, struct tape_mark *mark)
{
    if (mark->never)
        return;
    if (mark->joined || mark->then)
        mark->at = tape->log_at;
    if (!mark->joined) {
        tape->turn_open = false;
        tape->turn_then = mark->then;
    }
    tape->log_at = mark->at;
    mark->joined = tape->turn_open;
    mark->then = !tape->turn_open && tape->turn_then;
    if (mark->kind == TAPE_HELD)
        return;
    tape->turn_open = true;
    append(tape, mark);
}

static enum pl_code read_mark(struct tape *tape, struct pl_str token, struct pl_err *err)
{
    struct tape_mark *mark = pl_arena_alloc(tape->arena, sizeof *mark);
    struct pl_str text = json_type(token) == JSON_STRING
                             ? json_decode_string_arena(token, tape->arena)
                             : (struct pl_str){0};

    if (!mark || pl_arena_failed(tape->arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    *mark = (struct tape_mark){0};
    if (!read_text(tape, text, mark))
        return pl_err_set(
            err, PL_ERR_INVALID_ARGUMENT,
            "the timeline of the recording is not whole; record it anew with --record");
    take_its_place(tape, mark);
    return pl_map_put(tape->marks, mark->key, mark, NULL)
               ? PL_OK
               : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

/* Which mark is that of which call. */
static bool join_calls(struct tape *tape)
{
    for (size_t i = 0; i < tape->count; i++) {
        struct tape_call *call = tape->calls[i];
        const struct tape_word word = {
            .kind = TAPE_RESULT, .path = call->path, .number = call->number};
        bool no_memory = false;

        if (call->number)
            call->mark = tape_find_mark(tape, &word, &no_memory);
        if (call->mark)
            call->mark->call = call;
        if (no_memory)
            return false;
    }
    return true;
}

enum pl_code tape_log_read(struct tape *tape, struct pl_str list, struct pl_err *err)
{
    enum pl_code code = PL_OK;
    struct json_iter it;

    if (json_type(list) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "the timeline of the recording is no list; record it anew with --record");
    for (json_iter_init(&it, list); code == PL_OK && json_iter_next(&it);)
        code = read_mark(tape, it.value, err);
    if (code == PL_OK && !join_calls(tape))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}

struct tape_mark *tape_log_first(const struct tape *tape)
{
    return tape->log;
}
