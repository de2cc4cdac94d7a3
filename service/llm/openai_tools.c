/* openai_tools.c - what OpenAI-compatible servers say of tool calls: the list of a message, and the
 * fragments of a stream. Not putting the fragments together (tool_calls.c). Called by
 * openai_answer.c and openai_stream.c.
 *
 * A fragment belongs to the call with its `index`. Servers differ: some send no index, some send
 * the same index with every call, some repeat id and name with every fragment. So a fragment begins
 * a new call when its index is new, or when it has a name and another id than the call it would
 * belong to; without any index, also when it has a name and the newest call has one. */
#include "service/llm/openai.h"

#include "base/json.h"

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_text(struct pl_str json)
{
    return json.len > 2 && json_type(json) == JSON_STRING;
}

/* Is this string token another id than the call's? */
static bool is_another_id(struct tool_calls *calls, const struct tool_call *call,
                          struct pl_str token)
{
    struct pl_buf text;
    bool another;

    pl_buf_init(&text, call->id.max);
    json_decode_string(token, &text);
    calls->no_memory |= pl_buf_failed(&text) && !text.too_large;
    another = !pl_str_eq(pl_buf_view(&text), pl_buf_view(&call->id));
    pl_buf_finish(&text);
    return another;
}

static bool begins_another(struct tool_calls *calls, const struct tool_call *call, struct pl_str id,
                           struct pl_str name, bool numbered)
{
    if (!is_text(name) || !call->name.len)
        return false;
    if (is_text(id))
        return call->id.len && is_another_id(calls, call, id);
    return !numbered;
}

static void take_arguments(struct pl_str arguments, struct pl_buf *out)
{
    if (json_type(arguments) == JSON_STRING)
        json_decode_string(arguments, out);
    else if (json_type(arguments) == JSON_OBJECT) /* not what the API says; Ollama of old did */
        json_write_compact(out, arguments);
}

/* `piece`: it may go on a call that is there. */
static void take_call(struct openai_parser *parser, struct pl_str item, bool piece)
{
    const struct pl_str function = member(item, "function"), id = member(item, "id");
    const struct pl_str name = member(function, "name"), index_text = member(item, "index");
    const struct pl_str arguments = member(function, "arguments");
    int64_t index = -1;
    struct tool_call *call;

    if (index_text.len && (!json_int(index_text, &index) || index < 0))
        index = -1;
    call = piece ? tool_calls_find(&parser->calls, index) : NULL;
    if (!call || begins_another(&parser->calls, call, id, name, index >= 0))
        call = tool_calls_add(&parser->calls, index, parser->text.max);
    if (!call)
        return;
    if (is_text(id) && !call->id.len)
        json_decode_string(id, &call->id);
    if (is_text(name) && !call->name.len)
        json_decode_string(name, &call->name);
    if (arguments.len)
        take_arguments(arguments, &call->arguments);
}

void openai_read_calls(struct pl_str message, bool piece, struct openai_parser *parser)
{
    const struct pl_str list = member(message, "tool_calls");
    struct json_iter it;

    if (!parser->request->tools.len || !list.len || json_type(list) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        if (json_type(it.value) == JSON_OBJECT)
            take_call(parser, it.value, piece);
    }
}
