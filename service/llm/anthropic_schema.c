/* anthropic_schema.c - the schema of an answer in the dialect that output_config.format takes. Not
 * the judging of the answer (steps/llm_answer.c), which holds it to the whole schema. Called by
 * anthropic_request.c.
 *
 * The API knows types, properties, enum, const, anyOf and local $ref; every object is closed; of
 * limits it knows none but minItems 0 and 1. What it does not know goes into the description, for
 * the model to read. A schema that would come to mean something else by that - a map with any keys,
 * one that contains itself, "anything" - is not sent at all. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"

enum { DEPTH_MAX = 24, SCHEMAS_MAX = 2000 };

struct walk {
    struct pl_str defs; /* of the root */
    unsigned schemas;   /* looked at */
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_one_of(struct pl_str token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pl_str_is(token, words[i]))
            return true;
    return false;
}

/* `type` is the word, or a list with it. */
static bool has_type(struct pl_str schema, const char *quoted)
{
    const struct pl_str type = member(schema, "type");
    struct json_iter it;

    if (!type.len || json_type(type) != JSON_ARRAY)
        return pl_str_is(type, quoted);
    for (json_iter_init(&it, type); json_iter_next(&it);)
        if (pl_str_is(it.value, quoted))
            return true;
    return false;
}

static bool is_object(struct pl_str schema)
{
    return has_type(schema, "\"object\"") ||
           (!member(schema, "type").len && member(schema, "properties").len);
}

/* The schemas one of which, or all of which, the value must fit. */
static struct pl_str choices(struct pl_str schema)
{
    static const char *const keys[] = {"anyOf", "oneOf", "allOf"};
    struct pl_str list;

    for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++)
        if ((list = member(schema, keys[i])).len)
            return list;
    return (struct pl_str){0};
}

/* ---- can it be sent? ---- */

static bool takes(struct walk *walk, struct pl_str schema, unsigned depth);

static bool takes_all(struct walk *walk, struct pl_str schemas, unsigned depth)
{
    struct json_iter it;

    for (json_iter_init(&it, schemas); json_iter_next(&it);)
        if (!takes(walk, it.value, depth))
            return false;
    return true;
}

/* A schema that contains itself ends at the depth. */
static bool takes_ref(struct walk *walk, struct pl_str ref, unsigned depth)
{
    static const char start[] = "\"#/$defs/";
    const size_t len = sizeof(start) - 1;
    struct pl_str target;

    if (ref.len <= len + 1 || memcmp(ref.ptr, start, len) != 0 || depth == 0)
        return false;
    return walk->defs.len &&
           json_get(walk->defs, pl_str_n(ref.ptr + len, ref.len - len - 1), &target) &&
           takes(walk, target, depth + 1);
}

/* The choice stands alone, or with what can go into a description. */
static bool takes_choices(struct walk *walk, struct pl_str schema, struct pl_str list,
                          unsigned depth)
{
    static const char *const alone[] = {"properties", "items",    "enum",
                                        "const",      "required", "additionalProperties"};
    const size_t lists = member(schema, "anyOf").len > 0, more = member(schema, "oneOf").len > 0;
    const size_t all = member(schema, "allOf").len > 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(alone); i++)
        if (member(schema, alone[i]).len)
            return false;
    if (lists + more + all != 1 || json_type(list) != JSON_ARRAY || !json_count(list) ||
        (all && json_count(list) > 1))
        return false;
    return takes_all(walk, list, depth + 1);
}

static bool is_property(struct pl_str properties, struct pl_str token)
{
    struct json_iter it;

    for (json_iter_init(&it, properties); json_iter_next(&it);)
        if (json_equal(it.key, token))
            return true;
    return false;
}

static bool takes_object(struct walk *walk, struct pl_str schema, unsigned depth)
{
    const struct pl_str properties = member(schema, "properties"),
                        required = member(schema, "required"),
                        more = member(schema, "additionalProperties");
    struct json_iter it;

    if (member(schema, "patternProperties").len || (more.len && json_type(more) == JSON_OBJECT) ||
        (!properties.len && !pl_str_is(more, "false")))
        return false;
    if (required.len) {
        for (json_iter_init(&it, required); json_iter_next(&it);)
            if (!properties.len || !is_property(properties, it.value))
                return false;
    }
    return !properties.len || takes_all(walk, properties, depth + 1);
}

