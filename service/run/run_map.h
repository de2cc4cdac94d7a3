/* run_map.h - what a map keeps, shared by run_map.c (its branches) and run_collapse.c (the tree of
 * aggregations above them). Private to the run core. */
#ifndef PLAIT_SERVICE_RUN_RUN_MAP_H
#define PLAIT_SERVICE_RUN_RUN_MAP_H

#include "service/run/run_slots.h"

struct collapse_level;

struct run_map {
    struct run_slots slots; /* first; a branch is an item, or a batch of them */
    struct pl_str *items;   /* tokens in node->memo */
    size_t n_items;
    size_t running;                /* branches begun and not final */
    struct collapse_level *levels; /* of collapse; NULL: none */
    size_t n_levels;
};

/* Why a branch's output cannot be taken, a sentence; NULL: it can. */
const char *run_map_refuses(const struct run_node *node, size_t index, struct pl_str output);
/* What branch `index` of a map with `batch` gave, as an element for each of its items: a list of as
 * many is spread over them; anything else, which only `on_error` can give, stands for each. */
void run_map_add_outputs(struct pl_buf *out, const struct run_node *node, size_t index,
                         struct pl_str output);

/* ---- run_collapse.c ---- */
/* Makes the levels for the map's branches. False: no memory. */
bool run_collapse_init(struct run_node *node);
void run_collapse_finish(struct run_node *node);
/* A branch of the map is final: its group may begin. */
void run_collapse_branch(struct run_core *core, struct run_node *node, size_t index);
/* The step of a group is final. */
void run_collapse_ended(struct run_core *core, struct run_frame *frame, struct run_node *step);
/* The frame of a group is over. */
void run_collapse_frame_over(const struct run_frame *frame);
/* The join is satisfied: branches that are not over, or never began, are inputs that give nothing.
 */
void run_collapse_no_more(struct run_core *core, struct run_node *node);
/* True when groups are not over: the step is CLOSING until they are. With `losers: drain`, where
 * branches need not have ended. */
bool run_collapse_goes_on(struct run_core *core, struct run_node *node);
void run_collapse_stop(struct run_core *core, struct run_node *node, enum cancel_reason reason);
/* The last group's output; null when nothing was to be collapsed. A reference. */
struct pl_value *run_collapse_value(const struct run_node *node);
bool run_collapse_fits(const struct run_node *node, uint32_t level, uint32_t number);
/* While loading: the group has this frame; and the frame it has, NULL: none. */
void run_collapse_place(struct run_frame *frame);
struct run_frame *run_collapse_frame(const struct run_node *node, uint32_t level, uint32_t number);
void run_collapse_derive(struct run_core *core, struct run_node *node);

#endif
