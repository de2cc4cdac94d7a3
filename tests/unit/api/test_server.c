/* test_server.c - the server over a real port with handlers of its own: waiting, leaving, streams,
 * caps, stopping. Streams as such: test_stream.c. The table of routes here takes the place of the
 * product's. */
#include "api/routes.h"
#include "api/server.h"
#include "base/sync.h"
#include "tests/support/raw_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CAP = 4096 };

static struct api_server *server;

/* ---- handlers ---- */

static _Atomic(struct api_request *) waiting;
static atomic_int gone_calls, freed, resumed_calls, closed;

static void text_reply(struct api_request *request, int status, const char *text)
{
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    pl_buf_text(&out, text);
    api_reply(request, status, "text/plain", &out);
}

static void handle_hello(struct api_request *request)
{
    struct pl_str name = api_query(request, "name");
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    pl_buf_printf(&out, "hello %.*s", PL_STR_ARG(name.ptr ? name : request->params[0]));
    api_reply(request, 200, "text/plain", &out);
}

static void handle_echo(struct api_request *request)
{
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    pl_buf_str(&out, request->body);
    api_reply(request, 200, "text/plain", &out);
}

static void wait_over(struct api_request *request)
{
    atomic_fetch_add(&resumed_calls, 1);
    text_reply(request, 200, api_expired(request) ? "expired" : "resumed");
}

static void wait_gone(struct api_request *request)
{
    atomic_fetch_add(&gone_calls, 1);
    api_resume(request);
    api_resume(request); /* a second one does nothing */
}

static void free_state(void *state)
{
    atomic_fetch_add(&freed, 1);
    free(state);
}

static void handle_wait(struct api_request *request)
{
    struct pl_str limit = api_query(request, "for");

    request->state = malloc(1);
    request->state_free = free_state;
    if (limit.ptr)
        api_suspend_for(request, strtol(limit.ptr, NULL, 10), wait_over, wait_gone);
    else
        api_suspend(request, wait_over, wait_gone);
    atomic_store(&waiting, request);
}

static void *resume_now(void *arg)
{
    api_resume(arg);
    return NULL;
}

/* Resumed by another thread while the handler still runs, as a fast store would. */
static void handle_race(struct api_request *request)
{
    pthread_t thread;

    api_suspend(request, wait_over, NULL);
    ck_assert(pl_thread_start(&thread, "race", resume_now, request));
    pthread_detach(thread);
}

static void handle_nothing(struct api_request *request)
{
    (void)request;
}

/* A stream that never says anything. */
static int quiet_read(void *arg, size_t want, struct pl_buf *out)
{
    (void)arg;
    (void)want;
    (void)out;
    return 0;
}

static void quiet_close(void *arg)
{
    (void)arg;
    atomic_fetch_add(&closed, 1);
}

static void handle_quiet(struct api_request *request)
{
    static const struct api_stream_source source = {quiet_read, quiet_close};

    (void)api_stream(request, "text/event-stream", &source, NULL);
}

const struct api_route api_routes[] = {
    {.method = "GET", .pattern = "/hello", .handler = handle_hello, .query = "name tag.*"},
    {.method = "GET", .pattern = "/hello/{who}", .handler = handle_hello},
    {.method = "POST", .pattern = "/echo", .handler = handle_echo, .body = API_BODY_JSON},
    {.method = "POST", .pattern = "/bare", .handler = handle_echo},
    {.method = "GET", .pattern = "/wait", .handler = handle_wait, .query = "for"},
    {.method = "GET", .pattern = "/race", .handler = handle_race},
    {.method = "GET", .pattern = "/nothing", .handler = handle_nothing},
    {.method = "GET", .pattern = "/quiet", .handler = handle_quiet},
};
const size_t api_routes_count = PL_ARRAY_LEN(api_routes);

static int dial(void)
{
    return raw_dial(api_server_port(server));
}

