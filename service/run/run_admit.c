/* run_admit.c - the places of a run's steps in the queues of lanes: a call that may not go now is
 * not kept, its step is held and has a place; when its turn comes the core is told, and the call is
 * made anew with the ticket that is there. Not the lanes (limits.h) and not the calls
 * (run_calls.c). Called by run_calls.c and run_exec.c on the home loop; granted on any thread.
 *
 * Who may free an exec_hold: the home loop. While it is in the queue: at once. From the moment it
 * was granted until the mail with the word is home: nobody, so one that is not wanted any more is
 * marked and freed when the mail comes. Then: at once. */
#include "service/run/run_exec_private.h"

#include <stdlib.h>

struct exec_hold {
    struct lane_waiter waiter;
    struct lane *lane;
    struct run_exec *exec;
    struct run_node *node; /* NULL: nobody wants it any more */
    struct pl_list link;   /* on exec->holds; from the word until the core is told on admitted */
    struct loop_mail mail; /* the word */
    const char *reason;    /* what it waits for, static text */
};

enum { DRAIN_HOLD_MS = 1000 }; /* a resumed run waits at most this long for what a drain held */

static void hold_free(struct exec_hold *hold)
{
    pl_list_remove(&hold->link);
    hold->exec->n_holds--;
    free(hold);
}

/* ---- the word ---- */

static void hold_deliver(struct loop *loop, struct loop_mail *mail)
{
    struct exec_hold *hold = pl_container_of(mail, struct exec_hold, mail);
    struct run_exec *exec = hold->exec;

    hold->mail.deliver = NULL;
    if (hold->node) {
        pl_list_remove(&hold->link);
        pl_list_append(&exec->admitted, &hold->link);
    } else {
        lane_done(&hold->waiter.ticket, loop_now(loop), NULL);
        hold_free(hold);
    }
    run_exec_wake(exec);
}

/* Any thread, under the lane's lock. */
static void hold_granted(struct lane_waiter *waiter)
{
    struct exec_hold *hold = pl_container_of(waiter, struct exec_hold, waiter);

    loop_post(hold->exec->home, &hold->mail);
}

/* ---- places ---- */

static bool hold_create(struct exec_call *call, struct lane *lane, const struct lane_ask *ask,
                        pl_ms now, const char *reason)
{
    struct exec_hold *hold = calloc(1, sizeof *hold);
    struct run_exec *exec = call->exec;

    if (!hold)
        return false;
    hold->lane = lane;
    hold->exec = exec;
    hold->node = call->node;
    hold->reason = reason;
    hold->mail.deliver = hold_deliver;
    hold->waiter.granted = hold_granted;
    exec->n_holds++;
    pl_list_append(&exec->holds, &hold->link);
    if (!lane_wait(lane, ask, now, exec->home, &hold->waiter)) {
        hold_free(hold);
        return false;
    }
    call->node->hold = hold;
    return true;
}

void run_admit_leave(struct run_exec *exec, struct run_node *node)
{
    struct exec_hold *hold = node->hold;
    const pl_ms now = loop_now(exec->home);

    if (!hold)
        return;
    node->hold = NULL;
    hold->node = NULL;
    if (!lane_leave(hold->lane, &hold->waiter, now)) {
        if (hold->mail.deliver)
            return; /* the word is on its way */
        lane_done(&hold->waiter.ticket, now, NULL);
    }
    hold_free(hold);
}

void run_admit_drop_all(struct run_exec *exec)
{
    struct pl_list *next;

    for (struct pl_list *link; (link = pl_list_pop(&exec->admitted));) {
        struct exec_hold *hold = pl_container_of(link, struct exec_hold, link);

        run_admit_leave(exec, hold->node);
    }
    for (struct pl_list *link = exec->holds.next; link != &exec->holds; link = next) {
        struct exec_hold *hold = pl_container_of(link, struct exec_hold, link);

        next = link->next;
        if (hold->node)
            run_admit_leave(exec, hold->node);
    }
}

bool run_admit_next(struct run_exec *exec, struct run_event *ret_event)
{
    struct pl_list *link = pl_list_pop(&exec->admitted);
    struct exec_hold *hold;

    if (!link)
        return false;
    hold = pl_container_of(link, struct exec_hold, link);
    pl_list_append(&exec->holds, link); /* until the core makes its call, or lets it go */
    *ret_event = (struct run_event){
        .type = RUN_EV_ADMITTED, .now = loop_now(exec->home), .node = hold->node};
    return true;
}

size_t run_admit_count(const struct run_exec *exec, const char **ret_reason)
{
    size_t count = 0;

    PL_LIST_EACH(link, &exec->holds)
    {
        const struct exec_hold *hold = pl_container_of(link, struct exec_hold, link);

        if (!hold->node || !hold->mail.deliver)
            continue;
        *ret_reason = hold->reason;
        count++;
    }
    return count;
}

struct lane_ticket run_admit_take(struct run_node *node)
{
    struct exec_hold *hold = node->hold;
    struct lane_ticket ticket = {0};

    if (!hold)
        return ticket;
    ticket = hold->waiter.ticket;
    node->hold = NULL;
    hold_free(hold);
    return ticket;
}

/* ---- asking ---- */

static enum run_admission closed(struct exec_call *call)
{
    struct step_result *result = &call->call.result;

    pl_err_set(&result->err, PL_ERR_PROVIDER_ERROR,
               "the provider has failed time after time: nothing is sent until it answers again");
    return RUN_ADMIT_RESULT;
}

/* While the engine drains nothing new is sent: the step is recorded as held, not as begun. */
static enum run_admission draining(struct run_event *ret_event)
{
    ret_event->until = ret_event->now + DRAIN_HOLD_MS;
    ret_event->reason = "draining";
    return RUN_ADMIT_HELD;
}

enum run_admission run_admit_call(struct exec_call *call, struct run_event *ret_event)
{
    struct run_exec *exec = call->exec;
    const pl_ms now = loop_now(exec->home);
    struct lane_ask ask = {
        .tenant = exec->row.tenant, .run = exec, .again = call->node->sent_at > 0};
    struct lane *lane;

    *ret_event = (struct run_event){.type = RUN_EV_DEFERRED, .now = now, .node = call->node};
    if (exec->draining)
        return draining(ret_event);
    if (call->call.ticket.closed)
        return closed(call);
    if (call->call.ticket.lane || !call->call.ops->lane ||
        !(lane = call->call.ops->lane(&call->call, &ask)))
        return RUN_ADMIT_GO;
    switch (lane_try(lane, &ask, now, &call->call.ticket, &ret_event->reason)) {
    case LANE_GO:
        return RUN_ADMIT_GO;
    case LANE_CLOSED:
        call->call.result.no_retry = ask.has_other; /* which is asked at once */
        return closed(call);
    case LANE_WAIT:
        return hold_create(call, lane, &ask, now, ret_event->reason) ? RUN_ADMIT_HELD
                                                                     : RUN_ADMIT_NO_MEMORY;
    }
    return RUN_ADMIT_GO;
}
