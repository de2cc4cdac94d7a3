/* test_http_faults.c - what goes wrong with a call and what it is then called: refused, broken,
 * cut, late, too large, not HTTP, denied, aborted. Whole answers are in test_http_call.c. Run by
 * ctest. */
#include "base/limits.h"
#include "service/net/http_call.h"
#include "tests/support/http_fixture.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_5  PL_STR("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
#define CHUNKED PL_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

/* The code, words in the message, and that the path and query, which may hold secrets, are not in
 * it. */
static void assert_failed(const struct http_probe *probe, enum pl_code code, const char *words,
                          int status, bool connected)
{
    const struct pl_err *err = &probe->outcome.err;

    ck_assert_msg(err->code == code, "%s instead of %s: %s", pl_code_text(err->code),
                  pl_code_text(code), err->message);
    ck_assert_msg(strstr(err->message, words) != NULL, "\"%s\" not in: %s", words, err->message);
    ck_assert_msg(strstr(err->message, "s3cret") == NULL, "%s", err->message);
    ck_assert_int_eq(probe->outcome.status, status);
    ck_assert_int_eq(probe->outcome.connected, connected);
    ck_assert_uint_eq(probe->dones, 1);
}

static void get_fails(unsigned port, enum pl_code code, const char *words, int status)
{
    struct http_probe probe;

    http_probe_get(&probe, loop_0(), port, "/path?key=s3cret");
    assert_failed(&probe, code, words, status, true);
    http_probe_finish(&probe);
}

/* A port that nobody listens on. */
static unsigned closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ck_assert(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

START_TEST(a_refused_connection_is_unreachable_and_says_where)
{
    struct http_probe probe;
    unsigned port = closed_port();
    char words[64];

    snprintf(words, sizeof words, "127.0.0.1:%u: Connection refused", port);
    http_probe_get(&probe, loop_0(), port, "/path?key=s3cret");
    assert_failed(&probe, PL_ERR_UNREACHABLE, words, 0, false);
    ck_assert_uint_eq(probe.heads, 0);
    http_probe_finish(&probe);
}
END_TEST

/* A label over 63 bytes cannot exist, so that the resolver says so without asking anybody. */
#define NO_SUCH_NAME \
    "n234567890123456789012345678901234567890123456789012345678901234567890.invalid"

START_TEST(a_name_that_does_not_exist_is_unreachable)
{
    struct http_probe probe;

    http_probe_init(&probe, loop_0(), 1, "/");
    probe.request.url = PL_STR("http://" NO_SUCH_NAME ":8080/path?key=s3cret");
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_failed(&probe, PL_ERR_UNREACHABLE, NO_SUCH_NAME ":8080", 0, false);
    http_probe_finish(&probe);
}
END_TEST

static void https_fails(unsigned port, enum pl_code code, const char *words)
{
    struct http_probe probe;
    char url[128];

    snprintf(url, sizeof url, "https://127.0.0.1:%u/path?key=s3cret", port);
    http_probe_init(&probe, loop_0(), port, "/");
    probe.request.url = pl_str(url);
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_failed(&probe, code, words, 0, false);
    http_probe_finish(&probe);
}

START_TEST(a_handshake_that_fails_is_tls_and_one_that_breaks_off_is_a_lost_connection)
{
    https_fails(SERVE({.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 400 Bad Request\r\n\r\n")}),
                PL_ERR_TLS, "TLS with 127.0.0.1");
    raw_server_stop(&server);
    https_fails(SERVE({.action = RAW_PAUSE, .times = 50}, {.action = RAW_CLOSE}),
                PL_ERR_CONNECTION_LOST, "TLS handshake");
    raw_server_stop(&server);
    https_fails(SERVE({.action = RAW_PAUSE, .times = 50}, {.action = RAW_RESET}),
                PL_ERR_CONNECTION_LOST, "TLS handshake");
}
END_TEST

START_TEST(a_connection_that_ends_before_the_headers_is_lost)
{
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_RESET}), PL_ERR_CONNECTION_LOST,
              "127.0.0.1", 0);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_CLOSE}), PL_ERR_CONNECTION_LOST,
              "127.0.0.1", 0);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ},
                    {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Le")},
                    {.action = RAW_RESET}),
              PL_ERR_CONNECTION_LOST, "127.0.0.1", 0);
}
END_TEST

