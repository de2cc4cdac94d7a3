/* step_config.h - what stands under each kind of step, compiled. Not the policies beside it
 * (step_policy.h) nor the step itself (step_def.h). Made by steps/<kind>_parse.c and
 * workflow_policy.c, read by the run and by steps/<kind>.c. Included through workflow.h. Immutable,
 * in the workflow's arena. */
#ifndef PLAIT_SERVICE_STEPS_STEP_CONFIG_H
#define PLAIT_SERVICE_STEPS_STEP_CONFIG_H

#include "base/clock.h"
#include "base/str.h"
#include "service/expr/expr.h"
#include "service/schema/schema.h"
#include "service/steps/step_policy.h"

struct workflow;

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
    STEP_MCP, /* no document has it: a request of an agent to an MCP server */
    STEP__KINDS
};

/* A JSON Schema as written, and compiled. */
struct schema_use {
    struct schema *schema; /* NULL: none */
    struct pl_str json; /* the whole of it, references into `schemas` resolved: it stands alone */
    struct pl_str name; /* of `schemas`, or empty */
};

enum { HEDGE_MAX = 4 };

/* `hedge:`. A call that is late to begin its answer is sent again beside the first. */
struct hedge_policy {
    unsigned max; /* times at most, up to HEDGE_MAX; 0: never */
    pl_ms after;  /* 0: when it is later than 95 % of the answers of its model */
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
    pl_ms cache_ttl; /* how long an answer may be used again; 0: never */
    struct hedge_policy hedge;
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
    struct pl_str auth_secret; /* name of a secret that goes along; empty: none */
    struct pl_str auth_header; /* which carries it as it is; empty: `Authorization: Bearer` */
    const struct doc_node *auth_node;
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

enum { AGENT_TOOLS_MAX = 128 }; /* own and those of MCP servers: what providers take */

/* An MCP server whose tools an agent may call. */
struct agent_mcp {
    struct template *url;   /* renders to text */
    struct pl_str url_text; /* as written, for people */
    struct pl_str *tools;   /* the names of those that are offered; n_tools 0: all */
    size_t n_tools;
    struct pl_str auth_secret, auth_header; /* as under http */
    const struct doc_node *auth_node;
    pl_ms timeout; /* of one request, handshake and pages included; 0: the default */
    bool required; /* the agent fails when its tools cannot be listed; else the model is told */
};

/* agent: a model with tools in a loop. bodies[0] is one llm step that no document has: the model's
 * turn (it runs by `llm`, its messages are made by the run). bodies[1..] the tools' `do`. With MCP
 * servers two more, each with one step of kind mcp: a listing for each server, and the calls. */
struct agent_config {
    struct llm_config *llm;
    struct agent_tool *tools;
    size_t n_tools;
    struct agent_mcp *mcp;
    size_t n_mcp;
    unsigned listing_body, call_body; /* indexes in bodies, where n_mcp > 0 */
    unsigned max_turns;               /* default 10 */
};

/* mcp: one request to an MCP server. Which server and which tool is in the value of its frame. */
struct mcp_config {
    const struct agent_config *agent;
    bool listing; /* asks what tools there are; else calls one */
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

#endif
