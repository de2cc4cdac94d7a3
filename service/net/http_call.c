/* http_call.c - one outgoing request from start to done: its phases, its timers, its limits and how
 * it ended. Not which multi handle carries it (http_multi.c), not curl's options (http_easy.c).
 * Called by llm providers and the http step.
 *
 *   start -> CONNECTING -> WAITING (the request is out) -> BODY (the headers are there) -> done
 *
 * Between start and CONNECTING a call may stand in line (http_pace.h); it has no easy handle then,
 * and its timeouts do not run.
 *
 * A call has one timer for all its timeouts. It is not moved as bytes arrive: they only note the
 * time, and when the timer fires it looks again when the call would really be late. */
#include "service/net/http_call.h"

#include "base/limits.h"
#include "service/net/http_easy.h"
#include "service/net/http_headers.h"
#include "service/net/http_multi.h"
#include "service/net/http_outcome.h"
#include "service/net/loop_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HEADER_BYTES_MOST = 256 << 10
}; /* an answer with more is refused; curl itself gives up at 300 KB */

enum phase { CONNECTING, WAITING, BODY };

struct http_call {
    struct loop *loop;
    struct http_multis *multis;
    struct http_multi *multi; /* which carries it, NULL: none */
    struct http_easy *easy;   /* NULL until it begins */
    const struct http_request *request;
    struct http_call_handler handler;
    void *arg;
    struct loop_timer timer;
    struct loop_mail mail;
    struct http_pace_place turn;  /* while it stands in line */
    struct http_name_place place; /* while it has no address yet */
    pl_ms started;
    pl_ms since; /* of CONNECTING and WAITING: when it began; of BODY: the last byte */
    struct pl_err
        *err; /* why Plait ended it, with `code`; NULL when there was no memory for the words */
    enum pl_code code;     /* PL_OK: curl decides */
    struct pl_buf headers; /* lines that came, each with its LF */
    size_t header_bytes, body_bytes;
    int status;
    int os_error; /* of a socket that could not be made */
    enum phase phase;
    bool closing; /* ended by us: only `done` is left, by mail */
    bool mail_queued;
    bool arming;    /* inside loop_timer_set */
    bool unarmed;   /* there was no memory for the timer */
    bool connected; /* a connection stood once */
    bool denied;    /* the policy refused an address */
    bool permitted; /* and let another pass */
    void *lines[];  /* the request's header lines, as http_headers_write makes them */
};

/* ---- ending ---- */

static enum pl_code fail(struct http_call *call, enum pl_code code, const char *fmt, ...)
    PL_PRINTF(3, 4);

/* Notes why the call fails; the first reason stays. */
static enum pl_code fail(struct http_call *call, enum pl_code code, const char *fmt, ...)
{
    char text[PL_ERR_MESSAGE_MAX];
    va_list args;

    if (call->code != PL_OK)
        return call->code;
    call->code = code;
    call->err = malloc(sizeof *call->err);
    if (!call->err)
        return code;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return pl_err_set(call->err, code, "%s", text);
}

static void leave_multi(struct http_call *call)
{
    if (!call->multi)
        return;
    http_multi_remove(call->multi, call->easy);
    call->multi = NULL;
}

static void fill_outcome(const struct http_call *call, CURLcode result,
                         struct http_outcome *outcome)
{
    struct http_ending ending = {.result = result,
                                 .words = call->easy ? call->easy->error : "",
                                 .url = call->request->url,
                                 .sent = call->phase != CONNECTING,
                                 .head = call->phase == BODY,
                                 .os_error = call->os_error};
    long os_error = 0;
    curl_off_t began = 0;

    outcome->status = call->status;
    outcome->connected = call->connected;
    if (call->code != PL_OK) {
        if (call->err)
            outcome->err = *call->err;
        else
            pl_err_set(&outcome->err, call->code, "%s", pl_code_title(call->code));
        return;
    }
    if (!ending.os_error &&
        curl_easy_getinfo(call->easy->curl, CURLINFO_OS_ERRNO, &os_error) == CURLE_OK)
        ending.os_error = (int)os_error;
    ending.began =
        curl_easy_getinfo(call->easy->curl, CURLINFO_STARTTRANSFER_TIME_T, &began) == CURLE_OK &&
        began > 0;
    http_outcome_of(&ending, &outcome->err);
}

static void post(struct http_call *call)
{
    if (call->mail_queued)
        return;
    call->mail_queued = true;
    loop_post(call->loop, &call->mail);
}

/* The call has its address, or needs none any more: others to the same name may go. */
static void leave_line(struct http_call *call)
{
    struct http_name *name = http_names_leave(&call->place);
    struct http_name_place *next;

    while ((next = http_names_next(name)))
        post(pl_container_of(next, struct http_call, place));
}

