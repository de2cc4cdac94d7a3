/* estimate_calls.c - what the calls of one step come to: a row for each model, and the notes of
 * what was assumed for it. Not how often a step runs (estimate_steps.c) nor how long its texts are
 * (estimate_size.c). Called by those two. */
#include "service/estimate_private.h"

#include "base/map.h"
#include "service/llm/provider.h"
#include "service/steps/llm_estimate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { TOKENS_MAX = 1000000000 }; /* of one prompt: far beyond any model */

/* ---- notes ---- */

static void note(struct estimator *est, const char **notes, size_t *count, const char *text)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(notes[i], text) == 0)
            return;
    if (*count < ESTIMATE_NOTES && (notes[*count] = pl_arena_strdup(est->arena, text)))
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

static double sum_inputs(const struct estimate_attempt *attempt)
{
    struct budget all =
        llm_estimate_all((int64_t)attempt->input.most, (int64_t)attempt->output.most,
                         attempt->repairs, attempt->hedges, NULL);
    double calls = (double)(attempt->repairs + 1) * (attempt->hedges + 1);

    return (double)all.tokens - attempt->output.most * calls;
}

/* `expected` is how often the step calls this model at all (0: a fallback). */
static void add_model(struct estimator *est, const struct estimate_place *place, struct pl_str path,
                      struct pl_str model, const struct estimate_attempt *attempt, double attempts,
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

struct range estimate_prompt(struct estimator *est, const struct estimate_place *place,
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

void estimate_calls(struct estimator *est, const struct estimate_place *place,
                    const struct step_def *step, const struct llm_config *llm,
                    const struct estimate_attempt *attempt)
{
    const double attempts = step->retry.attempts;
    struct pl_str path = step->path;

    if (place->prefix.len) {
        pl_buf_reset(&est->path);
        pl_buf_printf(&est->path, "%.*s.%.*s", PL_STR_ARG(place->prefix), PL_STR_ARG(path));
        est->no_memory |= pl_buf_failed(&est->path);
        path = pl_buf_view(&est->path);
    }
    add_model(est, place, path, llm->model, attempt, attempts, place->times.expected);
    for (size_t i = 0; i < llm->n_fallback; i++)
        add_model(est, place, path, llm->fallback[i], attempt, attempts, 0);
    if (llm->cache_ttl)
        estimate_assume(est, "no answer is taken from the cache");
}
