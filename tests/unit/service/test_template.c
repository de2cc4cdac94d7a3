/* test_template.c - templates: which values are constant, how expressions land in JSON and in text,
 * and what is refused. Run by ctest. */
#include "base/json.h"
#include "service/expr/expr.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const char input[] =
    "{\"city\":\"Z\\u00fcrich \\\"old\\\" \\\\ \\n\\ud83d\\ude00\",\"days\":3.0,"
    "\"big\":12345678901234567890,\"o\": { \"a b\" : [ 1 , \"x y\\n\\\"\\\\\" , {} ] },"
    "\"z\":null,\"t\":true,\"e\":\"\"}";

static struct pl_arena *arena;
static struct doc_problems problems;
static struct expr_sink sink;

static void setup(void)
{
    arena = pl_arena_create(0);
}

static void teardown(void)
{
    pl_arena_destroy(&arena);
}

static const struct expr_names names = {.roots = 1u << EXPR_ROOT_INPUT | 1u << EXPR_ROOT_STEP};

static struct template *compile(const char *yaml)
{
    struct doc_node *root = NULL;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    code = doc_parse(arena, pl_str(yaml), DOC_YAML, &root, &problems);
    ck_assert_msg(root, "%s: %s", yaml, problems.count ? problems.items[0].message : "");
    (void)code;
    return template_compile(arena, root, names, &sink, &problems);
}

static struct pl_str root_value(void *arg, const struct expr_ref *ref)
{
    (void)ref;
    return pl_str(arg);
}

static struct pl_str step_value(void *arg, const struct step_def *step, enum expr_step_field field)
{
    (void)arg;
    (void)step;
    return field == EXPR_STEP_OUTPUT ? PL_STR("\"out\\tput\"") : (struct pl_str){0};
}

/* The value of a jq program: its own text as a JSON string, or nothing yet. */
static bool pending;

static enum pl_code jq_value(void *arg, const struct expr *expr, struct pl_str *ret_json,
                             struct pl_err *err)
{
    (void)arg;
    if (pl_str_is(expr->program, ".input | error"))
        return pl_err_set(err, PL_ERR_EXPRESSION_LIMIT, "it ran for more than 1 s");
    *ret_json = pending ? PL_STR("null") : PL_STR("{\"n\": [1, \"two\"]}");
    return PL_OK;
}

static const struct expr_scope scope = {
    .arg = (char *)(uintptr_t)input, .root = root_value, .step = step_value, .jq = jq_value};

static void expect(const char *yaml, enum template_kind kind, const char *json, const char *text)
{
    struct template *template = compile(yaml);
    struct pl_buf out;
    struct pl_err err = {0};

    ck_assert_msg(template, "%s: %s", yaml, problems.count ? problems.items[0].message : "");
    ck_assert_msg(template->kind == kind, "%s: kind %d", yaml, (int)template->kind);
    pl_buf_init(&out, 4096);
    ck_assert_msg(template_write_json(template, &scope, &out, &err) == PL_OK, "%s: %s", yaml,
                  err.message);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 64, NULL, &err), PL_OK);
    ck_assert_str_eq(out.data, json);
    pl_buf_reset(&out);
    ck_assert_int_eq(template_write_text(template, &scope, &out, &err), PL_OK);
    ck_assert_msg(pl_str_is(pl_buf_view(&out), text), "%s: %.*s", yaml,
                  PL_STR_ARG(pl_buf_view(&out)));
    pl_buf_finish(&out);
}

START_TEST(values_without_expressions_are_constants)
{
    expect("plain text", TEMPLATE_CONST, "\"plain text\"", "plain text");
    expect("5", TEMPLATE_CONST, "5", "5");
    expect("12345678901234567890", TEMPLATE_CONST, "12345678901234567890", "12345678901234567890");
    expect("~", TEMPLATE_CONST, "null", "");
    expect("[]", TEMPLATE_CONST, "[]", "[]");
    expect("{a: [1, {b: \"x\\n\"}], c: null}", TEMPLATE_CONST,
           "{\"a\":[1,{\"b\":\"x\\n\"}],\"c\":null}", "{\"a\":[1,{\"b\":\"x\\n\"}],\"c\":null}");
    expect("\"$ { } $x {y}\"", TEMPLATE_CONST, "\"$ { } $x {y}\"", "$ { } $x {y}");
    ck_assert_ptr_null(sink.first);
}
END_TEST

