/* test_workflow_children.c - workflows that call others by name: found, pinned, read again without
 * asking anybody, kept as long as needed. Run by ctest. */
#include "service/workflow/workflow_cache.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* A world of stored workflows. */
struct stored {
    const char *name;
    int64_t version;
    const char *text;
};

struct world {
    const struct stored *stored;
    unsigned asked; /* how often */
};

static bool find_workflow(void *arg, struct pl_str name, struct pl_arena *arena,
                          struct pl_str *ret_text, enum doc_format *ret_format,
                          int64_t *ret_version, struct pl_err *err)
{
    struct world *world = arg;
    const struct stored *found = NULL;
    char reference[128];

    world->asked++;
    for (const struct stored *at = world->stored; at->name; at++) {
        (void)snprintf(reference, sizeof(reference), "%s@%lld", at->name, (long long)at->version);
        if (pl_str_is(name, reference) ||
            (pl_str_is(name, at->name) && (!found || at->version > found->version)))
            found = at;
    }
    if (!found) {
        (void)pl_err_set(err, PL_ERR_NOT_FOUND, "there is no workflow '%.*s'; store it first",
                         PL_STR_ARG(name));
        return false;
    }
    *ret_text = pl_arena_str(arena, pl_str(found->text));
    *ret_format = DOC_AUTO;
    *ret_version = found->version;
    return true;
}

/* Compiles in a world; the problems as lines in static memory, "" when it is valid. */
static const char *compile(const char *text, struct world *world, struct workflow **ret)
{
    static char lines[8192];
    const struct workflow_env env = {.arg = world, .find_workflow = find_workflow};
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    size_t used = 0;

    doc_problems_init(&problems, arena);
    lines[0] = '\0';
    *ret = NULL;
    enum pl_code code = workflow_compile(pl_str(text), DOC_AUTO, &env, ret, &problems);
    ck_assert_int_eq(code == PL_OK, problems.count == 0);
    for (size_t i = 0; i < problems.count; i++)
        used += (size_t)snprintf(lines + used, sizeof(lines) - used, "%s: %s\n",
                                 problems.items[i].pointer, problems.items[i].message);
    pl_arena_destroy(&arena);
    return lines;
}

static struct workflow *must_compile(const char *text, struct world *world)
{
    struct workflow *workflow;

    ck_assert_str_eq(compile(text, world, &workflow), "");
    return workflow;
}

/* Reads the pinned text again, in a world without any stored workflow. */
static struct workflow *again(const struct workflow *workflow)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *copy = NULL;
    struct doc_problems problems;

    doc_problems_init(&problems, arena);
    enum pl_code code = workflow_compile(workflow->text, DOC_JSON, NULL, &copy, &problems);
    ck_assert_msg(code == PL_OK, "%s", problems.count ? problems.items[0].message : "");
    ck_assert_str_eq(test_str(copy->text), test_str(workflow->text));
    ck_assert_str_eq(copy->hash, workflow->hash);
    ck_assert_uint_eq(copy->n_steps, workflow->n_steps);
    ck_assert_uint_eq(copy->n_children, workflow->n_children);
    pl_arena_destroy(&arena);
    return copy;
}

static const struct stored shelf[] = {
    {"greet", 1, "{steps: {old: {reduce: 1}}}"},
    {"greet", 3,
     "{input: {type: object, required: [who], properties: {who: {type: string}}}, steps: {hi: "
     "{reduce: \"${ .input.who }\"}, more: {workflow: {name: shout, input: {text: x}}}}}"},
    {"shout", 0, "{steps: {up: {map: {over: [1], do: {reduce: \"${ .input.text }\"}}}}}"},
    {"a", 1, "{steps: {x: {workflow: {name: b}}}}"},
    {"b", 2, "{steps: {x: {workflow: {name: c}}}}"},
    {"c", 1, "{steps: {x: {workflow: {name: a}}}}"},
    {"self", 1, "{steps: {x: {workflow: {name: self}}}}"},
    {"broken", 1, "{steps: {x: {reduce: \"${ .inptu }\"}, y: {}}}"},
    {"unreadable", 1, "{steps: ["},
    {NULL, 0, NULL},
};