START_TEST(headers_that_break_off_in_an_orderly_close_are_no_answer)
{
    struct http_probe probe;
    unsigned port = SERVE({.action = RAW_READ},
                          {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Le")},
                          {.action = RAW_CLOSE});

    http_probe_get(&probe, loop_0(), port, "/");
    assert_failed(&probe, PL_ERR_CONNECTION_LOST, "127.0.0.1", 0, true);
    ck_assert_uint_eq(probe.heads, 0);
    http_probe_finish(&probe);
}
END_TEST

START_TEST(a_body_that_is_cut_is_never_whole)
{
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                    {.action = RAW_SEND, .bytes = PL_STR("hell")}, {.action = RAW_CLOSE}),
              PL_ERR_TRUNCATED, "127.0.0.1", 200);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
                    {.action = RAW_SEND, .bytes = PL_STR("3\r\nabc\r\n")}, {.action = RAW_CLOSE}),
              PL_ERR_TRUNCATED, "127.0.0.1", 200);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
                    {.action = RAW_SEND, .bytes = PL_STR("8\r\nabc")}, {.action = RAW_CLOSE}),
              PL_ERR_TRUNCATED, "127.0.0.1", 200);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                    {.action = RAW_SEND, .bytes = PL_STR("hell")},
                    {.action = RAW_PAUSE, .times = 50}, {.action = RAW_RESET}),
              PL_ERR_TRUNCATED, "127.0.0.1", 200);
}
END_TEST

START_TEST(what_is_not_http_is_a_bad_response)
{
    get_fails(SERVE({.action = RAW_READ},
                    {.action = RAW_SEND, .bytes = PL_STR("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n")},
                    {.action = RAW_CLOSE}),
              PL_ERR_BAD_RESPONSE, "127.0.0.1", 0);
    raw_server_stop(&server);
    get_fails(
        SERVE({.action = RAW_READ},
              {.action = RAW_SEND, .bytes = PL_STR("\x15\x03\x01\x00\x02\x02\x50"), .times = 400},
              {.action = RAW_CLOSE}),
        PL_ERR_BAD_RESPONSE, "127.0.0.1", 0);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
                    {.action = RAW_SEND, .bytes = PL_STR("zz\r\nabc\r\n0\r\n\r\n")}),
              PL_ERR_BAD_RESPONSE, "127.0.0.1", 200);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ},
                    {.action = RAW_SEND,
                     .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\nhello")}),
              PL_ERR_BAD_RESPONSE, "127.0.0.1", 0);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ},
                    {.action = RAW_SEND,
                     .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                     "Content-Length: 30\r\n\r\nthis is no gzip and never was.")}),
              PL_ERR_BAD_RESPONSE, "127.0.0.1", 200);
}
END_TEST

START_TEST(a_body_over_the_limit_ends_the_call_and_the_connection)
{
    struct http_probe probe;
    unsigned port =
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
              {.action = RAW_SEND, .bytes = PL_STR("a\r\n0123456789\r\n"), .times = 1u << 30});

    http_probe_init(&probe, loop_0(), port, "/path?key=s3cret");
    probe.request.max_body = 100000;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_failed(&probe, PL_ERR_RESPONSE_TOO_LARGE, "100000 bytes", 200, true);
    ck_assert_uint_le(probe.body.len, 100000);
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    http_probe_finish(&probe);
}
END_TEST

