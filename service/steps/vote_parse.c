/* vote_parse.c - reads what stands under `vote`. Not `join`, which stands beside it
 * (workflow_policy.c), and not the counting (run_vote). Called by workflow_steps through its table
 * of kinds. */
#include "service/workflow/workflow_bodies.h"

#include <math.h>

enum { SAMPLES_MAX = 1000 };

/* ---- the branches ---- */

static void vote_of(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_body *body = wf_body_at(ctx, 0, BODY_BRANCH, (struct pl_str){0});

    (void)target;
    if (body)
        wf_parse_single(ctx, body, node, ctx->names, NULL);
}

static void vote_samples(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, SAMPLES_MAX, &count))
        ((struct vote_config *)target)->samples = (unsigned)count;
}

/* One of `among`: a body of one step, whose id is its name. */
static void among_one(struct wf_ctx *ctx, const struct doc_node *node, size_t number,
                      struct wf_scope *scope)
{
    struct step_body *body = wf_body_at(ctx, number, BODY_BRANCH, node->key);

    if (pl_str_is(node->key, "judge") || pl_str_is(node->key, "score"))
        wf_problem_key(ctx, node,
                       "a branch of a vote cannot be called '%s': that is the path of the step "
                       "that %ss; rename it",
                       node->key.ptr, node->key.ptr);
    if (!body)
        return;
    wf_parse_single(ctx, body, node, ctx->names, scope);
    if (body->n_top == 0)
        return;
    ctx->p->steps[body->top[0]->index].named = true;
    (void)pl_map_put(scope->names, node->key, body->top[0], NULL);
    scope->steps[scope->n_steps++] = body->top[0];
}

static void vote_among(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct wf_scope *scope = wf_scope_create(ctx->p, ctx->scope, ctx->step, true, node->count);

    (void)target;
    if (node->count == 0)
        wf_problem(ctx, node, "'among' is empty; add the branches that vote: {id: step}");
    if (node->count > SAMPLES_MAX)
        wf_problem(ctx, node, "a vote is among %d branches at most", SAMPLES_MAX);
    for (size_t i = 0; scope && i < node->count && i < SAMPLES_MAX; i++)
        among_one(ctx, node->items[i], i, scope);
}

/* ---- what is compared ---- */

static struct expr *over_output(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct expr_names names = ctx->names;

    names.roots |= 1u << EXPR_ROOT_OUTPUT;
    return expr_compile(ctx->p->arena, node, names, &ctx->sink, ctx->p->problems);
}

static void vote_key(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct vote_config *)target)->key = over_output(ctx, node);
}

static void judge_step(struct wf_ctx *ctx, const struct doc_node *node, unsigned root, int number,
                       enum body_role role, const char *id)
{
    struct step_body *body = number >= 0 ? wf_body_at(ctx, (size_t)number, role, pl_str(id)) : NULL;
    struct expr_names names = ctx->names;

    names.roots |= 1u << root;
    if (body)
        wf_parse_single(ctx, body, node, names, NULL);
}

static void vote_judge(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    judge_step(ctx, node, EXPR_ROOT_CANDIDATES, ((struct vote_config *)target)->judge_body,
               BODY_JUDGE, "judge");
}

static void vote_score(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct vote_config *vote = target;

    if (node->type == DOC_STRING)
        vote->score = over_output(ctx, node);
    else
        judge_step(ctx, node, EXPR_ROOT_CANDIDATE, vote->score_body, BODY_SCORE, "score");
}

/* ---- how it is decided ---- */

static void vote_method(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    /* In the order of enum vote_method. */
    static const char *const words[] = {"majority", "weighted", "median", "union",
                                        "judge",    "best_of",  NULL};
    size_t index;

    if (wf_word(ctx, node, words, &index))
        ((struct vote_config *)target)->method = (enum vote_method)index;
}

static void vote_on_tie(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"first", "fail", "judge", NULL};
    size_t index;

    if (wf_word(ctx, node, words, &index))
        ((struct vote_config *)target)->on_tie = (enum vote_tie)index;
}

static void vote_stop(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"early", NULL};
    size_t index;

    if (wf_word(ctx, node, words, &index))
        ((struct vote_config *)target)->stop_early = true;
}

static void vote_threshold(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    double number;

    if (!wf_number(ctx, node, &number))
        return;
    if (number <= 0)
        wf_problem(ctx, node,
                   "'threshold' is a number of votes, or a share above 0 and below 1: 0.66 is two "
                   "of three");
    else
        ((struct vote_config *)target)->threshold = number;
}