static const char *const caller =
    "steps:\n"
    "  one: {workflow: {name: greet, input: {who: \"${ .input.who }\"}}}\n"
    "  two: {workflow: {name: shout, input: {text: y}}}\n"
    "  three: {map: {over: [1], do: {workflow: {name: greet@1}}}}\n"
    "  four: {workflow: {name: greet@3, input: {who: you}}}\n";

START_TEST(a_child_is_found_once_and_its_root_is_the_body)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow = must_compile(caller, &world);
    const struct step_def *one = workflow_find(workflow, PL_STR("one"));
    const struct workflow *child = one->config.workflow->child;

    ck_assert_uint_eq(world.asked, 3); /* greet, shout, greet@1 */
    ck_assert_uint_eq(workflow->n_children, 3);
    ck_assert_str_eq(test_str(one->config.workflow->name), "greet@3");
    ck_assert_ptr_eq(one->bodies[0], child->root);
    ck_assert_ptr_null(child->root->owner);
    ck_assert_int_eq(child->root->role, BODY_ROOT);
    ck_assert_ptr_eq(workflow_find(workflow, PL_STR("four"))->config.workflow->child, child);
    ck_assert_ptr_eq(workflow_find(workflow, PL_STR("two"))->config.workflow->child,
                     child->children[0]);
    ck_assert_uint_eq(workflow->n_bodies, 2); /* its own only */
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_path_goes_through_workflows_called_by_name)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow = must_compile(caller, &world);
    const struct step_def *step = workflow_find(workflow, PL_STR("one.more.up.7"));

    ck_assert_ptr_nonnull(step);
    ck_assert_str_eq(step->path.ptr, "up.*");
    ck_assert_str_eq(workflow_find(workflow, PL_STR("three.5.old"))->path.ptr, "old");
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("one.old")));
    ck_assert_ptr_null(workflow_find(workflow, PL_STR("one.")));
    workflow_unref(&workflow);
}
END_TEST

START_TEST(the_pinned_text_carries_every_child_with_its_version)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow =
        must_compile("steps: {x: {workflow: {name: greet, input: {who: a}}}}", &world);

    ck_assert_str_eq(
        test_str(workflow->text),
        "{\"workflow\":{\"steps\":{\"x\":{\"workflow\":{\"name\":\"greet@3\",\"input\":{\"who\":"
        "\"a\"}}}}},\"children\":{\"shout\":{\"steps\":{\"up\":{\"map\":{\"over\":[1],\"do\":{"
        "\"reduce\":\"${ .input.text }\"}}}}},\"greet@3\":{\"input\":{\"type\":\"object\","
        "\"required\":[\"who\"],\"properties\":{\"who\":{\"type\":\"string\"}}},\"steps\":{\"hi\":{"
        "\"reduce\":\"${ .input.who }\"},\"more\":{\"workflow\":{\"name\":\"shout\",\"input\":{"
        "\"text\":\"x\"}}}}}}}");
    ck_assert_str_eq(test_str(workflow->source),
                     "{\"steps\":{\"x\":{\"workflow\":{\"name\":\"greet\",\"input\":{\"who\":\"a\"}"
                     "}}}}");
    ck_assert_str_ne(workflow->hash, workflow->source_hash);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_pinned_text_is_read_again_without_asking_anybody)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow = must_compile(caller, &world), *copy = again(workflow);
    unsigned asked = world.asked;
    struct workflow *third = must_compile(test_str(workflow->text), &world);

    ck_assert_uint_eq(world.asked, asked);
    ck_assert_ptr_nonnull(workflow_find(copy, PL_STR("one.more.up.7")));
    workflow_unref(&third);
    workflow_unref(&workflow);
    ck_assert_ptr_nonnull(workflow_find(copy, PL_STR("three.5.old")));
    workflow_unref(&copy);
}
END_TEST

