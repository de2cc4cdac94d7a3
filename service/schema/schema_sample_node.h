/* schema_sample_node.h - what the files that make up values share. Private to
 * service/schema/schema_sample*.c. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_SAMPLE_NODE_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_SAMPLE_NODE_H

#include "service/schema/schema_check.h"

enum {
    SAMPLE_LAYERS = 64,   /* schemas that speak of one value */
    SAMPLE_DEPTH = 32,    /* values inside values */
    SAMPLE_GENEROUS = 4,  /* down to there optional parts are made up as well */
    SAMPLE_PARTS = 1000,  /* and no more of them once there are so many values */
    SAMPLE_TRIES = 20000, /* values made up in all, those that did not fit included */
    SAMPLE_ELEMENTS = 10000,
    SAMPLE_CHAIN = 200, /* demands of demands, alternatives of alternatives */
};

/* The schemas that one value has to fit. The first `given` ones say everything; the others are what
 * these refer to, taken apart so that their keywords are seen. */
struct sample_layers {
    const struct schema *items[SAMPLE_LAYERS];
    size_t given, count;
    uint64_t any, one, condition; /* bits: of this layer an alternative has been taken */
    bool impossible;              /* false is among them, or there are too many */
};

struct sampler {
    struct pl_arena *arena;
    struct pl_str echo;
    struct pl_buf *out;
    struct schema_shared shared;
    unsigned tries;
    unsigned open;      /* alternatives being tried */
    unsigned max_depth; /* of values, in this search: deeper ones come in a later one */
};

/* Which of several equal places a value is made up for: other values for other numbers, where the
 * schema leaves a choice. */
typedef unsigned sample_nth;

/* Adds a schema, and all that it refers to without a choice. */
void sample_add(struct sample_layers *layers, const struct schema *schema);
/* Adds one that says everything: before any other. */
void sample_give(struct sample_layers *layers, const struct schema *schema);
/* Writes a value that fits; false, and nothing written, when none was found. */
bool sample_value(struct sampler *sampler, struct sample_layers *layers, unsigned depth,
                  sample_nth nth);
/* The same for layers that have been taken apart. */
bool sample_choices(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                    sample_nth nth);
/* Whether what has been written since `start` fits all; if not it is taken back. */
bool sample_check(struct sampler *sampler, const struct sample_layers *layers, size_t start);
/* True as long as trying on makes sense. */
bool sample_goes_on(struct sampler *sampler);
void sample_take_back(struct sampler *sampler, size_t start);

/* Values of one type: schema_sample_values.c and schema_sample_members.c. */
bool sample_number(struct sampler *sampler, const struct sample_layers *layers, sample_nth nth);
bool sample_string(struct sampler *sampler, const struct sample_layers *layers, sample_nth nth);
bool sample_array(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                  sample_nth nth);
bool sample_object(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                   sample_nth nth);

/* Appends a text that the tree of a pattern allows, its repetitions `extra` times more than they
 * must, of many characters when `mixed`. What looks around is left out: it may not match.
 * schema_sample_pattern.c. */
void sample_pattern(const struct schema_pattern *pattern, unsigned extra, sample_nth nth,
                    bool mixed, struct pl_buf *out);

#endif
