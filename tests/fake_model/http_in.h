/* http_in.h - one HTTP/1.1 request taken out of a connection's bytes. Not a full server: bodies
 * need a Content-Length. Called by serve.c. */
#ifndef PLAIT_TESTS_FAKE_MODEL_HTTP_IN_H
#define PLAIT_TESTS_FAKE_MODEL_HTTP_IN_H

#include "base/buf.h"
#include "base/str.h"

struct http_in {
    struct pl_str method, path, query; /* borrowed from the bytes */
    struct pl_str headers;             /* the header lines, CRLF between them */
    struct pl_str body;
    size_t length; /* bytes the request takes */
    bool close, expects_continue;
};

enum http_in_state {
    HTTP_IN_WHOLE,
    HTTP_IN_PARTIAL, /* more must come; expects_continue is set when the client waits to be asked */
    HTTP_IN_BAD,
};

enum http_in_state http_in_parse(struct pl_str bytes, struct http_in *ret_request);

/* A header's value by lower-case name, empty when absent. */
struct pl_str http_in_header(const struct http_in *request, const char *name);

/* The request as a JSON object: method, path, query, headers (lower case), body. */
void http_in_write_json(const struct http_in *request, struct pl_buf *out);

#endif
