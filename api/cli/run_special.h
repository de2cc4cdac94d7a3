/* run_special.h - a run in this process that is not quite `plait run`: what another command changes
 * about it. Not the run (cmd_run.c). Used by cmd_test.c. */
#ifndef PLAIT_API_CLI_RUN_SPECIAL_H
#define PLAIT_API_CLI_RUN_SPECIAL_H

#include "api/cli/command.h"
#include "base/str.h"

struct config;
struct tape;

struct run_special {
    const char *db;            /* where it is kept */
    const char *id;            /* of the run; NULL: a new one */
    const char *model;         /* as --model, where the command line gives none; NULL: none */
    struct pl_str input;       /* JSON, where the command line gives none; empty: none */
    struct cli_values answers; /* of people, as --answer */
    struct tape *tape;
    bool offline; /* no configuration is read, no progress drawn: nothing is called */
    /* What to do with a run that is over; `run` is the run object. `config` is NULL offline.
     * Returns the exit status. */
    int (*report)(void *arg, struct pl_str run, const struct config *config);
    void *arg;
};

/* Runs the file that `args` names. */
int cmd_run_special(const struct cli_args *args, const struct run_special *special);

#endif
