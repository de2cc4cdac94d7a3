/* raw_server.c - the scripted TCP server: one thread, poll, a list of connections that each walk
 * through their steps. Not fast and not HTTP. Called by tests. */
#include "tests/support/raw_server.h"

#include "base/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MOST = 4096, REQUEST_MOST = 1 << 16 };

struct connection {
    const struct raw_script *script;
    int fd; /* -1: closed */
    size_t step, sent;
    unsigned times;
    int64_t resume_at; /* of a pause, microseconds */
    char *request;     /* what came of the request that is being read */
    size_t len;
    char *last; /* the last whole one; guarded by lock */
    int64_t closed_at;
};

struct raw_server {
    const struct raw_script *scripts;
    size_t n_scripts;
    int listener, wake[2];
    unsigned port;
    pthread_t thread;
    struct pl_mutex lock;
    struct pl_cond changed;
    struct connection connections[CONNECTIONS_MOST];
    unsigned n_connections, n_requests; /* guarded by lock */
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static const struct raw_step *step_of(const struct connection *c)
{
    static const struct raw_step stall = {.action = RAW_STALL};

    return c->step < c->script->count ? &c->script->steps[c->step] : &stall;
}

static void next_step(struct connection *c)
{
    c->step++;
    c->sent = 0;
    c->times = 0;
    c->resume_at = 0;
}

static void shut(struct connection *c, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(c->fd);
    c->fd = -1;
}

static void peer_closed(struct raw_server *server, struct connection *c)
{
    pl_mutex_lock(&server->lock);
    c->closed_at = pl_monotonic_us();
    pl_cond_broadcast(&server->changed);
    pl_mutex_unlock(&server->lock);
    shut(c, false);
}

/* Length of a whole request at the front, 0 while it is not whole. */
static size_t whole_request(const struct connection *c)
{
    const char *end = c->len ? memmem(c->request, c->len, "\r\n\r\n", 4) : NULL;
    size_t head, body = 0;

    if (!end)
        return 0;
    head = (size_t)(end - c->request) + 4;
    for (const char *line = c->request; line < end; line++) {
        if (strncasecmp(line, "\nContent-Length:", 16) == 0)
            body = strtoul(line + 16, NULL, 10);
    }
    return c->len >= head + body ? head + body : 0;
}

static void request_read(struct raw_server *server, struct connection *c, size_t size)
{
    pl_mutex_lock(&server->lock);
    free(c->last);
    c->last = strndup(c->request, size);
    need(c->last != NULL, "strndup");
    server->n_requests++;
    pl_cond_broadcast(&server->changed);
    pl_mutex_unlock(&server->lock);
    memmove(c->request, c->request + size, c->len - size);
    c->len -= size;
    next_step(c);
}

/* Takes what has come; false when the peer is gone. */
static bool take_bytes(struct raw_server *server, struct connection *c)
{
    char spill[4096];
    bool reading = step_of(c)->action == RAW_READ;
    ssize_t n;

    if (!c->request)
        c->request = malloc(REQUEST_MOST);
    need(c->request && c->len < REQUEST_MOST - 1, "a request larger than the test server takes");
    n = reading ? recv(c->fd, c->request + c->len, REQUEST_MOST - 1 - c->len, 0)
                : recv(c->fd, spill, sizeof spill, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        peer_closed(server, c);
        return false;
    }
    if (reading) {
        c->len += (size_t)n;
        c->request[c->len] = '\0';
    }
    return true;
}

/* False when the socket is full or gone. */
static bool send_bytes(struct raw_server *server, struct connection *c, const struct raw_step *step)
{
    unsigned times = step->times ? step->times : 1;

    while (c->times < times) {
        ssize_t n = send(c->fd, step->bytes.ptr + c->sent, step->bytes.len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            peer_closed(server, c);
        if (n < 0)
            return false;
        c->sent += (size_t)n;
        if (c->sent == step->bytes.len) {
            c->sent = 0;
            c->times++;
        }
    }
    return true;
}

static bool pause_over(struct connection *c, const struct raw_step *step)
{
    int64_t now = pl_monotonic_us();

    if (!c->resume_at)
        c->resume_at = now + (int64_t)step->times * 1000;
    return now >= c->resume_at;
}

/* Goes on until it has to wait. */
static void walk(struct raw_server *server, struct connection *c)
{
    while (c->fd >= 0) {
        const struct raw_step *step = step_of(c);
        size_t size;

        switch (step->action) {
        case RAW_READ:
            size = whole_request(c);
            if (!size)
                return;
            request_read(server, c, size);
            continue;
        case RAW_SEND:
            if (!send_bytes(server, c, step))
                return;
            break;
        case RAW_PAUSE:
            if (!pause_over(c, step))
                return;
            break;
        case RAW_STALL:
            return;
        case RAW_RESET:
        case RAW_CLOSE:
            shut(c, step->action == RAW_RESET);
            return;
        case RAW_AGAIN:
            c->step = 0;
            continue;
        }
        next_step(c);
    }
}

static void accept_all(struct raw_server *server)
{
    int fd;

    while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        unsigned i = server->n_connections;

        need(i < CONNECTIONS_MOST, "too many connections to the test server");
        server->connections[i] = (struct connection){
            .fd = fd,
            .script = &server->scripts[i < server->n_scripts ? i : server->n_scripts - 1],
            .closed_at = -1,
        };
        pl_mutex_lock(&server->lock);
        server->n_connections++;
        pl_cond_broadcast(&server->changed);
        pl_mutex_unlock(&server->lock);
        walk(server, &server->connections[i]);
    }
}

/* Fills `polls` and `which`; *ret_wait is how long a pause still lasts, -1: none. */
static nfds_t gather(struct raw_server *server, struct pollfd *polls, unsigned *which,
                     int *ret_wait)
{
    int64_t now = pl_monotonic_us();
    nfds_t n = 2;

    *ret_wait = -1;
    polls[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    polls[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    for (unsigned i = 0; i < server->n_connections; i++) {
        struct connection *c = &server->connections[i];
        int wait = (int)((c->resume_at - now) / 1000) + 1;

        if (c->fd < 0)
            continue;
        if (c->resume_at && (*ret_wait < 0 || wait < *ret_wait))
            *ret_wait = wait < 0 ? 0 : wait;
        polls[n] = (struct pollfd){.fd = c->fd, .events = POLLIN};
        if (step_of(c)->action == RAW_SEND)
            polls[n].events |= POLLOUT;
        which[n++] = i;
    }
    return n;
}

static void *serve(void *arg)
{
    struct raw_server *server = arg;
    struct pollfd *polls = calloc(CONNECTIONS_MOST + 2, sizeof *polls);
    unsigned *which = calloc(CONNECTIONS_MOST + 2, sizeof *which);

    need(polls && which, "calloc");
    for (;;) {
        int wait;
        nfds_t n = gather(server, polls, which, &wait);

        need(poll(polls, n, wait) >= 0 || errno == EINTR, "poll");
        if (polls[0].revents)
            break;
        for (nfds_t i = 2; i < n; i++) {
            struct connection *c = &server->connections[which[i]];

            if (!(polls[i].revents & (POLLIN | POLLERR | POLLHUP)) || take_bytes(server, c))
                walk(server, c);
        }
        if (polls[1].revents)
            accept_all(server);
    }
    free(polls);
    free(which);
    return NULL;
}

struct raw_server *raw_server_start(const struct raw_script *scripts, size_t count)
{
    struct raw_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;

    need(server != NULL, "calloc");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->scripts = scripts;
    server->n_scripts = count;
    pl_mutex_init(&server->lock);
    pl_cond_init(&server->changed);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    need(server->listener >= 0, "socket");
    need(bind(server->listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    need(listen(server->listener, 1024) == 0, "listen");
    need(getsockname(server->listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    server->port = ntohs(address.sin_port);
    need(pipe2(server->wake, O_CLOEXEC) == 0, "pipe2");
    need(pl_thread_start(&server->thread, "raw-server", serve, server), "thread");
    return server;
}

void raw_server_stop(struct raw_server **server)
{
    struct raw_server *s = *server;

    if (!s)
        return;
    need(write(s->wake[1], "x", 1) == 1, "write");
    pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < s->n_connections; i++) {
        if (s->connections[i].fd >= 0)
            close(s->connections[i].fd);
        free(s->connections[i].request);
        free(s->connections[i].last);
    }
    close(s->listener);
    close(s->wake[0]);
    close(s->wake[1]);
    pl_cond_finish(&s->changed);
    pl_mutex_finish(&s->lock);
    free(s);
    *server = NULL;
}

unsigned raw_server_port(const struct raw_server *server)
{
    return server->port;
}

static unsigned read_count(struct raw_server *server, const unsigned *count)
{
    unsigned n;

    pl_mutex_lock(&server->lock);
    n = *count;
    pl_mutex_unlock(&server->lock);
    return n;
}

unsigned raw_server_connections(struct raw_server *server)
{
    return read_count(server, &server->n_connections);
}

unsigned raw_server_requests(struct raw_server *server)
{
    return read_count(server, &server->n_requests);
}

static bool wait_count(struct raw_server *server, const unsigned *count, unsigned wanted)
{
    int64_t until = pl_monotonic_us() + 10000000;
    bool there;

    pl_mutex_lock(&server->lock);
    while (*count < wanted && pl_monotonic_us() < until)
        pl_cond_wait_for(&server->changed, &server->lock, 100);
    there = *count >= wanted;
    pl_mutex_unlock(&server->lock);
    return there;
}

bool raw_server_wait_requests(struct raw_server *server, unsigned count)
{
    return wait_count(server, &server->n_requests, count);
}

bool raw_server_wait_connections(struct raw_server *server, unsigned count)
{
    return wait_count(server, &server->n_connections, count);
}

int64_t raw_server_peer_closed(struct raw_server *server, unsigned connection)
{
    int64_t until = pl_monotonic_us() + 10000000, at = -1;

    pl_mutex_lock(&server->lock);
    while (pl_monotonic_us() < until) {
        if (connection < server->n_connections)
            at = server->connections[connection].closed_at;
        if (at >= 0)
            break;
        pl_cond_wait_for(&server->changed, &server->lock, 100);
    }
    pl_mutex_unlock(&server->lock);
    return at;
}

void raw_server_request(struct raw_server *server, unsigned connection, char *out, size_t size)
{
    pl_mutex_lock(&server->lock);
    snprintf(out, size, "%s",
             connection < server->n_connections && server->connections[connection].last
                 ? server->connections[connection].last
                 : "");
    pl_mutex_unlock(&server->lock);
}
