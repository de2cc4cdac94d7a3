/* json_reader.c - the strict pull reader. No memory but its own struct, so no look for duplicate
 * keys. Called by json_check, the cJSON door and service/doc. */
#include "base/json.h"

#include "base/json_text.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum expect {
    EXPECT_VALUE,
    EXPECT_FIRST_ELEMENT, /* a value or ] */
    EXPECT_FIRST_KEY,     /* a key or } */
    EXPECT_MORE,          /* a comma or the end of the container */
    EXPECT_END,
    EXPECT_NOTHING, /* after END or ERROR, which stay */
};

void json_reader_init(struct json_reader *reader, struct pl_str input, unsigned max_depth)
{
    reader->input = input;
    reader->offset = reader->token_offset = 0;
    reader->text = (struct pl_str){0};
    reader->depth = 0;
    reader->max_depth = max_depth < JSON_DEPTH_MAX ? max_depth : JSON_DEPTH_MAX;
    memset(reader->in_object, 0, sizeof(reader->in_object));
    reader->expect = EXPECT_VALUE;
    reader->err.code = PL_OK;
    reader->err.message[0] = '\0';
}

/* Stops the reader at `at`, the byte that is wrong. */
PL_PRINTF(3, 4)
static enum json_token fail(struct json_reader *reader, const char *at, const char *fmt, ...)
{
    va_list args;

    reader->offset = (size_t)(at - reader->input.ptr);
    reader->expect = EXPECT_NOTHING;
    reader->err.code = PL_ERR_INVALID_JSON;
    va_start(args, fmt);
    vsnprintf(reader->err.message, sizeof(reader->err.message), fmt, args);
    va_end(args);
    return JSON_TOKEN_ERROR;
}

/* "expected X but found Y" for the byte at `at`. */
static enum json_token unexpected(struct json_reader *reader, const char *at, const char *wanted)
{
    const char *end = reader->input.ptr + reader->input.len;
    unsigned len;

    if (at >= end)
        return fail(reader, at, "expected %s but the text ends", wanted);
    len = pl_utf8_length(at, (size_t)(end - at));
    if (len == 0)
        return fail(reader, at, "invalid UTF-8");
    if (len == 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0)
        return fail(reader, at, "a byte order mark is not allowed");
    if (len == 1 && ((unsigned char)*at < 0x20 || *at == 0x7F))
        return fail(reader, at, "expected %s but found the control character 0x%02x", wanted,
                    (unsigned)*at);
    return fail(reader, at, "expected %s but found '%.*s'", wanted, (int)len, at);
}

/* ---- tokens: each gets the start and returns the end, or NULL when the reader has failed ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The code unit of the \uXXXX at `p`, -1 when there is none. */
static int32_t unit_at(const char *p, const char *end)
{
    int32_t unit = 0;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static const char *check_unicode_escape(struct json_reader *reader, const char *p, const char *end)
{
    int32_t unit = unit_at(p, end), low;

    if (unit < 0) {
        fail(reader, p, "\\u must be followed by four hexadecimal digits");
        return NULL;
    }
    if (unit == 0) {
        fail(reader, p, "\\u0000 is not allowed");
        return NULL;
    }
    if (unit < 0xD800 || unit > 0xDFFF)
        return p + 6;
    low = unit_at(p + 6, end);
    if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF) {
        fail(reader, p, "\\u%.4s is half of a surrogate pair without the other half", p + 2);
        return NULL;
    }
    return p + 12;
}

static const char *check_escape(struct json_reader *reader, const char *p, const char *end)
{
    if (end - p >= 2 && p[1] == 'u')
        return check_unicode_escape(reader, p, end);
    if (end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]))
        return p + 2;
    fail(reader, p, "a backslash in a string must begin an escape such as \\n, \\\" or \\u00e9");
    return NULL;
}

static const char *check_string(struct json_reader *reader, const char *start, const char *end)
{
    const char *p = start + 1;

    for (;;) {
        unsigned len;

        p = json_skip_plain(p, end);
        if (p == end) {
            fail(reader, start, "the string that begins here has no end");
            return NULL;
        }
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            p = check_escape(reader, p, end);
            if (!p)
                return NULL;
            continue;
        }
        if ((unsigned char)*p < 0x20) {
            fail(reader, p, "the control character 0x%02x in a string must be escaped",
                 (unsigned)*p);
            return NULL;
        }
        while ((len = pl_utf8_length(p, (size_t)(end - p))) > 1)
            p += len;
        if (len == 0 && p < end) {
            fail(reader, p, "invalid UTF-8 in a string");
            return NULL;
        }
    }
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && json_is_digit(*p))
        p++;
    return p;
}

static const char *check_number(struct json_reader *reader, const char *p, const char *end)
{
    const char *digits;

    if (*p == '-')
        p++;
    digits = p;
    p = skip_digits(p, end);
    if (p == digits)
        goto wrong;
    if (*digits == '0' && p - digits > 1) {
        fail(reader, digits, "a number must not begin with 0");
        return NULL;
    }
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            goto wrong;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            goto wrong;
    }
    return p;
wrong:
    unexpected(reader, p, "a digit");
    return NULL;
}

/* ---- the grammar ---- */

static bool in_object(const struct json_reader *reader)
{
    const unsigned level = reader->depth - 1;

    return reader->in_object[level / 64] >> (level % 64) & 1;
}

