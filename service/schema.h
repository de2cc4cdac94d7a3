/* schema.h - JSON Schema (draft 2020-12) over JSON text: the common keywords. Not all of the draft:
 * a keyword that is not supported is refused when the schema is compiled, never ignored. Called by
 * workflow_parse (compile) and by run_input (validate and fill).
 *
 * Supported: type, enum, const, properties, required, additionalProperties, items (a schema),
 * minItems, maxItems, uniqueItems, minLength, maxLength (code points), pattern (JavaScript's
 * notation as far as POSIX extended expressions can say it), minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, multipleOf, minProperties, maxProperties, allOf, anyOf, oneOf, not, boolean
 * schemas; annotations title, description, default, examples, deprecated, readOnly, writeOnly,
 * format, $comment, $schema. A default must fit its own schema. */
#ifndef PLAIT_SERVICE_SCHEMA_H
#define PLAIT_SERVICE_SCHEMA_H

#include "base/arena.h"
#include "base/err.h"
#include "service/doc.h"

struct schema;

/* Compiles the schema at `node`; problems (unknown or unsupported keyword, wrong type) go to
 * `problems`; NULL when there was one. Lives in the arena. Immutable afterwards: any thread may
 * validate with it. */
struct schema *schema_compile(struct pl_arena *arena, const struct doc_node *node,
                              struct doc_problems *problems);

/* Checks one JSON value (checked text). Each problem has the pointer into the value and the rule it
 * breaks. Returns PL_OK when valid, INVALID_INPUT when not, NO_MEMORY. Defaults of missing
 * properties are filled in first, in the order of `properties`, also inside objects and lists
 * (through `properties` and `items`, not through allOf and its like): *ret_filled is the value with
 * them, in the arena, or `json` itself when nothing was missing. What was there keeps its bytes. */
enum pl_code schema_apply(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct pl_str *ret_filled, struct doc_problems *problems) PL_MUST_CHECK;

/* The declared `type` of a top-level property, as a word, or NULL: how `-i K=V` reads V. */
const char *schema_property_type(const struct schema *schema, struct pl_str property);

#endif
