/* serve.c - connections of the stand-in model: requests in, planned answers out, an eye on who
 * hangs up. Not the answers' content (plan.c) and not the event loop (main.c). */
#include "tests/fake_model/serve.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "tests/fake_model/figures.h"
#include "tests/fake_model/http_in.h"
#include "tests/fake_model/messages.h"
#include "tests/fake_model/plan.h"
#include "tests/fake_model/script.h"
#include "tests/fake_model/timers.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SCRATCH = 256 << 10, IN_MAX = 80 << 20 };

/* A request that is being answered. */
struct request {
    uint64_t n;
    int64_t start_us;
    struct pl_buf path, model, prompt, key; /* for the log */
    struct behaviour behaviour;
    struct script_facts facts;
    struct plan plan;
    size_t next;     /* pieces that are due */
    size_t sent;     /* bytes of plan.bytes */
    uint64_t filled; /* bytes of the filler */
    size_t tail_sent;
    bool stream;
};

struct conn {
    struct pl_list link;
    struct due due;
    int fd; /* -1: closed, waits for server_bury */
    unsigned id;
    struct pl_buf in; /* bytes of a request that is not whole yet, or that came early */
    struct request *request;
    bool continued;
};

struct server {
    struct server_options options;
    struct figures figures;
    struct timers timers;
    struct pl_list conns, dead;
    uint64_t last_n;
    unsigned last_conn;
    int64_t epoch_us; /* wall clock minus pl_monotonic_us */
    uint32_t random;
    uint64_t slow_random; /* a series of its own: what is slow does not hang on jitter */
    char *scratch;
};

/* ---- the end of requests and connections ---- */

static double wall_ms(const struct server *server, int64_t us)
{
    return (double)(us + server->epoch_us) / 1000.0;
}

static void request_end(struct server *server, struct conn *conn, const char *outcome, bool closed)
{
    struct request *request = conn->request;
    struct figure_line line;

    if (!request)
        return;
    conn->request = NULL;
    timers_clear(&server->timers, &conn->due);
    server->figures.inflight--;
    line = (struct figure_line){.n = request->n,
                                .conn = conn->id,
                                .path = pl_buf_view(&request->path),
                                .model = pl_buf_view(&request->model),
                                .prompt = pl_buf_view(&request->prompt),
                                .key = pl_buf_view(&request->key),
                                .start_ms = wall_ms(server, request->start_us),
                                .end_ms = wall_ms(server, pl_monotonic_us()),
                                .status = request->sent ? request->plan.status : 0,
                                .stream = request->stream,
                                .facts = request->facts,
                                .fault = fault_name(request->behaviour.fault),
                                .outcome = outcome,
                                .closed = closed};
    figures_log(&server->figures, &line);
    plan_finish(&request->plan);
    pl_buf_finish(&request->path);
    pl_buf_finish(&request->model);
    pl_buf_finish(&request->prompt);
    pl_buf_finish(&request->key);
    free(request);
}

static void conn_close(struct server *server, struct conn *conn, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (conn->fd < 0)
        return;
    if (reset)
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(conn->fd);
    conn->fd = -1;
    server->figures.connections--;
    pl_list_remove(&conn->link);
    pl_list_append(&server->dead, &conn->link);
}

/* The client is gone. */
static void conn_left(struct server *server, struct conn *conn)
{
    if (conn->request) {
        server->figures.aborted++;
        request_end(server, conn, "aborted", true);
    }
    conn_close(server, conn, false);
}

/* The plan is carried out. */
static void request_done(struct server *server, struct conn *conn)
{
    switch (conn->request->plan.end) {
    case PLAN_HANG:
        return; /* until the client goes */
    case PLAN_KEEP:
        server->figures.answered++;
        request_end(server, conn, "answered", false);
        return;
    case PLAN_FIN:
        server->figures.answered++;
        request_end(server, conn, "answered", false);
        conn_close(server, conn, false);
        return;
    case PLAN_BREAK_FIN:
    case PLAN_BREAK_RST: {
        const bool reset = conn->request->plan.end == PLAN_BREAK_RST;

        server->figures.broken++;
        request_end(server, conn, "broken", false);
        conn_close(server, conn, reset);
        return;
    }
    }
}

