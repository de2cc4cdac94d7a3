/* mcp_message.c - see mcp_message.h: requests and results. Replies: mcp_reply.c. Called by
 * mcp_client.c. */
#include "service/mcp/mcp_message.h"

#include "base/json.h"
#include "base/utf8.h"

#include <sodium.h>
#include <strings.h>

enum { HEADER_NAME_MAX = 64, SHOWN = 200, MARKS_MAX = 64 };

/* ---- requests ---- */

static void write_client(struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "name", PL_STR("plait"));
    json_add_string(out, "version", PL_STR(PLAIT_VERSION));
    json_object_end(out);
}

/* What the newest revision wants in each request. */
static void write_meta(struct pl_buf *out, const char *version)
{
    json_key(out, "_meta");
    json_object_begin(out);
    json_add_string(out, "io.modelcontextprotocol/protocolVersion", pl_str(version));
    json_key(out, "io.modelcontextprotocol/clientInfo");
    write_client(out);
    json_add_raw(out, "io.modelcontextprotocol/clientCapabilities", PL_STR("{}"));
    json_object_end(out);
}

void mcp_write_request(struct pl_buf *out, const char *method, int64_t id, struct pl_str params,
                       const char *version)
{
    struct json_iter it;

    json_object_begin(out);
    json_add_string(out, "jsonrpc", PL_STR("2.0"));
    if (id)
        json_add_int(out, "id", id);
    json_add_string(out, "method", pl_str(method));
    json_key(out, "params");
    json_object_begin(out);
    for (json_iter_init(&it, params); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    if (version)
        write_meta(out, version);
    json_object_end(out);
    json_object_end(out);
}

void mcp_write_list(struct pl_buf *out, struct pl_str cursor)
{
    json_object_begin(out);
    if (cursor.len)
        json_add_raw(out, "cursor", cursor);
    json_object_end(out);
}

void mcp_write_call(struct pl_buf *out, struct pl_str tool, struct pl_str arguments)
{
    json_object_begin(out);
    json_add_raw(out, "name", tool);
    json_add_raw(out, "arguments", arguments);
    json_object_end(out);
}

void mcp_write_initialize(struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "protocolVersion", PL_STR(MCP_SESSION_VERSION));
    json_add_raw(out, "capabilities", PL_STR("{}"));
    json_key(out, "clientInfo");
    write_client(out);
    json_object_end(out);
}

/* ---- headers ---- */

static bool fits_header(struct pl_str text)
{
    if (text.len >= 9 && strncasecmp(text.ptr, "=?base64?", 9) == 0)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7e)
            return false;
    return text.len == 0 || (text.ptr[0] != ' ' && text.ptr[text.len - 1] != ' ');
}

void mcp_write_header(struct pl_buf *out, struct pl_str text)
{
    size_t size = sodium_base64_encoded_len(text.len, sodium_base64_VARIANT_ORIGINAL);

    if (fits_header(text)) {
        pl_buf_str(out, text);
        return;
    }
    pl_buf_text(out, "=?base64?");
    if (pl_buf_reserve(out, size)) {
        sodium_bin2base64(out->data + out->len, size, (const unsigned char *)text.ptr, text.len,
                          sodium_base64_VARIANT_ORIGINAL);
        out->len += size - 1; /* it counts its NUL */
    }
    pl_buf_text(out, "?=");
}

static bool is_token(struct pl_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0 && name.len <= HEADER_NAME_MAX;
}

static bool is_primitive(struct pl_str property)
{
    struct pl_str type;

    return json_get(property, PL_STR("type"), &type) &&
           (pl_str_is(type, "\"string\"") || pl_str_is(type, "\"integer\"") ||
            pl_str_is(type, "\"number\"") || pl_str_is(type, "\"boolean\""));
}

static bool is_named(const struct mcp_param *params, size_t n, struct pl_str name)
{
    for (size_t i = 0; i < n; i++)
        if (params[i].name.len == name.len &&
            strncasecmp(params[i].name.ptr, name.ptr, name.len) == 0)
            return true;
    return false;
}

/* The value of an argument as a header has it; empty: it goes into none. */
static struct pl_str header_value(struct pl_str argument, struct pl_arena *arena)
{
    struct pl_str text = argument, kept = {0};
    struct pl_buf out;

    if (json_type(argument) == JSON_NULL || json_type(argument) == JSON_OBJECT ||
        json_type(argument) == JSON_ARRAY)
        return kept;
    if (json_type(argument) == JSON_STRING)
        text = json_decode_string_arena(argument, arena);
    pl_buf_init(&out, 64 << 10);
    mcp_write_header(&out, text);
    if (!pl_buf_failed(&out))
        kept = pl_arena_str(arena, pl_buf_view(&out));
    pl_buf_finish(&out);
    return kept;
}

size_t mcp_params(struct pl_str parameters, struct pl_str arguments, struct pl_arena *arena,
                  struct mcp_param *ret, size_t max, bool *ret_valid)
{
    struct pl_str properties, mark, argument;
    struct json_iter it;
    size_t n = 0;