/* Tells the caller and frees. Not inside curl. */
static void finish(struct http_call *call, CURLcode result)
{
    struct http_outcome outcome;
    struct loop *loop = call->loop;

    fill_outcome(call, result, &outcome);
    leave_multi(call);
    leave_line(call);
    loop_timer_clear(loop, &call->timer);
    if (call->easy)
        http_easy_give_back(http_multis_easies(call->multis), call->easy);
    call->easy = NULL;
    loop_hold(loop); /* what `done` begins follows without a gap in which the loop could end */
    loop_transfer_ended(loop);
    call->handler.done(call->arg, call, &outcome);
    loop_release(loop);
    pl_buf_finish(&call->headers);
    free(call->err);
    free(call);
}

/* Ends the call without telling the caller yet. */
static void close_call(struct http_call *call)
{
    call->closing = true;
    http_pace_leave(&call->turn);
    if (!http_multis_busy(call->multis))
        leave_multi(call);
    post(call);
}

/* ---- timeouts ---- */

static pl_ms later(pl_ms from, pl_ms wait, pl_ms usual)
{
    const pl_ms most = (pl_ms)10 * 366 * 86400 * 1000;

    if (wait <= 0)
        wait = usual;
    return from + (wait < most ? wait : most);
}

/* When the call is late, as things stand, and for what. */
static pl_ms deadline(const struct http_call *call, const char **ret_what)
{
    const struct http_request *request = call->request;
    pl_ms total = later(call->started, request->total_timeout, PL_LIMIT_ATTEMPT_MS), at = 0;

    switch (call->phase) {
    case CONNECTING:
        at = later(call->since, request->connect_timeout, PL_LIMIT_CONNECT_MS);
        *ret_what = "connect timeout: no connection to %s after %s";
        break;
    case WAITING:
        at = later(call->since, request->first_byte_timeout, PL_LIMIT_FIRST_BYTE_MS);
        *ret_what = "first byte timeout: %s did not begin to answer within %s";
        break;
    case BODY:
        at = later(call->since, request->idle_timeout, PL_LIMIT_IDLE_MS);
        *ret_what = "idle timeout: %s went silent in its answer for %s";
        break;
    }
    if (at < total)
        return at;
    *ret_what = "total timeout: the answer of %s was not whole after %s";
    return total;
}

static void arm(struct http_call *call)
{
    const char *what;

    call->arming = true;
    loop_timer_set(call->loop, &call->timer, deadline(call, &what));
    call->arming = false;
    if (!call->unarmed)
        return;
    /* a call that could hang for ever is worse than one that fails */
    fail(call, PL_ERR_NO_MEMORY, "no memory for the timer of a call");
    close_call(call);
}

/* The phase changed: usually the timer may stay where it is, and look again when it fires. */
static void enter(struct http_call *call, enum phase phase)
{
    const char *what;

    call->phase = phase;
    call->since = loop_now(call->loop);
    if (call->timer.slot && deadline(call, &what) < call->timer.at)
        arm(call);
}

static void on_timer(struct loop *loop, struct loop_timer *timer)
{
    struct http_call *call = pl_container_of(timer, struct http_call, timer);
    char host[HTTP_HOST_TEXT], waited[24], text[PL_ERR_MESSAGE_MAX];
    const char *what;
    pl_ms at, from;

    if (call->arming) {
        call->unarmed = true;
        return;
    }
    if (call->closing)
        return; /* its mail is on its way */
    at = deadline(call, &what);
    if (at > loop_now(loop)) {
        arm(call);
        return;
    }
    from = strncmp(what, "total", 5) == 0 ? call->started : call->since;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of the four above */
    snprintf(text, sizeof text, what, http_outcome_host(call->request->url, host),
             pl_duration_format(at - from, waited));
#pragma GCC diagnostic pop
    fail(call, PL_ERR_TIMEOUT, "%s", text);
    close_call(call); /* not finish: mail may be on its way already, that its name is known */
}

/* ---- inside curl ---- */

/* CURLOPT_OPENSOCKETFUNCTION: the one place where the address that is really used is known. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_call *call = ((struct http_easy *)arg)->call;
    struct pl_err err;
    curl_socket_t fd;

    leave_line(call);
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (!net_policy_permits(call->request->policy, &address->addr, &err)) {
        if (!call->denied && !call->permitted)
            fail(call, err.code, "%s", err.message);
        call->denied = true;
        return CURL_SOCKET_BAD;
    }
    /* a name with several addresses: one that may be called decides how the call ends */
    call->permitted = true;
    if (call->code == PL_ERR_ADDRESS_DENIED && call->denied) {
        call->code = PL_OK;
        free(call->err);
        call->err = NULL;
    }
    fd = http_multis_socket(call->multis, address);
    if (fd == CURL_SOCKET_BAD)
        call->os_error = errno;
    return fd;
}

