/* test_limits.c - lanes under a clock that is a number: limits, whose turn it is, what becomes of
 * tickets, pauses, the window of a 429, the circuit, the server's own count. Not
 * lanes that are kept full (test_limits_full.c). Run by ctest. */
#include "base/limits.h"
#include "service/limits/limits.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

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
    ck_assert_ptr_null(lane);
    lane_destroy(&lane);
}

static void limit(uint64_t concurrency, uint64_t rpm, uint64_t tpm)
{
    lane_set_limits(lane,
                    &(struct lane_limits){.concurrency = concurrency, .rpm = rpm, .tpm = tpm});
}

static const char *why;

static enum lane_verdict try_model(const char *model, pl_ms now, struct lane_ticket *ticket)
{
    const struct lane_ask ask = {.model = pl_str(model), .run = lane, .max_tokens = 100};

    *ticket = (struct lane_ticket){0};
    why = "";
    return lane_try(lane, &ask, now, ticket, &why);
}

static enum lane_verdict try_now(pl_ms now, struct lane_ticket *ticket)
{
    return try_model("m", now, ticket);
}

/* Goes, and is over at once. */
static bool goes(pl_ms now)
{
    struct lane_ticket ticket;
    const bool went = try_now(now, &ticket) == LANE_GO;

    lane_done(&ticket, now, NULL);
    return went;
}

static bool tell(enum lane_event what, const struct lane_ticket *ticket, pl_ms now, pl_ms hint)
{
    return lane_tell(lane, ticket, now, &(struct lane_news){.what = what, .hint = hint});
}

static struct lane_stats stats(pl_ms now)
{
    struct lane_stats found;

    lane_get_stats(lane, now, &found);
    return found;
}

/* ---- waiting ---- */

struct guest {
    struct lane_waiter waiter;
    unsigned order; /* when it was granted, from 1 */
};

static unsigned granted;

static void note_grant(struct lane_waiter *waiter)
{
    pl_container_of(waiter, struct guest, waiter)->order = ++granted;
}

static void wait_of(struct guest *guest, const char *tenant, int run, bool again, pl_ms now)
{
    static const char runs[64];
    const struct lane_ask ask = {.model = PL_STR("m"),
                                 .tenant = pl_str(tenant),
                                 .run = &runs[run],
                                 .max_tokens = 100,
                                 .again = again};

    guest->waiter.granted = note_grant;
    ck_assert(lane_wait(lane, &ask, now, NULL, &guest->waiter));
}

static void end_of(struct guest *guest, pl_ms now)
{
    ck_assert_uint_gt(guest->order, 0);
    lane_done(&guest->waiter.ticket, now, &(struct lane_use){.requests = 1});
}

START_TEST(a_lane_without_limits_lets_everything_in)
{
    struct lane_ticket tickets[100];

    ck_assert(!lane_has_answered(lane));
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(try_now(START, &tickets[i]), LANE_GO);
    ck_assert_uint_eq(stats(START).in_flight, 100);
    for (unsigned i = 0; i < 100; i++)
        lane_done(&tickets[i], START, NULL);
    lane_done(&tickets[0], START, NULL); /* a ticket that is none */
    ck_assert_uint_eq(stats(START).in_flight, 0);
}
END_TEST

START_TEST(so_many_go_at_once_and_the_rest_in_their_order)
{
    struct lane_ticket first, second, third;
    struct guest a = {0}, b = {0};

    granted = 0;
    limit(2, 0, 0);
    ck_assert_int_eq(try_now(START, &first), LANE_GO);
    ck_assert_int_eq(try_now(START, &second), LANE_GO);
    ck_assert_int_eq(try_now(START, &third), LANE_WAIT);
    ck_assert_str_eq(why, "concurrency");
    wait_of(&a, "t", 0, false, START);
    wait_of(&b, "t", 0, false, START);
    ck_assert_uint_eq(stats(START).waiting, 2);
    ck_assert_uint_eq(granted, 0);
    lane_done(&first, START + 1, NULL);
    ck_assert_uint_eq(a.order, 1);
    ck_assert_int_eq(try_now(START + 1, &third), LANE_WAIT); /* nobody overtakes */
    lane_done(&second, START + 2, NULL);
    ck_assert_uint_eq(b.order, 2);
    end_of(&a, START + 3);
    end_of(&b, START + 3);
    ck_assert(goes(START + 3));
    ck_assert_uint_eq(stats(START).in_flight + stats(START).waiting, 0);
}
END_TEST

