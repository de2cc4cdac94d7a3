/* run_input.h - the input of `plait run` from --input and -i KEY=VALUE. Not the schema's checks
 * (engine). */
#ifndef PLAIT_API_CLI_RUN_INPUT_H
#define PLAIT_API_CLI_RUN_INPUT_H

#include "api/cli/command.h"
#include "base/arena.h"
#include "service/workflow/workflow.h"

/* The input as JSON text in the arena. -i wins over --input, member by member. Errors:
 * INVALID_ARGUMENT, INVALID_JSON, NOT_FOUND, IO, TOO_LARGE, NO_MEMORY, each with a message for the
 * user. */
enum pl_code run_input_read(const struct cli_args *args, const struct workflow *workflow,
                            struct pl_arena *arena, struct pl_str *ret_json,
                            struct pl_err *err) PL_MUST_CHECK;

/* "tokens=20000,cost_usd=0.5", either of them alone, or a number of tokens. False: it is none. */
bool run_input_budget(const char *text, struct budget *ret_budget);

#endif
