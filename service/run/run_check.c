/* run_check.c - every invariant of a run, looked at between two events. Not the keeping of them.
 * Called by run_core_load (rows that contradict each other break one), by tests and the simulator.
 */
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_warm.h"

#include <stdio.h>

/* The first breach, as a sentence with the step's path before it. One thread looks at a time. */
static _Thread_local char breach_text[320];

static const char *breach(const struct run_node *node, const char *what)
{
    snprintf(breach_text, sizeof(breach_text), "step %.*s (%s): %s", PL_STR_ARG(node->path),
             node_state_phase(node->state), what);
    return breach_text;
}

#define CHECK(condition, what)           \
    do {                                 \
        if (!(condition))                \
            return breach(node, (what)); \
    } while (0)

static bool in_flight(const struct run_node *node)
{
    return node->state == NODE_CALLING || node->state == NODE_STOPPING;
}

/* Its own work has begun: not just been waited for, skipped or stopped. */
static bool has_begun(const struct run_node *node)
{
    return node->state != NODE_WAITING && node->state != NODE_SKIPPED &&
           node->state != NODE_CANCELLED;
}

/* ---- one step by itself ---- */

static const char *check_kind(const struct run_node *node)
{
    enum step_kind kind = node->def->kind;

    CHECK(step_kind_is_leaf(kind) || (!in_flight(node) && node->state != NODE_HELD &&
                                      node->state != NODE_BACKOFF && node->attempts == 0),
          "a step of its kind makes no calls");
    CHECK(step_kind_has_inside(kind) || (node->state != NODE_JOINING && !node->inner),
          "there is nothing inside a step of its kind");
    CHECK(step_kind_joins(kind) || !node->join, "a step of its kind does not join");
    CHECK(!step_kind_joins(kind) || !node->started_at == !node->join,
          "it has a join once it started");
    CHECK(node->state != NODE_JOINING || node->started_at > 0, "it joins and has not started");
    CHECK(node->state != NODE_PREPARING || !node->started_at, "it started before it could begin");
    CHECK((node->state == NODE_ASKING) <= (kind == STEP_HUMAN), "only a human step asks");
    CHECK((node->state == NODE_SLEEPING) <= (kind == STEP_SLEEP), "only a sleep sleeps");
    return NULL;
}

static const char *check_attempts(const struct run_node *node)
{
    unsigned flying = in_flight(node);

    CHECK(node->attempts == node->tries + node->free_tries + flying,
          "attempts are tries, free ones and the one in flight");
    CHECK(node->attempts > 0 || !node->sent_at, "it was sent without an attempt");
    CHECK(node->attempts == 0 || (node->sent_at > 0 && node->started_at > 0),
          "it was attempted and not sent");
    CHECK(!flying || node->attempts > 0, "a call without an attempt");
    CHECK(node->state == NODE_ASKING || node->state == NODE_HELD ||
              (node->state == NODE_BACKOFF || node->state == NODE_SLEEPING) == (node->wake_at > 0),
          "a time to go on belongs to what waits for one");
    CHECK((node->state == NODE_HELD) == (node->held_reason != NULL),
          "a lane's reason belongs to HELD");
    CHECK(node->state != NODE_BACKOFF || node->error, "it waits to retry and nothing failed");
    return NULL;
}

static const char *check_ending(const struct run_node *node)
{
    bool final = run_node_is_final(node);

    CHECK(final == (node->ended_at > 0 || node->silent), "an end belongs to a final step");
    CHECK(node->state != NODE_SUCCEEDED || (node->output && !node->error),
          "success has an output and no error");
    CHECK(node->state != NODE_FAILED || node->error, "failure has an error");
    CHECK(!node->handled || (node->state == NODE_FAILED && node->output),
          "handled belongs to a failure with an output");
    CHECK(node->state != NODE_SKIPPED || (!node->output && !node->error && !node->started_at),
          "a skipped step never ran");
    CHECK(node->state != NODE_CANCELLED || (node->reason != CANCEL_NONE && !node->error),
          "a cancelled step has a reason and no error");
    CHECK(node->state == NODE_CANCELLED || node->state == NODE_STOPPING ||
              node->state == NODE_CLOSING || node->reason == CANCEL_NONE,
          "a reason belongs to what is stopped");
    CHECK(node->state != NODE_ACCEPTING || node->output, "there is nothing to accept");
    CHECK(!node->counted || node->state == NODE_SUCCEEDED || node->handled,
          "its join counts it and it did not succeed");
    return NULL;
}

