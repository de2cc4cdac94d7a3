/* test_cli_command.c - the command line by its table: what is understood, what is refused and with
 * which words, exit statuses, help. Not what commands do (tests/cli). Run by ctest. */
#include "api/cli/command.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORDS = 8 };

static char *said; /* what the last command wrote to stdout and stderr */

/* Runs `plait` with these words, both streams taken into `said`. */
static int plait(const char *const *words)
{
    static const char name[] = "plait";
    char copies[WORDS][128], *argv[WORDS + 2];
    FILE *file = tmpfile();
    int argc = 1, status, out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);

    ck_assert_ptr_nonnull(file);
    snprintf(copies[0], sizeof(copies[0]), "%s", name);
    argv[0] = copies[0];
    for (; argc <= WORDS - 1 && words[argc - 1]; argc++) {
        snprintf(copies[argc], sizeof(copies[0]), "%s", words[argc - 1]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    fflush(NULL);
    ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    status = cli_main(argc, argv);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    free(said);
    said = calloc(1, 65536);
    rewind(file);
    ck_assert_ptr_nonnull(said);
    (void)!fread(said, 1, 65535, file);
    fclose(file);
    return status;
}

static const struct {
    const char *words[WORDS];
    int status;
    const char *says;
} lines[] = {
    {{NULL}, EXIT_USAGE, "Usage: plait COMMAND"},
    {{"--help", NULL}, EXIT_OK, "Commands:"},
    {{"help", NULL}, EXIT_OK, "Commands:"},
    {{"-h", NULL}, EXIT_OK, "Commands:"},
    {{"--version", NULL}, EXIT_OK, "plait"},
    {{"version", NULL}, EXIT_OK, "sqlite 3."},
    {{"rum", NULL}, EXIT_USAGE, "no command 'rum'; did you mean 'run'?"},
    {{"frobnicate", NULL}, EXIT_USAGE, "no command 'frobnicate'; 'plait --help' lists them"},
    {{"run", "--help", NULL}, EXIT_OK, "--resume RUN"},
    {{"run", "x.yaml", "-h", NULL}, EXIT_OK, "Usage: plait run"},
    {{"run", NULL}, EXIT_USAGE, "FILE is missing"},
    {{"run", "a.yaml", "b.yaml", NULL}, EXIT_USAGE, "one operand too many: b.yaml"},
    {{"run", "--jsn", "a.yaml", NULL}, EXIT_USAGE, "no option --jsn; did you mean --json?"},
    {{"run", "--zzzzzz", NULL}, EXIT_USAGE, "'plait run --help' lists them"},
    {{"run", "-z", NULL}, EXIT_USAGE, "no option -z"},
    {{"run", "--input", NULL}, EXIT_USAGE, "--input needs a value: JSON|@FILE|-"},
    {{"run", "--json=1", "a.yaml", NULL}, EXIT_USAGE, "--json takes no value"},
    {{"run", "--loops=0", "examples/travel-plan.yaml", "--model=sim/echo", NULL},
     EXIT_USAGE,
     "--loops 0: a whole number from 1"},
    {{"run", "--drain", "soon", "examples/travel-plan.yaml", NULL},
     EXIT_USAGE,
     "--drain soon: write a duration"},
    {{"run", "--log-level", "loud", "examples/travel-plan.yaml", NULL},
     EXIT_USAGE,
     "--log-level loud: one of"},
    {{"run", "--resume", "me", NULL}, EXIT_USAGE, "--resume me: this is no run id"},
    {{"check", NULL}, EXIT_USAGE, "FILE... is missing"},
    {{"check", "--", "--no-such-file", NULL}, EXIT_USAGE, "--no-such-file: cannot open"},
    {{"check", "examples/travel-plan.yaml", "examples/quorum-review.yaml", NULL}, EXIT_OK, ""},
    {{"graph", "--format", "svg", "examples/travel-plan.yaml", NULL},
     EXIT_USAGE,
     "no format 'svg'; one of mermaid, dot, json"},
    {{"graph", "--format=dot", "examples/travel-plan.yaml", NULL}, EXIT_OK, "digraph"},
    {{"graph", "examples/travel-plan.yaml", NULL}, EXIT_OK, "flowchart TD"},
    {{"graph", "examples/travel-plan.yaml", "--format", "json", NULL}, EXIT_OK, "{"},
};

START_TEST(a_command_line_is_done_or_refused_with_what_to_write)
{
    int status = plait(lines[_i].words);

    ck_assert_msg(status == lines[_i].status, "%d: %s", status, said);
    ck_assert_msg(strstr(said, lines[_i].says) != NULL, "%s", said);
}
END_TEST

START_TEST(the_help_of_a_command_has_every_option_of_its_table)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        const char *words[] = {command->name, "--help", NULL};

        ck_assert_int_eq(plait(words), EXIT_OK);
        for (size_t k = 0; k < command->n_options; k++)
            ck_assert_msg(strstr(said, command->options[k].help) != NULL, "%s: %s", command->name,
                          command->options[k].name);
        ck_assert_ptr_nonnull(strstr(said, command->example));
    }
}
END_TEST

/* The look-up alone: a table's own options with values a test gives. */
START_TEST(a_flag_wins_over_the_environment_and_an_empty_variable_is_none)
{
    static struct cli_values options[32];
    const struct cli_args args = {.command = &cli_commands[0], .options = options};

    unsetenv("PLAIT_DB");
    ck_assert_ptr_null(cli_get(&args, "db"));
    setenv("PLAIT_DB", "", 1);
    ck_assert_ptr_null(cli_get(&args, "db"));
    setenv("PLAIT_DB", "sqlite:env", 1);
    ck_assert_str_eq(cli_get(&args, "db"), "sqlite:env");
    for (size_t i = 0; i < args.command->n_options; i++)
        if (strcmp(args.command->options[i].name, "db") == 0)
            options[i] = (struct cli_values){.values = {"sqlite:flag"}, .count = 1};
    ck_assert_str_eq(cli_get(&args, "db"), "sqlite:flag");
    setenv("PLAIT_LOG_LEVEL", "debug", 1);
    ck_assert_str_eq(cli_get(&args, "log-level"), "debug");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_command");
    TCase *tcase = tcase_create("cli_command");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, a_command_line_is_done_or_refused_with_what_to_write, 0,
                        PL_ARRAY_LEN(lines));
    tcase_add_test(tcase, the_help_of_a_command_has_every_option_of_its_table);
    tcase_add_test(tcase, a_flag_wins_over_the_environment_and_an_empty_variable_is_none);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
