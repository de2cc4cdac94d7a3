/* config_limits.c - see config_limits.h. */
#include "service/config/config_limits.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
    const char *key, *what;
    uint64_t most;
    size_t offset;
} rows[] = {
    {"concurrency", "calls at once", 1000000, offsetof(struct lane_limits, concurrency)},
    {"rpm", "requests a minute", 100000000, offsetof(struct lane_limits, rpm)},
    {"tpm", "tokens a minute", 1000000000000, offsetof(struct lane_limits, tpm)},
};

static void read_number(struct doc_problems *problems, const struct doc_node *node, size_t row,
                        struct lane_limits *limits)
{
    unsigned long long number = 0;
    char *end = NULL;

    errno = 0;
    if (node->type == DOC_NUMBER && node->text.ptr[0] != '-')
        number = strtoull(node->text.ptr, &end, 10);
    if (!end || *end || errno || number < 1 || number > rows[row].most)
        doc_problem_at(problems, node, false, "%s must be a whole number of %s from 1 to %llu",
                       rows[row].key, rows[row].what, (unsigned long long)rows[row].most);
    else
        *(uint64_t *)((char *)limits + rows[row].offset) = number;
}

static void read_member(struct doc_problems *problems, const struct doc_node *member,
                        struct lane_limits *limits)
{
    const char *known[PL_ARRAY_LEN(rows) + 1] = {NULL};
    const char *nearest;

    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        known[i] = rows[i].key;
        if (pl_str_is(member->key, rows[i].key)) {
            read_number(problems, member, i, limits);
            return;
        }
    }
    nearest = doc_nearest(member->key, known);
    if (nearest)
        doc_problem_at(problems, member, true, "unknown key '%.*s'; did you mean '%s'?",
                       PL_STR_ARG(member->key), nearest);
    else
        doc_problem_at(problems, member, true,
                       "unknown key '%.*s'; a limit is concurrency, rpm or tpm",
                       PL_STR_ARG(member->key));
}

static bool is_mapping(struct doc_problems *problems, const struct doc_node *node,
                       const char *example)
{
    if (node->type == DOC_OBJECT)
        return true;
    doc_problem_at(problems, node, false, "this is %s; it must be a mapping such as %s",
                   doc_type_name(node->type), example);
    return false;
}

static bool read_limits(struct doc_problems *problems, const struct doc_node *node,
                        struct lane_limits *limits)
{
    const size_t before = problems->total;

    *limits = (struct lane_limits){0};
    if (is_mapping(problems, node, "{concurrency: 50, rpm: 600}"))
        for (size_t i = 0; i < node->count; i++)
            read_member(problems, node->items[i], limits);
    return problems->total == before;
}

void config_limits_read(struct doc_problems *problems, const struct doc_node *provider,
                        struct lane *lane)
{
    const struct doc_node *all = doc_get(provider, "limits"), *models = doc_get(provider, "models");
    struct lane_limits limits;

    if (all && read_limits(problems, all, &limits))
        lane_set_limits(lane, &limits);
    if (!models || !is_mapping(problems, models, "{gpt-4o-mini: {rpm: 10000}}"))
        return;
    for (size_t i = 0; i < models->count; i++)
        if (read_limits(problems, models->items[i], &limits) &&
            !lane_set_model_limits(lane, models->items[i]->key, &limits))
            doc_problem_at(problems, models->items[i], true, "out of memory");
}
