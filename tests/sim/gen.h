/* gen.h - what gen.c (steps in general) and gen_kinds.c (what stands under kinds with bodies, and
 * those that wait) share. Nobody else includes it. */
#ifndef PLAIT_TESTS_SIM_GEN_H
#define PLAIT_TESTS_SIM_GEN_H

#include "tests/sim/sim.h"

enum { MAX_VISIBLE = 48, MAX_DEPTH = 4, MAX_CHANNELS = 8, MANY = 40 };

struct gen {
    struct sim_rng *rng;
    struct pl_buf *out;
    unsigned next_id;
    int child;                     /* which of the workflows: -1 the run's */
    int budget;                    /* steps that may still be written */
    int many;                      /* how often a step here runs, at the most, more or less */
    unsigned visible[MAX_VISIBLE]; /* ids a step here may depend on: written earlier, in scope */
    unsigned n_visible;
    unsigned channels[MAX_CHANNELS]; /* of state, in scope */
    unsigned n_channels, next_channel;
};

/* What a step may be. */
enum gen_wants {
    GEN_ANY,
    GEN_LEAF, /* a call: its output is of the shape that is wanted */
};

/* One step; depth 0 at the top. */
void gen_step(struct gen *g, unsigned depth, bool may_handle, enum gen_wants wants);
void gen_add_ms(struct gen *g, const char *key, int64_t low, int64_t high);
/* `join` of a step with `branches` of them (0: not known); may it have `min`, may it be `any`? */
void gen_join(struct gen *g, unsigned branches, bool min, bool any);
/* The fields of an llm step. */
void gen_llm_fields(struct gen *g);
/* "steps": {...} with 1 to 3 of them, and what they see. */
void gen_steps(struct gen *g, unsigned depth);
/* "state": {...}, sometimes. */
void gen_state(struct gen *g);

/* A step with something inside that runs; one that waits for the world. */
void gen_kind(struct gen *g, unsigned depth);
void gen_wait(struct gen *g);

#endif
