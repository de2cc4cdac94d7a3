/* workflow_parse.h - what the files that turn a document into a workflow share. Not for anybody
 * else: callers use workflow.h. The way: workflow.c (compile) -> workflow_parse.c (top keys) ->
 * workflow_steps.c (a step) -> steps/<kind>_parse.c (what stands under its kind) ->
 * workflow_check.c (names, references, cycles).
 *
 * Nothing here stops at the first mistake: a reader adds a problem and goes on, and whoever began
 * looks at the count of problems at the end. Memory that outlives the compilation is in the
 * workflow's arena, the rest in `scratch`. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_PARSE_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_PARSE_H

#include "base/map.h"
#include "service/workflow/workflow.h"

struct wf_session;
struct wf_caller;
struct schema_library;

/* A set of names. Branches form one too, though they do not see each other: a name in it must not
 * hide an outer one, and a reference to one can be explained. */
struct wf_scope {
    struct wf_scope *outer;       /* NULL at the top */
    const struct step_def *owner; /* the step whose branches or steps these are; NULL at the top */
    bool branches;                /* they do not see each other */
    struct pl_map *names;         /* id -> struct step_def */
    struct step_def **steps;      /* the same in the order written */
    size_t n_steps;
};

/* What only the compilation needs to know of a step. */
struct wf_step {
    struct step_def *def;
    struct wf_scope *scope;           /* it stands in; a handler: that of the step it handles */
    bool named;                       /* its id is in `scope`; else nobody can refer to it */
    const struct doc_node *needs;     /* a list of strings, NULL: none */
    const struct doc_node *writes;    /* an object, its members in the order of def->writes */
    const struct doc_node *own_model; /* `model` of the step itself, NULL: none */
    const struct doc_node *fallback;  /* a list of strings, NULL: none */
    const struct doc_node *llm;       /* its `llm` or `agent`, NULL: none or not an object */
    struct llm_config *config;        /* of that */
    const struct doc_node **reasons;  /* by def->deps: where each was said */
};

/* What only the compilation needs to know of a body. */
struct wf_body {
    struct step_body *def;
    struct wf_scope *scope;  /* of its top steps; NULL: nothing was read */
    struct pl_map *channels; /* name -> struct state_channel; NULL: none */
};

/* One compilation. */
struct wf_parser {
    struct workflow *workflow;
    struct pl_arena *arena;   /* the workflow's */
    struct pl_arena *scratch; /* until the end of the compilation */
    struct doc_problems *problems;
    const struct workflow_env *env; /* may be NULL */
    struct wf_session *session;
    const struct wf_caller *caller; /* this workflow, as its children see it */
    struct workflow **children;     /* those it calls by name, each once; the session's */
    size_t n_children;
    struct schema_library *schemas; /* of `schemas`; NULL: nothing was read yet */
    const struct doc_node *root;
    struct wf_step *steps; /* by index */
    size_t n_steps, steps_capacity;
    bool too_many_steps; /* said once */

    const struct doc_node *default_model; /* a string, NULL: none */
    pl_ms default_timeout;
    struct retry_policy default_retry;
    struct wf_body *bodies; /* the root first */
    size_t n_bodies, bodies_capacity;
};

/* Where a reader stands: inside one step, or at the top level (step NULL). */
struct wf_ctx {
    struct wf_parser *p;
    struct step_def *step;
    bool kind_known; /* step->kind is what was written */
    struct wf_scope *scope;
    struct step_body *body;  /* the one it stands in */
    struct expr_names names; /* of expressions that exist here */
    unsigned depth;          /* steps around, this one included */
    struct expr_sink sink;   /* the expressions of this owner */
};

enum {
    WF_ROOTS = 1u << EXPR_ROOT_INPUT | 1u << EXPR_ROOT_STEP | 1u << EXPR_ROOT_RUN |
               1u << EXPR_ROOT_THREAD | 1u << EXPR_ROOT_STATE,

