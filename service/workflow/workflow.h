/* workflow.h - a workflow as compiled: immutable, shared by every run of it. Not a run (run_core)
 * and not the document (doc). Made by workflow_compile, read by everything in service/, from any
 * thread.
 *
 * Words: a step is what stands under `steps` or as a branch; a scope is a set of steps that see
 * each other. A body is a set of steps that a run has as often as it needs: the top level (once),
 * `do` of a map (once an item), a turn of `repeat`. Steps are numbered in the order written, a step
 * before those inside it (index 0..n_steps-1), and again within their body (slot). */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "service/steps/step_def.h"
#include "service/workflow/doc.h"

#include <stdatomic.h>

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
    struct budget budget;            /* of all calls of a run; zeroes: none */
    bool budgeted;                   /* it has one, or a step in it, or a workflow it calls */
    struct step_def **steps;         /* all, by index */
    size_t n_steps;
    struct step_body *root;
    struct step_body **bodies; /* all of this workflow, the root first */
    size_t n_bodies;
    struct workflow **children; /* those it calls by name; references */
    size_t n_children;
    struct jq_program *jq;        /* all its jq expressions; NULL: none */
    struct doc_problems warnings; /* what was let pass; see workflow_env.advise */
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
    /* True when that model takes the parameter of an llm step ("seed"); else writes why not. */
    bool (*takes)(void *arg, struct pl_str model, const char *parameter, struct pl_err *err);
    /* True when it is known what `provider/model` costs: asked where `cost_usd` is to be kept. */
    bool (*priced)(void *arg, struct pl_str model);
    /* True when there is a secret of this name; else writes what to do. */
    bool (*secret_ok)(void *arg, struct pl_str name, struct pl_err *err);
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
    /* Hold paths against what schemas and kinds of steps say there is, and note what is most likely
     * not meant. For what somebody hands in now, not for what was accepted before: a run that is
     * under way must not end because a later check knows more. Workflows that are called by name
     * are looked at where they are handed in themselves. */
    bool advise;
};

struct jq_pool;
/* What a check_jq does: asks a pool, or (NULL) a worker that is ended afterwards. */
enum pl_code workflow_check_jq(struct jq_pool *pool, struct expr *const *exprs, size_t n_exprs,
                               struct pl_err *errors, struct pl_err *err) PL_MUST_CHECK;

/* Parses, checks and compiles. All problems at once go to `problems` (its arena may be another one
 * than the workflow's), warnings to those of `problems` if it has a list for them. Errors:
 * INVALID_YAML, INVALID_JSON, TOO_LARGE, INVALID_WORKFLOW (see problems), NO_MEMORY. On success one
 * reference is yours. */
enum pl_code workflow_compile(struct pl_str text, enum doc_format format,
                              const struct workflow_env *env, struct workflow **ret_workflow,
                              struct doc_problems *problems) PL_MUST_CHECK;

/* The first model that the workflow, or one it calls, may call and that has no price; empty: none.
 */
struct pl_str workflow_unpriced(const struct workflow *workflow,
                                bool (*priced)(void *arg, struct pl_str model), void *arg);

struct workflow *workflow_ref(struct workflow *workflow);
void workflow_unref(struct workflow **workflow); /* nulls; accepts NULL */

/* The step at a path ("research.web"), NULL when there is none. */
const struct step_def *workflow_find(const struct workflow *workflow, struct pl_str path);

/* "llm", "http", "parallel", "reduce", ... */
const char *step_kind_name(enum step_kind kind);
/* Can a document have it? Others are made of what it says. */
bool step_kind_is_written(enum step_kind kind);
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