static const char *ask(const char *text, const char *until)
{
    return raw_ask(api_server_port(server), text, until);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void await(atomic_int *count, int value)
{
    for (int i = 0; atomic_load(count) < value; i++) {
        ck_assert_msg(i < RAW_PATIENCE_S * 1000, "waited in vain");
        usleep(1000);
    }
}

static void await_waiting(size_t count)
{
    struct api_server_stats stats = {0};

    for (int i = 0; i < RAW_PATIENCE_S * 1000; i++, usleep(1000)) {
        api_server_get_stats(server, &stats);
        if (stats.waiting == count)
            return;
    }
    ck_abort_msg("%zu wait, not %zu", stats.waiting, count);
}

static void set_up(void)
{
    struct api_server_options options = {
        .listen = "127.0.0.1:0", .threads = 2, .max_body = CAP, .max_connections = 32};
    struct pl_err err;

    ck_assert_msg(api_server_start(&options, &server, &err) == PL_OK, "%s", err.message);
    ck_assert_uint_ne(api_server_port(server), 0);
}

static void tear_down(void)
{
    api_server_stop(&server);
    ck_assert_ptr_null(server);
}

/* ---- plain requests ---- */

START_TEST(a_request_finds_its_handler)
{
    ask(GET("/hello?name=you%20all&tag.x=1"), "hello you all");
    ck_assert_ptr_nonnull(strstr(raw_answer, "HTTP/1.1 200 "));
    ck_assert_ptr_nonnull(strstr(raw_answer, "X-Request-Id: req_"));
    ask(GET("/hello/w%C3%B6rld"), "hello w\xc3\xb6rld");
    ask("GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine-1\r\n\r\n",
        "X-Request-Id: mine-1\r\n");
    ask("GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: no\"good\r\n\r\n",
        "X-Request-Id: req_");
}
END_TEST

START_TEST(what_is_not_there_is_a_problem_with_its_status)
{
    ask(GET("/nowhere"), "urn:plait:error:not_found");
    ck_assert_ptr_nonnull(strstr(raw_answer, "HTTP/1.1 404 "));
    ck_assert_ptr_nonnull(strstr(raw_answer, "Content-Type: application/problem+json\r\n"));
    ask(GET("/hello/"), "not_found");
    ask(GET("/hello/a/b"), "not_found");
    ask("PUT /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "method_not_allowed");
    ck_assert_ptr_nonnull(strstr(raw_answer, "Allow: GET, HEAD\r\n"));
    ask(GET("/hello?nam=x"), "did you mean 'name'?");
    ask(GET("/hello?name=x&name=y"), "given twice");
    ask(GET("/nothing"), "HTTP/1.1 500 ");
    ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 415 ");
    ask("POST /bare HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 ");
    ask("POST /bare HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{1}", "takes no body");
}
END_TEST

START_TEST(a_foreign_name_or_page_is_not_answered)
{
    ask("GET /hello HTTP/1.1\r\nHost: example.com\r\n\r\n", "HTTP/1.1 403 ");
    ask("GET /hello HTTP/1.1\r\nHost: localhost\r\nOrigin: http://example.com\r\n\r\n",
        "HTTP/1.1 403 ");
    ask("GET /hello HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://localhost:3000\r\n\r\n",
        "HTTP/1.1 200 ");
}
END_TEST

START_TEST(after_a_bad_head_the_connection_is_closed)
{
    ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"
        "\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        NULL);
    ck_assert_ptr_nonnull(strstr(raw_answer, "HTTP/1.1 400 "));
    ck_assert_ptr_nonnull(strstr(raw_answer, "Connection: close\r\n"));
    /* libmicrohttpd 1.0 sees it first and has a page of its own */
    ck_assert(strstr(raw_answer, "application/problem+json") ||
              strstr(raw_answer, "<title>Malformed request</title>"));
    ck_assert_ptr_null(strstr(raw_answer, "hello"));
}
END_TEST

START_TEST(a_refused_request_leaves_its_connection_usable)
{
    int fd = dial();

    raw_say(fd, "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd");
    raw_hear(fd, "not_found");
    raw_say(fd, GET("/hello?name=again"));
    raw_hear(fd, "hello again");
    close(fd);
}
END_TEST

/* ---- bodies ---- */

START_TEST(a_body_over_the_cap_is_refused_as_it_comes)
{
    char chunk[1024 + 16], *at = chunk;
    int fd = dial();
    bool refused = false;

    ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 4097\r\n\r\nhalf",
        "too_large");
    ck_assert_ptr_nonnull(strstr(raw_answer, "HTTP/1.1 413 "));
    raw_say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n");
    at += snprintf(at, 16, "400\r\n");
    memset(at, 'x', 1024);
    memcpy(at + 1024, "\r\n", 3);
    /* never the last chunk: the answer must not wait for it */
    for (int i = 0; i < 5; i++)
        raw_say(fd, chunk);
    raw_hear(fd, "too_large");
    refused = strstr(raw_answer, "HTTP/1.1 413 ") != NULL;
    ck_assert(refused);
    close(fd);
}
END_TEST

START_TEST(a_body_up_to_the_cap_arrives_whole_in_pieces)
{
    char body[CAP + 1];
    int fd = dial();

    memset(body, 'y', CAP);
    body[CAP] = '\0';
    raw_say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Content-Length: 4096\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < CAP; i += 512) {
        ck_assert_int_eq(send(fd, body + i, 512, 0), 512);
        usleep(1000);
    }
    raw_hear(fd, NULL);
    ck_assert_ptr_nonnull(strstr(raw_answer, body));
    close(fd);
}
END_TEST

/* ---- waiting ---- */

START_TEST(a_waiting_request_is_resumed_once)
{
    int fd = dial();

    raw_say(fd, GET("/wait"));
    await_waiting(1);
    api_resume(atomic_load(&waiting));
    raw_hear(fd, "resumed");
    close(fd);
    await(&freed, 1);
    ck_assert_int_eq(atomic_load(&resumed_calls), 1);
    ck_assert_int_eq(atomic_load(&gone_calls), 0);
}
END_TEST

