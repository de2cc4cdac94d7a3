/* test_doc.c - documents: what the core schema makes of them, where things stand, and what is said
 * about bad ones. Run by ctest. */
#include "base/json.h"
#include "base/limits.h"
#include "service/workflow/doc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct pl_arena *arena;
static struct doc_problems problems;

static void setup(void)
{
    arena = pl_arena_create(0);
    doc_problems_init(&problems, arena);
}

static void teardown(void)
{
    pl_arena_destroy(&arena);
}

static enum pl_code parse(const char *text, enum doc_format format, struct doc_node **ret_root)
{
    doc_problems_init(&problems, arena);
    *ret_root = NULL;
    return doc_parse(arena, pl_str(text), format, ret_root, &problems);
}

static void expect_json(const char *text, const char *json)
{
    struct doc_node *root;
    enum pl_code code = parse(text, DOC_AUTO, &root);

    ck_assert_msg(code == PL_OK, "%s: %s", text,
                  problems.count ? problems.items[0].message : pl_code_text(code));
    ck_assert_str_eq(doc_json(arena, root).ptr, json);
}

START_TEST(a_body_that_was_not_sent_is_an_empty_document)
{
    struct doc_node *root;

    ck_assert_int_eq(parse(NULL, DOC_YAML, &root), PL_OK);
    ck_assert_int_eq(root->type, DOC_NULL);
    ck_assert_int_eq(parse(NULL, DOC_AUTO, &root), PL_OK);
    ck_assert_int_eq(parse(NULL, DOC_JSON, &root), PL_ERR_INVALID_JSON);
}
END_TEST

START_TEST(yaml_means_what_the_core_schema_says)
{
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"", "null"},
        {"# nothing\n", "null"},
        {"a: yes\nb: no\nc: on\nd: off\ne: y", "{\"a\":\"yes\",\"b\":\"no\",\"c\":\"on\","
                                               "\"d\":\"off\",\"e\":\"y\"}"},
        {"on: 1", "{\"on\":1}"},
        {"[null, Null, NULL, ~, nULL]", "[null,null,null,null,\"nULL\"]"},
        {"a:", "{\"a\":null}"},
        {"[true, True, TRUE, false, False, FALSE, tRUE]",
         "[true,true,true,false,false,false,\"tRUE\"]"},
        {"[0, -0, 7, +7, 007, -012]", "[0,-0,7,7,7,-12]"},
        {"[0x1F, 0xff, 0o17, 0x, 0o8, -0x1, 017]", "[31,255,15,\"0x\",\"0o8\",\"-0x1\",17]"},
        {"[18446744073709551615, 0xFFFFFFFFFFFFFFFF]",
         "[18446744073709551615,18446744073709551615]"},
        {"[123456789012345678901234567890]", "[123456789012345678901234567890]"},
        {"[1.5, .5, -.5, 1., 1e3, 1E+3, 1.5e-3, .e1, 1e, 1_000, 1:30]",
         "[1.5,0.5,-0.5,1,1e3,1e+3,1.5e-3,\".e1\",\"1e\",\"1_000\",\"1:30\"]"},
        {"[2024-01-01, 1.2.3, -, +, ., .., '.5']",
         "[\"2024-01-01\",\"1.2.3\",\"-\",\"+\",\".\",\"..\",\".5\"]"},
        {"['1', \"true\", 'null', \"\"]", "[\"1\",\"true\",\"null\",\"\"]"},
        {"a: |\n  one\n  two\nb: >-\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\"}"},
        {"1: a\ntrue: b\n1.0: c\nnull: d",
         "{\"1\":\"a\",\"true\":\"b\",\"1.0\":\"c\",\"null\":\"d\"}"},
        {"a: !!str 5\nb: !!int '5'\nc: !!float 5\nd: ! 5\ne: !!map {}\nf: !!seq []",
         "{\"a\":\"5\",\"b\":5,\"c\":5,\"d\":\"5\",\"e\":{},\"f\":[]}"},
        {"a: &x {k: [1, 2]}\nb: *x\nc: *x", "{\"a\":{\"k\":[1,2]},\"b\":{\"k\":[1,2]},"
                                            "\"c\":{\"k\":[1,2]}}"},
        {"&k key: 1\nb: *k\nc: {*k : 2}", "{\"key\":1,\"b\":\"key\",\"c\":{\"key\":2}}"},
        {"%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}"},
        {"\xEF\xBB\xBF"
         "a: 1",
         "{\"a\":1}"},
        {"a: \"\\u00e9\\x41\\n\"", "{\"a\":\"\xC3\xA9"
                                   "A\\n\"}"},
        {"when: ${ .a.b }\nthen: x ${ .a[\"k\"] } y", "{\"when\":\"${ .a.b }\","
                                                      "\"then\":\"x ${ .a[\\\"k\\\"] } y\"}"},
        {"a: cost ${ and more", "{\"a\":\"cost ${ and more\"}"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        expect_json(cases[i].yaml, cases[i].json);
}
END_TEST

