/* reduce_parse.c - reads what stands under `reduce`: any value with expressions in it, or {from,
 * with}. Not the computation (steps/reduce.c). Called by workflow_steps through its table of kinds.
 */
#include "service/workflow/workflow_parse.h"

static void reduce_from(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct reduce_config *reduce = target;

    reduce->from = wf_template(ctx, node);
    if (node->type == DOC_STRING && reduce->from && !wf_is_expression(reduce->from))
        wf_problem(ctx, node, "'from' must be a list or one expression that gives a list");
}

/* In the order of enum reduce_with, behind REDUCE_VALUE. */
static const char *const with_words[] = {"append", "merge",  "concat", "sum",   "min",
                                         "max",    "unique", "sort",   "count", NULL};

static void reduce_with(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    size_t index;

    if (wf_word(ctx, node, with_words, &index))
        ((struct reduce_config *)target)->with = (enum reduce_with)(REDUCE_APPEND + index);
}

static const struct wf_field reduce_fields[] = {
    {.key = "from",
     .types = WF_LIST | WF_STRING,
     .help = "a list or one expression that gives a list",
     .parse = reduce_from},
    {.key = "with",
     .types = WF_STRING,
     .help = "append, merge, concat, sum, min, max, unique, sort or count",
     .parse = reduce_with},
};

static const struct wf_object reduce_object = {
    .what = "reduce",
    .fields = reduce_fields,
    .n_fields = PL_ARRAY_LEN(reduce_fields),
};

static bool is_word(const struct doc_node *node)
{
    for (size_t i = 0; node->type == DOC_STRING && with_words[i]; i++)
        if (pl_str_is(node->text, with_words[i]))
            return true;
    return false;
}

/* The member that is a misspelt `from` beside `with`, or the other way round; NULL: this is a value
 * that has a member of that name. */
static const struct doc_node *misspelt(const struct doc_node *node, const char *meant)
{
    const char *const names[] = {meant, NULL};
    const struct doc_node *wrong = NULL;
    bool word = false;

    for (size_t i = 0; node->count == 2 && i < node->count; i++) {
        word = word || is_word(node->items[i]);
        if (doc_nearest(node->items[i]->key, names))
            wrong = node->items[i];
    }
    return word ? wrong : NULL;
}

void wf_parse_reduce(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct reduce_config *reduce = pl_arena_alloc(ctx->p->arena, sizeof(*reduce));
    const struct doc_node *from = doc_get(node, "from"), *with = doc_get(node, "with"), *wrong;

    if (!reduce)
        return;
    ctx->step->config.reduce = reduce;
    if (from && with) {
        wf_object(ctx, node, &reduce_object, reduce);
    } else if ((from || with) && node->count == 1) {
        wf_problem_key(ctx, node, "reduce has '%s' without '%s'; write {from: list, with: word}",
                       from ? "from" : "with", from ? "with" : "from");
    } else if ((from || with) && (wrong = misspelt(node, from ? "with" : "from"))) {
        wf_problem_key(ctx, wrong, "reduce has no key '%s'; did you mean '%s'?",
                       wf_show(ctx, wrong->key), from ? "with" : "from");
    } else {
        /* Any other object is the value to build, even one that has a member called `from`. */
        reduce->from = wf_template(ctx, node);
    }
}
