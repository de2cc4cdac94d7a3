/* test_expr.c - paths: what compiles and to what, what is refused and how it is said, and what
 * paths give. Run by ctest. */
#include "service/expr.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVERYWHERE =
        1u << EXPR_ROOT_INPUT | 1u << EXPR_ROOT_STEP | 1u << EXPR_ROOT_RUN | 1u << EXPR_ROOT_THREAD,
    ALL = EVERYWHERE | 1u << EXPR_ROOT_OUTPUT | 1u << EXPR_ROOT_ERROR,
};

static struct pl_arena *arena;
static struct doc_problems problems;
static struct expr_sink sink;
static struct pl_str values[EXPR_ROOT_ERROR + 1];

static void setup(void)
{
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    memset(values, 0, sizeof(values));
}

static void teardown(void)
{
    pl_arena_destroy(&arena);
}

static struct expr *compile(const char *text, unsigned roots)
{
    struct doc_node *node = pl_arena_alloc(arena, sizeof(*node));

    doc_problems_init(&problems, arena);
    node->type = DOC_STRING;
    node->line = 7;
    node->column = 3;
    node->text = pl_str(text);
    return expr_compile(arena, node, (struct expr_names){.roots = roots}, &sink, &problems);
}

/* "0/a/[2]/b?": the root, the step and field if any, and the segments of an expression. */
static const char *describe(const struct expr *expr)
{
    const struct expr_ref *ref = &expr->refs[0];
    char *out = pl_arena_printf(arena, "%d", (int)ref->root);

    if (ref->root == EXPR_ROOT_STEP)
        out = pl_arena_printf(arena, "%s:%.*s:%d", out, PL_STR_ARG(ref->name), (int)ref->field);
    for (size_t i = 0; i < expr->n_segments; i++) {
        const struct expr_segment *segment = &expr->segments[i];
        const char *optional = segment->optional ? "?" : "";

        if (segment->name.ptr)
            out = pl_arena_printf(arena, "%s/%.*s%s", out, PL_STR_ARG(segment->name), optional);
        else
            out = pl_arena_printf(arena, "%s/[%lld]%s", out, (long long)segment->index, optional);
    }
    return out;
}

START_TEST(paths_compile_to_a_root_and_segments)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"${ .input }", "0"},
        {"${.input.a.b[0]}", "0/a/b/[0]"},
        {"  ${ .input.a }\n", "0/a"},
        {"${ $input.a }", "0/a"},
        {"${ .[\"input\"][\"a b\"] }", "0/a b"},
        {"${ .input.\"x y\".z }", "0/x y/z"},
        {"${ .input[\"\\u00e9\\n}\"] }", "0/\xC3\xA9\n}"},
        {"${ .input.[\"k\"].[1] }", "0/k/[1]"},
        {"${ .input [ -1 ] ? .k }", "0/[-1]?/k"},
        {"${ .input.a?.b?? }", "0/a?/b?"},
        {"${ .input[\"\"] }", "0/"},
        {"${ .steps.plan.output }", "1:plan:1"},
        {"${ .steps[\"plan\"][\"output\"].x }", "1:plan:1/x"},
        {"${ $steps.plan.status }", "1:plan:2"},
        {"${ .steps.plan.error.code }", "1:plan:3/code"},
        {"${ .steps.plan.usage }", "1:plan:4"},
        {"${ .steps.plan.join.counted[0] }", "1:plan:5/counted/[0]"},
        {"${ .steps.plan }", "1:plan:0"},
        {"${ .steps.plan? }", "1:plan:0"},
        {"${ .run.id }", "2/id"},
        {"${ $run.metadata.x }", "2/metadata/x"},
        {"${ .run }", "2"},
        {"${ .thread.id }", "3/id"},
        {"${ .output.score }", "4/score"},
        {"${ .error.code }", "5/code"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct expr *expr = compile(cases[i].text, ALL);

        ck_assert_msg(expr, "%s: %s", cases[i].text,
                      problems.count ? problems.items[0].message : "no problem");
        ck_assert_str_eq(describe(expr), cases[i].path);
    }
}
END_TEST

