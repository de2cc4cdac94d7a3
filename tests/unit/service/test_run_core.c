/* test_run_core.c - what scenarios do not show of the run core: answers nobody awaits, sizes, rows
 * that lie, its own speed. Its decisions are in tests/scenario. */
#include "base/limits.h"
#include "service/run/run_core.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct workflow *workflow;
static struct run_core *core;
static struct run_update update;
static pl_ms now;

static void begin(const char *text)
{
    workflow = test_workflow(text);
    now = 1000;
    core = run_core_create(workflow, 1, now);
    ck_assert_ptr_nonnull(core);
}

static void end(void)
{
    run_core_destroy(&core);
    workflow_unref(&workflow);
}

static struct run_node *node(const char *path)
{
    const struct step_def *def = workflow_find(workflow, pl_str(path));

    ck_assert_msg(def != NULL, "no step %s", path);
    return run_core_node(core, def);
}

static void feed(struct run_event event)
{
    event.now = now;
    ck_assert_int_eq(run_core_step(core, &event, &update), PL_OK);
    ck_assert_msg(run_core_check(core) == NULL, "%s", run_core_check(core));
}

static void start(void)
{
    feed((struct run_event){.type = RUN_EV_START});
}

/* Takes the reference. */
static void succeed(struct run_node *step, struct pl_value *output)
{
    struct step_result result;

    step_result_init(&result);
    result.output = output;
    feed((struct run_event){.type = RUN_EV_RESULT, .node = step, .result = &result});
    ck_assert_msg(result.output == NULL, "the core takes the reference");
}

static void refuse(struct run_node *step, enum pl_code code)
{
    struct step_result result;

    step_result_init(&result);
    pl_err_set(&result.err, code, "on purpose");
    result.upstream = pl_value_string(PL_STR("words"));
    feed((struct run_event){.type = RUN_EV_RESULT, .node = step, .result = &result});
}

static const char *error_code(const struct pl_value *error)
{
    static char code[64];

    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(sscanf(pl_value_text(error).ptr, "{\"code\":\"%63[a-z_]", code), 1);
    return code;
}

/* ---- answers and their time ---- */

START_TEST(answers_that_nobody_awaits_are_dropped_and_counted)
{
    begin("{steps: {a: {llm: {model: sim/echo, prompt: hi}}, b: {needs: [a], reduce: 1}}}");
    succeed(node("a"), pl_value_null()); /* not started */
    ck_assert_uint_eq(run_core_dropped(core), 1);
    start();
    feed((struct run_event){.type = RUN_EV_EVALUATED, .node = node("a"), .what = RUN_EVAL_WHEN});
    feed((struct run_event){
        .type = RUN_EV_EVALUATED, .what = RUN_EVAL_OUTPUT, .value = pl_value_new(PL_STR("1"))});
    feed((struct run_event){.type = RUN_EV_DEFERRED, .node = node("b"), .until = 5000});
    ck_assert_uint_eq(run_core_dropped(core), 4);
    succeed(node("a"), pl_value_new(PL_STR("1")));
    succeed(node("a"), pl_value_new(PL_STR("2"))); /* twice */
    ck_assert_uint_eq(run_core_dropped(core), 5);
    ck_assert_str_eq(test_str(pl_value_text(node("a")->output)), "1");
    end();
}
END_TEST

START_TEST(news_of_an_answer_that_nobody_waits_for_are_dropped_and_counted)
{
    struct run_event begins = {.type = RUN_EV_ANSWERING};

    begin(
        "{steps: {p: {parallel: {warm_up: true, branches: {a: {llm: {model: sim/echo, prompt: hi}},"
        " b: {llm: {model: sim/echo, prompt: hi}}}}}}}");
    begins.node = node("p.b");
    start();
    ck_assert(run_core_is_warming(core, node("p.a")));
    feed(begins); /* it has not begun */
    ck_assert_uint_eq(run_core_dropped(core), 1);
    ck_assert_int_eq(node("p.b")->state, NODE_WAITING);
    begins.node = node("p.a");
    feed(begins);
    ck_assert_int_eq(node("p.b")->state, NODE_CALLING);
    ck_assert(!run_core_is_warming(core, node("p.a")));
    feed(begins); /* again: nobody waits, and nothing is wrong with it */
    ck_assert_uint_eq(run_core_dropped(core), 1);
    succeed(node("p.a"), pl_value_new(PL_STR("1")));
    succeed(node("p.b"), pl_value_new(PL_STR("2")));
    end();
}
END_TEST