static const char *check_waiting_error(const struct run_node *node)
{
    bool stopping = node->state == NODE_STOPPING || node->state == NODE_CLOSING;
    bool on_error = node->state == NODE_DEFAULTING || node->state == NODE_HANDLING;
    bool satisfied = node->join && node->join->satisfied;
    bool waits = on_error || (stopping && node->reason == CANCEL_NONE &&
                              (!satisfied || node->failure != PL_OK));

    CHECK(!waits || node->error, "the error it waits with is lost");
    CHECK(waits || node->failure == PL_OK, "an error waits where none can");
    CHECK(!waits || node->failure == run_problem_code(node->error),
          "the error that waits is another one");
    return NULL;
}

/* ---- a step among others ---- */

static bool is_being_stopped(const struct run_node *node)
{
    return (node->state == NODE_STOPPING || node->state == NODE_CLOSING) &&
           node->reason != CANCEL_NONE;
}

static const char *check_dependencies(const struct run_core *core, const struct run_node *node)
{
    unsigned open = 0, skipped = 0;
    bool let_down = false;

    for (size_t i = 0; i < node->def->n_deps; i++) {
        const struct run_node *dep = run_node_at(node->frame, node->def->deps[i]);
        bool final = run_node_is_final(dep) && !dep->silent;

        open += !final;
        skipped += final && dep->state == NODE_SKIPPED;
        let_down |= final && run_node_let_down(dep);
    }
    CHECK(node->open_deps == open && node->skipped_deps == skipped &&
              node->dependency_failed == let_down,
          "what it depends on is counted wrongly");
    CHECK(open == 0 || !has_begun(node), "it began before a step it depends on was over");
    CHECK(!let_down || !has_begun(node), "it began though a step it depends on failed");
    CHECK(node->state != NODE_SKIPPED || open == 0 || node->silent,
          "it was skipped before a step it depends on was over");
    if (node->state == NODE_WAITING && node->entered) {
        CHECK(open > 0 || run_warm_holds(node), "nothing keeps it from beginning");
        CHECK(core->state == RUN_RUNNING && !node->frame->failed,
              "it waits to begin in a run that ends");
    }
    return NULL;
}

static bool parent_has_started(const struct run_core *core, const struct run_node *node)
{
    const struct run_node *parent = node->parent;

    if (!parent)
        return node->frame->owner || core->started_at > 0;
    if (!node->def->is_handler)
        return parent->started_at > 0 && parent->def->kind == STEP_PARALLEL;
    return parent->state == NODE_HANDLING || parent->state == NODE_CLOSING ||
           run_node_is_final(parent);
}

static const char *check_entered(const struct run_core *core, const struct run_node *node)
{
    const struct run_node *parent = node->parent;

    if (node->entered) {
        CHECK(parent_has_started(core, node), "it is under way in a step that is not");
        CHECK(!node->silent, "it is under way and ended untold");
        return NULL;
    }
    CHECK(node->state == NODE_WAITING || node->silent ||
              (node->state == NODE_CANCELLED && node->reason == CANCEL_USER),
          "it began in a step that has not");
    CHECK(!node->started_at && node->attempts == 0, "it ran in a step that has not started");
    CHECK(node->state != NODE_WAITING || !parent || !run_node_is_final(parent),
          "it waits for a step that is over");
    return NULL;
}

/* ---- joins ---- */

