/* test_http_call.c - whole answers: what is sent, what comes, which connection carries it. Faults
 * are in test_http_faults.c. Run by ctest. */
#include "service/net/http_call.h"
#include "tests/support/http_fixture.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAIN \
    PL_STR("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello")

static void assert_ok(const struct http_probe *probe, int status, const char *body)
{
    ck_assert_msg(probe->outcome.err.code == PL_OK, "%s: %s", pl_code_text(probe->outcome.err.code),
                  probe->outcome.err.message);
    ck_assert_int_eq(probe->outcome.status, status);
    ck_assert(probe->outcome.connected);
    ck_assert_uint_eq(probe->dones, 1);
    ck_assert_uint_eq(probe->body.len, strlen(body));
    ck_assert(probe->body.len == 0 || memcmp(probe->body.data, body, probe->body.len) == 0);
}

START_TEST(a_plain_answer_comes_whole_with_its_headers)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN});
    struct http_probe probe;

    http_probe_get(&probe, loop_0(), port, "/x?key=1");
    assert_ok(&probe, 200, "hello");
    ck_assert_uint_eq(probe.heads, 1);
    ck_assert_int_eq(probe.head_status, 200);
    ck_assert_str_eq(probe.content_type, "application/json");
    http_probe_finish(&probe);
}
END_TEST

START_TEST(chunks_arrive_joined_and_a_status_is_not_an_error)
{
    unsigned port =
        SERVE({.action = RAW_READ},
              {.action = RAW_SEND,
               .bytes = PL_STR("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n"
                               "Retry-After: 2\r\n\r\n3\r\nabc\r\n")},
              {.action = RAW_PAUSE, .times = 20},
              {.action = RAW_SEND, .bytes = PL_STR("4\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n")});
    struct http_probe probe;

    http_probe_get(&probe, loop_0(), port, "/");
    assert_ok(&probe, 503, "abcdefg");
    ck_assert_int_eq(probe.retry_after, 2000);
    http_probe_finish(&probe);
}
END_TEST

START_TEST(an_interim_answer_is_not_the_answer)
{
    unsigned port =
        SERVE({.action = RAW_READ},
              {.action = RAW_SEND,
               .bytes = PL_STR("HTTP/1.1 103 Early Hints\r\nContent-Type: text/wrong\r\n\r\n")},
              {.action = RAW_SEND, .bytes = PLAIN});
    struct http_probe probe;

    http_probe_get(&probe, loop_0(), port, "/");
    assert_ok(&probe, 200, "hello");
    ck_assert_uint_eq(probe.heads, 1);
    ck_assert_str_eq(probe.content_type, "application/json");
    http_probe_finish(&probe);
}
END_TEST

