/* test_run_frames.c - steps inside bodies by their paths in a run: found while they are there, and
 * rows that tell of instances that cannot have been. What runs in them is in tests/scenario. */
#include "service/run/run_core.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const char definition[] =
    "{steps: {"
    "m: {map: {over: '${ .input }', collapse: {fan_in: 2, do: {reduce: 1}}, do: {parallel: "
    "{branches: {a: {reduce: 1}, b: {reduce: 2}}}}}},"
    "v: {vote: {among: {x: {reduce: 1}, y: {reduce: 2}}, method: judge, judge: {reduce: x}}},"
    "loop: {repeat: {max: 20, steps: {a: {reduce: 1}, w: {workflow: {steps: {z: {reduce: 1}}}}}}},"
    "agent: {agent: {model: sim/echo, prompt: hi, max_turns: 3, tools: {find: {do: {reduce: 1}}}}}"
    "}}";

static struct workflow *workflow;
static struct run_core *core;
static struct run_update update;

static pl_ms now;

static void feed(struct run_event event)
{
    event.now = now;
    ck_assert_int_eq(run_core_step(core, &event, &update), PL_OK);
    ck_assert_msg(run_core_check(core) == NULL, "%s", run_core_check(core));
}

static struct run_node *find(const char *path)
{
    return run_core_find(core, pl_str(path));
}

static void made(const char *path, enum run_eval_what what, const char *json)
{
    ck_assert_msg(find(path) != NULL, "no step %s", path);
    feed((struct run_event){.type = RUN_EV_EVALUATED,
                            .node = find(path),
                            .what = what,
                            .value = pl_value_new(pl_str(json))});
}

static void setup(void)
{
    now = 1000;
    workflow = test_workflow(definition);
    core = run_core_create(workflow, 1, now);
    ck_assert_ptr_nonnull(core);
    feed((struct run_event){.type = RUN_EV_START});
    made("m", RUN_EVAL_BEGIN, "[1, 2, 3]");
    made("agent", RUN_EVAL_BEGIN, "{\"messages\": []}");
    made("loop.0.w", RUN_EVAL_BEGIN, "{}");
}

static void teardown(void)
{
    run_core_destroy(&core);
    workflow_unref(&workflow);
}

/* ---- finding ---- */

static const char *const there[] = {
    "m", "m.0", "m.2.b", "v.x", "v.y", "loop.0.a", "loop.0.w", "loop.0.w.z", "agent.0",
};

START_TEST(a_step_inside_is_found_by_its_path)
{
    const struct run_node *node = find(there[_i]);

    ck_assert_msg(node != NULL, "%s", there[_i]);
    ck_assert_str_eq(node->path.ptr, there[_i]);
}
END_TEST

static const char *const not_there[] = {
    "",
    "m.",
    ".m",
    "m.3",
    "m.00",
    "m.01",
    "m.-1",
    "m.+1",
    "m. 1",
    "m.x",
    "m.0.c",
    "m.0.a.b",
    "m.*",
    "m.*.a",
    "m.collapse",
    "m.collapse.0",
    "m.collapse.0.0",
    "v.0",
    "v.z",
    "v.judge",
    "loop.0",
    "loop.1.a",
    "loop.a",
    "agent.1",
    "agent.0.find",
    "agent.find",
    "m.4294967296",
    "m.99999999999999999999",
};

START_TEST(a_path_of_no_step_that_is_there_finds_none)
{
    ck_assert_msg(find(not_there[_i]) == NULL, "%s", not_there[_i]);
}
END_TEST

