/* workflow_policy.c - reads `retry`, `join` and `on_error` of a step. Not what they do at run time:
 * run_core and join follow the structs of workflow.h. Called by workflow_steps (and, for
 * defaults.retry, by workflow_parse). */
#include "service/workflow/workflow_parse.h"

#include "base/limits.h"

enum {
    ATTEMPTS_MAX = 10000, /* far above sense: a typing mistake */
    MULTIPLIER_MAX = 1000,
};

#define DURATION_HELP "a duration such as 250ms, 30s, 5m or 1h, or a number of seconds"

/* ---- retry ---- */

void wf_retry_init(struct retry_policy *retry)
{
    *retry = (struct retry_policy){
        .attempts = 3,
        .initial = 500,
        .max = 30000,
        .multiplier = 2,
        .jitter = 1,
        .on = 1u << PL_RETRY_RATE_LIMIT | 1u << PL_RETRY_TIMEOUT | 1u << PL_RETRY_SERVER |
              1u << PL_RETRY_NETWORK | 1u << PL_RETRY_SCHEMA,
    };
}

static void retry_attempts(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, ATTEMPTS_MAX, &count))
        ((struct retry_policy *)target)->attempts = (unsigned)count;
}

static void retry_initial(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, true, &((struct retry_policy *)target)->initial);
}

static void retry_max(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, true, &((struct retry_policy *)target)->max);
}

static void retry_multiplier(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    double number;

    if (!wf_number(ctx, node, &number))
        return;
    if (number < 1 || number > (double)MULTIPLIER_MAX)
        wf_problem(ctx, node, "'multiplier' must be from 1 (always the same wait) to %d",
                   MULTIPLIER_MAX);
    else
        ((struct retry_policy *)target)->multiplier = number;
}

static void retry_jitter(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    double number;

    if (!wf_number(ctx, node, &number))
        return;
    if (number < 0 || number > 1)
        wf_problem(ctx, node, "'jitter' is the share of the wait that is random: from 0 to 1");
    else
        ((struct retry_policy *)target)->jitter = number;
}

static void retry_on(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const char *words[] = {
        pl_retry_class_name(PL_RETRY_RATE_LIMIT), pl_retry_class_name(PL_RETRY_TIMEOUT),
        pl_retry_class_name(PL_RETRY_SERVER),     pl_retry_class_name(PL_RETRY_NETWORK),
        pl_retry_class_name(PL_RETRY_SCHEMA),     NULL,
    };
    unsigned mask = 0;
    size_t index;

    if (node->count == 0) {
        wf_problem(ctx, node, "'on' names no kind of error; to call only once write attempts: 1");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        if (wf_word(ctx, node->items[i], words, &index))
            mask |= 1u << (PL_RETRY_RATE_LIMIT + index);
    ((struct retry_policy *)target)->on = mask;
}

static const char *retry_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'retry'" : NULL;
}

static const struct wf_field retry_fields[] = {
    {.key = "attempts",
     .types = WF_NUMBER,
     .help = "the number of calls in all, the first one included",
     .parse = retry_attempts},
    {.key = "initial", .types = WF_DURATION, .help = DURATION_HELP, .parse = retry_initial},
    {.key = "max", .types = WF_DURATION, .help = DURATION_HELP, .parse = retry_max},
    {.key = "multiplier",
     .types = WF_NUMBER,
     .help = "a number such as 2",
     .parse = retry_multiplier},
    {.key = "jitter", .types = WF_NUMBER, .help = "a number from 0 to 1", .parse = retry_jitter},
    {.key = "on",
     .types = WF_LIST,
     .help = "a list such as [rate_limit, timeout, server, network]",
     .parse = retry_on},
};

static const struct wf_object retry_object = {
    .what = "retry",
    .fields = retry_fields,
    .n_fields = PL_ARRAY_LEN(retry_fields),
    .elsewhere = retry_elsewhere,
};

void wf_parse_retry(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct retry_policy *retry = target;
    const struct doc_node *max = doc_get(node, "max");

    wf_object(ctx, node, &retry_object, retry);
    /* Only when one map says both: an `initial` over an inherited `max` is simply cut by it. */
    if (max && doc_get(node, "initial") && retry->max < retry->initial)
        wf_problem(ctx, max, "'max' is less than 'initial'; the wait grows from initial to max");
}

/* ---- join ---- */

struct join_reader {
    struct join_policy *join;
    unsigned policies; /* how many of policy, quorum, fraction were given */
};

static void join_quorum(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct join_reader *reader = target;
    int64_t count;

    reader->policies++;
    reader->join->kind = JOIN_QUORUM;
    reader->join->quorum = 1;
    if (wf_count(ctx, node, 1, PL_LIMIT_STEPS, &count))
        reader->join->quorum = (unsigned)count;
}

