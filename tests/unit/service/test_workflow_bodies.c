/* test_workflow_bodies.c - what stands inside a step: bodies, paths, what a container waits for,
 * and how a path of a run leads back to its step. Run by ctest. */
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define assert_deps(workflow, path, expected)                                                 \
    ck_assert_str_eq(                                                                         \
        test_paths(test_step_at(workflow, path)->deps, test_step_at(workflow, path)->n_deps), \
        expected)

/* What every body must be. */
static void check_bodies(const struct workflow *workflow)
{
    ck_assert_ptr_eq(workflow->bodies[0], workflow->root);
    for (size_t i = 0; i < workflow->n_bodies; i++) {
        const struct step_body *body = workflow->bodies[i];

        ck_assert_uint_eq(body->index, i);
        ck_assert_ptr_eq(body->workflow, workflow);
        if (body->owner)
            ck_assert_ptr_eq(body->owner->bodies[body->number], body);
        ck_assert(body->n_top > 0 && body->n_sinks > 0);
        ck_assert(!body->single || body->n_top == 1);
        for (size_t k = 0; k < body->n_steps; k++) {
            ck_assert_uint_eq(body->steps[k]->slot, k);
            ck_assert_ptr_eq(body->steps[k]->body, body);
            for (size_t d = 0; d < body->steps[k]->n_deps; d++)
                ck_assert_ptr_eq(body->steps[k]->deps[d]->body, body);
        }
    }
}

#define assert_step(workflow, path_text, tail_text, slot_number)          \
    do {                                                                  \
        const struct step_def *step_ = test_step_at(workflow, path_text); \
        ck_assert_str_eq(step_->path.ptr, path_text);                     \
        ck_assert_str_eq(step_->tail.ptr, tail_text);                     \
        ck_assert_uint_eq(step_->slot, slot_number);                      \
    } while (0)

START_TEST(the_steps_of_the_top_level_have_their_path_as_tail)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  a: {reduce: 1}\n"
        "  p: {parallel: {branches: {x: {reduce: 1, on_error: {step: {reduce: 2}}}}}}\n");

    check_bodies(workflow);
    ck_assert_uint_eq(workflow->n_bodies, 1);
    ck_assert_int_eq(workflow->root->role, BODY_ROOT);
    ck_assert_ptr_null(workflow->root->owner);
    assert_step(workflow, "a", "a", 0);
    assert_step(workflow, "p", "p", 1);
    assert_step(workflow, "p.x", "p.x", 2);
    assert_step(workflow, "p.x.on_error", "p.x.on_error", 3);
    workflow_unref(&workflow);
}
END_TEST

/* ---- map ---- */

static const char *const mapped =
    "defaults: {model: sim/echo}\n"
    "steps:\n"
    "  topic: {llm: {prompt: Hello}}\n"
    "  tone: {llm: {prompt: Hello}}\n"
    "  reviews:\n"
    "    join: settled\n"
    "    map:\n"
    "      over: ${ .input.reviews }\n"
    "      as: review\n"
    "      concurrency: 500\n"
    "      do:\n"
    "        parallel:\n"
    "          branches:\n"
    "            a: {llm: {prompt: \"${ .item } ${ .review } ${ .steps.topic.output }\"}}\n"
    "            b: {llm: {prompt: \"${ .index } ${ .review_index }\"}}\n"
    "        on_error: {step: {reduce: \"${ .error }\"}}\n"
    "      collapse:\n"
    "        do: {llm: {prompt: \"${ .items } ${ .steps.tone.output }\"}}\n";

