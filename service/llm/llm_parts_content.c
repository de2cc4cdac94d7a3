/* llm_parts_content.c - see llm_parts_content.h: texts, images, audio and files, and where their
 * bytes are. Called by llm_parts.c. */
#include "service/llm/llm_parts_content.h"

#include "base/json.h"

#include <strings.h>

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_string(struct pl_str json)
{
    return json.len && json_type(json) == JSON_STRING;
}

struct pl_str llm_parts_text(struct pl_str token, struct pl_arena *arena)
{
    if (!memchr(token.ptr, '\\', token.len))
        return pl_str_n(token.ptr + 1, token.len - 2);
    return json_decode_string_arena(token, arena);
}

const char *llm_part_name(enum llm_part_type type)
{
    switch (type) {
    case LLM_PART_IMAGE:
        return "an image";
    case LLM_PART_AUDIO:
        return "audio";
    case LLM_PART_FILE:
        return "a file";
    case LLM_PART_TEXT:
        break;
    }
    return "a text";
}

/* Where in the messages an error is. */
struct place {
    const struct llm_turn *turn;
    size_t part;
};

static enum pl_code bad(const struct place *place, const char *why, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' element %zu, part %zu, %s",
                      place->turn->index, place->part, why);
}

/* ---- where the bytes are ---- */

static bool is_base64(struct pl_str text)
{
    size_t len = text.len;

    while (len && text.len - len < 2 && text.ptr[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        const char c = text.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return len > 0;
}

static bool starts_as(struct pl_str text, const char *prefix)
{
    const size_t len = strlen(prefix);

    return text.len >= len && strncasecmp(text.ptr, prefix, len) == 0;
}

static bool has_scheme(struct pl_str text)
{
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;

    return colon && colon > text.ptr && text.ptr + text.len - colon > 3 && colon[1] == '/' &&
           colon[2] == '/';
}

static struct pl_str lower(struct pl_str text, struct pl_arena *arena)
{
    char *copy = pl_arena_alloc(arena, text.len + 1);

    for (size_t i = 0; copy && i < text.len; i++)
        copy[i] = (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] + 32 : text.ptr[i]);
    return pl_str_n(copy, copy ? text.len : 0);
}

/* data:image/png;base64,AAAA */
static enum pl_code read_data_url(const struct place *place, struct pl_str url,
                                  struct pl_arena *arena, struct llm_part *part, struct pl_err *err)
{
    const struct pl_str rest = pl_str_n(url.ptr + 5, url.len - 5);
    const char *comma = rest.len ? memchr(rest.ptr, ',', rest.len) : NULL;
    struct pl_str head, type;
    const char *semicolon;

    if (!comma)
        return bad(place, "has a data: URL without a comma", err);
    head = pl_str_n(rest.ptr, (size_t)(comma - rest.ptr));
    if (head.len < 7 || strncasecmp(head.ptr + head.len - 7, ";base64", 7) != 0)
        return bad(place, "has a data: URL that is not base64 (data:TYPE;base64,DATA)", err);
    semicolon = memchr(head.ptr, ';', head.len);
    type = pl_str_n(head.ptr, (size_t)(semicolon - head.ptr));
    if (!type.len || !memchr(type.ptr, '/', type.len))
        return bad(place, "has a data: URL without a media type, such as image/png", err);
    part->source = LLM_SOURCE_DATA;
    part->media_type = lower(type, arena);
    part->value = pl_str_n(comma + 1, rest.len - head.len - 1);
    return is_base64(part->value) ? PL_OK : bad(place, "has data that is not base64", err);
}

static enum pl_code read_url(const struct place *place, struct pl_str url, struct pl_arena *arena,
                             struct llm_part *part, struct pl_err *err)
{
    if (starts_as(url, "data:"))
        return read_data_url(place, url, arena, part, err);
    if (!has_scheme(url))
        return bad(place, "has a URL that is neither https://... nor data:TYPE;base64,...", err);
    part->source = LLM_SOURCE_URL;
    part->value = url;
    return PL_OK;
}

/* ---- the types of parts ---- */

/* {"image_url": {"url"}}; Ollama also takes {"image_url": "..."}. */
static enum pl_code read_image(const struct place *place, struct pl_str json,
                               struct pl_arena *arena, struct llm_part *part, struct pl_err *err)
{
    struct pl_str url = member(json, "image_url");

    if (url.len && json_type(url) == JSON_OBJECT)
        url = member(url, "url");
    if (!is_string(url))
        return bad(place, "needs image_url: {url: ...}", err);
    part->type = LLM_PART_IMAGE;
    return read_url(place, llm_parts_text(url, arena), arena, part, err);
}

static enum pl_code read_audio(const struct place *place, struct pl_str json,
                               struct pl_arena *arena, struct llm_part *part, struct pl_err *err)
{
    const struct pl_str audio = member(json, "input_audio");
    const struct pl_str data = member(audio, "data"), format = member(audio, "format");

    if (!is_string(data) || !is_string(format) || format.len <= 2)
        return bad(place, "needs input_audio: {data: base64, format: wav or mp3}", err);
    part->type = LLM_PART_AUDIO;
    part->source = LLM_SOURCE_DATA;
    part->value = llm_parts_text(data, arena);
    part->media_type =
        pl_str(pl_arena_printf(arena, "audio/%.*s", PL_STR_ARG(llm_parts_text(format, arena))));
    return is_base64(part->value) ? PL_OK : bad(place, "has data that is not base64", err);
}

static struct pl_str type_of_name(struct pl_str name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".pdf", "application/pdf"}, {".txt", "text/plain"},        {".md", "text/markdown"},
        {".csv", "text/csv"},        {".html", "text/html"},        {".xml", "text/xml"},
        {".png", "image/png"},       {".json", "application/json"}, {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},     {".webp", "image/webp"},       {".gif", "image/gif"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(types); i++) {
        const size_t len = strlen(types[i].ending);

        if (name.len > len && strncasecmp(name.ptr + name.len - len, types[i].ending, len) == 0)
            return pl_str(types[i].type);
    }
    return (struct pl_str){0};
}

