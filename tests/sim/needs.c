/* needs.c - what a run that was loaded said it can still call, and whether it calls anything else.
 * Not who asks (service/engine_load.c). Called by disk.c after a load, and by step.c when a step is
 * called. */
#include "tests/sim/judge.h"

static bool is_told(const struct sim_run *run, const struct step_def *def)
{
    for (size_t i = 0; i < run->n_needs; i++)
        if (run->needs[i] == def)
            return true;
    return false;
}

static bool take_need(void *arg, const struct step_def *def, struct pl_str model)
{
    struct sim_run *run = arg;
    const struct sim_step *step = def->body == run->workflow->root ? sim_at(run, def->path) : NULL;

    if (step && node_state_is_final(step->mirror.state))
        sim_breach(run, "%s: is over, and is said to be callable", def->path.ptr);
    if ((model.len > 0) != (def->kind == STEP_LLM))
        sim_breach(run, "%s: is said to need the model '%.*s'", def->path.ptr, PL_STR_ARG(model));
    if (is_told(run, def))
        return true;
    run->needs = sim_grow(run->needs, run->n_needs, &run->needs_capacity, sizeof(*run->needs));
    run->needs[run->n_needs++] = def;
    return true;
}

void sim_needs_load(struct sim_run *run)
{
    run->n_needs = 0;
    run_core_each_need(run->core, take_need, run);
}

void sim_needs_check(struct sim_run *run, const struct run_node *node)
{
    if (run->crashes > 0 && !is_told(run, node->def))
        sim_breach(run, "%s: is called, and after the crash it was not said that it can be",
                   node->path.ptr);
}