START_TEST(a_compressed_bomb_is_counted_as_it_unfolds)
{
    /* one deflate block that unfolds to 64 KiB of zeros, ended at a byte so that it can follow
     * itself */
    static char block[83] = "\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a";
    static const char end[] = {0x6a, 0x00, 0x00, 0x00, (char)0xff, (char)0xff};
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
                               "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";
    const struct raw_step steps[] = {
        {.action = RAW_READ},
        {.action = RAW_SEND, .bytes = pl_str_n(head, sizeof head - 1)},
        {.action = RAW_SEND, .bytes = pl_str_n(block, sizeof block), .times = 4000},
        {.action = RAW_STALL},
    };
    struct http_probe probe;

    memcpy(block + sizeof block - sizeof end, end, sizeof end);
    http_probe_get(&probe, loop_0(), serve(steps, PL_ARRAY_LEN(steps)), "/path?key=s3cret");
    assert_failed(&probe, PL_ERR_RESPONSE_TOO_LARGE, "8388608 bytes", 200, true);
    ck_assert_uint_gt(probe.body.len, 1 << 20);
    ck_assert_uint_le(probe.body.len, PL_LIMIT_RESPONSE_BYTES);
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    http_probe_finish(&probe);
}
END_TEST

START_TEST(a_million_header_bytes_are_refused)
{
    get_fails(
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\n")},
              {.action = RAW_SEND, .bytes = PL_STR("X-Header: 0123456789\r\n"), .times = 45455},
              {.action = RAW_SEND, .bytes = PL_STR("Content-Length: 0\r\n\r\n")}),
        PL_ERR_RESPONSE_TOO_LARGE, "headers", 0);
    raw_server_stop(&server);
    get_fails(SERVE({.action = RAW_READ},
                    {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nX-Header: ")},
                    {.action = RAW_SEND, .bytes = PL_STR("0123456789"), .times = 100000},
                    {.action = RAW_SEND, .bytes = PL_STR("\r\nContent-Length: 0\r\n\r\n")}),
              PL_ERR_RESPONSE_TOO_LARGE, "headers", 0);
    raw_server_stop(&server);
    get_fails(
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
              {.action = RAW_SEND, .bytes = PL_STR("2\r\nok\r\n0\r\n")},
              {.action = RAW_SEND, .bytes = PL_STR("X-Trailer: 012345678\r\n"), .times = 45455},
              {.action = RAW_SEND, .bytes = PL_STR("\r\n")}),
        PL_ERR_RESPONSE_TOO_LARGE, "headers", 200);
}
END_TEST

START_TEST(a_status_line_without_an_end_is_too_large_and_no_want_of_memory)
{
    get_fails(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 ")},
                    {.action = RAW_SEND, .bytes = PL_STR("OK and so"), .times = 200000}),
              PL_ERR_RESPONSE_TOO_LARGE, "headers", 0);
}
END_TEST

/* Fewer than 5000 lines: newer versions of curl refuse more, however short. */
START_TEST(headers_over_what_is_kept_are_dropped_and_the_answer_is_whole)
{
    unsigned port = SERVE(
        {.action = RAW_READ},
        {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")},
        {.action = RAW_SEND,
         .bytes = PL_STR("X-Header: 01234567890123456789012345678901\r\n"),
         .times = 4000},
        {.action = RAW_SEND, .bytes = PL_STR("Content-Length: 2\r\n\r\nok")});
    struct http_probe probe;

    http_probe_get(&probe, loop_0(), port, "/");
    ck_assert_msg(probe.outcome.err.code == PL_OK, "%s", probe.outcome.err.message);
    ck_assert_str_eq(probe.content_type, "text/plain");
    ck_assert_uint_eq(probe.body.len, 2);
    http_probe_finish(&probe);
}
END_TEST

/* ---- time ---- */

static void time_out(unsigned port, struct http_request timeouts, const char *words, int status,
                     bool connected)
{
    struct http_probe probe;
    int64_t from, took;

    http_probe_init(&probe, loop_0(), port, "/path?key=s3cret");
    probe.request.connect_timeout = timeouts.connect_timeout;
    probe.request.first_byte_timeout = timeouts.first_byte_timeout;
    probe.request.idle_timeout = timeouts.idle_timeout;
    probe.request.total_timeout = timeouts.total_timeout;
    from = pl_monotonic_us();
    http_probe_start(&probe);
    http_probe_wait(&probe);
    took = (pl_monotonic_us() - from) / 1000;
    assert_failed(&probe, PL_ERR_TIMEOUT, words, status, connected);
    ck_assert_int_ge(took, 150);
    ck_assert_int_lt(took, 5000);
    if (connected)
        ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    http_probe_finish(&probe);
}

START_TEST(silence_before_the_first_byte_times_out_by_its_own_timer)
{
    time_out(
        SERVE({.action = RAW_READ}, {.action = RAW_STALL}),
        (struct http_request){.connect_timeout = 50, .first_byte_timeout = 200, .idle_timeout = 50},
        "first byte timeout: 127.0.0.1", 0, true);
}
END_TEST

START_TEST(silence_in_the_body_times_out_by_the_idle_timer)
{
    time_out(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                   {.action = RAW_SEND, .bytes = PL_STR("he")}, {.action = RAW_STALL}),
             (struct http_request){.first_byte_timeout = 9000, .idle_timeout = 200},
             "idle timeout: 127.0.0.1", 200, true);
}
END_TEST

