/* workflow_file.h - reads and compiles the workflow a command names, and prints its problems.
 * Called by cmd_*.c. */
#ifndef PLAIT_API_CLI_WORKFLOW_FILE_H
#define PLAIT_API_CLI_WORKFLOW_FILE_H

#include "service/config/config.h"
#include "service/workflow/workflow.h"

#include <stdio.h>

/* Compiles `path` ("-": standard input). With a config, models must be callable by its providers.
 * `model`, if not NULL, replaces every step's model. On failure prints one line a problem to `out`,
 * FILE:LINE:COL POINTER: message, and returns the code. */
enum pl_code workflow_file_compile(const char *path, const struct config *config, const char *model,
                                   FILE *out, struct workflow **ret_workflow);

/* Compiles `path` to say what is wrong with it: problems on stdout, on stderr what is allowed and
 * most likely not meant, FILE:LINE:COL POINTER: warning: message. */
enum pl_code workflow_file_check(const char *path, const struct config *config);

/* The lines of problems, sorted; also "and N more" when some were only counted. */
void workflow_file_print(const char *path, struct doc_problems *problems, FILE *out);

/* Loads the configuration for a command; prints what is wrong with it. NULL when it is. */
struct config *workflow_file_config(const char *path);

#endif
