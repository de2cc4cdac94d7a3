/* workflow_steps.c - reads one step: which kind it is and the keys that stand on any step. Not what
 * stands under a kind (steps/<kind>_parse.c) and not references between steps (workflow_check.c).
 * Called by workflow_bodies for every step and by workflow_policy for handlers.
 *
 * A new kind is an enum value in workflow.h, a row in `kinds` and a parse function. */
#include "service/workflow/workflow_bodies.h"

#include "base/limits.h"

#define DURATION_HELP "a duration such as 250ms, 30s, 5m or 1h, or a number of seconds"

/* ---- kinds ---- */

struct kind_row {
    const char *key;
    enum step_kind kind;
    void (*parse)(struct wf_ctx *ctx, const struct doc_node *node);
};

static const struct kind_row kinds[] = {
    {.key = "llm", .kind = STEP_LLM, .parse = wf_parse_llm},
    {.key = "http", .kind = STEP_HTTP, .parse = wf_parse_http},
    {.key = "parallel", .kind = STEP_PARALLEL, .parse = wf_parse_parallel},
    {.key = "reduce", .kind = STEP_REDUCE, .parse = wf_parse_reduce},
    {.key = "map", .kind = STEP_MAP, .parse = wf_parse_map},
    {.key = "vote", .kind = STEP_VOTE, .parse = wf_parse_vote},
    {.key = "workflow", .kind = STEP_WORKFLOW, .parse = wf_parse_subworkflow},
    {.key = "agent", .kind = STEP_AGENT, .parse = wf_parse_agent},
    {.key = "human", .kind = STEP_HUMAN, .parse = wf_parse_human},
    {.key = "repeat", .kind = STEP_REPEAT, .parse = wf_parse_repeat},
    {.key = "sleep", .kind = STEP_SLEEP, .parse = wf_parse_sleep},
};

static const struct kind_row *find_kind(struct pl_str key)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++)
        if (pl_str_is(key, kinds[i].key))
            return &kinds[i];
    return NULL;
}

/* ---- keys on any step ---- */

static void step_description(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    ((struct step_def *)target)->description = node->text;
}

static void step_needs(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const struct step_def *step = target;

    for (size_t i = 0; i < node->count; i++)
        (void)wf_type(ctx, node->items[i], "needs", WF_STRING, "a list of ids of steps");
    ctx->p->steps[step->index].needs = node;
}

static void step_when(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct step_def *)target)->when =
        expr_compile(ctx->p->arena, node, ctx->names, &ctx->sink, ctx->p->problems);
}

static void step_timeout(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (ctx->kind_known && (ctx->step->kind == STEP_HUMAN || ctx->step->kind == STEP_SLEEP))
        wf_problem_key(ctx, node, "'timeout' is for calls; %s",
                       ctx->step->kind == STEP_HUMAN
                           ? "how long to wait for a person goes inside 'human'"
                           : "a sleep ends by itself, and 'deadline' can end it before");
    else
        (void)wf_duration(ctx, node, false, &((struct step_def *)target)->timeout);
}

static void step_deadline(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct step_def *)target)->deadline);
}

/* True when the step makes calls of its own, or nobody knows; else a problem. */
static bool makes_calls(struct wf_ctx *ctx, const struct doc_node *node)
{
    enum step_kind kind = ctx->step->kind;

    if (kind != STEP_REDUCE && (step_kind_is_leaf(kind) || kind == STEP_AGENT))
        return true;
    if (!ctx->kind_known)
        return true;
    if (kind == STEP_HUMAN || kind == STEP_SLEEP || kind == STEP_REDUCE)
        wf_problem_key(ctx, node, "a %s makes no call; remove %s", step_kind_name(kind),
                       node->key.ptr);
    else
        wf_problem_key(ctx, node, "a %s makes no call of its own; put %s on the %s",
                       step_kind_name(kind), node->key.ptr,
                       step_kind_joins(kind) ? "branches" : "steps inside");
    return false;
}

static void step_retry(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (makes_calls(ctx, node))
        wf_parse_retry(ctx, node, &((struct step_def *)target)->retry);
}

static void step_on_ambiguous(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"retry", "fail", NULL};
    size_t index;

    if (makes_calls(ctx, node) && wf_word(ctx, node, words, &index))
        ((struct step_def *)target)->on_ambiguous =
            index == 0 ? ON_AMBIGUOUS_RETRY : ON_AMBIGUOUS_FAIL;
}

static void step_budget(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_parse_budget(ctx, node, &((struct step_def *)target)->budget);
}

