/* anthropic_messages.c - the conversation as Anthropic takes it: `system` apart, turns of user and
 * assistant in alternation, tools' results at the head of the user's turn. Not the rest of the body
 * (anthropic_request.c, the caller). */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

/* The mark up to where the API is to keep what it read. */
static void add_cache_control(struct pl_buf *out, const struct llm_part *part)
{
    if (part->cache_control.len)
        json_add_raw(out, "cache_control", part->cache_control);
}

/* ---- system ---- */

/* A text of the system: the step's own, a message's, or a note. */
struct system_text {
    struct pl_str text;          /* plain, or a JSON string token where there is a part */
    const struct llm_part *part; /* NULL: none */
};

static void add_paragraph(struct pl_buf *out, const struct system_text *text)
{
    if (out->len)
        pl_buf_text(out, "\n\n");
    if (text->part)
        json_decode_string(text->text, out);
    else
        pl_buf_str(out, text->text);
}

static void add_block(struct pl_buf *out, const struct system_text *text)
{
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("text"));
    if (text->part) {
        json_add_raw(out, "text", text->text);
        add_cache_control(out, text->part);
    } else {
        json_add_string(out, "text", text->text);
    }
    json_object_end(out);
}

/* The texts of system and developer messages, empty ones left out, behind the `count` that are
 * there. */
static enum pl_code take_system_turn(const struct llm_turn *turn, struct system_text *texts,
                                     size_t *count, struct pl_err *err)
{
    for (size_t i = 0; i < turn->n_parts; i++) {
        const struct llm_part *part = &turn->parts[i];

        if (part->type != LLM_PART_TEXT)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "'messages' element %zu has %s, but a system message to an anthropic "
                              "model is text only",
                              turn->index, llm_part_name(part->type));
        if (part->text.len > 2)
            texts[(*count)++] = (struct system_text){.text = part->text, .part = part};
    }
    return PL_OK;
}

static size_t count_parts(const struct llm_turns *turns)
{
    size_t count = 0;

    for (size_t i = 0; i < turns->count; i++)
        count += turns->items[i].role == LLM_ROLE_SYSTEM ? turns->items[i].n_parts : 0;
    return count;
}

/* One text, or blocks where one of them carries a mark. */
static void write_texts(struct pl_buf *out, const struct system_text *texts, size_t count)
{
    struct pl_buf text;
    bool marked = false;

    for (size_t i = 0; i < count; i++)
        marked |= texts[i].part && texts[i].part->cache_control.len;
    if (marked) {
        json_key(out, "system");
        json_array_begin(out);
        for (size_t i = 0; i < count; i++)
            add_block(out, &texts[i]);
        json_array_end(out);
        return;
    }
    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    for (size_t i = 0; i < count; i++)
        add_paragraph(&text, &texts[i]);
    if (text.len)
        json_add_string(out, "system", pl_buf_view(&text));
    out->failed |= pl_buf_failed(&text);
    out->too_large |= text.too_large;
    pl_buf_finish(&text);
}

/* The step's own text, then those of system and developer messages, wherever they stand. */
static enum pl_code write_system(const struct llm_request *request, const struct llm_turns *turns,
                                 struct pl_str note, struct pl_arena *arena, struct pl_buf *out,
                                 struct pl_err *err)
{
    struct system_text *texts = pl_arena_alloc_array(arena, count_parts(turns) + 2, sizeof(*texts));
    size_t count = 0;
    enum pl_code code = PL_OK;

    if (!texts)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (request->system.len)
        texts[count++] = (struct system_text){.text = request->system};
    for (size_t i = 0; code == PL_OK && i < turns->count; i++)
        if (turns->items[i].role == LLM_ROLE_SYSTEM)
            code = take_system_turn(&turns->items[i], texts, &count, err);
    if (note.len)
        texts[count++] = (struct system_text){.text = note};
    if (code == PL_OK)
        write_texts(out, texts, count);
    return code;
}

/* ---- parts ---- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : 63;
}

/* The text in base64 that has been checked; absent when out of memory. */
static struct pl_str decode_base64(struct pl_str data, struct pl_arena *arena)
{
    char *text = pl_arena_alloc(arena, data.len + 1);
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t len = 0;

    for (size_t i = 0; text && i < data.len && data.ptr[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)base64_value(data.ptr[i]);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            text[len++] = (char)(bits >> n_bits & 0xFF);
        }
    }
    return pl_str_n(text, len);
}

static bool is_text(struct pl_str text)
{
    for (size_t i = 0; i < text.len;) {
        const unsigned len = pl_utf8_length(text.ptr + i, text.len - i);

        if (!len || text.ptr[i] == '\0')
            return false;
        i += len;
    }
    return true;
}

static bool is_image(struct pl_str type)
{
    return pl_str_is(type, "image/png") || pl_str_is(type, "image/jpeg") ||
           pl_str_is(type, "image/gif") || pl_str_is(type, "image/webp");
}