    *ret_valid = true;
    if (!json_get(parameters, PL_STR("properties"), &properties))
        return 0;
    for (json_iter_init(&it, properties); json_iter_next(&it) && n < max;) {
        if (!json_get(it.value, PL_STR("x-mcp-header"), &mark))
            continue;
        ret[n].name = json_type(mark) == JSON_STRING ? json_decode_string_arena(mark, arena)
                                                     : (struct pl_str){0};
        if (!is_token(ret[n].name) || !is_primitive(it.value) || is_named(ret, n, ret[n].name)) {
            *ret_valid = false;
            continue;
        }
        ret[n].value = (struct pl_str){0};
        if (json_get(arguments, json_decode_string_arena(it.key, arena), &argument))
            ret[n].value = header_value(argument, arena);
        n++;
    }
    return n;
}

/* ---- results ---- */

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

/* Are the marks of its parameters as they must be? */
static enum pl_code check_marks(struct pl_str schema, bool *ret_valid, struct pl_err *err)
{
    struct mcp_param params[MARKS_MAX];
    struct pl_arena *arena = pl_arena_create(0);
    bool failed = !arena;

    if (arena)
        (void)mcp_params(schema, PL_STR("{}"), arena, params, MARKS_MAX, ret_valid);
    failed = failed || pl_arena_failed(arena);
    pl_arena_destroy(&arena);
    return failed ? no_memory(err) : PL_OK;
}

static enum pl_code take_tool(struct pl_str tool, bool headers, struct pl_buf *list,
                              unsigned *n_tools, struct pl_err *err)
{
    struct pl_str name, schema, text;
    bool valid = true;

    if (json_type(tool) != JSON_OBJECT || !json_get(tool, PL_STR("name"), &name) ||
        json_type(name) != JSON_STRING || name.len <= 2)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "the MCP server lists a tool without a name");
    if (!json_get(tool, PL_STR("inputSchema"), &schema) || json_type(schema) != JSON_OBJECT)
        return pl_err_set(
            err, PL_ERR_BAD_RESPONSE, "the MCP server lists tool %.*s without an input schema",
            (int)pl_utf8_cut(name.ptr, name.len < SHOWN ? name.len : SHOWN), name.ptr);
    if (headers && check_marks(schema, &valid, err) != PL_OK)
        return err->code;
    if (!valid)
        return PL_OK;
    if (++*n_tools > MCP_TOOLS_MAX)
        return pl_err_set(err, PL_ERR_LIMIT_EXCEEDED, "the MCP server lists more than %d tools",
                          MCP_TOOLS_MAX);
    json_comma(list);
    json_object_begin(list);
    json_add_raw(list, "name", name);
    if (json_get(tool, PL_STR("description"), &text) && json_type(text) == JSON_STRING)
        json_add_raw(list, "description", text);
    json_key(list, "inputSchema");
    json_write_compact(list, schema);
    json_object_end(list);
    return PL_OK;
}

enum pl_code mcp_take_tools(struct pl_str result, bool headers, struct pl_buf *list,
                            unsigned *n_tools, struct pl_str *ret_cursor, struct pl_err *err)
{
    struct pl_str tools, cursor = {0};
    enum pl_code code = PL_OK;
    struct json_iter it;

    if (!json_get(result, PL_STR("tools"), &tools) || json_type(tools) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "the MCP server's answer has no list of tools");
    for (json_iter_init(&it, tools); code == PL_OK && json_iter_next(&it);)
        code = take_tool(it.value, headers, list, n_tools, err);
    if (code == PL_OK && pl_buf_failed(list))
        code = list->too_large
                   ? pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                                "the MCP server's tools are larger than %zu bytes", list->max)
                   : no_memory(err);
    if (code != PL_OK)
        return code;
    *ret_cursor = (struct pl_str){0};
    if (json_get(result, PL_STR("nextCursor"), &cursor) && json_type(cursor) == JSON_STRING &&
        cursor.len > 2)
        *ret_cursor = cursor;
    return PL_OK;
}

static const char *problem_of(struct pl_str content)
{
    struct json_iter it;
    struct pl_str type;

    if (json_type(content) != JSON_ARRAY)
        return "no list of content";
    for (json_iter_init(&it, content); json_iter_next(&it);)
        if (!json_get(it.value, PL_STR("type"), &type) || json_type(type) != JSON_STRING)
            return "content without a type";
    return NULL;
}

enum pl_code mcp_take_result(struct pl_str result, size_t max, struct pl_value **ret_output,
                             struct pl_err *err)
{
    struct pl_str value, content = PL_STR("[]"), structured = {0};
    const char *problem;
    struct pl_buf out;
    bool too_large;

    if (json_get(result, PL_STR("resultType"), &value) && pl_str_is(value, "\"input_required\""))
        return pl_err_set(err, PL_ERR_UNSUPPORTED,
                          "the tool asks for more input, which nobody is there to give");
    json_get(result, PL_STR("structuredContent"), &structured);
    if (!json_get(result, PL_STR("content"), &content) && !structured.len)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "the MCP server's answer has no content");
    problem = problem_of(content);
    if (problem)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "the MCP server's answer has %s", problem);
    pl_buf_init(&out, max);
    json_object_begin(&out);
    json_key(&out, "content");
    json_write_compact(&out, content);
    if (structured.len) {
        json_key(&out, "structuredContent");
        json_write_compact(&out, structured);
    }
    if (json_get(result, PL_STR("isError"), &value) && json_type(value) == JSON_TRUE)
        json_add_bool(&out, "isError", true);
    json_object_end(&out);
    too_large = out.too_large;
    *ret_output = pl_value_take(&out);
    pl_buf_finish(&out);
    if (*ret_output)
        return PL_OK;
    if (too_large)
        return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                          "the MCP server's answer is larger than %zu bytes", max);
    return no_memory(err);
}
