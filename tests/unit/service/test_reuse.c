/* test_reuse.c - whose turn it is when many ask the same: one calls, the rest waits, and what is
 * kept is found again, by those it belongs to, as long as it is fresh. The calls are made up.
 * Run by ctest. */
#include "service/reuse.h"

#include "base/sync.h"
#include "service/llm/llm_digest.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 20000, HOUR = 3600000, NOW = 1000000 };

static struct store_fixture fixture;
static struct store *store;
static struct reuse *reuse;
static struct loop *loop;
static struct pl_mutex lock;
static struct pl_cond changed;

struct asker {
    struct reuse_ticket ticket;
    unsigned told; /* guarded by lock */
};

static void told(struct reuse_ticket *ticket)
{
    struct asker *asker = pl_container_of(ticket, struct asker, ticket);

    pl_mutex_lock(&lock);
    asker->told++;
    pl_cond_broadcast(&changed);
    pl_mutex_unlock(&lock);
}

static void open_store(void)
{
    store = store_fixture_open(&fixture, true);
    reuse = reuse_create(store, pl_clock_real());
    ck_assert_ptr_nonnull(reuse);
}

static void close_store(void)
{
    reuse_stop(reuse);
    store_close(&store);
    reuse_destroy(&reuse);
}

static void set_up(void)
{
    pl_mutex_init(&lock);
    pl_cond_init(&changed);
    store_fixture_init(&fixture, 0);
    open_store();
    ck_assert_int_eq(loop_create(0, pl_clock_real(), &loop, NULL), PL_OK);
    ck_assert_int_eq(loop_start(loop, NULL), PL_OK);
}

static void tear_down(void)
{
    loop_stop(loop);
    loop_destroy(&loop);
    close_store();
    store_fixture_finish(&fixture);
    pl_cond_finish(&changed);
    pl_mutex_finish(&lock);
}

/* ---- asking ---- */

static enum reuse_turn ask_at(struct asker *asker, const char *tenant, unsigned char what,
                              pl_ms ttl, pl_ms now)
{
    const unsigned char digest[LLM_DIGEST_BYTES] = {what};
    const struct reuse_request request = {
        .tenant = pl_str(tenant), .digest = digest, .ttl = ttl, .now = now};

    asker->ticket.home = loop;
    asker->ticket.told = told;
    return reuse_ask(reuse, &asker->ticket, &request);
}

static enum reuse_turn ask(struct asker *asker)
{
    return ask_at(asker, "t", 1, HOUR, NOW);
}

static void wait_told(struct asker *asker, unsigned times)
{
    pl_mutex_lock(&lock);
    while (asker->told < times)
        ck_assert(pl_cond_wait_for(&changed, &lock, WAIT_MS));
    pl_mutex_unlock(&lock);
}

/* On its home loop, as is asked for: there nothing is half told. */
struct leaving {
    struct loop_mail mail;
    struct asker *asker;
    bool still, done; /* guarded by lock */
};

static void deliver_leaving(struct loop *home, struct loop_mail *mail)
{
    struct leaving *leaving = pl_container_of(mail, struct leaving, mail);
    const bool still = reuse_leave(&leaving->asker->ticket);

    (void)home;
    pl_mutex_lock(&lock);
    leaving->still = still;
    leaving->done = true;
    pl_cond_broadcast(&changed);
    pl_mutex_unlock(&lock);
}

static bool leave(struct asker *asker)
{
    struct leaving leaving = {.mail.deliver = deliver_leaving, .asker = asker};

    loop_post(loop, &leaving.mail);
    pl_mutex_lock(&lock);
    while (!leaving.done)
        ck_assert(pl_cond_wait_for(&changed, &lock, WAIT_MS));
    pl_mutex_unlock(&lock);
    return leaving.still;
}

static unsigned told_so_far(struct asker *asker)
{
    unsigned count;

    pl_mutex_lock(&lock);
    count = asker->told;
    pl_mutex_unlock(&lock);
    return count;
}

static void settle_at(struct asker *asker, enum pl_code code, const char *json, const char *reason,
                      pl_ms now)
{
    struct step_result result;

    step_result_init(&result);
    if (code == PL_OK)
        result.output = pl_value_new(pl_str(json));
    else
        pl_err_set(&result.err, code, "it failed");
    result.usage = (struct store_usage){.calls = 1, .input_tokens = 11, .output_tokens = 7};
    if (reason)
        step_result_fact(&result, "finish_reason", pl_str(reason));
    reuse_settle(&asker->ticket, &result, now);
    step_result_finish(&result);
}

