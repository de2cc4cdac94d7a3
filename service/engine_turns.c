/* engine_turns.c - see engine_turns.h. */
#include "service/engine_turns.h"

#include "base/map.h"
#include "base/sync.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS = 256 };

static const char writer[] = "-"; /* no run has this id */

struct thread_turns {
    struct pl_list link;     /* on its bucket; guarded by lock, as all of it */
    char holder[PL_ID_TEXT]; /* the run that has the turn; empty: nobody */
    struct pl_list queue;    /* of struct engine_turn, first come first */
    bool known;
    struct pl_value *state; /* when known; NULL: nothing is kept */
    size_t tenant_len, thread_len;
    char text[]; /* tenant, thread */
};

struct engine_turns {
    struct pl_mutex lock;
    struct pl_list buckets[BUCKETS]; /* guarded by lock */
};

struct engine_turns *engine_turns_create(void)
{
    struct engine_turns *turns = calloc(1, sizeof *turns);

    if (!turns)
        return NULL;
    pl_mutex_init(&turns->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        pl_list_init(&turns->buckets[i]);
    return turns;
}

static void thread_free(struct thread_turns *thread)
{
    for (struct pl_list *link; (link = pl_list_pop(&thread->queue));)
        engine_turn_free(pl_container_of(link, struct engine_turn, link));
    pl_value_unref(&thread->state);
    free(thread);
}

void engine_turns_destroy(struct engine_turns **turns)
{
    if (!*turns)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct pl_list *link; (link = pl_list_pop(&(*turns)->buckets[i]));)
            thread_free(pl_container_of(link, struct thread_turns, link));
    pl_mutex_finish(&(*turns)->lock);
    free(*turns);
    *turns = NULL;
}

static struct thread_turns *find_locked(struct engine_turns *turns, struct pl_str tenant,
                                        struct pl_str id)
{
    struct pl_list *bucket = &turns->buckets[pl_hash(id) % BUCKETS];

    PL_LIST_EACH(link, bucket)
    {
        struct thread_turns *thread = pl_container_of(link, struct thread_turns, link);

        if (pl_str_eq(pl_str_n(thread->text, thread->tenant_len), tenant) &&
            pl_str_eq(pl_str_n(thread->text + thread->tenant_len, thread->thread_len), id))
            return thread;
    }
    return NULL;
}

/* NULL: no memory. */
static struct thread_turns *get_locked(struct engine_turns *turns, struct pl_str tenant,
                                       struct pl_str id, struct pl_err *err)
{
    struct thread_turns *thread = find_locked(turns, tenant, id);

    if (thread)
        return thread;
    thread = calloc(1, sizeof *thread + tenant.len + id.len);
    if (!thread) {
        pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    thread->tenant_len = tenant.len;
    thread->thread_len = id.len;
    if (tenant.len)
        memcpy(thread->text, tenant.ptr, tenant.len);
    if (id.len)
        memcpy(thread->text + tenant.len, id.ptr, id.len);
    pl_list_init(&thread->queue);
    pl_list_append(&turns->buckets[pl_hash(id) % BUCKETS], &thread->link);
    return thread;
}

static void hold(struct thread_turns *thread, struct pl_str run)
{
    snprintf(thread->holder, sizeof thread->holder, "%.*s", PL_STR_ARG(run));
}

struct engine_turn *engine_turn_create(struct pl_str tenant, struct pl_str thread,
                                       struct pl_str run)
{
    struct engine_turn *turn = calloc(1, sizeof *turn + tenant.len + thread.len);
    char *text = (char *)(turn + 1);

    if (!turn)
        return NULL;
    pl_list_init(&turn->link);
    if (tenant.len)
        memcpy(text, tenant.ptr, tenant.len);
    if (thread.len)
        memcpy(text + tenant.len, thread.ptr, thread.len);
    turn->tenant = pl_str_n(text, tenant.len);
    turn->thread = pl_str_n(text + tenant.len, thread.len);
    snprintf(turn->run, sizeof turn->run, "%.*s", PL_STR_ARG(run));
    return turn;
}

void engine_turn_free(struct engine_turn *turn)
{
    pl_value_unref(&turn->state);
    free(turn);
}

static void give(struct thread_turns *thread, struct engine_turn *turn)
{
    hold(thread, pl_str(turn->run));
    turn->known = thread->known;
    turn->state = pl_value_ref(thread->state);
}

/* Gives the turn to the next one; forgets a thread that nobody wants. */
static struct engine_turn *next_locked(struct thread_turns *thread)
{
    struct pl_list *link = thread->holder[0] ? NULL : pl_list_pop(&thread->queue);
    struct engine_turn *turn;

