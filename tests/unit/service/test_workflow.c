/* test_workflow.c - what a valid workflow becomes: numbering, dependencies, defaults, policies, the
 * pinned text; and that the check stays quick. Run by ctest. */
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const struct step_def *step_at(const struct workflow *workflow, const char *path)
{
    const struct step_def *step = test_step_at(workflow, path);

    ck_assert_ptr_eq(workflow->steps[step->index], step);
    return step;
}

#define assert_deps(workflow, path, expected)                                                    \
    ck_assert_str_eq(test_paths(step_at(workflow, path)->deps, step_at(workflow, path)->n_deps), \
                     expected)
#define assert_dependents(workflow, path, expected)                                             \
    ck_assert_str_eq(                                                                           \
        test_paths(step_at(workflow, path)->dependents, step_at(workflow, path)->n_dependents), \
        expected)

/* ---- the shape ---- */

static const char *const nested = "defaults: {model: sim/echo}\n"
                                  "steps:\n"
                                  "  topic: {llm: {prompt: Hello}}\n"
                                  "  tone: {llm: {prompt: Hello}}\n"
                                  "  research:\n"
                                  "    needs: [tone]\n"
                                  "    parallel:\n"
                                  "      branches:\n"
                                  "        web: {llm: {prompt: \"${ .steps.topic.output }\"}}\n"
                                  "        deep:\n"
                                  "          parallel:\n"
                                  "            branches:\n"
                                  "              a: {llm: {prompt: \"${ .input.a }\"}}\n"
                                  "    on_error:\n"
                                  "      step: {llm: {prompt: \"${ .error.code }\"}}\n"
                                  "  plan:\n"
                                  "    when: \"${ .steps.tone.output }\"\n"
                                  "    llm:\n"
                                  "      prompt: |\n"
                                  "        ${ .steps.research.output.web }\n"
                                  "        ${ .steps.topic.output } ${ .steps.topic.status }\n"
                                  "output: ${ .steps.plan.output }\n";

START_TEST(steps_are_numbered_as_written_with_their_paths)
{
    static const char *const expected[] = {"topic",
                                           "tone",
                                           "research",
                                           "research.web",
                                           "research.deep",
                                           "research.deep.a",
                                           "research.on_error",
                                           "plan"};
    struct workflow *workflow = test_workflow(nested);

    ck_assert_uint_eq(workflow->n_steps, PL_ARRAY_LEN(expected));
    for (size_t i = 0; i < workflow->n_steps; i++) {
        ck_assert_str_eq(workflow->steps[i]->path.ptr, expected[i]);
        ck_assert_uint_eq(workflow->steps[i]->index, i);
    }
    ck_assert_str_eq(test_paths(workflow->root->top, workflow->root->n_top),
                     "topic tone research plan");
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("research.nothing")));
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("web")));
    workflow_unref(&workflow);
    ck_assert_ptr_null(workflow);
}
END_TEST

