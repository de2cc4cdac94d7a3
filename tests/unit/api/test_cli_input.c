/* test_cli_input.c - the input of `plait run` from --input and -i, by table. Not the command line's
 * parsing (test_cli_command) and not the schema's checks (test_schema). Run by ctest. */
#include "api/cli/run_input.h"
#include "tests/support/store_fixture.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct store_fixture folder; /* for its folder only */
static struct pl_arena *arena;
static struct workflow *typed, *untyped;

static void write_file(const char *name, const char *text)
{
    char path[600];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder.dir, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void set_up(void)
{
    store_fixture_init(&folder, 0);
    arena = pl_arena_create(0);
    untyped = test_workflow("steps: {a: {reduce: 1}}\n");
    typed = test_workflow("input:\n"
                          "  type: object\n"
                          "  properties:\n"
                          "    s: {type: string}\n"
                          "    n: {type: integer}\n"
                          "    l: {type: array}\n"
                          "    any: {}\n"
                          "steps: {a: {reduce: 1}}\n");
    unsetenv("PLAIT_INPUT");
    write_file("text.txt", "two\nlines\n");
    write_file("value.json", " {\"x\": 1}\n");
    write_file("rows.jsonl", "{\"r\":1}\n\n  2\r\n[3]");
    write_file("bad.json", "{\"x\": }");
    write_file("latin1.txt", "Gr\xFC\xDF"
                             "e");
    write_file("bad.jsonl", "1\n2\n{");
}

static void tear_down(void)
{
    workflow_unref(&typed);
    workflow_unref(&untyped);
    pl_arena_destroy(&arena);
    store_fixture_finish(&folder);
}

static const struct cli_command *run_command(void)
{
    size_t i = 0;

    while (strcmp(cli_commands[i].name, "run") != 0)
        i++;
    return &cli_commands[i];
}

/* The input of `plait run` with these words: --input first ("" for none), then each -i. A leading
 * "@" of a file is followed by the folder. "!code message" when it is refused. */
static const char *input(const struct workflow *workflow, const char *whole,
                         const char *const *sets)
{
    static char text[4096];
    static struct cli_values options[32];
    struct cli_args args = {.command = run_command(), .options = options};
    char words[8][700];
    unsigned count = 0;
    struct pl_str json = {0};
    struct pl_err err = {0};
    enum pl_code code;

    memset(options, 0, sizeof(options));
    for (size_t i = 0; i < args.command->n_options; i++) {
        struct cli_values *values = &options[i];

        if (strcmp(args.command->options[i].name, "input") == 0 && *whole) {
            snprintf(words[7], sizeof(words[7]), "%s%s%s", *whole == '@' ? "@" : "",
                     *whole == '@' ? folder.dir : "", *whole == '@' ? whole + 1 : whole);
            values->values[values->count++] = words[7];
        }
        for (; strcmp(args.command->options[i].name, "set") == 0 && sets[count]; count++) {
            const char *at = strstr(sets[count], "=@");

            if (at)
                snprintf(words[count], sizeof(words[count]), "%.*s=@%s%s", (int)(at - sets[count]),
                         sets[count], folder.dir, at + 2);
            else
                snprintf(words[count], sizeof(words[count]), "%s", sets[count]);
            values->values[values->count++] = words[count];
        }
    }
    code = run_input_read(&args, workflow, arena, &json, &err);
    if (code == PL_OK)
        snprintf(text, sizeof(text), "%.*s", PL_STR_ARG(json));
    else
        snprintf(text, sizeof(text), "!%s %s", pl_code_text(code), err.message);
    return text;
}

static const struct {
    bool typed;
    const char *whole, *sets[4], *json;
} good[] = {
    {false, "", {NULL}, "{}"},
    {false, "[1]", {NULL}, "[1]"},
    {false, "@/value.json", {NULL}, " {\"x\": 1}\n"},
    /* without a type JSON is JSON and everything else text */
    {false, "", {"a=1", "b=x y", "c={\"d\":[]}", NULL}, "{\"a\":1,\"b\":\"x y\",\"c\":{\"d\":[]}}"},
    {false, "", {"a=", "b==", "c= 7 ", NULL}, "{\"a\":\"\",\"b\":\"=\",\"c\":7}"},
    /* with one, it says */
    {true, "", {"s=1", "n=2", "l=[]", NULL}, "{\"s\":\"1\",\"n\":2,\"l\":[]}"},
    {true, "", {"any=1", "other=null", NULL}, "{\"any\":1,\"other\":null}"},
    {true, "", {"s=null", NULL}, "{\"s\":\"null\"}"},
    /* files */
    {true, "", {"s=@/text.txt", NULL}, "{\"s\":\"two\\nlines\\n\"}"},
    {false, "", {"v=@/value.json", NULL}, "{\"v\":{\"x\": 1}}"},
    {false, "", {"v=@/rows.jsonl", NULL}, "{\"v\":[{\"r\":1},2,[3]]}"},
    /* the last one wins, -i over --input */
    {false, "{\"a\":1,\"b\":2}", {"b=3", "c=4", NULL}, "{\"a\":1,\"b\":3,\"c\":4}"},
    {false, "{\"a\":1,\"\\u0062\":2}", {"b=3", NULL}, "{\"a\":1,\"b\":3}"},
    {false, "", {"a=1", "ab=2", "a=3", NULL}, "{\"ab\":2,\"a\":3}"},
    {false, "", {"a\"b=1", NULL}, "{\"a\\\"b\":1}"},
    {false, "", {"a=12345678901234567890123", NULL}, "{\"a\":12345678901234567890123}"},
};

START_TEST(the_input_is_put_together_from_what_is_given)
{
    ck_assert_str_eq(input(good[_i].typed ? typed : untyped, good[_i].whole, good[_i].sets),
                     good[_i].json);
}
END_TEST

static const struct {
    const char *whole, *sets[3], *begins, *says;
} bad[] = {
    {"{", {NULL}, "!invalid_json", "--input"},
    {"@/none.json", {NULL}, "!not_found", "none.json"},
    {"@/bad.json", {NULL}, "!invalid_json", "--input"},
    {"[1]", {"a=1", NULL}, "!invalid_argument", "no object"},
    {"", {"a", NULL}, "!invalid_argument", "KEY=VALUE"},
    {"", {"=a", NULL}, "!invalid_argument", "KEY=VALUE"},
    {"", {"n=x", NULL}, "!invalid_argument", "the schema wants integer"},
    {"", {"a=@/none.txt", NULL}, "!not_found", "none.txt"},
    {"", {"a=@/bad.json", NULL}, "!invalid_json", "bad.json"},
    {"", {"a=@/bad.jsonl", NULL}, "!invalid_json", "bad.jsonl:3"},
    {"",
     {"a=@/latin1.txt", NULL},
     "!invalid_argument",
     "latin1.txt is not text in UTF-8 (at byte 2)"},
    {"", {"a=Gr\xFC\xDF", NULL}, "!invalid_argument", "-i is not text in UTF-8 (at byte 4)"},
};

START_TEST(what_cannot_be_an_input_is_refused_with_the_word_that_is_wrong)
{
    const char *message = input(typed, bad[_i].whole, bad[_i].sets);

    ck_assert_msg(strncmp(message, bad[_i].begins, strlen(bad[_i].begins)) == 0, "%s", message);
    ck_assert_msg(strstr(message, bad[_i].says) != NULL, "%s", message);
}
END_TEST

START_TEST(a_budget_is_read_whole_or_refused)
{
    static const char *const wrong[] = {
        "",          "tokens=",      "tokens=0",        "tokens=-1",
        "tokens= 5", "tokens=1e3",   "tokens=5,",       "tokens=1125899906842625",
        "5",         "cost_usd=1,5", "cost_usd=nan",    "tokens=9223372036854775808",
        "cost_usd=", "cost_usd=inf", "cost_usd=1e300",  "tokens=5,tokens=6",
        "x=1",       "cost_usd=0",   "cost_usd=1e-400", "cost_usd=1,cost_usd=1",
    };
    struct budget budget = {0};

    ck_assert(run_input_budget("tokens=5,cost_usd=.5", &budget));
    ck_assert_int_eq(budget.tokens, 5);
    ck_assert(budget.cost_usd == 0.5);
    for (size_t i = 0; i < PL_ARRAY_LEN(wrong); i++)
        ck_assert_msg(!run_input_budget(wrong[i], &budget), "%s", wrong[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_input");
    TCase *tcase = tcase_create("cli_input");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, the_input_is_put_together_from_what_is_given, 0, PL_ARRAY_LEN(good));
    tcase_add_loop_test(tcase, what_cannot_be_an_input_is_refused_with_the_word_that_is_wrong, 0,
                        PL_ARRAY_LEN(bad));
    tcase_add_test(tcase, a_budget_is_read_whole_or_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
