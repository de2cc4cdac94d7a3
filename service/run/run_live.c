/* run_live.c - what readers of a run are told beside its recorded events: progress, and that they
 * missed something. Not the events (run_notes.c). Called by run_exec.c on the home loop. */
#include "base/json.h"
#include "service/events/bus.h"
#include "service/run/run_exec_private.h"
#include "service/run/run_view.h"

enum { PROGRESS_MS = 1000, PROGRESS_BYTES = 1024 };

void run_live_submit(struct run_exec *exec, struct exec_commit *commit)
{
    pl_ms now = loop_now(exec->home);

    commit->unnoticed = exec->unnoticed;
    exec->unnoticed = false;
    commit->progress_at = 0;
    if (run_state_is_final(run_core_state(exec->core)) || now - exec->progress_at < PROGRESS_MS ||
        !bus_watched(exec->env->bus, exec->row.id, true))
        return;
    commit->progress = run_core_progress(exec->core);
    commit->held = run_admit_count(exec, &commit->held_reason);
    commit->progress_at = exec->progress_at = now;
}

static void publish_progress(struct run_exec *exec, const struct exec_commit *commit)
{
    struct bus_event event = {.at = commit->progress_at, .type = PL_STR("run.progress")};
    struct pl_buf buf;

    pl_buf_init(&buf, PROGRESS_BYTES);
    json_object_begin(&buf);
    run_view_progress(&commit->progress, &buf);
    if (commit->held) {
        json_add_int(&buf, "held", (int64_t)commit->held);
        json_add_string(&buf, "reason", pl_str(commit->held_reason));
    }
    json_object_end(&buf);
    event.data = pl_buf_view(&buf);
    if (!pl_buf_failed(&buf)) /* else the next one, in a second */
        bus_publish(exec->env->bus, exec->row.id, &event);
    pl_buf_finish(&buf);
}

void run_live_durable(struct run_exec *exec, const struct exec_commit *commit)
{
    if (commit->unnoticed)
        bus_lose(exec->env->bus, exec->row.id);
    if (commit->progress_at)
        publish_progress(exec, commit);
}
