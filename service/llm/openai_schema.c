/* openai_schema.c - `response_format` of a request: the schema of the answer, as OpenAI takes it.
 * Not the judging of the answer (steps/llm_answer.c). Called by openai.c.
 *
 * OpenAI takes only objects at the root: another schema goes out as the one member "value" of an
 * object, and whoever judges the answer takes it out again. `strict` makes the server hold to the
 * schema, and refuses schemas outside a subset; what is surely inside is sent as strict, with the
 * smallest limits that any such server is known to have. The rest goes out as not strict: the
 * server does its best, and the answer is judged here either way. */
#include "service/llm/openai.h"

#include "base/json.h"
#include "service/workflow/workflow.h"

enum { STRICT_DEPTH = 5, STRICT_PROPERTIES = 100, STRICT_WORDS = 500 };

/* What of a strict schema has been seen. */
struct walk {
    unsigned properties, words;
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool has_word(struct pl_str list, struct pl_str token)
{
    struct json_iter it;

    for (json_iter_init(&it, list); json_iter_next(&it);) {
        if (json_equal(it.value, token))
            return true;
    }
    return false;
}

/* `type` is the word, or a list with it. */
static bool has_type(struct pl_str schema, const char *quoted)
{
    const struct pl_str type = member(schema, "type");

    return type.len && (pl_str_is(type, quoted) ||
                        (json_type(type) == JSON_ARRAY && has_word(type, pl_str(quoted))));
}

static bool keyword_is_strict(struct pl_str token)
{
    static const char *const words[] = {
        "\"type\"",
        "\"enum\"",
        "\"const\"",
        "\"properties\"",
        "\"required\"",
        "\"additionalProperties\"",
        "\"items\"",
        "\"anyOf\"",
        "\"$ref\"",
        "\"$defs\"",
        "\"title\"",
        "\"description\"",
        "\"pattern\"",
        "\"minimum\"",
        "\"maximum\"",
        "\"exclusiveMinimum\"",
        "\"exclusiveMaximum\"",
        "\"multipleOf\"",
        "\"minItems\"",
        "\"maxItems\"",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++) {
        if (pl_str_is(token, words[i]))
            return true;
    }
    return false;
}

/* Closed, and every property required. */
static bool object_is_strict(struct pl_str schema, struct walk *walk)
{
    const struct pl_str properties = member(schema, "properties"),
                        required = member(schema, "required");
    struct json_iter it;

    if (!properties.len || !pl_str_is(member(schema, "additionalProperties"), "false"))
        return false;
    walk->properties += (unsigned)json_count(properties);
    if (walk->properties > STRICT_PROPERTIES || json_count(required) != json_count(properties))
        return false;
    for (json_iter_init(&it, properties); json_iter_next(&it);) {
        if (!has_word(required, it.key))
            return false;
    }
    return true;
}

static bool is_strict(struct pl_str schema, unsigned depth, struct walk *walk);

/* Every value of the object or list is a strict schema. */
static bool all_strict(struct pl_str schemas, unsigned depth, struct walk *walk)
{
    struct json_iter it;

    for (json_iter_init(&it, schemas); json_iter_next(&it);) {
        if (!is_strict(it.value, depth, walk))
            return false;
    }
    return true;
}

static bool is_strict(struct pl_str schema, unsigned depth, struct walk *walk)
{
    struct json_iter it;

    if (depth > STRICT_DEPTH || json_type(schema) != JSON_OBJECT)
        return false;
    for (json_iter_init(&it, schema); json_iter_next(&it);) {
        if (!keyword_is_strict(it.key))
            return false;
    }
    walk->words += (unsigned)json_count(member(schema, "enum"));
    if (walk->words > STRICT_WORDS)
        return false;
    if (!member(schema, "type").len && !member(schema, "anyOf").len && !member(schema, "$ref").len)
        return false;
    if ((has_type(schema, "\"object\"") || member(schema, "properties").len) &&
        !object_is_strict(schema, walk))
        return false;
    if (has_type(schema, "\"array\"") && !is_strict(member(schema, "items"), depth + 1, walk))
        return false;
    return all_strict(member(schema, "properties"), depth + 1, walk) &&
           all_strict(member(schema, "anyOf"), depth, walk) &&
           all_strict(member(schema, "$defs"), depth, walk);
}

/* Does the schema, or one inside it, refer to something that is neither in its $defs nor a name?
 * Then the root must stay the root. A string that happens to look so is taken for a reference. */
static bool refers_to_root(struct pl_str schema)
{
    const char *const end = schema.ptr + schema.len;

    for (const char *at = schema.ptr; (at = memmem(at, (size_t)(end - at), "\"#", 2)); at += 2) {
        if (!pl_str_starts(pl_str_n(at, (size_t)(end - at)), PL_STR("\"#/$defs/")))
            return true;
    }
    return false;
}

static bool is_wrapped(struct pl_str schema)
{
    return !pl_str_is(member(schema, "type"), "\"object\"") && !member(schema, "properties").len &&
           !refers_to_root(schema);
}

/* {"value": schema}, its $defs at the root, where its references look for them. */
static void write_wrapped(struct pl_buf *out, struct pl_str schema)
{
    const struct pl_str defs = member(schema, "$defs");
    struct json_iter it;

    pl_buf_text(out, "{\"type\":\"object\",\"properties\":{\"value\":");
    if (json_type(schema) != JSON_OBJECT) {
        pl_buf_text(out, "{}"); /* `true`: anything */
    } else {
        json_object_begin(out);
        for (json_iter_init(&it, schema); json_iter_next(&it);) {
            if (pl_str_is(it.key, "\"$defs\"") || pl_str_is(it.key, "\"$schema\""))
                continue;
            json_comma(out);
            pl_buf_str(out, it.key);
            pl_buf_char(out, ':');
            pl_buf_str(out, it.value);
        }
        json_object_end(out);
    }
    pl_buf_text(out, "},\"required\":[\"value\"],\"additionalProperties\":false");
    if (defs.len)
        json_add_raw(out, "$defs", defs);
    json_object_end(out);
}

void openai_write_response_format(const struct schema_use *schema, struct pl_buf *out)
{
    const bool wrapped = is_wrapped(schema->json);
    struct walk walk = {0};
    const bool strict = (wrapped || (pl_str_is(member(schema->json, "type"), "\"object\"") &&
                                     !member(schema->json, "anyOf").len)) &&
                        is_strict(schema->json, wrapped ? 2 : 1, &walk);

    json_key(out, "response_format");
    json_object_begin(out);
    json_add_string(out, "type", PL_STR("json_schema"));
    json_key(out, "json_schema");
    json_object_begin(out);
    json_add_string(out, "name", schema->name.len ? schema->name : PL_STR("answer"));
    json_key(out, "schema");
    if (wrapped)
        write_wrapped(out, schema->json);
    else
        pl_buf_str(out, schema->json);
    json_add_bool(out, "strict", strict);
    json_object_end(out);
    json_object_end(out);
}
