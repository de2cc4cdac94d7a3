/* sim.h - the simulated provider: no network, the same answer for the same input; for
 * demonstrations, tests and trying failure policies before money is spent. Not a model. Its options
 * ride on the model's name, see sim_options.h. */
#ifndef PLAIT_SERVICE_LLM_SIM_H
#define PLAIT_SERVICE_LLM_SIM_H

#include "service/llm/provider.h"

extern const struct provider_ops sim_ops;

#endif
