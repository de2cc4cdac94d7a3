/* test_expr.c - paths: what compiles and to what, what is refused and how it is said, and what
 * paths give. jq programs are in test_expr_jq.c. Run by ctest. */
#include "service/expr/expr.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVERYWHERE =
        1u << EXPR_ROOT_INPUT | 1u << EXPR_ROOT_STEP | 1u << EXPR_ROOT_RUN | 1u << EXPR_ROOT_THREAD,
    ALL = (1u << EXPR_ROOT__COUNT) - 1,
};

static struct pl_arena *arena;
static struct doc_problems problems;
static struct expr_sink sink;
static struct pl_str values[EXPR_ROOT__COUNT];
static const struct step_def *const outer_map = (const struct step_def *)&values[0];
static const struct step_def *const inner_map = (const struct step_def *)&values[1];
static const struct expr_as *names_as; /* of what is compiled */

static void setup(void)
{
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
    expr_sink_init(&sink);
    memset(values, 0, sizeof(values));
    names_as = NULL;
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
    return expr_compile(arena, node, (struct expr_names){.roots = roots, .as = names_as}, &sink,
                        &problems);
}

/* "input/a/[2]/b?": the root, the step and field if any, and the segments of an expression. */
static const char *describe(const struct expr *expr)
{
    static const char *const roots[] = {
        "input", "step", "run", "thread", "output",   "error", "state",      "item",     "index",
        "items", "as",   "as#", "turn",   "previous", "args",  "candidates", "candidate"};
    const struct expr_ref *ref = &expr->refs[0];
    const char *out = roots[ref->root];

    ck_assert_int_eq(expr->kind, EXPR_PATH);
    if (ref->name.ptr)
        out = pl_arena_printf(arena, "%s:%.*s", out, PL_STR_ARG(ref->name));
    if (ref->root == EXPR_ROOT_STEP)
        out = pl_arena_printf(arena, "%s:%d", out, (int)ref->field);
    for (size_t i = 0; i < expr->n_segments; i++) {
        const struct expr_segment *segment = &expr->segments[i];
        const char *optional = segment->optional ? "?" : "";

        if (segment->dynamic)
            out = pl_arena_printf(arena, "%s/[%s]%s", out, describe(segment->dynamic), optional);
        else if (segment->name.ptr)
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
        {"${ .input }", "input"},
        {"${.input.a.b[0]}", "input/a/b/[0]"},
        {"  ${ .input.a }\n", "input/a"},
        {"${ $input.a }", "input/a"},
        {"${ $input .a }", "input/a"},
        {"${ .[\"input\"][\"a b\"] }", "input/a b"},
        {"${ .input.\"x y\".z }", "input/x y/z"},
        {"${ .input[\"\\u00e9\\n}\"] }", "input/\xC3\xA9\n}"},
        {"${ .input.[\"k\"].[1] }", "input/k/[1]"},
        {"${ .input [ -1 ] ? .k }", "input/[-1]?/k"},
        {"${ .input.a?.b?? }", "input/a?/b?"},
        {"${ .input[\"\"] }", "input/"},
        {"${ .steps.plan.output }", "step:plan:1"},
        {"${ .steps[\"plan\"][\"output\"].x }", "step:plan:1/x"},
        {"${ $steps.plan.status }", "step:plan:2"},
        {"${ .steps.plan.error.code }", "step:plan:3/code"},
        {"${ .steps.plan.usage }", "step:plan:4"},
        {"${ .steps.plan.join.counted[0] }", "step:plan:5/counted/[0]"},
        {"${ .steps.plan }", "step:plan:0"},
        {"${ .steps.plan? }", "step:plan:0"},
        {"${ .run.id }", "run/id"},
        {"${ $run.metadata.x }", "run/metadata/x"},
        {"${ .run }", "run"},
        {"${ .thread.id }", "thread/id"},
        {"${ .output.score }", "output/score"},
        {"${ .error.code }", "error/code"},
        {"${ .state }", "state"},
        {"${ .state.notes }", "state:notes"},
        {"${ $state[\"notes\"][-1].text }", "state:notes/[-1]/text"},
        {"${ .state[.item] }", "state/[item]"},
        {"${ .item.name }", "item/name"},
        {"${ .index }", "index"},
        {"${ .items[0] }", "items/[0]"},
        {"${ .turn }", "turn"},
        {"${ .previous.output.text }", "previous/output/text"},
        {"${ .args.city }", "args/city"},
        {"${ .candidates[1].output }", "candidates/[1]/output"},
        {"${ .candidate.output }", "candidate/output"},
        {"${ .steps.x.output[.index] }", "step:x:1/[index]"},
        {"${ .steps.x.output[ .item.id ]?.name }", "step:x:1/[item/id]?/name"},
        {"${ .input[$input.key][.index].x }", "input/[input/key]/[index]/x"},
        {"${ .input[.steps.x.output[0][\"]\"]] }", "input/[step:x:1/[0]/]]"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct expr *expr = compile(cases[i].text, ALL);

        ck_assert_msg(expr, "%s: %s", cases[i].text,
                      problems.count ? problems.items[0].message : "no problem");
        ck_assert_str_eq(describe(expr), cases[i].path);
    }
}
END_TEST

START_TEST(a_path_that_leads_nowhere_is_refused_in_words_for_its_author)
{
    static const struct {
        const char *text, *message; /* a part of it */
    } cases[] = {
        {"${  }", "the expression is empty"},
        {"${ input.a }", "must begin with a point: .input"},
        {"${ steps.a.output }", "must begin with a point: .steps"},
        {"${ .[0] }", "must begin with a name: .input, .steps, "},
        {"${ .[.index] }", "must begin with a name"},
        {"${ env.HOME }", "reads the environment"},
        {"${ $ENV.HOME }", "reads the environment"},
        {"${ .inptu.a }", ".inptu is unknown; did you mean .input?"},
        {"${ .[\"inptu\"] }", ".inptu is unknown; did you mean .input?"},
        {"${ $thread.id }", "$thread is unknown; did you mean .thread?"},
        {"${ $output }", "did you mean .output?"},
        {"${ $item }", "$item is unknown; did you mean .item?"},
        {"${ .bananas }", "begin with .input, .steps, .run, .thread, .output, .error, .state, "},
        {"${ .bananas }", ".candidates or .candidate"},
        {"${ .input[.idnex] }", ".idnex is unknown; did you mean .index?"},
        {"${ .input[$i] }", "$i is unknown"},
        {"${ .left }", ".left exists only in the reducer of a state channel"},
        {"${ .steps }", ".steps must be followed by the id of a step"},
        {"${ $steps }", "$steps must be followed by the id of a step"},
        {"${ .steps[0] }", ".steps must be followed by the id of a step"},
        {"${ .steps[.input.x].output }", ".steps must be followed by the id of a step"},
        {"${ .steps.a.outptu }", "no field 'outptu'; did you mean 'output'?"},
        {"${ .steps.a.banana }", "there is output, status, error, usage, join"},
        {"${ .steps.a[0] }", "a step is not a list"},
        {"${ .run.metdata }", "did you mean 'metadata'?"},
        {"${ .thread.name }", ".thread has no field 'name'"},
        {"${ .previous.ouput }", ".previous has no field 'ouput'; did you mean 'output'?"},
        {"plain", "expected one expression"},
        {".input.a", "expected one expression"},
        {"${ .input.a } and more", "nothing around it"},
        {"${ .input.a }${ .input.b }", "nothing around it"},
        {"${ .input.a", "has no end"},
        {"${ .input[\"}\" }", "a `[` in it is not closed"},
        {"${ .input[\"} ]", "has no end"},
        {"${ .input[\"\\(\"} ]", "has no end"},
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
    static const struct {
        const char *text;
        unsigned roots;
        const char *message;
    } cases[] = {
        {"${ .error.code }", EVERYWHERE, ".error exists only inside on_error.step"},
        {"${ .output }", EVERYWHERE, ".output exists only in accept, key, score, until and writes"},
        {"${ .item }", EVERYWHERE, ".item exists only inside the 'do' of a map"},
        {"${ .index }", EVERYWHERE, ".index exists only inside the 'do' of a map"},
        {"${ .items }", EVERYWHERE, "only inside the 'do' of a map with 'batch'"},
        {"${ .items }", 1u << EXPR_ROOT_ITEM, "here write .item"},
        {"${ .item }", 1u << EXPR_ROOT_ITEMS, "write .items"},
        {"${ .turn }", EVERYWHERE, "only inside repeat"},
        {"${ .previous.output }", EVERYWHERE, "only inside repeat"},
        {"${ .args.x }", EVERYWHERE, "only in the 'do' of an agent's tool"},
        {"${ .candidates }", EVERYWHERE, "only in the 'judge' of a vote"},
        {"${ .candidate }", EVERYWHERE, "only in the 'score' step of a vote"},
        {"${ .input }", 1u << EXPR_ROOT_OUTPUT, ".input cannot be used here"},
        {"${ $state.x }", EVERYWHERE, "$state cannot be used here"},
        {"${ .input[.index] }", EVERYWHERE, ".index exists only inside"},
        {"${ .itme }", EVERYWHERE, "begin with .input, .steps, .run or .thread"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        ck_assert_msg(!compile(cases[i].text, cases[i].roots), "%s compiles", cases[i].text);
        ck_assert_uint_eq(problems.total, 1);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s: %s", cases[i].text,
                      problems.items[0].message);
    }
}
END_TEST

START_TEST(names_given_with_as_are_those_of_the_nearest_map)
{
    struct expr_as outermost = {.name = PL_STR("doc"), .map = outer_map};
    struct expr_as inner = {.name = PL_STR("review"), .map = inner_map, .outer = &outermost};
    struct expr *expr;

    names_as = &inner;
    expr = compile("${ .doc.pages[.review_index] }", EVERYWHERE);
    ck_assert_str_eq(describe(expr), "as:doc/pages/[as#:review]");
    ck_assert_uint_eq(expr->n_refs, 2);
    ck_assert_ptr_eq(expr->refs[0].step, outer_map);
    ck_assert_ptr_eq(expr->refs[1].step, inner_map);
    outermost.name = inner.name; /* both maps give the same name */
    ck_assert_ptr_eq(compile("${ .review.x }", EVERYWHERE)->refs[0].step, inner_map);
    ck_assert_ptr_null(compile("${ .revew }", EVERYWHERE));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "did you mean .review?"));
    ck_assert_ptr_null(compile("${ .bananas }", EVERYWHERE));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, ".review or .review_index"));
    ck_assert_ptr_null(compile("${ $review }", EVERYWHERE));
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "did you mean .review?"));
}
END_TEST

