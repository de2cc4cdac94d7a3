/* llm_answer.c - see llm_answer.h. */
#include "service/steps/llm_answer.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/llm/llm_parts.h"
#include "service/run/run_agent_tools.h"
#include "service/schema/schema.h"

enum {
    PROBLEMS_TOLD = 20,     /* of one answer, to the model */
    SCHEMA_TOLD = 16 << 10, /* bytes: a larger schema is not repeated */
    SHOWN = 80,
};

/* ---- JSON in a text ---- */

/* The one block between lines of ``` in the text, if there is one and no other. */
static bool find_fenced(struct pl_str text, struct pl_str *ret_block)
{
    const char *const end = text.ptr + text.len;
    const char *open = memmem(text.ptr, text.len, "```", 3), *begin, *close;

    if (!open || !(begin = memchr(open, '\n', (size_t)(end - open))))
        return false;
    close = memmem(begin, (size_t)(end - begin), "\n```", 4);
    if (!close || memmem(close + 4, (size_t)(end - close - 4), "```", 3))
        return false;
    *ret_block = json_trim(pl_str_n(begin, (size_t)(close - begin)));
    return true;
}

/* The JSON value a text is, or has between fences. Else why it is none. */
static bool find_json(struct pl_str text, struct pl_str *ret_json, struct pl_err *why)
{
    struct pl_str block;

    text = json_trim(text);
    if (json_check(text, PL_LIMIT_JSON_DEPTH, NULL, why) == PL_OK) {
        *ret_json = text;
        return true;
    }
    if (why->code != PL_ERR_INVALID_JSON || !find_fenced(text, &block) ||
        json_check(block, PL_LIMIT_JSON_DEPTH, NULL, why) != PL_OK)
        return false;
    *ret_json = block;
    return true;
}

/* {"value": x}: how a schema that is no object's goes out to some providers. */
static bool unwrap(struct pl_str json, struct pl_str *ret_inner)
{
    return json_type(json) == JSON_OBJECT && json_count(json) == 1 &&
           json_get(json, PL_STR("value"), ret_inner);
}

/* Fits the schema, perhaps one level in: *ret_value has the defaults filled in. */
static enum pl_code fit(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                        struct pl_str *ret_value, struct doc_problems *problems)
{
    struct doc_problems unread;
    struct pl_str inner;
    enum pl_code code = schema_apply(schema, arena, json, ret_value, problems);

    if (code != PL_ERR_INVALID_INPUT || !unwrap(json, &inner))
        return code;
    doc_problems_init(&unread, arena);
    if (schema_apply(schema, arena, inner, ret_value, &unread) == PL_OK)
        return PL_OK;
    return pl_arena_failed(arena) ? PL_ERR_NO_MEMORY : code;
}

/* ---- what is wrong ---- */

static void write_problem(const struct doc_problem *problem, struct pl_buf *out)
{
    if (problem->pointer && *problem->pointer)
        pl_buf_printf(out, "at %s: ", problem->pointer);
    pl_buf_text(out, problem->message ? problem->message : "it does not fit");
}

/* Absent when out of memory. */
static struct pl_str problems_text(const struct doc_problems *problems, struct pl_arena *arena)
{
    struct pl_buf text;
    struct pl_str kept = {0};

    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    for (size_t i = 0; i < problems->count && i < PROBLEMS_TOLD; i++) {
        if (i)
            pl_buf_text(&text, "; ");
        write_problem(&problems->items[i], &text);
    }
    if (problems->total > PROBLEMS_TOLD)
        pl_buf_printf(&text, "; and %zu more", (size_t)problems->total - PROBLEMS_TOLD);
    if (!pl_buf_failed(&text) && !pl_arena_failed(arena))
        kept = pl_arena_str(arena, pl_buf_view(&text));
    pl_buf_finish(&text);
    return kept;
}

/* What the model is told, and what the step's error says. */
static enum pl_code refuse(const struct schema_use *schema, struct pl_arena *arena,
                           struct pl_str text, struct pl_str problem,
                           struct pl_str ret_again[static 2], struct pl_err *err)
{
    const size_t shown = pl_utf8_cut(text.ptr, text.len < SHOWN ? text.len : SHOWN);
    const bool told = schema->json.len && schema->json.len <= SCHEMA_TOLD;
    const char *again = pl_arena_printf(
        arena, "That answer does not fit: %.*s. Answer again, with nothing but the JSON%s%.*s",
        PL_STR_ARG(problem), told ? ". It must fit this JSON Schema:\n" : ".",
        told ? (int)schema->json.len : 0, told ? schema->json.ptr : "");

    ret_again[0] = pl_arena_str(arena, text);
    ret_again[1] = pl_str(again);
    if (!problem.len || pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    return pl_err_set(err, PL_ERR_INVALID_OUTPUT,
                      "the answer does not fit the schema: %.*s; it begins: %.*s",
                      (int)pl_utf8_cut(problem.ptr, problem.len < 240 ? problem.len : 240),
                      problem.ptr, (int)shown, text.ptr);
}

/* ---- structured output ---- */

/* The value in `text` (decoded). */
static enum pl_code take_structured(const struct schema_use *use, struct pl_arena *arena,
                                    struct pl_str text, struct pl_str *ret_value,
                                    struct pl_str ret_again[static 2], struct pl_err *err)
{
    struct doc_problems problems;
    struct pl_str json, problem;
    struct pl_err why = {0};
    enum pl_code code;