START_TEST(a_call_that_keeps_dripping_ends_at_its_total_time)
{
    time_out(SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = CHUNKED},
                   {.action = RAW_SEND, .bytes = PL_STR("1\r\na\r\n")},
                   {.action = RAW_PAUSE, .times = 100},
                   {.action = RAW_SEND, .bytes = PL_STR("1\r\nb\r\n")},
                   {.action = RAW_PAUSE, .times = 100},
                   {.action = RAW_SEND, .bytes = PL_STR("1\r\nc\r\n")},
                   {.action = RAW_PAUSE, .times = 100},
                   {.action = RAW_SEND, .bytes = PL_STR("1\r\nd\r\n")}, {.action = RAW_STALL}),
             (struct http_request){.idle_timeout = 5000, .total_timeout = 350}, "total timeout",
             200, true);
}
END_TEST

START_TEST(pieces_in_time_keep_a_slow_answer_alive)
{
    unsigned port =
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
              {.action = RAW_PAUSE, .times = 250}, {.action = RAW_SEND, .bytes = PL_STR("he")},
              {.action = RAW_PAUSE, .times = 250}, {.action = RAW_SEND, .bytes = PL_STR("ll")},
              {.action = RAW_PAUSE, .times = 250}, {.action = RAW_SEND, .bytes = PL_STR("o")});
    struct http_probe probe;

    http_probe_init(&probe, loop_0(), port, "/");
    probe.request.idle_timeout = 600;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    ck_assert_msg(probe.outcome.err.code == PL_OK, "%s", probe.outcome.err.message);
    ck_assert_uint_eq(probe.body.len, 5);
    http_probe_finish(&probe);
}
END_TEST

START_TEST(a_connection_that_does_not_come_about_times_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fill[8];

    /* a listener whose queue is full lets connects wait */
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    ck_assert(listen(listener, 0) == 0);
    ck_assert(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    for (size_t i = 0; i < PL_ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&address, sizeof address);
    }
    time_out(ntohs(address.sin_port), (struct http_request){.connect_timeout = 200},
             "connect timeout: no connection to 127.0.0.1", 0, false);
    for (size_t i = 0; i < PL_ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(listener);
}
END_TEST

/* ---- abort ---- */

START_TEST(an_aborted_call_closes_its_connection_within_100_ms)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_STALL});
    struct http_probe probes[8];

    for (unsigned i = 0; i < PL_ARRAY_LEN(probes); i++) {
        http_probe_init(&probes[i], loop_0(), port, "/");
        http_probe_start(&probes[i]);
    }
    ck_assert(raw_server_wait_requests(server, PL_ARRAY_LEN(probes)));
    for (unsigned i = 0; i < PL_ARRAY_LEN(probes); i++)
        http_probe_abort(&probes[i]);
    for (unsigned i = 0; i < PL_ARRAY_LEN(probes); i++) {
        http_probe_wait(&probes[i]);
        assert_failed(&probes[i], PL_ERR_CANCELLED, "cancelled", 0, true);
    }
    for (unsigned i = 0; i < PL_ARRAY_LEN(probes); i++) {
        ck_assert_int_ge(raw_server_peer_closed(server, i), 0);
        ck_assert_int_lt(raw_server_peer_closed(server, i) - probes[0].aborted_at, 100000);
        http_probe_finish(&probes[i]);
    }
}
END_TEST

