/* schema_pattern.h - the `pattern` of a schema: JavaScript's notation (ECMA-262, as with the flag
 * u), matched by an automaton in time proportional to the text times the pattern, whatever both
 * are. Not there: back-references, which no automaton has, and \p{...}. Private to
 * service/schema/schema*.
 */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_PATTERN_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_PATTERN_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"

/* Compiled; immutable, in an arena. */
struct schema_pattern;

/* Compiles a pattern (UTF-8). NULL and *ret_why (static) when it cannot be had; NULL and no
 * *ret_why when the arena failed. */
const struct schema_pattern *schema_pattern_compile(struct pl_arena *arena, struct pl_str pattern,
                                                    const char **ret_why);

/* Memory for matching, one thread's; starts as {0} and grows. */
struct schema_matcher {
    void *memory;
    size_t size; /* bytes */
};
void schema_matcher_finish(struct schema_matcher *matcher);

enum schema_match { SCHEMA_NO_MATCH, SCHEMA_MATCH, SCHEMA_MATCH_NO_MEMORY, SCHEMA_MATCH_NO_WORK };

/* Whether the pattern matches anywhere in `text` (UTF-8). Takes from *work what it costs and stops
 * when there is none left. */
enum schema_match schema_pattern_match(const struct schema_pattern *pattern,
                                       struct schema_matcher *matcher, struct pl_str text,
                                       uint64_t *work) PL_MUST_CHECK;

#endif
