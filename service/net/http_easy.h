/* http_easy.h - curl's easy handles, kept between calls and set up for a request with as few
 * changes as it takes. Not transfers (http_call.c) and not multi handles (http_multi.c). Loop
 * thread only. */
#ifndef PLAIT_SERVICE_NET_HTTP_EASY_H
#define PLAIT_SERVICE_NET_HTTP_EASY_H

#include "base/list.h"
#include "service/net/http_call.h"

#include <curl/curl.h>

struct http_multis;

/* What curl calls during a transfer; each gets the http_easy as its last argument. The same for all
 * calls. */
struct http_easy_hooks {
    curl_write_callback header, write;
    curl_opensocket_callback open_socket;
    curl_prereq_callback ready;
    curl_xferinfo_callback progress; /* not of streams */
};

/* One easy handle. CURLINFO_PRIVATE is this. */
struct http_easy {
    struct http_easy *next; /* while idle */
    struct pl_list carried; /* while in a multi handle: its list */
    CURL *curl;
    struct http_call *call; /* whose it is */
    /* what the handle is set to */
    char *url;
    char method[24];     /* "" when unknown */
    const char *ca_file; /* as in http_request */
    bool sends_body, decodes, fresh;
    char error[CURL_ERROR_SIZE]; /* curl's own words on the last failure */
};

/* The idle handles of a loop, the last used first: it is the warmest. */
struct http_easy_pool {
    struct http_easy *idle;
    unsigned count;
};

/* One of the pool or a new one; NULL when out of memory. `multis` hears of its closed sockets. */
struct http_easy *http_easy_take(struct http_easy_pool *pool, const struct http_easy_hooks *hooks,
                                 struct http_multis *multis);
void http_easy_give_back(struct http_easy_pool *pool, struct http_easy *easy);
/* Frees idle handles until `keep` are left. */
void http_easy_trim(struct http_easy_pool *pool, unsigned keep);

/* Sets the handle to the request; `headers` as http_headers_write made them, alive until the
 * transfer has ended. Errors: INVALID_ARGUMENT (method, URL), NO_MEMORY. */
enum pl_code http_easy_set(struct http_easy *easy, const struct http_request *request,
                           struct curl_slist *headers, struct pl_err *err) PL_MUST_CHECK;
/* The next transfer opens a connection of its own. */
void http_easy_set_fresh(struct http_easy *easy);

#endif