START_TEST(children_parents_and_handlers_know_each_other)
{
    struct workflow *workflow = test_workflow(nested);
    const struct step_def *research = step_at(workflow, "research");
    const struct step_def *handler = step_at(workflow, "research.on_error");

    ck_assert_int_eq(research->kind, STEP_PARALLEL);
    ck_assert_str_eq(test_paths(research->children, research->n_children),
                     "research.web research.deep");
    ck_assert_ptr_eq(step_at(workflow, "research.deep.a")->parent,
                     step_at(workflow, "research.deep"));
    ck_assert_ptr_eq(research->handler, handler);
    ck_assert_ptr_eq(handler->parent, research);
    ck_assert(handler->is_handler && !research->is_handler);
    ck_assert_str_eq(handler->id.ptr, "on_error");
    ck_assert_int_eq(research->on_error, ON_ERROR_STEP);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_step_depends_on_what_its_own_expressions_and_needs_name)
{
    struct workflow *workflow = test_workflow(nested);

    assert_deps(workflow, "topic", "");
    assert_deps(workflow, "research", "tone");
    assert_deps(workflow, "research.web", "topic");
    assert_deps(workflow, "research.deep.a", "");
    assert_deps(workflow, "plan", "tone research topic");
    assert_dependents(workflow, "topic", "research.web plan");
    assert_dependents(workflow, "tone", "research plan");
    assert_dependents(workflow, "research", "plan");
    ck_assert_str_eq(test_paths(workflow->root->sinks, workflow->root->n_sinks), "plan");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(every_expression_of_a_step_has_its_step)
{
    struct workflow *workflow = test_workflow(nested);
    const struct step_def *plan = step_at(workflow, "plan");
    unsigned count = 0;

    for (const struct expr *expr = plan->exprs; expr; expr = expr->next, count++) {
        ck_assert_int_eq(expr->refs[0].root, EXPR_ROOT_STEP);
        ck_assert_str_eq(expr->refs[0].step->id.ptr, test_str(expr->refs[0].name));
    }
    ck_assert_uint_eq(count, 4);
    ck_assert_ptr_eq(workflow->root->output->expr->refs[0].step, plan);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(what_a_handler_reads_is_complete_before_its_step_starts)
{
    struct workflow *workflow =
        test_workflow("defaults: {model: sim/echo}\n"
                      "steps:\n"
                      "  spare: {llm: {prompt: Hello}}\n"
                      "  last: {llm: {prompt: Hello}}\n"
                      "  main:\n"
                      "    llm: {prompt: Hello}\n"
                      "    on_error:\n"
                      "      step:\n"
                      "        llm: {prompt: \"${ .steps.spare.output }\"}\n"
                      "        on_error: {step: {reduce: \"${ .steps.last.output }\"}}\n");

    assert_deps(workflow, "main.on_error.on_error", "last");
    assert_deps(workflow, "main.on_error", "spare last");
    assert_deps(workflow, "main", "spare last");
    ck_assert_str_eq(test_paths(workflow->root->sinks, workflow->root->n_sinks), "main");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(several_steps_nothing_depends_on_are_all_sinks)
{
    struct workflow *workflow = test_workflow("steps:\n"
                                              "  a: {reduce: 1}\n"
                                              "  b: {reduce: 2}\n"
                                              "  c: {needs: [a], reduce: 3}\n");

    ck_assert_str_eq(test_paths(workflow->root->sinks, workflow->root->n_sinks), "b c");
    ck_assert_ptr_null(workflow->root->output);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(cousins_may_share_names)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {parallel: {branches: {draft: {reduce: 1}, check: {reduce: 2}}}}\n"
                      "  b: {parallel: {branches: {draft: {reduce: 1}, check: {reduce: 2}}}}\n");

    ck_assert_ptr_ne(step_at(workflow, "a.draft"), step_at(workflow, "b.draft"));
    workflow_unref(&workflow);
}
END_TEST

/* ---- defaults and policies ---- */

static const unsigned every_class = 1u << PL_RETRY_RATE_LIMIT | 1u << PL_RETRY_TIMEOUT |
                                    1u << PL_RETRY_SERVER | 1u << PL_RETRY_NETWORK |
                                    1u << PL_RETRY_SCHEMA;

START_TEST(without_a_word_a_step_has_the_built_in_policies)
{
    struct workflow *workflow = test_workflow("steps:\n"
                                              "  a: {llm: {model: sim/echo, prompt: Hello}}\n"
                                              "  p: {parallel: {branches: {b: {reduce: 1}}}}\n");
    const struct step_def *a = step_at(workflow, "a"), *p = step_at(workflow, "p");

    ck_assert_uint_eq(a->retry.attempts, 3);
    ck_assert_int_eq(a->retry.initial, 500);
    ck_assert_int_eq(a->retry.max, 30000);
    ck_assert_double_eq(a->retry.multiplier, 2);
    ck_assert_double_eq(a->retry.jitter, 1);
    ck_assert_uint_eq(a->retry.on, every_class);
    ck_assert_int_eq(a->timeout, 0);
    ck_assert_int_eq(a->deadline, 0);
    ck_assert_int_eq(a->on_error, ON_ERROR_FAIL);
    ck_assert_int_eq(p->join.kind, JOIN_ALL);
    ck_assert_uint_eq(p->join.min, 1);
    ck_assert(!p->join.min_given && !p->join.drain && !p->join.accept);
    ck_assert(!workflow->root->settled);
    ck_assert_int_eq(workflow->timeout, 0);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(defaults_reach_calls_and_a_step_overrides_them_key_by_key)
{
    struct workflow *workflow = test_workflow("steps:\n"
                                              "  a: {llm: {prompt: Hello}}\n"
                                              "  b:\n"
                                              "    retry: {max: 1m, on: [timeout, network]}\n"
                                              "    timeout: 250ms\n"
                                              "    llm: {prompt: Hello, model: openai/gpt-4o}\n"
                                              "  c: {http: {url: \"https://example.com\"}}\n"
                                              "  d: {reduce: 1}\n"
                                              "defaults: {model: \"sim/echo?latency=5ms\", "
                                              "timeout: 60s, retry: {attempts: 5, jitter: 0}}\n");
    const struct step_def *a = step_at(workflow, "a"), *b = step_at(workflow, "b"),
                          *d = step_at(workflow, "d");

    ck_assert_str_eq(test_str(a->config.llm->model), "sim/echo?latency=5ms");
    ck_assert_int_eq(a->timeout, 60000);
    ck_assert_uint_eq(a->retry.attempts, 5);
    ck_assert_double_eq(a->retry.jitter, 0);
    ck_assert_str_eq(test_str(b->config.llm->model), "openai/gpt-4o");
    ck_assert_int_eq(b->timeout, 250);
    ck_assert_uint_eq(b->retry.attempts, 5);
    ck_assert_int_eq(b->retry.max, 60000);
    ck_assert_uint_eq(b->retry.on, 1u << PL_RETRY_TIMEOUT | 1u << PL_RETRY_NETWORK);
    ck_assert_int_eq(step_at(workflow, "c")->timeout, 60000);
    ck_assert_int_eq(d->timeout, 0);
    ck_assert_uint_eq(d->retry.attempts, 3);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_join_is_a_word_or_an_object)
{
    static const struct {
        const char *join;
        struct join_policy expected;
    } cases[] = {
        {"all", {.kind = JOIN_ALL, .min = 1}},
        {"settled", {.kind = JOIN_SETTLED, .min = 1}},
        {"any", {.kind = JOIN_ANY, .min = 1}},
        {"{quorum: 2}", {.kind = JOIN_QUORUM, .quorum = 2, .min = 1}},
        {"{fraction: 0.9}", {.kind = JOIN_FRACTION, .fraction = 0.9, .min = 1}},
        {"{deadline: 1.5}", {.kind = JOIN_ALL, .deadline = 1500, .min = 1}},
        {"{policy: settled, min: 2, deadline: 5m}",
         {.kind = JOIN_SETTLED, .min = 2, .min_given = true, .deadline = 300000}},
        {"{policy: {quorum: 1}, losers: drain}",
         {.kind = JOIN_QUORUM, .quorum = 1, .min = 1, .drain = true}},
        {"{policy: {fraction: 1}, losers: cancel}",
         {.kind = JOIN_FRACTION, .fraction = 1, .min = 1}},
        {"{fraction: 0.5, deadline: 1h}",
         {.kind = JOIN_FRACTION, .fraction = 0.5, .min = 1, .deadline = 3600000}},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        char text[512];
        const struct join_policy *expected = &cases[i].expected;
        (void)snprintf(text, sizeof(text),
                       "steps: {p: {join: %s, parallel: {branches: {a: {reduce: 1}, b: {reduce: "
                       "2}}}}}\n",
                       cases[i].join);
        struct workflow *workflow = test_workflow(text);
        const struct join_policy *join = &step_at(workflow, "p")->join;
        ck_assert_int_eq(join->kind, expected->kind);
        ck_assert_uint_eq(join->quorum, expected->quorum);
        ck_assert_double_eq(join->fraction, expected->fraction);
        ck_assert_int_eq(join->deadline, expected->deadline);
        ck_assert_uint_eq(join->min, expected->min);
        ck_assert_int_eq(join->min_given, expected->min_given);
        ck_assert_int_eq(join->drain, expected->drain);
        workflow_unref(&workflow);
    }
}
END_TEST

START_TEST(accept_sees_the_output_and_may_wait_for_a_step)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  floor: {reduce: 1}\n"
                      "  p:\n"
                      "    join: {policy: any, accept: \"${ .output.ok }\"}\n"
                      "    parallel: {branches: {a: {reduce: 1}}}\n"
                      "  q:\n"
                      "    join: {policy: any, accept: \"${ .steps.floor.output }\"}\n"
                      "    parallel: {branches: {a: {reduce: 1}}}\n");
    const struct step_def *p = step_at(workflow, "p");

    ck_assert_int_eq(p->join.accept->refs[0].root, EXPR_ROOT_OUTPUT);
    ck_assert_ptr_eq(p->exprs, p->join.accept);
    assert_deps(workflow, "q", "floor");
    workflow_unref(&workflow);
}
END_TEST

START_TEST(every_form_of_on_error_is_read)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  a: {reduce: 1, on_error: fail}\n"
        "  b: {reduce: 1, on_error: continue}\n"
        "  c: {reduce: 1, on_error: {default: null}}\n"
        "  d: {reduce: 1, on_error: {default: {x: \"${ .steps.a.output }\"}}}\n"
        "  e: {reduce: 1, on_error: {step: {parallel: {branches: {x: {reduce: \"${ .error.code "
        "}\"}}}}}}\n");

    ck_assert_int_eq(step_at(workflow, "a")->on_error, ON_ERROR_FAIL);
    ck_assert_int_eq(step_at(workflow, "b")->on_error, ON_ERROR_CONTINUE);
    ck_assert_int_eq(step_at(workflow, "c")->on_error, ON_ERROR_DEFAULT);
    ck_assert_str_eq(test_str(step_at(workflow, "c")->on_error_default->json), "null");
    assert_deps(workflow, "d", "a");
    ck_assert_int_eq(step_at(workflow, "e")->on_error, ON_ERROR_STEP);
    ck_assert_int_eq(step_at(workflow, "e.on_error.x")->exprs->refs[0].root, EXPR_ROOT_ERROR);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(what_may_change_something_is_not_sent_twice)
{
    struct workflow *workflow = test_workflow(
        "steps:\n"
        "  llm: {llm: {model: sim/echo, prompt: Hello}}\n"
        "  get: {http: {url: \"https://example.com\"}}\n"
        "  post: {http: {url: \"https://example.com\", body: \"\"}}\n"
        "  delete: {http: {url: \"https://example.com\", method: delete}}\n"
        "  again: {on_ambiguous: retry, http: {url: \"https://example.com\", json: null}}\n"
        "  once: {on_ambiguous: fail, http: {url: \"https://example.com\"}}\n"
        "  reduce: {reduce: 1}\n");

    ck_assert_int_eq(step_at(workflow, "llm")->on_ambiguous, ON_AMBIGUOUS_RETRY);
    ck_assert_int_eq(step_at(workflow, "get")->on_ambiguous, ON_AMBIGUOUS_RETRY);
    ck_assert_int_eq(step_at(workflow, "post")->on_ambiguous, ON_AMBIGUOUS_FAIL);
    ck_assert_int_eq(step_at(workflow, "delete")->on_ambiguous, ON_AMBIGUOUS_FAIL);
    ck_assert_int_eq(step_at(workflow, "again")->on_ambiguous, ON_AMBIGUOUS_RETRY);
    ck_assert_int_eq(step_at(workflow, "once")->on_ambiguous, ON_AMBIGUOUS_FAIL);
    ck_assert_int_eq(step_at(workflow, "reduce")->on_ambiguous, ON_AMBIGUOUS_RETRY);
    ck_assert_str_eq(test_str(step_at(workflow, "get")->config.http->method), "GET");
    ck_assert_str_eq(test_str(step_at(workflow, "post")->config.http->method), "POST");
    ck_assert_str_eq(test_str(step_at(workflow, "delete")->config.http->method), "DELETE");
    workflow_unref(&workflow);
}
END_TEST

