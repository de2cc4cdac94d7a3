/* workflow_state.c - reads `state`, the channels of a body, and `writes` of a step, and finds the
 * channel behind each name. Not who may write at the same time (workflow_races.c) and not the
 * folding. Called by workflow_parse, steps/<kind>_parse and workflow_check. */
#include "service/workflow/workflow_checks.h"

#include "base/limits.h"

/* By enum state_reducer: the word, and what a default must be. */
static const struct {
    const char *word;
    unsigned types; /* WF_...; 0: anything */
    const char *help;
} reducers[] = {
    [REDUCER_NONE] = {NULL, 0, NULL},
    [REDUCER_APPEND] = {"append", WF_LIST, "a list"},
    [REDUCER_CONCAT] = {"concat", WF_LIST, "a list"},
    [REDUCER_MERGE] = {"merge", WF_OBJECT, "an object"},
    [REDUCER_SUM] = {"sum", WF_NUMBER, "a number"},
    [REDUCER_MIN] = {"min", 0, NULL},
    [REDUCER_MAX] = {"max", 0, NULL},
    [REDUCER_UNIQUE] = {"unique", WF_LIST, "a list"},
    [REDUCER_SORT] = {"sort", WF_LIST, "a list"},
    [REDUCER_LAST] = {"last", 0, NULL},
    [REDUCER_MESSAGES] = {"messages", WF_LIST, "a list"},
};

/* ---- channels ---- */

static void channel_reducer(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    const char *names[PL_ARRAY_LEN(reducers)];
    struct state_channel *channel = target;
    struct expr_names fold = {.fold = true};
    struct expr_sink sink; /* of its own: it is never evaluated with others */
    size_t index;

    if (memmem(node->text.ptr, node->text.len, "${", 2)) {
        expr_sink_init(&sink);
        channel->reducer = REDUCER_PROGRAM;
        channel->program = expr_compile(ctx->p->arena, node, fold, &sink, ctx->p->problems);
        return;
    }
    for (size_t i = 1; i < PL_ARRAY_LEN(reducers); i++)
        names[i - 1] = reducers[i].word;
    names[PL_ARRAY_LEN(reducers) - 1] = NULL;
    if (wf_word(ctx, node, names, &index))
        channel->reducer = (enum state_reducer)(index + 1);
}

static void channel_default(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct state_channel *channel = target;
    const struct template *value = wf_template(ctx, node);

    if (!value)
        return;
    if (value->kind != TEMPLATE_CONST)
        wf_problem(ctx, node, "the default of a channel is fixed; it takes no expression");
    else
        channel->initial = value->json;
}

static const struct wf_field channel_fields[] = {
    {.key = "reducer",
     .types = WF_STRING,
     .help = "a word such as append, or a jq program over .left and .right in quotes",
     .parse = channel_reducer},
    {.key = "default", .types = WF_ANY, .help = "a value", .parse = channel_default},
};

static const struct wf_object channel_object = {
    .what = "a channel",
    .fields = channel_fields,
    .n_fields = PL_ARRAY_LEN(channel_fields),
};

static void check_default(struct wf_ctx *ctx, const struct doc_node *node,
                          const struct state_channel *channel)
{
    const struct doc_node *value = doc_get(node, "default");

    if (!value || channel->reducer >= PL_ARRAY_LEN(reducers) || !reducers[channel->reducer].types)
        return;
    if (!(reducers[channel->reducer].types & 1u << value->type))
        wf_problem(ctx, value, "the reducer %s starts from %s, not %s",
                   reducers[channel->reducer].word, reducers[channel->reducer].help,
                   doc_type_name(value->type));
}

/* The channel of that name that a body around `body` has, itself included. */
static struct state_channel *channel_of(const struct wf_parser *p, const struct step_body *body,
                                        struct pl_str name)
{
    for (; body; body = body->owner ? body->owner->body : NULL) {
        const struct pl_map *channels = p->bodies[body->index].channels;
        struct state_channel *channel = channels ? pl_map_get(channels, name) : NULL;

        if (channel)
            return channel;
    }
    return NULL;
}

static void read_channel(struct wf_ctx *ctx, const struct doc_node *node,
                         struct state_channel *channel)
{
    channel->name = node->key;
    channel->body = ctx->body;
    channel->node = node;
    if (!wf_id_ok(node->key))
        wf_problem_key(ctx, node,
                       "'%s' is no name of a channel; use letters, digits and _, a letter or _ "
                       "first, at most %d",
                       wf_show(ctx, node->key), PL_LIMIT_NAME);
    if (node->type == DOC_STRING) {
        wf_problem(ctx, node, "write {reducer: %s}", wf_show(ctx, node->text));
        return;
    }
    if (node->type == DOC_NULL)
        return;
    if (!wf_type(ctx, node, wf_show(ctx, node->key), WF_OBJECT,
                 "an object such as {reducer: append, default: []}"))
        return;
    wf_object(ctx, node, &channel_object, channel);
    check_default(ctx, node, channel);
}

