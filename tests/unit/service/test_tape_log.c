/* test_tape_log.c - what came to a run in which order: recorded, in the file, found again, and what
 * is refused of it; calls that were not sent. The calls themselves are in test_tape.c. Run by
 * ctest. */
#include "service/tape/tape.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static struct tape *tape;

static void tear_down(void)
{
    tape_destroy(&tape);
}

static struct tape_word next_word(enum tape_mark_kind kind, const char *what, const char *path)
{
    return (struct tape_word){kind, what, pl_str(path),
                              tape_count_one(tape, kind, what, pl_str(path))};
}

static void log_one(enum tape_mark_kind kind, const char *path, pl_ms now)
{
    const struct tape_word word = next_word(kind, NULL, path);

    ck_assert(tape_log(tape, &word, now));
}

static struct tape_call *begin(const char *path, const char *request)
{
    struct tape_call *call = tape_begin(tape, pl_str(path), pl_str(path), "llm", pl_str(request));

    ck_assert_ptr_nonnull(call);
    return call;
}

static void end(struct tape_call *call, enum pl_code code)
{
    struct step_result result;

    step_result_init(&result);
    if (code == PL_OK)
        result.output = pl_value_new(PL_STR("1"));
    else
        pl_err_set(&result.err, code, "no");
    ck_assert(tape_end(tape, call, &result));
    step_result_finish(&result);
}

static void end_at(struct tape_call *call, enum pl_code code, pl_ms now)
{
    struct tape_word word = {.kind = TAPE_RESULT, .path = call->path};

    end(call, code);
    tape_log_turn(tape);
    word.number = call->number;
    ck_assert(tape_log(tape, &word, now));
}

/* Writes what is recorded and goes on with a tape that has read it. */
static void turn_over(void)
{
    const struct tape_run run = {.started_at = 1000, .status = PL_STR("succeeded")};
    struct pl_buf text;
    struct pl_err err;

    ck_assert(tape_set_run(tape, &run));
    pl_buf_init(&text, 1 << 20);
    tape_write(tape, NULL, NULL, &text);
    ck_assert(!pl_buf_failed(&text));
    tape_destroy(&tape);
    tape = tape_create(false);
    ck_assert_msg(tape_read(tape, pl_buf_view(&text), &err) == PL_OK, "%s", err.message);
    pl_buf_finish(&text);
}

static struct tape_mark *find(const struct tape_word *word)
{
    bool no_memory;
    struct tape_mark *mark = tape_find_mark(tape, word, &no_memory);

    ck_assert(!no_memory);
    return mark;
}

START_TEST(what_came_is_read_in_its_order_with_its_times_and_turns)
{
    static const struct {
        enum tape_mark_kind kind;
        const char *path;
        pl_ms at;
        bool joined;
    } want[] = {{TAPE_TIME, "", 1007, false},      {TAPE_DONE, "m.1", 1007, true},
                {TAPE_BEGAN, "m.0", 1010, false},  {TAPE_ANSWER, "ok", 1010, false},
                {TAPE_WENT, "late", 1500, false},  {TAPE_TIME, "", 1500, true},
                {TAPE_RESULT, "late", 1600, false}};
    const struct tape_mark *mark;

    tape = tape_create(true);
    for (size_t i = 0; i < PL_ARRAY_LEN(want); i++) {
        if (!want[i].joined)
            tape_log_turn(tape);
        if (want[i].kind == TAPE_RESULT)
            end_at(begin(want[i].path, "{}"), PL_OK, want[i].at);
        else
            log_one(want[i].kind, want[i].path, want[i].at);
    }
    turn_over();
    mark = tape_log_first(tape);
    for (size_t i = 0; i < PL_ARRAY_LEN(want); i++, mark = mark->next) {
        ck_assert_ptr_nonnull(mark);
        ck_assert_int_eq(mark->kind, want[i].kind);
        ck_assert_str_eq(test_str(mark->path), want[i].path);
        ck_assert_int_eq(mark->at, want[i].at);
        ck_assert_int_eq(mark->joined, want[i].joined);
    }
    ck_assert_ptr_null(mark);
}
END_TEST