START_TEST(the_request_carries_what_was_asked_and_nothing_of_the_environment)
{
    static const struct http_header headers[] = {
        {PL_STR("Content-Type"), PL_STR("application/json")},
        {PL_STR("X-Empty"), {0}},
        {PL_STR("Authorization"), PL_STR("Bearer s3cret")},
    };
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN});
    struct http_probe probe;
    char seen[4096];

    setenv("http_proxy", "http://127.0.0.1:1/", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
    http_probe_init(&probe, loop_0(), port, "/v1/chat?a=b");
    probe.request.method = PL_STR("POST");
    probe.request.headers = headers;
    probe.request.n_headers = PL_ARRAY_LEN(headers);
    probe.request.body = PL_STR("{\"x\":1}");
    probe.request.has_body = true;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_ok(&probe, 200, "hello");
    raw_server_request(server, 0, seen, sizeof seen);
    ck_assert_ptr_eq(strstr(seen, "POST /v1/chat?a=b HTTP/1.1\r\n"), seen);
    ck_assert_ptr_nonnull(strstr(seen, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\nAuthorization: Bearer s3cret\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\nUser-Agent: plait/" PLAIT_VERSION "\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\nAccept-Encoding: gzip, deflate\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\nContent-Length: 7\r\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\r\n\r\n{\"x\":1}"));
    ck_assert_ptr_null(strstr(seen, "Expect"));
    http_probe_finish(&probe);
}
END_TEST

START_TEST(each_method_is_sent_as_itself_on_a_handle_that_sent_another)
{
    static const struct {
        const char *method, *body, *wanted, *unwanted;
    } table[] = {
        {"POST", "b1", "Content-Length: 2\r\n", "Content-Type"},
        {"GET", NULL, "GET / HTTP/1.1\r\n", "Content-Length"},
        {"PUT", "b22", "Content-Length: 3\r\n", "Content-Type"},
        {"PUT", NULL, "Content-Length: 0\r\n", "Content-Type"},
        {"DELETE", NULL, "DELETE / HTTP/1.1\r\n", "Content-Length"},
        {"HEAD", NULL, "HEAD / HTTP/1.1\r\n", "Content-Length"},
        {"PATCH", "b", "Content-Length: 1\r\n", "Content-Type"},
        {"GET", "b", "Content-Length: 1\r\n", "Content-Type"},
        {"POST", NULL, "Content-Length: 0\r\n", "Content-Type"},
        {"GET", NULL, "GET / HTTP/1.1\r\n", "Content-Length"},
    };
    unsigned port =
        SERVE({.action = RAW_READ},
              {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
              {.action = RAW_AGAIN});
    char seen[4096], line[64];

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++) {
        struct http_probe probe;

        http_probe_init(&probe, loop_0(), port, "/");
        probe.request.method = pl_str(table[i].method);
        probe.request.body = pl_str(table[i].body);
        probe.request.has_body = table[i].body != NULL;
        probe.request.stream = i % 2;
        http_probe_start(&probe);
        http_probe_wait(&probe);
        assert_ok(&probe, 200, "");
        raw_server_request(server, 0, seen, sizeof seen);
        snprintf(line, sizeof line, "%s / HTTP/1.1\r\n", table[i].method);
        ck_assert_msg(strstr(seen, line) == seen, "%zu: %s", i, seen);
        ck_assert_msg(strstr(seen, table[i].wanted) != NULL, "%zu: %s", i, seen);
        ck_assert_msg(strstr(seen, table[i].unwanted) == NULL, "%zu: %s", i, seen);
        ck_assert_msg((strstr(seen, "Accept-Encoding") == NULL) == i % 2, "%zu: %s", i, seen);
        ck_assert_str_eq(strstr(seen, "\r\n\r\n") + 4, table[i].body ? table[i].body : "");
        http_probe_finish(&probe);
    }
    ck_assert_uint_eq(raw_server_connections(server), 1);
}
END_TEST

START_TEST(calls_one_after_another_share_a_connection)
{
    unsigned port =
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN}, {.action = RAW_AGAIN});

    for (unsigned i = 0; i < 20; i++) {
        struct http_probe probe;

        http_probe_get(&probe, loop_0(), port, "/");
        assert_ok(&probe, 200, "hello");
        http_probe_finish(&probe);
    }
    ck_assert_uint_eq(raw_server_connections(server), 1);
    ck_assert_uint_eq(raw_server_requests(server), 20);
}
END_TEST

START_TEST(five_hundred_calls_at_once_all_answer_and_reuse_their_connections)
{
    enum { CALLS = 500 };
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_PAUSE, .times = 300},
                          {.action = RAW_SEND, .bytes = PLAIN}, {.action = RAW_AGAIN});
    struct http_probe *probes = calloc(CALLS, sizeof *probes);

    ck_assert_ptr_nonnull(probes);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < CALLS; i++) {
            http_probe_init(&probes[i], loop_0(), port, "/");
            http_probe_start(&probes[i]);
        }
        for (unsigned i = 0; i < CALLS; i++)
            http_probe_wait(&probes[i]);
        ck_assert_uint_eq(loop_load(loop_0()), 0);
        for (unsigned i = 0; i < CALLS; i++) {
            assert_ok(&probes[i], 200, "hello");
            http_probe_finish(&probes[i]);
        }
    }
    ck_assert_uint_le(raw_server_connections(server), CALLS);
    ck_assert_uint_eq(raw_server_requests(server), 2 * CALLS);
    free(probes);
}
END_TEST