    if (!find_json(text, &json, &why)) {
        if (why.code == PL_ERR_NO_MEMORY)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
        problem = pl_str(pl_arena_printf(arena, "it is not valid JSON (%s)", why.message));
        return refuse(use, arena, text, problem, ret_again, err);
    }
    doc_problems_init(&problems, arena);
    code = fit(use->schema, arena, json, ret_value, &problems);
    if (code == PL_ERR_INVALID_INPUT)
        return refuse(use, arena, text, problems_text(&problems, arena), ret_again, err);
    if (code != PL_OK)
        return pl_err_set(err, code, "out of memory while an answer was read");
    return PL_OK;
}

/* ---- tools ---- */

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : PL_STR("null");
}

static void begin_tool(struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("function"));
    json_key(out, "function");
    json_object_begin(out);
}

static void end_tool(struct pl_buf *out)
{
    json_object_end(out);
    json_object_end(out);
}

static void write_mcp_tool(struct pl_str tool, struct pl_buf *out)
{
    struct pl_str value;

    begin_tool(out);
    json_add_raw(out, "name", member(tool, "name"));
    if (json_get(tool, PL_STR("description"), &value))
        json_add_raw(out, "description", value);
    json_add_raw(out, "parameters", member(tool, "parameters"));
    end_tool(out);
}

void llm_answer_write_tools(const struct agent_config *agent, struct pl_str mcp_tools,
                            struct pl_buf *out)
{
    struct json_iter it;

    json_array_begin(out);
    for (size_t i = 0; i < agent->n_tools; i++) {
        const struct agent_tool *tool = &agent->tools[i];

        begin_tool(out);
        json_add_string(out, "name", tool->id);
        if (tool->description.len)
            json_add_string(out, "description", tool->description);
        json_add_raw(out, "parameters",
                     tool->parameters.json.len ? tool->parameters.json
                                               : PL_STR("{\"type\":\"object\",\"properties\":{}}"));
        end_tool(out);
    }
    for (json_iter_init(&it, mcp_tools); json_iter_next(&it);)
        write_mcp_tool(it.value, out);
    json_array_end(out);
}

static const struct agent_tool *find_tool(const struct agent_config *agent, struct pl_str name)
{
    for (size_t i = 0; i < agent->n_tools; i++) {
        if (pl_str_eq(agent->tools[i].id, name))
            return &agent->tools[i];
    }
    return NULL;
}

/* The schema of a tool of an MCP server. NULL: none, or one that is not understood: then the server
 * is left to judge. */
static enum pl_code mcp_schema(struct pl_str tool, struct pl_arena *arena,
                               const struct schema **ret_schema)
{
    struct doc_node *root = NULL;
    struct doc_problems problems;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    code = doc_parse(arena, member(tool, "parameters"), DOC_JSON, &root, &problems);
    if (code == PL_OK && root)
        *ret_schema = schema_compile(arena, root, &problems);
    /* without a problem only memory can be missing */
    return code == PL_ERR_NO_MEMORY || pl_arena_failed(arena) ||
                   (!*ret_schema && problems.total == 0)
               ? PL_ERR_NO_MEMORY
               : PL_OK;
}

/* What the arguments of a tool must fit; NULL: anything. *ret_found: there is such a tool. */
static enum pl_code find_schema(const struct llm_terms *terms, struct pl_str name,
                                struct pl_arena *arena, bool *ret_found,
                                const struct schema **ret_schema)
{
    const struct agent_tool *own = find_tool(terms->agent, name);
    struct pl_str tool;
    uint32_t index;

    *ret_schema = own ? own->parameters.schema : NULL;
    *ret_found = own || (agent_tools_find(terms->mcp_tools, name, &index) &&
                         json_at(terms->mcp_tools, index, &tool));
    return own || !*ret_found ? PL_OK : mcp_schema(tool, arena, ret_schema);
}

/* The arguments against the tool's parameters: with the defaults filled in, or why they do not fit.
 */
static enum pl_code fit_arguments(const struct schema *schema, struct pl_arena *arena,
                                  struct pl_str *value, struct pl_str *ret_error)
{
    struct doc_problems problems;
    struct pl_str filled, problem;
    enum pl_code code;

    if (!schema)
        return PL_OK;
    doc_problems_init(&problems, arena);
    code = schema_apply(schema, arena, *value, &filled, &problems);
    if (code == PL_OK)
        *value = filled;
    if (code != PL_ERR_INVALID_INPUT)
        return code;
    problem = problems_text(&problems, arena);
    if (!problem.len)
        return PL_ERR_NO_MEMORY;
    *ret_error = problem;
    return PL_OK;
}