START_TEST(json_is_read_strictly_and_flow_yaml_still_works)
{
    expect_json(" {\"a\": [1, 2.50, \"\\ud83d\\ude00\\/\"], \"b\": {}} ",
                "{\"a\":[1,2.50,\"\xF0\x9F\x98\x80/\"],\"b\":{}}");
    expect_json("{a: 1, b: [x, 'y'],}", "{\"a\":1,\"b\":[\"x\",\"y\"]}");
    expect_json("[a, b]", "[\"a\",\"b\"]");
    expect_json("\"just text\"", "\"just text\"");
}
END_TEST

START_TEST(every_value_and_key_knows_its_line_and_column)
{
    struct doc_node *root;
    const struct doc_node *b, *x;

    ck_assert_int_eq(parse("a: 1\n\xC3\xA9\xC3\xA9: {b: \xE2\x82\xAC\xE2\x82\xAC, x: [1,\n  2]}\n",
                           DOC_YAML, &root),
                     PL_OK);
    ck_assert_uint_eq(root->line, 1);
    ck_assert_uint_eq(root->column, 1);
    b = doc_get(root->items[1], "b");
    ck_assert_uint_eq(root->items[1]->key_line, 2);
    ck_assert_uint_eq(root->items[1]->key_column, 1);
    ck_assert_uint_eq(root->items[1]->column, 7); /* bytes: the key has four */
    ck_assert_uint_eq(b->key_column, 8);
    ck_assert_uint_eq(b->column, 11);
    x = doc_get(root->items[1], "x");
    ck_assert_uint_eq(x->key_column, 19);
    ck_assert_uint_eq(x->items[0]->column, 23);
    ck_assert_uint_eq(x->items[1]->line, 3);
    ck_assert_uint_eq(x->items[1]->column, 3);
    ck_assert_str_eq(doc_pointer(arena, x->items[1]), "/\xC3\xA9\xC3\xA9/x/1");

    ck_assert_int_eq(parse("{\n \"a\": [1,\n  {\"k\" : true}]}", DOC_JSON, &root), PL_OK);
    x = root->items[0]->items[1]->items[0];
    ck_assert_uint_eq(x->key_line, 3);
    ck_assert_uint_eq(x->key_column, 4);
    ck_assert_uint_eq(x->line, 3);
    ck_assert_uint_eq(x->column, 10);
}
END_TEST

START_TEST(an_alias_stands_where_it_is_written)
{
    struct doc_node *root;

    ck_assert_int_eq(parse("a: &x [1]\nb: *x\n", DOC_YAML, &root), PL_OK);
    ck_assert_uint_eq(root->items[1]->line, 2);
    ck_assert_uint_eq(root->items[1]->column, 4);
    ck_assert_str_eq(doc_pointer(arena, root->items[1]->items[0]), "/b/0");
    ck_assert_ptr_eq(root->items[1]->items[0]->parent, root->items[1]);
}
END_TEST

struct bad {
    const char *text;
    enum pl_code code;
    unsigned line, column;
    const char *pointer, *message; /* a part of it */
};

