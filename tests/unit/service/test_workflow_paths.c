/* test_workflow_paths.c - what a check says of paths that lead to nothing and of `{{ }}`, and that
 * it says nothing of others. Run by ctest. */
#include "base/limits.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static void append(struct pl_buf *out, const char *word, const struct doc_problems *list)
{
    for (size_t i = 0; i < list->count; i++)
        pl_buf_printf(out, "%s%s: %s\n", word, list->items[i].pointer, list->items[i].message);
}

/* What is said of the text, a line each, warnings with "warning " before them; good until the next
 * call. */
static const char *said_of(const char *text, bool advise)
{
    static char lines[8192];
    const struct workflow_env env = {.model_ok = test_model_ok, .advise = advise};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems, warnings;
    enum pl_code code;
    struct pl_buf out;

    doc_problems_init(&problems, arena);
    doc_problems_init(&warnings, arena);
    problems.warnings = &warnings;
    pl_buf_init(&out, sizeof(lines) - 1);
    code = workflow_compile(pl_str(text), DOC_YAML, &env, &workflow, &problems);
    ck_assert((code == PL_OK) == (problems.total == 0));
    if (workflow)
        ck_assert_uint_eq(workflow->warnings.count, warnings.count);
    append(&out, "", &problems);
    append(&out, "warning ", &warnings);
    (void)snprintf(lines, sizeof(lines), "%s", test_text(&out));
    pl_buf_finish(&out);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    return lines;
}

/* A workflow whose one step of interest is `value`, a reduce. */
static const char *around(const char *top, const char *steps, const char *value)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "defaults: {model: sim/echo}\n%s\nsteps:\n  z: {reduce: \"${ %s }\"}\n%s\n", top,
                   value, steps);
    return text;
}

struct found {
    const char *path, *says; /* behind the expression */
};

static void expect(const char *top, const char *steps, const struct found *cases, size_t n)
{
    char expected[1024];

    for (size_t i = 0; i < n; i++) {
        bool warning = cases[i].says[0] == '~';

        expected[0] = '\0';
        if (cases[i].says[0])
            (void)snprintf(expected, sizeof(expected),
                           "%s/steps/z/reduce: in expression '%s', %s\n", warning ? "warning " : "",
                           cases[i].path, cases[i].says + warning);
        ck_assert_str_eq(said_of(around(top, steps, cases[i].path), true), expected);
    }
}

START_TEST(a_member_that_the_schema_of_the_input_forbids_is_an_error)
{
    static const struct found cases[] = {
        {".input.city", ""},
        {".input.city?", ""},
        {".input", ""},
        {".input.stops[0].name", ""},
        {".input.stops[-1][\\\"name\\\"]", ""},
        {".input.ctiy", ".input has no member 'ctiy'; did you mean 'city'?"},
        {".input.ctiy?.x", ".input has no member 'ctiy'; did you mean 'city'?"},
        {"$input.ctiy", ".input has no member 'ctiy'; did you mean 'city'?"},
        {".input.population", ".input has no member 'population' (there is city, stops)"},
        {".input.stops[0].nmae", ".input.stops[0] has no member 'nmae'; did you mean 'name'?"},
        {".input.ctiy | length", ""},
    };

    expect("input: {additionalProperties: false, properties: {city: {type: string}, stops: {items: "
           "{additionalProperties: false, properties: {name: {}}}}}}",
           "", cases, PL_ARRAY_LEN(cases) - 1);
    /* inside a jq program nothing is compared */
    ck_assert_str_eq(said_of(around("input: {additionalProperties: false}", "",
                                    cases[PL_ARRAY_LEN(cases) - 1].path),
                             true),
                     "");
}
END_TEST

