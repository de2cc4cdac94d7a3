/* workflow_shapes.c - see workflow_shapes.h. What a step gives is told from its kind, its schema
 * and its text alone; where a default or a handler may take its place, nothing is known. Reads
 * steps that may be half read: something is wrong with them then. */
#include "service/workflow/workflow_shapes.h"

#include "base/json.h"

enum {
    NAMES_SHOWN = 200,
    MEMBERS_MAX = 1000,  /* of one object; those of larger ones are not looked through */
    PATH_MAX_KNOWN = 16, /* members of a path to a list; items of deeper ones are not known */
};

/* ---- objects of Plait's own ---- */

static const char *const usage_names[] = {"calls",
                                          "input_tokens",
                                          "cached_input_tokens",
                                          "cache_write_input_tokens",
                                          "output_tokens",
                                          "reasoning_tokens",
                                          "cost_usd",
                                          NULL};
static const char *const join_names[] = {"policy", "satisfied_by", "needed",  "total", "counted",
                                         "failed", "cancelled",    "missing", "code",  "winner",
                                         "tally",  "warm_up",      NULL};
static const char *const error_names[] = {"code",     "title",  "detail",  "retryable",
                                          "attempts", "status", "message", "branch",
                                          "cause",    "step",   "after",   NULL};
static const char *const http_names[] = {"status", "headers", "body", NULL};
static const char *const candidate_names[] = {"id", "output", NULL};

static struct wf_shape fixed(const char *const *names)
{
    return (struct wf_shape){.kind = SHAPE_NAMES, .of.names = names};
}

static struct wf_shape plain(enum wf_shape_kind kind)
{
    return (struct wf_shape){.kind = kind};
}

static struct wf_shape by_schema(const struct schema *schema)
{
    if (!schema)
        return plain(SHAPE_ANY);
    return (struct wf_shape){.kind = SHAPE_SCHEMA, .of.schema = schema};
}

/* ---- what the document says ---- */

static struct wf_shape of_constant(const struct doc_node *node)
{
    if (node->type == DOC_OBJECT)
        return (struct wf_shape){.kind = SHAPE_CONSTANT, .of.constant = node};
    return plain(node->type == DOC_STRING ? SHAPE_TEXT
                 : node->type == DOC_LIST ? SHAPE_LIST
                                          : SHAPE_ANY);
}

static struct wf_shape of_template(const struct template *template)
{
    switch (template ? template->kind : TEMPLATE_EXPR) {
    case TEMPLATE_CONST:
        return of_constant(template->node);
    case TEMPLATE_TEXT:
        return plain(SHAPE_TEXT);
    case TEMPLATE_LIST:
        return plain(SHAPE_LIST);
    case TEMPLATE_OBJECT:
        if (template->count > MEMBERS_MAX)
            break;
        return (struct wf_shape){.kind = SHAPE_TEMPLATE, .of.template = template};
    case TEMPLATE_EXPR:
        break;
    }
    return plain(SHAPE_ANY);
}

/* ---- outputs ---- */

static struct wf_shape of_output(const struct step_def *step);

static struct wf_shape of_body(const struct step_body *body)
{
    if (!body)
        return plain(SHAPE_ANY);
    if (body->output_schema.schema)
        return by_schema(body->output_schema.schema);
    if (body->output)
        return of_template(body->output);
    if (body->n_sinks == 1)
        return of_output(body->sinks[0]);
    if (body->n_sinks == 0 || body->n_sinks > MEMBERS_MAX)
        return plain(SHAPE_ANY);
    return (struct wf_shape){.kind = SHAPE_SINKS, .of.body = body};
}

/* The answer of a model: text, or what fits the schema. */
static struct wf_shape of_answer(const struct llm_config *llm)
{
    if (!llm)
        return plain(SHAPE_ANY);
    return llm->schema.schema ? by_schema(llm->schema.schema) : plain(SHAPE_TEXT);
}

static struct wf_shape of_human(const struct human_config *human)
{
    const struct template *otherwise = human ? human->on_timeout_default : NULL;

