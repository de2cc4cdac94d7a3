/* messages.c - see messages.h. */
#include "tests/fake_model/messages.h"

#include "base/json.h"
#include "base/utf8.h"

enum { JSON_MAX = 1 << 20 };

/* Thoughts and their signature, as JSON tokens: escapes and all must come back. */
#define THOUGHT   "\"Let me think \\u2014 about \\\"this\\\".\\n\""
#define SIGNATURE "\"EqQBCgIYAhIM/+a1b2c3==\""

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

/* ---- requests ---- */

static bool is_type(struct pl_str block, const char *token)
{
    return pl_str_is(member(block, "type"), token);
}

/* An assistant's content that calls tools begins with the thoughts. */
static bool lacks_thoughts(struct pl_str content)
{
    struct json_iter it;
    struct pl_str first;
    bool calls = false;

    if (!content.len || json_type(content) != JSON_ARRAY || !json_at(content, 0, &first))
        return false;
    for (json_iter_init(&it, content); json_iter_next(&it);)
        calls |= is_type(it.value, "\"tool_use\"");
    return calls &&
           !(is_type(first, "\"thinking\"") && pl_str_is(member(first, "signature"), SIGNATURE) &&
             member(first, "thinking").len &&
             json_equal(member(first, "thinking"), PL_STR(THOUGHT)));
}

/* Results of tools stand before texts, and roles alternate. */
static const char *message_problem(struct pl_str message, struct pl_str before, bool think)
{
    const struct pl_str content = member(message, "content"), role = member(message, "role");
    struct json_iter it;
    bool text = false;

    if (!pl_str_is(role, "\"user\"") && !pl_str_is(role, "\"assistant\""))
        return "messages: Input should be 'user' or 'assistant'";
    if (before.len && pl_str_eq(role, member(before, "role")))
        return "messages: roles must alternate";
    if (!content.len)
        return "messages: content: Field required";
    if (think && pl_str_is(role, "\"assistant\"") && lacks_thoughts(content))
        return "messages: Expected `thinking` as it was returned, when thinking is enabled";
    if (json_type(content) != JSON_ARRAY)
        return NULL;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        text |= is_type(it.value, "\"text\"");
        if (is_type(it.value, "\"tool_result\"") && text)
            return "messages: `tool_result` blocks must come first";
        if (is_type(it.value, "\"text\"") && member(it.value, "text").len <= 2)
            return "messages: text content blocks must be non-empty";
    }
    return NULL;
}

const char *messages_problem(struct pl_str body, bool think)
{
    const struct pl_str messages = member(body, "messages"), max = member(body, "max_tokens");
    struct pl_str before = {0};
    struct json_iter it;
    const char *problem;

    if (!max.len || json_type(max) != JSON_NUMBER)
        return "max_tokens: Field required";
    if (member(body, "seed").len)
        return "seed: Extra inputs are not permitted";
    if (!messages.len || json_type(messages) != JSON_ARRAY || !json_count(messages))
        return "messages: at least one message is required";
    for (json_iter_init(&it, messages); json_iter_next(&it); before = it.value)
        if ((problem = message_problem(it.value, before, think)))
            return problem;
    return NULL;
}

/* ---- errors ---- */

