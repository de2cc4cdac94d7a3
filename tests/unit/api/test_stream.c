/* test_stream.c - answers that go on, over a real port with a source of the test's own: waking,
 * waiting, slow readers, leaving, ending. Other requests: test_server.c. */
#include "api/routes.h"
#include "api/server.h"
#include "base/sync.h"
#include "tests/support/raw_client.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READERS = 8,
    CONNECTIONS = 32,
    MANY_LINES = 2000000, /* more than the sockets of both sides hold */
    LINE_KEPT = 64,
};

static struct api_server *server;

/* ---- handlers ---- */

static atomic_int closed;
static atomic_long reads;

static void handle_hello(struct api_request *request)
{
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    pl_buf_printf(&out, "hello %.*s", PL_STR_ARG(api_query(request, "name")));
    api_reply(request, 200, "text/plain", &out);
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
}

static void handle_quiet(struct api_request *request)
{
    static const struct api_stream_source source = {quiet_read, quiet_close};

    (void)api_stream(request, "text/event-stream", &source, NULL);
}

const struct api_route api_routes[] = {
    {.method = "GET", .pattern = "/hello", .handler = handle_hello, .query = "name"},
    {.method = "GET", .pattern = "/stream", .handler = handle_stream},
    {.method = "GET", .pattern = "/quiet", .handler = handle_quiet},
};
const size_t api_routes_count = PL_ARRAY_LEN(api_routes);

/* ---- a client ---- */

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
        .listen = "127.0.0.1:0", .threads = 2, .max_connections = CONNECTIONS};
    struct pl_err err;

    for (size_t i = 0; i < READERS; i++)
        pl_mutex_init(&counters[i].lock);
    ck_assert_msg(api_server_start(&options, &server, &err) == PL_OK, "%s", err.message);
}

static void tear_down(void)
{
    api_server_stop(&server);
}

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
    raw_say(*ret_fd, GET("/stream"));
    raw_hear(*ret_fd, "\r\n\r\n"); /* the head comes before any byte of the body is there */
    ck_assert_uint_eq(atomic_load(&n_counters), before + 1);
    await_waiting(before + 1 - (size_t)atomic_load(&closed));
    return &counters[before];
}

START_TEST(a_stream_sends_what_comes_and_ends)
{
    int fd;
    struct counter *counter = open_stream(&fd);

    give(counter, 1, false);
    raw_hear(fd, "line 1\n");
    give(counter, 2, false);
    raw_hear(fd, "line 3\n");
    give(counter, 1, true);
    raw_hear(fd, "0\r\n\r\n");
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
    raw_hear(fd, "0\r\n\r\n");
    pthread_join(thread, NULL);
    ck_assert_ptr_nonnull(strstr(raw_answer, last));
    await(&closed, 1);
    ck_assert_int_eq(counter->read, RACE_LINES);
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

/* The numbers of the lines in a piece of a stream, which may end within one; false when one is not
 * the next. */
static bool follow(char *kept, size_t *kept_len, const char *piece, size_t len, long *number)
{
    for (size_t i = 0; i < len; i++) {
        if (piece[i] != '\n') {
            if (*kept_len < LINE_KEPT - 1)
                kept[(*kept_len)++] = piece[i];
            continue;
        }
        kept[*kept_len] = '\0';
        *kept_len = 0;
        if (strncmp(kept, "line ", 5) == 0 && strtol(kept + 5, NULL, 10) != ++*number)
            return false;
    }
    return true;
}

START_TEST(a_reader_that_stops_reading_gets_the_rest_later)
{
    char kept[LINE_KEPT];
    size_t kept_len = 0;
    long number = 0, before;
    int fd;
    struct counter *counter = open_stream(&fd);

    give(counter, MANY_LINES, true);
    do { /* until the server stands still: the sockets are full, and it does not read on */
        before = atomic_load(&reads);
        usleep(100000);
    } while (atomic_load(&reads) == 0 || atomic_load(&reads) != before);
    pl_mutex_lock(&counter->lock);
    ck_assert_int_lt(counter->read, MANY_LINES);
    pl_mutex_unlock(&counter->lock);
    for (ssize_t got; (got = recv(fd, raw_answer, sizeof raw_answer, 0)) > 0;)
        ck_assert_msg(follow(kept, &kept_len, raw_answer, (size_t)got, &number), "after %ld: %s",
                      number, kept);
    ck_assert_int_eq(number, MANY_LINES);
    await(&closed, 1);
    close(fd);
}
END_TEST

START_TEST(a_stream_follows_a_request_on_its_connection_and_is_the_last)
{
    int fd = dial();

    raw_say(fd, GET("/hello?name=first"));
    raw_hear(fd, "hello first");
    raw_say(fd, GET("/stream") GET("/hello?name=behind"));
    raw_hear(fd, "\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(raw_answer, "Transfer-Encoding: chunked\r\n"));
    ck_assert_ptr_nonnull(strstr(raw_answer, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(raw_answer, "Date: "));
    await_waiting(1);
    give(&counters[0], 1, true);
    raw_hear(fd, NULL);
    ck_assert_str_eq(raw_answer, "7\r\nline 1\n\r\n0\r\n\r\n");
    close(fd);
}
END_TEST

START_TEST(a_stream_for_http_1_0_ends_with_its_connection)
{
    int fd = dial();

    raw_say(fd, "GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
    raw_hear(fd, "\r\n\r\n");
    ck_assert_ptr_null(strstr(raw_answer, "chunked"));
    await_waiting(1);
    give(&counters[0], 2, true);
    raw_hear(fd, NULL);
    ck_assert_str_eq(raw_answer, "line 1\nline 2\n");
    close(fd);
}
END_TEST

START_TEST(streams_count_as_connections)
{
    struct api_server_stats stats;
    int fds[CONNECTIONS];

    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        raw_say(fds[i], GET("/quiet"));
        raw_hear(fds[i], "\r\n\r\n");
    }
    await_waiting(PL_ARRAY_LEN(fds));
    ask(GET("/hello"), "over_capacity");
    api_server_get_stats(server, &stats);
    ck_assert_uint_eq(stats.streams, PL_ARRAY_LEN(fds));
    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++)
        close(fds[i]);
    await_waiting(0);
    ask(GET("/hello"), "HTTP/1.1 200 ");
    api_server_get_stats(server, &stats);
    ck_assert_uint_eq(stats.streams, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tests = tcase_create("stream");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_stream_sends_what_comes_and_ends);
    tcase_add_test(tests, an_idle_stream_is_not_read_over_and_over);
    tcase_add_test(tests, no_wake_is_lost_between_reading_and_waiting);
    tcase_add_test(tests, a_reader_that_leaves_closes_its_source);
    tcase_add_test(tests, a_reader_that_stops_reading_gets_the_rest_later);
    tcase_add_test(tests, a_stream_follows_a_request_on_its_connection_and_is_the_last);
    tcase_add_test(tests, a_stream_for_http_1_0_ends_with_its_connection);
    tcase_add_test(tests, streams_count_as_connections);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
