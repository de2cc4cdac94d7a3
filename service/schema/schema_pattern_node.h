/* schema_pattern_node.h - a pattern as a tree, between its notation and its automaton. Private to
 * service/schema/schema_pattern*.c and schema_sample_pattern.c. Everything lives in the arena of
 * the schema. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_PATTERN_NODE_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_PATTERN_NODE_H

#include "service/schema/schema_pattern.h"

enum {
    PATTERN_BYTES = 4096,
    PATTERN_GROUPS = 32,   /* nesting */
    PATTERN_STATES = 4000, /* of the automaton, with repetitions written out */
    PATTERN_REPEAT = 1000, /* the largest number in braces */
    PATTERN_LOOKS = 16,    /* (?=...) and its like */
    PATTERN_ENDLESS = -1,  /* `most` of a repetition without an upper end */
};

/* Code points, both ends included. */
struct pattern_range {
    uint32_t from, to;
};

/* Ranges in order that do not touch. */
struct pattern_set {
    struct pattern_range *ranges;
    size_t count, capacity;
    uint64_t ascii[2]; /* the same, for code points below 128 */
};

enum pattern_kind {
    PATTERN_SET,
    PATTERN_SEQUENCE,  /* of first, first->next, ...; nothing: the empty text */
    PATTERN_CHOICE,    /* among them */
    PATTERN_REPEAT_OF, /* first, least to most times */
    PATTERN_BEGIN,
    PATTERN_END,
    PATTERN_WORD,    /* \b */
    PATTERN_NO_WORD, /* \B */
    PATTERN_AHEAD,   /* (?=first) */
    PATTERN_BEHIND,  /* (?<=first) */
};

struct pattern_node {
    enum pattern_kind kind;
    struct pattern_set *set;
    struct pattern_node *first, *last, *next, *previous;
    int least, most;
    bool negated;  /* AHEAD, BEHIND: (?!...), (?<!...) */
    unsigned look; /* AHEAD, BEHIND: its number */
};

/* The tree of a pattern; NULL with *ret_why, or without when the arena failed. */
struct pattern_node *pattern_parse(struct pl_arena *arena, struct pl_str pattern,
                                   const char **ret_why);
bool pattern_set_has(const struct pattern_set *set, uint32_t code);

enum pattern_op {
    PATTERN_OP_SET,
    PATTERN_OP_SPLIT, /* to both */
    PATTERN_OP_JUMP,
    PATTERN_OP_BEGIN,
    PATTERN_OP_END,
    PATTERN_OP_WORD,
    PATTERN_OP_NO_WORD,
    PATTERN_OP_LOOK,
    PATTERN_OP_MATCH,
};

struct pattern_state {
    enum pattern_op op;
    bool negated;       /* LOOK */
    uint16_t to, other; /* SPLIT, JUMP: to; LOOK: its number */
    const struct pattern_set *set;
};

/* What looks around at a position: run over the whole text before, once. */
struct pattern_look {
    uint16_t start;
    bool backwards; /* over the text, for (?=...): its parts stand in reverse order */
};

struct schema_pattern {
    const struct pattern_node *tree;
    struct pattern_state *states;
    size_t n_states;
    uint16_t start;
    struct pattern_look looks[PATTERN_LOOKS]; /* inner ones before outer ones */
    size_t n_looks;
};

#endif
