/* run_slots.h - the branches of a map or a vote as their step keeps them: how each ended and what
 * it gave, in chunks that are made when their first branch begins. Not the join (run_branches) and
 * not the frames (run_frame). Private to the run core. */
#ifndef PLAIT_SERVICE_RUN_RUN_SLOTS_H
#define PLAIT_SERVICE_RUN_RUN_SLOTS_H

#include "service/run/run_core_private.h"
#include "service/run/run_join.h"

/* One branch. While its frame lives the frame's step is the truth. */
struct run_slot {
    struct run_frame *frame; /* NULL: not begun, or over and copied below */
    struct pl_value *output, *error;
    struct pl_value *key;  /* votes: what is compared, or its score; NULL: the output itself */
    enum node_state state; /* WAITING: not begun */
    bool counted, handled;
    bool taken; /* maps: what is above it (collapse) knows how it ended, or does not wait for it */
};

enum { RUN_SLOTS_CHUNK = 1024 };

struct run_slots {
    struct run_inner inner; /* first: node->inner */
    size_t n;               /* branches in all */
    size_t begun;           /* those from here on have not begun, and have no frame and no row */
    struct run_slot **chunks;
};

/* Room for `n` branches. False: no memory. */
bool run_slots_init(struct run_slots *slots, size_t n);
void run_slots_finish(struct run_slots *slots);
/* The slot of a branch; NULL: no memory, which is noted. */
struct run_slot *run_slots_get(struct run_core *core, struct run_slots *slots, size_t index);
/* How a branch stands; one that has not begun is WAITING. */
struct join_branch run_slots_branch(const struct run_slots *slots, size_t index);
/* Does the branch vote? One that failed does not, also when that was handled. */
bool run_slots_votes(const struct run_slots *slots, size_t index);
/* The key a branch has in a vote. Borrowed. */
struct pl_str run_slots_key(const struct run_slots *slots, size_t index);
/* Begins branch `index` in a new frame of `body`; the value is taken. */
void run_slots_begin(struct run_core *core, struct run_node *owner, const struct step_body *body,
                     size_t index, struct pl_value *value);
/* A frame of a branch is over: what is needed of it is copied. */
void run_slots_frame_over(struct run_core *core, struct run_frame *frame);
/* Stops the branches that are not over. */
void run_slots_stop(struct run_core *core, struct run_node *node, enum cancel_reason reason);
/* The join is decided: branches that have not begun count as cancelled. */
void run_slots_dismiss(struct run_node *node);
/* While loading: the branch has this frame; and the frame it has, NULL: none. */
void run_slots_place(struct run_core *core, struct run_frame *frame);
struct run_frame *run_slots_frame(const struct run_slots *slots, size_t index);
/* After loading: slots, counts and begun are found again from the frames. */
void run_slots_derive(struct run_core *core, struct run_node *node);
/* What must hold of them; NULL: it does. */
const char *run_slots_check(const struct run_node *node);

static inline struct run_slots *run_slots_of(const struct run_node *node)
{
    return (struct run_slots *)node->inner;
}

/* The one step of a single body's frame. */
static inline struct run_node *run_frame_step(const struct run_frame *frame)
{
    return run_node_at(frame, frame->body->top[0]);
}

#endif