static const char *type_of(int status)
{
    static const struct {
        int status;
        const char *type;
    } types[] = {
        {400, "invalid_request_error"}, {401, "authentication_error"}, {402, "billing_error"},
        {403, "permission_error"},      {404, "not_found_error"},      {413, "request_too_large"},
        {429, "rate_limit_error"},      {504, "timeout_error"},        {529, "overloaded_error"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(types); i++)
        if (types[i].status == status)
            return types[i].type;
    return "api_error";
}

void messages_write_error(struct pl_buf *out, int status, const struct behaviour *behaviour)
{
    const char *type = behaviour->code[0] ? behaviour->code : type_of(status);

    pl_buf_text(out, "{\"type\":\"error\",\"error\":{");
    json_add_string(out, "type", pl_str(type));
    json_key(out, "message");
    if (behaviour->problem)
        json_write_string(out, pl_str(behaviour->problem));
    else
        pl_buf_printf(out, "\"fake model answers %d\"", status);
    pl_buf_printf(out, "},\"request_id\":\"req-%d\"}", status);
}

/* ---- pieces ---- */

static const char *stop_reason(const struct behaviour *behaviour)
{
    if (behaviour->fault == FAULT_LENGTH)
        return "max_tokens";
    if (behaviour->fault == FAULT_REFUSE || behaviour->fault == FAULT_FILTER)
        return "refusal";
    return behaviour->calls[0] ? "tool_use" : "end_turn";
}

static void write_call_start(struct pl_buf *out, struct pl_str call, uint32_t id, size_t i)
{
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("tool_use"));
    json_key(out, "id");
    if (member(call, "id").len)
        pl_buf_str(out, member(call, "id"));
    else
        pl_buf_printf(out, "\"toolu_%08x_%zu\"", id, i);
    json_add_raw(out, "name", member(call, "name"));
}

static struct pl_str arguments_of(struct pl_str call)
{
    const struct pl_str arguments = member(call, "arguments");

    return arguments.len ? arguments : PL_STR("{}");
}

/* The head of a message, up to its content. */
static void write_head(struct pl_buf *out, const struct fake_request *request)
{
    pl_buf_printf(out, "{\"id\":\"msg_%08x\",\"type\":\"message\",\"role\":\"assistant\"",
                  request->id);
    json_add_string(out, "model", request->model);
}

static void write_usage(struct pl_buf *out, const struct fake_request *request, int output)
{
    pl_buf_printf(out,
                  "\"usage\":{\"input_tokens\":%zu,\"cache_creation_input_tokens\":2,"
                  "\"cache_read_input_tokens\":3,\"output_tokens\":%d}",
                  request->body_len / 4, output);
}

/* ---- whole ---- */

static void write_calls(struct pl_buf *out, const struct fake_request *request,
                        const struct behaviour *behaviour)
{
    struct json_iter it;
    size_t i = 0;

    for (json_iter_init(&it, pl_str(behaviour->calls)); json_iter_next(&it); i++) {
        json_comma(out);
        write_call_start(out, it.value, request->id, i);
        json_add_raw(out, "input",
                     json_type(arguments_of(it.value)) == JSON_OBJECT ? arguments_of(it.value)
                                                                      : PL_STR("{}"));
        json_object_end(out);
    }
}

void messages_write(struct pl_buf *out, const struct fake_request *request,
                    const struct behaviour *behaviour, struct pl_str text, int words)
{
    if (behaviour->calls[0])
        text = pl_str(behaviour->text);
    write_head(out, request);
    json_key(out, "content");
    json_array_begin(out);
    if (behaviour->think)
        pl_buf_text(out,
                    "{\"type\":\"thinking\",\"thinking\":" THOUGHT ",\"signature\":" SIGNATURE "}");
    if (text.len) {
        json_comma(out);
        json_object_begin(out);
        json_add_string(out, "type", PL_STR("text"));
        json_add_string(out, "text", text);
        json_object_end(out);
    }
    write_calls(out, request, behaviour);
    json_array_end(out);
    json_add_string(out, "stop_reason", pl_str(stop_reason(behaviour)));
    pl_buf_char(out, ',');
    write_usage(out, request, words);
    pl_buf_char(out, '}');
}

/* ---- events ---- */