START_TEST(without_children_text_and_source_are_one)
{
    struct workflow *workflow = test_workflow("steps: {a: {reduce: 1}}");

    ck_assert_ptr_eq(workflow->text.ptr, workflow->source.ptr);
    ck_assert_str_eq(workflow->hash, workflow->source_hash);
    ck_assert_uint_eq(workflow->n_children, 0);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_child_lives_as_long_as_somebody_holds_it)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow = must_compile(caller, &world);
    struct workflow *child = workflow_ref(workflow->children[0]);

    workflow_unref(&workflow);
    ck_assert_ptr_nonnull(workflow_find(child, PL_STR("hi")));
    workflow_unref(&child);
}
END_TEST

/* ---- refused ---- */

static void refused(const char *text, const char *expected)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow;

    ck_assert_str_eq(compile(text, &world, &workflow), expected);
    ck_assert_ptr_null(workflow);
}

START_TEST(workflows_that_call_each_other_in_a_circle_are_refused)
{
    refused("steps: {s: {workflow: {name: self}}}",
            "/steps/s/workflow/name: the workflow 'self' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'self' cannot be called: workflows call each "
            "other in a circle: self@1 -> self@1\n");
    refused("steps: {s: {workflow: {name: a}}}",
            "/steps/s/workflow/name: the workflow 'a' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'b' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'c' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'a' cannot be called: workflows call each other "
            "in a circle: a@1 -> b@2 -> c@1 -> a@1\n");
    /* this very text is what is stored */
    refused(shelf[6].text,
            "/steps/x/workflow/name: the workflow 'self' cannot be called: workflows call each "
            "other in a circle: self@1 -> self@1\n");
    refused(shelf[4].text,
            "/steps/x/workflow/name: the workflow 'c' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'a' cannot be called: it is not valid: "
            "/steps/x/workflow/name: the workflow 'b' cannot be called: workflows call each other "
            "in a circle: b@2 -> c@1 -> a@1 -> b@2\n");
}
END_TEST

START_TEST(a_workflow_may_call_another_one_that_has_its_name)
{
    struct world world = {.stored = shelf};
    struct workflow *direct = must_compile(
        "{name: shout, steps: {s: {workflow: {name: shout, input: {text: x}}}}}", &world);
    struct workflow *deeper = must_compile(
        "{name: shout, steps: {s: {workflow: {name: greet, input: {who: x}}}}}", &world);
    struct workflow *copy = again(direct);

    ck_assert_ptr_nonnull(workflow_find(direct, PL_STR("s.up.0")));
    ck_assert_ptr_nonnull(workflow_find(deeper, PL_STR("s.more.up.0")));
    workflow_unref(&copy);
    workflow_unref(&deeper);
    workflow_unref(&direct);
    refused("{name: me, steps: {s: {workflow: {name: me}}}}",
            "/steps/s/workflow/name: the workflow 'me' cannot be called: there is no workflow "
            "'me'; store it first\n");
}
END_TEST

START_TEST(a_child_that_is_missing_or_wrong_is_told_where_it_is_named)
{
    refused("steps: {s: {workflow: {name: nowhere}}, t: {workflow: {name: greet@2}}}",
            "/steps/s/workflow/name: the workflow 'nowhere' cannot be called: there is no workflow "
            "'nowhere'; store it first\n"
            "/steps/t/workflow/name: the workflow 'greet@2' cannot be called: there is no workflow "
            "'greet@2'; store it first\n");
    refused("steps: {s: {workflow: {name: broken}}}",
            "/steps/s/workflow/name: the workflow 'broken' cannot be called: it is not valid: "
            "/steps/x/reduce: in expression '.inptu', .inptu is unknown; did you mean .input?\n");
    refused("{\"children\": {}, \"workflow\": {\"steps\": {\"s\": {\"workflow\": {\"name\": "
            "\"x@1\"}}}}}",
            "/workflow/steps/s/workflow/name: the workflow 'x@1' cannot be called: there is no "
            "workflow 'x@1'; store it first\n");
}
END_TEST

