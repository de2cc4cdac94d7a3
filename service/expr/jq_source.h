/* jq_source.h - the one jq program that is made of several expressions and dispatches by index, and
 * what jq says when it does not compile. Not the running (jq_worker). Worker processes only: libjq
 * runs nowhere else.
 *
 * The program takes [index, document]. Every expression is a function of its own, because jq 1.6
 * refuses one that compiles to over 64 KiB and compiles a thousand one by one in 14 s. */
#ifndef PLAIT_SERVICE_EXPR_JQ_SOURCE_H
#define PLAIT_SERVICE_EXPR_JQ_SOURCE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <jq.h>

struct jq_source {
    struct pl_str text;
    bool fold; /* see expr.h */
};

/* The compiled program of `count` sources, the caller's to tear down; NULL when it does not compile
 * (or memory is out). `strict`: with more brackets around each than it will ever run in, so that
 * what passes stays sound in company. */
jq_state *jq_source_compile(const struct jq_source *sources, size_t count, bool strict);

/* Why one source does not compile, a short sentence: EXPRESSION_ERROR in `err`. */
void jq_source_explain(const struct jq_source *source, struct pl_err *err);

#endif
