/* test_run_wide.c - runs with very many instances: what an event, a commit and a start from the
 * rows cost, and that instances that are over are let go of. What the steps decide is in
 * tests/scenario. */
#include "base/json.h"
#include "service/run/run_core.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WIDE = 20000, LIMIT_S = 25 /* far above what it takes, also with sanitizers */ };

static struct workflow *workflow;
static struct run_core *core;
static struct run_update update;
static struct pl_arena *arena;
static pl_ms now;

/* Rows as they were taken last, by path. */
static struct store_step *rows;
static size_t n_rows;
static struct store_run run_row;

/* The steps whose calls are out, oldest first. */
static const char *calls[WIDE * 2];
static size_t n_calls, n_answered;

static void begin(const char *text)
{
    workflow = test_workflow(text);
    arena = pl_arena_create(0);
    now = 1000;
    core = run_core_create(workflow, 1, now);
    rows = calloc(3 * WIDE, sizeof(*rows));
    n_rows = n_calls = n_answered = 0;
    run_row = (struct store_run){0};
    ck_assert(core && arena && rows);
}

static void end(void)
{
    for (size_t i = 0; i < n_rows; i++) {
        pl_value_unref(&rows[i].output);
        pl_value_unref(&rows[i].error);
        pl_value_unref(&rows[i].memo);
    }
    run_core_destroy(&core);
    workflow_unref(&workflow);
    free(rows);
    pl_arena_destroy(&arena);
}

/* A later row of the same step comes in place of it when the rows are given to be loaded. */
static void keep_row(const struct run_node *node)
{
    struct store_step row;

    ck_assert_uint_lt(n_rows, 3 * WIDE);
    run_core_step_row(core, node, arena, &row);
    row.path = pl_arena_str(arena, row.path);
    row.reason = pl_arena_str(arena, row.reason);
    row.join = pl_arena_str(arena, row.join);
    pl_value_ref(row.output);
    pl_value_ref(row.error);
    pl_value_ref(row.memo);
    rows[n_rows++] = row;
}

static void feed(struct run_event event, bool keep)
{
    struct run_node *node;

    event.now = now;
    ck_assert_int_eq(run_core_step(core, &event, &update), PL_OK);
    for (size_t i = 0; i < update.n_effects; i++)
        if (update.effects[i].type == RUN_FX_CALL)
            calls[n_calls++] = pl_arena_str(arena, update.effects[i].node->path).ptr;
    while ((node = run_core_take_dirty(core)))
        if (keep && (node_state_is_final(node->state) || step_kind_has_inside(node->def->kind)))
            keep_row(node);
    if (run_core_take_run_dirty(core))
        run_core_run_row(core, arena, &run_row);
}

static void answer_oldest(bool keep)
{
    struct run_node *node = run_core_find(core, pl_str(calls[n_answered++]));
    struct step_result result;

    ck_assert_ptr_nonnull(node);
    step_result_init(&result);
    result.output = pl_value_new(PL_STR("1"));
    feed((struct run_event){.type = RUN_EV_RESULT, .node = node, .result = &result}, keep);
}

static struct pl_value *numbers(int count)
{
    struct pl_value *value;
    struct pl_buf text;

    pl_buf_init(&text, 64 << 20);
    json_array_begin(&text);
    for (int i = 0; i < count; i++) {
        json_comma(&text);
        pl_buf_printf(&text, "%d", i);
    }
    json_array_end(&text);
    value = pl_value_take(&text);
    pl_buf_finish(&text);
    return value;
}

static void start_map(const char *path, int count, bool keep)
{
    feed((struct run_event){.type = RUN_EV_EVALUATED,
                            .node = run_core_find(core, pl_str(path)),
                            .what = RUN_EVAL_BEGIN,
                            .value = numbers(count)},
         keep);
}

static void check_cost(clock_t since, const char *what)
{
    double took = (double)(clock() - since) / CLOCKS_PER_SEC;

    ck_assert_msg(took < LIMIT_S, "%s took %.1f s", what, took);
}

