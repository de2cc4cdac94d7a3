/* schema_pattern.h - the `pattern` of a schema: JavaScript's notation carried over to POSIX
 * extended expressions. Not all of JavaScript: what POSIX cannot say is refused. Private to schema.
 */
#ifndef PLAIT_SERVICE_SCHEMA_PATTERN_H
#define PLAIT_SERVICE_SCHEMA_PATTERN_H

#include "base/arena.h"
#include "base/str.h"

#include <regex.h>

/* The POSIX text of a pattern, in the arena. NULL and *ret_why (static or in the arena) when it
 * cannot be had; NULL and no *ret_why when the arena failed. */
const char *schema_pattern_translate(struct pl_arena *arena, struct pl_str pattern,
                                     const char **ret_why);

/* Compiles a translated pattern; the caller frees it with regfree. False when out of memory (or
 * when the pattern is wrong: *ret_error then is regcomp's). Characters, not bytes, whatever the
 * locale of the process. */
bool schema_pattern_compile(const char *translated, regex_t *ret_regex, int *ret_error);
bool schema_pattern_matches(const regex_t *regex, const char *text);

#endif
