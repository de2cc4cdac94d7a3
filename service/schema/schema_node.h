/* schema_node.h - a compiled schema. Private to service/schema/schema*.c; immutable once compiled,
 * in the arena of whoever had it compiled. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_NODE_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_NODE_H

#include "service/schema/schema.h"
#include "service/schema/schema_pattern.h"

enum {
    SCHEMA_COUNT = 100000,   /* schemas in one document; more are refused */
    SCHEMA_IN_PLACE = 100,   /* schemas that apply to one value by way of each other ($ref, allOf,
                                ...); more are refused */
    SCHEMA_TEXT = 128 << 20, /* bytes of a schema that is written out */
};

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

/* A name in `properties`, `required`, `dependentRequired` or `dependentSchemas`. */
struct schema_property {
    struct pl_str name;
    const struct schema *schema; /* of `properties`; NULL: it is not there */
    bool required;
    size_t index; /* properties in the order written, then the other names */
    /* What its presence asks for. */
    struct schema *dependent;               /* of dependentSchemas; NULL: none */
    const struct schema_property **demands; /* of dependentRequired */
    size_t n_demands;
};

struct schema_pattern_property {
    const struct schema_pattern *pattern;
    const struct schema *schema;
};

/* allOf, anyOf, oneOf, prefixItems; none: no items. */
struct schema_list {
    struct schema **items;
    size_t count;
};

/* One text that schemas stand in: what was handed to schema_compile_in, or one entry of a library.
 */
struct schema_document {
    const struct doc_node *root;
    struct pl_str name;       /* in the library; else empty */
    struct pl_map *resources; /* by relative URI: struct schema_resource; NULL: none */
    struct pl_map *nodes;     /* by the address of its doc_node: struct schema; those of other
                                 documents of one library too */
};

/* A part of a document with an `$id` of its own, or the document. */
struct schema_resource {
    const struct schema_document *document;
    const struct doc_node *root;
    struct pl_str base;     /* URI; may be relative or empty */
    struct pl_map *anchors; /* by name: the struct schema; NULL: none */
};

struct schema {
    const struct doc_node *node;
    const struct schema_document *document;
    bool never;                 /* the schema false */
    unsigned types;             /* bits 1u << enum schema_type; 0: any */
    struct pl_str *enumeration; /* JSON texts; NULL: none */
    size_t n_enumeration;
    struct pl_str constant; /* JSON text; absent: none */
    struct pl_str fallback; /* `default`, JSON text; absent: none */
    struct pl_str format;   /* an annotation: for samples */
    bool fills;             /* root: a default may have to be filled in somewhere */
    bool defaults;          /* a property of it has a default, or refers to one */
    struct pl_str alone;    /* what schema_json gave; absent: not asked for yet */

    struct schema_property **properties;
    size_t n_properties;
    struct pl_map *by_name; /* of struct schema_property; NULL when there are none */
    const char **names;     /* of `properties`, NULL behind: for messages */
    struct schema_pattern_property *patterns;
    size_t n_patterns;
    bool depends;                           /* a property has `dependent` or `demands` */
    const struct schema *additional;        /* NULL: anything */
    const struct schema *property_names;    /* NULL: any */
    const struct schema *unevaluated;       /* unevaluatedProperties; NULL: anything */
    const struct schema *items;             /* behind `prefix`; NULL: anything */
    struct schema_list prefix;              /* prefixItems */
    const struct schema *contains;          /* NULL: none */
    const struct schema *unevaluated_items; /* NULL: anything */

    /* Counts: SIZE_MAX stands for no maximum. */
    size_t min_properties, max_properties, min_items, max_items, min_length, max_length;
    size_t min_contains, max_contains;
    bool unique_items;
    /* JSON numbers; absent: none. */
    struct pl_str minimum, maximum, above, below, multiple_of;
    const struct schema_pattern *pattern; /* NULL: none */
    struct pl_str pattern_text;           /* as written */

    struct schema *ref; /* NULL: none */
    struct schema_list all, any, one;
    struct schema * not ;
    struct schema *condition, *then, *otherwise; /* if, then, else; NULL: none */

    /* Private to schema_refs.c: schemas that apply to the same value, counted in depth; 0: not
     * looked at yet. */
    unsigned height;
    bool open;
    struct schema *next; /* in the compilation */
};

/* What a schema says of the member with this key (decoded), NULL when nothing. */
const struct schema_property *schema_property_of(const struct schema *schema, struct pl_str key);
/* The text of a key or string token: within the token when it has no escapes, else in the arena. */
struct pl_str schema_text(struct pl_str token, struct pl_arena *arena);

#endif
