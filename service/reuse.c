/* reuse.c - see reuse.h. One lock over flights, tickets and memory: held for a few list operations,
 * mail is posted under it and nothing else called.
 *
 * A flight is what tickets with the same request wait for:
 *   LOOKING  the thread reads the store; all who asked wait
 *   FLYING   one leads and calls; the others wait
 *   PAUSED   the leader could not call yet; who asks next leads, else one of those who wait
 *   STORING  it went well, all were told; who comes now waits for the commit
 * and is gone when nobody needs it. */
#include "service/reuse.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sync.h"
#include "service/llm/llm_digest.h"
#include "storage/store.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 1024,
    LEADERS = 3,            /* so many fail in a row, then nobody waits for the next */
    PRUNE_FIRST_MS = 60000, /* what has expired goes though nothing new is kept: */
    PRUNE_EVERY_MS = 600000,
    PAUSE_MS = 1000, /* a leader that paused and does not come back is waited for so long */
    HEX = 2 * REUSE_KEY_BYTES + 1,
};

enum flight_state { LOOKING, FLYING, PAUSED, STORING };

struct reuse_flight {
    struct pl_list bucket; /* guarded by lock */
    struct pl_list lookup; /* the same: among lookups, or paused */
    struct reuse *reuse;
    struct reuse_key key;
    char hex[HEX];
    pl_ms ttl, asked_at;
    enum flight_state state;     /* guarded by lock, to the end */
    struct pl_list waiting;      /* of reuse_ticket.link, oldest first */
    struct reuse_ticket *leader; /* FLYING */
    unsigned failures;           /* leaders in a row */
    int64_t paused_until;        /* PAUSED: of the monotonic clock */
    struct store_cached answer;  /* STORING */
    struct pl_str tenant;        /* behind the struct */
};

struct reuse {
    struct store *store;          /* set once */
    const struct pl_clock *clock; /* set once */
    pthread_t thread;             /* set once */
    bool stopped;                 /* its owner only */
    struct pl_mutex lock;
    struct pl_cond wake;
    bool closing;           /* guarded by lock, to the end */
    struct pl_list lookups; /* of reuse_flight.lookup */
    struct pl_list paused;  /* the same, the first to be over first */
    struct pl_list flights[BUCKETS];
    struct reuse_memory *memory;
};

/* ---- telling ---- */

static void deliver(struct loop *loop, struct loop_mail *mail)
{
    struct reuse_ticket *ticket = pl_container_of(mail, struct reuse_ticket, mail);

    (void)loop;
    pl_mutex_lock(&ticket->reuse->lock);
    ticket->mailed = false;
    pl_mutex_unlock(&ticket->reuse->lock);
    ticket->told(ticket);
}

static void tell_locked(struct reuse_ticket *ticket)
{
    ticket->mailed = true;
    ticket->mail.deliver = deliver;
    loop_post(ticket->home, &ticket->mail);
}

static void give_locked(struct reuse_ticket *ticket, const struct store_cached *answer)
{
    ticket->answer = *answer;
    ticket->answer.output = pl_value_ref(answer->output);
    ticket->answer.call = pl_value_ref(answer->call);
    ticket->answered = true;
}

static bool is_fresh(const struct store_cached *answer, pl_ms ttl, pl_ms now)
{
    return answer->expires_at > now && answer->created_at + ttl > now;
}

/* ---- flights ---- */

static struct pl_list *bucket_of(struct reuse *reuse, const struct reuse_key *key)
{
    return &reuse->flights[(key->bytes[2] << 8 | key->bytes[3]) % BUCKETS];
}

/* Those with another `ttl` wait for each other, not for these: an answer may be too old for one and
 * not for the other. */
static struct reuse_flight *find_locked(struct reuse *reuse, const struct reuse_key *key, pl_ms ttl)
{
    PL_LIST_EACH(link, bucket_of(reuse, key))
    {
        struct reuse_flight *flight = pl_container_of(link, struct reuse_flight, bucket);

        if (flight->ttl == ttl && memcmp(&flight->key, key, sizeof *key) == 0)
            return flight;
    }
    return NULL;
}

