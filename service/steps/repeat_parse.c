/* repeat_parse.c - reads what stands under `repeat`: a body of several steps and when it is done.
 * Not the turns (run_repeat). Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_bodies.h"

enum { TURNS = 100, TURNS_MAX = 100000 };

/* What the readers of the keys share. */
struct reader {
    struct repeat_config *repeat;
    struct wf_ctx inner; /* stands in the body */
};

static void repeat_steps(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    wf_parse_several(&((struct reader *)target)->inner, node);
}

static void repeat_state(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)ctx;
    wf_parse_state(&((struct reader *)target)->inner, node);
}

static void repeat_output(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct wf_ctx *inner = &((struct reader *)target)->inner;

    (void)ctx;
    inner->body->output = wf_template(inner, node);
}

static void repeat_until(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct reader *reader = target;
    struct expr_names names = reader->inner.names;

    names.roots |= 1u << EXPR_ROOT_OUTPUT;
    reader->repeat->until =
        expr_compile(ctx->p->arena, node, names, &reader->inner.sink, ctx->p->problems);
}

static void repeat_max(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (wf_count(ctx, node, 1, TURNS_MAX, &count))
        ((struct reader *)target)->repeat->max = (unsigned)count;
}

static void repeat_on_max(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const words[] = {"continue", "fail", NULL};
    size_t index;

    if (wf_word(ctx, node, words, &index))
        ((struct reader *)target)->repeat->fail_on_max = index == 1;
}

static const struct wf_field repeat_fields[] = {
    {.key = "steps",
     .types = WF_OBJECT,
     .help = "an object of ids and steps",
     .parse = repeat_steps},
    {.key = "state",
     .types = WF_OBJECT,
     .help = "an object of channels such as {notes: {reducer: append}}",
     .parse = repeat_state},
    {.key = "output", .types = WF_ANY, .help = "a value", .parse = repeat_output},
    {.key = "until",
     .types = WF_STRING,
     .help = "an expression in quotes, such as \"${ .output.done }\"",
     .parse = repeat_until},
    {.key = "max", .types = WF_NUMBER, .help = "the number of turns at most", .parse = repeat_max},
    {.key = "on_max", .types = WF_STRING, .help = "continue or fail", .parse = repeat_on_max},
};

static const char *repeat_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "do"))
        return "its steps go under 'steps', each with an id";
    return wf_is_step_key(key) ? "it belongs on the step, beside 'repeat'" : NULL;
}

static const struct wf_object repeat_object = {
    .what = "repeat",
    .fields = repeat_fields,
    .n_fields = PL_ARRAY_LEN(repeat_fields),
    .elsewhere = repeat_elsewhere,
    .example = "{steps: {id: step}, until: expression}",
};

void wf_parse_repeat(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct repeat_config *repeat = pl_arena_alloc(ctx->p->arena, sizeof(*repeat));
    struct reader reader = {.repeat = repeat};
    struct expr_names names = ctx->names;
    struct step_body *body;

    if (!repeat || !wf_bodies_reserve(ctx, 1) ||
        !(body = wf_body_at(ctx, 0, BODY_TURN, (struct pl_str){0})))
        return;
    ctx->step->config.repeat = repeat;
    repeat->max = TURNS;
    names.roots |= 1u << EXPR_ROOT_TURN | 1u << EXPR_ROOT_PREVIOUS;
    reader.inner = wf_body_ctx(ctx, body, names);
    expr_sink_init(&reader.inner.sink);
    wf_object(ctx, node, &repeat_object, &reader);
    body->output_exprs = reader.inner.sink.first;
    if (node->type != DOC_OBJECT)
        return;
    if (!doc_get(node, "steps"))
        wf_problem_key(ctx, node, "a repeat needs 'steps': {id: step}");
    if (!doc_get(node, "until") && !doc_get(node, "max"))
        wf_problem_key(ctx, node, "a repeat needs 'until' or 'max': else nothing ends it");
    if (doc_get(node, "on_max") && !doc_get(node, "until"))
        wf_problem_key(ctx, doc_get(node, "on_max"),
                       "'on_max' says what becomes of a repeat whose 'until' was not met; add "
                       "'until'");
}
