/* run_tape.h - a run whose calls, and what else comes to it from outside itself, are recorded on a
 * tape or come from one. Not the tape (tape/tape.h). Included by run_exec_private.h: a part of the
 * executor, on the run's home loop. Without a tape nothing here does anything. */
#ifndef PLAIT_SERVICE_RUN_RUN_TAPE_H
#define PLAIT_SERVICE_RUN_RUN_TAPE_H

#include "base/compiler.h"
#include "base/str.h"

struct exec_call;
struct run_event;
struct run_exec;
struct tape_mark;

/* The call of a step is about to be prepared. */
void run_tape_makes(struct exec_call *call);
/* Is the prepared call answered by a tape? Then true, and its result comes in its turn; else false,
 * and it goes on (it is recorded, when a tape records). */
bool run_tape_takes(struct run_exec *exec, struct exec_call *call);
/* Its step is held in its place. */
void run_tape_held(struct exec_call *call);
/* A budget refuses the step, which may have waited to hear so. */
void run_tape_refused(struct run_exec *exec, const struct run_node *node);
/* Its result is about to be fed. */
void run_tape_ended(struct exec_call *call);
/* It goes without a result having been fed. */
void run_tape_left(struct exec_call *call);
/* That it has begun to answer, a time or a person's answer is about to be fed. */
void run_tape_began(struct exec_call *call);
void run_tape_tick(struct run_exec *exec);
void run_tape_answer(struct run_exec *exec, const struct run_event *answer);
/* What was fed so far has been looked at; and the activation is over. */
void run_tape_then(struct run_exec *exec);
void run_tape_turn(struct run_exec *exec);
/* jq is asked for something, and has answered. NULL: no tape, or it knows nothing of it. */
struct tape_mark *run_tape_asks_jq(struct run_exec *exec, struct pl_str path, const char *what);
void run_tape_jq_came(struct run_exec *exec, struct tape_mark *mark);

#endif
