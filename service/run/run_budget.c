/* run_budget.c - budgets: what is set aside, who waits for it, who can never have it. See
 * run_budget.h. */
#include "service/run/run_budget.h"

#include "base/json.h"
#include "service/run/run_core_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How it stands with one limit. In order: the worst of several counts. */
enum fit { FITS, FITS_LATER, FITS_NEVER };

/* ---- limits ---- */

static struct budget lower(struct budget a, struct budget b)
{
    if (b.tokens > 0 && (a.tokens <= 0 || b.tokens < a.tokens))
        a.tokens = b.tokens;
    if (b.cost_usd > 0 && (a.cost_usd <= 0 || b.cost_usd < a.cost_usd))
        a.cost_usd = b.cost_usd;
    return a;
}

static bool limits(const struct budget *budget)
{
    return budget->tokens > 0 || budget->cost_usd > 0;
}

void run_core_set_budget(struct run_core *core, const struct budget *budget)
{
    core->budgets.run.limit = lower(core->workflow->budget, *budget);
    core->budgets.any = core->workflow->budgeted || limits(&core->budgets.run.limit);
}

void run_budget_write(const struct budget *budget, struct pl_buf *out)
{
    json_object_begin(out);
    if (budget->tokens > 0)
        json_add_int(out, "tokens", budget->tokens);
    if (budget->cost_usd > 0)
        json_add_double(out, "cost_usd", budget->cost_usd);
    json_object_end(out);
}

struct budget run_budget_read(struct pl_str json)
{
    struct budget budget = {0};
    struct pl_str token;

    if (json_get(json, PL_STR("tokens"), &token) && !json_int(token, &budget.tokens))
        budget.tokens = 0;
    if (json_get(json, PL_STR("cost_usd"), &token) && json_type(token) == JSON_NUMBER)
        budget.cost_usd = json_number(token);
    return budget;
}

struct budget run_budget_limit(const struct run_core *core, const struct run_node *node)
{
    const struct workflow *child;

    if (!node)
        return core->budgets.run.limit;
    child = node->def->kind == STEP_WORKFLOW ? node->def->config.workflow->child : NULL;
    return child ? lower(node->def->budget, child->budget) : node->def->budget;
}

struct run_node *run_budget_around(const struct run_node *node)
{
    struct run_node *up = run_node_up(node);

    while (node->def->is_handler && up) {
        node = up;
        up = run_node_up(node);
    }
    return up;
}

struct budget run_budget_used(const struct run_core *core, const struct run_node *node)
{
    const struct store_usage *usage = node ? &node->usage : &core->usage;

    return (struct budget){usage->input_tokens + usage->output_tokens, usage->cost_usd};
}

struct budget run_budget_held(const struct run_core *core, const struct run_node *node)
{
    if (!node)
        return core->budgets.run.held;
    return node->purse ? node->purse->held : (struct budget){0};
}

bool run_budget_matters(const struct run_core *core)
{
    return core->budgets.any;
}

/* ---- purses ---- */

static struct run_purse *purse_of(struct run_core *core, struct run_node *node)
{
    if (!node)
        return &core->budgets.run;
    if (!node->purse) {
        node->purse = calloc(1, sizeof *node->purse);
        if (!node->purse) {
            core->out_of_memory = true;
            return NULL;
        }
        node->purse->node = node;
        node->purse->limit = run_budget_limit(core, node);
    }
    return node->purse;
}

/* Makes those of the step and of what is around it with a limit. False: memory is out. */
static bool make_purses(struct run_core *core, struct run_node *node)
{
    if (!purse_of(core, node))
        return false;
    while ((node = run_budget_around(node))) {
        struct budget limit = run_budget_limit(core, node);

        if (limits(&limit) && !purse_of(core, node))
            return false;
    }
    return true;
}

/* The next purse around one; the run's is the last. */
static struct run_purse *next_purse(struct run_core *core, const struct run_purse *purse)
{
    struct run_node *node = purse->node;

    if (!node)
        return NULL;
    while ((node = run_budget_around(node)))
        if (node->purse)
            return node->purse;
    return &core->budgets.run;
}

