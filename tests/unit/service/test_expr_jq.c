/* test_expr_jq.c - jq programs: what one mentions, what is refused before it ever runs, and the
 * document that several of them see. Run by ctest. */
#include "base/json.h"
#include "service/expr/expr.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TOP = 1u << EXPR_ROOT_INPUT | 1u << EXPR_ROOT_STEP | 1u << EXPR_ROOT_RUN |
          1u << EXPR_ROOT_THREAD | 1u << EXPR_ROOT_STATE,
    IN_MAP = TOP | 1u << EXPR_ROOT_ITEM | 1u << EXPR_ROOT_INDEX,
    ALL = (1u << EXPR_ROOT__COUNT) - 1,
};

static struct pl_arena *arena;
static struct doc_problems problems;
static struct expr_sink sink;
static struct expr_names names;

static const struct expr_as review = {.name = {.ptr = "review", .len = 6}};

static void setup(void)
{
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    names = (struct expr_names){.roots = IN_MAP, .as = &review};
}

static void teardown(void)
{
    pl_arena_destroy(&arena);
}

static struct expr *compile(const char *program)
{
    struct doc_node *node = pl_arena_alloc(arena, sizeof(*node));

    doc_problems_init(&problems, arena);
    node->type = DOC_STRING;
    node->line = 7;
    node->text = pl_str(pl_arena_printf(arena, "${ %s }", program));
    return expr_compile(arena, node, names, &sink, &problems);
}

static const char *const roots[EXPR_ROOT__COUNT] = {
    "input", "steps", "run", "thread", "output",   "error", "state",      "item",     "index",
    "items", "",      "",    "turn",   "previous", "args",  "candidates", "candidate"};
static const char *const fields[] = {"*", "output", "status", "error", "usage", "join"};

/* "input steps.a.output state.notes review_index": what a program mentions, in order. */
static const char *mentions(const struct expr *expr)
{
    const char *out = "";

    for (size_t i = 0; i < expr->n_refs; i++) {
        const struct expr_ref *ref = &expr->refs[i];

        out = pl_arena_printf(arena, "%s%s%s", out, i ? " " : "", roots[ref->root]);
        if (ref->root == EXPR_ROOT_AS || ref->root == EXPR_ROOT_AS_INDEX)
            out = pl_arena_printf(arena, "%s%.*s%s", out, PL_STR_ARG(ref->name),
                                  ref->root == EXPR_ROOT_AS ? "" : "_index");
        else if (ref->name.ptr)
            out = pl_arena_printf(arena, "%s.%.*s", out, PL_STR_ARG(ref->name));
        if (ref->root == EXPR_ROOT_STEP)
            out = pl_arena_printf(arena, "%s.%s", out, fields[ref->field]);
    }
    return out;
}

struct mention_case {
    const char *program, *mentions;
};

static void check_mentions(const struct mention_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct expr *expr = compile(cases[i].program);

        ck_assert_msg(expr, "%s: %s", cases[i].program,
                      problems.count ? problems.items[0].message : "no problem");
        ck_assert_msg(expr->kind == EXPR_JQ, "%s is a path", cases[i].program);
        ck_assert(pl_str_is(expr->program, cases[i].program));
        ck_assert_msg(strcmp(mentions(expr), cases[i].mentions) == 0, "%s: %s", cases[i].program,
                      mentions(expr));
    }
}