static struct reuse_flight *create_locked(struct reuse *reuse, const struct reuse_key *key,
                                          const struct reuse_request *request)
{
    struct reuse_flight *flight = calloc(1, sizeof *flight + request->tenant.len);

    if (!flight)
        return NULL;
    flight->reuse = reuse;
    flight->key = *key;
    sodium_bin2hex(flight->hex, sizeof flight->hex, key->bytes, sizeof key->bytes);
    flight->ttl = request->ttl;
    flight->asked_at = request->now;
    flight->tenant = (struct pl_str){.ptr = (char *)(flight + 1), .len = request->tenant.len};
    if (request->tenant.len)
        memcpy(flight + 1, request->tenant.ptr, request->tenant.len);
    pl_list_init(&flight->waiting);
    pl_list_append(bucket_of(reuse, key), &flight->bucket);
    return flight;
}

static void free_locked(struct reuse_flight *flight)
{
    pl_list_remove(&flight->bucket);
    pl_list_remove(&flight->lookup);
    store_cached_finish(&flight->answer);
    free(flight);
}

static struct reuse_ticket *next_locked(struct reuse_flight *flight)
{
    struct pl_list *link = pl_list_pop(&flight->waiting);

    return link ? pl_container_of(link, struct reuse_ticket, link) : NULL;
}

/* The next one who waits leads; nobody waits: it is over. */
static void promote_locked(struct reuse_flight *flight)
{
    struct reuse_ticket *ticket = next_locked(flight);

    pl_list_remove(&flight->lookup);
    flight->leader = ticket;
    if (!ticket) {
        free_locked(flight);
        return;
    }
    flight->state = FLYING;
    ticket->leads = true;
    tell_locked(ticket);
}

/* Nobody waits for a leader that is to come back. */
static void abandon_locked(struct reuse_flight *flight)
{
    if (flight->state == PAUSED && pl_list_empty(&flight->waiting))
        free_locked(flight);
}

static void answer_all_locked(struct reuse_flight *flight, const struct store_cached *answer)
{
    for (struct reuse_ticket *ticket; (ticket = next_locked(flight));) {
        ticket->flight = NULL;
        give_locked(ticket, answer);
        tell_locked(ticket);
    }
}

/* Everybody calls without waiting for another one. */
static void dissolve_locked(struct reuse_flight *flight)
{
    for (struct reuse_ticket *ticket; (ticket = next_locked(flight));) {
        ticket->flight = NULL;
        ticket->alone = true;
        tell_locked(ticket);
    }
    free_locked(flight);
}

/* ---- asking ---- */

static struct reuse_key key_of(const struct reuse_request *request)
{
    crypto_generichash_state state;
    struct reuse_key key;

    (void)crypto_generichash_init(&state, NULL, 0, sizeof key.bytes);
    (void)crypto_generichash_update(&state, request->digest, LLM_DIGEST_BYTES);
    if (request->tenant.len)
        (void)crypto_generichash_update(&state, (const unsigned char *)request->tenant.ptr,
                                        request->tenant.len);
    (void)crypto_generichash_final(&state, key.bytes, sizeof key.bytes);
    return key;
}

static bool remembers_locked(struct reuse *reuse, struct reuse_ticket *ticket,
                             const struct reuse_key *key, const struct reuse_request *request)
{
    struct store_cached answer;

    if (!reuse_memory_get(reuse->memory, key, request->now, &answer))
        return false;
    if (is_fresh(&answer, request->ttl, request->now))
        give_locked(ticket, &answer);
    store_cached_finish(&answer);
    return ticket->answered;
}