/* ---- setting aside ---- */

static void hold(struct run_core *core, struct run_node *node, struct budget amount, int sign)
{
    for (struct run_purse *at = node->purse; at; at = next_purse(core, at)) {
        at->calls += (unsigned)sign;
        at->held.tokens += sign * amount.tokens;
        at->held.cost_usd += sign * amount.cost_usd;
        if (at->calls == 0) /* what rounding has left of it */
            at->held.cost_usd = 0;
    }
}

void run_budget_release(struct run_core *core, struct run_node *node)
{
    struct run_purse *purse = node->purse;

    if (!purse || purse->granted == RUN_GRANT_NONE)
        return;
    hold(core, node, purse->granted == RUN_GRANT_ALL ? purse->asked.all : purse->asked.one, -1);
    purse->granted = RUN_GRANT_NONE;
    core->budgets.moved = true;
}

bool run_budget_give_back(struct run_core *core, struct run_node *node)
{
    if (!node->purse || node->purse->granted == RUN_GRANT_NONE)
        return false;
    run_budget_release(core, node);
    return true;
}

/* Sums of money are not exact: a budget is not missed by a rounding. */
static bool passes(double sum, double limit)
{
    return sum > limit * (1 + 1e-9);
}

static enum fit fit_one(const struct run_core *core, const struct run_purse *purse,
                        const struct budget *want)
{
    struct budget used = run_budget_used(core, purse->node);
    const struct budget *limit = &purse->limit, *held = &purse->held;

    if (limit->tokens > 0 && used.tokens + want->tokens > limit->tokens)
        return FITS_NEVER;
    if (limit->cost_usd > 0 && passes(used.cost_usd + want->cost_usd, limit->cost_usd))
        return FITS_NEVER;
    if (limit->tokens > 0 && used.tokens + held->tokens + want->tokens > limit->tokens)
        return FITS_LATER;
    if (limit->cost_usd > 0 &&
        passes(used.cost_usd + held->cost_usd + want->cost_usd, limit->cost_usd))
        return FITS_LATER;
    return FITS;
}

/* The worst of all around it, and the purse that is to blame. */
static enum fit fit(struct run_core *core, const struct run_node *node, const struct budget *want,
                    struct run_purse **ret_purse)
{
    enum fit worst = FITS;

    for (struct run_purse *at = node->purse; at; at = next_purse(core, at)) {
        enum fit one = fit_one(core, at, want);

        if (one > worst) {
            worst = one;
            *ret_purse = at;
        }
    }
    return worst;
}

static struct run_purse *money_around(struct run_core *core, const struct run_node *node)
{
    for (struct run_purse *at = node->purse; at; at = next_purse(core, at))
        if (at->limit.cost_usd > 0)
            return at;
    return NULL;
}

/* How it stands with what it asked for, and how much of that is meant. */
static enum fit weigh(struct run_core *core, const struct run_node *node, enum run_grant *ret_grant,
                      struct run_purse **ret_purse)
{
    const struct run_purse *purse = node->purse;
    enum fit how;

    if (purse->asked.unpriced && (*ret_purse = money_around(core, node)))
        return FITS_NEVER;
    *ret_grant = RUN_GRANT_ALL;
    how = fit(core, node, &purse->asked.all, ret_purse);
    if (how != FITS_NEVER)
        return how;
    *ret_grant = RUN_GRANT_ONE;
    return fit(core, node, &purse->asked.one, ret_purse);
}

static void grant(struct run_core *core, struct run_node *node, enum run_grant what)
{
    struct run_purse *purse = node->purse;

    purse->granted = what;
    hold(core, node, what == RUN_GRANT_ALL ? purse->asked.all : purse->asked.one, 1);
}

static bool same(const struct budget *a, const struct budget *b)
{
    return a->tokens == b->tokens && a->cost_usd == b->cost_usd;
}

/* Somebody waits for money of a budget that is around it too. */
static bool others_wait(struct run_core *core, const struct run_node *node)
{
    for (const struct run_purse *at = node->purse; at; at = next_purse(core, at))
        if (at->waiting > 0 && limits(&at->limit))
            return true;
    return false;
}

