/* http_multi.c - the curl multi handles of a loop on its epoll. Not requests. Called by
 * http_call.c; by loop.c through the slots of loop_transfers; by curl through the socket and timer
 * callbacks.
 *
 * curl says that it no longer watches a descriptor each time a kept connection falls idle, and that
 * it watches it again at the next request. Telling the kernel both would be two system calls a
 * request, so a descriptor stays in the epoll while it is idle and is taken out only if something
 * comes on it then (the server closes it). */
#include "service/net/http_multi.h"

#include "base/limits.h"
#include "service/net/loop_private.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A multi handle that carries nothing this long is closed with its connections. Past
 * CURLOPT_MAXAGE_CONN none of them would be used again. */
static const pl_ms IDLE_MULTI = 65000;

enum {
    CONNECTIONS_SLACK = 24,
    EASIES_KEPT = 64, /* idle easy handles that outlive a burst, each about 6 KB */
};

/* One multi handle. */
struct http_multi {
    struct http_multis *owner;
    CURLM *curl;
    uint64_t policy;
    unsigned index;         /* its place, and what its descriptors carry in the epoll */
    unsigned count;         /* transfers in it */
    struct pl_list carried; /* the easy handles of these */
    bool touched;           /* may have ended transfers to tell */
    bool broken;            /* curl failed in it, out of memory: it can only be emptied */
    bool mail_queued;
    pl_ms idle_since;
    struct loop_timer timer; /* curl's one timer */
    struct loop_mail mail;   /* in its place when there is no memory for the timer */
    bool setting_timer;
};

/* What the epoll knows of a descriptor. */
struct http_fd {
    uint32_t multi; /* index */
    uint8_t mask;   /* EPOLLIN, EPOLLOUT; as registered */
    bool registered : 1;
    bool wanted : 1; /* curl watches it */
    bool kept : 1; /* made by http_multis_socket: its closing is told, so it may stay registered */
};

struct http_multis {
    struct loop_transfers transfers; /* first: what the loop holds */
    struct loop *loop;
    http_multi_ended *ended;
    struct http_multi **multis; /* a closed one leaves NULL */
    unsigned count;
    bool busy;
    struct http_fd *fds; /* by descriptor */
    size_t n_fds;
    struct loop_timer reaper;
    struct http_easy_pool easies;
    struct http_names names;
    struct http_pace pace;
    struct http_multis *next_left;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_FAILED_INIT;

static void curl_begin(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_ALL);
}

/* ---- descriptors ---- */

static struct http_fd *fd_state(struct http_multis *multis, curl_socket_t fd)
{
    size_t need = (size_t)fd + 1, room = multis->n_fds ? multis->n_fds : 64;
    struct http_fd *fds;

    if (need <= multis->n_fds)
        return &multis->fds[fd];
    while (room < need)
        room *= 2;
    fds = realloc(multis->fds, room * sizeof *fds);
    if (!fds)
        return NULL;
    memset(fds + multis->n_fds, 0, (room - multis->n_fds) * sizeof *fds);
    multis->fds = fds;
    multis->n_fds = room;
    return &fds[fd];
}

static void fd_unregister(struct http_multis *multis, curl_socket_t fd, struct http_fd *state)
{
    if (state->registered)
        epoll_ctl(multis->loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    state->registered = false;
}

static int fd_register(struct http_multi *multi, curl_socket_t fd, struct http_fd *state,
                       uint8_t mask)
{
    struct epoll_event event = {.events = mask,
                                .data.u64 = (uint64_t)multi->index << 32 | (uint32_t)fd};
    int epoll = multi->owner->loop->epoll;

    if (state->registered && state->mask == mask && state->multi == multi->index)
        return 0;
    if (epoll_ctl(epoll, state->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        int other = errno == ENOENT ? EPOLL_CTL_ADD : errno == EEXIST ? EPOLL_CTL_MOD : 0;

        if (!other || epoll_ctl(epoll, other, fd, &event) != 0)
            return -1;
    }
    state->registered = true;
    state->mask = mask;
    state->multi = multi->index;
    return 0;
}

/* CURLMOPT_SOCKETFUNCTION */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct http_multi *multi = arg;
    struct http_fd *state = fd_state(multi->owner, fd);

    (void)easy;
    (void)unused;
    if (!state)
        return -1;
    if (what == CURL_POLL_REMOVE) {
        state->wanted = false;
        if (!state->kept)
            fd_unregister(multi->owner, fd, state);
        return 0;
    }
    state->wanted = true;
    return fd_register(
        multi, fd, state,
        (uint8_t)((what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0)));
}

curl_socket_t http_multis_socket(struct http_multis *multis, const struct curl_sockaddr *address)
{
    curl_socket_t fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                              address->protocol);
    struct http_fd *state;

    if (fd < 0)
        return CURL_SOCKET_BAD;
    state = fd_state(multis, fd);
    if (!state) {
        close(fd);
        errno = ENOMEM;
        return CURL_SOCKET_BAD;
    }
    *state = (struct http_fd){.kept = true};
    return fd;
}