START_TEST(a_run_starts_once_and_a_tick_too_early_does_nothing)
{
    begin("{steps: {a: {llm: {model: sim/echo, prompt: hi}, deadline: 1s}}}");
    ck_assert_int_eq(run_core_next_wake(core), 0);
    start();
    ck_assert_uint_eq(update.n_effects, 1);
    start();
    ck_assert_uint_eq(update.n_effects, 0);
    ck_assert_int_eq(run_core_next_wake(core), 2000);
    now = 1999;
    feed((struct run_event){.type = RUN_EV_TICK});
    ck_assert_uint_eq(update.n_effects + update.n_notes, 0);
    ck_assert_uint_eq(run_core_in_flight(core), 1);
    succeed(node("a"), pl_value_null());
    ck_assert_int_eq(run_core_next_wake(core), 0);
    ck_assert_uint_eq(run_core_in_flight(core), 0);
    end();
}
END_TEST

START_TEST(changed_rows_are_taken_once_and_the_run_says_when_its_own_changed)
{
    begin("{steps: {a: {llm: {model: sim/echo, prompt: hi}}, b: {needs: [a], reduce: 1}}}");
    ck_assert_msg(run_core_take_run_dirty(core), "a new run has a row to write");
    ck_assert(!run_core_take_run_dirty(core));
    ck_assert_ptr_null(run_core_take_dirty(core));
    start();
    ck_assert_ptr_eq(run_core_take_dirty(core), node("a"));
    ck_assert_msg(run_core_take_dirty(core) == NULL, "a step that has not begun has no row");
    ck_assert(run_core_take_run_dirty(core));
    ck_assert(node("a")->recorded && !node("b")->recorded);
    end();
}
END_TEST

START_TEST(errors_are_problem_objects)
{
    begin("{steps: {a: {llm: {model: sim/echo, prompt: hi}, on_error: continue}}}");
    start();
    refuse(node("a"), PL_ERR_BAD_REQUEST);
    ck_assert_str_eq(test_str(pl_value_text(node("a")->error)),
                     "{\"code\":\"bad_request\",\"title\":\"The server refused the request\","
                     "\"detail\":\"on purpose\",\"retryable\":false,\"attempts\":1,"
                     "\"message\":\"words\"}");
    end();
}
END_TEST

/* ---- sizes ---- */

/* A JSON string of `size` bytes. */
static struct pl_value *big(size_t size)
{
    struct pl_value *value;
    struct pl_buf text;

    pl_buf_init(&text, size);
    pl_buf_char(&text, '"');
    while (text.len + 1 < size)
        pl_buf_char(&text, 'x');
    pl_buf_char(&text, '"');
    value = pl_value_take(&text);
    ck_assert_ptr_nonnull(value);
    return value;
}

START_TEST(an_output_over_the_limit_of_a_step_fails_it)
{
    begin("{join: settled, steps: {a: {llm: {model: sim/echo, prompt: hi}},"
          " b: {llm: {model: sim/echo, prompt: hi}}}}");
    start();
    succeed(node("a"), big(PL_LIMIT_STEP_OUTPUT_BYTES));
    succeed(node("b"), big(PL_LIMIT_STEP_OUTPUT_BYTES + 1));
    ck_assert_int_eq(node("a")->state, NODE_SUCCEEDED);
    ck_assert_int_eq(node("b")->state, NODE_FAILED);
    ck_assert_str_eq(error_code(node("b")->error), "too_large");
    end();
}
END_TEST

START_TEST(a_joined_value_over_the_limit_of_a_run_fails_the_join)
{
    enum { BRANCHES = PL_LIMIT_RUN_OUTPUT_BYTES / PL_LIMIT_STEP_OUTPUT_BYTES };
    struct pl_value *output = big(PL_LIMIT_STEP_OUTPUT_BYTES);
    struct pl_buf text;

    pl_buf_init(&text, 1 << 16);
    pl_buf_text(&text, "{\"steps\": {\"p\": {\"parallel\": {\"branches\": {");
    for (int i = 0; i < BRANCHES; i++)
        pl_buf_printf(&text, "%s\"b%d\": {\"reduce\": 1}", i ? "," : "", i);
    pl_buf_text(&text, "}}}}}");
    begin(test_text(&text));
    start();
    for (size_t i = 0; i < BRANCHES; i++)
        succeed(run_core_node(core, workflow->steps[i + 1]), pl_value_ref(output));
    ck_assert_int_eq(node("p")->state, NODE_FAILED);
    ck_assert_str_eq(error_code(node("p")->error), "too_large");
    ck_assert_msg(node("p")->join->satisfied, "it was its value that failed, not its join");
    end();
    pl_value_unref(&output);
    pl_buf_finish(&text);
}
END_TEST

/* ---- rows that lie ---- */

