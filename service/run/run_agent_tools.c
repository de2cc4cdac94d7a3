/* run_agent_tools.c - see run_agent_tools.h. Called by run_agent.c. */
#include "service/run/run_agent_tools.h"

#include "base/json.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 64, /* what providers take */
    SHOWN = 500,         /* bytes of a word about a part that is no text */
};

/* ---- names ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "search-2" is what a path calls the second call of `search`. */
static void free_suffix(struct pl_buf *name)
{
    size_t at = name->len;

    while (at > 0 && is_digit(name->data[at - 1]))
        at--;
    if (at > 0 && at < name->len && name->data[at - 1] == '-')
        name->data[at - 1] = '_';
}

/* A name that every provider takes, of one that a server gave. */
static void write_name(struct pl_str given, struct pl_buf *out)
{
    if (!given.len || !is_letter(given.ptr[0]))
        pl_buf_char(out, '_');
    for (size_t i = 0; i < given.len && out->len < NAME_MAX_BYTES; i++) {
        char c = given.ptr[i];

        pl_buf_char(out, is_letter(c) || is_digit(c) || c == '-' ? c : '_');
    }
    if (!pl_buf_failed(out))
        free_suffix(out);
}

bool agent_tools_find(struct pl_str tools, struct pl_str name, uint32_t *ret_index)
{
    uint32_t index = 0;
    struct json_iter it;
    struct pl_str token;

    for (json_iter_init(&it, tools); json_iter_next(&it); index++) {
        if (json_get(it.value, PL_STR("name"), &token) && token.len >= 2 &&
            pl_str_eq(pl_str_n(token.ptr + 1, token.len - 2), name)) {
            *ret_index = index;
            return true;
        }
    }
    return false;
}

struct merging {
    const struct agent_config *config;
    struct pl_buf list;  /* the tools so far, without its end */
    struct pl_buf names; /* theirs, each with a space before and behind */
    size_t n;
};

static bool is_taken(const struct merging *m, const struct pl_buf *name)
{
    char word[NAME_MAX_BYTES + 3];
    int len = snprintf(word, sizeof(word), " %.*s ", PL_STR_ARG(pl_buf_view(name)));

    for (size_t i = 0; i < m->config->n_tools; i++)
        if (pl_str_eq(m->config->tools[i].id, pl_buf_view(name)))
            return true;
    return m->names.len && memmem(m->names.data, m->names.len, word, (size_t)len);
}

/* Makes it another name than those that are there. */
static void make_free(const struct merging *m, struct pl_buf *name)
{
    size_t base = name->len;

    for (unsigned n = 2; !pl_buf_failed(name) && is_taken(m, name); n++) {
        size_t room = NAME_MAX_BYTES - (n > 99 ? 4u : n > 9 ? 3u : 2u);

        name->len = base < room ? base : room;
        pl_buf_printf(name, "_%u", n);
    }
}

/* ---- listings ---- */

static bool is_wanted(const struct agent_mcp *server, struct pl_str name)
{
    for (size_t i = 0; i < server->n_tools; i++)
        if (pl_str_eq(server->tools[i], name))
            return true;
    return server->n_tools == 0;
}

