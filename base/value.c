/* value.c - shared JSON texts. Not a parser. Called wherever an output is kept or handed on. */
#include "base/value.h"

#include "base/json.h"

#include <stdatomic.h>
#include <stdlib.h>

struct pl_value {
    atomic_size_t refs; /* not used by the static null */
    const char *text;   /* `own`, or memory taken from a buffer */
    size_t len;
    char own[];
};

static struct pl_value null_value = {.refs = 1, .text = "null", .len = 4};

static struct pl_value *new_header(size_t own)
{
    struct pl_value *value;

    if (own > SIZE_MAX - sizeof(*value))
        return NULL;
    value = malloc(sizeof(*value) + own);
    if (value)
        atomic_init(&value->refs, 1);
    return value;
}

struct pl_value *pl_value_new(struct pl_str json)
{
    struct pl_value *value = new_header(json.len + 1);

    if (!value)
        return NULL;
    if (json.len)
        memcpy(value->own, json.ptr, json.len);
    value->own[json.len] = '\0';
    value->text = value->own;
    value->len = json.len;
    return value;
}

struct pl_value *pl_value_take(struct pl_buf *buf)
{
    size_t slack = buf->capacity - buf->len, len;
    struct pl_value *value;
    char *text = pl_buf_take(buf, &len), *fitted;

    if (!text)
        return NULL;
    value = new_header(0);
    if (!value) {
        free(text);
        return NULL;
    }
    if (slack > 64 && slack > len / 8) {
        fitted = realloc(text, len + 1);
        text = fitted ? fitted : text;
    }
    value->text = text;
    value->len = len;
    return value;
}

struct pl_value *pl_value_string(struct pl_str text)
{
    struct pl_buf buf;
    struct pl_value *value;

    pl_buf_init(&buf, SIZE_MAX / 2);
    json_write_string(&buf, text);
    value = pl_value_take(&buf);
    pl_buf_finish(&buf);
    return value;
}

struct pl_value *pl_value_null(void)
{
    return &null_value;
}

struct pl_value *pl_value_ref(struct pl_value *value)
{
    if (value && value != &null_value)
        atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
    return value;
}

void pl_value_unref(struct pl_value **value)
{
    struct pl_value *gone = *value;

    *value = NULL;
    if (!gone || gone == &null_value)
        return;
    if (atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (gone->text != gone->own)
        free((void *)(uintptr_t)gone->text);
    free(gone);
}

struct pl_str pl_value_text(const struct pl_value *value)
{
    if (!value)
        value = &null_value;
    return pl_str_n(value->text, value->len);
}