/* ---- sending ---- */

/* Sends up to `len` bytes; the number sent, -1: no room now, or the connection was found dead and
 * is closed. */
static ssize_t send_some(struct server *server, struct conn *conn, const char *data, size_t len)
{
    const ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        conn_left(server, conn);
    return sent < 0 ? -1 : sent;
}

static int64_t piece_due(const struct request *request, size_t i)
{
    return request->start_us + (int64_t)(request->plan.pieces[i].at_ms * 1000.0);
}

static bool send_filler(struct server *server, struct conn *conn)
{
    struct request *request = conn->request;
    const struct plan *plan = &request->plan;

    while (request->filled < plan->filler) {
        const size_t offset = (size_t)(request->filled % plan->block.len);
        size_t len = plan->block.len - offset;
        ssize_t sent;

        if (len > plan->filler - request->filled)
            len = (size_t)(plan->filler - request->filled);
        sent = send_some(server, conn, plan->block.ptr + offset, len);
        if (sent < 0)
            return false;
        request->filled += (uint64_t)sent;
    }
    while (request->tail_sent < plan->tail.len) {
        const ssize_t sent = send_some(server, conn, plan->tail.data + request->tail_sent,
                                       plan->tail.len - request->tail_sent);

        if (sent < 0)
            return false;
        request->tail_sent += (size_t)sent;
    }
    return true;
}

/* Sends what is due, as far as the socket takes it. */
static void request_advance(struct server *server, struct conn *conn)
{
    struct request *request = conn->request;
    const struct plan *plan = &request->plan;
    const int64_t now = pl_monotonic_us();
    size_t limit;

    while (request->next < plan->n_pieces && piece_due(request, request->next) <= now)
        request->next++;
    limit = request->next ? plan->pieces[request->next - 1].end : 0;
    while (request->sent < limit) {
        const ssize_t sent =
            send_some(server, conn, plan->bytes.data + request->sent, limit - request->sent);

        if (sent < 0)
            return;
        request->sent += (size_t)sent;
    }
    if (request->next < plan->n_pieces)
        timers_set(&server->timers, &conn->due, piece_due(request, request->next));
    else if (send_filler(server, conn))
        request_done(server, conn);
}

/* ---- requests ---- */

static void text_of_content(struct pl_str content, struct pl_buf *out)
{
    struct json_iter it;
    struct pl_str text;

    if (json_type(content) == JSON_STRING) {
        json_decode_string(content, out);
        return;
    }
    if (json_type(content) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        if (json_get(it.value, PL_STR("text"), &text) && json_type(text) == JSON_STRING)
            json_decode_string(text, out);
    }
}

static void last_user_text(struct pl_str body, struct pl_buf *out)
{
    struct pl_str messages, message, role, content;

    if (!json_get(body, PL_STR("messages"), &messages) || json_type(messages) != JSON_ARRAY)
        return;
    for (int64_t i = -1; json_at(messages, i, &message); i--) {
        if (json_get(message, PL_STR("role"), &role) && pl_str_is(role, "\"user\"") &&
            json_get(message, PL_STR("content"), &content)) {
            text_of_content(content, out);
            return;
        }
    }
}

/* Decides by count whether the faults asked for strike this time. */
static void decide_faults(struct server *server, uint64_t hash, struct behaviour *behaviour)
{
    if (behaviour->times > 0 && behaviour->fault != FAULT_NONE &&
        figures_seen(&server->figures, hash) > (unsigned)behaviour->times)
        behaviour->fault = FAULT_NONE;
    for (int i = 0; i < behaviour->n_percents && behaviour->fault == FAULT_NONE; i++) {
        const struct percent_fault *percent = &behaviour->percents[i];

        if (figures_nth(&server->figures, percent->status, percent->percent)) {
            behaviour->fault = FAULT_STATUS;
            behaviour->status = percent->status;
            if (percent->status == 429 && behaviour->retry_after < 0 &&
                behaviour->retry_after_ms < 0)
                behaviour->retry_after = 1;
        }
    }
}

