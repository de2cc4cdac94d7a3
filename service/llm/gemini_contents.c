/* gemini_contents.c - a conversation in the OpenAI shape as Gemini's `systemInstruction` and
 * `contents`. Not the reading of it (llm_parts.c) and not the rest of the body (gemini_request.c,
 * which calls this).
 *
 * Answers of tools go by name, in the order of the calls; ids are sent only where the model gave
 * them itself. What the model said in a turn with tool calls goes back part by part as it came, if
 * it was Gemini that said it: signatures belong to their parts. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "service/llm/llm_parts.h"

#include <strings.h>

/* What Google documents for calls that no model of its own has signed: those of another provider,
 * after a fallback. */
#define UNSIGNED "skip_thought_signature_validator"

struct writer {
    const struct provider *provider;
    const struct llm_turns *turns;
    struct pl_buf *out;
    bool new_model;
    bool open; /* a content of tool answers, for the next one to join */
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

/* ---- parts ---- */

/* The type a URL's ending tells; empty: it does not, and the API finds out. */
static struct pl_str type_of_url(struct pl_str url)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".png", "image/png"},   {".jpg", "image/jpeg"},      {".jpeg", "image/jpeg"},
        {".webp", "image/webp"}, {".gif", "image/gif"},       {".heic", "image/heic"},
        {".mp3", "audio/mp3"},   {".wav", "audio/wav"},       {".mp4", "video/mp4"},
        {".mov", "video/mov"},   {".pdf", "application/pdf"}, {".txt", "text/plain"},
    };
    const char *query = url.len ? memchr(url.ptr, '?', url.len) : NULL;

    if (query)
        url.len = (size_t)(query - url.ptr);
    for (size_t i = 0; i < PL_ARRAY_LEN(types); i++) {
        const size_t len = strlen(types[i].ending);

        if (url.len > len && strncasecmp(url.ptr + url.len - len, types[i].ending, len) == 0)
            return pl_str(types[i].type);
    }
    return (struct pl_str){0};
}

/* Files that were uploaded have a name (files/abc) and a URL under the API's. */
static void write_uri(const struct writer *writer, const struct llm_part *part)
{
    const struct pl_str url = writer->provider->url, value = part->value;
    struct pl_buf uri;

    if (part->source == LLM_SOURCE_URL || memmem(value.ptr, value.len, "://", 3)) {
        json_add_string(writer->out, "fileUri", value);
        return;
    }
    pl_buf_init(&uri, PL_LIMIT_PROMPT_BYTES);
    pl_buf_printf(&uri, "%.*s/%s", PL_STR_ARG(url),
                  pl_str_starts(value, PL_STR("files/")) ? "" : "files/");
    pl_buf_str(&uri, value);
    json_add_string(writer->out, "fileUri", pl_buf_view(&uri));
    writer->out->failed |= pl_buf_failed(&uri);
    pl_buf_finish(&uri);
}

static void write_file(const struct writer *writer, const struct llm_part *part)
{
    struct pl_str type = part->media_type;

    if (!type.len && part->source == LLM_SOURCE_URL)
        type = type_of_url(part->value);
    json_key(writer->out, part->source == LLM_SOURCE_DATA ? "inlineData" : "fileData");
    json_object_begin(writer->out);
    if (type.len)
        json_add_string(writer->out, "mimeType", type);
    if (part->source == LLM_SOURCE_DATA)
        json_add_string(writer->out, "data", part->value);
    else
        write_uri(writer, part);
    json_object_end(writer->out);
}

/* Empty texts are refused, and say nothing. */
static bool says_nothing(const struct llm_part *part)
{
    return part->type == LLM_PART_TEXT && part->text.len <= 2;
}

static void write_part(const struct writer *writer, const struct llm_part *part)
{
    json_comma(writer->out);
    json_object_begin(writer->out);
    if (part->type == LLM_PART_TEXT)
        json_add_raw(writer->out, "text", part->text);
    else
        write_file(writer, part);
    json_object_end(writer->out);
}

