/* run_view.h - rows as the JSON of the REST API (contract section 5: Run, Step). Not the rows
 * themselves and not events. Called by the engine for api/, and by run_values for `.steps.x`. Pure:
 * any thread. */
#ifndef PLAIT_SERVICE_RUN_RUN_VIEW_H
#define PLAIT_SERVICE_RUN_RUN_VIEW_H

#include "base/buf.h"
#include "service/run/run_core.h"
#include "storage/records.h"

/* Appends {"calls":…,"input_tokens":…,…}. cost_usd is there when it is known (not 0). */
void run_view_usage(const struct store_usage *usage, struct pl_buf *out);
/* Appends the members of a run, without the closing brace, so that the caller may add some. */
void run_view_run_open(const struct store_run *run, const struct run_progress *progress,
                       struct pl_buf *out);
/* Appends the member "progress". */
void run_view_progress(const struct run_progress *progress, struct pl_buf *out);
/* Appends {"ask","schema","data","expires_at"}: what a step that asks a person waits for; null when
 * it has not said yet. `memo` is its row's, `until` when it stops waiting (0: never). */
void run_view_waiting(const struct pl_value *memo, pl_ms until, struct pl_buf *out);
/* Appends one step object; `progress`: of its branches, NULL: it counts none. */
void run_view_step(const struct store_step *step, const struct run_progress *progress,
                   struct pl_buf *out);

#endif
