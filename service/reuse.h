/* reuse.h - answers of model calls used again, and one call for all who ask the same at the same
 * time. Not what "the same" is (llm/llm_digest.h), nor the calls (run_calls.c, run_reuse.c, which
 * ask here before they send anything). One an engine.
 *
 * Who asks is answered from memory, or waits for the store to be looked at (on a thread of its
 * own), or for the one who asked the same before: the leader, who makes the call. When the leader's
 * answer is good, all who wait have it, and it is kept until its time is over; when it is not, or
 * the leader leaves, the next one who waits leads. A leader whose turn at the provider has not come
 * pauses, so that not all who wait behind it take a place in the provider's queue as well. Where
 * three leaders in a row have failed the rest wait for nobody any more: one after the other would
 * take as long as all of them. What is kept is found by others once it is durable. */
#ifndef PLAIT_SERVICE_REUSE_H
#define PLAIT_SERVICE_REUSE_H

#include "base/list.h"
#include "service/net/loop.h"
#include "service/reuse_memory.h"
#include "service/steps/step_result.h"

struct reuse;
struct store;
struct reuse_flight;

/* One who asks, in the caller's memory, zeroed before first use. The private members are guarded by
 * the reuse's lock. */
struct reuse_ticket {
    struct loop *home; /* set once: where `told` is called */
    void (*told)(struct reuse_ticket *ticket);
    bool answered; /* after told: the answer is there, and the caller's to finish */
    struct store_cached answer;

    struct loop_mail mail; /* private, to the end */
    struct reuse *reuse;
    struct reuse_flight *flight;
    struct pl_list link;
    bool leads, alone, mailed;
};

/* What is asked for. */
struct reuse_request {
    struct pl_str tenant;
    const unsigned char *digest; /* LLM_DIGEST_BYTES of it */
    pl_ms ttl;                   /* how old an answer may be, and how long this one is kept */
    pl_ms now;
};

enum reuse_turn {
    REUSE_ANSWERED, /* ticket->answered */
    REUSE_CALLS,    /* make the call, and settle or leave */
    REUSE_LOOKS,    /* `told` comes: the store is asked, soon it is known which of the two */
    REUSE_FOLLOWS,  /* the same, once the call of another one is over */
};

/* The store must outlive reuse_stop; `clock` is read for what has expired. NULL when out of memory,
 * or a thread cannot be started. */
struct reuse *reuse_create(struct store *store, const struct pl_clock *clock);
/* The store is read and given nothing more. No ticket is in use. Accepts NULL. */
void reuse_stop(struct reuse *reuse);
/* After the store is closed. Nulls; accepts NULL; stops. */
void reuse_destroy(struct reuse **reuse);

/* Home loop. Asked again by one who was told to call, it says so again. */
enum reuse_turn reuse_ask(struct reuse *reuse, struct reuse_ticket *ticket,
                          const struct reuse_request *request);
/* Home loop. How the call went of one who was to make it; the result stays the caller's. One who
 * is nobody's leader, or never asked: nothing happens. */
void reuse_settle(struct reuse_ticket *ticket, const struct step_result *result, pl_ms now);
/* Home loop. A leader may not call now and asks again later, with this ticket or another: until
 * then those who wait go on waiting, for a moment at most; then one of them leads. */
void reuse_pause(struct reuse_ticket *ticket);
/* Home loop. Does not want it any more, waiting or leading; again is nothing. True: `told` is still
 * to come, until then the ticket must live. What it was answered and did not take is released. */
bool reuse_leave(struct reuse_ticket *ticket);

#endif
