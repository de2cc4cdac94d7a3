/* gemini_request.c - the body of a request to Gemini, but for the conversation
 * (gemini_contents.c) and schemas (gemini_schema.c). Called by gemini.c.
 *
 * `extra` is in the API's own words and wins: its members go into the body, objects member by
 * member (`generationConfig`, `toolConfig`), `tools` behind the step's own. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/workflow/workflow.h"

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

bool gemini_is_new(struct pl_str model)
{
    static const struct pl_str name = PL_STR("gemini-");
    const char *at = model.len ? memmem(model.ptr, model.len, name.ptr, name.len) : NULL;

    if (!at || at + name.len == model.ptr + model.len)
        return false;
    return at[name.len] >= '3' && at[name.len] <= '9';
}

/* ---- objects that `extra` adds to ---- */

/* Adds `json` unless the object in `extra` has a member of this name, which comes later. */
static void add(struct pl_buf *out, struct pl_str extra, const char *key, struct pl_str json)
{
    if (json.len && !member(extra, key).len)
        json_add_raw(out, key, json);
}

static void add_all(struct pl_buf *out, struct pl_str extra)
{
    struct json_iter it;

    if (!extra.len || json_type(extra) != JSON_OBJECT)
        return;
    for (json_iter_init(&it, extra); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
}

/* ---- generationConfig ---- */

/* The older models know either tools or a form of the answer. */
static bool form_in_words(const struct llm_request *request)
{
    return request->schema && request->tools.len && !gemini_is_new(request->model);
}

static void add_stops(struct pl_buf *out, struct pl_str extra, struct pl_str stop)
{
    if (!stop.len || member(extra, "stopSequences").len || json_type(stop) == JSON_NULL)
        return;
    json_key(out, "stopSequences");
    if (json_type(stop) == JSON_STRING)
        pl_buf_char(out, '[');
    pl_buf_str(out, stop);
    if (json_type(stop) == JSON_STRING)
        pl_buf_char(out, ']');
}

/* A form that `extra` asks for is the one that counts. */
static void add_form(struct pl_buf *out, struct pl_str extra, const struct llm_request *request)
{
    if (!request->schema || form_in_words(request) || member(extra, "responseMimeType").len)
        return;
    json_add_string(out, "responseMimeType", PL_STR("application/json"));
    if (member(extra, "responseSchema").len || member(extra, "responseJsonSchema").len)
        return;
    json_key(out, "responseJsonSchema");
    gemini_write_schema(out, request->schema->json);
}

static void write_config(struct pl_buf *out, const struct llm_request *request)
{
    const struct pl_str extra = member(request->extra, "generationConfig");

    if (!extra.len && !request->temperature.len && request->max_tokens <= 0 && !request->seed.len &&
        !request->stop.len && !request->schema)
        return;
    json_key(out, "generationConfig");
    json_object_begin(out);
    add(out, extra, "temperature", request->temperature);
    if (request->max_tokens > 0 && !member(extra, "maxOutputTokens").len)
        json_add_int(out, "maxOutputTokens", request->max_tokens);
    add(out, extra, "seed", request->seed);
    add_stops(out, extra, request->stop);
    add_form(out, extra, request);
    add_all(out, extra);
    json_object_end(out);
}

/* ---- tools ---- */

static void write_function(struct pl_buf *out, struct pl_str function)
{
    const struct pl_str description = member(function, "description"),
                        parameters = member(function, "parameters");

    json_comma(out);
    json_object_begin(out);
    json_add_raw(out, "name", member(function, "name"));
    if (description.len)
        json_add_raw(out, "description", description);
    if (parameters.len && json_count(member(parameters, "properties"))) {
        json_key(out, "parametersJsonSchema");
        gemini_write_schema(out, parameters);
    }
    json_object_end(out);
}

static void write_tools(struct pl_buf *out, const struct llm_request *request)
{
    const struct pl_str extra = member(request->extra, "tools");
    struct json_iter it;

    if (!request->tools.len && !extra.len)
        return;
    json_key(out, "tools");
    json_array_begin(out);
    if (request->tools.len) {
        json_object_begin(out);
        json_key(out, "functionDeclarations");
        json_array_begin(out);
        for (json_iter_init(&it, request->tools); json_iter_next(&it);)
            write_function(out, member(it.value, "function"));
        json_array_end(out);
        json_object_end(out);
    }
    for (json_iter_init(&it, extra); extra.len && json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.value);
    }
    json_array_end(out);
}