START_TEST(one_expression_keeps_its_json_type)
{
    expect("${ .input.days }", TEMPLATE_EXPR, "3.0", "3.0");
    expect("${ .input.big }", TEMPLATE_EXPR, "12345678901234567890", "12345678901234567890");
    expect("${ .input.z }", TEMPLATE_EXPR, "null", "");
    expect("${ .input.t }", TEMPLATE_EXPR, "true", "true");
    expect("${ .input.o }", TEMPLATE_EXPR, "{\"a b\":[1,\"x y\\n\\\"\\\\\",{}]}",
           "{\"a b\":[1,\"x y\\n\\\"\\\\\",{}]}");
    expect("${ .steps.a.output }", TEMPLATE_EXPR, "\"out\\tput\"", "out\tput");
    expect("${ .steps.a.error }", TEMPLATE_EXPR, "null", "");
}
END_TEST

START_TEST(inside_text_strings_go_in_raw_null_as_nothing_and_others_as_compact_json)
{
    expect("to ${ .input.city }!", TEMPLATE_TEXT,
           "\"to Z\\u00fcrich \\\"old\\\" \\\\ \\n\\ud83d\\ude00!\"",
           "to Z\xC3\xBCrich \"old\" \\ \n\xF0\x9F\x98\x80!");
    expect("${ .input.days }${ .input.z }${ .input.e }|${ .input.t }", TEMPLATE_TEXT,
           "\"3.0|true\"", "3.0|true");
    expect("o=${ .input.o }", TEMPLATE_TEXT,
           "\"o={\\\"a b\\\":[1,\\\"x y\\\\n\\\\\\\"\\\\\\\\\\\",{}]}\"",
           "o={\"a b\":[1,\"x y\\n\\\"\\\\\",{}]}");
    expect("|\n  ${ .steps.a.output }\n  \"quoted\"\n", TEMPLATE_TEXT,
           "\"out\\tput\\n\\\"quoted\\\"\\n\"", "out\tput\n\"quoted\"\n");
    expect("' ${ .input.days }'", TEMPLATE_TEXT, "\" 3.0\"", " 3.0");
}
END_TEST

START_TEST(a_doubled_dollar_is_a_literal_opening)
{
    expect("'$${ .input.days }'", TEMPLATE_CONST, "\"${ .input.days }\"", "${ .input.days }");
    expect("'$${ ${ .input.days }'", TEMPLATE_TEXT, "\"${ 3.0\"", "${ 3.0");
    expect("'$$${ x'", TEMPLATE_CONST, "\"$${ x\"", "$${ x");
    expect("['$${', \"a\"]", TEMPLATE_LIST, "[\"${\",\"a\"]", "[\"${\",\"a\"]");
    expect("{'$${k}': 1}", TEMPLATE_OBJECT, "{\"${k}\":1}", "{\"${k}\":1}");
}
END_TEST

START_TEST(an_expression_ends_at_its_own_brace)
{
    expect("'${ .input[\"}\"] }x'", TEMPLATE_TEXT, "\"x\"", "x");
    expect("'${ .input[\"{\\\"{\"] }x'", TEMPLATE_TEXT, "\"x\"", "x");
    expect("'${ .input.days }}'", TEMPLATE_TEXT, "\"3.0}\"", "3.0}");
}
END_TEST