/* ---- kinds ---- */

START_TEST(an_llm_step_keeps_numbers_as_written)
{
    struct workflow *workflow = test_workflow(
        "{\"steps\": {\"a\": {\"llm\": {\"model\": \"sim/echo\", \"messages\": [{\"role\": "
        "\"user\", "
        "\"content\": [{\"type\": \"text\", \"text\": \"Hello\"}]}], \"temperature\": 0.30, "
        "\"max_tokens\": 5, \"seed\": 9007199254740993, \"stop\": [\"a\", \"b\\n\"], "
        "\"extra\": {\"top_p\": 1}}}, "
        "\"b\": {\"llm\": {\"model\": \"sim/echo\", \"prompt\": \"x\", \"stop\": \"END\", "
        "\"messages\": \"${ .input.history }\"}}}}");
    const struct llm_config *a = step_at(workflow, "a")->config.llm;
    const struct llm_config *b = step_at(workflow, "b")->config.llm;

    ck_assert_str_eq(test_str(a->temperature), "0.30");
    ck_assert_int_eq(a->max_tokens, 5);
    ck_assert_str_eq(test_str(a->seed), "9007199254740993");
    ck_assert_str_eq(test_str(a->stop), "[\"a\",\"b\\n\"]");
    ck_assert_ptr_nonnull(a->extra);
    ck_assert_ptr_null(a->prompt);
    ck_assert_str_eq(test_str(b->stop), "[\"END\"]");
    ck_assert_int_eq(b->messages->kind, TEMPLATE_EXPR);
    ck_assert_uint_eq(b->temperature.len + b->seed.len, 0);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(an_http_step_knows_which_statuses_it_expects)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a:\n"
                      "    http:\n"
                      "      url: \"${ .input.base }/x\"\n"
                      "      headers: {accept: text/plain, x-n: 5}\n"
                      "      query: {q: \"${ .input.q }\", page: null}\n"
                      "      expect: [2xx, 404, \"500-503\"]\n"
                      "  b: {http: {url: \"HTTP://127.0.0.1:8080/a?b=${ .input.b }\"}}\n");
    const struct http_config *a = step_at(workflow, "a")->config.http;
    const struct http_config *b = step_at(workflow, "b")->config.http;

    ck_assert_uint_eq(a->n_expect, 3);
    ck_assert_uint_eq(a->expect[0].low, 200);
    ck_assert_uint_eq(a->expect[0].high, 299);
    ck_assert_uint_eq(a->expect[1].low, 404);
    ck_assert_uint_eq(a->expect[1].high, 404);
    ck_assert_uint_eq(a->expect[2].low, 500);
    ck_assert_uint_eq(a->expect[2].high, 503);
    ck_assert_uint_eq(a->n_headers, 2);
    ck_assert_str_eq(test_str(a->headers[1].name), "x-n");
    ck_assert_uint_eq(a->n_query, 2);
    ck_assert_uint_eq(b->n_expect, 1);
    ck_assert_uint_eq(b->expect[0].high, 299);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reduce_is_any_value_or_a_list_with_a_word)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  a: {reduce: {from: \"${ .input.list }\", with: unique}}\n"
                      "  b: {reduce: {from: [1, 2], with: sum}}\n"
                      "  c: {reduce: {from: Berlin, to: Paris}}\n"
                      "  d: {reduce: null}\n");

    ck_assert_int_eq(step_at(workflow, "a")->config.reduce->with, REDUCE_UNIQUE);
    ck_assert_int_eq(step_at(workflow, "b")->config.reduce->with, REDUCE_SUM);
    ck_assert_int_eq(step_at(workflow, "c")->config.reduce->with, REDUCE_VALUE);
    ck_assert_str_eq(test_str(step_at(workflow, "c")->config.reduce->from->json),
                     "{\"from\":\"Berlin\",\"to\":\"Paris\"}");
    ck_assert_int_eq(step_at(workflow, "d")->config.reduce->with, REDUCE_VALUE);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(an_empty_parallel_is_allowed)
{
    struct workflow *workflow =
        test_workflow("steps: {p: {join: any, parallel: {branches: {}}}}\n");

    ck_assert_uint_eq(step_at(workflow, "p")->n_children, 0);
    workflow_unref(&workflow);
}
END_TEST

/* ---- the whole ---- */

START_TEST(the_same_content_has_the_same_text_and_hash_in_yaml_and_json)
{
    struct workflow *yaml = test_workflow("# A comment.\n"
                                          "name: same\n"
                                          "steps:\n"
                                          "  a: {reduce: [1, 0x10, yes, ~]}\n");
    struct workflow *json = test_workflow(
        "{ \"name\": \"same\", \"steps\": {\"a\": {\"reduce\": [1, 16, \"yes\", null]}} }");
    struct workflow *other = test_workflow("name: same\nsteps: {a: {reduce: 2}}\n");

    ck_assert_str_eq(test_str(yaml->text),
                     "{\"name\":\"same\",\"steps\":{\"a\":{\"reduce\":[1,16,\"yes\",null]}}}");
    ck_assert_str_eq(test_str(json->text), test_str(yaml->text));
    ck_assert_str_eq(json->hash, yaml->hash);
    ck_assert_str_eq(yaml->hash,
                     "90c8cdb505fc28357511e92da8594fb149bad9a6af4d920c5061cccc2c397671");
    ck_assert_str_ne(other->hash, yaml->hash);
    workflow_unref(&yaml);
    workflow_unref(&json);
    workflow_unref(&other);
}
END_TEST

START_TEST(a_reference_keeps_a_workflow_alive)
{
    struct workflow *workflow = test_workflow("steps: {a: {reduce: 1}}\n");
    struct workflow *second = workflow_ref(workflow);

    workflow_unref(&workflow);
    ck_assert_ptr_null(workflow);
    ck_assert_uint_eq(second->n_steps, 1);
    workflow_unref(&second);
    workflow_unref(&second);
    ck_assert_ptr_null(workflow_ref(NULL));
}
END_TEST

START_TEST(a_long_circle_is_told_once_and_shortened)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 22);
    pl_buf_text(&text, "steps:\n");
    for (int i = 0; i < 20000; i++)
        pl_buf_printf(&text, "  s%d: {needs: [s%d], reduce: 1}\n", i, (i + 1) % 20000);
    const char *problems = test_workflow_problems(test_text(&text));
    ck_assert_ptr_nonnull(strstr(problems, "s0 -> s1 -> s2 -> "));
    ck_assert_ptr_nonnull(strstr(problems, "(19984 more) -> s0; remove"));
    ck_assert_ptr_eq(strchr(problems, '\n') + 1, problems + strlen(problems));
    pl_buf_finish(&text);
}
END_TEST