static enum pl_code bad_part(const struct llm_turn *turn, const struct llm_part *part,
                             const char *why, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' element %zu has %s %s", turn->index,
                      llm_part_name(part->type), why);
}

/* {"type": TYPE, "source": {...}, "title"} */
static void write_source(struct pl_buf *out, const char *type, const struct llm_part *part)
{
    json_object_begin(out);
    json_add_string(out, "type", pl_str(type));
    json_key(out, "source");
    json_object_begin(out);
    if (part->source == LLM_SOURCE_URL) {
        json_add_string(out, "type", PL_STR("url"));
        json_add_string(out, "url", part->value);
    } else {
        json_add_string(out, "type", PL_STR("base64"));
        json_add_string(out, "media_type", part->media_type);
        json_add_string(out, "data", part->value);
    }
    json_object_end(out);
    if (part->filename.len && strcmp(type, "document") == 0)
        json_add_string(out, "title", part->filename);
    add_cache_control(out, part);
    json_object_end(out);
}

static enum pl_code write_text_document(struct pl_buf *out, const struct llm_turn *turn,
                                        const struct llm_part *part, struct pl_arena *arena,
                                        struct pl_err *err)
{
    const struct pl_str text = decode_base64(part->value, arena);

    if (!text.ptr)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (!is_text(text))
        return bad_part(turn, part, "of text that is not UTF-8", err);
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("document"));
    json_key(out, "source");
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("text"));
    json_add_string(out, "media_type", PL_STR("text/plain"));
    json_add_string(out, "data", text);
    json_object_end(out);
    if (part->filename.len)
        json_add_string(out, "title", part->filename);
    add_cache_control(out, part);
    json_object_end(out);
    return PL_OK;
}

static enum pl_code write_file(struct pl_buf *out, const struct llm_turn *turn,
                               const struct llm_part *part, struct pl_arena *arena,
                               struct pl_err *err)
{
    if (part->source == LLM_SOURCE_ID)
        return bad_part(turn, part,
                        "by its id, which anthropic does not take here; send file_data, or a "
                        "file_url",
                        err);
    if (is_image(part->media_type))
        write_source(out, "image", part);
    else if (part->source == LLM_SOURCE_URL || pl_str_is(part->media_type, "application/pdf"))
        write_source(out, "document", part);
    else if (pl_str_starts(part->media_type, PL_STR("text/")))
        return write_text_document(out, turn, part, arena, err);
    else
        return bad_part(turn, part, "that is neither a PDF nor text nor an image", err);
    return PL_OK;
}

/* Texts that are empty are left out: the API takes none. */
static enum pl_code write_part(struct pl_buf *out, const struct llm_turn *turn,
                               const struct llm_part *part, struct pl_arena *arena,
                               struct pl_err *err)
{
    if (part->type == LLM_PART_TEXT && part->text.len <= 2)
        return PL_OK;
    json_comma(out);
    switch (part->type) {
    case LLM_PART_TEXT:
        json_object_begin(out);
        json_add_string(out, "type", PL_STR("text"));
        json_add_raw(out, "text", part->text);
        add_cache_control(out, part);
        json_object_end(out);
        return PL_OK;
    case LLM_PART_IMAGE:
        if (part->source == LLM_SOURCE_DATA && !is_image(part->media_type))
            return bad_part(turn, part,
                            "of a type anthropic does not take; it takes image/png, image/jpeg, "
                            "image/gif and image/webp",
                            err);
        write_source(out, "image", part);
        return PL_OK;
    case LLM_PART_AUDIO:
        return bad_part(turn, part, "(input_audio), which anthropic does not take", err);
    case LLM_PART_FILE:
        break;
    }
    return write_file(out, turn, part, arena, err);
}

static enum pl_code write_parts(struct pl_buf *out, const struct llm_turn *turn,
                                struct pl_arena *arena, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    for (size_t i = 0; code == PL_OK && i < turn->n_parts; i++)
        code = write_part(out, turn, &turn->parts[i], arena, err);
    return code;
}

/* ---- turns ---- */

static void write_call(struct pl_buf *out, const struct llm_part_call *call)
{
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("tool_use"));
    json_add_string(out, "id", call->id);
    json_add_string(out, "name", call->name);
    json_add_raw(out, "input", call->arguments);
    json_object_end(out);
}

static enum pl_code write_result(struct pl_buf *out, const struct llm_turn *turn,
                                 struct pl_arena *arena, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("tool_result"));
    json_add_string(out, "tool_use_id", turn->answers->id);
    if (turn->n_parts == 1 && turn->parts[0].type == LLM_PART_TEXT &&
        !turn->parts[0].cache_control.len) {
        json_add_raw(out, "content", turn->parts[0].text);
    } else if (turn->n_parts) {
        json_key(out, "content");
        json_array_begin(out);
        code = write_parts(out, turn, arena, err);
        json_array_end(out);
    }
    json_object_end(out);
    return code;
}