START_TEST(a_wait_with_a_limit_runs_out)
{
    ask(GET("/wait?for=30"), "expired");
    ask(GET("/wait?for=0"), "expired");
    await(&freed, 2);
}
END_TEST

START_TEST(a_resume_that_comes_before_the_wait_is_not_lost)
{
    int fd = dial();

    for (int i = 0; i < 2000; i++) {
        raw_say(fd, GET("/race"));
        raw_hear(fd, "resumed");
    }
    close(fd);
}
END_TEST

START_TEST(a_client_that_leaves_while_waiting_is_seen)
{
    struct linger reset = {1, 0};
    int fd = dial();

    raw_say(fd, GET("/wait"));
    await_waiting(1);
    close(fd); /* a FIN */
    await(&gone_calls, 1);
    await(&freed, 1);
    fd = dial();
    raw_say(fd, GET("/wait?for=60000"));
    await_waiting(1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd); /* an RST */
    await(&gone_calls, 2);
    await(&freed, 2);
    ck_assert_int_eq(atomic_load(&gone_calls), 2);
}
END_TEST

/* ---- full, and stopping ---- */

START_TEST(above_the_limit_the_answer_is_503_and_not_silence)
{
    int fds[32];

    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        raw_say(fds[i], GET("/hello"));
        raw_hear(fds[i], "hello");
    }
    ask(GET("/hello"), "over_capacity");
    ck_assert_ptr_nonnull(strstr(raw_answer, "HTTP/1.1 503 "));
    ck_assert_ptr_nonnull(strstr(raw_answer, "Retry-After: "));
    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++)
        close(fds[i]);
}
END_TEST

static void *stop_server(void *arg)
{
    api_server_stop(arg);
    return NULL;
}

START_TEST(stopping_answers_what_waits_and_ends_streams)
{
    int waiter = dial(), committer = dial(), reader = dial();
    struct api_request *commit;
    pthread_t thread;

    raw_say(reader, GET("/quiet"));
    raw_hear(reader, "\r\n\r\n");
    await_waiting(1);
    raw_say(committer, GET("/wait"));
    await_waiting(2);
    commit = atomic_load(&waiting);
    raw_say(waiter, GET("/wait?for=60000"));
    await_waiting(3);
    ck_assert(pl_thread_start(&thread, "stop", stop_server, &server));
    raw_hear(waiter, "expired");
    raw_hear(reader, "0\r\n\r\n");
    api_resume(commit); /* a commit always comes, and is waited for */
    raw_hear(committer, "resumed");
    pthread_join(thread, NULL);
    ck_assert_ptr_null(server);
    ck_assert_int_eq(atomic_load(&freed), 2);
    ck_assert_int_eq(atomic_load(&closed), 1);
    close(waiter);
    close(committer);
    close(reader);
}
END_TEST

START_TEST(an_address_that_cannot_be_used_is_said_so)
{
    static const char *const bad[] = {
        "8080", ":8080", "localhost", "127.0.0.1:", "127.0.0.1:99999x", "::1:8080", "[::1:80"};
    struct api_server_options options = {0};
    struct api_server *other = NULL;
    struct pl_err err = {0};
    char taken[32];

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        options.listen = bad[i];
        ck_assert_msg(api_server_start(&options, &other, &err) == PL_ERR_INVALID_ARGUMENT, "%s",
                      bad[i]);
    }
    snprintf(taken, sizeof taken, "127.0.0.1:%u", api_server_port(server));
    options.listen = taken;
    ck_assert_int_eq(api_server_start(&options, &other, &err), PL_ERR_IO);
    ck_assert_ptr_null(other);
    ck_assert(api_listen_is_loopback("127.0.0.1:1") && api_listen_is_loopback("[::1]:1"));
    ck_assert(!api_listen_is_loopback("0.0.0.0:1") && !api_listen_is_loopback("[::]:1"));
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, a_request_finds_its_handler);
    tcase_add_test(tests, what_is_not_there_is_a_problem_with_its_status);
    tcase_add_test(tests, a_foreign_name_or_page_is_not_answered);
    tcase_add_test(tests, after_a_bad_head_the_connection_is_closed);
    tcase_add_test(tests, a_refused_request_leaves_its_connection_usable);
    tcase_add_test(tests, a_body_over_the_cap_is_refused_as_it_comes);
    tcase_add_test(tests, a_body_up_to_the_cap_arrives_whole_in_pieces);
    tcase_add_test(tests, a_waiting_request_is_resumed_once);
    tcase_add_test(tests, a_wait_with_a_limit_runs_out);
    tcase_add_test(tests, a_resume_that_comes_before_the_wait_is_not_lost);
    tcase_add_test(tests, a_client_that_leaves_while_waiting_is_seen);
    tcase_add_test(tests, above_the_limit_the_answer_is_503_and_not_silence);
    tcase_add_test(tests, stopping_answers_what_waits_and_ends_streams);
    tcase_add_test(tests, an_address_that_cannot_be_used_is_said_so);
}

int main(void)
{
    Suite *suite = suite_create("server");
    TCase *tests = tcase_create("server");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    add_tests(tests);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