    /* a default that is made in the run is not held against the schema before */
    if (!human || (otherwise && otherwise->kind != TEMPLATE_CONST))
        return plain(SHAPE_ANY);
    return by_schema(human->schema.schema);
}

static struct wf_shape of_map(const struct step_def *step)
{
    const struct map_config *map = step->config.map;

    return plain(!map || map->fan_in || step->join.kind == JOIN_ANY ? SHAPE_ANY : SHAPE_LIST);
}

static struct wf_shape of_reduce(const struct reduce_config *reduce)
{
    return reduce && reduce->with == REDUCE_VALUE ? of_template(reduce->from) : plain(SHAPE_ANY);
}

static struct wf_shape of_parallel(const struct step_def *step)
{
    if (step->join.kind == JOIN_ANY || step->n_children > MEMBERS_MAX)
        return plain(SHAPE_ANY);
    return (struct wf_shape){.kind = SHAPE_BRANCHES, .of.step = step};
}

static struct wf_shape of_output(const struct step_def *step)
{
    if (step->on_error == ON_ERROR_DEFAULT || step->on_error == ON_ERROR_STEP)
        return plain(SHAPE_ANY);
    switch (step->kind) {
    case STEP_LLM:
        return of_answer(step->config.llm);
    case STEP_AGENT:
        return of_answer(step->config.agent ? step->config.agent->llm : NULL);
    case STEP_HTTP:
        return fixed(http_names);
    case STEP_HUMAN:
        return of_human(step->config.human);
    case STEP_PARALLEL:
        return of_parallel(step);
    case STEP_MAP:
        return of_map(step);
    case STEP_REDUCE:
        return of_reduce(step->config.reduce);
    case STEP_WORKFLOW:
    case STEP_REPEAT:
        return of_body(step->n_bodies ? step->bodies[0] : NULL);
    case STEP_VOTE:
    case STEP_SLEEP:
    case STEP_MCP:
    case STEP__KINDS:
        break;
    }
    return plain(SHAPE_ANY);
}

static struct wf_shape of_field(const struct step_def *step, enum expr_step_field field)
{
    switch (field) {
    case EXPR_STEP_OUTPUT:
        return of_output(step);
    case EXPR_STEP_STATUS:
        return plain(SHAPE_TEXT);
    case EXPR_STEP_ERROR:
        return fixed(error_names);
    case EXPR_STEP_USAGE:
        return fixed(usage_names);
    case EXPR_STEP_JOIN:
        return fixed(join_names);
    case EXPR_STEP_ALL:
        break;
    }
    return plain(SHAPE_ANY);
}

/* ---- other roots ---- */

/* What the steps around were given: an inline workflow may have an input of its own. */
static struct wf_shape of_input(const struct workflow *workflow, const struct step_body *body)
{
    for (; body && body->owner; body = body->owner->body) {
        const struct step_def *owner = body->owner;

        if (owner->kind != STEP_WORKFLOW)
            continue;
        if (!owner->config.workflow)
            return plain(SHAPE_ANY);
        if (owner->config.workflow->input)
            return of_template(owner->config.workflow->input);
    }
    return by_schema(workflow->input_schema);
}

static struct wf_shape of_args(const struct step_body *body)
{
    for (; body && body->owner; body = body->owner->body) {
        const struct agent_config *agent = body->owner->config.agent;

        if (body->role != BODY_TOOL)
            continue;
        for (size_t i = 0; agent && i < agent->n_tools; i++)
            if (agent->tools[i].body == body->number)
                return by_schema(agent->tools[i].parameters.schema);
        break;
    }
    return plain(SHAPE_ANY);
}

/* ---- members ---- */

bool wf_shape_is_closed(const struct wf_shape *shape)
{
    return shape->kind == SHAPE_NAMES || shape->kind == SHAPE_TEMPLATE ||
           shape->kind == SHAPE_CONSTANT || shape->kind == SHAPE_BRANCHES ||
           shape->kind == SHAPE_SINKS;
}