START_TEST(one_that_leaves_the_queue_takes_no_ticket)
{
    struct lane_ticket first;
    struct guest a = {0}, b = {0};

    granted = 0;
    limit(1, 0, 0);
    ck_assert_int_eq(try_now(START, &first), LANE_GO);
    wait_of(&a, "t", 0, false, START);
    wait_of(&b, "t", 0, false, START);
    ck_assert(lane_leave(lane, &a.waiter, START));
    ck_assert(!lane_leave(lane, &a.waiter, START));
    lane_done(&first, START, NULL);
    ck_assert_uint_eq(a.order, 0);
    ck_assert_uint_eq(b.order, 1);
    ck_assert(!lane_leave(lane, &b.waiter, START)); /* it has a ticket, which must go back */
    end_of(&b, START);
    ck_assert(goes(START));
}
END_TEST

START_TEST(tenants_take_turns_and_in_them_runs)
{
    struct lane_ticket first;
    struct guest wide[6] = {0}, other[2] = {0}, small[2] = {0};

    granted = 0;
    limit(1, 0, 0);
    ck_assert_int_eq(try_now(START, &first), LANE_GO);
    for (unsigned i = 0; i < 6; i++)
        wait_of(&wide[i], "a", 0, false, START);
    for (unsigned i = 0; i < 2; i++)
        wait_of(&other[i], "a", 1, false, START);
    for (unsigned i = 0; i < 2; i++)
        wait_of(&small[i], "b", 2, false, START);
    lane_done(&first, START, NULL);
    end_of(&wide[0], START);  /* a: its first run */
    end_of(&small[0], START); /* b */
    end_of(&other[0], START); /* a: its second run */
    end_of(&small[1], START); /* b */
    end_of(&wide[1], START);
    end_of(&other[1], START);
    for (unsigned i = 2; i < 6; i++)
        end_of(&wide[i], START);
    ck_assert_uint_eq(wide[0].order, 1);
    ck_assert_uint_eq(small[0].order, 2);
    ck_assert_uint_eq(other[0].order, 3);
    ck_assert_uint_eq(small[1].order, 4);
    ck_assert_uint_eq(wide[1].order, 5);
    ck_assert_uint_eq(other[1].order, 6);
    ck_assert_uint_eq(wide[5].order, 10);
}
END_TEST

START_TEST(one_that_was_sent_before_is_first_of_its_run)
{
    struct lane_ticket first;
    struct guest fresh = {0}, again = {0};

    granted = 0;
    limit(1, 0, 0);
    ck_assert_int_eq(try_now(START, &first), LANE_GO);
    wait_of(&fresh, "t", 0, false, START);
    wait_of(&again, "t", 0, true, START);
    lane_done(&first, START, NULL);
    ck_assert_uint_eq(again.order, 1);
    end_of(&again, START);
    end_of(&fresh, START);
}
END_TEST

START_TEST(requests_a_minute_open_by_the_clock)
{
    struct lane_ticket ticket;
    struct guest guest = {0};
    pl_ms wake;

    granted = 0;
    limit(0, 2, 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(try_now(START, &ticket), LANE_GO);
        lane_done(&ticket, START, &(struct lane_use){.requests = 1});
    }
    ck_assert_int_eq(try_now(START, &ticket), LANE_WAIT);
    ck_assert_str_eq(why, "requests_per_minute");
    wait_of(&guest, "t", 0, false, START);
    wake = lane_pump(lane, START + 1000);
    ck_assert_int_gt(wake, START + 60000);
    ck_assert_int_le(wake, START + 62000);
    ck_assert_int_eq(lane_pump(lane, wake - 1), wake);
    ck_assert_uint_eq(guest.order, 0);
    ck_assert_int_eq(lane_pump(lane, wake), 0);
    end_of(&guest, wake);
}
END_TEST

