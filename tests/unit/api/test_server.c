/* test_server.c - the server over a real port with handlers of its own: waiting, leaving, streams,
 * caps, stopping. The table of routes here takes the place of the product's. */
#include "api/routes.h"
#include "api/server.h"
#include "base/sync.h"

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

enum { PATIENCE_S = 20, ANSWER_MAX = 1 << 20, CAP = 4096, READERS = 8 };

static struct api_server *server;
static char answer[ANSWER_MAX];

/* ---- handlers ---- */

static _Atomic(struct api_request *) waiting;
static atomic_int gone_calls, freed, resumed_calls, closed;
static atomic_long reads;

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

/* A stream of numbered lines: `given` of them may be read. */
struct counter {
    struct pl_mutex lock;
    struct api_stream *stream;
    long given, read;
    bool end;
};
static struct counter counters[READERS];
static atomic_uint n_counters;

static int counter_read(void *arg, size_t want, struct pl_buf *out)
{
    struct counter *counter = arg;
    int result;

    atomic_fetch_add(&reads, 1);
    pl_mutex_lock(&counter->lock);
    while (counter->read < counter->given && out->len < want)
        pl_buf_printf(out, "line %ld\n", ++counter->read);
    result = counter->end && counter->read == counter->given ? -1 : out->len > 0;
    pl_mutex_unlock(&counter->lock);
    return result;
}

static void counter_close(void *arg)
{
    struct counter *counter = arg;

    pl_mutex_lock(&counter->lock);
    counter->stream = NULL;
    pl_mutex_unlock(&counter->lock);
    atomic_fetch_add(&closed, 1);
}

static void handle_stream(struct api_request *request)
{
    static const struct api_stream_source source = {counter_read, counter_close};
    struct counter *counter = &counters[atomic_load(&n_counters)];

    counter->stream = api_stream(request, "application/x-ndjson", &source, counter);
    atomic_fetch_add(&n_counters, 1);
}

const struct api_route api_routes[] = {
    {.method = "GET", .pattern = "/hello", .handler = handle_hello, .query = "name tag.*"},
    {.method = "GET", .pattern = "/hello/{who}", .handler = handle_hello},
    {.method = "POST", .pattern = "/echo", .handler = handle_echo, .body = API_BODY_JSON},
    {.method = "POST", .pattern = "/bare", .handler = handle_echo},
    {.method = "GET", .pattern = "/wait", .handler = handle_wait, .query = "for"},
    {.method = "GET", .pattern = "/race", .handler = handle_race},
    {.method = "GET", .pattern = "/nothing", .handler = handle_nothing},
    {.method = "GET", .pattern = "/stream", .handler = handle_stream},
};
const size_t api_routes_count = PL_ARRAY_LEN(api_routes);

/* ---- a client ---- */

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)api_server_port(server))};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);

    ck_assert_int_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Reads until `until` is in the answer, or the end when it is NULL. */
static const char *hear(int fd, const char *until)
{
    size_t len = 0;

    answer[0] = '\0';
    while (!until || !strstr(answer, until)) {
        ssize_t got = recv(fd, answer + len, sizeof answer - 1 - len, 0);

        if (got == 0 || (got < 0 && errno == ECONNRESET))
            break;
        ck_assert_msg(got > 0, "nothing more came after: %s", answer);
        len += (size_t)got;
        answer[len] = '\0';
    }
    ck_assert_msg(!until || strstr(answer, until), "no '%s' in: %s", until, answer);
    return answer;
}