START_TEST(a_map_has_a_body_for_an_item_and_one_for_a_group)
{
    struct workflow *workflow = test_workflow(mapped);
    const struct step_def *reviews = test_step_at(workflow, "reviews");
    const struct map_config *map = reviews->config.map;

    check_bodies(workflow);
    ck_assert_int_eq(reviews->kind, STEP_MAP);
    ck_assert_uint_eq(map->concurrency, 500);
    ck_assert_uint_eq(map->fan_in, 20);
    ck_assert_uint_eq(map->batch, 0);
    ck_assert_str_eq(test_str(map->as), "review");
    ck_assert_int_eq(map->over->kind, TEMPLATE_EXPR);
    ck_assert_int_eq(reviews->join.kind, JOIN_SETTLED);
    ck_assert_uint_eq(reviews->n_bodies, 2);
    ck_assert_int_eq(reviews->bodies[0]->role, BODY_BRANCH);
    ck_assert_int_eq(reviews->bodies[1]->role, BODY_COLLAPSE);
    ck_assert(reviews->bodies[0]->single && reviews->bodies[1]->single);
    assert_step(workflow, "reviews.*", "", 0);
    assert_step(workflow, "reviews.*.a", ".a", 1);
    assert_step(workflow, "reviews.*.b", ".b", 2);
    assert_step(workflow, "reviews.*.on_error", ".on_error", 3);
    assert_step(workflow, "reviews.collapse.*.*", "", 0);
    ck_assert_str_eq(test_step_at(workflow, "reviews.*")->id.ptr, "do");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_container_waits_for_what_its_bodies_mention_outside)
{
    struct workflow *workflow = test_workflow(mapped);

    assert_deps(workflow, "reviews", "topic tone");
    assert_deps(workflow, "reviews.*.a", "");
    assert_deps(workflow, "reviews.collapse.*.*", "");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(names_given_with_as_know_their_map)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  m:\n"
                      "    map:\n"
                      "      do:\n"
                      "        map:\n"
                      "          over: \"${ .outer }\"\n"
                      "          batch: 10\n"
                      "          as: inner\n"
                      "          do: {reduce: [\"${ .outer_index }\", \"${ .inner }\", \"${ .items "
                      "}\"]}\n"
                      "      over: [[1]]\n"
                      "      as: outer\n");
    const struct step_def *outer = test_step_at(workflow, "m"),
                          *inner = test_step_at(workflow, "m.*");
    const struct expr *expr = test_step_at(workflow, "m.*.*")->exprs;

    ck_assert_int_eq(expr->refs[0].root, EXPR_ROOT_AS_INDEX);
    ck_assert_ptr_eq(expr->refs[0].step, outer);
    ck_assert_int_eq(expr->next->refs[0].root, EXPR_ROOT_AS);
    ck_assert_ptr_eq(expr->next->refs[0].step, inner);
    ck_assert_int_eq(expr->next->next->refs[0].root, EXPR_ROOT_ITEMS);
    ck_assert_ptr_eq(inner->exprs->refs[0].step, outer);
    ck_assert_uint_eq(inner->config.map->batch, 10);
    check_bodies(workflow);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(the_end_of_a_map_waits_for_nobody_and_its_handler_reads_outside)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  spare: {reduce: 1}\n"
        "  m:\n"
        "    map: {over: [1], do: {reduce: 1}}\n"
        "    on_error: {step: {map: {over: [1], do: {reduce: \"${ .steps.spare.output }\"}}}}\n");

    assert_deps(workflow, "m.on_error", "spare");
    assert_deps(workflow, "m", "spare");
    ck_assert_str_eq(test_paths(workflow->root->sinks, workflow->root->n_sinks), "m");
    check_bodies(workflow);
    workflow_unref(&workflow);
}
END_TEST

/* ---- vote ---- */