START_TEST(what_is_no_plain_path_is_refused_in_words_for_its_author)
{
    static const struct {
        const char *text, *message; /* a part of it */
    } cases[] = {
        {"${ .input | length }", "'|' at character 8 "},
        {"${ .input | length }", "expression '.input | length' is not a plain path"},
        {"${ .input | length }", "this version runs plain paths such as "
                                 ".steps.a.output.b[0] (jq programs come later)"},
        {"${ .input.a + 1 }", "'+' at character 10 "},
        {"${ .input.a == \"x\" }", "'=' at character 10 "},
        {"${ .input.\xC3\xA9 }", "'\xC3\xA9' at character 8 "},
        {"${ .input.\xC3\xA9 }", "written [\"...\"]"},
        {"${ .input.a-b }", "'-' at character 9 "},
        {"${ .input.a-b }", "written [\"...\"]"},
        {"${ .input[] }", "']' at character 8 "},
        {"${ .input[1:2] }", "':' at character 9 "},
        {"${ .input[.index] }", "'.' at character 8 "},
        {"${ .input[1.5] }", "'.' at character 9 "},
        {"${ .input[-] }", "']' at character 9 "},
        {"${ .input[1234567890123456] }", "'6' at character 23 "},
        {"${ .input[\"a\\(.b)\"] }", "'\\' at character 10 "},
        {"${ .input[\"a\\q\"] }", "escape"},
        {"${ .input[\"\\ud800\"] }", "surrogate"},
        {"${ .input[0 }", "ends too early"},
        {"${ .input. }", "ends too early"},
        {"${ . }", "ends too early"},
        {"${ .. }", "'.' at character 2 "},
        {"${ [.input] }", "'[' at character 1 "},
        {"${ {a: .input} }", "'{' at character 1 "},
        {"${ \"text\" }", "'\"' at character 1 "},
        {"${ not }", "'n' at character 1 "},
        {"${ $ }", "'$' at character 1 "},
        {"${ $__loc__ }", "$__loc__ is unknown"},
        {"${  }", "the expression is empty"},
        {"${ input.a }", "must begin with a point: .input"},
        {"${ .[0] }", "must begin with a name"},
        {"${ env.HOME }", "reads the environment"},
        {"${ $ENV.HOME }", "reads the environment"},
        {"${ .inptu.a }", ".inptu is unknown; did you mean .input?"},
        {"${ $thread.id }", "$thread is unknown; did you mean .thread?"},
        {"${ $output }", "did you mean .output?"},
        {"${ .banana }", "begin with .input, .steps, .run or .thread"},
        {"${ .state.x }", ".state is not supported by this version"},
        {"${ .item }", ".item is not supported by this version"},
        {"${ .index }", ".index is not supported by this version"},
        {"${ .turn }", ".turn is not supported by this version"},
        {"${ .previous.output }", ".previous is not supported by this version"},
        {"${ $state }", "$state is not supported by this version"},
        {"${ .steps }", ".steps must be followed by the id of a step"},
        {"${ $steps }", "$steps must be followed by the id of a step"},
        {"${ .steps[0] }", ".steps must be followed by the id of a step"},
        {"${ .steps[] }", ".steps must be followed by the id of a step"},
        {"${ .steps[.input.x].output }", ".steps must be followed by the id of a step"},
        {"${ .steps | keys }", ".steps must be followed by the id of a step"},
        {"${ .steps.a.outptu }", "no field 'outptu'; did you mean 'output'?"},
        {"${ .steps.a.banana }", "there is output, status, error, usage, join"},
        {"${ .steps.a[0] }", "a step is not a list"},
        {"${ .run.metdata }", "did you mean 'metadata'?"},
        {"${ .thread.name }", ".thread has no field 'name'"},
        {"plain", "expected one expression"},
        {".input.a", "expected one expression"},
        {"${ .input.a } and more", "nothing around it"},
        {"${ .input.a }${ .input.b }", "nothing around it"},
        {"${ .input.a", "has no end"},
        {"${ .input[\"}\" }", "ends too early"},
        {"${ .input[\"} ]", "has no end"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        ck_assert_msg(!compile(cases[i].text, ALL), "%s compiles", cases[i].text);
        ck_assert_msg(problems.total == 1, "%s: %zu problems", cases[i].text, problems.total);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s: %s", cases[i].text,
                      problems.items[0].message);
        ck_assert_uint_eq(problems.items[0].line, 7);
        ck_assert_uint_eq(problems.items[0].column, 3);
    }
    ck_assert_ptr_null(sink.first);
}
END_TEST