static const struct wf_field step_fields[] = {
    {.key = "description", .types = WF_TEXT, .help = "a text", .parse = step_description},
    {.key = "needs",
     .types = WF_LIST,
     .help = "a list of ids of steps, such as [plan]",
     .parse = step_needs},
    {.key = "when",
     .types = WF_STRING,
     .help = "an expression in quotes, such as \"${ .input.deep }\"",
     .parse = step_when},
    {.key = "timeout", .types = WF_DURATION, .help = DURATION_HELP, .parse = step_timeout},
    {.key = "deadline", .types = WF_DURATION, .help = DURATION_HELP, .parse = step_deadline},
    {.key = "retry",
     .types = WF_OBJECT,
     .help = "an object such as {attempts: 3}",
     .parse = step_retry},
    {.key = "on_error",
     .types = WF_STRING | WF_OBJECT,
     .help = "fail, continue, {default: value} or {step: {...}}",
     .parse = wf_parse_on_error},
    {.key = "on_ambiguous",
     .types = WF_STRING,
     .help = "retry or fail",
     .parse = step_on_ambiguous},
    {.key = "join",
     .types = WF_STRING | WF_OBJECT,
     .help = "all, settled, any, {quorum: k}, {fraction: f} or an object with policy",
     .parse = wf_parse_join},
    {.key = "writes",
     .types = WF_OBJECT,
     .help = "an object of channels and values such as {notes: \"${ .output }\"}",
     .parse = wf_parse_writes},
    {.key = "budget",
     .types = WF_OBJECT,
     .help = "an object such as {tokens: 20000, cost_usd: 0.50}",
     .parse = step_budget},
};

/* What other languages of workflows call a key of a step, and keys that stand elsewhere. */
static const struct {
    const char *said, *here;
} other_words[] = {
    {"if", "a condition is 'when'"},
    {"condition", "a condition is 'when'"},
    {"depends_on", "steps to wait for go into 'needs'"},
    {"after", "steps to wait for go into 'needs'"},
    {"foreach", "a step for each item is a 'map'"},
    {"for_each", "a step for each item is a 'map'"},
    {"loop", "turns until a condition are a 'repeat'"},
    {"while", "turns until a condition are a 'repeat'"},
    {"retries", "it is 'retry: {attempts: 3}'"},
    {"catch", "it is 'on_error'"},
    {"input", "a step reads what it needs by expressions, such as ${ .input.name }"},
    {"output", "what the run gives stands at the top; a step's value is made by a 'reduce'"},
    /* and what is ours, a level too far out */
    {"mcp", "it belongs inside 'agent'"},
    {"tools", "it belongs inside 'agent'"},
    {"max_turns", "it belongs inside 'agent'"},
    {"branches", "it belongs inside 'parallel'"},
    {"over", "it belongs inside 'map'"},
    {"do", "it belongs inside 'map'"},
    {"warm_up", "it belongs inside 'map' or 'parallel'"},
    {"samples", "it belongs inside 'vote'"},
    {"among", "it belongs inside 'vote'"},
    {"judge", "it belongs inside 'vote'"},
    {"until", "it belongs inside 'repeat' or 'sleep'"},
    {"accept", "it belongs inside 'join'"},
    {"losers", "it belongs inside 'join'"},
    {"quorum", "it belongs inside 'join'"},
    {"fraction", "it belongs inside 'join'"},
};

static const char *step_elsewhere(struct pl_str key)
{
    if (wf_is_llm_key(key))
        return "it belongs inside 'llm'";
    if (wf_is_http_key(key))
        return "it belongs inside 'http'";
    if (pl_str_is(key, "steps"))
        return "steps go inside 'workflow' or 'repeat'";
    for (size_t i = 0; i < PL_ARRAY_LEN(other_words); i++)
        if (pl_str_is(key, other_words[i].said))
            return other_words[i].here;
    return NULL;
}

static const struct wf_object step_object = {
    .what = "a step",
    .fields = step_fields,
    .n_fields = PL_ARRAY_LEN(step_fields),
    .step_kinds = true,
    .elsewhere = step_elsewhere,
};

bool wf_is_step_key(struct pl_str key)
{
    return wf_has_field(&step_object, key);
}

bool wf_is_kind(struct pl_str key)
{
    return find_kind(key) != NULL;
}

/* ---- one step ---- */

/* Finds the kind; a problem when there is not exactly one. NULL when there is none. */
static const struct kind_row *kind_of(struct wf_ctx *ctx, const struct doc_node *node)
{
    const struct kind_row *first = NULL;

    for (size_t i = 0; i < node->count; i++) {
        const struct kind_row *row = find_kind(node->items[i]->key);
        if (!row)
            continue;
        if (first) {
            wf_problem_key(ctx, node->items[i],
                           "a step has exactly one kind, and this one has '%s' already; make '%s' "
                           "a step of its own",
                           first->key, row->key);
            break;
        }
        first = row;
    }
    if (!first)
        wf_problem_key(ctx, node, "'%s' has no kind; give it exactly one of " WF_KINDS,
                       wf_show(ctx, node->key));
    return first;
}

static void set_defaults(struct wf_ctx *ctx)
{
    struct step_def *step = ctx->step;
    bool call = ctx->kind_known &&
                (step->kind == STEP_LLM || step->kind == STEP_HTTP || step->kind == STEP_AGENT);

    wf_retry_init(&step->retry);
    step->join.min = 1;
    if (ctx->kind_known && step->kind == STEP_VOTE)
        step->join.kind = JOIN_SETTLED;
    if (call) {
        step->retry = ctx->p->default_retry;
        step->timeout = ctx->p->default_timeout;
    }
}