/* Reads ten thousand branches that all refer to one step, in less time than anything quadratic
 * would take. */
START_TEST(ten_thousand_branches_compile_quickly)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 23);
    pl_buf_text(&text, "defaults: {model: sim/echo}\n"
                       "steps:\n"
                       "  topic: {llm: {prompt: Hello}}\n"
                       "  wide:\n"
                       "    join: settled\n"
                       "    parallel:\n"
                       "      branches:\n");
    for (int i = 0; i < 10000; i++)
        pl_buf_printf(&text, "        b%d: {llm: {prompt: \"${ .steps.topic.output } %d\"}}\n", i,
                      i);
    pl_buf_text(&text, "  end: {reduce: \"${ .steps.wide.output }\"}\n");
    int64_t begin = pl_monotonic_us();
    struct workflow *workflow = test_workflow(test_text(&text));
    int64_t took = pl_monotonic_us() - begin;
    ck_assert_uint_eq(workflow->n_steps, 10003);
    ck_assert_uint_eq(step_at(workflow, "topic")->n_dependents, 10000);
    ck_assert_str_eq(test_step_at(workflow, "wide.b9999")->id.ptr, "b9999");
    (void)printf("10,000 branches: %lld ms, %zu KiB\n", (long long)(took / 1000),
                 pl_arena_bytes(workflow->arena) / 1024);
    ck_assert_int_lt(took, 5000000); /* generous: sanitizers and a busy machine */
    workflow_unref(&workflow);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(more_steps_than_the_limit_are_refused_once)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 23);
    pl_buf_text(&text, "steps:\n");
    for (int i = 0; i < 100010; i++)
        pl_buf_printf(&text, "  s%d: {reduce: 1}\n", i);
    ck_assert_str_eq(test_workflow_problems(test_text(&text)),
                     "100002:3 /steps/s100000: a workflow has at most 100000 steps; make it "
                     "smaller\n");
    pl_buf_finish(&text);
}
END_TEST

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && strcmp(dot, ".yaml") == 0;
}