/* Independent draws: a call and the next one may both be slow. */
static bool is_slow(struct server *server, const struct behaviour *behaviour)
{
    uint64_t x;

    if (behaviour->slow_percent <= 0)
        return false;
    x = server->slow_random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (double)(x >> 11) * 0x1p-53 * 100 < behaviour->slow_percent;
}

static double latency(struct server *server, const struct behaviour *behaviour)
{
    double ms = behaviour->latency_ms;

    if (behaviour->jitter_ms > 0) {
        server->random = server->random * 1664525u + 1013904223u;
        ms += behaviour->jitter_ms * (server->random >> 8) / 16777216.0;
    }
    return is_slow(server, behaviour) ? ms * behaviour->slow_times : ms;
}

static void begin_answer(struct server *server, struct conn *conn, const struct http_in *in,
                         struct request *request, struct pl_str echo)
{
    const uint64_t hash = figures_hash(in->body.len ? in->body : in->path);
    const struct fake_request asked = {.model = pl_buf_view(&request->model),
                                       .prompt = pl_buf_view(&request->prompt),
                                       .echo = echo,
                                       .stream = request->stream,
                                       .close = in->close,
                                       .id = (uint32_t)hash,
                                       .body_len = in->body.len};

    decide_faults(server, hash, &request->behaviour);
    request->n = ++server->last_n;
    request->start_us = pl_monotonic_us();
    if (!plan_make(&asked, &request->behaviour, latency(server, &request->behaviour),
                   &request->plan)) {
        request->plan.end = PLAN_BREAK_RST; /* out of memory: the client sees a reset */
    }
    conn->request = request;
    server->figures.calls++;
    if (request->plan.status >= 400)
        server->figures.errors++;
    if (++server->figures.inflight > server->figures.peak)
        server->figures.peak = server->figures.inflight;
    request_advance(server, conn);
}

static struct request *request_new(const struct http_in *in)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    pl_buf_init(&request->path, 4096);
    pl_buf_init(&request->model, 4096);
    pl_buf_init(&request->prompt, (size_t)64 << 20);
    pl_buf_init(&request->key, 4096);
    pl_buf_str(&request->path, in->path);
    pl_buf_str(&request->key, http_in_header(in, "idempotency-key"));
    return request;
}

static bool has_key(const struct server *server, const struct http_in *in, bool anthropic)
{
    const struct pl_str value = http_in_header(in, anthropic ? "x-api-key" : "authorization");

    if (!server->options.key)
        return true;
    if (anthropic)
        return pl_str_is(value, server->options.key);
    return pl_str_starts(value, PL_STR("Bearer ")) &&
           pl_str_is(pl_str_n(value.ptr + 7, value.len - 7), server->options.key);
}

/* The Messages API refuses more than the other. */
static void judge_messages(const struct http_in *in, struct behaviour *behaviour)
{
    const char *problem = messages_problem(in->body, behaviour->think);

    if (!http_in_header(in, "anthropic-version").len)
        problem = "anthropic-version: header is required";
    if (!problem)
        return;
    behaviour_from_model(PL_STR("s400"), behaviour);
    behaviour->problem = problem;
}

static void request_chat(struct server *server, struct conn *conn, const struct http_in *in,
                         bool anthropic)
{
    struct request *request = request_new(in);
    const bool json = json_check(in->body, 64, NULL, NULL) == PL_OK;
    struct pl_str value;

    if (!request) {
        conn_close(server, conn, true);
        return;
    }
    if (json && json_get(in->body, PL_STR("model"), &value) && json_type(value) == JSON_STRING)
        json_decode_string(value, &request->model);
    if (json && json_get(in->body, PL_STR("stream"), &value))
        request->stream = json_type(value) == JSON_TRUE;
    if (json)
        last_user_text(in->body, &request->prompt);
    behaviour_from_model(pl_buf_view(&request->model), &request->behaviour);
    behaviour_from_prompt(pl_buf_view(&request->prompt), &request->behaviour);
    if (json) {
        script_apply(in->body, &request->behaviour);
        script_facts(in->body, &request->facts);
    }
    if (!has_key(server, in, anthropic))
        behaviour_from_model(PL_STR("s401"), &request->behaviour);
    else if (!json || !request->model.len)
        behaviour_from_model(PL_STR("s400"), &request->behaviour);
    else if (anthropic)
        judge_messages(in, &request->behaviour);
    request->behaviour.anthropic = anthropic;
    begin_answer(server, conn, in, request, (struct pl_str){0});
}

