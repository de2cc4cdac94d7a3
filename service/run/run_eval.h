/* run_eval.h - evaluations of a run that may have to wait for jq: what its core asks for, and the
 * templates of its calls. Not what expressions see (run_values) nor the workers (jq_pool). Shared
 * by run_exec.c, run_calls.c, run_values.c and run_eval*.c; the run's home loop only.
 *
 * An evaluation is done with what is known. Expressions of jq that are not known yet are noted and
 * count as null; if there were any, what was made is thrown away, one job asks for all of them, and
 * when it is back the whole is done again. A state with a reducer in jq is folded first, since
 * others may look at it. So an evaluation without jq, or one whose answers are there, is done at
 * once. */
#ifndef PLAIT_SERVICE_RUN_RUN_EVAL_H
#define PLAIT_SERVICE_RUN_RUN_EVAL_H

#include "service/expr/jq_pool.h"
#include "service/run/run_exec_private.h"
#include "service/run/run_state.h"

struct exec_eval;

/* Who asks: the argument of a scope. */
struct value_asker {
    struct run_exec *exec;
    struct run_node *node;         /* whose expression it is; NULL: of the frame as a whole */
    const struct run_frame *frame; /* where it stands */
    const struct run_frame
        *of_frame;                 /* the output and state of this frame, which is over; or NULL */
    const struct exec_eval *known; /* answers of jq so far; NULL: none */
    const struct expr **missing;   /* noted: in scratch */
    size_t n_missing, missing_capacity;
    struct run_writes fold; /* noted: a channel to fold first; channel NULL: none */
    struct pl_err err;      /* of a root: a state that cannot be folded */
};

/* ---- run_eval.c ---- */
/* Carries out RUN_FX_EVAL: true with the answering event, false when that comes later. */
bool run_eval_effect(struct run_exec *exec, const struct run_effect *effect,
                     struct run_event *ret_event);
/* A scope's jq callback. */
enum pl_code run_eval_jq(void *asker, const struct expr *expr, struct pl_str *ret_json,
                         struct pl_err *err);
/* The fold of a channel by jq, or a note that it is wanted. */
enum pl_code run_eval_fold(struct value_asker *asker, const struct run_writes *writes,
                           struct pl_str *ret_json, struct pl_err *err);
/* Was anything noted? */
static inline bool run_eval_is_pending(const struct value_asker *asker)
{
    return asker->n_missing > 0 || asker->fold.channel;
}
/* Asks for what was noted while a call was prepared; run_calls_prepare is called again when it is
 * there. False: no memory. */
bool run_eval_for_call(struct run_exec *exec, struct exec_call *call, struct value_asker *asker);
/* The run is over: what waits for a jq worker comes back at once, unanswered. */
void run_eval_withdraw(struct run_exec *exec);
/* The call is not wanted any more. */
void run_eval_forget_call(struct exec_eval *eval);
/* One that was kept until its turn (run_replay_keeps_jq) goes on; which one a link is of; and all
 * of them go, with the run. */
void run_eval_go_on(struct exec_eval *eval);
struct exec_eval *run_eval_from_link(struct pl_list *link);
void run_eval_drop_kept(struct run_exec *exec);
/* Frees what a call's evaluation got. NULL is accepted. */
void run_eval_destroy(struct exec_eval *eval);

/* ---- run_eval_values.c ---- */
/* Does one evaluation with what is known: fills value, truth, state or err of the event. */
void run_eval_make(struct run_exec *exec, const struct run_effect *effect,
                   struct value_asker *asker, struct run_event *event);

/* ---- run_values.c ---- */
struct expr_scope run_values_scope(struct value_asker *asker);
/* The state that can be seen as an object by channel, in scratch; `own`: of the asker's frame
 * alone. */
struct pl_str run_values_state(struct value_asker *asker, bool own);

#endif