static void join_fraction(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct join_reader *reader = target;
    double number;

    reader->policies++;
    reader->join->kind = JOIN_FRACTION;
    reader->join->fraction = 1;
    if (!wf_number(ctx, node, &number))
        return;
    if (!(number > 0 && number <= 1))
        wf_problem(ctx, node, "'fraction' must be more than 0 and at most 1: 0.9 is nine of ten");
    else
        reader->join->fraction = number;
}

static const struct wf_field share_fields[] = {
    {.key = "quorum",
     .types = WF_NUMBER,
     .help = "the number of branches that must succeed",
     .parse = join_quorum},
    {.key = "fraction",
     .types = WF_NUMBER,
     .help = "a number above 0 and up to 1",
     .parse = join_fraction},
};

static const struct wf_object share_object = {
    .what = "policy",
    .fields = share_fields,
    .n_fields = PL_ARRAY_LEN(share_fields),
};

static void join_word(struct wf_ctx *ctx, const struct doc_node *node, struct join_reader *reader)
{
    static const char *const words[] = {"all", "settled", "any", NULL};
    size_t index;

    reader->policies++;
    if (pl_str_is(node->text, "quorum") || pl_str_is(node->text, "fraction"))
        wf_problem(ctx, node, "'%s' needs a number; write {%s: %s}", node->text.ptr, node->text.ptr,
                   pl_str_is(node->text, "quorum") ? "2" : "0.9");
    else if (wf_word(ctx, node, words, &index))
        reader->join->kind = (enum join_kind)index; /* the words stand in the order of the enum */
}

static void join_policy(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct join_reader *reader = target;
    struct join_reader inner = {.join = reader->join};

    if (node->type == DOC_STRING) {
        join_word(ctx, node, reader);
        return;
    }
    reader->policies++;
    wf_object(ctx, node, &share_object, &inner);
    if (inner.policies != 1 && node->count != 1)
        wf_problem(ctx, node,
                   "'policy' must be one of all, settled, any, {quorum: k}, "
                   "{fraction: f}");
}

static void join_deadline(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct join_reader *)target)->join->deadline);
}

static void join_min(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct join_reader *reader = target;
    int64_t count;

    reader->join->min_given = true;
    if (wf_count(ctx, node, 0, PL_LIMIT_STEPS, &count))
        reader->join->min = (unsigned)count;
}

static void join_accept(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct expr_names names = ctx->names;

    names.roots |= 1u << EXPR_ROOT_OUTPUT;
    ((struct join_reader *)target)->join->accept =
        expr_compile(ctx->p->arena, node, names, &ctx->sink, ctx->p->problems);
}

static void join_losers(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"cancel", "drain", NULL};
    size_t index;

    if (wf_word(ctx, node, words, &index))
        ((struct join_reader *)target)->join->drain = index == 1;
}

static const char *join_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "all") || pl_str_is(key, "settled") || pl_str_is(key, "any"))
        return "write the policy as a word, join: all, or as {policy: all, ...}";
    return NULL;
}

static const struct wf_field join_fields[] = {
    {.key = "policy",
     .types = WF_STRING | WF_OBJECT,
     .help = "all, settled, any, {quorum: k} or {fraction: f}",
     .parse = join_policy},
    {.key = "quorum",
     .types = WF_NUMBER,
     .help = "the number of branches that must succeed",
     .parse = join_quorum},
    {.key = "fraction",
     .types = WF_NUMBER,
     .help = "a number above 0 and up to 1",
     .parse = join_fraction},
    {.key = "deadline", .types = WF_DURATION, .help = DURATION_HELP, .parse = join_deadline},
    {.key = "min",
     .types = WF_NUMBER,
     .help = "the number of successes that suffice at the deadline",
     .parse = join_min},
    {.key = "accept",
     .types = WF_STRING,
     .help = "an expression over .output in quotes",
     .parse = join_accept},
    {.key = "losers", .types = WF_STRING, .help = "cancel or drain", .parse = join_losers},
};

static const struct wf_object join_object = {
    .what = "join",
    .fields = join_fields,
    .n_fields = PL_ARRAY_LEN(join_fields),
    .elsewhere = join_elsewhere,
};

void wf_parse_join(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_def *step = target;
    struct join_reader reader = {.join = &step->join};

    if (!ctx->kind_known)
        return;
    if (!step_kind_joins(step->kind)) {
        wf_problem_key(ctx, node,
                       "'join' goes beside parallel, map or vote; one %s has nothing to join",
                       step_kind_name(step->kind));
        return;
    }
    if (node->type == DOC_STRING) {
        join_word(ctx, node, &reader);
        return;
    }
    wf_object(ctx, node, &join_object, &reader);
    if (reader.policies > 1)
        wf_problem(ctx, node, "a join has one policy; keep one of policy, quorum, fraction");
}