START_TEST(a_root_that_does_not_exist_here_says_where_it_does)
{
    ck_assert_ptr_null(compile("${ .error.code }", EVERYWHERE));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "only inside on_error.step"));
    ck_assert_ptr_null(compile("${ .output }", EVERYWHERE));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "only in accept"));
    ck_assert_ptr_null(compile("${ .input }", 1u << EXPR_ROOT_OUTPUT));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, ".input cannot be used here"));
}
END_TEST

START_TEST(a_value_that_is_no_text_is_no_expression)
{
    struct doc_node node = {.type = DOC_BOOL, .line = 2, .column = 5, .text = PL_STR("true")};
    const struct expr_names all = {.roots = ALL};

    ck_assert_ptr_null(expr_compile(arena, &node, all, &sink, &problems));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "got a boolean"));
    node.refused = true;
    ck_assert_ptr_null(expr_compile(arena, &node, all, &sink, &problems));
    ck_assert_uint_eq(problems.total, 1); /* the document said it already */
}
END_TEST

START_TEST(expressions_are_gathered_in_order)
{
    struct expr *a = compile("${ .input.a }", ALL), *b;

    ck_assert_ptr_null(compile("${ .bad }", ALL));
    b = compile("${ .input.b }", ALL);
    ck_assert_ptr_eq(sink.first, a);
    ck_assert_ptr_eq(a->next, b);
    ck_assert_ptr_null(b->next);
    ck_assert_uint_eq(b->node->line, 7);
}
END_TEST

/* ---- evaluation ---- */

static struct pl_str root_value(void *arg, const struct expr_ref *ref)
{
    ck_assert_ptr_eq(arg, values);
    return values[ref->root];
}

static struct pl_str step_value(void *arg, const struct step_def *step, enum expr_step_field field)
{
    static const char *const fields[] = {"{\"output\":1}", "\"out\"",
                                         "\"succeeded\"",  "null",
                                         "{\"tokens\":3}", "{\"policy\":\"all\"}"};

    ck_assert_ptr_eq(arg, values);
    ck_assert_ptr_eq(step, NULL);
    return pl_str(fields[field]);
}

static const struct expr_scope scope = {.arg = values, .root = root_value, .step = step_value};