START_TEST(a_constant_input_is_held_against_the_childs_schema)
{
    refused("steps: {a: {workflow: {name: greet}}, b: {workflow: {name: greet, input: {who: 1}}}, "
            "c: {workflow: {name: greet, input: {who: \"${ .input.x }\"}}}}",
            "/steps/a/workflow/name: the workflow 'greet@3' does not take this input: the property "
            "'who' is required, but missing\n"
            "/steps/b/workflow/input: the workflow 'greet@3' does not take this input: who: "
            "expected a string, got the number 1\n");
}
END_TEST

START_TEST(a_step_of_a_child_cannot_take_the_path_of_a_handler)
{
    static const struct stored stored[] = {{"x", 1, "{steps: {on_error: {reduce: 1}}}"},
                                           {NULL, 0, NULL}};
    struct world world = {.stored = stored};
    struct workflow *workflow;

    ck_assert_ptr_nonnull(
        strstr(compile("steps: {s: {workflow: {name: x}, on_error: {step: {reduce: 2}}}}", &world,
                       &workflow),
               "has a step 'on_error'"));
}
END_TEST

START_TEST(workflows_call_each_other_sixteen_deep_and_no_deeper)
{
    struct stored stored[20];
    char texts[20][128], names[20][16];
    struct world world = {.stored = stored};
    struct workflow *workflow;

    for (unsigned depth = 16; depth <= 17; depth++) {
        for (unsigned i = 0; i < depth; i++) {
            (void)snprintf(names[i], sizeof(names[i]), "w%u", i);
            (void)snprintf(texts[i], sizeof(texts[i]),
                           i + 1 < depth ? "{steps: {x: {workflow: {name: w%u}}}}"
                                         : "{steps: {x: {reduce: %u}}}",
                           i + 1);
            stored[i] = (struct stored){names[i], 1, texts[i]};
        }
        stored[depth] = (struct stored){NULL, 0, NULL};
        const char *lines = compile("steps: {x: {workflow: {name: w0}}}", &world, &workflow);
        if (depth == 16)
            ck_assert_str_eq(lines, "");
        else
            ck_assert_ptr_nonnull(strstr(lines, "at most 16 deep"));
        workflow_unref(&workflow);
    }
}
END_TEST

START_TEST(many_ways_to_one_child_cost_one_compilation)
{
    struct stored stored[17];
    char texts[17][256], names[17][16];
    struct world world = {.stored = stored};
    struct workflow *workflow;

    for (unsigned i = 0; i < 16; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "w%u", i);
        (void)snprintf(texts[i], sizeof(texts[i]),
                       i < 15 ? "{steps: {x: {workflow: {name: w%u}}, y: {workflow: {name: w%u}}, "
                                "z: {workflow: {name: w%u}}}}"
                              : "{steps: {x: {reduce: 1}}}",
                       i + 1, i + 1, i + 1);
        stored[i] = (struct stored){names[i], 1, texts[i]};
    }
    stored[16] = (struct stored){NULL, 0, NULL};
    workflow = must_compile("steps: {x: {workflow: {name: w0}}}", &world);
    ck_assert_uint_eq(world.asked, 16);
    struct workflow *copy = again(workflow);
    workflow_unref(&copy);
    workflow_unref(&workflow);
}
END_TEST

/* ---- one model for all, the cache ---- */

