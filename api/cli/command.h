/* command.h - the command line as a table: commands, their options, one parser and one help for
 * all. Not what commands do: each has a file cmd_NAME.c. Called by api/main.c. */
#ifndef PLAIT_API_CLI_COMMAND_H
#define PLAIT_API_CLI_COMMAND_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdio.h>

/* Exit statuses (contract section 1). */
enum { EXIT_OK = 0, EXIT_RUN_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

enum { CLI_VALUES_MAX = 256 }; /* how often one option may be repeated, and operands */

/* One option. An option with a long name also has an environment variable PLAIT_<NAME>, dashes as
 * underscores; the flag wins. */
struct cli_option {
    char letter;          /* 'i', or 0 */
    const char *name;     /* "input" */
    const char *argument; /* "JSON|@FILE|-", NULL: a flag */
    const char *help;
    bool repeated;
};

/* What the user gave. Strings are borrowed from argv and the environment. */
struct cli_values {
    const char *values[CLI_VALUES_MAX];
    unsigned count;
};

struct cli_args {
    const struct cli_command *command;
    struct cli_values *options; /* one for each option of the command, by position */
    struct cli_values operands;
};

struct cli_command {
    const char *name, *operands, *summary, *example;
    const struct cli_option *options;
    size_t n_options;
    unsigned min_operands, max_operands;
    int (*main)(const struct cli_args *args);
};

extern const struct cli_command cli_commands[];
extern const size_t cli_commands_count;

/* The last value of an option, the environment's when not given, else NULL; a flag gives "1". */
const char *cli_get(const struct cli_args *args, const char *name);
const struct cli_values *cli_get_all(const struct cli_args *args, const char *name);

/* Runs `plait ARGV...`; returns the exit status. */
int cli_main(int argc, char **argv);

/* Writes text that others made, such as a server's message: what a terminal would obey becomes '?'.
 */
void cli_put_plain(FILE *out, const char *text);

/* "plait: message" on stderr. Returns EXIT_USAGE, so that failing is one line. */
int cli_usage_error(const char *fmt, ...) PL_PRINTF(1, 2);

int cmd_run(const struct cli_args *args);
int cmd_test(const struct cli_args *args);
int cmd_check(const struct cli_args *args);
int cmd_estimate(const struct cli_args *args);
int cmd_graph(const struct cli_args *args);
int cmd_serve(const struct cli_args *args);
int cmd_version(const struct cli_args *args);

#endif