/* Which of the branches an id is; a problem when it is none. */
static bool branch_number(struct wf_ctx *ctx, const struct doc_node *among,
                          const struct doc_node *weight, size_t *ret_number)
{
    const struct doc_node *branch = doc_get_str(among, weight->key);
    const char **names = pl_arena_alloc_array(ctx->p->scratch, among->count + 1, sizeof(*names));
    const char *nearest;

    if (branch) {
        *ret_number = branch->position;
        return true;
    }
    for (size_t i = 0; names && i < among->count; i++)
        names[i] = among->items[i]->key.ptr;
    nearest = names ? wf_nearest(ctx, weight->key, names) : NULL;
    wf_problem_key(ctx, weight, "'among' has no branch '%s'%s%s%s", wf_show(ctx, weight->key),
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return false;
}

static void vote_weights(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct vote_config *vote = target;
    const struct doc_node *among = doc_get(node->parent, "among");
    size_t number;
    double weight;

    if (!among || among->type != DOC_OBJECT || among->count > SAMPLES_MAX) {
        if (!among)
            wf_problem_key(ctx, node, "'weights' are by the ids of 'among'; samples have none");
        return;
    }
    vote->weights = pl_arena_alloc_array(ctx->p->arena, among->count + 1, sizeof(double));
    for (size_t i = 0; vote->weights && i < among->count; i++)
        vote->weights[i] = 1;
    for (size_t i = 0; vote->weights && i < node->count; i++) {
        if (!branch_number(ctx, among, node->items[i], &number) ||
            !wf_number(ctx, node->items[i], &weight))
            continue;
        if (weight < 0)
            wf_problem(ctx, node->items[i], "a weight cannot be negative; 0 counts nothing");
        else
            vote->weights[number] = weight;
    }
}

static const struct wf_field vote_fields[] = {
    {.key = "of", .types = WF_OBJECT, .help = "a step", .parse = vote_of},
    {.key = "samples",
     .types = WF_NUMBER,
     .help = "how many times the step is asked",
     .parse = vote_samples},
    {.key = "among", .types = WF_OBJECT, .help = "an object of ids and steps", .parse = vote_among},
    {.key = "key",
     .types = WF_STRING,
     .help = "an expression over .output in quotes",
     .parse = vote_key},
    {.key = "method",
     .types = WF_STRING,
     .help = "majority, weighted, median, union, judge or best_of",
     .parse = vote_method},
    {.key = "weights",
     .types = WF_OBJECT,
     .help = "an object of ids and numbers",
     .parse = vote_weights},
    {.key = "judge", .types = WF_OBJECT, .help = "a step over .candidates", .parse = vote_judge},
    {.key = "score",
     .types = WF_STRING | WF_OBJECT,
     .help = "an expression over .output in quotes, or a step over .candidate",
     .parse = vote_score},
    {.key = "threshold",
     .types = WF_NUMBER,
     .help = "a number of votes, or a share below 1",
     .parse = vote_threshold},
    {.key = "on_tie", .types = WF_STRING, .help = "first, fail or judge", .parse = vote_on_tie},
    {.key = "stop", .types = WF_STRING, .help = "early", .parse = vote_stop},
};

static const char *vote_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "branches"))
        return "the branches of a vote go under 'among'";
    if (wf_is_kind(key))
        return "the step that is asked goes under 'of': of: {llm: {...}}";
    return wf_is_step_key(key) ? "it belongs on the step, beside 'vote'" : NULL;
}

static const struct wf_object vote_object = {
    .what = "vote",
    .fields = vote_fields,
    .n_fields = PL_ARRAY_LEN(vote_fields),
    .elsewhere = vote_elsewhere,
    .example = "{of: step, samples: 5}",
};

/* ---- what must fit together ---- */

static void check_branches(struct wf_ctx *ctx, const struct doc_node *node)
{
    const struct doc_node *of = doc_get(node, "of"), *among = doc_get(node, "among"),
                          *samples = doc_get(node, "samples");

    if (!of && !among)
        wf_problem_key(ctx, node,
                       "a vote needs 'of' (one step, with 'samples') or 'among' (several)");
    else if (of && among)
        wf_problem_key(ctx, among, "'among' stands beside 'of'; keep one of them");
    else if (of && !samples)
        wf_problem_key(ctx, of, "'of' needs 'samples': how many times the step is asked");
    else if (among && samples)
        wf_problem_key(ctx, samples, "'samples' goes with 'of'; each branch of 'among' votes once");
}