START_TEST(more_calls_than_one_multi_takes_all_answer)
{
    enum { CALLS = 1100 };
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_PAUSE, .times = 1000},
                          {.action = RAW_SEND, .bytes = PLAIN}, {.action = RAW_AGAIN});
    struct http_probe *probes = calloc(CALLS, sizeof *probes);

    ck_assert_ptr_nonnull(probes);
    for (unsigned i = 0; i < CALLS; i++) {
        http_probe_init(&probes[i], loop_0(), port, "/");
        http_probe_start(&probes[i]);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        http_probe_wait(&probes[i]);
        assert_ok(&probes[i], 200, "hello");
    }
    for (unsigned i = 0; i < CALLS; i++)
        http_probe_finish(&probes[i]);
    free(probes);
}
END_TEST

START_TEST(a_connection_the_server_closed_meanwhile_is_no_failure)
{
    unsigned port =
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN}, {.action = RAW_CLOSE});

    for (unsigned i = 0; i < 5; i++) {
        struct http_probe probe;

        http_probe_get(&probe, loop_0(), port, "/");
        assert_ok(&probe, 200, "hello");
        http_probe_finish(&probe);
    }
    ck_assert_uint_eq(raw_server_connections(server), 5);
}
END_TEST

START_TEST(kept_connections_that_die_under_the_next_request_are_no_failure)
{
    enum { KEPT = 12 };
    static const struct raw_step dies[] = {{.action = RAW_READ},
                                           {.action = RAW_PAUSE, .times = 200},
                                           {.action = RAW_SEND, .bytes = PLAIN},
                                           {.action = RAW_READ},
                                           {.action = RAW_CLOSE}};
    static const struct raw_step lives[] = {{.action = RAW_READ},
                                            {.action = RAW_SEND, .bytes = PLAIN}};
    static struct raw_script scripts[KEPT + 1];
    struct http_probe probes[KEPT], last;
    unsigned port;

    for (unsigned i = 0; i < KEPT; i++)
        scripts[i] = (struct raw_script){dies, PL_ARRAY_LEN(dies)};
    scripts[KEPT] = (struct raw_script){lives, PL_ARRAY_LEN(lives)};
    server = raw_server_start(scripts, PL_ARRAY_LEN(scripts));
    port = raw_server_port(server);
    for (unsigned i = 0; i < KEPT; i++) {
        http_probe_init(&probes[i], loop_0(), port, "/");
        http_probe_start(&probes[i]);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        http_probe_wait(&probes[i]);
        assert_ok(&probes[i], 200, "hello");
        http_probe_finish(&probes[i]);
    }
    ck_assert_uint_eq(raw_server_connections(server), KEPT);
    http_probe_get(&last, loop_0(), port, "/");
    assert_ok(&last, 200, "hello");
    ck_assert_uint_eq(raw_server_connections(server), KEPT + 1);
    http_probe_finish(&last);
}
END_TEST