START_TEST(a_call_that_was_never_sent_is_no_request)
{
    limit(0, 2, 0);
    for (unsigned i = 0; i < 50; i++)
        ck_assert(goes(START));
}
END_TEST

START_TEST(tokens_are_reserved_and_then_counted_as_they_were)
{
    struct lane_ticket first, second;

    limit(0, 0, 600);
    ck_assert_int_eq(try_now(START, &first), LANE_GO);
    ck_assert_uint_eq(first.tokens, 101);
    ck_assert_int_eq(try_now(START, &second), LANE_WAIT); /* the pace */
    ck_assert_str_eq(why, "tokens_per_minute");
    lane_done(&first, START + 10,
              &(struct lane_use){.requests = 1, .input_tokens = 5, .output_tokens = 5});
    ck_assert_int_eq(try_now(START + 10, &second), LANE_GO);
    lane_done(&second, START + 20,
              &(struct lane_use){.requests = 1, .input_tokens = 500, .output_tokens = 500});
    ck_assert_int_eq(try_now(START + 59000, &first), LANE_WAIT);
    ck_assert_int_eq(try_now(START + 150000, &first), LANE_GO);
    lane_done(&first, START + 150000, NULL);
}
END_TEST

START_TEST(the_length_of_answers_is_learned_where_none_is_given)
{
    struct lane_ask ask = {.model = PL_STR("m"), .run = lane, .input_bytes = 400};
    struct lane_ticket ticket;

    limit(10, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(lane_try(lane, &ask, START, &ticket, &why), LANE_GO);
        lane_done(&ticket, START,
                  &(struct lane_use){.requests = 1, .input_tokens = 100, .output_tokens = 1000});
    }
    ck_assert_int_eq(lane_try(lane, &ask, START, &ticket, &why), LANE_GO);
    ck_assert_uint_gt(ticket.tokens, 1090);
    ck_assert_uint_le(ticket.tokens, 1101);
    lane_done(&ticket, START, NULL);
}
END_TEST

START_TEST(a_model_with_limits_of_its_own_is_counted_for_itself)
{
    struct lane_ticket all, own, more;

    limit(1, 0, 0);
    ck_assert(lane_set_model_limits(lane, PL_STR("big"), &(struct lane_limits){.concurrency = 1}));
    ck_assert(lane_set_model_limits(lane, PL_STR("slow"), &(struct lane_limits){.rpm = 1}));
    ck_assert_int_eq(try_model("m", START, &all), LANE_GO);
    ck_assert_int_eq(try_model("big", START, &own), LANE_GO);
    ck_assert_int_eq(try_model("big", START, &more), LANE_WAIT);
    ck_assert_int_eq(try_model("slow", START, &more), LANE_WAIT); /* shares what it has not */
    ck_assert_str_eq(why, "concurrency");
    lane_done(&all, START, NULL);
    ck_assert_int_eq(try_model("slow", START, &more), LANE_GO);
    lane_done(&more, START, &(struct lane_use){.requests = 1});
    ck_assert_int_eq(try_model("slow", START, &more), LANE_WAIT);
    ck_assert_str_eq(why, "requests_per_minute");
    ck_assert_int_eq(try_model("m", START, &more), LANE_GO);
    lane_done(&more, START, NULL);
    lane_done(&own, START, NULL);
}
END_TEST

/* ---- what the server says ---- */

START_TEST(a_429_pauses_the_lane_for_as_long_as_it_says)
{
    struct lane_ticket ticket;

    ck_assert_int_eq(try_now(START, &ticket), LANE_GO);
    ck_assert(tell(LANE_LIMITED, &ticket, START, 5000));
    lane_done(&ticket, START, NULL);
    ck_assert(tell(LANE_LIMITED, NULL, START + 1, 1000)); /* a shorter one changes nothing */
    ck_assert_int_eq(stats(START).paused_until, START + 5000);
    ck_assert(!goes(START + 4999));
    ck_assert_str_eq(why, "rate_limited");
    ck_assert(goes(START + 5000));
}
END_TEST

