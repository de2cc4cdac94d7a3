/* workflow_checks.h - what the checks of a workflow share, in the order workflow_check.c calls
 * them: references, state, dependencies, circles, order in time, races, jq programs. Not the
 * reading (workflow_parse.h). Not for anybody else. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_CHECKS_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_CHECKS_H

#include "service/workflow/workflow_parse.h"

struct wf_deps;

/* ---- state (workflow_state.c, workflow_races.c) ---- */

/* Finds the channel behind every name. */
void wf_resolve_state(struct wf_parser *p);

/* Makes readers of a channel wait for its writers. False: too many (said). Needs deps without a
 * circle; afterwards wf_close_deps once more. */
bool wf_add_state_deps(struct wf_parser *p, struct wf_deps *deps);
/* Refuses steps that may write one channel without a reducer at the same time. Needs deps without a
 * circle. */
void wf_check_races(struct wf_parser *p);

/* ---- references (workflow_refs.c) ---- */

/* Finds the step behind every id, or says why it cannot be had. */
void wf_resolve_refs(struct wf_parser *p);
/* The step an id of `needs` means; NULL: none that may be waited for. */
struct step_def *wf_needed(const struct wf_parser *p, const struct wf_step *build,
                           struct pl_str id);

/* ---- dependencies (workflow_deps.c) ---- */

/* Which step waits for which, before it is in the steps. Within one body each. */
struct wf_deps {
    struct wf_dep {
        struct step_def *to;
        const struct doc_node *reason; /* where it was said */
        uint32_t next;                 /* in `all`, 0: the last one */
    } * all;                           /* from 1 */
    size_t count, capacity;
    uint32_t *first, *last; /* by the index of who waits */
};

/* All that expressions and `needs` say. False when memory is out. */
bool wf_find_deps(struct wf_parser *p, struct wf_deps *deps);
bool wf_add_dep(struct wf_parser *p, struct wf_deps *deps, const struct step_def *step,
                struct step_def *to, const struct doc_node *reason);
/* Writes them into the steps: deps, without duplicates. */
void wf_close_deps(struct wf_parser *p, const struct wf_deps *deps);
/* The step of `body` that is `step` or has it inside, NULL: none. */
const struct step_def *wf_lift(const struct step_def *step, const struct step_body *body);
/* Fills dependents and sinks. */
void wf_find_dependents(struct wf_parser *p);

/* ---- order in time (workflow_order.c) ---- */

/* Begins and ends of all steps, each with those it waits for. A moment is index * 2, plus 1 for
 * the end. */
struct wf_order {
    size_t n_moments;
    uint32_t *edges;    /* what moment m waits for: edges[start[m]] .. edges[start[m + 1] - 1] */
    uint32_t *start;    /* n_moments + 1 */
    uint32_t *sequence; /* all moments, each behind those it waits for */
    uint32_t *place;    /* the inverse */
    uint64_t *reached;  /* of wf_order_mark */
};
/* False when memory is out. Needs deps without a circle. */
bool wf_order_create(struct wf_parser *p, struct wf_order *order);
/* Afterwards bit i of reached[m] says that m is targets[i] or waits for it, count <= 64. */
void wf_order_mark(struct wf_order *order, const uint32_t *targets, size_t count);

/* ---- circles, programs (workflow_cycles.c, workflow_jq.c) ---- */

/* Reports every loop of steps that wait for each other; true: there is none. Needs deps.
 * `through_state`: without those of state there was none. */
bool wf_check_cycles(struct wf_parser *p, bool through_state);
/* Numbers the jq programs and asks whether they are sound. */
void wf_collect_jq(struct wf_parser *p);

/* ---- what a run would stumble over (workflow_paths.c, workflow_braces.c) ---- */

/* Holds plain paths against what there is. Needs references and sinks. */
void wf_check_paths(struct wf_parser *p);
/* Warns of `{{ name }}` in texts, which Plait does not replace. */
void wf_check_braces(struct wf_parser *p);

/* ---- budgets (workflow_budget.c) ---- */

/* Reports models without a price under a budget of money. */
void wf_check_budgets(struct wf_parser *p);

#endif
