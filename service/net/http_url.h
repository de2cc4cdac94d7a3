/* http_url.h - URLs as text: where one leads (its origin) and where a redirect leads from there.
 * Not which addresses may be called (net_policy.h judges those, when they are known) and not
 * requests. Used by the http step, by secrets and by configuration; any thread.
 *
 * The same parser as the one that calls: libcurl's. Two parsers that disagree about where a host
 * ends would let a secret go elsewhere. */
#ifndef PLAIT_SERVICE_NET_HTTP_URL_H
#define PLAIT_SERVICE_NET_HTTP_URL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* Scheme, host and port: what a secret is bound to. Texts in the arena it was made with. */
struct http_origin {
    struct pl_str scheme; /* "http" or "https" */
    struct pl_str host;   /* lower case; an IPv6 address in brackets */
    struct pl_str port;   /* decimal, also where the URL has none */
};

/* The origin of an http or https URL. Errors: INVALID_ARGUMENT (no such URL, a user name in it),
 * NO_MEMORY. */
enum pl_code http_url_origin(struct pl_arena *arena, struct pl_str url,
                             struct http_origin *ret_origin, struct pl_err *err) PL_MUST_CHECK;

/* The same, and nothing behind the port but a slash: what an operator writes in a list of origins.
 * Errors: as http_url_origin. */
enum pl_code http_url_only_origin(struct pl_arena *arena, struct pl_str url,
                                  struct http_origin *ret_origin, struct pl_err *err) PL_MUST_CHECK;

/* All three the same. */
bool http_origin_same(const struct http_origin *a, const struct http_origin *b);

/* Where a `Location` leads that came in answer to `base`: an absolute http or https URL, NUL
 * behind, without fragment. Errors: INVALID_ARGUMENT (another scheme, a user name, no URL),
 * NO_MEMORY. */
enum pl_code http_url_resolve(struct pl_arena *arena, struct pl_str base, struct pl_str location,
                              struct pl_str *ret_url, struct pl_err *err) PL_MUST_CHECK;

#endif