static void expect_bad(const struct bad *bad, enum doc_format format)
{
    struct doc_node *root;
    enum pl_code code = parse(bad->text, format, &root);
    const struct doc_problem *problem = &problems.items[0];

    ck_assert_msg(code == bad->code, "%s: %s", bad->text, pl_code_text(code));
    ck_assert_uint_ge(problems.count, 1);
    ck_assert_msg(strstr(problem->message, bad->message), "%s: %s", bad->text, problem->message);
    ck_assert_msg(problem->line == bad->line && problem->column == bad->column, "%s: %u:%u %s",
                  bad->text, problem->line, problem->column, problem->message);
    ck_assert_msg(!strcmp(problem->pointer, bad->pointer), "%s: [%s] %s", bad->text,
                  problem->pointer, problem->message);
}

START_TEST(bad_yaml_is_refused_with_its_place_and_what_to_do)
{
    static const struct bad cases[] = {
        {"a: 1\nb: 2\na: 3\n", PL_ERR_INVALID_YAML, 3, 1, "/a", "already there on line 1"},
        {"x: {b: 1,\n 'b': 2}", PL_ERR_INVALID_YAML, 2, 2, "/x/b", "already there on line 1"},
        {"a: 1\n<<: {b: 2}\n", PL_ERR_INVALID_YAML, 2, 1, "", "merge keys"},
        {"a: !foo 1", PL_ERR_INVALID_YAML, 1, 4, "/a", "tag '!foo' is not supported"},
        {"a: [0, !!int x]", PL_ERR_INVALID_YAML, 1, 8, "/a/1", "does not fit its tag"},
        {"a: !!map []", PL_ERR_INVALID_YAML, 1, 4, "/a", "does not fit its tag"},
        {"- .inf", PL_ERR_INVALID_YAML, 1, 3, "/0", "no infinity"},
        {"- 1\n- -.NaN", PL_ERR_INVALID_YAML, 2, 3, "/1", "no infinity and no NaN"},
        {"a: 0x10000000000000000", PL_ERR_INVALID_YAML, 1, 4, "/a", "64 bits"},
        {"a: 1\n---\nb: 2\n", PL_ERR_INVALID_YAML, 2, 1, "", "a second document"},
        {"a: *x", PL_ERR_INVALID_YAML, 1, 4, "/a", "names no anchor"},
        {"a: &x [1, *x]", PL_ERR_INVALID_YAML, 1, 11, "/a/1", "inside the value it names"},
        {"[a]: 1", PL_ERR_INVALID_YAML, 1, 1, "", "a key must be text, not a list"},
        {"? {a: 1}\n: 1", PL_ERR_INVALID_YAML, 1, 3, "", "a key must be text, not an object"},
        {"a: &x [1]\n*x : 1", PL_ERR_INVALID_YAML, 2, 1, "", "a key must be text"},
        {"? \n: 1", PL_ERR_INVALID_YAML, 1, 2, "", "a key is missing"},
        {"a: \"x\\0y\"", PL_ERR_INVALID_YAML, 1, 4, "/a", "NUL"},
        {"a: b\nc: \xC3(", PL_ERR_INVALID_YAML, 2, 5, "", "must be UTF-8"},
        {"a: \x01", PL_ERR_INVALID_YAML, 1, 4, "", "control characters"},
        {"a:\n\tb: 1\n", PL_ERR_INVALID_YAML, 2, 1, "/a", "indent with spaces"},
        {"a: b: c\n", PL_ERR_INVALID_YAML, 1, 5, "", "mapping values are not allowed"},
        {"a: \xC3\xA9: c\n", PL_ERR_INVALID_YAML, 1, 6, "", "mapping values are not allowed"},
        {"a:\n  - 1\n b: 2\n", PL_ERR_INVALID_YAML, 3, 2, "", "indentation"},
        {"a: [1, 2\nb: 3\n", PL_ERR_INVALID_YAML, 2, 2, "/a/2", "flow sequence"},
        {"  a: 1\nb: 2\n", PL_ERR_INVALID_YAML, 2, 1, "", "the document ended before this line"},
        {"a: 'b\n", PL_ERR_INVALID_YAML, 2, 1, "/a", "quoted scalar"},
        {"%FOO\na: 1", PL_ERR_INVALID_YAML, 1, 5, "", "directive"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        expect_bad(&cases[i], DOC_YAML);
}
END_TEST

START_TEST(an_expression_that_had_to_be_quoted_is_pointed_at)
{
    static const struct bad cases[] = {
        {"a: {x: ${ .b }}", PL_ERR_INVALID_YAML, 1, 8, "/a/x", "must be quoted"},
        {"a: [${ .b }, 1]", PL_ERR_INVALID_YAML, 1, 5, "/a/0", "must be quoted"},
        {"a: {p: Say ${ .b } now}", PL_ERR_INVALID_YAML, 1, 12, "/a/p", "must be quoted"},
        {"a:\n  when: ${ .b # c }\n", PL_ERR_INVALID_YAML, 2, 9, "/a/when", "must be quoted"},
        {"b: 1\nwhen: ${ {a: 1} }\n", PL_ERR_INVALID_YAML, 2, 7, "/when", "must be quoted"},
        {"b: \xC3\xA9 ${ .c + \"x: y\" }\n", PL_ERR_INVALID_YAML, 1, 7, "/b", "must be quoted"},
        {"- ${ .a: .b }\n", PL_ERR_INVALID_YAML, 1, 3, "/0", "must be quoted"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        expect_bad(&cases[i], DOC_AUTO);
    expect_json("a: {x: \"${ .b }\"}", "{\"a\":{\"x\":\"${ .b }\"}}");
}
END_TEST

/* The hint must not hide errors that have nothing to do with an expression. */
START_TEST(an_error_beside_a_finished_expression_keeps_its_own_message)
{
    static const struct bad cases[] = {
        {"a: \"${ .x }\" b: 1\n", PL_ERR_INVALID_YAML, 1, 14, "", "did not find expected key"},
        {"a: ${ .x } b: 1\n", PL_ERR_INVALID_YAML, 1, 13, "", "mapping values"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct doc_node *root;

        ck_assert_int_eq(parse(cases[i].text, DOC_AUTO, &root), cases[i].code);
        ck_assert_msg(strstr(problems.items[0].message, cases[i].message), "%s",
                      problems.items[0].message);
    }
}
END_TEST

START_TEST(bad_json_is_refused_with_its_place)
{
    static const struct bad cases[] = {
        {"{\"a\": 1,\n \"b\": tru}", PL_ERR_INVALID_JSON, 2, 7, "/b", "expected a value"},
        {"{\"a\": [1 2]}", PL_ERR_INVALID_JSON, 1, 10, "/a/1", "expected ',' or ']'"},
        {"[1,\n2,\n]", PL_ERR_INVALID_JSON, 3, 1, "/2", "expected a value"},
        {"{\"a\": 1} x", PL_ERR_INVALID_JSON, 1, 10, "", "but found 'x'"},
        {"", PL_ERR_INVALID_JSON, 1, 1, "", "the text ends"},
        {"{\"a\": 1,\n\"b\": 2, \"a\": 3}", PL_ERR_INVALID_JSON, 2, 9, "/a",
         "already there on line 1"},
        {"\"\\ud800\"", PL_ERR_INVALID_JSON, 1, 2, "", "surrogate"},
        {"\xEF\xBB\xBF{}", PL_ERR_INVALID_JSON, 1, 1, "", "byte order mark"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        expect_bad(&cases[i], DOC_JSON);
}
END_TEST

START_TEST(text_that_is_neither_json_nor_yaml_is_reported_as_json)
{
    static const struct bad bad = {"{\"a\": 1\n \"b\": 2}", PL_ERR_INVALID_JSON, 2, 2, "",
                                   "expected ',' or '}'"};
    static const struct bad unquoted = {"{\"a\": ${ .x }}", PL_ERR_INVALID_YAML, 1, 7, "/a",
                                        "must be quoted"};

    expect_bad(&bad, DOC_AUTO);
    expect_bad(&unquoted, DOC_AUTO);
    ck_assert_uint_eq(problems.total, 1);
}
END_TEST

START_TEST(a_document_with_refused_values_reports_all_and_still_gives_its_tree)
{
    struct doc_node *root;

    ck_assert_int_eq(
        parse("a: !x 1\nb: .nan\nc: {d: 1, d: 2}\nwhen: ${ .a # b }\ne: fine\n", DOC_YAML, &root),
        PL_ERR_INVALID_YAML);
    ck_assert_uint_eq(problems.total, 4);
    doc_problems_sort(&problems);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(problems.items[i].line, i + 1);
    ck_assert_ptr_nonnull(root);
    ck_assert(root->items[0]->refused && root->items[1]->refused && root->items[3]->refused);
    ck_assert(!root->items[4]->refused);
    ck_assert_str_eq(doc_get(doc_get(root, "c"), "d")->text.ptr, "1");
}
END_TEST

START_TEST(a_key_is_found_whatever_the_size_of_its_object)
{
    char text[4096] = "";
    struct doc_node *root;

    for (unsigned n = 1; n <= 40; n += 3) {
        size_t used = 0;

        for (unsigned i = 0; i < n; i++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "k%u: %u\n", i, i);
        ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_OK);
        for (unsigned i = 0; i < n; i++) {
            char key[16], value[16];

            snprintf(key, sizeof(key), "k%u", i);
            snprintf(value, sizeof(value), "%u", i);
            ck_assert_str_eq(doc_get(root, key)->text.ptr, value);
        }
        ck_assert_ptr_null(doc_get(root, "k"));
    }
    ck_assert_ptr_null(doc_get(NULL, "a"));
    ck_assert_ptr_null(doc_get(root->items[0], "a"));
    /* the last of many is a duplicate */
    strncat(text, "k3: again\n", sizeof(text) - strlen(text) - 1);
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_ERR_INVALID_YAML);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "line 4"));
}
END_TEST

START_TEST(pointers_escape_tildes_and_slashes)
{
    struct doc_node *root;

    ck_assert_int_eq(parse("{\"a/b~\": [0, {\"\": {\"~1\": 1}}]}", DOC_JSON, &root), PL_OK);
    ck_assert_str_eq(doc_pointer(arena, root), "");
    ck_assert_str_eq(doc_pointer(arena, root->items[0]->items[1]->items[0]->items[0]),
                     "/a~1b~0/1//~01");
}
END_TEST

static char *repeat(const char *piece, size_t times, const char *end)
{
    size_t length = strlen(piece);
    char *text = malloc(length * times + strlen(end) + 1);

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * length, piece, length);
    memcpy(text + times * length, end, strlen(end) + 1);
    return text;
}

START_TEST(nesting_ends_at_the_limit_in_both_formats)
{
    static const char *const pieces[] = {"[", "- ", "{\"a\":", "{a: ", "? "};
    struct doc_node *root;
    char *text;

    for (size_t i = 0; i < PL_ARRAY_LEN(pieces); i++) {
        text = repeat(pieces[i], PL_LIMIT_JSON_DEPTH + 1, "1");
        ck_assert_int_ne(parse(text, DOC_AUTO, &root), PL_OK);
        free(text);
    }
    text = repeat("- ", PL_LIMIT_JSON_DEPTH, "1");
    ck_assert_int_eq(parse(text, DOC_AUTO, &root), PL_OK);
    free(text);
    text = repeat("- ", PL_LIMIT_JSON_DEPTH + 1, "1");
    ck_assert_int_eq(parse(text, DOC_AUTO, &root), PL_ERR_INVALID_YAML);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "deeper than 64"));
    free(text);
    /* an alias may not go round the limit */
    text = repeat("- ", PL_LIMIT_JSON_DEPTH - 1, "&x [1]\n");
    ck_assert_int_eq(parse(text, DOC_AUTO, &root), PL_OK);
    free(text);
    ck_assert_int_eq(
        parse("a: &x [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"
              "b: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[*x]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
              DOC_YAML, &root),
        PL_ERR_INVALID_YAML);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "deeper than 64"));
}
END_TEST

