/* estimate.c - how often each step of a workflow would call a model, and what that comes to. How
 * long the texts are is in estimate_size.c. See estimate.h. */
#include "service/estimate_private.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "service/llm/provider.h"
#include "service/schema/schema.h"
#include "service/steps/llm_estimate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    SAMPLE_ITEMS = 100,   /* of a map that are looked at one by one */
    VISITS_MAX = 100000,  /* then one item stands for all */
    VISITS_END = 1000000, /* then it is refused: workflows that call workflows multiply */
    NOTES_MAX = 32,
    TOKENS_MAX = 1000000000, /* of one prompt: far beyond any model */
};

static const double COUNT_MAX = 1e15; /* of tokens or dollars: beyond it no figure is exact */

/* The calls of one model by one step of the document. */
struct estimate_row {
    struct estimate_row *next, *same_path;
    struct pl_str path, model;
    struct range calls, input, output, cost;
    bool priced;
};

/* ---- notes ---- */

static void note(struct estimator *est, const char **notes, size_t *count, const char *text)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(notes[i], text) == 0)
            return;
    if (*count < NOTES_MAX && (notes[*count] = pl_arena_strdup(est->arena, text)))
        ++*count;
}

void estimate_assume(struct estimator *est, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    note(est, est->assumptions, &est->n_assumptions, text);
}

void estimate_no_bound(struct estimator *est, bool calls, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    note(est, est->unbounded, &est->n_unbounded, text);
    est->calls_unbounded |= calls;
    est->tokens_unbounded = true;
}

/* ---- calls ---- */

static struct estimate_row *row_of(struct estimator *est, struct pl_str path, struct pl_str model)
{
    struct estimate_row *first = pl_map_get(est->by_path, path), *row = first;

    while (row && !pl_str_eq(row->model, model))
        row = row->same_path;
    if (row)
        return row;
    row = pl_arena_alloc(est->arena, sizeof *row);
    path = pl_arena_str(est->arena, path);
    if (!row || pl_arena_failed(est->arena)) {
        est->no_memory = true;
        return NULL;
    }
    *row = (struct estimate_row){.path = path, .model = model, .same_path = first};
    est->no_memory |= !pl_map_put(est->by_path, path, row, NULL);
    *est->last_row = row;
    est->last_row = &row->next;
    return row;
}

/* What one attempt of a step may send and get: one call, and all calls with repairs and hedges. */
struct attempt {
    struct range input, output; /* tokens of one call */
    unsigned repairs, hedges;
};

static double sum_inputs(const struct attempt *attempt)
{
    struct budget all =
        llm_estimate_all((int64_t)attempt->input.most, (int64_t)attempt->output.most,
                         attempt->repairs, attempt->hedges, NULL);
    double calls = (double)(attempt->repairs + 1) * (attempt->hedges + 1);

    return (double)all.tokens - attempt->output.most * calls;
}

/* `expected` is how often the step calls this model at all (0: a fallback). */
static void add_model(struct estimator *est, const struct estimate_place *place, struct pl_str path,
                      struct pl_str model, const struct attempt *attempt, double attempts,
                      double expected)
{
    const struct price *price = providers_price(est->providers, model);
    struct estimate_row *row = row_of(est, path, model);
    double most = place->times.most * attempts;
    double calls = (double)(attempt->repairs + 1) * (attempt->hedges + 1);
    struct store_usage once = {.input_tokens = (int64_t)attempt->input.expected,
                               .output_tokens = (int64_t)attempt->output.expected};

    if (!row)
        return;
    row->calls.expected += expected;
    row->input.expected += expected * attempt->input.expected;
    row->output.expected += expected * attempt->output.expected;
    row->calls.most += most * calls;
    row->input.most += most * sum_inputs(attempt);
    row->output.most += most * calls * attempt->output.most;
    row->priced = price != NULL;
    if (!price) {
        char name[200];

        snprintf(name, sizeof name, "%.*s", PL_STR_ARG(model));
        note(est, est->unpriced, &est->n_unpriced, name);
        return;
    }
    row->cost.expected += expected * price_of_usage(price, &once);
    row->cost.most += most * price_at_most(price, (int64_t)sum_inputs(attempt),
                                           (int64_t)(calls * attempt->output.most));
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

/* Tokens of everything that is sent with one call, but for what an agent's turns add. */
static struct range prompt_tokens(struct estimator *est, const struct estimate_place *place,
                                  const struct llm_config *llm)
{
    struct range bytes = {0};
    const struct template *parts[] = {llm->system, llm->messages, llm->prompt, llm->extra};

    for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
        struct range part = estimate_template(est, place, parts[i]);

        if (parts[i] == NULL)
            continue;
        bytes.expected += part.expected + 32; /* [{"role":"user","content":""}] */
        bytes.most += part.most + 32;
    }
    if (llm->messages)
        estimate_assume(est, "images, audio and files in messages count as text");
    if (llm->schema.schema) {
        bytes.expected += (double)llm->schema.json.len;
        bytes.most += (double)llm->schema.json.len;
    }
    bytes.expected = fmin(ceil(bytes.expected / LLM_BYTES_PER_TOKEN), TOKENS_MAX);
    bytes.most = fmin(ceil(bytes.most / LLM_BYTES_PER_TOKEN), TOKENS_MAX);
    return bytes;
}