static bool are_scalars(struct pl_str list)
{
    struct json_iter it;

    for (json_iter_init(&it, list); json_iter_next(&it);)
        if (json_type(it.value) >= JSON_ARRAY)
            return false;
    return json_count(list) > 0;
}

static bool takes(struct walk *walk, struct pl_str schema, unsigned depth)
{
    struct pl_str list, values;

    if (json_type(schema) != JSON_OBJECT || depth > DEPTH_MAX || ++walk->schemas > SCHEMAS_MAX)
        return false;
    if (member(schema, "$ref").len)
        return takes_ref(walk, member(schema, "$ref"), depth);
    if (member(schema, "$dynamicRef").len)
        return false;
    if ((list = choices(schema)).len)
        return takes_choices(walk, schema, list, depth);
    if ((values = member(schema, "enum")).len)
        return are_scalars(values);
    if ((values = member(schema, "const")).len)
        return json_type(values) < JSON_ARRAY;
    if (!member(schema, "type").len && !member(schema, "properties").len)
        return false;
    if (is_object(schema) && !takes_object(walk, schema, depth))
        return false;
    return !has_type(schema, "\"array\"") ||
           (!member(schema, "prefixItems").len && member(schema, "items").len &&
            takes(walk, member(schema, "items"), depth + 1));
}

bool anthropic_takes_schema(struct pl_str schema)
{
    struct walk walk = {.defs = json_type(schema) == JSON_OBJECT ? member(schema, "$defs")
                                                                 : (struct pl_str){0}};

    /* definitions that nothing refers to go out too */
    return takes(&walk, schema, 0) && (!walk.defs.len || takes_all(&walk, walk.defs, 1));
}

/* ---- writing ---- */

static void write_schema(struct pl_buf *out, struct pl_str schema);

static void write_map(struct pl_buf *out, const char *key, struct pl_str schemas)
{
    struct json_iter it;

    if (json_type(schemas) != JSON_OBJECT) /* no schema: the server says so */
        return;
    json_key(out, key);
    json_object_begin(out);
    for (json_iter_init(&it, schemas); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        write_schema(out, it.value);
    }
    json_object_end(out);
}

static void write_list(struct pl_buf *out, const char *key, struct pl_str schemas)
{
    struct json_iter it;

    json_key(out, key);
    json_array_begin(out);
    for (json_iter_init(&it, schemas); json_iter_next(&it);) {
        json_comma(out);
        write_schema(out, it.value);
    }
    json_array_end(out);
}

static const char *type_name(struct pl_str json)
{
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};

    return names[json_type(json)];
}

/* The type of values that are all of one, where the schema leaves it out. */
static void write_type_of(struct pl_buf *out, struct pl_str values)
{
    const char *name = NULL;
    struct json_iter it;

    for (json_iter_init(&it, values); json_iter_next(&it);) {
        if (name && strcmp(name, type_name(it.value)) != 0)
            return;
        name = type_name(it.value);
    }
    if (name)
        json_add_string(out, "type", pl_str(name));
}

static void write_type(struct pl_buf *out, struct pl_str schema)
{
    const struct pl_str type = member(schema, "type"), values = member(schema, "enum");
    const struct pl_str value = member(schema, "const");

    if (type.len)
        json_add_raw(out, "type", type);
    else if (member(schema, "properties").len)
        json_add_string(out, "type", PL_STR("object"));
    else if (values.len)
        write_type_of(out, values);
    else if (value.len)
        json_add_string(out, "type", pl_str(type_name(value)));
}

static bool is_known_format(struct pl_str schema)
{
    static const char *const formats[] = {
        "\"date-time\"", "\"time\"", "\"date\"", "\"duration\"", "\"email\"",
        "\"hostname\"",  "\"uri\"",  "\"ipv4\"", "\"ipv6\"",     "\"uuid\"",
    };

    return has_type(schema, "\"string\"") &&
           is_one_of(member(schema, "format"), formats, PL_ARRAY_LEN(formats));
}