START_TEST(aliases_that_multiply_are_refused_before_they_take_memory)
{
    char text[4096];
    struct doc_node *root;
    size_t used = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");

    for (unsigned i = 1; i < 12; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "a%u: &a%u [*a%u,*a%u,*a%u,*a%u,*a%u,*a%u,*a%u,*a%u,*a%u]\n", i, i,
                                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "aliases expanded"));
    ck_assert_uint_eq(problems.items[0].line, 7);
    ck_assert_uint_lt(pl_arena_bytes(arena), (size_t)256 << 20);
}
END_TEST

START_TEST(one_long_text_behind_many_aliases_is_too_large)
{
    char *body = repeat("x", 1 << 20, "\n"), *aliases = repeat("- *a\n", 100, "");
    char *text = malloc(strlen(body) + strlen(aliases) + 64);
    struct doc_node *root;

    snprintf(text, strlen(body) + strlen(aliases) + 64, "- &a %s%s", body, aliases);
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_ERR_TOO_LARGE);
    free(body);
    free(aliases);
    free(text);
}
END_TEST

START_TEST(documents_past_the_limit_in_bytes_or_values_are_too_large)
{
    char *text = repeat(" ", PL_LIMIT_DOCUMENT_BYTES, "1");
    struct doc_node *root;

    ck_assert_int_eq(parse(text, DOC_JSON, &root), PL_ERR_TOO_LARGE);
    text[PL_LIMIT_DOCUMENT_BYTES] = '\0';
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_OK);
    free(text);
    text = repeat("1,", PL_LIMIT_DOCUMENT_NODES, "1]");
    text[0] = '[';
    text[1] = ' ';
    ck_assert_int_eq(parse(text, DOC_JSON, &root), PL_ERR_TOO_LARGE);
    free(text);
}
END_TEST