static bool is_tool_use(struct pl_str block)
{
    struct pl_str type;

    return json_get(block, PL_STR("type"), &type) && pl_str_is(type, "\"tool_use\"");
}

/* The blocks as the model gave them; calls stand in their places as the conversation has them. */
static void write_replay(struct pl_buf *out, const struct llm_turn *turn, struct pl_str blocks)
{
    struct json_iter it;
    size_t calls = 0;

    for (json_iter_init(&it, blocks); json_iter_next(&it);) {
        if (!is_tool_use(it.value)) {
            json_comma(out);
            pl_buf_str(out, it.value);
        } else if (calls < turn->n_calls) {
            write_call(out, &turn->calls[calls++]);
        }
    }
    while (calls < turn->n_calls)
        write_call(out, &turn->calls[calls++]);
}

static enum pl_code write_assistant(struct pl_buf *out, const struct llm_turn *turn,
                                    struct pl_arena *arena, struct pl_err *err)
{
    struct pl_str blocks;
    enum pl_code code;

    for (size_t i = 0; i < turn->n_parts; i++)
        if (turn->parts[i].type != LLM_PART_TEXT)
            return bad_part(turn, &turn->parts[i], "in an assistant's message", err);
    if (llm_turn_replay(turn, "anthropic", &blocks) && json_type(blocks) == JSON_ARRAY) {
        write_replay(out, turn, blocks);
        return PL_OK;
    }
    code = write_parts(out, turn, arena, err);
    for (size_t i = 0; code == PL_OK && i < turn->n_calls; i++)
        write_call(out, &turn->calls[i]);
    return code;
}

static bool is_assistant(const struct llm_turn *turn)
{
    return turn->role == LLM_ROLE_ASSISTANT;
}

/* The turns [*at, end) of one side, as one message; results of tools come first, as they must. */
static enum pl_code write_side(struct pl_buf *out, const struct llm_turns *turns, size_t at,
                               size_t end, struct pl_arena *arena, struct pl_err *err)
{
    const bool assistant = is_assistant(&turns->items[at]);
    enum pl_code code = PL_OK;

    for (size_t i = at; code == PL_OK && i < end; i++)
        if (turns->items[i].role == LLM_ROLE_TOOL)
            code = write_result(out, &turns->items[i], arena, err);
    for (size_t i = at; code == PL_OK && i < end; i++) {
        if (turns->items[i].role == LLM_ROLE_USER)
            code = write_parts(out, &turns->items[i], arena, err);
        else if (assistant && is_assistant(&turns->items[i]))
            code = write_assistant(out, &turns->items[i], arena, err);
    }
    return code;
}

/* The end of the run of turns of one side that begins at `at`; system messages stand in no way. */
static size_t side_end(const struct llm_turns *turns, size_t at)
{
    const bool assistant = is_assistant(&turns->items[at]);

    while (at < turns->count && (turns->items[at].role == LLM_ROLE_SYSTEM ||
                                 is_assistant(&turns->items[at]) == assistant))
        at++;
    return at;
}

static enum pl_code write_message(struct pl_buf *out, const struct llm_turns *turns, size_t at,
                                  size_t end, struct pl_arena *arena, struct pl_err *err)
{
    const bool assistant = is_assistant(&turns->items[at]);
    size_t empty;
    enum pl_code code;

    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "role", assistant ? PL_STR("assistant") : PL_STR("user"));
    json_key(out, "content");
    json_array_begin(out);
    empty = out->len;
    code = write_side(out, turns, at, end, arena, err);
    if (code == PL_OK && out->len == empty && !pl_buf_failed(out))
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'messages' element %zu is empty; anthropic takes no empty text",
                          turns->items[at].index);
    json_array_end(out);
    json_object_end(out);
    return code;
}

enum pl_code anthropic_write_messages(const struct llm_request *request, struct pl_str note,
                                      struct pl_arena *arena, struct pl_buf *out,
                                      struct pl_err *err)
{
    struct llm_turns turns = {0};
    enum pl_code code = llm_parts_read(request->messages, arena, &turns, err);
    size_t messages = 0;

    if (code == PL_OK)
        code = write_system(request, &turns, note, arena, out, err);
    if (code != PL_OK)
        return code;
    json_key(out, "messages");
    json_array_begin(out);
    for (size_t at = 0, end; code == PL_OK && at < turns.count; at = end) {
        end = at + 1;
        if (turns.items[at].role == LLM_ROLE_SYSTEM)
            continue;
        end = side_end(&turns, at);
        code = write_message(out, &turns, at, end, arena, err);
        messages++;
    }
    json_array_end(out);
    if (code == PL_OK && !messages)
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "there is no message but the system's; anthropic needs one of the user");
    return code;
}
