/* json_look.c - looking into a JSON text that has been checked, without a tree. Called wherever a
 * value is read: expressions, joins, answers of servers. */
#include "base/json.h"

#include "base/json_text.h"
#include "base/map.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { EQUAL_INDEX_AT = 32 }; /* members from which on an object in another order is indexed */

enum json_type json_type(struct pl_str json)
{
    json = json_trim(json);
    switch (json.len ? json.ptr[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* ---- walking ---- */

void json_iter_init(struct json_iter *it, struct pl_str json)
{
    *it = (struct json_iter){.json = json_trim(json)};
    if (it->json.len && (it->json.ptr[0] == '{' || it->json.ptr[0] == '[')) {
        it->object = it->json.ptr[0] == '{';
        it->offset = 1;
    } else {
        it->offset = it->json.len; /* a scalar has no members */
    }
}

/* json_iter_next, and whether the key has escapes. */
static bool iter_next(struct json_iter *it, bool *key_escaped)
{
    const char *const start = it->json.ptr;
    const char *end, *p, *after;

    if (it->offset >= it->json.len)
        return false; /* also of no text at all, where `start` is NULL */
    end = start + it->json.len;
    p = json_skip_space(start + it->offset, end);
    if (p < end && *p == ',')
        p = json_skip_space(p + 1, end);
    it->offset = it->json.len; /* unless a member is found */
    if (p == end || *p == '}' || *p == ']')
        return false;
    if (it->object) {
        after = json_skip_value(p, end, key_escaped);
        it->key = pl_str_n(p, (size_t)(after - p));
        p = json_skip_space(after, end);
        if (p == end || *p != ':')
            return false;
        p = json_skip_space(p + 1, end);
    }
    after = json_skip_value(p, end, NULL);
    if (after == p)
        return false;
    it->value = pl_str_n(p, (size_t)(after - p));
    it->offset = (size_t)(after - start);
    return true;
}

bool json_iter_next(struct json_iter *it)
{
    bool escaped;

    return iter_next(it, &escaped);
}

/* Whether a string token, escapes undone, is `text`. */
static bool token_is(struct pl_str token, bool escaped, struct pl_str text)
{
    struct pl_str inner = json_inner(token);
    const char *p = inner.ptr, *end = p + inner.len;
    char out[4];

    if (!escaped)
        return pl_str_eq(inner, text);
    while (p < end) {
        unsigned len = json_next_char(&p, end, out);

        if (text.len < len || memcmp(text.ptr, out, len) != 0)
            return false;
        text = pl_str_n(text.ptr + len, text.len - len);
    }
    return text.len == 0;
}

bool json_get(struct pl_str json, struct pl_str key, struct pl_str *ret_value)
{
    struct json_iter it;
    bool escaped;

    json_iter_init(&it, json);
    if (!it.object)
        return false;
    while (iter_next(&it, &escaped)) {
        if (token_is(it.key, escaped, key)) {
            *ret_value = it.value;
            return true;
        }
    }
    return false;
}

void json_pick(struct pl_str json, struct json_wanted *members, size_t count)
{
    size_t left = count;
    struct json_iter it;
    bool escaped;

    for (size_t i = 0; i < count; i++)
        members[i].value = (struct pl_str){0};
    json_iter_init(&it, json);
    while (it.object && left && iter_next(&it, &escaped)) {
        for (size_t i = 0; i < count; i++) {
            if (members[i].value.ptr || !token_is(it.key, escaped, members[i].key))
                continue;
            members[i].value = it.value;
            left--;
            break;
        }
    }
}

/* Behind the string that begins at `at`. */
static const char *behind_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at;
}

size_t json_depth(struct pl_str json)
{
    const char *end = json.ptr + json.len;
    size_t depth = 0, deepest = 0;

    for (const char *at = json.ptr; at < end; at++) {
        if (*at == '"') {
            at = behind_string(at, end);
        } else if (*at == '[' || *at == '{') {
            if (++depth > deepest)
                deepest = depth;
        } else if (*at == ']' || *at == '}') {
            depth--;
        }
    }
    return deepest;
}

bool json_is_deeper(struct pl_str json, size_t depth)
{
    bool opens = json.len > 0 && (json.ptr[0] == '[' || json.ptr[0] == '{');

    return opens && json.len > 2 * depth && json_depth(json) > depth;
}

size_t json_count(struct pl_str json)
{
    struct json_iter it;
    size_t count = 0;

    for (json_iter_init(&it, json); json_iter_next(&it);)
        count++;
    return count;
}

bool json_at(struct pl_str json, int64_t index, struct pl_str *ret_value)
{
    struct json_iter it;

    json_iter_init(&it, json);
    if (it.object)
        return false;
    if (index < 0)
        index += (int64_t)json_count(json);
    if (index < 0)
        return false;
    while (json_iter_next(&it)) {
        if (index-- == 0) {
            *ret_value = it.value;
            return true;
        }
    }
    return false;
}

/* ---- scalars ---- */

void json_decode_string(struct pl_str token, struct pl_buf *out)
{
    struct pl_str inner = json_inner(token);
    const char *p = inner.ptr, *end = p + inner.len, *slash;
    char text[4];

    while (p < end) {
        slash = memchr(p, '\\', (size_t)(end - p));
        pl_buf_append(out, p, (size_t)((slash ? slash : end) - p));
        if (!slash)
            return;
        p = slash;
        pl_buf_append(out, text, json_next_char(&p, end, text));
    }
}

struct pl_str json_decode_string_arena(struct pl_str token, struct pl_arena *arena)
{
    const struct pl_str inner = json_inner(token);
    char *out;

    if (inner.len == 0 || !memchr(inner.ptr, '\\', inner.len))
        return pl_arena_str(arena, inner);
    out = pl_arena_alloc(arena, inner.len + 3); /* zeroed: the NUL is there */
    return out ? pl_str_n(out, json_decode_into(inner, out)) : (struct pl_str){0};
}

/* The digits that matter written out short, for strtod: a number may have a million of them. */
static double number_by_strtod(const struct json_decimal *number)
{
    enum { MOST = 780 }; /* more significant digits than any double's midpoint needs */
    char text[MOST + 48], *out = text;
    const char *p = number->first;
    int64_t exponent = number->exponent;

    *out++ = '0';
    *out++ = '.';
    for (size_t i = 0; i < number->digits && i < MOST; i++, p++) {
        if (*p == '.')
            p++;
        *out++ = *p;
    }
    if (number->digits > MOST)
        *out++ = '1'; /* there is more: the last counted digit is not 0 */
    if (exponent > 100000)
        exponent = 100000;
    if (exponent < -100000)
        exponent = -100000;
    snprintf(out, 24, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

double json_number(struct pl_str token)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const struct json_decimal number = json_decimal(json_trim(token));
    const int64_t shift = number.exponent - (int64_t)number.digits;
    double value;

    /* Both operands are exact, so the one rounding of the operation is the right one. */
    if (number.digits <= 15 && shift >= -22 && shift <= 22) {
        value = (double)json_decimal_digits(&number, 15);
        value = shift < 0 ? value / powers[-shift] : value * powers[shift];
    } else {
        value = number_by_strtod(&number);
    }
    return number.negative || (number.digits == 0 && token.len && token.ptr[0] == '-') ? -value
                                                                                       : value;
}

bool json_int(struct pl_str token, int64_t *ret_number)
{
    struct json_decimal number;
    uint64_t value;

    token = json_trim(token);
    if (token.len == 0 || (token.ptr[0] != '-' && !json_is_digit(token.ptr[0])))
        return false;
    number = json_decimal(token);
    if (number.exponent > 19 || number.exponent < (int64_t)number.digits)
        return false; /* too large, or with a fraction; 0 has neither digits nor exponent */
    value = json_decimal_digits(&number, 19);
    for (int64_t i = (int64_t)number.digits; i < number.exponent; i++)
        value *= 10;
    if (value > (uint64_t)INT64_MAX + number.negative)
        return false;
    *ret_number = number.negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool json_truthy(struct pl_str json)
{
    const enum json_type type = json_type(json);

    return type != JSON_NULL && type != JSON_FALSE;
}

/* ---- equality ---- */

static bool strings_equal(struct pl_str a, struct pl_str b)
{
    struct pl_str x = json_inner(a), y = json_inner(b);
    const char *p = x.ptr, *q = y.ptr, *p_end = p + x.len, *q_end = q + y.len;
    char c[4], d[4];

    if (pl_str_eq(x, y))
        return true;
    while (p < p_end && q < q_end) {
        unsigned len = json_next_char(&p, p_end, c);

        if (json_next_char(&q, q_end, d) != len || memcmp(c, d, len) != 0)
            return false;
    }
    return p == p_end && q == q_end;
}

static bool values_equal(struct pl_str a, struct pl_str b, unsigned depth);

static bool arrays_equal(struct pl_str a, struct pl_str b, unsigned depth)
{
    struct json_iter x, y;
    bool more;

    json_iter_init(&y, b);
    for (json_iter_init(&x, a); json_iter_next(&x);) {
        if (!json_iter_next(&y) || !values_equal(x.value, y.value, depth))
            return false;
    }
    more = json_iter_next(&y);
    return !more;
}

/* A map from the members of an object to their values; NULL when out of memory. */
static struct pl_map *index_object(struct pl_str json, size_t count, struct pl_arena *arena)
{
    struct pl_map *map = pl_map_create(arena, count);
    struct json_iter it;

    for (json_iter_init(&it, json); map && json_iter_next(&it);) {
        struct pl_str *value = pl_arena_alloc(arena, sizeof(*value));
        struct pl_str key = json_decode_string_arena(it.key, arena);

        if (!value || pl_arena_failed(arena))
            return NULL;
        *value = it.value;
        if (!pl_map_put(map, key, value, NULL))
            return NULL;
    }
    return map;
}

/* Every member of `a` is in `b`, by name. `arena` may be NULL: then slowly. */
static bool members_equal(struct pl_str a, struct pl_str b, size_t count, struct pl_arena *arena,
                          unsigned depth)
{
    const struct pl_map *map = arena ? index_object(b, count, arena) : NULL;
    struct json_iter it, other;

    for (json_iter_init(&it, a); json_iter_next(&it);) {
        const struct pl_str *value = NULL;

        if (map) {
            value = pl_map_get(map, json_decode_string_arena(it.key, arena));
        } else {
            for (json_iter_init(&other, b); !value && json_iter_next(&other);)
                value = strings_equal(it.key, other.key) ? &other.value : NULL;
        }
        if (!value || !values_equal(it.value, *value, depth))
            return false;
    }
    return true;
}

/* Most equal objects have their members in the same order; the others are looked up. */
static bool objects_equal(struct pl_str a, struct pl_str b, unsigned depth)
{
    const size_t count = json_count(a);
    struct pl_arena *arena = NULL;
    struct json_iter x, y;
    bool equal;

    if (count != json_count(b))
        return false;
    json_iter_init(&y, b);
    for (json_iter_init(&x, a); json_iter_next(&x);) {
        if (!json_iter_next(&y) || !strings_equal(x.key, y.key))
            goto by_name;
        if (!values_equal(x.value, y.value, depth))
            return false;
    }
    return true;
by_name:
    if (count >= EQUAL_INDEX_AT)
        arena = pl_arena_create(0);
    equal = members_equal(a, b, count, arena, depth);
    pl_arena_destroy(&arena);
    return equal;
}

static bool values_equal(struct pl_str a, struct pl_str b, unsigned depth)
{
    const enum json_type type = json_type(a);
    struct json_decimal x, y;

    if (type != json_type(b) || depth > JSON_DEPTH_MAX)
        return false;
    switch (type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        return true;
    case JSON_NUMBER:
        x = json_decimal(json_trim(a));
        y = json_decimal(json_trim(b));
        return json_decimal_equal(&x, &y);
    case JSON_STRING:
        return strings_equal(json_trim(a), json_trim(b));
    case JSON_ARRAY:
        return arrays_equal(a, b, depth + 1);
    case JSON_OBJECT:
        return objects_equal(a, b, depth + 1);
    }
    return false;
}

bool json_equal(struct pl_str a, struct pl_str b)
{
    return values_equal(a, b, 0);
}
