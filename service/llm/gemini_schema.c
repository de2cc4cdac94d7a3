/* gemini_schema.c - a JSON Schema as Gemini takes it (responseJsonSchema, parametersJsonSchema):
 * the keywords it documents, the rest left out. Not the judging of the answer (steps/llm_answer.c),
 * which holds to the whole schema. Called by gemini_request.c.
 *
 * `const` goes out as an `enum` of one, `oneOf` as `anyOf`, which is how it is read anyway. Beside
 * a
 * `$ref` only keywords with a $ may stand. An `enum` with other things than texts and numbers is
 * left out. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "base/limits.h"

enum how {
    HOW_COPY,    /* as it is */
    HOW_SCHEMA,  /* a schema */
    HOW_SCHEMAS, /* a list of schemas */
    HOW_MAP,     /* an object of schemas */
    HOW_ENUM,
    HOW_CONST,
    HOW_ONE_OF,
};

static const struct {
    const char *token;
    enum how how;
} keywords[] = {
    {"\"$id\"", HOW_COPY},        {"\"$anchor\"", HOW_COPY},
    {"\"$ref\"", HOW_COPY},       {"\"$defs\"", HOW_MAP},
    {"\"definitions\"", HOW_MAP}, /* where references of old point to */
    {"\"type\"", HOW_COPY},       {"\"format\"", HOW_COPY},
    {"\"title\"", HOW_COPY},      {"\"description\"", HOW_COPY},
    {"\"enum\"", HOW_ENUM},       {"\"const\"", HOW_CONST},
    {"\"items\"", HOW_SCHEMA},    {"\"prefixItems\"", HOW_SCHEMAS},
    {"\"minItems\"", HOW_COPY},   {"\"maxItems\"", HOW_COPY},
    {"\"minimum\"", HOW_COPY},    {"\"maximum\"", HOW_COPY},
    {"\"anyOf\"", HOW_SCHEMAS},   {"\"oneOf\"", HOW_ONE_OF},
    {"\"properties\"", HOW_MAP},  {"\"additionalProperties\"", HOW_SCHEMA},
    {"\"required\"", HOW_COPY},   {"\"propertyOrdering\"", HOW_COPY},
};

static void write_schema(struct pl_buf *out, struct pl_str schema, unsigned depth);

static void write_name(struct pl_buf *out, struct pl_str token)
{
    json_comma(out);
    pl_buf_str(out, token);
    pl_buf_char(out, ':');
}

static void write_list(struct pl_buf *out, struct pl_str list, unsigned depth)
{
    struct json_iter it;

    json_array_begin(out);
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        json_comma(out);
        write_schema(out, it.value, depth);
    }
    json_array_end(out);
}

static void write_map(struct pl_buf *out, struct pl_str map, unsigned depth)
{
    struct json_iter it;

    json_object_begin(out);
    for (json_iter_init(&it, map); json_iter_next(&it);) {
        write_name(out, it.key);
        write_schema(out, it.value, depth);
    }
    json_object_end(out);
}

static bool is_text_or_number(struct pl_str value)
{
    return json_type(value) == JSON_STRING || json_type(value) == JSON_NUMBER;
}

static bool enum_is_taken(struct pl_str list)
{
    struct json_iter it;

    for (json_iter_init(&it, list); json_iter_next(&it);) {
        if (!is_text_or_number(it.value))
            return false;
    }
    return json_count(list) > 0;
}

static bool has(struct pl_str schema, const char *key)
{
    struct pl_str value;

    return json_get(schema, pl_str(key), &value);
}

static void write_keyword(struct pl_buf *out, struct pl_str schema, const struct json_iter *at,
                          enum how how, unsigned depth)
{
    switch (how) {
    case HOW_COPY:
        write_name(out, at->key);
        pl_buf_str(out, at->value);
        break;
    case HOW_SCHEMA:
        write_name(out, at->key);
        if (json_type(at->value) == JSON_FALSE || json_type(at->value) == JSON_TRUE)
            pl_buf_str(out, at->value);
        else
            write_schema(out, at->value, depth);
        break;
    case HOW_SCHEMAS:
        write_name(out, at->key);
        write_list(out, at->value, depth);
        break;
    case HOW_MAP:
        write_name(out, at->key);
        write_map(out, at->value, depth);
        break;
    case HOW_ENUM:
        if (enum_is_taken(at->value)) {
            write_name(out, at->key);
            pl_buf_str(out, at->value);
        }
        break;
    case HOW_CONST:
        if (is_text_or_number(at->value) && !has(schema, "enum")) {
            write_name(out, PL_STR("\"enum\""));
            pl_buf_char(out, '[');
            pl_buf_str(out, at->value);
            pl_buf_char(out, ']');
        }
        break;
    case HOW_ONE_OF:
        if (!has(schema, "anyOf")) {
            write_name(out, PL_STR("\"anyOf\""));
            write_list(out, at->value, depth);
        }
        break;
    }
}

/* `true` and `false` are schemas too: anything will do, as the answer is judged here. */
static void write_schema(struct pl_buf *out, struct pl_str schema, unsigned depth)
{
    const bool refers = has(schema, "$ref");
    struct json_iter it;

    json_object_begin(out);
    if (json_type(schema) == JSON_OBJECT && depth < PL_LIMIT_JSON_DEPTH) {
        for (json_iter_init(&it, schema); json_iter_next(&it);) {
            for (size_t i = 0; i < PL_ARRAY_LEN(keywords); i++) {
                if (pl_str_is(it.key, keywords[i].token) &&
                    (!refers || keywords[i].token[1] == '$'))
                    write_keyword(out, schema, &it, keywords[i].how, depth + 1);
            }
        }
    }
    json_object_end(out);
}

void gemini_write_schema(struct pl_buf *out, struct pl_str schema)
{
    write_schema(out, schema, 0);
}