START_TEST(tag_directives_cannot_be_piled_up)
{
    char *text = repeat("%TAG !a! x\n", 1000, "--- 1\n");
    struct doc_node *root;

    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_ERR_INVALID_YAML);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "%TAG"));
    free(text);
}
END_TEST

START_TEST(a_document_that_does_not_fit_its_arena_is_out_of_memory)
{
    struct pl_arena *small = pl_arena_create(20000);
    char *text = repeat("- some text\n", 1000, "");
    struct doc_node *root = NULL;

    ck_assert_int_eq(doc_parse(small, pl_str(text), DOC_YAML, &root, &problems), PL_ERR_NO_MEMORY);
    ck_assert_ptr_null(root);
    pl_arena_destroy(&small);
    free(text);
}
END_TEST

START_TEST(problems_past_the_limit_are_counted_only)
{
    char *text = repeat("- .nan\n", PL_LIMIT_PROBLEMS + 50, "");
    struct doc_node *root;

    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_ERR_INVALID_YAML);
    ck_assert_uint_eq(problems.count, PL_LIMIT_PROBLEMS);
    ck_assert_uint_eq(problems.total, PL_LIMIT_PROBLEMS + 50);
    free(text);
}
END_TEST

START_TEST(problems_sort_by_place_and_keep_their_order_there)
{
    static const unsigned at[][2] = {{3, 1}, {1, 9}, {3, 1}, {1, 2}, {0, 0}};

    for (unsigned i = 0; i < PL_ARRAY_LEN(at); i++)
        doc_problem_add(&problems, at[i][0], at[i][1], "/p", "%u", i);
    doc_problems_sort(&problems);
    ck_assert_str_eq(problems.items[0].message, "4");
    ck_assert_str_eq(problems.items[1].message, "3");
    ck_assert_str_eq(problems.items[2].message, "1");
    ck_assert_str_eq(problems.items[3].message, "0");
    ck_assert_str_eq(problems.items[4].message, "2");
}
END_TEST

