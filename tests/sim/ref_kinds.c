/* ref_kinds.c - stub */
#include "tests/sim/sim.h"
void sim_judge_kind(struct sim_run *run, const struct sim_step *step) { (void)run; (void)step; }
void sim_judge_frame(struct sim_run *run, const struct run_node *node) { (void)run; (void)node; }
