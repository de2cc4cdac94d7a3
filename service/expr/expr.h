/* expr.h - expressions `${ ... }` and the templates they stand in. Not the running of jq (jq_pool)
 * and not what the roots hold (run_values). Compiled by workflow_parse, evaluated on the loop of
 * the run.
 *
 * A plain path (`.input.a.b[0]`, `.steps.x.output["k"]`) is evaluated in process; anything else is
 * a jq program that runs in a worker. A path starts at a root: .input, .steps.<id>.<field>, .state,
 * .run, .thread, and where they make sense .output, .error, .item, .index, .items, .turn,
 * .previous, .args, .candidates, .candidate and the names given with `as`; `$input`, `$steps`,
 * `$state`, `$run` are the same roots. After it: .name, ["name"], ."name", [n] (negative counts
 * from the end), or
 * [.index] with a root that is a number or string; each optionally followed by `?`. Missing
 * members, elements past the end and anything of null give null, as in jq; a member of a list or a
 * number, or an index into an object, is an expression_error unless `?` follows.
 *
 * A jq program sees one document that holds the roots it mentions, and no others: `.x` or `$x` at
 * the start of a path anywhere in it, also where a value of its own is meant. `.steps` needs an id
 * everywhere. */
#ifndef PLAIT_SERVICE_EXPR_EXPR_H
#define PLAIT_SERVICE_EXPR_EXPR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "service/workflow/doc.h"

struct step_def;

enum expr_root {
    EXPR_ROOT_INPUT,
    EXPR_ROOT_STEP, /* .steps.<id>.<field> */
    EXPR_ROOT_RUN,
    EXPR_ROOT_THREAD,
    EXPR_ROOT_OUTPUT, /* .output: the result that accept, key, score, until, writes look at */
    EXPR_ROOT_ERROR,  /* .error: what an `on_error.step` handles */
    EXPR_ROOT_STATE,  /* .state, .state.<channel> */
    EXPR_ROOT_ITEM,   /* of the innermost map */
    EXPR_ROOT_INDEX,
    EXPR_ROOT_ITEMS,      /* map with batch; collapse */
    EXPR_ROOT_AS,         /* .<as>: the item (or items) of the map that gave the name */
    EXPR_ROOT_AS_INDEX,   /* .<as>_index */
    EXPR_ROOT_TURN,       /* repeat */
    EXPR_ROOT_PREVIOUS,   /* repeat: {output, steps} of the turn before, null at first */
    EXPR_ROOT_ARGS,       /* a tool's do */
    EXPR_ROOT_CANDIDATES, /* judge */
    EXPR_ROOT_CANDIDATE,  /* score: a step */
    EXPR_ROOT__COUNT
};

enum expr_step_field {
    EXPR_STEP_ALL, /* .steps.x alone: an object of all the fields */
    EXPR_STEP_OUTPUT,
    EXPR_STEP_STATUS,
    EXPR_STEP_ERROR,
    EXPR_STEP_USAGE,
    EXPR_STEP_JOIN,
};

struct state_channel;

/* One mention of something outside the expression. */
struct expr_ref {
    enum expr_root root;
    struct pl_str name;          /* STEP: the id as written; AS, AS_INDEX: the name given with `as`;
                                    STATE: the channel, empty: all of them */
    const struct step_def *step; /* STEP: set once by workflow_check, never NULL after it; AS,
                                    AS_INDEX: the map that gave the name, set when parsed */
    enum expr_step_field field;  /* STEP */
    const struct state_channel *channel; /* STATE with a name: set by workflow_check */
};

struct expr_segment {
    struct pl_str name; /* a member; absent ptr: an index */
    int64_t index;
    bool optional;        /* `?`: null instead of an error */
    struct expr *dynamic; /* [.index]: a path that gives a number or a string; else NULL */
};

enum expr_kind { EXPR_PATH, EXPR_JQ };

