/* prices.h - what models cost, as the operator wrote it, and what a call came to. Not usage (the
 * providers count that) and not budgets (run_budget). Filled by config_models.c before threads;
 * then read by all. */
#ifndef PLAIT_SERVICE_LLM_PRICES_H
#define PLAIT_SERVICE_LLM_PRICES_H

#include "base/arena.h"
#include "base/err.h"
#include "storage/records.h"

/* US dollars for a million tokens. */
struct price {
    double input, cached_input, cache_write, output;
};

struct price_list {
    struct price_entry *items;
    size_t count, capacity;
};

/* The price of `model`, "provider/model" as it is called; options of sim are no part of its name.
 * NULL: it has none. */
const struct price *prices_find(const struct price_list *list, struct pl_str model);
/* Adds one; `model` must outlive the list. Errors: NO_MEMORY. */
enum pl_code prices_add(struct price_list *list, struct pl_str model, const struct price *price,
                        struct pl_err *err) PL_MUST_CHECK;
void prices_finish(struct price_list *list);

/* What this usage comes to. Cached and cache-written tokens are among the input tokens. */
double price_of_usage(const struct price *price, const struct store_usage *usage);
/* The most that so many tokens can come to, before it is known what the cache does. */
double price_at_most(const struct price *price, int64_t input_tokens, int64_t output_tokens);

#endif
