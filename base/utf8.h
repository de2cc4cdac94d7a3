/* utf8.h - the two questions base/ asks about UTF-8: is the next sequence valid, and where may a
 * text be cut. Not a Unicode library. Used by err, log and json. Any thread. */
#ifndef PLAIT_BASE_UTF8_H
#define PLAIT_BASE_UTF8_H

#include "base/compiler.h"

/* Bytes of the valid UTF-8 sequence that starts at `text` (1 to 4), 0 when there is none within
 * `len` bytes: overlong forms, surrogates and code points past U+10FFFF are not valid. */
static inline unsigned pl_utf8_length(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;

    if (len == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || len < 2 || (p[1] & 0xC0) != 0x80)
        return 0;
    if (p[0] < 0xE0)
        return 2;
    if (len < 3 || (p[2] & 0xC0) != 0x80)
        return 0;
    if (p[0] < 0xF0) {
        if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F))
            return 0;
        return 3;
    }
    if (p[0] > 0xF4 || len < 4 || (p[3] & 0xC0) != 0x80)
        return 0;
    if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return 4;
}

/* The longest length of at most `len` at which `text` can be cut without splitting a sequence.
 * `text` may hold more than `len` bytes; only what is before `len` is read. */
static inline size_t pl_utf8_cut(const char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0 || (unsigned char)text[start - 1] < 0xC0)
        return len;
    start--;
    return pl_utf8_length(text + start, len - start) == len - start ? len : start;
}

/* Writes code point `c` as UTF-8; the number of bytes. A surrogate, anything past U+10FFFF and 0
 * (which no C string can hold) become U+FFFD. */
static inline unsigned pl_utf8_encode(uint32_t c, char out[4])
{
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

#endif
