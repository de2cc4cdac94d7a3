/* run_place.h - where `plait run` keeps a run when no --db is given: one file a run under the
 * user's state directory, so that two terminals never share an engine lock and `--resume` finds the
 * run by its id. */
#ifndef PLAIT_API_CLI_RUN_PLACE_H
#define PLAIT_API_CLI_RUN_PLACE_H

#include "base/arena.h"
#include "base/err.h"

/* The URL of the run's own database, or of its thread's (NULL: it has none), which all runs of the
 * thread share; the directory is made if need be; files of runs older than 30 days are removed.
 * Errors: IO (with what to set), NO_MEMORY. */
enum pl_code run_place_url(const char *run_id, const char *thread, bool must_exist,
                           struct pl_arena *arena, const char **ret_url,
                           struct pl_err *err) PL_MUST_CHECK;

#endif
