/* framing.h - is this head of a request one that every server in front would read the same way? Not
 * parsing (libmicrohttpd has done it) and not routes. Pure functions, called by request.c before
 * any byte of a body is looked at. What it refuses, and why, stands in docs/http.md. */
#ifndef PLAIT_API_FRAMING_H
#define PLAIT_API_FRAMING_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    FRAMING_TARGET_MAX = 8 << 10, /* bytes; more: 414 */
    FRAMING_HEADERS_MAX = 100,    /* lines; more: 431 */
    FRAMING_BYTES_MAX = 10 << 10, /* of all headers; more: 431 */
};

struct framing_header {
    struct pl_str name, value;
};

struct framing_head {
    struct pl_str method, target, version;
    const struct framing_header *headers;
    size_t count; /* more than FRAMING_HEADERS_MAX: refused, whatever they are */
};

/* What the head says of the body and the name. */
struct framing_facts {
    bool chunked, has_length, expect_continue;
    uint64_t length;
    struct pl_str host; /* of the Host header, borrowed */
    struct pl_str origin;
};

/* Errors: INVALID_ARGUMENT (400), TARGET_TOO_LONG (414), HEADERS_TOO_LARGE (431), TOO_LARGE (413:
 * the length has no number). */
enum pl_code framing_check(const struct framing_head *head, struct framing_facts *ret_facts,
                           struct pl_err *err) PL_MUST_CHECK;

/* Splits a target into a decoded path and a raw query (absent when there is no '?'). Refuses what
 * is read in two ways: no '/' in front, bytes outside printable ASCII, %00, %2f, %5c, a backslash,
 * dot segments, bad escapes, a fragment. Errors: INVALID_ARGUMENT, NO_MEMORY. */
enum pl_code framing_split_target(struct pl_arena *arena, struct pl_str target,
                                  struct pl_str *ret_path, struct pl_str *ret_query,
                                  struct pl_err *err) PL_MUST_CHECK;

/* Undoes %XX, and '+' in a query. The result is UTF-8 without controls. Errors: as above. */
enum pl_code framing_decode(struct pl_arena *arena, struct pl_str text, bool plus,
                            struct pl_str *ret_text, struct pl_err *err) PL_MUST_CHECK;

/* Is it a name or number of this machine: localhost, *.localhost, 127.0.0.0/8, [::1], with any
 * port? */
bool framing_host_is_loopback(struct pl_str host);
/* The same for "http://HOST:PORT". */
bool framing_origin_is_loopback(struct pl_str origin);

#endif
