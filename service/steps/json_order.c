/* json_order.c - jq's order over JSON text. Not a parser. Called by reduce_compute.c. */
#include "service/steps/json_order.h"

#include "base/json.h"

#include <stdlib.h>

static int compare_text(struct pl_str a, struct pl_str b)
{
    /* UTF-8 sorts by code point */
    const size_t len = a.len < b.len ? a.len : b.len;
    const int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The text of a string token: as it stands, or decoded when it has escapes. */
static struct pl_str text_of(struct pl_str token, struct pl_arena *arena)
{
    if (memchr(token.ptr, '\\', token.len))
        return json_decode_string_arena(token, arena);
    return pl_str_n(token.ptr + 1, token.len - 2);
}

static int compare_lists(struct pl_str a, struct pl_str b, struct pl_arena *arena)
{
    struct json_iter i, j;
    bool more_a, more_b;

    json_iter_init(&i, a);
    json_iter_init(&j, b);
    for (;;) {
        int order;

        more_a = json_iter_next(&i);
        more_b = json_iter_next(&j);
        if (!more_a || !more_b)
            return more_a - more_b;
        order = json_compare(i.value, j.value, arena);
        if (order)
            return order;
    }
}

struct member {
    struct pl_str name, value;
};

static int compare_members(const void *a, const void *b)
{
    return compare_text(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static struct member *sorted_members(struct pl_str object, size_t count, struct pl_arena *arena)
{
    struct member *members = pl_arena_alloc_array(arena, count ? count : 1, sizeof(*members));
    struct json_iter it;
    size_t i = 0;

    if (!members)
        return NULL;
    for (json_iter_init(&it, object); i < count && json_iter_next(&it); i++)
        members[i] = (struct member){.name = text_of(it.key, arena), .value = it.value};
    qsort(members, count, sizeof(*members), compare_members);
    return members;
}

static int compare_objects(struct pl_str a, struct pl_str b, struct pl_arena *arena)
{
    const size_t n = json_count(a), m = json_count(b), least = n < m ? n : m;
    const struct member *x = sorted_members(a, n, arena), *y = sorted_members(b, m, arena);
    int order = 0;

    if (!x || !y)
        return 0;
    for (size_t i = 0; i < least && !order; i++)
        order = compare_text(x[i].name, y[i].name);
    if (!order)
        order = (n > m) - (n < m);
    for (size_t i = 0; i < n && !order; i++)
        order = json_compare(x[i].value, y[i].value, arena);
    return order;
}

int json_compare(struct pl_str a, struct pl_str b, struct pl_arena *arena)
{
    const enum json_type type = json_type(a);

    if (type != json_type(b))
        return (type > json_type(b)) - (type < json_type(b));
    switch (type) {
    case JSON_NUMBER:
        return json_number_compare(a, b);
    case JSON_STRING:
        return compare_text(text_of(a, arena), text_of(b, arena));
    case JSON_ARRAY:
        return compare_lists(a, b, arena);
    case JSON_OBJECT:
        return compare_objects(a, b, arena);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        break;
    }
    return 0;
}
