/* negotiate.c - request headers read into plain values. See negotiate.h. */
#include "api/handlers/negotiate.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct pl_str trim(struct pl_str text)
{
    while (text.len && is_blank(text.ptr[0]))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool same_word(struct pl_str a, const char *word)
{
    return a.len == strlen(word) && strncasecmp(a.ptr, word, a.len) == 0;
}

/* The next part of `*text` up to `separator` that is not within quotes, without the white space
 * around it; false at the end. */
static bool next_part(struct pl_str *text, char separator, struct pl_str *ret_part)
{
    bool quoted = false;
    size_t at = 0;

    if (!text->ptr)
        return false;
    for (; at < text->len; at++) {
        char c = text->ptr[at];

        if (quoted && c == '\\' && at + 1 < text->len)
            at++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == separator && !quoted)
            break;
    }
    *ret_part = trim(pl_str_n(text->ptr, at));
    *text = at < text->len ? pl_str_n(text->ptr + at + 1, text->len - at - 1) : (struct pl_str){0};
    return true;
}

/* "name=value" taken apart; the value is empty when there is none, and without its quotes. */
static struct pl_str split_pair(struct pl_str part, struct pl_str *ret_value)
{
    const char *equals = part.len ? memchr(part.ptr, '=', part.len) : NULL;
    struct pl_str name = part, value = {0};

    if (equals) {
        name = trim(pl_str_n(part.ptr, (size_t)(equals - part.ptr)));
        value = trim(pl_str_n(equals + 1, part.len - (size_t)(equals + 1 - part.ptr)));
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = pl_str_n(value.ptr + 1, value.len - 2);
    }
    *ret_value = value;
    return name;
}

/* A decimal number with at most three digits behind the point that count, in thousandths; -1 when
 * it is none. Large ones stay at `max`. */
static int64_t thousandths(struct pl_str text, int64_t max)
{
    int64_t number = 0, scale = 100;
    size_t at = 0;

    for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
        number = number > max ? number : number * 10 + (text.ptr[at] - '0');
    if (at == 0)
        return -1;
    number = number > max / 1000 ? max : number * 1000;
    if (at < text.len && text.ptr[at] == '.') {
        for (at++; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++) {
            number += (text.ptr[at] - '0') * scale;
            scale /= 10;
        }
    }
    if (at < text.len)
        return -1;
    return number > max ? max : number;
}

/* ---- Accept ---- */

struct offer {
    int64_t quality; /* thousandths; -1: not named */
    size_t place;    /* among the ranges of the header */
};

static int64_t quality_of(struct pl_str parameters)
{
    struct pl_str part, value;

    while (next_part(&parameters, ';', &part))
        if (same_word(split_pair(part, &value), "q")) {
            int64_t quality = thousandths(value, 1000);
            return quality < 0 ? 1000 : quality;
        }
    return 1000;
}

static bool better(const struct offer *a, const struct offer *b)
{
    if (a->quality != b->quality)
        return a->quality > b->quality;
    return a->place < b->place;
}

enum media negotiate_accept(struct pl_str accept, enum media fallback)
{
    static const char *const names[] = {
        [MEDIA_JSON] = "application/json",
        [MEDIA_SSE] = "text/event-stream",
        [MEDIA_NDJSON] = "application/x-ndjson",
    };
    struct offer named[PL_ARRAY_LEN(names)] = {{-1, 0}, {-1, 0}, {-1, 0}};
    int64_t any = -1;
    enum media best = fallback;
    struct pl_str range;
    size_t place = 0;

    while (next_part(&accept, ',', &range)) {
        struct pl_str type;
        int64_t quality;

        if (!next_part(&range, ';', &type))
            continue;
        quality = quality_of(range);
        place++;
        if (same_word(type, "*/*"))
            any = quality;
        for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
            if (same_word(type, names[i]) && named[i].quality < 0)
                named[i] = (struct offer){quality, place};
    }
    /* what a wildcard covers comes after what is named with the same quality */
    if (named[fallback].quality < 0)
        named[fallback] = (struct offer){any, SIZE_MAX};
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        if (named[i].quality > 0 && better(&named[i], &named[best]))
            best = (enum media)i;
    return best;
}

/* ---- Prefer ---- */

struct preferences negotiate_prefer(struct pl_str prefer)
{
    struct preferences found = {0};
    struct pl_str part, first, value;

    while (next_part(&prefer, ',', &part)) {
        struct pl_str name;

        if (!next_part(&part, ';', &first))
            continue;
        name = split_pair(first, &value);
        if (same_word(name, "respond-async")) {
            found.respond_async = true;
        } else if (same_word(name, "wait") && !found.has_wait) {
            int64_t wait = thousandths(value, NEGOTIATE_WAIT_MAX_MS);

            found.has_wait = wait >= 0;
            found.wait = wait >= 0 ? wait : 0;
        }
    }
    return found;
}

/* ---- Content-Type ---- */

enum doc_format negotiate_format(struct pl_str content_type)
{
    struct pl_str type;
    size_t len;

    if (!next_part(&content_type, ';', &type))
        return DOC_JSON;
    for (len = type.len;
         len && type.ptr[len - 1] != '/' && type.ptr[len - 1] != '+' && type.ptr[len - 1] != '-';
         len--)
        ;
    return same_word(pl_str_n(type.ptr + len, type.len - len), "yaml") ? DOC_YAML : DOC_JSON;
}

/* ---- Idempotency-Key ---- */

static bool is_visible(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

/* The inside of a quoted string: printable ASCII, \" and \\. */
static bool unquote(struct pl_str inner, char *out, size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < inner.len; i++) {
        char c = inner.ptr[i];

        if (c == '\\') {
            if (++i == inner.len || (inner.ptr[i] != '"' && inner.ptr[i] != '\\'))
                return false;
            c = inner.ptr[i];
        } else if (c == '"' || c < ' ' || c > '~') {
            return false;
        }
        out[len++] = c;
    }
    *ret_len = len;
    return true;
}

enum pl_code negotiate_key(struct pl_arena *arena, struct pl_str header, struct pl_str *ret_key,
                           struct pl_err *err)
{
    struct pl_str text = trim(header);
    size_t len = text.len;
    char *key;
    bool ok;

    if (!header.ptr) {
        *ret_key = (struct pl_str){0};
        return PL_OK;
    }
    key = pl_arena_alloc(arena, text.len + 1);
    if (!key)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
        ok = unquote(pl_str_n(text.ptr + 1, text.len - 2), key, &len);
    } else {
        ok = is_visible(text) && (!text.len || !memchr(text.ptr, '"', text.len));
        if (ok && text.len)
            memcpy(key, text.ptr, text.len);
    }
    if (!ok || len == 0 || len > NEGOTIATE_KEY_MAX)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "Idempotency-Key: write 1 to %d visible ASCII characters, in quotes or "
                          "without",
                          NEGOTIATE_KEY_MAX);
    *ret_key = pl_str_n(key, len);
    return PL_OK;
}