/* The data of a file: a data: URL, or base64 whose type the name tells. */
static enum pl_code read_file_data(const struct place *place, struct pl_str data,
                                   struct pl_arena *arena, struct llm_part *part,
                                   struct pl_err *err)
{
    if (starts_as(data, "data:"))
        return read_data_url(place, data, arena, part, err);
    part->source = LLM_SOURCE_DATA;
    part->value = data;
    part->media_type = type_of_name(part->filename);
    if (!is_base64(data))
        return bad(place, "has data that is not base64", err);
    if (!part->media_type.len)
        return bad(place,
                   "has a file whose type is not told: write file_data as "
                   "data:application/pdf;base64,..., or name the file",
                   err);
    return PL_OK;
}

/* {"file": {"file_data", "filename"}}, {"file": {"file_id"}}, {"file": {"file_url"}}. */
static enum pl_code read_file(const struct place *place, struct pl_str json, struct pl_arena *arena,
                              struct llm_part *part, struct pl_err *err)
{
    const struct pl_str file = member(json, "file");
    const struct pl_str data = member(file, "file_data"), id = member(file, "file_id");
    const struct pl_str url = member(file, "file_url"), name = member(file, "filename");

    part->type = LLM_PART_FILE;
    if (is_string(name))
        part->filename = llm_parts_text(name, arena);
    if (is_string(data))
        return read_file_data(place, llm_parts_text(data, arena), arena, part, err);
    if (is_string(url)) {
        part->media_type = type_of_name(part->filename);
        return read_url(place, llm_parts_text(url, arena), arena, part, err);
    }
    if (!is_string(id) || id.len <= 2)
        return bad(place, "needs file: {file_data: ...}, {file_url: ...} or {file_id: ...}", err);
    part->source = LLM_SOURCE_ID;
    part->value = llm_parts_text(id, arena);
    return PL_OK;
}

/* A text; what an assistant refused counts as what it said. */
static enum pl_code read_text(const struct place *place, struct pl_str json, const char *key,
                              struct llm_part *part, struct pl_err *err)
{
    const struct pl_str text = member(json, key);

    if (!is_string(text))
        return bad(place, "needs a string as its text", err);
    part->type = LLM_PART_TEXT;
    part->text = text;
    return PL_OK;
}

static enum pl_code read_part(const struct place *place, struct pl_str json, struct pl_arena *arena,
                              struct llm_part *part, struct pl_err *err)
{
    const struct pl_str type = member(json, "type");

    if (pl_str_is(type, "\"text\""))
        return read_text(place, json, "text", part, err);
    if (pl_str_is(type, "\"refusal\""))
        return read_text(place, json, "refusal", part, err);
    if (pl_str_is(type, "\"image_url\""))
        return read_image(place, json, arena, part, err);
    if (pl_str_is(type, "\"input_audio\""))
        return read_audio(place, json, arena, part, err);
    if (pl_str_is(type, "\"file\""))
        return read_file(place, json, arena, part, err);
    return bad(place, "is of no type that can be read here: text, image_url, input_audio, file",
               err);
}

enum pl_code llm_parts_read_content(struct llm_turn *turn, struct pl_str content,
                                    struct pl_arena *arena, struct pl_err *err)
{
    struct place place = {.turn = turn};
    struct json_iter it;
    enum pl_code code = PL_OK;

    if (!content.len || json_type(content) == JSON_NULL)
        return PL_OK;
    if (json_type(content) != JSON_STRING && json_type(content) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'messages' element %zu has a content that is neither a text nor a list "
                          "of parts",
                          turn->index);
    turn->parts =
        pl_arena_alloc_array(arena, json_type(content) == JSON_ARRAY ? json_count(content) + 1 : 1,
                             sizeof(*turn->parts));
    if (!turn->parts)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (json_type(content) == JSON_STRING) {
        turn->parts[0] = (struct llm_part){.type = LLM_PART_TEXT, .text = content};
        turn->n_parts = 1;
        return PL_OK;
    }
    for (json_iter_init(&it, content); code == PL_OK && json_iter_next(&it); turn->n_parts++) {
        place.part = turn->n_parts;
        code = read_part(&place, it.value, arena, &turn->parts[turn->n_parts], err);
        turn->parts[turn->n_parts].cache_control = member(it.value, "cache_control");
    }
    if (pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}