/* Examples call each other by name: the file beside them. */
static bool find_example(void *arg, struct pl_str name, struct pl_arena *arena,
                         struct pl_str *ret_text, enum doc_format *ret_format, int64_t *ret_version,
                         struct pl_err *err)
{
    char path[512];

    (void)arg, (void)err;
    (void)snprintf(path, sizeof(path), "examples/%.*s.yaml", PL_STR_ARG(name));
    char *text = test_read_file(path, NULL);
    ck_assert_ptr_nonnull(text);
    *ret_text = pl_arena_str(arena, pl_str(text));
    *ret_format = DOC_YAML;
    *ret_version = 0;
    free(text);
    return true;
}

START_TEST(every_example_is_valid)
{
    const struct workflow_env env = {.find_workflow = find_example};
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    struct workflow *workflow;
    struct dirent **entries = NULL;
    int count = scandir("examples", &entries, is_yaml, alphasort);

    ck_assert_int_ge(count, 5);
    for (int i = 0; i < count; i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), "examples/%s", entries[i]->d_name);
        char *text = test_read_file(path, NULL);
        ck_assert_ptr_nonnull(text);
        doc_problems_init(&problems, arena);
        ck_assert_int_eq(workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems),
                         PL_OK);
        const char *name = test_str(workflow->name);
        ck_assert(strncmp(entries[i]->d_name, name, strlen(name)) == 0);
        workflow_unref(&workflow);
        free(text);
        free(entries[i]);
    }
    free(entries);
    pl_arena_destroy(&arena);
}
END_TEST