START_TEST(instances_are_found_as_they_come)
{
    struct step_result result;

    step_result_init(&result);
    result.output = pl_value_new(
        PL_STR("{\"tool_calls\": [{\"id\": \"1\", \"name\": \"find\", \"arguments\": {}}, {\"id\": "
               "\"2\", \"name\": \"find\", \"arguments\": {}}]}"));
    feed((struct run_event){.type = RUN_EV_RESULT, .node = find("agent.0"), .result = &result});
    ck_assert_ptr_nonnull(find("agent.0.find"));
    ck_assert_ptr_nonnull(find("agent.0.find-2"));
    ck_assert_ptr_null(find("agent.0.find-1"));
    ck_assert_ptr_null(find("agent.0.find-02"));
    ck_assert_ptr_null(find("agent.0.find-3"));
    ck_assert_ptr_null(find("agent.0.find2"));
    ck_assert_ptr_null(find("agent.1.find"));
}
END_TEST

/* ---- letting go ---- */

static void forget_rows(void)
{
    while (run_core_take_dirty(core))
        ;
}

START_TEST(a_body_whose_output_is_being_made_stays_until_that_is_there)
{
    struct step_result result;

    step_result_init(&result);
    result.output = pl_value_new(PL_STR("1"));
    feed((struct run_event){.type = RUN_EV_RESULT, .node = find("loop.0.w.z"), .result = &result});
    feed((struct run_event){.type = RUN_EV_CANCEL_STEP, .node = find("loop.0.w")});
    for (int i = 0; i < 3; i++) { /* what frees frames does so between two events */
        forget_rows();
        feed((struct run_event){.type = RUN_EV_TICK});
        ck_assert_msg(find("loop.0.w.z") != NULL, "it is gone while its output is being made");
    }
    made("loop.0.w", RUN_EVAL_BODY, "1");
    for (int i = 0; i < 3; i++) {
        forget_rows();
        feed((struct run_event){.type = RUN_EV_TICK});
    }
    ck_assert_ptr_null(find("loop.0.w.z"));
}
END_TEST

/* ---- time ---- */

/* Its turns take no time, what jq is asked about them does: no tick comes between two of them. */
START_TEST(a_repeat_whose_time_is_over_begins_no_further_turn)
{
    teardown();
    workflow = test_workflow("{steps: {loop: {deadline: 1s, repeat: {max: 20, until: '${ .output "
                             "}', steps: {a: {reduce: 1}}}}}}");
    core = run_core_create(workflow, 1, now);
    feed((struct run_event){.type = RUN_EV_START});
    for (int turn = 0; turn < 3; turn++, now += 500) {
        char path[32];
        struct step_result result;

        snprintf(path, sizeof(path), "loop.%d.a", turn);
        ck_assert_msg(find(path) != NULL, "no step %s", path);
        step_result_init(&result);
        result.output = pl_value_new(PL_STR("1"));
        feed((struct run_event){.type = RUN_EV_RESULT, .node = find(path), .result = &result});
        made("loop", RUN_EVAL_BODY, "1");
        made("loop", RUN_EVAL_UNTIL, "null");
    }
    ck_assert_int_eq(find("loop")->state, NODE_FAILED);
    ck_assert_ptr_nonnull(strstr(pl_value_text(find("loop")->error).ptr, "deadline_exceeded"));
    ck_assert_ptr_null(find("loop.3.a"));
}
END_TEST

/* ---- rows that lie ---- */

static const struct {
    const char *path, *kind, *phase;
    const char *why;  /* in the message */
    const char *gone; /* the row left out, NULL: none */
} lies[] = {
    {"m.3", "parallel", "joining", "does not have", NULL},
    {"m.00", "parallel", "joining", "does not have", NULL},
    {"m.collapse.0.2", "reduce", "calling", "does not have", NULL},
    {"m.collapse.2.0", "reduce", "calling", "does not have", NULL},
    {"v.2", "reduce", "calling", "does not have", NULL},
    {"loop.1.a", "reduce", "calling", "does not have", NULL},
    {"agent.3", "llm", "calling", "does not have", NULL},
    {"agent.0.other", "reduce", "calling", "does not have", NULL},
    {"m.0", "llm", "calling", "", "m.0"},
    {"m.0.a", "reduce", "asking", "", "m.0.a"},
    {"m.0.a", "reduce", "sleeping", "", "m.0.a"},
    {"m.0", "parallel", "calling", "", "m.0"},
    {"m.1", "parallel", "joining", "twice", NULL},
    {"m", "map", "waiting_for_steps", "", "m"}, /* its items would be inside what never began */
    {"m", "map", "preparing", "", "m"},
    {"loop", "repeat", "preparing", "", "loop"},
};