/* All models of a step: the first is expected, the others come when it fails. */
static void add_calls(struct estimator *est, const struct estimate_place *place,
                      const struct step_def *step, const struct llm_config *llm,
                      const struct attempt *attempt, const struct retry_policy *retry)
{
    struct pl_str path = step->path;

    if (place->prefix.len) {
        pl_buf_reset(&est->path);
        pl_buf_printf(&est->path, "%.*s.%.*s", PL_STR_ARG(place->prefix), PL_STR_ARG(path));
        est->no_memory |= pl_buf_failed(&est->path);
        path = pl_buf_view(&est->path);
    }
    add_model(est, place, path, llm->model, attempt, retry->attempts, place->times.expected);
    for (size_t i = 0; i < llm->n_fallback; i++)
        add_model(est, place, path, llm->fallback[i], attempt, retry->attempts, 0);
    if (llm->cache_ttl)
        estimate_assume(est, "no answer is taken from the cache");
}

static void add_llm(struct estimator *est, const struct estimate_place *place,
                    const struct step_def *step)
{
    const struct llm_config *llm = step->config.llm;
    struct attempt attempt = {
        .input = prompt_tokens(est, place, llm),
        .output = estimate_answer(est, step, llm),
        .repairs = llm->schema.schema ? llm->repair : 0,
        .hedges = llm->hedge.max,
    };

    add_calls(est, place, step, llm, &attempt, &step->retry);
}

/* ---- steps ---- */

static void add_step(struct estimator *est, const struct estimate_place *place,
                     const struct step_def *step);

static void add_body(struct estimator *est, const struct estimate_place *place,
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
    add_body(est, &inside, body);
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
            add_body(est, place, step->bodies[i]);
    else
        add_times(est, place, step->bodies[0], n, n);
    if (vote->judge_body >= 0)
        add_times(est, place, step->bodies[vote->judge_body], judged ? 1 : 0, 1);
    if (vote->score_body >= 0)
        add_times(est, place, step->bodies[vote->score_body], n, n);
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
        inside.item = NULL;
        inside.prefix = full_path(est, place, step->path);
    }
    add_body(est, &inside, step->bodies[0]);
}

