/* run_warm.h - the first branch of a join that goes alone, so that the others find the provider's
 * cache warm. Not the join itself (run_branches). Called by run_core's own files. */
#ifndef PLAIT_SERVICE_RUN_RUN_WARM_H
#define PLAIT_SERVICE_RUN_RUN_WARM_H

#include "service/run/run_core.h"

/* The branches of a join are about to begin: true when the first one is to go alone. */
bool run_warm_begin(struct run_core *core, struct run_node *node);
/* Is it a branch of a parallel that waits for the first one? */
bool run_warm_holds(const struct run_node *node);
/* The first branch needs nobody to wait any more: the others begin, where the join is open. */
void run_warm_over(struct run_core *core, struct run_node *node);
/* The join is not open any more. */
void run_warm_left(struct run_core *core, struct run_node *node);
/* A model has begun to answer this step, or its call is over. */
void run_warm_answering(struct run_core *core, struct run_node *node);
/* After each event: where nothing goes on by itself, nobody waits for a first branch. */
void run_warm_update(struct run_core *core);
void run_warm_load(struct run_core *core, struct run_node *node);

#endif
