/* json_write.c - JSON text put together in a buffer. Not a check of what it is given raw. Called by
 * everything that answers, stores or logs JSON. */
#include "base/json.h"

#include "base/json_text.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char replacement[] = "\xEF\xBF\xBD";

/* ---- values ---- */

static void write_control(struct pl_buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    switch (c) {
    case '\b':
        pl_buf_append(out, "\\b", 2);
        return;
    case '\f':
        pl_buf_append(out, "\\f", 2);
        return;
    case '\n':
        pl_buf_append(out, "\\n", 2);
        return;
    case '\r':
        pl_buf_append(out, "\\r", 2);
        return;
    case '\t':
        pl_buf_append(out, "\\t", 2);
        return;
    case '\0': /* \u0000 is what the strict reader refuses, so it is not written either */
        pl_buf_append(out, replacement, 3);
        return;
    default:
        pl_buf_append(out, escape, sizeof(escape));
    }
}

void json_write_string(struct pl_buf *out, struct pl_str text)
{
    const char *p = text.len ? text.ptr : "", *end = p + text.len, *start = p;

    if (!pl_buf_reserve(out, text.len + 2))
        return;
    pl_buf_char(out, '"');
    while ((p = json_skip_plain(p, end)) < end) {
        unsigned len;

        while ((len = pl_utf8_length(p, (size_t)(end - p))) > 1)
            p += len;
        if (p == end)
            break;
        if (len == 1 && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
            continue;
        pl_buf_append(out, start, (size_t)(p - start));
        if (*p == '"' || *p == '\\') {
            pl_buf_char(out, '\\');
            pl_buf_char(out, *p);
        } else if (len == 0) {
            pl_buf_append(out, replacement, 3);
        } else {
            write_control(out, (unsigned char)*p);
        }
        start = ++p;
    }
    pl_buf_append(out, start, (size_t)(end - start));
    pl_buf_char(out, '"');
}

void json_write_compact(struct pl_buf *out, struct pl_str json)
{
    const char *p = json.len ? json.ptr : "", *end = p + json.len, *start = p;

    while (p < end) {
        if (*p == '"') {
            p = json_skip_value(p, end, NULL);
        } else if (json_is_space(*p)) {
            pl_buf_append(out, start, (size_t)(p - start));
            start = p = json_skip_space(p, end);
        } else {
            p++;
        }
    }
    pl_buf_append(out, start, (size_t)(end - start));
}

static void new_line(struct pl_buf *out, unsigned depth)
{
    pl_buf_char(out, '\n');
    while (depth-- > 0)
        pl_buf_append(out, "  ", 2);
}

void json_write_pretty(struct pl_buf *out, struct pl_str json)
{
    const char *p = json.len ? json.ptr : "", *end = p + json.len, *after;
    unsigned depth = 0;

    while ((p = json_skip_space(p, end)) < end && !pl_buf_failed(out)) {
        switch (*p) {
        case '{':
        case '[':
            after = json_skip_space(p + 1, end);
            pl_buf_char(out, *p++);
            if (after < end && (*after == '}' || *after == ']')) {
                pl_buf_char(out, *after);
                p = after + 1;
            } else {
                depth += depth < JSON_DEPTH_MAX;
                new_line(out, depth);
            }
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            new_line(out, depth);
            pl_buf_char(out, *p++);
            break;
        case ',':
            pl_buf_char(out, *p++);
            new_line(out, depth);
            break;
        case ':':
            pl_buf_append(out, ": ", 2);
            p++;
            break;
        default:
            after = json_skip_value(p, end, NULL);
            pl_buf_append(out, p, (size_t)(after - p));
            p = after;
        }
    }
}

void json_write_double(struct pl_buf *out, double number)
{
    const double safe = 9007199254740992.0; /* 2^53 */
    char text[40];

    if (!isfinite(number)) {
        pl_buf_append(out, "null", 4);
        return;
    }
    if (number >= -safe && number <= safe && number == trunc(number) &&
        !(number == 0 && signbit(number))) {
        pl_buf_int(out, (int64_t)number);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    pl_buf_text(out, text);
}

/* ---- piece by piece ---- */

/* A value is complete before the end: what a value can end with, nothing else can. */
void json_comma(struct pl_buf *out)
{
    const char last = out->len ? out->data[out->len - 1] : ',';

    if (last == '}' || last == ']' || last == '"' || last == 'e' || last == 'l' ||
        json_is_digit(last))
        pl_buf_char(out, ',');
}

void json_object_begin(struct pl_buf *out)
{
    json_comma(out);
    pl_buf_char(out, '{');
}

void json_object_end(struct pl_buf *out)
{
    pl_buf_char(out, '}');
}

void json_array_begin(struct pl_buf *out)
{
    json_comma(out);
    pl_buf_char(out, '[');
}

void json_array_end(struct pl_buf *out)
{
    pl_buf_char(out, ']');
}

void json_key(struct pl_buf *out, const char *key)
{
    json_comma(out);
    json_write_string(out, pl_str(key));
    pl_buf_char(out, ':');
}

void json_add_string(struct pl_buf *out, const char *key, struct pl_str text)
{
    json_key(out, key);
    json_write_string(out, text);
}

void json_add_int(struct pl_buf *out, const char *key, int64_t number)
{
    json_key(out, key);
    pl_buf_int(out, number);
}

void json_add_double(struct pl_buf *out, const char *key, double number)
{
    json_key(out, key);
    json_write_double(out, number);
}

void json_add_bool(struct pl_buf *out, const char *key, bool value)
{
    json_key(out, key);
    pl_buf_text(out, value ? "true" : "false");
}

void json_add_null(struct pl_buf *out, const char *key)
{
    json_key(out, key);
    pl_buf_append(out, "null", 4);
}

void json_add_raw(struct pl_buf *out, const char *key, struct pl_str json)
{
    json = json_trim(json);
    json_key(out, key);
    pl_buf_str(out, json.len ? json : PL_STR("null"));
}
