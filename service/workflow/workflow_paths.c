/* workflow_paths.c - whether plain paths lead to something: their members held against schemas and
 * against what kinds of steps give. Not the roots and ids they begin with (expr_roots.c,
 * workflow_refs.c), not paths inside jq programs. Called by workflow_check, of what is handed in.
 *
 * An error is what no run can find: a member that a schema forbids, or that Plait's own objects do
 * not have. A warning is what is null, or fails, in every run but is written as it may be, and what
 * looks like a slip beside the properties of a schema that allows others. */
#include "service/workflow/workflow_checks.h"

#include "base/limits.h"
#include "service/workflow/workflow_shapes.h"

#include <stdio.h>

enum {
    LISTED_NAMES = 8,
    LISTED_BYTES = 320,
    SHOWN_PATH = 160,
    PATHS_MAX = 50000,     /* that are followed; those behind count as good */
    SCHEMA_WORK = 1000000, /* for all of them */
    NAME_WORK = 20,        /* of it for a word held against a name */
};

struct paths {
    struct wf_parser *p;
    struct wf_ctx ctx; /* for messages */
    const struct step_body *body;
    size_t refused; /* problems that were found before */
    size_t followed;
    uint64_t work; /* left */
};

/* One path on its way: the members before `at` are taken. */
struct walk {
    struct paths *c;
    const struct expr *whole, *expr; /* expr: the path itself, perhaps an index within the whole */
    size_t at;
};

/* ---- words ---- */

static void put(struct pl_buf *out, const char *before, struct pl_str text, const char *behind)
{
    pl_buf_text(out, before);
    pl_buf_str(out, text);
    pl_buf_text(out, behind);
}

/* The path as far as the walk has come, for a person; in scratch. */
static const char *path_so_far(const struct walk *walk)
{
    const struct expr_ref *ref = &walk->expr->refs[0];
    struct wf_parser *p = walk->c->p;
    const char *shown;
    struct pl_buf out;

    pl_buf_init(&out, SHOWN_PATH);
    put(&out, ".", ref->root == EXPR_ROOT_AS ? ref->name : pl_str(expr_root_name(ref->root)), "");
    if (ref->root == EXPR_ROOT_STEP) {
        put(&out, ".", ref->name, ".");
        pl_buf_text(&out, expr_field_name(ref->field));
    }
    for (size_t i = 0; i < walk->at; i++) {
        const struct expr_segment *segment = &walk->expr->segments[i];

        if (segment->name.ptr)
            put(&out, ".", segment->name, "");
        else
            pl_buf_printf(&out, "[%lld]", (long long)segment->index);
    }
    shown = out.too_large ? "it" : wf_show(&walk->c->ctx, pl_buf_view(&out));
    pl_buf_finish(&out);
    return pl_arena_failed(p->scratch) ? "it" : shown;
}

static const char *excerpt(const struct walk *walk, char out[static DOC_EXCERPT])
{
    return doc_excerpt(walk->whole->text, out);
}

/* "; did you mean 'city'?", or " (there is city, days)" */
static const char *suggestion(const struct walk *walk, struct pl_str name, const char *nearest,
                              const char *const *names)
{
    struct pl_arena *scratch = walk->c->p->scratch;
    char list[LISTED_BYTES] = "";
    const char *text = NULL;
    size_t used = 0, i = 0;

    if (nearest && !pl_str_is(name, nearest)) {
        text = pl_arena_printf(scratch, "; did you mean '%s'?",
                               wf_show(&walk->c->ctx, pl_str(nearest)));
    } else if (names && names[0]) {
        for (; names[i] && i < LISTED_NAMES && used < sizeof(list); i++)
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
                                     wf_show(&walk->c->ctx, pl_str(names[i])));
        text = pl_arena_printf(scratch, " (there is %s%s)", list, names[i] ? ", ..." : "");
    }
    return text ? text : "";
}