START_TEST(a_call_may_be_aborted_from_inside_its_own_callbacks)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                          {.action = RAW_SEND, .bytes = PL_STR("hell")}, {.action = RAW_STALL});
    const enum http_probe_abort places[] = {HTTP_PROBE_ABORTS_IN_HEAD, HTTP_PROBE_ABORTS_IN_DATA};

    for (unsigned i = 0; i < PL_ARRAY_LEN(places); i++) {
        struct http_probe probe;

        http_probe_init(&probe, loop_0(), port, "/");
        probe.abort_in = places[i];
        http_probe_start(&probe);
        http_probe_wait(&probe);
        assert_failed(&probe, PL_ERR_CANCELLED, "cancelled", 200, true);
        ck_assert_uint_eq(probe.pieces, i);
        ck_assert_int_lt(raw_server_peer_closed(server, i) - probe.aborted_at, 100000);
        http_probe_finish(&probe);
    }
}
END_TEST

START_TEST(a_call_that_ends_may_abort_its_siblings)
{
    static const struct raw_step ends[] = {{.action = RAW_READ},
                                           {.action = RAW_PAUSE, .times = 100},
                                           {.action = RAW_SEND, .bytes = HEAD_5},
                                           {.action = RAW_SEND, .bytes = PL_STR("hello")}};
    static const struct raw_step both[] = {{.action = RAW_READ}, {.action = RAW_STALL}};
    static const struct raw_script scripts[] = {{ends, PL_ARRAY_LEN(ends)},
                                                {both, PL_ARRAY_LEN(both)}};
    struct http_probe winner, loser;

    server = raw_server_start(scripts, PL_ARRAY_LEN(scripts));
    http_probe_init(&winner, loop_0(), raw_server_port(server), "/");
    http_probe_init(&loser, loop_0(), raw_server_port(server), "/");
    winner.abort_with = &loser;
    http_probe_start(&winner);
    ck_assert(raw_server_wait_connections(server, 1));
    http_probe_start(&loser);
    http_probe_wait(&winner);
    http_probe_wait(&loser);
    ck_assert_int_eq(winner.outcome.err.code, PL_OK);
    assert_failed(&loser, PL_ERR_CANCELLED, "cancelled", 0, true);
    ck_assert_int_lt(raw_server_peer_closed(server, 1) - loser.aborted_at, 100000);
    http_probe_finish(&winner);
    http_probe_finish(&loser);
}
END_TEST

/* The timers of both fire in one turn: the mail that the second one is stopped with must find it.
 */
START_TEST(a_call_that_is_stopped_as_its_time_is_over_ends_once)
{
    static const struct raw_step stalls[] = {{.action = RAW_READ}, {.action = RAW_STALL}};
    static const struct raw_script script = {stalls, PL_ARRAY_LEN(stalls)};
    struct http_probe probes[2];

    server = raw_server_start(&script, 1);
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned j = 0; j < 2; j++) {
            http_probe_init(&probes[j], loop_0(), raw_server_port(server), "/");
            probes[j].request.total_timeout = 20;
            probes[j].abort_with = &probes[1 - j];
        }
        for (unsigned j = 0; j < 2; j++)
            http_probe_start(&probes[j]);
        for (unsigned j = 0; j < 2; j++)
            http_probe_wait(&probes[j]);
        for (unsigned j = 0; j < 2; j++) {
            ck_assert_uint_eq(probes[j].dones, 1);
            http_probe_finish(&probes[j]);
        }
    }
}
END_TEST