START_TEST(paths_give_what_jq_would)
{
    static const char input[] =
        " { \"n\" : 12345678901234567890 , \"o\":{\"k\":{\"x\":[1, 2.50 ,{\"y\":null}]}},"
        "\"s\":\"t\\u00e9\",\"z\":null,\"f\":false,\"e\":[],\"caf\\u00e9\":1,\"\":2 } ";
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"${ .input.n }", "12345678901234567890"},
        {"${ .input.o.k.x[1] }", "2.50"},
        {"${ .input.o.k.x[-1] }", "{\"y\":null}"},
        {"${ .input.o.k.x[-1].y.more[3].deep }", "null"},
        {"${ .input.o.k.x[3] }", "null"},
        {"${ .input.o.k.x[-4] }", "null"},
        {"${ .input.o.missing.more }", "null"},
        {"${ .input.z.a[0] }", "null"},
        {"${ .input.s }", "\"t\\u00e9\""},
        {"${ .input.s.a? }", "null"},
        {"${ .input.s.a?.b[0] }", "null"},
        {"${ .input.o[0]? }", "null"},
        {"${ .input.e[0] }", "null"},
        {"${ .input.f }", "false"},
        {"${ .input[\"caf\xC3\xA9\"] }", "1"},
        {"${ .input[\"\"] }", "2"},
        {"${ .steps.a.output }", "\"out\""},
        {"${ .steps.a.usage.tokens }", "3"},
        {"${ .steps.a.join.policy }", "\"all\""},
        {"${ .steps.a.error.code }", "null"},
        {"${ .steps.a }", "{\"output\":1}"},
        {"${ .run.id }", "null"}, /* an absent value is null */
    };

    values[EXPR_ROOT_INPUT] = pl_str(input);
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct expr *expr = compile(cases[i].text, ALL);
        struct pl_str json;
        struct pl_err err;

        ck_assert_ptr_nonnull(expr);
        ck_assert_int_eq(expr_eval(expr, &scope, &json, &err), PL_OK);
        ck_assert_msg(pl_str_is(json, cases[i].json), "%s: %.*s", cases[i].text, PL_STR_ARG(json));
    }
}
END_TEST

START_TEST(taking_what_a_value_cannot_have_fails_with_expression_and_reason)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"${ .input.l.k }", "expression '.input.l.k': cannot take the member 'k' of a list"},
        {"${ .input.n.k }", "cannot take the member 'k' of a number"},
        {"${ .input.s[\"k\"] }", "cannot take the member 'k' of a string"},
        {"${ .input.b.k }", "cannot take the member 'k' of a boolean"},
        {"${ .input[0] }", "cannot take element 0 of an object"},
        {"${ .input.s[-1] }", "cannot take element -1 of a string"},
        {"${ .input.l[0]?.k }", "cannot take the member 'k' of a number"},
    };

    values[EXPR_ROOT_INPUT] = PL_STR("{\"l\":[1],\"n\":1,\"s\":\"x\",\"b\":true}");
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct expr *expr = compile(cases[i].text, ALL);
        struct pl_str json = PL_STR("untouched");
        struct pl_err err;

        ck_assert_ptr_nonnull(expr);
        ck_assert_int_eq(expr_eval(expr, &scope, &json, &err), PL_ERR_EXPRESSION_ERROR);
        ck_assert_int_eq(err.code, PL_ERR_EXPRESSION_ERROR);
        ck_assert_msg(strstr(err.message, cases[i].message), "%s: %s", cases[i].text, err.message);
        ck_assert_str_eq(json.ptr, "untouched");
    }
}
END_TEST

START_TEST(a_value_is_a_piece_of_the_scopes_text_and_no_copy)
{
    struct expr *expr = compile("${ .input.a[1] }", ALL);
    struct pl_str json;

    values[EXPR_ROOT_INPUT] = PL_STR("{\"a\":[0,{\"big\":\"...\"}]}");
    ck_assert_int_eq(expr_eval(expr, &scope, &json, NULL), PL_OK);
    ck_assert_ptr_eq(json.ptr, values[EXPR_ROOT_INPUT].ptr + 8);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expr");
    TCase *tests = tcase_create("expr");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, paths_compile_to_a_root_and_segments);
    tcase_add_test(tests, what_is_no_plain_path_is_refused_in_words_for_its_author);
    tcase_add_test(tests, a_root_that_does_not_exist_here_says_where_it_does);
    tcase_add_test(tests, a_value_that_is_no_text_is_no_expression);
    tcase_add_test(tests, expressions_are_gathered_in_order);
    tcase_add_test(tests, paths_give_what_jq_would);
    tcase_add_test(tests, taking_what_a_value_cannot_have_fails_with_expression_and_reason);
    tcase_add_test(tests, a_value_is_a_piece_of_the_scopes_text_and_no_copy);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