/* Keys are JSON string tokens. One with escapes may be any name: it is rare enough. */
static bool template_member(const struct template *template, struct pl_str name,
                            struct wf_shape *ret)
{
    bool found = false;

    for (size_t i = 0; i < template->count; i++) {
        struct pl_str key = template->keys[i];

        if (memchr(key.ptr, '\\', key.len)) {
            found = true;
        } else if (pl_str_eq(pl_str_n(key.ptr + 1, key.len - 2), name)) {
            *ret = of_template(template->items[i]);
            return true;
        }
    }
    return found;
}

static bool branch_member(const struct step_def *step, struct pl_str name, struct wf_shape *ret)
{
    for (size_t i = 0; i < step->n_children; i++)
        if (pl_str_eq(step->children[i]->id, name)) {
            /* a branch that failed comes out of `settled` as {"error": ...} */
            *ret =
                step->join.kind == JOIN_SETTLED ? plain(SHAPE_ANY) : of_output(step->children[i]);
            return true;
        }
    return false;
}

static bool sink_member(const struct step_body *body, struct pl_str name, struct wf_shape *ret)
{
    for (size_t i = 0; i < body->n_sinks; i++)
        if (pl_str_eq(body->sinks[i]->id, name)) {
            *ret = of_output(body->sinks[i]);
            return true;
        }
    return false;
}

bool wf_shape_member(const struct wf_shape *shape, struct pl_str name, struct wf_shape *ret)
{
    const struct wf_shape of = *shape;
    const struct doc_node *member;

    *ret = plain(SHAPE_ANY);
    if (of.kind == SHAPE_TEMPLATE)
        return template_member(of.of.template, name, ret);
    if (of.kind == SHAPE_BRANCHES)
        return branch_member(of.of.step, name, ret);
    if (of.kind == SHAPE_SINKS)
        return sink_member(of.of.body, name, ret);
    if (of.kind == SHAPE_CONSTANT) {
        member = doc_get_str(of.of.constant, name);
        if (member)
            *ret = of_constant(member);
        return member != NULL;
    }
    for (const char *const *own = of.of.names; *own; own++)
        if (pl_str_is(name, *own)) {
            if (of.of.names == error_names && pl_str_is(name, "cause"))
                *ret = fixed(error_names);
            return true;
        }
    return false;
}

const char *const *wf_shape_names(const struct wf_shape *shape, struct pl_arena *arena)
{
    const char **names = pl_arena_alloc_array(arena, NAMES_SHOWN + 1, sizeof(*names));
    const struct wf_shape of = *shape;
    size_t n = 0;

    if (of.kind == SHAPE_NAMES)
        return of.of.names;
    for (size_t i = 0; names && n < NAMES_SHOWN; i++) {
        if (of.kind == SHAPE_TEMPLATE && i < of.of.template->count)
            names[n++] = json_decode_string_arena(of.of.template->keys[i], arena).ptr;
        else if (of.kind == SHAPE_CONSTANT && i < of.of.constant->count)
            names[n++] = pl_arena_str(arena, of.of.constant->items[i]->key).ptr;
        else if (of.kind == SHAPE_BRANCHES && i < of.of.step->n_children)
            names[n++] = pl_arena_str(arena, of.of.step->children[i]->id).ptr;
        else if (of.kind == SHAPE_SINKS && i < of.of.body->n_sinks)
            names[n++] = pl_arena_str(arena, of.of.body->sinks[i]->id).ptr;
        else
            break;
    }
    return pl_arena_failed(arena) ? NULL : names;
}

/* ---- what a path begins with ---- */

/* What segments take of what fits a schema. */
static struct wf_shape deeper(struct pl_arena *arena, const struct wf_shape *shape,
                              const struct expr_segment *segments, size_t n_segments)
{
    size_t n = shape->n_path;
    struct wf_shape result = *shape;
    struct pl_str *path;

    if (n_segments > PATH_MAX_KNOWN || n + n_segments > PATH_MAX_KNOWN)
        return plain(SHAPE_ANY);
    path = pl_arena_alloc_array(arena, PATH_MAX_KNOWN, sizeof(*path));
    if (!path)
        return plain(SHAPE_ANY);
    if (n)
        memcpy(path, shape->path, n * sizeof(*path));
    for (size_t i = 0; i < n_segments; i++) {
        if (segments[i].dynamic)
            return plain(SHAPE_ANY);
        path[n++] = segments[i].name;
    }
    result.path = path;
    result.n_path = n;
    return result;
}