/* CURLOPT_PREREQFUNCTION: a connection stands, the request goes out now. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct http_call *call = ((struct http_easy *)arg)->call;

    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    leave_line(call); /* on a kept connection no address was asked for */
    call->connected = true;
    enter(call, WAITING);
    return call->closing ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void on_head(struct http_call *call)
{
    long status = 0;

    curl_easy_getinfo(call->easy->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) /* an interim answer: the real one follows */
        return;
    call->status = (int)status;
    enter(call, BODY);
    if (call->handler.head && !call->closing)
        call->handler.head(call->arg, call, call->status);
}

static void keep_line(struct http_call *call, struct pl_str line)
{
    while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    if (call->headers.len + line.len + 1 > PL_LIMIT_HEADER_BYTES)
        return;
    pl_buf_str(&call->headers, line);
    pl_buf_char(&call->headers, '\n');
    if (pl_buf_failed(&call->headers))
        fail(call, PL_ERR_NO_MEMORY, "no memory for the headers of an answer");
}

/* CURLOPT_HEADERFUNCTION: one line, also of interim answers and trailers. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *call = ((struct http_easy *)arg)->call;
    struct pl_str line = pl_str_n(data, size * n);

    call->header_bytes += line.len;
    if (call->header_bytes > HEADER_BYTES_MOST) /* trailers too: curl keeps every one of them */
        fail(call, PL_ERR_RESPONSE_TOO_LARGE, "the headers of the answer are larger than %d bytes",
             (int)HEADER_BYTES_MOST);
    else if (call->phase == BODY) /* trailers */
        call->since = loop_now(call->loop);
    else if (pl_str_starts(line, PL_STR("HTTP/")))
        pl_buf_reset(&call->headers);
    else if (line.len <= 2 && (line.len == 0 || line.ptr[0] == '\r' || line.ptr[0] == '\n'))
        on_head(call);
    else
        keep_line(call, line);
    return call->closing || call->code != PL_OK ? 0 : line.len;
}

static size_t largest_body(const struct http_call *call)
{
    return call->request->max_body ? call->request->max_body : PL_LIMIT_RESPONSE_BYTES;
}

/* CURLOPT_WRITEFUNCTION: a piece of the body, decompressed. */
static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *call = ((struct http_easy *)arg)->call;
    struct pl_str piece = pl_str_n(data, size * n);
    size_t most = largest_body(call);
    struct pl_err err = {.code = PL_OK};
    enum pl_code code;

    call->since = loop_now(call->loop);
    if (piece.len == 0)
        return 0;
    if (call->closing)
        return 0;
    if (piece.len > most - call->body_bytes) {
        fail(call, PL_ERR_RESPONSE_TOO_LARGE, "the answer is larger than %zu bytes", most);
        return 0;
    }
    call->body_bytes += piece.len;
    code = call->handler.data(call->arg, call, piece, &err);
    if (code == PL_OK && !call->closing)
        return piece.len;
    if (code != PL_OK)
        fail(call, code, "%s", err.code == code ? err.message : pl_code_title(code));
    return 0;
}

/* CURLOPT_XFERINFOFUNCTION, only of calls that may be answered compressed: what comes in counts
 * too, since a body can be large and unpack to nothing. */
static int on_progress(void *arg, curl_off_t total, curl_off_t received, curl_off_t unused,
                       curl_off_t unused_too)
{
    struct http_call *call = ((struct http_easy *)arg)->call;
    size_t most = call ? largest_body(call) : 0;

    (void)total;
    (void)unused;
    (void)unused_too;
    if (!call || received <= 0 || (uint64_t)received <= most)
        return 0;
    fail(call, PL_ERR_RESPONSE_TOO_LARGE, "the answer is larger than %zu bytes", most);
    return 1;
}

static const struct http_easy_hooks hooks = {.header = on_header,
                                             .write = on_data,
                                             .open_socket = on_open_socket,
                                             .ready = on_connected,
                                             .progress = on_progress};

/* ---- life ---- */