START_TEST(policies_do_not_share_connections)
{
    unsigned port =
        SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN}, {.action = RAW_AGAIN});
    struct pl_arena *arena = pl_arena_create(0);
    struct net_policy *policies[3] = {NULL, net_policy_create(arena), net_policy_create(arena)};
    struct pl_err err;

    for (unsigned i = 1; i < 3; i++)
        ck_assert_int_eq(net_policy_allow(policies[i], PL_STR("127.0.0.0/8"), &err), PL_OK);
    for (unsigned i = 0; i < 9; i++) {
        struct http_probe probe;

        http_probe_init(&probe, loop_0(), port, "/");
        probe.request.policy = policies[i % 3];
        http_probe_start(&probe);
        http_probe_wait(&probe);
        assert_ok(&probe, 200, "hello");
        http_probe_finish(&probe);
    }
    ck_assert_uint_eq(raw_server_connections(server), 3);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(large_bodies_go_up_and_come_down_whole)
{
    enum { SIZE = 60000 };
    unsigned port = SERVE(
        {.action = RAW_READ},
        {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")},
        {.action = RAW_SEND, .bytes = PL_STR("0123456789"), .times = 400000});
    struct http_probe probe;
    char *sent = malloc(SIZE), *seen = malloc(2 * SIZE);

    memset(sent, 'q', SIZE);
    http_probe_init(&probe, loop_0(), port, "/");
    probe.request.method = PL_STR("POST");
    probe.request.body = pl_str_n(sent, SIZE);
    probe.request.has_body = true;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    ck_assert_msg(probe.outcome.err.code == PL_OK, "%s", probe.outcome.err.message);
    ck_assert_uint_eq(probe.body.len, 4000000);
    for (size_t i = 0; i < probe.body.len; i += 9999)
        ck_assert_int_eq(probe.body.data[i], '0' + (int)(i % 10));
    raw_server_request(server, 0, seen, 2 * SIZE);
    ck_assert_uint_eq(strspn(strstr(seen, "\r\n\r\n") + 4, "q"), SIZE);
    http_probe_finish(&probe);
    free(sent);
    free(seen);
}
END_TEST

START_TEST(a_pool_waits_for_its_calls)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_PAUSE, .times = 100},
                          {.action = RAW_SEND, .bytes = PLAIN});
    struct http_probe probe;

    http_probe_init(&probe, loop_0(), port, "/");
    http_probe_start(&probe);
    pool_destroy(&pool);
    ck_assert_uint_eq(probe.dones, 1);
    assert_ok(&probe, 200, "hello");
    http_probe_finish(&probe);
}
END_TEST

/* Sockets of this process that are connected to `port`. */
static unsigned connected_to(unsigned port)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof peer;

        count += getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
                 peer.sin_family == AF_INET && ntohs(peer.sin_port) == port;
    }
    return count;
}

START_TEST(kept_connections_go_with_the_pool_or_with_the_process)
{
    unsigned port = SERVE({.action = RAW_READ}, {.action = RAW_SEND, .bytes = PLAIN});
    struct http_probe probe;

    for (unsigned until_exit = 0; until_exit < 2; until_exit++) {
        struct pl_err err;

        if (!pool)
            ck_assert(pool_create(1, pl_clock_real(), &pool, &err) == PL_OK);
        if (until_exit)
            pool_until_exit(pool);
        http_probe_get(&probe, loop_0(), port, "/");
        assert_ok(&probe, 200, "hello");
        http_probe_finish(&probe);
        ck_assert_uint_eq(connected_to(port), 1);
        pool_destroy(&pool);
        ck_assert_uint_eq(connected_to(port), until_exit);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/http_call");
    TCase *tcase = tcase_create("http_call");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_plain_answer_comes_whole_with_its_headers);
    tcase_add_test(tcase, chunks_arrive_joined_and_a_status_is_not_an_error);
    tcase_add_test(tcase, an_interim_answer_is_not_the_answer);
    tcase_add_test(tcase, the_request_carries_what_was_asked_and_nothing_of_the_environment);
    tcase_add_test(tcase, each_method_is_sent_as_itself_on_a_handle_that_sent_another);
    tcase_add_test(tcase, calls_one_after_another_share_a_connection);
    tcase_add_test(tcase, five_hundred_calls_at_once_all_answer_and_reuse_their_connections);
    tcase_add_test(tcase, more_calls_than_one_multi_takes_all_answer);
    tcase_add_test(tcase, a_connection_the_server_closed_meanwhile_is_no_failure);
    tcase_add_test(tcase, kept_connections_that_die_under_the_next_request_are_no_failure);
    tcase_add_test(tcase, policies_do_not_share_connections);
    tcase_add_test(tcase, large_bodies_go_up_and_come_down_whole);
    tcase_add_test(tcase, a_pool_waits_for_its_calls);
    tcase_add_test(tcase, kept_connections_go_with_the_pool_or_with_the_process);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