START_TEST(a_vote_of_samples_has_one_body_for_all_of_them)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  floor: {reduce: 1}\n"
                      "  v:\n"
                      "    vote:\n"
                      "      of: {reduce: 1}\n"
                      "      samples: 9\n"
                      "      key: ${ .output.answer }\n"
                      "      threshold: 0.5\n"
                      "      on_tie: judge\n"
                      "      stop: early\n"
                      "      judge: {reduce: \"${ .candidates }\"}\n"
                      "  w:\n"
                      "    vote:\n"
                      "      score: {reduce: [\"${ .candidate }\", \"${ .steps.floor.output }\"]}\n"
                      "      method: best_of\n"
                      "      of: {reduce: 1}\n"
                      "      samples: 2\n");
    const struct step_def *v = test_step_at(workflow, "v"), *w = test_step_at(workflow, "w");
    const struct vote_config *vote = v->config.vote;

    check_bodies(workflow);
    ck_assert_int_eq(v->join.kind, JOIN_SETTLED);
    ck_assert_uint_eq(vote->samples, 9);
    ck_assert_uint_eq(vote->n_among, 0);
    ck_assert_int_eq(vote->method, VOTE_MAJORITY);
    ck_assert_int_eq(vote->on_tie, VOTE_TIE_JUDGE);
    ck_assert(vote->stop_early && !vote->weights && !vote->score);
    ck_assert_double_eq(vote->threshold, 0.5);
    ck_assert_int_eq(vote->key->refs[0].root, EXPR_ROOT_OUTPUT);
    ck_assert_ptr_eq(v->exprs, vote->key);
    ck_assert_int_eq(vote->judge_body, 1);
    ck_assert_int_eq(vote->score_body, -1);
    ck_assert_int_eq(v->bodies[1]->role, BODY_JUDGE);
    assert_step(workflow, "v.*", "", 0);
    assert_step(workflow, "v.judge", "", 0);
    ck_assert_int_eq(w->config.vote->judge_body, -1);
    ck_assert_int_eq(w->config.vote->score_body, 1);
    ck_assert_int_eq(w->bodies[0]->role, BODY_BRANCH);
    assert_step(workflow, "w.score.*", "", 0);
    assert_deps(workflow, "w", "floor");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_vote_among_steps_has_a_body_each_in_order)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  v:\n"
        "    join: {quorum: 2}\n"
        "    vote:\n"
        "      method: weighted\n"
        "      weights: {c: 2.5, a: 0}\n"
        "      among: {a: {reduce: 1}, b: {reduce: 2}, c: {reduce: 3}}\n"
        "      threshold: 3\n"
        "  w:\n"
        "    vote: {among: {x: {reduce: 1}}, method: best_of, score: \"${ .output.s }\"}\n"
        "  read: {reduce: \"${ .steps.v.output }\"}\n");
    const struct step_def *v = test_step_at(workflow, "v");
    const struct vote_config *vote = v->config.vote;

    check_bodies(workflow);
    ck_assert_uint_eq(vote->n_among, 3);
    ck_assert_uint_eq(vote->samples, 0);
    ck_assert_double_eq(vote->weights[0], 0);
    ck_assert_double_eq(vote->weights[1], 1);
    ck_assert_double_eq(vote->weights[2], 2.5);
    ck_assert_str_eq(test_str(v->bodies[1]->id), "b");
    assert_step(workflow, "v.c", "", 0);
    ck_assert_int_eq(v->join.kind, JOIN_QUORUM);
    ck_assert_int_eq(test_step_at(workflow, "w")->config.vote->score->refs[0].root,
                     EXPR_ROOT_OUTPUT);
    assert_deps(workflow, "read", "v");
    workflow_unref(&workflow);
}
END_TEST

/* ---- repeat, inline workflow ---- */

