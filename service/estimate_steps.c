/* estimate_steps.c - how often each step of a workflow would run: the walk through it, kind by
 * kind. Not what its calls come to (estimate_calls.c), which it calls. Called by estimate.c. */
#include "service/estimate_private.h"

#include "base/json.h"
#include "service/steps/llm_estimate.h"

#include <math.h>

enum {
    SAMPLE_ITEMS = 100,  /* of a map that are looked at one by one */
    VISITS_MAX = 100000, /* then one item stands for all */
};

static void add_step(struct estimator *est, const struct estimate_place *place,
                     const struct step_def *step);

/* ---- bodies ---- */

void estimate_body(struct estimator *est, const struct estimate_place *place,
                   const struct step_body *body)
{
    for (size_t i = 0; i < body->n_top; i++)
        add_step(est, place, body->top[i]);
}

/* The body so many times. */
static void add_times(struct estimator *est, const struct estimate_place *place,
                      const struct step_body *body, double expected, double most)
{
    struct estimate_place inside = *place;

    inside.times.expected *= expected;
    inside.times.most *= most;
    estimate_body(est, &inside, body);
}

/* The branches that are looked at, one by one: so many, spread evenly over all. */
struct looks {
    const struct estimate_place *place;
    const struct step_def *step;
    struct range branches;
    size_t count, done;
};

static void look_at(struct estimator *est, struct looks *looks, size_t at, struct pl_str value)
{
    struct estimate_item item = {
        .map = looks->step, .value = value, .index = at, .outer = looks->place->item};
    struct estimate_place inside = *looks->place;

    looks->done++;
    inside.item = &item;
    add_times(est, &inside, looks->step->bodies[0], looks->branches.expected / (double)looks->count,
              looks->branches.most / (double)looks->count);
}

static size_t next_look(const struct looks *looks)
{
    return (size_t)((double)looks->done * looks->branches.expected / (double)looks->count);
}

/* One pass over the list; with `batch` a branch has several of its elements. */
static void look_at_items(struct estimator *est, struct looks *looks, struct pl_str items)
{
    const size_t batch = looks->step->config.map->batch ? looks->step->config.map->batch : 1;
    const bool as_list = looks->step->config.map->batch > 0;
    struct json_iter it;
    size_t index = 0;

    for (json_iter_init(&it, items); looks->done < looks->count && json_iter_next(&it); index++) {
        size_t at = index / batch;
        struct pl_str value = it.value;

        if (index % batch != 0 || at != next_look(looks))
            continue;
        for (size_t i = 1; as_list && i < batch && json_iter_next(&it); i++)
            index++;
        if (as_list) /* what lies between the first and the last is the list without brackets */
            value = pl_str(pl_arena_printf(
                est->arena, "[%.*s]", (int)(it.value.ptr + it.value.len - value.ptr), value.ptr));
        look_at(est, looks, at, value);
    }
}

static void add_branches(struct estimator *est, const struct estimate_place *place,
                         const struct step_def *step, struct pl_str items, struct range branches)
{
    const double most = est->visits > VISITS_MAX ? 1 : SAMPLE_ITEMS;
    struct looks looks = {.place = place, .step = step, .branches = branches, .count = 1};

    if (!items.ptr) {
        look_at(est, &looks, 0, (struct pl_str){0});
        return;
    }
    if (branches.expected < 1)
        return;
    looks.count = (size_t)fmin(branches.expected, most);
    if ((double)looks.count < branches.expected)
        estimate_assume(est, "of the items of a map %zu stand for all", looks.count);
    look_at_items(est, &looks, items);
}

static void add_map(struct estimator *est, const struct estimate_place *place,
                    const struct step_def *step)
{
    const struct map_config *config = step->config.map;
    struct pl_str items;
    struct range count = estimate_items(est, place, step, &items);
    struct estimate_item none = {.map = step, .outer = place->item};
    struct estimate_place inside = *place;
    double groups = 0;

    if (config->batch) {
        count.expected = ceil(count.expected / config->batch);
        count.most = ceil(count.most / config->batch);
    }
    add_branches(est, place, step, items, count);
    if (!config->fan_in)
        return;
    inside.item = &none;
    for (double level = count.most; level > 1; level = ceil(level / config->fan_in))
        groups += ceil(level / config->fan_in);
    add_times(est, &inside, step->bodies[1], fmax(groups, 1), fmax(groups, 1));
}

static void add_vote(struct estimator *est, const struct estimate_place *place,
                     const struct step_def *step)
{
    const struct vote_config *vote = step->config.vote;
    double n = vote->n_among ? vote->n_among : vote->samples;
    bool judged = vote->method == VOTE_JUDGE;

    if (vote->n_among)
        for (unsigned i = 0; i < vote->n_among; i++)
            estimate_body(est, place, step->bodies[i]);
    else
        add_times(est, place, step->bodies[0], n, n);
    if (vote->judge_body >= 0)
        add_times(est, place, step->bodies[vote->judge_body], judged ? 1 : 0, 1);
    if (vote->score_body >= 0)
        add_times(est, place, step->bodies[vote->score_body], n, n);
}

static struct pl_str full_path(struct estimator *est, const struct estimate_place *place,
                               struct pl_str path)
{
    const char *text;