/* What a whole path gives. */
static struct wf_shape of_path(struct wf_parser *p, const struct expr *expr,
                               const struct step_body *body)
{
    struct wf_shape shape = wf_shape_of_ref(p, &expr->refs[0], body), next;

    for (size_t i = 0; i < expr->n_segments; i++) {
        if (shape.kind == SHAPE_SCHEMA)
            return deeper(p->scratch, &shape, expr->segments + i, expr->n_segments - i);
        if (!wf_shape_is_closed(&shape) || !expr->segments[i].name.ptr ||
            !wf_shape_member(&shape, expr->segments[i].name, &next))
            return plain(SHAPE_ANY);
        shape = next;
    }
    return shape;
}

/* The items that stand at the branch of a map whose body, or a body within it, is `body`; one of
 * them unless `several`. `map` NULL: of the innermost. */
static struct wf_shape of_items(struct wf_parser *p, const struct step_def *map,
                                const struct step_body *body, bool several)
{
    static const struct expr_segment element = {.index = 0};
    const struct template *over;
    struct wf_shape list;

    while (body && body->owner && (body->owner->kind != STEP_MAP || (map && body->owner != map)))
        body = body->owner->body;
    if (!body || !body->owner || !body->owner->config.map || body->role != BODY_BRANCH)
        return plain(several ? SHAPE_LIST : SHAPE_ANY);
    over = body->owner->config.map->over;
    if (!over || over->kind != TEMPLATE_EXPR || over->expr->kind != EXPR_PATH)
        return plain(several ? SHAPE_LIST : SHAPE_ANY);
    list = of_path(p, over->expr, body->owner->body);
    if (list.kind != SHAPE_SCHEMA)
        return plain(several ? SHAPE_LIST : SHAPE_ANY);
    if (several)
        return list;
    return deeper(p->scratch, &list, &element, 1);
}

static struct wf_shape of_as(struct wf_parser *p, const struct step_def *map,
                             const struct step_body *body)
{
    bool several = map && map->config.map && map->config.map->batch > 0;

    return several ? plain(SHAPE_ANY) : of_items(p, map, body, false);
}

struct wf_shape wf_shape_of_ref(struct wf_parser *p, const struct expr_ref *ref,
                                const struct step_body *body)
{
    switch (ref->root) {
    case EXPR_ROOT_STEP:
        return ref->step ? of_field(ref->step, ref->field) : plain(SHAPE_ANY);
    case EXPR_ROOT_INPUT:
        return of_input(p->workflow, body);
    case EXPR_ROOT_ITEM:
        return of_items(p, NULL, body, false);
    case EXPR_ROOT_ITEMS:
        return of_items(p, NULL, body, true);
    case EXPR_ROOT_AS:
        return of_as(p, ref->step, body);
    case EXPR_ROOT_ERROR:
        return fixed(error_names);
    case EXPR_ROOT_ARGS:
        return of_args(body);
    case EXPR_ROOT_CANDIDATE:
        return fixed(candidate_names);
    case EXPR_ROOT_CANDIDATES:
        return plain(SHAPE_LIST);
    case EXPR_ROOT_RUN:
    case EXPR_ROOT_THREAD:
    case EXPR_ROOT_OUTPUT:
    case EXPR_ROOT_STATE:
    case EXPR_ROOT_INDEX:
    case EXPR_ROOT_AS_INDEX:
    case EXPR_ROOT_TURN:
    case EXPR_ROOT_PREVIOUS:
    case EXPR_ROOT__COUNT:
        break;
    }
    return plain(SHAPE_ANY);
}
