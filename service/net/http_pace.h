/* http_pace.h - how many calls a loop begins in one turn. Not a limit on how many are under way,
 * and not the line in front of a name (http_names.h). Used by http_call.c; loop thread only.
 *
 * A loop that began ten thousand calls in one go would open ten thousand connections before it
 * looked at the first answer. Begun in slices, with a look at what has come between two of them,
 * the later calls find connections that the earlier ones are done with, and one of those costs half
 * of a new one. Nothing waits for the network here: while calls are in line the loop does not
 * sleep. */
#ifndef PLAIT_SERVICE_NET_HTTP_PACE_H
#define PLAIT_SERVICE_NET_HTTP_PACE_H

#include "base/list.h"
#include "service/net/loop.h"

enum {
    HTTP_PACE_SLICE = 64,   /* calls a turn; about 4 ms of work when each opens a connection */
    HTTP_PACE_AT_ONCE = 32, /* of these, calls that came in the same turn and pass the line */
};

/* Embedded in a call; zero when it is not in line. */
struct http_pace_place {
    struct pl_list node;
};

struct http_pace {
    struct loop *loop;
    struct pl_list line; /* oldest first */
    struct loop_mail mail;
    uint64_t turn; /* that `begun` counts */
    unsigned begun;
    bool mail_queued;
    void (*begin)(struct http_pace_place *place);
};

/* `begin` is called for each call that had to wait, never inside http_pace_enter. */
void http_pace_init(struct http_pace *pace, struct loop *loop,
                    void (*begin)(struct http_pace_place *place));
/* Nobody may be in line any more. */
void http_pace_finish(struct http_pace *pace);

/* True when a call may begin now; false when it was put in line. */
bool http_pace_enter(struct http_pace *pace, struct http_pace_place *place);
/* Puts it in line at once: a call that may not begin where it is asked for. */
void http_pace_wait(struct http_pace *pace, struct http_pace_place *place);
/* The call has ended in line; nothing for one that is in none. */
void http_pace_leave(struct http_pace_place *place);

#endif
