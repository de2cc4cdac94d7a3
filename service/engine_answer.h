/* engine_answer.h - what people say to the steps of runs, from outside. Not what becomes of it
 * (run_human) nor where it was typed (api/). As engine.h: any thread but a loop's. */
#ifndef PLAIT_SERVICE_ENGINE_ANSWER_H
#define PLAIT_SERVICE_ENGINE_ANSWER_H

#include "service/engine.h"

/* Has the run such a step? One that only a run can number ("reviews.17") must have begun. Errors:
 * NOT_FOUND, IO, STORE_CORRUPT, NO_MEMORY. */
enum pl_code engine_check_step(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                               struct pl_str path, struct pl_err *err) PL_MUST_CHECK;

/* What a person says to a human step. Strings are borrowed. */
struct engine_answer {
    struct pl_str tenant, run_id, path;
    struct pl_str output; /* JSON text, checked; absent: the person rejects */
    struct pl_str reject; /* why, for the one who reads the run; may be empty */
    /* Told on another thread or before engine_send_answer returns; must not block. Codes: OK, it
     * was taken and is durable; CONFLICT, the step does not wait for an answer:
     * engine_compare_answer says what came before it; else nothing was recorded. */
    void (*done)(void *arg, enum pl_code code, const struct pl_err *err);
    void *arg;
};
/* Is there such a step, and does the output fit its schema? Then output is what the step will have,
 * defaults filled in, in the arena. Errors: NOT_FOUND, CONFLICT (a step of another kind),
 * INVALID_INPUT (see problems), TOO_LARGE, IO, STORE_CORRUPT, NO_MEMORY. */
enum pl_code engine_check_answer(struct engine *engine, struct engine_answer *answer,
                                 struct pl_arena *arena, struct doc_problems *problems,
                                 struct pl_err *err) PL_MUST_CHECK;
/* Gives an answer that was checked to its run, which is loaded from the store when it is not going
 * on here. */
void engine_send_answer(struct engine *engine, const struct engine_answer *answer);
/* Did the step get this same answer before? OK; else CONFLICT, or NOT_FOUND: it has no such step,
 * with the words for it. Also IO, STORE_CORRUPT, NO_MEMORY. */
enum pl_code engine_compare_answer(struct engine *engine, const struct engine_answer *answer,
                                   struct pl_err *err) PL_MUST_CHECK;

#endif
