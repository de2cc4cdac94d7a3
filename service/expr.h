/* expr.h - expressions `${ ... }` and the templates they stand in. Not jq: this version runs plain
 * paths
 * (`.input.a.b[0]`, `.steps.x.output["k"]`) in process and refuses anything else when it is
 * compiled, with a message that says so. Compiled by workflow_parse, evaluated by run_values on the
 * loop of the run.
 *
 * A path starts at a root: .input, .steps.<id>.<field>, .run, .thread, and where they make sense
 * .output (accept) and .error (on_error.step); `$input`, `$steps`, `$run` are the same roots. After
 * it: .name, ["name"], ."name", [n] (negative counts from the end), each optionally followed by
 * `?`. Missing members, elements past the end and anything of null give null, as in jq; a member of
 * a list or a number, or an index into an object, is an expression_error unless `?` follows. */
#ifndef PLAIT_SERVICE_EXPR_H
#define PLAIT_SERVICE_EXPR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "service/doc.h"

struct step_def;

enum expr_root {
    EXPR_ROOT_INPUT,
    EXPR_ROOT_STEP, /* .steps.<id>.<field> */
    EXPR_ROOT_RUN,
    EXPR_ROOT_THREAD,
    EXPR_ROOT_OUTPUT, /* .output: the result an `accept` looks at */
    EXPR_ROOT_ERROR,  /* .error: what an `on_error.step` handles */
};

enum expr_step_field {
    EXPR_STEP_ALL, /* .steps.x alone: an object of all the fields */
    EXPR_STEP_OUTPUT,
    EXPR_STEP_STATUS,
    EXPR_STEP_ERROR,
    EXPR_STEP_USAGE,
    EXPR_STEP_JOIN,
};

struct expr_segment {
    struct pl_str name; /* a member; absent ptr: an index */
    int64_t index;
    bool optional; /* `?`: null instead of an error */
};

/* One compiled path. Lives in the workflow's arena. */
struct expr {
    enum expr_root root;
    struct pl_str step_id;       /* EXPR_ROOT_STEP: as written */
    const struct step_def *step; /* set once by workflow_check, after which it is never NULL */
    enum expr_step_field field;
    struct expr_segment *segments; /* what follows the root (and the field) */
    size_t n_segments;
    struct pl_str text;          /* as written, for messages */
    const struct doc_node *node; /* where it stands */
    struct expr *next;           /* all expressions of one owner; see expr_sink */
};

/* Where values come from while an expression is evaluated. Every callback returns borrowed JSON
 * text that lives until the evaluation's owner drops it; an absent value is `null`. */
struct expr_scope {
    void *arg;
    /* A root other than STEP. Roots that do not exist where the expression stands were refused at
     * check. */
    struct pl_str (*root)(void *arg, enum expr_root root);
    struct pl_str (*step)(void *arg, const struct step_def *step, enum expr_step_field field);
};

/* Gathers every expression compiled for one owner (a step, the output), in order. */
struct expr_sink {
    struct expr *first, **last; /* init with expr_sink_init */
};
void expr_sink_init(struct expr_sink *sink);

/* ---- templates ---- */

enum template_kind { TEMPLATE_CONST, TEMPLATE_EXPR, TEMPLATE_TEXT, TEMPLATE_LIST, TEMPLATE_OBJECT };

/* Any JSON value with expressions in its strings. Lives in the workflow's arena, read-only. */
struct template
{
    enum template_kind kind;
    struct pl_str json;          /* CONST: the value; TEXT part that is literal: see parts */
    struct expr *expr;           /* EXPR: a string that is one expression keeps the JSON type */
    struct template_part *parts; /* TEXT: literal text and expressions in turn */
    struct template **items;     /* LIST, OBJECT */
    struct pl_str *keys;         /* OBJECT: as JSON string tokens */
    size_t count;                /* of parts or items */
    const struct doc_node *node;
};

struct template_part {
    struct pl_str literal; /* decoded text, when expr is NULL */
    struct pl_str escaped; /* the same as it stands inside a JSON string, without quotes */
    struct expr *expr;
};

/* Compiles the value at `node`, expressions into `sink`. `roots` is a bit mask (1u << enum
 * expr_root) of the roots that exist there. Problems go to `problems`, and the result is NULL when
 * there was one (or the arena failed). */
struct template *template_compile(struct pl_arena *arena, const struct doc_node *node,
                                  unsigned roots, struct expr_sink *sink,
                                  struct doc_problems *problems);

/* Compiles a string that must be exactly one expression, for `when`, `accept`, ...; NULL with a
 * problem when not. */
struct expr *expr_compile(struct pl_arena *arena, const struct doc_node *node, unsigned roots,
                          struct expr_sink *sink, struct doc_problems *problems);

/* The value of one expression: borrowed from the scope, or a piece of it.
 * Errors: EXPRESSION_ERROR with the expression and why. */
enum pl_code expr_eval(const struct expr *expr, const struct expr_scope *scope,
                       struct pl_str *ret_json, struct pl_err *err) PL_MUST_CHECK;

/* Appends the value as JSON. Errors: EXPRESSION_ERROR; TOO_LARGE (the buffer's cap); NO_MEMORY. */
enum pl_code template_write_json(const struct template *template, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

/* Appends the value as text: strings raw, null as nothing, other values as compact JSON. Errors:
 * the same. */
enum pl_code template_write_text(const struct template *template, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

#endif