    if (!place->prefix.len)
        return path;
    text = pl_arena_printf(est->arena, "%.*s.%.*s", PL_STR_ARG(place->prefix), PL_STR_ARG(path));
    return text ? pl_str(text) : path;
}

static void add_workflow(struct estimator *est, const struct estimate_place *place,
                         const struct step_def *step)
{
    const struct workflow_config *config = step->config.workflow;
    struct estimate_scope scope = *place->scope;
    struct estimate_place inside = *place;

    if (config->child || config->input) {
        scope.input = (struct pl_str){0};
        if (!config->input)
            scope.input = PL_STR("{}");
        else if (!estimate_value(est, place, config->input, &scope.input))
            estimate_assume(est, "the input of '%s' is known only when it begins", step->path.ptr);
        inside.scope = &scope;
    }
    if (config->child) {
        scope.workflow = config->child;
        inside.item = NULL;
        inside.prefix = full_path(est, place, step->path);
    }
    estimate_body(est, &inside, step->bodies[0]);
}

static void add_llm(struct estimator *est, const struct estimate_place *place,
                    const struct step_def *step)
{
    const struct llm_config *llm = step->config.llm;
    struct estimate_attempt attempt = {
        .input = estimate_prompt(est, place, llm),
        .output = estimate_answer(est, step, llm),
        .repairs = llm->schema.schema ? llm->repair : 0,
        .hedges = llm->hedge.max,
    };

    estimate_calls(est, place, step, llm, &attempt);
}

/* Each turn sends the whole conversation: what the model said, and what the tools gave. */
static void add_agent(struct estimator *est, const struct estimate_place *place,
                      const struct step_def *step)
{
    const struct agent_config *agent = step->config.agent;
    const struct llm_config *llm = agent->llm;
    double turns = agent->max_turns < ESTIMATE_TURNS ? agent->max_turns : ESTIMATE_TURNS;
    struct estimate_attempt attempt = {.input = estimate_prompt(est, place, llm),
                                       .output = estimate_answer(est, step, llm),
                                       .repairs = llm->repair,
                                       .hedges = llm->hedge.max};
    struct estimate_place each = *place;
    const double tool = ESTIMATE_BYTES / LLM_BYTES_PER_TOKEN;

    if (agent->n_tools == 0)
        turns = 1;
    estimate_assume(est,
                    "an agent takes %d turns, or max_turns where that is less, and calls one "
                    "tool in each but the last",
                    ESTIMATE_TURNS);
    if (agent->n_tools)
        estimate_no_bound(est, true, "how many tools '%s' calls in a turn, and what they give",
                          step->path.ptr);
    attempt.input.expected += (turns - 1) / 2 * (attempt.output.expected + tool);
    attempt.input.most += (double)(agent->max_turns - 1) / 2 * (attempt.output.most + tool);
    each.times.expected *= turns;
    each.times.most *= agent->max_turns;
    estimate_calls(est, &each, step, llm, &attempt);
    for (size_t i = 0; i < agent->n_tools; i++)
        add_times(est, place, step->bodies[agent->tools[i].body],
                  (turns - 1) / (double)agent->n_tools, agent->max_turns - 1);
}

static void add_repeat(struct estimator *est, const struct estimate_place *place,
                       const struct step_def *step)
{
    const struct repeat_config *repeat = step->config.repeat;
    double expected = repeat->until ? ceil((double)repeat->max / 2) : repeat->max;

    if (repeat->until)
        estimate_assume(est, "a repeat with `until` takes half of its `max` turns");
    add_times(est, place, step->bodies[0], expected, repeat->max);
}

static void add_kind(struct estimator *est, const struct estimate_place *place,
                     const struct step_def *step)
{
    switch (step->kind) {
    case STEP_LLM:
        add_llm(est, place, step);
        break;
    case STEP_PARALLEL:
        for (size_t i = 0; i < step->n_children; i++)
            add_step(est, place, step->children[i]);
        break;
    case STEP_MAP:
        add_map(est, place, step);
        break;
    case STEP_VOTE:
        add_vote(est, place, step);
        break;
    case STEP_WORKFLOW:
        add_workflow(est, place, step);
        break;
    case STEP_AGENT:
        add_agent(est, place, step);
        break;
    case STEP_REPEAT:
        add_repeat(est, place, step);
        break;
    case STEP_HTTP:
    case STEP_MCP:
    case STEP_REDUCE:
    case STEP_HUMAN:
    case STEP_SLEEP:
    case STEP__KINDS:
        break;
    }
}

static void add_step(struct estimator *est, const struct estimate_place *place,
                     const struct step_def *step)
{
    struct estimate_place handler = *place;
    bool runs = true;

    if (est->visits >= ESTIMATE_VISITS_MAX)
        return;
    est->visits++;
    if (step->when && estimate_truth(est, place, step->when, &runs) && !runs)
        return;
    if (step->when && runs)
        estimate_assume(est, "a step with `when` runs, where the input does not say otherwise");
    add_kind(est, place, step);
    if (!step->handler)
        return;
    handler.times.expected = 0; /* nothing is expected to fail */
    add_step(est, &handler, step->handler);
}