START_TEST(what_is_more_than_a_path_is_a_program_with_what_it_mentions)
{
    static const struct mention_case cases[] = {
        {".input | length", "input"},
        {".input.days > 3", "input"},
        {".input.list[]", "input"},
        {".input.list[1:2]", "input"},
        {".input[1234567890123456]", "input"},
        {".input[.input[.index]]", "input index"},
        {"[.input.a, .item.b, .index]", "input item index"},
        {"$input.a + $run.attempt", "input run"},
        {".steps.a.output + .steps.b.status", "steps.a.output steps.b.status"},
        {".steps.a.output + .steps.a.output[1:]", "steps.a.output"},
        {".steps.a | .output, .status", "steps.a.*"},
        {".steps[\"a\"][\"output\"] | tojson", "steps.a.output"},
        {"$steps.\"a\".output[0:]", "steps.a.output"},
        {".steps?.a?.error?.code // null", "steps.a.error"},
        {".steps # a comment\n .a .usage + 1", "steps.a.usage"},
        {".steps.a[\"out\\u0070ut\"] + 1", "steps.a.output"},
        {".state.notes | length", "state.notes"},
        {"$state[\"notes\"] | length", "state.notes"},
        {".state | keys", "state"},
        {".state[.item] + .state.notes", "state item state.notes"},
        {".thread.id // \"none\"", "thread"},
        {".review.x + .review_index", "review review_index"},
        {".[\"input\"] | length", "input"},
        {". \"steps\" . \"a\" | length", "steps.a.*"},
        {".", ""},
        {". | keys", ""},
        {"..", ""},
        {"1 + 2", ""},
        {"\"text\"", ""},
        {"null", ""},
        {"not", ""},
    };

    check_mentions(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(a_name_that_goes_on_with_a_value_is_no_mention)
{
    static const struct mention_case cases[] = {
        {".input.steps | length", "input"},
        {".input .state.x + 1", "input"},
        {".input[0].item?.index + 1", "input"},
        {".input.\"a b\".item + 1", "input"},
        {"(.input).item + 1", "input"},
        {"[1].item", ""},
        {"{a: 1}.item", ""},
        {"\"s\".item", ""},
        {"$input.item + 1", "input"},
        {".. .item", ""},
        {"first.item", ""},
        {"if .input then 1 else 2 end.item", "input"},
        {"@json .item", ""},
        {".5 .item + 1.5e-3.item", ""},
        /* and after these it is one */
        {"if .item then .index elif .review then .input else .run end",
         "item index review input run"},
        {".input and .item or .index", "input item index"},
        {"try .item catch .index", "item index"},
        {"reduce .item[] as $x (.input; . + $x)", "item input"},
        {"foreach .item[] as [$x] (.index; .input)", "item index input"},
        {"def f: .input; f | .item", "input item"},
        {".input?//.item", "input item"},
        {".input // .item", "input item"},
        {"-.index", "index"},
        {".input|.item", "input item"},
        {"map(.item)", "item"},
        {"[.[]?.item, .index]", "index"},
        {".5+.index", "index"},
        {".input.list[.index:.item]", "input index item"},
    };

    check_mentions(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(strings_and_comments_hold_no_mention_but_what_is_spliced_into_a_string_does)
{
    static const struct mention_case cases[] = {
        {"\".item $input\"", ""},
        {"1 # .item (\n + .index", "index"},
        {"\"a \\(.item) .index\"", "item"},
        {"\"a \\(.item | \"b \\(.index) .review\" | ascii) c\" + .input.x", "item index input"},
        {"@base64 \"\\(.item)\"", "item"},
        {"\"\\\\(.item)\"", ""},
        {"\"\\\"\\(.item)\\\"\"", "item"},
        {"\"\\(\"}\" + .item)\"", "item"},
    };

    check_mentions(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(keys_of_objects_are_no_mentions_unless_they_stand_for_their_value)
{
    static const struct mention_case cases[] = {
        {"{item: 1, index: 2}", ""},
        {"{item, a: .index}", "item index"},
        {"{a: 1, index}", "index"},
        {"{\"item\"}", "item"},
        {"{\"item\": 1}", ""},
        {"{$input}", "input"},
        {"{(.item): .index}", "item index"},
        {"{a: {item}, b: [1, {index: 3}]}", "item"},
        {"{a: (1, 2), item}", "item"},
        {"{and: 1, if: .item}", "item"},
        {".input.recipes | map({title, steps})", "input"},
        {"{review, review_index}", "review review_index"},
    };

    check_mentions(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(what_may_be_a_member_of_a_value_is_left_to_jq)
{
    static const struct mention_case cases[] = {
        {".input.list[] | .name", "input"},
        {".input.list | map(.title)", "input"},
        {".input.orders[] | .items[] | .args", "input"}, /* roots, but not here */
        {".input.orders[] | .item", "input item"},       /* a root here: both are meant */
        {".input.list | map({output, error, name})", "input"},
        {"[.input.list[] | select(.turn > 1)] | length", "input"},
        {".input as $x | $x.name", "input"},
        {".input as {output: $x} | $x", "input"},
        {"reduce .input.list[] as $x (0; . + $x.n)", "input"},
        {"def f(g; $x): g | .name; f(.input; 1)", "input"},
        {"label $out | .input, break $out", "input"},
        {"(.input | .name) + .item", "input item"},
        {".input.recipe | .[\"steps\"]", "input"},
    };

    check_mentions(cases, PL_ARRAY_LEN(cases));
}
END_TEST

START_TEST(what_is_surely_wrong_is_refused_in_words_for_its_author)
{
    static const struct {
        const char *program, *message;
    } cases[] = {
        {".inputs | length", "in expression '.inputs | length', .inputs is unknown; did you mean "
                             ".input?"},
        {"[.input.a, .itme.b]", ".itme is unknown; did you mean .item?"},
        {".input.a + .bananas", "begin with .input, .steps, .run, .thread, .state, .item, .index, "
                                ".review or .review_index"},
        {"{a: .revew}", "did you mean .review?"},
        {"{itme}", ".itme is unknown; did you mean .item?"},
        {"\"a \\(.itme)\"", "did you mean .item?"},
        {"(.input | length) + .itme", "did you mean .item?"},
        {".[\"inptu\"] | length", "did you mean .input?"},
        {".input[.itme] | length", "did you mean .item?"},
        {"$thread | length", "$thread is unknown; did you mean .thread?"},
        {".output | length", ".output exists only in accept"},
        {".input + .turn", ".turn exists only inside repeat"},
        {"{error}", ".error exists only inside on_error.step"},
        {".left + .right", ".left exists only in the reducer"},
        {".run.metdata | length", ".run has no field 'metdata'; did you mean 'metadata'?"},
        {".steps | length", ".steps must be followed by the id of a step, written out: "
                            ".steps.plan.output"},
        {".steps[]", ".steps must be followed by the id of a step"},
        {"[.steps[.input.x].output]", ".steps must be followed by the id of a step"},
        {".input.x as $i | $steps[$i]", "$steps must be followed by the id of a step"},
        {".steps[\"a\\(1)\"] | .output", ".steps must be followed by the id of a step"},
        {"{steps}", ".steps must be followed by the id of a step"},
        {".input.recipe | .steps[0]", "a member of another value is written .[\"steps\"]"},
        {".input.steps as $steps | $steps", "a variable of your own needs another name"},
        {".steps.a.ouput | length", "a step has no field 'ouput'; did you mean 'output'?"},
        {"env.HOME", "reads the environment"},
        {".input | $ENV.PATH", "reads the environment"},
        {".input | input", "'input' is not available: an expression sees its document and nothing"},
        {"now", "'now' is not available"},
        {"import \"a\" as $a; 1", "'import' is not available"},
        {".input.caf\xC3\xA9", "'\xC3\xA9' at character 11 stands outside a string; a name with "
                               "this character in it is written [\"...\"]"},
        {"\"\xC3\xA9\" + \xE2\x82\xAC", "'\xE2\x82\xAC' at character 7 "},
        {"(.input", "cannot be read: a `(` in it is not closed"},
        {".input)", "closes nothing"},
        {"if .input then 1", "an `if` in it has no `end`"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        ck_assert_msg(!compile(cases[i].program), "%s compiles", cases[i].program);
        ck_assert_msg(problems.total == 1, "%s: %zu problems", cases[i].program, problems.total);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s: %s",
                      cases[i].program, problems.items[0].message);
        ck_assert_uint_eq(problems.items[0].line, 7);
    }
    ck_assert_ptr_null(sink.first);
}
END_TEST

START_TEST(what_jq_does_not_compile_is_said_with_a_hint)
{
    static const struct {
        const char *program, *jq, *message;
    } cases[] = {
        {".input.user-id", "id/0 is not defined",
         "in expression '.input.user-id', id/0 is not defined; a name with '-' in it is written "
         "[\"user-id\"]"},
        {".input.a - b + .input.x-y-z", "z/0 is not defined", "is written [\"x-y-z\"]"},
        {"[.input.a, steps]", "steps/0 is not defined", "not defined; did you mean .steps?"},
        {".input | lenght", "lenght/0 is not defined",
         "lenght', lenght/0 is not defined; did you mean 'length'?"},
        {".input | nonesuch", "nonesuch/0 is not defined", "nonesuch/0 is not defined"},
        {".input == 'x'", "syntax error, unexpected INVALID_CHARACTER", "double quotes"},
        {".input && .item", "syntax error", "jq writes 'and' and 'or'"},
        {".input === 1", "syntax error", "jq writes '=='"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct expr *expr = compile(cases[i].program);
        struct pl_err err;

        ck_assert_msg(expr, "%s: %s", cases[i].program,
                      problems.count ? problems.items[0].message : "");
        (void)pl_err_set(&err, PL_ERR_EXPRESSION_ERROR, "%s", cases[i].jq);
        expr_jq_problem(expr, &err, &problems);
        ck_assert_uint_eq(problems.total, 1);
        ck_assert_uint_eq(problems.items[0].line, 7);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s",
                      problems.items[0].message);
    }
}
END_TEST

START_TEST(a_reducer_sees_left_and_right_and_is_always_a_program)
{
    static const struct mention_case good[] = {
        {"[.left, .right] | max_by(.score)", ""},
        {".right", ""},
        {".left.item + .right", ""},
        {".right as $run | $run", ""},
    };
    static const struct {
        const char *program, *message;
    } bad[] = {
        {".input + .right", ".input does not exist in a reducer, which sees .left and .right"},
        {"$state.x + .right", "$state does not exist in a reducer"},
        {".steps.a.output", ".steps does not exist in a reducer"},
        {".rihgt", ".rihgt is unknown; did you mean .right?"},
        {".bananas", "begin with .left or .right"},
    };

    names = (struct expr_names){.fold = true, .roots = ALL};
    check_mentions(good, PL_ARRAY_LEN(good));
    for (size_t i = 0; i < PL_ARRAY_LEN(good); i++)
        ck_assert(compile(good[i].program)->fold);
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        ck_assert_ptr_null(compile(bad[i].program));
        ck_assert_msg(strstr(problems.items[0].message, bad[i].message), "%s: %s", bad[i].program,
                      problems.items[0].message);
    }
}
END_TEST

START_TEST(a_program_with_very_many_mentions_is_read_quickly)
{
    enum { MENTIONS = 100000 };
    struct pl_buf text;

    pl_buf_init(&text, 8 << 20);
    pl_buf_text(&text, ".input.x");
    for (int i = 0; i < MENTIONS; i++)
        pl_buf_printf(&text, "+.steps.s%d.output", i / 2);
    ck_assert_uint_eq(compile(text.data)->n_refs, 1 + MENTIONS / 2);
    pl_buf_finish(&text);
}
END_TEST

/* ---- the document ---- */

static struct pl_str root_value(void *arg, const struct expr_ref *ref)
{
    (void)arg;
    if (ref->root == EXPR_ROOT_THREAD)
        return (struct pl_str){0};
    if (ref->root == EXPR_ROOT_RUN)
        return PL_STR(" {\"id\": 2} \n");
    if (ref->root == EXPR_ROOT_STATE && ref->name.len)
        return pl_str(pl_arena_printf(arena, "[\"%.*s\"]", PL_STR_ARG(ref->name)));
    return pl_str(pl_arena_printf(arena, "%d", (int)ref->root));
}

static struct pl_str step_value(void *arg, const struct step_def *step, enum expr_step_field field)
{
    (void)arg;
    (void)step;
    return pl_str(pl_arena_printf(arena, "\"%s\"", fields[field]));
}

static const struct expr_scope scope = {.root = root_value, .step = step_value};

/* The document of programs, one a line. */
static const char *document(const char *programs)
{
    struct expr *exprs[8];
    size_t count = 0;
    struct pl_buf out;
    char *text;

    for (const char *end = programs; *end; programs = end + 1) {
        end = strchrnul(programs, '\n');
        text = pl_arena_printf(arena, "%.*s", (int)(end - programs), programs);
        exprs[count] = compile(text);
        ck_assert_msg(exprs[count], "%s: %s", text, problems.items[0].message);
        count++;
    }
    pl_buf_init(&out, 4096);
    ck_assert_int_eq(
        expr_write_document((const struct expr *const *)exprs, count, &scope, &out, NULL), PL_OK);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 8, NULL, NULL), PL_OK);
    text = pl_arena_strdup(arena, out.data);
    pl_buf_finish(&out);
    return text;
}

START_TEST(a_document_holds_what_is_mentioned_and_nothing_else)
{
    static const char everything[] =
        "{\"input\":0,\"run\": {\"id\": 2},\"thread\":null,\"output\":4,"
        "\"error\":5,\"item\":7,\"index\":8,\"items\":9,"
        "\"review\":10,\"review_index\":11,\"turn\":12,"
        "\"previous\":13,\"args\":14,\"candidates\":15,"
        "\"candidate\":16}";

    names.roots = ALL;
    ck_assert_str_eq(document("1 + 1"), "{}");
    ck_assert_str_eq(document(".input + 1"), "{\"input\":0}");
    ck_assert_str_eq(document(".input + 1\n.input + .item"), "{\"input\":0,\"item\":7}");
    ck_assert_str_eq(document("[.candidate, .candidates, .args, .previous, .turn, .items]\n"
                              "[.index, .item, .error, .output, .thread, .run, .input]\n"
                              "[.review_index, .review]"),
                     everything);
    ck_assert_str_eq(document(".input | .unknown"), "{\"input\":0}");
}
END_TEST

START_TEST(steps_and_channels_come_with_the_parts_that_are_mentioned)
{
    ck_assert_str_eq(document(".steps.b.status + .steps.a.output\n.steps.b.join + 1"),
                     "{\"steps\":{\"a\":{\"output\":\"output\"},"
                     "\"b\":{\"status\":\"status\",\"join\":\"join\"}}}");
    ck_assert_str_eq(document(".steps.b.status + .steps.a.output\n[.steps.b]"),
                     "{\"steps\":{\"a\":{\"output\":\"output\"},\"b\":\"*\"}}");
    ck_assert_str_eq(document(".steps.ab.output + .steps.a.output\n.steps.a.output + 1"),
                     "{\"steps\":{\"a\":{\"output\":\"output\"},\"ab\":{\"output\":\"output\"}}}");
    ck_assert_str_eq(document(".state.b + .state.a\n.state.b + 1"),
                     "{\"state\":{\"a\":[\"a\"],\"b\":[\"b\"]}}");
    ck_assert_str_eq(document(".state.b + .state.a\n[.state]"), "{\"state\":6}");
    ck_assert_str_eq(document(".index + .state.a\n.steps.a.output + .input"),
                     "{\"input\":0,\"steps\":{\"a\":{\"output\":\"output\"}},"
                     "\"state\":{\"a\":[\"a\"]},\"index\":8}");
}
END_TEST

START_TEST(a_document_past_the_cap_of_its_buffer_is_too_large)
{
    struct expr *expr = compile(".steps.a.output + .input");
    struct pl_err err;
    struct pl_buf out;

    pl_buf_init(&out, 20);
    ck_assert_int_eq(expr_write_document((const struct expr *const *)&expr, 1, &scope, &out, &err),
                     PL_ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.message, "larger than 20 bytes"));
    pl_buf_finish(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expr_jq");
    TCase *tests = tcase_create("expr_jq");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_more_than_a_path_is_a_program_with_what_it_mentions);
    tcase_add_test(tests, a_name_that_goes_on_with_a_value_is_no_mention);
    tcase_add_test(tests,
                   strings_and_comments_hold_no_mention_but_what_is_spliced_into_a_string_does);
    tcase_add_test(tests, keys_of_objects_are_no_mentions_unless_they_stand_for_their_value);
    tcase_add_test(tests, what_may_be_a_member_of_a_value_is_left_to_jq);
    tcase_add_test(tests, what_is_surely_wrong_is_refused_in_words_for_its_author);
    tcase_add_test(tests, what_jq_does_not_compile_is_said_with_a_hint);
    tcase_add_test(tests, a_reducer_sees_left_and_right_and_is_always_a_program);
    tcase_add_test(tests, a_program_with_very_many_mentions_is_read_quickly);
    tcase_add_test(tests, a_document_holds_what_is_mentioned_and_nothing_else);
    tcase_add_test(tests, steps_and_channels_come_with_the_parts_that_are_mentioned);
    tcase_add_test(tests, a_document_past_the_cap_of_its_buffer_is_too_large);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