static void write_parts(const struct writer *writer, const struct llm_turn *turn)
{
    for (size_t i = 0; i < turn->n_parts; i++) {
        if (!says_nothing(&turn->parts[i]) || (turn->n_parts == 1 && !turn->n_calls))
            write_part(writer, &turn->parts[i]);
    }
}

static void begin_content(const struct writer *writer, const char *role)
{
    json_comma(writer->out);
    json_object_begin(writer->out);
    json_add_string(writer->out, "role", pl_str(role));
    json_key(writer->out, "parts");
    json_array_begin(writer->out);
}

static void end_content(const struct writer *writer)
{
    json_array_end(writer->out);
    json_object_end(writer->out);
}

/* ---- calls and their answers ---- */

static void write_call(const struct writer *writer, const struct llm_part_call *call, bool first)
{
    json_comma(writer->out);
    json_object_begin(writer->out);
    json_key(writer->out, "functionCall");
    json_object_begin(writer->out);
    json_add_string(writer->out, "name", call->name);
    json_add_raw(writer->out, "args", call->arguments);
    json_object_end(writer->out);
    if (first && writer->new_model)
        json_add_string(writer->out, "thoughtSignature", PL_STR(UNSIGNED));
    json_object_end(writer->out);
}

static void write_model_turn(const struct writer *writer, const struct llm_turn *turn)
{
    struct pl_str parts;
    struct json_iter it;

    begin_content(writer, "model");
    if (llm_turn_replay(turn, gemini_ops.kind, &parts) && json_type(parts) == JSON_ARRAY) {
        for (json_iter_init(&it, parts); json_iter_next(&it);) {
            json_comma(writer->out);
            pl_buf_str(writer->out, it.value);
        }
    } else {
        write_parts(writer, turn);
        for (size_t i = 0; i < turn->n_calls; i++)
            write_call(writer, &turn->calls[i], i == 0);
    }
    end_content(writer);
}

/* Did the model give the call this id itself? */
static bool id_is_its_own(const struct writer *writer, const struct llm_part_call *call)
{
    struct pl_str parts, id;
    struct json_iter it;
    struct pl_buf text;
    bool same = false;

    for (size_t i = 0; i < writer->turns->count; i++) {
        const struct llm_turn *turn = &writer->turns->items[i];

        if (!turn->n_calls || call < turn->calls || call >= turn->calls + turn->n_calls ||
            !llm_turn_replay(turn, gemini_ops.kind, &parts))
            continue;
        pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
        for (json_iter_init(&it, parts); !same && json_iter_next(&it);) {
            id = member(member(it.value, "functionCall"), "id");
            pl_buf_reset(&text);
            if (id.len && json_type(id) == JSON_STRING)
                json_decode_string(id, &text);
            same = id.len && pl_str_eq(pl_buf_view(&text), call->id);
        }
        writer->out->failed |= pl_buf_failed(&text);
        pl_buf_finish(&text);
    }
    return same;
}