START_TEST(the_nearest_name_is_near)
{
    static const char *const names[] = {"steps", "input", "output", "description",
                                        "id",    "code",  NULL};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"step", "steps"},  {"setps", "steps"},    {"STEPS", "steps"},
        {"inptu", "input"}, {"outputs", "output"}, {"descripton", "description"},
        {"ID", "id"},       {"x", NULL},           {"banana", NULL},
        {"", NULL},         {"ip", "id"},          {"steps", "steps"},
        {"kode", "code"},   {"body", NULL},        {"inside", NULL},
    };
    char *long_word = repeat("steps", 100, "");

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        const char *nearest = doc_nearest(pl_str(cases[i].word), names);

        if (cases[i].nearest)
            ck_assert_msg(nearest && !strcmp(nearest, cases[i].nearest), "%s -> %s", cases[i].word,
                          nearest ? nearest : "none");
        else
            ck_assert_msg(!nearest, "%s -> %s", cases[i].word, nearest);
    }
    ck_assert_ptr_null(doc_nearest(pl_str(long_word), names));
    free(long_word);
}
END_TEST

START_TEST(an_excerpt_is_one_line_cut_at_a_character)
{
    char *text = repeat("\xE2\x82\xAC", 60, ""), out[DOC_EXCERPT];

    ck_assert_str_eq(doc_excerpt(PL_STR("a\nb\tc"), out), "a b c");
    ck_assert_str_eq(doc_excerpt((struct pl_str){0}, out), "");
    doc_excerpt(pl_str(text), out);
    ck_assert_uint_eq(strlen(out), 90 + 3);
    ck_assert_str_eq(out + 90, "...");
    free(text);
}
END_TEST

