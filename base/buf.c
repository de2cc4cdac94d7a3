/* buf.c - the growing byte string. Not thread-safe. Called by everything that builds text. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 }; /* bytes of the first allocation: most need no second one */

void pl_buf_init(struct pl_buf *buf, size_t max)
{
    *buf = (struct pl_buf){.max = max};
}

void pl_buf_finish(struct pl_buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    pl_buf_init(buf, buf->max);
}

void pl_buf_reset(struct pl_buf *buf)
{
    buf->len = 0;
    buf->failed = buf->too_large = false;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Out of the fast path: makes `need` bytes and a NUL fit. */
static bool grow(struct pl_buf *buf, size_t need)
{
    size_t capacity = buf->capacity < BUF_FIRST ? BUF_FIRST : buf->capacity;
    char *data;

    while (capacity <= need)
        capacity = capacity > SIZE_MAX / 2 ? need + 1 : capacity * 2;
    if (buf->max < SIZE_MAX && capacity > buf->max + 1)
        capacity = buf->max + 1; /* need <= max, so it still fits */
    data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    if (!buf->data)
        data[0] = '\0';
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool pl_buf_reserve(struct pl_buf *buf, size_t extra)
{
    if (buf->failed)
        return false;
    if (extra > buf->max - buf->len || extra >= SIZE_MAX - buf->len) {
        buf->failed = buf->too_large = true;
        return false;
    }
    if (buf->len + extra < buf->capacity)
        return true;
    return grow(buf, buf->len + extra);
}

void pl_buf_append(struct pl_buf *buf, const void *data, size_t len)
{
    if (len == 0 || !pl_buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void pl_buf_str(struct pl_buf *buf, struct pl_str text)
{
    pl_buf_append(buf, text.ptr, text.len);
}

void pl_buf_text(struct pl_buf *buf, const char *text)
{
    pl_buf_append(buf, text, strlen(text));
}

void pl_buf_char(struct pl_buf *buf, char c)
{
    if (!pl_buf_reserve(buf, 1))
        return;
    buf->data[buf->len++] = c;
    buf->data[buf->len] = '\0';
}

void pl_buf_printf(struct pl_buf *buf, const char *fmt, ...)
{
    size_t room = buf->capacity - buf->len;
    va_list args;
    int len;

    if (buf->failed)
        return;
    va_start(args, fmt);
    len = vsnprintf(buf->data ? buf->data + buf->len : NULL, room, fmt, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
    } else if ((size_t)len < room && (size_t)len <= buf->max - buf->len) {
        buf->len += (size_t)len;
        return;
    } else if (pl_buf_reserve(buf, (size_t)len)) {
        va_start(args, fmt);
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
        va_end(args);
        buf->len += (size_t)len;
        return;
    }
    if (buf->data)
        buf->data[buf->len] = '\0'; /* takes back what the try wrote */
}

void pl_buf_int(struct pl_buf *buf, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        digits[--at] = '-';
    pl_buf_append(buf, digits + at, sizeof(digits) - at);
}

struct pl_str pl_buf_view(const struct pl_buf *buf)
{
    return pl_str_n(buf->data, buf->len);
}

char *pl_buf_take(struct pl_buf *buf, size_t *ret_len)
{
    char *data = buf->data;
    size_t len = buf->len;

    if (buf->failed) {
        free(data);
        data = NULL;
        len = 0;
    } else if (!data) {
        data = calloc(1, 1);
        buf->failed = !data;
    }
    buf->data = NULL;
    buf->len = buf->capacity = 0;
    *ret_len = len;
    return data;
}