int http_multis_close_socket(void *arg, curl_socket_t fd)
{
    struct http_multis *multis = arg;

    if ((size_t)fd < multis->n_fds)
        multis->fds[fd] = (struct http_fd){0}; /* closing takes it out of the epoll */
    return close(fd);
}

/* ---- turns ---- */

static void act(struct http_multi *multi, curl_socket_t fd, int events)
{
    int running;

    if (multi->broken)
        return;
    multi->owner->busy = true;
    if (curl_multi_socket_action(multi->curl, fd, events, &running) != CURLM_OK)
        multi->broken = true;
    multi->owner->busy = false;
    multi->touched = true;
}

/* loop_transfers.ready */
static void on_ready(struct loop_transfers *transfers, uint64_t data, uint32_t events)
{
    struct http_multis *multis = pl_container_of(transfers, struct http_multis, transfers);
    unsigned index = (unsigned)(data >> 32);
    curl_socket_t fd = (curl_socket_t)(uint32_t)data;
    struct http_fd *state = (size_t)fd < multis->n_fds ? &multis->fds[fd] : NULL;

    /* an event of earlier in the turn may have closed the descriptor or given it to another */
    if (!state || !state->registered || state->multi != index)
        return;
    if (!state->wanted) {
        fd_unregister(multis, fd, state);
        return;
    }
    act(multis->multis[index], fd,
        (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
            (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

static void on_timer(struct loop *loop, struct loop_timer *timer)
{
    struct http_multi *multi = pl_container_of(timer, struct http_multi, timer);

    if (!multi->setting_timer) {
        act(multi, CURL_SOCKET_TIMEOUT, 0);
        return;
    }
    /* no memory for the timer, and we are inside curl: act soon instead */
    if (!multi->mail_queued) {
        multi->mail_queued = true;
        loop_post(loop, &multi->mail);
    }
}

static void on_mail(struct loop *loop, struct loop_mail *mail)
{
    struct http_multi *multi = pl_container_of(mail, struct http_multi, mail);

    (void)loop;
    multi->mail_queued = false;
    act(multi, CURL_SOCKET_TIMEOUT, 0);
    multi->owner->transfers.drain(
        &multi->owner->transfers); /* this turn's drain was before the mail */
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timer_wanted(CURLM *curl, long ms, void *arg)
{
    struct http_multi *multi = arg;
    struct loop *loop = multi->owner->loop;

    (void)curl;
    if (ms < 0) {
        loop_timer_clear(loop, &multi->timer);
        return 0;
    }
    multi->setting_timer = true;
    /* curl counts from its own reading of the time; a millisecond more than asked, or it would find
     * that it is early and ask again */
    loop_timer_set(loop, &multi->timer, ms ? pl_clock_now(loop->clock) + ms + 1 : loop->now);
    multi->setting_timer = false;
    return 0;
}

static void drain(struct http_multi *multi)
{
    CURLMsg *message;
    int left;

    multi->touched = false;
    while ((message = curl_multi_info_read(multi->curl, &left))) {
        struct http_easy *easy = NULL;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&easy) == CURLE_OK)
            multi->owner->ended(easy, message->data.result);
    }
    /* curl would never say how the rest of a broken one ends */
    while (multi->broken && !pl_list_empty(&multi->carried))
        multi->owner->ended(pl_container_of(multi->carried.next, struct http_easy, carried),
                            CURLE_OUT_OF_MEMORY);
}

/* loop_transfers.drain */
static void on_drain(struct loop_transfers *transfers)
{
    struct http_multis *multis = pl_container_of(transfers, struct http_multis, transfers);

    for (unsigned i = 0; i < multis->count; i++) {
        if (multis->multis[i] && multis->multis[i]->touched)
            drain(multis->multis[i]);
    }
}

/* ---- multi handles ---- */

static void close_multi(struct http_multi *multi)
{
    struct http_multis *owner = multi->owner;

    assert(multi->count == 0);
    curl_multi_cleanup(multi->curl);
    loop_timer_clear(owner->loop, &multi->timer);
    owner->multis[multi->index] = NULL;
    free(multi);
}

static void on_reap(struct loop *loop, struct loop_timer *timer)
{
    struct http_multis *multis = pl_container_of(timer, struct http_multis, reaper);
    pl_ms next = INT64_MAX;

    for (unsigned i = 0; i < multis->count; i++) {
        struct http_multi *multi = multis->multis[i];

        if (!multi || multi->count || multi->mail_queued)
            continue;
        if (multi->idle_since + IDLE_MULTI <= loop->now)
            close_multi(multi);
        else if (multi->idle_since + IDLE_MULTI < next)
            next = multi->idle_since + IDLE_MULTI;
    }
    http_easy_trim(&multis->easies, loop_load(loop) + EASIES_KEPT);
    if (next != INT64_MAX && next > loop->now)
        loop_timer_set(loop, &multis->reaper, next);
}

static bool set_up(struct http_multi *multi)
{
    CURLM *curl = multi->curl = curl_multi_init();
    const long connections = PL_LIMIT_TRANSFERS_PER_MULTI + CONNECTIONS_SLACK;

    return curl && !curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, on_watch) &&
           !curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, multi) &&
           !curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, on_timer_wanted) &&
           !curl_multi_setopt(curl, CURLMOPT_TIMERDATA, multi) &&
           !curl_multi_setopt(curl, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) &&
           !curl_multi_setopt(curl, CURLMOPT_MAXCONNECTS, connections);
}

