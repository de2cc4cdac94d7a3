/* judge.h - the second opinion: what steps, joins, votes, state and the run must have come to. Not
 * the world they happen in (sim.h). Its parts are reference.c, ref_*.c and needs.c; they are asked
 * by step.c, world.c, look.c and by each other. */
#ifndef PLAIT_TESTS_SIM_JUDGE_H
#define PLAIT_TESTS_SIM_JUDGE_H

#include "tests/sim/sim.h"

/* At the end of the run. */
void sim_judge_run(struct sim_run *run);
/* The parts of it that are about the run as a whole (ref_outcome.c); `row` is the run's. */
void sim_judge_outcome(struct sim_run *run, const struct store_run *row);
void sim_judge_usage(struct sim_run *run, const struct store_run *row);
/* What was known before a RESULT went in, and what it said. */
struct sim_before {
    bool is_result;
    enum node_state state;
    unsigned attempts, failures, fallback;
    pl_ms sent_at, deadline_at;
    enum pl_code code;
    bool free, no_retry;
    pl_ms retry_after;
};
/* Right after a RESULT: did the step go where its policy sends it? */
void sim_judge_result(struct sim_run *run, const struct sim_before *before,
                      const struct run_node *node);
void sim_judge_join(struct sim_run *run, const struct sim_step *step);
/* What a vote that succeeded must have given; or, failed, why not. */
void sim_judge_vote(struct sim_run *run, const struct sim_step *vote);
/* Appends the id of a branch of a vote. */
void sim_write_id(struct pl_buf *out, const struct sim_step *vote, size_t index);
/* Compares, and finishes `should`. */
void sim_must_be(struct sim_run *run, struct pl_str path, const char *what, struct pl_str is,
                 struct pl_buf *should);
/* Can an agent have failed with this, for want of the tools of a server that it requires? */
bool sim_code_of_listing(const struct sim_run *run, const struct sim_step *agent,
                         enum pl_code code);
/* What a step of a kind with bodies, or one that waits, gave at its end. */
void sim_judge_kind(struct sim_run *run, const struct sim_step *step);
/* Before a call: is its frame bound to what it should be? */
void sim_judge_frame(struct sim_run *run, const struct run_node *node);
/* Right after the end of a branch, while its vote is open: should the vote have been over? */
void sim_judge_early(struct sim_run *run, const struct sim_step *vote, enum node_state state,
                     bool fixed);
/* The state a frame came to, as the second opinion has it, against what the core gathered; appends
 * it. */
void sim_state_of_frame(struct sim_run *run, const struct run_frame *frame, struct pl_buf *out);
/* What a step that is being called sees of each state. */
void sim_judge_state(struct sim_run *run, const struct run_node *node);
/* A step's result as the join sees it: succeeded, or failed and handled. */
bool sim_is_success(const struct sim_entry *entry);
/* Did a user cancel this step (or the run, or a step it stands in, when `above`)? */
bool sim_user_cancelled(const struct sim_run *run, const struct sim_step *step, bool above);
/* Where in the history a step ended or closed; SIZE_MAX: it did not. */
size_t sim_find(const struct sim_run *run, enum sim_happening what, uint32_t id);
/* The code in an error of the core's, INTERNAL when there is none. */
enum pl_code sim_error_code(struct pl_str error);
/* needs.c: what a run that was loaded can still call; and that it calls nothing else. */
void sim_needs_load(struct sim_run *run);
void sim_needs_check(struct sim_run *run, const struct run_node *node);

#endif
