/* schema.h - JSON Schema (draft 2020-12) over JSON text. What of the draft is there and what is not
 * is listed in docs/schemas.md; a keyword that is not supported, a reference that leads nowhere and
 * one that leads to itself are refused when the schema is compiled, never ignored. Not where
 * schemas come from (workflow_parse) nor instances made up (schema_sample.h). Called by
 * workflow_parse (compile), the engine and the run (apply), the providers (write). */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_H

#include "base/arena.h"
#include "base/err.h"
#include "service/workflow/doc.h"

struct schema;

/* The schemas under `schemas` of a workflow, by name. Immutable once made; any thread may read it.
 * Any schema compiled with it may say `{"$ref": "name"}`, `{"$ref": "name#/$defs/part"}` or the
 * `$id` of one of them; an `$id` in the schema itself that is so called comes first. */
struct schema_library;

/* Compiles the object at `node` (names to schemas, which may refer to each other by name); NULL:
 * `schemas` is not given, the library is empty. Names match [A-Za-z_][A-Za-z0-9_]{0,63}. Problems
 * go to `problems`; the library knows a name with a problem too, so that its uses add no other.
 * Lives in the arena; NULL only when the arena has failed. */
struct schema_library *schema_library_create(struct pl_arena *arena, const struct doc_node *node,
                                             struct doc_problems *problems);

/* Compiles the schema at `node`: an object, true, false, or a string that is a name of the library
 * (`schema: name`). `library` may be NULL: there are no names. Problems go to `problems`; NULL when
 * there was one. Lives in the arena, which must not outlive the library's. Immutable afterwards:
 * any thread may validate with it. */
struct schema *schema_compile_in(struct pl_arena *arena, const struct doc_node *node,
                                 const struct schema_library *library,
                                 struct doc_problems *problems);
/* The same without a library. */
struct schema *schema_compile(struct pl_arena *arena, const struct doc_node *node,
                              struct doc_problems *problems);

/* The schema as JSON text that stands alone, for a provider's structured output: what it refers to
 * in the library is moved into its `$defs` (as `name`, or `name_2` when that is taken), every
 * `$ref` is a pointer `#/...` into the text, and `$id` and `$anchor`, which nothing needs then, are
 * left out. Kept with the schema, whose arena it must be: only before others see the schema. Absent
 * (and the arena has failed) when out of memory. */
struct pl_str schema_json(struct schema *schema, struct pl_arena *arena);

/* Checks one JSON value (checked text). Each problem has the pointer into the value and the rule it
 * breaks. Returns PL_OK when valid, INVALID_INPUT when not, NO_MEMORY. Defaults of missing
 * properties are filled in first, in the order of `properties`, also inside objects and lists
 * (through `properties`, `prefixItems`, `items` and `$ref`, not through allOf and its like):
 * *ret_filled is the value with them, in the arena, or `json` itself when nothing was missing. What
 * was there keeps its bytes.
 *
 * The work is bounded by the size of the value: one that takes more, be the schema or the value
 * made for that, is not valid, and the problem says so. */
enum pl_code schema_apply(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct pl_str *ret_filled, struct doc_problems *problems) PL_MUST_CHECK;

enum schema_finds {
    SCHEMA_FINDS,            /* something may be there, as far as can be said */
    SCHEMA_FINDS_UNDECLARED, /* a schema with properties does not speak of a member */
    SCHEMA_FINDS_NOTHING,    /* no valid value has the member */
};

/* Where a path into the values of a schema leads: names of members, and absent strings for elements
 * of lists. Unless SCHEMA_FINDS, *ret_at is the member at fault and *ret_names the names that are
 * declared beside it, NULL behind, in the arena. Takes from *work what it costs (a schema opened is
 * one); where nothing is left, or a single path takes too much, it is SCHEMA_FINDS. */
enum schema_finds schema_look(const struct schema *schema, struct pl_arena *arena,
                              const struct pl_str *path, size_t n, uint64_t *work, size_t *ret_at,
                              const char *const **ret_names);

/* The declared `type` of a top-level property, as a word, or NULL: how `-i K=V` reads V. */
const char *schema_property_type(const struct schema *schema, struct pl_str property);

#endif