/* A place in the list: one that was left, or a new one. False when out of memory. */
static bool find_place(struct http_multis *multis, unsigned *ret_index)
{
    struct http_multi **longer;
    unsigned i = 0;

    while (i < multis->count && multis->multis[i])
        i++;
    *ret_index = i;
    if (i < multis->count)
        return true;
    longer = realloc(multis->multis, (multis->count + 1) * sizeof(struct http_multi *));
    if (!longer)
        return false;
    longer[multis->count++] = NULL;
    multis->multis = longer;
    return true;
}

static struct http_multi *open_multi(struct http_multis *multis, uint64_t policy)
{
    struct http_multi *multi = calloc(1, sizeof *multi);

    if (!multi)
        return NULL;
    multi->owner = multis;
    multi->policy = policy;
    pl_list_init(&multi->carried);
    multi->timer.fire = on_timer;
    multi->mail.deliver = on_mail;
    if (!find_place(multis, &multi->index) || !set_up(multi)) {
        curl_multi_cleanup(multi->curl);
        free(multi);
        return NULL;
    }
    return multis->multis[multi->index] = multi;
}

static struct http_multi *find_room(struct http_multis *multis, uint64_t policy)
{
    for (unsigned i = 0; i < multis->count; i++) {
        struct http_multi *multi = multis->multis[i];

        if (multi && multi->policy == policy && !multi->broken &&
            multi->count < PL_LIMIT_TRANSFERS_PER_MULTI)
            return multi;
    }
    return open_multi(multis, policy);
}

struct http_multi *http_multis_add(struct http_multis *multis, uint64_t policy,
                                   struct http_easy *easy)
{
    struct http_multi *multi = find_room(multis, policy);

    assert(!multis->busy);
    if (!multi || curl_multi_add_handle(multi->curl, easy->curl) != CURLM_OK)
        return NULL;
    pl_list_append(&multi->carried, &easy->carried);
    multi->count++;
    return multi;
}

void http_multi_remove(struct http_multi *multi, struct http_easy *easy)
{
    struct http_multis *multis = multi->owner;

    assert(!multis->busy);
    pl_list_remove(&easy->carried);
    (void)curl_multi_remove_handle(multi->curl, easy->curl);
    if (--multi->count)
        return;
    multi->idle_since = multis->loop->now;
    if (!multis->reaper.slot)
        loop_timer_set(multis->loop, &multis->reaper, multis->loop->now + IDLE_MULTI);
}

struct http_easy_pool *http_multis_easies(struct http_multis *multis)
{
    return &multis->easies;
}

struct http_names *http_multis_names(struct http_multis *multis)
{
    return &multis->names;
}

struct http_pace *http_multis_pace(struct http_multis *multis)
{
    return &multis->pace;
}

bool http_multis_busy(const struct http_multis *multis)
{
    return multis->busy;
}

/* What is left to the end of the process, so that it counts as used until then. */
static _Atomic(struct http_multis *) left;

static void leave(struct http_multis *multis)
{
    multis->next_left = atomic_load(&left);
    while (!atomic_compare_exchange_weak(&left, &multis->next_left, multis))
        ;
}

static void on_destroy(struct loop_transfers *transfers)
{
    struct http_multis *multis = pl_container_of(transfers, struct http_multis, transfers);

    if (atomic_load(&multis->loop->group->until_exit)) {
        leave(multis);
        return;
    }
    for (unsigned i = 0; i < multis->count; i++) {
        if (multis->multis[i])
            close_multi(multis->multis[i]);
    }
    loop_timer_clear(multis->loop, &multis->reaper);
    http_easy_trim(&multis->easies, 0);
    http_names_finish(&multis->names);
    http_pace_finish(&multis->pace);
    free(multis->multis);
    free(multis->fds);
    free(multis);
}

struct http_multis *http_multis_of(struct loop *loop, http_multi_ended *ended,
                                   void (*begin)(struct http_pace_place *place))
{
    struct http_multis *multis;

    if (loop->transfers)
        return pl_container_of(loop->transfers, struct http_multis, transfers);
    pthread_once(&curl_once, curl_begin);
    if (curl_ready != CURLE_OK)
        return NULL;
    multis = calloc(1, sizeof *multis);
    if (!multis)
        return NULL;
    multis->transfers = (struct loop_transfers){on_ready, on_drain, on_destroy};
    multis->loop = loop;
    multis->ended = ended;
    multis->reaper.fire = on_reap;
    http_names_init(&multis->names);
    http_pace_init(&multis->pace, loop, begin);
    loop->transfers = &multis->transfers;
    return multis;
}
