/* workflow.h - a workflow as compiled: immutable, shared by every run of it. Not a run (run_core)
 * and not the document (doc). Made by workflow_compile, read by everything in service/, from any
 * thread.
 *
 * Words: a step is what stands under `steps` or as a branch; a scope is a set of steps that see
 * each other. A body is a set of steps that a run has as often as it needs: the top level (once),
 * `do` of a map (once an item), a turn of `repeat`. Steps are numbered in the order written, a step
 * before those inside it (index 0..n_steps-1), and again within their body (slot). */
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

enum step_kind {
    STEP_LLM,
    STEP_HTTP,
    STEP_PARALLEL,
    STEP_REDUCE,
    STEP_MAP,
    STEP_VOTE,
    STEP_WORKFLOW,
    STEP_AGENT,
    STEP_HUMAN,
    STEP_REPEAT,
    STEP_SLEEP,
    STEP__KINDS
};

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

/* A JSON Schema as written, and compiled. */
struct schema_use {
    struct schema *schema; /* NULL: none */
    struct pl_str json; /* the whole of it, references into `schemas` resolved: it stands alone */
    struct pl_str name; /* of `schemas`, or empty */
};

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
    struct schema_use schema;  /* structured output: the answer is JSON that fits it */
    unsigned repair;           /* times the model is asked again when it does not; default 1 */
    struct pl_str *fallback;   /* models tried in turn when `model` has failed for good */
    size_t n_fallback;
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

/* map: one branch per item. bodies[0] is `do`; bodies[1] `collapse.do`, when there is one. */
struct map_config {
    struct template *over; /* renders to a list */
    struct pl_str as;      /* empty: none */
    unsigned concurrency;  /* items under way at once; default 1,000 */
    unsigned batch;        /* items a branch, as .items; 0: one, as .item */
    unsigned fan_in;       /* of collapse; default 20; 0: no collapse */
};

enum vote_method {
    VOTE_MAJORITY,
    VOTE_WEIGHTED,
    VOTE_MEDIAN,
    VOTE_UNION,
    VOTE_JUDGE,
    VOTE_BEST_OF
};
enum vote_tie { VOTE_TIE_FIRST, VOTE_TIE_FAIL, VOTE_TIE_JUDGE };

/* vote: the same task many times or by many. With `of`, bodies[0] is it; with `among`,
 * bodies[0..n_among-1] are the branches in order. */
struct vote_config {
    unsigned samples;   /* of: n; 0: among */
    unsigned n_among;   /* among: how many */
    double *weights;    /* by branch; NULL: 1 each */
    struct expr *key;   /* over .output; NULL: the output itself */
    struct expr *score; /* best_of: over .output; NULL: score_body or none */
    enum vote_method method;
    enum vote_tie on_tie;
    double threshold; /* 0: none; below 1: a share of the counted; else votes */
    bool stop_early;
    int judge_body, score_body; /* indexes in bodies, -1: none */
};

/* workflow: a sub-workflow. bodies[0] is the root of `child`, or the inline steps. */
struct workflow_config {
    struct pl_str name;     /* as pinned, "name@version", or "name" of one without; empty: inline */
    struct workflow *child; /* by name: pinned; a reference of its own */
    struct template *input; /* NULL: {} by name, the enclosing input inline */
};

struct agent_tool {
    struct pl_str id, description;
    struct schema_use parameters; /* no schema: any object */
    unsigned body;                /* index in bodies */
};

/* agent: a model with tools in a loop. bodies[0] is one llm step that no document has: the model's
 * turn (it runs by `llm`, its messages are made by the run). bodies[1..] the tools' `do`. */
struct agent_config {
    struct llm_config *llm;
    struct agent_tool *tools;
    size_t n_tools;
    unsigned max_turns; /* default 10 */
};