/* A step inside that would have the path of the handler. */
static void refuse_handler_name(struct wf_ctx *ctx, const struct step_def *inside)
{
    if (inside && pl_str_eq(inside->id, ctx->step->handler->id))
        wf_problem_key(ctx, inside->node,
                       "a branch cannot be called 'on_error' beside an on_error step: both would "
                       "have one path; rename it");
}

static void check_handler_name(struct wf_ctx *ctx)
{
    const struct step_def *step = ctx->step;

    for (size_t i = 0; i < step->n_children; i++)
        refuse_handler_name(ctx, step->children[i]);
    for (size_t i = 0; i < step->n_bodies; i++) {
        const struct step_body *body = step->bodies[i];

        if (!body || body->role == BODY_TOOL || (body->role != BODY_BRANCH && body->single))
            continue;
        if (body->role == BODY_ROOT) {
            for (size_t k = 0; k < body->n_top; k++)
                if (pl_str_eq(body->top[k]->id, step->handler->id))
                    wf_problem_key(ctx, step->node,
                                   "the workflow '%s' has a step 'on_error', which would have the "
                                   "path of this step's on_error step; wrap it in a parallel",
                                   wf_show(ctx, step->config.workflow->name));
        } else if (body->role != BODY_TURN) {
            for (size_t k = 0; k < body->n_top; k++)
                refuse_handler_name(ctx, body->top[k]);
        }
    }
}

/* The model's turn of an agent and its requests to MCP servers follow the agent's own policies. A
 * tool of a server may change something, so whether to call it twice is as with http. */
static void finish_agent(struct step_def *step, bool ambiguous_given)
{
    for (size_t i = 0; i < step->n_bodies; i++) {
        const struct step_body *body = step->bodies[i];
        struct step_def *inside = body && body->n_top ? body->top[0] : NULL;

        if (!inside || (i > 0 && inside->kind != STEP_MCP))
            continue;
        inside->retry = step->retry;
        inside->timeout = step->timeout;
        inside->on_ambiguous = step->on_ambiguous;
        if (inside->kind == STEP_MCP && inside->config.mcp->listing)
            inside->on_ambiguous = ON_AMBIGUOUS_RETRY;
        else if (inside->kind == STEP_MCP && !ambiguous_given)
            inside->on_ambiguous = ON_AMBIGUOUS_FAIL;
    }
}

/* What depends on the whole step being read. */
static void finish_step(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct step_def *step = ctx->step;
    const struct doc_node *join = doc_get(node, "join");

    if (!ctx->kind_known)
        return;
    /* Whether a call may be made twice is unknown, so a request that may change something is not.
     */
    if (step->kind == STEP_HTTP && !doc_get(node, "on_ambiguous") && step->config.http &&
        !pl_str_is(step->config.http->method, "GET"))
        step->on_ambiguous = ON_AMBIGUOUS_FAIL;
    if (step->kind == STEP_AGENT)
        finish_agent(step, doc_get(node, "on_ambiguous") != NULL);
    if (step_kind_joins(step->kind) && join)
        wf_check_join(ctx, join);
    if (step->handler)
        check_handler_name(ctx);
}

static void read_step(struct wf_ctx *ctx, const struct doc_node *node)
{
    if (!wf_type(ctx, node, wf_show(ctx, node->key), WF_OBJECT,
                 "a step: an object with one of " WF_KINDS))
        return;
    const struct kind_row *kind = kind_of(ctx, node);
    if (kind) {
        ctx->kind_known = true;
        ctx->step->kind = kind->kind;
    }
    set_defaults(ctx);
    for (size_t i = 0; i < node->count; i++) {
        const struct kind_row *row = find_kind(node->items[i]->key);
        if (!row)
            wf_member(ctx, node->items[i], &step_object, ctx->step);
        else if (row == kind)
            kind->parse(ctx, node->items[i]);
    }
    ctx->step->exprs = ctx->sink.first;
    finish_step(ctx, node);
}

struct step_def *wf_parse_step(struct wf_ctx *outer, const struct doc_node *node,
                               struct wf_scope *scope, bool is_handler)
{
    struct step_def *step =
        wf_step_create(outer, node, is_handler ? PL_STR("on_error") : node->key, scope, is_handler);

    if (!step)
        return NULL;
    struct wf_ctx ctx = {
        .p = outer->p,
        .step = step,
        .scope = scope,
        .body = outer->body,
        .names = outer->names,
        .depth = outer->depth + 1,
    };
    if (is_handler)
        ctx.names.roots |= 1u << EXPR_ROOT_ERROR;
    expr_sink_init(&ctx.sink);
    if (!is_handler && !wf_id_ok(step->id))
        wf_problem_key(&ctx, node,
                       "'%s' is no id; use letters, digits and _, a letter or _ first, at most %d",
                       wf_show(&ctx, step->id), PL_LIMIT_NAME);
    if (ctx.depth > PL_LIMIT_STEP_DEPTH)
        wf_problem_key(&ctx, node, "steps stand at most %d deep inside each other",
                       PL_LIMIT_STEP_DEPTH);
    else
        read_step(&ctx, node);
    return step;
}