START_TEST(aborting_before_the_connection_stands_also_ends_the_call)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_STALL});
    struct http_probe probe;

    /* both are in the mailbox before the loop looks, as a rule; whatever the order, the call ends
     * once */
    http_probe_init(&probe, loop_0(), port, "/");
    http_probe_start(&probe);
    http_probe_abort(&probe);
    http_probe_wait(&probe);
    ck_assert_int_eq(probe.outcome.err.code, PL_ERR_CANCELLED);
    ck_assert_uint_eq(probe.dones, 1);
    ck_assert_uint_eq(loop_load(loop_0()), 0);
    http_probe_finish(&probe);
}
END_TEST

enum { CALLS = 300 };

static struct http_probe probes[CALLS];

/* Starts and aborts all of them in one turn, when only the first have begun and none is sent. */
static void deliver_calls(struct loop *loop, struct loop_mail *mail)
{
    (void)mail;
    for (unsigned i = 0; i < CALLS; i++)
        probes[i].start.deliver(loop, &probes[i].start);
    for (unsigned i = 0; i < CALLS; i++)
        probes[i].stop.deliver(loop, &probes[i].stop);
}

START_TEST(calls_that_are_aborted_in_line_end_once_each_and_are_never_sent)
{
    struct loop_mail mail = {.deliver = deliver_calls};
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_STALL});

    for (unsigned i = 0; i < CALLS; i++)
        http_probe_init(&probes[i], loop_0(), port, "/");
    loop_post(loop_0(), &mail);
    for (unsigned i = 0; i < CALLS; i++) {
        http_probe_wait(&probes[i]);
        ck_assert_int_eq(probes[i].outcome.err.code, PL_ERR_CANCELLED);
        ck_assert(!probes[i].outcome.connected);
        ck_assert_uint_eq(probes[i].dones, 1);
        http_probe_finish(&probes[i]);
    }
    ck_assert_uint_eq(raw_server_requests(server), 0);
    ck_assert_uint_eq(loop_load(loop_0()), 0);
}
END_TEST

START_TEST(what_the_receiver_refuses_is_how_the_call_ends)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                          {.action = RAW_SEND, .bytes = PL_STR("hello")});
    struct http_probe probe;

    http_probe_init(&probe, loop_0(), port, "/");
    probe.refuse = PL_ERR_STREAM_ERROR;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_failed(&probe, PL_ERR_STREAM_ERROR, "the probe refuses", 200, true);
    http_probe_finish(&probe);
}
END_TEST

/* ---- what may not be called or sent ---- */

START_TEST(no_spelling_of_a_private_address_gets_past_the_policy)
{
    static const char *const hosts[] = {
        "127.0.0.1", "2130706433",         "0x7f.1",          "0177.0.0.1", "127.1", "0",
        "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]",      "[::]",
    };
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = HEAD_5},
                          {.action = RAW_SEND, .bytes = PL_STR("hello")});
    struct pl_arena *arena = pl_arena_create(0);
    struct net_policy *policy = net_policy_create(arena);
    char url[128];

    for (size_t i = 0; i < PL_ARRAY_LEN(hosts); i++) {
        struct http_probe probe;

        snprintf(url, sizeof url, "http://%s:%u/path?key=s3cret", hosts[i], port);
        http_probe_init(&probe, loop_0(), port, "/");
        probe.request.url = pl_str(url);
        probe.request.policy = policy;
        http_probe_start(&probe);
        http_probe_wait(&probe);
        assert_failed(&probe, PL_ERR_ADDRESS_DENIED, "may not be called", 0, false);
        http_probe_finish(&probe);
    }
    ck_assert_uint_eq(raw_server_connections(server), 0);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(what_cannot_begin_ends_with_invalid_argument)
{
    static const struct http_header crlf = {PL_STR("X-A"), PL_STR("b\r\nX-Injected: 1")};
    static const struct {
        const char *method, *url, *words;
        const struct http_header *header;
    } table[] = {
        {"GET", "ftp://127.0.0.1/", "http and https", NULL},
        {"GET", "file:///etc/passwd", "http and https", NULL},
        {"GET", "http://user:s3cret@127.0.0.1/", "user name", NULL},
        {"GET", "http://127.0.0.1:99999/", "URL", NULL},
        {"GET", "http://", "URL", NULL},
        {"GET", "", "URL", NULL},
        {"GET", "http://127.0.0.1/\r\nX-Injected: 1", "URL", NULL},
        {"G T", "http://127.0.0.1/", "method", NULL},
        {"", "http://127.0.0.1/", "method", NULL},
        {"GET\r\nX: 1", "http://127.0.0.1/", "method", NULL},
        {"GET", "http://127.0.0.1/", "header", &crlf},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++) {
        struct http_probe probe;

        http_probe_init(&probe, loop_0(), 1, "/");
        probe.request.method = pl_str(table[i].method);
        probe.request.url = pl_str(table[i].url);
        probe.request.headers = table[i].header;
        probe.request.n_headers = table[i].header != NULL;
        http_probe_start(&probe);
        http_probe_wait(&probe);
        assert_failed(&probe, PL_ERR_INVALID_ARGUMENT, table[i].words, 0, false);
        http_probe_finish(&probe);
    }
}
END_TEST

