/* schema_node.h - a compiled schema. Private to service/schema*.c; immutable once compiled, in the
 * arena of whoever had it compiled. */
#ifndef PLAIT_SERVICE_SCHEMA_NODE_H
#define PLAIT_SERVICE_SCHEMA_NODE_H

#include "base/buf.h"
#include "service/schema.h"
#include "service/schema_pattern.h"

enum {
    SCHEMA_COUNT = 100000,     /* schemas in one document; more are refused */
    SCHEMA_IN_PLACE = 100,     /* schemas that apply to one value by way of each other ($ref, allOf,
                                  ...); more are refused */
    SCHEMA_DEPTH = 500,        /* schemas open at once while a value is checked */
    SCHEMA_FILLED = 16 << 20,  /* bytes of defaults added to one value */
    SCHEMA_TEXT = 128 << 20,   /* bytes of a schema that is written out */
    SCHEMA_FILL_DEPTH = 64,    /* defaults inside defaults */
    SCHEMA_WORK = 4000000,     /* units of work a check has in any case ... */
    SCHEMA_WORK_PER_BYTE = 32, /* ... and more for each byte of the value */
    SCHEMA_BYTES_A_UNIT = 64,  /* bytes read for one unit of work */
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

/* What all parts of one validation share. */
struct schema_shared {
    struct schema_matcher matcher; /* memory for patterns */
    struct pl_buf text;            /* a string without its escapes, while a pattern looks at it */
    uint64_t work;                 /* units left */
    const char *stopped;           /* why no answer is right any more; NULL: it is */
    bool no_memory;
};

enum { SCHEMA_REASON = 600 }; /* bytes, with the NUL */

/* What one validation works with. With neither problems nor reason only the answer is wanted. */
struct schema_check {
    struct pl_arena *arena;
    struct doc_problems *problems; /* NULL: the first fault is enough */
    char *reason;                  /* SCHEMA_REASON bytes for the first fault; NULL: not wanted */
    struct schema_shared *shared;
    unsigned depth; /* schemas open */
};

static inline bool schema_wants_words(const struct schema_check *check)
{
    return check->problems || (check->reason && !check->reason[0]);
}

/* Where a value stands in the input. */
struct schema_place {
    const struct schema_place *up; /* NULL at the root */
    struct pl_str key;             /* a raw key token; absent in a list */
    size_t index;
};

/* Which members or elements of one value a schema has looked at: what unevaluatedProperties and
 * unevaluatedItems leave out. */
struct schema_marks {
    uint64_t few[4], *bits; /* bits: few, or on the heap */
    size_t count;
};

/* Whether the value fits; what does not goes to the problems. `marks` (NULL: nobody asks) gets what
 * was looked at; after false it may hold anything. */
bool schema_fits(struct schema_check *check, const struct schema *schema, struct pl_str json,
                 const struct schema_place *place, struct schema_marks *marks);
/* The parts of it: see schema_values.c, schema_array.c, schema_object.c, schema_combine.c. */
bool schema_fits_type(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place);
bool schema_fits_enum(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      const struct schema_place *place);
bool schema_fits_const(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place);
bool schema_fits_number(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place);
bool schema_fits_string(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place);
bool schema_fits_array(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place, struct schema_marks *marks);
bool schema_fits_object(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place, struct schema_marks *marks);
bool schema_fits_combinations(struct schema_check *check, const struct schema *schema,
                              struct pl_str json, const struct schema_place *place,
                              struct schema_marks *marks);
/* unevaluatedItems and unevaluatedProperties, once everything else has marked. */
bool schema_fits_rest(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place,
                      struct schema_marks *marks);
/* Whether it fits, without problems and without what it marked when it does not. */
bool schema_fits_quietly(struct schema_check *check, const struct schema *schema,
                         struct pl_str json, const struct schema_place *place,
                         struct schema_marks *marks);
/* Whether the text matches; false also when memory or the work ran out, which the check notes. */
bool schema_matches(struct schema_check *check, const struct schema_pattern *pattern,
                    struct pl_str text);
enum schema_type schema_type_of(struct pl_str json);
/* Code points of a string token. */
size_t schema_length(struct pl_str token);

/* Takes units of work; false once there are none left. */
bool schema_work(struct schema_check *check, uint64_t units);
/* No answer will be right. Always false. */
bool schema_stop(struct schema_check *check, const char *why);

/* Marks for a value of `count` members; false, with nothing to finish, when memory or the work ran
 * out. */
bool schema_marks_init(struct schema_check *check, struct schema_marks *marks, size_t count);
void schema_marks_finish(struct schema_marks *marks);
static inline void schema_mark(struct schema_marks *marks, size_t index)
{
    if (marks && index < marks->count)
        marks->bits[index / 64] |= (uint64_t)1 << index % 64;
}
static inline bool schema_marked(const struct schema_marks *marks, size_t index)
{
    return marks->bits[index / 64] >> index % 64 & 1;
}

/* Adds a problem at a place, if problems are wanted. Always false. */
bool schema_report(struct schema_check *check, const struct schema_place *place, const char *fmt,
                   ...) PL_PRINTF(3, 4);

/* One whole check of `json`: PL_OK, INVALID_INPUT, NO_MEMORY. `problems` may be NULL. */
enum pl_code schema_validate(const struct schema *schema, struct pl_arena *arena,
                             struct pl_str json, struct doc_problems *problems);

/* `json` with the defaults of missing properties, in the arena; `json` itself when none was
 * missing. Absent when the arena failed, or with *ret_why when the defaults have no end. */
struct pl_str schema_fill(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          const char **ret_why);

#endif
