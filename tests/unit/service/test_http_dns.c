/* test_http_dns.c - calls to names, with a resolver that the test plays itself: getaddrinfo here
 * stands in front of the system's, so nothing is asked of any server. Run by ctest. */
#include "service/net/http_call.h"
#include "service/pool.h"
#include "tests/support/http_probe.h"
#include "tests/support/raw_server.h"

#include <check.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct raw_step steps[] = {
    {.action = RAW_READ},
    {.action = RAW_SEND, .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")},
    {.action = RAW_AGAIN},
};
static const struct raw_script script = {steps, PL_ARRAY_LEN(steps)};

static struct pool *pool;
static struct raw_server *server;

/* ---- the resolver ---- */

static atomic_uint lookups, lookups_now, lookups_most;
static atomic_bool blocked; /* lookups do not end while it is set */

static struct addrinfo *make_address(uint32_t ip, unsigned port, struct addrinfo *next)
{
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    if (!info)
        abort();
    in.sin_addr.s_addr = htonl(ip);
    memcpy(info + 1, &in, sizeof in);
    info->ai_family = AF_INET;
    info->ai_socktype = SOCK_STREAM;
    info->ai_addrlen = sizeof in;
    info->ai_addr = (struct sockaddr *)(void *)(info + 1);
    info->ai_next = next;
    return info;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    unsigned now = atomic_fetch_add(&lookups_now, 1) + 1, most = atomic_load(&lookups_most);
    unsigned port = service ? (unsigned)strtoul(service, NULL, 10) : 0;

    (void)hints;
    atomic_fetch_add(&lookups, 1);
    while (now > most && !atomic_compare_exchange_weak(&lookups_most, &most, now))
        ;
    do
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    while (atomic_load(&blocked));
    atomic_fetch_sub(&lookups_now, 1);
    if (strncmp(node, "none.", 5) == 0)
        return EAI_NONAME;
    *result = make_address(INADDR_LOOPBACK, port, NULL);
    if (strncmp(node, "two.", 4) == 0) /* a private address first, the allowed one behind it */
        *result = make_address(0x0a000001, port, *result);
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info) {
        struct addrinfo *next = info->ai_next;

        free(info);
        info = next;
    }
}

/* ---- */

static void set_up(void)
{
    struct pl_err err;

    signal(SIGPIPE, SIG_IGN);
    server = raw_server_start(&script, 1);
    ck_assert_msg(pool_create(1, pl_clock_real(), &pool, &err) == PL_OK, "%s", err.message);
}