static TCase *faults(void)
{
    TCase *tcase = tcase_create("faults");

    tcase_add_test(tcase, a_refused_connection_is_unreachable_and_says_where);
    tcase_add_test(tcase, a_name_that_does_not_exist_is_unreachable);
    tcase_add_test(tcase,
                   a_handshake_that_fails_is_tls_and_one_that_breaks_off_is_a_lost_connection);
    tcase_add_test(tcase, a_connection_that_ends_before_the_headers_is_lost);
    tcase_add_test(tcase, headers_that_break_off_in_an_orderly_close_are_no_answer);
    tcase_add_test(tcase, a_body_that_is_cut_is_never_whole);
    tcase_add_test(tcase, what_is_not_http_is_a_bad_response);
    tcase_add_test(tcase, a_body_over_the_limit_ends_the_call_and_the_connection);
    tcase_add_test(tcase, a_compressed_bomb_is_counted_as_it_unfolds);
    tcase_add_test(tcase, a_million_header_bytes_are_refused);
    tcase_add_test(tcase, a_status_line_without_an_end_is_too_large_and_no_want_of_memory);
    tcase_add_test(tcase, headers_over_what_is_kept_are_dropped_and_the_answer_is_whole);
    tcase_add_test(tcase, no_spelling_of_a_private_address_gets_past_the_policy);
    tcase_add_test(tcase, what_cannot_begin_ends_with_invalid_argument);
    return tcase;
}

static TCase *time_and_abort(void)
{
    TCase *tcase = tcase_create("time and abort");

    tcase_add_test(tcase, silence_before_the_first_byte_times_out_by_its_own_timer);
    tcase_add_test(tcase, silence_in_the_body_times_out_by_the_idle_timer);
    tcase_add_test(tcase, a_call_that_keeps_dripping_ends_at_its_total_time);
    tcase_add_test(tcase, pieces_in_time_keep_a_slow_answer_alive);
    tcase_add_test(tcase, a_connection_that_does_not_come_about_times_out);
    tcase_add_test(tcase, an_aborted_call_closes_its_connection_within_100_ms);
    tcase_add_test(tcase, a_call_may_be_aborted_from_inside_its_own_callbacks);
    tcase_add_test(tcase, a_call_that_ends_may_abort_its_siblings);
    tcase_add_test(tcase, a_call_that_is_stopped_as_its_time_is_over_ends_once);
    tcase_add_test(tcase, aborting_before_the_connection_stands_also_ends_the_call);
    tcase_add_test(tcase, calls_that_are_aborted_in_line_end_once_each_and_are_never_sent);
    tcase_add_test(tcase, what_the_receiver_refuses_is_how_the_call_ends);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("service/http_call faults");
    TCase *tcases[] = {faults(), time_and_abort()};
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < PL_ARRAY_LEN(tcases); i++) {
        tcase_set_timeout(tcases[i], 60);
        tcase_add_checked_fixture(tcases[i], set_up, tear_down);
        suite_add_tcase(suite, tcases[i]);
    }
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