static enum reuse_turn ask_locked(struct reuse *reuse, struct reuse_ticket *ticket,
                                  const struct reuse_key *key, const struct reuse_request *request)
{
    struct reuse_flight *flight;
    bool first;

    if (ticket->alone || (ticket->leads && ticket->flight))
        return REUSE_CALLS;
    if (remembers_locked(reuse, ticket, key, request))
        return REUSE_ANSWERED;
    flight = find_locked(reuse, key, request->ttl);
    first = !flight;
    if (first && !(flight = create_locked(reuse, key, request)))
        return REUSE_CALLS; /* without memory it calls for itself */
    ticket->flight = flight;
    if (flight->state == PAUSED) {
        pl_list_remove(&flight->lookup);
        flight->state = FLYING;
        flight->leader = ticket;
        ticket->leads = true;
        return REUSE_CALLS;
    }
    pl_list_append(&flight->waiting, &ticket->link);
    if (!first)
        return REUSE_FOLLOWS;
    pl_list_append(&reuse->lookups, &flight->lookup);
    pl_cond_signal(&reuse->wake);
    return REUSE_LOOKS;
}

enum reuse_turn reuse_ask(struct reuse *reuse, struct reuse_ticket *ticket,
                          const struct reuse_request *request)
{
    const struct reuse_key key = key_of(request);
    enum reuse_turn turn;

    pl_mutex_lock(&reuse->lock);
    ticket->reuse = reuse;
    turn = ask_locked(reuse, ticket, &key, request);
    pl_mutex_unlock(&reuse->lock);
    return turn;
}

/* ---- the leader's call ---- */

/* How the call went, as it is kept: a copy, for the step's own is taken by its run. NULL: nothing
 * is known of it, or no memory. */
static struct pl_value *copy_facts(const struct step_result *result)
{
    struct pl_value *value;
    struct pl_buf copy;

    if (pl_buf_view(&result->facts).len == 0)
        return NULL;
    pl_buf_init(&copy, SIZE_MAX / 2);
    pl_buf_str(&copy, pl_buf_view(&result->facts)); /* still open: see step_result_fact */
    json_object_end(&copy);
    value = pl_value_take(&copy);
    pl_buf_finish(&copy);
    return value;
}

/* Only an answer that came to its own end is worth having again. */
static bool ended_well(const struct pl_value *call)
{
    struct pl_str reason;

    return !call || !json_get(pl_value_text(call), PL_STR("finish_reason"), &reason) ||
           pl_str_is(reason, "\"stop\"") || pl_str_is(reason, "\"tool_calls\"");
}

/* False: it is not to be used again. */
static bool make_answer(const struct step_result *result, pl_ms ttl, pl_ms now,
                        struct store_cached *ret_answer)
{
    struct store_cached answer = {
        .usage = result->usage,
        .created_at = now,
        .expires_at = now > INT64_MAX - ttl ? INT64_MAX : now + ttl,
    };

    if (result->err.code != PL_OK || !result->output)
        return false;
    answer.call = copy_facts(result);
    if (!ended_well(answer.call)) {
        store_cached_finish(&answer);
        return false;
    }
    answer.output = pl_value_ref(result->output);
    *ret_answer = answer;
    return true;
}

/* The writer thread: it is durable, or will never be. Those who came meanwhile have it in either
 * case, as those had who came before. */
static void stored(void *arg, enum pl_code code, const struct store_op_result *result,
                   const struct pl_err *err)
{
    struct reuse_flight *flight = arg;
    struct reuse *reuse = flight->reuse;

    (void)result; /* the run whose answer it is says what is wrong with the store */
    (void)err;
    pl_mutex_lock(&reuse->lock);
    if (code == PL_OK)
        reuse_memory_put(reuse->memory, &flight->key, &flight->answer);
    answer_all_locked(flight, &flight->answer);
    free_locked(flight);
    pl_mutex_unlock(&reuse->lock);
}

static void keep(struct reuse_flight *flight, pl_ms now)
{
    const struct store_op op = {
        .kind = STORE_OP_PUT_CACHED,
        .tenant = flight->tenant,
        .hash = pl_str(flight->hex),
        .text = pl_value_text(flight->answer.output),
        .name = flight->answer.call ? pl_value_text(flight->answer.call) : (struct pl_str){0},
        .usage = flight->answer.usage,
        .now = now,
        .expires_at = flight->answer.expires_at,
    };

    store_submit_op(flight->reuse->store, &op, stored, flight);
}