START_TEST(beside_the_properties_of_an_open_schema_only_a_slip_is_warned_of)
{
    static const struct found cases[] = {
        {".input.city", ""},
        {".input.country", ""},
        {".input.ctiy", "~the schema of .input has no property 'ctiy'; did you mean 'city'?"},
        {".input.City", "~the schema of .input has no property 'City'; did you mean 'city'?"},
        {".input.line2", ""},
        {".input.in", ""},
        {".input.destinaton",
         "~the schema of .input has no property 'destinaton'; did you mean 'destination'?"},
    };

    expect("input: {properties: {city: {}, line1: {}, id: {}, destination: {}}}", "", cases,
           PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(what_the_parts_of_a_step_have_is_known)
{
    static const struct found cases[] = {
        {".steps.a.usage.output_tokens", ""},
        {".steps.a.usage.reasoning_tokens", ""},
        {".steps.a.usage.cost_usd", ""},
        {".steps.a.error.cause.detail", ""},
        {".steps.a.error.message", ""},
        {".steps.v.join.tally[0].key", ""},
        {".steps.v.join.warm_up.waited_ms", ""},
        {".steps.a.usage.output_tokns",
         ".steps.a.usage has no member 'output_tokns'; did you mean 'output_tokens'?"},
        {".steps.a.usage.completion_tokens",
         ".steps.a.usage has no member 'completion_tokens'; did you mean 'output_tokens'?"},
        {".steps.a.error.msg", ".steps.a.error has no member 'msg'; did you mean 'detail'?"},
        {".steps.a.error.cause.kode",
         ".steps.a.error.cause has no member 'kode'; did you mean 'code'?"},
        {".steps.v.join.taly", ".steps.v.join has no member 'taly'; did you mean 'tally'?"},
        {".steps.v.join.succeeded",
         ".steps.v.join has no member 'succeeded'; did you mean 'counted'?"},
        {".steps.h.output.status", ""},
        {".steps.h.output.body.anything", ""},
        {".steps.h.output.headers.etag", ""},
        {".steps.h.output.json", ".steps.h.output has no member 'json'; did you mean 'body'?"},
        {".steps.h.output.code", ".steps.h.output has no member 'code'; did you mean 'status'?"},
        {".steps.a.status.code", "~.steps.a.status is text and has no members"},
    };

    expect("",
           "  a: {llm: {prompt: x}}\n  v: {vote: {of: {reduce: 1}, samples: 3}}\n"
           "  h: {http: {url: \"https://a.example\"}}",
           cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(an_output_with_a_schema_has_what_it_says)
{
    static const struct found cases[] = {
        {".steps.l.output.score", ""},
        {".steps.l.output.scroe", ".steps.l.output has no member 'scroe'; did you mean 'score'?"},
        {".steps.g.output.scroe", ".steps.g.output has no member 'scroe'; did you mean 'score'?"},
        {".steps.p.output.scroe", ".steps.p.output has no member 'scroe'; did you mean 'score'?"},
        {".steps.o.output.scroe",
         "~the schema of .steps.o.output has no property 'scroe'; did you mean 'score'?"},
        {".steps.c.output.scroe", ".steps.c.output has no member 'scroe'; did you mean 'score'?"},
        {".steps.d.output.scroe", ""},
        {".steps.s.output.scroe", ""},
        {".steps.q.output.scroe", ""},
        {".steps.b.output.in.scroe",
         ".steps.b.output.in has no member 'scroe'; did you mean 'score'?"},
        {".steps.b.output.m", "~.steps.b.output has no member 'm' (there is in)"},
        {".steps.e.output.in.scroe", ""},
        {".steps.f.output.m", ""},
        {".steps.l.output[.input.at]", ""},
    };

    expect("schemas: {mark: {additionalProperties: false, properties: {score: {}}}}",
           "  l: {llm: {prompt: x, schema: mark}}\n"
           "  g: {agent: {prompt: x, schema: mark}}\n"
           "  p: {human: {ask: x, schema: mark}}\n"
           "  o: {llm: {prompt: x, schema: {properties: {score: {}}}}}\n"
           "  c: {llm: {prompt: x, schema: mark}, on_error: continue}\n"
           "  d: {llm: {prompt: x, schema: mark}, on_error: {default: {scroe: 1}}}\n"
           "  s: {llm: {prompt: x, schema: mark}, on_error: {step: {reduce: 1}}}\n"
           "  q: {human: {ask: x, schema: mark, timeout: 1s, on_timeout: {default: \"${ .input "
           "}\"}}}\n"
           "  b: {parallel: {branches: {in: {llm: {prompt: x, schema: mark}}}}}\n"
           "  e: {join: settled, parallel: {branches: {in: {llm: {prompt: x, schema: mark}}}}}\n"
           "  f: {join: any, parallel: {branches: {in: {llm: {prompt: x, schema: mark}}}}}\n",
           cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(an_output_that_the_document_writes_out_is_known_too)
{
    static const struct found cases[] = {
        {".steps.r.output.a.b", ""},
        {".steps.r.output.c.d.e", ""},
        {".steps.r.output.aa", "~.steps.r.output has no member 'aa'; did you mean 'a'?"},
        {".steps.r.output.a.x", "~.steps.r.output.a has no member 'x' (there is b)"},
        {".steps.k.output.y", "~.steps.k.output has no member 'y' (there is x)"},
        {".steps.w.output.two", "~.steps.w.output has no member 'two' (there is one)"},
        {".steps.t.output.q", "~.steps.t.output has no member 'q' (there is u, v)"},
        {".steps.i.output.q", "~.steps.i.output has no member 'q' (there is u, v)"},
        {".steps.m.output.x",
         "~.steps.m.output is a list and has no members; one element is written [0]"},
        {".steps.m.output.length", "~.steps.m.output is a list and has no members; how long it is "
                                   "says '| length' behind it"},
        {".steps.m.output[0].x", ""},
        {".steps.m.output.x?", ""},
        {".steps.n.output.x", ""},
        {".steps.l.output.x",
         "~.steps.l.output is text and has no members; with a 'schema' on that "
         "step it is an object"},
        {".steps.l.output[0]", "~.steps.l.output is text and has no elements; with a 'schema' on "
                               "that step it is an object"},
        {".steps.y.output.z", ""},
    };

    expect("",
           "  r: {reduce: {a: {b: 1}, c: \"${ .input }\"}}\n"
           "  k: {reduce: {x: 1}}\n"
           "  w: {workflow: {steps: {o: {reduce: 1}}, output: {one: \"${ .steps.o.output }\"}}}\n"
           "  t: {workflow: {steps: {u: {reduce: 1}, v: {reduce: 2}}}}\n"
           "  i: {repeat: {steps: {u: {reduce: 1}, v: {reduce: 2}}, max: 2}}\n"
           "  m: {map: {over: [1], do: {reduce: 1}}}\n"
           "  n: {map: {over: [1], do: {reduce: 1}, collapse: {do: {reduce: {x: 1}}}}}\n"
           "  l: {llm: {prompt: x}}\n"
           "  y: {reduce: {\"a\\u0001\": \"${ .input }\"}}\n",
           cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(inside_bodies_the_input_and_the_arguments_are_those_around)
{
    const char *text =
        "defaults: {model: sim/echo}\n"
        "input: {additionalProperties: false, properties: {city: {}}}\n"
        "steps:\n"
        "  own: {workflow: {input: {town: 1}, steps: {a: {reduce: \"${ .input.city }\"}, b: "
        "{reduce: \"${ .input.town }\"}}}}\n"
        "  any: {workflow: {input: \"${ .input.city }\", steps: {a: {reduce: \"${ .input.ctiy "
        "}\"}}}}\n"
        "  same: {workflow: {steps: {a: {reduce: \"${ .input.town }\"}}}}\n"
        "  map: {map: {over: [1], do: {reduce: \"${ .input.town }\"}}}\n"
        "  agent:\n"
        "    agent:\n"
        "      prompt: x\n"
        "      tools:\n"
        "        one: {parameters: {additionalProperties: false, properties: {q: {}}}, do: "
        "{reduce: "
        "\"${ .args.p }${ .input.city }\"}}\n"
        "        two: {do: {map: {over: [1], do: {reduce: \"${ .args.p }\"}}}}\n"
        "  fails: {reduce: 1, on_error: {step: {reduce: \"${ .error.cod }\"}}}\n"
        "output: {x: \"${ .steps.map.output[.input.town] }\"}\n";

    ck_assert_str_eq(
        said_of(text, true),
        "/steps/same/workflow/steps/a/reduce: in expression '.input.town', .input has no member "
        "'town' (there is city)\n"
        "/steps/map/map/do/reduce: in expression '.input.town', .input has no member 'town' (there "
        "is city)\n"
        "/steps/agent/agent/tools/one/do/reduce: in expression '.args.p', .args has no member 'p' "
        "(there is q)\n"
        "/steps/fails/on_error/step/reduce: in expression '.error.cod', .error has no member "
        "'cod'; "
        "did you mean 'code'?\n"
        "/output/x: in expression '.steps.map.output[.input.town]', .input has no member 'town' "
        "(there is city)\n"
        "warning /steps/own/workflow/steps/a/reduce: in expression '.input.city', .input has no "
        "member 'city' (there is town)\n");
}
END_TEST

START_TEST(an_item_is_an_element_of_the_list_that_a_path_finds)
{
    const char *text =
        "input:\n"
        "  properties:\n"
        "    days: {items: {additionalProperties: false, properties: {title: {}, stops: {items: "
        "{additionalProperties: false, properties: {name: {}}}}}}}\n"
        "steps:\n"
        "  plan: {llm: {model: sim/echo, prompt: x, schema: {properties: {list: {items: "
        "{properties: {topic: {}}}}}}}}\n"
        "  a: {map: {over: \"${ .input.days }\", as: day, do: {map: {over: \"${ .item.stops }\", "
        "do: "
        "{reduce: [\"${ .item.name }\", \"${ .item.nmae }\", \"${ .day.title }\", \"${ .day.ttle "
        "}\"]}}}}}\n"
        "  b: {map: {over: \"${ .input.days }\", batch: 2, do: {reduce: [\"${ .items[0].ttle "
        "}\"]}, "
        "collapse: {do: {reduce: \"${ .items[0].ttle }\"}}}}\n"
        "  c: {map: {over: \"${ .steps.plan.output.list }\", do: {workflow: {steps: {x: {reduce: "
        "\"${ "
        ".item.topci }\"}}}}}}\n"
        "  d: {map: {over: \"${ .input.days | map(.title) }\", do: {reduce: \"${ .item.ttle "
        "}\"}}}\n"
        "  e: {map: {over: [{x: 1}], do: {reduce: \"${ .item.ttle }\"}}}\n"
        "  f: {map: {over: \"${ .input.days[.input.at].stops }\", do: {reduce: \"${ .item.nmae "
        "}\"}}}\n"
        "  g: {map: {over: \"${ .steps.plan.output.lsit }\", do: {reduce: \"${ .item.topci "
        "}\"}}}\n";

    ck_assert_str_eq(
        said_of(text, true),
        "/steps/a/map/do/map/do/reduce/1: in expression '.item.nmae', .item has no member 'nmae'; "
        "did you mean 'name'?\n"
        "/steps/a/map/do/map/do/reduce/3: in expression '.day.ttle', .day has no member 'ttle'; "
        "did "
        "you mean 'title'?\n"
        "/steps/b/map/do/reduce/0: in expression '.items[0].ttle', .items[0] has no member 'ttle'; "
        "did you mean 'title'?\n"
        "warning /steps/c/map/do/workflow/steps/x/reduce: in expression '.item.topci', the schema "
        "of .item has no property 'topci'; did you mean 'topic'?\n"
        "warning /steps/g/map/over: in expression '.steps.plan.output.lsit', the schema of "
        ".steps.plan.output has no property 'lsit'; did you mean 'list'?\n");
}
END_TEST

START_TEST(what_was_accepted_before_is_not_looked_at_again)
{
    const char *text = "input: {additionalProperties: false}\n"
                       "steps: {a: {llm: {model: sim/echo, prompt: \"{{ a }} ${ .input.b }\"}}}\n";

    ck_assert_str_eq(said_of(text, false), "");
    ck_assert_str_eq(said_of(text, true),
                     "/steps/a/llm/prompt: in expression '.input.b', .input has no member 'b'\n"
                     "warning /steps/a/llm/prompt: '{{ a }}' is sent as it stands: expressions are "
                     "written ${ ... }, such as ${ .input.a }\n");
}
END_TEST

START_TEST(of_a_step_that_is_refused_no_more_is_said)
{
    static const char *const steps[] = {
        "  a: {llm: {prompt: x, schema: {type: objct}}}",
        "  a: {llm: {prompt: x, schema: nosuch}}",
        "  a: {workflow: {steps: {x: {reduce: {y: 1}}}, output: {k: \"${ .nope }\"}}}",
        "  a: {repeat: {max: 1, steps: {x: {reduce: {y: 1}}}, output: {k: \"${ .nope }\"}}}",
    };
    const char *said;

    for (size_t i = 0; i < PL_ARRAY_LEN(steps); i++) {
        said = said_of(around("", steps[i], ".steps.a.output.k"), true);
        ck_assert_msg(strstr(said, "/steps/a/") && !strstr(said, "warning"), "%s", said);
    }
    said = said_of(around("schemas: {s: {type: objct}}", "  a: {llm: {prompt: x, schema: s}}",
                          ".steps.a.output.k"),
                   true);
    ck_assert_msg(strstr(said, "/schemas/s") && !strstr(said, "warning"), "%s", said);
    /* `ab` is another step */
    said =
        said_of(around("", "  a: {llm: {prompt: x}}\n  ab: {lm: {}}", ".steps.a.output.k"), true);
    ck_assert_msg(strstr(said, "/steps/ab") && strstr(said, "warning"), "%s", said);
}
END_TEST

START_TEST(a_workflow_full_of_them_is_told_of_the_first_ones)
{
    struct pl_buf text;
    const struct workflow_env env = {.model_ok = test_model_ok, .advise = true};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;

    pl_buf_init(&text, 1 << 20);
    pl_buf_text(&text, "input: {properties: {destination: {}}}\nsteps:\n");
    for (int i = 0; i < 2 * PL_LIMIT_PROBLEMS; i++)
        pl_buf_printf(&text, "  s%d: {reduce: \"${ .input.destinaton }\"}\n", i);
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(
        workflow_compile(pl_str(test_text(&text)), DOC_YAML, &env, &workflow, &problems), PL_OK);
    ck_assert_uint_eq(workflow->warnings.count, PL_LIMIT_PROBLEMS);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    pl_buf_finish(&text);
}
END_TEST

/* ---- braces ---- */

static const char *said_of_prompt(const char *prompt)
{
    static char text[1024];

    (void)snprintf(text, sizeof(text),
                   "steps:\n  a:\n    llm:\n      model: sim/echo\n      prompt: |\n        %s\n",
                   prompt);
    return said_of(text, true);
}

START_TEST(double_braces_around_a_name_are_warned_of)
{
    static const struct {
        const char *prompt, *shown, *meant;
    } cases[] = {
        {"Hello {{ name }}!", "{{ name }}", ".input.name"},
        {"Hello {{name}}!", "{{name}}", ".input.name"},
        {"{{ input.city }}", "{{ input.city }}", ".input.city"},
        {"{{ $json.city }}", "{{ $json.city }}", ".input.city"},
        {"{{ $json['city'] }}", "{{ $json['city'] }}", ".input.name"},
        {"{{ .input.city }}", "{{ .input.city }}", ".input.city"},
        {"{{- steps.a.output | upper -}}", "{{- steps.a.output | upper -}}", ".steps.a.output"},
        {"${ .input.x } {{ y }} ${ .input.z }", "{{ y }}", ".input.y"},
        {"{{ not this }} but {{ this }}", "{{ this }}", ".input.this"},
    };
    char expected[512];

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        (void)snprintf(expected, sizeof(expected),
                       "warning /steps/a/llm/prompt: '%s' is sent as it stands: expressions are "
                       "written ${ ... }, such as ${ %s }\n",
                       cases[i].shown, cases[i].meant);
        ck_assert_str_eq(said_of_prompt(cases[i].prompt), expected);
    }
}
END_TEST

START_TEST(other_braces_are_nobodys_mistake)
{
    static const char *const prompts[] = {
        "{{ like this }}",
        "{{\"a\": 1}}",
        "{ name }",
        "{{ name }",
        "{{}}",
        "{{ }}",
        "{{ 1 + 2 }}",
        "$${{ name }",
        "${ {a: {b: 1}} }",
        "\\frac{{a + b}}{c}",
        "${ \"{{ name }}\" }",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(prompts); i++)
        ck_assert_msg(said_of_prompt(prompts[i])[0] == '\0', "%s: %s", prompts[i],
                      said_of_prompt(prompts[i]));
}
END_TEST

START_TEST(braces_are_looked_for_wherever_text_is_sent)
{
    const char *text = "defaults: {model: sim/echo}\n"
                       "steps:\n"
                       "  a: {llm: {system: \"{{ a }}\", messages: [{role: user, content: [{type: "
                       "text, text: \"{{ b }}\"}]}]}}\n"
                       "  b: {agent: {prompt: \"{{ c }}\"}}\n"
                       "  c: {human: {ask: \"{{ d }}\"}}\n"
                       "  d: {http: {url: \"https://a.example/{{ e }}\", body: \"{{ f }}\"}}\n"
                       "  e: {reduce: \"{{ g }}\"}\n";
    const char *said = said_of(text, true);

    for (const char *name = "abcde"; *name; name++) {
        char shown[16];

        (void)snprintf(shown, sizeof(shown), "'{{ %c }}'", *name);
        ck_assert_msg(strstr(said, shown), "%s: %s", shown, said);
    }
    ck_assert_ptr_null(strstr(said, "{{ f }}"));
    ck_assert_ptr_null(strstr(said, "{{ g }}"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_paths");
    TCase *tcase = tcase_create("paths");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, a_member_that_the_schema_of_the_input_forbids_is_an_error);
    tcase_add_test(tcase, beside_the_properties_of_an_open_schema_only_a_slip_is_warned_of);
    tcase_add_test(tcase, what_the_parts_of_a_step_have_is_known);
    tcase_add_test(tcase, an_output_with_a_schema_has_what_it_says);
    tcase_add_test(tcase, an_output_that_the_document_writes_out_is_known_too);
    tcase_add_test(tcase, inside_bodies_the_input_and_the_arguments_are_those_around);
    tcase_add_test(tcase, an_item_is_an_element_of_the_list_that_a_path_finds);
    tcase_add_test(tcase, what_was_accepted_before_is_not_looked_at_again);
    tcase_add_test(tcase, of_a_step_that_is_refused_no_more_is_said);
    tcase_add_test(tcase, a_workflow_full_of_them_is_told_of_the_first_ones);
    tcase_add_test(tcase, double_braces_around_a_name_are_warned_of);
    tcase_add_test(tcase, other_braces_are_nobodys_mistake);
    tcase_add_test(tcase, braces_are_looked_for_wherever_text_is_sent);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
