/* llm_latency.h - how long a provider's models take to begin an answer, learned from the answers
 * this process has seen, and how many calls may be doubled. Not the doubling (llm_hedge.c) and not
 * admission (limits.h). Told by llm_hedge.c of every call. Any thread: fields are atomic, nothing
 * locks.
 *
 * "To begin" is to the first piece of text of a streamed answer, to the whole of another; streamed
 * and whole answers of one model are kept apart. Old answers fade: their weight halves with about
 * every 500 new ones. */
#ifndef PLAIT_SERVICE_LLM_LLM_LATENCY_H
#define PLAIT_SERVICE_LLM_LLM_LATENCY_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"

struct llm_latency; /* of one provider */
struct llm_sketch;  /* of one of its models, streamed or whole */

enum {
    LLM_LATENCY_MODELS = 512,  /* sketches a provider has at most; others are not learned */
    LLM_LATENCY_ENOUGH = 10,   /* answers before anything is known */
    LLM_LATENCY_LEAST_MS = 10, /* "late" is never sooner */
    LLM_HEDGE_PERCENT = 10,    /* of a provider's calls may be sent again */
    LLM_HEDGE_BURST = 10,      /* beside a tenth of the calls under way, at once */
};

struct llm_latency *llm_latency_create(void); /* NULL when out of memory */
void llm_latency_destroy(struct llm_latency **latency);

/* The sketch of a model, made when it is new; lives as long as the provider. NULL: there are too
 * many, or memory is out. The functions below take NULL: they learn nothing and know nothing. */
struct llm_sketch *llm_latency_of(struct llm_latency *latency, struct pl_str model, bool stream);

/* A call began; each is followed by one of the two below. */
void llm_sketch_began(struct llm_sketch *sketch);
/* It began to answer after `ms`, or was given up after `ms` without having begun. */
void llm_sketch_took(struct llm_sketch *sketch, pl_ms ms);
/* It ended in a way that says nothing about how long answers take. */
void llm_sketch_gone(struct llm_sketch *sketch);
/* After how long a call that has not begun to answer is late: the 95th percentile, but at most one
 * and a quarter times the 90th: where about every twentieth call is far slower than all others, the
 * 95th may be one of these. While few answers are there compared with the calls under way, those
 * count as slower than all answers. False: not known yet. */
bool llm_sketch_late(const struct llm_sketch *sketch, pl_ms *ret_ms);

/* A first call begins, and earns its share; it is over. NULL: nothing. */
void llm_hedges_earn(struct llm_latency *latency);
void llm_hedges_over(struct llm_latency *latency);
/* May one more call be sent again? Takes it from what was earned. NULL: always. */
bool llm_hedges_take(struct llm_latency *latency);

#endif
