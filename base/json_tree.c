/* json_tree.c - the door to cJSON: a checked text as a tree, and safe reads of one. cJSON's own
 * parser is not used: it stops at numbers of more than 63 characters and reads strings that hold a
 * NUL short. Called where a tree is needed: schemas, requests to providers. */
#include "base/json.h"

#include "base/json_text.h"

#include <stdlib.h>

/* Whether printing the double gives the same number back. cJSON prints 15 digits, and takes two
 * doubles an epsilon apart for the same, so some integers below 2^53 come out changed: it is asked,
 * not guessed. */
static bool survives(const cJSON *node, struct pl_str token)
{
    const struct json_decimal number = json_decimal(token);
    struct json_decimal again;
    cJSON copy = {
        .type = cJSON_Number, .valueint = node->valueint, .valuedouble = node->valuedouble};
    const int64_t safe = (int64_t)1 << 53;
    char text[64];
    int64_t integer;

    if (number.digits == 0)
        return true;
    if (number.plain && (!json_int(token, &integer) || integer > safe || integer < -safe))
        return false; /* even where a double holds it, it would be printed as 1e+20 */
    if (number.digits <= 15 && number.exponent > -290 && number.exponent < 290)
        return true;
    if (!cJSON_PrintPreallocated(&copy, text, sizeof(text), 0))
        return false;
    again = json_decimal(pl_str(text));
    return json_decimal_equal(&number, &again);
}

static char *copy_token(struct pl_str token)
{
    char *text = cJSON_malloc(token.len + 1);

    if (text) {
        memcpy(text, token.ptr, token.len);
        text[token.len] = '\0';
    }
    return text;
}

static cJSON *make_number(struct pl_str token)
{
    cJSON *node = cJSON_CreateNumber(json_number(token));

    if (!node || survives(node, token))
        return node;
    node->valuestring = copy_token(token);
    if (!node->valuestring) {
        cJSON_Delete(node);
        return NULL;
    }
    node->type = cJSON_Raw;
    return node;
}

/* The content of a string token in memory of cJSON's allocator. */
static char *decode(struct pl_str token)
{
    const struct pl_str inner = json_inner(token);
    char *text = cJSON_malloc(inner.len + 3);

    if (text)
        text[json_decode_into(inner, text)] = '\0';
    return text;
}

static cJSON *make_string(struct pl_str token)
{
    cJSON *node = cJSON_CreateNull();

    if (!node)
        return NULL;
    node->valuestring = decode(token);
    if (!node->valuestring) {
        cJSON_Delete(node);
        return NULL;
    }
    node->type = cJSON_String;
    return node;
}

static cJSON *make_node(enum json_token token, struct pl_str text)
{
    switch (token) {
    case JSON_TOKEN_OBJECT_BEGIN:
        return cJSON_CreateObject();
    case JSON_TOKEN_ARRAY_BEGIN:
        return cJSON_CreateArray();
    case JSON_TOKEN_STRING:
        return make_string(text);
    case JSON_TOKEN_NUMBER:
        return make_number(text);
    case JSON_TOKEN_TRUE:
        return cJSON_CreateTrue();
    case JSON_TOKEN_FALSE:
        return cJSON_CreateFalse();
    case JSON_TOKEN_NULL:
        return cJSON_CreateNull();
    case JSON_TOKEN_KEY:
    case JSON_TOKEN_OBJECT_END:
    case JSON_TOKEN_ARRAY_END:
    case JSON_TOKEN_END:
    case JSON_TOKEN_ERROR:
        break;
    }
    return NULL;
}

/* The tree of a text that has been checked, NULL when out of memory. */
static cJSON *build(struct pl_str text, unsigned max_depth)
{
    cJSON *open[JSON_DEPTH_MAX + 1], *root = NULL;
    struct json_reader reader;
    unsigned depth = 0; /* of open containers */
    char *key = NULL;

    json_reader_init(&reader, text, max_depth);
    for (;;) {
        const enum json_token token = json_reader_next(&reader);
        cJSON *node;

        if (token == JSON_TOKEN_END || token == JSON_TOKEN_ERROR)
            return root;
        if (token == JSON_TOKEN_KEY) {
            key = decode(reader.text);
            if (!key)
                goto no_memory;
            continue;
        }
        if (token == JSON_TOKEN_OBJECT_END || token == JSON_TOKEN_ARRAY_END) {
            depth--;
            continue;
        }
        node = make_node(token, reader.text);
        if (!node)
            goto no_memory;
        node->string = key; /* the node's own now */
        key = NULL;
        if (depth)
            cJSON_AddItemToArray(open[depth - 1],
                                 node); /* objects keep their members the same way */
        else
            root = node;
        if (token == JSON_TOKEN_OBJECT_BEGIN || token == JSON_TOKEN_ARRAY_BEGIN)
            open[depth++] = node;
    }
no_memory:
    cJSON_free(key);
    cJSON_Delete(root);
    return NULL;
}

enum pl_code json_parse(struct pl_str text, unsigned max_depth, cJSON **ret_tree,
                        struct pl_err *err)
{
    enum pl_code code = json_check(text, max_depth, NULL, err);
    cJSON *tree;

    if (code)
        return code;
    tree = build(text, max_depth);
    if (!tree)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while JSON was read");
    *ret_tree = tree;
    return PL_OK;
}

const cJSON *json_member(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *json_member_string(const cJSON *object, const char *key)
{
    const cJSON *member = json_member(object, key);

    return cJSON_IsString(member) ? member->valuestring : NULL;
}

int64_t json_member_count(const cJSON *object, const char *key, int64_t fallback)
{
    const cJSON *member = json_member(object, key);
    int64_t number;

    if (cJSON_IsRaw(member))
        return json_int(pl_str(member->valuestring), &number) && number >= 0 ? number : fallback;
    if (!cJSON_IsNumber(member) || !(member->valuedouble >= 0) ||
        member->valuedouble > 9007199254740992.0)
        return fallback;
    return (int64_t)member->valuedouble;
}