/* One compiled expression. Lives in the workflow's arena. */
struct expr {
    enum expr_kind kind;
    struct expr_ref *refs; /* PATH: refs[0] is what it starts at, those of dynamic segments follow;
                              JQ: all it mentions, no duplicates */
    size_t n_refs;
    struct expr_segment *segments; /* PATH: what follows the root (and the field, the channel) */
    size_t n_segments;
    struct pl_str program; /* JQ: what stands between the braces */
    uint32_t jq_index;     /* JQ: in workflow->jq */
    /* JQ: a state reducer. Its document is {"left": value, "has_left": bool, "writes": [...]}, its
     * value the fold of the program over .left and .right (each write in turn; without a left the
     * first write is the left). */
    bool fold;
    struct pl_str text;          /* as written, for messages */
    const struct doc_node *node; /* where it stands */
    struct expr *next;           /* all expressions of one owner; see expr_sink */
};

/* Where values come from while an expression is evaluated. Every callback returns borrowed JSON
 * text that lives until the evaluation's owner drops it; an absent value is `null`. */
struct expr_scope {
    void *arg;
    /* A root other than STEP. Roots that do not exist where the expression stands were refused at
     * check. STATE without a channel: an object of those visible. */
    struct pl_str (*root)(void *arg, const struct expr_ref *ref);
    struct pl_str (*step)(void *arg, const struct step_def *step, enum expr_step_field field);
    /* The value of a jq expression, got before; NULL: there are none. One that is not there yet is
     * noted by the callback, which gives null for it and OK: the whole is evaluated again later. Of
     * an error it says why; expr_eval puts the expression in front. */
    enum pl_code (*jq)(void *arg, const struct expr *expr, struct pl_str *ret_json,
                       struct pl_err *err);
};

/* Appends the document the jq programs `exprs` see: the members they mention, nothing else.
 * Errors: TOO_LARGE (the buffer's cap); NO_MEMORY. */
enum pl_code expr_write_document(const struct expr *const *exprs, size_t n_exprs,
                                 const struct expr_scope *scope, struct pl_buf *out,
                                 struct pl_err *err) PL_MUST_CHECK;

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

/* The roots that exist where an expression stands. */
struct expr_names {
    unsigned roots;           /* bit mask: 1u << enum expr_root */
    const struct expr_as *as; /* names given with `as` by the maps around it, innermost first */
    bool fold; /* a state reducer: .left and .right, and no others; the result has `fold` set */
};
struct expr_as {
    struct pl_str name;
    const struct step_def *map;
    const struct expr_as *outer;
};

/* Compiles the value at `node`, expressions into `sink`. Problems go to `problems`, and the result
 * is NULL when there was one (or the arena failed). */
struct template *template_compile(struct pl_arena *arena, const struct doc_node *node,
                                  struct expr_names names, struct expr_sink *sink,
                                  struct doc_problems *problems);

/* Compiles a string that must be exactly one expression, for `when`, `accept`, ...; NULL with a
 * problem when not. */
struct expr *expr_compile(struct pl_arena *arena, const struct doc_node *node,
                          struct expr_names names, struct expr_sink *sink,
                          struct doc_problems *problems);

/* Reports that jq does not compile the program of `expr`, for the reason in `err` (see
 * workflow_env.check_jq), at its place and with a hint where the mistake is a common one. */
void expr_jq_problem(const struct expr *expr, const struct pl_err *err,
                     struct doc_problems *problems);

/* "input", "steps", ...; of names given with `as` "". And "output", ... of a step's fields. */
const char *expr_root_name(enum expr_root root);
const char *expr_field_name(enum expr_step_field field);

/* True when something in it is a jq expression. */
bool template_has_jq(const struct template *template);

/* The value of one expression: borrowed from the scope, or a piece of it.
 * Errors: EXPRESSION_ERROR with the expression and why; what scope->jq gives (EXPRESSION_LIMIT). */
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
