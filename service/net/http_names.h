/* http_names.h - which calls of a loop may look up a name now. Not a resolver and not a cache: curl
 * has both. Used by http_call.c; loop thread only.
 *
 * libcurl starts a thread for each call to a name that it does not have in its cache, so a thousand
 * calls to a new name at once would be a thousand threads. Here the first call to a name goes
 * alone, and each one that has its address lets two more go: by then the cache answers. Addresses
 * written as numbers, and localhost, need no thread and pass at once. */
#ifndef PLAIT_SERVICE_NET_HTTP_NAMES_H
#define PLAIT_SERVICE_NET_HTTP_NAMES_H

#include "base/list.h"
#include "base/str.h"

/* The names that are being looked up, each with the calls that wait for it. */
struct http_names {
    struct pl_list active;
};

/* Embedded in a call; zero when it is in no line. */
struct http_name_place {
    struct pl_list node; /* in the line, while it waits */
    struct http_name *name;
};

void http_names_init(struct http_names *names);
/* Nobody may be in a line any more. */
void http_names_finish(struct http_names *names);

/* True when a call to `url` may begin now; false when it has to wait until http_names_next gives it
 * out. */
bool http_names_enter(struct http_names *names, struct pl_str url, struct http_name_place *place);
/* The call has its address, or has ended. Ask http_names_next afterwards, until it gives NULL.
 * Nothing for one in no line. */
struct http_name *http_names_leave(struct http_name_place *place);
/* The next that may begin at a name that was left; NULL: none, and the name must not be used again.
 * Accepts NULL. */
struct http_name_place *http_names_next(struct http_name *name);

#endif
