/* workflow.h - a workflow as compiled: immutable, shared by every run of it. Not a run (run_core)
 * and not the document (doc). Made by workflow_compile, read by everything in service/, from any
 * thread.
 *
 * Words: a step is what stands under `steps` or as a branch; a scope is a set of steps that see
 * each other. Steps are numbered in the order written, a step before those inside it (index
 * 0..n_steps-1). */
#ifndef PLAIT_SERVICE_WORKFLOW_H
#define PLAIT_SERVICE_WORKFLOW_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "service/doc.h"
#include "service/expr.h"
#include "service/schema.h"

#include <stdatomic.h>

enum step_kind { STEP_LLM, STEP_HTTP, STEP_PARALLEL, STEP_REDUCE, STEP__KINDS };

enum join_kind { JOIN_ALL, JOIN_SETTLED, JOIN_ANY, JOIN_QUORUM, JOIN_FRACTION };

/* `join:`: when a set of branches is done, and what becomes of the rest. */
struct join_policy {
    enum join_kind kind;
    unsigned quorum;     /* QUORUM: k >= 1 */
    double fraction;     /* FRACTION: 0 < f <= 1; k = ceil(f * n), n without skipped branches */
    pl_ms deadline;      /* from the step's start; 0: none */
    unsigned min;        /* successes that suffice at the deadline for all and settled; default 1 */
    bool min_given;      /* then settled needs them without a deadline too */
    struct expr *accept; /* over .output; NULL: every success counts */
    bool drain;          /* losers: drain; else cancel */
};

/* `retry:`. `attempts` counts calls in all, the first included: 3 means two retries. */
struct retry_policy {
    unsigned attempts;  /* default 3 */
    pl_ms initial, max; /* default 500 ms, 30 s */
    double multiplier;  /* default 2 */
    double jitter;      /* share of the wait that is random, 0..1; default 1 (full jitter) */
    unsigned on;        /* bit mask of 1u << enum pl_retry_class; default all */
};

enum on_error_kind { ON_ERROR_FAIL, ON_ERROR_CONTINUE, ON_ERROR_DEFAULT, ON_ERROR_STEP };
enum on_ambiguous { ON_AMBIGUOUS_RETRY, ON_AMBIGUOUS_FAIL };

/* llm: one model call. Templates render to text unless said. */
struct llm_config {
    struct pl_str model; /* "provider/model", options of sim included; never empty after check */
    struct template *system;   /* NULL: none */
    struct template *messages; /* renders to a JSON list in the OpenAI shape; NULL: none */
    struct template *prompt;   /* the last user turn; NULL: none (then messages is there) */
    struct pl_str temperature; /* JSON number or empty */
    int64_t max_tokens;        /* 0: not given */
    struct pl_str seed;        /* JSON integer or empty */
    struct pl_str stop;        /* JSON list of strings or empty */
    struct template *extra;    /* renders to a JSON object passed to the provider; NULL: none */
};

struct http_header_template {
    struct pl_str name; /* a token, as written */
    struct template *value;
};

/* A range of HTTP statuses, both ends included. */
struct http_status_range {
    unsigned low, high;
};

/* http: one request. */
struct http_config {
    struct pl_str method; /* upper case; default GET, POST with a body */
    struct template *url;
    struct http_header_template *headers;
    size_t n_headers;
    struct http_header_template *query; /* appended to the URL, encoded; null values are left out */
    size_t n_query;
    struct template *json; /* at most one of json and body; NULL: none */
    struct template *body;
    struct http_status_range *expect; /* default 200..299 */
    size_t n_expect;
};

enum reduce_with {
    REDUCE_VALUE, /* the template as it is */
    REDUCE_APPEND,
    REDUCE_MERGE,
    REDUCE_CONCAT,
    REDUCE_SUM,
    REDUCE_MIN,
    REDUCE_MAX,
    REDUCE_UNIQUE,
    REDUCE_SORT,
    REDUCE_COUNT,
};

/* reduce: pure computation. With {from, with}, `from` renders to a list (append, count, ... of its
 * elements). */
struct reduce_config {
    enum reduce_with with;
    struct template *from;
};