START_TEST(lists_and_objects_keep_their_constants_beside_expressions)
{
    expect("{a: 1, \"k\\n\": [x, \"${ .input.days }\", {c: d}], b: \"t${ .input.t }\"}",
           TEMPLATE_OBJECT, "{\"a\":1,\"k\\n\":[\"x\",3.0,{\"c\":\"d\"}],\"b\":\"ttrue\"}",
           "{\"a\":1,\"k\\n\":[\"x\",3.0,{\"c\":\"d\"}],\"b\":\"ttrue\"}");
    ck_assert_ptr_nonnull(sink.first);
    ck_assert_ptr_nonnull(sink.first->next);
    ck_assert_ptr_null(sink.first->next->next);
    /* what has no expression in it is one constant */
    ck_assert_int_eq(compile("[{a: [1, 2]}, \"${ .input.days }\"]")->items[0]->kind,
                     TEMPLATE_CONST);
}
END_TEST

START_TEST(every_bad_expression_of_a_value_is_reported_at_its_place)
{
    static const struct {
        unsigned line, column;
        const char *pointer, *message;
    } expected[] = {
        {1, 4, "/a", "did you mean .input?"},
        {2, 4, "/b", "'now' is not available"},
        {2, 4, "/b", ".item exists only inside"},
        {4, 5, "/c/0", "has no end"},
        {5, 5, "/c/1/d", "an expression cannot stand in a key"},
    };

    ck_assert_ptr_null(compile("a: ${ .inptu }\n"
                               "b: x ${ .input | now } ${ .item } ${ .input.ok }\n"
                               "c:\n"
                               "  - 'x ${ .input'\n"
                               "  - 'd${ .input }': 1\n"));
    ck_assert_uint_eq(problems.total, PL_ARRAY_LEN(expected));
    for (size_t i = 0; i < PL_ARRAY_LEN(expected); i++) {
        ck_assert_uint_eq(problems.items[i].line, expected[i].line);
        ck_assert_uint_eq(problems.items[i].column, expected[i].column);
        ck_assert_msg(strstr(problems.items[i].message, expected[i].message), "%s",
                      problems.items[i].message);
    }
    ck_assert_str_eq(problems.items[3].pointer, "/c/0");
    ck_assert_str_eq(problems.items[4].pointer, "/c/1/d${ .input }");
}
END_TEST

START_TEST(a_value_the_document_refused_is_not_reported_again)
{
    ck_assert_ptr_null(compile("a: ${ .input # cut }\nb: 1\n"));
    ck_assert_uint_eq(problems.total, 1);
}
END_TEST

