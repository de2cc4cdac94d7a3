/* run_event.h - the words between a run's core and whoever carries it out: what goes in (events),
 * what comes out (effects, notes). Not what they lead to: the rules are in run_core.h, which
 * includes this. */
#ifndef PLAIT_SERVICE_RUN_RUN_EVENT_H
#define PLAIT_SERVICE_RUN_RUN_EVENT_H

#include "base/clock.h"
#include "base/err.h"
#include "base/value.h"
#include "service/steps/step_result.h"

struct run_node;
struct run_frame;

/* ---- what goes in ---- */

enum run_event_type {
    RUN_EV_START,     /* once, for a created run */
    RUN_EV_RECOVER,   /* once, for a loaded run */
    RUN_EV_TICK,      /* time has come to run_core_next_wake, or later */
    RUN_EV_EVALUATED, /* answers RUN_FX_EVAL */
    RUN_EV_RESULT,    /* answers RUN_FX_CALL (also after RUN_FX_ABORT), once each */
    RUN_EV_DEFERRED,  /* answers RUN_FX_CALL: not sent, held until `until`; 0: until ADMITTED */
    RUN_EV_ADMITTED,  /* a step that is held until told may go on; one that is not: nothing */
    RUN_EV_ANSWERING, /* a call of a step that is warming (run_core_is_warming) has given a first
                          piece; its RESULT is still to come. May be left out */
    RUN_EV_ANSWER,    /* a person answers a step that is ASKING: value, or err REJECTED */
    RUN_EV_CANCEL,    /* the user cancels the run */
    RUN_EV_CANCEL_STEP,
};

enum run_eval_what {
    RUN_EVAL_WHEN,    /* node's `when`: truth */
    RUN_EVAL_ACCEPT,  /* the parent's join.accept over node->output: truth */
    RUN_EVAL_DEFAULT, /* node's on_error default: value */
    RUN_EVAL_OUTPUT,  /* the run's output (node NULL): value */
    RUN_EVAL_BEGIN,   /* what a step begins with: value. map: `over`, a list; workflow: its input;
                         human: {"ask","schema","data"}; sleep: {"until": ms}; agent:
                         {"messages","mcp"} */
    RUN_EVAL_KEY,     /* the key (or score) of a vote's branch over node->output: value */
    RUN_EVAL_WRITES,  /* the state writes of a step over node->output: value, object by channel */
    RUN_EVAL_BODY,    /* the output of the frame of a workflow or repeat that is over: value */
    RUN_EVAL_TIMEOUT, /* the answer of a human step that nobody gave in time: value */
    RUN_EVAL_UNTIL,   /* repeat: `until` over the output of the frame that is over: truth */
};

struct run_event {
    enum run_event_type type;
    pl_ms now;
    struct run_node
        *node; /* EVALUATED (NULL for OUTPUT), RESULT, DEFERRED, ADMITTED, CANCEL_STEP */
    enum run_eval_what what; /* EVALUATED */
    bool truth;              /* EVALUATED: WHEN, ACCEPT */
    struct pl_value *value;  /* EVALUATED: DEFAULT, OUTPUT; a reference the core takes */
    struct pl_value *state; /* EVALUATED: BODY, OUTPUT of a body with state: the same, by channel */
    struct pl_err err;      /* EVALUATED: code not OK means it failed */
    struct step_result *result; /* RESULT: the core takes its references out of it */
    pl_ms until;                /* DEFERRED; 0: until told */
    const char *reason;         /* DEFERRED: why, static text ("rate_limited", "concurrency") */
};

/* ---- what comes out ---- */

enum run_effect_type {
    RUN_FX_EVAL, /* evaluate `what` for node and answer with EVALUATED */
    RUN_FX_CALL, /* make attempt node->attempts and answer with RESULT or DEFERRED */
    /* stop the attempt in flight; its answer still comes (CANCELLED, or what it was). May follow
     * the CALL in one update. */
    RUN_FX_ABORT,
    RUN_FX_LEAVE, /* a step that was held until told is not held any more, and was not admitted */
    /* a budget refuses a step that waited for it, without another CALL; only where refusals are
     * watched (run_core_watch_refusals) */
    RUN_FX_REFUSED,
};

struct run_effect {
    enum run_effect_type type;
    struct run_node *node;
    enum run_eval_what what;
    struct run_frame *frame; /* EVAL of BODY and UNTIL: whose */
};

/* Something a reader of the run sees, in order. Rendered by the caller before the next
 * run_core_step, while the node is as the event found it. */
struct run_note {
    int64_t seq;
    const char *type;      /* "step.started", static */
    struct run_node *node; /* NULL for run events */
};

/* Filled by run_core_step, owned by the core, valid until the next call. */
struct run_update {
    const struct run_effect *effects;
    size_t n_effects;
    const struct run_note *notes;
    size_t n_notes;
};

#endif