static const char *ask(const char *text, const char *until)
{
    int fd = dial();

    say(fd, text);
    hear(fd, until);
    close(fd);
    return answer;
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void await(atomic_int *count, int value)
{
    for (int i = 0; atomic_load(count) < value; i++) {
        ck_assert_msg(i < PATIENCE_S * 1000, "waited in vain");
        usleep(1000);
    }
}

static void await_waiting(size_t count)
{
    struct api_server_stats stats = {0};

    for (int i = 0; i < PATIENCE_S * 1000; i++, usleep(1000)) {
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

    for (size_t i = 0; i < READERS; i++)
        pl_mutex_init(&counters[i].lock);
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
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200 "));
    ck_assert_ptr_nonnull(strstr(answer, "X-Request-Id: req_"));
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
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 404 "));
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
    ask(GET("/hello/"), "not_found");
    ask(GET("/hello/a/b"), "not_found");
    ask("PUT /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "method_not_allowed");
    ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD\r\n"));
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
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 400 "));
    ck_assert_ptr_nonnull(strstr(answer, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "application/problem+json"));
    ck_assert_ptr_null(strstr(answer, "hello"));
}
END_TEST

START_TEST(a_refused_request_leaves_its_connection_usable)
{
    int fd = dial();

    say(fd, "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd");
    hear(fd, "not_found");
    say(fd, GET("/hello?name=again"));
    hear(fd, "hello again");
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
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 413 "));
    say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
    at += snprintf(at, 16, "400\r\n");
    memset(at, 'x', 1024);
    memcpy(at + 1024, "\r\n", 3);
    /* never the last chunk: the answer must not wait for it */
    for (int i = 0; i < 5; i++)
        say(fd, chunk);
    hear(fd, "too_large");
    refused = strstr(answer, "HTTP/1.1 413 ") != NULL;
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
    say(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 4096\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < CAP; i += 512) {
        ck_assert_int_eq(send(fd, body + i, 512, 0), 512);
        usleep(1000);
    }
    hear(fd, NULL);
    ck_assert_ptr_nonnull(strstr(answer, body));
    close(fd);
}
END_TEST

/* ---- waiting ---- */

START_TEST(a_waiting_request_is_resumed_once)
{
    int fd = dial();

    say(fd, GET("/wait"));
    await_waiting(1);
    api_resume(atomic_load(&waiting));
    hear(fd, "resumed");
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
        say(fd, GET("/race"));
        hear(fd, "resumed");
    }
    close(fd);
}
END_TEST

START_TEST(a_client_that_leaves_while_waiting_is_seen)
{
    struct linger reset = {1, 0};
    int fd = dial();

    say(fd, GET("/wait"));
    await_waiting(1);
    close(fd); /* a FIN */
    await(&gone_calls, 1);
    await(&freed, 1);
    fd = dial();
    say(fd, GET("/wait?for=60000"));
    await_waiting(1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd); /* an RST */
    await(&gone_calls, 2);
    await(&freed, 2);
    ck_assert_int_eq(atomic_load(&gone_calls), 2);
}
END_TEST

/* ---- streams ---- */

/* Wakes under the lock, as the bus does: nobody is woken after its close. */
static void give(struct counter *counter, long lines, bool end)
{
    pl_mutex_lock(&counter->lock);
    counter->given += lines;
    counter->end = end;
    if (counter->stream)
        api_stream_wake(counter->stream);
    pl_mutex_unlock(&counter->lock);
}

static struct counter *open_stream(int *ret_fd)
{
    unsigned before = atomic_load(&n_counters);

    *ret_fd = dial();
    say(*ret_fd, GET("/stream"));
    hear(*ret_fd, "\r\n\r\n"); /* the head comes before any byte of the body is there */
    ck_assert_uint_eq(atomic_load(&n_counters), before + 1);
    await_waiting(before + 1 - (size_t)atomic_load(&closed));
    return &counters[before];
}

START_TEST(a_stream_sends_what_comes_and_ends)
{
    int fd;
    struct counter *counter = open_stream(&fd);

    give(counter, 1, false);
    hear(fd, "line 1\n");
    give(counter, 2, false);
    hear(fd, "line 3\n");
    give(counter, 1, true);
    hear(fd, "0\r\n\r\n");
    await(&closed, 1);
    close(fd);
}
END_TEST

START_TEST(an_idle_stream_is_not_read_over_and_over)
{
    int fd;
    long before;

    open_stream(&fd);
    before = atomic_load(&reads);
    usleep(300000); /* a spinning reader makes millions of calls in that time */
    ck_assert_int_eq(atomic_load(&reads), before);
    close(fd);
    await(&closed, 1);
}
END_TEST

enum { RACE_LINES = 20000 };

static void *give_many(void *arg)
{
    for (int i = 0; i < RACE_LINES; i++)
        give(arg, 1, i == RACE_LINES - 1);
    return NULL;
}

START_TEST(no_wake_is_lost_between_reading_and_waiting)
{
    char last[32];
    int fd;
    struct counter *counter = open_stream(&fd);
    pthread_t thread;

    ck_assert(pl_thread_start(&thread, "giver", give_many, counter));
    snprintf(last, sizeof last, "line %d\n", RACE_LINES);
    hear(fd, "0\r\n\r\n");
    pthread_join(thread, NULL);
    ck_assert_ptr_nonnull(strstr(answer, last));
    ck_assert_int_eq(counter->read, RACE_LINES);
    await(&closed, 1);
    close(fd);
}
END_TEST

START_TEST(a_reader_that_leaves_closes_its_source)
{
    int fd;

    open_stream(&fd);
    close(fd);
    await(&closed, 1);
    open_stream(&fd);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    await(&closed, 2);
}
END_TEST

/* ---- full, and stopping ---- */

START_TEST(above_the_limit_the_answer_is_503_and_not_silence)
{
    int fds[32];

    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        say(fds[i], GET("/hello"));
        hear(fds[i], "hello");
    }
    ask(GET("/hello"), "over_capacity");
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 503 "));
    ck_assert_ptr_nonnull(strstr(answer, "Retry-After: "));
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
    int waiter = dial(), committer = dial(), reader;
    struct api_request *commit;
    pthread_t thread;

    open_stream(&reader);
    say(committer, GET("/wait"));
    await_waiting(2);
    commit = atomic_load(&waiting);
    say(waiter, GET("/wait?for=60000"));
    await_waiting(3);
    ck_assert(pl_thread_start(&thread, "stop", stop_server, &server));
    hear(waiter, "expired");
    hear(reader, "0\r\n\r\n");
    api_resume(commit); /* a commit always comes, and is waited for */
    hear(committer, "resumed");
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
    tcase_add_test(tests, a_stream_sends_what_comes_and_ends);
    tcase_add_test(tests, an_idle_stream_is_not_read_over_and_over);
    tcase_add_test(tests, no_wake_is_lost_between_reading_and_waiting);
    tcase_add_test(tests, a_reader_that_leaves_closes_its_source);
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
