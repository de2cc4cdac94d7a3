/* http_url.c - origins and redirects by libcurl's own URL parser. See http_url.h. */
#include "service/net/http_url.h"

#include <curl/curl.h>
#include <strings.h>

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static enum pl_code bad(CURLUcode code, struct pl_err *err)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return no_memory(err);
    if (code == CURLUE_USER_NOT_ALLOWED)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL has a user name in it");
    if (code == CURLUE_UNSUPPORTED_SCHEME)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "only http and https URLs can be called");
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL is not valid: %s",
                      curl_url_strerror(code));
}

/* A part, copied; empty when the URL has none. */
static enum pl_code part(struct pl_arena *arena, CURLU *url, CURLUPart what, unsigned flags,
                         struct pl_str *ret_text, struct pl_err *err)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(url, what, &text, flags);

    if (code == CURLUE_OUT_OF_MEMORY)
        return no_memory(err);
    *ret_text = (struct pl_str){0};
    if (code != CURLUE_OK)
        return PL_OK;
    *ret_text = pl_arena_str(arena, pl_str(text));
    curl_free(text);
    return pl_arena_failed(arena) ? no_memory(err) : PL_OK;
}

static enum pl_code check_scheme(CURLU *url, struct pl_arena *arena, struct pl_str *ret_scheme,
                                 struct pl_err *err)
{
    enum pl_code code = part(arena, url, CURLUPART_SCHEME, 0, ret_scheme, err);

    if (code == PL_OK && strcasecmp(ret_scheme->len ? ret_scheme->ptr : "", "http") != 0 &&
        strcasecmp(ret_scheme->len ? ret_scheme->ptr : "", "https") != 0)
        return bad(CURLUE_UNSUPPORTED_SCHEME, err);
    return code;
}

/* Controls have no place in a URL, and NUL would end it for the parser alone. */
static bool has_control(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static enum pl_code parse(struct pl_arena *arena, struct pl_str text, unsigned flags, CURLU *url,
                          struct pl_err *err)
{
    const char *copy;
    CURLUcode code;

    if (has_control(text))
        return bad(CURLUE_MALFORMED_INPUT, err);
    copy = pl_arena_printf(arena, "%.*s", PL_STR_ARG(text));
    if (!copy)
        return no_memory(err);
    code = curl_url_set(url, CURLUPART_URL, copy, CURLU_DISALLOW_USER | flags);
    return code == CURLUE_OK ? PL_OK : bad(code, err);
}

static enum pl_code read_origin(struct pl_arena *arena, CURLU *url, struct http_origin *origin,
                                struct pl_err *err)
{
    enum pl_code code = check_scheme(url, arena, &origin->scheme, err);

    if (code == PL_OK)
        code = part(arena, url, CURLUPART_HOST, 0, &origin->host, err);
    if (code == PL_OK)
        code = part(arena, url, CURLUPART_PORT, CURLU_DEFAULT_PORT, &origin->port, err);
    if (code == PL_OK && (!origin->host.len || !origin->port.len))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL has no host");
    return code;
}

enum pl_code http_url_origin(struct pl_arena *arena, struct pl_str text,
                             struct http_origin *ret_origin, struct pl_err *err)
{
    struct http_origin origin = {0};
    CURLU *url = curl_url();
    enum pl_code code = url ? parse(arena, text, 0, url, err) : no_memory(err);

    if (code == PL_OK)
        code = read_origin(arena, url, &origin, err);
    if (code == PL_OK)
        *ret_origin = origin;
    curl_url_cleanup(url);
    return code;
}

enum pl_code http_url_only_origin(struct pl_arena *arena, struct pl_str text,
                                  struct http_origin *ret_origin, struct pl_err *err)
{
    struct http_origin origin = {0};
    struct pl_str path = {0}, query = {0}, fragment = {0};
    CURLU *url = curl_url();
    enum pl_code code = url ? parse(arena, text, 0, url, err) : no_memory(err);

    if (code == PL_OK)
        code = read_origin(arena, url, &origin, err);
    if (code == PL_OK)
        code = part(arena, url, CURLUPART_PATH, 0, &path, err);
    if (code == PL_OK)
        code = part(arena, url, CURLUPART_QUERY, 0, &query, err);
    if (code == PL_OK)
        code = part(arena, url, CURLUPART_FRAGMENT, 0, &fragment, err);
    if (code == PL_OK && (path.len > 1 || query.len || fragment.len))
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "an origin ends behind its host and port; remove the path");
    if (code == PL_OK)
        *ret_origin = origin;
    curl_url_cleanup(url);
    return code;
}

static bool same_text(struct pl_str a, struct pl_str b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

bool http_origin_same(const struct http_origin *a, const struct http_origin *b)
{
    return same_text(a->scheme, b->scheme) && same_text(a->host, b->host) &&
           same_text(a->port, b->port);
}

enum pl_code http_url_resolve(struct pl_arena *arena, struct pl_str base, struct pl_str location,
                              struct pl_str *ret_url, struct pl_err *err)
{
    struct pl_str whole = {0};
    struct http_origin origin;
    CURLU *url = curl_url();
    enum pl_code code = url ? parse(arena, base, 0, url, err) : no_memory(err);

    /* relative to what it is set to; a space in it is a mistake that is often made */
    if (code == PL_OK)
        code = parse(arena, location, CURLU_URLENCODE, url, err);
    if (code == PL_OK)
        code = read_origin(arena, url, &origin, err);
    if (code == PL_OK && curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
        code = no_memory(err);
    if (code == PL_OK)
        code = part(arena, url, CURLUPART_URL, 0, &whole, err);
    if (code == PL_OK && !whole.len)
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL is empty");
    if (code == PL_OK)
        *ret_url = whole;
    curl_url_cleanup(url);
    return code;
}