/* Many lines on one line, many lines, many members: each must stay linear. Time is not measured; a
 * quadratic reader would run into the test's timeout. */
START_TEST(large_documents_take_linear_time)
{
    struct doc_node *root;
    char *text = repeat("\"\xC3\xA9\", ", 800000, "1]");

    text[0] = '[';
    text[1] = text[2] = text[3] = ' ';
    text[4] = ' ';
    text[5] = ' ';
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_OK);
    ck_assert_uint_eq(root->items[root->count - 1]->column, 800000 * 6 + 1);
    free(text);
    text = malloc(8 << 20);
    for (size_t i = 0, used = 0; i < 300000; i++)
        used += (size_t)snprintf(text + used, 64, "key_%zu: v\n", i);
    ck_assert_int_eq(parse(text, DOC_YAML, &root), PL_OK);
    ck_assert_uint_eq(doc_get(root, "key_299999")->line, 300000);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doc");
    TCase *tests = tcase_create("doc");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_body_that_was_not_sent_is_an_empty_document);
    tcase_add_test(tests, yaml_means_what_the_core_schema_says);
    tcase_add_test(tests, json_is_read_strictly_and_flow_yaml_still_works);
    tcase_add_test(tests, every_value_and_key_knows_its_line_and_column);
    tcase_add_test(tests, an_alias_stands_where_it_is_written);
    tcase_add_test(tests, bad_yaml_is_refused_with_its_place_and_what_to_do);
    tcase_add_test(tests, an_expression_that_had_to_be_quoted_is_pointed_at);
    tcase_add_test(tests, an_error_beside_a_finished_expression_keeps_its_own_message);
    tcase_add_test(tests, bad_json_is_refused_with_its_place);
    tcase_add_test(tests, text_that_is_neither_json_nor_yaml_is_reported_as_json);
    tcase_add_test(tests, a_document_with_refused_values_reports_all_and_still_gives_its_tree);
    tcase_add_test(tests, a_key_is_found_whatever_the_size_of_its_object);
    tcase_add_test(tests, pointers_escape_tildes_and_slashes);
    tcase_add_test(tests, nesting_ends_at_the_limit_in_both_formats);
    tcase_add_test(tests, aliases_that_multiply_are_refused_before_they_take_memory);
    tcase_add_test(tests, one_long_text_behind_many_aliases_is_too_large);
    tcase_add_test(tests, documents_past_the_limit_in_bytes_or_values_are_too_large);
    tcase_add_test(tests, tag_directives_cannot_be_piled_up);
    tcase_add_test(tests, a_document_that_does_not_fit_its_arena_is_out_of_memory);
    tcase_add_test(tests, problems_past_the_limit_are_counted_only);
    tcase_add_test(tests, problems_sort_by_place_and_keep_their_order_there);
    tcase_add_test(tests, the_nearest_name_is_near);
    tcase_add_test(tests, an_excerpt_is_one_line_cut_at_a_character);
    tcase_add_test(tests, large_documents_take_linear_time);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