START_TEST(a_wide_map_holds_only_what_is_under_way)
{
    clock_t since = clock();
    struct run_progress progress;

    begin("{steps: {m: {map: {over: '${ .input }', concurrency: 50, do: {llm: {model: sim/echo, "
          "prompt: hi}}}}}}");
    feed((struct run_event){.type = RUN_EV_START}, false);
    start_map("m", WIDE, false);
    ck_assert_uint_eq(n_calls, 50);
    while (n_answered < n_calls) {
        ck_assert_uint_le(run_core_in_flight(core), 50);
        answer_oldest(false);
        if (n_answered % 1000 == 500) {
            ck_assert_msg(!run_core_find(core, PL_STR("m.0")), "what is over is let go of");
            ck_assert_msg(run_core_check(core) == NULL, "%s", run_core_check(core));
        }
    }
    check_cost(since, "a map of 20,000 items");
    ck_assert_uint_eq(n_calls, WIDE);
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    progress = run_core_progress(core);
    ck_assert_uint_eq(progress.total, WIDE + 1);
    ck_assert_uint_eq(progress.succeeded, WIDE + 1);
    ck_assert_uint_eq(json_count(pl_value_text(run_core_find(core, PL_STR("m"))->output)), WIDE);
    end();
}
END_TEST

START_TEST(a_wide_map_with_groups_is_loaded_in_time)
{
    struct pl_err err = {0};
    struct run_core *again = NULL;
    struct run_progress before, after;
    clock_t since;

    begin("{steps: {m: {map: {over: '${ .input }', concurrency: 1000, collapse: {fan_in: 4, do: "
          "{llm: {model: sim/echo, prompt: hi}}}, do: {llm: {model: sim/echo, prompt: hi}}}}}}");
    feed((struct run_event){.type = RUN_EV_START}, true);
    start_map("m", WIDE, true);
    /* until no call is out but those that will be answered: nothing has a row that is not kept */
    while (n_answered < n_calls && n_answered < WIDE)
        answer_oldest(true);
    while (run_core_in_flight(core) > 0)
        answer_oldest(true);
    before = run_core_progress(core);
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    for (size_t i = 0; i < n_rows; i++) /* of the map itself the last row counts */
        if (pl_str_is(rows[i].path, "m") && rows[i].ended_at == 0) {
            pl_value_unref(&rows[i].memo);
            rows[i] = rows[--n_rows];
            i--;
        }
    since = clock();
    ck_assert_int_eq(run_core_load(workflow, 1, &run_row, rows, n_rows, &again, &err), PL_OK);
    check_cost(since, "loading the rows");
    after = run_core_progress(again);
    ck_assert_uint_eq(after.total, before.total);
    ck_assert_uint_eq(after.succeeded, before.succeeded);
    run_core_destroy(&again);
    end();
}
END_TEST

START_TEST(a_quorum_of_a_wide_map_stops_a_thousand_calls_at_once)
{
    clock_t since = clock();
    struct step_result result;

    begin(
        "{steps: {m: {map: {over: '${ .input }', do: {llm: {model: sim/echo, prompt: hi}}}, join: "
        "{quorum: 1}}}}");
    feed((struct run_event){.type = RUN_EV_START}, false);
    start_map("m", WIDE, false);
    ck_assert_uint_eq(n_calls, 1000);
    answer_oldest(false);
    ck_assert_uint_eq(update.n_effects, 999);
    while (n_answered < n_calls) {
        struct run_node *node = run_core_find(core, pl_str(calls[n_answered++]));

        step_result_init(&result);
        pl_err_set(&result.err, PL_ERR_CANCELLED, "stopped");
        feed((struct run_event){.type = RUN_EV_RESULT, .node = node, .result = &result}, false);
    }
    check_cost(since, "stopping a thousand");
    ck_assert_uint_eq(n_calls, 1000);
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    ck_assert_uint_eq(run_core_find(core, PL_STR("m"))->join->cancelled, WIDE - 1);
    end();
}
END_TEST

