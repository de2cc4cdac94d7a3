/* reduce_compute.c - the words of {from, with}. Not the step and not expressions. Called by
 * reduce.c. */
#include "service/steps/reduce.h"

#include "base/json.h"
#include "service/steps/json_order.h"

#include <math.h>
#include <stdlib.h>

/* ---- what they share ---- */

struct work {
    struct pl_arena *arena;   /* lives until the result is written */
    struct pl_arena *scratch; /* emptied after each comparison */
    bool failed;              /* the scratch did */
};

static int compare(struct work *work, struct pl_str a, struct pl_str b)
{
    const int order = json_compare(a, b, work->scratch);

    work->failed = work->failed || pl_arena_failed(work->scratch);
    pl_arena_reset(work->scratch);
    return order;
}

static enum pl_code mismatch(struct pl_err *err, const char *with, size_t index, const char *want)
{
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "%s: element %zu is no %s", with, index, want);
}

static bool is_null(struct pl_str value)
{
    return json_type(value) == JSON_NULL;
}

/* All elements in one array in the arena; NULL when it failed. */
static struct pl_str *elements(struct pl_str from, size_t *ret_count, struct pl_arena *arena)
{
    const size_t count = json_count(from);
    struct pl_str *list = pl_arena_alloc_array(arena, count ? count : 1, sizeof(*list));
    struct json_iter it;
    size_t i = 0;

    if (!list)
        return NULL;
    for (json_iter_init(&it, from); i < count && json_iter_next(&it); i++)
        list[i] = it.value;
    *ret_count = i;
    return list;
}

static void add_element(struct pl_buf *out, struct pl_str value)
{
    json_comma(out);
    json_write_compact(out, value);
}

/* ---- lists ---- */

static enum pl_code write_append(struct pl_str from, struct pl_buf *out)
{
    struct json_iter it;

    json_array_begin(out);
    for (json_iter_init(&it, from); json_iter_next(&it);)
        add_element(out, it.value);
    json_array_end(out);
    return PL_OK;
}

static enum pl_code write_concat(struct pl_str from, struct pl_buf *out, struct pl_err *err)
{
    struct json_iter it, inner;
    size_t index = 0;

    json_array_begin(out);
    for (json_iter_init(&it, from); json_iter_next(&it); index++) {
        if (is_null(it.value))
            continue;
        if (json_type(it.value) != JSON_ARRAY)
            return mismatch(err, "concat", index, "list");
        for (json_iter_init(&inner, it.value); json_iter_next(&inner);)
            add_element(out, inner.value);
    }
    json_array_end(out);
    return PL_OK;
}

struct slot {
    uint64_t hash;
    struct pl_str value; /* absent: free */
};

/* True when the value was there; else it is now. */
static bool find_or_put(struct slot *slots, size_t capacity, uint64_t hash, struct pl_str value)
{
    size_t i = (size_t)hash & (capacity - 1);

    for (; slots[i].value.ptr; i = (i + 1) & (capacity - 1)) {
        if (slots[i].hash == hash && json_equal(slots[i].value, value))
            return true;
    }
    slots[i] = (struct slot){.hash = hash, .value = value};
    return false;
}

static enum pl_code write_unique(struct pl_str from, struct pl_buf *out, struct work *work)
{
    struct json_iter it;
    struct slot *slots;
    size_t capacity = 16;

    while (capacity < 2 * json_count(from))
        capacity *= 2;
    slots = pl_arena_alloc_array(work->arena, capacity, sizeof(*slots));
    if (!slots)
        return PL_OK; /* the arena says so */
    json_array_begin(out);
    for (json_iter_init(&it, from); json_iter_next(&it);) {
        if (!find_or_put(slots, capacity, json_hash(it.value), it.value))
            add_element(out, it.value);
    }
    json_array_end(out);
    return PL_OK;
}

struct sort_element {
    struct pl_str value;
    size_t index;
};

static int compare_elements(const void *a, const void *b, void *work)
{
    const struct sort_element *x = a, *y = b;
    const int order = compare(work, x->value, y->value);

    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static enum pl_code write_sort(struct pl_str from, struct pl_buf *out, struct work *work)
{
    struct sort_element *sorted;
    size_t count = 0;
    const struct pl_str *list = elements(from, &count, work->arena);

    sorted = pl_arena_alloc_array(work->arena, count ? count : 1, sizeof(*sorted));
    if (!list || !sorted)
        return PL_OK;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct sort_element){.value = list[i], .index = i};
    qsort_r(sorted, count, sizeof(*sorted), compare_elements, work);
    json_array_begin(out);
    for (size_t i = 0; i < count; i++)
        add_element(out, sorted[i].value);
    json_array_end(out);
    return PL_OK;
}

/* ---- objects ---- */

struct merged {
    struct pl_str key, value; /* key: the token first seen */
};

/* The place of a name among those merged so far. */
static struct merged **find_name(struct merged **table, size_t capacity, struct pl_str key,
                                 uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);

    while (table[i] && !json_equal(table[i]->key, key))
        i = (i + 1) & (capacity - 1);
    return &table[i];
}

static enum pl_code check_objects(struct pl_str from, size_t *ret_members, struct pl_err *err)
{
    struct json_iter it;
    size_t index = 0;

