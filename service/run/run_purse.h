/* run_purse.h - budgets inside the run core: what is set aside for whom, and who waits. Not what
 * the executor asks (run_budget.h, with the rules). Private to the run core, whose files get it
 * through run_core_private.h; kept by run_budget.c. */
#ifndef PLAIT_SERVICE_RUN_RUN_PURSE_H
#define PLAIT_SERVICE_RUN_RUN_PURSE_H

#include "service/run/run_budget.h"

/* What limits the calls of a step, or of the run, and of those inside; and of a step that makes
 * calls, what it asked for. See run_budget.h. */
struct run_purse {
    struct run_node *node; /* NULL: the run's */
    struct budget limit;
    struct budget held; /* set aside for calls in flight */
    unsigned calls;     /* how many */
    unsigned waiting;   /* calls that wait */
    uint64_t blocked;   /* the round in which there was not enough for one that waits */
    struct call_estimate asked;
    uint64_t results; /* of run_budgets, when it asked */
    bool never;       /* what it asked for will not fit whatever comes free */
    enum run_grant granted;
    struct pl_list waits; /* in core->budgets.queue */
};

/* All of a run. */
struct run_budgets {
    struct run_purse run; /* its own */
    bool any;             /* there is a budget somewhere */
    bool moved;           /* those that wait for one may find more than before */
    struct pl_list queue; /* of run_purse.waits */
    uint64_t scan;        /* number of the round */
    uint64_t results;     /* how many calls have come back */
    bool watched;         /* nobody is refused who has not just asked */
};

/* Its call is over, or was not sent: what was set aside comes free. */
void run_budget_release(struct run_core *core, struct run_node *node);
/* Does it wait for a budget? NULL: it does not. */
bool run_budget_is_reason(const char *held_reason);
/* It is HELD for want of money: into the queue, or out of it (any other move). */
void run_budget_wait(struct run_core *core, struct run_node *node);
void run_budget_leave(struct run_core *core, struct run_node *node);
/* After each event: those that wait go on or fail, where something has changed. */
void run_budget_settle(struct run_core *core);
/* Why others are stopped: that something failed, or that the budget does not reach. NULL: nothing
 * failed. */
enum cancel_reason run_budget_reason(const struct pl_value *error, enum cancel_reason reason);
/* The first breach of what must hold of its purse, NULL: none. */
const char *run_budget_check(const struct run_core *core, const struct run_node *node);

#endif