/* The flight whose answer is to be kept; NULL: none. */
static struct reuse_flight *settle_locked(struct reuse_ticket *ticket,
                                          const struct step_result *result, pl_ms now)
{
    struct reuse_flight *flight = ticket->flight;

    if (!flight || flight->leader != ticket)
        return NULL;
    ticket->flight = NULL;
    ticket->leads = false;
    flight->leader = NULL;
    if (!make_answer(result, flight->ttl, now, &flight->answer)) {
        if (result->err.code != PL_ERR_CANCELLED && ++flight->failures >= LEADERS)
            dissolve_locked(flight);
        else
            promote_locked(flight);
        return NULL;
    }
    answer_all_locked(flight, &flight->answer);
    if (pl_value_text(flight->answer.output).len > STORE_CACHE_ANSWER_BYTES) {
        free_locked(flight);
        return NULL;
    }
    flight->state = STORING;
    return flight;
}

void reuse_settle(struct reuse_ticket *ticket, const struct step_result *result, pl_ms now)
{
    struct reuse *reuse = ticket->reuse;
    struct reuse_flight *flight;

    if (!reuse)
        return;
    pl_mutex_lock(&reuse->lock);
    flight = settle_locked(ticket, result, now);
    pl_mutex_unlock(&reuse->lock);
    if (flight) /* the writer's from here on */
        keep(flight, now);
}

void reuse_pause(struct reuse_ticket *ticket)
{
    struct reuse *reuse = ticket->reuse;
    struct reuse_flight *flight;

    if (!reuse)
        return;
    pl_mutex_lock(&reuse->lock);
    flight = ticket->flight;
    if (flight && flight->leader == ticket) {
        ticket->flight = NULL;
        ticket->leads = false;
        flight->leader = NULL;
        flight->state = PAUSED;
        flight->paused_until = pl_monotonic_us() / 1000 + PAUSE_MS;
        pl_list_append(&reuse->paused, &flight->lookup);
        pl_cond_signal(&reuse->wake);
        abandon_locked(flight);
    }
    pl_mutex_unlock(&reuse->lock);
}

bool reuse_leave(struct reuse_ticket *ticket)
{
    struct reuse *reuse = ticket->reuse;
    struct reuse_flight *flight;
    bool mailed;

    if (!reuse)
        return false;
    pl_mutex_lock(&reuse->lock);
    flight = ticket->flight;
    ticket->flight = NULL;
    pl_list_remove(&ticket->link);
    if (flight && flight->leader == ticket)
        promote_locked(flight);
    else if (flight)
        abandon_locked(flight);
    if (ticket->answered)
        store_cached_finish(&ticket->answer);
    ticket->answered = ticket->leads = false;
    mailed = ticket->mailed;
    pl_mutex_unlock(&reuse->lock);
    return mailed;
}

/* ---- the thread ---- */

static void looked_up(struct reuse_flight *flight, const struct store_cached *found)
{
    struct reuse *reuse = flight->reuse;

    pl_mutex_lock(&reuse->lock);
    if (found && is_fresh(found, flight->ttl, flight->asked_at)) {
        reuse_memory_put(reuse->memory, &flight->key, found);
        answer_all_locked(flight, found);
        free_locked(flight);
    } else {
        promote_locked(flight);
    }
    pl_mutex_unlock(&reuse->lock);
}

static void look_up(struct reuse_flight *flight)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_cached found = {0};
    struct pl_err err = {0};
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (arena)
        code = store_get_cached(flight->reuse->store, arena, flight->tenant, pl_str(flight->hex),
                                &found, &err);
    if (code != PL_OK && code != PL_ERR_NOT_FOUND)
        log_warn(NULL, "CACHE-NOT-READ", "an answer cannot be looked up: %s", err.message);
    looked_up(flight, code == PL_OK ? &found : NULL);
    store_cached_finish(&found);
    pl_arena_destroy(&arena);
}