static void event_begin(struct pl_buf *out, const char *type)
{
    pl_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void event_end(struct pl_buf *out)
{
    pl_buf_text(out, "}\n\n");
}

static void write_block(struct pl_buf *out, int index, const char *block)
{
    event_begin(out, "content_block_start");
    pl_buf_printf(out, ",\"index\":%d,\"content_block\":%s", index, block);
    event_end(out);
}

static void write_delta(struct pl_buf *out, int index, const char *type, const char *key,
                        struct pl_str json)
{
    event_begin(out, "content_block_delta");
    pl_buf_printf(out, ",\"index\":%d,\"delta\":{\"type\":\"%s\",\"%s\":%.*s}", index, type, key,
                  PL_STR_ARG(json));
    event_end(out);
}

static void write_stop(struct pl_buf *out, int index)
{
    event_begin(out, "content_block_stop");
    pl_buf_printf(out, ",\"index\":%d", index);
    event_end(out);
}

void messages_write_start(struct pl_buf *out, const struct fake_request *request,
                          const struct behaviour *behaviour, bool texts)
{
    event_begin(out, "message_start");
    pl_buf_text(out, ",\"message\":");
    write_head(out, request);
    pl_buf_text(out, ",\"content\":[],\"stop_reason\":null,");
    write_usage(out, request, 1);
    pl_buf_char(out, '}');
    event_end(out);
    pl_buf_text(out, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    if (behaviour->think) {
        write_block(out, 0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        write_delta(out, 0, "thinking_delta", "thinking", PL_STR(THOUGHT));
        write_delta(out, 0, "signature_delta", "signature", PL_STR(SIGNATURE));
        write_stop(out, 0);
    }
    if (texts)
        write_block(out, behaviour->think, "{\"type\":\"text\",\"text\":\"\"}");
}

void messages_write_text(struct pl_buf *out, const struct behaviour *behaviour, struct pl_str text)
{
    struct pl_buf json;

    pl_buf_init(&json, JSON_MAX);
    json_write_string(&json, text);
    write_delta(out, behaviour->think, "text_delta", "text", pl_buf_view(&json));
    pl_buf_finish(&json);
}

/* The arguments in two halves, after an empty fragment as the API sends it. */
static void write_call_events(struct pl_buf *out, const struct fake_request *request,
                              struct pl_str call, size_t i, int index)
{
    struct pl_buf text, json;
    size_t half;

    pl_buf_init(&text, JSON_MAX);
    pl_buf_init(&json, JSON_MAX);
    write_call_start(&json, call, request->id, i);
    pl_buf_text(&json, ",\"input\":{}}");
    write_block(out, index, json.data ? json.data : "{}");
    write_delta(out, index, "input_json_delta", "partial_json", PL_STR("\"\""));
    if (json_type(arguments_of(call)) == JSON_STRING)
        json_decode_string(arguments_of(call), &text);
    else
        pl_buf_str(&text, arguments_of(call));
    half = text.data ? pl_utf8_cut(text.data, text.len / 2) : 0;
    for (size_t at = 0, end = half; at < text.len; at = end, end = text.len) {
        if (end == at)
            continue;
        pl_buf_reset(&json);
        json_write_string(&json, pl_str_n(text.data + at, end - at));
        write_delta(out, index, "input_json_delta", "partial_json", pl_buf_view(&json));
    }
    write_stop(out, index);
    pl_buf_finish(&text);
    pl_buf_finish(&json);
}

void messages_write_end(struct pl_buf *out, const struct fake_request *request,
                        const struct behaviour *behaviour, bool texts, int words)
{
    int index = behaviour->think + texts;
    struct json_iter it;
    size_t i = 0;

    if (texts)
        write_stop(out, behaviour->think);
    if (behaviour->calls[0])
        for (json_iter_init(&it, pl_str(behaviour->calls)); json_iter_next(&it); i++)
            write_call_events(out, request, it.value, i, index++);
    if (behaviour->fault == FAULT_NOFINISH)
        return;
    event_begin(out, "message_delta");
    pl_buf_printf(out, ",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null},",
                  stop_reason(behaviour));
    write_usage(out, request, words);
    event_end(out);
    if (behaviour->fault == FAULT_NODONE)
        return;
    event_begin(out, "message_stop");
    event_end(out);
}

void messages_write_error_event(struct pl_buf *out, const struct behaviour *behaviour)
{
    pl_buf_text(out, "event: error\ndata: ");
    messages_write_error(out, 529, behaviour);
    pl_buf_text(out, "\n\n");
}