/* What other systems call it, where no name of ours is near. */
static const char *of_our_own(const struct wf_shape *shape, struct pl_str name,
                              const char *const *names)
{
    static const char *const other[][2] = {
        {"msg", "detail"},
        {"upstream", "message"},
        {"type", "code"},
        {"upstream_status", "status"},
        {"prompt_tokens", "input_tokens"},
        {"completion_tokens", "output_tokens"},
        {"cost", "cost_usd"},
        {"text", "body"},
        {"data", "body"},
        {"json", "body"},
        {"code", "status"},
        {"succeeded", "counted"},
        {"statusCode", "status"},
        {"status_code", "status"},
    };

    for (size_t i = 0; shape->kind == SHAPE_NAMES && i < PL_ARRAY_LEN(other); i++)
        for (size_t k = 0; pl_str_is(name, other[i][0]) && names[k]; k++)
            if (strcmp(names[k], other[i][1]) == 0)
                return names[k];
    return NULL;
}

/* ---- findings ---- */

static bool is_below(const char *pointer, const char *above)
{
    size_t len = strlen(above);

    return strncmp(pointer, above, len) == 0 && (pointer[len] == '/' || pointer[len] == '\0');
}

/* Whether something in the step (or in the schemas) was refused: its output is then not what the
 * document says, and a warning would be of what is said there, but was not taken. */
static bool is_of_refused(const struct walk *walk)
{
    const struct expr_ref *ref = &walk->expr->refs[0];
    const struct doc_problems *problems = walk->c->p->problems;
    const char *step;

    if (ref->root != EXPR_ROOT_STEP || walk->c->refused == 0)
        return false;
    step = doc_pointer(walk->c->p->scratch, ref->step->node);
    for (size_t i = 0; step && i < walk->c->refused; i++)
        if (is_below(problems->items[i].pointer, step) ||
            is_below(problems->items[i].pointer, "/schemas"))
            return true;
    return false;
}

static void add(const struct walk *walk, bool error, const char *what, const char *hint)
{
    struct wf_parser *p = walk->c->p;
    char shown[DOC_EXCERPT];

    if (!error && is_of_refused(walk))
        return;
    doc_problem_at(error ? p->problems : &p->workflow->warnings, walk->expr->node, false,
                   "in expression '%s', %s%s", excerpt(walk, shown), what, hint);
}

static bool has_room(const struct walk *walk)
{
    const struct wf_parser *p = walk->c->p;

    return p->problems->total < PL_LIMIT_PROBLEMS &&
           p->workflow->warnings.total < PL_LIMIT_PROBLEMS;
}

static void no_member(const struct walk *walk, bool error, const char *nearest,
                      const char *const *names)
{
    struct pl_str name = walk->expr->segments[walk->at].name;
    const char *what = pl_arena_printf(walk->c->p->scratch, "%s has no member '%s'",
                                       path_so_far(walk), wf_show(&walk->c->ctx, name));

    if (what)
        add(walk, error, what, suggestion(walk, name, nearest, names));
}

static void undeclared(const struct walk *walk, const char *nearest)
{
    struct pl_str name = walk->expr->segments[walk->at].name;
    const char *what = pl_arena_printf(walk->c->p->scratch, "the schema of %s has no property '%s'",
                                       path_so_far(walk), wf_show(&walk->c->ctx, name));

    if (what)
        add(walk, false, what, suggestion(walk, name, nearest, NULL));
}

/* A member of what has none: it fails in every run that comes here. */
static void of_no_object(const struct walk *walk, bool text)
{
    const struct expr_ref *ref = &walk->expr->refs[0];
    const struct expr_segment *segment = &walk->expr->segments[walk->at];
    const char *what, *hint = "";
    bool model = ref->root == EXPR_ROOT_STEP && ref->field == EXPR_STEP_OUTPUT && walk->at == 0 &&
                 (ref->step->kind == STEP_LLM || ref->step->kind == STEP_AGENT);

    if (!text && !segment->name.ptr)
        return; /* an element of a list */
    if (text && model)
        hint = "; with a 'schema' on that step it is an object";
    else if (pl_str_is(segment->name, "length"))
        hint = "; how long it is says '| length' behind it";
    else if (!text)
        hint = "; one element is written [0]";
    what = pl_arena_printf(walk->c->p->scratch, "%s is %s and has no %s", path_so_far(walk),
                           text ? "text" : "a list", segment->name.ptr ? "members" : "elements");
    if (what)
        add(walk, false, what, hint);
}

