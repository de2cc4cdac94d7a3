/* test_llm_hedge.c - several equal calls for one answer, on a provider that does what each test
 * says: who is heard, who wins, what becomes of the others. Time only decides when a call is sent
 * again; all else follows from what the calls do. Run by ctest. */
#include "service/llm/llm_hedge.h"
#include "service/pool.h"

#include <check.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALLS = 1 + HEDGE_MAX };

/* What a test does when the n-th call (from 0) has been sent; on the loop. */
typedef void on_sent(unsigned n);

static struct pool *pool;
static struct provider provider;
static struct hedge_policy policy;
static struct step_result result;
static struct llm_hedge hedge;
static struct pl_arena *arena;
static struct pl_buf told; /* texts, each followed by ^; a reset is ~ */
static sem_t done;
static unsigned completes;

static on_sent *script;
static bool slow_abort; /* calls end a turn after they were aborted */
static struct llm_call *calls[CALLS];
static unsigned n_calls, aborted[CALLS];
static bool over[CALLS];

/* ---- a provider of the test's own ---- */

static struct loop_mail sent_mail, abort_mails[CALLS];
static struct loop_timer timer;

static unsigned number_of(const struct llm_call *call)
{
    unsigned n = 0;

    while (calls[n] != call)
        n++;
    return n;
}

static void end_call(unsigned n, enum pl_code code)
{
    struct llm_call *call = calls[n];
    char text[16];

    ck_assert(!over[n]);
    over[n] = true;
    snprintf(text, sizeof(text), "answer %u", n);
    call->result->usage = (struct store_usage){.calls = 1, .output_tokens = 1 << n};
    if (code == PL_OK)
        call->result->output = pl_value_string(pl_str(text));
    else
        pl_err_set(&call->result->err, code, "call %u failed", n);
    call->complete(call);
}

static void say(unsigned n, const char *text)
{
    calls[n]->sink.delta(calls[n]->sink.arg, pl_str(text));
}

static void deliver_sent(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    (void)mail;
    script(n_calls - 1);
}

static void fake_start(struct llm_call *call)
{
    ck_assert_uint_lt(n_calls, CALLS);
    calls[n_calls++] = call;
    sent_mail.deliver = deliver_sent;
    loop_at_turn_end(call->loop, &sent_mail);
}

static void deliver_aborted(struct loop *loop, struct loop_mail *mail)
{
    const unsigned n = (unsigned)(mail - abort_mails);

    (void)loop;
    if (!over[n])
        end_call(n, PL_ERR_CANCELLED);
}

static void fake_abort(struct llm_call *call)
{
    const unsigned n = number_of(call);

    if (aborted[n]++)
        return;
    abort_mails[n].deliver = deliver_aborted;
    if (slow_abort)
        loop_at_turn_end(call->loop, &abort_mails[n]);
    else
        end_call(n, PL_ERR_CANCELLED);
}

static const struct provider_ops fake_ops = {
    .kind = "fake", .start = fake_start, .abort = fake_abort};

/* ---- around it ---- */

static void on_delta(void *arg, struct pl_str text)
{
    (void)arg;
    pl_buf_str(&told, text);
    pl_buf_char(&told, '^');
}

static void on_reset(struct llm_hedge *h)
{
    (void)h;
    pl_buf_char(&told, '~');
}

static void on_complete(struct llm_hedge *h)
{
    ck_assert_ptr_eq(h, &hedge);
    completes++;
    sem_post(&done);
}

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    arena = pl_arena_create(0);
    provider = (struct provider){
        .ops = &fake_ops,
        .name = PL_STR("fake"),
        .latency = llm_latency_create(),
        .lane = lane_create(),
    };
    policy = (struct hedge_policy){.max = 1, .after = 20};
    step_result_init(&result);
    pl_buf_init(&told, 1 << 20);
    sem_init(&done, 0, 0);
    hedge = (struct llm_hedge){
        .policy = &policy, .sink = {.delta = on_delta}, .reset = on_reset, .complete = on_complete};
    hedge.first.call = (struct llm_call){.provider = &provider,
                                         .arena = arena,
                                         .result = &result,
                                         .loop = pool_loop(pool, 0),
                                         .request = {.model = PL_STR("m"), .timeout = 10000}};
}

static void tear_down(void)
{
    pool_destroy(&pool);
    llm_hedge_finish(&hedge);
    step_result_finish(&result);
    llm_latency_destroy(&provider.latency);
    lane_destroy(&provider.lane);
    pl_arena_destroy(&arena);
    pl_buf_finish(&told);
    sem_destroy(&done);
}

static void deliver_start(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    (void)mail;
    llm_hedge_start(&hedge);
}

