/* engine_figures.h - what an engine has done since its process began, and how its providers stand:
 * for whoever looks at it from outside. Not what its runs are (engine.h). Called by
 * api/handlers/metrics.c; any thread. Part of engine.c. */
#ifndef PLAIT_SERVICE_ENGINE_FIGURES_H
#define PLAIT_SERVICE_ENGINE_FIGURES_H

#include "base/str.h"

struct engine;

/* Runs that have ended here since this process began, by their status. */
struct engine_ended {
    uint64_t succeeded, failed, cancelled;
};
void engine_get_ended(struct engine *engine, struct engine_ended *ret_ended);

/* How the calls to one provider stand; the name is borrowed and lives as the providers do. */
struct engine_lane {
    struct pl_str provider;
    uint64_t in_flight, waiting; /* calls under way; calls that wait for their turn */
    uint64_t window;             /* how many may be under way since a 429; 0: any number */
    bool paused;                 /* nothing is sent to it now */
    /* since this process began: attempts by how they ended, calls sent for them, what they used */
    uint64_t succeeded, failed, cancelled, calls, input_tokens, output_tokens;
    double cost_usd;
};
/* The index-th provider; false: there are no more. */
bool engine_get_lane(struct engine *engine, size_t index, struct engine_lane *ret_lane);

#endif