/* One step. Immutable after check. */
struct step_def {
    uint32_t index;
    struct pl_str id;   /* "web" */
    struct pl_str path; /* "research.web", NUL behind */
    enum step_kind kind;
    const struct step_def *parent; /* the step it stands in, NULL at the top */
    bool is_handler;               /* it is its parent's on_error.step (its id is "on_error") */
    struct step_def **children;    /* PARALLEL: the branches, in order */
    size_t n_children;
    struct step_def *handler; /* on_error.step, NULL: none */

    /* What it waits for: steps of its own or an enclosing scope that its own expressions (not those
     * of steps inside it) and `needs` name; no duplicates. And the reverse. */
    struct step_def **deps;
    size_t n_deps;
    struct step_def **dependents;
    size_t n_dependents;

    struct expr *when;         /* NULL: always */
    pl_ms timeout, deadline;   /* 0: none */
    struct retry_policy retry; /* leaf kinds only */
    enum on_error_kind on_error;
    struct template *on_error_default; /* ON_ERROR_DEFAULT */
    enum on_ambiguous on_ambiguous;    /* leaf kinds */
    struct join_policy join;           /* PARALLEL */
    struct pl_str description;
    union {
        struct llm_config *llm;
        struct http_config *http;
        struct reduce_config *reduce;
    } config;
    struct expr *exprs;          /* all its own expressions, linked by expr->next */
    const struct doc_node *node; /* where it stands, for messages */
};

struct workflow {
    atomic_uint refs;
    struct pl_arena *arena;          /* everything below lives in it, the document too */
    struct pl_str name, description; /* may be empty */
    struct pl_str text;              /* the definition as compact JSON: what is pinned */
    char hash[65];                   /* SHA-256 of text, hex */
    struct schema *input_schema;     /* NULL: anything */
    struct schema *output_schema;
    bool settled;            /* top-level join: settled */
    pl_ms timeout;           /* running time of a run; 0: none */
    struct step_def **steps; /* all, by index */
    size_t n_steps;
    struct step_def **top; /* the top-level ones, in order */
    size_t n_top;
    struct template *output; /* NULL: the default */
    struct step_def **sinks; /* top-level steps nothing depends on: the default output */
    size_t n_sinks;
    const struct doc_node *document;
    struct pl_map *by_path; /* path -> struct step_def; private to workflow_find */
};

/* What a check may assume of the world: which providers exist. NULL callbacks accept everything. */
struct workflow_env {
    void *arg;
    struct pl_str model; /* not empty: every llm step calls this model, whatever the document says;
                            pinned with it */
    /* True when `provider/model` can be called; else writes why and what to do. */
    bool (*model_ok)(void *arg, struct pl_str model, struct pl_err *err);
};

/* Parses, checks and compiles. All problems at once go to `problems` (its arena may be another one
 * than the workflow's). Errors: INVALID_YAML, INVALID_JSON, TOO_LARGE, INVALID_WORKFLOW (see
 * problems), NO_MEMORY. On success one reference is yours. */
enum pl_code workflow_compile(struct pl_str text, enum doc_format format,
                              const struct workflow_env *env, struct workflow **ret_workflow,
                              struct doc_problems *problems) PL_MUST_CHECK;

struct workflow *workflow_ref(struct workflow *workflow);
void workflow_unref(struct workflow **workflow); /* nulls; accepts NULL */

/* The step at a path ("research.web"), NULL when there is none. */
const struct step_def *workflow_find(const struct workflow *workflow, struct pl_str path);

/* "llm", "http", "parallel", "reduce". */
const char *step_kind_name(enum step_kind kind);
/* "all", "settled", "any", "quorum", "fraction". */
const char *join_kind_name(enum join_kind kind);
/* True for kinds that make one call or computation of their own (llm, http, reduce). */
bool step_kind_is_leaf(enum step_kind kind);

enum graph_format { GRAPH_MERMAID, GRAPH_DOT, GRAPH_JSON };
/* Appends the graph of the workflow: nodes, branches inside their parents, edges from `needs` and
 * expressions. */
void workflow_graph(const struct workflow *workflow, enum graph_format format, struct pl_buf *out);

#endif