START_TEST(the_indexes_of_a_path_have_their_references_behind_its_own)
{
    struct expr *expr = compile("${ .steps.a.output[.index][.steps.b.output] }", ALL);

    ck_assert_uint_eq(expr->n_refs, 3);
    ck_assert(pl_str_is(expr->refs[0].name, "a"));
    ck_assert_int_eq(expr->refs[1].root, EXPR_ROOT_INDEX);
    ck_assert(pl_str_is(expr->refs[2].name, "b"));
    /* the same memory, so that what check fills in is seen by the evaluation */
    ck_assert_ptr_eq(expr->segments[0].dynamic->refs, &expr->refs[1]);
    ck_assert_ptr_eq(expr->segments[1].dynamic->refs, &expr->refs[2]);
    ck_assert_ptr_eq(sink.first, expr);
    ck_assert_ptr_null(expr->next);
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
        {"${ .input.o.k.x[.index] }", "2.50"},
        {"${ .input.o.k.x[.turn] }", "{\"y\":null}"},
        {"${ .input.o.k.x[.args.half] }", "1"},
        {"${ .input.o.k.x[.args.below] }", "{\"y\":null}"},
        {"${ .input.o.k.x[.args.far] }", "null"},
        {"${ .input[.item] }", "\"t\\u00e9\""},
        {"${ .input[.args.accent] }", "1"},
        {"${ .input.o[.item].more }", "null"},
        {"${ .input.o.k.x[.item]? }", "null"},
        {"${ .input.o[.index]? }", "null"},
        {"${ .input.o[.input.z]? }", "null"},
        {"${ .input.z[.input.f] }", "null"},
    };

    values[EXPR_ROOT_INPUT] = pl_str(input);
    values[EXPR_ROOT_INDEX] = PL_STR("1");
    values[EXPR_ROOT_TURN] = PL_STR(" -1");
    values[EXPR_ROOT_ITEM] = PL_STR(" \"s\" ");
    values[EXPR_ROOT_ARGS] =
        PL_STR("{\"half\":0.9,\"below\":-0.5,\"far\":1e300,\"accent\":\"caf\\u00e9\"}");
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
        {"${ .input.l.length }", "the member 'length' of a list; how long it is says '| length'"},
        {"${ .input.n.length }", "the member 'length' of a number; put '?' behind it"},
        {"${ .input.n.k }", "cannot take the member 'k' of a number"},
        {"${ .input.s[\"k\"] }", "cannot take the member 'k' of a string"},
        {"${ .input.b.k }", "cannot take the member 'k' of a boolean"},
        {"${ .input[0] }", "cannot take element 0 of an object"},
        {"${ .input.s[-1] }", "cannot take element -1 of a string"},
        {"${ .input.l[0]?.k }", "cannot take the member 'k' of a number"},
        {"${ .input.l[.input.s] }", "cannot take the member 'x' of a list"},
        {"${ .input[.input.n] }", "cannot take element 1 of an object"},
        {"${ .input.l[.input.b] }",
         "expression '.input.l[.input.b]': the index '.input.b' must be a number or a string, and "
         "is a boolean"},
        {"${ .input.l[.input.none] }", "must be a number or a string, and is null"},
        {"${ .input.l[.input.l.k] }", "expression '.input.l.k': cannot take the member 'k' of"},
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
    tcase_add_test(tests, a_path_that_leads_nowhere_is_refused_in_words_for_its_author);
    tcase_add_test(tests, a_root_that_does_not_exist_here_says_where_it_does);
    tcase_add_test(tests, names_given_with_as_are_those_of_the_nearest_map);
    tcase_add_test(tests, the_indexes_of_a_path_have_their_references_behind_its_own);
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