/* An object is wanted: with `error` where the tool failed, else with `output`. */
static void write_response(const struct writer *writer, const struct llm_turn *turn)
{
    struct pl_buf text;
    struct pl_str value, error;

    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    for (size_t i = 0; i < turn->n_parts; i++) {
        if (turn->parts[i].type == LLM_PART_TEXT)
            json_decode_string(turn->parts[i].text, &text);
    }
    value = json_trim(pl_buf_view(&text));
    json_key(writer->out, "response");
    if (value.len && json_check(value, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK) {
        if (json_type(value) == JSON_OBJECT && json_count(value) == 1 &&
            json_get(value, PL_STR("error"), &error)) {
            pl_buf_str(writer->out, value);
        } else {
            json_object_begin(writer->out);
            json_add_raw(writer->out, "output", value);
            json_object_end(writer->out);
        }
    } else {
        json_object_begin(writer->out);
        json_add_string(writer->out, "output", pl_buf_view(&text));
        json_object_end(writer->out);
    }
    writer->out->failed |= pl_buf_failed(&text);
    pl_buf_finish(&text);
}

/* The answers to the calls of one turn stand in one content. Images that a tool gave follow its
 * answer. */
static void write_answer(struct writer *writer, const struct llm_turn *turn)
{
    const struct llm_part_call *call = turn->answers;

    if (!writer->open)
        begin_content(writer, "user");
    writer->open = true;
    json_comma(writer->out);
    json_object_begin(writer->out);
    json_key(writer->out, "functionResponse");
    json_object_begin(writer->out);
    if (id_is_its_own(writer, call))
        json_add_string(writer->out, "id", call->id);
    json_add_string(writer->out, "name", call->name);
    write_response(writer, turn);
    json_object_end(writer->out);
    json_object_end(writer->out);
    for (size_t i = 0; i < turn->n_parts; i++) {
        if (turn->parts[i].type != LLM_PART_TEXT)
            write_part(writer, &turn->parts[i]);
    }
}

/* ---- the whole ---- */

static void write_text(const struct writer *writer, struct pl_str text)
{
    json_comma(writer->out);
    json_object_begin(writer->out);
    json_add_string(writer->out, "text", text);
    json_object_end(writer->out);
}

/* The API has one place for system texts, so those from the middle of a conversation go there too.
 */
static void write_system(const struct writer *writer, struct pl_str system, struct pl_str note)
{
    bool any = system.len || note.len;

    for (size_t i = 0; i < writer->turns->count; i++)
        any |= writer->turns->items[i].role == LLM_ROLE_SYSTEM;
    if (!any)
        return;
    json_key(writer->out, "systemInstruction");
    json_object_begin(writer->out);
    json_key(writer->out, "parts");
    json_array_begin(writer->out);
    if (system.len)
        write_text(writer, system);
    for (size_t i = 0; i < writer->turns->count; i++) {
        if (writer->turns->items[i].role == LLM_ROLE_SYSTEM)
            write_parts(writer, &writer->turns->items[i]);
    }
    if (note.len)
        write_text(writer, note);
    json_array_end(writer->out);
    json_object_end(writer->out);
}

static void write_turn(struct writer *writer, const struct llm_turn *turn)
{
    if (turn->role == LLM_ROLE_SYSTEM)
        return;
    if (turn->role == LLM_ROLE_TOOL) {
        write_answer(writer, turn);
        return;
    }
    if (writer->open)
        end_content(writer);
    writer->open = false;
    if (turn->role == LLM_ROLE_ASSISTANT) {
        write_model_turn(writer, turn);
        return;
    }
    begin_content(writer, "user");
    write_parts(writer, turn);
    end_content(writer);
}

enum pl_code gemini_write_contents(const struct provider *provider,
                                   const struct llm_request *request, struct pl_str note,
                                   struct pl_arena *arena, struct pl_buf *out, struct pl_err *err)
{
    struct llm_turns turns;
    struct writer writer = {.provider = provider,
                            .turns = &turns,
                            .out = out,
                            .new_model = gemini_is_new(request->model)};
    enum pl_code code = llm_parts_read(request->messages, arena, &turns, err);
    bool any = false;

    if (code != PL_OK)
        return code;
    for (size_t i = 0; i < turns.count; i++)
        any |= turns.items[i].role != LLM_ROLE_SYSTEM;
    if (!any)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "there is nothing to answer: Gemini needs a message that is not the "
                          "system's");
    write_system(&writer, request->system, note);
    json_key(out, "contents");
    json_array_begin(out);
    for (size_t i = 0; i < turns.count; i++)
        write_turn(&writer, &turns.items[i]);
    if (writer.open)
        end_content(&writer);
    json_array_end(out);
    return PL_OK;
}
