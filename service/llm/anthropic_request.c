/* anthropic_request.c - the body of POST /v1/messages: the step's parameters by Anthropic's names,
 * tools, the form of the answer, and what `extra` adds. Not the conversation
 * (anthropic_messages.c). Called by anthropic.c. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/workflow/workflow.h"

/* What the schema of the answer becomes. */
enum form {
    FORM_TEXT,  /* there is none */
    FORM_HELD,  /* output_config.format: the API holds the model to it */
    FORM_ASKED, /* the system text asks for it; the answer is judged here either way */
    FORM_EXTRA, /* `extra` says the format itself */
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

/* ---- tokens ---- */

static int64_t number_member(struct pl_str object, const char *key)
{
    const struct pl_str value = member(object, key);
    int64_t number;

    return value.len && json_int(value, &number) && number > 0 ? number : 0;
}

int64_t anthropic_max_tokens(const struct llm_request *request, bool *ret_asked)
{
    const int64_t extra = number_member(request->extra, "max_tokens");
    const int64_t budget = number_member(member(request->extra, "thinking"), "budget_tokens");

    *ret_asked = extra > 0 || request->max_tokens > 0;
    if (extra > 0)
        return extra;
    if (request->max_tokens > 0)
        return request->max_tokens;
    return ANTHROPIC_MAX_TOKENS + (budget < INT32_MAX ? budget : 0);
}

bool anthropic_streams(const struct llm_request *request)
{
    bool asked;

    return request->stream || anthropic_max_tokens(request, &asked) > ANTHROPIC_WHOLE_TOKENS;
}

/* ---- tools ---- */

/* The input of a tool is an object; a schema that does not say so is made to. */
static void write_input_schema(struct pl_buf *out, struct pl_str parameters)
{
    struct json_iter it;

    json_key(out, "input_schema");
    if (!parameters.len || json_type(parameters) != JSON_OBJECT || member(parameters, "type").len) {
        pl_buf_str(out, parameters.len && json_type(parameters) == JSON_OBJECT
                            ? parameters
                            : PL_STR("{\"type\":\"object\"}"));
        return;
    }
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("object"));
    for (json_iter_init(&it, parameters); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    json_object_end(out);
}

static void write_tools(struct pl_buf *out, struct pl_str tools)
{
    struct json_iter it;

    json_key(out, "tools");
    json_array_begin(out);
    for (json_iter_init(&it, tools); json_iter_next(&it);) {
        const struct pl_str function = member(it.value, "function");
        const struct pl_str description = member(function, "description");

        json_comma(out);
        json_object_begin(out);
        json_add_raw(out, "name", member(function, "name"));
        if (description.len)
            json_add_raw(out, "description", description);
        write_input_schema(out, member(function, "parameters"));
        json_object_end(out);
    }
    json_array_end(out);
}

/* "auto", "none", "required" or {"type": "function", "function": {"name"}} of the OpenAI shape;
 * Anthropic's own objects go out as they are. */
static enum pl_code write_tool_choice(struct pl_buf *out, struct pl_str choice, struct pl_err *err)
{
    const struct pl_str name = member(member(choice, "function"), "name");

    if (json_type(choice) == JSON_OBJECT && !name.len) {
        json_add_raw(out, "tool_choice", choice);
        return PL_OK;
    }
    json_key(out, "tool_choice");
    if (name.len)
        pl_buf_printf(out, "{\"type\":\"tool\",\"name\":%.*s}", PL_STR_ARG(name));
    else if (pl_str_is(choice, "\"auto\""))
        pl_buf_text(out, "{\"type\":\"auto\"}");
    else if (pl_str_is(choice, "\"none\""))
        pl_buf_text(out, "{\"type\":\"none\"}");
    else if (pl_str_is(choice, "\"required\"") || pl_str_is(choice, "\"any\""))
        pl_buf_text(out, "{\"type\":\"any\"}");
    else
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'tool_choice' is auto, none, required, or an object that names a tool");
    return PL_OK;
}

/* ---- the form of the answer ---- */

static enum form form_of(const struct llm_request *request)
{
    const struct pl_str format = member(member(request->extra, "output_config"), "format");

    if (!request->schema)
        return format.len ? FORM_EXTRA : FORM_TEXT;
    if (format.len) /* null: for models that cannot be held to a schema */
        return json_type(format) == JSON_NULL ? FORM_ASKED : FORM_EXTRA;
    return anthropic_takes_schema(request->schema->json) ? FORM_HELD : FORM_ASKED;
}

/* What `extra` has in output_config (effort, ...), and the format. */
static void write_output_config(struct pl_buf *out, const struct llm_request *request,
                                enum form form)
{
    const struct pl_str extra = member(request->extra, "output_config");
    const bool without_null = form == FORM_ASKED && member(extra, "format").len;
    struct json_iter it;

