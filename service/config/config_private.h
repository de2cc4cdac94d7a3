/* config_private.h - what the files of the configuration share: config.c (the file, the small
 * sections, how values are read) and config_<section>.c (a section of its own). Nobody else
 * includes it. */
#ifndef PLAIT_SERVICE_CONFIG_CONFIG_PRIVATE_H
#define PLAIT_SERVICE_CONFIG_CONFIG_PRIVATE_H

#include "service/config/config.h"

/* What a section's reader works on. Problems it finds go to `problems`; it goes on. */
struct config_reader {
    struct config *config;
    struct doc_problems *problems;
};

/* The text of a string, every ${NAME} in it replaced by the environment; in the configuration's
 * arena. NULL with a problem when one is missing. */
const char *config_expand(struct config_reader *reader, const struct doc_node *node);
/* The same of a member; NULL also when it is not there. */
const char *config_read_text(struct config_reader *reader, const struct doc_node *object,
                             const char *key);
/* What a file holds, without line ends and spaces behind it; at most 64 KiB. NULL with a problem.
 */
const char *config_read_key_file(struct config_reader *reader, const struct doc_node *node,
                                 const char *path);
/* Refuses members that are not in `known` (NULL-terminated); those in `later` with a message of
 * their own. False when there was a problem, or `object` is none. */
bool config_check_keys(struct config_reader *reader, const struct doc_node *object,
                       const char *const *known, const char *const *later);

/* `secrets`, in config_secrets.c. */
void config_read_secrets(struct config_reader *reader, const struct doc_node *node);

#endif
