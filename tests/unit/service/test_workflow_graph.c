/* test_workflow_graph.c - the three pictures of a workflow, whole. Run by ctest. */
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdlib.h>

static const char *const source =
    "name: graph\n"
    "defaults: {model: sim/echo}\n"
    "steps:\n"
    "  start: {llm: {prompt: Hello}}\n"
    "  group:\n"
    "    join: {quorum: 1}\n"
    "    parallel:\n"
    "      branches:\n"
    "        a: {llm: {prompt: \"${ .steps.start.output }\"}}\n"
    "        b: {http: {url: \"http://127.0.0.1/\"}, on_error: {step: {reduce: 1}}}\n"
    "  empty: {join: {fraction: 0.5}, parallel: {branches: {}}}\n"
    "  end:\n"
    "    needs: [group, empty]\n"
    "    reduce: \"${ .steps.start.output }\"\n";

static const char *const inside =
    "name: inside\n"
    "steps:\n"
    "  list: {reduce: [1]}\n"
    "  each:\n"
    "    join: {fraction: 0.5}\n"
    "    map:\n"
    "      over: \"${ .steps.list.output }\"\n"
    "      do: {workflow: {steps: {x: {reduce: 1}, y: {reduce: \"${ .steps.x.output }\"}}}}\n"
    "      collapse: {do: {reduce: \"${ .items }\"}}\n"
    "  choice:\n"
    "    vote: {among: {a: {reduce: \"${ .steps.each.output }\"}}, method: judge, judge: {reduce: "
    "a}}\n"
    "  agent: {agent: {model: sim/echo, prompt: hi, tools: {find: {do: {sleep: 1s}}}}}\n"
    "  loop: {repeat: {max: 3, steps: {z: {human: {ask: ok}}}}}\n";

static void graph_of(const char *text, enum graph_format format, const char *expected)
{
    struct workflow *workflow = test_workflow(text);
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    workflow_graph(workflow, format, &out);
    ck_assert(!pl_buf_failed(&out));
    ck_assert_str_eq(test_text(&out), expected);
    pl_buf_finish(&out);
    workflow_unref(&workflow);
}

static void graph_is(enum graph_format format, const char *expected)
{
    graph_of(source, format, expected);
}

START_TEST(bodies_are_drawn_inside_their_step)
{
    graph_of(inside, GRAPH_MERMAID,
             "flowchart TD\n"
             "  n0[\"list: reduce\"]\n"
             "  subgraph n1[\"each: map, fraction 0.5\"]\n"
             "    subgraph n2[\"do: workflow\"]\n"
             "      n3[\"x: reduce\"]\n"
             "      n4[\"y: reduce\"]\n"
             "    end\n"
             "    n5[\"collapse: reduce\"]\n"
             "  end\n"
             "  subgraph n6[\"choice: vote, judge among 1\"]\n"
             "    n7[\"a: reduce\"]\n"
             "    n8[\"judge: reduce\"]\n"
             "  end\n"
             "  subgraph n9[\"agent: agent\"]\n"
             "    n10[\"turn: llm\"]\n"
             "    n11[\"find: sleep\"]\n"
             "  end\n"
             "  subgraph n12[\"loop: repeat, at most 3\"]\n"
             "    n13[\"z: human\"]\n"
             "  end\n"
             "  n0 --> n1\n"
             "  n3 --> n4\n"
             "  n1 --> n6\n");
    graph_of(inside, GRAPH_JSON,
             "{\"nodes\":["
             "{\"id\":\"list\",\"kind\":\"reduce\"},"
             "{\"id\":\"each\",\"kind\":\"map\",\"join\":\"fraction\"},"
             "{\"id\":\"each.*\",\"kind\":\"workflow\",\"parent\":\"each\",\"body\":\"branch\"},"
             "{\"id\":\"each.*.x\",\"kind\":\"reduce\",\"parent\":\"each.*\",\"body\":\"steps\"},"
             "{\"id\":\"each.*.y\",\"kind\":\"reduce\",\"parent\":\"each.*\",\"body\":\"steps\"},"
             "{\"id\":\"each.collapse.*.*\",\"kind\":\"reduce\",\"parent\":\"each\","
             "\"body\":\"collapse\"},"
             "{\"id\":\"choice\",\"kind\":\"vote\",\"join\":\"settled\"},"
             "{\"id\":\"choice.a\",\"kind\":\"reduce\",\"parent\":\"choice\",\"body\":\"branch\"},"
             "{\"id\":\"choice.judge\",\"kind\":\"reduce\",\"parent\":\"choice\",\"body\":"
             "\"judge\"},"
             "{\"id\":\"agent\",\"kind\":\"agent\"},"
             "{\"id\":\"agent.*\",\"kind\":\"llm\",\"parent\":\"agent\",\"body\":\"turn\"},"
             "{\"id\":\"agent.*.find\",\"kind\":\"sleep\",\"parent\":\"agent\",\"body\":\"tool\"},"
             "{\"id\":\"loop\",\"kind\":\"repeat\"},"
             "{\"id\":\"loop.*.z\",\"kind\":\"human\",\"parent\":\"loop\",\"body\":\"turn\"}],"
             "\"edges\":["
             "{\"from\":\"list\",\"to\":\"each\"},"
             "{\"from\":\"each.*.x\",\"to\":\"each.*.y\"},"
             "{\"from\":\"each\",\"to\":\"choice\"}]}");
}
END_TEST

