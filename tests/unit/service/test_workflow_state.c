/* test_workflow_state.c - channels, who waits for whom because of them, and which writers may not
 * stand beside each other. Run by ctest. */
#include "service/expr/jq_pool.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* The paths of what a step waits for, blank between. */
static const char *deps(const struct workflow *workflow, const char *path)
{
    static char text[4][512];
    static unsigned turn;
    const struct step_def *step = test_step_at(workflow, path);
    char *out = text[turn++ % 4];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < step->n_deps; i++)
        used += (size_t)snprintf(out + used, sizeof(text[0]) - used, "%s%s", i ? " " : "",
                                 step->deps[i]->path.ptr);
    return out;
}

START_TEST(a_channel_has_a_reducer_and_a_default)
{
    static const enum state_reducer expected[] = {
        REDUCER_NONE, REDUCER_APPEND, REDUCER_CONCAT,   REDUCER_MERGE,
        REDUCER_SUM,  REDUCER_MIN,    REDUCER_MAX,      REDUCER_UNIQUE,
        REDUCER_SORT, REDUCER_LAST,   REDUCER_MESSAGES, REDUCER_PROGRAM,
    };
    struct workflow *workflow = test_workflow("state:\n"
                                              "  a:\n"
                                              "  b: {reducer: append, default: []}\n"
                                              "  c: {reducer: concat}\n"
                                              "  d: {reducer: merge, default: {x: 1}}\n"
                                              "  e: {reducer: sum, default: 0}\n"
                                              "  f: {reducer: min, default: null}\n"
                                              "  g: {reducer: max}\n"
                                              "  h: {reducer: unique}\n"
                                              "  i: {reducer: sort}\n"
                                              "  j: {reducer: last, default: none}\n"
                                              "  k: {reducer: messages}\n"
                                              "  l: {reducer: \"${ .left + .right }\"}\n"
                                              "steps: {s: {reduce: 1, writes: {a: 1, l: 2}}}\n");
    const struct step_body *root = workflow->root;

    ck_assert_uint_eq(root->n_channels, PL_ARRAY_LEN(expected));
    for (size_t i = 0; i < root->n_channels; i++) {
        ck_assert_int_eq(root->channels[i].reducer, expected[i]);
        ck_assert_ptr_eq(root->channels[i].body, root);
    }
    ck_assert_ptr_null(root->channels[0].initial.ptr);
    ck_assert_str_eq(test_str(root->channels[1].initial), "[]");
    ck_assert_str_eq(test_str(root->channels[3].initial), "{\"x\":1}");
    ck_assert_str_eq(test_str(root->channels[5].initial), "null");
    ck_assert(root->channels[11].program->fold);
    ck_assert_int_eq(root->channels[11].program->kind, EXPR_JQ);
    ck_assert_uint_eq(test_step_at(workflow, "s")->n_writes, 2);
    ck_assert_ptr_eq(test_step_at(workflow, "s")->writes[1].channel, &root->channels[11]);
    ck_assert(!root->writes);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reader_waits_for_every_writer_in_its_scope)
{
    struct workflow *workflow =
        test_workflow("state: {n: {reducer: sum}, m: {reducer: sum}}\n"
                      "steps:\n"
                      "  reader: {reduce: \"${ .state.n }\"}\n"
                      "  a: {reduce: 1, writes: {n: 1}}\n"
                      "  b: {reduce: 1, writes: {m: 1}}\n"
                      "  p: {parallel: {branches: {x: {reduce: 1, writes: {n: 1}}}}}\n"
                      "  q: {map: {over: [1], do: {reduce: 1, writes: {n: 1, m: 2}}}}\n"
                      "  every: {reduce: \"${ .state }\"}\n"
                      "output: ${ .state.n }\n");

    ck_assert_str_eq(deps(workflow, "reader"), "a p q");
    ck_assert_str_eq(deps(workflow, "every"), "a p q b");
    ck_assert_str_eq(deps(workflow, "a"), "");
    ck_assert_ptr_eq(test_step_at(workflow, "reader")->exprs->refs[0].channel,
                     &workflow->root->channels[0]);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(nobody_waits_for_a_writer_that_is_downstream_of_it)
{
    struct workflow *workflow =
        test_workflow("state: {n: {reducer: sum}}\n"
                      "steps:\n"
                      "  first: {reduce: \"${ .state.n }\", writes: {n: 1}}\n"
                      "  second: {needs: [first], reduce: \"${ .state.n }\", writes: {n: 1}}\n"
                      "  third: {needs: [second], parallel: {branches: {x: {reduce: \"${ .state.n "
                      "}\", writes: {n: 1}}}}}\n"
                      "  last: {reduce: \"${ .state.n }\"}\n");

    ck_assert_str_eq(deps(workflow, "first"), "");
    ck_assert_str_eq(deps(workflow, "second"), "first");
    ck_assert_str_eq(deps(workflow, "third.x"), "first second");
    ck_assert_str_eq(deps(workflow, "last"), "first second third");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(sibling_branches_and_what_is_inside_are_not_waited_for)
{
    struct workflow *workflow = test_workflow(
        "state: {n: {reducer: sum}, k: {reducer: sum}, l: {reducer: sum}}\n"
        "steps:\n"
        "  p:\n"
        "    parallel:\n"
        "      branches:\n"
        "        a: {reduce: \"${ .state.n }\"}\n"
        "        b: {reduce: 1, writes: {n: 1}}\n"
        "  v: {vote: {among: {x: {reduce: \"${ .state.k }\"}, y: {reduce: 1, writes: {k: 1}}}}}\n"
        "  m:\n"
        "    map: {over: \"${ .state.l }\", do: {reduce: 1, writes: {l: 1}}}\n"
        "    on_error: {step: {reduce: \"${ .state.l }\"}}\n");

    ck_assert_str_eq(deps(workflow, "p.a"), "");
    ck_assert_str_eq(deps(workflow, "p"), "");
    ck_assert_str_eq(deps(workflow, "v"), "");
    ck_assert_str_eq(deps(workflow, "m"), "");
    ck_assert_str_eq(deps(workflow, "m.on_error"), "");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reader_in_a_body_lets_the_container_wait)
{
    struct workflow *workflow =
        test_workflow("state: {n: {reducer: sum}}\n"
                      "steps:\n"
                      "  a: {reduce: 1, writes: {n: 1}}\n"
                      "  loop:\n"
                      "    repeat:\n"
                      "      max: 3\n"
                      "      state: {turns: {reducer: append}}\n"
                      "      steps:\n"
                      "        x: {reduce: [\"${ .state.n }\", \"${ .state.turns }\"]}\n"
                      "        y: {reduce: 1, writes: {turns: 1, n: 1}}\n"
                      "        z: {reduce: \"${ .state }\"}\n"
                      "      output: ${ .state.turns }\n"
                      "  end: {reduce: \"${ .state.n }\"}\n");
    const struct step_body *turn = test_step_at(workflow, "loop")->bodies[0];

    ck_assert_str_eq(deps(workflow, "loop"), "a");
    ck_assert_str_eq(deps(workflow, "loop.0.x"), "loop.*.y");
    ck_assert_str_eq(deps(workflow, "loop.0.z"), "loop.*.y");
    ck_assert_str_eq(deps(workflow, "end"), "a loop");
    ck_assert(turn->writes);
    ck_assert_ptr_eq(test_step_at(workflow, "loop.0.y")->writes[0].channel, &turn->channels[0]);
    ck_assert_ptr_eq(test_step_at(workflow, "loop.0.y")->writes[1].channel,
                     &workflow->root->channels[0]);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_handler_that_reads_state_lets_its_step_wait)
{
    struct workflow *workflow =
        test_workflow("state: {n: {reducer: sum}}\n"
                      "steps:\n"
                      "  a: {reduce: 1, writes: {n: 1}}\n"
                      "  b: {reduce: 1, on_error: {step: {reduce: \"${ .state.n }\"}}}\n");

    ck_assert_str_eq(deps(workflow, "b.on_error"), "a");
    ck_assert_str_eq(deps(workflow, "b"), "a");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(state_of_an_inner_body_is_its_own)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  a: {workflow: {state: {n: {}}, steps: {x: {reduce: 1, writes: {n: 1}}}, output: \"${ "
        ".state.n }\"}}\n"
        "  b: {workflow: {state: {n: {}}, steps: {x: {reduce: 1, writes: {n: 1}}}}}\n");

    ck_assert(!test_step_at(workflow, "a")->bodies[0]->writes);
    ck_assert_ptr_ne(test_step_at(workflow, "a.x")->writes[0].channel,
                     test_step_at(workflow, "b.x")->writes[0].channel);
    workflow_unref(&workflow);
}
END_TEST

/* ---- writers without a reducer ---- */

START_TEST(writers_that_follow_each_other_need_no_reducer)
{
    struct workflow *workflow = test_workflow(
        "state: {n: {}}\n"
        "steps:\n"
        "  a: {reduce: 1, writes: {n: 1}}\n"
        "  p:\n"
        "    needs: [a]\n"
        "    parallel:\n"
        "      branches:\n"
        "        x: {reduce: 1, writes: {n: 2}}\n"
        "    writes: {n: 3}\n"
        "    on_error: {step: {reduce: 1, writes: {n: 4}}}\n"
        "  r: {repeat: {max: 2, steps: {y: {needs: [], reduce: 1, writes: {n: 5}}}}, needs: [p]}\n"
        "  v:\n"
        "    needs: [r]\n"
        "    vote: {among: {w: {reduce: 1, writes: {n: 6}}}, method: judge, judge: {reduce: w, "
        "writes: {n: 7}}}\n"
        "  m:\n"
        "    needs: [v]\n"
        "    map: {over: [1, 2], do: {workflow: {state: {own: {}}, steps: {z: {reduce: 1, writes: "
        "{own: 1}}}}}}\n"
        "  s: {needs: [m], vote: {of: {reduce: 1, writes: {n: 8}}, samples: 1}}\n");

    ck_assert_uint_eq(workflow->root->n_channels, 1);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(writers_are_in_order_also_through_what_they_wait_for)
{
    struct workflow *workflow =
        test_workflow("state: {n: {}}\n"
                      "steps:\n"
                      "  a: {workflow: {steps: {x: {reduce: 1, writes: {n: 1}}}}}\n"
                      "  between: {reduce: \"${ .steps.a.output }\"}\n"
                      "  b: {parallel: {branches: {y: {workflow: {steps: {z: {reduce: \"${ "
                      ".steps.between.output }\", writes: {n: 2}}}}}}}}\n"
                      "  c: {needs: [b], reduce: 1, writes: {n: 3}}\n");

    workflow_unref(&workflow);
}
END_TEST

START_TEST(one_of_many_that_stands_beside_the_others_is_found)
{
    struct pl_buf text;
    char expected[64];

    for (unsigned odd = 1; odd < 200; odd += 37) {
        pl_buf_init(&text, 1 << 20);
        pl_buf_text(&text, "state: {n: {}}\nsteps:\n  s0: {reduce: 1, writes: {n: 1}}\n");
        for (unsigned i = 1; i < 200; i++)
            pl_buf_printf(&text, "  s%u: {reduce: 1, needs: [s%u], writes: {n: 1}}\n", i,
                          i - (i == odd && i > 1 ? 2 : 1));
        (void)snprintf(expected, sizeof(expected), "'s%u'", odd - 1);
        if (odd > 1)
            ck_assert_ptr_nonnull(strstr(test_workflow_problems(test_text(&text)), expected));
        pl_buf_finish(&text);
    }
}
END_TEST

START_TEST(ten_thousand_branches_that_read_and_write_one_channel_compile_quickly)
{
    struct workflow *workflow;
    struct pl_buf text;
    pl_ms before = pl_monotonic_us() / 1000;

    pl_buf_init(&text, 4 << 20);
    pl_buf_text(&text, "state: {n: {reducer: sum}}\nsteps:\n  first: {reduce: 1, writes: {n: 1}}\n"
                       "  p:\n    parallel:\n      branches:\n");
    for (unsigned i = 0; i < 10000; i++)
        pl_buf_printf(&text, "        b%u: {reduce: \"${ .state.n }\", writes: {n: 1}}\n", i);
    pl_buf_text(&text, "  last: {reduce: \"${ .state }\"}\n");
    workflow = test_workflow(test_text(&text));
    printf("10,000 branches with state: %lld ms\n", (long long)(pl_monotonic_us() / 1000 - before));
    ck_assert_str_eq(deps(workflow, "p.b9999"), "first");
    ck_assert_str_eq(deps(workflow, "last"), "first p");
    workflow_unref(&workflow);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(too_many_readers_and_writers_are_refused_once)
{
    struct pl_buf text;

    pl_buf_init(&text, 4 << 20);
    pl_buf_text(&text, "state: {n: {reducer: sum}}\nsteps:\n");
    for (unsigned i = 0; i < 1100; i++)
        pl_buf_printf(&text,
                      "  w%u: {reduce: 1, writes: {n: 1}}\n  r%u: {reduce: \"${ .state.n "
                      "}\"}\n",
                      i, i);
    ck_assert_str_eq(test_workflow_problems(test_text(&text)),
                     "1:1 : more than 1000000 pairs of steps read and write the same state; make "
                     "the workflow smaller\n");
    pl_buf_finish(&text);
}
END_TEST

/* ---- jq programs ---- */

struct asked {
    size_t count;
    const char *bad; /* a text that is not sound */
};

static enum pl_code check_jq(void *arg, struct expr *const *exprs, size_t n_exprs,
                             struct pl_err *errors, struct pl_err *err)
{
    struct asked *asked = arg;

    (void)err;
    asked->count += n_exprs;
    for (size_t i = 0; i < n_exprs; i++) {
        ck_assert_uint_eq(exprs[i]->jq_index, i);
        if (asked->bad && pl_str_is(exprs[i]->program, asked->bad))
            (void)pl_err_set(&errors[i], PL_ERR_EXPRESSION_ERROR, "this does not compile");
    }
    return PL_OK;
}

static const char *const programs =
    "state: {n: {reducer: \"${ .left + .right }\"}}\n"
    "steps:\n"
    "  a: {reduce: \"${ .input.x + 1 }\", when: \"${ .input.y }\"}\n"
    "  b: {reduce: [\"${ .input.x + 1 }\", \"${ .steps.a.output | length }\"], writes: {n: \"${ "
    ".output + 1 }\"}}\n"
    "  r: {repeat: {steps: {x: {reduce: 1}}, until: \"${ .turn > 3 }\", output: \"${ .turn * 2 "
    "}\"}}\n"
    "output: ${ .steps.b.output | add }\n";

START_TEST(all_programs_are_gathered_once)
{
    struct workflow *workflow = test_workflow(programs);
    const struct step_def *b = test_step_at(workflow, "b");

    ck_assert_ptr_nonnull(workflow->jq);
    ck_assert_uint_eq(workflow->jq->count, 7);
    ck_assert(workflow->jq->id != 0);
    ck_assert_uint_eq(test_step_at(workflow, "a")->exprs->jq_index, b->exprs->jq_index);
    for (size_t i = 0; i < workflow->jq->count; i++)
        ck_assert_int_eq(workflow->jq->folds[i],
                         pl_str_is(workflow->jq->texts[i], ".left + .right"));
    workflow_unref(&workflow);
    workflow = test_workflow("steps: {a: {reduce: \"${ .input.x }\"}}");
    ck_assert_ptr_null(workflow->jq);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_program_that_is_not_sound_is_a_problem_where_it_stands)
{
    struct asked asked = {0};
    const struct workflow_env env = {.arg = &asked, .check_jq = check_jq};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;

    doc_problems_init(&problems, arena);
    ck_assert_int_eq(workflow_compile(pl_str(programs), DOC_YAML, &env, &workflow, &problems),
                     PL_OK);
    ck_assert_uint_eq(asked.count, 7);
    workflow_unref(&workflow);
    asked = (struct asked){.bad = ".turn > 3"};
    ck_assert_int_eq(workflow_compile(pl_str(programs), DOC_YAML, &env, &workflow, &problems),
                     PL_ERR_INVALID_WORKFLOW);
    ck_assert_uint_eq(problems.total, 1);
    ck_assert_str_eq(problems.items[0].pointer, "/steps/r/repeat/until");
    ck_assert_str_eq(problems.items[0].message, "in expression '.turn > 3', this does not compile");
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_state");
    TCase *tcase = tcase_create("state");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_channel_has_a_reducer_and_a_default);
    tcase_add_test(tcase, a_reader_waits_for_every_writer_in_its_scope);
    tcase_add_test(tcase, nobody_waits_for_a_writer_that_is_downstream_of_it);
    tcase_add_test(tcase, sibling_branches_and_what_is_inside_are_not_waited_for);
    tcase_add_test(tcase, a_reader_in_a_body_lets_the_container_wait);
    tcase_add_test(tcase, a_handler_that_reads_state_lets_its_step_wait);
    tcase_add_test(tcase, state_of_an_inner_body_is_its_own);
    tcase_add_test(tcase, writers_that_follow_each_other_need_no_reducer);
    tcase_add_test(tcase, writers_are_in_order_also_through_what_they_wait_for);
    tcase_add_test(tcase, one_of_many_that_stands_beside_the_others_is_found);
    tcase_add_test(tcase, ten_thousand_branches_that_read_and_write_one_channel_compile_quickly);
    tcase_add_test(tcase, too_many_readers_and_writers_are_refused_once);
    tcase_add_test(tcase, all_programs_are_gathered_once);
    tcase_add_test(tcase, a_program_that_is_not_sound_is_a_problem_where_it_stands);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