/* human: waits for a person. */
struct human_config {
    struct template *ask;                /* text */
    struct template *data;               /* any value; NULL: none */
    struct schema_use schema;            /* of the answer */
    pl_ms timeout;                       /* 0: none. Waiting time, beside the step's own deadline */
    struct template *on_timeout_default; /* NULL: fail */
};

/* repeat: bodies[0] again and again. */
struct repeat_config {
    struct expr *until; /* over .output, .state and what the body's steps gave; NULL: until max */
    unsigned max;
    bool fail_on_max;
};

/* sleep: a durable timer. */
struct sleep_config {
    pl_ms duration;         /* 0: see below */
    struct template *until; /* renders to an RFC 3339 time, or to a duration when `for_duration` */
    bool for_duration;
};

/* ---- state ---- */

enum state_reducer {
    REDUCER_NONE, /* one write, or writes one after the other: the last one stands */
    REDUCER_APPEND,
    REDUCER_CONCAT,
    REDUCER_MERGE,
    REDUCER_SUM,
    REDUCER_MIN,
    REDUCER_MAX,
    REDUCER_UNIQUE,
    REDUCER_SORT,
    REDUCER_LAST,
    REDUCER_MESSAGES,
    REDUCER_PROGRAM, /* a jq program over .left and .right */
};

struct state_channel {
    struct pl_str name;
    const struct step_body *body; /* whose state it is */
    enum state_reducer reducer;
    struct expr *program;  /* REDUCER_PROGRAM: folds {"left","writes"}: see expr.h */
    struct pl_str initial; /* JSON; ptr NULL: the first write is stored as it is */
    const struct doc_node *node;
};

/* One entry of `writes`. */
struct step_write {
    const struct state_channel *channel;
    struct template *value; /* sees .output */
};

/* ---- bodies ---- */

enum body_role {
    BODY_ROOT,     /* the top level of a workflow, also one that is called by name */
    BODY_BRANCH,   /* do of a map, of and among of a vote: a branch of its owner's join */
    BODY_COLLAPSE, /* collapse.do */
    BODY_JUDGE,
    BODY_SCORE,
    BODY_TURN, /* a turn of repeat, the model's turn of an agent */
    BODY_TOOL,
    BODY_INLINE, /* steps of an inline workflow */
};

struct step_body {
    enum body_role role;
    const struct workflow *workflow;
    const struct step_def *owner; /* the step it stands in; NULL: ROOT */
    uint32_t index;               /* in workflow->bodies */
    unsigned number;              /* in owner->bodies */
    struct pl_str id; /* its part of a path where it has one (among, tool, "judge"); else empty */
    /* One step: its path is the instance's own ("reviews.17"), its end and output are the body's.
     * Else several, each with a name behind ("loop.2.draft"). */
    bool single;
    struct step_def **steps; /* all that stand in it and not in a body inside it; by slot */
    size_t n_steps;
    struct step_def **top; /* those that are in no other step of the body; in order */
    size_t n_top;
    bool settled;              /* ROOT: top-level join: settled */
    struct template *output;   /* NULL: the default */
    struct expr *output_exprs; /* those of `output`, and of `until` of a repeat, linked */
    struct step_def **sinks;   /* top steps nothing depends on: the default output */
    size_t n_sinks;
    struct schema_use output_schema;
    struct state_channel *channels; /* its own state */
    size_t n_channels;
    bool writes; /* a step in it, or in a body inside it, writes to a channel of an outer body */
};

/* One step. Immutable after check. */
struct step_def {
    uint32_t index; /* in the workflow */
    uint32_t slot;  /* in its body */
    struct step_body *body;
    struct pl_str id; /* "web"; of the one step of a single body: the body's word ("do", "judge") */
    struct pl_str path; /* "research.web", NUL behind; inside bodies with * for what a run numbers:
                           "reviews.*.summary" */
    struct pl_str tail; /* what it adds to the path of its instance: ".summary", or nothing; at the
                           top level the path itself; NUL behind */
    enum step_kind kind;
    const struct step_def *parent; /* the step it stands in, NULL at the top */
    bool is_handler;               /* it is its parent's on_error.step (its id is "on_error") */
    struct step_def **children;    /* PARALLEL: the branches, in order */
    size_t n_children;
    struct step_def *handler;  /* on_error.step, NULL: none */
    struct step_body **bodies; /* MAP, VOTE, WORKFLOW, AGENT, REPEAT; else none */
    size_t n_bodies;