/* Each turn sends the whole conversation: what the model said, and what the tools gave. */
static void add_agent(struct estimator *est, const struct estimate_place *place,
                      const struct step_def *step)
{
    const struct agent_config *agent = step->config.agent;
    const struct llm_config *llm = agent->llm;
    double turns = agent->max_turns < ESTIMATE_TURNS ? agent->max_turns : ESTIMATE_TURNS;
    struct attempt attempt = {.input = prompt_tokens(est, place, llm),
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
    add_calls(est, &each, step, llm, &attempt, &step->retry);
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

    if (est->visits >= VISITS_END)
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

/* ---- the result ---- */

static int64_t rounded(double number)
{
    return (int64_t)llround(fmin(number, COUNT_MAX));
}

static void write_range(struct pl_buf *out, const char *key, struct range range, bool bounded,
                        bool whole)
{
    json_key(out, key);
    json_object_begin(out);
    if (whole)
        json_add_int(out, "expected", rounded(range.expected));
    else
        json_add_double(out, "expected", fmin(range.expected, COUNT_MAX));
    if (!bounded)
        json_add_null(out, "at_most");
    else if (whole)
        json_add_int(out, "at_most", rounded(range.most));
    else
        json_add_double(out, "at_most", fmin(range.most, COUNT_MAX));
    json_object_end(out);
}

static void write_figures(const struct estimator *est, const struct estimate_row *row,
                          struct pl_buf *out)
{
    bool calls = !est->calls_unbounded, tokens = !est->tokens_unbounded;

    write_range(out, "calls", row->calls, calls, true);
    write_range(out, "input_tokens", row->input, tokens, true);
    write_range(out, "output_tokens", row->output, calls, true);
    if (row->priced)
        write_range(out, "cost_usd", row->cost, tokens, false);
    else
        json_add_null(out, "cost_usd");
}

static void write_notes(struct pl_buf *out, const char *key, const char *const *notes, size_t count)
{
    json_key(out, key);
    json_array_begin(out);
    for (size_t i = 0; i < count; i++) {
        json_comma(out);
        json_write_string(out, pl_str(notes[i]));
    }
    json_array_end(out);
}

static void sum_up(struct range *total, struct range row)
{
    total->expected += row.expected;
    total->most += row.most;
}

static void write_rows(const struct estimator *est, struct pl_buf *out)
{
    struct estimate_row total = {.priced = est->n_unpriced == 0};

    for (const struct estimate_row *row = est->rows; row; row = row->next) {
        sum_up(&total.calls, row->calls);
        sum_up(&total.input, row->input);
        sum_up(&total.output, row->output);
        sum_up(&total.cost, row->cost);
    }
    write_figures(est, &total, out);
    json_key(out, "steps");
    json_array_begin(out);
    for (const struct estimate_row *row = est->rows; row; row = row->next) {
        json_comma(out);
        json_object_begin(out);
        json_add_string(out, "path", row->path);
        json_add_string(out, "model", row->model);
        write_figures(est, row, out);
        json_object_end(out);
    }
    json_array_end(out);
}

static void write_budget(const struct budget *budget, struct pl_buf *out)
{
    if (budget->tokens <= 0 && budget->cost_usd <= 0) {
        json_add_null(out, "budget");
        return;
    }
    json_key(out, "budget");
    json_object_begin(out);
    if (budget->tokens > 0)
        json_add_int(out, "tokens", budget->tokens);
    if (budget->cost_usd > 0)
        json_add_double(out, "cost_usd", budget->cost_usd);
    json_object_end(out);
}

static void write_all(struct estimator *est, const struct workflow *workflow, struct pl_buf *out)
{
    json_object_begin(out);
    if (workflow->name.len)
        json_add_string(out, "workflow", workflow->name);
    else
        json_add_null(out, "workflow");
    write_rows(est, out);
    write_budget(&workflow->budget, out);
    write_notes(out, "assumptions", est->assumptions, est->n_assumptions);
    write_notes(out, "unbounded", est->unbounded, est->n_unbounded);
    write_notes(out, "unpriced", est->unpriced, est->n_unpriced);
    json_object_end(out);
}

/* ptr NULL: it is unknown. */
static enum pl_code read_input(struct estimator *est, const struct workflow *workflow,
                               struct pl_str input, struct pl_str *ret_input,
                               struct doc_problems *problems, struct pl_err *err)
{
    struct doc_problems own;
    bool given = input.len > 0;
    enum pl_code code;

    doc_problems_init(&own, est->arena);
    *ret_input = given ? input : PL_STR("{}");
    code = json_check(*ret_input, PL_LIMIT_JSON_DEPTH, NULL, err);
    if (code != PL_OK)
        return pl_err_prefix(err, "the input");
    if (!workflow->input_schema)
        return PL_OK;
    code = schema_apply(workflow->input_schema, est->arena, *ret_input, ret_input,
                        given ? problems : &own);
    if (code == PL_ERR_INVALID_INPUT && !given) {
        estimate_assume(est, "no input was given: what it would say is not known");
        *ret_input = (struct pl_str){0};
        return PL_OK;
    }
    if (code == PL_OK)
        return PL_OK;
    return pl_err_set(err, code, "%s",
                      code == PL_ERR_INVALID_INPUT ? "the input does not fit the workflow's schema"
                                                   : "out of memory");
}

/* Why there is no estimate, if there is none. */
static enum pl_code judge(const struct estimator *est, const struct pl_buf *out, struct pl_err *err)
{
    if (est->no_memory || pl_arena_failed(est->arena) || (pl_buf_failed(out) && !out->too_large))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (est->visits >= VISITS_END)
        return pl_err_set(err, PL_ERR_TOO_LARGE,
                          "the workflow is too large to be estimated: with those that it calls it "
                          "has more than %d steps to look at",
                          VISITS_END);
    if (pl_buf_failed(out))
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the estimate is larger than %zu bytes", out->max);
    return PL_OK;
}

enum pl_code estimate_write(const struct workflow *workflow, struct pl_str input,
                            const struct providers *providers, struct pl_buf *out,
                            struct doc_problems *problems, struct pl_err *err)
{
    struct estimator est = {.arena = pl_arena_create(0), .providers = providers};
    struct estimate_scope scope = {0};
    struct estimate_place place = {.scope = &scope, .times = {1, 1}};
    enum pl_code code;

    if (est.arena)
        est.by_path = pl_map_create(est.arena, workflow->n_steps);
    if (!est.by_path) {
        pl_arena_destroy(&est.arena);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_init(&est.path, PL_LIMIT_RUN_OUTPUT_BYTES);
    est.last_row = &est.rows;
    code = read_input(&est, workflow, input, &scope.input, problems, err);
    if (code == PL_OK) {
        add_body(&est, &place, workflow->root);
        if (est.visits < VISITS_END)
            write_all(&est, workflow, out);
        code = judge(&est, out, err);
    }
    pl_buf_finish(&est.path);
    pl_arena_destroy(&est.arena);
    return code;
}
