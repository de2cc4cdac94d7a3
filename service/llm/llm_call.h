/* llm_call.h - one attempt at one model: what steps/llm.c makes and a provider carries out. Not the
 * step (step_kind.h) and not the provider (provider.h). Lives in the step call's arena; the call's
 * loop only, once started. */
#ifndef PLAIT_SERVICE_LLM_LLM_CALL_H
#define PLAIT_SERVICE_LLM_LLM_CALL_H

#include "service/llm/provider.h"
#include "service/net/loop.h"

struct llm_call {
    /* set by the step before start */
    const struct provider *provider;
    struct llm_request request;
    struct loop *loop;
    struct pl_arena *arena;
    struct llm_sink sink;             /* delta may be NULL: nobody listens */
    struct step_result *result;       /* init'ed; filled before complete */
    const struct lane_ticket *ticket; /* its leave to go, so that its lane knows whose answer it is;
                                         NULL: none of its own */
    /* The attempt is over; the call may be gone when this returns. Exactly once after start. */
    void (*complete)(struct llm_call *call);

    /* the provider's, or llm_http's */
    void *state;
};

/* Makes ready what start needs: for HTTP providers the request is built. Home loop. Errors: those
 * of build. */
enum pl_code llm_call_prepare(struct llm_call *call, struct pl_err *err) PL_MUST_CHECK;
/* What it asks of its provider's lane, as far as the call itself knows. */
void llm_call_ask(const struct llm_call *call, struct lane_ask *ask);
/* Begins; may complete before it returns. On call->loop. */
void llm_call_start(struct llm_call *call);
/* Stops a started call that has not completed: it completes, soon or at once. On call->loop. */
void llm_call_abort(struct llm_call *call);
/* Frees what is not in the arena. After completion, or instead of start. */
void llm_call_finish(struct llm_call *call);

#endif