    for (json_iter_init(&it, from); json_iter_next(&it); index++) {
        if (is_null(it.value))
            continue;
        if (json_type(it.value) != JSON_OBJECT)
            return mismatch(err, "merge", index, "object");
        *ret_members += json_count(it.value);
    }
    return PL_OK;
}

/* Shallow; a name keeps the place where it was first seen and takes the last value. */
static enum pl_code write_merge(struct pl_str from, struct pl_buf *out, struct work *work,
                                struct pl_err *err)
{
    size_t members = 0, capacity = 16, n = 0;
    enum pl_code code = check_objects(from, &members, err);
    struct json_iter it, inner;
    struct merged *list, **table;

    if (code != PL_OK)
        return code;
    while (capacity < 2 * members)
        capacity *= 2;
    list = pl_arena_alloc_array(work->arena, members ? members : 1, sizeof(*list));
    table = pl_arena_alloc_array(work->arena, capacity, sizeof(struct merged *));
    if (!list || !table)
        return PL_OK;
    for (json_iter_init(&it, from); json_iter_next(&it);) {
        for (json_iter_init(&inner, it.value); json_iter_next(&inner);) {
            struct merged **place = find_name(table, capacity, inner.key, json_hash(inner.key));

            if (!*place) {
                *place = &list[n++];
                (*place)->key = inner.key;
            }
            (*place)->value = inner.value;
        }
    }
    json_object_begin(out);
    for (size_t i = 0; i < n; i++) {
        json_comma(out);
        pl_buf_str(out, list[i].key);
        pl_buf_char(out, ':');
        json_write_compact(out, list[i].value);
    }
    json_object_end(out);
    return PL_OK;
}

/* ---- numbers ---- */

static enum pl_code write_sum(struct pl_str from, struct pl_buf *out, struct pl_err *err)
{
    struct json_iter it;
    int64_t total = 0, number;
    double sum = 0;
    bool whole = true;
    size_t index = 0;

    for (json_iter_init(&it, from); json_iter_next(&it); index++) {
        if (is_null(it.value))
            continue;
        if (json_type(it.value) != JSON_NUMBER)
            return mismatch(err, "sum", index, "number");
        sum += json_number(it.value);
        whole =
            whole && json_int(it.value, &number) && !__builtin_add_overflow(total, number, &total);
    }
    if (whole)
        pl_buf_int(out, total);
    else if (isfinite(sum))
        json_write_double(out, sum);
    else
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                          "sum: the numbers are too large to be added");
    return PL_OK;
}

static enum pl_code write_extreme(struct pl_str from, bool greatest, struct pl_buf *out,
                                  struct work *work, struct pl_err *err)
{
    struct pl_str best = {0};
    struct json_iter it;
    size_t index = 0;

    for (json_iter_init(&it, from); json_iter_next(&it); index++) {
        int order;

        if (is_null(it.value))
            continue;
        if (json_type(it.value) != JSON_NUMBER)
            return mismatch(err, greatest ? "max" : "min", index, "number");
        order = best.ptr ? compare(work, it.value, best) : 0;
        if (!best.ptr || (greatest ? order > 0 : order < 0))
            best = it.value;
    }
    pl_buf_str(out, best.ptr ? best : PL_STR("null"));
    return PL_OK;
}

/* ---- the word ---- */

static enum pl_code write_word(enum reduce_with with, struct pl_str from, struct pl_buf *out,
                               struct work *work, struct pl_err *err)
{
    switch (with) {
    case REDUCE_VALUE:
        json_write_compact(out, from);
        return PL_OK;
    case REDUCE_APPEND:
        return write_append(from, out);
    case REDUCE_MERGE:
        return write_merge(from, out, work, err);
    case REDUCE_CONCAT:
        return write_concat(from, out, err);
    case REDUCE_SUM:
        return write_sum(from, out, err);
    case REDUCE_MIN:
    case REDUCE_MAX:
        return write_extreme(from, with == REDUCE_MAX, out, work, err);
    case REDUCE_UNIQUE:
        return write_unique(from, out, work);
    case REDUCE_SORT:
        return write_sort(from, out, work);
    case REDUCE_COUNT:
        pl_buf_int(out, (int64_t)json_count(from));
        return PL_OK;
    }
    return pl_err_set(err, PL_ERR_INTERNAL, "no such reduce");
}

enum pl_code reduce_write(enum reduce_with with, struct pl_str from, struct pl_buf *out,
                          struct pl_err *err)
{
    struct work work = {0};
    enum pl_code code;

    if (with != REDUCE_VALUE && json_type(from) != JSON_ARRAY && json_type(from) != JSON_OBJECT)
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                          "'from' gives neither a list nor an object to take elements from");
    work.arena = pl_arena_create(0);
    work.scratch = pl_arena_create(0);
    if (work.arena && work.scratch)
        code = write_word(with, from, out, &work, err);
    else
        code = PL_ERR_NO_MEMORY;
    if (code == PL_OK &&
        (work.failed || pl_arena_failed(work.arena) || (pl_buf_failed(out) && !out->too_large)))
        code = PL_ERR_NO_MEMORY;
    if (code == PL_ERR_NO_MEMORY)
        pl_err_set(err, code, "out of memory while values were reduced");
    else if (code == PL_OK && pl_buf_failed(out))
        code = pl_err_set(err, PL_ERR_TOO_LARGE, "the result is larger than %zu bytes", out->max);
    pl_arena_destroy(&work.arena);
    pl_arena_destroy(&work.scratch);
    return code;
}