START_TEST(pauses_without_a_hint_double_and_one_burst_is_one_failure)
{
    static const pl_ms waits[] = {250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000};
    pl_ms now = START;

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < PL_ARRAY_LEN(waits); i++) {
            for (unsigned burst = 0; burst < 20; burst++)
                ck_assert(tell(LANE_LIMITED, NULL, now, -1));
            ck_assert_int_eq(stats(now).paused_until, now + waits[i]);
            now += waits[i];
        }
        tell(LANE_ANSWERED, NULL, now, -1);
    }
}
END_TEST

START_TEST(a_429_halves_what_is_under_way_and_good_answers_raise_it)
{
    struct lane_ticket tickets[40], more;
    pl_ms now = START;

    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(try_now(now, &tickets[i]), LANE_GO);
    for (unsigned i = 0; i < 40; i++) /* all of one burst: it is halved once */
        tell(LANE_LIMITED, &tickets[i], now + 1, 0);
    ck_assert_uint_eq(stats(now).window, 20);
    for (unsigned i = 0; i < 21; i++)
        lane_done(&tickets[i], now + 1, NULL);
    ck_assert_int_eq(try_now(now + 2, &more), LANE_GO); /* 19 are under way */
    ck_assert_int_eq(try_now(now + 2, &tickets[0]), LANE_WAIT);
    ck_assert_str_eq(why, "rate_limited");
    for (unsigned i = 0; i < 21; i++)
        tell(LANE_ANSWERED, NULL, now + 3, -1);
    ck_assert_uint_eq(stats(now).window, 21);
    tell(LANE_LIMITED, &more, now + 4, 0); /* it went out after the halving: once more */
    ck_assert_uint_eq(stats(now).window, 10);
    lane_done(&more, now + 4, NULL);
    for (unsigned i = 21; i < 40; i++)
        lane_done(&tickets[i], now + 4, NULL);
    ck_assert(goes(now + 5));
    for (unsigned i = 0; i < 10000 && stats(now).window; i++)
        tell(LANE_ANSWERED, NULL, now + 6, -1);
    ck_assert_uint_eq(stats(now).window, 0); /* all is well again */
}
END_TEST

START_TEST(a_window_is_forgotten_after_some_calm)
{
    struct lane_ticket first, second;

    tell(LANE_LIMITED, NULL, START, 0);
    ck_assert_uint_eq(stats(START).window, 1);
    ck_assert_int_eq(try_now(START + 300000, &first), LANE_GO);
    ck_assert_int_eq(try_now(START + 300000, &second), LANE_GO);
    lane_done(&first, START, NULL);
    lane_done(&second, START, NULL);
}
END_TEST

START_TEST(a_server_that_was_never_reached_is_not_waited_for)
{
    for (unsigned i = 0; i < 100; i++)
        ck_assert(!tell(LANE_UNREACHABLE, NULL, START + 100 * i, -1));
    ck_assert(goes(START + 10000));
}
END_TEST

START_TEST(one_out_of_reach_is_asked_by_one_call_at_a_time)
{
    struct lane_ticket probe, other;
    struct guest guest = {0};

    granted = 0;
    tell(LANE_ANSWERED, NULL, START, -1);
    ck_assert(tell(LANE_UNREACHABLE, NULL, START, -1));
    ck_assert(!goes(START + 249));
    ck_assert_str_eq(why, "unreachable");
    ck_assert_int_eq(try_now(START + 250, &probe), LANE_GO);
    ck_assert(probe.probe);
    ck_assert_int_eq(try_now(START + 250, &other), LANE_WAIT);
    ck_assert(tell(LANE_UNREACHABLE, &probe, START + 300, -1));
    lane_done(&probe, START + 300, NULL);
    ck_assert(!goes(START + 799)); /* twice as long */
    ck_assert_int_eq(try_now(START + 800, &probe), LANE_GO);
    wait_of(&guest, "t", 0, false, START + 800);
    lane_done(&probe, START + 900, NULL); /* cancelled: it found out nothing */
    ck_assert_uint_eq(guest.order, 1);
    ck_assert(guest.waiter.ticket.probe);
    tell(LANE_ANSWERED, &guest.waiter.ticket, START + 1000, -1);
    end_of(&guest, START + 1000);
    ck_assert_int_eq(try_now(START + 1000, &probe), LANE_GO);
    ck_assert_int_eq(try_now(START + 1000, &other), LANE_GO);
    lane_done(&probe, START + 1000, NULL);
    lane_done(&other, START + 1000, NULL);
}
END_TEST