/* /http/<words>: what came in, as JSON, with the behaviour the words ask for. */
static void request_echo(struct server *server, struct conn *conn, const struct http_in *in)
{
    struct request *request = request_new(in);
    struct pl_buf echo;

    if (!request) {
        conn_close(server, conn, true);
        return;
    }
    pl_buf_init(&echo, (size_t)64 << 20);
    http_in_write_json(in, &echo);
    pl_buf_append(&request->model, in->path.ptr + 6, in->path.len - 6);
    pl_buf_str(&request->prompt, in->body.len ? in->body : in->query);
    behaviour_from_model(pl_buf_view(&request->model), &request->behaviour);
    behaviour_from_prompt(pl_buf_view(&request->prompt), &request->behaviour);
    begin_answer(server, conn, in, request, pl_buf_view(&echo));
    pl_buf_finish(&echo);
}

static void answer_now(struct server *server, struct conn *conn, int status, struct pl_str body)
{
    char head[128];
    int len =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                 status, status == 200 ? "OK" : "Not Found", body.len);

    if (send_some(server, conn, head, (size_t)len) > 0 && body.len)
        send_some(server, conn, body.ptr, body.len);
}

static bool path_ends(const struct http_in *in, const char *end)
{
    const size_t len = strlen(end);

    return in->path.len >= len && memcmp(in->path.ptr + in->path.len - len, end, len) == 0;
}

static void dispatch(struct server *server, struct conn *conn, const struct http_in *in)
{
    struct pl_buf out;

    if (path_ends(in, "/chat/completions") && pl_str_is(in->method, "POST")) {
        request_chat(server, conn, in, false);
    } else if (path_ends(in, "/v1/messages") && pl_str_is(in->method, "POST")) {
        request_chat(server, conn, in, true);
    } else if (pl_str_starts(in->path, PL_STR("/http/"))) {
        request_echo(server, conn, in);
    } else if (path_ends(in, "/models")) {
        answer_now(
            server, conn, 200,
            PL_STR("{\"object\":\"list\",\"data\":[{\"id\":\"mock-0ms\",\"object\":\"model\"},"
                   "{\"id\":\"mock-200ms\",\"object\":\"model\"}]}\n"));
    } else if (pl_str_is(in->path, "/stats")) {
        pl_buf_init(&out, 4096);
        if (pl_str_is(in->method, "DELETE"))
            figures_reset(&server->figures);
        figures_write(&server->figures, &out);
        answer_now(server, conn, 200, pl_buf_view(&out));
        pl_buf_finish(&out);
    } else if (pl_str_is(in->path, "/log/reset")) {
        figures_log_reset(&server->figures);
        answer_now(server, conn, 200, PL_STR("{\"ok\":true}\n"));
    } else if (pl_str_is(in->path, "/healthz")) {
        answer_now(server, conn, 200, PL_STR("{\"ok\":true}\n"));
    } else {
        answer_now(server, conn, 404, PL_STR("{\"error\":{\"message\":\"no such path\"}}\n"));
    }
}

