/* http_outcome.h - what curl says of an ended transfer, as an error of Plait's. Not retries. Used
 * by http_call.c. */
#ifndef PLAIT_SERVICE_NET_HTTP_OUTCOME_H
#define PLAIT_SERVICE_NET_HTTP_OUTCOME_H

#include "base/err.h"
#include "base/str.h"

#include <curl/curl.h>

/* An ended transfer. */
struct http_ending {
    CURLcode result;
    const char *words; /* curl's error buffer, may be "" */
    struct pl_str url;
    bool sent;    /* a connection stood and the request went out */
    bool head;    /* the answer's headers were whole */
    bool began;   /* a byte of the answer came */
    int os_error; /* errno of the failed connect, 0: unknown */
};

/* Fills `err`; PL_OK for a whole answer. */
void http_outcome_of(const struct http_ending *ending, struct pl_err *err);

enum { HTTP_HOST_TEXT = 128 };
/* "host:port" of a URL as it is written there, for messages: no user, path or query, cut when long.
 * Returns `out`. */
const char *http_outcome_host(struct pl_str url, char out[HTTP_HOST_TEXT]);

#endif
