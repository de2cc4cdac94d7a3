/* cmd_check.c - `plait check FILE...`: every problem of every file, one line each, on stdout;
 * what is allowed and most likely not meant on stderr, and that makes no file invalid.
 * Without --config only simulated models are looked up: a file may be checked on a machine that has
 * no keys. */
#include "api/cli/command.h"
#include "api/cli/workflow_file.h"

int cmd_check(const struct cli_args *args)
{
    const char *path = cli_get(args, "config");
    struct config *config = NULL;
    int status = EXIT_OK;

    if (path && !(config = workflow_file_config(path)))
        return EXIT_USAGE;
    for (unsigned i = 0; i < args->operands.count; i++)
        if (workflow_file_check(args->operands.values[i], config) != PL_OK)
            status = EXIT_USAGE;
    config_destroy(&config);
    return status;
}
