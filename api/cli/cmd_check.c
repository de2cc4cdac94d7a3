/* cmd_check.c - `plait check FILE...`: every problem of every file, one line each, on stdout.
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
    for (unsigned i = 0; i < args->operands.count; i++) {
        struct workflow *workflow = NULL;

        if (workflow_file_compile(args->operands.values[i], config, NULL, stdout, &workflow) !=
            PL_OK)
            status = EXIT_USAGE;
        workflow_unref(&workflow);
    }
    config_destroy(&config);
    return status;
}