static const char three_steps[] =
    "{steps: {a: {llm: {model: sim/echo, prompt: hi}}, b: {needs: [a], reduce: 1},"
    " p: {parallel: {branches: {x: {reduce: 1}, y: {reduce: 2}}}, join: any}}}";

struct lie {
    const char *row;  /* whose row; NULL: the run's */
    const char *path; /* whose it says it is */
    const char *phase, *kind, *reason;
    int64_t attempts, tries;
    bool no_error, twice, drop;
    const char *says;
};

/* The truth: a failed at its first attempt and waits for the second; p.x won, p.y is being stopped.
 */
static const struct lie lies[] = {
    {"a", .phase = "resting", .says = "unknown phase"},
    {"a", .phase = "joining", .says = "no step of its kind"},
    {"p", .phase = "calling", .says = "no step of its kind"},
    {"a", .kind = "http", .says = "another kind"},
    {"a", .path = "zebra", .says = "does not have"},
    {"a", .twice = true, .says = "twice"},
    {"a", .attempts = -1, .says = "contradict"},
    {"a", .attempts = 1, .tries = 2, .says = "contradict"},
    {"a", .phase = "succeeded", .says = "step a"},
    {"a", .no_error = true, .says = "nothing failed"},
    {"a", .phase = "cancelled", .says = "step a"},
    {"a", .reason = "whim", .says = "unknown reason"},
    {"p.y", .reason = "", .says = "step p"},
    {"p.x", .drop = true, .says = "step p"},
    {"p", .drop = true, .says = "step p"},
    {NULL, .phase = "walking", .says = "unknown phase"},
    {NULL, .phase = "queued", .says = "contradict"},
    {NULL, .phase = "output", .says = "contradict"},
    {NULL, .phase = "succeeded", .says = "contradict"},
};

/* Everything the run has at that moment, as rows in `arena`. */
static size_t make_rows(struct pl_arena *arena, struct store_run *run, struct store_step *steps)
{
    struct run_node *dirty;
    size_t n = 0;

    begin(three_steps);
    start();
    refuse(node("a"), PL_ERR_OVERLOADED);
    succeed(node("p.x"), pl_value_new(PL_STR("1")));
    while ((dirty = run_core_take_dirty(core)))
        run_core_step_row(core, dirty, arena, &steps[n++]);
    run_core_run_row(core, arena, run);
    return n;
}

static void tell(const struct lie *lie, struct store_run *run, struct store_step *steps, size_t *n)
{
    struct store_step *step = NULL;

    for (size_t i = 0; i < *n; i++)
        if (lie->row && pl_str_is(steps[i].path, lie->row))
            step = &steps[i];
    if (!step) {
        run->phase = pl_str(lie->phase);
        return;
    }
    if (lie->path)
        step->path = pl_str(lie->path);
    if (lie->phase)
        step->phase = pl_str(lie->phase);
    if (lie->kind)
        step->kind = pl_str(lie->kind);
    if (lie->reason)
        step->reason = pl_str(lie->reason);
    if (lie->attempts)
        step->attempts = lie->attempts;
    if (lie->tries)
        step->tries = lie->tries;
    if (lie->no_error)
        step->error = NULL;
    if (lie->twice)
        steps[(*n)++] = *step;
    if (lie->drop)
        *step = steps[--*n];
}

START_TEST(rows_that_contradict_the_workflow_or_each_other_are_refused)
{
    const struct lie *lie = &lies[_i];
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step steps[16];
    struct store_run run = {0};
    struct run_core *loaded = NULL;
    struct pl_err err = {0};
    size_t n = make_rows(arena, &run, steps);

    ck_assert_int_eq(run_core_load(workflow, 1, &run, steps, n, &loaded, &err), PL_OK);
    run_core_destroy(&loaded);
    tell(lie, &run, steps, &n);
    ck_assert_int_eq(run_core_load(workflow, 1, &run, steps, n, &loaded, &err),
                     PL_ERR_STORE_CORRUPT);
    ck_assert_msg(strstr(err.message, lie->says) != NULL, "%s", err.message);
    ck_assert_ptr_null(loaded);
    end();
    pl_arena_destroy(&arena);
}
END_TEST

/* ---- speed ---- */

enum { WIDE = 50000 };

static void wide_workflow(const char *join)
{
    struct pl_buf text;

    pl_buf_init(&text, 64 << 20);
    pl_buf_text(&text, "{\"steps\": {\"p\": {\"parallel\": {\"branches\": {");
    for (int i = 0; i < WIDE; i++)
        pl_buf_printf(&text, "%s\"b%d\": {\"llm\": {\"model\": \"sim/echo\", \"prompt\": \"\"}}",
                      i ? "," : "", i);
    pl_buf_printf(&text, "}}, \"join\": %s}}}", join);
    workflow = test_workflow(test_text(&text));
    pl_buf_finish(&text);
    now = 1000;
    core = run_core_create(workflow, 1, now);
}