START_TEST(a_repeat_is_a_body_of_several_steps)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  brief: {reduce: 1}\n"
                      "  loop:\n"
                      "    repeat:\n"
                      "      until: ${ .steps.check.output.ok }\n"
                      "      on_max: fail\n"
                      "      steps:\n"
                      "        draft: {reduce: [\"${ .previous.output }\", \"${ .turn }\"]}\n"
                      "        check: {reduce: \"${ .steps.draft.output }\"}\n"
                      "      output: [\"${ .steps.draft.output }\", \"${ .steps.brief.output }\"]\n"
                      "      max: 7\n"
                      "  other: {repeat: {steps: {x: {reduce: 1}}, until: \"${ .output }\"}}\n");
    const struct step_def *loop = test_step_at(workflow, "loop");
    const struct step_body *body = loop->bodies[0];

    check_bodies(workflow);
    ck_assert_int_eq(body->role, BODY_TURN);
    ck_assert(!body->single);
    assert_step(workflow, "loop.*.draft", ".draft", 0);
    assert_step(workflow, "loop.*.check", ".check", 1);
    assert_deps(workflow, "loop.*.check", "loop.*.draft");
    assert_deps(workflow, "loop", "brief");
    ck_assert_uint_eq(loop->config.repeat->max, 7);
    ck_assert(loop->config.repeat->fail_on_max);
    ck_assert_ptr_eq(loop->config.repeat->until->refs[0].step,
                     test_step_at(workflow, "loop.*.check"));
    ck_assert_ptr_nonnull(body->output);
    ck_assert_ptr_eq(body->output_exprs, loop->config.repeat->until);
    ck_assert_str_eq(test_paths(body->sinks, body->n_sinks), "loop.*.check");
    ck_assert_uint_eq(test_step_at(workflow, "other")->config.repeat->max, 100);
    ck_assert(!test_step_at(workflow, "other")->config.repeat->fail_on_max);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(inline_steps_see_what_is_around_and_have_their_own_output)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  topic: {reduce: 1}\n"
                      "  sub:\n"
                      "    workflow:\n"
                      "      input: {t: \"${ .steps.topic.output }\"}\n"
                      "      steps:\n"
                      "        a: {reduce: \"${ .steps.topic.output }\"}\n"
                      "        b: {map: {over: [1], do: {reduce: \"${ .steps.a.output }\"}}}\n"
                      "      output: ${ .steps.b.output }\n"
                      "  end: {reduce: \"${ .steps.sub.output }\"}\n");
    const struct step_def *sub = test_step_at(workflow, "sub");

    check_bodies(workflow);
    ck_assert_int_eq(sub->bodies[0]->role, BODY_INLINE);
    ck_assert_ptr_null(sub->config.workflow->child);
    ck_assert_uint_eq(sub->config.workflow->name.len, 0);
    ck_assert_ptr_nonnull(sub->config.workflow->input);
    assert_step(workflow, "sub.a", ".a", 0);
    assert_step(workflow, "sub.b", ".b", 1);
    assert_step(workflow, "sub.b.*", "", 0);
    assert_deps(workflow, "sub", "topic");
    assert_deps(workflow, "sub.b", "sub.a");
    assert_deps(workflow, "end", "sub");
    ck_assert_ptr_eq(sub->bodies[0]->output->expr->refs[0].step, test_step_at(workflow, "sub.b"));
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_body_waits_for_the_outermost_step_it_can)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  far: {reduce: 1}\n"
        "  sub:\n"
        "    workflow:\n"
        "      steps:\n"
        "        near: {reduce: 1}\n"
        "        m:\n"
        "          map:\n"
        "            over: [1]\n"
        "            do: {workflow: {steps: {x: {needs: [near], reduce: \"${ .steps.far.output "
        "}\"}}}}\n");

    assert_deps(workflow, "sub", "far");
    assert_deps(workflow, "sub.m", "sub.near");
    assert_deps(workflow, "sub.m.*", "");
    assert_deps(workflow, "sub.m.*.x", "");
    check_bodies(workflow);
    workflow_unref(&workflow);
}
END_TEST

/* ---- agent, human, sleep ---- */