enum run_grant run_budget_ask(struct run_core *core, struct run_node *node,
                              const struct call_estimate *estimate)
{
    struct run_purse *purse, *by = NULL;
    enum run_grant what = RUN_GRANT_NONE;
    bool was_granted;
    enum fit how;

    if (!core->budgets.any)
        return RUN_GRANT_ALL;
    if (!make_purses(core, node))
        return RUN_GRANT_NONE;
    purse = node->purse;
    was_granted = purse->granted != RUN_GRANT_NONE;
    if (was_granted && same(&purse->asked.one, &estimate->one) &&
        same(&purse->asked.all, &estimate->all))
        return purse->granted; /* it waited, and it was set aside when its turn came */
    run_budget_release(core, node);
    purse->asked = *estimate;
    purse->results = core->budgets.results;
    how = weigh(core, node, &what, &by);
    purse->never = how == FITS_NEVER;
    if (how == FITS && (was_granted || !others_wait(core, node))) {
        grant(core, node, what);
        return what;
    }
    run_budget_wait(core, node); /* its place is kept from now on */
    return RUN_GRANT_NONE;
}

/* ---- waiting ---- */

bool run_budget_is_reason(const char *held_reason)
{
    return held_reason && strcmp(held_reason, RUN_BUDGET_REASON) == 0;
}

void run_budget_wait(struct run_core *core, struct run_node *node)
{
    core->budgets.moved = true; /* what it waits for may have come free in the meantime */
    if (!node->purse || pl_list_linked(&node->purse->waits))
        return;
    pl_list_append(&core->budgets.queue, &node->purse->waits);
    for (struct run_purse *at = node->purse; at; at = next_purse(core, at))
        at->waiting++;
}

void run_budget_leave(struct run_core *core, struct run_node *node)
{
    if (!node->purse || !pl_list_linked(&node->purse->waits))
        return;
    pl_list_remove(&node->purse->waits);
    for (struct run_purse *at = node->purse; at; at = next_purse(core, at))
        at->waiting--;
    core->budgets.moved = true;
}

static void explain(const struct run_core *core, const struct run_node *node,
                    const struct run_purse *by, struct pl_err *ret_err)
{
    const struct budget *want = &node->purse->asked.one, *limit = &by->limit;
    struct budget used = run_budget_used(core, by->node);
    char whose[192] = "the run's budget";

    if (by->node)
        snprintf(whose, sizeof whose, "the budget of step %.*s", PL_STR_ARG(by->node->path));
    if (node->purse->asked.unpriced && limit->cost_usd > 0)
        pl_err_set(ret_err, PL_ERR_BUDGET_EXCEEDED,
                   "%s cannot be kept: what %.*s costs is not known; add its price to 'models' of "
                   "the configuration",
                   whose, PL_STR_ARG(run_node_model(node)));
    else if (limit->tokens > 0 && used.tokens + want->tokens > limit->tokens)
        pl_err_set(ret_err, PL_ERR_BUDGET_EXCEEDED,
                   "this call may use %lld tokens; %s is %lld, of which %lld are used",
                   (long long)want->tokens, whose, (long long)limit->tokens,
                   (long long)used.tokens);
    else
        pl_err_set(ret_err, PL_ERR_BUDGET_EXCEEDED,
                   "this call may cost %.6g USD; %s is %.6g, of which %.6g are spent",
                   want->cost_usd, whose, limit->cost_usd, used.cost_usd);
}

static void refuse(struct run_core *core, struct run_node *node, const struct run_purse *by)
{
    struct pl_err text = {0};

    explain(core, node, by, &text);
    if (core->budgets.watched)
        run_core_effect(core, RUN_FX_REFUSED, node, 0);
    run_node_fail_with(core, node, PL_ERR_BUDGET_EXCEEDED, text.message);
}

bool run_budget_refuses(struct run_core *core, const struct run_node *node, struct pl_err *ret_err)
{
    enum run_grant what = RUN_GRANT_NONE;
    struct run_purse *by = NULL;

    if (!node->purse || !node->purse->never || weigh(core, node, &what, &by) != FITS_NEVER)
        return false;
    explain(core, node, by, ret_err);
    return true;
}