/* "auto", "none", "required" or {"function": {"name"}}, as OpenAI has it. */
static void write_choice(struct pl_buf *out, struct pl_str choice)
{
    const struct pl_str name = member(member(choice, "function"), "name");

    json_key(out, "functionCallingConfig");
    json_object_begin(out);
    if (name.len) {
        json_add_string(out, "mode", PL_STR("ANY"));
        json_key(out, "allowedFunctionNames");
        pl_buf_char(out, '[');
        pl_buf_str(out, name);
        pl_buf_char(out, ']');
    } else {
        json_add_string(out, "mode",
                        pl_str_is(choice, "\"none\"")       ? PL_STR("NONE")
                        : pl_str_is(choice, "\"required\"") ? PL_STR("ANY")
                                                            : PL_STR("AUTO"));
    }
    json_object_end(out);
}

static void write_tool_config(struct pl_buf *out, const struct llm_request *request)
{
    const struct pl_str extra = member(request->extra, "toolConfig"),
                        chosen = member(request->extra, "tool_choice"),
                        choice = chosen.len ? chosen : request->tool_choice;
    const bool chooses =
        choice.len && request->tools.len && !member(extra, "functionCallingConfig").len;

    if (!chooses && !extra.len)
        return;
    json_key(out, "toolConfig");
    json_object_begin(out);
    if (chooses)
        write_choice(out, choice);
    add_all(out, extra);
    json_object_end(out);
}

/* ---- extra ---- */

static bool is_one_of(struct pl_str key, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pl_str_is(key, names[i]))
            return true;
    }
    return false;
}

/* A name in `extra` is written as a token; names with escapes are never ours. */
static enum pl_code write_rest(struct pl_buf *out, const struct llm_request *request,
                               struct pl_err *err)
{
    static const char *const own[] = {"\"contents\"", "\"model\"", "\"systemInstruction\""};
    static const char *const merged[] = {"\"generationConfig\"", "\"toolConfig\"", "\"tools\""};
    struct json_iter it;

    for (json_iter_init(&it, request->extra); request->extra.len && json_iter_next(&it);) {
        if (is_one_of(it.key, own, PL_ARRAY_LEN(own)))
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "'extra' may not set %.*s; the step has its own", PL_STR_ARG(it.key));
        if (is_one_of(it.key, merged, PL_ARRAY_LEN(merged))) {
            const enum json_type type = pl_str_is(it.key, "\"tools\"") ? JSON_ARRAY : JSON_OBJECT;

            if (json_type(it.value) != type)
                return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "%.*s in 'extra' must be %s",
                                  PL_STR_ARG(it.key), type == JSON_ARRAY ? "a list" : "an object");
            continue;
        }
        if (pl_str_is(it.key, "\"tool_choice\""))
            continue; /* OpenAI's word, which has become toolConfig */
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    return PL_OK;
}

/* What a model is told that cannot be held to the schema. Absent when out of memory. */
static struct pl_str form_note(const struct llm_request *request, struct pl_arena *arena)
{
    return pl_str(pl_arena_printf(arena,
                                  "When you give your final answer, give nothing but JSON. It must "
                                  "fit this JSON Schema:\n%.*s",
                                  PL_STR_ARG(request->schema->json)));
}

enum pl_code gemini_write_body(const struct provider *provider, const struct llm_request *request,
                               struct pl_arena *arena, struct pl_buf *out, struct pl_err *err)
{
    struct pl_str note = {0};
    enum pl_code code;

    if (form_in_words(request)) {
        note = form_note(request, arena);
        if (!note.len)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    json_object_begin(out);
    code = gemini_write_contents(provider, request, note, arena, out, err);
    if (code != PL_OK)
        return code;
    write_config(out, request);
    write_tools(out, request);
    write_tool_config(out, request);
    code = write_rest(out, request, err);
    json_object_end(out);
    return code;
}
