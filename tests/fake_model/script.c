/* script.c - see script.h. */
#include "tests/fake_model/script.h"

#include "base/buf.h"
#include "base/json.h"

enum { TEXT_MAX = 1 << 20 };

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static void append_text(struct pl_str content, struct pl_buf *out)
{
    struct json_iter it;

    if (content.len && json_type(content) == JSON_STRING)
        json_decode_string(content, out);
    if (!content.len || json_type(content) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        const struct pl_str text = member(it.value, "text");

        if (text.len && json_type(text) == JSON_STRING)
            json_decode_string(text, out);
    }
}

static unsigned count_role(struct pl_str messages, const char *token)
{
    struct json_iter it;
    unsigned count = 0;

    for (json_iter_init(&it, messages); json_iter_next(&it);)
        count += pl_str_is(member(it.value, "role"), token);
    return count;
}

static void copy_buf(const struct pl_buf *text, char *out, size_t size)
{
    const size_t len = text->len < size ? text->len : size - 1;

    if (len)
        memcpy(out, text->data, len);
    out[len] = '\0';
}

static void write_tool_result(struct pl_str content, struct pl_buf *out)
{
    if (out->len)
        pl_buf_text(out, " | ");
    append_text(content, out);
}

/* What the tools gave: messages of their own, or blocks in the user's. */
static void write_tool_results(struct pl_str messages, struct pl_buf *out)
{
    struct json_iter it, blocks;

    for (json_iter_init(&it, messages); json_iter_next(&it);) {
        const struct pl_str content = member(it.value, "content");

        if (pl_str_is(member(it.value, "role"), "\"tool\""))
            write_tool_result(content, out);
        else if (content.len && json_type(content) == JSON_ARRAY)
            for (json_iter_init(&blocks, content); json_iter_next(&blocks);)
                if (pl_str_is(member(blocks.value, "type"), "\"tool_result\""))
                    write_tool_result(member(blocks.value, "content"), out);
    }
}

static void take_answer(struct pl_str answer, struct pl_str messages, struct behaviour *behaviour)
{
    const struct pl_str calls = member(answer, "tool_calls"), text = member(answer, "text");
    struct pl_buf out;

    pl_buf_init(&out, TEXT_MAX);
    if (pl_str_is(answer, "\"$tools\""))
        write_tool_results(messages, &out);
    else
        append_text(json_type(answer) == JSON_STRING ? answer : text, &out);
    copy_buf(&out, behaviour->text, sizeof(behaviour->text));
    pl_buf_finish(&out);
    if (calls.len && calls.len < sizeof(behaviour->calls)) {
        memcpy(behaviour->calls, calls.ptr, calls.len);
        behaviour->calls[calls.len] = '\0';
    }
}

void script_apply(struct pl_str body, struct behaviour *behaviour)
{
    const struct pl_str messages = member(body, "messages");
    struct pl_str answer;
    struct pl_buf text, answers;
    struct json_iter it;

    if (!messages.len)
        return;
    pl_buf_init(&text, TEXT_MAX);
    pl_buf_init(&answers, TEXT_MAX);
    for (json_iter_init(&it, messages); !answers.len && json_iter_next(&it);) {
        pl_buf_reset(&text);
        if (pl_str_is(member(it.value, "role"), "\"user\""))
            append_text(member(it.value, "content"), &text);
        pl_buf_str(&answers, behaviour_script(pl_buf_view(&text)));
    }
    if (answers.len &&
        (json_at(pl_buf_view(&answers), count_role(messages, "\"assistant\""), &answer) ||
         json_at(pl_buf_view(&answers), -1, &answer)))
        take_answer(answer, messages, behaviour);
    pl_buf_finish(&text);
    pl_buf_finish(&answers);
}

void script_facts(struct pl_str body, struct script_facts *ret_facts)
{
    const struct pl_str config = member(body, "output_config");
    const struct pl_str format = config.len && member(config, "format").len
                                     ? member(config, "format")
                                     : member(body, "response_format");

    ret_facts->messages = (unsigned)json_count(member(body, "messages"));
    ret_facts->tools = (unsigned)json_count(member(body, "tools"));
    ret_facts->schema = format.len && pl_str_is(member(format, "type"), "\"json_schema\"");
}