/* To its end. */
static void ask(on_sent *fn)
{
    static struct loop_mail start = {.deliver = deliver_start};
    struct timespec until;
    struct pl_err err;

    script = fn;
    ck_assert_int_eq(llm_hedge_prepare(&hedge, &err), PL_OK);
    loop_post(pool_loop(pool, 0), &start);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    ck_assert_int_eq(sem_timedwait(&done, &until), 0);
    pool_destroy(&pool); /* what would still come has come */
    ck_assert_uint_eq(completes, 1);
    for (unsigned i = 0; i < n_calls; i++)
        ck_assert_msg(over[i], "call %u is over", i);
}

static void assert_answer(unsigned n)
{
    char text[16];

    snprintf(text, sizeof(text), "\"answer %u\"", n);
    ck_assert_int_eq(result.err.code, PL_OK);
    ck_assert_ptr_nonnull(result.output);
    ck_assert(pl_str_is(pl_value_text(result.output), text));
}

static void assert_told(const char *text)
{
    ck_assert_str_eq(told.data ? told.data : "", text);
}

/* ---- tests ---- */

static void answer_at_once(unsigned n)
{
    end_call(n, PL_OK);
}

START_TEST(a_call_that_answers_in_time_is_the_only_one)
{
    policy.after = 5000;
    ask(answer_at_once);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
    ck_assert_uint_eq(hedge.sent, 0);
}
END_TEST

static void end_at_timer(struct loop *loop, struct loop_timer *t)
{
    (void)loop;
    (void)t;
    end_call(0, PL_OK);
}

static void later(pl_ms ms)
{
    struct loop *loop = calls[0]->loop;

    timer.fire = end_at_timer;
    loop_timer_set(loop, &timer, loop_now(loop) + ms);
}

static void answer_late(unsigned n)
{
    if (n == 0)
        later(150);
}

START_TEST(without_a_policy_a_late_call_is_waited_for)
{
    policy = (struct hedge_policy){0};
    ask(answer_late);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
}
END_TEST

static void second_answers(unsigned n)
{
    if (n == 1)
        end_call(1, PL_OK);
}

START_TEST(a_late_call_is_sent_again_and_the_answer_of_the_second_taken)
{
    slow_abort = _i;
    ask(second_answers);
    assert_answer(1);
    ck_assert_uint_eq(aborted[0], 1);
    ck_assert_uint_eq(aborted[1], 0);
    ck_assert_uint_eq(hedge.sent, 1);
    ck_assert_int_eq(result.usage.calls, 2);
    ck_assert_int_eq(result.usage.output_tokens, 3);
    assert_told("");
}
END_TEST

static void first_answers_after_all(unsigned n)
{
    if (n == 1)
        end_call(0, PL_OK);
}

START_TEST(the_first_may_win_after_all)
{
    slow_abort = _i;
    ask(first_answers_after_all);
    assert_answer(0);
    ck_assert_uint_eq(aborted[1], 1);
    ck_assert_int_eq(result.usage.output_tokens, 3);
}
END_TEST

static void last_answers(unsigned n)
{
    if (n == policy.max)
        end_call(n, PL_OK);
}

START_TEST(it_is_sent_again_as_often_as_the_policy_says)
{
    policy.max = HEDGE_MAX;
    ask(last_answers);
    assert_answer(HEDGE_MAX);
    for (unsigned i = 0; i < HEDGE_MAX; i++)
        ck_assert_uint_eq(aborted[i], 1);
}
END_TEST

static void nobody_until_the_end(unsigned n)
{
    if (n == 1)
        later(150);
}

START_TEST(it_is_sent_again_no_more_often_than_the_policy_says)
{
    ask(nobody_until_the_end);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 2);
}
END_TEST

static void speak_then_wait(unsigned n)
{
    if (n == 0) {
        say(0, "a");
        later(150);
    }
}

START_TEST(a_call_that_has_begun_to_answer_is_not_sent_again)
{
    ask(speak_then_wait);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
    assert_told("a^");
}
END_TEST

static void second_speaks_first(unsigned n)
{
    if (n != 1)
        return;
    say(1, "b");
    say(0, "a");
    say(1, "bb");
    end_call(1, PL_OK);
}

START_TEST(only_the_first_to_speak_is_heard)
{
    ask(second_speaks_first);
    assert_answer(1);
    assert_told("b^bb^");
}
END_TEST

static void other_is_whole_first(unsigned n)
{
    if (n != 1)
        return;
    say(1, "b");
    say(0, "a");
    say(0, "aa");
    end_call(0, PL_OK);
}