static bool is_known_minimum(struct pl_str schema)
{
    const struct pl_str count = member(schema, "minItems");

    return has_type(schema, "\"array\"") && (pl_str_is(count, "0") || pl_str_is(count, "1"));
}

/* Is the keyword written elsewhere, or without meaning to the model? */
static bool is_told(struct pl_str schema, struct pl_str key)
{
    static const char *const told[] = {
        "\"type\"",
        "\"enum\"",
        "\"const\"",
        "\"properties\"",
        "\"required\"",
        "\"additionalProperties\"",
        "\"items\"",
        "\"anyOf\"",
        "\"oneOf\"",
        "\"allOf\"",
        "\"$defs\"",
        "\"title\"",
        "\"description\"",
        "\"$schema\"",
        "\"$id\"",
        "\"$comment\"",
        "\"$anchor\"",
        "\"definitions\"",
        "\"deprecated\"",
        "\"readOnly\"",
        "\"writeOnly\"",
        "\"unevaluatedProperties\"",
        "\"$dynamicAnchor\"",
    };

    return is_one_of(key, told, PL_ARRAY_LEN(told)) ||
           (pl_str_is(key, "\"format\"") && is_known_format(schema)) ||
           (pl_str_is(key, "\"minItems\"") && is_known_minimum(schema));
}

/* The description, and behind it what the API does not know: {minimum: 0, maximum: 9}. */
static void write_description(struct pl_buf *out, struct pl_str schema)
{
    const struct pl_str description = member(schema, "description");
    struct pl_buf text;
    struct json_iter it;
    bool open = false;

    pl_buf_init(&text, PL_LIMIT_DOCUMENT_BYTES);
    if (description.len && json_type(description) == JSON_STRING)
        json_decode_string(description, &text);
    for (json_iter_init(&it, schema); json_iter_next(&it);) {
        if (is_told(schema, it.key))
            continue;
        pl_buf_text(&text, open ? ", " : text.len ? "\n\n{" : "{");
        open = true;
        json_decode_string(it.key, &text);
        pl_buf_text(&text, ": ");
        json_write_compact(&text, it.value);
    }
    if (open)
        pl_buf_char(&text, '}');
    if (text.len)
        json_add_string(out, "description", pl_buf_view(&text));
    out->failed |= pl_buf_failed(&text);
    pl_buf_finish(&text);
}

/* What kind of value it is. */
static void write_body(struct pl_buf *out, struct pl_str schema)
{
    static const char *const as_they_are[] = {"enum", "const", "required"};

    write_type(out, schema);
    for (size_t i = 0; i < PL_ARRAY_LEN(as_they_are); i++)
        if (member(schema, as_they_are[i]).len)
            json_add_raw(out, as_they_are[i], member(schema, as_they_are[i]));
    if (member(schema, "properties").len)
        write_map(out, "properties", member(schema, "properties"));
    if (is_object(schema))
        json_add_bool(out, "additionalProperties", false);
    if (member(schema, "items").len && has_type(schema, "\"array\"")) {
        json_key(out, "items");
        write_schema(out, member(schema, "items"));
    }
    if (is_known_format(schema))
        json_add_raw(out, "format", member(schema, "format"));
    if (is_known_minimum(schema))
        json_add_raw(out, "minItems", member(schema, "minItems"));
}

static void write_schema(struct pl_buf *out, struct pl_str schema)
{
    const struct pl_str list = choices(schema), ref = member(schema, "$ref");

    json_object_begin(out);
    if (ref.len) {
        json_add_raw(out, "$ref", ref);
    } else {
        if (member(schema, "title").len)
            json_add_raw(out, "title", member(schema, "title"));
        if (list.len)
            write_list(out, "anyOf", list);
        else
            write_body(out, schema);
        write_description(out, schema);
    }
    if (member(schema, "$defs").len)
        write_map(out, "$defs", member(schema, "$defs"));
    json_object_end(out);
}

void anthropic_write_schema(struct pl_str schema, struct pl_buf *out)
{
    write_schema(out, schema);
}