    if (!link) {
        if (!thread->holder[0]) {
            pl_list_remove(&thread->link);
            thread_free(thread);
        }
        return NULL;
    }
    turn = pl_container_of(link, struct engine_turn, link);
    give(thread, turn);
    return turn;
}

enum pl_code engine_turns_enter(struct engine_turns *turns, struct pl_str tenant, struct pl_str id,
                                struct pl_str run, bool began, struct pl_err *err)
{
    struct engine_turn *turn = engine_turn_create(tenant, id, run);
    struct thread_turns *thread;
    bool has;

    if (!turn)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    pl_mutex_lock(&turns->lock);
    thread = get_locked(turns, tenant, id, err);
    has = thread && (began || !thread->holder[0] || pl_str_is(run, thread->holder));
    if (has)
        hold(thread, run);
    else if (thread)
        pl_list_append(&thread->queue, &turn->link);
    pl_mutex_unlock(&turns->lock);
    if (has || !thread)
        engine_turn_free(turn);
    return thread ? PL_OK : err->code;
}

bool engine_turns_claim(struct engine_turns *turns, struct engine_turn *turn)
{
    struct thread_turns *thread;
    bool has;

    pl_mutex_lock(&turns->lock);
    thread = find_locked(turns, turn->tenant, turn->thread);
    has = thread && strcmp(thread->holder, turn->run) == 0;
    if (has)
        give(thread, turn);
    pl_mutex_unlock(&turns->lock);
    return has;
}

enum pl_code engine_turns_reserve(struct engine_turns *turns, struct pl_str tenant,
                                  struct pl_str id, struct pl_str run, struct pl_err *err)
{
    struct thread_turns *thread;

    pl_mutex_lock(&turns->lock);
    thread = get_locked(turns, tenant, id, err);
    if (thread && !thread->holder[0])
        hold(thread, run);
    pl_mutex_unlock(&turns->lock);
    return thread ? PL_OK : err->code;
}

void engine_turns_remember(struct engine_turns *turns, struct pl_str tenant, struct pl_str id,
                           struct pl_value *state)
{
    struct thread_turns *thread;

    pl_mutex_lock(&turns->lock);
    thread = find_locked(turns, tenant, id);
    if (thread && !thread->known) {
        thread->known = true;
        thread->state = pl_value_ref(state);
    }
    pl_mutex_unlock(&turns->lock);
}

/* One that did not have the turn. */
static void unqueue_locked(struct thread_turns *thread, struct pl_str run)
{
    PL_LIST_EACH(link, &thread->queue)
    {
        struct engine_turn *turn = pl_container_of(link, struct engine_turn, link);

        if (!pl_str_is(run, turn->run))
            continue;
        pl_list_remove(link);
        engine_turn_free(turn);
        return;
    }
}

static void keep_locked(struct thread_turns *thread, struct pl_value *state)
{
    pl_value_unref(&thread->state);
    thread->state = pl_value_ref(state);
    thread->known = true;
}

struct engine_turn *engine_turns_leave(struct engine_turns *turns, struct pl_str tenant,
                                       struct pl_str id, struct pl_str run, enum turn_end end,
                                       struct pl_value *state)
{
    struct engine_turn *next = NULL;
    struct thread_turns *thread;

    pl_mutex_lock(&turns->lock);
    thread = find_locked(turns, tenant, id);
    if (thread && pl_str_is(run, thread->holder)) {
        if (state)
            keep_locked(thread, state);
        if (end == TURN_OVER) {
            thread->holder[0] = '\0';
            next = next_locked(thread);
        }
    } else if (thread) {
        unqueue_locked(thread, run);
        if (!thread->holder[0] && pl_list_empty(&thread->queue))
            (void)next_locked(thread);
    }
    pl_mutex_unlock(&turns->lock);
    return next;
}

enum pl_code engine_turns_begin_write(struct engine_turns *turns, struct pl_str tenant,
                                      struct pl_str id, struct pl_err *err)
{
    struct thread_turns *thread;
    enum pl_code code = PL_OK;

    pl_mutex_lock(&turns->lock);
    thread = find_locked(turns, tenant, id);
    if (thread && thread->holder[0])
        code = pl_err_set(err, PL_ERR_CONFLICT, "%s has the turn of thread %.*s",
                          strcmp(thread->holder, writer) == 0 ? "another request" : thread->holder,
                          PL_STR_ARG(id));
    else if ((thread = get_locked(turns, tenant, id, err)))
        hold(thread, pl_str(writer));
    else
        code = err->code;
    pl_mutex_unlock(&turns->lock);
    return code;
}

struct engine_turn *engine_turns_end_write(struct engine_turns *turns, struct pl_str tenant,
                                           struct pl_str id, bool written, struct pl_value *state)
{
    struct engine_turn *next = NULL;
    struct thread_turns *thread;

    pl_mutex_lock(&turns->lock);
    thread = find_locked(turns, tenant, id);
    if (thread && strcmp(thread->holder, writer) == 0) {
        if (written)
            keep_locked(thread, state);
        thread->holder[0] = '\0';
        next = next_locked(thread);
    }
    pl_mutex_unlock(&turns->lock);
    return next;
}
