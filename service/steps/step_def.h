/* step_def.h - a step as compiled, the body it stands in, and the state both have. Not what stands
 * under its kind (step_config.h) and not its state in a run (run_node.h). Made by the parser, read
 * by the run. Included through workflow.h. Immutable, in the workflow's arena. */
#ifndef PLAIT_SERVICE_STEPS_STEP_DEF_H
#define PLAIT_SERVICE_STEPS_STEP_DEF_H

#include "service/steps/step_config.h"

struct workflow;

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
    BODY_TOOL, /* a call of a tool; without an id: of an MCP server's, by the name it has there */
    BODY_LISTING, /* what an MCP server of an agent offers */
    BODY_INLINE,  /* steps of an inline workflow */
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
    struct budget budget;      /* of all calls inside it; zeroes: none */
    struct retry_policy retry; /* leaf kinds only */
    enum on_error_kind on_error;
    struct template *on_error_default; /* ON_ERROR_DEFAULT */
    enum on_ambiguous on_ambiguous;    /* leaf kinds */
    struct join_policy join;           /* PARALLEL, MAP, VOTE */
    bool warm_up;                      /* PARALLEL, MAP: the first branch goes before the rest */
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
        struct mcp_config *mcp;
    } config;
    struct expr *exprs;          /* all its own expressions, linked by expr->next */
    const struct doc_node *node; /* where it stands, for messages */
};

#endif