static void settle(struct asker *asker, enum pl_code code, const char *json)
{
    settle_at(asker, code, json, NULL, NOW);
}

/* The answer it was told, which is released. */
static void check_answer(struct asker *asker, const char *json)
{
    ck_assert(asker->ticket.answered);
    ck_assert_str_eq(pl_value_text(asker->ticket.answer.output).ptr, json);
    ck_assert_int_eq(asker->ticket.answer.usage.input_tokens, 11);
    ck_assert(!reuse_leave(&asker->ticket));
}

/* Asks what nobody has asked: it is to call. */
static void lead(struct asker *asker)
{
    ck_assert_int_eq(ask(asker), REUSE_LOOKS);
    wait_told(asker, 1);
    ck_assert(!asker->ticket.answered);
}

/* Asks and gets an answer, at once or after a look. False: it is to call, and leaves that. */
static bool finds_at(const char *tenant, unsigned char what, pl_ms ttl, pl_ms now, const char *json)
{
    struct asker asker = {0};
    enum reuse_turn turn = ask_at(&asker, tenant, what, ttl, now);

    if (turn != REUSE_ANSWERED) {
        ck_assert_int_ne(turn, REUSE_CALLS);
        wait_told(&asker, 1);
    }
    if (asker.ticket.answered) {
        check_answer(&asker, json);
        return true;
    }
    ck_assert(!reuse_leave(&asker.ticket));
    return false;
}

static bool finds(const char *json)
{
    return finds_at("t", 1, HOUR, NOW, json);
}

/* ---- one call ---- */

START_TEST(an_answer_is_found_again_from_memory)
{
    struct asker first = {0}, next = {0};

    lead(&first);
    settle(&first, PL_OK, "\"hello\"");
    ck_assert(finds("\"hello\"")); /* it is kept, once this has come */
    ck_assert_int_eq(ask(&next), REUSE_ANSWERED);
    check_answer(&next, "\"hello\"");
}
END_TEST

START_TEST(an_answer_is_found_again_by_the_next_process)
{
    struct asker first = {0};

    lead(&first);
    settle_at(&first, PL_OK, "{\"a\":1}", "stop", NOW);
    close_store();
    open_store();
    ck_assert(finds("{\"a\":1}"));
}
END_TEST

START_TEST(another_tenant_and_another_request_find_nothing)
{
    struct asker first = {0};

    lead(&first);
    settle(&first, PL_OK, "1");
    ck_assert(finds("1"));
    ck_assert(!finds_at("u", 1, HOUR, NOW, ""));
    ck_assert(!finds_at("t", 2, HOUR, NOW, ""));
    close_store();
    open_store();
    ck_assert(!finds_at("u", 1, HOUR, NOW, ""));
    ck_assert(finds("1"));
}
END_TEST

START_TEST(an_answer_is_not_found_after_its_time_neither_in_memory_nor_in_the_store)
{
    struct asker first = {0};

    lead(&first);
    settle(&first, PL_OK, "1");
    ck_assert(finds_at("t", 1, HOUR, NOW + HOUR - 1, "1"));
    ck_assert(!finds_at("t", 1, HOUR, NOW + HOUR, ""));
    close_store();
    open_store();
    ck_assert(finds_at("t", 1, HOUR, NOW + HOUR - 1, "1"));
    close_store();
    open_store();
    ck_assert(!finds_at("t", 1, HOUR, NOW + HOUR, ""));
}
END_TEST

START_TEST(one_who_wants_it_fresher_does_not_take_an_older_one)
{
    struct asker first = {0};

    lead(&first);
    settle(&first, PL_OK, "1");
    ck_assert(finds_at("t", 1, HOUR, NOW + 600, "1"));
    ck_assert(finds_at("t", 1, 500, NOW + 499, "1"));
    ck_assert(!finds_at("t", 1, 500, NOW + 500, ""));
    ck_assert(finds_at("t", 1, HOUR, NOW + 600, "1"));
}
END_TEST

START_TEST(an_answer_that_was_cut_or_filtered_is_not_used_again)
{
    static const char *const reasons[] = {"length", "content_filter"};

    for (size_t i = 0; i < PL_ARRAY_LEN(reasons); i++) {
        struct asker first = {0};

        lead(&first);
        settle_at(&first, PL_OK, "\"half\"", reasons[i], NOW);
        ck_assert(!finds(""));
    }
}
END_TEST

