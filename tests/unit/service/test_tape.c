/* test_tape.c - the calls of a tape: which recorded call answers which, what is told of those that
 * changed, the file and what is refused of it, and how two requests differ. Run by ctest. */
#include "base/json.h"
#include "service/llm/provider.h"
#include "service/secrets.h"
#include "service/tape/tape.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct tape *tape;

static void tear_down(void)
{
    tape_destroy(&tape);
}

static void add(const char *path, const char *step, const char *request, const char *output)
{
    struct tape_call *call = tape_begin(tape, pl_str(path), pl_str(step), "llm", pl_str(request));
    struct step_result result;

    ck_assert_ptr_nonnull(call);
    step_result_init(&result);
    result.usage.calls = 1;
    if (output)
        result.output = pl_value_new(pl_str(output));
    else
        pl_err_set(&result.err, PL_ERR_OVERLOADED, "busy");
    step_result_fact(&result, "request_id", PL_STR("r1"));
    ck_assert(tape_end(tape, call, &result));
    step_result_finish(&result);
}

static void end_run(void)
{
    const struct tape_run run = {.id = PL_STR("run_x"),
                                 .started_at = 1000,
                                 .input = PL_STR("{\"a\":1}"),
                                 .status = PL_STR("succeeded"),
                                 .output = PL_STR("\"end\"")};

    ck_assert(tape_set_run(tape, &run));
}

/* Writes what is recorded and goes on with a tape that has read it. */
static void turn_over(void)
{
    struct pl_buf text;
    struct pl_err err;

    end_run();
    pl_buf_init(&text, 1 << 20);
    tape_write(tape, NULL, NULL, &text);
    ck_assert(!pl_buf_failed(&text));
    tape_destroy(&tape);
    tape = tape_create(false);
    ck_assert_msg(tape_read(tape, pl_buf_view(&text), &err) == PL_OK, "%s", err.message);
    pl_buf_finish(&text);
}

static struct tape_call *ask(const char *path, const char *step, const char *request)
{
    bool no_memory;
    struct tape_call *call =
        tape_match(tape, pl_str(path), pl_str(step), "llm", pl_str(request), &no_memory);

    ck_assert(!no_memory);
    return call;
}

static size_t changes(void)
{
    size_t n = 0;

    for (const struct tape_change *change = tape_changes(tape); change; change = change->next)
        n++;
    return n;
}

static const char *output_of(const struct tape_call *call)
{
    return call ? test_str(call->output) : "none";
}

START_TEST(equal_calls_are_answered_in_the_order_in_which_they_ended)
{
    struct step_result result;

    tape = tape_create(true);
    add("a", "a", "{\"p\":1}", NULL);
    add("a", "a", "{\"p\":1}", "\"second\"");
    turn_over();
    step_result_init(&result);
    ck_assert(tape_result(ask("a", "a", "{\"p\":1}"), &result));
    ck_assert_int_eq(result.err.code, PL_ERR_OVERLOADED);
    ck_assert_str_eq(result.err.message, "busy");
    step_result_finish(&result);
    step_result_init(&result);
    ck_assert(tape_result(ask("a", "a", "{\"p\":1}"), &result));
    ck_assert_str_eq(test_str(pl_value_text(result.output)), "\"second\"");
    ck_assert_int_eq(result.usage.calls, 1);
    step_result_fact_int(&result, "more", 2);
    {
        struct pl_value *facts = step_result_take_facts(&result);

        ck_assert_str_eq(test_str(pl_value_text(facts)), "{\"request_id\":\"r1\",\"more\":2}");
        pl_value_unref(&facts);
    }
    step_result_finish(&result);
    ck_assert_uint_eq(changes(), 0);
    ck_assert_ptr_null(ask("a", "a", "{\"p\":1}"));
    ck_assert_int_eq(tape_changes(tape)->kind, TAPE_NEW);
}
END_TEST

START_TEST(a_call_that_moved_within_its_step_keeps_its_answer)
{
    tape = tape_create(true);
    add("m.0", "m.*", "{\"p\":\"b\"}", "\"B\"");
    add("m.1", "m.*", "{\"p\":\"c\"}", "\"C\"");
    add("n", "n", "{\"p\":\"a\"}", "\"N\"");
    turn_over();
    ck_assert_str_eq(output_of(ask("m.0", "m.*", "{\"p\":\"a\"}")), "\"B\""); /* lent */
    ck_assert_str_eq(output_of(ask("m.1", "m.*", "{\"p\":\"b\"}")), "\"B\"");
    ck_assert_str_eq(output_of(ask("m.2", "m.*", "{\"p\":\"c\"}")), "\"C\"");
    ck_assert_uint_eq(changes(), 1);
    ck_assert_int_eq(tape_changes(tape)->kind, TAPE_CHANGED);
    ck_assert_str_eq(test_str(tape_changes(tape)->path), "m.0");
}
END_TEST

