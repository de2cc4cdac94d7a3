/* run_replay.h - a run that is played back: what came to it when it was recorded comes again in its
 * turn. Not its recording (run_tape.h) and not the tape (tape/tape.h). Included by
 * run_exec_private.h: a part of the executor, on the run's home loop. */
#ifndef PLAIT_SERVICE_RUN_RUN_REPLAY_H
#define PLAIT_SERVICE_RUN_RUN_REPLAY_H

#include "base/compiler.h"
#include "base/list.h"
#include "base/str.h"

struct exec_call;
struct run_exec;
struct tape_mark;

/* Where a run that is played back stands. */
struct run_replay {
    struct tape_mark *at;               /* the last mark whose turn it was; NULL: none */
    bool came;                          /* it has come, in this activation */
    struct tape_mark *late, **late_end; /* by `late`: those that found nobody */
    struct tape_mark *held;             /* by `late`: of the calls that were not let go */
    struct pl_list kept;                /* exec_calls that are home before their turn */
    struct pl_list evals;               /* exec_evals that are back before their turn */
};

void run_replay_init(struct run_exec *exec);
bool run_replay_is_on(const struct run_exec *exec);
/* Was it held when it was recorded? Then it is again (and gone). */
bool run_replay_holds(struct run_exec *exec, struct exec_call *call);
/* A prepared call: finds what answers it. */
void run_replay_call(struct run_exec *exec, struct exec_call *call, struct pl_str request);
/* It is to be stopped: does its end come in its turn? */
bool run_replay_stops(struct exec_call *call);
/* It goes. */
void run_replay_left(struct exec_call *call);
/* Has one come home, or jq answered, before it is its turn? Then it is kept until then. */
bool run_replay_keeps(struct exec_call *call);
bool run_replay_keeps_jq(struct run_exec *exec, struct tape_mark *mark, void *eval,
                         struct pl_list *link);
/* What came has been looked at, with all it led to: feeds what came after that in the same turn.
 * False: nothing did. */
bool run_replay_word(struct run_exec *exec);
/* The activation is over: when nothing else goes on, what came next when it was recorded comes. */
void run_replay_idle(struct run_exec *exec);

#endif