static void tear_down(void)
{
    atomic_store(&blocked, false);
    pool_destroy(&pool);
    raw_server_stop(&server);
    while (atomic_load(&lookups_now)) /* of aborted calls, in threads of their own */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void name_probe(struct http_probe *probe, const char *host)
{
    http_probe_init(probe, pool_loop(pool, 0), raw_server_port(server), "/");
    snprintf(probe->url, sizeof probe->url, "http://%s:%u/", host, raw_server_port(server));
    probe->request.url = pl_str(probe->url);
    http_probe_start(probe);
}

static void assert_code(const struct http_probe *probe, enum pl_code code)
{
    ck_assert_msg(probe->outcome.err.code == code, "%s: %s", pl_code_text(probe->outcome.err.code),
                  probe->outcome.err.message);
    ck_assert_uint_eq(probe->dones, 1);
}

enum { CALLS = 400 };
static struct http_probe probes[CALLS];

START_TEST(a_wide_start_to_a_new_name_looks_it_up_once)
{
    for (unsigned i = 0; i < CALLS; i++)
        name_probe(&probes[i], "wide.example");
    for (unsigned i = 0; i < CALLS; i++) {
        http_probe_wait(&probes[i]);
        assert_code(&probes[i], PL_OK);
        http_probe_finish(&probes[i]);
    }
    ck_assert_uint_eq(atomic_load(&lookups), 1);
}
END_TEST

START_TEST(a_wide_start_to_a_name_that_does_not_exist_starts_few_threads)
{
    for (unsigned i = 0; i < CALLS; i++)
        name_probe(&probes[i], "none.example");
    for (unsigned i = 0; i < CALLS; i++) {
        http_probe_wait(&probes[i]);
        assert_code(&probes[i], PL_ERR_UNREACHABLE);
        http_probe_finish(&probes[i]);
    }
    ck_assert_uint_le(atomic_load(&lookups_most), 64);
}
END_TEST

START_TEST(a_name_that_hangs_holds_up_neither_the_loop_nor_other_names)
{
    struct http_probe hangs, waits, other;
    int64_t from;

    atomic_store(&blocked, true);
    name_probe(&hangs, "hangs.example");
    name_probe(&waits, "hangs.example");
    name_probe(&other, "127.0.0.1");
    http_probe_wait(&other);
    assert_code(&other, PL_OK);
    while (atomic_load(&lookups) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    from = pl_monotonic_us();
    http_probe_abort(&hangs);
    http_probe_abort(&waits);
    http_probe_wait(&hangs);
    http_probe_wait(&waits);
    ck_assert_int_lt(pl_monotonic_us() - from, 1000000);
    assert_code(&hangs, PL_ERR_CANCELLED);
    assert_code(&waits, PL_ERR_CANCELLED);
    http_probe_finish(&hangs);
    http_probe_finish(&waits);
    http_probe_finish(&other);
}
END_TEST

START_TEST(a_lookup_counts_as_connecting)
{
    struct http_probe probe;

    atomic_store(&blocked, true);
    http_probe_init(&probe, pool_loop(pool, 0), 1, "/");
    probe.request.url = PL_STR("http://hangs.example/");
    probe.request.connect_timeout = 150;
    http_probe_start(&probe);
    http_probe_wait(&probe);
    assert_code(&probe, PL_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(probe.outcome.err.message, "connect timeout"));
    http_probe_finish(&probe);
}
END_TEST

START_TEST(a_name_is_judged_by_the_address_it_leads_to)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct net_policy *closed = net_policy_create(arena), *open = net_policy_create(arena);
    struct http_probe denied, allowed;
    struct pl_err err;

    ck_assert_int_eq(net_policy_allow(open, PL_STR("127.0.0.0/8"), &err), PL_OK);
    for (unsigned i = 0; i < 2; i++) {
        const char *host = i ? "two.example" : "one.example";

        http_probe_init(&denied, pool_loop(pool, 0), 1, "/");
        snprintf(denied.url, sizeof denied.url, "http://%s:%u/", host, raw_server_port(server));
        denied.request.url = pl_str(denied.url);
        denied.request.policy = closed;
        http_probe_start(&denied);
        http_probe_wait(&denied);
        assert_code(&denied, PL_ERR_ADDRESS_DENIED);
        http_probe_finish(&denied);

        http_probe_init(&allowed, pool_loop(pool, 0), 1, "/");
        snprintf(allowed.url, sizeof allowed.url, "http://%s:%u/", host, raw_server_port(server));
        allowed.request.url = pl_str(allowed.url);
        allowed.request.policy = open;
        http_probe_start(&allowed);
        http_probe_wait(&allowed);
        assert_code(&allowed, PL_OK);
        http_probe_finish(&allowed);
    }
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/http_call names");
    TCase *tcase = tcase_create("names");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_wide_start_to_a_new_name_looks_it_up_once);
    tcase_add_test(tcase, a_wide_start_to_a_name_that_does_not_exist_starts_few_threads);
    tcase_add_test(tcase, a_name_that_hangs_holds_up_neither_the_loop_nor_other_names);
    tcase_add_test(tcase, a_lookup_counts_as_connecting);
    tcase_add_test(tcase, a_name_is_judged_by_the_address_it_leads_to);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
