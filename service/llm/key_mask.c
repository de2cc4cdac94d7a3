/* key_mask.c - see key_mask.h. */
#include "service/llm/key_mask.h"

#include "base/limits.h"

bool key_mask_finds(struct pl_str key, struct pl_str text)
{
    return key.len >= KEY_MASK_MIN && text.len && memmem(text.ptr, text.len, key.ptr, key.len);
}

void key_mask_text(struct pl_str key, char *text, size_t len)
{
    char *found;

    while (len && key.len >= KEY_MASK_MIN && (found = memmem(text, len, key.ptr, key.len))) {
        memset(found, '*', key.len);
        len -= (size_t)(found + key.len - text);
        text = found + key.len;
    }
}

/* How much of the key's beginning the text ends with; less than the whole key. */
static size_t beginning_at_end(struct pl_str key, const char *text, size_t len)
{
    size_t n = key.len - 1 < len ? key.len - 1 : len;

    for (; n > 0; n--)
        if (text[len - n] == key.ptr[0] && memcmp(text + len - n, key.ptr, n) == 0)
            break;
    return n;
}

void key_mask_cut(struct pl_str key, char *text, size_t len)
{
    const size_t n = key.len >= KEY_MASK_MIN ? beginning_at_end(key, text, len) : 0;

    if (n >= KEY_MASK_MIN)
        memset(text + len - n, '*', n);
}

void key_mask_value(struct pl_str key, struct pl_value **value)
{
    const struct pl_str text = pl_value_text(*value);
    struct pl_buf copy;

    if (!*value || !key_mask_finds(key, text))
        return;
    pl_buf_init(&copy, text.len);
    pl_buf_str(&copy, text);
    if (!pl_buf_failed(&copy))
        key_mask_text(key, copy.data, copy.len);
    pl_value_unref(value);
    *value = pl_value_take(&copy);
    pl_buf_finish(&copy);
}

/* ---- a stream ---- */

static void pass(const struct key_mask *mask, struct pl_str text)
{
    if (text.len)
        mask->to.delta(mask->to.arg, text);
}

/* A piece that holds the key, or that follows the beginning of one. */
static void take_joined(struct key_mask *mask, struct pl_str piece)
{
    struct pl_buf *joined = &mask->joined;

    pl_buf_reset(joined);
    pl_buf_append(joined, mask->key.ptr, mask->held);
    pl_buf_str(joined, piece);
    if (pl_buf_failed(joined))
        return; /* deltas are a preview: the output itself comes whole */
    key_mask_text(mask->key, joined->data, joined->len);
    mask->held = beginning_at_end(mask->key, joined->data, joined->len);
    pass(mask, pl_str_n(joined->data, joined->len - mask->held));
}

static void take_piece(void *arg, struct pl_str piece)
{
    struct key_mask *mask = arg;

    if (piece.len == 0)
        return;
    if (mask->held || key_mask_finds(mask->key, piece)) {
        take_joined(mask, piece);
        return;
    }
    mask->held = beginning_at_end(mask->key, piece.ptr, piece.len);
    pass(mask, pl_str_n(piece.ptr, piece.len - mask->held));
}

void key_mask_init(struct key_mask *mask, struct pl_str key, const struct llm_sink *to)
{
    *mask = (struct key_mask){.sink = *to, .to = *to, .key = key};
    pl_buf_init(&mask->joined, PL_LIMIT_STREAM_BYTES);
    if (to->delta && key.len >= KEY_MASK_MIN)
        mask->sink = (struct llm_sink){.arg = mask, .delta = take_piece};
}

void key_mask_end(struct key_mask *mask)
{
    if (mask->held)
        pass(mask, pl_str_n(mask->key.ptr, mask->held));
    mask->held = 0;
}

void key_mask_finish(struct key_mask *mask)
{
    pl_buf_finish(&mask->joined);
}
