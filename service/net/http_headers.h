/* http_headers.h - header lines, in and out, as text. Not transfers (http_call.c). Used by
 * http_call.c and its tests. */
#ifndef PLAIT_SERVICE_NET_HTTP_HEADERS_H
#define PLAIT_SERVICE_NET_HTTP_HEADERS_H

#include "service/net/http_call.h"

#include <curl/curl.h>

/* Bytes that http_headers_write needs for a request; 0 when a header has a CR, LF or NUL, its name
 * is no token or it is too large: then `err` says so (INVALID_ARGUMENT). */
size_t http_headers_size(const struct http_request *request, struct pl_err *err);
/* Writes the request's header lines as curl wants them into `memory` (aligned for pointers,
 * http_headers_size bytes): the list's nodes and behind them the text. Nothing to free but the
 * memory. */
struct curl_slist *http_headers_write(const struct http_request *request, void *memory);

/* The value of a header in lines that each end in LF, name in any case; absent: empty. Borrowed
 * from `lines`. */
struct pl_str http_headers_find(struct pl_str lines, const char *name);

/* Milliseconds to wait by the values of retry-after-ms and Retry-After (either may be absent); -1:
 * neither says. A date in the past is 0. */
pl_ms http_headers_retry_after(struct pl_str retry_after_ms, struct pl_str retry_after, pl_ms now);

#endif