START_TEST(a_new_call_is_told_with_the_one_most_like_it)
{
    tape = tape_create(true);
    add("a", "a", "{\"x\":1,\"y\":2,\"z\":3}", "1");
    add("b", "b", "{\"x\":1,\"y\":2,\"z\":4}", "2");
    turn_over();
    ck_assert_ptr_null(ask("c", "c", "{\"x\":9,\"y\":2,\"z\":4}"));
    ck_assert_str_eq(test_str(tape_changes(tape)->nearest->path), "b");
    ck_assert(!tape_was_made(tape_at(tape, 0)));
    (void)ask("a", "a", "{\"x\":1,\"y\":2,\"z\":3}");
    ck_assert(tape_was_made(tape_at(tape, 0)));
}
END_TEST

START_TEST(the_file_is_in_the_order_of_paths_and_has_no_keys_in_it)
{
    struct providers *providers = providers_create();
    struct secrets *secrets = secrets_create();
    const struct provider_options options = {.name = "o",
                                             .kind = "openai",
                                             .base_url = "http://127.0.0.1:1",
                                             .api_key = "sk-provider-key"};
    struct pl_buf text;
    struct pl_err err;
    const char *ten, *nine;

    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    ck_assert_int_eq(secrets_add(secrets, PL_STR("s"), PL_STR("my/secret"), &err), PL_OK);
    tape = tape_create(true);
    add("m.10", "m.*", "{}", "\"sk-provider-key and my/secret and my\\/secret\"");
    add("m.9", "m.*", "{}", "1");
    end_run();
    pl_buf_init(&text, 1 << 20);
    tape_write(tape, providers, secrets, &text);
    ten = strstr(text.data, "m.10");
    nine = strstr(text.data, "\"m.9\"");
    ck_assert(nine && ten && nine < ten);
    ck_assert_ptr_null(strstr(text.data, "sk-provider"));
    ck_assert_ptr_null(strstr(text.data, "secret"));
    ck_assert_int_eq(json_check(pl_str_n(text.data, text.len - 1), 64, NULL, NULL), PL_OK);
    pl_buf_finish(&text);
    providers_destroy(&providers);
    secrets_destroy(&secrets);
}
END_TEST

START_TEST(time_stands_still_until_it_jumps_and_never_goes_back)
{
    tape = tape_create(true);
    ck_assert_ptr_null(tape_clock(tape));
    add("a", "a", "{}", "1");
    turn_over();
    ck_assert_int_eq(pl_clock_now(tape_clock(tape)), 1000);
    tape_jump(tape, 5000);
    tape_jump(tape, 2000);
    ck_assert_int_eq(pl_clock_now(tape_clock(tape)), 5000);
}
END_TEST

#define HEAD "{\"plait_recording\":1,\"started_at\":\"2026-01-01T00:00:00Z\",\"status\":\"failed\","
#define SUM  "\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\""

static const char *const broken[] = {
    "",
    "[]",
    "{}",
    "{\"plait_recording\":\"1\"}",
    HEAD "\"calls\":{}}",
    HEAD "\"calls\":[1]}",
    HEAD "\"calls\":[{\"path\":\"a\",\"output\":1}]}",
    HEAD "\"calls\":[{\"path\":\"a\"," SUM "}]}",
    HEAD "\"calls\":[{" SUM ",\"output\":1}]}",
    HEAD "\"calls\":[{\"path\":\"a\",\"output\":1,\"cancelled\":true," SUM "}]}",
    HEAD "\"calls\":[{\"path\":\"a\",\"output\":1,\"sha256\":\"00\"}]}",
    HEAD "\"calls\":[]",
};

START_TEST(a_file_that_is_no_recording_is_refused)
{
    struct pl_err err;

    tape = tape_create(false);
    ck_assert_int_ne(tape_read(tape, pl_str(broken[_i]), &err), PL_OK);
}
END_TEST

START_TEST(members_of_another_type_are_as_if_they_were_not_there)
{
    struct pl_err err;

    tape = tape_create(false);
    ck_assert_int_eq(
        tape_read(tape,
                  PL_STR(HEAD "\"input\":7,\"run\":[],\"model\":null,\"answers\":3,\"calls\":["
                              "{\"path\":\"a\"," SUM ",\"error\":{\"code\":5,\"detail\":{}},"
                              "\"usage\":[],\"call\":[1],\"request\":9,\"ended\":\"x\"}]}"),
                  &err),
        PL_OK);
    ck_assert_uint_eq(tape_count(tape), 1);
    ck_assert_int_eq(tape_at(tape, 0)->err.code, PL_ERR_INTERNAL);
    ck_assert_uint_eq(tape_run(tape)->answers.len, 0);
}
END_TEST