START_TEST(after_an_hour_of_nothing_but_no_nobody_waits)
{
    pl_ms now = START;

    tell(LANE_ANSWERED, NULL, now, -1);
    ck_assert(tell(LANE_UNREACHABLE, NULL, now, -1));
    ck_assert(tell(LANE_UNREACHABLE, NULL, now + HOUR - 1, -1));
    ck_assert(!tell(LANE_UNREACHABLE, NULL, now + HOUR, -1));
    ck_assert(!lane_has_answered(lane));
    ck_assert(goes(now + HOUR));
    now += 2 * HOUR;
    ck_assert(tell(LANE_LIMITED, NULL, now, 1000));
    ck_assert(tell(LANE_LIMITED, NULL, now + HOUR - 1, HOUR));
    ck_assert(!tell(LANE_LIMITED, NULL, now + HOUR, 1000));
    ck_assert(goes(now + HOUR));
}
END_TEST

/* Fails again and again, for as long as it takes. */
static pl_ms break_circuit(pl_ms now)
{
    for (unsigned i = 0; i < 21; i++)
        tell(LANE_FAILED, NULL, now + 100 * i, -1);
    return now + 2000;
}

START_TEST(a_burst_of_failures_opens_no_circuit)
{
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(!tell(LANE_FAILED, NULL, START, -1));
    ck_assert(goes(START));
    tell(LANE_ANSWERED, NULL, START + 1000, -1);
    tell(LANE_FAILED, NULL, START + 5000, -1);
    ck_assert(goes(START + 5000));
}
END_TEST

START_TEST(failure_after_failure_opens_it_and_one_good_answer_closes_it)
{
    const pl_ms now = break_circuit(START);
    struct lane_ticket probe, other;

    ck_assert(!goes(now));
    ck_assert_str_eq(why, "circuit_open");
    ck_assert_int_eq(try_now(now + 1000, &probe), LANE_GO);
    ck_assert_int_eq(try_now(now + 1000, &other), LANE_WAIT);
    tell(LANE_ANSWERED, &probe, now + 1100, -1);
    ck_assert_int_eq(try_now(now + 1100, &other), LANE_GO);
    lane_done(&probe, now + 1100, NULL);
    lane_done(&other, now + 1100, NULL);
}
END_TEST

START_TEST(a_call_with_another_model_does_not_wait_for_a_broken_server)
{
    const struct lane_ask ask = {.model = PL_STR("m"), .run = lane, .has_other = true};
    const pl_ms now = break_circuit(START);
    struct lane_ticket ticket;

    ck_assert_int_eq(lane_try(lane, &ask, now, &ticket, &why), LANE_CLOSED);
    ck_assert(!goes(now));
}
END_TEST

