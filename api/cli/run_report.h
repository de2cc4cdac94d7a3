/* run_report.h - what `plait run` says when a run is over: its output on stdout, why it failed on
 * stderr. Not progress (progress.h). Called by cmd_run.c, one thread. */
#ifndef PLAIT_API_CLI_RUN_REPORT_H
#define PLAIT_API_CLI_RUN_REPORT_H

#include "base/str.h"

#include <stdbool.h>

/* Writes JSON and a newline to stdout, indented on a terminal. False, and said on stderr, when it
 * could not be written. */
bool run_report_json(struct pl_str json);

/* The line that says at which step a run failed and why; `error` is the run's. Then one line for
 * each other step that failed and was not handled, a few at most; `run` is the run object with its
 * steps, empty: none are told. */
void run_report_error(struct pl_str error, struct pl_str run);

/* One line on stderr: what the run has used; `run` is the run object. */
void run_report_usage(struct pl_str run);

#endif