START_TEST(a_thousand_different_votes_are_counted_after_each_other)
{
    clock_t since = clock();

    begin("{steps: {v: {vote: {of: {llm: {model: sim/echo, prompt: hi}}, samples: 1000, stop: "
          "early}, on_error: continue}}}");
    feed((struct run_event){.type = RUN_EV_START}, false);
    for (int i = 0; i < 1000; i++) {
        struct step_result result;
        char text[32];

        snprintf(text, sizeof(text), "\"answer %d\"", i);
        step_result_init(&result);
        result.output = pl_value_new(pl_str(text));
        feed((struct run_event){.type = RUN_EV_RESULT,
                                .node = run_core_find(core, pl_str(calls[i])),
                                .result = &result},
             false);
    }
    check_cost(since, "counting 1,000 votes");
    ck_assert_int_eq(run_core_find(core, PL_STR("v"))->state, NODE_FAILED);
    end();
}
END_TEST

START_TEST(turns_that_are_over_are_let_go_of)
{
    begin("{steps: {r: {repeat: {max: 1000, steps: {a: {llm: {model: sim/echo, prompt: hi}}}}}}}");
    feed((struct run_event){.type = RUN_EV_START}, false);
    for (int i = 0; i < 1000; i++) {
        char path[32];

        answer_oldest(false);
        feed((struct run_event){.type = RUN_EV_EVALUATED,
                                .node = run_core_find(core, PL_STR("r")),
                                .what = RUN_EVAL_BODY,
                                .value = pl_value_new(PL_STR("1"))},
             false);
        snprintf(path, sizeof(path), "r.%d.a", i - 1);
        ck_assert_msg(i == 0 || !run_core_find(core, pl_str(path)), "%s is still there", path);
    }
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    ck_assert_uint_eq(run_core_progress(core).succeeded, 1001);
    end();
}
END_TEST

/* 100 x 100 x 1 calls, of which no more steps are in memory than may be and one a map. */
START_TEST(maps_in_maps_begin_no_more_than_fits)
{
    enum { EACH = 100, LIVE = 500 };

    begin("{steps: {m: {map: {over: '${ .input }', do: {map: {over: '${ .input }', do: {llm: "
          "{model: sim/echo, prompt: hi}}}}}}}}");
    run_core_set_limits(core, 0, LIVE);
    feed((struct run_event){.type = RUN_EV_START}, false);
    start_map("m", EACH, false);
    for (int i = 0; i < EACH; i++) {
        char path[16];

        snprintf(path, sizeof(path), "m.%d", i);
        start_map(path, EACH, false);
    }
    ck_assert_uint_ge(n_calls, LIVE - EACH - 2);
    while (n_answered < n_calls) {
        ck_assert_uint_le(n_calls - n_answered, LIVE + EACH);
        answer_oldest(false);
        ck_assert_msg(n_answered % 100 || !run_core_check(core), "%s", run_core_check(core));
    }
    ck_assert_uint_eq(n_calls, EACH * EACH);
    ck_assert_int_eq(run_core_state(core), RUN_OUTPUT);
    end();
}
END_TEST

START_TEST(a_map_that_would_pass_the_branches_of_the_run_fails)
{
    const struct run_node *last;

    begin("{join: settled, steps: {a: {map: {over: '${ .input }', do: {llm: {model: sim/echo, "
          "prompt: hi}}}}, b: {map: {over: '${ .input }', do: {llm: {model: sim/echo, prompt: "
          "hi}}}}}}");
    run_core_set_limits(core, 150, 0);
    feed((struct run_event){.type = RUN_EV_START}, false);
    start_map("a", 100, false);
    start_map("b", 51, false);
    last = run_core_find(core, PL_STR("b"));
    ck_assert_int_eq(last->state, NODE_FAILED);
    ck_assert_ptr_nonnull(strstr(test_str(pl_value_text(last->error)), "\"too_large\""));
    ck_assert_uint_eq(n_calls, 100);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_wide");
    TCase *tests = tcase_create("run_wide");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, a_wide_map_holds_only_what_is_under_way);
    tcase_add_test(tests, a_wide_map_with_groups_is_loaded_in_time);
    tcase_add_test(tests, a_quorum_of_a_wide_map_stops_a_thousand_calls_at_once);
    tcase_add_test(tests, a_thousand_different_votes_are_counted_after_each_other);
    tcase_add_test(tests, turns_that_are_over_are_let_go_of);
    tcase_add_test(tests, maps_in_maps_begin_no_more_than_fits);
    tcase_add_test(tests, a_map_that_would_pass_the_branches_of_the_run_fails);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