    /* What it waits for: steps of its own body that its own expressions (not those of branches)
     * and `needs` name, that anything in its bodies names, and writers of the state it reads; no
     * duplicates. And the reverse. */
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
    struct join_policy join;           /* PARALLEL, MAP, VOTE */
    struct step_write *writes;
    size_t n_writes;
    struct pl_str description;
    union {
        struct llm_config *llm;
        struct http_config *http;
        struct reduce_config *reduce;
        struct map_config *map;
        struct vote_config *vote;
        struct workflow_config *workflow;
        struct agent_config *agent;
        struct human_config *human;
        struct repeat_config *repeat;
        struct sleep_config *sleep;
    } config;
    struct expr *exprs;          /* all its own expressions, linked by expr->next */
    const struct doc_node *node; /* where it stands, for messages */
};

struct workflow {
    atomic_uint refs;
    struct pl_arena *arena;          /* everything below lives in it, the document too */
    struct pl_str name, description; /* may be empty */
    struct pl_str text;              /* the definition as compact JSON: what is pinned. With
                                        children {"workflow": {...}, "children": {"name@3": ...}} */
    char hash[65];                   /* SHA-256 of text, hex */
    struct pl_str source;            /* the document alone, names as written: what is stored under a
                                        name; text itself without children */
    char source_hash[65];            /* SHA-256 of source, hex */
    struct schema *input_schema;     /* NULL: anything */
    pl_ms timeout;                   /* running time of a run; 0: none */
    struct step_def **steps;         /* all, by index */
    size_t n_steps;
    struct step_body *root;
    struct step_body **bodies; /* all of this workflow, the root first */
    size_t n_bodies;
    struct workflow **children; /* those it calls by name; references */
    size_t n_children;
    struct jq_program *jq; /* all its jq expressions; NULL: none */
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
    /* The text of the stored workflow `name` ("name" or "name@version"; in `arena`), and its
     * format. False when there is none: then writes what to do. NULL: there are no stored
     * workflows. Not asked for a child whose text the document already carries (pinned definitions
     * do). */
    bool (*find_workflow)(void *arg, struct pl_str name, struct pl_arena *arena,
                          struct pl_str *ret_text, enum doc_format *ret_format,
                          int64_t *ret_version, struct pl_err *err);
    /* Compiles jq programs to see whether they are sound: fills errors[i] of those that are not.
     * NULL: they are taken as they are. */
    enum pl_code (*check_jq)(void *arg, struct expr *const *exprs, size_t n_exprs,
                             struct pl_err *errors, struct pl_err *err);
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

/* "llm", "http", "parallel", "reduce", ... */
const char *step_kind_name(enum step_kind kind);
/* "all", "settled", "any", "quorum", "fraction". */
const char *join_kind_name(enum join_kind kind);
/* True for kinds that make one call or computation of their own (llm, http, reduce). */
bool step_kind_is_leaf(enum step_kind kind);
/* True for kinds with something inside that runs (parallel, map, vote, workflow, agent, repeat). */
bool step_kind_has_inside(enum step_kind kind);
/* True for kinds whose branches a join policy judges (parallel, map, vote). */
bool step_kind_joins(enum step_kind kind);

enum graph_format { GRAPH_MERMAID, GRAPH_DOT, GRAPH_JSON };
/* Appends the graph of the workflow: nodes, branches inside their parents, edges from `needs` and
 * expressions. */
void workflow_graph(const struct workflow *workflow, enum graph_format format, struct pl_buf *out);

#endif