    WF_NULL = 1u << DOC_NULL,
    WF_BOOL = 1u << DOC_BOOL,
    WF_NUMBER = 1u << DOC_NUMBER,
    WF_STRING = 1u << DOC_STRING,
    WF_LIST = 1u << DOC_LIST,
    WF_OBJECT = 1u << DOC_OBJECT,
    WF_QUOTE = 1u << 16, /* a number or word without quotes may have been meant as text: say so */
    WF_TEXT = WF_STRING | WF_QUOTE,
    WF_DURATION = WF_NUMBER | WF_STRING,
    WF_SCALAR = WF_NULL | WF_BOOL | WF_NUMBER | WF_STRING,
    WF_ANY = WF_SCALAR | WF_LIST | WF_OBJECT,
};

/* ---- objects with known keys (workflow_fields.c) ---- */

/* One key. A row without `parse` is a key of the language that this version does not run: it is
 * refused by name. */
struct wf_field {
    const char *key;
    unsigned types; /* WF_...: what may stand there */
    const char
        *help; /* what that is, after "must be"; of a refused key: what to do instead, or NULL */
    void (*parse)(struct wf_ctx *ctx, const struct doc_node *node, void *target);
};

struct wf_object {
    const char *what; /* "a step", "retry": for messages */
    const struct wf_field *fields;
    size_t n_fields;
    bool step_kinds;              /* the step kinds are keys of it as well */
    const struct wf_object *also; /* whose fields are keys of it as well; may be NULL */
    /* Where a key unknown here does belong ("it belongs ..."), NULL when nowhere. Optional. */
    const char *(*elsewhere)(struct pl_str key);
    const char *example; /* of the whole, such as "{prompt: text}"; may be NULL */
};

/* Reads every member of an object by its row; a value of another type than object is a problem. */
void wf_object(struct wf_ctx *ctx, const struct doc_node *node, const struct wf_object *object,
               void *target);
/* Reads one member by its row. */
void wf_member(struct wf_ctx *ctx, const struct doc_node *member, const struct wf_object *object,
               void *target);
/* True when `key` is one of the rows. */
bool wf_has_field(const struct wf_object *object, struct pl_str key);
/* True when the value has one of `types`; else a problem "<name> must be <help>, not <type>". */
bool wf_type(struct wf_ctx *ctx, const struct doc_node *node, const char *name, unsigned types,
             const char *help);

/* Text of a person as it may stand in a message: control bytes replaced, cut when long. In scratch.
 */
const char *wf_show(struct wf_ctx *ctx, struct pl_str text);

/* The name nearest to a word. NULL when none is near, and when more problems are only counted: a
 * file with a million wrong words must not cost a million comparisons. */
const char *wf_nearest(struct wf_ctx *ctx, struct pl_str word, const char *const *names);

/* Problems at a value, or at its key. */
#define wf_problem(ctx, node, ...) doc_problem_at((ctx)->p->problems, (node), false, __VA_ARGS__)
#define wf_problem_key(ctx, node, ...) \
    doc_problem_at((ctx)->p->problems, (node), (node)->key_line != 0, __VA_ARGS__)

/* Values. False after a problem; *ret_x is set on success only. */
bool wf_duration(struct wf_ctx *ctx, const struct doc_node *node, bool zero_ok, pl_ms *ret_ms);
bool wf_count(struct wf_ctx *ctx, const struct doc_node *node, int64_t min, int64_t max,
              int64_t *ret_count);
bool wf_number(struct wf_ctx *ctx, const struct doc_node *node, double *ret_number);
/* `budget` of a workflow or step; `target` is a struct budget. (workflow_budget.c) */
void wf_parse_budget(struct wf_ctx *ctx, const struct doc_node *node, void *target);
/* The position of the word in `words` (NULL-terminated), a problem that lists them when it is none.
 */
bool wf_word(struct wf_ctx *ctx, const struct doc_node *node, const char *const *words,
             size_t *ret_index);
