/* test_limits_full.c - lanes that are kept full: the limits of a provider over five minutes by a
 * clock that is a number, seen by its server; and many threads at once. Run by ctest. */
#include "base/limits.h"
#include "base/sync.h"
#include "service/limits/limits.h"

#include <check.h>
#include <stdlib.h>

enum { START = 1000000, HOUR = PL_LIMIT_LANE_WAIT_MS };

static struct lane *lane;

static void set_up(void)
{
    lane = lane_create();
    ck_assert_ptr_nonnull(lane);
}

static void tear_down(void)
{
    lane_destroy(&lane);
}

static void limit(uint64_t concurrency, uint64_t rpm)
{
    lane_set_limits(lane, &(struct lane_limits){.concurrency = concurrency, .rpm = rpm});
}

static struct lane_stats stats(pl_ms now)
{
    struct lane_stats found;

    lane_get_stats(lane, now, &found);
    return found;
}

struct guest {
    struct lane_waiter waiter;
    bool granted;
};

static void note_grant(struct lane_waiter *waiter)
{
    pl_container_of(waiter, struct guest, waiter)->granted = true;
}

static void wait_of(struct guest *guest, int run, pl_ms now)
{
    static const char runs[2];
    const struct lane_ask ask = {
        .model = PL_STR("m"), .tenant = PL_STR("t"), .run = &runs[run], .max_tokens = 100};

    guest->waiter.granted = note_grant;
    ck_assert(lane_wait(lane, &ask, now, NULL, &guest->waiter));
}

/* ---- all together ---- */

/* A provider as in "50 at once, 600 a minute", kept full for five minutes by one run, with a small
 * one of three calls now and then; the log is what arrives at the server. */
enum { LOG_MAX = 4096, WIDE = 200, SMALL = 3, LATENCY = 4000, SPAN = 300000 };

struct party {
    struct guest guest;
    pl_ms asked, ends; /* ends: 0: it waits */
};

static pl_ms server_log[LOG_MAX];
static size_t n_log;
static pl_ms slowest_small;

static void party_asks(struct party *party, int run, pl_ms now)
{
    *party = (struct party){.asked = now};
    wait_of(&party->guest, run, now);
}

/* Those whose turn has come arrive a little later, each by as much as it takes. */
static void party_moves(struct party *party, pl_ms now, bool wide)
{
    static unsigned jitter;

    if (party->asked && !party->ends && party->guest.granted) {
        if (!wide && now - party->asked > slowest_small)
            slowest_small = now - party->asked;
        party->ends = now + LATENCY;
        ck_assert_uint_lt(n_log, LOG_MAX);
        server_log[n_log++] = now + (jitter = jitter * 1103515245u + 12345u) / 65536 % 300;
    }
    if (party->ends && party->ends <= now) {
        lane_done(&party->guest.waiter.ticket, now, &(struct lane_use){.requests = 1});
        *party = (struct party){0};
        if (wide)
            party_asks(party, 0, now);
    }
}

static int compare_times(const void *a, const void *b)
{
    const pl_ms x = *(const pl_ms *)a, y = *(const pl_ms *)b;

    return (x > y) - (x < y);
}

START_TEST(fifty_at_once_and_six_hundred_a_minute_are_never_passed_and_nearly_used)
{
    static struct party wide[WIDE], small[SMALL];

    limit(50, 600);
    n_log = 0;
    slowest_small = 0;
    for (unsigned i = 0; i < WIDE; i++)
        party_asks(&wide[i], 0, START);
    for (pl_ms now = START; now < START + SPAN; now += 10) {
        if (now % 15000 == 0)
            for (unsigned i = 0; i < SMALL; i++)
                party_asks(&small[i], 1, now);
        lane_pump(lane, now);
        for (unsigned i = 0; i < WIDE; i++)
            party_moves(&wide[i], now, true);
        for (unsigned i = 0; i < SMALL; i++)
            party_moves(&small[i], now, false);
        ck_assert_uint_le(stats(now).in_flight, 50);
    }
    qsort(server_log, n_log, sizeof *server_log, compare_times);
    for (size_t first = 0, last = 0; first < n_log; first++) {
        while (last < n_log && server_log[last] < server_log[first] + 60000)
            last++;
        ck_assert_uint_le(last - first, 600);
    }
    ck_assert_uint_ge(n_log * 100, 3000 * 95);
    /* every second turn at ten a second: 600 ms for its three; twice that, and a gap of the pace */
    ck_assert_int_le(slowest_small, 2 * 600 + 2500);
    for (unsigned i = 0; i < WIDE + SMALL; i++) {
        struct party *party = i < WIDE ? &wide[i] : &small[i - WIDE];

        if (party->asked && !lane_leave(lane, &party->guest.waiter, START + SPAN))
            lane_done(&party->guest.waiter.ticket, START + SPAN, NULL);
    }
    ck_assert_uint_eq(stats(START).in_flight + stats(START).waiting, 0);
}
END_TEST

/* ---- threads ---- */

struct caller {
    struct lane_waiter waiter;
    atomic_bool told;
};

static _Atomic(pl_ms) common_time = START;

static void grant_on_any_thread(struct lane_waiter *waiter)
{
    atomic_store(&pl_container_of(waiter, struct caller, waiter)->told, true);
}

static void *use_lane(void *arg)
{
    unsigned random = *(const unsigned *)arg;
    const struct lane_ask ask = {.model = PL_STR("m"), .run = arg, .max_tokens = 10};

    for (unsigned i = 0; i < 3000; i++) {
        const pl_ms now = atomic_fetch_add(&common_time, 1);
        struct lane_ticket ticket = {0};
        const char *reason;

        random = random * 1103515245u + 12345u;
        if (lane_try(lane, &ask, now, &ticket, &reason) == LANE_WAIT) {
            struct caller caller = {.waiter.granted = grant_on_any_thread};

            if (!lane_wait(lane, &ask, now, NULL, &caller.waiter))
                abort();
            if (random >> 20 & 1) {
                while (!atomic_load(&caller.told))
                    lane_pump(lane, atomic_fetch_add(&common_time, 1));
            } else if (lane_leave(lane, &caller.waiter, now)) {
                continue;
            }
            ticket = caller.waiter.ticket;
        }
        lane_tell(lane, &ticket, now,
                  (random >> 24) % 16 == 0
                      ? &(struct lane_news){.what = LANE_LIMITED, .hint = 1}
                      : &(struct lane_news){.what = LANE_ANSWERED, .hint = -1});
        lane_done(&ticket, now, &(struct lane_use){.requests = 1});
    }
    return NULL;
}

START_TEST(threads_may_use_a_lane_at_once)
{
    pthread_t threads[4];
    unsigned seeds[4] = {1, 2, 3, 4};

    limit(2, 0);
    for (unsigned i = 0; i < 4; i++)
        ck_assert(pl_thread_start(&threads[i], "lane", use_lane, &seeds[i]));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(stats(START).in_flight, 0);
    ck_assert_uint_eq(stats(START).waiting, 0);
    ck_assert_int_le(stats(START + HOUR).paused_until, START + HOUR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/limits_full");
    TCase *tcase = tcase_create("lanes");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, fifty_at_once_and_six_hundred_a_minute_are_never_passed_and_nearly_used);
    tcase_add_test(tcase, threads_may_use_a_lane_at_once);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
