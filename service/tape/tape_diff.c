/* tape_diff.c - where two requests differ, in words for people; and requests shortened for a file
 * that people read. Not which two are compared (tape.c). See tape.h. */
#include "service/tape/tape.h"

#include "base/json.h"
#include "base/utf8.h"

#include <sodium.h>

enum {
    CUT_FROM = 2000, /* bytes of a text that are kept whole in a recording */
    CUT_KEEP = 400,  /* of a longer one */
    SHOWN = 72,      /* bytes of a value in a line */
    BEFORE = 24,     /* of which before the first difference */
    PLACE_MAX = 256,
};

/* ---- shortening ---- */

static void shorten_text(struct pl_str token, struct pl_buf *out)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    struct pl_buf text, cut;
    size_t keep;

    if (token.len <= CUT_FROM) {
        pl_buf_str(out, token);
        return;
    }
    pl_buf_init(&text, token.len);
    pl_buf_init(&cut, CUT_KEEP + 200);
    json_decode_string(token, &text);
    crypto_hash_sha256(hash, (const unsigned char *)(text.data ? text.data : ""), text.len);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    keep = text.len < CUT_KEEP ? text.len : pl_utf8_cut(text.data, CUT_KEEP);
    pl_buf_append(&cut, text.data, keep);
    pl_buf_printf(&cut, " [cut: %zu bytes, sha256 %s]", text.len, hex);
    json_write_string(out, pl_buf_view(&cut));
    out->failed |= pl_buf_failed(&text) || pl_buf_failed(&cut);
    pl_buf_finish(&text);
    pl_buf_finish(&cut);
}

/* JSON that was checked, so its depth is limited, and with it this recursion. */
void tape_shorten(struct pl_str json, struct pl_buf *out)
{
    const enum json_type type = json_type(json);
    struct json_iter it;

    if (type == JSON_STRING) {
        shorten_text(json, out);
        return;
    }
    if (type != JSON_ARRAY && type != JSON_OBJECT) {
        json_write_compact(out, json);
        return;
    }
    pl_buf_char(out, type == JSON_ARRAY ? '[' : '{');
    for (json_iter_init(&it, json); json_iter_next(&it);) {
        json_comma(out);
        if (type == JSON_OBJECT) {
            pl_buf_str(out, it.key);
            pl_buf_char(out, ':');
        }
        tape_shorten(it.value, out);
    }
    pl_buf_char(out, type == JSON_ARRAY ? ']' : '}');
}

/* ---- comparing ---- */

struct diff {
    const char *indent;
    size_t max, places;
    struct pl_buf *out; /* NULL: only count */
};

/* A value around the place where it first differs from another. */
static void show(struct pl_str value, size_t differs_at, struct pl_buf *out)
{
    size_t from = differs_at > BEFORE ? differs_at - BEFORE : 0, len;

    if (value.len == 0) {
        pl_buf_text(out, "nothing");
        return;
    }
    if (value.len <= SHOWN || from > value.len)
        from = 0;
    while (from > 0 && ((unsigned char)value.ptr[from] & 0xc0) == 0x80)
        from--;
    len = value.len - from;
    if (len > SHOWN)
        len = pl_utf8_cut(value.ptr + from, SHOWN);
    pl_buf_printf(out, "%s%.*s%s", from ? "..." : "", (int)len, value.ptr + from,
                  from + len < value.len ? "..." : "");
}

static void differ(struct diff *diff, struct pl_str place, struct pl_str is, struct pl_str was)
{
    size_t at = 0;

    diff->places++;
    if (!diff->out || diff->places > diff->max)
        return;
    while (at < is.len && at < was.len && is.ptr[at] == was.ptr[at])
        at++;
    pl_buf_text(diff->out, diff->indent);
    if (place.len)
        pl_buf_printf(diff->out, "%.*s: ", PL_STR_ARG(place));
    show(is, at, diff->out);
    pl_buf_text(diff->out, ", was ");
    show(was, at, diff->out);
    pl_buf_char(diff->out, '\n');
}

static void compare(struct diff *diff, struct pl_str place, struct pl_str is, struct pl_str was);

/* Keys are compared as they are written: both sides are written by the same hand. */
static bool member(struct pl_str object, struct pl_str key, struct pl_str *ret_value)
{
    struct json_iter it;

    for (json_iter_init(&it, object); json_iter_next(&it);) {
        if (pl_str_eq(it.key, key)) {
            *ret_value = it.value;
            return true;
        }
    }
    return false;
}

static void compare_member(struct diff *diff, struct pl_str place, struct pl_str key,
                           struct pl_str is, struct pl_str was)
{
    char text[PLACE_MAX];
    int len = snprintf(text, sizeof text, "%.*s%s%.*s", PL_STR_ARG(place), place.len ? "." : "",
                       (int)(key.len > 2 ? key.len - 2 : 0), key.ptr + 1);

    compare(diff, pl_str_n(text, len < PLACE_MAX ? (size_t)len : PLACE_MAX - 1), is, was);
}

static void compare_objects(struct diff *diff, struct pl_str place, struct pl_str is,
                            struct pl_str was)
{
    struct json_iter it;
    struct pl_str other;

    for (json_iter_init(&it, is); json_iter_next(&it);) {
        other = (struct pl_str){0};
        (void)member(was, it.key, &other);
        compare_member(diff, place, it.key, it.value, other);
    }
    for (json_iter_init(&it, was); json_iter_next(&it);) {
        if (!member(is, it.key, &other))
            compare_member(diff, place, it.key, (struct pl_str){0}, it.value);
    }
}

static void compare_lists(struct diff *diff, struct pl_str place, struct pl_str is,
                          struct pl_str was)
{
    struct json_iter a, b;
    bool more_a = true, more_b = true;

    json_iter_init(&a, is);
    json_iter_init(&b, was);
    for (size_t i = 0;; i++) {
        char text[PLACE_MAX];
        int len;

        more_a = more_a && json_iter_next(&a);
        more_b = more_b && json_iter_next(&b);
        if (!more_a && !more_b)
            return;
        len = snprintf(text, sizeof text, "%.*s[%zu]", PL_STR_ARG(place), i);
        compare(diff, pl_str_n(text, len < PLACE_MAX ? (size_t)len : PLACE_MAX - 1),
                more_a ? a.value : (struct pl_str){0}, more_b ? b.value : (struct pl_str){0});
    }
}

static void compare(struct diff *diff, struct pl_str place, struct pl_str is, struct pl_str was)
{
    const bool both = is.len && was.len;

    if (both && json_type(is) == JSON_OBJECT && json_type(was) == JSON_OBJECT)
        compare_objects(diff, place, is, was);
    else if (both && json_type(is) == JSON_ARRAY && json_type(was) == JSON_ARRAY)
        compare_lists(diff, place, is, was);
    else if (both ? !json_equal(is, was) : is.len || was.len)
        differ(diff, place, is, was);
}

size_t tape_diff(struct pl_str is, struct pl_str was, const char *indent, size_t max,
                 struct pl_buf *out)
{
    struct diff diff = {.indent = indent, .max = max, .out = out};

    compare(&diff, (struct pl_str){0}, is, was);
    if (out && diff.places > max)
        pl_buf_printf(out, "%sand %zu more\n", indent, diff.places - max);
    return diff.places;
}