START_TEST(one_model_for_all_reaches_every_body_and_every_child)
{
    static const struct stored stored[] = {
        {"child", 1, "{steps: {c: {llm: {model: openai/x, prompt: hi, fallback: [openai/y]}}}}"},
        {NULL, 0, NULL}};
    struct world world = {.stored = stored};
    const struct workflow_env env = {
        .arg = &world, .find_workflow = find_workflow, .model = PL_STR("sim/echo")};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    const char *text =
        "defaults: {model: openai/d}\n"
        "steps:\n"
        "  m: {map: {over: [1], do: {llm: {model: openai/1, prompt: x}}, collapse: {do: {llm: "
        "{model: openai/2, prompt: x}}}}}\n"
        "  v: {vote: {of: {llm: {model: openai/3, prompt: x}}, samples: 2, method: judge, judge: "
        "{llm: {model: openai/4, prompt: x}}}}\n"
        "  w: {vote: {among: {a: {llm: {model: openai/5, prompt: x}}}, method: best_of, score: "
        "{llm: {model: openai/6, prompt: x}}}}\n"
        "  r: {repeat: {max: 1, steps: {x: {llm: {model: openai/7, prompt: x}}}}}\n"
        "  i: {workflow: {steps: {y: {llm: {model: openai/8, prompt: x}}}}}\n"
        "  g: {agent: {model: openai/9, prompt: x, tools: {t: {do: {llm: {model: openai/10, "
        "prompt: x}}}}, fallback: [openai/11]}}\n"
        "  n: {workflow: {name: child}}\n";

    doc_problems_init(&problems, arena);
    ck_assert_int_eq(workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems), PL_OK);
    ck_assert_ptr_null(strstr(test_str(workflow->text), "openai"));
    for (size_t i = 0; i < workflow->n_steps; i++)
        if (workflow->steps[i]->kind == STEP_LLM) {
            ck_assert_str_eq(test_str(workflow->steps[i]->config.llm->model), "sim/echo");
            ck_assert_uint_eq(workflow->steps[i]->config.llm->n_fallback, 0);
        }
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_text_that_calls_others_is_not_kept_under_its_own_words)
{
    struct world world = {.stored = shelf};
    struct workflow *workflow = must_compile(caller, &world), *kept;
    struct workflow_cache *cache = workflow_cache_create();

    workflow_cache_put(cache, PL_STR("y:text"), workflow);
    ck_assert_ptr_null(workflow_cache_get(cache, PL_STR("y:text")));
    workflow_cache_put(cache, pl_str(workflow->source_hash), workflow);
    ck_assert_ptr_null(workflow_cache_get(cache, pl_str(workflow->source_hash)));
    workflow_cache_put(cache, pl_str(workflow->hash), workflow);
    kept = workflow_cache_get(cache, pl_str(workflow->hash));
    ck_assert_ptr_eq(kept, workflow);
    workflow_unref(&kept);
    workflow_unref(&workflow);
    workflow_cache_destroy(&cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_children");
    TCase *tcase = tcase_create("children");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, a_child_is_found_once_and_its_root_is_the_body);
    tcase_add_test(tcase, a_path_goes_through_workflows_called_by_name);
    tcase_add_test(tcase, the_pinned_text_carries_every_child_with_its_version);
    tcase_add_test(tcase, a_pinned_text_is_read_again_without_asking_anybody);
    tcase_add_test(tcase, without_children_text_and_source_are_one);
    tcase_add_test(tcase, a_child_lives_as_long_as_somebody_holds_it);
    tcase_add_test(tcase, workflows_that_call_each_other_in_a_circle_are_refused);
    tcase_add_test(tcase, a_workflow_may_call_another_one_that_has_its_name);
    tcase_add_test(tcase, a_child_that_is_missing_or_wrong_is_told_where_it_is_named);
    tcase_add_test(tcase, a_constant_input_is_held_against_the_childs_schema);
    tcase_add_test(tcase, a_step_of_a_child_cannot_take_the_path_of_a_handler);
    tcase_add_test(tcase, workflows_call_each_other_sixteen_deep_and_no_deeper);
    tcase_add_test(tcase, many_ways_to_one_child_cost_one_compilation);
    tcase_add_test(tcase, one_model_for_all_reaches_every_body_and_every_child);
    tcase_add_test(tcase, a_text_that_calls_others_is_not_kept_under_its_own_words);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