START_TEST(an_agent_has_a_turn_of_its_own_and_its_tools)
{
    struct workflow *workflow =
        test_workflow("defaults: {model: sim/echo, timeout: 9s}\n"
                      "steps:\n"
                      "  site: {reduce: 1}\n"
                      "  helper:\n"
                      "    agent:\n"
                      "      system: Be brief.\n"
                      "      prompt: \"${ .input.q }\"\n"
                      "      tools:\n"
                      "        search:\n"
                      "          description: Finds pages.\n"
                      "          parameters: {type: object, required: [q]}\n"
                      "          do: {reduce: [\"${ .args.q }\", \"${ .steps.site.output }\"]}\n"
                      "        now: {do: {reduce: \"${ .run.date }\"}}\n"
                      "      max_turns: 4\n"
                      "    retry: {attempts: 5}\n"
                      "    on_ambiguous: fail\n");
    const struct step_def *helper = test_step_at(workflow, "helper");
    const struct agent_config *agent = helper->config.agent;
    const struct step_def *turn = helper->bodies[0]->top[0];

    check_bodies(workflow);
    ck_assert_uint_eq(agent->max_turns, 4);
    ck_assert_uint_eq(agent->n_tools, 2);
    ck_assert_str_eq(test_str(agent->tools[0].description), "Finds pages.");
    ck_assert_ptr_nonnull(agent->tools[0].parameters.schema);
    ck_assert_ptr_null(agent->tools[1].parameters.schema);
    ck_assert_uint_eq(agent->tools[1].body, 2);
    ck_assert_str_eq(test_str(agent->llm->model), "sim/echo");
    ck_assert_str_eq(turn->id.ptr, "turn");
    ck_assert_int_eq(turn->kind, STEP_LLM);
    ck_assert_ptr_eq(turn->config.llm, agent->llm);
    ck_assert_uint_eq(turn->retry.attempts, 5);
    ck_assert_int_eq(turn->timeout, 9000);
    ck_assert_int_eq(turn->on_ambiguous, ON_AMBIGUOUS_FAIL);
    assert_step(workflow, "helper.*", "", 0);
    assert_step(workflow, "helper.*.search", "", 0);
    ck_assert_int_eq(helper->bodies[2]->role, BODY_TOOL);
    ck_assert_str_eq(test_str(helper->bodies[2]->id), "now");
    assert_deps(workflow, "helper", "site");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_human_step_knows_how_long_to_wait_and_what_then)
{
    struct workflow *workflow =
        test_workflow("schemas: {answer: {type: boolean}}\n"
                      "steps:\n"
                      "  a: {human: {ask: \"Send to ${ .input.to }?\", schema: answer, data: "
                      "\"${ .input }\", timeout: 1h, on_timeout: {default: false}}, deadline: 2h}\n"
                      "  b: {human: {ask: Sure?, timeout: 5m, on_timeout: fail}}\n"
                      "  c: {human: {ask: Sure?}}\n");
    const struct human_config *a = test_step_at(workflow, "a")->config.human;
    const struct human_config *b = test_step_at(workflow, "b")->config.human;

    ck_assert_int_eq(a->ask->kind, TEMPLATE_TEXT);
    ck_assert_int_eq(a->timeout, 3600000);
    ck_assert_str_eq(test_str(a->on_timeout_default->json), "false");
    ck_assert_str_eq(test_str(a->schema.name), "answer");
    ck_assert_ptr_nonnull(a->schema.schema);
    ck_assert_ptr_nonnull(a->data);
    ck_assert_int_eq(test_step_at(workflow, "a")->deadline, 7200000);
    ck_assert_int_eq(b->timeout, 300000);
    ck_assert_ptr_null(b->on_timeout_default);
    ck_assert_int_eq(test_step_at(workflow, "c")->config.human->timeout, 0);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_sleep_is_a_duration_a_time_or_an_expression)
{
    struct workflow *workflow = test_workflow("steps:\n"
                                              "  a: {sleep: 1.5}\n"
                                              "  b: {sleep: 2m}\n"
                                              "  c: {sleep: {until: \"2030-01-01T00:00:00Z\"}}\n"
                                              "  d: {sleep: {until: \"${ .input.at }\"}}\n"
                                              "  e: {sleep: \"${ .input.wait }\"}\n");

    ck_assert_int_eq(test_step_at(workflow, "a")->config.sleep->duration, 1500);
    ck_assert_int_eq(test_step_at(workflow, "b")->config.sleep->duration, 120000);
    ck_assert_int_eq(test_step_at(workflow, "c")->config.sleep->until->kind, TEMPLATE_CONST);
    ck_assert(!test_step_at(workflow, "d")->config.sleep->for_duration);
    ck_assert(test_step_at(workflow, "e")->config.sleep->for_duration);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(an_answer_has_a_schema_repairs_and_models_to_fall_back_on)
{
    struct workflow *workflow = test_workflow(
        "schemas:\n"
        "  part: {type: string}\n"
        "  whole: {type: object, properties: {p: {$ref: part}}}\n"
        "steps:\n"
        "  a:\n"
        "    llm: {model: sim/echo, prompt: Hello, schema: whole, repair: 0, fallback: "
        "[openai/gpt-4o, sim/echo]}\n"
        "    retry: {on: [schema]}\n"
        "  b: {llm: {model: sim/echo, prompt: Hello, schema: {type: object}}}\n");
    const struct llm_config *a = test_step_at(workflow, "a")->config.llm;
    const struct llm_config *b = test_step_at(workflow, "b")->config.llm;

    ck_assert_str_eq(test_str(a->schema.name), "whole");
    ck_assert_ptr_nonnull(strstr(test_str(a->schema.json), "\"type\":\"string\""));
    ck_assert_uint_eq(a->repair, 0);
    ck_assert_uint_eq(a->n_fallback, 2);
    ck_assert_str_eq(test_str(a->fallback[0]), "openai/gpt-4o");
    ck_assert_uint_eq(test_step_at(workflow, "a")->retry.on, 1u << PL_RETRY_SCHEMA);
    ck_assert_uint_eq(b->repair, 1);
    ck_assert_uint_eq(b->schema.name.len, 0);
    workflow_unref(&workflow);
}
END_TEST

/* ---- paths ---- */

START_TEST(an_answer_may_be_kept_and_a_first_branch_may_go_before_the_others)
{
    struct workflow *workflow =
        test_workflow("defaults: {model: sim/echo}\n"
                      "steps:\n"
                      "  a: {llm: {prompt: x, cache: {ttl: 90s}}}\n"
                      "  b: {llm: {prompt: x}}\n"
                      "  c: {agent: {prompt: x, cache: {ttl: 2}}}\n"
                      "  m: {map: {over: [1], warm_up: true, do: {llm: {prompt: x}}}}\n"
                      "  n: {map: {over: [1], warm_up: false, do: {llm: {prompt: x}}}}\n"
                      "  p: {parallel: {warm_up: true, branches: {q: {llm: {prompt: x}}}}}\n");

    ck_assert_int_eq(test_step_at(workflow, "a")->config.llm->cache_ttl, 90000);
    ck_assert_int_eq(test_step_at(workflow, "b")->config.llm->cache_ttl, 0);
    ck_assert_int_eq(test_step_at(workflow, "c")->config.agent->llm->cache_ttl, 2000);
    ck_assert(test_step_at(workflow, "m")->warm_up);
    ck_assert(!test_step_at(workflow, "n")->warm_up);
    ck_assert(test_step_at(workflow, "p")->warm_up);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(the_path_of_an_instance_leads_to_its_step)
{
    static const char *const cases[][2] = {
        {"reviews.0", "reviews.*"},
        {"reviews.99999.a", "reviews.*.a"},
        {"reviews.17.on_error", "reviews.*.on_error"},
        {"reviews.collapse.0.12", "reviews.collapse.*.*"},
        {"reviews.*.a", "reviews.*.a"},
    };
    static const char *const none[] = {
        "",
        "reviews.",
        ".reviews",
        "reviews.017",
        "reviews.-1",
        "reviews.x",
        "reviews.1.c",
        "reviews.1.2",
        "reviews.collapse.1",
        "reviews.1 ",
        "reviews.1.a.",
        "topic.1",
        "reviews..a",
    };
    struct workflow *workflow = test_workflow(mapped);

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        ck_assert_str_eq(test_step_at(workflow, cases[i][0])->path.ptr, cases[i][1]);
    for (size_t i = 0; i < PL_ARRAY_LEN(none); i++)
        ck_assert_msg(!workflow_find(workflow, pl_str(none[i])), "'%s' is found", none[i]);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_second_call_of_a_tool_in_one_turn_leads_to_the_tool)
{
    struct workflow *workflow = test_workflow(
        "steps: {h: {agent: {model: sim/echo, prompt: x, tools: {t: {do: {parallel: {branches: "
        "{a: {reduce: 1}}}}}}}}}\n");

    ck_assert_str_eq(test_step_at(workflow, "h.0")->path.ptr, "h.*");
    ck_assert_str_eq(test_step_at(workflow, "h.3.t-2")->path.ptr, "h.*.t");
    ck_assert_str_eq(test_step_at(workflow, "h.3.t-12.a")->path.ptr, "h.*.t.a");
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("h.3.t-")));
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("h.3.t-02")));
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("h.3.-2")));
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_path_of_any_length_is_looked_up)
{
    struct workflow *workflow = test_workflow(mapped);
    struct pl_buf path;

    pl_buf_init(&path, 1 << 20);
    for (unsigned i = 0; i < 20000; i++) {
        pl_buf_text(&path, "reviews.1.");
        ck_assert_ptr_null(workflow_find(workflow, pl_buf_view(&path)));
        if (i > 600)
            i += 500;
    }
    pl_buf_finish(&path);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(ten_thousand_bodies_compile_quickly)
{
    struct workflow *workflow;
    struct pl_buf text;
    pl_ms before = pl_monotonic_us() / 1000;

    pl_buf_init(&text, 4 << 20);
    pl_buf_text(&text, "state: {n: {reducer: sum}}\nsteps:\n");
    for (unsigned i = 0; i < 10000; i++)
        pl_buf_printf(&text, "  m%u: {map: {over: [1], do: {reduce: 1, writes: {n: 1}}}}\n", i);
    pl_buf_text(&text, "  all: {reduce: \"${ .state.n }\"}\n");
    workflow = test_workflow(test_text(&text));
    printf("10,000 bodies: %lld ms\n", (long long)(pl_monotonic_us() / 1000 - before));
    ck_assert_uint_eq(test_step_at(workflow, "all")->n_deps, 10000);
    workflow_unref(&workflow);
    pl_buf_finish(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_bodies");
    TCase *tcase = tcase_create("bodies");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_steps_of_the_top_level_have_their_path_as_tail);
    tcase_add_test(tcase, a_map_has_a_body_for_an_item_and_one_for_a_group);
    tcase_add_test(tcase, a_container_waits_for_what_its_bodies_mention_outside);
    tcase_add_test(tcase, names_given_with_as_know_their_map);
    tcase_add_test(tcase, the_end_of_a_map_waits_for_nobody_and_its_handler_reads_outside);
    tcase_add_test(tcase, a_vote_of_samples_has_one_body_for_all_of_them);
    tcase_add_test(tcase, a_vote_among_steps_has_a_body_each_in_order);
    tcase_add_test(tcase, a_repeat_is_a_body_of_several_steps);
    tcase_add_test(tcase, inline_steps_see_what_is_around_and_have_their_own_output);
    tcase_add_test(tcase, a_body_waits_for_the_outermost_step_it_can);
    tcase_add_test(tcase, an_agent_has_a_turn_of_its_own_and_its_tools);
    tcase_add_test(tcase, a_human_step_knows_how_long_to_wait_and_what_then);
    tcase_add_test(tcase, a_sleep_is_a_duration_a_time_or_an_expression);
    tcase_add_test(tcase, an_answer_has_a_schema_repairs_and_models_to_fall_back_on);
    tcase_add_test(tcase, an_answer_may_be_kept_and_a_first_branch_may_go_before_the_others);
    tcase_add_test(tcase, the_path_of_an_instance_leads_to_its_step);
    tcase_add_test(tcase, a_second_call_of_a_tool_in_one_turn_leads_to_the_tool);
    tcase_add_test(tcase, a_path_of_any_length_is_looked_up);
    tcase_add_test(tcase, ten_thousand_bodies_compile_quickly);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
