/* schema_node.h - a compiled schema. Private to schema_compile.c, schema.c and schema_fill.c;
 * immutable once compiled, in the workflow's arena. */
#ifndef PLAIT_SERVICE_SCHEMA_NODE_H
#define PLAIT_SERVICE_SCHEMA_NODE_H

#include "service/schema.h"

#include <regex.h>

enum schema_type {
    SCHEMA_NULL,
    SCHEMA_BOOLEAN,
    SCHEMA_INTEGER,
    SCHEMA_NUMBER,
    SCHEMA_STRING,
    SCHEMA_ARRAY,
    SCHEMA_OBJECT,
    SCHEMA_TYPES,
};

/* A name in `properties` or `required`. */
struct schema_property {
    struct pl_str name;
    const struct schema *schema; /* NULL: it is only required */
    bool required;
    size_t index; /* properties in the order written, then names that are only required */
};

/* allOf, anyOf, oneOf; none: no items. */
struct schema_list {
    struct schema **items;
    size_t count;
};

struct schema {
    const struct doc_node *node;
    bool never;                 /* the schema false */
    unsigned types;             /* bits 1u << enum schema_type; 0: any */
    struct pl_str *enumeration; /* JSON texts; NULL: none */
    size_t n_enumeration;
    struct pl_str constant; /* JSON text; absent: none */
    struct pl_str fallback; /* `default`, JSON text; absent: none */
    bool fills;             /* a default in it or below it may have to be filled in */

    struct schema_property **properties;
    size_t n_properties;
    struct pl_map *by_name;          /* of struct schema_property; NULL when there are none */
    const char **names;              /* of `properties`, NULL behind: for messages */
    const struct schema *additional; /* NULL: anything */
    const struct schema *items;      /* NULL: anything */

    /* Counts: SIZE_MAX stands for no maximum. */
    size_t min_properties, max_properties, min_items, max_items, min_length, max_length;
    bool unique_items;
    /* JSON numbers; absent: none. */
    struct pl_str minimum, maximum, above, below, multiple_of;
    const char *pattern;        /* POSIX; NULL: none */
    struct pl_str pattern_text; /* as written */
    size_t pattern_index;       /* where an application keeps it compiled */

    struct schema_list all, any, one;
    const struct schema * not ;

    size_t n_patterns; /* the root: in the whole schema */
};

/* What a schema says of the member with this key (a raw token), NULL when nothing. */
const struct schema_property *schema_property_of(const struct schema *schema, struct pl_str token,
                                                 struct pl_arena *arena);

/* What one validation works with. */
struct schema_check {
    struct pl_arena *arena;
    struct doc_problems *problems; /* NULL: only the answer is wanted */
    regex_t **patterns;            /* by pattern_index; each compiled when first met, on the heap */
    size_t n_patterns;
    bool no_memory;
};

/* Where a value stands in the input. */
struct schema_place {
    const struct schema_place *up; /* NULL at the root */
    struct pl_str key;             /* a raw key token; absent in a list */
    size_t index;
};

/* Whether the value fits; what does not goes to the problems. */
bool schema_fits(struct schema_check *check, const struct schema *schema, struct pl_str json,
                 const struct schema_place *place);
/* Adds a problem at a place, if problems are wanted. Always false. */
bool schema_report(struct schema_check *check, const struct schema_place *place, const char *fmt,
                   ...) PL_PRINTF(3, 4);
/* A check of values against one schema and what is in it. False when the arena failed; then there
 * is nothing to finish. */
bool schema_check_init(struct schema_check *check, struct pl_arena *arena,
                       struct doc_problems *problems, size_t n_patterns);
/* Frees the compiled patterns. */
void schema_check_finish(struct schema_check *check);
/* `json` with the defaults of missing properties, in the arena; `json` itself when none was
 * missing. Absent when the arena failed. */
struct pl_str schema_fill(const struct schema *schema, struct pl_arena *arena, struct pl_str json);

#endif
