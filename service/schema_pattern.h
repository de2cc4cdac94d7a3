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

/* Compiles a translated pattern; the caller frees it with regfree. Characters, not bytes, whatever
 * the locale of the process. 0, or the error of regcomp: REG_ESPACE is out of memory. */
int schema_pattern_compile(const char *translated, regex_t *ret_regex) PL_MUST_CHECK;
/* 0 when the text matches, REG_NOMATCH when not, REG_ESPACE when out of memory. */
int schema_pattern_match(regex_t *regex, struct pl_str text) PL_MUST_CHECK;

#endif
