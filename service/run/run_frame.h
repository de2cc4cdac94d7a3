/* run_frame.h - frames made, found, stopped and freed, and what they leave behind. What a frame is:
 * run_node.h. Private to the run core's own files, which alone make and change frames; the
 * simulator walks through them. The executor reads those that nodes lead it to, and keeps one from
 * being freed by an evaluation or a call that is out (node->evals, node->exec). */
#ifndef PLAIT_SERVICE_RUN_RUN_FRAME_H
#define PLAIT_SERVICE_RUN_RUN_FRAME_H

#include "service/run/run_core.h"

/* What a frame that is gone had written to state outside it, in order. */
struct run_left {
    struct run_left *next; /* in the order of the frames */
    const struct step_body *body;
    uint32_t level, number;
    size_t n;
    struct {
        const struct state_channel *channel;
        struct pl_value *value;
    } entries[];
};

/* What kinds with bodies have beside the node; those that need more embed it first. */
struct run_inner {
    struct pl_list frames; /* live ones, in the order made */
    unsigned open;         /* frames that are not over */
    struct run_left *left, *left_last;
};

/* ---- run_left.c ---- */
/* The frame is about to be freed: keeps what it wrote. False: no memory. */
bool run_left_keep(struct run_frame *frame);
void run_left_free(struct run_left **list);
bool run_left_is_before(const struct run_left *left, const struct run_frame *frame);

/* ---- run_frame.c, run_find.c ---- */
/* A new frame, its nodes WAITING; in its owner's list. The value is taken. NULL: memory is out,
 * which is noted. Nothing of it is entered. */
struct run_frame *run_frame_create(struct run_core *core, const struct step_body *body,
                                   struct run_node *owner, uint32_t level, uint32_t number,
                                   struct pl_value *value);
/* Enters and begins its top steps. */
void run_frame_begin(struct run_core *core, struct run_frame *frame);
/* Stops what is open in it. */
void run_frame_cancel(struct run_core *core, struct run_frame *frame, enum cancel_reason reason);
/* Its owner does not read it any more. */
void run_frame_release(struct run_core *core, struct run_frame *frame);
/* Frees the frames that are over and that nobody needs: not kept by their owner, every row of them
 * taken, no evaluation or call out, no frame left inside; but for the one `but` stands in, which an
 * event is about. Between two events, and not at each: after many were looked at in vain, the next
 * look comes some events later. */
void run_frames_reap(struct run_core *core, const struct run_node *but);
/* All of them, at the end. */
void run_frames_destroy(struct run_core *core);
/* Every live frame, owners before what they own: the one behind `frame`; NULL begins, and ends. */
struct run_frame *run_frame_next(const struct run_core *core, const struct run_frame *frame);
/* Which of two frames of one step comes first: by item, turn, level and number. */
int run_frame_compare(const struct run_frame *a, const struct run_frame *b);
/* The live frames of a step in that order, in `arena`; NULL: no memory. */
struct run_frame **run_frames_in_order(const struct run_node *node, struct pl_arena *arena,
                                       size_t *ret_count);
/* Which of two nodes comes first: by item, turn and place in the document. Below, at, above 0. */
int run_node_compare(const struct run_node *a, const struct run_node *b);
/* The path of an instance, made or not, in `out`: of `body` owned by `owner`, numbers as in
 * run_frame. */
void run_frame_write_path(const struct step_body *body, const struct run_node *owner,
                          uint32_t level, uint32_t number, struct pl_buf *out);
/* The frame of a concrete path's leading part, and the step in it; false when the workflow has no
 * such step or the run no such frame (then *ret_body, level, number say which one is missing under
 * *ret_owner). For loading and finding. */
struct run_place {
    struct run_node *node;        /* found */
    struct run_node *owner;       /* not found: whose frame is missing */
    const struct step_body *body; /* the same: of which body */
    uint32_t level, number;
};
bool run_frame_find(const struct run_core *core, struct pl_str path, struct run_place *ret_place);

#endif