static void pruned(void *arg, enum pl_code code, const struct store_op_result *result,
                   const struct pl_err *err)
{
    (void)arg; /* there is a next time */
    (void)result;
    if (code != PL_OK)
        log_debug(NULL, "CACHE-NOT-PRUNED", "%s", err->message);
}

/* Somebody else leads where a leader has paused for too long. How long until the next one has; all
 * pause equally long, so the first to pause is the first. */
static pl_ms go_on_locked(struct reuse *reuse)
{
    const int64_t now = pl_monotonic_us() / 1000;

    while (!pl_list_empty(&reuse->paused)) {
        struct reuse_flight *flight =
            pl_container_of(reuse->paused.next, struct reuse_flight, lookup);

        if (flight->paused_until > now)
            return flight->paused_until - now;
        promote_locked(flight);
    }
    return PRUNE_FIRST_MS;
}

/* The next flight to look up; NULL: it is time to look whether to prune, or to end. */
static struct reuse_flight *wait_for_work(struct reuse *reuse, bool *ret_closing)
{
    struct pl_list *link;
    bool woken = true;
    pl_ms rest;

    pl_mutex_lock(&reuse->lock);
    rest = go_on_locked(reuse);
    while (pl_list_empty(&reuse->lookups) && !reuse->closing && woken) {
        woken = pl_cond_wait_for(&reuse->wake, &reuse->lock, rest);
        rest = go_on_locked(reuse);
    }
    link = pl_list_pop(&reuse->lookups);
    *ret_closing = reuse->closing && !link; /* what was begun is ended */
    pl_mutex_unlock(&reuse->lock);
    return link ? pl_container_of(link, struct reuse_flight, lookup) : NULL;
}

static void *reuse_main(void *arg)
{
    struct reuse *reuse = arg;
    int64_t prune_at = pl_monotonic_us() / 1000 + PRUNE_FIRST_MS;

    for (bool closing = false; !closing;) {
        struct reuse_flight *flight;
        const int64_t now = pl_monotonic_us() / 1000;

        if (now >= prune_at) { /* also while there is always something to look up */
            const struct store_op op = {.kind = STORE_OP_PRUNE_CACHE,
                                        .now = pl_clock_now(reuse->clock)};

            store_submit_op(reuse->store, &op, pruned, NULL);
            prune_at = now + PRUNE_EVERY_MS;
        }
        flight = wait_for_work(reuse, &closing);
        if (flight)
            look_up(flight);
    }
    return NULL;
}

/* ---- life ---- */

struct reuse *reuse_create(struct store *store, const struct pl_clock *clock)
{
    struct reuse *reuse = calloc(1, sizeof *reuse);

    if (!reuse)
        return NULL;
    reuse->store = store;
    reuse->clock = clock;
    reuse->stopped = true;
    pl_mutex_init(&reuse->lock);
    pl_cond_init(&reuse->wake);
    pl_list_init(&reuse->lookups);
    pl_list_init(&reuse->paused);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&reuse->flights[i]);
    reuse->memory = reuse_memory_create(PL_LIMIT_CACHE_MEMORY_BYTES);
    if (!reuse->memory || !pl_thread_start(&reuse->thread, "plait-reuse", reuse_main, reuse)) {
        reuse_destroy(&reuse);
        return NULL;
    }
    reuse->stopped = false;
    return reuse;
}

void reuse_stop(struct reuse *reuse)
{
    if (!reuse || reuse->stopped)
        return;
    pl_mutex_lock(&reuse->lock);
    reuse->closing = true;
    pl_cond_signal(&reuse->wake);
    pl_mutex_unlock(&reuse->lock);
    pthread_join(reuse->thread, NULL);
    reuse->stopped = true;
}

void reuse_destroy(struct reuse **reuse_at)
{
    struct reuse *reuse = *reuse_at;

    if (!reuse)
        return;
    reuse_stop(reuse);
    reuse_memory_destroy(&reuse->memory);
    pl_cond_finish(&reuse->wake);
    pl_mutex_finish(&reuse->lock);
    free(reuse);
    *reuse_at = NULL;
}
