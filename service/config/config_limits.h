/* config_limits.h - the limits of a provider and of its models, as the configuration writes them.
 * Not what they do (limits.h). Called by config.c. */
#ifndef PLAIT_SERVICE_CONFIG_CONFIG_LIMITS_H
#define PLAIT_SERVICE_CONFIG_CONFIG_LIMITS_H

#include "service/limits/limits.h"
#include "service/workflow/doc.h"

/* Reads `limits` and `models` of a provider into its lane; what is wrong becomes problems. Before
 * threads. */
void config_limits_read(struct doc_problems *problems, const struct doc_node *provider,
                        struct lane *lane);

#endif
