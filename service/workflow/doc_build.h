/* doc_build.h - puts a tree of doc_nodes together from a stream of keys, scalars, openings and
 * closings. Not a parser: doc_json and doc_yaml read the text and call this. Private to doc. */
#ifndef PLAIT_SERVICE_WORKFLOW_DOC_BUILD_H
#define PLAIT_SERVICE_WORKFLOW_DOC_BUILD_H

#include "base/limits.h"
#include "service/workflow/doc.h"

/* Text of all values, aliases expanded: what a document may come to. */
enum { DOC_EXPANDED_BYTES = 4 * PL_LIMIT_DOCUMENT_BYTES };

/* Where something stands, from 1; columns count bytes. */
struct doc_pos {
    unsigned line, column;
};

/* How large a finished value is, so that an alias can be refused before it is expanded. */
struct doc_extent {
    size_t nodes, bytes;
    unsigned height; /* levels of lists and objects; 0 for a scalar */
};

struct doc_frame {
    struct doc_node *node;
    size_t base; /* its first child in `pending` */
    size_t nodes_before, bytes_before;
    unsigned height; /* of the highest child */
    bool has_key;    /* an object: the key was read, its value comes next */
    struct pl_str key;
    struct doc_pos key_pos;
};

struct doc_builder {
    struct pl_arena *arena;
    struct doc_problems *problems;
    enum pl_code syntax; /* INVALID_JSON or INVALID_YAML */
    enum pl_code code;   /* why it stopped; OK while it goes on */
    bool refused;        /* something in it is refused, but the tree goes on */
    size_t nodes, bytes;
    struct doc_node **pending; /* children of the open values; heap */
    size_t n_pending, pending_capacity;
    struct doc_frame frames[PL_LIMIT_JSON_DEPTH];
    unsigned depth;
    struct doc_node *root;
};

void doc_builder_init(struct doc_builder *builder, struct pl_arena *arena,
                      struct doc_problems *problems, enum pl_code syntax);
/* Frees what is not in the arena. */
void doc_builder_finish(struct doc_builder *builder);
/* The open object or list, NULL at the top. */
struct doc_frame *doc_builder_frame(struct doc_builder *builder);
/* True when the open value is an object that waits for a key. */
bool doc_builder_wants_key(struct doc_builder *builder);
/* The key of the next value; `key` lives in the arena. */
void doc_builder_key(struct doc_builder *builder, struct pl_str key, struct doc_pos pos);
/* Adds a value where the builder stands. `text` lives in the arena. NULL when the builder has
 * stopped. */
struct doc_node *doc_builder_add(struct doc_builder *builder, enum doc_type type,
                                 struct pl_str text, struct doc_pos pos);
/* Adds a list or object and goes inside. */
struct doc_node *doc_builder_open(struct doc_builder *builder, enum doc_type type,
                                  struct doc_pos pos);
/* Leaves the open value: looks for duplicate keys. */
void doc_builder_close(struct doc_builder *builder, struct doc_extent *ret_extent);
/* Adds a copy of a finished value of the given extent. */
struct doc_node *doc_builder_copy(struct doc_builder *builder, const struct doc_node *from,
                                  const struct doc_extent *extent, struct doc_pos pos);
/* Reports something the document may not have and goes on, so that all such are found at once. */
void doc_builder_refuse(struct doc_builder *builder, struct doc_pos pos, const char *fmt, ...)
    PL_PRINTF(3, 4);
/* Reports why reading cannot go on and stops. */
void doc_builder_fail(struct doc_builder *builder, enum pl_code code, struct doc_pos pos,
                      const char *fmt, ...) PL_PRINTF(4, 5);
/* What doc_parse answers, once the text is read. */
enum pl_code doc_builder_result(struct doc_builder *builder, struct doc_node **ret_root);

/* The two readers. `text` is within PL_LIMIT_DOCUMENT_BYTES. As doc_parse. */
enum pl_code doc_parse_json(struct pl_arena *arena, struct pl_str text, struct doc_node **ret_root,
                            struct doc_problems *problems);
/* *ret_unquoted: the failure is an expression that had to be quoted. */
enum pl_code doc_parse_yaml(struct pl_arena *arena, struct pl_str text, struct doc_node **ret_root,
                            struct doc_problems *problems, bool *ret_unquoted);

/* The one place where the core schema reads a plain scalar. STRING: it is none of the others;
 * *ret_text is set for BOOL and NUMBER (JSON text, in the arena). NULL, or why it is refused (.inf,
 * too many hex digits). */
const char *doc_resolve_plain(struct pl_arena *arena, struct pl_str plain, enum doc_type *ret_type,
                              struct pl_str *ret_text);

#endif