static void check_method(struct wf_ctx *ctx, const struct doc_node *node,
                         const struct vote_config *vote)
{
    const struct doc_node *judge = doc_get(node, "judge"), *score = doc_get(node, "score"),
                          *weights = doc_get(node, "weights"), *stop = doc_get(node, "stop"),
                          *on_tie = doc_get(node, "on_tie");

    if (vote->method == VOTE_JUDGE && !judge)
        wf_problem(ctx, doc_get(node, "method"), "the method judge needs 'judge': a step");
    if (vote->on_tie == VOTE_TIE_JUDGE && !judge)
        wf_problem(ctx, on_tie, "on_tie: judge needs 'judge': a step");
    if (judge && vote->method != VOTE_JUDGE && vote->on_tie != VOTE_TIE_JUDGE)
        wf_problem_key(ctx, judge, "nobody asks this judge; add method: judge or on_tie: judge");
    if (vote->method == VOTE_BEST_OF && !score)
        wf_problem(ctx, doc_get(node, "method"),
                   "the method best_of needs 'score': an expression over .output or a step");
    if (score && vote->method != VOTE_BEST_OF)
        wf_problem_key(ctx, score, "'score' is for method: best_of; add it, or remove the score");
    if (vote->method == VOTE_WEIGHTED && !weights)
        wf_problem(ctx, doc_get(node, "method"), "the method weighted needs 'weights': {id: n}");
    if (weights && vote->method != VOTE_WEIGHTED)
        wf_problem_key(ctx, weights,
                       "'weights' are for method: weighted; add it, or remove the weights");
    if (on_tie && vote->method > VOTE_WEIGHTED)
        wf_problem_key(ctx, on_tie, "'on_tie' is for majority and weighted; others have no ties");
    if (stop && vote->stop_early && vote->method > VOTE_MEDIAN)
        wf_problem(ctx, stop,
                   "stop: early is for majority, weighted and median; every answer matters here");
}

static void check_threshold(struct wf_ctx *ctx, const struct doc_node *node,
                            const struct vote_config *vote)
{
    const struct doc_node *threshold = doc_get(node, "threshold");
    unsigned branches = vote->n_among ? vote->n_among : vote->samples;

    if (!threshold || vote->threshold <= 0)
        return;
    if (vote->method != VOTE_MAJORITY && vote->method != VOTE_WEIGHTED)
        wf_problem_key(ctx, threshold, "'threshold' counts votes: it is for majority and weighted");
    else if (vote->method != VOTE_WEIGHTED && vote->threshold >= 1 &&
             (vote->threshold != floor(vote->threshold) ||
              (branches && vote->threshold > (double)branches)))
        wf_problem(ctx, threshold,
                   "'threshold' must be a whole number of votes up to %u, or a share below 1",
                   branches ? branches : SAMPLES_MAX);
}

/* Where judge and score stand in the list of bodies: behind the branches. */
static size_t number_bodies(const struct doc_node *node, struct vote_config *vote)
{
    const struct doc_node *among = doc_get(node, "among"), *judge = doc_get(node, "judge"),
                          *score = doc_get(node, "score");
    size_t count = 1;

    if (among && !doc_get(node, "of")) {
        count = among->type == DOC_OBJECT ? among->count : 0;
        if (count > SAMPLES_MAX)
            count = SAMPLES_MAX;
        vote->n_among = (unsigned)count;
    } else if (among && among->type == DOC_OBJECT && among->count > 1) {
        count = among->count < SAMPLES_MAX ? among->count : SAMPLES_MAX; /* refused: has both */
    }
    vote->judge_body = vote->score_body = -1;
    if (judge && judge->type == DOC_OBJECT)
        vote->judge_body = (int)count++;
    if (score && score->type == DOC_OBJECT)
        vote->score_body = (int)count++;
    return count;
}

void wf_parse_vote(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct vote_config *vote = pl_arena_alloc(ctx->p->arena, sizeof(*vote));

    if (!vote || !wf_bodies_reserve(ctx, number_bodies(node, vote)))
        return;
    ctx->step->config.vote = vote;
    wf_object(ctx, node, &vote_object, vote);
    if (node->type != DOC_OBJECT)
        return;
    check_branches(ctx, node);
    check_method(ctx, node, vote);
    check_threshold(ctx, node, vote);
}
