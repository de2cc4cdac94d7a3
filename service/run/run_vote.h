/* run_vote.h - the pure part of votes: who leads, could it change, who won. Not the branches
 * (run_slots) nor the judge's call (run_vote.c). Private to the run core and its tests. */
#ifndef PLAIT_SERVICE_RUN_RUN_VOTE_H
#define PLAIT_SERVICE_RUN_RUN_VOTE_H

#include "base/arena.h"
#include "service/run/run_slots.h"

/* One answer and who gave it. */
struct tally_entry {
    struct pl_str key; /* JSON; borrowed */
    uint64_t hash;     /* of the key */
    double votes;      /* their number, or their weights */
    size_t first;      /* the lowest branch */
    size_t n;          /* branches */
    size_t *branches;  /* room for the next power of two */
};

struct tally {
    struct tally_entry *entries; /* in the order of their first branch */
    size_t n;
    double total;   /* votes counted */
    size_t counted; /* branches */
};

/* Counts the votes of the counted branches. False: no memory. */
bool run_tally_count(const struct run_node *node, struct pl_arena *arena, struct tally *ret_tally);

/* The decision of majority and weighted: the winning branch; -1 with code NO_MAJORITY or
 * NO_DECISION
 * (*ret_tie: several lead). */
int run_tally_winner(const struct run_node *node, const struct tally *tally, bool *ret_tie,
                     enum pl_code *ret_code);
/* median: the branch with the middle key (the lower of two); -1: a key is no number, or none is
 * there. */
int run_tally_median(const struct run_node *node, struct pl_arena *arena, enum pl_code *ret_code);
/* best_of: the branch with the highest score. */
int run_tally_best(const struct run_node *node, enum pl_code *ret_code);

/* Can nothing still to come, failures included, change the winner, or that there is none? False
 * when memory is out. */
bool run_tally_is_fixed(const struct run_node *node, struct pl_arena *arena);

/* Appends the member "tally": [{"key","votes","branches"}]. */
void run_tally_write(const struct run_node *node, struct pl_arena *arena, struct pl_buf *out);

/* union: appends the list of the elements that the counted branches' keys hold, each once. */
void run_union_write(const struct run_slots *slots, struct pl_arena *arena, struct pl_buf *out);

/* The weight of a branch. */
double run_vote_weight(const struct run_node *node, size_t index);
/* Its id: a name of `among`, or its number. Appends a JSON string or number. */
void run_vote_write_id(const struct run_node *node, size_t index, struct pl_buf *out);

#endif
