/* llm_messages.c - see llm_messages.h. */
#include "service/steps/llm_messages.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_parts.h"

/* ---- what the templates give ---- */

static bool is_role(struct pl_str token)
{
    static const char *const roles[] = {"\"user\"", "\"assistant\"", "\"system\"", "\"developer\"",
                                        "\"tool\""};

    for (size_t i = 0; i < PL_ARRAY_LEN(roles); i++) {
        if (pl_str_is(token, roles[i]))
            return true;
    }
    return false;
}

/* A content is a text, a list of parts with a `type`, or null where an assistant only called tools.
 */
static const char *content_problem(struct pl_str content)
{
    struct json_iter it;
    struct pl_str type;

    if (json_type(content) == JSON_STRING || json_type(content) == JSON_NULL)
        return NULL;
    if (json_type(content) != JSON_ARRAY)
        return "has a content that is neither a text nor a list of parts";
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        if (!json_get(it.value, PL_STR("type"), &type) || json_type(type) != JSON_STRING)
            return "has a content part without a type";
    }
    return NULL;
}

static const char *message_problem(struct pl_str message)
{
    struct pl_str value;

    if (json_type(message) != JSON_OBJECT)
        return "is no object";
    if (!json_get(message, PL_STR("role"), &value) || !is_role(value))
        return "has no role of user, assistant, system, developer or tool";
    if (!json_get(message, PL_STR("content"), &value))
        return json_get(message, PL_STR("tool_calls"), &value) ? NULL : "has no content";
    return content_problem(value);
}

static enum pl_code check_messages(struct pl_str messages, bool may_be_empty, struct pl_err *err)
{
    struct json_iter it;
    size_t i = 0;

    if (json_type(messages) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' must give a list of messages");
    if (!may_be_empty && json_count(messages) == 0)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'messages' gives an empty list, and there is no 'prompt'");
    for (json_iter_init(&it, messages); json_iter_next(&it); i++) {
        const char *problem = message_problem(it.value);

        if (problem)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' element %zu %s", i,
                              problem);
    }
    return PL_OK;
}

static enum pl_code add_rendered(const char *role, const struct template *template,
                                 const struct expr_scope *scope, struct pl_buf *out,
                                 struct pl_err *err)
{
    struct pl_buf text;
    enum pl_code code;

    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    code = template_write_text(template, scope, &text, err);
    if (code == PL_OK)
        llm_messages_add_text(out, role, pl_buf_view(&text));
    pl_buf_finish(&text);
    return code;
}

static enum pl_code add_messages(const struct llm_config *config, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err)
{
    struct pl_buf list;
    struct json_iter it;
    enum pl_code code;

    pl_buf_init(&list, PL_LIMIT_PROMPT_BYTES);
    code = template_write_json(config->messages, scope, &list, err);
    if (code == PL_OK)
        code = check_messages(pl_buf_view(&list), config->prompt != NULL, err);
    if (code == PL_OK) {
        for (json_iter_init(&it, pl_buf_view(&list)); json_iter_next(&it);) {
            json_comma(out);
            pl_buf_str(out, it.value);
        }
    }
    pl_buf_finish(&list);
    return code;
}

static enum pl_code buf_problem(const struct pl_buf *buf, struct pl_err *err)
{
    if (!pl_buf_failed(buf))
        return PL_OK;
    if (buf->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the messages are larger than %zu bytes",
                          buf->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static enum pl_code render(const struct llm_config *config, const struct template *system,
                           const struct expr_scope *scope, struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    json_array_begin(out);
    if (system)
        code = add_rendered("system", system, scope, out, err);
    if (code == PL_OK && config->messages)
        code = add_messages(config, scope, out, err);
    if (code == PL_OK && config->prompt)
        code = add_rendered("user", config->prompt, scope, out, err);
    json_array_end(out);
    return code == PL_OK ? buf_problem(out, err) : code;
}

enum pl_code llm_messages_render(const struct llm_config *config, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err)
{
    return render(config, config->system, scope, out, err);
}

enum pl_code llm_messages_render_rest(const struct llm_config *config,
                                      const struct expr_scope *scope, struct pl_buf *out,
                                      struct pl_err *err)
{
    return render(config, NULL, scope, out, err);
}

/* ---- adding ---- */

void llm_messages_reopen(struct pl_buf *out, struct pl_str messages)
{
    while (messages.len && messages.ptr[messages.len - 1] != ']')
        messages.len--;
    if (messages.len)
        messages.len--;
    while (messages.len && memchr(" \n\r\t", messages.ptr[messages.len - 1], 4))
        messages.len--; /* json_comma looks at the last byte */
    pl_buf_str(out, messages);
}

void llm_messages_add_text(struct pl_buf *out, const char *role, struct pl_str text)
{
    json_object_begin(out);
    json_add_string(out, "role", pl_str(role));
    json_add_string(out, "content", text);
    json_object_end(out);
}

/* Arguments as the API has them: a string with JSON in it. */
static void add_call(struct pl_buf *out, struct pl_str call)
{
    struct pl_str value;

    json_object_begin(out);
    if (json_get(call, PL_STR("id"), &value))
        json_add_raw(out, "id", value);
    json_add_string(out, "type", PL_STR("function"));
    json_key(out, "function");
    json_object_begin(out);
    if (json_get(call, PL_STR("name"), &value))
        json_add_raw(out, "name", value);
    if (!json_get(call, PL_STR("arguments"), &value))
        value = PL_STR("{}");
    if (json_type(value) == JSON_STRING)
        json_add_raw(out, "arguments", value);
    else
        json_add_string(out, "arguments", value);
    json_object_end(out);
    json_object_end(out);
}

void llm_messages_add_turn(struct pl_buf *out, struct pl_str turn)
{
    struct pl_str content = PL_STR("null"), calls, replay;
    struct json_iter it;

    json_object_begin(out);
    json_add_string(out, "role", PL_STR("assistant"));
    (void)json_get(turn, PL_STR("content"), &content);
    if (json_type(content) == JSON_STRING || json_type(content) == JSON_NULL)
        json_add_raw(out, "content", content);
    else
        json_add_string(out, "content", content); /* structured output goes back as text */
    if (json_get(turn, PL_STR("tool_calls"), &calls) && json_count(calls)) {
        json_key(out, "tool_calls");
        json_array_begin(out);
        for (json_iter_init(&it, calls); json_iter_next(&it);)
            add_call(out, it.value);
        json_array_end(out);
    }
    if (json_get(turn, PL_STR(LLM_REPLAY_KEY), &replay))
        json_add_raw(out, LLM_REPLAY_KEY, replay);
    json_object_end(out);
}

void llm_messages_add_tool(struct pl_buf *out, struct pl_str id, struct pl_str value)
{
    json_object_begin(out);
    json_add_string(out, "role", PL_STR("tool"));
    json_add_raw(out, "tool_call_id", id);
    if (json_type(value) == JSON_STRING)
        json_add_raw(out, "content", value);
    else
        json_add_string(out, "content", value);
    json_object_end(out);
}