static void after_value(struct json_reader *reader, const char *end_of_value)
{
    reader->offset = (size_t)(end_of_value - reader->input.ptr);
    reader->expect = reader->depth ? EXPECT_MORE : EXPECT_END;
}

static enum json_token open_container(struct json_reader *reader, const char *p, bool object)
{
    const unsigned level = reader->depth;
    const uint64_t bit = (uint64_t)1 << (level % 64);

    if (level >= reader->max_depth)
        return fail(reader, p, "nested deeper than %u levels", reader->max_depth);
    if (object)
        reader->in_object[level / 64] |= bit;
    else
        reader->in_object[level / 64] &= ~bit;
    reader->depth++;
    reader->offset = (size_t)(p + 1 - reader->input.ptr);
    reader->expect = object ? EXPECT_FIRST_KEY : EXPECT_FIRST_ELEMENT;
    return object ? JSON_TOKEN_OBJECT_BEGIN : JSON_TOKEN_ARRAY_BEGIN;
}

static enum json_token close_container(struct json_reader *reader, const char *p, bool object)
{
    reader->depth--;
    after_value(reader, p + 1);
    return object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
}

static enum json_token read_word(struct json_reader *reader, const char *p, const char *end,
                                 struct pl_str word, enum json_token token)
{
    if ((size_t)(end - p) < word.len || memcmp(p, word.ptr, word.len) != 0)
        return unexpected(reader, p, "a value");
    after_value(reader, p + word.len);
    return token;
}

static enum json_token finish_scalar(struct json_reader *reader, const char *p, const char *after,
                                     enum json_token token)
{
    if (!after)
        return JSON_TOKEN_ERROR;
    reader->text = pl_str_n(p, (size_t)(after - p));
    after_value(reader, after);
    return token;
}

static enum json_token read_value(struct json_reader *reader, const char *p, const char *end)
{
    if (p == end)
        return unexpected(reader, p, "a value");
    switch (*p) {
    case '{':
        return open_container(reader, p, true);
    case '[':
        return open_container(reader, p, false);
    case '"':
        return finish_scalar(reader, p, check_string(reader, p, end), JSON_TOKEN_STRING);
    case 't':
        return read_word(reader, p, end, PL_STR("true"), JSON_TOKEN_TRUE);
    case 'f':
        return read_word(reader, p, end, PL_STR("false"), JSON_TOKEN_FALSE);
    case 'n':
        return read_word(reader, p, end, PL_STR("null"), JSON_TOKEN_NULL);
    default:
        if (*p != '-' && !json_is_digit(*p))
            return unexpected(reader, p, "a value");
        return finish_scalar(reader, p, check_number(reader, p, end), JSON_TOKEN_NUMBER);
    }
}

/* The key and its colon; the value is next. */
static enum json_token read_key(struct json_reader *reader, const char *p, const char *end)
{
    const char *after;

    if (p == end || *p != '"')
        return unexpected(reader, p, "a key in double quotes");
    after = check_string(reader, p, end);
    if (!after)
        return JSON_TOKEN_ERROR;
    reader->text = pl_str_n(p, (size_t)(after - p));
    after = json_skip_space(after, end);
    if (after == end || *after != ':')
        return unexpected(reader, after, "':' after the key");
    reader->offset = (size_t)(after + 1 - reader->input.ptr);
    reader->expect = EXPECT_VALUE;
    return JSON_TOKEN_KEY;
}

static enum json_token read_more(struct json_reader *reader, const char *p, const char *end)
{
    const bool object = in_object(reader);

    if (p < end && *p == (object ? '}' : ']'))
        return close_container(reader, p, object);
    if (p == end || *p != ',')
        return unexpected(reader, p, object ? "',' or '}'" : "',' or ']'");
    p = json_skip_space(p + 1, end);
    reader->token_offset = (size_t)(p - reader->input.ptr);
    return object ? read_key(reader, p, end) : read_value(reader, p, end);
}

enum json_token json_reader_next(struct json_reader *reader)
{
    const char *end, *p;

    if (!reader->input.ptr) /* no pointer arithmetic on NULL */
        reader->input.ptr = "";
    end = reader->input.ptr + reader->input.len;
    p = json_skip_space(reader->input.ptr + reader->offset, end);
    if (reader->expect != EXPECT_NOTHING)
        reader->token_offset = (size_t)(p - reader->input.ptr);
    switch ((enum expect)reader->expect) {
    case EXPECT_FIRST_ELEMENT:
        if (p < end && *p == ']')
            return close_container(reader, p, false);
        return read_value(reader, p, end);
    case EXPECT_VALUE:
        return read_value(reader, p, end);
    case EXPECT_FIRST_KEY:
        if (p < end && *p == '}')
            return close_container(reader, p, true);
        return read_key(reader, p, end);
    case EXPECT_MORE:
        return read_more(reader, p, end);
    case EXPECT_END:
        if (p < end)
            return unexpected(reader, p, "nothing after the value");
        reader->offset = reader->input.len;
        reader->expect = EXPECT_NOTHING;
        return JSON_TOKEN_END;
    case EXPECT_NOTHING:
        break;
    }
    return reader->err.code ? JSON_TOKEN_ERROR : JSON_TOKEN_END;
}
