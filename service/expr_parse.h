/* expr_parse.h - compiling the inside of one `${ ... }`. Private to expr_parse.c and template.c;
 * others use expr.h. */
#ifndef PLAIT_SERVICE_EXPR_PARSE_H
#define PLAIT_SERVICE_EXPR_PARSE_H

#include "service/expr.h"

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

#endif