START_TEST(figures_that_none_of_ours_can_be_count_nothing)
{
    const struct store_usage *usage;
    struct pl_err err;

    tape = tape_create(false);
    ck_assert_int_eq(
        tape_read(tape,
                  PL_STR(HEAD "\"calls\":[{\"path\":\"a\"," SUM
                              ",\"error\":{\"retry_after_ms\":9223372036854775807},\"usage\":{"
                              "\"calls\":9223372036854775807,\"input_tokens\":-1,"
                              "\"output_tokens\":3,\"cost_usd\":1e999}}]}"),
                  &err),
        PL_OK);
    usage = &tape_at(tape, 0)->usage;
    ck_assert_int_eq(usage->calls, 0);
    ck_assert_int_eq(usage->input_tokens, 0);
    ck_assert_int_eq(usage->output_tokens, 3);
    ck_assert(usage->cost_usd == 0);
    ck_assert_int_eq(tape_at(tape, 0)->retry_after, -1);
}
END_TEST

static const struct {
    const char *is, *was, *told;
} diffs[] = {
    {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1.0}", ""},
    {"{\"a\":1}", "{\"a\":2}", "-a: 1, was 2\n"},
    {"{\"a\":{\"b\":[1,{\"c\":\"x\"}]}}", "{\"a\":{\"b\":[1,{\"c\":\"y\"}]}}",
     "-a.b[1].c: \"x\", was \"y\"\n"},
    {"{\"a\":1}", "{}", "-a: 1, was nothing\n"},
    {"[1]", "[1,2]", "-[1]: nothing, was 2\n"},
    {"1", "[1]", "-1, was [1]\n"},
    {"[1,2,3,4]", "[5,6,7,8]", "-[0]: 1, was 5\n-[1]: 2, was 6\n-[2]: 3, was 7\n-and 1 more\n"},
};

START_TEST(a_difference_is_told_with_its_place)
{
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    (void)tape_diff(pl_str(diffs[_i].is), pl_str(diffs[_i].was), "-", 3, &out);
    ck_assert_str_eq(test_text(&out), diffs[_i].told);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(long_texts_are_shown_around_the_difference_and_cut_in_the_file)
{
    char *long_text = test_repeat("\xC3\xA9 ", 1000);
    struct pl_buf is, was, out;

    pl_buf_init(&is, 8192);
    pl_buf_init(&was, 8192);
    pl_buf_init(&out, 8192);
    pl_buf_printf(&is, "\"%s1 end\"", long_text);
    pl_buf_printf(&was, "\"%s2 end\"", long_text);
    ck_assert_uint_eq(tape_diff(pl_buf_view(&is), pl_buf_view(&was), "", 5, &out), 1);
    ck_assert_ptr_nonnull(strstr(out.data, "1 end\", was ..."));
    ck_assert_uint_lt(out.len, 200);
    pl_buf_reset(&out);
    tape_shorten(pl_buf_view(&is), &out);
    ck_assert_ptr_nonnull(strstr(out.data, "[cut: 3005 bytes, sha256 "));
    ck_assert_int_eq(json_check(pl_buf_view(&out), 4, NULL, NULL), PL_OK);
    pl_buf_finish(&is);
    pl_buf_finish(&was);
    pl_buf_finish(&out);
    free(long_text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape");
    TCase *tc = tcase_create("tape");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, NULL, tear_down);
    tcase_add_test(tc, equal_calls_are_answered_in_the_order_in_which_they_ended);
    tcase_add_test(tc, a_call_that_moved_within_its_step_keeps_its_answer);
    tcase_add_test(tc, a_new_call_is_told_with_the_one_most_like_it);
    tcase_add_test(tc, the_file_is_in_the_order_of_paths_and_has_no_keys_in_it);
    tcase_add_test(tc, time_stands_still_until_it_jumps_and_never_goes_back);
    tcase_add_loop_test(tc, a_file_that_is_no_recording_is_refused, 0, PL_ARRAY_LEN(broken));
    tcase_add_test(tc, members_of_another_type_are_as_if_they_were_not_there);
    tcase_add_test(tc, figures_that_none_of_ours_can_be_count_nothing);
    tcase_add_loop_test(tc, a_difference_is_told_with_its_place, 0, PL_ARRAY_LEN(diffs));
    tcase_add_test(tc, long_texts_are_shown_around_the_difference_and_cut_in_the_file);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
