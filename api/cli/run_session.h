/* run_session.h - one `plait run`, shared by the files that are its parts: cmd_run.c (its life and
 * its report), run_start.c (up to the run's start), run_follow.c (while it goes on). Nobody else
 * includes it. The main thread's but for what is marked. */
#ifndef PLAIT_API_CLI_RUN_SESSION_H
#define PLAIT_API_CLI_RUN_SESSION_H

#include "api/cli/command.h"
#include "api/cli/progress.h"
#include "api/cli/prompt.h"
#include "api/cli/run_special.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/sync.h"
#include "base/value.h"
#include "service/engine.h"

#include <stdatomic.h>

#define RUN_TENANT PL_STR("default")

struct run_session {
    const struct cli_args *args;
    const struct run_special *special; /* NULL: `plait run` itself */
    struct pl_arena *arena;
    struct config *config;
    struct workflow *workflow;
    struct engine *engine;
    struct bus_subscriber *subscriber;
    struct progress *progress;
    struct prompt *prompt;
    enum progress_mode mode;
    const char *url;
    struct pl_str input; /* of a new run */
    char id[PL_ID_TEXT];
    pl_ms drain;
    int signals, news; /* descriptors */
    unsigned interrupts;
    bool was_over;       /* --resume named a run that had ended: only its result is told */
    atomic_bool drained; /* the engine has let go of every run */

    struct pl_mutex lock;
    bool recorded, ended; /* guarded by lock, as below */
    char status[16];
    struct pl_value *output, *error;
    struct pl_err store_err;
};

/* ---- run_start.c: in this order; the exit status, told when it is not EXIT_OK ---- */

int run_start_settings(struct run_session *session);
/* The configuration and the workflow; the run's id. */
int run_start_files(struct run_session *session);
/* Before the signals are taken: Ctrl-C ends the wait for a terminal, a pipe or a FIFO. */
int run_start_input(struct run_session *session);
/* Signals are taken from a descriptor; blocked here, before any thread is made, so that every
 * thread inherits it. */
int run_start_descriptors(struct run_session *session);
int run_start_engine(struct run_session *session);
/* Progress, the prompt, and the run's events: before it starts, so that none is missed. */
int run_start_watch(struct run_session *session);
/* Starts or resumes it. */
int run_start(struct run_session *session);

/* ---- run_follow.c ---- */

/* Until the run is over, a signal comes, or only people could go on and none is there. */
void run_follow(struct run_session *session);
/* Other unfinished runs of the --db go on too; waits for them, but not for people. */
void run_follow_others(struct run_session *session);
/* Lets calls in flight finish, for the drain; a second signal ends that. */
void run_follow_interrupt(struct run_session *session);
/* For the engine, the bus and the prompt; any thread, `arg` is the session. */
void run_follow_ring(void *arg);
void run_follow_recorded(void *arg, const char *run_id);
void run_follow_ended(void *arg, const struct engine_end *end);

#endif