START_TEST(an_answer_too_large_to_be_kept_is_shared_by_those_who_wait)
{
    struct asker first = {0}, next = {0};
    char *large = malloc(STORE_CACHE_ANSWER_BYTES + 3);

    ck_assert_ptr_nonnull(large);
    memset(large, 'x', STORE_CACHE_ANSWER_BYTES + 2);
    large[0] = large[STORE_CACHE_ANSWER_BYTES + 1] = '"';
    large[STORE_CACHE_ANSWER_BYTES + 2] = '\0';
    lead(&first);
    ck_assert_int_eq(ask(&next), REUSE_FOLLOWS);
    settle(&first, PL_OK, large);
    wait_told(&next, 1);
    check_answer(&next, large);
    ck_assert(!finds(""));
    free(large);
}
END_TEST

/* ---- many at once ---- */

enum { MANY = 500 };

START_TEST(five_hundred_who_ask_at_once_make_one_call)
{
    static struct asker askers[MANY];
    unsigned called = 0;

    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(ask(&askers[i]), i ? REUSE_FOLLOWS : REUSE_LOOKS);
    wait_told(&askers[0], 1);
    called += !askers[0].ticket.answered;
    ck_assert_int_eq(ask(&askers[0]), REUSE_CALLS); /* asked again, it says so again */
    for (size_t i = 1; i < MANY; i++)
        ck_assert_uint_eq(told_so_far(&askers[i]), 0);
    settle(&askers[0], PL_OK, "\"one\"");
    for (size_t i = 1; i < MANY; i++) {
        wait_told(&askers[i], 1);
        called += !askers[i].ticket.answered;
        check_answer(&askers[i], "\"one\"");
    }
    ck_assert_uint_eq(called, 1);
}
END_TEST

START_TEST(when_the_leader_fails_the_next_one_leads)
{
    struct asker a = {0}, b = {0}, c = {0};

    lead(&a);
    ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
    ck_assert_int_eq(ask(&c), REUSE_FOLLOWS);
    settle(&a, PL_ERR_TIMEOUT, NULL);
    wait_told(&b, 1);
    ck_assert(!b.ticket.answered);
    ck_assert_uint_eq(told_so_far(&c), 0);
    ck_assert_int_eq(ask(&b), REUSE_CALLS);
    ck_assert_int_eq(ask(&a), REUSE_FOLLOWS); /* its next attempt waits like everybody */
    settle(&b, PL_OK, "2");
    wait_told(&c, 1);
    check_answer(&c, "2");
    wait_told(&a, 2);
    check_answer(&a, "2");
}
END_TEST

START_TEST(when_the_leader_leaves_the_next_one_leads_and_nobody_else_is_hurt)
{
    struct asker a = {0}, b = {0}, c = {0}, d = {0};

    lead(&a);
    ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
    ck_assert_int_eq(ask(&c), REUSE_FOLLOWS);
    ck_assert_int_eq(ask(&d), REUSE_FOLLOWS);
    ck_assert(!reuse_leave(&b.ticket)); /* one who waits goes: nothing happens */
    settle(&a, PL_ERR_CANCELLED, NULL);
    wait_told(&c, 1);
    ck_assert(!c.ticket.answered);
    ck_assert(!reuse_leave(&c.ticket)); /* a leader without a result: its call was never made */
    wait_told(&d, 1);
    ck_assert(!d.ticket.answered);
    settle(&d, PL_OK, "4");
    ck_assert_uint_eq(told_so_far(&b), 0);
    ck_assert(finds("4"));
}
END_TEST

START_TEST(one_who_leaves_while_it_is_being_told_hears_it_and_passes_it_on)
{
    /* as often as it takes to see both orders is not known: both are right each time */
    for (int i = 0; i < 200; i++) {
        struct asker a = {0}, b = {0}, c = {0};
        bool still;

        lead(&a);
        ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
        ck_assert_int_eq(ask(&c), REUSE_FOLLOWS);
        settle(&a, PL_ERR_TIMEOUT, NULL);
        still = leave(&b);
        if (still)
            wait_told(&b, 1);
        wait_told(&c, 1);
        ck_assert(!c.ticket.answered);
        ck_assert(!reuse_leave(&c.ticket));
    }
}
END_TEST

START_TEST(one_who_leaves_while_the_store_is_looked_at_leaves_nothing_behind)
{
    for (int i = 0; i < 200; i++) {
        struct asker a = {0};

        ck_assert_int_ne(ask(&a), REUSE_CALLS); /* behind the look that nobody waits for, or not */
        if (leave(&a))
            wait_told(&a, 1);
        /* mail of one whose ticket is gone would be told to nobody: see the sanitizers */
    }
    ck_assert(!finds(""));
}
END_TEST

