/* engine_turns.h - whose turn it is in each thread: runs of one thread go on one after the other,
 * in the order they came, each beginning with what the one before it left. Not the memory itself
 * (the store) and not how a run begins with it (run_state). Owned by the engine; any thread, one
 * lock, which nothing is locked under.
 *
 * A thread is known here while a run of it is going on or waits, or its memory is being written.
 * While it is, what is known here of its memory is the truth: nobody else may write it. */
#ifndef PLAIT_SERVICE_ENGINE_TURNS_H
#define PLAIT_SERVICE_ENGINE_TURNS_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/value.h"
#include "service/net/loop.h"

struct engine;
struct engine_turns;

/* A run's turn. Made when it comes, so that giving it cannot fail. Whom it is given to by one of
 * the functions below has it from then on. */
struct engine_turn {
    struct pl_list link;          /* in its thread's queue */
    struct loop_mail mail;        /* the engine's: takes the turn to the run */
    struct engine *engine;        /* the engine's */
    struct pl_str tenant, thread; /* behind the struct */
    char run[PL_ID_TEXT];
    bool known; /* the memory is; else it must be read, and engine_turns_remember told */
    struct pl_value *state; /* a reference; NULL: nothing is kept */
};

/* How a run leaves its thread. */
enum turn_end {
    TURN_OVER,    /* it is over: the next one's turn */
    TURN_DROPPED, /* its engine stops, or it cannot be recorded: it keeps the turn for when it is
                     loaded again */
};

struct engine_turns *engine_turns_create(void);         /* NULL when out of memory */
void engine_turns_destroy(struct engine_turns **turns); /* nulls; accepts NULL */

/* A turn for the run, given by engine_turns_claim. NULL: no memory. */
struct engine_turn *engine_turn_create(struct pl_str tenant, struct pl_str thread,
                                       struct pl_str run);
void engine_turn_free(struct engine_turn *turn);
/* A run comes, before it is launched: it has the turn when nobody has, else it is in the queue.
 * `began`: it had the turn before its engine stopped. Errors: NO_MEMORY. */
enum pl_code engine_turns_enter(struct engine_turns *turns, struct pl_str tenant,
                                struct pl_str thread, struct pl_str run, bool began,
                                struct pl_err *err) PL_MUST_CHECK;
/* After its launch: has it the turn? Then it is given (perhaps for the second time). */
bool engine_turns_claim(struct engine_turns *turns, struct engine_turn *turn);
/* A run of the store that is not loaded has the turn. */
enum pl_code engine_turns_reserve(struct engine_turns *turns, struct pl_str tenant,
                                  struct pl_str thread, struct pl_str run,
                                  struct pl_err *err) PL_MUST_CHECK;
/* What the store has of the thread, read by the run that has the turn. A reference is taken. */
void engine_turns_remember(struct engine_turns *turns, struct pl_str tenant, struct pl_str thread,
                           struct pl_value *state);
/* A run leaves, whether it had the turn or not. `state`: what it left behind, NULL: what was there.
 * Returns who has the turn now and must be told: it is the caller's. NULL: nobody. */
struct engine_turn *engine_turns_leave(struct engine_turns *turns, struct pl_str tenant,
                                       struct pl_str thread, struct pl_str run, enum turn_end end,
                                       struct pl_value *state);

/* Somebody writes the memory from outside: like a run that has the turn. Errors: CONFLICT (a run
 * has it, or another writes), NO_MEMORY. */
enum pl_code engine_turns_begin_write(struct engine_turns *turns, struct pl_str tenant,
                                      struct pl_str thread, struct pl_err *err) PL_MUST_CHECK;
/* It is written (`state` NULL: deleted), or not: `written` false. As engine_turns_leave. */
struct engine_turn *engine_turns_end_write(struct engine_turns *turns, struct pl_str tenant,
                                           struct pl_str thread, bool written,
                                           struct pl_value *state);

#endif
