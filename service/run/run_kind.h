/* run_kind.h - the vtable of step kinds in the run core: what those with bodies, or a wait of their
 * own, do. Not what calls do (steps/step_kind.h). A new kind is a row in run_kinds.c and a file.
 * Private to the run core.
 *
 * Rules the kinds keep, beside those of run_core.h (each has a scenario):
 * 11. What a step begins with (items, input, conversation, question, time) is evaluated once and
 * kept in its memo. An error there fails the step (then on_error).
 * 12. map: items begin in order, at most `concurrency` at once; one that ends lets the next begin.
 *     Items that never began when the join is decided count as cancelled, without a row. The value
 *     is a list in item order. A branch of a `batch` must give a list as long as its items.
 * 13. collapse: a group begins when all its inputs are final, with those that count, in order; one
 *     without any gives nothing. A group that fails fails the map.
 * 14. vote: branches begin at once; the join says when the votes are in. Only counted branches
 *     vote. `stop: early` ends it when nothing still to come could change the winner, or that there
 *     is none (outcome_fixed). Judge and scores begin when no branch is open; that one fails, fails
 *     the vote.
 * 15. workflow, repeat: a body joins as the run's top level does: an unhandled failure stops the
 * rest (sibling_failed) and fails the step. Its output is made when everything in it is over.
 * repeat: then `until` is asked; turn n + 1 sees turn n as `previous` and begins with its state.
 * 16. agent: the tools of a turn run at once; when all are over the next turn begins with their
 *     answers in the order the model asked. A tool that failed is answered with its error; that a
 *     turn failed fails the agent. The tools of its MCP servers are listed before the first turn,
 *     all at once, and kept; a server that cannot be listed fails the agent when it is required,
 *     else the model is told.
 * 17. human: the first of answer, timeout, deadline and cancel counts; a later answer is dropped.
 * 18. State: see run_state.h. A step's writes are made when it has its output, before it succeeds.
 */
#ifndef PLAIT_SERVICE_RUN_RUN_KIND_H
#define PLAIT_SERVICE_RUN_RUN_KIND_H

#include "service/run/run_core.h"

/* What a kind with bodies (or a wait of its own) does in the core; NULL slots: nothing. */
struct run_kind {
    void (*begin)(struct run_core *core, struct run_node *node);
    /* Its own evaluations (over, key, until, ...); false when it does not wait for that. */
    bool (*evaluated)(struct run_core *core, struct run_node *node, struct run_event *event);
    /* A top step of one of its frames is final. */
    void (*step_ended)(struct run_core *core, struct run_frame *frame, struct run_node *node);
    /* Everything in one of its frames is over. */
    void (*frame_over)(struct run_core *core, struct run_frame *frame);
    /* It is CLOSING and nothing inside it is open. */
    void (*closed)(struct run_core *core, struct run_node *node);
    /* It has just moved to a final state, in whatever way: lets go of what it kept to be read. */
    void (*ended)(struct run_core *core, struct run_node *node);
    /* Its join is decided: stops the branches that are open. */
    void (*stop)(struct run_core *core, struct run_node *node, enum cancel_reason reason);
    /* It is JOINING and its first branch goes alone no more: begins the others. */
    void (*warmed)(struct run_core *core, struct run_node *node);
    /* Its timer by its state. */
    void (*timer)(struct run_core *core, struct run_node *node);
    /* Frees what is its own in node->inner. */
    void (*destroy)(struct run_node *node);
    /* Loading: may it have had this instance? Then what its names are bound to (NULL: nothing, or
     * memory is out, which is noted). */
    bool (*fits)(struct run_core *core, const struct run_node *node, const struct step_body *body,
                 uint32_t level, uint32_t number, struct pl_value **ret_value);
    /* Loading, where there may be many frames: one was made, and is found again by its place. NULL:
     * they are looked for one by one. */
    void (*placed)(struct run_core *core, struct run_frame *frame);
    struct run_frame *(*find)(const struct run_node *node, const struct step_body *body,
                              uint32_t level, uint32_t number);
    /* Loading: its row was read (memo, state); the frames of its rows follow. */
    enum pl_code (*load)(struct run_core *core, struct run_node *node, struct pl_err *err);
    /* Loading: all rows were read. Counts again what follows from them. */
    enum pl_code (*derive)(struct run_core *core, struct run_node *node, struct pl_err *err);
    /* The first breach of what must hold of it, NULL: none. See run_check. */
    const char *(*check)(const struct run_core *core, const struct run_node *node);
    /* After a crash: goes on with what it waited for, when `lost`. */
    void (*recover)(struct run_core *core, struct run_node *node);
};
const struct run_kind *run_kind_of(enum step_kind kind);
extern const struct run_kind run_kind_parallel, run_kind_map, run_kind_vote, run_kind_body,
    run_kind_agent, run_kind_human, run_kind_sleep;

#endif