START_TEST(when_another_is_whole_first_its_text_takes_the_place_of_the_speakers)
{
    ask(other_is_whole_first);
    assert_answer(0);
    assert_told("b^~aaa^");
    ck_assert_uint_eq(aborted[1], 1);
}
END_TEST

static void speaker_fails(unsigned n)
{
    if (n != 1)
        return;
    say(1, "b");
    say(0, "a");
    end_call(1, PL_ERR_STREAM_ERROR);
    say(0, "aa");
    end_call(0, PL_OK);
}

START_TEST(when_the_speaker_fails_the_other_goes_on_from_its_beginning)
{
    ask(speaker_fails);
    assert_answer(0);
    assert_told("b^~a^aa^");
    ck_assert_int_eq(result.usage.output_tokens, 3);
}
END_TEST

static void speaker_fails_before_the_other_speaks(unsigned n)
{
    if (n != 1)
        return;
    say(1, "b");
    end_call(1, PL_ERR_STREAM_ERROR);
    say(0, "a");
    end_call(0, PL_OK);
}

START_TEST(when_the_speaker_fails_its_text_is_void_at_once)
{
    ask(speaker_fails_before_the_other_speaks);
    assert_answer(0);
    assert_told("b^~a^");
}
END_TEST

static void hedge_fails(unsigned n)
{
    if (n != 1)
        return;
    end_call(1, PL_ERR_RATE_LIMITED);
    end_call(0, PL_OK);
}

START_TEST(a_hedge_that_fails_does_not_fail_the_first)
{
    ask(hedge_fails);
    assert_answer(0);
    ck_assert_uint_eq(aborted[0], 0);
}
END_TEST

static void both_fail(unsigned n)
{
    if (n != 1)
        return;
    end_call(0, PL_ERR_TIMEOUT);
    end_call(1, PL_ERR_PROVIDER_ERROR);
}

START_TEST(when_all_have_failed_it_fails_as_the_last_did)
{
    ask(both_fail);
    ck_assert_int_eq(result.err.code, PL_ERR_PROVIDER_ERROR);
    ck_assert_str_eq(result.err.message, "call 1 failed");
    ck_assert_ptr_null(result.output);
    ck_assert_int_eq(result.usage.output_tokens, 3);
}
END_TEST

static void fail_at_once(unsigned n)
{
    end_call(n, PL_ERR_PROVIDER_ERROR);
}

START_TEST(a_call_that_fails_alone_is_no_matter_for_a_hedge)
{
    ask(fail_at_once);
    ck_assert_int_eq(result.err.code, PL_ERR_PROVIDER_ERROR);
    ck_assert_uint_eq(n_calls, 1);
}
END_TEST

static void hedge_can_never_work(unsigned n)
{
    if (n != 1)
        return;
    end_call(1, PL_ERR_BAD_REQUEST);
    later(150);
}

START_TEST(nothing_is_sent_again_once_a_failure_says_that_it_cannot_work)
{
    policy.max = 3;
    ask(hedge_can_never_work);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 2);
}
END_TEST

static void stop(unsigned n)
{
    if (n == 1)
        llm_hedge_abort(&hedge);
}

START_TEST(an_abort_ends_all_calls_and_keeps_their_usage)
{
    slow_abort = _i;
    ask(stop);
    ck_assert_int_eq(result.err.code, PL_ERR_CANCELLED);
    ck_assert_uint_eq(aborted[0], 1);
    ck_assert_uint_eq(aborted[1], 1);
    ck_assert_int_eq(result.usage.output_tokens, 3);
}
END_TEST

static void stop_while_they_speak(unsigned n)
{
    if (n != 1)
        return;
    say(1, "b");
    say(0, "a");
    llm_hedge_abort(&hedge);
}

START_TEST(an_abort_tells_nothing_more)
{
    slow_abort = _i;
    ask(stop_while_they_speak);
    ck_assert_int_eq(result.err.code, PL_ERR_CANCELLED);
    assert_told("b^");
}
END_TEST

static void stop_too_late(unsigned n)
{
    if (n != 1)
        return;
    llm_hedge_abort(&hedge);
    end_call(1, PL_OK); /* before its abort has come through */
}

START_TEST(an_answer_that_crosses_an_abort_is_kept)
{
    slow_abort = true;
    ask(stop_too_late);
    assert_answer(1);
}
END_TEST

static void note_time_left(unsigned n)
{
    if (n != 1)
        return;
    ck_assert_int_le(calls[1]->request.timeout, 10000 - 20);
    ck_assert_int_gt(calls[1]->request.timeout, 0);
    ck_assert_uint_eq(calls[0]->request.hedge, 0);
    ck_assert_uint_eq(calls[1]->request.hedge, 1);
    end_call(1, PL_OK);
}