START_TEST(an_expression_that_fails_fails_the_template)
{
    struct template *template = compile("{a: 1, b: \"x ${ .input.days.hours }\"}");
    struct pl_err err;
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    ck_assert_int_eq(template_write_json(template, &scope, &out, &err), PL_ERR_EXPRESSION_ERROR);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot take the member 'hours' of a number"));
    ck_assert_int_eq(template_write_text(template, &scope, &out, &err), PL_ERR_EXPRESSION_ERROR);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(jq_programs_stand_wherever_paths_do)
{
    expect("${ .input | keys }", TEMPLATE_EXPR, "{\"n\":[1,\"two\"]}", "{\"n\":[1,\"two\"]}");
    expect("'x ${ {a: .input.days} } y'", TEMPLATE_TEXT, "\"x {\\\"n\\\":[1,\\\"two\\\"]} y\"",
           "x {\"n\":[1,\"two\"]} y");
    expect("'${ .input | \"} \\(\"}\")\" }!'", TEMPLATE_TEXT, "\"{\\\"n\\\":[1,\\\"two\\\"]}!\"",
           "{\"n\":[1,\"two\"]}!");
    ck_assert(template_has_jq(compile("[1, {a: 'x ${ .input + 1 }'}]")));
    ck_assert(template_has_jq(compile("${ .input + 1 }")));
    ck_assert(
        !template_has_jq(compile("[1, {a: 'x ${ .input }'}, \"${ .input }\", '$${ x | y }']")));
}
END_TEST

START_TEST(a_jq_value_that_is_not_there_yet_is_null_and_no_error)
{
    pending = true;
    expect("{a: \"${ .input + 1 }\", b: \"x${ .input + 1 }\", c: \"${ .input.days }\"}",
           TEMPLATE_OBJECT, "{\"a\":null,\"b\":\"x\",\"c\":3.0}",
           "{\"a\":null,\"b\":\"x\",\"c\":3.0}");
    pending = false;
}
END_TEST

START_TEST(a_jq_error_has_its_expression_in_front)
{
    struct template *template = compile("[\"${ .input | error }\"]");
    struct expr_scope without = scope;
    struct pl_err err;
    struct pl_buf out;

    pl_buf_init(&out, 4096);
    ck_assert_int_eq(template_write_json(template, &scope, &out, &err), PL_ERR_EXPRESSION_LIMIT);
    ck_assert_str_eq(err.message, "expression '.input | error': it ran for more than 1 s");
    without.jq = NULL;
    ck_assert_int_eq(template_write_json(template, &without, &out, &err), PL_ERR_EXPRESSION_ERROR);
    ck_assert_ptr_nonnull(strstr(err.message, "none can run here"));
    pl_buf_finish(&out);
}
END_TEST

START_TEST(a_value_past_the_cap_of_its_buffer_is_too_large)
{
    static const char *const yaml[] = {"${ .input }", "x ${ .input.city }",
                                       "[\"${ .input.city }\"]", "some longer text"};
    struct pl_err err;
    struct pl_buf out;

    for (size_t i = 0; i < PL_ARRAY_LEN(yaml); i++) {
        struct template *template = compile(yaml[i]);

        pl_buf_init(&out, 10);
        ck_assert_int_eq(template_write_json(template, &scope, &out, &err), PL_ERR_TOO_LARGE);
        ck_assert_ptr_nonnull(strstr(err.message, "larger than 10 bytes"));
        pl_buf_reset(&out);
        ck_assert_int_eq(template_write_text(template, &scope, &out, &err), PL_ERR_TOO_LARGE);
        pl_buf_finish(&out);
    }
}
END_TEST

START_TEST(a_template_that_does_not_fit_its_arena_has_no_problem_but_a_failed_arena)
{
    struct pl_arena *small = pl_arena_create(12000);
    struct doc_node *root = NULL;
    char *text = malloc(100000);

    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    memset(text, 'x', 100000);
    snprintf(text + 99000, 1000, " ${ .input }");
    root = pl_arena_alloc(arena, sizeof(*root));
    root->type = DOC_STRING;
    root->text = pl_str(text);
    ck_assert_ptr_null(template_compile(small, root, names, &sink, &problems));
    ck_assert_uint_eq(problems.total, 0);
    ck_assert(pl_arena_failed(small));
    pl_arena_destroy(&small);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("template");
    TCase *tests = tcase_create("template");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, values_without_expressions_are_constants);
    tcase_add_test(tests, one_expression_keeps_its_json_type);
    tcase_add_test(tests, inside_text_strings_go_in_raw_null_as_nothing_and_others_as_compact_json);
    tcase_add_test(tests, a_doubled_dollar_is_a_literal_opening);
    tcase_add_test(tests, an_expression_ends_at_its_own_brace);
    tcase_add_test(tests, lists_and_objects_keep_their_constants_beside_expressions);
    tcase_add_test(tests, every_bad_expression_of_a_value_is_reported_at_its_place);
    tcase_add_test(tests, a_value_the_document_refused_is_not_reported_again);
    tcase_add_test(tests, an_expression_that_fails_fails_the_template);
    tcase_add_test(tests, jq_programs_stand_wherever_paths_do);
    tcase_add_test(tests, a_jq_value_that_is_not_there_yet_is_null_and_no_error);
    tcase_add_test(tests, a_jq_error_has_its_expression_in_front);
    tcase_add_test(tests, a_value_past_the_cap_of_its_buffer_is_too_large);
    tcase_add_test(tests, a_template_that_does_not_fit_its_arena_has_no_problem_but_a_failed_arena);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