static const char *check_join_counts(const struct run_node *node)
{
    struct node_join join = {.total = (unsigned)node->def->n_children};
    unsigned open = 0;

    for (size_t i = 0; i < node->def->n_children; i++) {
        const struct run_node *branch = run_node_at(node->frame, node->def->children[i]);

        CHECK(branch->entered, "a branch of it was forgotten");
        if (run_node_is_final(branch))
            run_branches_count(&join, branch);
        else
            open++;
        CHECK(node->join->winner != (int)i || branch->counted, "the winner is not counted");
    }
    CHECK(node->open_children == open, "open branches are counted wrongly");
    CHECK(node->join->total == join.total && node->join->succeeded == join.succeeded &&
              node->join->failed == join.failed && node->join->skipped == join.skipped &&
              node->join->cancelled == join.cancelled && node->join->counted == join.counted,
          "branches are counted wrongly");
    return NULL;
}

static const char *check_join(const struct run_node *node)
{
    struct node_join copy;
    struct run_node probe;
    const char *wrong;

    if (!node->join)
        return NULL;
    wrong = node->def->kind == STEP_PARALLEL ? check_join_counts(node) : NULL;
    if (wrong)
        return wrong;
    CHECK(!node->join->warming || (node->state == NODE_JOINING && !node->join->warmed),
          "its first branch goes alone in a join that is not open");
    if (node->state == NODE_JOINING) {
        CHECK(!node->join->decided, "its join is decided and it goes on");
        copy = *node->join;
        probe = *node;
        probe.join = &copy;
        CHECK(!run_join_decide(&probe, false), "its join could be decided and is not");
    }
    CHECK(!run_node_is_final(node) || node->def->join.drain || node->open_children == 0,
          "it is over and a branch of it is not");
    CHECK(node->state != NODE_SUCCEEDED || node->join->satisfied, "it succeeded without its join");
    return NULL;
}

static const char *check_closing(const struct run_node *node)
{
    const struct run_node *handler = run_node_at(node->frame, node->def->handler);
    bool handling = handler && handler->entered && !run_node_is_final(handler);

    if (node->state == NODE_HANDLING)
        CHECK(handling, "its handler is over and it is not");
    if (node->state != NODE_CLOSING)
        return NULL;
    CHECK(run_node_is_open_inside(node), "nothing inside it is open and it is");
    CHECK(!handling || is_being_stopped(handler), "its handler is not being stopped");
    for (size_t i = 0; i < node->def->n_children; i++) {
        const struct run_node *branch = run_node_at(node->frame, node->def->children[i]);

        CHECK(run_node_is_final(branch) || !branch->entered || is_being_stopped(branch),
              "a branch of it is not being stopped");
    }
    return NULL;
}

/* ---- frames ---- */

/* A top step of it is not final: more than what an inner join left to drain. */
static bool is_running(const struct run_frame *frame)
{
    for (size_t i = 0; i < frame->body->n_top; i++)
        if (!run_node_is_final(run_node_at(frame, frame->body->top[i])))
            return true;
    return false;
}

static const char *check_inner(const struct run_node *node)
{
    unsigned open = 0;

    if (!node->inner)
        return NULL;
    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = link->next) {
        const struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        CHECK(frame->owner == node, "a frame of it is another's");
        CHECK(frame->over == (frame->open == 0), "a frame of it is over, or not, and nobody knows");
        open += !frame->over;
    }
    CHECK(node->inner->open == open, "its open frames are counted wrongly");
    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = link->next) {
        const struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        CHECK(!run_node_is_final(node) || node->def->join.drain || !is_running(frame),
              "it is over and a frame of it is not");
    }
    return NULL;
}

/* ---- timers and totals ---- */

static const char *check_timer(const struct run_core *core, const struct run_node *node)
{
    pl_ms due = run_timers_due(node);
    uint32_t slot = node->timer_slot;

    CHECK(!due == !slot, "its timer is missing or left over");
    CHECK(!slot || (slot <= core->n_timers && core->timers[slot].node == node &&
                    core->timers[slot].at == due),
          "its timer is set to another time");
    CHECK(slot < 2 || core->timers[slot / 2].at <= due, "the heap of timers is out of order");
    return NULL;
}