START_TEST(what_came_after_the_rest_of_its_turn_is_told_apart)
{
    const struct tape_mark *mark;
    struct tape_word held;

    tape = tape_create(true);
    log_one(TAPE_TIME, "", 1005);
    tape_log_then(tape);
    held = next_word(TAPE_HELD, NULL, "a");
    ck_assert(tape_log(tape, &held, 1005));
    log_one(TAPE_WENT, "b", 1005);
    log_one(TAPE_WENT, "c", 1005);
    tape_log_then(tape);
    log_one(TAPE_ANSWER, "d", 1005);
    tape_log_turn(tape);
    tape_log_then(tape);
    log_one(TAPE_ANSWER, "e", 1005);
    turn_over();
    mark = tape_log_first(tape);
    ck_assert(!mark->joined && !mark->then);
    mark = mark->next; /* b: what is only looked up is not the first after the rest */
    ck_assert(!mark->joined && mark->then && mark->at == 1005);
    mark = mark->next;
    ck_assert(mark->joined && !mark->then);
    mark = mark->next;
    ck_assert(!mark->joined && mark->then);
    mark = mark->next; /* e, in a turn of its own */
    ck_assert(!mark->joined && !mark->then && !mark->next);
}
END_TEST

START_TEST(what_follows_from_the_rest_of_a_turn_is_put_before_its_time)
{
    const struct tape_mark *mark;
    struct tape_word word;

    tape = tape_create(true);
    word = next_word(TAPE_WENT, NULL, "first");
    ck_assert(tape_log_before(tape, &word, 1005));
    tape_log_turn(tape);
    log_one(TAPE_TIME, "", 1010);
    for (unsigned i = 0; i < 2; i++) {
        word = next_word(TAPE_WENT, NULL, i ? "c" : "b");
        ck_assert(tape_log_before(tape, &word, 1010));
    }
    turn_over();
    mark = tape_log_first(tape);
    ck_assert_str_eq(test_str(mark->path), "first");
    mark = mark->next;
    ck_assert(mark->at == 1010 && !mark->joined);
    ck_assert_str_eq(test_str(mark->path), "b");
    mark = mark->next;
    ck_assert_str_eq(test_str(mark->path), "c");
    mark = mark->next;
    ck_assert(mark->kind == TAPE_TIME && mark->joined && !mark->next);
}
END_TEST

START_TEST(a_call_that_never_heard_of_its_refusal_was_held)
{
    const struct tape_word held = {.kind = TAPE_HELD, .path = PL_STR("a"), .number = 2};
    struct tape_call *call;

    tape = tape_create(true);
    call = begin("a", "{}");
    end(call, PL_ERR_BUDGET_EXCEEDED);
    call->waits = 2;
    ck_assert_ptr_eq(tape_last(tape, PL_STR("a")), call);
    turn_over();
    ck_assert(find(&held)->never);
    ck_assert_str_eq(test_str(find(&held)->path), "a");
}
END_TEST

START_TEST(each_call_finds_when_it_came)
{
    tape = tape_create(true);
    end_at(begin("a", "{\"p\":1}"), PL_ERR_OVERLOADED, 1010);
    end(begin("at-once", "{}"), PL_ERR_PROVIDER_ERROR);
    tape_unsent(begin("b", "{}"));
    end_at(begin("a", "{\"p\":1}"), PL_OK, 1030);
    turn_over();
    ck_assert_uint_eq(tape_count(tape), 4);
    ck_assert_int_eq(tape_at(tape, 0)->mark->at, 1010);
    ck_assert_int_eq(tape_at(tape, 1)->mark->at, 1030);
    ck_assert_ptr_eq(tape_at(tape, 1)->mark->call, tape_at(tape, 1));
    ck_assert_ptr_null(tape_at(tape, 2)->mark);
    ck_assert(tape_at(tape, 3)->unsent && tape_at(tape, 3)->cancelled);
    ck_assert_ptr_null(tape_at(tape, 3)->mark);
}
END_TEST

START_TEST(a_call_that_was_held_gives_its_place_to_the_one_that_is_sent)
{
    tape = tape_create(true);
    tape_unsent(begin("a", "{\"p\":1}"));
    end_at(begin("a", "{\"p\":2}"), PL_OK, 1010);
    end(begin("b", "{}"), PL_ERR_BUDGET_EXCEEDED);
    end_at(begin("b", "{}"), PL_OK, 1010);
    end_at(begin("b", "{}"), PL_OK, 1020);
    turn_over();
    ck_assert_uint_eq(tape_count(tape), 3);
    ck_assert_str_eq(test_str(tape_at(tape, 0)->request), "{\"p\":2}");
    ck_assert(!tape_at(tape, 0)->cancelled && tape_at(tape, 0)->mark);
    ck_assert_int_eq(tape_at(tape, 1)->mark->at, 1010);
    ck_assert_int_eq(tape_at(tape, 2)->mark->at, 1020);
}
END_TEST

