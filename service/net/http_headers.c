/* http_headers.c - header lines as text: what may be sent, how curl wants it, finding one that
 * came, retry hints. Not transfers. Called by http_call.c; http_header_ok by the http step and by
 * configuration. */
#include "service/net/http_headers.h"

#include "base/limits.h"

#include <stdlib.h>
#include <strings.h>

static bool is_token(struct pl_str text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c && strchr(marks, c))))
            return false;
    }
    return text.len > 0;
}

/* Visible text, spaces, tabs and bytes from 128 up, which are UTF-8 to most servers. */
static bool is_value(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool same_name(struct pl_str name, const char *other)
{
    return name.len == strlen(other) && strncasecmp(name.ptr, other, name.len) == 0;
}

bool http_header_ok(struct pl_str name, struct pl_str value)
{
    /* these decide where a request goes and where it ends, or belong to one hop */
    static const char *const ours[] = {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
    };

    if (!is_token(name) || !is_value(value))
        return false;
    for (size_t i = 0; i < PL_ARRAY_LEN(ours); i++) {
        if (same_name(name, ours[i]))
            return false;
    }
    return true;
}

/* No Expect: curl would wait up to a second with a body over 1 MiB. And no Content-Type that the
 * caller did not write. */
static const char *const no_expect = "Expect:", *const no_type = "Content-Type:";

static bool has_type(const struct http_request *request)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (same_name(request->headers[i].name, "content-type"))
            return true;
    }
    return false;
}

/* Newer curl drops a header that is too large for it without a word. */
static bool may_be_sent(const struct http_header *header, struct pl_err *err)
{
    enum { NAME_TOLD = 64 };

    if (!is_token(header->name) || !is_value(header->value))
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                   "a header has characters in it that may not be sent");
    else if (header->name.len + header->value.len > PL_LIMIT_SENT_HEADER_BYTES)
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the header %.*s is larger than %d bytes",
                   header->name.len < NAME_TOLD ? (int)header->name.len : NAME_TOLD,
                   header->name.ptr, PL_LIMIT_SENT_HEADER_BYTES);
    else
        return true;
    return false;
}

size_t http_headers_size(const struct http_request *request, struct pl_err *err)
{
    const size_t nodes = (request->n_headers + 2) * sizeof(struct curl_slist);
    size_t text = 0, told = 0;

    for (size_t i = 0; i < request->n_headers; i++) {
        const struct http_header *header = &request->headers[i];

        if (!may_be_sent(header, err))
            return 0;
        told += header->name.len + header->value.len;
        text += header->name.len + header->value.len + sizeof ": ";
    }
    if (told > PL_LIMIT_SENT_HEADERS_BYTES) {
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                   "the headers of the request are larger than %d bytes together",
                   PL_LIMIT_SENT_HEADERS_BYTES);
        return 0;
    }
    return nodes + text + strlen(no_expect) + 1 + strlen(no_type) + 1;
}

static char *write_text(char *out, const char *text, size_t len)
{
    if (len)
        memcpy(out, text, len);
    return out + len;
}

struct curl_slist *http_headers_write(const struct http_request *request, void *memory)
{
    struct curl_slist *nodes = memory, *node = nodes;
    char *text = (char *)(nodes + request->n_headers + 2);

    for (size_t i = 0; i < request->n_headers; i++, node++) {
        const struct http_header *header = &request->headers[i];

        node->data = text;
        node->next = node + 1;
        text = write_text(text, header->name.ptr, header->name.len);
        if (header->value.len) {
            text = write_text(text, ": ", 2);
            text = write_text(text, header->value.ptr, header->value.len);
        } else {
            *text++ = ';'; /* curl's way to write a header without a value; a colon would drop it */
        }
        *text++ = '\0';
    }
    node->data = text;
    node->next = NULL;
    text = write_text(text, no_expect, strlen(no_expect) + 1);
    if (!has_type(request)) {
        node->next = node + 1;
        node[1].data = text;
        node[1].next = NULL;
        write_text(text, no_type, strlen(no_type) + 1);
    }
    return nodes;
}

static struct pl_str trim(struct pl_str text)
{
    while (text.len && strchr(" \t\r\n", text.ptr[0]) && text.ptr[0])
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && strchr(" \t\r\n", text.ptr[text.len - 1]) && text.ptr[text.len - 1])
        text.len--;
    return text;
}

struct pl_str http_headers_find(struct pl_str lines, const char *name)
{
    size_t len = strlen(name);

    while (lines.len) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t line = end ? (size_t)(end - lines.ptr) : lines.len;

        if (line > len && lines.ptr[len] == ':' && strncasecmp(lines.ptr, name, len) == 0)
            return trim(pl_str_n(lines.ptr + len + 1, line - len - 1));
        if (!end)
            break;
        lines = pl_str_n(end + 1, lines.len - line - 1);
    }
    return (struct pl_str){0};
}

/* A decimal number with or without a fraction, times `scale`, rounded up. False when it is another
 * thing or over ten years. */
static bool parse_wait(struct pl_str text, pl_ms scale, pl_ms *ret_wait)
{
    const pl_ms most = (pl_ms)10 * 366 * 86400 * 1000;
    pl_ms whole = 0, fraction = 0, unit = 1;
    size_t i = 0;

    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
        whole = whole * 10 + (text.ptr[i] - '0');
        if (whole > most)
            return false;
    }
    if (i == 0)
        return false;
    if (i < text.len && text.ptr[i] == '.') {
        for (i++; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
            if (unit < 1000000) {
                fraction = fraction * 10 + (text.ptr[i] - '0');
                unit *= 10;
            }
        }
    }
    if (i != text.len || whole > most / scale)
        return false;
    *ret_wait = whole * scale + (fraction * scale + unit - 1) / unit;
    return true;
}

static bool parse_date(struct pl_str text, pl_ms *ret_time)
{
    char copy[64];
    time_t seconds;

    /* an HTTP date begins with the day's name: curl also reads numbers as dates, which these are
     * not */
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) ||
        (text.ptr[0] >= '0' && text.ptr[0] <= '9'))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    seconds = curl_getdate(copy, NULL);
    if (seconds < 0 || seconds > INT64_MAX / 1000) /* it takes years of any length */
        return false;
    *ret_time = (pl_ms)seconds * 1000;
    return true;
}

pl_ms http_headers_retry_after(struct pl_str retry_after_ms, struct pl_str retry_after, pl_ms now)
{
    pl_ms wait;

    if (parse_wait(trim(retry_after_ms), 1, &wait))
        return wait;
    retry_after = trim(retry_after);
    if (parse_wait(retry_after, 1000, &wait))
        return wait;
    if (parse_date(retry_after, &wait))
        return wait > now ? wait - now : 0;
    return -1;
}
