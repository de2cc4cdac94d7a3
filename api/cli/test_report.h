/* test_report.h - what `plait test` says of a run that was played back: which calls changed, are
 * new or were not made, and whether it ended as recorded. Not the run. Called by cmd_test.c. */
#ifndef PLAIT_API_CLI_TEST_REPORT_H
#define PLAIT_API_CLI_TEST_REPORT_H

#include "base/str.h"

#include <stdbool.h>

struct tape;

/* Writes it to stdout; nothing when all is as recorded and `quiet`. `run` is the run object,
 * `own_input`: the command line gave another input than the recorded one, `recording`: --recording
 * as given, or NULL. True when the test passed.
 */
bool test_report(const struct tape *tape, struct pl_str run, bool own_input, bool quiet,
                 const char *file, const char *recording);

#endif
