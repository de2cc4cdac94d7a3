/* json_text.c - scanning shared by the JSON files: values skipped, characters and numbers taken
 * apart. Not a check: the text has been checked, or answers may be wrong, but nothing is read
 * outside of it. Called by json_look.c, json_check.c, json_tree.c and json_write.c. */
#include "base/json_text.h"

#include "base/json.h"
#include "base/utf8.h"

struct pl_str json_trim(struct pl_str text)
{
    while (text.len && json_is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len && json_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* `p` is behind the opening quote; the byte behind the closing one. */
static const char *skip_string(const char *p, const char *end, bool *escaped)
{
    for (;;) {
        p = json_skip_trusted(p, end);
        if (p == end)
            return end;
        if (*p == '"')
            return p + 1;
        *escaped = true;
        if (end - p < 2)
            return end;
        p += 2;
    }
}

/* `p` is behind the opening bracket; the byte behind the one that closes it. Kinds of brackets need
 * not be told apart in a checked text. */
static const char *skip_container(const char *p, const char *end)
{
    size_t depth = 1;
    bool escaped;

    while (p < end) {
        const char c = *p++;

        if (c == '"') {
            p = skip_string(p, end, &escaped);
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (--depth == 0)
                return p;
        }
    }
    return end;
}

const char *json_skip_value(const char *p, const char *end, bool *escaped)
{
    bool unused = false;

    if (p >= end)
        return end;
    if (!escaped)
        escaped = &unused;
    *escaped = false;
    if (*p == '"')
        return skip_string(p + 1, end, escaped);
    if (*p == '{' || *p == '[')
        return skip_container(p + 1, end);
    while (p < end && *p != ',' && *p != ']' && *p != '}' && *p != ':' && !json_is_space(*p))
        p++;
    return p;
}

struct pl_str json_inner(struct pl_str token)
{
    if (token.len < 2)
        return (struct pl_str){.ptr = token.len ? token.ptr : "", .len = 0};
    return pl_str_n(token.ptr + 1, token.len - 2);
}

static uint32_t hex4(const char *p)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        const unsigned char c = (unsigned char)p[i];

        unit = unit << 4 | (c <= '9' ? c & 0xFu : (c & 0xFu) + 9u);
    }
    return unit & 0xFFFF;
}

static unsigned next_escape(const char **p, const char *end, char out[4])
{
    const char *at = *p + 1; /* behind the backslash */
    uint32_t unit, low;

    if (at == end) {
        *p = end;
        return pl_utf8_encode(0xFFFD, out);
    }
    *p = at + 1;
    if (*at != 'u') {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *hit = *at ? strchr(from, *at) : NULL;

        out[0] = hit ? to[hit - from] : *at;
        return 1;
    }
    if (end - at < 5) {
        *p = end;
        return pl_utf8_encode(0xFFFD, out);
    }
    unit = hex4(at + 1);
    *p = at + 5;
    if (unit >= 0xD800 && unit <= 0xDBFF && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        low = hex4(*p + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *p += 6;
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return pl_utf8_encode(unit, out);
}

unsigned json_next_char(const char **p, const char *end, char out[4])
{
    unsigned len;

    if (**p == '\\')
        return next_escape(p, end, out);
    len = pl_utf8_length(*p, (size_t)(end - *p));
    if (len == 0)
        len = 1; /* not checked text: handed on as it is */
    memcpy(out, *p, len);
    *p += len;
    return len;
}

size_t json_decode_into(struct pl_str inner, char *out)
{
    const char *p = inner.ptr, *end = p + inner.len, *slash;
    char *to = out;

    while (p < end) {
        char text[4];
        unsigned len;
        size_t plain;

        slash = memchr(p, '\\', (size_t)(end - p));
        plain = (size_t)((slash ? slash : end) - p);
        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (!slash)
            break;
        len = json_next_char(&p, end, text); /* not straight into `out`: it may be shorter than 4 */
        memcpy(to, text, len);
        to += len;
    }
    return (size_t)(to - out);
}

/* ---- numbers ---- */

/* The written exponent, held within +-2^50, far past any number of digits and far from overflow. */
static int64_t read_exponent(const char *p, const char *end)
{
    const int64_t most = (int64_t)1 << 50;
    bool negative = false;
    int64_t value = 0;

    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    for (; p < end && json_is_digit(*p); p++) {
        if (value < most)
            value = value * 10 + (*p - '0');
    }
    if (value > most)
        value = most;
    return negative ? -value : value;
}

struct json_decimal json_decimal(struct pl_str token)
{
    struct json_decimal number = {.plain = true};
    const char *p = token.len ? token.ptr : "", *end = p + token.len;
    const char *point = NULL, *first = NULL, *last = NULL;

    if (token.len && *p == '-') {
        number.negative = true;
        p++;
    }
    for (; p < end && (json_is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            if (point)
                break; /* not a number: what follows does not count */
            point = p;
        } else if (*p != '0') {
            first = first ? first : p;
            last = p;
        }
    }
    number.plain = p == end && !point;
    if (!first) /* zero; -0 is the same number */
        return (struct json_decimal){.plain = number.plain};
    if (!point)
        point = p;
    number.first = first;
    number.last = last;
    number.digits = (size_t)(last - first) + 1 - (first < point && last > point);
    number.exponent = point - first + (first > point);
    if (p < end)
        number.exponent += read_exponent(p + 1, end);
    return number;
}

/* The next digit at or after `p`. */
static const char *at_digit(const char *p)
{
    return *p == '.' ? p + 1 : p;
}

bool json_decimal_equal(const struct json_decimal *a, const struct json_decimal *b)
{
    const char *p = a->first, *q = b->first;

    if (a->digits != b->digits || a->exponent != b->exponent || a->negative != b->negative)
        return false;
    for (size_t i = 0; i < a->digits; i++, p++, q++) {
        p = at_digit(p);
        q = at_digit(q);
        if (*p != *q)
            return false;
    }
    return true;
}

uint64_t json_decimal_digits(const struct json_decimal *number, size_t max)
{
    const char *p = number->first;
    uint64_t value = 0;

    for (size_t i = 0; i < number->digits && i < max; i++, p++) {
        p = at_digit(p);
        value = value * 10 + (uint64_t)(*p - '0');
    }
    return value;
}
