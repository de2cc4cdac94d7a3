/* money.c - the simulator's side of budgets: what a call asks for, a second sum of what is set
 * aside, and what must hold whenever a call is let through. Not the product's
 * (service/run/run_budget.h). Called by world.c, look.c, disk.c and reference.c. */
#include "service/run/run_budget.h"
#include "service/steps/step_config.h"
#include "tests/sim/sim.h"

static const double TOKENS_PER_USD = 1024; /* sums stay exact */

static struct budget amount(int64_t tokens)
{
    return (struct budget){tokens, (double)tokens / TOKENS_PER_USD};
}

double sim_money_cost(int64_t tokens)
{
    return amount(tokens).cost_usd;
}

/* ---- who is under what ---- */

/* The step whose budget counts next; NULL: the run's. */
static const struct sim_step *around(const struct sim_step *step)
{
    bool handler = step->def->is_handler;
    const struct sim_step *up = step->up;

    for (; handler && up; up = up->up)
        handler = up->def->is_handler;
    return up;
}

static bool is_under(const struct sim_step *step, const struct sim_step *holder)
{
    while (step && step != holder)
        step = around(step);
    return step == holder;
}

static struct budget limit_of(const struct sim_run *run, const struct sim_step *holder)
{
    const struct workflow *child = NULL;
    struct budget limit, other = {0};

    if (!holder)
        return run->workflow->budget;
    limit = holder->def->budget;
    if (holder->def->kind == STEP_WORKFLOW)
        child = holder->def->config.workflow->child;
    if (child)
        other = child->budget;
    if (other.tokens && (!limit.tokens || other.tokens < limit.tokens))
        limit.tokens = other.tokens;
    if (other.cost_usd > 0 && (limit.cost_usd <= 0 || other.cost_usd < limit.cost_usd))
        limit.cost_usd = other.cost_usd;
    return limit;
}

bool sim_money_limits(const struct sim_run *run, const struct sim_step *step)
{
    for (;; step = around(step)) {
        struct budget limit = limit_of(run, step);

        if (limit.tokens > 0 || limit.cost_usd > 0)
            return true;
        if (!step)
            return false;
    }
}

/* ---- asking ---- */

static void check_holder(struct sim_run *run, const struct sim_step *step,
                         const struct sim_step *holder)
{
    const struct run_node *node = holder ? sim_node(run, holder) : NULL;
    struct budget limit = limit_of(run, holder), used = run_budget_used(run->core, node);

    for (size_t i = 0; i < run->n; i++) {
        if (run->steps[i]->held.tokens == 0 || !is_under(run->steps[i], holder))
            continue;
        used.tokens += run->steps[i]->held.tokens;
        used.cost_usd += run->steps[i]->held.cost_usd;
    }
    if ((limit.tokens > 0 && used.tokens > limit.tokens) ||
        (limit.cost_usd > 0 && used.cost_usd > limit.cost_usd * (1 + 1e-6)))
        sim_breach(run, "%s: is let through: %s has %lld tokens, %g USD, and with it %lld, %g",
                   step->path.ptr, holder ? holder->path.ptr : "the run", (long long)limit.tokens,
                   limit.cost_usd, (long long)used.tokens, used.cost_usd);
}

bool sim_money_ask(struct sim_run *run, struct sim_step *step)
{
    /* now and then it is rendered otherwise when its turn has come */
    uint64_t dice = sim_hash(run->seed ^ step->key, 77,
                             step->serial % 8 ? step->mirror.attempts : step->serial);
    struct call_estimate estimate = {.one = amount(20 + (int64_t)(dice % 140))};
    enum run_grant grant;

    if (step->def->kind != STEP_LLM || !run_budget_matters(run->core))
        return true;
    estimate.all = amount(estimate.one.tokens + (dice & 0x300 ? 0 : (int64_t)(dice >> 12) % 200));
    grant = run_budget_ask(run->core, sim_node(run, step), &estimate);
    step->poor = grant == RUN_GRANT_NONE;
    step->held = (struct budget){0};
    if (step->poor)
        return false;
    step->held = grant == RUN_GRANT_ALL ? estimate.all : estimate.one;
    for (const struct sim_step *at = step; at; at = around(at))
        check_holder(run, step, at);
    check_holder(run, step, NULL);
    return !run->broken;
}

bool sim_money_kept(struct sim_run *run, struct sim_step *step)
{
    const struct step_def *def = step->def;

    if (def->kind != STEP_LLM || def->config.llm->cache_ttl == 0 ||
        !sim_chance(&run->rng, run->mood.kept))
        return false;
    /* it may have been let through, after it had waited, before the answer was found */
    step->held = run_budget_held(run->core, sim_node(run, step));
    step->poor = false;
    return true;
}

void sim_money_over(struct sim_run *run, struct sim_step *step, const struct store_usage *usage)
{
    int64_t used = usage->input_tokens + usage->output_tokens;

    if (used > step->held.tokens)
        run->overshoot += used - step->held.tokens;
    step->held = (struct budget){0};
    step->poor = false;
}

void sim_money_lose(struct sim_run *run)
{
    for (size_t i = 0; i < run->n; i++) {
        run->steps[i]->held = (struct budget){0};
        run->steps[i]->poor = false;
    }
}

/* ---- looking ---- */

void sim_money_check_waiting(struct sim_run *run, const struct sim_step *step)
{
    for (const struct sim_step *holder = step;; holder = around(holder)) {
        struct budget limit = limit_of(run, holder);

        for (size_t i = 0; (limit.tokens > 0 || limit.cost_usd > 0) && i < run->n; i++)
            if ((run->steps[i]->held.tokens > 0 || run->steps[i]->poor) &&
                is_under(run->steps[i], holder))
                return; /* it will be over, or told to wait: then the queue is looked at again */
        if (!holder)
            break;
    }
    sim_breach(run, "%s: waits for a budget of which nothing is set aside", step->path.ptr);
}

void sim_money_judge(struct sim_run *run)
{
    struct budget limit = limit_of(run, NULL), used = run_budget_used(run->core, NULL);

    if (limit.tokens > 0 && used.tokens > limit.tokens + run->overshoot)
        sim_breach(run,
                   "the run used %lld tokens of %lld; its calls used %lld more than was set "
                   "aside for them",
                   (long long)used.tokens, (long long)limit.tokens, (long long)run->overshoot);
}