/* The arguments as they go on, and what is wrong with them, or nothing. A tool that does not exist
 * is wrong too: the model has to be told. */
static enum pl_code take_arguments(const struct llm_terms *terms, struct pl_arena *arena,
                                   struct pl_str name_token, struct pl_str token,
                                   struct pl_str *ret_value, struct pl_str *ret_error)
{
    const struct pl_str name = json_decode_string_arena(name_token, arena);
    const struct schema *schema;
    bool found;
    struct pl_str text = json_trim(json_decode_string_arena(token, arena));
    struct pl_err why = {0};
    enum pl_code code;

    if (find_schema(terms, name, arena, &found, &schema) != PL_OK)
        return PL_ERR_NO_MEMORY;
    if (!text.len || pl_str_is(text, "null"))
        text = PL_STR("{}"); /* how some models call a tool without parameters */
    code = json_check(text, PL_LIMIT_JSON_DEPTH, NULL, &why);
    if (code == PL_ERR_NO_MEMORY || pl_arena_failed(arena))
        return PL_ERR_NO_MEMORY;
    *ret_value = code == PL_OK && json_type(text) == JSON_OBJECT ? text : token;
    if (!found)
        *ret_error =
            pl_str(pl_arena_printf(arena, "there is no tool '%.*s' here", PL_STR_ARG(name)));
    else if (code != PL_OK)
        *ret_error =
            pl_str(pl_arena_printf(arena, "the arguments are not valid JSON: %s", why.message));
    else if (json_type(text) != JSON_OBJECT)
        *ret_error = PL_STR("the arguments are not a JSON object");
    else if (fit_arguments(schema, arena, ret_value, ret_error) != PL_OK)
        return PL_ERR_NO_MEMORY;
    return pl_arena_failed(arena) ? PL_ERR_NO_MEMORY : PL_OK;
}

static enum pl_code write_call(const struct llm_terms *terms, struct pl_arena *arena,
                               struct pl_str call, struct pl_buf *out)
{
    const struct pl_str name = member(call, "name");
    struct pl_str value, error = {0};
    enum pl_code code =
        take_arguments(terms, arena, name, member(call, "arguments"), &value, &error);

    if (code != PL_OK)
        return code;
    json_object_begin(out);
    json_add_raw(out, "id", member(call, "id"));
    json_add_raw(out, "name", name);
    json_add_raw(out, "arguments", value);
    if (error.len)
        json_add_string(out, "arguments_error", error);
    json_object_end(out);
    return PL_OK;
}

/* ---- the whole ---- */

/* `given`: the turn as the provider gave it. What it wants back goes through as it is. */
static enum pl_code write_turn(const struct llm_terms *terms, struct pl_arena *arena,
                               struct pl_str given, struct pl_str content, struct pl_str calls,
                               struct pl_buf *out)
{
    struct pl_str replay;
    struct json_iter it;
    enum pl_code code = PL_OK;

    json_object_begin(out);
    json_add_raw(out, "content", content);
    json_key(out, "tool_calls");
    json_array_begin(out);
    for (json_iter_init(&it, calls); code == PL_OK && json_iter_next(&it);)
        code = write_call(terms, arena, it.value, out);
    json_array_end(out);
    if (json_get(given, PL_STR(LLM_REPLAY_KEY), &replay))
        json_add_raw(out, LLM_REPLAY_KEY, replay);
    json_object_end(out);
    return code;
}

static enum pl_code replace(struct pl_value **output, struct pl_buf *buf, size_t max_output,
                            struct pl_err *err)
{
    struct pl_value *value;

    if (!pl_buf_failed(buf) && max_output && buf->len > max_output)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the output is larger than %zu bytes", max_output);
    value = pl_value_take(buf);
    if (!value)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    pl_value_unref(output);
    *output = value;
    return PL_OK;
}

enum pl_code llm_answer_take(const struct llm_terms *terms, struct pl_arena *arena,
                             struct pl_value **output, struct pl_str ret_again[static 2],
                             struct pl_err *err)
{
    const struct pl_str given = pl_value_text(*output);
    struct pl_str content = given, calls = PL_STR("[]");
    struct pl_buf buf;
    enum pl_code code = PL_OK;

    if (json_type(given) == JSON_OBJECT) {
        content = member(given, "content");
        calls = member(given, "tool_calls");
    }
    if (terms->schema && !json_count(calls)) {
        struct pl_str text = PL_STR("");

        if (json_type(content) == JSON_STRING && content.len > 2)
            text = json_decode_string_arena(content, arena);
        if (pl_arena_failed(arena))
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
        code = take_structured(terms->schema, arena, text, &content, ret_again, err);
    }
    if (code != PL_OK)
        return code;
    pl_buf_init(&buf, PL_LIMIT_STREAM_BYTES);
    if (!terms->agent)
        json_write_compact(&buf, content);
    else if (write_turn(terms, arena, given, content, calls, &buf) != PL_OK)
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    if (code == PL_OK)
        code = replace(output, &buf, terms->max_output, err);
    pl_buf_finish(&buf);
    return code;
}
