/* doc_json.c - a document written in JSON: tokens of the strict reader, with lines and columns. Not
 * the reader itself (base/json). Called by doc_parse. */
#include "base/json.h"
#include "service/workflow/doc_build.h"

/* Turns byte offsets, which only grow, into lines and columns. */
struct position {
    struct pl_str text;
    size_t offset, line_start;
    unsigned line;
};

static struct doc_pos position_at(struct position *position, size_t offset)
{
    while (position->offset < offset) {
        const char *from = position->text.ptr + position->offset;
        const char *newline = memchr(from, '\n', offset - position->offset);

        if (!newline)
            break;
        position->line++;
        position->offset = (size_t)(newline - position->text.ptr) + 1;
        position->line_start = position->offset;
    }
    position->offset = offset;
    return (struct doc_pos){.line = position->line,
                            .column = (unsigned)(offset - position->line_start) + 1};
}

static void scalar(struct doc_builder *builder, enum json_token token, struct pl_str text,
                   struct doc_pos pos)
{
    enum doc_type type = DOC_NULL;
    struct pl_str value = {0};

    if (token == JSON_TOKEN_STRING) {
        type = DOC_STRING;
        value = json_decode_string_arena(text, builder->arena);
    } else if (token == JSON_TOKEN_NUMBER) {
        type = DOC_NUMBER;
        value = pl_arena_str(builder->arena, text);
    } else if (token != JSON_TOKEN_NULL) {
        type = DOC_BOOL;
        value = token == JSON_TOKEN_TRUE ? PL_STR("true") : PL_STR("false");
    }
    (void)doc_builder_add(builder, type, value, pos);
}

static void handle(struct doc_builder *builder, enum json_token token,
                   const struct json_reader *reader, struct doc_pos pos)
{
    struct doc_extent extent;

    switch (token) {
    case JSON_TOKEN_OBJECT_BEGIN:
    case JSON_TOKEN_ARRAY_BEGIN:
        (void)doc_builder_open(builder, token == JSON_TOKEN_OBJECT_BEGIN ? DOC_OBJECT : DOC_LIST,
                               pos);
        break;
    case JSON_TOKEN_OBJECT_END:
    case JSON_TOKEN_ARRAY_END:
        doc_builder_close(builder, &extent);
        break;
    case JSON_TOKEN_KEY:
        doc_builder_key(builder, json_decode_string_arena(reader->text, builder->arena), pos);
        break;
    case JSON_TOKEN_STRING:
    case JSON_TOKEN_NUMBER:
    case JSON_TOKEN_TRUE:
    case JSON_TOKEN_FALSE:
    case JSON_TOKEN_NULL:
        scalar(builder, token, reader->text, pos);
        break;
    case JSON_TOKEN_END:
    case JSON_TOKEN_ERROR:
        break;
    }
}

enum pl_code doc_parse_json(struct pl_arena *arena, struct pl_str text, struct doc_node **ret_root,
                            struct doc_problems *problems)
{
    struct position position = {.text = text, .line = 1};
    struct doc_builder builder;
    struct json_reader reader;
    enum pl_code code;

    doc_builder_init(&builder, arena, problems, PL_ERR_INVALID_JSON);
    json_reader_init(&reader, text, PL_LIMIT_JSON_DEPTH);
    while (builder.code == PL_OK) {
        enum json_token token = json_reader_next(&reader);

        if (token == JSON_TOKEN_END)
            break;
        if (token == JSON_TOKEN_ERROR)
            /* The offset is where reading stopped; the token's may lie before an earlier one. */
            doc_builder_fail(&builder, reader.err.code, position_at(&position, reader.offset), "%s",
                             reader.err.message);
        else
            handle(&builder, token, &reader, position_at(&position, reader.token_offset));
    }
    code = doc_builder_result(&builder, ret_root);
    doc_builder_finish(&builder);
    return code;
}
