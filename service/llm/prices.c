/* prices.c - what models cost. See prices.h. Called by providers.c, steps/llm.c and the estimate.
 */
#include "service/llm/prices.h"

#include <stdlib.h>

struct price_entry {
    struct pl_str model;
    struct price price;
};

static const double MILLION = 1e6;

static const struct price *find(const struct price_list *list, struct pl_str model)
{
    for (size_t i = 0; i < list->count; i++)
        if (pl_str_eq(list->items[i].model, model))
            return &list->items[i].price;
    return NULL;
}

const struct price *prices_find(const struct price_list *list, struct pl_str model)
{
    const struct price *price = find(list, model);
    const char *options = model.len ? memchr(model.ptr, '?', model.len) : NULL;

    if (price || !options || !pl_str_starts(model, PL_STR("sim/")))
        return price;
    return find(list, pl_str_n(model.ptr, (size_t)(options - model.ptr)));
}

enum pl_code prices_add(struct price_list *list, struct pl_str model, const struct price *price,
                        struct pl_err *err)
{
    const size_t capacity = list->capacity ? 2 * list->capacity : 8;
    struct price_entry *items = list->items;

    if (list->count == list->capacity) {
        items = realloc(items, capacity * sizeof *items);
        if (!items)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
        list->items = items;
        list->capacity = capacity;
    }
    items[list->count++] = (struct price_entry){model, *price};
    return PL_OK;
}

void prices_finish(struct price_list *list)
{
    free(list->items);
    *list = (struct price_list){0};
}

double price_of_usage(const struct price *price, const struct store_usage *usage)
{
    int64_t plain =
        usage->input_tokens - usage->cached_input_tokens - usage->cache_write_input_tokens;

    if (plain < 0) /* a server that counts them beside each other */
        plain = 0;
    return ((double)plain * price->input +
            (double)usage->cached_input_tokens * price->cached_input +
            (double)usage->cache_write_input_tokens * price->cache_write +
            (double)usage->output_tokens * price->output) /
           MILLION;
}

double price_at_most(const struct price *price, int64_t input_tokens, int64_t output_tokens)
{
    double input = price->input > price->cache_write ? price->input : price->cache_write;

    if (price->cached_input > input)
        input = price->cached_input;
    return ((double)input_tokens * input + (double)output_tokens * price->output) / MILLION;
}