static void step_only(struct run_event event)
{
    event.now = now;
    ck_assert_int_eq(run_core_step(core, &event, &update), PL_OK);
}

static void answer_all(enum pl_code code)
{
    for (size_t i = 1; i < workflow->n_steps; i++) {
        struct run_node *branch = run_core_node(core, workflow->steps[i]);
        struct step_result result;

        if (branch->state != NODE_CALLING && branch->state != NODE_STOPPING)
            continue;
        step_result_init(&result);
        result.err.code = branch->state == NODE_STOPPING ? PL_ERR_CANCELLED : code;
        step_only((struct run_event){.type = RUN_EV_RESULT, .node = branch, .result = &result});
        while (run_core_take_dirty(core))
            continue;
    }
}

/* Generous: one pass over all branches for each event would be minutes. */
static void check_cost(clock_t since, const char *what)
{
    double seconds = (double)(clock() - since) / CLOCKS_PER_SEC;

    ck_assert_msg(seconds < 5, "%s took %.2f s of CPU time", what, seconds);
}

START_TEST(the_cost_of_an_event_does_not_grow_with_the_branches)
{
    clock_t since;

    wide_workflow("\"all\"");
    since = clock();
    step_only((struct run_event){.type = RUN_EV_START});
    ck_assert_uint_eq(update.n_effects, WIDE);
    answer_all(PL_ERR_OVERLOADED);
    while (run_core_next_wake(core)) {
        now = run_core_next_wake(core);
        step_only((struct run_event){.type = RUN_EV_TICK});
    }
    answer_all(PL_OK);
    check_cost(since, "retrying and joining 50,000 branches");
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    ck_assert_msg(run_core_check(core) == NULL, "%s", run_core_check(core));
    end();
}
END_TEST

START_TEST(stopping_losers_costs_as_much_as_there_are)
{
    clock_t since;
    struct step_result result;

    wide_workflow("\"any\"");
    since = clock();
    step_only((struct run_event){.type = RUN_EV_START});
    step_result_init(&result);
    step_only((struct run_event){
        .type = RUN_EV_RESULT, .node = run_core_node(core, workflow->steps[7]), .result = &result});
    ck_assert_uint_eq(update.n_effects, WIDE - 1);
    answer_all(PL_OK);
    check_cost(since, "stopping 49,999 losers");
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    end();
}
END_TEST

START_TEST(a_long_chain_of_skipped_steps_needs_no_deep_stack)
{
    struct pl_buf text;

    pl_buf_init(&text, 64 << 20);
    pl_buf_text(&text, "{\"steps\": {\"s0\": {\"when\": \"${ .input }\", \"reduce\": 1}");
    for (int i = 1; i < WIDE; i++)
        pl_buf_printf(&text, ",\"s%d\": {\"needs\": [\"s%d\"], \"reduce\": 1}", i, i - 1);
    pl_buf_text(&text, "}}");
    begin(test_text(&text));
    start();
    feed((struct run_event){.type = RUN_EV_EVALUATED, .node = node("s0"), .what = RUN_EVAL_WHEN});
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    ck_assert_uint_eq(run_core_progress(core).skipped, WIDE);
    end();
    pl_buf_finish(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_core");
    TCase *tests = tcase_create("run_core");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, answers_that_nobody_awaits_are_dropped_and_counted);
    tcase_add_test(tests, news_of_an_answer_that_nobody_waits_for_are_dropped_and_counted);
    tcase_add_test(tests, a_run_starts_once_and_a_tick_too_early_does_nothing);
    tcase_add_test(tests, changed_rows_are_taken_once_and_the_run_says_when_its_own_changed);
    tcase_add_test(tests, errors_are_problem_objects);
    tcase_add_test(tests, an_output_over_the_limit_of_a_step_fails_it);
    tcase_add_test(tests, a_joined_value_over_the_limit_of_a_run_fails_the_join);
    tcase_add_loop_test(tests, rows_that_contradict_the_workflow_or_each_other_are_refused, 0,
                        (int)PL_ARRAY_LEN(lies));
    tcase_add_test(tests, the_cost_of_an_event_does_not_grow_with_the_branches);
    tcase_add_test(tests, stopping_losers_costs_as_much_as_there_are);
    tcase_add_test(tests, a_long_chain_of_skipped_steps_needs_no_deep_stack);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
