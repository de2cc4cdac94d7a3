/* schema_compile.h - what the compiling files of schemas share. Private to schema_compile.c,
 * schema_keywords.c, schema_members.c and schema_refs.c. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_COMPILE_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_COMPILE_H

#include "base/map.h"
#include "service/schema/schema_check.h"

/* Where schemas are found. */
struct schema_index {
    struct pl_map *nodes; /* by the address of its doc_node: struct schema */
    struct pl_map *ids;   /* by absolute URI: struct schema_resource */
};

struct schema_library {
    struct schema_index index;
    struct pl_map *names; /* struct schema_entry */
    const char **words;   /* the names, NULL behind: for messages */
    bool fills;           /* there is a default in it */
    bool broken;          /* problems were found: nothing of it may be used on a value */
};

struct schema_entry {
    struct schema_document document;
    const struct schema_resource *resource; /* the whole of it */
    struct schema *schema;
};

/* A `$ref` whose target is looked up when everything has been read. */
struct schema_pending {
    struct schema *schema;
    const struct doc_node *value;
    const struct schema_resource *resource;
    struct schema_pending *next;
};

struct schema_fallback { /* a `default`, to be checked at the end */
    const struct schema *schema;
    const struct doc_node *node;
    struct schema_fallback *next;
};

struct schema_compiler {
    struct pl_arena *arena;
    struct doc_problems *problems;
    size_t before;                        /* problems that were there */
    const struct schema_library *library; /* NULL: none */
    struct schema_index *index;           /* of what is compiled; may be the library's */
    struct schema_document *document;     /* being read */
    struct schema_resource *resource;     /* being read */
    struct schema *schemas;               /* all, by `next` */
    size_t count;
    struct schema_pending *pending, **last_pending;
    struct schema_fallback *fallbacks;
    struct schema_limits limits; /* of all checks of defaults together */
};

typedef void schema_keyword(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value);

/* The schema at a node. Always gives one, so that what is around it can be looked at too; NULL when
 * the arena failed. */
struct schema *schema_compile_node(struct schema_compiler *compiler, const struct doc_node *node);
/* Reads one member of a schema: schema_keywords.c. */
void schema_read_keyword(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *member);

/* Values of keywords; what is wrong with them is reported. */
bool schema_expect(struct schema_compiler *compiler, const struct doc_node *value,
                   enum doc_type type, const char *what);
void schema_take_count(struct schema_compiler *compiler, const struct doc_node *value, size_t *ret);
void schema_take_list(struct schema_compiler *compiler, const struct doc_node *value,
                      struct schema_list *ret);
const struct schema_pattern *schema_take_pattern(struct schema_compiler *compiler,
                                                 const struct doc_node *value, struct pl_str text);

/* Keywords of objects and lists: schema_members.c. */
schema_keyword schema_read_properties, schema_read_required, schema_read_additional,
    schema_read_pattern_properties, schema_read_property_names, schema_read_dependent_required,
    schema_read_dependent_schemas, schema_read_unevaluated_properties, schema_read_min_properties,
    schema_read_max_properties, schema_read_prefix_items, schema_read_items, schema_read_contains,
    schema_read_min_contains, schema_read_max_contains, schema_read_unevaluated_items,
    schema_read_min_items, schema_read_max_items, schema_read_unique_items;

/* References: schema_refs.c. */
schema_keyword schema_read_id, schema_read_anchor, schema_read_ref;
/* The resource that the schema at `node` stands in: a new one when it has an `$id`. */
struct schema_resource *schema_resource_at(struct schema_compiler *compiler,
                                           const struct doc_node *node);
/* Finds the targets of all `$ref`. */
void schema_link_refs(struct schema_compiler *compiler);
/* Refuses references that lead to themselves without going into the value. */
void schema_check_circles(struct schema_compiler *compiler);

#endif
