/* progress.h - what `plait run` shows on stderr while a run goes on: on a terminal one live line a
 * branch, else one plain line when something ends. Not the output (stdout). Called by run_start.c
 * and run_follow.c, one thread. */
#ifndef PLAIT_API_CLI_PROGRESS_H
#define PLAIT_API_CLI_PROGRESS_H

#include "base/clock.h"
#include "service/events/bus.h"
#include "service/workflow/workflow.h"

struct progress;

enum progress_mode { PROGRESS_QUIET, PROGRESS_LINES, PROGRESS_LIVE };

/* Borrows the workflow. NULL when out of memory. */
struct progress *progress_create(const struct workflow *workflow, enum progress_mode mode,
                                 pl_ms now);
void progress_destroy(struct progress **progress);
/* Takes in one event. */
void progress_event(struct progress *progress, const struct bus_event *event);
/* Draws what changed (LIVE). */
void progress_draw(struct progress *progress, pl_ms now);
/* Draws a last time and leaves the cursor below. */
void progress_end(struct progress *progress, pl_ms now);

#endif
