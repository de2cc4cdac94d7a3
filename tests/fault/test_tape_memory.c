/* test_tape_memory.c - memory that runs out anywhere while a tape records, is written, read and
 * asked. Each piece of work says no_memory or does it whole; nothing leaks. Run by ctest. */
#include "base/json.h"
#include "service/tape/tape.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static char *long_text; /* made before anything fails */

static enum pl_code no_memory(void)
{
    return PL_ERR_NO_MEMORY;
}

/* That it came, after a time and something that jq never worked out. */
static bool record_marks(struct tape *tape, const struct tape_call *call)
{
    const struct tape_word came = {TAPE_RESULT, NULL, call->path, call->number};
    const struct tape_word time = {
        TAPE_TIME, NULL, {0}, tape_count_one(tape, TAPE_TIME, NULL, call->path)};
    const struct tape_word asked = {TAPE_JQ, "call", call->path, time.number};

    return time.number && tape_log(tape, &time, 7) && tape_log_asked(tape, &asked) &&
           tape_log(tape, &came, 8);
}

static enum pl_code record_call(struct tape *tape, const char *path, const char *request)
{
    struct step_result result;
    struct tape_call *call;
    bool ended;

    step_result_init(&result);
    result.output = pl_value_new(PL_STR("{\"text\":\"answer\"}"));
    result.upstream = pl_value_new(PL_STR("\"said\""));
    step_result_fact(&result, "request_id", PL_STR("r"));
    call = tape_begin(tape, pl_str(path), PL_STR("m.*"), "llm", pl_str(request));
    ended = call && result.output && result.upstream && !pl_buf_failed(&result.facts) &&
            tape_end(tape, call, &result);
    step_result_finish(&result);
    return ended && record_marks(tape, call) ? PL_OK : no_memory();
}

static enum pl_code record(struct tape *tape)
{
    const struct tape_run run = {.id = PL_STR("run_1"),
                                 .started_at = 5,
                                 .status = PL_STR("succeeded"),
                                 .output = PL_STR("1")};
    struct pl_value *yes = pl_value_new(PL_STR("true"));
    struct pl_buf request;
    enum pl_code code = PL_OK;

    pl_buf_init(&request, 8192);
    pl_buf_printf(&request, "{\"text\":\"%s\",\"list\":[1,{\"a\":null}]}", long_text);
    for (unsigned i = 0; i < 20 && code == PL_OK; i++)
        code = record_call(tape, i % 2 ? "m.1" : "m.10", "{\"p\":1}");
    if (code == PL_OK)
        code = request.failed ? no_memory() : record_call(tape, "m.2", request.data);
    if (code == PL_OK &&
        (!yes || !tape_answer(tape, PL_STR("ok"), yes, (struct pl_str){0}) ||
         !tape_answer(tape, PL_STR("no"), NULL, PL_STR("why")) || !tape_set_run(tape, &run)))
        code = no_memory();
    pl_value_unref(&yes);
    pl_buf_finish(&request);
    return code;
}

static enum pl_code ask(struct tape *tape, struct pl_buf *out)
{
    struct step_result result;
    struct tape_call *call;
    bool failed, made;

    call = tape_match(tape, PL_STR("m.1"), PL_STR("m.*"), "llm", PL_STR("{\"p\":1}"), &failed);
    if (failed)
        return no_memory();
    step_result_init(&result);
    made = tape_result(call, &result) && !pl_buf_failed(&result.facts);
    step_result_finish(&result);
    (void)tape_match(tape, PL_STR("m.1"), PL_STR("m.*"), "llm", PL_STR("{\"p\":2}"), &failed);
    if (failed || !made)
        return no_memory();
    (void)tape_match(tape, PL_STR("new"), PL_STR("new"), "llm", PL_STR("{\"p\":3}"), &failed);
    if (failed)
        return no_memory();
    if (!call->mark || call->mark->at != 7) /* with the time, in one turn */
        return PL_ERR_INTERNAL;
    for (const struct tape_change *change = tape_changes(tape); change; change = change->next)
        pl_buf_printf(out, "%d %.*s\n", (int)change->kind, PL_STR_ARG(change->path));
    return PL_OK;
}

/* All of it, once. */
static enum pl_code work(struct pl_buf *out, struct pl_err *err)
{
    struct tape *recorder = tape_create(true), *player = tape_create(false);
    struct pl_buf text;
    enum pl_code code = recorder && player ? record(recorder) : no_memory();

    pl_buf_init(&text, 1 << 20);
    if (code == PL_OK) {
        tape_write(recorder, NULL, NULL, &text);
        code = pl_buf_failed(&text) ? no_memory() : tape_read(player, pl_buf_view(&text), err);
    }
    if (code == PL_OK)
        code = ask(player, out);
    pl_buf_str(out, pl_buf_view(&text));
    pl_buf_finish(&text);
    tape_destroy(&recorder);
    tape_destroy(&player);
    return code;
}

START_TEST(a_tape_says_that_memory_is_out_or_does_it_whole)
{
    struct pl_buf whole, out;
    struct pl_err err = {.message = ""};

    long_text = test_repeat("word ", 900);
    pl_buf_init(&whole, 1 << 20);
    ck_assert_msg(work(&whole, &err) == PL_OK, "%s", err.message);
    for (long at = 1;; at++) {
        enum pl_code code;

        pl_buf_init(&out, 1 << 20);
        scarce_refused = false;
        scarce_countdown = at;
        code = work(&out, &err);
        scarce_countdown = 0;
        ck_assert_msg(code == PL_OK || (scarce_refused && code == PL_ERR_NO_MEMORY), "at %ld: %s",
                      at, pl_code_text(code));
        if (code == PL_OK && !out.failed)
            ck_assert_str_eq(test_text(&out), test_text(&whole));
        pl_buf_finish(&out);
        if (!scarce_refused)
            break;
    }
    pl_buf_finish(&whole);
    free(long_text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fault/tape_memory");
    TCase *tc = tcase_create("tape");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_tape_says_that_memory_is_out_or_does_it_whole);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