static size_t take_rows(struct store_step *rows, const char *gone)
{
    struct run_node *node;
    size_t n = 0;

    while ((node = run_core_take_dirty(core)))
        if (!gone || !pl_str_is(node->path, gone))
            run_core_step_row(core, node, NULL, &rows[n++]);
    return n;
}

START_TEST(rows_of_instances_that_cannot_be_are_refused)
{
    struct store_step rows[64];
    struct run_core *other = NULL;
    struct store_run run = {0};
    struct pl_err err = {0};
    size_t n = take_rows(rows, lies[_i].gone);

    run_core_run_row(core, NULL, &run);
    rows[n++] = (struct store_step){
        .path = pl_str(lies[_i].path),
        .kind = pl_str(lies[_i].kind),
        .phase = pl_str(lies[_i].phase),
        .status = PL_STR("running"),
        .created_at = 1000,
        .started_at = strcmp(lies[_i].phase, "preparing") == 0 ? 0 : 1000,
    };
    ck_assert_msg(run_core_load(workflow, 1, &run, rows, n, &other, &err) == PL_ERR_STORE_CORRUPT,
                  "%s is believed", lies[_i].path);
    ck_assert_msg(strstr(err.message, lies[_i].why) != NULL, "%s", err.message);
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(the_rows_as_they_were_are_believed)
{
    struct store_step rows[64];
    struct run_core *other = NULL;
    struct store_run run = {0};
    struct pl_err err = {0};
    size_t n = take_rows(rows, NULL);

    run_core_run_row(core, NULL, &run);
    ck_assert_int_eq(run_core_load(workflow, 1, &run, rows, n, &other, &err), PL_OK);
    ck_assert_ptr_nonnull(run_core_find(other, PL_STR("loop.0.w.z")));
    run_core_destroy(&other);
}
END_TEST

START_TEST(a_map_whose_items_are_lost_is_refused)
{
    struct store_step rows[64];
    struct run_core *other = NULL;
    struct store_run run = {0};
    struct pl_err err = {0};
    size_t n = take_rows(rows, NULL);

    run_core_run_row(core, NULL, &run);
    for (size_t i = 0; i < n; i++)
        if (pl_str_is(rows[i].path, "m"))
            rows[i].memo = NULL;
    ck_assert_int_eq(run_core_load(workflow, 1, &run, rows, n, &other, &err), PL_ERR_STORE_CORRUPT);
    ck_assert_msg(strstr(err.message, "items") != NULL, "%s", err.message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_frames");
    TCase *tests = tcase_create("run_frames");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_step_inside_is_found_by_its_path, 0, (int)PL_ARRAY_LEN(there));
    tcase_add_loop_test(tests, a_path_of_no_step_that_is_there_finds_none, 0,
                        (int)PL_ARRAY_LEN(not_there));
    tcase_add_test(tests, instances_are_found_as_they_come);
    tcase_add_test(tests, a_repeat_whose_time_is_over_begins_no_further_turn);
    tcase_add_test(tests, a_body_whose_output_is_being_made_stays_until_that_is_there);
    tcase_add_loop_test(tests, rows_of_instances_that_cannot_be_are_refused, 0,
                        (int)PL_ARRAY_LEN(lies));
    tcase_add_test(tests, the_rows_as_they_were_are_believed);
    tcase_add_test(tests, a_map_whose_items_are_lost_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
