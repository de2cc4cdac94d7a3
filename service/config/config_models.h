/* config_models.h - `models` of the configuration: prices. Not the rest of the file (config.c),
 * which calls it. */
#ifndef PLAIT_SERVICE_CONFIG_CONFIG_MODELS_H
#define PLAIT_SERVICE_CONFIG_CONFIG_MODELS_H

#include "service/config/config.h"

/* Reads the section into config->providers; what is wrong goes to `problems`. */
void config_read_models(struct config *config, const struct doc_node *node,
                        struct doc_problems *problems);

#endif