    if (extra.len && ((form != FORM_HELD && !without_null) || json_type(extra) != JSON_OBJECT)) {
        json_add_raw(out, "output_config", extra);
        return;
    }
    if (form != FORM_HELD && (!extra.len || json_count(extra) == 1))
        return; /* nothing, or nothing but `format: null` */
    json_key(out, "output_config");
    json_object_begin(out);
    if (extra.len) {
        for (json_iter_init(&it, extra); json_iter_next(&it);) {
            if (pl_str_is(it.key, "\"format\""))
                continue;
            json_comma(out);
            pl_buf_str(out, it.key);
            pl_buf_char(out, ':');
            pl_buf_str(out, it.value);
        }
    }
    if (form == FORM_HELD) {
        json_key(out, "format");
        pl_buf_text(out, "{\"type\":\"json_schema\",\"schema\":");
        anthropic_write_schema(request->schema->json, out);
        pl_buf_char(out, '}');
    }
    json_object_end(out);
}

/* The words that ask for JSON where the API cannot be told. */
static struct pl_str write_note(const struct llm_request *request, struct pl_arena *arena)
{
    return pl_str(pl_arena_printf(
        arena,
        "%s, with nothing but one JSON value, without a fence of backticks. It must fit this JSON "
        "Schema:\n%.*s",
        request->tools.len ? "When you answer, instead of calling a tool, answer" : "Answer",
        PL_STR_ARG(request->schema->json)));
}

/* ---- the body ---- */

static bool is_set(const struct llm_request *request, const char *key)
{
    return member(request->extra, key).len > 0;
}

/* Adds a member unless `extra` has one of the same name: extra wins. */
static void add_raw(struct pl_buf *out, const struct llm_request *request, const char *key,
                    struct pl_str json)
{
    if (json.len && !is_set(request, key))
        json_add_raw(out, key, json);
}

static bool is_one_of(struct pl_str token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pl_str_is(token, words[i]))
            return true;
    return false;
}

/* The members of `extra` but those that are written elsewhere. A name in it is a token; names with
 * escapes are never ours. */
static enum pl_code write_extra(struct pl_buf *out, const struct llm_request *request,
                                bool has_system, struct pl_err *err)
{
    static const char *const own[] = {"\"model\"", "\"messages\"", "\"stream\""};
    static const char *const elsewhere[] = {"\"output_config\"", "\"tool_choice\""};
    struct json_iter it;

    if (!request->extra.len)
        return PL_OK;
    for (json_iter_init(&it, request->extra); json_iter_next(&it);) {
        if (is_one_of(it.key, own, PL_ARRAY_LEN(own)) ||
            (request->tools.len && pl_str_is(it.key, "\"tools\"")) ||
            (has_system && pl_str_is(it.key, "\"system\"")))
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "'extra' may not set %.*s; the step has its own", PL_STR_ARG(it.key));
        if (is_one_of(it.key, elsewhere, PL_ARRAY_LEN(elsewhere)))
            continue;
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    return PL_OK;
}

static enum pl_code write_tool_members(struct pl_buf *out, const struct llm_request *request,
                                       struct pl_err *err)
{
    const struct pl_str extra = member(request->extra, "tool_choice");
    const struct pl_str choice = extra.len ? extra : request->tool_choice;

    if (request->tools.len)
        write_tools(out, request->tools);
    return choice.len ? write_tool_choice(out, choice, err) : PL_OK;
}

static enum pl_code check_parameters(const struct llm_request *request, struct pl_err *err)
{
    if (request->seed.len)
        return pl_err_set(
            err, PL_ERR_BAD_REQUEST,
            "anthropic models take no 'seed'; take it out of the step, or use a model "
            "of another provider");
    return PL_OK;
}

enum pl_code anthropic_write_body(const struct llm_request *request, struct pl_arena *arena,
                                  struct pl_buf *out, struct pl_err *err)
{
    const enum form form = form_of(request);
    struct pl_str note = {0};
    enum pl_code code = check_parameters(request, err);
    size_t start;
    bool asked;

    if (code == PL_OK && form == FORM_ASKED) {
        note = write_note(request, arena);
        if (!note.ptr)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    if (code != PL_OK)
        return code;
    json_object_begin(out);
    json_add_string(out, "model", request->model);
    if (!is_set(request, "max_tokens"))
        json_add_int(out, "max_tokens", anthropic_max_tokens(request, &asked));
    start = out->len;
    code = anthropic_write_messages(request, note, arena, out, err);
    if (code != PL_OK || pl_buf_failed(out))
        return code;
    add_raw(out, request, "temperature", request->temperature);
    add_raw(out, request, "stop_sequences", request->stop);
    code = write_tool_members(out, request, err);
    if (code != PL_OK)
        return code;
    write_output_config(out, request, form);
    if (anthropic_streams(request))
        json_add_bool(out, "stream", true);
    code = write_extra(
        out, request,
        pl_str_starts(pl_str_n(out->data + start, out->len - start), PL_STR(",\"system\"")), err);
    json_object_end(out);
    return code;
}
