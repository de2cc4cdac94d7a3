/* llm_latency.c - histograms of latencies, one a model, and the account of hedges. Not the decision
 * to hedge. Called by llm_hedge.c on every loop.
 *
 * A histogram has 16 buckets an octave, so that a percentile is at most 6 % too high, and a fixed
 * size. Counting is one atomic addition. Readers may see a count while it is being halved: the
 * percentile is then that of a moment ago, which is all it ever is. */
#include "service/llm/llm_latency.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUB_BITS = 4,
    SUBS = 1 << SUB_BITS,
    MAX_BITS = 21, /* of a latency: 35 minutes, longer than any attempt */
    BUCKETS = (MAX_BITS - SUB_BITS + 1) * SUBS,
    FADE_AT = 1024, /* answers; then every count is halved */
    WARM = 4,       /* answers for each call under way: then those do not matter any more */
    HEADS = 64,
    HEDGE = 100, /* what a hedge costs, in what a call earns */
};

struct llm_sketch {
    struct llm_sketch *next; /* set once */
    bool stream;             /* set once */
    atomic_uint counts[BUCKETS];
    atomic_uint weight; /* the sum of the counts */
    atomic_uint ever;   /* answers, not faded; stops at UINT_MAX / 2 */
    atomic_uint flying;
    atomic_flag fading;
    size_t len;
    char model[]; /* set once */
};

struct llm_latency {
    _Atomic(struct llm_sketch *) heads[HEADS]; /* lists that only grow, at their heads */
    atomic_uint sketches;
    atomic_int earned; /* in hundredths of a hedge */
    atomic_int flying; /* first calls */
};

/* ---- models ---- */

struct llm_latency *llm_latency_create(void)
{
    struct llm_latency *latency = calloc(1, sizeof(*latency));

    if (latency)
        atomic_init(&latency->earned, LLM_HEDGE_BURST * HEDGE);
    return latency;
}

void llm_latency_destroy(struct llm_latency **latency)
{
    struct llm_latency *l = *latency;

    if (!l)
        return;
    for (size_t i = 0; i < HEADS; i++) {
        struct llm_sketch *next;

        for (struct llm_sketch *sketch = atomic_load(&l->heads[i]); sketch; sketch = next) {
            next = sketch->next;
            free(sketch);
        }
    }
    free(l);
    *latency = NULL;
}

static struct llm_sketch *find(struct llm_sketch *first, struct pl_str model, bool stream)
{
    for (struct llm_sketch *sketch = first; sketch; sketch = sketch->next)
        if (sketch->stream == stream && pl_str_eq(pl_str_n(sketch->model, sketch->len), model))
            return sketch;
    return NULL;
}

static struct llm_sketch *make(struct llm_latency *latency, struct pl_str model, bool stream)
{
    struct llm_sketch *sketch;

    if (atomic_fetch_add(&latency->sketches, 1) >= LLM_LATENCY_MODELS ||
        !(sketch = calloc(1, sizeof(*sketch) + model.len))) {
        atomic_fetch_sub(&latency->sketches, 1);
        return NULL;
    }
    sketch->stream = stream;
    sketch->len = model.len;
    memcpy(sketch->model, model.ptr, model.len);
    atomic_flag_clear(&sketch->fading);
    return sketch;
}

struct llm_sketch *llm_latency_of(struct llm_latency *latency, struct pl_str model, bool stream)
{
    uint32_t hash = 2166136261u ^ stream;
    _Atomic(struct llm_sketch *) *head;
    struct llm_sketch *first, *found, *mine;

    if (!latency || !model.len)
        return NULL;
    for (size_t i = 0; i < model.len; i++)
        hash = (hash ^ (unsigned char)model.ptr[i]) * 16777619u;
    head = &latency->heads[hash % HEADS];
    first = atomic_load(head);
    found = find(first, model, stream);
    if (found || !(mine = make(latency, model, stream)))
        return found;
    do { /* another thread may have been faster with the same one */
        found = find(first, model, stream);
        mine->next = first;
    } while (!found && !atomic_compare_exchange_weak(head, &first, mine));
    if (!found)
        return mine;
    free(mine);
    atomic_fetch_sub(&latency->sketches, 1);
    return found;
}

/* ---- learning ---- */

static size_t bucket_of(pl_ms ms)
{
    const uint64_t most = ((uint64_t)1 << MAX_BITS) - 1;
    const uint64_t value = ms < 0 ? 0 : (uint64_t)ms > most ? most : (uint64_t)ms;
    unsigned shift;

    if (value < SUBS)
        return (size_t)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return (size_t)(shift + 1) * SUBS + (size_t)((value >> shift) & (SUBS - 1));
}

