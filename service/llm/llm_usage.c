/* llm_usage.c - see llm_usage.h. */
#include "service/llm/llm_usage.h"

enum { BYTES_A_TOKEN = 4 };
static const int64_t TOKENS_MAX = 100000000000;
static const double COST_MAX = 1e6;

bool llm_usage_tokens(struct pl_str value, int64_t *ret_count)
{
    int64_t number;

    if (!json_int(value, &number) || number < 0 || number > TOKENS_MAX)
        return false;
    *ret_count = number;
    return true;
}

bool llm_usage_count(struct pl_str object, const char *key, int64_t *ret_count)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) && llm_usage_tokens(value, ret_count);
}

bool llm_usage_charge(struct pl_str value, double *ret_cost)
{
    double number;

    if (value.len == 0 || json_type(value) != JSON_NUMBER)
        return false;
    number = json_number(value);
    if (!(number > 0 && number <= COST_MAX))
        return false;
    *ret_cost = number;
    return true;
}

int64_t llm_usage_guess_input(const struct llm_request *request)
{
    return (int64_t)((request->messages.len + request->system.len) / BYTES_A_TOKEN);
}

int64_t llm_usage_guess_output(size_t bytes)
{
    return (int64_t)((bytes + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN);
}
