/* doc.h - a YAML or JSON document as one immutable tree with positions. Not the meaning of the
 * document (workflow_parse, config) and not for values at run time (those stay text). Called by
 * whoever reads a file a person wrote.
 *
 * YAML is the 1.2 core schema (`on` and `yes` are strings; null, true, false, numbers as in JSON
 * plus 0x, 0o, .5), one document, string keys, duplicate keys refused, aliases expanded up to
 * PL_LIMIT_DOCUMENT_NODES, no tags but the core ones, no merge keys. */
#ifndef PLAIT_SERVICE_WORKFLOW_DOC_H
#define PLAIT_SERVICE_WORKFLOW_DOC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

enum doc_type { DOC_NULL, DOC_BOOL, DOC_NUMBER, DOC_STRING, DOC_LIST, DOC_OBJECT };
enum doc_format {
    DOC_AUTO,
    DOC_JSON,
    DOC_YAML
}; /* AUTO: JSON when the first character is { or [ and it parses as JSON */

struct pl_map;

/* One value. Everything lives in the arena of doc_parse and is read-only. */
struct doc_node {
    enum doc_type type;
    unsigned line, column;         /* of the value, from 1; columns count bytes */
    unsigned key_line, key_column; /* of its key, when it is a member */
    struct pl_str text; /* STRING: decoded, NUL behind; NUMBER: a JSON number; BOOL: true/false */
    struct pl_str key;  /* decoded, when it is a member of an object */
    size_t position;    /* among its siblings */
    bool refused;       /* a problem is reported for it already: checks add no other */
    const struct doc_node *parent; /* NULL at the root */
    struct doc_node **items;       /* LIST, OBJECT: in the order written */
    size_t count;
    struct pl_map *by_key; /* OBJECT of many members; private to doc_get */
};

/* Something wrong, with where. */
struct doc_problem {
    unsigned line, column; /* 0: unknown */
    const char *pointer;   /* JSON Pointer (RFC 6901); "" is the whole document */
    const char *message;   /* what, and what to do */
};

/* Problems in the order found; more than PL_LIMIT_PROBLEMS are only counted. Lives in its arena. */
struct doc_problems {
    struct pl_arena *arena;
    struct doc_problem *items;
    size_t count; /* kept in items */
    size_t total; /* all, also those not kept */
    /* What is allowed and most likely not meant; NULL: nobody asks. It has none of its own. */
    struct doc_problems *warnings;
};

void doc_problems_init(struct doc_problems *problems, struct pl_arena *arena);
/* Adds a problem at a node (its key's position when `at_key`). */
void doc_problem_at(struct doc_problems *problems, const struct doc_node *node, bool at_key,
                    const char *fmt, ...) PL_PRINTF(4, 5);
/* Adds one at a position with a pointer of its own. */
void doc_problem_add(struct doc_problems *problems, unsigned line, unsigned column,
                     const char *pointer, const char *fmt, ...) PL_PRINTF(5, 6);
/* Orders them by line, column. */
void doc_problems_sort(struct doc_problems *problems);
/* Adds copies of `from`, which need not last. */
void doc_problems_append(struct doc_problems *problems, const struct doc_problems *from);

enum { DOC_EXCERPT = 96 }; /* bytes of an excerpt, with its NUL */
/* A piece of user text for a message: one line, cut at a character. Returns `out`. */
const char *doc_excerpt(struct pl_str text, char out[static DOC_EXCERPT]);

/* Reads a document. On a syntax error returns the code with one problem added (line, column). A
 * text that can be read to its end but has something refused in it (duplicate keys, a foreign tag,
 * an expression that had to be quoted, ...) gives the code too, all such problems, and *ret_root as
 * well: a check may go on with it to report everything at once. *ret_root is untouched when there
 * is no tree. An empty YAML document is null. Errors: INVALID_JSON, INVALID_YAML, TOO_LARGE,
 * NO_MEMORY. */
enum pl_code doc_parse(struct pl_arena *arena, struct pl_str text, enum doc_format format,
                       struct doc_node **ret_root, struct doc_problems *problems) PL_MUST_CHECK;

/* The member of an object, NULL when absent or no object. */
const struct doc_node *doc_get(const struct doc_node *object, const char *key);
const struct doc_node *doc_get_str(const struct doc_node *object, struct pl_str key);
/* "a string", "a list", ...: for messages. */
const char *doc_type_name(enum doc_type type);
/* The JSON Pointer of a node, in the arena. */
const char *doc_pointer(struct pl_arena *arena, const struct doc_node *node);
/* Appends the value as compact JSON. */
void doc_write_json(const struct doc_node *node, struct pl_buf *out);
/* The same in an arena; absent (and the arena has failed) when out of memory. */
struct pl_str doc_json(struct pl_arena *arena, const struct doc_node *node);
/* The name in `names` (NULL-terminated) nearest to `word` by edit distance, NULL when none is near
 * enough. */
const char *doc_nearest(struct pl_str word, const char *const *names);
/* The name that `word` is most likely a slip of: one letter of four is wrong, two of eight, or the
 * case. NULL when there is none, also when nothing but digits differ. */
const char *doc_slip_of(struct pl_str word, const char *const *names);

#endif