static void add_shape(Suite *suite)
{
    TCase *tcase = tcase_create("shape");

    tcase_add_test(tcase, steps_are_numbered_as_written_with_their_paths);
    tcase_add_test(tcase, children_parents_and_handlers_know_each_other);
    tcase_add_test(tcase, a_step_depends_on_what_its_own_expressions_and_needs_name);
    tcase_add_test(tcase, every_expression_of_a_step_has_its_step);
    tcase_add_test(tcase, what_a_handler_reads_is_complete_before_its_step_starts);
    tcase_add_test(tcase, several_steps_nothing_depends_on_are_all_sinks);
    tcase_add_test(tcase, cousins_may_share_names);
    suite_add_tcase(suite, tcase);
}

static void add_keys(Suite *suite)
{
    TCase *tcase = tcase_create("keys");

    tcase_add_test(tcase, without_a_word_a_step_has_the_built_in_policies);
    tcase_add_test(tcase, defaults_reach_calls_and_a_step_overrides_them_key_by_key);
    tcase_add_test(tcase, a_join_is_a_word_or_an_object);
    tcase_add_test(tcase, accept_sees_the_output_and_may_wait_for_a_step);
    tcase_add_test(tcase, every_form_of_on_error_is_read);
    tcase_add_test(tcase, what_may_change_something_is_not_sent_twice);
    tcase_add_test(tcase, an_llm_step_keeps_numbers_as_written);
    tcase_add_test(tcase, an_http_step_knows_which_statuses_it_expects);
    tcase_add_test(tcase, a_reduce_is_any_value_or_a_list_with_a_word);
    tcase_add_test(tcase, an_empty_parallel_is_allowed);
    suite_add_tcase(suite, tcase);
}

static void add_whole(Suite *suite)
{
    TCase *tcase = tcase_create("whole");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_same_content_has_the_same_text_and_hash_in_yaml_and_json);
    tcase_add_test(tcase, a_reference_keeps_a_workflow_alive);
    tcase_add_test(tcase, a_long_circle_is_told_once_and_shortened);
    tcase_add_test(tcase, ten_thousand_branches_compile_quickly);
    tcase_add_test(tcase, more_steps_than_the_limit_are_refused_once);
    tcase_add_test(tcase, every_example_is_valid);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("service/workflow");
    SRunner *runner;
    int failed;

    add_shape(suite);
    add_keys(suite);
    add_whole(suite);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
