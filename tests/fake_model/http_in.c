/* http_in.c - reads HTTP/1.1 requests. Not the answers. Called by serve.c. */
#include "tests/fake_model/http_in.h"

#include "base/json.h"

#include <stdlib.h>
#include <strings.h>

enum { HEAD_MAX = 256 << 10, BODY_MAX = 64 << 20 };

/* Takes the next header line off `*lines`; false at the end. */
static bool next_header(struct pl_str *lines, struct pl_str *ret_name, struct pl_str *ret_value)
{
    const char *end, *colon, *value;

    if (!lines->len)
        return false;
    end = memmem(lines->ptr, lines->len, "\r\n", 2);
    if (!end)
        end = lines->ptr + lines->len;
    colon = memchr(lines->ptr, ':', (size_t)(end - lines->ptr));
    *ret_name = pl_str_n(lines->ptr, (size_t)((colon ? colon : end) - lines->ptr));
    value = colon ? colon + 1 : end;
    while (value < end && *value == ' ')
        value++;
    *ret_value = pl_str_n(value, (size_t)(end - value));
    end = end + 2 < lines->ptr + lines->len ? end + 2 : lines->ptr + lines->len;
    *lines = pl_str_n(end, lines->len - (size_t)(end - lines->ptr));
    return true;
}

struct pl_str http_in_header(const struct http_in *request, const char *name)
{
    struct pl_str lines = request->headers, key, value;

    while (next_header(&lines, &key, &value)) {
        if (key.len == strlen(name) && strncasecmp(key.ptr, name, key.len) == 0)
            return value;
    }
    return (struct pl_str){0};
}

static bool request_line(struct pl_str line, struct http_in *request)
{
    const char *end = line.ptr + line.len;
    const char *space = memchr(line.ptr, ' ', line.len);
    const char *last, *mark;

    if (!space)
        return false;
    last = memchr(space + 1, ' ', (size_t)(end - space - 1));
    if (!last || (size_t)(end - last) < 9 || strncmp(last, " HTTP/1.", 8) != 0)
        return false;
    request->method = pl_str_n(line.ptr, (size_t)(space - line.ptr));
    request->path = pl_str_n(space + 1, (size_t)(last - space - 1));
    request->close = last[8] == '0';
    mark = memchr(request->path.ptr, '?', request->path.len);
    if (mark) {
        request->query = pl_str_n(mark + 1, (size_t)(last - mark - 1));
        request->path.len = (size_t)(mark - request->path.ptr);
    }
    return true;
}

enum http_in_state http_in_parse(struct pl_str bytes, struct http_in *ret_request)
{
    const char *head_end = bytes.len ? memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4) : NULL;
    const char *line_end;
    struct pl_str value;
    size_t head, body = 0;

    *ret_request = (struct http_in){0};
    if (!head_end)
        return bytes.len > HEAD_MAX ? HTTP_IN_BAD : HTTP_IN_PARTIAL;
    head = (size_t)(head_end - bytes.ptr) + 4;
    line_end = memmem(bytes.ptr, head, "\r\n", 2);
    if (!request_line(pl_str_n(bytes.ptr, (size_t)(line_end - bytes.ptr)), ret_request))
        return HTTP_IN_BAD;
    if (line_end < head_end)
        ret_request->headers = pl_str_n(line_end + 2, (size_t)(head_end - line_end - 2));
    value = http_in_header(ret_request, "content-length");
    if (value.len)
        body = (size_t)strtoull(value.ptr, NULL, 10);
    if (body > BODY_MAX || http_in_header(ret_request, "transfer-encoding").len)
        return HTTP_IN_BAD;
    value = http_in_header(ret_request, "connection");
    if (value.len == 5 && strncasecmp(value.ptr, "close", 5) == 0)
        ret_request->close = true;
    if (bytes.len - head < body) {
        ret_request->expects_continue = http_in_header(ret_request, "expect").len > 0;
        return HTTP_IN_PARTIAL;
    }
    ret_request->body = pl_str_n(bytes.ptr + head, body);
    ret_request->length = head + body;
    return HTTP_IN_WHOLE;
}

void http_in_write_json(const struct http_in *request, struct pl_buf *out)
{
    struct pl_str lines = request->headers, key, value;

    json_object_begin(out);
    json_add_string(out, "method", request->method);
    json_add_string(out, "path", request->path);
    json_add_string(out, "query", request->query);
    json_key(out, "headers");
    json_object_begin(out);
    while (next_header(&lines, &key, &value)) {
        char name[128];
        size_t len = key.len < sizeof(name) ? key.len : sizeof(name) - 1;

        for (size_t i = 0; i < len; i++)
            name[i] = (char)(key.ptr[i] >= 'A' && key.ptr[i] <= 'Z' ? key.ptr[i] + 32 : key.ptr[i]);
        name[len] = '\0';
        json_add_string(out, name, value);
    }
    json_object_end(out);
    json_add_string(out, "body", request->body);
    json_object_end(out);
}
