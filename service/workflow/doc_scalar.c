/* doc_scalar.c - what a plain (unquoted) YAML scalar means in the 1.2 core schema. Not the syntax.
 * Called by doc_yaml.c. */
#include "service/workflow/doc_build.h"

static bool is_one_of(struct pl_str text, const char *const *words)
{
    for (; *words; words++)
        if (pl_str_is(text, *words))
            return true;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *p, const char *end)
{
    const char *start = p;

    while (p < end && is_digit(*p))
        p++;
    return (size_t)(p - start);
}

/* A decimal as the core schema allows it, taken apart: [-+]? whole? (. fraction?)? (e [-+]?
 * exponent)? */
struct decimal {
    bool negative;
    struct pl_str whole, fraction, exponent; /* exponent with its sign, empty when there is none */
};

static bool split_decimal(struct pl_str plain, struct decimal *ret)
{
    const char *p = plain.ptr, *end = p + plain.len;
    struct decimal parts = {0};
    size_t sign;

    if (p < end && (*p == '-' || *p == '+'))
        parts.negative = *p++ == '-';
    parts.whole = pl_str_n(p, count_digits(p, end));
    p += parts.whole.len;
    if (p < end && *p == '.') {
        p++;
        parts.fraction = pl_str_n(p, count_digits(p, end));
        p += parts.fraction.len;
    }
    if (parts.whole.len + parts.fraction.len == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        sign = p < end && (*p == '-' || *p == '+');
        parts.exponent = pl_str_n(p, sign + count_digits(p + sign, end));
        if (parts.exponent.len == sign)
            return false;
        p += parts.exponent.len;
    }
    if (p != end)
        return false;
    *ret = parts;
    return true;
}

/* JSON wants a digit before the point and after it, and no zeros or plus in front; other digits
 * stay. */
static struct pl_str decimal_text(struct pl_arena *arena, struct decimal parts)
{
    while (parts.whole.len > 1 && parts.whole.ptr[0] == '0')
        parts.whole = pl_str_n(parts.whole.ptr + 1, parts.whole.len - 1);
    return pl_str(pl_arena_printf(arena, "%s%.*s%s%.*s%s%.*s", parts.negative ? "-" : "",
                                  PL_STR_ARG(parts.whole.len ? parts.whole : PL_STR("0")),
                                  parts.fraction.len ? "." : "", PL_STR_ARG(parts.fraction),
                                  parts.exponent.len ? "e" : "", PL_STR_ARG(parts.exponent)));
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* 0x1F and 0o17. False when it is neither; *ret_too_large: it is, but with more than 64 bits. */
static bool read_based(struct pl_str plain, uint64_t *ret_number, bool *ret_too_large)
{
    uint64_t number = 0, base;

    *ret_too_large = false;
    if (plain.len < 3 || plain.ptr[0] != '0' || (plain.ptr[1] != 'x' && plain.ptr[1] != 'o'))
        return false;
    base = plain.ptr[1] == 'x' ? 16 : 8;
    for (size_t i = 2; i < plain.len; i++) {
        uint64_t digit = (uint64_t)digit_value(plain.ptr[i]);

        if (digit >= base)
            return false;
        if (number > (UINT64_MAX - digit) / base)
            *ret_too_large = true;
        number = number * base + digit;
    }
    *ret_number = number;
    return true;
}

static bool is_infinite_or_nan(struct pl_str plain)
{
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};

    if (plain.len && (plain.ptr[0] == '-' || plain.ptr[0] == '+'))
        plain = pl_str_n(plain.ptr + 1, plain.len - 1);
    return is_one_of(plain, words);
}

static const char *resolve_number(struct pl_arena *arena, struct pl_str plain,
                                  enum doc_type *ret_type, struct pl_str *ret_text)
{
    struct decimal parts;
    uint64_t number;
    bool too_large;

    if (is_infinite_or_nan(plain))
        return "JSON has no infinity and no NaN; put it in quotes if text is meant";
    if (read_based(plain, &number, &too_large)) {
        if (too_large)
            return "a hexadecimal or octal number has at most 64 bits; write it in decimal, or "
                   "in quotes if text is meant";
        *ret_text = pl_str(pl_arena_printf(arena, "%llu", (unsigned long long)number));
    } else if (split_decimal(plain, &parts)) {
        *ret_text = decimal_text(arena, parts);
    } else {
        return NULL;
    }
    *ret_type = DOC_NUMBER;
    return NULL;
}

const char *doc_resolve_plain(struct pl_arena *arena, struct pl_str plain, enum doc_type *ret_type,
                              struct pl_str *ret_text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    char first = plain.len ? plain.ptr[0] : '~';

    *ret_type = DOC_STRING;
    if (is_digit(first) || first == '-' || first == '+' || first == '.')
        return resolve_number(arena, plain, ret_type, ret_text);
    if (!strchr("~nNtTfF", first))
        return NULL;
    if (is_one_of(plain, nulls)) {
        *ret_type = DOC_NULL;
    } else if (is_one_of(plain, trues)) {
        *ret_type = DOC_BOOL;
        *ret_text = PL_STR("true");
    } else if (is_one_of(plain, falses)) {
        *ret_type = DOC_BOOL;
        *ret_text = PL_STR("false");
    }
    return NULL;
}