/* A template with the names that exist here. NULL after a problem or when the arena failed. */
struct template *wf_template(struct wf_ctx *ctx, const struct doc_node *node);
/* Text without expressions: true when there is no `${`; else a problem. */
bool wf_literal(struct wf_ctx *ctx, const struct doc_node *node);
/* True when the string is nothing but one expression, so that what it gives is not known yet. */
bool wf_is_expression(const struct template *template);

/* [A-Za-z_][A-Za-z0-9_]{0,63} and [a-z0-9][a-z0-9_-]{0,63}. */
bool wf_id_ok(struct pl_str id);
bool wf_name_ok(struct pl_str name);

/* ---- policies (workflow_policy.c) ---- */

/* The built-in retry policy. */
void wf_retry_init(struct retry_policy *retry);
/* `retry:` over what *target (struct retry_policy) holds, key by key. */
void wf_parse_retry(struct wf_ctx *ctx, const struct doc_node *node, void *target);
/* `join:` of a step (target: struct step_def). */
void wf_parse_join(struct wf_ctx *ctx, const struct doc_node *node, void *target);
/* What can only be said of a join when the branches are known. */
void wf_check_join(struct wf_ctx *ctx, const struct doc_node *join);
/* `on_error:` of a step (target: struct step_def). */
void wf_parse_on_error(struct wf_ctx *ctx, const struct doc_node *node, void *target);

/* ---- steps (workflow_steps.c, steps/<kind>_parse.c) ---- */

/* The kinds, for messages. */
#define WF_KINDS "llm, http, parallel, map, vote, reduce, workflow, agent, human, repeat, sleep"

/* Reads one step that stands inside outer->step (NULL: at the top). NULL when there are too many or
 * memory is out. */
struct step_def *wf_parse_step(struct wf_ctx *outer, const struct doc_node *node,
                               struct wf_scope *scope, bool is_handler);
/* True when a key is one of those on any step ("retry", "when", ...). */
bool wf_is_step_key(struct pl_str key);
/* True when a key is a kind of step ("llm", "map", ...). */
bool wf_is_kind(struct pl_str key);

/* One a kind: reads what stands under the kind's key into step->config. */
void wf_parse_llm(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_http(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_parallel(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_reduce(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_map(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_vote(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_subworkflow(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_agent(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_human(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_repeat(struct wf_ctx *ctx, const struct doc_node *node);
void wf_parse_sleep(struct wf_ctx *ctx, const struct doc_node *node);
/* The keys of `llm`, which `agent` has as well; reads an object that has them. */
extern const struct wf_object wf_llm_object;
void wf_read_llm(struct wf_ctx *ctx, const struct doc_node *node, const struct wf_object *object,
                 struct llm_config *llm);
/* `schema:` of an llm, agent or human step: a schema or the name of one. */
void wf_parse_schema(struct wf_ctx *ctx, const struct doc_node *node, struct schema_use *ret_use);
/* `auth:` of an http step or an MCP server (target: struct http_config). */
void wf_parse_auth(struct wf_ctx *ctx, const struct doc_node *node, void *target);
/* True when `key` is one under `llm` or `http`: to say where a misplaced one belongs. */
bool wf_is_llm_key(struct pl_str key);
bool wf_is_http_key(struct pl_str key);

/* ---- state (workflow_state.c) ---- */

/* `state:` of ctx->body. */
void wf_parse_state(struct wf_ctx *ctx, const struct doc_node *node);
/* `writes:` of a step (target: struct step_def). */
void wf_parse_writes(struct wf_ctx *ctx, const struct doc_node *node, void *target);

/* ---- the whole (workflow_parse.c, workflow_check.c) ---- */

void wf_parse_workflow(struct wf_parser *p);
/* Names, models, references; fills deps, dependents, sinks and the look-up by path. */
void wf_check(struct wf_parser *p);

/* ---- one model for all (workflow_model.c) ---- */

/* Writes `model` into `defaults` and into every llm step that names one. False when memory is out.
 */
bool wf_override_model(struct pl_arena *arena, struct doc_node *root, struct pl_str model);

#endif