START_TEST(after_three_leaders_in_a_row_have_failed_nobody_waits_for_the_next)
{
    struct asker askers[6] = {0};

    lead(&askers[0]);
    for (size_t i = 1; i < 6; i++)
        ck_assert_int_eq(ask(&askers[i]), REUSE_FOLLOWS);
    for (size_t i = 0; i < 3; i++) {
        wait_told(&askers[i], 1);
        settle(&askers[i], PL_ERR_STREAM_ERROR, NULL);
    }
    for (size_t i = 3; i < 6; i++) {
        wait_told(&askers[i], 1);
        ck_assert(!askers[i].ticket.answered);
        ck_assert_int_eq(ask(&askers[i]), REUSE_CALLS);
    }
}
END_TEST

START_TEST(a_leader_whose_turn_has_not_come_is_waited_for_and_leads_when_it_comes_back)
{
    struct asker a = {0}, again = {0}, b = {0}, c = {0};

    lead(&a);
    ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
    ck_assert_int_eq(ask(&c), REUSE_FOLLOWS);
    reuse_pause(&a.ticket);
    ck_assert(!reuse_leave(&a.ticket)); /* its call is thrown away, another one is made for it */
    ck_assert_int_eq(ask(&again), REUSE_CALLS);
    ck_assert_uint_eq(told_so_far(&b), 0);
    settle(&again, PL_OK, "1");
    wait_told(&b, 1);
    wait_told(&c, 1);
    check_answer(&b, "1");
    check_answer(&c, "1");
}
END_TEST

START_TEST(one_who_waits_leads_when_a_leader_that_paused_does_not_come_back)
{
    struct asker a = {0}, b = {0}, c = {0};

    lead(&a);
    ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
    ck_assert_int_eq(ask(&c), REUSE_FOLLOWS);
    reuse_pause(&a.ticket);
    wait_told(&b, 1); /* a second later */
    ck_assert(!b.ticket.answered);
    ck_assert_uint_eq(told_so_far(&c), 0);
    settle(&b, PL_OK, "1");
    wait_told(&c, 1);
    check_answer(&c, "1");
}
END_TEST

START_TEST(when_all_have_left_a_leader_that_paused_nothing_is_left_behind)
{
    struct asker a = {0}, b = {0}, alone = {0};

    lead(&a);
    ck_assert_int_eq(ask(&b), REUSE_FOLLOWS);
    reuse_pause(&a.ticket);
    ck_assert(!reuse_leave(&b.ticket));
    lead(&alone); /* looks anew: nobody had waited for it */
    reuse_pause(&alone.ticket);
    ck_assert(!finds(""));
}
END_TEST

START_TEST(one_who_comes_while_the_answer_is_being_kept_has_it_too)
{
    struct asker a = {0}, b = {0};
    enum reuse_turn turn;

    lead(&a);
    settle(&a, PL_OK, "1");
    turn = ask(&b); /* before its commit or after it */
    ck_assert(turn == REUSE_FOLLOWS || turn == REUSE_ANSWERED);
    if (turn == REUSE_FOLLOWS)
        wait_told(&b, 1);
    check_answer(&b, "1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reuse");
    TCase *tcase = tcase_create("reuse");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        an_answer_is_found_again_from_memory,
        an_answer_is_found_again_by_the_next_process,
        another_tenant_and_another_request_find_nothing,
        an_answer_is_not_found_after_its_time_neither_in_memory_nor_in_the_store,
        one_who_wants_it_fresher_does_not_take_an_older_one,
        an_answer_that_was_cut_or_filtered_is_not_used_again,
        an_answer_too_large_to_be_kept_is_shared_by_those_who_wait,
        five_hundred_who_ask_at_once_make_one_call,
        when_the_leader_fails_the_next_one_leads,
        when_the_leader_leaves_the_next_one_leads_and_nobody_else_is_hurt,
        one_who_leaves_while_it_is_being_told_hears_it_and_passes_it_on,
        one_who_leaves_while_the_store_is_looked_at_leaves_nothing_behind,
        after_three_leaders_in_a_row_have_failed_nobody_waits_for_the_next,
        a_leader_whose_turn_has_not_come_is_waited_for_and_leads_when_it_comes_back,
        one_who_waits_leads_when_a_leader_that_paused_does_not_come_back,
        when_all_have_left_a_leader_that_paused_nothing_is_left_behind,
        one_who_comes_while_the_answer_is_being_kept_has_it_too,
    };
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
