/* expr_parse.h - what the files that compile the inside of one `${ ... }` share: expr_parse.c (the
 * whole), expr_path.c (plain paths), expr_jq.c (what a jq program mentions), expr_roots.c (names
 * and messages about them); and template.c, which calls them. Others use expr.h. */
#ifndef PLAIT_SERVICE_EXPR_EXPR_PARSE_H
#define PLAIT_SERVICE_EXPR_EXPR_PARSE_H

#include "service/expr/expr.h"

/* What a compilation works with: see template_compile. */
struct expr_context {
    struct pl_arena *arena;
    struct expr_names names;
    struct expr_sink *sink;
    struct doc_problems *problems;
};

/* Compiles what stands between the braces of an expression at `node`. NULL with a problem (or a
 * failed arena). */
struct expr *expr_parse(struct expr_context *context, const struct doc_node *node,
                        struct pl_str program);

/* One expression on its way. */
struct expr_job {
    struct expr_context *context;
    const struct doc_node *node;
    struct pl_str text; /* without the space around it */
    char excerpt[DOC_EXCERPT];
};

/* ---- characters and literals, as jq has them ---- */

static inline bool expr_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool expr_is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool expr_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool expr_is_name(char c)
{
    return expr_is_name_start(c) || expr_is_digit(c);
}

static inline const char *expr_skip_space(const char *p, const char *end)
{
    while (p < end && expr_is_space(*p))
        p++;
    return p;
}

/* The name that begins at `p` (empty: none). */
struct pl_str expr_name_at(const char *p, const char *end);
/* The string that begins with the quote at `p`, decoded; what follows it is returned. NULL when it
 * has no end, is no JSON string or is put together with `\( )`. */
const char *expr_string_at(const char *p, const char *end, struct pl_arena *arena,
                           struct pl_str *ret);

/* ---- names (expr_roots.c) ---- */

enum expr_found {
    EXPR_FOUND,     /* *ret has it */
    EXPR_FREE,      /* it exists here but is nothing of the run: .left and .right of a reducer */
    EXPR_ELSEWHERE, /* it exists in the language, not here */
    EXPR_UNKNOWN,
};
/* Looks up `.name`, or `$name` when `variable`. Fills root, name and (AS, AS_INDEX) step of *ret.
 */
enum expr_found expr_find_root(const struct expr_names *names, struct pl_str name, bool variable,
                               struct expr_ref *ret);
/* True when an expression that begins with the bare word was meant to begin with `.word`. */
bool expr_lacks_point(struct pl_str word);
/* The field of a step by its name; false when there is none of this name. */
bool expr_find_field(struct pl_str name, enum expr_step_field *ret);

/* Problems; all return false. */
bool expr_refuse_root(struct expr_job *job, struct pl_str name, bool variable,
                      enum expr_found found);
bool expr_refuse_nameless(struct expr_job *job); /* a path that begins with an index */
/* .steps without an id; `member`: it may have been meant as a member of something else */
bool expr_refuse_steps(struct expr_job *job, bool variable, bool member);
bool expr_refuse_step_field(struct expr_job *job, struct pl_str name);
bool expr_refuse_environment(struct expr_job *job);
/* False, with a problem, when the root has a fixed set of fields and `name` is none of them. */
bool expr_check_field(struct expr_job *job, enum expr_root root, struct pl_str name);

/* ---- plain paths (expr_path.c) ---- */

/* A path as written: nothing in it is looked up yet. */
struct expr_path {
    struct pl_str text;
    struct expr_segment *segments; /* the first is the root */
    size_t count;
    bool variable; /* the root is written `$name` */

    struct expr *expr;              /* of a path that is an index: the expression in the segment */
    struct expr_path *inner, *next; /* the paths that are indexes of this one, in order */
    size_t n_inner;
};
/* False when `text` is no plain path (or the arena failed). */
bool expr_path_read(struct pl_arena *arena, struct pl_str text, struct expr_path *ret);

/* ---- jq programs (expr_jq.c) ---- */

/* Fills expr->refs with what the program mentions. False with a problem (or a failed arena). */
bool expr_jq_scan(struct expr_job *job, struct expr *expr);

#endif