/* Providers want to be told that arguments are an object, and which members there are. */
static void write_schema(struct pl_str schema, struct pl_buf *out)
{
    struct json_iter it;
    struct pl_str value;

    json_object_begin(out);
    for (json_iter_init(&it, schema); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    if (!json_get(schema, PL_STR("type"), &value))
        json_add_string(out, "type", PL_STR("object"));
    if (!json_get(schema, PL_STR("properties"), &value))
        json_add_raw(out, "properties", PL_STR("{}"));
    json_object_end(out);
}

static void add_tool(struct merging *m, size_t server, struct pl_str tool, struct pl_str name_token,
                     struct pl_str given)
{
    struct pl_str value;
    struct pl_buf name;

    pl_buf_init(&name, 2 * NAME_MAX_BYTES);
    write_name(given, &name);
    make_free(m, &name);
    pl_buf_printf(&m->names, " %.*s ", PL_STR_ARG(pl_buf_view(&name)));
    json_comma(&m->list);
    json_object_begin(&m->list);
    json_add_string(&m->list, "name", pl_buf_view(&name));
    json_add_int(&m->list, "server", (int64_t)server);
    json_add_raw(&m->list, "tool", name_token);
    if (json_get(tool, PL_STR("description"), &value) && json_type(value) == JSON_STRING)
        json_add_raw(&m->list, "description", value);
    if (!json_get(tool, PL_STR("inputSchema"), &value))
        value = PL_STR("{}");
    json_key(&m->list, "parameters");
    write_schema(value, &m->list);
    json_object_end(&m->list);
    m->list.failed |= pl_buf_failed(&name);
    m->n++;
    pl_buf_finish(&name);
}

static void add_listing(struct merging *m, size_t server, struct pl_str tools)
{
    struct pl_str name;
    struct json_iter it;
    struct pl_buf text;

    pl_buf_init(&text, SIZE_MAX / 2);
    for (json_iter_init(&it, tools); m->n <= AGENT_TOOLS_MAX && json_iter_next(&it);) {
        if (!json_get(it.value, PL_STR("name"), &name) || json_type(name) != JSON_STRING)
            continue;
        pl_buf_reset(&text);
        json_decode_string(name, &text);
        if (is_wanted(&m->config->mcp[server], pl_buf_view(&text)))
            add_tool(m, server, it.value, name, pl_buf_view(&text));
        m->list.failed |= pl_buf_failed(&text);
    }
    pl_buf_finish(&text);
}

/* ---- a word about those that failed ---- */

static void write_absent(const struct agent_config *config, const struct agent_listing *listings,
                         struct pl_buf *out)
{
    for (size_t i = 0; i < config->n_mcp; i++) {
        if (listings[i].tools)
            continue;
        pl_buf_text(out, out->len ? "\n" : "");
        pl_buf_text(out, "The tools of an MCP server cannot be used in this conversation: ");
        pl_buf_text(out, listings[i].why);
    }
}

/* The model is told in its first instructions, since some take no others later. */
static void write_messages(struct pl_buf *out, struct pl_str messages, struct pl_str word)
{
    struct pl_str first = {0}, role = {0}, content = {0};
    struct json_iter it;
    struct pl_buf text;
    bool told, at_first = true;

    (void)(json_at(messages, 0, &first) && json_get(first, PL_STR("role"), &role) &&
           json_get(first, PL_STR("content"), &content));
    told = pl_str_is(role, "\"system\"") && content.len && json_type(content) == JSON_STRING;
    pl_buf_init(&text, SIZE_MAX / 2);
    if (told)
        json_decode_string(content, &text);
    pl_buf_text(&text, told && text.len ? "\n\n" : "");
    pl_buf_str(&text, word);
    json_array_begin(out);
    json_object_begin(out);
    json_add_string(out, "role", PL_STR("system"));
    json_add_string(out, "content", pl_buf_view(&text));
    json_object_end(out);
    for (json_iter_init(&it, messages); json_iter_next(&it); at_first = false) {
        if (at_first && told)
            continue;
        json_comma(out);
        pl_buf_str(out, it.value);
    }
    json_array_end(out);
    out->failed |= pl_buf_failed(&text);
    pl_buf_finish(&text);
}

/* ---- the memo ---- */

static void write_memo(struct pl_buf *out, struct pl_str memo, struct pl_str tools,
                       struct pl_str word)
{
    struct pl_str messages = PL_STR("[]"), urls = PL_STR("[]");

    json_get(memo, PL_STR("messages"), &messages);
    json_get(memo, PL_STR("mcp"), &urls);
    json_object_begin(out);
    json_key(out, "messages");
    if (word.len)
        write_messages(out, messages, word);
    else
        pl_buf_str(out, messages);
    json_add_raw(out, "mcp", urls);
    json_add_raw(out, "tools", tools);
    json_object_end(out);
}

static enum pl_code problem_of(const struct merging *m, const struct pl_buf *out,
                               struct pl_err *err)
{
    if (m->n > AGENT_TOOLS_MAX)
        return pl_err_set(err, PL_ERR_LIMIT_EXCEEDED,
                          "with those of its MCP servers the agent has more than %d tools; name "
                          "those it needs under 'tools' of the server",
                          AGENT_TOOLS_MAX);
    if (m->list.too_large || out->too_large)
        return pl_err_set(err, PL_ERR_LIMIT_EXCEEDED,
                          "the conversation and the tools of the agent's MCP servers are larger "
                          "than %zu bytes; name the tools it needs under 'tools' of the server",
                          out->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

enum pl_code agent_tools_memo(const struct agent_config *config, struct pl_str memo,
                              const struct agent_listing *listings, struct pl_value **ret_memo,
                              struct pl_err *err)
{
    struct merging m = {.config = config, .n = config->n_tools};
    struct pl_value *value = NULL;
    struct pl_buf out, word;
    enum pl_code code = PL_OK;

    pl_buf_init(&m.list, PL_LIMIT_PROMPT_BYTES);
    pl_buf_init(&m.names, SIZE_MAX / 2);
    pl_buf_init(&out, PL_LIMIT_PROMPT_BYTES);
    pl_buf_init(&word, SIZE_MAX / 2);
    json_array_begin(&m.list);
    for (size_t i = 0; i < config->n_mcp; i++)
        if (listings[i].tools)
            add_listing(&m, i, pl_value_text(listings[i].tools));
    json_array_end(&m.list);
    write_absent(config, listings, &word);
    write_memo(&out, memo, pl_buf_view(&m.list), pl_buf_view(&word));
    if (!pl_buf_failed(&m.list) && !pl_buf_failed(&m.names) && !pl_buf_failed(&word) &&
        !pl_buf_failed(&out) && m.n <= AGENT_TOOLS_MAX)
        value = pl_value_take(&out);
    if (value)
        *ret_memo = value;
    else
        code = problem_of(&m, &out, err);
    pl_buf_finish(&m.list);
    pl_buf_finish(&m.names);
    pl_buf_finish(&out);
    pl_buf_finish(&word);
    return code;
}

/* ---- requests ---- */

static void begin_request(struct pl_buf *out, struct pl_str memo, int64_t server)
{
    struct pl_str urls, url = PL_STR("\"\"");

    if (json_get(memo, PL_STR("mcp"), &urls))
        (void)json_at(urls, server, &url);
    json_object_begin(out);
    json_add_int(out, "server", server);
    json_add_raw(out, "url", url);
}

struct pl_value *agent_tools_list_request(struct pl_str memo, uint32_t server)
{
    struct pl_value *value;
    struct pl_buf out;

    pl_buf_init(&out, SIZE_MAX / 2);
    begin_request(&out, memo, server);
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

struct pl_value *agent_tools_call_request(struct pl_str memo, uint32_t index,
                                          struct pl_str arguments)
{
    struct pl_str tools, tool = PL_STR("{}"), value = PL_STR("0");
    struct pl_value *request;
    int64_t server = 0;
    struct pl_buf out;

    if (json_get(memo, PL_STR("tools"), &tools) && json_at(tools, index, &tool) &&
        json_get(tool, PL_STR("server"), &value))
        (void)json_int(value, &server);
    pl_buf_init(&out, SIZE_MAX / 2);
    begin_request(&out, memo, server);
    if (json_get(tool, PL_STR("tool"), &value))
        json_add_raw(&out, "tool", value);
    json_add_raw(&out, "arguments", arguments);
    if (json_get(tool, PL_STR("parameters"), &value))
        json_add_raw(&out, "parameters", value);
    json_object_end(&out);
    request = pl_value_take(&out);
    pl_buf_finish(&out);
    return request;
}

/* ---- answers ---- */

static void describe(struct pl_str object, const char *key, struct pl_buf *out)
{
    struct pl_str token;

    if (!json_get(object, pl_str(key), &token) || json_type(token) != JSON_STRING ||
        token.len > SHOWN)
        return;
    if (out->len && out->data[out->len - 1] != '[')
        pl_buf_char(out, ' ');
    json_decode_string(token, out);
}

/* What is no text is described: the answer of a tool is text to most models. */
static void write_part(struct pl_str part, struct pl_buf *out)
{
    struct pl_str inner = part, text;

    json_get(part, PL_STR("resource"), &inner);
    pl_buf_text(out, out->len ? "\n" : "");
    if (json_get(inner, PL_STR("text"), &text) && json_type(text) == JSON_STRING) {
        json_decode_string(text, out);
        return;
    }
    pl_buf_char(out, '[');
    describe(part, "type", out);
    describe(inner, "mimeType", out);
    describe(inner, "uri", out);
    pl_buf_char(out, ']');
}

static struct pl_value *value_of(struct pl_str text, bool is_error)
{
    struct pl_value *value;
    struct pl_buf out;

    if (!is_error)
        return pl_value_string(text);
    pl_buf_init(&out, SIZE_MAX / 2);
    json_object_begin(&out);
    json_add_string(&out, "error", text);
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

struct pl_value *agent_tools_answer(struct pl_str result)
{
    struct pl_str content = PL_STR("[]"), structured = {0}, flag = PL_STR("false");
    struct pl_value *value = NULL;
    struct json_iter it;
    struct pl_buf text;

    json_get(result, PL_STR("content"), &content);
    json_get(result, PL_STR("structuredContent"), &structured);
    json_get(result, PL_STR("isError"), &flag);
    if (structured.len && json_count(content) == 0)
        return pl_value_new(structured);
    pl_buf_init(&text, SIZE_MAX / 2);
    for (json_iter_init(&it, content); json_iter_next(&it);)
        write_part(it.value, &text);
    if (!pl_buf_failed(&text))
        value = value_of(pl_buf_view(&text), json_type(flag) == JSON_TRUE);
    pl_buf_finish(&text);
    return value;
}
