/* config.h - what the operator wrote: providers, network, limits. Not the command line's own flags
 * (api/cli) and not what those things do. Read once at start, before threads; then read-only.
 *
 * Providers appear from the environment (OPENAI_API_KEY, ...); one of the same name in the file
 * replaces it. `${NAME}` in a value of the file reads the environment after parsing. Unknown keys
 * are errors that name the nearest known one. */
#ifndef PLAIT_SERVICE_CONFIG_CONFIG_H
#define PLAIT_SERVICE_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "service/workflow/doc.h"

struct providers;
struct net_policy;
struct secrets;

struct config {
    struct pl_arena *arena;
    struct providers *providers; /* owned */
    struct net_policy *policy;   /* of http steps; in the arena */
    struct secrets *secrets;     /* owned */
    size_t step_output_bytes;    /* limits.step_output_bytes */
    size_t body_bytes, runs;     /* limits.body_bytes, limits.runs; 0: the default */
    size_t branches;             /* limits.branches_per_run; 0: the default */
};

/* Reads `path` (NULL: no file) and the environment. On failure every problem of the file is in
 * `problems`, each with line and pointer. Errors: INVALID_CONFIG, NOT_FOUND and IO (the file),
 * INVALID_YAML, INVALID_JSON, NO_MEMORY. */
enum pl_code config_load(const char *path, struct config **ret_config,
                         struct doc_problems *problems, struct pl_err *err) PL_MUST_CHECK;
void config_destroy(struct config **config); /* nulls; accepts NULL */

/* Reads a whole file into the arena, at most `max` bytes. Errors: NOT_FOUND, IO, TOO_LARGE,
 * NO_MEMORY. */
enum pl_code config_read_file(struct pl_arena *arena, const char *path, size_t max,
                              struct pl_str *ret_text, struct pl_err *err) PL_MUST_CHECK;

/* One row a key of the file, for docs and `--help`. */
struct config_key {
    const char *path; /* "providers.*.base_url" */
    const char *type, *fallback, *help;
};
extern const struct config_key config_keys[];
extern const size_t config_keys_count;

#endif
