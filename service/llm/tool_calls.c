/* tool_calls.c - see tool_calls.h. Called by openai*.c and sim.c. */
#include "service/llm/tool_calls.h"

#include "base/json.h"
#include "service/llm/llm_parts.h"

#include <stdlib.h>

enum { WORD_MAX = 256, TURN_DIGITS = 20, FIRST = 4 };

void tool_calls_finish(struct tool_calls *calls)
{
    for (size_t i = 0; i < calls->count; i++) {
        pl_buf_finish(&calls->items[i].id);
        pl_buf_finish(&calls->items[i].name);
        pl_buf_finish(&calls->items[i].arguments);
    }
    free(calls->items);
    *calls = (struct tool_calls){0};
}

static bool make_room(struct tool_calls *calls)
{
    const size_t capacity = calls->capacity ? calls->capacity * 2 : FIRST;
    struct tool_call *items;

    if (calls->count < calls->capacity)
        return true;
    items = realloc(calls->items, capacity * sizeof(*items));
    if (!items)
        return false;
    calls->items = items;
    calls->capacity = capacity;
    return true;
}

struct tool_call *tool_calls_add(struct tool_calls *calls, int64_t index, size_t max_arguments)
{
    struct tool_call *call;

    calls->too_many |= calls->count == TOOL_CALLS_MAX;
    calls->no_memory |= !calls->too_many && !make_room(calls);
    if (calls->too_many || calls->no_memory)
        return NULL;
    call = &calls->items[calls->count++];
    *call = (struct tool_call){.index = index};
    pl_buf_init(&call->id, WORD_MAX);
    pl_buf_init(&call->name, WORD_MAX);
    pl_buf_init(&call->arguments, max_arguments);
    return call;
}

struct tool_call *tool_calls_find(struct tool_calls *calls, int64_t index)
{
    for (size_t i = calls->count; i-- > 0;) {
        if (index < 0 || calls->items[i].index == index)
            return &calls->items[i];
    }
    return NULL;
}

size_t tool_calls_bytes(const struct tool_calls *calls)
{
    size_t bytes = 0;

    for (size_t i = 0; i < calls->count; i++)
        bytes += calls->items[i].arguments.len;
    return bytes;
}

static enum pl_code check_call(const struct tool_call *call, size_t number, struct pl_err *err)
{
    const struct pl_buf *const bufs[] = {&call->id, &call->name, &call->arguments};

    for (size_t i = 0; i < PL_ARRAY_LEN(bufs); i++) {
        if (pl_buf_failed(bufs[i]) && !bufs[i]->too_large)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    }
    if (call->arguments.too_large)
        return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                          "the arguments of tool call %zu are larger than %zu bytes", number,
                          call->arguments.max);
    if (call->id.too_large || call->name.too_large || !call->name.len)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "tool call %zu has %s", number,
                          call->name.len ? "a name or an id that is too long" : "no name");
    return PL_OK;
}

enum pl_code tool_calls_check(const struct tool_calls *calls, struct pl_err *err)
{
    if (calls->no_memory)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    if (calls->too_many)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "the answer calls more than %d tools",
                          TOOL_CALLS_MAX);
    for (size_t i = 0; i < calls->count; i++) {
        enum pl_code code = check_call(&calls->items[i], i, err);

        if (code != PL_OK)
            return code;
    }
    return PL_OK;
}

/* ---- ids ---- */

static bool is_taken(const struct tool_calls *calls, size_t n, struct pl_str id)
{
    for (size_t i = 0; i < n; i++) {
        if (pl_str_eq(pl_buf_view(&calls->items[i].id), id))
            return true;
    }
    return false;
}

/* The number a path ends in: the turn. Ids of several turns of one conversation differ by it. */
static struct pl_str last_number(struct pl_str path)
{
    size_t start = path.len;

    while (start > 0 && path.ptr[start - 1] >= '0' && path.ptr[start - 1] <= '9')
        start--;
    return path.len ? pl_str_n(path.ptr + start, path.len - start) : path;
}

static void write_id(const struct tool_calls *calls, size_t i, struct pl_str identity,
                     struct pl_buf *out)
{
    const struct pl_str given = pl_buf_view(&calls->items[i].id), turn = last_number(identity);
    struct pl_buf id;

    if (given.len && !is_taken(calls, i, given)) {
        json_add_string(out, "id", given);
        return;
    }
    pl_buf_init(&id, WORD_MAX);
    pl_buf_text(&id, "call_");
    if (turn.len && turn.len <= TURN_DIGITS) {
        pl_buf_str(&id, turn);
        pl_buf_char(&id, '_');
    }
    pl_buf_printf(&id, "%zu", i);
    while (is_taken(calls, calls->count, pl_buf_view(&id)) && !pl_buf_failed(&id))
        pl_buf_char(&id, '_');
    if (pl_buf_failed(&id))
        out->failed = true;
    json_add_string(out, "id", pl_buf_view(&id));
    pl_buf_finish(&id);
}

void tool_calls_write(const struct tool_calls *calls, struct pl_str content, struct pl_str identity,
                      struct pl_buf *out)
{
    json_object_begin(out);
    json_add_raw(out, "content", content);
    json_key(out, "tool_calls");
    json_array_begin(out);
    for (size_t i = 0; i < calls->count; i++) {
        json_object_begin(out);
        write_id(calls, i, identity, out);
        json_add_string(out, "name", pl_buf_view(&calls->items[i].name));
        json_add_string(out, "arguments", pl_buf_view(&calls->items[i].arguments));
        json_object_end(out);
    }
    json_array_end(out);
    json_object_end(out);
}

void tool_calls_add_replay(const char *kind, struct pl_str json, struct pl_buf *out)
{
    if (pl_buf_failed(out) || !out->len)
        return;
    out->len--; /* the object's end */
    json_key(out, LLM_REPLAY_KEY);
    json_object_begin(out);
    json_add_raw(out, kind, json);
    json_object_end(out);
    json_object_end(out);
}