/* The node that says how many: under `join` itself or under its `policy`. */
static const struct doc_node *join_get(const struct doc_node *join, const char *key)
{
    const struct doc_node *node = doc_get(join, key);

    return node ? node : doc_get(doc_get(join, "policy"), key);
}

/* How many branches the step at hand has; false when only a run knows. */
static bool count_branches(const struct step_def *step, size_t *ret_count)
{
    *ret_count = step->n_children;
    if (step->kind == STEP_VOTE && step->config.vote)
        *ret_count =
            step->config.vote->n_among ? step->config.vote->n_among : step->config.vote->samples;
    return step->kind == STEP_PARALLEL || (step->kind == STEP_VOTE && *ret_count > 0);
}

static void check_map_join(struct wf_ctx *ctx, const struct doc_node *join)
{
    const struct map_config *map = ctx->step->config.map;

    if (!map || ctx->step->join.kind != JOIN_ANY)
        return;
    if (map->fan_in)
        wf_problem(ctx, join,
                   "a map that collapses puts all outputs together; the policy any takes one: "
                   "remove one of them");
    else if (map->batch)
        wf_problem(ctx, join,
                   "the policy any takes the output of one branch, which with 'batch' is a list; "
                   "remove one of them");
}

void wf_check_join(struct wf_ctx *ctx, const struct doc_node *join)
{
    const struct join_policy *policy = &ctx->step->join;
    const struct doc_node *quorum = join_get(join, "quorum");
    const struct doc_node *min = join_get(join, "min");
    size_t branches;
    bool known = count_branches(ctx->step, &branches);

    if (ctx->step->kind == STEP_MAP)
        check_map_join(ctx, join);
    if (known && policy->kind == JOIN_QUORUM && quorum && policy->quorum > branches)
        wf_problem(ctx, quorum, "a quorum of %u can never be met by %zu %s; lower it",
                   policy->quorum, branches, branches == 1 ? "branch" : "branches");
    if (!min)
        return;
    if (policy->kind != JOIN_ALL && policy->kind != JOIN_SETTLED)
        wf_problem_key(ctx, min, "'min' is for all and settled; %s already says how many it needs",
                       join_kind_name(policy->kind));
    else if (known && policy->min > branches)
        wf_problem(ctx, min, "'min' is %u, but there %s; lower it", policy->min,
                   branches == 1
                       ? "is only one branch"
                       : pl_arena_printf(ctx->p->scratch, "are only %zu branches", branches));
}

/* ---- on_error ---- */

static void on_error_default(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_def *step = target;

    step->on_error = ON_ERROR_DEFAULT;
    step->on_error_default = wf_template(ctx, node);
}

static void on_error_step(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_def *step = target;

    step->on_error = ON_ERROR_STEP;
    step->handler = wf_parse_step(ctx, node, ctx->scope, true);
}

static const struct wf_field on_error_fields[] = {
    {.key = "default",
     .types = WF_ANY,
     .help = "the output to go on with",
     .parse = on_error_default},
    {.key = "step",
     .types = WF_OBJECT,
     .help = "a step that runs instead, such as {llm: {prompt: ...}}",
     .parse = on_error_step},
};

static const char *on_error_elsewhere(struct pl_str key)
{
    static const char text[] = "the step that handles the error goes under 'step'";

    for (unsigned kind = 0; kind < STEP__KINDS; kind++)
        if (pl_str_is(key, step_kind_name((enum step_kind)kind)))
            return text;
    return wf_is_llm_key(key) || wf_is_http_key(key) ? text : NULL;
}

static const struct wf_object on_error_object = {
    .what = "on_error",
    .fields = on_error_fields,
    .n_fields = PL_ARRAY_LEN(on_error_fields),
    .elsewhere = on_error_elsewhere,
};

void wf_parse_on_error(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"fail", "continue"};
    struct step_def *step = target;

    if (node->type == DOC_STRING) {
        if (pl_str_is(node->text, "default") || pl_str_is(node->text, "step"))
            wf_problem(ctx, node, "'%s' needs a value; write {%s: ...}", node->text.ptr,
                       node->text.ptr);
        else if (pl_str_is(node->text, words[0]) || pl_str_is(node->text, words[1]))
            step->on_error = pl_str_is(node->text, words[0]) ? ON_ERROR_FAIL : ON_ERROR_CONTINUE;
        else
            wf_problem(ctx, node,
                       "'%s' is not known here; write fail, continue, {default: value} or "
                       "{step: {...}}",
                       wf_show(ctx, node->text));
        return;
    }
    wf_object(ctx, node, &on_error_object, step);
    bool has_default = doc_get(node, "default") != NULL, has_step = doc_get(node, "step") != NULL;
    if (has_default && has_step)
        wf_problem(ctx, node, "'on_error' has both 'default' and 'step'; keep one");
    else if (!has_default && !has_step && node->count == 0)
        wf_problem(ctx, node,
                   "'on_error' is empty; write fail, continue, {default: value} or "
                   "{step: {...}}");
}