/* The longest latency that falls into it. */
static pl_ms bucket_end(size_t bucket)
{
    const size_t shift = bucket / SUBS - 1;

    if (bucket < SUBS)
        return (pl_ms)bucket;
    return (pl_ms)((((uint64_t)SUBS + bucket % SUBS + 1) << shift) - 1);
}

/* One thread at a time; others go on counting. */
static void fade(struct llm_sketch *sketch)
{
    unsigned faded = 0;

    if (atomic_flag_test_and_set(&sketch->fading))
        return;
    for (size_t i = 0; atomic_load(&sketch->weight) >= FADE_AT && i < BUCKETS; i++) {
        /* single ones: every other bucket's stay, or a long tail would vanish or never fade */
        const unsigned half = (atomic_load(&sketch->counts[i]) + (unsigned)(i & 1)) / 2;

        if (half) {
            atomic_fetch_sub(&sketch->counts[i], half);
            faded += half;
        }
    }
    atomic_fetch_sub(&sketch->weight, faded);
    atomic_flag_clear(&sketch->fading);
}

void llm_sketch_began(struct llm_sketch *sketch)
{
    if (sketch)
        atomic_fetch_add(&sketch->flying, 1);
}

void llm_sketch_gone(struct llm_sketch *sketch)
{
    if (sketch)
        atomic_fetch_sub(&sketch->flying, 1);
}

void llm_sketch_took(struct llm_sketch *sketch, pl_ms ms)
{
    if (!sketch)
        return;
    atomic_fetch_sub(&sketch->flying, 1);
    atomic_fetch_add(&sketch->counts[bucket_of(ms)], 1);
    if (atomic_load(&sketch->ever) < UINT32_MAX / 2)
        atomic_fetch_add(&sketch->ever, 1);
    if (atomic_fetch_add(&sketch->weight, 1) + 1 >= FADE_AT)
        fade(sketch);
}

/* ---- asking ---- */

bool llm_sketch_late(const struct llm_sketch *sketch, pl_ms *ret_ms)
{
    uint64_t ever, weight, flying, seen = 0;
    pl_ms p90 = -1, p95 = -1;

    if (!sketch)
        return false;
    ever = atomic_load(&sketch->ever);
    weight = atomic_load(&sketch->weight);
    flying = atomic_load(&sketch->flying);
    if (ever < LLM_LATENCY_ENOUGH)
        return false;
    if (ever < WARM * flying)
        weight += flying; /* the fast ones have answered first: they are not the whole picture */
    for (size_t i = 0; i < BUCKETS && p95 < 0; i++) {
        seen += atomic_load(&sketch->counts[i]);
        if (p90 < 0 && seen * 100 >= weight * 90)
            p90 = bucket_end(i);
        if (seen * 100 >= weight * 95)
            p95 = bucket_end(i);
    }
    if (p90 < 0)
        return false;
    if (p95 < 0 || p95 > p90 * 5 / 4)
        p95 = p90 * 5 / 4;
    *ret_ms = p95 > LLM_LATENCY_LEAST_MS ? p95 : LLM_LATENCY_LEAST_MS;
    return true;
}

/* ---- the share ---- */

/* What was earned and not used is kept only in proportion to the calls under way: a thousand that
 * begin at once may be hedged by their share at once. */
void llm_hedges_earn(struct llm_latency *latency)
{
    int earned, most, now;

    if (!latency)
        return;
    most =
        LLM_HEDGE_BURST * HEDGE + (atomic_fetch_add(&latency->flying, 1) + 1) * LLM_HEDGE_PERCENT;
    earned = atomic_load(&latency->earned);
    do {
        now = earned + LLM_HEDGE_PERCENT < most ? earned + LLM_HEDGE_PERCENT : most;
    } while (now != earned && !atomic_compare_exchange_weak(&latency->earned, &earned, now));
}

void llm_hedges_over(struct llm_latency *latency)
{
    if (latency)
        atomic_fetch_sub(&latency->flying, 1);
}

bool llm_hedges_take(struct llm_latency *latency)
{
    int earned;

    if (!latency)
        return true;
    earned = atomic_load(&latency->earned);
    while (earned >= HEDGE)
        if (atomic_compare_exchange_weak(&latency->earned, &earned, earned - HEDGE))
            return true;
    return false;
}
