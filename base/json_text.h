/* json_text.h - what the files of base/json*.c share: scanning within a JSON text. Not for others.
 * Every function stays within [p, end) whatever the bytes are. */
#ifndef PLAIT_BASE_JSON_TEXT_H
#define PLAIT_BASE_JSON_TEXT_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 256 }; /* levels any part of base/json keeps track of */

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && json_is_space(*p))
        p++;
    return p;
}

/* Eight bytes, the first of them the lowest. */
static inline uint64_t json_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* The place of the lowest byte whose top bit is set; one is. */
static inline size_t json_lowest(uint64_t hits)
{
    return (size_t)__builtin_ctzll(hits) / 8;
}

/* The first byte that is a quote, a backslash, a control character or not ASCII; `end` if none. */
static inline const char *json_skip_plain(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

    for (; end - p >= 8; p += 8) {
        const uint64_t word = json_word(p);
        const uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        /* Each term has its top bit set where the byte is of the kind, or is not ASCII; a borrow
         * can only add a false hit above a true one, and the lowest is taken. */
        const uint64_t hits =
            ((quote - ones) | (slash - ones) | (word - ones * 0x20) | word) & tops;
        if (hits)
            return p + json_lowest(hits);
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\' &&
           (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* The first quote or backslash of text that is trusted for the rest; `end` if none. */
static inline const char *json_skip_trusted(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

    for (; end - p >= 8; p += 8) {
        const uint64_t word = json_word(p);
        const uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        const uint64_t hits = (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops;
        if (hits)
            return p + json_lowest(hits);
    }
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* `text` without the white space around it. */
struct pl_str json_trim(struct pl_str text);

/* The end of the value that starts at `p`, where no white space is. Trusts the text. *escaped, if
 * not NULL, says whether it is a string with a backslash in it. */
const char *json_skip_value(const char *p, const char *end, bool *escaped);

/* The content of a string token, without its quotes. */
struct pl_str json_inner(struct pl_str token);

/* Undoes the escapes of a string's content into `out`, which has room for inner.len + 2 bytes (2
 * for what an escape cut off by the end becomes); the number of bytes. */
size_t json_decode_into(struct pl_str inner, char *out);

/* Reads the character at `*p` of a string's content, escapes undone, as UTF-8 into `out`; the
 * number of bytes. *p < end. */
unsigned json_next_char(const char **p, const char *end, char out[4]);

/* A number token taken apart: 0.D1D2D3... times ten to `exponent`; no digits for zero. */
struct json_decimal {
    const char *first,
        *last; /* from the first to the last digit that counts; a point may be between */
    size_t digits;
    int64_t exponent;
    bool negative;
    bool plain; /* neither point nor exponent was written */
};
struct json_decimal json_decimal(struct pl_str token);
/* The same number, whatever the spelling. */
bool json_decimal_equal(const struct json_decimal *a, const struct json_decimal *b);
/* The first `max` digits as an integer; max at most 19. */
uint64_t json_decimal_digits(const struct json_decimal *number, size_t max);

#endif
