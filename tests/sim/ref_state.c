#include "tests/sim/sim.h"
void sim_state_of_frame(struct sim_run *run, const struct run_frame *frame, struct pl_buf *out){(void)run;(void)frame; pl_buf_text(out,"{}");}
void sim_judge_state(struct sim_run *run, const struct run_node *node){(void)run;(void)node;}