static const char *check_node(const struct run_core *core, const struct run_node *node)
{
    const char *wrong = check_kind(node);

    wrong = wrong ? wrong : check_attempts(node);
    wrong = wrong ? wrong : check_ending(node);
    CHECK(wrong || !run_budget_check(core, node), run_budget_check(core, node));
    wrong = wrong ? wrong : check_waiting_error(node);
    wrong = wrong ? wrong : check_dependencies(core, node);
    wrong = wrong ? wrong : check_entered(core, node);
    wrong = wrong ? wrong : check_join(node);
    wrong = wrong ? wrong : check_closing(node);
    wrong = wrong ? wrong : check_inner(node);
    wrong = wrong ? wrong : check_timer(core, node);
    if (!wrong && run_kind_of(node->def->kind)->check)
        wrong = run_kind_of(node->def->kind)->check(core, node);
    if (!wrong && core->state == RUN_ENDING && node->entered && !run_node_is_final(node) &&
        !is_being_stopped(node))
        wrong = breach(node, "the run ends and it is not being stopped");
    if (!wrong && run_state_is_final(core->state) && !run_node_is_final(node))
        wrong = breach(node, "the run is over and it is not");
    return wrong;
}

static const char *check_waiting(const struct run_core *core, unsigned asking)
{
    if (core->asking != asking)
        return "the run counts those who ask wrongly";
    if (core->waiting && (core->state != RUN_RUNNING || !asking || core->busy || core->timeout_at))
        return "the run waits for people and something goes on";
    if (core->waiting != (core->waiting_since > 0))
        return "a time belongs to a run that waits for people";
    return NULL;
}

static const char *check_run(const struct run_core *core, unsigned open, unsigned flying,
                             size_t timers)
{
    bool final = run_state_is_final(core->state);

    if (core->open != open)
        return "the run counts its open steps wrongly";
    if (core->in_flight != flying)
        return "the run counts its calls in flight wrongly";
    if (core->n_timers != timers)
        return "the run has timers of nobody";
    if (core->ended_first)
        return "a step ended and nobody was told";
    if ((core->state == RUN_RUNNING || core->state == RUN_ENDING) && open == 0)
        return "every step of the run is over and it is not";
    if ((core->state == RUN_OUTPUT || final) && open > 0)
        return "the run is over and a step of it is not";
    if (final != (core->ended_at > 0))
        return "an end belongs to a final run";
    if (core->state != RUN_CANCELLED && (core->state == RUN_QUEUED) == (core->started_at > 0))
        return "a start belongs to a run that began";
    if (core->state == RUN_FAILED ? !core->error : core->state != RUN_ENDING && core->error)
        return "an error belongs to a failed run";
    if ((core->state == RUN_SUCCEEDED) != (core->output != NULL))
        return "an output belongs to a run that succeeded";
    return NULL;
}

const char *run_core_check(const struct run_core *core)
{
    unsigned open = 0, flying = 0, asking = 0;
    const char *waiting;
    size_t timers = 0;

    for (struct run_frame *frame = core->root; frame; frame = run_frame_next(core, frame)) {
        unsigned inside = 0;

        for (size_t i = 0; i < frame->n_nodes; i++) {
            const struct run_node *node = &frame->nodes[i];
            const char *wrong = check_node(core, node);

            if (wrong)
                return wrong;
            inside += node->entered && !run_node_is_final(node);
            flying += in_flight(node);
            asking += node->state == NODE_ASKING;
            timers += node->timer_slot > 0;
        }
        if (frame->open != inside)
            return "a frame of the run counts its open steps wrongly";
        open += inside;
    }
    waiting = check_waiting(core, asking);
    return waiting ? waiting : check_run(core, open, flying, timers);
}