/* Gets the call an easy handle, set to its request. */
static bool set_up(struct http_call *call)
{
    struct http_easy *easy = http_easy_take(http_multis_easies(call->multis), &hooks, call->multis);
    struct curl_slist *headers;
    struct pl_err err;
    enum pl_code code;

    if (!easy) {
        fail(call, PL_ERR_NO_MEMORY, "no memory for a call");
        return false;
    }
    call->easy = easy;
    easy->call = call;
    headers = http_headers_write(call->request, call->lines);
    code = http_easy_set(easy, call->request, headers, &err);
    if (code != PL_OK)
        fail(call, code, "%s", err.message);
    return code == PL_OK;
}

/* False when the call has failed. True also when it has to wait for others to the same name:
 * leave_line posts it then. */
static bool begin(struct http_call *call)
{
    if (!call->place.name &&
        !http_names_enter(http_multis_names(call->multis), call->request->url, &call->place))
        return true;
    if (!call->easy && !set_up(call))
        return false;
    call->multi = http_multis_add(call->multis, net_policy_id(call->request->policy), call->easy);
    if (call->multi)
        return true;
    fail(call, PL_ERR_NO_MEMORY, "no memory for a call");
    return false;
}

/* The kept connections were all dead: the server closed them, and curl gives up after a few. That
 * is no failure of the server's, as nothing shows that it saw the request: once more on a new
 * connection. */
static bool try_fresh(struct http_call *call, CURLcode result)
{
    long opened = 1;

    if ((result != CURLE_GOT_NOTHING && result != CURLE_SEND_ERROR && result != CURLE_RECV_ERROR) ||
        call->header_bytes || call->easy->fresh || call->code != PL_OK)
        return false;
    curl_easy_getinfo(call->easy->curl, CURLINFO_NUM_CONNECTS, &opened);
    if (opened)
        return false;
    leave_multi(call);
    http_easy_set_fresh(call->easy);
    enter(call, CONNECTING);
    return begin(call);
}

/* http_multi_ended */
static void on_ended(struct http_easy *easy, CURLcode result)
{
    if (easy->call->closing)
        leave_multi(easy->call);
    else if (!try_fresh(easy->call, result))
        finish(easy->call, result);
}

static void on_mail(struct loop *loop, struct loop_mail *mail)
{
    struct http_call *call = pl_container_of(mail, struct http_call, mail);

    (void)loop;
    call->mail_queued = false;
    if (call->closing || (!call->multi && !begin(call)))
        finish(call, CURLE_OK);
}

/* Its turn has come: from here on its timeouts run. */
static void launch(struct http_call *call)
{
    call->started = call->since = loop_now(call->loop);
    if (begin(call))
        arm(call);
    else
        close_call(call);
}

/* http_pace.begin */
static void on_turn(struct http_pace_place *turn)
{
    launch(pl_container_of(turn, struct http_call, turn));
}

static struct http_call *create(struct loop *loop, struct http_multis *multis,
                                const struct http_request *request, size_t lines)
{
    struct http_call *call = calloc(1, sizeof *call + lines);

    if (!call)
        return NULL;
    call->loop = loop;
    call->multis = multis;
    call->request = request;
    call->timer.fire = on_timer;
    call->mail.deliver = on_mail;
    pl_buf_init(&call->headers, PL_LIMIT_HEADER_BYTES);
    return call;
}

struct http_call *http_call_start(struct loop *loop, const struct http_request *request,
                                  const struct http_call_handler *handler, void *arg)
{
    struct http_multis *multis = http_multis_of(loop, on_ended, on_turn);
    struct pl_err err;
    size_t lines = http_headers_size(request, &err);
    struct http_call *call = multis ? create(loop, multis, request, lines) : NULL;

    if (!call)
        return NULL;
    call->handler = *handler;
    call->arg = arg;
    loop_transfer_begun(loop);
    if (lines == 0) {
        fail(call, err.code, "%s", err.message);
        close_call(call);
    } else if (http_multis_busy(multis)) {
        http_pace_wait(http_multis_pace(multis), &call->turn);
    } else if (http_pace_enter(http_multis_pace(multis), &call->turn)) {
        launch(call);
    }
    return call;
}

void http_call_abort(struct http_call *call)
{
    free(call->err);
    call->err = NULL;
    call->code = PL_OK;
    fail(call, PL_ERR_CANCELLED, "the call was cancelled");
    close_call(call);
}

struct pl_str http_call_header_lines(const struct http_call *call)
{
    return pl_buf_view(&call->headers);
}

struct pl_str http_call_header(const struct http_call *call, const char *name)
{
    if (call->phase != BODY)
        return (struct pl_str){0};
    return http_headers_find(pl_buf_view(&call->headers), name);
}

pl_ms http_call_retry_after(const struct http_call *call, pl_ms now)
{
    return http_headers_retry_after(http_call_header(call, "retry-after-ms"),
                                    http_call_header(call, "retry-after"), now);
}