void wf_parse_state(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct step_body *body = ctx->body;

    struct pl_map *names = pl_map_create(ctx->p->scratch, node->count);

    body->channels = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*body->channels));
    ctx->p->bodies[body->index].channels = names;
    for (size_t i = 0; names && body->channels && i < node->count; i++) {
        struct state_channel *channel = &body->channels[body->n_channels++];

        read_channel(ctx, node->items[i], channel);
        (void)pl_map_put(names, channel->name, channel, NULL);
    }
}

/* ---- writes ---- */

void wf_parse_writes(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct step_def *step = target;
    struct expr_names outer = ctx->names;

    step->writes = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*step->writes));
    ctx->p->steps[step->index].writes = node;
    ctx->names.roots |= 1u << EXPR_ROOT_OUTPUT;
    for (size_t i = 0; step->writes && i < node->count; i++)
        step->writes[step->n_writes++].value = wf_template(ctx, node->items[i]);
    ctx->names = outer;
}

/* ---- which channel a name means ---- */

enum { NAMES_MOST = 250 };

static void unknown_channel(struct wf_ctx *ctx, const struct step_body *body,
                            const struct doc_node *node, bool at_key, struct pl_str name)
{
    const char *names[NAMES_MOST + 1], *nearest;
    size_t count = 0;

    for (const struct step_body *at = body; at; at = at->owner ? at->owner->body : NULL)
        for (size_t i = 0; i < at->n_channels && count < NAMES_MOST; i++)
            names[count++] = at->channels[i].name.ptr;
    names[count] = NULL;
    nearest = wf_nearest(ctx, name, names);
    doc_problem_at(ctx->p->problems, node, at_key, "there is no channel '%s' in 'state'%s%s%s",
                   wf_show(ctx, name),
                   nearest ? "; did you mean '" : "; add it, or correct the name",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

/* The bodies between a step and the one whose channel it writes know that something in them does.
 */
static void note_write(struct step_body *body, const struct step_body *until)
{
    for (; body && body != until; body = body->owner ? body->owner->body : NULL)
        body->writes = true;
}

static void find_written(struct wf_ctx *ctx, const struct wf_step *build)
{
    struct step_def *step = build->def;

    for (size_t i = 0; i < step->n_writes; i++) {
        const struct doc_node *node = build->writes->items[i];
        const struct state_channel *channel = channel_of(ctx->p, step->body, node->key);

        step->writes[i].channel = channel;
        if (channel)
            note_write(step->body, channel->body);
        else
            unknown_channel(ctx, step->body, node, node->key_line != 0, node->key);
    }
}

static void find_read(struct wf_ctx *ctx, const struct step_body *body, struct expr *first)
{
    for (struct expr *expr = first; expr; expr = expr->next)
        for (size_t i = 0; i < expr->n_refs; i++) {
            struct expr_ref *ref = &expr->refs[i];

            if (ref->root != EXPR_ROOT_STATE || ref->name.len == 0)
                continue;
            ref->channel = channel_of(ctx->p, body, ref->name);
            if (!ref->channel)
                unknown_channel(ctx, body, expr->node, false, ref->name);
        }
}

static void check_hidden_channels(struct wf_ctx *ctx, const struct step_body *body)
{
    const struct step_body *around = body->owner ? body->owner->body : NULL;

    for (size_t i = 0; i < body->n_channels; i++) {
        const struct state_channel *other = channel_of(ctx->p, around, body->channels[i].name);

        if (other)
            wf_problem_key(ctx, body->channels[i].node,
                           "'%s' hides the channel of line %u, which stands outside; choose "
                           "another name",
                           wf_show(ctx, body->channels[i].name), other->node->key_line);
    }
}

void wf_resolve_state(struct wf_parser *p)
{
    struct wf_ctx ctx = {.p = p};

    for (size_t i = 0; i < p->n_bodies; i++) {
        check_hidden_channels(&ctx, p->bodies[i].def);
        find_read(&ctx, p->bodies[i].def, p->bodies[i].def->output_exprs);
    }
    for (size_t i = 0; i < p->n_steps; i++) {
        find_written(&ctx, &p->steps[i]);
        find_read(&ctx, p->steps[i].def->body, p->steps[i].def->exprs);
    }
}