void run_core_watch_refusals(struct run_core *core)
{
    core->budgets.watched = true;
}

static bool is_blocked(struct run_core *core, const struct run_node *node)
{
    for (const struct run_purse *at = node->purse; at; at = next_purse(core, at))
        if (at->blocked == core->budgets.scan)
            return true;
    return false;
}

/* Calls have come back since it asked. The answer of one may do for it too, which costs nothing: it
 * asks once more before it is refused. */
static bool asks_again(const struct run_core *core, const struct run_node *node)
{
    bool cached = node->def->kind == STEP_LLM && node->def->config.llm->cache_ttl > 0;

    return (cached || core->budgets.watched) && node->purse->results != core->budgets.results;
}

/* Goes through those that wait, in order: one for which a budget does not have enough yet keeps its
 * place before others of that budget. */
static void serve(struct run_core *core)
{
    struct pl_list *next;

    core->budgets.scan++;
    for (struct pl_list *link = core->budgets.queue.next;
         link != &core->budgets.queue && core->budgets.run.blocked != core->budgets.scan;
         link = next) {
        struct run_node *node = pl_container_of(link, struct run_purse, waits)->node;
        enum run_grant what = RUN_GRANT_NONE;
        struct run_purse *by = NULL;
        enum fit how;

        next = link->next;
        if (node->state != NODE_HELD || is_blocked(core, node))
            continue; /* that it waits is not told yet: then it is its turn */
        how = weigh(core, node, &what, &by);
        if (how == FITS_LATER) {
            by->blocked = core->budgets.scan;
            continue;
        }
        run_budget_leave(core, node);
        if (how == FITS)
            grant(core, node, what);
        if (how == FITS || asks_again(core, node))
            run_attempt_begin(core, node);
        else
            refuse(core, node, by);
    }
}

void run_budget_settle(struct run_core *core)
{
    while (core->budgets.moved && !core->out_of_memory) {
        core->budgets.moved = false;
        if (pl_list_empty(&core->budgets.queue))
            return;
        serve(core);
        core->budgets.moved = false; /* leaving by its own turn makes no room */
        run_core_settle(core);
    }
}

/* ---- why others were stopped ---- */

/* Did it fail, or what it failed by, for want of a budget? */
static bool is_cause(const struct pl_value *error)
{
    struct pl_str at = pl_value_text(error), code, cause;

    for (unsigned depth = 0; error && depth < 64; depth++) {
        if (json_get(at, PL_STR("code"), &code) && pl_str_is(code, "\"budget_exceeded\""))
            return true;
        if (!json_get(at, PL_STR("cause"), &cause))
            return false;
        at = cause;
    }
    return false;
}

enum cancel_reason run_budget_reason(const struct pl_value *error, enum cancel_reason reason)
{
    if (reason != CANCEL_SIBLING_FAILED && reason != CANCEL_RUN_FAILED)
        return reason;
    return is_cause(error) ? CANCEL_BUDGET : reason;
}

/* ---- invariants ---- */

const char *run_budget_check(const struct run_core *core, const struct run_node *node)
{
    const struct run_purse *purse = node->purse;

    if (!purse)
        return NULL;
    if (purse->granted != RUN_GRANT_NONE && node->state != NODE_CALLING &&
        node->state != NODE_STOPPING)
        return "something is set aside for a call that it does not make";
    if (pl_list_linked(&purse->waits)
            ? node->state != NODE_CALLING && node->state != NODE_STOPPING &&
                  !run_budget_is_reason(node->held_reason)
            : run_budget_is_reason(node->held_reason))
        return "it stands in the queue of budgets and does not wait, or the reverse";
    if (purse->held.tokens < 0 || (purse->calls == 0) != (purse->held.tokens == 0))
        return "what is set aside does not fit the calls it is for";
    if (core->budgets.run.calls < purse->calls || core->budgets.run.waiting < purse->waiting)
        return "more is set aside inside it than in the whole run";
    return NULL;
}
