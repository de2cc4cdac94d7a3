/* calls.c - see calls.h. */
#include "tests/fake_model/calls.h"

#include "base/json.h"
#include "base/utf8.h"

enum { FRAGMENTS = 3, ARGUMENTS_MAX = 1 << 20 };

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static void write_id(struct pl_str call, uint32_t id, size_t i, struct pl_buf *out)
{
    json_key(out, "id");
    if (member(call, "id").len)
        pl_buf_str(out, member(call, "id"));
    else
        pl_buf_printf(out, "\"call_%08x_%zu\"", id, i);
    json_add_string(out, "type", PL_STR("function"));
}

/* The arguments' text. */
static void write_arguments(struct pl_str call, struct pl_buf *out)
{
    const struct pl_str arguments = member(call, "arguments");

    if (arguments.len && json_type(arguments) == JSON_STRING)
        json_decode_string(arguments, out);
    else
        pl_buf_str(out, arguments.len ? arguments : PL_STR("{}"));
}

void calls_write(struct pl_str script, uint32_t id, struct pl_buf *out)
{
    struct json_iter it;
    struct pl_buf arguments;
    size_t i = 0;

    pl_buf_init(&arguments, ARGUMENTS_MAX);
    json_array_begin(out);
    for (json_iter_init(&it, script); json_iter_next(&it); i++) {
        pl_buf_reset(&arguments);
        write_arguments(it.value, &arguments);
        json_object_begin(out);
        write_id(it.value, id, i, out);
        json_key(out, "function");
        json_object_begin(out);
        json_add_raw(out, "name", member(it.value, "name"));
        json_add_string(out, "arguments", pl_buf_view(&arguments));
        json_object_end(out);
        json_object_end(out);
    }
    json_array_end(out);
    pl_buf_finish(&arguments);
}

size_t calls_fragments(struct pl_str script)
{
    return json_count(script) * FRAGMENTS;
}

void calls_write_fragment(struct pl_str script, uint32_t id, size_t fragment, struct pl_buf *out)
{
    const size_t i = fragment / FRAGMENTS, part = fragment % FRAGMENTS;
    struct pl_buf arguments;
    struct pl_str call, piece;
    size_t half;

    if (!json_at(script, (int64_t)i, &call))
        return;
    pl_buf_init(&arguments, ARGUMENTS_MAX);
    write_arguments(call, &arguments);
    half = pl_utf8_cut(arguments.data ? arguments.data : "", arguments.len / 2);
    piece = part == 0   ? PL_STR("")
            : part == 1 ? pl_str_n(arguments.data, half)
                        : pl_str_n(arguments.data + half, arguments.len - half);
    json_array_begin(out);
    json_object_begin(out);
    json_add_int(out, "index", (int64_t)i);
    if (part == 0)
        write_id(call, id, i, out);
    json_key(out, "function");
    json_object_begin(out);
    if (part == 0)
        json_add_raw(out, "name", member(call, "name"));
    json_add_string(out, "arguments", piece);
    json_object_end(out);
    json_object_end(out);
    json_array_end(out);
    pl_buf_finish(&arguments);
}