/* Takes whole requests out of `bytes` until one is being answered; the number of bytes used. */
static size_t take_requests(struct server *server, struct conn *conn, struct pl_str bytes)
{
    size_t used = 0;

    while (conn->fd >= 0 && !conn->request && used < bytes.len) {
        const struct pl_str rest = pl_str_n(bytes.ptr + used, bytes.len - used);
        struct http_in in;
        enum http_in_state state = http_in_parse(rest, &in);

        if (state == HTTP_IN_BAD) {
            answer_now(server, conn, 404, PL_STR("{\"error\":{\"message\":\"not understood\"}}\n"));
            conn_close(server, conn, false);
            break;
        }
        if (state == HTTP_IN_PARTIAL) {
            if (in.expects_continue && !conn->continued)
                send_some(server, conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
            conn->continued = in.expects_continue;
            break;
        }
        conn->continued = false;
        used += in.length;
        dispatch(server, conn, &in);
    }
    return used;
}

/* Looks whether what came early holds a request, now that the last one is answered. */
static void conn_next(struct server *server, struct conn *conn)
{
    size_t used;

    if (conn->fd < 0 || conn->request || !conn->in.len)
        return;
    used = take_requests(server, conn, pl_buf_view(&conn->in));
    if (conn->fd < 0)
        return;
    memmove(conn->in.data, conn->in.data + used, conn->in.len - used);
    conn->in.len -= used;
    if (!conn->in.len)
        pl_buf_finish(&conn->in);
}

/* Reads all there is; false when the client closed. */
static bool conn_read(struct server *server, struct conn *conn)
{
    while (conn->fd >= 0) {
        const ssize_t got = recv(conn->fd, server->scratch, SCRATCH, 0);
        size_t used = 0;

        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        if (!conn->in.len && !conn->request)
            used = take_requests(server, conn, pl_str_n(server->scratch, (size_t)got));
        if (conn->fd >= 0 && used < (size_t)got)
            pl_buf_append(&conn->in, server->scratch + used, (size_t)got - used);
        conn_next(server, conn);
        if (got < SCRATCH)
            return true; /* drained: whatever comes now is a new edge */
    }
    return true;
}

void server_event(struct server *server, struct conn *conn, uint32_t events)
{
    bool open = true;

    if (conn->fd < 0)
        return;
    if (events & EPOLLIN)
        open = conn_read(server, conn);
    if (conn->fd >= 0 && (!open || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))))
        conn_left(server, conn);
    if (conn->fd >= 0 && conn->request && (events & EPOLLOUT)) {
        request_advance(server, conn);
        conn_next(server, conn);
    }
}

void server_tick(struct server *server)
{
    const int64_t now = pl_monotonic_us();
    struct due *due;

    while ((due = timers_first(&server->timers)) && due->at <= now) {
        struct conn *conn = pl_container_of(due, struct conn, due);

        timers_clear(&server->timers, due);
        request_advance(server, conn);
        conn_next(server, conn);
    }
}

int64_t server_wait_us(const struct server *server)
{
    const struct due *due = timers_first(&server->timers);
    const int64_t wait = due ? due->at - pl_monotonic_us() : -1;

    return due && wait < 0 ? 0 : wait;
}

/* ---- lives ---- */

struct conn *server_accept(struct server *server, int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (!conn) {
        close(fd);
        return NULL;
    }
    conn->fd = fd;
    conn->id = ++server->last_conn;
    pl_buf_init(&conn->in, IN_MAX);
    pl_list_append(&server->conns, &conn->link);
    if (++server->figures.connections > server->figures.connections_peak)
        server->figures.connections_peak = server->figures.connections;
    return conn;
}

void server_bury(struct server *server)
{
    struct pl_list *link;

    while ((link = pl_list_pop(&server->dead))) {
        struct conn *conn = pl_container_of(link, struct conn, link);

        pl_buf_finish(&conn->in);
        free(conn);
    }
}

struct server *server_create(const struct server_options *options)
{
    struct server *server = calloc(1, sizeof(*server));
    struct timespec wall;

    if (!server)
        return NULL;
    server->options = *options;
    server->figures.log_fd = -1;
    server->random = 1;
    pl_list_init(&server->conns);
    pl_list_init(&server->dead);
    clock_gettime(CLOCK_REALTIME, &wall);
    server->epoch_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000 - pl_monotonic_us();
    server->scratch = malloc(SCRATCH);
    if (options->log_path)
        server->figures.log_fd =
            open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (!server->scratch || (options->log_path && server->figures.log_fd < 0)) {
        fprintf(stderr, "fake_model: cannot open the log: %s\n", strerror(errno));
        server_destroy(&server);
    }
    return server;
}

void server_destroy(struct server **server)
{
    struct server *s = *server;

    if (!s)
        return;
    while (!pl_list_empty(&s->conns)) {
        struct conn *conn = pl_container_of(s->conns.next, struct conn, link);

        request_end(s, conn, "unfinished", false);
        conn_close(s, conn, false);
    }
    server_bury(s);
    timers_finish(&s->timers);
    figures_finish(&s->figures);
    free(s->scratch);
    free(s);
    *server = NULL;
}
