/* llm_hedge.h - one answer from a model, from one call or from several equal ones: one that is late
 * to begin its answer is made again beside the first, and the first whole answer is taken. Not a
 * call (llm_call.h), not a repair (steps/llm.c) and not a retry (run_core): the core sees one
 * attempt. Used by steps/llm.c; in the step call's arena; the call's loop only, once started.
 *
 * Of several calls the first to speak is heard: its text goes to the sink as it comes. Should
 * another one be whole first, or the speaker fail, `reset` comes and then the other's text. A call
 * that fails does not fail the whole while another is under way. The losers' connections are
 * closed before `complete`, and what they used is in the result. All calls share one time budget,
 * the request's timeout.
 *
 * Nothing is sent again once text has come, where the provider's lane would make it wait, or beyond
 * the share of its calls that llm_latency.h keeps. */
#ifndef PLAIT_SERVICE_LLM_LLM_HEDGE_H
#define PLAIT_SERVICE_LLM_LLM_HEDGE_H

#include "service/llm/llm_call.h"
#include "service/llm/llm_latency.h"
#include "service/steps/step_config.h"

struct llm_hedge;

/* One of the calls. */
struct llm_leg {
    struct llm_hedge *hedge;
    struct llm_call call;
    struct pl_buf heard;       /* what it said while another was the speaker */
    struct lane_ticket ticket; /* of those after the first, whose step has one */
    pl_ms began;
    bool running, spoke;
};

struct llm_hedge {
    /* set by the step before prepare; of first.call: provider, request, arena, result, and before
     * start loop */
    struct llm_leg first;
    const struct hedge_policy *policy;
    struct llm_sink sink; /* delta may be NULL: nobody listens */
    /* The text told so far is void; never without a sink. */
    void (*reset)(struct llm_hedge *hedge);
    /* It is over, and the result of first.call says how; all may be gone when this returns. Exactly
     * once after start. */
    void (*complete)(struct llm_hedge *hedge);

    unsigned sent; /* calls made in vain or not beyond the first, since it was prepared */

    /* private */
    struct llm_leg *legs[1 + HEDGE_MAX];
    struct llm_leg *speaker; /* whose text goes to the sink */
    struct llm_leg *ended;   /* whose result it is: the winner, or the last to fail */
    struct llm_sketch *sketch;
    struct loop_timer late;
    unsigned n_legs, running;
    bool won, aborted, hopeless; /* hopeless: a failure said that no call of this can work */
    bool stopping;               /* calls are being aborted: the last to end is no end yet */
};

/* Makes ready what start needs. Home loop. May be used again after finish. Errors: those of
 * llm_call_prepare. */
enum pl_code llm_hedge_prepare(struct llm_hedge *hedge, struct pl_err *err) PL_MUST_CHECK;
/* Begins; may complete before it returns. */
void llm_hedge_start(struct llm_hedge *hedge);
/* Stops a started one that has not completed: it completes, soon or at once. */
void llm_hedge_abort(struct llm_hedge *hedge);
/* Frees what is not in the arena. After completion, or instead of start. */
void llm_hedge_finish(struct llm_hedge *hedge);

#endif
