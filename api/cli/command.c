/* command.c - parses a command line by the table and prints help. See command.h. */
#include "api/cli/command.h"

#include "base/buf.h"
#include "base/str.h"
#include "service/workflow/doc.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

enum { HELP_COLUMN = 28, ENV_NAME_MAX = 64, MESSAGE_MAX = 4096 };

void cli_put_plain(FILE *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f; /* U+0080 to U+009F */

        fputc(c1 || *at < 0x20 || *at == 0x7f ? '?' : *at, out);
        at += c1;
    }
}

int cli_usage_error(const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    fputs("plait: ", stderr);
    cli_put_plain(stderr, text);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* ---- help ---- */

static void help_all(FILE *out)
{
    fputs("plait weaves parallel calls to models and tools into one durable answer.\n\n"
          "Usage: plait COMMAND [OPTIONS]\n\nCommands:\n",
          out);
    for (size_t i = 0; i < cli_commands_count; i++)
        fprintf(out, "  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
    fputs("\n'plait COMMAND --help' tells the options of a command.\n"
          "First thing to try: plait run examples/travel-plan.yaml -i destination=Lisbon --model "
          "sim/echo\n",
          out);
}

static void help_option(const struct cli_option *option)
{
    char left[96];
    int length =
        snprintf(left, sizeof left, "  %c%c%s--%s%s%s", option->letter ? '-' : ' ',
                 option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");

    if (length < HELP_COLUMN)
        printf("%-*s%s\n", HELP_COLUMN, left, option->help);
    else
        printf("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
}

static void help_command(const struct cli_command *command)
{
    printf("Usage: plait %s%s%s%s\n\n%s\n", command->name, command->operands[0] ? " " : "",
           command->operands, command->n_options ? " [OPTIONS]" : "", command->summary);
    if (command->n_options)
        printf("\nOptions (each --name may also be given as PLAIT_NAME in the environment):\n");
    for (size_t i = 0; i < command->n_options; i++)
        help_option(&command->options[i]);
    printf("\nExample:\n  %s\n", command->example);
}

/* ---- look-up ---- */

static size_t option_position(const struct cli_command *command, const char *name)
{
    for (size_t i = 0; i < command->n_options; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return i;
    return command->n_options;
}

static const char *option_environment(const char *name)
{
    char variable[ENV_NAME_MAX];
    size_t length = (size_t)snprintf(variable, sizeof variable, "PLAIT_%s", name);

    for (size_t i = 0; i < length && i < sizeof variable; i++)
        variable[i] = variable[i] == '-' ? '_' : (char)toupper((unsigned char)variable[i]);
    return getenv(variable);
}

const struct cli_values *cli_get_all(const struct cli_args *args, const char *name)
{
    return &args->options[option_position(args->command, name)];
}

/* A flag in the environment is on, unless it says off. */
static bool says_off(const char *value)
{
    static const char *const words[] = {"", "0", "false", "no", "off"};

    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

const char *cli_get(const struct cli_args *args, const char *name)
{
    size_t position = option_position(args->command, name);
    const struct cli_values *values = &args->options[position];
    const char *environment = option_environment(name);
    bool flag = position < args->command->n_options && !args->command->options[position].argument;

    if (values->count)
        return values->values[values->count - 1];
    if (!environment || !*environment || (flag && says_off(environment)))
        return NULL;
    return environment;
}

/* ---- parsing ---- */

static bool values_add(struct cli_values *values, const char *value)
{
    if (values->count == CLI_VALUES_MAX)
        return false;
    values->values[values->count++] = value;
    return true;
}

static int unknown_option(const struct cli_command *command, const char *name)
{
    const char *names[32] = {0};
    const char *nearest;

    for (size_t i = 0; i < command->n_options && i + 1 < PL_ARRAY_LEN(names); i++)
        names[i] = command->options[i].name;
    nearest = doc_nearest(pl_str(name), names);
    if (nearest)
        return cli_usage_error("%s: no option --%s; did you mean --%s?", command->name, name,
                               nearest);
    return cli_usage_error("%s: no option --%s; 'plait %s --help' lists them", command->name, name,
                           command->name);
}

/* Takes the option at argv[*at], `text` being its value when written with '='. EXIT_OK or a usage
 * error. */
static int take_option(struct cli_args *args, size_t position, const char *text, int argc,
                       char **argv, int *at)
{
    const struct cli_command *command = args->command;
    const struct cli_option *option = &command->options[position];
    struct cli_values *values = &args->options[position];

    if (!option->argument) {
        if (text)
            return cli_usage_error("%s: --%s takes no value", command->name, option->name);
        text = "1";
    } else if (!text) {
        if (*at + 1 >= argc)
            return cli_usage_error("%s: --%s needs a value: %s", command->name, option->name,
                                   option->argument);
        text = argv[++*at];
    }
    if (option->argument &&
        (!*text || (strcmp(option->argument, "PATH=VALUE") == 0 && !strchr(text, '='))))
        return cli_usage_error("%s: --%s '%s': write %s", command->name, option->name, text,
                               option->argument);
    if (!option->repeated)
        values->count = 0;
    if (!values_add(values, text))
        return cli_usage_error("%s: --%s is given more than %d times", command->name, option->name,
                               CLI_VALUES_MAX);
    return EXIT_OK;
}

static int take_long(struct cli_args *args, int argc, char **argv, int *at)
{
    char name[ENV_NAME_MAX];
    const char *word = argv[*at] + 2, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word), position;

    snprintf(name, sizeof name, "%.*s", (int)length, word);
    position = option_position(args->command, name);
    if (position == args->command->n_options)
        return unknown_option(args->command, name);
    return take_option(args, position, equals ? equals + 1 : NULL, argc, argv, at);
}

static int take_short(struct cli_args *args, int argc, char **argv, int *at)
{
    const char *word = argv[*at] + 1;

    for (size_t i = 0; i < args->command->n_options; i++)
        if (args->command->options[i].letter == word[0])
            return take_option(args, i, word[1] ? word + 1 : NULL, argc, argv, at);
    return cli_usage_error("%s: no option -%c; 'plait %s --help' lists them", args->command->name,
                           word[0], args->command->name);
}

static int take_word(struct cli_args *args, int argc, char **argv, int *at, bool *only_operands)
{
    const char *word = argv[*at];

    if (!*only_operands && strcmp(word, "--") == 0) {
        *only_operands = true;
        return EXIT_OK;
    }
    if (!*only_operands && word[0] == '-' && word[1] == '-')
        return take_long(args, argc, argv, at);
    if (!*only_operands && word[0] == '-' && word[1])
        return take_short(args, argc, argv, at);
    if (args->operands.count >= args->command->max_operands || !values_add(&args->operands, word))
        return cli_usage_error("%s: one operand too many: %s", args->command->name, word);
    return EXIT_OK;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return false;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int command_main(const struct cli_command *command, int argc, char **argv)
{
    struct cli_args args = {.command = command};
    bool only_operands = false;
    int status = EXIT_OK;

    if (wants_help(argc, argv)) {
        help_command(command);
        return EXIT_OK;
    }
    args.options = calloc(command->n_options + 1, sizeof *args.options);
    if (!args.options)
        return cli_usage_error("out of memory");
    for (int i = 0; i < argc && status == EXIT_OK; i++)
        status = take_word(&args, argc, argv, &i, &only_operands);
    if (status == EXIT_OK && args.operands.count < command->min_operands)
        status = cli_usage_error("%s: %s is missing; 'plait %s --help' shows an example",
                                 command->name, command->operands, command->name);
    if (status == EXIT_OK)
        status = command->main(&args);
    free(args.options);
    return status;
}

static int unknown_command(const char *name)
{
    const char *names[16] = {0};
    const char *nearest;

    for (size_t i = 0; i < cli_commands_count && i + 1 < PL_ARRAY_LEN(names); i++)
        names[i] = cli_commands[i].name;
    nearest = doc_nearest(pl_str(name), names);
    if (nearest)
        return cli_usage_error("no command '%s'; did you mean '%s'?", name, nearest);
    return cli_usage_error("no command '%s'; 'plait --help' lists them", name);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        help_all(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help_all(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return command_main(&cli_commands[cli_commands_count - 1], 0, argv);
    for (size_t i = 0; i < cli_commands_count; i++)
        if (strcmp(argv[1], cli_commands[i].name) == 0)
            return command_main(&cli_commands[i], argc - 2, argv + 2);
    return unknown_command(argv[1]);
}

/* What was asked for and did not reach stdout is no success: a full disk, a reader that left. */
int cli_main(int argc, char **argv)
{
    int status = dispatch(argc, argv);

    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_OK) {
        cli_usage_error("cannot write to standard output: %s", strerror(errno ? errno : EIO));
        status = EXIT_RUN_FAILED;
    }
    return status;
}
