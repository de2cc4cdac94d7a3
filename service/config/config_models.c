/* config_models.c - `models` of the configuration: prices by model. Not what is made of them
 * (llm/prices.c). Called by config.c. */
#include "service/config/config_models.h"

#include "service/llm/provider.h"

#include <stdlib.h>

static const double PRICE_MAX = 1e6; /* dollars a million tokens: far above sense */

static const char *const keys[] = {"input_usd_per_mtok", "cached_input_usd_per_mtok",
                                   "cache_write_usd_per_mtok", "output_usd_per_mtok", NULL};

/* A member that is a price; false when it is not there, or wrong, which is said. */
static bool read_price(const struct doc_node *object, const char *key, double *ret_price,
                       struct doc_problems *problems)
{
    const struct doc_node *node = doc_get(object, key);
    double number = -1;

    if (!node)
        return false;
    if (node->type == DOC_NUMBER)
        number = strtod(node->text.ptr, NULL);
    if (!(number >= 0 && number <= PRICE_MAX)) {
        doc_problem_at(problems, node, false,
                       "%s must be the price of a million tokens in US dollars, such as 0.15", key);
        return false;
    }
    *ret_price = number;
    return true;
}

static void refuse_unknown(const struct doc_node *object, struct doc_problems *problems)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct doc_node *member = object->items[i];
        const char *nearest;
        bool known = false;

        for (size_t k = 0; keys[k]; k++)
            known = known || pl_str_is(member->key, keys[k]);
        if (known)
            continue;
        nearest = doc_nearest(member->key, keys);
        doc_problem_at(problems, member, true, "unknown key '%.*s'; %s %s", PL_STR_ARG(member->key),
                       nearest ? "did you mean" : "one of them is", nearest ? nearest : keys[0]);
    }
}

static void read_model(struct config *config, const struct doc_node *node,
                       struct doc_problems *problems)
{
    struct price price = {0};
    struct pl_err err = {0};
    const char *slash = memchr(node->key.ptr, '/', node->key.len);
    size_t before = problems->total;

    if (!slash || slash == node->key.ptr || slash + 1 == node->key.ptr + node->key.len)
        doc_problem_at(problems, node, true,
                       "'%.*s' is no model; write provider/model, such as openai/gpt-4o-mini",
                       PL_STR_ARG(node->key));
    if (node->type != DOC_OBJECT) {
        doc_problem_at(problems, node, false,
                       "this is %s; it must be a mapping such as {input_usd_per_mtok: 0.15, "
                       "output_usd_per_mtok: 0.60}",
                       doc_type_name(node->type));
        return;
    }
    refuse_unknown(node, problems);
    if (!doc_get(node, keys[0]) || !doc_get(node, keys[3]))
        doc_problem_at(problems, node, true, "a price needs both %s and %s", keys[0], keys[3]);
    (void)read_price(node, keys[0], &price.input, problems);
    price.cached_input = price.cache_write = price.input; /* what is not said costs the same */
    (void)read_price(node, keys[1], &price.cached_input, problems);
    (void)read_price(node, keys[2], &price.cache_write, problems);
    (void)read_price(node, keys[3], &price.output, problems);
    if (problems->total == before &&
        providers_set_price(config->providers, node->key, &price, &err) != PL_OK)
        doc_problem_at(problems, node, true, "%s", err.message);
}

void config_read_models(struct config *config, const struct doc_node *node,
                        struct doc_problems *problems)
{
    if (node->type != DOC_OBJECT) {
        doc_problem_at(problems, node, false,
                       "models is %s; it must be a mapping of models to prices",
                       doc_type_name(node->type));
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        read_model(config, node->items[i], problems);
}