START_TEST(after_some_probes_in_vain_nobody_waits_and_one_goes_on_trying)
{
    struct guest guest = {0};
    struct lane_ticket probe, other;
    pl_ms now = break_circuit(START);

    granted = 0;
    wait_of(&guest, "t", 0, false, now);
    for (unsigned i = 0; i < 3; i++) {
        now = stats(now).paused_until;
        if (i == 0) { /* the one that waits is the first probe */
            ck_assert_int_eq(lane_pump(lane, now), 0);
            probe = guest.waiter.ticket;
            guest = (struct guest){0};
            wait_of(&guest, "t", 0, false, now);
        } else {
            ck_assert_int_eq(try_now(now, &probe), LANE_WAIT);
            lane_pump(lane, now);
            probe = guest.waiter.ticket;
            guest = (struct guest){0};
            wait_of(&guest, "t", 0, false, now);
        }
        ck_assert(probe.probe);
        tell(LANE_FAILED, &probe, now, -1);
        lane_done(&probe, now, NULL);
    }
    ck_assert_uint_gt(guest.order, 0); /* told to fail */
    ck_assert(guest.waiter.ticket.closed);
    ck_assert_int_eq(try_now(now, &other), LANE_CLOSED);
    now = stats(now).paused_until;
    ck_assert_int_eq(try_now(now, &probe), LANE_GO);
    ck_assert_int_eq(try_now(now, &other), LANE_CLOSED);
    tell(LANE_ANSWERED, &probe, now, -1);
    lane_done(&probe, now, NULL);
    ck_assert(goes(now));
}
END_TEST

START_TEST(what_the_server_says_is_left_is_not_overdrawn)
{
    struct lane_news news = {.what = LANE_ANSWERED,
                             .hint = -1,
                             .requests = {.limit = 60, .remaining = 2, .reset = 9000}};
    struct lane_ticket tickets[3], more;

    lane_tell(lane, NULL, START, &news);
    ck_assert_int_eq(try_now(START, &tickets[0]), LANE_GO);
    ck_assert_int_eq(try_now(START, &tickets[1]), LANE_GO);
    ck_assert_int_eq(try_now(START, &more), LANE_WAIT);
    ck_assert_str_eq(why, "rate_limited");
    ck_assert_int_eq(try_now(START + 1100, &tickets[2]), LANE_GO); /* one a second comes in */
    ck_assert_int_eq(try_now(START + 1100, &more), LANE_WAIT);
    news.requests.remaining = 50;
    lane_tell(lane, NULL, START + 1200, &news);
    ck_assert_int_eq(try_now(START + 1200, &more), LANE_GO);
    lane_done(&more, START + 1200, NULL);
    for (unsigned i = 0; i < 3; i++)
        lane_done(&tickets[i], START + 1200, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/limits");
    TCase *tcase = tcase_create("lanes");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_lane_without_limits_lets_everything_in);
    tcase_add_test(tcase, so_many_go_at_once_and_the_rest_in_their_order);
    tcase_add_test(tcase, one_that_leaves_the_queue_takes_no_ticket);
    tcase_add_test(tcase, tenants_take_turns_and_in_them_runs);
    tcase_add_test(tcase, one_that_was_sent_before_is_first_of_its_run);
    tcase_add_test(tcase, requests_a_minute_open_by_the_clock);
    tcase_add_test(tcase, a_call_that_was_never_sent_is_no_request);
    tcase_add_test(tcase, tokens_are_reserved_and_then_counted_as_they_were);
    tcase_add_test(tcase, the_length_of_answers_is_learned_where_none_is_given);
    tcase_add_test(tcase, a_model_with_limits_of_its_own_is_counted_for_itself);
    tcase_add_test(tcase, a_429_pauses_the_lane_for_as_long_as_it_says);
    tcase_add_test(tcase, pauses_without_a_hint_double_and_one_burst_is_one_failure);
    tcase_add_test(tcase, a_429_halves_what_is_under_way_and_good_answers_raise_it);
    tcase_add_test(tcase, a_window_is_forgotten_after_some_calm);
    tcase_add_test(tcase, a_server_that_was_never_reached_is_not_waited_for);
    tcase_add_test(tcase, one_out_of_reach_is_asked_by_one_call_at_a_time);
    tcase_add_test(tcase, after_an_hour_of_nothing_but_no_nobody_waits);
    tcase_add_test(tcase, a_burst_of_failures_opens_no_circuit);
    tcase_add_test(tcase, failure_after_failure_opens_it_and_one_good_answer_closes_it);
    tcase_add_test(tcase, a_call_with_another_model_does_not_wait_for_a_broken_server);
    tcase_add_test(tcase, after_some_probes_in_vain_nobody_waits_and_one_goes_on_trying);
    tcase_add_test(tcase, what_the_server_says_is_left_is_not_overdrawn);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