START_TEST(mermaid_frames_a_parallel_and_hangs_a_handler_on_its_step)
{
    graph_is(GRAPH_MERMAID, "flowchart TD\n"
                            "  n0[\"start: llm\"]\n"
                            "  subgraph n1[\"group: parallel, quorum 1\"]\n"
                            "    n2[\"a: llm\"]\n"
                            "    n3[\"b: http\"]\n"
                            "    n4[\"on_error: reduce\"]\n"
                            "  end\n"
                            "  n5[\"empty: parallel, fraction 0.5\"]\n"
                            "  n6[\"end: reduce\"]\n"
                            "  n0 --> n2\n"
                            "  n3 -. on error .-> n4\n"
                            "  n0 --> n6\n"
                            "  n1 --> n6\n"
                            "  n5 --> n6\n");
}
END_TEST

START_TEST(dot_clips_edges_at_the_frame)
{
    graph_is(GRAPH_DOT, "digraph \"graph\" {\n"
                        "  compound=true;\n"
                        "  node [shape=box];\n"
                        "  n0 [label=\"start: llm\"];\n"
                        "  subgraph cluster_n1 {\n"
                        "    label=\"group: parallel, quorum 1\";\n"
                        "    n1 [shape=point, style=invis];\n"
                        "    n2 [label=\"a: llm\"];\n"
                        "    n3 [label=\"b: http\"];\n"
                        "    n4 [label=\"on_error: reduce\"];\n"
                        "  }\n"
                        "  n5 [label=\"empty: parallel, fraction 0.5\"];\n"
                        "  n6 [label=\"end: reduce\"];\n"
                        "  n0 -> n2;\n"
                        "  n3 -> n4 [style=dashed, label=\"on error\"];\n"
                        "  n0 -> n6;\n"
                        "  n1 -> n6 [ltail=cluster_n1];\n"
                        "  n5 -> n6;\n"
                        "}\n");
}
END_TEST

START_TEST(json_names_steps_by_their_paths)
{
    graph_is(GRAPH_JSON,
             "{\"nodes\":["
             "{\"id\":\"start\",\"kind\":\"llm\"},"
             "{\"id\":\"group\",\"kind\":\"parallel\",\"join\":\"quorum\"},"
             "{\"id\":\"group.a\",\"kind\":\"llm\",\"parent\":\"group\"},"
             "{\"id\":\"group.b\",\"kind\":\"http\",\"parent\":\"group\"},"
             "{\"id\":\"group.b.on_error\",\"kind\":\"reduce\",\"handles\":\"group.b\"},"
             "{\"id\":\"empty\",\"kind\":\"parallel\",\"join\":\"fraction\"},"
             "{\"id\":\"end\",\"kind\":\"reduce\"}],"
             "\"edges\":["
             "{\"from\":\"start\",\"to\":\"group.a\"},"
             "{\"from\":\"start\",\"to\":\"end\"},"
             "{\"from\":\"group\",\"to\":\"end\"},"
             "{\"from\":\"empty\",\"to\":\"end\"}]}");
}
END_TEST

START_TEST(a_full_buffer_is_a_failed_graph_and_nothing_worse)
{
    struct workflow *workflow = test_workflow(source);
    struct pl_buf out;

    for (size_t max = 0; max < 200; max++) {
        pl_buf_init(&out, max);
        workflow_graph(workflow,
                       max % 3 == 0   ? GRAPH_MERMAID
                       : max % 3 == 1 ? GRAPH_DOT
                                      : GRAPH_JSON,
                       &out);
        ck_assert(pl_buf_failed(&out));
        pl_buf_finish(&out);
    }
    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_graph");
    TCase *tcase = tcase_create("graph");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, bodies_are_drawn_inside_their_step);
    tcase_add_test(tcase, mermaid_frames_a_parallel_and_hangs_a_handler_on_its_step);
    tcase_add_test(tcase, dot_clips_edges_at_the_frame);
    tcase_add_test(tcase, json_names_steps_by_their_paths);
    tcase_add_test(tcase, a_full_buffer_is_a_failed_graph_and_nothing_worse);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