/* ---- walking ---- */

/* The rest of the path, up to an index that only a run knows. */
static void through_schema(struct walk *walk, const struct wf_shape *shape)
{
    struct pl_arena *scratch = walk->c->p->scratch;
    const struct expr_segment *segments = walk->expr->segments + walk->at;
    size_t left = walk->expr->n_segments - walk->at, n = 0, at = 0;
    struct pl_str *path = pl_arena_alloc_array(scratch, shape->n_path + left + 1, sizeof(*path));
    const char *const *names = NULL, *nearest;
    enum schema_finds finds;

    if (!path)
        return;
    if (shape->n_path)
        memcpy(path, shape->path, shape->n_path * sizeof(*path));
    for (; n < left && !segments[n].dynamic; n++)
        path[shape->n_path + n] = segments[n].name;
    finds = schema_look(shape->of.schema, scratch, path, shape->n_path + n, &walk->c->work, &at,
                        &names);
    if (finds == SCHEMA_FINDS || at < shape->n_path)
        return; /* or the path to the list has it, and is told of it */
    for (size_t i = 0; names[i] && walk->c->work > NAME_WORK; i++)
        walk->c->work -= NAME_WORK;
    walk->at += at - shape->n_path;
    if (finds == SCHEMA_FINDS_NOTHING)
        no_member(walk, true, doc_nearest(path[at], names), names);
    else if ((nearest = doc_slip_of(path[at], names)))
        undeclared(walk, nearest);
}

/* One member of an object that is known whole. False: the walk ends. */
static bool take(struct walk *walk, struct wf_shape *shape)
{
    const struct expr_segment *segment = &walk->expr->segments[walk->at];
    struct wf_shape next;
    const char *const *names;
    const char *nearest;

    if (!segment->name.ptr)
        return false;
    if (wf_shape_member(shape, segment->name, &next)) {
        *shape = next;
        return true;
    }
    names = wf_shape_names(shape, walk->c->p->scratch);
    if (!names)
        return false;
    nearest = of_our_own(shape, segment->name, names);
    no_member(walk, shape->kind == SHAPE_NAMES,
              nearest ? nearest : doc_nearest(segment->name, names), names);
    return false;
}

static void follow(struct walk *walk, struct wf_shape shape)
{
    for (; walk->at < walk->expr->n_segments && has_room(walk); walk->at++) {
        const struct expr_segment *segment = &walk->expr->segments[walk->at];

        if (shape.kind == SHAPE_SCHEMA) {
            through_schema(walk, &shape);
            return;
        }
        if (segment->dynamic)
            return;
        if ((shape.kind == SHAPE_TEXT || shape.kind == SHAPE_LIST) && !segment->optional)
            of_no_object(walk, shape.kind == SHAPE_TEXT);
        if (!wf_shape_is_closed(&shape) || !take(walk, &shape))
            return;
    }
}

static void check_path(struct paths *c, const struct expr *whole, const struct expr *expr)
{
    struct walk walk = {.c = c, .whole = whole, .expr = expr};

    if (expr->n_segments == 0 || c->followed++ >= PATHS_MAX)
        return;
    follow(&walk, wf_shape_of_ref(c->p, &expr->refs[0], c->body));
}

static void check_exprs(struct paths *c, const struct expr *first)
{
    for (const struct expr *expr = first; expr; expr = expr->next) {
        if (expr->kind != EXPR_PATH)
            continue;
        check_path(c, expr, expr);
        for (size_t i = 0; i < expr->n_segments; i++)
            if (expr->segments[i].dynamic)
                check_path(c, expr, expr->segments[i].dynamic);
    }
}

void wf_check_paths(struct wf_parser *p)
{
    struct paths c = {.p = p, .ctx = {.p = p}, .refused = p->problems->count, .work = SCHEMA_WORK};

    for (size_t i = 0; i < p->n_steps; i++) {
        c.body = p->steps[i].def->body;
        check_exprs(&c, p->steps[i].def->exprs);
    }
    for (size_t i = 0; i < p->n_bodies; i++) {
        c.body = p->bodies[i].def;
        check_exprs(&c, p->bodies[i].def->output_exprs);
    }
}