START_TEST(all_calls_share_one_time_budget)
{
    ask(note_time_left);
    assert_answer(1);
}
END_TEST

START_TEST(nothing_is_sent_again_beyond_the_share)
{
    while (llm_hedges_take(provider.latency))
        ;
    ask(answer_late);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
}
END_TEST

START_TEST(nothing_is_sent_again_where_the_lane_is_full)
{
    static const struct lane_limits one = {.concurrency = 1};
    struct lane_ticket ticket;
    const char *reason;

    lane_set_limits(provider.lane, &one);
    ck_assert_int_eq(lane_try(provider.lane, &(struct lane_ask){.model = PL_STR("m")}, 1000000,
                              &ticket, &reason),
                     LANE_GO); /* the first call's, which its step would have */
    ask(answer_late);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
    lane_done(&ticket, 1000000, NULL);
}
END_TEST

START_TEST(the_place_of_a_call_that_was_sent_again_is_free_when_it_is_over)
{
    struct lane_stats stats;

    ask(answer_late);
    ck_assert_uint_gt(n_calls, 1);
    lane_get_stats(provider.lane, 1000000, &stats);
    ck_assert_uint_eq(stats.in_flight, 0);
}
END_TEST

START_TEST(without_memory_for_a_hedge_the_first_goes_on_alone)
{
    pl_arena_destroy(&arena);
    arena = pl_arena_create(64);
    hedge.first.call.arena = arena;
    ask(answer_late);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
    ck_assert_uint_eq(hedge.sent, 0);
}
END_TEST

static void answers_are_learned_meanwhile(unsigned n)
{
    struct llm_sketch *sketch = llm_latency_of(provider.latency, PL_STR("m"), false);

    if (n == 1)
        end_call(1, PL_OK);
    for (unsigned i = 0; n == 0 && i < 20; i++) {
        llm_sketch_began(sketch);
        llm_sketch_took(sketch, 20);
    }
}

START_TEST(what_is_late_is_learned_even_while_a_call_waits)
{
    policy.after = 0;
    ask(answers_are_learned_meanwhile);
    assert_answer(1);
}
END_TEST

START_TEST(nothing_is_late_before_anything_is_learned)
{
    policy.after = 0;
    ask(answer_late);
    assert_answer(0);
    ck_assert_uint_eq(n_calls, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_hedge");
    TCase *tcase = tcase_create("llm_hedge");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_call_that_answers_in_time_is_the_only_one);
    tcase_add_test(tcase, without_a_policy_a_late_call_is_waited_for);
    tcase_add_loop_test(tcase, a_late_call_is_sent_again_and_the_answer_of_the_second_taken, 0, 2);
    tcase_add_loop_test(tcase, the_first_may_win_after_all, 0, 2);
    tcase_add_test(tcase, it_is_sent_again_as_often_as_the_policy_says);
    tcase_add_test(tcase, it_is_sent_again_no_more_often_than_the_policy_says);
    tcase_add_test(tcase, a_call_that_has_begun_to_answer_is_not_sent_again);
    tcase_add_test(tcase, only_the_first_to_speak_is_heard);
    tcase_add_test(tcase, when_another_is_whole_first_its_text_takes_the_place_of_the_speakers);
    tcase_add_test(tcase, when_the_speaker_fails_the_other_goes_on_from_its_beginning);
    tcase_add_test(tcase, when_the_speaker_fails_its_text_is_void_at_once);
    tcase_add_test(tcase, a_hedge_that_fails_does_not_fail_the_first);
    tcase_add_test(tcase, when_all_have_failed_it_fails_as_the_last_did);
    tcase_add_test(tcase, a_call_that_fails_alone_is_no_matter_for_a_hedge);
    tcase_add_test(tcase, nothing_is_sent_again_once_a_failure_says_that_it_cannot_work);
    tcase_add_loop_test(tcase, an_abort_ends_all_calls_and_keeps_their_usage, 0, 2);
    tcase_add_loop_test(tcase, an_abort_tells_nothing_more, 0, 2);
    tcase_add_test(tcase, an_answer_that_crosses_an_abort_is_kept);
    tcase_add_test(tcase, all_calls_share_one_time_budget);
    tcase_add_test(tcase, nothing_is_sent_again_beyond_the_share);
    tcase_add_test(tcase, nothing_is_sent_again_where_the_lane_is_full);
    tcase_add_test(tcase, the_place_of_a_call_that_was_sent_again_is_free_when_it_is_over);
    tcase_add_test(tcase, without_memory_for_a_hedge_the_first_goes_on_alone);
    tcase_add_test(tcase, what_is_late_is_learned_even_while_a_call_waits);
    tcase_add_test(tcase, nothing_is_late_before_anything_is_learned);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
