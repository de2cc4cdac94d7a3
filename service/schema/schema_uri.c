/* schema_uri.c - URIs of schemas put together and taken apart. See schema_uri.h. Called by
 * schema_refs.c and schema_json.c. */
#include "service/schema/schema_uri.h"

/* Absent parts have no `ptr`. */
struct uri {
    struct pl_str scheme;    /* with its ':' */
    struct pl_str authority; /* with its "//" */
    struct pl_str path;
    struct pl_str query; /* with its '?' */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the first `len` bytes off `text`. */
static struct pl_str cut(struct pl_str *text, size_t len)
{
    struct pl_str head = pl_str_n(text->ptr, len);

    *text = pl_str_n(text->ptr + len, text->len - len);
    return head;
}

static size_t until(struct pl_str text, const char *stops)
{
    size_t i = 0;

    while (i < text.len && !(text.ptr[i] && strchr(stops, text.ptr[i])))
        i++;
    return i;
}

static struct uri take_apart(struct pl_str text)
{
    struct uri uri = {0};
    size_t colon = 0;

    if (text.len == 0)
        return uri;
    while (colon < text.len &&
           (is_letter(text.ptr[colon]) ||
            (colon > 0 && (is_digit(text.ptr[colon]) || strchr("+-.", text.ptr[colon])))))
        colon++;
    if (colon > 0 && colon < text.len && text.ptr[colon] == ':')
        uri.scheme = cut(&text, colon + 1);
    if (pl_str_starts(text, PL_STR("//")))
        uri.authority = cut(&text, 2 + until(pl_str_n(text.ptr + 2, text.len - 2), "/?"));
    uri.path = cut(&text, until(text, "?"));
    if (text.len)
        uri.query = text;
    return uri;
}

/* Appends a path without its "." and ".." parts; nothing before `start` is touched. */
static void write_path(struct pl_buf *out, struct pl_str path)
{
    const size_t start = out->len;
    bool rooted = pl_str_starts(path, PL_STR("/"));

    if (rooted)
        pl_buf_str(out, cut(&path, 1));
    while (path.len && !pl_buf_failed(out)) {
        struct pl_str part = cut(&path, until(path, "/"));
        bool last = path.len == 0;

        if (!last)
            (void)cut(&path, 1);
        if (pl_str_is(part, ".."))
            for (size_t slashes = 0; out->len > start + rooted; out->len--)
                if (out->data[out->len - 1] == '/' && slashes++ == 1)
                    break;
        if (!pl_str_is(part, ".") && !pl_str_is(part, "..")) {
            pl_buf_str(out, part);
            pl_buf_text(out, last ? "" : "/");
        }
    }
}

/* The path of the base up to its last slash, with the reference behind. */
static struct pl_str merge(struct pl_arena *arena, const struct uri *base, struct pl_str path)
{
    size_t keep = base->path.len;
    char *merged;

    while (keep > 0 && base->path.ptr[keep - 1] != '/')
        keep--;
    merged =
        pl_arena_printf(arena, "%s%.*s%.*s", base->authority.ptr && base->path.len == 0 ? "/" : "",
                        (int)keep, keep ? base->path.ptr : "", PL_STR_ARG(path));
    return pl_str(merged);
}

struct pl_str schema_uri_resolve(struct pl_arena *arena, struct pl_str base_text,
                                 struct pl_str reference)
{
    const struct uri base = take_apart(base_text), ref = take_apart(reference);
    struct uri target = {.scheme = base.scheme, .authority = base.authority, .query = ref.query};
    struct pl_str resolved = {0};
    struct pl_buf out;

    pl_buf_init(&out, base_text.len + reference.len + 1);
    if (ref.scheme.ptr || ref.authority.ptr) {
        target.scheme = ref.scheme.ptr ? ref.scheme : base.scheme;
        target.authority = ref.authority;
        target.path = ref.path;
    } else if (ref.path.len == 0) {
        target.path = base.path;
        target.query = ref.query.ptr ? ref.query : base.query;
    } else {
        target.path = ref.path.ptr[0] == '/' ? ref.path : merge(arena, &base, ref.path);
    }
    pl_buf_str(&out, target.scheme);
    pl_buf_str(&out, target.authority);
    write_path(&out, target.path);
    pl_buf_str(&out, target.query);
    if (pl_buf_failed(&out))
        (void)pl_arena_alloc_array(arena, SIZE_MAX, 2); /* the arena carries it to the caller */
    else
        resolved = pl_arena_str(arena, pl_buf_view(&out));
    pl_buf_finish(&out);
    return resolved;
}

struct pl_str schema_uri_split(struct pl_str reference, struct pl_str *ret_fragment)
{
    size_t hash = until(reference, "#");

    *ret_fragment = (struct pl_str){0};
    if (hash < reference.len)
        *ret_fragment = pl_str_n(reference.ptr + hash + 1, reference.len - hash - 1);
    return pl_str_n(reference.ptr, hash);
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

bool schema_uri_decode(struct pl_arena *arena, struct pl_str fragment, struct pl_str *ret)
{
    char *out = pl_arena_alloc(arena, fragment.len + 1);
    size_t len = 0;

    for (size_t i = 0; out && i < fragment.len; i++) {
        int high, low;

        out[len++] = fragment.ptr[i];
        if (fragment.ptr[i] != '%')
            continue;
        if (fragment.len - i < 3)
            return false;
        high = hex_digit(fragment.ptr[i + 1]);
        low = hex_digit(fragment.ptr[i + 2]);
        if (high < 0 || low < 0 || high + low == 0)
            return false;
        out[len - 1] = (char)(high * 16 + low);
        i += 2;
    }
    *ret = pl_str_n(out, out ? len : 0);
    return true;
}

void schema_uri_write_key(struct pl_buf *out, struct pl_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (c == '~')
            pl_buf_text(out, "~0");
        else if (c == '/')
            pl_buf_text(out, "~1");
        else if (is_letter(c) || is_digit(c) || (c && strchr("-._!$&'()*+,;=:@?", c)))
            pl_buf_char(out, c);
        else
            pl_buf_printf(out, "%%%02X", (unsigned char)c);
    }
}