START_TEST(what_jq_was_asked_is_found_by_its_number_whether_it_came_or_not)
{
    struct tape_word first, second, other;
    struct tape_mark *asked;

    tape = tape_create(true);
    first = next_word(TAPE_JQ, "call", "a");
    second = next_word(TAPE_JQ, "call", "a");
    ck_assert_ptr_nonnull(tape_log_asked(tape, &first));
    asked = tape_log_asked(tape, &second);
    ck_assert_ptr_nonnull(asked);
    tape_log_came(tape, asked, 1040);
    turn_over();
    ck_assert(find(&first)->never);
    ck_assert(!find(&second)->never);
    ck_assert_int_eq(find(&second)->at, 1040);
    ck_assert_ptr_eq(tape_log_first(tape), find(&second));
    other = (struct tape_word){TAPE_JQ, "when", PL_STR("a"), 1};
    ck_assert_ptr_null(find(&other));
}
END_TEST

START_TEST(that_a_call_was_held_is_found_and_is_no_turn_of_its_own)
{
    const struct tape_mark *mark;
    struct tape_word word;

    tape = tape_create(true);
    (void)next_word(TAPE_HELD, NULL, "a");
    word = next_word(TAPE_HELD, NULL, "a");
    log_one(TAPE_TIME, "", 1005);
    tape_log_turn(tape);
    ck_assert(tape_log(tape, &word, 1010));
    log_one(TAPE_TIME, "", 1010);
    turn_over();
    ck_assert_ptr_nonnull(find(&word));
    mark = tape_log_first(tape)->next;
    ck_assert(mark->kind == TAPE_TIME && mark->at == 1010 && !mark->joined && !mark->next);
    word.number = 1;
    ck_assert_ptr_null(find(&word));
}
END_TEST

#define HEAD                                                                                \
    "{\"plait_recording\":1,\"started_at\":\"2026-01-01T00:00:00Z\",\"status\":\"failed\"," \
    "\"calls\":[]"

static const char *const broken[] = {
    "{}",
    "7",
    "[7]",
    "[\"\"]",
    "[\"5\"]",
    "[\"5 \"]",
    "[\"x time\"]",
    "[\"-1 time\"]",
    "[\"- time\"]",
    "[\"5 result\"]",
    "[\"5 results a\"]",
    "[\"99999999999999999999 time\"]",
};

START_TEST(a_timeline_that_is_none_is_refused)
{
    struct pl_buf text;
    struct pl_err err;

    pl_buf_init(&text, 4096);
    pl_buf_printf(&text, HEAD ",\"timeline\":%s}", broken[_i]);
    tape = tape_create(false);
    ck_assert_int_eq(tape_read(tape, pl_buf_view(&text), &err), PL_ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "timeline"));
    pl_buf_finish(&text);
}
END_TEST

START_TEST(a_recording_of_before_there_were_timelines_has_none)
{
    struct pl_err err;

    tape = tape_create(false);
    ck_assert_int_eq(tape_read(tape, PL_STR(HEAD "}"), &err), PL_OK);
    ck_assert_ptr_null(tape_log_first(tape));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape_log");
    TCase *tc = tcase_create("tape_log");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, NULL, tear_down);
    tcase_add_test(tc, what_came_is_read_in_its_order_with_its_times_and_turns);
    tcase_add_test(tc, what_came_after_the_rest_of_its_turn_is_told_apart);
    tcase_add_test(tc, what_follows_from_the_rest_of_a_turn_is_put_before_its_time);
    tcase_add_test(tc, a_call_that_never_heard_of_its_refusal_was_held);
    tcase_add_test(tc, each_call_finds_when_it_came);
    tcase_add_test(tc, a_call_that_was_held_gives_its_place_to_the_one_that_is_sent);
    tcase_add_test(tc, what_jq_was_asked_is_found_by_its_number_whether_it_came_or_not);
    tcase_add_test(tc, that_a_call_was_held_is_found_and_is_no_turn_of_its_own);
    tcase_add_loop_test(tc, a_timeline_that_is_none_is_refused, 0, PL_ARRAY_LEN(broken));
    tcase_add_test(tc, a_recording_of_before_there_were_timelines_has_none);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
